import pg from 'pg'
import { expect, test } from 'vitest'
import { type Graph, startGraph } from './support/associations.ts'
import { startWorld } from './support/sync.ts'
import { edgeDifferences } from './support/compare.ts'

// Which pairs are mirrored, in which order it is asked for, and what stays when it no longer is.

const HOUR = 3_600_000
const make = ({ store, ids }: Graph) =>
  store.associateAll('deals', 'contacts', ids('deals').map((fromId, at) => ({ fromId, toId: ids('contacts')[at % 4]! })))
const deals = () => startGraph({ deals: 8, contacts: 4 }, { pairs: [['deals', 'contacts'], ['contacts', 'deals']], make })
const tables = async ({ db }: Pick<Graph, 'db'>) =>
  (await db.query<{ name: string }>("select relname as name from pg_class where relnamespace = 'hubspot'::regnamespace and relkind = 'r' and relname ~ '_(contacts|deals|vehicle)' order by 1")).map(({ name }) => name)

test('pairs are tracked before anything is known of their objects, and before the other object is tracked', async () => {
  await using world = await startWorld('associations', { sandbox: { objects: { deals: 4, contacts: 3, vehicle: 2 } } })
  const { db, store } = world
  const [car] = [...world.store.records('vehicle')]
  for (const { id } of store.records('deals')) store.associate('deals', id, 'vehicle', car!.id)
  await db.query('update hubspot_private.account set catalogue_at = null')
  await db.query("delete from hubspot_private.objects where is_custom")
  await db.query("select hubspot.track('vehicle', '{}'), hubspot.track('deals', '{}'), hubspot.track_associations('vehicle', 'deals'), hubspot.track_associations('deals', 'vehicle')")
  await db.query("select hubspot.track_associations('deals', 'contacts'), hubspot.track_associations('deals', 'vehicles')")
  expect(await tables(world)).toEqual(['deals_contacts'])
  await db.query('select hubspot.sync()')
  await world.drain()
  for (const [from, to] of [['vehicle', 'deals'], ['deals', 'vehicle'], ['deals', 'contacts']] as const) {
    expect(await edgeDifferences(db, world.sandbox, from, to)).toEqual([])
  }
  expect(await tables(world)).toEqual(['deals_contacts', 'deals_vehicle', 'vehicle_deals'])
  expect(await db.query('select count(*) from hubspot.vehicle_deals where vehicle_id = $1', [car!.id])).toEqual([{ count: '4' }])
  // Its name is wrong: it is said so, and the others go on.
  expect(await db.query('select object, code, hint from hubspot.problems where resolved_at is null')).toMatchObject([{ object: 'vehicles', code: 'SH102', hint: expect.stringContaining('Did you mean vehicle?') as string }])
  await db.query("select hubspot.untrack_associations('deals', 'vehicles')")
  expect(await db.query('select object from hubspot.problems where resolved_at is null')).toEqual([])
  expect(await db.query("select 1 from hubspot_private.objects where name = 'vehicles'")).toEqual([])
  await world.load('contacts', [])
  expect(await db.query("select state from hubspot.status where object = 'contacts'")).toEqual([{ state: 'live' }])
})

test('verbs refuse what cannot be, with what to do', async () => {
  await using graph = await startGraph({ deals: 2, contacts: 2 })
  const refusal = (call: string) => graph.db.query(`select hubspot.${call}`).then(() => ({ code: 'none', message: '', hint: '' }), (error: { code: string; message: string; hint: string }) => error)
  expect(await refusal("track_associations('companies', 'contacts')")).toMatchObject({ code: 'SH101' })
  expect(await refusal("track_associations('deals', 'contcts')")).toMatchObject({ code: 'SH102', hint: expect.stringContaining('contacts') as string })
  expect(await refusal("track_associations('deals', null)")).toMatchObject({ code: 'SH102' })
  expect(await refusal("track_associations(null, 'deals')")).toMatchObject({ code: 'SH104' })
  expect(await refusal("untrack_associations('deals', 'contacts')")).toMatchObject({
    code: 'SH115', message: 'associations of deals with contacts are not tracked', hint: "Run select hubspot.track_associations('deals', 'contacts');",
  })
  await graph.pair('0-3', 'contacts')
  await graph.pair('deals', 'contacts')
  expect(await graph.db.query('select from_object, to_object from hubspot.association_pairs')).toEqual([{ from_object: 'deals', to_object: 'contacts' }])
})

test('a pair that is untracked keeps its table as it is, or loses it; tracked again it is as HubSpot has it', async () => {
  await using graph = await deals()
  const [gone = '', edited = ''] = graph.ids('deals')
  await graph.db.query("select hubspot.untrack_associations('deals', 'contacts')")
  expect(await graph.db.query("select from_object from hubspot.association_types group by 1")).toEqual([{ from_object: 'contacts' }])
  graph.store.archive('deals', gone)
  await graph.db.query("select hubspot.refresh('deals', $1)", [[gone]])
  graph.store.dissociate('deals', edited, 'contacts', graph.ids('contacts')[1]!)
  await graph.pass(2 * HOUR, HOUR)
  expect(await graph.db.query('select count(*) from hubspot.deals_contacts')).toEqual([{ count: '8' }])
  await graph.pair('deals', 'contacts')
  await graph.drain()
  expect(await graph.differing()).toEqual([])
  expect(await graph.db.query('select count(*) from hubspot.deals_contacts')).toEqual([{ count: '6' }])
  await graph.db.query("select hubspot.untrack_associations('deals', 'contacts', drop_table => true)")
  expect(await tables(graph)).toEqual(['contacts_deals'])
  await graph.pair('deals', 'contacts')
  await graph.drain()
  expect(await graph.differing()).toEqual([])
})

test('an object that is untracked leaves its associations as they are; tracked again they are read; dropped, its own go with it', async () => {
  await using graph = await deals()
  await graph.db.query("select hubspot.untrack('deals')")
  const [contact = ''] = graph.ids('contacts')
  const [lost = ''] = graph.ids('deals')
  graph.store.archive('deals', lost)
  graph.store.dissociate('deals', graph.ids('deals')[3]!, 'contacts', contact)
  await graph.pass(2 * HOUR, HOUR)
  expect(await graph.db.query('select count(*) from hubspot.deals_contacts')).toEqual([{ count: '8' }])
  expect(await edgeDifferences(graph.db, graph.sandbox, 'contacts', 'deals')).toEqual([])
  await graph.load('deals', [])
  await graph.pass(2 * HOUR, HOUR)
  expect(await graph.differing()).toEqual([])
  await graph.db.query("select hubspot.untrack('deals', drop_table => true)")
  expect(await tables(graph)).toEqual(['contacts_deals'])
  await graph.pass(HOUR, HOUR)
  expect(await graph.differing()).toEqual([])
  expect(await graph.db.query('select from_object from hubspot.association_pairs')).toEqual([{ from_object: 'contacts' }])
})

test('readers see a pair\'s table made after they were granted; nobody but the sync writes it', async () => {
  await using graph = await startGraph({ deals: 3, contacts: 3 })
  const role = `edges ${graph.db.name}`
  const admin = new pg.Client(graph.db.adminUrl)
  await admin.connect()
  try {
    await admin.query(`create role ${pg.escapeIdentifier(role)}`)
    await graph.db.query('select hubspot.grant_read($1)', [role])
    make(graph)
    await graph.pair('deals', 'contacts')
    await graph.drain()
    await admin.query(`set role ${pg.escapeIdentifier(role)}`)
    for (const relation of ['deals_contacts', 'association_types', 'association_pairs']) {
      expect((await admin.query(`select * from hubspot.${relation}`)).rows.length, relation).toBeGreaterThan(0)
    }
    await expect(admin.query('delete from hubspot.deals_contacts')).rejects.toMatchObject({ code: '42501' })
    for (const statement of ['delete from', 'truncate']) {
      await expect(graph.db.query(`${statement} hubspot.deals_contacts`)).rejects.toMatchObject({ code: 'SH105' })
    }
  } finally {
    await admin.query(`reset role; drop owned by ${pg.escapeIdentifier(role)}; drop role ${pg.escapeIdentifier(role)}`)
    await admin.end()
  }
})

test('a table goes when nothing of a user\'s depends on it; else the verb says what does, and changes nothing', async () => {
  await using graph = await deals()
  const refusal = (call: string) => graph.db.query(`select hubspot.${call}`).then(() => 'none', ({ code, message, hint }: { code: string; message: string; hint: string }) => ({ code, message, hint }))
  await graph.db.query('create view public.edges as select * from hubspot.deals_contacts; create table public.mine (deal bigint references hubspot.deals)')
  await graph.db.query('create view public.people as select id from hubspot.contacts')
  const hint = 'Drop what depends on it first, or leave out drop_table => true: then the table stays.'
  expect(await refusal("untrack_associations('deals', 'contacts', drop_table => true)")).toEqual({
    code: 'SH127', message: 'table hubspot.deals_contacts cannot be dropped: view public.edges depends on table hubspot.deals_contacts', hint })
  expect(await refusal("untrack('contacts', drop_table => true)")).toEqual({
    code: 'SH127', message: 'table hubspot.contacts cannot be dropped: view public.people depends on table hubspot.contacts', hint })
  await graph.db.query('drop view public.edges')
  expect(await refusal("untrack('deals', drop_table => true)")).toEqual({
    code: 'SH127', message: 'table hubspot.deals cannot be dropped: constraint mine_deal_fkey on table public.mine depends on table hubspot.deals', hint })
  expect(await graph.db.query('select object from hubspot.status order by 1')).toEqual([{ object: 'contacts' }, { object: 'deals' }])
  expect(await tables(graph)).toEqual(['contacts_deals', 'deals_contacts'])
  await graph.db.query('drop view public.people; drop table public.mine')
  await graph.db.query("select hubspot.untrack('deals', drop_table => true), hubspot.untrack('contacts', drop_table => true)")
  expect(await tables(graph)).toEqual([])
})

test.each(['delete', 'mark'] as const)('a record that is not here, and of which HubSpot tells page by page, is asked for once (%s)', async (onDelete) => {
  await using graph = await startGraph({ deals: 4, contacts: 6 }, { pairs: [['deals', 'contacts']], settings: { associationPage: 2 }, onDelete })
  const { db, store } = graph
  const [back = ''] = graph.ids('deals')
  store.archive('deals', back)
  await graph.pass(2 * HOUR, HOUR)
  store.restore('deals', back)
  for (const contact of graph.ids('contacts')) store.associate('deals', back, 'contacts', contact)
  const [pair] = await db.query<{ pair: number }>(
    `insert into hubspot_private.association_dirty (pair, from_id, not_before)
     select p.number, $1, now() - interval '1 minute' from hubspot_private.pairs p where p.from_object = 'deals' returning pair`, [back])
  store.resetCalls()
  await graph.run('deals', 'associations', pair!.pair)
  expect(await db.query('select from_id from hubspot_private.association_dirty')).toEqual([])
  expect(store.calls({ kind: 'associations' })).toHaveLength(1)
  await graph.pass(2 * HOUR, HOUR)
  expect(await graph.differing()).toEqual([])
})

test('a pair has its own schedule, and a table that someone dropped is made anew', async () => {
  await using graph = await deals()
  await graph.db.query("select hubspot.schedule('deals', 'associations', every => '5 minutes')")
  await graph.db.query('drop table hubspot.deals_contacts')
  graph.store.dissociate('deals', graph.ids('deals')[0]!, 'contacts', graph.ids('contacts')[0]!)
  await graph.pass(6 * 60_000, 60_000)
  expect(await edgeDifferences(graph.db, graph.sandbox, 'deals', 'contacts')).toEqual([])
  expect(await graph.db.query("select every from hubspot.schedules where object = 'contacts' and stream = 'associations'")).toEqual([{ every: '01:00:00' }])
  expect(await graph.db.query("select every from hubspot.schedules where object = 'deals' and stream = 'associations'")).toEqual([{ every: '00:05:00' }])
})

test('a table that someone dropped while records wait to be read is made anew, and filled', async () => {
  await using graph = await deals()
  await graph.db.query('drop table hubspot.deals_contacts')
  graph.store.edit('deals', graph.ids('deals')[0]!, { dealname: 'edited' })
  await graph.pass(5 * 60_000, 10_000)
  expect(await edgeDifferences(graph.db, graph.sandbox, 'deals', 'contacts')).toEqual([])
  expect(await graph.db.query('select code from hubspot.problems where resolved_at is null')).toEqual([])
})

test.for(["raise exception 'not this one'", 'return null', 'set local role pg_read_all_data; return new', 'set local transaction_read_only = on; return new'])('a trigger that refuses one record\'s associations by %s holds up no others, and they come when it is gone', async (refuse) => {
  await using graph = await startGraph({ deals: 5, contacts: 4 }, { make })
  const [bad = ''] = graph.ids('deals')
  await graph.pair('deals', 'contacts')
  await graph.db.query(`create function public.no_edge() returns trigger language plpgsql as $$ begin ${refuse}; end $$`)
  await graph.db.query(`create trigger no_edge before insert on hubspot.deals_contacts for each row when (new.deal_id = ${bad}) execute function public.no_edge()`)
  await graph.drain()
  expect(await graph.db.query('select deal_id from hubspot.deals_contacts order by 1')).toEqual(graph.ids('deals').slice(1).map((deal_id) => ({ deal_id })))
  expect(await graph.db.query('select code, record_id from hubspot.problems where resolved_at is null')).toEqual([{ code: 'SH213', record_id: bad }])
  await graph.db.query('drop trigger no_edge on hubspot.deals_contacts')
  await graph.pass(20 * 60_000, 10 * 60_000)
  expect(await graph.differing()).toEqual([])
  expect(await graph.db.query('select code from hubspot.problems where resolved_at is null')).toEqual([])
})

test('a trigger that keeps an association by returning null: it goes when the trigger does', async () => {
  await using graph = await startGraph({ deals: 5, contacts: 4 }, { make })
  const [kept = '', other = ''] = graph.ids('deals')
  await graph.pair('deals', 'contacts')
  await graph.drain()
  await graph.db.query('create function public.keep_edge() returns trigger language plpgsql as $$ begin return null; end $$')
  await graph.db.query(`create trigger keep_edge before delete on hubspot.deals_contacts for each row when (old.deal_id = ${kept}) execute function public.keep_edge()`)
  const ended = await graph.db.query<{ deal_id: string; contact_id: string }>('select distinct deal_id, contact_id from hubspot.deals_contacts where deal_id = any ($1)', [[kept, other]])
  for (const { deal_id, contact_id } of ended) graph.store.dissociate('deals', deal_id, 'contacts', contact_id)
  await graph.pass(2 * 60 * 60_000, 10 * 60_000)
  expect(await graph.db.query('select distinct deal_id from hubspot.deals_contacts where deal_id = any ($1)', [[kept, other]])).toEqual([{ deal_id: kept }])
  expect(await graph.db.query('select code, record_id from hubspot.problems where resolved_at is null')).toEqual([{ code: 'SH213', record_id: kept }])
  await graph.db.query('drop trigger keep_edge on hubspot.deals_contacts')
  await graph.pass(20 * 60_000, 10 * 60_000)
  expect(await graph.differing()).toEqual([])
  expect(await graph.db.query('select code from hubspot.problems where resolved_at is null')).toEqual([])
})

test('one pass of a worker reads what its pairs need', async () => {
  await using graph = await startGraph({ deals: 3, contacts: 4 }, { make })
  await graph.pair('deals', 'contacts')
  const [{ now }] = await graph.db.query<{ now: string }>('select hubspot_private.clock() as now') as [{ now: string }]
  const due = () => graph.db.query('select stream from hubspot_private.streams_due(started_at => $1)', [now])
  expect(await due()).toContainEqual({ stream: 'associations' })
  await graph.drain()
  expect(await due()).toEqual([])
})
