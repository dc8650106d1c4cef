import { expect, test } from 'vitest'
import { edgeDifferences } from './support/compare.ts'
import { startWorld, type World } from './support/sync.ts'

// Object types come, go and come back; so do scopes, owners and pipelines.

const MINUTE = 60_000

const open = (world: World) => world.db.query('select object, code from hubspot.problems where resolved_at is null order by object, code')
const state = async (world: World, object: string) => (await world.db.query('select state from hubspot.status where object = $1', [object]))[0]?.['state']
const calls = (world: World, object: string) => world.store.calls({ object }).length

test('a custom object that is made later appears in object_types, and can be tracked', async () => {
  await using world = await startWorld('objects')
  const type = world.store.addObject({ name: 'boat', properties: [{ name: 'sail' }] })
  world.store.create('boat', [{ properties: { sail: 'red' } }])
  await world.pass(11 * MINUTE)
  expect(await world.db.query('select object, is_custom, is_tracked from hubspot.object_types where object_type_id = $1', [type])).toEqual([{ object: 'boat', is_custom: true, is_tracked: false }])
  await world.load('boat')
  expect(await world.differences('boat')).toEqual([])
})

test('a tracked object that is archived parks itself with a problem, asks nothing, and is read again when it is restored', async () => {
  await using world = await startWorld('objects', { sandbox: { objects: { vehicle: 5, contacts: 2 } } })
  await world.load('vehicle')
  await world.load('contacts', ['firstname'])
  const [one = '', two = ''] = [...world.store.records('vehicle')].map(({ id }) => id)
  world.store.archiveObject('vehicle')
  await world.pass(11 * MINUTE, MINUTE)
  expect(await state(world, 'vehicle')).toBe('parked')
  expect(await open(world)).toEqual([{ object: 'vehicle', code: 'SH222' }])
  expect(await world.db.query("select archived_at is not null as is_archived from hubspot.object_types where object = 'vehicle'")).toEqual([{ is_archived: true }])
  expect(await world.db.query('select count(*)::int as rows from hubspot.vehicle')).toEqual([{ rows: 5 }])
  world.store.resetCalls()
  await world.pass(60 * MINUTE, 5 * MINUTE)
  expect(calls(world, 'vehicle')).toBe(0)
  expect(await state(world, 'contacts')).toBe('live')
  world.store.restoreObject('vehicle')
  world.store.edit('vehicle', one, { name: 'changed' })
  world.store.archive('vehicle', two)
  await world.pass(11 * MINUTE, MINUTE)
  expect(await open(world)).toEqual([])
  expect(await state(world, 'vehicle')).toBe('live')
  expect(await world.differences('vehicle')).toEqual([])
})

test('one that is archived during its first load goes on with it', async () => {
  await using world = await startWorld('objects', { sandbox: { objects: { vehicle: 5 } } })
  await world.db.query("select hubspot.track('vehicle')")
  await world.run('vehicle', 'schema')
  world.store.archiveObject('vehicle')
  await world.pass(15 * MINUTE, MINUTE)
  expect(await state(world, 'vehicle')).toBe('parked')
  expect(await open(world)).toEqual([{ object: 'vehicle', code: 'SH222' }])
  world.store.restoreObject('vehicle')
  await world.pass(15 * MINUTE, MINUTE)
  expect(await state(world, 'vehicle')).toBe('live')
  expect(await world.differences('vehicle')).toEqual([])
  expect(await open(world)).toEqual([])
})

test('one that was deleted for good leaves its name to another of that name', async () => {
  await using world = await startWorld('objects', { sandbox: { objects: { vehicle: 2 } } })
  const schemas = (type: string) => JSON.stringify({ results: [{ objectTypeId: type, name: 'boat', fullyQualifiedName: 'p1_boat', labels: { plural: 'Boats' } }] })
  const known = () => world.db.query("select object, object_type_id, fully_qualified_name from hubspot.object_types where object like '%boat' order by object_type_id")
  await world.db.query('select hubspot_private.schemas_apply($1)', [schemas('2-1')])
  await world.db.query('select hubspot_private.schemas_apply($1)', [schemas('2-2')])
  expect(await known()).toEqual([{ object: 'boat', object_type_id: '2-2', fully_qualified_name: 'p1_boat' }])
  await world.db.query("select hubspot.track('boat')")
  await world.db.query('select hubspot_private.schemas_apply($1), hubspot_private.schemas_compare($1)', [schemas('2-3')])
  expect(await known()).toEqual([{ object: 'boat', object_type_id: '2-2', fully_qualified_name: null }, { object: 'p1_boat', object_type_id: '2-3', fully_qualified_name: 'p1_boat' }])
  expect(await open(world)).toEqual([{ object: 'boat', code: 'SH222' }])
})

test('one that was deleted for good says which has its name now, and leaves it the name once it is given up', async () => {
  await using world = await startWorld('objects')
  const { db, store } = world
  const make = (property: string) => {
    store.addObject({ name: 'boat', properties: [{ name: property, filled: false }] })
    store.create('boat', [{ properties: { [property]: 'red' } }])
  }
  make('sail')
  await db.query('select hubspot.sync()')
  await world.drain()
  await world.load('boat')
  store.archiveObject('boat')
  store.removeObject('boat')
  make('motor')
  await world.pass(22 * MINUTE, 11 * MINUTE)
  const [{ object: other }] = await db.query<{ object: string }>("select object from hubspot.object_types where object like 'p%boat'") as [{ object: string }]
  const refused = { code: 'SH102', hint: `It is archived in HubSpot. Another of that name is there: select hubspot.track('${other}');` }
  await expect(db.query("select hubspot.track('boat')")).rejects.toMatchObject(refused)
  await db.query("select hubspot.untrack('boat')")
  await expect(db.query("select hubspot.track('boat')")).rejects.toMatchObject(refused)
  await db.query("select hubspot.untrack('boat', drop_table => true)")
  await db.query("select hubspot.track('boat')")
  await world.drain()
  expect(await db.query('select object from hubspot.object_types where is_tracked')).toEqual([{ object: other }])
  expect(await world.differences(other)).toEqual([])
  expect(await open(world)).toEqual([])
})

test('one that was deleted for good, and was but the other end of a pair, leaves the pair to another of its name', async () => {
  await using world = await startWorld('objects', { sandbox: { objects: { deals: 5 } } })
  const { db, store } = world
  const [one = '', two = ''] = [...store.records('deals')].map(({ id }) => id)
  const launch = (id: number) => {
    store.addObject({ name: 'boat', properties: [{ name: 'sail' }] })
    store.create('boat', [{ id, properties: { sail: 'red' } }])
  }
  launch(1_000)
  store.associate('deals', one, 'boat', '1000')
  await world.load('deals', [])
  await db.query('select hubspot.sync()')
  await world.drain()
  await db.query("select hubspot.track_associations('deals', 'boat')")
  await world.drain()
  const edges = () => db.query('select deal_id, boat_id from hubspot.deals_boat')
  expect(await edges()).toEqual([{ deal_id: one, boat_id: '1000' }])
  store.archiveObject('boat')
  await world.pass(11 * MINUTE, MINUTE)
  expect(await db.query('select object, code, hint from hubspot.problems where resolved_at is null')).toEqual([
    { object: 'boat', code: 'SH222', hint: "Associations with it are not read until it is restored. To give them up: select hubspot.untrack_associations('deals', 'boat');" },
  ])
  store.removeObject('boat')
  launch(2_000)
  store.associate('deals', two, 'boat', '2000')
  await world.pass(11 * MINUTE, MINUTE)
  expect(await edges()).toEqual([{ deal_id: two, boat_id: '2000' }])
  expect(await edgeDifferences(db, world.sandbox, 'deals', 'boat')).toEqual([])
  expect(await open(world)).toEqual([])
  expect(await db.query('select from_object, to_object from hubspot.association_pairs where is_tracked')).toEqual([{ from_object: 'deals', to_object: 'boat' }])
  // It can be tracked as itself.
  await world.load('boat')
  expect(await world.differences('boat')).toEqual([])
})

test('a scope that is withdrawn parks one object, and it heals when that is given back', async () => {
  await using world = await startWorld('objects', { sandbox: { objects: { deals: 4, contacts: 3 } } })
  await world.load('deals')
  await world.load('contacts', ['firstname'])
  world.store.changeToken(world.sandbox.token, { without: ['deals'] })
  await world.pass(12 * MINUTE, MINUTE)
  expect([await state(world, 'deals'), await state(world, 'contacts')]).toEqual(['parked', 'live'])
  expect(await open(world)).toEqual([{ object: 'deals', code: 'SH202' }])
  const [id = ''] = [...world.store.records('deals')].map((deal) => deal.id)
  world.store.edit('deals', id, { dealname: 'Meanwhile' })
  world.store.addProperty('deals', { name: 'risk', type: 'number' })
  world.store.edit('deals', id, { risk: '3' })
  world.store.changeToken(world.sandbox.token, { without: [] })
  await world.pass(32 * MINUTE, 4 * MINUTE)
  expect([await state(world, 'deals'), await open(world)]).toEqual(['live', []])
  expect(await world.row('deals', id)).toMatchObject({ dealname: 'Meanwhile', risk: 3 })
  expect(await world.differences('deals')).toEqual([])
})

test('owners that leave, return, change and vanish follow within the interval', async () => {
  await using world = await startWorld('objects')
  const id = world.store.addOwner({ email: 'new@example.com' })
  const owner = async () => (await world.db.query('select email, last_name, is_archived from hubspot.owners where id = $1', [id]))[0]
  await world.pass(11 * MINUTE)
  expect(await owner()).toMatchObject({ email: 'new@example.com', is_archived: false })
  world.store.changeOwner(id, { lastName: 'Nowak' })
  world.store.archiveOwner(id)
  await world.pass(11 * MINUTE)
  expect(await owner()).toMatchObject({ last_name: 'Nowak', is_archived: true })
  world.store.restoreOwner(id)
  await world.pass(11 * MINUTE)
  expect(await owner()).toMatchObject({ is_archived: false })
  world.store.removeOwner(id)
  await world.pass(11 * MINUTE)
  expect(await owner()).toBeUndefined()
})

test('pipelines and stages that are renamed, moved, archived and brought back follow within the interval', async () => {
  await using world = await startWorld('objects', { sandbox: { objects: { deals: 2 } } })
  await world.load('deals', ['dealname', 'dealstage'])
  const shown = async () => world.db.query(`select p.id, p.label, array_agg(s.label order by s.display_order, s.id) as stages
    from hubspot.pipelines p join hubspot.pipeline_stages s on s.object = p.object and s.pipeline_id = p.id where p.object = 'deals' group by p.id, p.label, p.display_order order by p.display_order`)
  world.store.setPipelines('deals', [{ id: 'a', label: 'A', stages: [{ id: 'a1' }, { id: 'a2' }] }, { id: 'b', label: 'B', stages: [{ id: 'b1' }] }])
  await world.pass(11 * MINUTE)
  expect(await shown()).toEqual([{ id: 'a', label: 'A', stages: ['a1', 'a2'] }, { id: 'b', label: 'B', stages: ['b1'] }])
  world.store.changeStage('deals', 'a', 'a2', { label: 'Won', archived: false })
  world.store.changeStage('deals', 'a', 'a1', { archived: true })
  world.store.changePipeline('deals', 'b', { archived: true })
  await world.pass(11 * MINUTE)
  expect(await shown()).toEqual([{ id: 'a', label: 'A', stages: ['Won'] }])
  expect(await world.db.query("select value, label from hubspot.property_options where object = 'deals' and property = 'dealstage'")).toEqual([{ value: 'a2', label: 'Won' }])
  world.store.changePipeline('deals', 'b', { archived: false, label: 'Beta', displayOrder: -1 })
  await world.pass(11 * MINUTE)
  expect(await shown()).toEqual([{ id: 'b', label: 'Beta', stages: ['b1'] }, { id: 'a', label: 'A', stages: ['Won'] }])
})
