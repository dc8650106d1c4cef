import type { Environment } from '../cli/support/environment.ts'
import { paint, Picture } from '../cli/support/screen.ts'
import { startCluster } from '../db/cluster.ts'
import { type Database, openDatabase } from '../db/database.ts'
import { migrate, uninstall } from '../db/migrate.ts'
import type { Log } from '../lib/log.ts'
import { formatDuration } from '../lib/time.ts'
import { type Sandbox, startSandbox } from '../sandbox/index.ts'
import { type RunningWorker, startWorker } from '../worker.ts'

/** How the demo is run. */
export type StageOptions = {
  isOnce: boolean
  env: Environment
  log: Log
  signal: AbortSignal
}

/** Everything the demo plays on; gone when disposed of, in order. */
export type Stage = AsyncDisposable & StageOptions & {
  db: Database
  databaseUrl: string
  /** Where HubSpot's role is played here. */
  sandbox: Sandbox | undefined
  worker: RunningWorker
  picture: Picture
  /** Says what was just done, and how long it took. */
  did(what: string): void
  /** Runs one statement and shows it as one would type it. */
  sql(text: string, values?: unknown[], shown?: string): Promise<Record<string, unknown>[]>
}

/** Records of the sandbox: enough to watch, and few enough for a check that runs within a minute. */
const RECORDS = {
  watched: { contacts: 8_000, companies: 2_000, deals: 4_000, vehicle: 1_000 },
  once: { contacts: 2_000, companies: 600, deals: 1_000, vehicle: 300 },
}

/** Starts PostgreSQL, the sandbox and a worker, and installs the product. */
export async function openStage(options: StageOptions, isReal: boolean): Promise<Stage> {
  const { env, isOnce, log, signal } = options
  // AsyncDisposableStack, which Node 22 does not have yet.
  const ends: (() => Promise<void>)[] = []
  const use = <T extends AsyncDisposable>(thing: T): T => {
    ends.push(async () => await thing[Symbol.asyncDispose]())
    return thing
  }
  const dispose = async () => {
    for (const end of ends.splice(0).toReversed()) await end()
  }
  const picture = new Picture()
  let since = performance.now()
  const did = (what: string) => {
    const took = formatDuration(performance.now() - since)
    picture.above(`${paint('green', '✓')} ${what} ${paint('gray', took)}`)
    since = performance.now()
  }
  try {
    let databaseUrl = env.DATABASE_URL
    if (databaseUrl === undefined) {
      // What it holds is not worth a disk's waiting.
      const cluster = use(await startCluster({ settings: { fsync: 'off', full_page_writes: 'off' } }))
      databaseUrl = cluster.url()
      did('PostgreSQL 18 of its own')
    } else if (!isReal) {
      const url = databaseUrl
      ends.push(() => uninstall(url))
    }
    const sandbox = isReal ? undefined : use(await openSandbox(isOnce))
    if (sandbox !== undefined) did(`a HubSpot sandbox with ${sum(isOnce).toLocaleString('en-US')} records at ${sandbox.url}`)
    signal.throwIfAborted()
    const { to } = await migrate(databaseUrl)
    did(`pg-hubspot ${to} installed`)
    const hubspot = sandbox === undefined ? env.hubspot : { baseUrl: sandbox.url }
    const worker = use(await startWorker({ databaseUrl, hubspot, log }))
    did('a worker started')
    const db = use(openDatabase(databaseUrl, { max: 4, applicationName: 'pg-hubspot demo' }))
    const sql = async (text: string, values: unknown[] = [], shown = text) => {
      picture.above(`  ${paint('cyan', `${shown};`)}`)
      return (await db.pool.query<Record<string, unknown>>(text, values)).rows
    }
    return { ...options, db, databaseUrl, sandbox, worker, picture, did, sql, [Symbol.asyncDispose]: dispose }
  } catch (error) {
    await dispose()
    throw error
  }
}

/** Whether the product is in a database. */
export async function hasProduct(url: string): Promise<boolean> {
  await using db = openDatabase(url, { max: 1, applicationName: 'pg-hubspot demo' })
  const { rows } = await db.pool.query("select from pg_namespace where nspname in ('hubspot', 'hubspot_private')")
  return rows.length > 0
}

const sum = (isOnce: boolean) => Object.values(RECORDS[isOnce ? 'once' : 'watched']).reduce((all, one) => all + one, 0)

function openSandbox(isOnce: boolean): Promise<Sandbox> {
  return startSandbox({
    objects: RECORDS[isOnce ? 'once' : 'watched'],
    // HubSpot's search shows a change after a second or so; its limits on Professional, or ones that need no patience.
    settings: isOnce ? { burst: 1_000, latency: [10, 40], lag: [200, 2_000] } : { burst: 190, latency: [60, 200], lag: [500, 3_000] },
  })
}
