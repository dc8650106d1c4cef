import { describe, expect, test } from 'vitest'
import { emptyLeftOut, lacking, OBJECTS, problems, READ, type Spoil } from './support/lacking.ts'
import type { World } from './support/sync.ts'

// What records lack together: a property that HubSpot keeps back, or what is empty, which it leaves out from now on.

const MINUTE = 60_000
const HOUR = 60 * MINUTE

const parked = ({ db }: World) => db.query("select property from hubspot.problems where code = 'SH215'")
const explicit = async ({ db }: World) => (await db.query("select is_list_explicit as by_list, is_empty_explicit as by_id from hubspot_private.objects where name = 'contacts'"))[0]
/** Contacts of which some have no phone, seen with null both ways. */
async function written(count: number) {
  const it = await lacking({ objects: { contacts: count } })
  const { world, ids } = it
  world.store.edit('contacts', ids, { city: null, phone: '1', email: 'a@example.org' })
  world.store.edit('contacts', ids.slice(0, Math.ceil(count / 3)), { city: 'Bern', phone: null })
  await world.load('contacts', ['city', 'phone', 'email', 'firstname'])
  await world.advance(5_000)
  world.store.edit('contacts', ids.slice(0, 2), { firstname: 'First' })
  await world.pass(MINUTE, 5_000)
  expect(await explicit(world)).toEqual({ by_list: true, by_id: true })
  return it
}
/** Full reads one after the other, each after the definitions. */
async function fullReads(world: World, times: number) {
  for (let n = 0; n < times; n += 1) {
    await world.db.query("select hubspot_private.run_request('contacts', 'schema')")
    await world.pass(20_000, 5_000)
    await world.db.query("select hubspot.resync('contacts')")
    await world.pass(40_000, 5_000)
  }
}

describe('a property that', () => {
  test.for([['the two records of the last page', 102, 2], ['a dozen records', 112, 12], ['two of three records', 3, 2]] as const)('%s lack is no property that cannot be read', async ([, count, bad]) => {
    const { world, ids, spoil, honest } = await written(count)
    await using _ = world
    const last = ids.slice(-bad)
    spoil(OBJECTS, ({ id, properties }) => { if (last.includes(id)) delete properties['email'] })
    await fullReads(world, 3)
    expect(await problems(world)).toMatchObject(last.map((id) => ({ code: 'SH212', record_id: id })))
    for (const id of last) world.store.edit('contacts', id, { firstname: 'Ada' })
    await fullReads(world, 2)
    honest()
    await world.pass(2 * HOUR, 5 * MINUTE)
    expect(await parked(world)).toEqual([])
    expect(await problems(world)).toEqual([])
    expect(await world.differences('contacts')).toEqual([])
  })

  test('some lack beside others that nobody asked for yet, in reads by id alone, is none either', async () => {
    const { world, ids, spoil, honest } = await written(60)
    await using _ = world
    const bad = ids.slice(-8)
    spoil(READ, ({ id, properties }) => { if (bad.includes(id)) delete properties['email'] })
    for (const id of bad.slice(0, 3)) {
      world.store.edit('contacts', id, { firstname: 'Ada' })
      await world.pass(2 * MINUTE, 5_000)
    }
    expect(await parked(world)).toEqual([])
    honest()
    await world.pass(2 * HOUR, 5 * MINUTE)
    expect(await problems(world)).toEqual([])
    expect(await world.differences('contacts')).toEqual([])
  })

  test.for([[2, 'list'], [2, 'id'], [60, 'list'], [230, 'id']] as const)('all of %i records lack, as a read by %s shows, is one that cannot be read', async ([count, by]) => {
    const { world, ids, spoil, honest } = await written(count)
    await using _ = world
    const emails = () => world.db.query<{ n: number }>('select count(email)::integer as n from hubspot.contacts')
    const before = await emails()
    spoil(OBJECTS, ({ properties }) => { delete properties['email'] })
    world.store.resetCalls()
    if (by === 'list') await world.db.query("select hubspot.resync('contacts')")
    else world.store.edit('contacts', ids.slice(0, 200), { firstname: 'Ada' })
    await world.pass(3 * MINUTE, 5_000)
    expect(await problems(world)).toMatchObject([{ code: 'SH215', property: 'email' }])
    expect(world.store.calls({ kind: 'batch read' }).length).toBeLessThan(25)
    await world.pass(20 * MINUTE, MINUTE)
    expect(await emails()).toEqual(before)
    expect(await world.db.query("select from hubspot_private.fetch_queue")).toEqual([])
    honest()
    await world.pass(20 * MINUTE, MINUTE)
    expect(await problems(world)).toEqual([])
    expect(await world.differences('contacts')).toEqual([])
  })
})

describe('where HubSpot wrote null', () => {
  test.for([6, 30, 230])('and leaves what is empty out from now on, that is believed within the hour: of %i records', async (count) => {
    const { world, ids, spoil, honest } = await written(count)
    await using _ = world
    spoil(OBJECTS, emptyLeftOut)
    world.store.edit('contacts', ids.slice(0, 1), { phone: '2', city: null })
    await world.db.query("select hubspot.resync('contacts')")
    await world.pass(HOUR, MINUTE)
    expect(await explicit(world)).toMatchObject({ by_id: false })
    expect(await problems(world)).toEqual([])
    expect(await world.differences('contacts')).toEqual([])
    await world.db.query("select hubspot.resync('contacts')")
    await world.pass(20 * MINUTE, MINUTE)
    expect(await explicit(world)).toEqual({ by_list: false, by_id: false })
    world.store.edit('contacts', ids.slice(1, 4), { city: null, phone: '3' })
    world.store.resetCalls()
    await world.pass(5 * MINUTE, 5_000)
    expect(await world.differences('contacts')).toEqual([])
    expect(world.store.calls({ kind: 'batch read' }).length).toBeLessThan(8)
    expect(await problems(world)).toEqual([])
    expect(await parked(world)).toEqual([])
    // That it writes null again is believed at once.
    honest()
    world.store.edit('contacts', ids.slice(0, 2), { email: 'again@example.org' })
    await world.pass(5 * MINUTE, 5_000)
    expect(await explicit(world)).toMatchObject({ by_id: true })
    expect(await world.differences('contacts')).toEqual([])
  })

  test('and reads by id leave what is empty out from now on, that is believed though one record alone is read', async () => {
    const { world, ids, spoil } = await written(60)
    await using _ = world
    spoil(READ, emptyLeftOut)
    world.store.edit('contacts', ids.slice(20, 21), { phone: '2' })
    await world.pass(90 * MINUTE, MINUTE)
    expect(await explicit(world)).toEqual({ by_list: true, by_id: false })
    expect(await world.differences('contacts')).toEqual([])
    expect(await problems(world)).toEqual([])
    expect(await world.db.query('select from hubspot_private.fetch_queue')).toEqual([])
  })

  const cut: [string, (ids: string[]) => Spoil][] = [
    ['a record', ([id]) => (record) => { if (record.id === id) emptyLeftOut(record, '') }],
    ['a few of those with neither', (ids) => (record) => { if (ids.slice(0, 5).includes(record.id)) emptyLeftOut(record, '') }],
    ['two of three', (ids) => (record) => { if (ids.slice(0, 20).includes(record.id)) emptyLeftOut(record, '') }],
    ['all lack what most have, and a few write null, that', () => ({ properties }) => { delete properties['email'] }],
    ['none writes null, but they leave out what they have: every other', () => (record) => { emptyLeftOut(record, ''); if (Number(record.id) % 2 === 0) delete record.properties['email'] }],
  ]
  test.for(cut)('and %s is cut short for hours, that is not believed', async ([, how]) => {
    const { world, ids, spoil, honest } = await written(30)
    await using _ = world
    spoil(OBJECTS, how(ids))
    world.store.edit('contacts', ids, { email: 'new@example.org' })
    await world.db.query("select hubspot.resync('contacts')")
    await world.pass(2 * HOUR, 5 * MINUTE)
    expect(await explicit(world)).toEqual({ by_list: true, by_id: true })
    expect(await world.db.query("select from hubspot.contacts where email is null")).toEqual([])
    honest()
    await world.pass(2 * HOUR, 5 * MINUTE)
    expect(await world.differences('contacts')).toEqual([])
    expect(await problems(world)).toEqual([])
  })

  test('and answers are cut short for ten minutes, and again later, that is not believed', async () => {
    const { world, ids, spoil, honest } = await written(30)
    await using _ = world
    for (let n = 0; n < 3; n += 1) {
      spoil(OBJECTS, emptyLeftOut)
      world.store.edit('contacts', ids, { email: `${n}@example.org` })
      await world.db.query("select hubspot.resync('contacts')")
      await world.pass(10 * MINUTE, MINUTE)
      honest()
      await world.db.query("select hubspot.resync('contacts')")
      await world.pass(20 * MINUTE, MINUTE)
    }
    expect(await explicit(world)).toEqual({ by_list: true, by_id: true })
    expect(await world.differences('contacts')).toEqual([])
    expect(await problems(world)).toEqual([])
  })
})
