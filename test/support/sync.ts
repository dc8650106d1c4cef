import { asJsonb, type Database, openDatabase } from '../../src/db/database.ts'
import { type Claim, type Held, stepCommit, type StepOutcome, streamClaim, type StreamKey, type StreamRequest } from '../../src/db/calls.ts'
import { type Client, createClient } from '../../src/hubspot/client.ts'
import { createLog } from '../../src/lib/log.ts'
import { type Sandbox, type SandboxOptions, startSandbox } from '../../src/sandbox/index.ts'
import { ask, type Got } from '../../src/sync/ask.ts'
import { createCaller } from '../../src/sync/call.ts'
import { checkCredentials } from '../../src/sync/credentials.ts'
import { runStream, type SliceOutcome, type SyncDeps } from '../../src/sync/step.ts'
import { differences } from './compare.ts'
import { freshDatabase, type FreshDatabase } from './cluster.ts'

/** A database of its own, connected to a sandbox of its own; nothing runs unless a test runs it. */
export type World = AsyncDisposable & {
  db: FreshDatabase
  sandbox: Sandbox
  store: Sandbox['store']
  /** What a worker gets. `sleep` moves the database's clock instead of waiting. */
  deps: SyncDeps
  /** Dependencies of another worker, or of one with other ways. */
  worker(name: string, changes?: Partial<SyncDeps>): SyncDeps
  /** Log lines so far. */
  lines: string[]
  /** Moves both clocks. */
  advance(ms: number): Promise<void>
  /** Takes steps of one stream, as a job does. */
  run(object: string, stream: string, range?: number, deps?: SyncDeps): Promise<SliceOutcome>
  /** Runs what is due until nothing is. */
  drain(): Promise<void>
  /** Lets time pass, in strides, and runs what becomes due. */
  pass(ms: number, stride?: number): Promise<void>
  /** Tracks an object and reads it whole. */
  load(object: string, properties?: readonly string[], onDelete?: 'delete' | 'mark'): Promise<void>
  /** A row of the mirror, or undefined. */
  row<Row extends Record<string, unknown>>(object: string, id: string | number): Promise<Row | undefined>
  /** How the mirror differs from the sandbox. */
  differences(object: string, options?: Parameters<typeof differences>[3]): Promise<string[]>
}

/** How a test's world differs from the usual one. */
export type WorldOptions = {
  sandbox?: SandboxOptions
  /** Between client and worker; the product's own client by default. */
  client?: (client: Client, sandbox: Sandbox) => Client
}

/** A HubSpot that gives a few records a page, as it may: lists of `list`, searches of `search`. */
export function pagesOf(list: number, search = 200): NonNullable<WorldOptions['client']> {
  return (client) => ({
    ...client,
    request(request) {
      const { query, path } = request
      if (query?.['properties'] !== undefined && query['limit'] !== undefined) {
        return client.request({ ...request, query: { ...query, limit: Math.min(list, Number(query['limit'])) } })
      }
      if (!path.endsWith('/search')) return client.request(request)
      const body = JSON.parse(request.body as string) as { limit: number }
      return client.request({ ...request, body: JSON.stringify({ ...body, limit: Math.min(search, body.limit) }) })
    },
  })
}

/** Where the sandbox's clock stands at first: far from the database's, since the two are never to be compared. */
const START = Date.parse('2026-03-10T14:00:00.000Z')

/** Starts a sandbox whose clock stands still and whose limits are off, and connects a fresh database to it. */
export async function startWorld(name: string, { sandbox: options = {}, client: wrap = (client) => client }: WorldOptions = {}): Promise<World> {
  const db = await freshDatabase(name)
  const sandbox = await startSandbox({
    now: START,
    frozen: true,
    ...options,
    settings: { limits: false, lag: 0, callsKept: 100_000, ...options.settings },
  })
  const database = openDatabase(db.url, { max: 12 })
  const real = createClient({ baseUrl: sandbox.url, token: () => sandbox.token })
  const client = wrap(real, sandbox)
  const lines: string[] = []
  const log = createLog({ level: 'debug', pretty: false, write: (line) => lines.push(line.trim()) })
  const stopping = new AbortController()
  const shift = async (ms: number) => {
    await db.query('update hubspot_private.installation set clock_shift = clock_shift + make_interval(secs => $1::double precision / 1000)', [ms])
  }
  const worker = (id: string, changes: Partial<SyncDeps> = {}): SyncDeps => ({
    db: database,
    hubspot: client,
    log,
    signal: stopping.signal,
    worker: id,
    held: new Set<Held>(),
    sleep: async (ms, signal) => {
      signal.throwIfAborted()
      if (ms > 0) await shift(ms)
    },
    ...changes,
  })
  const deps = worker('worker')
  for (const budget of ['burst', 'search', 'daily']) await db.query('select hubspot.set_quota($1, 100000000)', [budget])
  await db.query('select hubspot.connect($1)', [sandbox.token])
  const checked = await checkCredentials({ ...deps, env: { baseUrl: sandbox.url } })
  if (checked !== 'connected') throw new Error(`the sandbox was not connected: ${checked}\n${lines.join('\n')}`)

  const run = (object: string, stream: string, range = 0, by = deps) => runStream(by, { object, stream, range })
  const drain = () => drainStreams(db, deps)
  const advance = async (ms: number) => {
    sandbox.store.advance(ms)
    await shift(ms)
  }
  const pass = async (ms: number, stride = ms) => {
    for (let left = ms; left > 0; left -= stride) {
      await advance(Math.min(left, stride))
      await drain()
    }
  }
  await drain()
  return {
    db, sandbox, store: sandbox.store, deps, worker, lines, advance, run, drain, pass,
    async load(object, properties, onDelete = 'delete') {
      await db.query('select hubspot.track($1, $2, $3)', [object, properties ?? null, onDelete])
      await drain()
    },
    async row<Row>(object: string, id: string | number) {
      const rows = await db.query<{ row: Row }>(`select to_jsonb(t) as row from hubspot."${object}" t where id = $1`, [id])
      return rows[0]?.row
    },
    differences: (object, how) => differences(db, sandbox, object, how),
    async [Symbol.asyncDispose]() {
      stopping.abort(new Error('the test is over'))
      await real.close()
      await database.close()
      await sandbox.close()
      await db[Symbol.asyncDispose]()
    },
  }
}

/** A stream held by hand: what is asked and what is committed are two acts, so that anything can happen between them. */
export type Holder = {
  claim: Claim
  /** Sends what the cursor stands at. */
  ask(): Promise<Got>
  /** Takes an answer in, and goes on to the request after it. */
  commit(got: Got, changes?: Partial<{ epoch: string; cursor: unknown; columnSet: number }>): Promise<StepOutcome>
}

/** Claims a stream; undefined: nothing to do, or it is held. */
export async function hold({ deps }: World, object: string, stream: string, range = 0, worker = 'by hand'): Promise<Holder | undefined> {
  const key = { object, stream, range }
  const claim = await streamClaim(deps.db, key, worker)
  if (claim === undefined) return undefined
  let { cursor, request }: { cursor: unknown; request: StreamRequest } = claim
  const way = { hubspot: deps.hubspot, signal: deps.signal, caller: createCaller(deps) }
  return {
    claim,
    ask: () => ask(way, request, claim.plan),
    async commit(got, changes = {}) {
      const step = { epoch: claim.epoch, cursor, request, columnSet: claim.plan?.column_set ?? 0, ...got, ...changes }
      const outcome = await stepCommit(deps.db.pool, key, { ...step, body: got.body && asJsonb(got.body) })
      if (outcome.outcome === 'more') {
        cursor = outcome.next_cursor
        request = outcome.next_request!
      }
      return outcome
    },
  }
}

/** Runs due streams, one after another, until none is due. */
async function drainStreams(db: FreshDatabase, deps: SyncDeps): Promise<void> {
  for (let rounds = 0; rounds < 200; rounds += 1) {
    const due = await dueStreams(db)
    if (due.length === 0) return
    for (const key of due) await runStream(deps, key)
  }
  throw new Error(`streams are due for ever: ${JSON.stringify(await dueStreams(db))}`)
}

/** What a sweep would wake now. */
export function dueStreams(db: Pick<FreshDatabase, 'query'>): Promise<StreamKey[]> {
  return db.query<StreamKey>('select object, stream, range from hubspot_private.streams_due()')
}

/** The same pool, each query through `around`: to count, to hold up, to lose. */
export function watchedDatabase(database: Database, around: <T>(text: string, values: readonly unknown[], query: () => Promise<T>) => Promise<T>): Database {
  const query = (config: { text: string; values?: unknown[] } | string, values?: unknown[]) => {
    const text = typeof config === 'string' ? config : config.text
    const given = values ?? (typeof config === 'string' ? [] : (config.values ?? []))
    return around(text, given, () => database.pool.query(config as string, values))
  }
  const pool = new Proxy(database.pool, { get: (target, key) => (key === 'query' ? query : Reflect.get(target, key, target) as unknown) })
  return { ...database, pool }
}
