import { expect, test, vi } from 'vitest'
import { query } from './support/global-setup.ts'
import { openHouse } from './support/house.ts'

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
