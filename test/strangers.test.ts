import { randomBytes } from 'node:crypto'
import pg from 'pg'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { sweep, workerBeat } from '../src/db/calls.ts'
import { deliver } from '../src/sync/deliver.ts'
import { allFinal } from './support/feed.ts'
import { startWorld, type World } from './support/sync.ts'

// A role that may log in, and nothing else, holds every lock that it can.

vi.setConfig({ testTimeout: 60_000 })

let world: World
let stranger: pg.Client
const role = `stranger_${randomBytes(4).toString('hex')}`
beforeAll(async () => {
  world = await startWorld('strangers', { sandbox: { objects: { contacts: 10, companies: 5 } } })
  stranger = new pg.Client(world.db.adminUrl)
  await stranger.connect()
  await stranger.query(`create role ${role}; set role ${role}`)
  await world.load('contacts', ['firstname'])
  await world.db.query('create table got (id bigint); create function note(c hubspot.changes) returns void language sql as $$ insert into public.got values (c.record_id) $$')
})
afterAll(async () => {
  await stranger.query(`select pg_advisory_unlock_all(); reset role; drop role ${role}`)
  await stranger.end()
  await world[Symbol.asyncDispose]()
})

test('and stops nothing: sweep, forecast, feed, pages, findings that records are gone, deliveries', async () => {
  const { db, store, deps } = world
  const [subscription] = await db.query<{ id: string }>("select hubspot.on_change('contacts', function_name => 'note') as id")
  for (const key of ['sweep', 'forecast', 'changes']) await stranger.query('select pg_advisory_lock(hashtext($1))', [`hubspot.${key}`])
  for (const key of ['object', 'deliver']) await stranger.query('select pg_advisory_lock(hashtext($1), n) from generate_series(0, 200) n', [`hubspot.${key}`])
  const ids = [...store.records('contacts')].map(({ id }) => id)
  store.edit('contacts', ids[0]!, { firstname: 'edited' })
  store.archive('contacts', ids[1]!)
  await world.advance(1_000)
  await db.query("select hubspot.refresh('contacts', $1)", [ids.slice(0, 2)])
  await world.run('contacts', 'fetch')
  expect(await world.row('contacts', ids[0]!)).toMatchObject({ firstname: 'edited' })
  await world.pass(3_600_000, 600_000)
  expect(await world.row('contacts', ids[1]!)).toBeUndefined()
  await allFinal(db)
  await deliver(deps, Number(subscription!.id))
  expect(await db.query('select id from got group by id')).toHaveLength(2)

  // Of a worker that died its jobs and leases are taken.
  await workerBeat(deps.db, { id: 'dead', host: 'here', pid: 1, queueIds: [], held: [] })
  await db.query("update hubspot_private.workers set beat_at = beat_at - interval '31 seconds' where id = 'dead'")
  await db.query('delete from hubspot_private.paces')
  await db.query("select hubspot.resync('contacts')")
  expect(await sweep(deps.db)).toBeGreaterThan(0)
  expect(await db.query("select from hubspot_private.workers where id = 'dead'")).toEqual([])
  expect(await db.query('select from hubspot_private.paces')).not.toEqual([])
  await world.advance(4 * 86_400_000)
  await db.query('select hubspot_private.changes_keep()')
  const [day] = await db.query<{ days: number }>('select count(*)::integer as days from hubspot_private.change_days() d where d.begins_at > hubspot_private.clock()')
  expect(day).toEqual({ days: 2 })
  expect(await db.query('select code, message from hubspot.problems where resolved_at is null')).toEqual([])
})

test('health tells when no sweep is done, though workers live', async () => {
  const { db, deps } = world
  const check = async () => (await db.query<{ ok: boolean; message: string }>("select ok, message from hubspot.health() where name = 'sweep'"))[0]
  const beat = () => workerBeat(deps.db, { id: 'alive', host: 'here', pid: 1, queueIds: [], held: [] })
  expect(await check()).toMatchObject({ ok: true })
  await sweep(deps.db)
  await world.advance(180_000)
  // Nobody is there to make one.
  expect(await check()).toMatchObject({ ok: true })
  await beat()
  expect(await check()).toMatchObject({ ok: false, message: expect.stringMatching(/^the last one was done 00:03:0\d ago$/) as string })
  await sweep(deps.db)
  expect(await check()).toMatchObject({ ok: true, message: expect.stringMatching(/^the last one was done 00:00:0\d ago$/) as string })
})
