import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { once } from 'node:events'
import type { NewRecord, ObjectInput, OwnerInput, PipelineInput, PropertyInput, RecordId, SandboxRecord, SeedOptions, Store, FaultRule, Time, TokenInput, Values } from '../types.ts'
import type { CallMatch } from './calls.ts'

type Body = Readonly<Record<string, unknown>>

/** One call of the control API. */
export interface ControlRoute {
  /** What it does, in a line. */
  readonly about: string
  /** Fields that its body must have. */
  readonly needs?: readonly string[]
  readonly run: (store: Store, object: string, body: Body, query: URLSearchParams) => unknown
}

type Ids = readonly RecordId[]

/** The control API's calls: method and path, where `:object` stands for an object's name. */
export const controlRoutes: Readonly<Record<string, ControlRoute>> = {
  'GET /': { about: 'The account: clock, live and archived records by object, writes that search has not learned of.', run: overview },
  'GET /clock': { about: 'The clock: {now}.', run: clock },
  'POST /clock': { about: 'Sets, advances, stops or starts the clock: {now?, advance? (ms), frozen?}.', run: moveClock },
  'GET /settings': { about: 'All settings.', run: (store) => store.settings },
  'PATCH /settings': {
    about: 'Changes settings: {lag: [500, 3000], …}.',
    run(store, _, body) {
      store.configure(body)
      return store.settings
    },
  },
  'POST /seed/:object': {
    about: 'Generates records, at once in search: {count, properties?, ties?, firstId?}.',
    needs: ['count'],
    run: (store, object, body) => store.seed(object, body as unknown as SeedOptions),
  },
  'POST /records/:object': {
    about: 'Creates records: {records: [{id?, properties?}], at?, lag?, fill?}; answers {ids}.',
    needs: ['records'],
    run: (store, object, { records, ...options }) => idsOf(store.create(object, records as NewRecord[], options)),
  },
  'PATCH /records/:object': {
    about: 'Edits records: {ids, properties, at?, lag?, touch?}; answers {ids}.',
    needs: ['ids', 'properties'],
    run: (store, object, { ids, properties, ...options }) => idsOf(store.edit(object, ids as Ids, properties as Values, options)),
  },
  'POST /archive/:object': {
    about: 'Archives records: {ids, at?, lag?}.',
    needs: ['ids'],
    run: (store, object, { ids, ...options }) => store.archive(object, ids as Ids, options),
  },
  'POST /restore/:object': {
    about: 'Restores archived records: {ids, at?, lag?}.',
    needs: ['ids'],
    run: (store, object, { ids, ...options }) => store.restore(object, ids as Ids, options),
  },
  'POST /purge/:object': {
    about: 'Removes records without a trace: {ids, at?, lag?}.',
    needs: ['ids'],
    run: (store, object, { ids, ...options }) => store.purge(object, ids as Ids, options),
  },
  'POST /index/flush': { about: 'Lets search learn of everything now.', run: (store) => store.flushIndex() },
  'POST /properties/:object': {
    about: 'Adds a property: {name, type?, options?, filled?, …}.',
    needs: ['name'],
    run: (store, object, body) => store.addProperty(object, body as unknown as PropertyInput),
  },
  'PATCH /properties/:object': {
    about: 'Changes a property: {name, type?, label?, options?, unreadable?, …}.',
    needs: ['name'],
    run: (store, object, { name, ...changes }) => store.changeProperty(object, String(name), changes),
  },
  'POST /properties/:object/archive': {
    about: 'Archives a property: {name}.',
    needs: ['name'],
    run: (store, object, { name }) => store.archiveProperty(object, String(name)),
  },
  'POST /properties/:object/restore': {
    about: 'Restores an archived property, with its values: {name}.',
    needs: ['name'],
    run: (store, object, { name }) => store.restoreProperty(object, String(name)),
  },
  'POST /objects': {
    about: 'Adds a custom object: {name, labels?, typeNumber?, properties?, primaryDisplayProperty?}; answers {objectTypeId}.',
    needs: ['name'],
    run: (store, _, body) => ({ objectTypeId: store.addObject(body as unknown as ObjectInput) }),
  },
  'PUT /pipelines/:object': {
    about: 'Replaces the pipelines: {pipelines: [{id, label?, stages: [{id, label?, metadata?}]}]}.',
    needs: ['pipelines'],
    run: (store, object, { pipelines }) => store.setPipelines(object, pipelines as PipelineInput[]),
  },
  'POST /owners': {
    about: 'Adds an owner: {email, id?, firstName?, lastName?, type?}; answers {id}.',
    needs: ['email'],
    run: (store, _, body) => ({ id: store.addOwner(body as unknown as OwnerInput) }),
  },
  'POST /owners/archive': { about: 'Archives an owner: {id}.', needs: ['id'], run: (store, _, { id }) => store.archiveOwner(id as RecordId) },
  'POST /tokens': {
    about: 'Adds a token: {token, scopes?, expiresAt?}.',
    needs: ['token'],
    run: (store, _, body) => store.addToken(body as unknown as TokenInput),
  },
  'DELETE /tokens': { about: 'Revokes a token: {token}.', needs: ['token'], run: (store, _, { token }) => store.revokeToken(String(token)) },
  'GET /faults': { about: 'The faults in force, with how often each struck.', run: (store) => store.faults() },
  'POST /faults': {
    about: 'Adds a fault: {fault, match?, nth?, times?, probability?}; answers {number}.',
    needs: ['fault'],
    run: (store, _, body) => ({ number: store.addFault(body as unknown as FaultRule) }),
  },
  'DELETE /faults': {
    about: 'Removes the fault ?number=N, or all.',
    run: (store, _, __, query) => store.removeFaults(query.has('number') ? Number(query.get('number')) : undefined),
  },
  'GET /calls': {
    about: 'Calls received: {counts, calls}; ?kind=, ?object= and ?status= choose among the latest.',
    run: (store, _, __, query) => ({ counts: store.counts(), calls: store.calls(match(query)) }),
  },
  'DELETE /calls': { about: 'Forgets calls and counts.', run: (store) => store.resetCalls() },
  'GET /dump/:object': { about: 'All live records (?archived=true: archived ones) as lines of JSON.', run: dump },
}

/** The control API over HTTP: JSON in and out, no token; 400 with a message where the store refuses. */
export function createControlServer(store: Store): Server {
  return createServer((request, response) => {
    handle(store, request, response).catch((error: unknown) => {
      if (response.headersSent) response.destroy()
      else send(response, 400, { message: error instanceof Error ? error.message : String(error) })
    })
  })
}

async function handle(store: Store, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { pathname, searchParams } = new URL(request.url ?? '/', 'http://control')
  const [, first = '', object = '', ...rest] = pathname.replace(/\/$/, '').split('/').map(decodeURIComponent)
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk as Buffer)
  const text = Buffer.concat(chunks).toString()
  const body: unknown = text === '' ? {} : JSON.parse(text)
  if (typeof body !== 'object' || body === null || Array.isArray(body)) throw new Error('the body must be a JSON object')
  const named = [`/${first}`, ':object', ...rest].join('/')
  const route = controlRoutes[`${request.method} ${pathname}`] ?? controlRoutes[`${request.method} ${named}`]
  if (!route) return send(response, 404, { message: `no ${request.method} ${pathname}`, calls: Object.keys(controlRoutes) })
  for (const field of route.needs ?? []) if (!(field in body)) throw new Error(`${field} is missing`)
  const answer = route.run(store, object, body as Body, searchParams)
  if (answer instanceof Iterator) return sendLines(response, answer)
  send(response, 200, answer ?? {})
}

function overview(store: Store): unknown {
  const counts = store.objects().map((name) => [name, { live: store.count(name), archived: store.count(name, { archived: true }) }])
  return { portalId: store.portalId, ...clock(store), pending: store.pending(), objects: Object.fromEntries(counts) }
}

function clock(store: Store): { now: string } {
  return { now: new Date(store.now()).toISOString() }
}

function moveClock(store: Store, _: string, { now, advance, frozen }: Body): unknown {
  if (now !== undefined) store.setClock(now as Time)
  if (advance !== undefined) store.advance(Number(advance))
  if (frozen !== undefined) store.freeze(frozen === true)
  return clock(store)
}

function dump(store: Store, object: string, _: Body, query: URLSearchParams): unknown {
  return store.records(object, { archived: query.get('archived') === 'true' })
}

function idsOf(records: readonly SandboxRecord[]): { ids: string[] } {
  return { ids: records.map(({ id }) => id) }
}

function match(query: URLSearchParams): CallMatch {
  const { status, ...rest } = Object.fromEntries(query)
  return { ...rest, ...(status !== undefined && { status: Number(status) }) }
}

function send(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'Content-Type': 'application/json' })
  response.end(JSON.stringify(body))
}

async function sendLines(response: ServerResponse, items: IteratorObject<unknown>): Promise<void> {
  response.writeHead(200, { 'Content-Type': 'application/x-ndjson' })
  let lines: string[] = []
  for (const item of items) {
    lines.push(`${JSON.stringify(item)}\n`)
    if (lines.length < 500) continue
    if (!response.write(lines.join(''))) await once(response, 'drain')
    lines = []
  }
  response.end(lines.join(''))
}
