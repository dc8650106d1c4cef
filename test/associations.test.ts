import { describe, expect, test } from 'vitest'
import type { SandboxOptions } from '../src/sandbox/index.ts'
import { edgeDifferences } from './support/compare.ts'
import { hold, startWorld, type World } from './support/sync.ts'

const MINUTE = 60_000
const HOUR = 60 * MINUTE

type Counts = NonNullable<SandboxOptions['objects']>

/** A world with these objects loaded; pairs are tracked by the test. */
async function loaded(objects: Counts, settings: SandboxOptions['settings'] = {}): Promise<World> {
  const world = await startWorld('associations', { sandbox: { objects, settings } })
  for (const object of Object.keys(objects)) await world.load(object, [])
  await world.advance(1_000)
  return world
}

const pair = (world: World, from: string, to: string) => world.db.query('select hubspot.track_associations($1, $2)', [from, to])
const idsOf = (world: World, object: string) => [...world.store.records(object)].map(({ id }) => id)
const asked = (world: World) => world.store.calls({ kind: 'associations' })
const runs = (world: World) =>
  world.db.query<Record<string, string>>("select state, requests, rows_read, inserted, updated, unchanged, deleted from hubspot.runs where stream = 'associations' order by id")
const open = (world: World) => world.db.query('select code, object, record_id from hubspot.problems where resolved_at is null')

test('a pair of standard objects: names, key, both indexes, types, comments, and what is read at first', async () => {
  await using world = await loaded({ deals: 30, contacts: 20 })
  const [deals, contacts] = [idsOf(world, 'deals'), idsOf(world, 'contacts')]
  world.store.associateAll('deals', 'contacts', deals.map((fromId, at) => ({ fromId, toId: contacts[at % 7]! })))
  await pair(world, 'deals', 'contacts')
  await world.drain()
  expect(await edgeDifferences(world.db, world.sandbox, 'deals', 'contacts')).toEqual([])
  expect(await world.db.query('select count(*) from hubspot.deals_contacts')).toEqual([{ count: '30' }])
  const columns = await world.db.query<{ name: string }>(
    "select attname as name from pg_attribute where attrelid = 'hubspot.deals_contacts'::regclass and attnum > 0 order by attnum")
  expect(columns.map(({ name }) => name)).toEqual(['deal_id', 'contact_id', 'type_id', 'category', 'label'])
  const indexes = await world.db.query<{ def: string }>("select indexdef as def from pg_indexes where schemaname = 'hubspot' and tablename = 'deals_contacts' order by 1")
  expect(indexes.map(({ def }) => def.replace(/.*USING btree /, ''))).toEqual(['(contact_id, deal_id)', '(deal_id, contact_id, type_id, category)'])
  expect(await world.db.query("select obj_description('hubspot.deals_contacts'::regclass) is not null as it, count(*) from pg_attribute where attrelid = 'hubspot.deals_contacts'::regclass and attnum > 0 and col_description(attrelid, attnum) is null"))
    .toEqual([{ it: true, count: '0' }])
  expect(asked(world)).toHaveLength(1)
  expect(await runs(world)).toMatchObject([{ state: 'done', requests: '2', rows_read: '30', inserted: '30' }])
  expect(await open(world)).toEqual([])
})

test('a custom pair, both ways, and a pair of one object with itself, with labels of every category and several types each', async () => {
  await using world = await loaded({ vehicle: 5, contacts: 12, companies: 4 })
  const { store } = world
  const [cars, people, firms] = ['vehicle', 'contacts', 'companies'].map((object) => idsOf(world, object)) as [string[], string[], string[]]
  store.defineLabel('vehicle', 'contacts', { label: 'Owner', inverseLabel: 'Owns', category: 'USER_DEFINED' })
  store.defineLabel('vehicle', 'contacts', { label: 'Driver', category: 'INTEGRATOR_DEFINED' })
  store.defineLabel('contacts', 'contacts', { label: 'Parent', inverseLabel: 'Child' })
  // Its own numbers begin where HubSpot's do: 1 is Primary there, too.
  store.defineLabel('contacts', 'companies', { label: 'Adviser', typeId: 1 })
  for (const [at, id] of people.entries()) store.associate('vehicle', cars[at % 5]!, 'contacts', id, [['Owner', 'Driver'], ['Owner'], []][at % 3])
  for (const [at, id] of people.entries()) if (at > 0) store.associate('contacts', people[0]!, 'contacts', id, at % 2 ? ['Parent'] : [])
  for (const [at, id] of people.entries()) store.associate('contacts', id, 'companies', firms[at % 4]!, ['Adviser', 'Primary'])
  const pairs = [['vehicle', 'contacts'], ['contacts', 'vehicle'], ['contacts', 'contacts'], ['contacts', 'companies'], ['companies', 'contacts']] as const
  for (const [from, to] of pairs) await pair(world, from, to)
  await world.drain()
  for (const [from, to] of pairs) expect(await edgeDifferences(world.db, world.sandbox, from, to)).toEqual([])
  expect(await world.db.query('select count(*) from hubspot.vehicle_contacts v join hubspot.contacts_vehicle c on (c.vehicle_id, c.contact_id) = (v.vehicle_id, v.contact_id)')).not.toEqual([{ count: '0' }])
  expect(await world.db.query("select count(*) from hubspot.contacts_contacts where contact_id = $1 and label = 'Parent'", [people[0]])).toEqual([{ count: '6' }])
  expect(await world.db.query("select count(distinct to_contact_id) from hubspot.contacts_contacts where contact_id = $1", [people[0]])).toEqual([{ count: '11' }])
  // Two types of one number: neither is lost.
  expect(await world.db.query('select category, label from hubspot.contacts_companies where contact_id = $1 and type_id = 1 order by 1', [people[0]]))
    .toEqual([{ category: 'HUBSPOT_DEFINED', label: 'Primary' }, { category: 'USER_DEFINED', label: 'Adviser' }])
  expect(await world.db.query("select distinct category from hubspot.association_types where from_object = 'vehicle' order by 1"))
    .toEqual(['HUBSPOT_DEFINED', 'INTEGRATOR_DEFINED', 'USER_DEFINED'].map((category) => ({ category })))
})

test('a sweep an hour sees what was made, ended, labelled, renamed and removed; unchanged, it writes nothing', async () => {
  await using world = await loaded({ deals: 40, contacts: 15 })
  const { store } = world
  const [deals, contacts] = [idsOf(world, 'deals'), idsOf(world, 'contacts')]
  store.defineLabel('deals', 'contacts', { label: 'Signs' })
  store.defineLabel('deals', 'contacts', { label: 'Pays' })
  store.associateAll('deals', 'contacts', deals.map((fromId, at) => ({ fromId, toId: contacts[at % 15]!, types: at % 2 ? ['Signs'] : ['Pays'] })))
  await pair(world, 'deals', 'contacts')
  await world.drain()
  const versions = () => world.db.query('select xmin::text, * from hubspot.deals_contacts order by 2, 3, 4, 5')
  const before = await versions()
  const types = await world.db.query('select xmin::text from hubspot.association_types')
  await world.pass(HOUR, 10 * MINUTE)
  expect(await versions()).toEqual(before)
  expect(await world.db.query('select xmin::text from hubspot.association_types')).toEqual(types)
  expect((await runs(world)).at(-1)).toMatchObject({ state: 'done', inserted: '0', updated: '0', deleted: '0', unchanged: '80' })
  store.dissociate('deals', deals[0]!, 'contacts', contacts[0]!)
  store.dissociate('deals', deals[1]!, 'contacts', contacts[1]!, ['Signs'])
  store.associate('deals', deals[2]!, 'contacts', contacts[9]!, ['Pays'])
  store.changeLabel('deals', 'contacts', 'Signs', 'Has signed')
  await world.pass(HOUR, 10 * MINUTE)
  expect(await edgeDifferences(world.db, world.sandbox, 'deals', 'contacts')).toEqual([])
  store.removeLabel('deals', 'contacts', 'Pays')
  await world.pass(HOUR, 10 * MINUTE)
  expect(await edgeDifferences(world.db, world.sandbox, 'deals', 'contacts')).toEqual([])
  expect(await world.db.query("select count(*) from hubspot.association_types where label = 'Pays'")).toEqual([{ count: '0' }])
  expect((await versions()).length).toBeGreaterThan(40)
  expect(await world.db.query('select count(*) from hubspot_private.association_dirty')).toEqual([{ count: '0' }])
})

test('2,500 records are read by the thousand, in id order; how far is known, and how complete', async () => {
  await using world = await loaded({ contacts: 2_500, companies: 50 })
  const { store } = world
  const [people, firms] = [idsOf(world, 'contacts'), idsOf(world, 'companies')]
  store.associateAll('contacts', 'companies', people.map((fromId, at) => ({ fromId, toId: firms[at % 50]!, types: ['Primary'] })))
  const progress = () => world.db.query("select sweep_progress::text, complete_until is not null as is_complete, waiting from hubspot.association_pairs")
  await pair(world, 'contacts', 'companies')
  const [{ number }] = await world.db.query<{ number: number }>('select number from hubspot_private.pairs') as [{ number: number }]
  const sweep = (await hold(world, 'contacts', 'associations', number))!
  await sweep.commit(await sweep.ask())
  const began = store.now()
  await world.advance(2_000)
  await sweep.commit(await sweep.ask())
  expect(await progress()).toEqual([{ sweep_progress: '0.4000', is_complete: false, waiting: '0' }])
  expect(await world.db.query("select associations_complete_until from hubspot.status where object = 'contacts'")).toEqual([{ associations_complete_until: null }])
  await sweep.commit(await sweep.ask())
  expect((await sweep.commit(await sweep.ask())).outcome).toBe('done')
  expect(asked(world).map((call) => call.ids?.length)).toEqual([1_000, 1_000, 500])
  expect(await edgeDifferences(world.db, world.sandbox, 'contacts', 'companies')).toEqual([])
  expect(await progress()).toEqual([{ sweep_progress: null, is_complete: true, waiting: '0' }])
  const [{ until }] = await world.db.query<{ until: string }>("select associations_complete_until as until from hubspot.status where object = 'contacts'") as [{ until: string }]
  expect(Math.abs(Date.parse(until) - began)).toBeLessThan(1_500)
  expect(await world.db.query("select rows from hubspot.status where object = 'contacts'")).toEqual([{ rows: '2500' }])
})

describe('records with more associations than an answer holds', () => {
  test('12,000 of one record, and none is there before the last page', async () => {
    await using world = await loaded({ companies: 3, contacts: 12_000 })
    const [firm, other] = idsOf(world, 'companies')
    const people = idsOf(world, 'contacts')
    world.store.associateAll('companies', 'contacts', people.map((toId) => ({ fromId: firm!, toId })))
    world.store.associate('companies', other!, 'contacts', people[5]!)
    await pair(world, 'companies', 'contacts')
    const [{ number }] = await world.db.query<{ number: number }>('select number from hubspot_private.pairs') as [{ number: number }]
    const sweep = (await hold(world, 'companies', 'associations', number))!
    for (let calls = 0; calls < 10; calls += 1) expect((await sweep.commit(await sweep.ask())).outcome).toBe('more')
    expect(await world.db.query('select count(*) from hubspot.companies_contacts')).toEqual([{ count: '1' }])
    for (let outcome = 'more', calls = 0; outcome === 'more'; calls += 1) {
      outcome = (await sweep.commit(await sweep.ask())).outcome
      expect(calls).toBeLessThan(40)
    }
    expect(await edgeDifferences(world.db, world.sandbox, 'companies', 'contacts')).toEqual([])
    // Read of several pages, they are read once more, to see what may have moved from one to another meanwhile.
    expect(asked(world)).toHaveLength(48)
    for (const table of ['association_pages', 'association_reads', 'association_dirty']) {
      expect(await world.db.query(`select count(*) from hubspot_private.${table}`), table).toEqual([{ count: '0' }])
    }
  }, 60_000)

  test.for(['error', 'empty'] as const)('whose last ones end between two pages: the answer behind them is an %s', async (pastLastEdge) => {
    await using world = await loaded({ companies: 1, contacts: 12 }, { associationPage: 5, pastLastEdge })
    const [firm] = idsOf(world, 'companies')
    const people = idsOf(world, 'contacts')
    world.store.associateAll('companies', 'contacts', people.map((toId) => ({ fromId: firm!, toId })))
    await pair(world, 'companies', 'contacts')
    const [{ number }] = await world.db.query<{ number: number }>('select number from hubspot_private.pairs') as [{ number: number }]
    const sweep = (await hold(world, 'companies', 'associations', number))!
    for (let calls = 0; calls < 3; calls += 1) await sweep.commit(await sweep.ask())
    world.store.dissociateAll('companies', 'contacts', people.slice(10).map((toId) => ({ fromId: firm!, toId })))
    for (let outcome = 'more'; outcome === 'more';) outcome = (await sweep.commit(await sweep.ask())).outcome
    expect(await edgeDifferences(world.db, world.sandbox, 'companies', 'contacts')).toEqual([])
  })
})
