import { z } from 'zod'
import { unreadable } from './answer.ts'
import { parsed } from './body.ts'
import type { Answer, Call, Client } from './client.ts'

/**
 * Definitions, owners and the account. The bodies go to SQL as they came, which takes them apart;
 * parsed here is only what decides about the next call. None can be made but through `call`.
 */
type Asked = { signal?: AbortSignal | undefined }
type AskedOf = Asked & { type: string }

/** How far a property's values are protected. Each level is a call of its own. */
export type Sensitivity = 'non_sensitive' | 'sensitive' | 'highly_sensitive'

/**
 * The properties of an object type, all in one body's `results`: those in use or the archived ones,
 * of one sensitivity. Refused SH202 without the scope that a sensitive level needs.
 * @see https://developers.hubspot.com/docs/api-reference/latest/crm/properties
 */
export function readProperties(
  client: Client,
  call: Call,
  { type, archived = false, sensitivity, signal }: AskedOf & { archived?: boolean; sensitivity?: Sensitivity },
): Promise<Answer> {
  const query = { archived, dataSensitivity: sensitivity }
  return call('burst', () => client.request({ path: client.paths.properties(type), query, type, signal }))
}

/** All custom object types, in `results`. An account without any answers an empty list or Refused SH202. */
export function readSchemas(client: Client, call: Call, { signal }: Asked = {}): Promise<Answer> {
  return call('burst', () => client.request({ path: client.paths.schemas(), query: { archived: false }, signal }))
}

/** The pipelines of an object type with their stages, in `results`. Refused SH211 where the type has none. */
export function readPipelines(client: Client, call: Call, { type, signal }: AskedOf): Promise<Answer> {
  return call('burst', () => client.request({ path: client.paths.pipelines(type), type, signal }))
}

/** All owners, as pages in HubSpot's order: first those in use, then the archived ones. */
export async function readOwners(client: Client, call: Call, { signal }: Asked = {}): Promise<Answer[]> {
  const pages: Answer[] = []
  for (const archived of [false, true]) {
    const seen = new Set<string>()
    let after: string | undefined
    do {
      const query = { limit: 100, archived, after }
      const answer = await call('burst', () => client.request({ path: client.paths.owners(), query, signal }))
      pages.push(answer)
      after = parsed(answer.body, Page).paging?.next?.after ?? undefined
      if (after !== undefined && seen.has(after)) throw unreadable(`it sends us to "${after}" a second time`)
      if (after !== undefined) seen.add(after)
    } while (after !== undefined)
  }
  return pages
}

/** The account that the token belongs to, with the answer that said so. */
export async function readAccount(
  client: Client,
  call: Call,
  { signal }: Asked = {},
): Promise<{ value: Account; answer: Answer }> {
  const answer = await call('burst', () => client.request({ path: client.paths.account(), signal }))
  return { value: parsed(answer.body, Account), answer }
}

const optional = z.string().optional().catch(undefined)

const Account = z.looseObject({
  portalId: z.int().positive(),
  timeZone: optional,
  utcOffsetMilliseconds: z.int().optional().catch(undefined),
  accountType: optional,
  companyCurrency: optional,
  uiDomain: optional,
  dataHostingLocation: optional,
})

/** Of an account's details, what is sure to be there (`portalId`) and what has a use. */
export type Account = z.infer<typeof Account>

const Page = z.looseObject({
  results: z.array(z.unknown()),
  paging: z
    .looseObject({ next: z.looseObject({ after: z.union([z.string(), z.number().transform(String)]) }).nullish() })
    .nullish(),
})
