import { describe, expect, test } from 'vitest'
import { startGraph } from './support/associations.ts'
import { startWorld, type World } from './support/sync.ts'

// Rows of owners, pipelines, stages, options and association types that something of a user's refers to, refuses or holds.

const MINUTE = 60_000

const open = (world: World) =>
  world.db.query<{ code: string; object: string | null; property: string; message: string }>('select code, object, property, message from hubspot.problems where resolved_at is null order by property')
const failing = (world: World) => world.db.query('select object, stream from hubspot_private.streams where failures > 0')
const hasProperty = async (world: World, name: string) =>
  (await world.db.query("select from hubspot.properties where object = 'deals' and property = $1", [name])).length === 1
const refused = (object: string | null, property: string, ...message: string[]) => ({
  code: 'SH218', object, property, message: expect.stringMatching(new RegExp(message.join('.*'))) as string,
})

async function deals(): Promise<World> {
  const world = await startWorld('definitions', { sandbox: { objects: { deals: 2 } } })
  await world.load('deals', ['dealname', 'dealstage'])
  return world
}

describe('what a foreign key of a user\'s refers to stays when it is gone, with a problem that names the key; all else is taken', () => {
  test.for(['', 'deferrable initially deferred'])('an owner %s', async (kind) => {
    await using world = await startWorld('definitions')
    const ids = Array.from({ length: 9 }, (_, i) => world.store.addOwner({ email: `${i}@example.com` }))
    await world.pass(11 * MINUTE)
    await world.db.query(`create table public.mine (owner bigint constraint mine_key references hubspot.owners ${kind})`)
    await world.db.query('insert into public.mine values ($1), ($2)', [ids[2], ids[7]])
    for (const id of ids.slice(1)) world.store.removeOwner(id)
    world.store.changeOwner(ids[0]!, { lastName: 'Nowak' })
    world.store.addOwner({ email: 'new@example.com' })
    world.store.addObject({ name: 'boat', labels: { singular: 'Boat', plural: 'Boats' }, properties: [{ name: 'n' }] })
    const owners = () => world.db.query("select email, last_name from hubspot.owners where email ~ '^(.|new)@' order by email")
    await world.pass(11 * MINUTE)
    expect(await owners()).toMatchObject([{ email: '0@example.com', last_name: 'Nowak' }, { email: '2@example.com' }, { email: '7@example.com' }, { email: 'new@example.com' }])
    expect(await world.db.query("select from hubspot.object_types where object = 'boat'")).toHaveLength(1)
    expect(await failing(world)).toEqual([])
    expect(await open(world)).toEqual([refused(null, 'owners', '^hubspot.owners: 2 rows', 'mine_key', ids[2]!)])
    // One problem, however often it is looked at.
    await world.pass(30 * MINUTE, 10 * MINUTE)
    expect(await world.db.query("select count > 2 as again from hubspot.problems where code = 'SH218'")).toEqual([{ again: true }])
    await world.db.query('delete from public.mine')
    await world.pass(11 * MINUTE)
    expect(await owners()).toHaveLength(2)
    expect(await open(world)).toEqual([])
  })

  test('a stage, and an option', async () => {
    await using world = await deals()
    world.store.setPipelines('deals', [{ id: 'a', label: 'A', stages: [{ id: 'a1' }, { id: 'a2' }] }, { id: 'b', label: 'B', stages: [{ id: 'b1' }] }])
    await world.pass(11 * MINUTE)
    await world.db.query(`create table public.mine (o text default 'deals', p text default 'dealstage', pipeline text, stage text,
      constraint mine_stage foreign key (o, pipeline, stage) references hubspot.pipeline_stages, constraint mine_option foreign key (o, p, stage) references hubspot.property_options)`)
    await world.db.query("insert into public.mine (pipeline, stage) values ('a', 'a1')")
    world.store.changeStage('deals', 'a', 'a1', { archived: true })
    world.store.changeStage('deals', 'a', 'a2', { label: 'Won' })
    world.store.changePipeline('deals', 'b', { archived: true })
    world.store.addProperty('deals', { name: 'fresh', type: 'number' })
    await world.pass(11 * MINUTE)
    expect(await hasProperty(world, 'fresh')).toBe(true)
    expect(await failing(world)).toEqual([])
    expect(await open(world)).toEqual([refused('deals', 'pipeline_stages', '1 row ', 'mine_stage'), refused('deals', 'property_options', '1 row ', 'mine_option')])
    expect(await world.db.query("select pipeline_id, id, label from hubspot.pipeline_stages where object = 'deals' order by id")).toMatchObject([{ id: 'a1' }, { id: 'a2', label: 'Won' }])
    await world.db.query('delete from public.mine')
    await world.pass(11 * MINUTE)
    expect(await open(world)).toEqual([])
    expect(await world.db.query("select id from hubspot.pipeline_stages where object = 'deals'")).toEqual([{ id: 'a2' }])
  })

  test('a type of association', async () => {
    await using world = await startGraph({ deals: 3, contacts: 3 }, { pairs: [['deals', 'contacts']], make: ({ store, ids }) => {
      store.defineLabel('deals', 'contacts', { label: 'Boss' })
      store.associate('deals', ids('deals')[0]!, 'contacts', ids('contacts')[0]!, ['Boss'])
    } })
    await world.db.query('create table public.mine as select from_object, to_object, type_id, category from hubspot.association_types')
    await world.db.query('alter table public.mine add constraint mine_key foreign key (from_object, to_object, type_id, category) references hubspot.association_types')
    world.store.removeLabel('deals', 'contacts', 'Boss')
    world.store.associate('deals', world.ids('deals')[1]!, 'contacts', world.ids('contacts')[1]!)
    await world.pass(2 * 60 * MINUTE, 20 * MINUTE)
    expect(await world.differing()).toEqual([expect.stringMatching(/^deals contacts: type .* Boss is here and not there$/)])
    expect(await failing(world)).toEqual([])
    expect(await open(world)).toEqual([refused('deals', 'association_types deals contacts', '1 row ', 'mine_key')])
    await world.db.query('drop table public.mine')
    await world.pass(61 * MINUTE, 20 * MINUTE)
    expect(await open(world)).toEqual([])
    expect(await world.db.query("select from hubspot.association_types where label = 'Boss'")).toEqual([])
  })
})

describe('what a user holds is left for the next read', () => {
  test('rows', async () => {
    await using world = await deals()
    const user = await world.db.pool.connect()
    await user.query('begin; select from hubspot.property_options for share')
    const property = (await world.db.query<{ property: string }>("select min(property) as property from hubspot.property_options where object = 'deals'"))[0]!.property
    world.store.addProperty('deals', { name: 'fresh', type: 'enumeration', fieldType: 'select', options: ['p', 'q'] })
    world.store.changeProperty('deals', property, { options: ['x', 'y'] })
    await world.pass(11 * MINUTE)
    expect(await hasProperty(world, 'fresh')).toBe(true)
    const options = (name: string) => world.db.query("select value from hubspot.property_options where object = 'deals' and property = $1 and value = any ('{p,q,x,y}') order by value", [name])
    expect([await options('fresh'), await options(property)]).toEqual([[{ value: 'p' }, { value: 'q' }], [{ value: 'x' }, { value: 'y' }]])
    expect(await failing(world)).toEqual([])
    expect(await open(world)).toEqual([refused('deals', 'property_options', 'another transaction holds')])
    await user.query('commit')
    user.release()
    await world.pass(11 * MINUTE)
    expect(await open(world)).toEqual([])
    expect(await world.db.query("select count(*)::int as n from hubspot.property_options where object = 'deals' and property = $1", [property])).toEqual([{ n: 2 }])
  })

  test('a whole table', async () => {
    await using world = await deals()
    const user = await world.db.pool.connect()
    await user.query('begin; lock table hubspot.pipelines')
    world.store.addProperty('deals', { name: 'fresh', type: 'number' })
    world.store.setPipelines('deals', [{ id: 'a', label: 'A', stages: [{ id: 'a1' }] }])
    await world.pass(11 * MINUTE)
    expect(await hasProperty(world, 'fresh')).toBe(true)
    expect(await failing(world)).toEqual([])
    expect(await open(world)).toEqual([refused('deals', 'pipelines', 'another transaction holds')])
    expect(await world.db.query("select id from hubspot.pipeline_stages where object = 'deals'")).toEqual([{ id: 'a1' }])
    await user.query('commit')
    user.release()
    await world.pass(11 * MINUTE)
    expect(await open(world)).toEqual([])
    expect(await world.db.query("select id from hubspot.pipelines where object = 'deals'")).toEqual([{ id: 'a' }])
  })
})

test('a row that a trigger of a user\'s refuses is left out; a column that he gave the table changes nothing', async () => {
  await using world = await startWorld('definitions')
  await world.db.query(`alter table hubspot.owners add column mine text default 'x';
    create function public.no() returns trigger language plpgsql as $$ begin raise exception 'not this one'; end $$;
    create trigger no before insert or update on hubspot.owners for each row when (new.email = 'no@example.com') execute function public.no()`)
  const id = world.store.addOwner({ email: 'no@example.com' })
  world.store.addOwner({ email: 'yes@example.com' })
  await world.pass(11 * MINUTE)
  const owners = () => world.db.query("select email, mine from hubspot.owners where email ~ '^(no|yes)@' order by email")
  expect(await owners()).toEqual([{ email: 'yes@example.com', mine: 'x' }])
  expect(await open(world)).toEqual([refused(null, 'owners', '1 row ', 'not this one')])
  world.store.changeOwner(id, { email: 'now@example.com' })
  await world.db.query("update hubspot.owners set mine = 'y'")
  const versions = () => world.db.query("select id, xmin from hubspot.owners where email <> 'now@example.com' order by id")
  const before = await versions()
  await world.pass(21 * MINUTE, 10 * MINUTE)
  expect(await open(world)).toEqual([])
  expect(await world.db.query("select mine from hubspot.owners where email = 'now@example.com'")).toEqual([{ mine: 'x' }])
  expect(await versions()).toEqual(before)
})
