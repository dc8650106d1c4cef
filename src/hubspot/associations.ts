import { Bug } from '../lib/errors.ts'
import type { Answer, Client } from './client.ts'

/** The most records that one read of associations may name. */
export const INPUTS_LIMIT = 1_000

/**
 * What up to 1,000 records are associated with, a page of each: `results` of `from.id`, `to` with the types of each, and
 * `paging.next.after` where a record has more. One without any is no result but an error of NO_ASSOCIATIONS_FOUND, so that
 * 207 is the usual answer; so is one that does not exist. Budget: burst.
 * @see https://developers.hubspot.com/docs/api-reference/latest/crm/associations/associate-records/guide
 */
export function batchReadAssociations(
  client: Client,
  {
    from,
    to,
    inputs,
    signal,
  }: {
    /** Type ids such as `0-1` or `2-123`, or standard objects' names. */
    from: string
    to: string
    /** `after` as the record's page before said. */
    inputs: readonly { id: string; after?: string }[]
    signal?: AbortSignal | undefined
  },
): Promise<Answer> {
  if (inputs.length === 0 || inputs.length > INPUTS_LIMIT) throw new Bug(`a read of ${inputs.length} records' associations`)
  return client.request({ path: client.paths.associationsBatchRead(from, to), body: { inputs }, type: from, signal })
}

/** The types that associations of a pair may have in this direction: `results` of `category`, `typeId`, `label`. Budget: burst. */
export function readLabels(
  client: Client,
  { from, to, signal }: { from: string; to: string; signal?: AbortSignal | undefined },
): Promise<Answer> {
  return client.request({ path: client.paths.associationLabels(from, to), type: from, signal })
}
