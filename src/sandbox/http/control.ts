import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { once } from 'node:events'
import type { Store } from '../types.ts'

type Json = Record<string, any>
type Run = (store: Store, object: string, body: Json, query: URLSearchParams) => unknown

/** The control API's calls: method and path, where `:object` stands for an object's name, and what they do. */
export const controlRoutes: Readonly<Record<string, Run>> = {
  'GET /': (store) => ({ portalId: store.portalId, now: new Date(store.now()).toISOString(), objects: Object.fromEntries(store.objects().map((name) => [name, { live: store.count(name), archived: store.count(name, { archived: true }) }])), pending: store.pending() }),
  'GET /clock': clock,
  'POST /clock': (store, _, { now, advance, frozen }) => {
    if (now !== undefined) store.setClock(now)
    if (advance !== undefined) store.advance(advance)
    if (frozen !== undefined) store.freeze(frozen)
    return clock(store)
  },
  'GET /settings': (store) => store.settings,
  'PATCH /settings': (store, _, body) => {
    store.configure(body)
    return store.settings
  },
  'POST /seed/:object': (store, object, { count, ...rest }) => store.seed(object, { count, ...rest }),
  'POST /records/:object': (store, object, { records, ...options }) => store.create(object, records, options),
  'PATCH /records/:object': (store, object, { ids, properties, ...options }) => store.edit(object, ids, properties, options),
  'POST /archive/:object': (store, object, { ids, ...options }) => store.archive(object, ids, options),
  'POST /restore/:object': (store, object, { ids, ...options }) => store.restore(object, ids, options),
  'POST /purge/:object': (store, object, { ids, ...options }) => store.purge(object, ids, options),
  'POST /index/flush': (store) => store.flushIndex(),
  'POST /properties/:object': (store, object, body) => store.addProperty(object, body as never),
  'PATCH /properties/:object': (store, object, { name, ...changes }) => store.changeProperty(object, name, changes),
  'POST /properties/:object/archive': (store, object, { name }) => store.archiveProperty(object, name),
  'POST /properties/:object/restore': (store, object, { name }) => store.restoreProperty(object, name),
  'POST /objects': (store, _, body) => ({ objectTypeId: store.addObject(body as never) }),
  'PUT /pipelines/:object': (store, object, { pipelines }) => store.setPipelines(object, pipelines),
  'POST /owners': (store, _, body) => ({ id: store.addOwner(body as never) }),
  'POST /owners/archive': (store, _, { id }) => store.archiveOwner(id),
  'POST /tokens': (store, _, body) => store.addToken(body as never),
  'DELETE /tokens': (store, _, { token }) => store.revokeToken(token),
  'GET /faults': (store) => store.faults(),
  'POST /faults': (store, _, body) => ({ number: store.addFault(body as never) }),
  'DELETE /faults': (store, _, __, query) => store.removeFaults(query.has('number') ? Number(query.get('number')) : undefined),
  'GET /calls': (store, _, __, query) => ({ counts: store.counts(), calls: store.calls(match(query)) }),
  'DELETE /calls': (store) => store.resetCalls(),
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
  const [, first = '', second, ...rest] = pathname.replace(/\/$/, '').split('/').map(decodeURIComponent)
  if (request.method === 'GET' && first === 'dump' && second) return dump(store, second, searchParams, response)
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk as Buffer)
  const text = Buffer.concat(chunks).toString()
  const body = text === '' ? {} : (JSON.parse(text) as Json)
  const exact = controlRoutes[`${request.method} ${pathname}`]
  const run = exact ?? controlRoutes[[`${request.method} /${first}`, ':object', ...rest].join('/')]
  if (!run) return send(response, 404, { message: `no ${request.method} ${pathname}`, calls: Object.keys(controlRoutes) })
  send(response, 200, run(store, second ?? '', body, searchParams) ?? {})
}

/** All records of an object, one JSON document a line, as they stand when each is reached. */
async function dump(store: Store, object: string, query: URLSearchParams, response: ServerResponse): Promise<void> {
  const records = store.records(object, { archived: query.get('archived') === 'true' })
  response.writeHead(200, { 'Content-Type': 'application/x-ndjson' })
  let lines: string[] = []
  for (const record of records) {
    lines.push(`${JSON.stringify(record)}\n`)
    if (lines.length < 500) continue
    if (!response.write(lines.join(''))) await once(response, 'drain')
    lines = []
  }
  response.end(lines.join(''))
}

function clock(store: Store): Json {
  return { now: new Date(store.now()).toISOString() }
}

function send(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'Content-Type': 'application/json' })
  response.end(JSON.stringify(body))
}

function match(query: URLSearchParams): Json {
  const { status, ...rest } = Object.fromEntries(query)
  return { ...rest, ...(status !== undefined && { status: Number(status) }) }
}
