import { expect, test } from 'vitest'
import { type Graph, startGraph } from './support/associations.ts'

// What users do to the rows of association tables while the sync wants to write them: hold them, refuse that they go.

const small = () => startGraph({ deals: 6, contacts: 4 }, {
  pairs: [['deals', 'contacts']],
  settings: { archiveBumps: false, restoreBumps: false },
  make: ({ store, ids }) => store.associateAll('deals', 'contacts', ids('deals').map((fromId, at) => ({ fromId, toId: ids('contacts')[at % 4]! }))),
})
const refresh = async (graph: Graph, object: string, ...ids: string[]) => void (await graph.db.query('select hubspot.refresh($1, $2)', [object, ids]))
const edges = (graph: Graph, where: string, id: string) => graph.db.query(`select deal_id, contact_id from hubspot.deals_contacts where ${where} = $1 order by 1, 2`, [id])
/** Holds the associations of a deal, as a foreign key of a user's does; returns how they are let go. */
async function holdEdges(graph: Graph, deal: string): Promise<() => Promise<void>> {
  const client = await graph.db.pool.connect()
  await client.query('begin')
  await client.query('select from hubspot.deals_contacts where deal_id = $1 for key share', [deal])
  return async () => {
    await client.query('commit')
    client.release()
  }
}

test('an association that someone holds is left, and read again later each time until it is let go; others go on', async () => {
  await using graph = await small()
  const [held = '', free = ''] = graph.ids('deals')
  const letGo = await holdEdges(graph, held)
  for (const deal of [held, free]) {
    const [{ contact_id }] = await edges(graph, 'deal_id', deal) as [{ contact_id: string }]
    graph.store.dissociate('deals', deal, 'contacts', contact_id)
  }
  await graph.db.query("select hubspot_private.associations_dirty('deals', $1)", [[held, free]])
  await graph.drain()
  expect(await edges(graph, 'deal_id', free)).toEqual([])
  expect(await edges(graph, 'deal_id', held)).toHaveLength(1)
  const waits: number[] = []
  for (let i = 0; i < 4; i += 1) {
    const [left] = await graph.db.query<{ ms: number }>('select extract(epoch from not_before - hubspot_private.clock())::float8 * 1000 as ms from hubspot_private.association_dirty where from_id = $1', [held])
    waits.push(left!.ms)
    await graph.advance(left!.ms + 5)
    await graph.drain()
  }
  expect(waits.map((ms, i) => ms > waits[i - 1]! || i === 0), `ever later: ${waits}`).not.toContain(false)
  expect(await graph.db.query("select error from hubspot.runs where stream = 'associations' and error is not null")).toEqual([])
  await letGo()
  await graph.pass(60_000, 10_000)
  expect(await graph.differing()).toEqual([])
  expect(await graph.count('association_dirty')).toBe(0)
})

test('a label that changes on an association that someone holds arrives when it is let go', async () => {
  await using graph = await small()
  const [deal = ''] = graph.ids('deals')
  graph.store.defineLabel('deals', 'contacts', { label: 'Buyer' })
  const [{ contact_id }] = await edges(graph, 'deal_id', deal) as [{ contact_id: string }]
  graph.store.associate('deals', deal, 'contacts', contact_id, ['Buyer'])
  await graph.pass(3_600_000, 3_600_000)
  expect(await graph.differing()).toEqual([])
  const letGo = await holdEdges(graph, deal)
  graph.store.changeLabel('deals', 'contacts', 'Buyer', 'Payer')
  await graph.pass(3_600_000, 3_600_000)
  expect((await graph.differing()).length).toBeGreaterThan(0)
  await letGo()
  await graph.pass(10_000, 5_000)
  expect(await graph.differing()).toEqual([])
})

test.for(['deals', 'contacts'] as const)('a record of %s that is gone stays with its associations while someone holds one of them, and its page goes on', async (object) => {
  await using graph = await small()
  const [deal = '', other = ''] = graph.ids('deals')
  const [{ contact_id }] = await edges(graph, 'deal_id', deal) as [{ contact_id: string }]
  const [gone, also] = object === 'deals' ? [deal, other] : [contact_id, graph.ids('contacts').at(-1)!]
  const letGo = await holdEdges(graph, deal)
  graph.store.archive(object, [gone, also])
  await graph.db.query("update hubspot_private.streams set next_at = hubspot_private.clock() where stream = 'archive'")
  await graph.run(object, 'archive')
  expect(await graph.row(object, gone)).toBeDefined()
  expect(await edges(graph, object === 'deals' ? 'deal_id' : 'contact_id', gone)).not.toEqual([])
  expect(await graph.row(object, also)).toBeUndefined()
  await letGo()
  await graph.pass(10_000, 2_000)
  expect(await graph.row(object, gone)).toBeUndefined()
  expect(await edges(graph, object === 'deals' ? 'deal_id' : 'contact_id', gone)).toEqual([])
  expect(await graph.differing()).toEqual([])
})

test('an association with a record that the mirror does not hold, and that is gone, goes when it is let go', async () => {
  await using graph = await small()
  const [deal = ''] = graph.ids('deals')
  // It was made, associated, read from the other side, and archived before it was read itself.
  const [made] = graph.store.create('contacts', [{}], { lag: 3_600_000 })
  graph.store.associate('deals', deal, 'contacts', made!.id)
  await graph.db.query("select hubspot_private.associations_dirty('deals', $1)", [[deal]])
  await graph.drain()
  expect(await edges(graph, 'contact_id', made!.id)).toHaveLength(1)
  const letGo = await holdEdges(graph, deal)
  graph.store.archive('contacts', made!.id)
  await refresh(graph, 'contacts', made!.id)
  await graph.run('contacts', 'fetch')
  expect(await graph.db.query("select id from hubspot_private.tombstones where object = 'contacts'")).toEqual([{ id: made!.id }])
  expect(await edges(graph, 'contact_id', made!.id)).toHaveLength(1)
  await letGo()
  await graph.pass(10_000, 2_000)
  expect(await edges(graph, 'contact_id', made!.id)).toEqual([])
  expect(await graph.differing()).toEqual([])
})

test('a trigger that does not let associations go holds up no page of the archived list: its record is parked, and heals', async () => {
  await using graph = await small()
  const [deal = ''] = graph.ids('deals')
  const [made] = graph.store.create('contacts', [{}], { lag: 24 * 3_600_000 })
  graph.store.associate('deals', deal, 'contacts', made!.id)
  await graph.db.query("select hubspot_private.associations_dirty('deals', $1)", [[deal]])
  await graph.drain()
  await graph.db.query(`create function public.stay() returns trigger language plpgsql as $$ begin raise exception 'it stays'; end $$`)
  await graph.db.query(`create trigger stay before delete on hubspot.deals_contacts for each row when (old.contact_id = ${made!.id}) execute function public.stay()`)
  const other = graph.ids('contacts')[0]!
  graph.store.archive('contacts', [other, made!.id])
  await graph.db.query("update hubspot_private.streams set next_at = hubspot_private.clock() where stream = 'archive'")
  await graph.run('contacts', 'archive')
  expect(await graph.row('contacts', other)).toBeUndefined()
  expect(await graph.db.query("select state, error from hubspot.runs where object = 'contacts' and stream = 'archive' order by id desc limit 1")).toEqual([{ state: 'done', error: null }])
  const open = () => graph.db.query('select code, object, record_id from hubspot.problems where resolved_at is null')
  expect(await open()).toEqual([{ code: 'SH213', object: 'contacts', record_id: made!.id }])
  await graph.db.query('drop trigger stay on hubspot.deals_contacts')
  await graph.pass(20 * 60_000, 10 * 60_000)
  expect(await graph.differing()).toEqual([])
  expect(await open()).toEqual([])
})

test('associations of a table that was kept, held or refused when the first sweep ends, go with a later one', async () => {
  await using graph = await small()
  const [deal = '', other = ''] = graph.ids('deals')
  await graph.db.query("select hubspot.untrack('deals')")
  graph.store.purge('deals', [deal, other])
  await graph.db.query('alter table hubspot.deals disable trigger user')
  await graph.db.query('delete from hubspot.deals where id = any ($1)', [[deal, other]])
  await graph.db.query('alter table hubspot.deals enable trigger user')
  await graph.db.query(`create function public.stay() returns trigger language plpgsql as $$ begin raise exception 'it stays'; end $$`)
  await graph.db.query(`create trigger stay before delete on hubspot.deals_contacts for each row when (old.deal_id = ${other}) execute function public.stay()`)
  const letGo = await holdEdges(graph, deal)
  await graph.load('deals', [])
  expect(await edges(graph, 'deal_id', deal)).toHaveLength(1)
  expect(await edges(graph, 'deal_id', other)).toHaveLength(1)
  await letGo()
  await graph.db.query('drop trigger stay on hubspot.deals_contacts')
  await graph.pass(2 * 3_600_000, 3_600_000)
  expect(await graph.differing()).toEqual([])
})

test('an association of a record that is gone, however it stayed, goes with the next sweep; not while a table that someone dropped is read', async () => {
  await using graph = await small()
  const [deal = ''] = graph.ids('deals')
  const plant = async (id: string) => {
    await graph.db.query('alter table hubspot.deals_contacts disable trigger user')
    await graph.db.query("insert into hubspot.deals_contacts (deal_id, contact_id, type_id, category) values ($1, 1, 3, 'HUBSPOT_DEFINED')", [id])
    await graph.db.query('alter table hubspot.deals_contacts enable trigger user')
  }
  await plant('4')
  await graph.pass(3_600_000, 3_600_000)
  expect(await edges(graph, 'deal_id', '4')).toEqual([])
  expect(await edges(graph, 'deal_id', deal)).toHaveLength(1)
  const changes = async () => (await graph.db.query<{ n: string }>("select count(*) as n from hubspot.changes where op like '%associate'"))[0]!.n
  const before = await changes()
  await graph.db.query('drop table hubspot.deals')
  await graph.db.query("select hubspot_private.table_mend('deals')")
  await graph.db.query("update hubspot_private.streams set next_at = hubspot_private.clock() where stream = 'associations'")
  await graph.run('deals', 'associations', 1)
  expect(await edges(graph, 'deal_id', deal)).toHaveLength(1)
  await graph.drain()
  expect(await graph.differing()).toEqual([])
  expect(await changes()).toBe(before)
})

const MINUTE = 60_000
const HOUR = 60 * MINUTE
const openProblems = (graph: Graph) => graph.db.query('select code, object, record_id from hubspot.problems where resolved_at is null order by record_id')
const told = (graph: Graph) => graph.db.query("select op, object, record_id from hubspot.changes where op in ('delete', 'disassociate') order by op, record_id")

test.for(['on delete cascade', 'on delete set null', ''])('foreign keys of a user\'s from associations to their ends (%s) keep no record that goes, and what goes with it is told', async (kind) => {
  await using graph = await small()
  const [deal = '', bare = ''] = graph.ids('deals')
  const [, contact = ''] = graph.ids('contacts')
  await graph.db.query(`alter table hubspot.deals_contacts add foreign key (deal_id) references hubspot.deals ${kind}, add foreign key (contact_id) references hubspot.contacts ${kind}`)
  for (const { contact_id } of await edges(graph, 'deal_id', bare) as { contact_id: string }[]) graph.store.dissociate('deals', bare, 'contacts', contact_id)
  await graph.pass(2 * HOUR, HOUR / 4)
  const before = (await told(graph)).length
  expect(before).toBe(1)
  const lost = await graph.db.query<{ deal_id: string }>('select deal_id from hubspot.deals_contacts where deal_id = $1 or contact_id = $2', [deal, contact])
  graph.store.archive('deals', [deal, bare])
  graph.store.archive('contacts', contact)
  await refresh(graph, 'deals', deal, bare)
  await refresh(graph, 'contacts', contact)
  await graph.pass(10_000, 5_000)
  if (kind === 'on delete cascade') expect(await openProblems(graph)).toEqual([])
  await graph.pass(2 * HOUR, HOUR / 4)
  expect(await graph.db.query('select id from hubspot.deals where id in ($1, $2) union all select id from hubspot.contacts where id = $3', [deal, bare, contact])).toEqual([])
  expect(await graph.differing()).toEqual([])
  expect(await openProblems(graph)).toEqual([])
  expect((await told(graph)).filter(({ op }) => op === 'delete')).toHaveLength(3)
  expect((await told(graph)).filter(({ op }) => op === 'disassociate').map(({ record_id }) => record_id))
    .toEqual([bare, ...lost.map(({ deal_id }) => deal_id)].toSorted())
  expect(await graph.db.query("select sum(deleted)::integer as sum from hubspot.runs where object in ('deals', 'contacts') and stream = 'fetch'")).toEqual([{ sum: 3 }])
})

test('a trigger of a user\'s within a write of the sync\'s writes nothing of the mirror, whatever keys there are', async () => {
  await using graph = await small()
  const [deal = '', other = ''] = graph.ids('deals')
  const [contact = ''] = graph.ids('contacts')
  await graph.db.query(`alter table hubspot.deals_contacts add foreign key (deal_id) references hubspot.deals on delete cascade;
    alter table hubspot.deals add column mine bigint references hubspot.contacts on delete cascade`)
  const mirror = async () => Promise.all(['deals_contacts', 'deals', 'contacts'].map((table) => graph.db.query(`select * from hubspot.${table} order by 1, 2`)))
  const before = await mirror()
  const meddle = (when: string, statement: string) => graph.db.query(`create or replace function public.meddle() returns trigger language plpgsql as $f$ begin ${statement}; return old; end $f$;
    create or replace trigger meddle ${when} delete on hubspot.deals for each row execute function public.meddle()`)
  for (const [when, statement] of [
    ['before', 'delete from hubspot.deals_contacts where deal_id = old.id'],
    ['before', 'truncate hubspot.deals_contacts'],
    ['after', `delete from hubspot.deals_contacts where deal_id = ${other}`],
    ['after', `update hubspot.deals_contacts set label = 'mine'`],
    ['after', `insert into hubspot.deals_contacts (deal_id, contact_id, type_id, category) values (${other}, ${contact}, 999, 'MINE')`],
    ['after', `update hubspot.deals set mine = ${contact} where id = ${other}`],
    ['after', `delete from hubspot.contacts where id = ${contact}`],
    ['after', 'insert into hubspot.contacts (id, _synced_at) values (1, now())'],
  ] as const) {
    await meddle(when, statement)
    graph.store.archive('deals', deal)
    await refresh(graph, 'deals', deal)
    await graph.run('deals', 'fetch')
    expect(await graph.db.query('select code, record_id, message from hubspot.problems where resolved_at is null'), statement)
      .toEqual([{ code: 'SH213', record_id: deal, message: expect.stringContaining('is read-only (SH105)') as string }])
    expect(await mirror(), statement).toEqual(before)
    await graph.db.query('drop trigger meddle on hubspot.deals')
    graph.store.restore('deals', deal)
    await graph.pass(20 * MINUTE, 10 * MINUTE)
    expect(await openProblems(graph), statement).toEqual([])
  }
  // It goes on, and so does the record.
  await meddle('after', `begin delete from hubspot.deals_contacts where deal_id = ${other}; exception when others then null; end`)
  graph.store.archive('deals', deal)
  await refresh(graph, 'deals', deal)
  await graph.run('deals', 'fetch')
  expect(await graph.row('deals', deal)).toBeUndefined()
  expect(await graph.differing()).toEqual([])
})

test('a foreign key of a user\'s between two mirror tables keeps a record only while it would take along one that is there', async () => {
  await using graph = await small()
  const [deal = ''] = graph.ids('deals')
  const [contact = '', free = ''] = graph.ids('contacts')
  graph.store.edit('deals', deal, { dealname: contact })
  for (const other of graph.ids('deals').slice(1)) graph.store.edit('deals', other, { dealname: '' })
  await graph.db.query("select hubspot.track('deals', '{dealname}')")
  await graph.pass(2 * MINUTE, MINUTE / 2)
  await graph.db.query("alter table hubspot.deals add column mine bigint generated always as (nullif(dealname, '')::bigint) stored references hubspot.contacts on delete cascade")
  graph.store.archive('contacts', [contact, free])
  await refresh(graph, 'contacts', contact, free)
  await graph.pass(10_000, 5_000)
  expect(await graph.row('contacts', free)).toBeUndefined()
  expect(await graph.row('deals', deal)).toBeDefined()
  expect(await openProblems(graph)).toEqual([{ code: 'SH213', object: 'contacts', record_id: contact }])
  graph.store.edit('deals', deal, { dealname: '' })
  await graph.pass(20 * MINUTE, 5 * MINUTE)
  expect(await graph.row('contacts', contact)).toBeUndefined()
  expect(await openProblems(graph)).toEqual([])
  expect(await graph.differing()).toEqual([])
})
