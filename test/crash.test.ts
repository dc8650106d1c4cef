import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Cluster, startCluster } from '../src/db/cluster.ts'
import { migrate } from '../src/db/migrate.ts'
import { type Call, type Span, startSandbox } from '../src/sandbox/index.ts'
import type { FreshDatabase } from './support/cluster.ts'
import { differences } from './support/compare.ts'
import { at, query } from './support/global-setup.ts'
import { spawnWorker } from './support/worker-process.ts'

// A server of this file's own, so that it can be killed. fsync off: what a process wrote outlives it, only the machine's
// death would not be survived. Commits stay synchronous.
let cluster: Cluster
beforeAll(async () => {
  cluster = await startCluster({ settings: { fsync: 'off' } })
})
afterAll(() => cluster.stop())

/** Pages that a worker may have asked for and not committed, for each part of a read: the one that is applied, and the one after it. */
const IN_FLIGHT = 2
/** Parts of the big read; the others are read in one, so that a test knows which stream holds what. */
const PARTS = 4

describe('a first load', () => {
  test('is exact, and asks for no page twice but those in flight, whatever is killed meanwhile', { timeout: 300_000 }, async () => {
    const seed = Number(process.env['SEED'] ?? Date.now() % 100_000)
    const random = randomNumbers(seed)
    await using house = await openHouse({ name: 'kills', contacts: 20_000, seed, parts: PARTS })
    const kills = ['worker', 'postgres', 'postgres', 'worker', 'postgres', 'worker'] as const
    let worker = await house.worker()
    try {
      for (const [i, victim] of kills.entries()) {
        await house.pagesAsked(Math.round((200 * (i + 0.1 + 0.8 * random())) / kills.length))
        // At any point between two answers: parsing, waiting for a turn, applying, committing.
        await moment(random() * 40)
        if (victim === 'worker') {
          await worker.end('SIGKILL')
          worker = await house.worker()
        } else {
          await cluster.kill()
          await cluster.restart()
        }
      }
      await house.loaded()
    } finally {
      await worker.end('SIGKILL')
    }
    expect({ seed, ...(await house.run()) }).toEqual({ seed, state: 'done', rows_read: '20000' })
    expect(await house.db.query(`select range from hubspot_private.streams where stream = 'backfill'`), `seed ${seed}`).toEqual([{ range: 0 }])
    expect(await house.differences(), `seed ${seed}`).toEqual([])
    expect(house.repeats(), `seed ${seed}`).toBeLessThanOrEqual(kills.length * IN_FLIGHT * PARTS)
  })

  test('goes on in the same worker after the database was away for a while', async () => {
    await using house = await openHouse({ name: 'away', contacts: 4_000 })
    await using worker = await house.worker()
    await house.pagesAsked(8)
    await cluster.kill()
    await moment(8_000)
    expect(worker.hasEnded(), worker.log()).toBe(false)
    await cluster.restart()
    await house.loaded()
    expect(worker.hasEnded(), worker.log()).toBe(false)
    expect(await house.run()).toEqual({ state: 'done', rows_read: '4000' })
    expect(await house.differences()).toEqual([])
    for (const line of worker.log().trim().split('\n')) expect(() => JSON.parse(line) as unknown, line).not.toThrow()
  })

  test("goes on when all of a worker's connections are ended", async () => {
    await using house = await openHouse({ name: 'terminated', contacts: 4_000 })
    await using _ = await house.worker()
    for (const page of [8, 20]) {
      await house.pagesAsked(page)
      const [ended] = await query<{ count: string }>(
        house.db.adminUrl,
        `select count(pg_terminate_backend(pid)) from pg_stat_activity
         where datname = current_database() and application_name like 'pg-hubspot %'`,
      )
      expect(Number(ended?.count)).toBeGreaterThan(2)
    }
    await house.loaded()
    expect(await house.run()).toEqual({ state: 'done', rows_read: '4000' })
    expect(await house.differences()).toEqual([])
    expect(house.repeats()).toBeLessThanOrEqual(2 * IN_FLIGHT)
  })
})

describe('a worker', () => {
  test('that gets SIGTERM ends within seconds and gives its leases back; another goes on at once', async () => {
    await using house = await openHouse({ name: 'stopped', contacts: 4_000, latency: [60, 90] })
    await using first = await house.worker()
    await house.pagesAsked(3)
    await using second = await house.worker()
    const before = performance.now()
    expect(await first.end('SIGTERM')).toBe(0)
    expect(performance.now() - before).toBeLessThan(5_000)
    expect(await house.db.query('select id from hubspot_private.workers')).toEqual([{ id: second.id }])
    // A lease lasts 30 s: it was given back, not waited for.
    await house.loaded()
    expect(performance.now() - before).toBeLessThan(20_000)
    expect(await house.run()).toEqual({ state: 'done', rows_read: '4000' })
    expect(await house.differences()).toEqual([])
    expect(house.repeats()).toBeLessThanOrEqual(IN_FLIGHT)
  })

  test('that was frozen for longer than its lease is replaced, and commits nothing when it wakes', async () => {
    await using house = await openHouse({ name: 'frozen', contacts: 3_000, latency: [20, 40] })
    const { db, store } = house
    await using frozen = await house.worker()
    await house.pagesAsked(4)
    // The answer to its next page is on the way while it stands still.
    store.addFault({ match: { kind: 'list' }, fault: { type: 'slow head', ms: 500 }, times: 1 })
    await house.pagesAsked(house.pages().length + 1)
    frozen.signal('SIGSTOP')
    expect(await db.query(`select holder from hubspot_private.streams where stream = 'backfill'`)).toEqual([{ holder: frozen.id }])
    await db.query(`update hubspot_private.installation set clock_shift = clock_shift + '31 seconds'`)
    await using second = await house.worker()
    await house.loaded()
    expect(await second.end('SIGTERM')).toBe(0)
    const before = await house.everything()
    // The stream's row is held, so that the late commit can be seen to come.
    const holder = await db.pool.connect()
    await holder.query(`begin; select from hubspot_private.streams where stream = 'backfill' for update`)
    frozen.signal('SIGCONT')
    const committing = `from pg_stat_activity where datname = current_database() and state = 'active'
      and application_name = 'pg-hubspot worker' and query like '%step_commit%'`
    await house.until(`select ${committing} and wait_event_type = 'Lock'`)
    await holder.query('commit')
    holder.release()
    await house.until(`select where not exists (select ${committing})`)
    expect(await house.everything()).toEqual(before)
    expect(await house.run()).toEqual({ state: 'done', rows_read: '3000' })
    expect(await house.differences()).toEqual([])
  })
})

test('a backend that is killed takes the others down with it, and turns that were promised are not given again', async () => {
  await using house = await openHouse({ name: 'backend', contacts: 1 })
  const { db } = house
  await db.query(`select hubspot.set_quota('burst', 100)`)
  await db.query(`update hubspot_private.budgets set period = '10 seconds' where name = 'burst'`)
  const take = async () => (await db.query<{ ms: number }>(
    `select (extract(epoch from asked_at) * 1000)::double precision as ms from hubspot_private.quota_take('burst')`))[0]!.ms
  let last = 0
  for (let i = 0; i < 50; i += 1) last = await take()
  const victim = new pg.Client(db.url)
  victim.on('error', () => undefined)
  await victim.connect()
  const start = 'select pg_postmaster_start_time()::text as at'
  const before = await db.query(start)
  process.kill((await victim.query<{ pid: number }>('select pg_backend_pid() as pid')).rows[0]!.pid, 'SIGKILL')
  let next: number | undefined
  while (next === undefined) {
    await moment(200)
    next = await take().catch(() => undefined)
  }
  // The server itself lives on.
  expect(await db.query(start)).toEqual(before)
  expect(next).toBeGreaterThan(last)
  expect(await take()).toBeLessThan(next + 1_000)
})

type HouseOptions = { name: string; contacts: number; seed?: number; latency?: Span; parts?: number }

/** A database on this file's server and a HubSpot without limits but with a delay, and what the tests ask of both. */
async function openHouse({ name, contacts, seed = 1, latency = [5, 15], parts = 1 }: HouseOptions) {
  await query(cluster.url(), `create role ${name} login password '${name}'`)
  await query(cluster.url(), `create database ${name} owner ${name}`)
  const owner = new URL(cluster.url(name))
  owner.username = owner.password = name
  await migrate(owner.href)
  const sandbox = await startSandbox({ seed, objects: { contacts }, settings: { limits: false, latency, callsKept: 10_000 } })
  const { store } = sandbox
  const pool = new pg.Pool({ connectionString: owner.href, max: 2 })
  // The server is killed under it; the next query opens a connection anew.
  pool.on('error', () => undefined)
  const db: FreshDatabase = {
    name,
    url: owner.href,
    adminUrl: at(cluster.url(), name),
    pool,
    query: async (text, values) => (await pool.query(text, values)).rows,
    async [Symbol.asyncDispose]() {
      await pool.end()
      await query(cluster.url(), `drop database ${name} with (force)`)
    },
  }
  await db.query(
    `select hubspot.connect(access_token => $1), hubspot.set_quota('burst', 1000000), hubspot.set_quota('search', 1000)`,
    [sandbox.token],
  )
  await db.query(`select hubspot.configure('max_ranges', $1::integer)`, [parts])
  // After a restart of the server a budget counts as full for one window: here one of a second, not of ten.
  await db.query(`update hubspot_private.budgets set period = '1 second' where name = 'burst'`)
  await db.query(`select hubspot.track('contacts')`)
  const pages = (): readonly Call[] => store.calls({ kind: 'list', object: 'contacts' }).filter(({ archived }) => archived !== true)
  const until = async (text: string, values: unknown[] = []) => {
    while ((await pool.query(text, values)).rowCount === 0) await moment(20)
  }
  return {
    db, store, pages, until,
    worker: () => spawnWorker(owner.href, sandbox.url),
    /** Resolves when so many pages were asked for, repeats included. */
    async pagesAsked(count: number) {
      while (pages().length < count) await store.nextCall({ kind: 'list' })
    },
    /** How many pages were asked for again. */
    repeats: () => pages().length - new Set(pages().map(({ after }) => after)).size,
    loaded: () => until(`select from hubspot.status where object = 'contacts' and state = 'live'`),
    /** The load's run. A page that was committed twice, or never, shows in rows_read. */
    run: async () =>
      (await db.query<{ state: string; rows_read: string }>(`select state, rows_read from hubspot.runs where stream = 'backfill'`))[0],
    differences: () => differences(db, sandbox, 'contacts'),
    /** All rows with the time of their last write, the stream and its run. */
    everything: () =>
      db.query(`select
        (select md5(string_agg(t::text, e'\\n' order by t.id)) from hubspot.contacts t) as rows,
        (select s::text from hubspot_private.streams s where s.object = 'contacts' and s.stream = 'backfill') as stream,
        (select r::text from hubspot_private.runs r where r.object = 'contacts' and r.stream = 'backfill') as run`),
    async [Symbol.asyncDispose]() {
      await db[Symbol.asyncDispose]()
      await sandbox.close()
    },
  }
}

const moment = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

/** Numbers from 0 to 1, the same for the same seed (mulberry32). */
function randomNumbers(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}
