import { expect, test } from 'vitest'
import { streamsDue } from '../src/db/calls.ts'
import { startWorld } from './support/sync.ts'

// What a run until nothing is due (worker --once) has to do.

test('an object that was tracked before is loaded again like a new one', async () => {
  await using world = await startWorld('again', { sandbox: { objects: { contacts: 30 } } })
  await world.load('contacts', ['firstname'])
  await world.db.query("select hubspot.untrack('contacts', drop_table => true), hubspot.track('contacts', '{firstname}')")
  const [now] = await world.db.query<{ now: string }>('select hubspot_private.clock() as now')
  for (let due = await streamsDue(world.deps.db, now?.now); due.length > 0; due = await streamsDue(world.deps.db, now?.now)) {
    for (const { object, stream, range } of due) await world.run(object, stream, range)
  }
  expect((await world.db.query('select state, rows from hubspot.status'))[0]).toEqual({ state: 'live', rows: '30' })
})

test('what is parked is probed once when its time has come, or when someone resumes it', async () => {
  await using world = await startWorld('parked', { sandbox: { objects: { contacts: 5 } } })
  world.store.addFault({ match: { kind: 'properties' }, fault: '403' })
  await world.db.query("select hubspot.track('contacts', '{firstname}')")
  expect(await world.run('contacts', 'schema')).toBe('failed')
  const due = async () => {
    const [now] = await world.db.query<{ now: string }>('select hubspot_private.clock() as now')
    return (await streamsDue(world.deps.db, now?.now)).filter(({ object }) => object === 'contacts')
  }
  expect(await due()).toEqual([])
  await world.db.query("select hubspot.resume('contacts')")
  expect(await due()).toEqual([{ object: 'contacts', stream: 'schema', range: 0 }])
})

test('rows are counted once though two reads insert one record at a time', async () => {
  await using world = await startWorld('twice', { sandbox: { objects: { contacts: 3 } } })
  await world.load('contacts', ['firstname'])
  const body = { results: [{ id: '999', createdAt: '2026-01-01T00:00:00Z', updatedAt: '2026-01-01T00:00:00Z', properties: { firstname: 'Ada', hs_merged_object_ids: null } }] }
  const apply = `select * from hubspot_private.page_apply('contacts', 'fetch', 0, $1, hubspot_private.clock() + interval '1 hour', 'poll')`
  const [a, b] = [await world.db.pool.connect(), await world.db.pool.connect()]
  await a.query('begin')
  expect((await a.query(apply, [body])).rows[0]).toMatchObject({ inserted: '1', updated: '0' })
  const second = b.query(apply, [body])
  await expect.poll(async () => (await world.db.query('select 1 from pg_stat_activity where wait_event_type = $1 and datname = current_database()', ['Lock'])).length).toBeGreaterThan(0)
  await a.query('commit')
  expect((await second).rows[0]).toMatchObject({ inserted: '0' })
  a.release()
  b.release()
})
