import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { openDatabase } from '../src/db/database.ts'
import { deliveryEnded } from '../src/db/deliver-calls.ts'
import { deliver } from '../src/sync/deliver.ts'
import { startGraph } from './support/associations.ts'
import { allFinal } from './support/feed.ts'
import { startProxy } from './support/proxy.ts'
import { startWorld, type World } from './support/sync.ts'

// Functions and triggers of a user's that end the session they run in.

const KILL = 'perform pg_terminate_backend(pg_backend_pid());'
const idsOf = (world: World) => [...world.store.records('contacts')].map(({ id }) => id)
const openProblems = (world: World) =>
  world.db.query<{ code: string; record_id: string | null; message: string }>('select code, record_id, message from hubspot.problems where resolved_at is null order by id')
const got = async (world: World) => (await world.db.query<{ id: string }>('select id from public.got order by id')).map(({ id }) => id)

/** Contacts that were edited, and a function that does this with the change of the first. */
async function subscribed(name: string, ofFirst: string): Promise<{ world: World; id: number; ids: string[] }> {
  const world = await startWorld(name, { sandbox: { objects: { contacts: 4 } } })
  await world.load('contacts', ['firstname', 'lastname'])
  const ids = idsOf(world)
  await world.db.query('create table public.got (id bigint); create sequence public.tries')
  await make(world, ids[0]!, ofFirst)
  const [row] = await world.db.query<{ id: string }>("select hubspot.on_change('contacts', function_name => 'public.take') as id")
  await edited(world, ids)
  return { world, id: Number(row!.id), ids }
}

const make = (world: World, first: string, ofFirst: string) => world.db.query(`create or replace function public.take(change jsonb) returns void
  language plpgsql as $$ begin if change ->> 'record_id' = '${first}' then ${ofFirst} end if; insert into public.got values ((change ->> 'record_id')::bigint); end $$`)

async function edited(world: World, ids: readonly string[], firstname = 'new'): Promise<void> {
  for (const id of ids) world.store.edit('contacts', id, { firstname })
  await world.advance(1)
  await world.db.query('select hubspot.refresh($1, $2)', ['contacts', ids])
  await world.pass(2_000, 1_000)
  await allFinal(world.db)
}

test('a function that ends its session fails with that change, and no other', async () => {
  const { world, id, ids } = await subscribed('ends', KILL)
  await using _ = world
  await deliver(world.deps, id)
  expect(await got(world)).toEqual(ids.slice(1))
  expect(await openProblems(world)).toEqual([{
    code: 'SH224', record_id: ids[0], message: expect.stringMatching(/not taken by function public.take: it ended its session: .* \(57P01\)$/) as string,
  }])
  // It is tried again, later each time, and without the others.
  await world.advance(2_000)
  await edited(world, ids.slice(1, 3), 'newer')
  await deliver(world.deps, id)
  expect(await got(world)).toHaveLength(5)
  expect(await world.db.query('select record_id, attempts from hubspot_private.deliveries')).toEqual([{ record_id: ids[0], attempts: 2 }])
  await make(world, ids[0]!, '')
  await world.advance(10_000)
  await deliver(world.deps, id)
  expect(await got(world)).toContain(ids[0])
  expect(await openProblems(world)).toEqual([])
}, 30_000)

test('a session that someone else ends once, or a server that is started anew, is no record\'s fault', async () => {
  const { world, id, ids } = await subscribed('accident', "if nextval('public.tries') = 1 then perform pg_sleep(60); end if;")
  await using _ = world
  const delivery = deliver(world.deps, id)
  const asleep = "from pg_stat_activity where datname = current_database() and wait_event = 'PgSleep'"
  while ((await world.db.query(`select pg_terminate_backend(pid) ${asleep}`)).length === 0) await sleep(10)
  await delivery
  expect(await got(world)).toEqual(ids)
  await world.db.query(`insert into hubspot_private.deliveries (subscription, record_id, not_before) values (${id}, ${ids[0]}, now())`)
  await deliveryEnded(world.deps.db, id, { record: ids[0]!, serverAt: '2020-01-01', isSure: true, error: 'it ended its session (57P01)' })
  expect(await openProblems(world)).toEqual([])
}, 30_000)

test('a network that is cut in the midst of a call is no record\'s fault', async () => {
  const { world, id } = await subscribed('cut', 'perform pg_sleep(0.5);')
  await using _ = world
  await world.db.query("select hubspot.configure('delivery_timeout', '1 second')")
  await using proxy = await startProxy(world.db.url)
  await using db = openDatabase(proxy.url, { max: 3 })
  const delivery = deliver({ ...world.deps, db }, id).catch((error: unknown) => error)
  while ((await world.db.query("select from pg_stat_activity where datname = current_database() and wait_event = 'PgSleep'")).length === 0) await sleep(10)
  proxy.freeze()
  proxy.thaw()
  expect(await delivery).toMatchObject({ message: expect.stringContaining('Connection terminated') as string })
  expect(await openProblems(world)).toEqual([])
  expect(await world.db.query('select distinct attempts from hubspot_private.deliveries')).toEqual([{ attempts: 0 }])
}, 30_000)

test('a function that catches that it is broken off, and goes on, is ended with its session', async () => {
  const { world, id, ids } = await subscribed('caught', 'begin perform pg_sleep(60); exception when query_canceled then perform pg_sleep(20); end;')
  await using _ = world
  await world.db.query("select hubspot.configure('delivery_timeout', '200 ms')")
  const began = performance.now()
  await deliver(world.deps, id)
  // Among others, and then alone: each the limit, a second, and two more.
  expect(performance.now() - began).toBeLessThan(10_000)
  await deliver(world.deps, id)
  expect(await got(world)).toEqual(ids.slice(1))
  expect(await openProblems(world)).toEqual([{
    code: 'SH224', record_id: ids[0], message: expect.stringContaining('it took longer than delivery_timeout, and went on when it was broken off (57P01)') as string,
  }])
}, 30_000)

test('a function that catches that it is broken off, and then is done, has not taken its change', async () => {
  const { world, id, ids } = await subscribed('late', 'begin perform pg_sleep(60); exception when query_canceled then null; end;')
  await using _ = world
  await world.db.query("select hubspot.configure('delivery_timeout', '200 ms')")
  await deliver(world.deps, id)
  await deliver(world.deps, id)
  expect(await got(world)).toEqual(ids.slice(1))
  expect(await openProblems(world)).toEqual([{
    code: 'SH224', record_id: ids[0], message: expect.stringContaining('it took longer than delivery_timeout, 00:00:00.2 (57014)') as string,
  }])
}, 30_000)

test('a transaction_timeout of the database\'s ends no transaction of a worker\'s', async () => {
  const { world, id, ids } = await subscribed('limited', 'perform pg_sleep(1.5);')
  await using _ = world
  // Postgres has it since 17.
  await world.db.query(`do $$ begin if current_setting('transaction_timeout', true) is not null then
    execute format('alter database %I set transaction_timeout = %L', current_database(), '1s'); end if; end $$`)
  await using db = openDatabase(world.db.url, { max: 1, isPatient: true })
  await deliver({ ...world.deps, db }, id)
  expect(await got(world)).toEqual(ids)
  // Nor do those that come later in the same session.
  expect((await db.pool.query("select coalesce(current_setting('transaction_timeout', true), '0') as timeout")).rows).toEqual([{ timeout: '0' }])
  expect(await openProblems(world)).toEqual([])
}, 30_000)

/** Contacts with a trigger that ends the session where this is so. */
async function guarded(name: string, contacts: number, when: (ids: string[]) => string, timing: string): Promise<{ world: World; ids: string[] }> {
  const world = await startWorld(name, { sandbox: { objects: { contacts } } })
  await world.load('contacts', ['firstname', 'lastname'])
  const ids = idsOf(world)
  await world.db.query(`create function public.kill() returns trigger language plpgsql as $$ begin if ${when(ids)} then ${KILL} end if; return coalesce(new, old); end $$;
    create ${timing} on hubspot.contacts for each row execute function public.kill()`)
  return { world, ids }
}

const written = async (world: World) => (await world.db.query<{ id: string }>("select id from hubspot.contacts where firstname = 'new' order by id")).map(({ id }) => id)

test.each([
  ['before the row', 'trigger kill before update'],
  ['after the statement', 'trigger kill after update'],
])('a trigger, %s, that ends the session of its record\'s page holds up that record alone', async (_, timing) => {
  const { world, ids } = await guarded('trigger', 30, ([first]) => `new.id = ${first}`, timing)
  await using __ = world
  for (const id of ids) world.store.edit('contacts', id, { firstname: 'new' })
  await world.pass(120_000, 10_000)
  expect(await written(world)).toEqual(ids.slice(1))
  expect(await openProblems(world)).toEqual([{
    code: 'SH213', record_id: ids[0], message: expect.stringContaining('cannot be written: the session in which that was tried ended each time') as string,
  }])
  // Asked for by people, together with others.
  for (const id of ids) world.store.edit('contacts', id, { firstname: 'newer' }, { touch: false })
  await world.db.query('select hubspot.refresh($1, $2)', ['contacts', ids])
  await world.pass(120_000, 10_000)
  expect(await world.db.query("select from hubspot.contacts where firstname = 'newer'")).toHaveLength(29)
  await world.db.query('drop trigger kill on hubspot.contacts')
  await world.pass(20 * 60_000, 60_000)
  expect(await world.differences('contacts')).toEqual([])
  expect(await openProblems(world)).toEqual([])
}, 60_000)

test('a trigger that ends the session when its record is deleted holds up that record alone', async () => {
  const { world, ids } = await guarded('delete', 30, ([first]) => `old.id = ${first}`, 'trigger kill before delete')
  await using _ = world
  for (const id of ids.slice(0, 10)) world.store.archive('contacts', id)
  for (const id of ids.slice(10, 12)) world.store.edit('contacts', id, { firstname: 'new' })
  await world.db.query('select hubspot.refresh($1, $2)', ['contacts', ids])
  await world.pass(120_000, 10_000)
  expect(await written(world)).toEqual(ids.slice(10, 12))
  expect((await world.db.query<{ id: string }>('select id from hubspot.contacts order by id')).map(({ id }) => id)).toEqual([ids[0], ...ids.slice(10)])
  expect(await openProblems(world)).toMatchObject([{ code: 'SH213', record_id: ids[0] }])
}, 60_000)

test('a trigger that ends the session when a merged record is deleted holds up that one alone, and is tried every 15 minutes', async () => {
  const { world, ids } = await guarded('merge', 8, ([, , lost]) => `old.id = ${lost}`, 'trigger kill before delete')
  await using _ = world
  const [edited = '', other = '', lost = '', , , innocent = ''] = ids
  const survivor = world.store.merge('contacts', innocent, lost).id
  world.store.edit('contacts', edited, { firstname: 'new' })
  world.store.resetCalls()
  await world.pass(120_000, 1_000)
  expect(await world.db.query('select id from hubspot.contacts where id = any ($1) order by id', [[lost, innocent, survivor]])).toEqual([{ id: lost }, { id: survivor }])
  expect(await world.db.query('select lost_id, kept_id from hubspot.merges')).toEqual([{ lost_id: innocent, kept_id: survivor }])
  expect(await written(world)).toEqual([edited])
  expect(await openProblems(world)).toMatchObject([{ code: 'SH213', record_id: lost }])
  expect(world.store.calls({ kind: 'batch read' }).length).toBeLessThan(20)
  // An edit of the survivor does not bring its turn forward, nor is it held up.
  world.store.resetCalls()
  world.store.edit('contacts', [survivor, other], { firstname: 'new' })
  await world.pass(20 * 60_000, 5_000)
  expect(await written(world)).toEqual([edited, other, survivor])
  expect(await openProblems(world)).toMatchObject([{ code: 'SH213', record_id: lost }])
  expect(world.store.calls({ kind: 'batch read' }).length).toBeLessThan(20)
  await world.db.query('drop trigger kill on hubspot.contacts')
  await world.pass(20 * 60_000, 60_000)
  expect(await world.differences('contacts')).toEqual([])
  expect(await world.db.query('select from hubspot.merges where kept_id = $1', [survivor])).toHaveLength(2)
  expect(await openProblems(world)).toEqual([])
}, 120_000)

test('a trigger that ends every session is a problem of all, and not asked for each record again and again', async () => {
  const { world, ids } = await guarded('all', 60, () => 'true', 'trigger kill before update')
  await using _ = world
  for (const id of ids.slice(0, 30)) world.store.edit('contacts', id, { firstname: 'new' })
  await world.pass(120_000, 10_000)
  expect(await openProblems(world)).toHaveLength(30)
  for (const id of ids.slice(30)) world.store.edit('contacts', id, { firstname: 'new' })
  await world.pass(120_000, 10_000)
  expect((await openProblems(world)).filter(({ code }) => code === 'SH213')).toHaveLength(30)
  expect((await openProblems(world)).filter(({ code }) => code === 'SH009')).toMatchObject([{ message: expect.stringContaining('records cannot be written: the session') as string }])
  await world.db.query('drop trigger kill on hubspot.contacts')
  await world.pass(3 * 3_600_000, 600_000)
  expect(await world.differences('contacts')).toEqual([])
  expect(await openProblems(world)).toEqual([])
}, 120_000)

const MINUTE = 60_000

test.each([[''], [', and HubSpot gives its associations in pages']])('a trigger of an association table that ends the session holds up its record alone%s', async (pages) => {
  await using graph = await startGraph({ deals: 6, contacts: 4 }, {
    pairs: [['deals', 'contacts']],
    settings: { associationPage: pages === '' ? 500 : 2 },
    make: ({ store, ids }) => store.associateAll('deals', 'contacts', ids('deals').map((fromId, at) => ({ fromId, toId: ids('contacts')[at % 4]! }))),
  })
  const [bad = '', ...others] = graph.ids('deals')
  const contacts = graph.ids('contacts')
  const rows = (id: string) => graph.db.query('select from hubspot.deals_contacts where deal_id = $1', [id])
  await graph.db.query(`create function public.kill() returns trigger language plpgsql as $$ begin if new.deal_id = ${bad} then ${KILL} end if; return new; end $$;
    create trigger kill before insert on hubspot.deals_contacts for each row execute function public.kill()`)
  graph.store.associateAll('deals', 'contacts', [bad, ...others.slice(0, 3)].flatMap((fromId) => contacts.map((toId) => ({ fromId, toId }))))
  await graph.pass(65 * MINUTE, MINUTE)
  for (const id of others.slice(0, 3)) expect(await rows(id)).toHaveLength(4)
  expect(await rows(bad)).toHaveLength(1)
  expect(await openProblems(graph)).toEqual([{
    code: 'SH213', record_id: bad, message: `associations of record ${bad} of deals cannot be written: the session in which that was tried ended each time, as by a trigger of yours`,
  }])
  // Tried every 15 minutes; what others have is in time, and how complete the pair is, goes on.
  graph.store.resetCalls()
  for (const id of others.slice(3)) for (const contact of contacts) graph.store.associate('deals', id, 'contacts', contact)
  await graph.db.query("select hubspot_private.associations_dirty('deals', $1)", [others.slice(3)])
  await graph.pass(125 * MINUTE, 5 * MINUTE)
  expect(await graph.differing()).toHaveLength(3)
  expect(graph.store.calls({ kind: 'associations' }).length).toBeLessThan(pages === '' ? 40 : 120)
  const [pair] = await graph.db.query<{ at: string }>('select complete_until as at from hubspot.association_pairs')
  expect(graph.store.now() - Date.parse(pair!.at)).toBeLessThan(70 * MINUTE)
  await graph.db.query('drop trigger kill on hubspot.deals_contacts')
  await graph.pass(20 * MINUTE, MINUTE)
  expect(await graph.differing()).toEqual([])
  expect(await openProblems(graph)).toEqual([])
}, 120_000)

test('a trigger of an association table that ends every session is a problem of all', async () => {
  await using graph = await startGraph({ deals: 40, contacts: 2 }, { pairs: [['deals', 'contacts']] })
  const edges = graph.ids('deals').map((fromId) => ({ fromId, toId: graph.ids('contacts')[0]! }))
  await graph.db.query(`create function public.kill() returns trigger language plpgsql as $$ begin ${KILL} return new; end $$;
    create trigger kill before insert on hubspot.deals_contacts for each row execute function public.kill()`)
  graph.store.associateAll('deals', 'contacts', edges)
  await graph.pass(65 * MINUTE, MINUTE)
  expect((await openProblems(graph)).filter(({ code }) => code === 'SH213').length).toBeLessThan(22)
  expect((await openProblems(graph)).filter(({ code }) => code === 'SH009')).toMatchObject([{ message: expect.stringContaining('associations cannot be written: the session') as string }])
  await graph.db.query('drop trigger kill on hubspot.deals_contacts')
  await graph.pass(180 * MINUTE, 10 * MINUTE)
  expect(await graph.differing()).toEqual([])
  expect(await openProblems(graph)).toEqual([])
}, 120_000)
