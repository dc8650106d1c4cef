import { expect, test, vi } from 'vitest'
import { openDatabase } from '../src/db/database.ts'
import { createLog } from '../src/lib/log.ts'
import { startWorker } from '../src/worker.ts'
import { query } from './support/global-setup.ts'
import { openHouse } from './support/house.ts'
import { startProxy } from './support/proxy.ts'

// What the database does to workers that run.

vi.setConfig({ testTimeout: 90_000 })

test('a connection that ends as a job is signed off ends no worker, and leaves no job behind', async () => {
  await using house = await openHouse('signoff', { objects: { contacts: 300 } })
  const { db, store } = house
  await db.query(`select hubspot.track('contacts', '{firstname}'), hubspot.schedule('contacts', 'poll', every => '1 second')`)
  await using worker = await house.worker()
  await house.loaded('contacts')
  // Nothing can be signed off while the lock is held.
  await db.query(`create function hold() returns trigger language plpgsql as $$ begin perform pg_advisory_xact_lock(42); return old; end $$`)
  await db.query('create trigger hold before delete on graphile_worker._private_jobs for each row execute function hold()')
  for (let round = 0; round < 3; round += 1) {
    const holder = await db.pool.connect()
    await holder.query('begin; select pg_advisory_xact_lock(42)')
    await db.query(`select hubspot.sync('contacts')`)
    const signingOff = `from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock' and query like 'delete from %_private_jobs%'`
    await house.until(`exists (select ${signingOff})`)
    await query(db.adminUrl, `select pg_terminate_backend(pid) ${signingOff}`)
    await holder.query('rollback')
    holder.release()
    store.edit('contacts', [...store.records('contacts')].slice(0, 3).map(({ id }) => id), { firstname: `round ${round}` })
    await house.same('contacts')
    expect(worker.hasEnded(), worker.log()).toBe(false)
  }
  expect(worker.log()).toContain('the queue stopped, as it does')
  for (const line of worker.log().trim().split('\n')) expect(() => JSON.parse(line) as unknown, line).not.toThrow()
  // Jobs that the queues given up had locked: the sweep clears them once they are a minute old.
  const given = `from graphile_worker._private_jobs j where j.locked_by is not null
    and not exists (select from hubspot_private.workers w where j.locked_by = any (w.queue_ids))`
  expect(await db.query(`update graphile_worker._private_jobs j set locked_at = locked_at - interval '2 minutes'
    where j.locked_by is not null and not exists (select from hubspot_private.workers w where j.locked_by = any (w.queue_ids)) returning 1`)).not.toEqual([])
  await house.until(`not exists (select ${given} and locked_at < clock_timestamp() - interval '1 minute')`)
  expect(await worker.end('SIGTERM')).toBe(0)
})

/** A tenth of what workers have. */
const HASTE = { silenceMs: 1_500, lookMs: 1_000 }

test('a way to the database that leads nowhere any more is noticed, and another is taken; a long statement is no such thing', async () => {
  await using house = await openHouse('halfopen', { objects: { contacts: 300 } })
  const { db, store, sandbox } = house
  await db.query(`select hubspot.track('contacts', '{firstname}'), hubspot.schedule('contacts', 'poll', every => '1 second')`)
  await using proxy = await startProxy(db.url)
  const lines: string[] = []
  const log = createLog({ level: 'info', pretty: false, write: (line) => lines.push(line) })
  await using worker = await startWorker({ databaseUrl: proxy.url, hubspot: { baseUrl: sandbox.url }, log, patience: HASTE })
  await house.loaded('contacts')
  const all = [...store.records('contacts')].map(({ id }) => id)
  const before = performance.now()
  proxy.freeze()
  store.edit('contacts', all.slice(0, 5), { firstname: 'meanwhile' })
  // Nothing gets through for as long as the look at it takes, and its look neither.
  await new Promise((resolve) => setTimeout(resolve, HASTE.silenceMs + HASTE.lookMs + 500))
  proxy.thaw()
  await house.same('contacts', 60_000)
  // A lease that was held goes with its 30 s; the connections went long before.
  expect(performance.now() - before).toBeLessThan(60_000)
  expect(await db.query(`select count(*)::integer as workers from hubspot_private.workers where id = $1 and beat_at > clock_timestamp() - interval '30 seconds'`, [worker.id])).toEqual([{ workers: 1 }])
  // Its presence: the lock that a sweep looks at is held by a connection that lives.
  await house.until(`exists (select from pg_locks l join pg_stat_activity a using (pid) where l.locktype = 'advisory' and l.granted
    and a.application_name = 'pg-hubspot presence' and a.backend_start > clock_timestamp() - $1 * interval '1 millisecond')`, [performance.now() - before])

  await using patient = openDatabase(db.url, { patience: { silenceMs: 200, lookMs: 1_000 } })
  expect((await patient.pool.query('select 42 as answer, pg_sleep(1.5)')).rows).toMatchObject([{ answer: 42 }])
})

test('queries on a connection that leads nowhere fail as of a lost connection, at once after the look', async () => {
  await using house = await openHouse('nowhere')
  await using proxy = await startProxy(house.db.url)
  await using database = openDatabase(proxy.url, { max: 1, patience: { silenceMs: 400, lookMs: 300 } })
  await database.pool.query('select 1')
  proxy.freeze()
  const before = performance.now()
  await expect(database.pool.query('select 1')).rejects.toThrow(/Connection terminated/)
  expect(performance.now() - before).toBeLessThan(3_000)
  proxy.thaw()
  expect((await database.pool.query('select 1 as one')).rows).toEqual([{ one: 1 }])
})
