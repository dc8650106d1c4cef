import type { Plan, StreamRequest } from '../db/calls.ts'
import { isTooLarge } from '../hubspot/answer.ts'
import { batchReadAssociations, readLabels } from '../hubspot/associations.ts'
import type { Answer, Client } from '../hubspot/client.ts'
import { readOwners, readPipelines, readProperties, readSchemas } from '../hubspot/metadata.ts'
import { afterOf, archivedOf, idsOf } from '../hubspot/body.ts'
import { batchRead, fitsInUrl, listPage, PAGE_LIMIT } from '../hubspot/objects.ts'
import { search } from '../hubspot/search.ts'
import { Bug, Refused, Transient } from '../lib/errors.ts'
import type { Asked, Caller } from './call.ts'
import { probe } from './unreadable.ts'

/** What came back for a request of SQL's, as `step_commit` takes it. */
export type Got = {
  body: Buffer | null
  askedAt: string
  answeredAt: string | undefined
  /** Of the list, where the body is a batch read's. */
  after: string | undefined
  /** The ids that were batch-read, where SQL did not name them. */
  asked: string[] | undefined
  requests: number
}

/** Sends what SQL decided to ask: transport only. */
export async function ask(
  { hubspot, caller: anyone, signal }: { hubspot: Client; caller: Caller; signal: AbortSignal },
  request: StreamRequest,
  plan: Plan | null,
): Promise<Got> {
  const caller = anyone.in(request.class)
  if (request.kind === 'catalogue') return askCatalogue({ hubspot, caller, signal })
  if (plan === null) throw new Bug(`a ${request.kind} without a plan`)
  const { type, properties } = plan
  switch (request.kind) {
    case 'list':
      // A read of some properties alone names them.
      return askList({ hubspot, caller, signal }, { ...plan, properties: request.properties ?? properties }, request)
    case 'archived':
      return askArchived({ hubspot, caller, signal }, type, request.after)
    case 'read':
      return askRecords({ hubspot, caller, signal }, plan, request)
    case 'look':
      return askWhenArchived({ hubspot, caller, signal }, type, request.inputs)
    case 'search':
      return caller
        .call('search', () => search(hubspot, { type, body: JSON.stringify(request.body), signal }))
        .then(one)
    case 'count':
      return askCount({ hubspot, caller, signal }, type, request.body)
    case 'labels':
      return askLabels({ hubspot, caller, signal }, request.from, request.to)
    case 'associations': {
      const { from, to, inputs } = request
      if (inputs.length === 0) return Promise.resolve(NOTHING_TO_READ())
      return caller.call('burst', () => batchReadAssociations(hubspot, { from, to, inputs, signal })).then(one)
    }
    case 'schema':
      return askSchema({ hubspot, caller, signal }, plan)
    case 'probe': {
      const { readable, requests } = await probe({ hubspot, caller, signal }, type, request)
      return { ...NOTHING_TO_READ(), body: Buffer.from(JSON.stringify({ readable })), requests }
    }
  }
}

/** Where the page after this one begins, as far as its tail tells; SQL's word decides. */
export function nextOf(got: Got): string | undefined {
  return got.asked === undefined ? got.body === null ? undefined : afterOf(got.body) : got.after
}

type Way = { hubspot: Client; caller: Caller; signal: AbortSignal }

function one({ answer, askedAt }: Asked): Got {
  return { body: answer.body, askedAt, answeredAt: answer.date, after: undefined, asked: undefined, requests: 1 }
}

/** The queue was emptied by another way; the step only moves on. A read asked at no time can change nothing. */
function NOTHING_TO_READ(): Got {
  return { body: empty(), askedAt: '-infinity', answeredAt: undefined, after: undefined, asked: undefined, requests: 0 }
}

const empty = () => Buffer.from('{"results":[]}')

async function askList(way: Way, plan: Plan, request: ListRequest, limit = PAGE_LIMIT): Promise<Got> {
  try {
    return await askPage(way, plan, request, limit)
  } catch (error) {
    if (!isTooLarge(error) || limit === 1) throw error
    // Asked again as it was, it would be too large again.
    return await askList(way, plan, request, Math.ceil(limit / 10))
  }
}

async function askPage({ hubspot, caller, signal }: Way, { type, properties }: Plan, { after, is_apart }: ListRequest, limit: number): Promise<Got> {
  const inUrl = fitsInUrl(properties)
  const page = one(
    await caller.call('burst', () =>
      listPage(hubspot, { type, after: after ?? undefined, limit, properties: inUrl ? properties : [], signal }),
    ),
  )
  if (inUrl || page.body === null) return page
  // More names than a URL takes: the list gives the ids, a batch read their values.
  const ids = idsOf(page.body)
  const next = { after: afterOf(page.body), asked: ids }
  if (ids.length === 0) return { ...page, ...next, body: empty() }
  const read = await caller.call('burst', () => batchRead(hubspot, { type, ids, properties, signal })).then(one, (error: unknown) => {
    if (!is_apart || !isFailedRead(error)) throw error
    return { ...page, body: Buffer.from(UNANSWERED) }
  })
  return { ...read, ...next, answeredAt: page.answeredAt, requests: 2 }
}

type ListRequest = Extract<StreamRequest, { kind: 'list' }>

/** A batch read that fails and may do so for one of its records. */
const isFailedRead = (error: unknown) =>
  error instanceof Transient || (error instanceof Refused && error.status !== 401 && error.status !== 403)

/** As HubSpot says that a batch read could not read some: of none of these is it known whether they are gone. */
const UNANSWERED = '{"results":[],"errors":[{"status":"error","category":"UNANSWERED"}]}'

async function askArchived({ hubspot, caller, signal }: Way, type: string, after: string | null): Promise<Got> {
  // What it took in before it was archived, nothing else tells.
  const send = () => listPage(hubspot, { type, after: after ?? undefined, properties: ['hs_merged_object_ids'], archived: true, signal })
  try {
    return one(await caller.call('burst', send))
  } catch (error) {
    // Not every object has such a list; what the token may not read is another matter.
    if (!(error instanceof Refused) || error.status === 401 || error.status === 403 || after !== null) throw error
    return { body: null, askedAt: '-infinity', answeredAt: undefined, after: undefined, asked: undefined, requests: 1 }
  }
}

async function askRecords({ hubspot, caller, signal }: Way, { type, properties }: Plan, { ids, young = [] }: ReadRequest): Promise<Got> {
  if (ids.length === 0) return NOTHING_TO_READ()
  const read = await caller.call('burst', () => batchRead(hubspot, { type, ids, properties, signal }))
  const got = one(read)
  const lacking = young.filter((id) => !read.answer.body.includes(`"id":"${id}"`))
  const end = read.answer.body.lastIndexOf('}')
  if (lacking.length === 0 || end <= 1) return got
  // A copy that is behind does not know them yet, or they are gone: of most, this tells. Where it does not, they wait.
  const archived = await caller.call('burst', () => batchRead(hubspot, { type, ids: lacking, properties: [], archived: true, signal })).then(
    ({ answer }) => archivedOf(answer.body),
    (error: unknown) => {
      if (!(error instanceof Refused || error instanceof Transient)) throw error
      return []
    },
  )
  const told = Buffer.from(`,"archived_ids":${JSON.stringify(archived)}}`)
  return { ...got, body: Buffer.concat([read.answer.body.subarray(0, end), told]), requests: 2 }
}

type ReadRequest = Extract<StreamRequest, { kind: 'read' }>

async function askWhenArchived({ hubspot, caller, signal }: Way, type: string, ids: readonly string[]): Promise<Got> {
  if (ids.length === 0) return NOTHING_TO_READ()
  const asked = await optional(() => caller.call('burst', () => batchRead(hubspot, { type, ids, properties: [], archived: true, signal })))
  // It only tells what is no difference: where HubSpot does not say, all counts.
  return 'value' in asked ? one(asked.value) : { ...NOTHING_TO_READ(), body: null, requests: 1 }
}

async function askCount({ hubspot, caller, signal }: Way, type: string, body: object): Promise<Got> {
  try {
    return one(await caller.call('search', () => search(hubspot, { type, body: JSON.stringify(body), signal })))
  } catch (error) {
    // Only progress rests on it: a search that fails holds up no load, and what the token may not do, the list will say.
    if (!(error instanceof Refused || error instanceof Transient) || (error instanceof Refused && error.status === 401)) throw error
    return { body: null, askedAt: '-infinity', answeredAt: undefined, after: undefined, asked: undefined, requests: 1 }
  }
}

async function askLabels({ hubspot, caller, signal }: Way, from: string, to: string): Promise<Got> {
  const labels = await optional(() => caller.call('burst', () => readLabels(hubspot, { from, to, signal })))
  // They are names only: what a token may not do, the associations themselves will say.
  if ('value' in labels) return one(labels.value)
  return { ...NOTHING_TO_READ(), body: null, requests: 1 }
}

async function askSchema({ hubspot, caller, signal }: Way, { type, has_pipelines }: Plan): Promise<Got> {
  const counted = counting(caller)
  const properties = await readProperties(hubspot, counted.call, { type, signal })
  const pipelines = has_pipelines
    ? await optional(() => readPipelines(hubspot, counted.call, { type, signal }))
    : { value: null }
  return counted.got(properties, [['properties', properties.body], ['pipelines', 'value' in pipelines ? pipelines.value?.body : null]])
}

async function askCatalogue({ hubspot, caller, signal }: Way): Promise<Got> {
  const counted = counting(caller)
  const refused: Record<string, Refusal> = {}
  const schemas = await optional(() => readSchemas(hubspot, counted.call, { signal }))
  if ('refused' in schemas) refused['schemas'] = schemas.refused
  const owners = await optional(() => readOwners(hubspot, counted.call, { signal }))
  if ('refused' in owners) refused['owners'] = owners.refused
  const pages = 'value' in owners ? joined('[', owners.value.map(({ body }) => body), ']') : null
  return counted.got('value' in schemas ? schemas.value : undefined, [
    ['schemas', 'value' in schemas ? schemas.value.body : null],
    ['owners', pages],
    ['refused', Buffer.from(JSON.stringify(refused))],
  ])
}

type Refusal = { code: string; message: string; hint: string }

/** A part that this account or token may lack. */
async function optional<T>(read: () => Promise<T>): Promise<{ value: T } | { refused: Refusal }> {
  try {
    return { value: await read() }
  } catch (error) {
    if (!(error instanceof Refused) || error.status === 401) throw error
    return { refused: { code: error.code, message: error.message, hint: error.hint } }
  }
}

/** Counts the calls of a step that makes several, and puts their bodies together unparsed. */
function counting(caller: Caller) {
  let requests = 0
  let first: Asked | undefined
  return {
    async call(kind: 'burst' | 'search', send: () => Promise<Answer>): Promise<Answer> {
      const asked = await caller.call(kind, send)
      requests += 1
      first ??= asked
      return asked.answer
    },
    got(dated: Answer | undefined, parts: readonly (readonly [string, Buffer | null | undefined])[]): Got {
      const bodies = parts.map(([name, body]) => Buffer.concat([Buffer.from(`"${name}":`), body ?? Buffer.from('null')]))
      return {
        body: joined('{', bodies, '}'),
        askedAt: first?.askedAt ?? '-infinity',
        answeredAt: dated?.date,
        after: undefined,
        asked: undefined,
        requests,
      }
    },
  }
}

function joined(open: string, bodies: readonly Buffer[], close: string): Buffer {
  const parts = bodies.flatMap((body, i) => (i === 0 ? [body] : [COMMA, body]))
  return Buffer.concat([Buffer.from(open), ...parts, Buffer.from(close)])
}

const COMMA = Buffer.from(',')
