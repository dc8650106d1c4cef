import { type SandboxOptions, type Sandbox, startSandbox } from '../../src/sandbox/index.ts'
import { differences } from './compare.ts'
import { type FreshDatabase, freshDatabase } from './cluster.ts'
import { spawnWorker, type WorkerProcess } from './worker-process.ts'

/** A database and a HubSpot for workers in processes of their own. */
export type House = AsyncDisposable & {
  db: FreshDatabase
  sandbox: Sandbox
  store: Sandbox['store']
  /** Starts a worker; `url`: another way to the database. */
  worker(options?: { url?: string; env?: NodeJS.ProcessEnv; args?: string[] }): Promise<WorkerProcess>
  /** Resolves when the condition, a boolean in SQL, is true. */
  until(condition: string, values?: unknown[]): Promise<void>
  /** Resolves when the object's first load is over. */
  loaded(object: string): Promise<void>
  /** Resolves when mirror and sandbox are equal; fails with the difference after a while. */
  same(object: string, patienceMs?: number): Promise<void>
}

/** Opens a house: connected, nothing tracked, polls every second where something is. */
export async function openHouse(name: string, { settings, ...options }: SandboxOptions = {}): Promise<House> {
  const db = await freshDatabase(name)
  const sandbox = await startSandbox({ ...options, settings: { limits: false, lag: 0, callsKept: 10_000, ...settings } })
  await db.query(
    `select hubspot.connect(access_token => $1), hubspot.set_quota('burst', 1000000), hubspot.set_quota('search', 1000)`,
    [sandbox.token],
  )
  const until: House['until'] = async (condition, values = []) => {
    for (;;) {
      // A database that is away is part of what is tested.
      const [row] = await db.query<{ is_so: boolean | null }>(`select (${condition}) as is_so`, values).catch(() => [])
      if (row?.is_so === true) return
      await moment(50)
    }
  }
  return {
    db, sandbox, store: sandbox.store, until,
    worker: ({ url = db.url, env = {}, args = [] } = {}) => spawnWorker(url, sandbox.url, env, args),
    loaded: (object) => until(`exists (select from hubspot.status where object = $1 and state = 'live')`, [object]),
    async same(object, patienceMs = 30_000) {
      for (const end = performance.now() + patienceMs; ; await moment(100)) {
        const found = await differences(db, sandbox, object)
        if (found.length === 0) return
        if (performance.now() > end) throw new Error(`mirror and sandbox differ still:\n${found.join('\n')}`)
      }
    },
    async [Symbol.asyncDispose]() {
      await sandbox.close()
      await db[Symbol.asyncDispose]()
    },
  }
}

const moment = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))
