import { describe, expect, test } from 'vitest'
import { emptyLeftOut, lacking, LIST, OBJECTS, problems, READ, type Spoil } from './support/lacking.ts'
import type { World } from './support/sync.ts'

// Records that come without some of the properties that were asked for.

const MINUTE = 60_000
const HOUR = 60 * MINUTE

/** What an answer has that was asked for nothing. */
const bare: Spoil = (record) => {
  record.properties = Object.fromEntries(['createdate', 'lastmodifieddate', 'hs_object_id'].flatMap((name) => (name in record.properties ? [[name, record.properties[name]]] : [])))
}
const nulled = ({ db }: World) => db.query("select record_id, changed from hubspot.changes where op = 'update' and jsonb_path_exists(changed, '$.email[1] ? (@ == null)')")
const lag = async ({ db, store }: World) => {
  const [row] = await db.query<{ complete_until: Date | string | null }>("select complete_until from hubspot.status where object = 'contacts'")
  return row?.complete_until ? store.now() - new Date(row.complete_until).getTime() : Infinity
}

describe('where HubSpot writes a property without a value as null', () => {
  test.for([['one of them', (record) => { delete record.properties['email'] }], ['all but dates', bare]] as [string, Spoil][])('a record that lacks %s keeps its row and is read again; the others follow', async ([, how]) => {
    const { world, ids, spoil, honest } = await lacking()
    await using _ = world
    await world.load('contacts', ['email', 'firstname', 'phone'])
    const [bad = '', other = ''] = ids
    const before = await world.row('contacts', bad)
    spoil(READ, (record, path) => { if (record.id === bad) how(record, path) })
    await world.advance(5_000)
    world.store.edit('contacts', [bad, other], { firstname: 'Ada' })
    await world.pass(12_000, 4_000)
    expect(await world.row('contacts', bad)).toEqual(before)
    expect(await world.row('contacts', other)).toMatchObject({ firstname: 'Ada' })
    await world.pass(30_000, 5_000)
    expect(await problems(world)).toEqual([{ code: 'SH212', record_id: bad, property: null }])
    honest()
    await world.pass(HOUR, 5 * MINUTE)
    expect(await world.differences('contacts')).toEqual([])
    expect(await problems(world)).toEqual([])
    expect(await nulled(world)).toEqual([])
  })

  test('a record that lacks one for good has its other values after four reads, and holds up nothing', async () => {
    const { world, ids, spoil, honest } = await lacking()
    await using _ = world
    await world.load('contacts', ['email', 'firstname', 'hs_email_open', 'createdate'])
    const [bad = ''] = ids
    const late = '900'
    const { email } = (await world.row<{ email: string }>('contacts', bad))!
    spoil(READ, ({ id, properties }) => { if (id === bad || id === late) for (const name of ['email', 'createdate']) delete properties[name] })
    world.store.edit('contacts', bad, { firstname: 'Ada' })
    world.store.create('contacts', [{ id: Number(late), properties: { firstname: 'Bob', email: 'bob@example.org' } }])
    await world.pass(2 * MINUTE, 2_000)
    expect(await world.row('contacts', bad)).toMatchObject({ firstname: 'Ada', email })
    expect(await world.row('contacts', late)).toMatchObject({ firstname: 'Bob', email: null })
    await world.pass(2 * HOUR, 5 * MINUTE)
    expect(await problems(world)).toMatchObject([{ code: 'SH212', record_id: bad }, { code: 'SH212', record_id: late }])
    expect(await lag(world)).toBeLessThan(90 * MINUTE)
    world.store.resetCalls()
    await world.pass(6 * HOUR, 5 * MINUTE)
    expect(world.store.calls({ kind: 'batch read' }).length).toBeLessThan(14)
    honest()
    await world.pass(HOUR, 5 * MINUTE)
    expect(await world.differences('contacts')).toEqual([])
    expect(await problems(world)).toEqual([])
  })

  test('one that lacks what it took in is read again, whatever was chosen: merged records go', async () => {
    const { world, ids, spoil, honest } = await lacking()
    await using _ = world
    await world.load('contacts', ['email', 'firstname', 'phone'])
    await world.advance(5_000)
    world.store.edit('contacts', ids[4]!, { phone: null })
    await world.pass(12_000, 4_000)
    spoil(READ, ({ properties }) => { delete properties['hs_merged_object_ids'] })
    const { id } = world.store.merge('contacts', ids[5]!, ids[2]!)
    await world.pass(6_000, 2_000)
    honest()
    await world.pass(MINUTE, 5_000)
    expect(await world.differences('contacts')).toEqual([])
    expect(await world.db.query('select lost_id, kept_id from hubspot.merges order by 1')).toEqual([ids[2], ids[5]].map((lost) => ({ lost_id: lost, kept_id: id })))
    expect(await problems(world)).toEqual([])
  })

  test.for(['changed', 'new'] as const)('one that has something else in place of what it lacks is seen to lack it: a %s one', async (which) => {
    const { world, ids, spoil, honest } = await lacking()
    await using _ = world
    await world.load('contacts', ['email', 'firstname', 'phone'])
    await world.advance(5_000)
    const id = which === 'new' ? '900' : ids[1]!
    const before = await world.row('contacts', id)
    spoil(READ, (record) => { if (record.id === id) { delete record.properties['email']; record.properties['hs_extra'] = '1' } })
    world.store.edit('contacts', [ids[0]!, ids[1]!, ids[3]!], { firstname: 'Ada' })
    if (which === 'new') world.store.create('contacts', [{ id: 900, properties: { firstname: 'Ada', email: 'new@example.org' } }])
    await world.pass(12_000, 4_000)
    expect(await world.row('contacts', ids[0]!)).toMatchObject({ firstname: 'Ada' })
    expect(await world.row('contacts', id)).toEqual(before)
    honest()
    await world.pass(MINUTE, 5_000)
    expect(await world.differences('contacts')).toEqual([])
    expect(await nulled(world)).toEqual([])
  })

  test('one of a full read that has something else in place of what it lacks is read by id', async () => {
    const { world, ids, spoil } = await lacking()
    await using _ = world
    await world.load('contacts', ['email', 'firstname', 'phone'])
    await world.advance(5_000)
    spoil(LIST, (record) => { if (record.id === ids[1]) { delete record.properties['email']; record.properties['hs_extra'] = '1' } })
    await world.db.query("select hubspot.verify('contacts')")
    await world.pass(MINUTE, 5_000)
    expect(await world.differences('contacts')).toEqual([])
    expect(await nulled(world)).toEqual([])
    expect(await problems(world)).toEqual([])
  })

  test('new records, and those of a full read, that lack all are not believed', async () => {
    const { world, ids, spoil, honest } = await lacking()
    await using _ = world
    await world.load('contacts', ['email', 'firstname'])
    spoil(OBJECTS, bare)
    world.store.create('contacts', [{ properties: { email: 'new@example.org', firstname: 'New' } }])
    await world.db.query("select hubspot.resync('contacts'), hubspot.refresh('contacts', $1)", [ids])
    await world.pass(MINUTE, 5_000)
    expect(await world.db.query('select count(*)::integer as rows, count(email)::integer > 0 as has_emails from hubspot.contacts')).toEqual([{ rows: 8, has_emails: true }])
    honest()
    await world.pass(HOUR, 5 * MINUTE)
    expect(await world.differences('contacts')).toEqual([])
    expect(await problems(world)).toEqual([])
    expect(await nulled(world)).toEqual([])
  })

  test.for(['all records', 'one record'] as const)('a fill of which %s lack what it is for writes nothing there', async (which) => {
    const { world, ids, spoil, honest } = await lacking()
    await using _ = world
    await world.load('contacts')
    world.store.addProperty('contacts', { name: 'shoe_size', type: 'string', filled: false })
    world.store.edit('contacts', ids, { shoe_size: 'old' })
    await world.pass(15 * MINUTE, MINUTE)
    world.store.archiveProperty('contacts', 'shoe_size')
    await world.pass(15 * MINUTE, MINUTE)
    world.store.restoreProperty('contacts', 'shoe_size')
    world.store.edit('contacts', ids, { shoe_size: 'new' }, { touch: false })
    spoil(OBJECTS, ({ id, properties }) => { if (which === 'all records' || id === ids[0]) delete properties['shoe_size'] })
    await world.pass(12 * MINUTE, 30_000)
    expect(await world.db.query('select shoe_size, count(*)::integer from hubspot.contacts group by 1 order by 1 desc')).toEqual(
      which === 'all records' ? [{ shoe_size: 'old', count: 8 }] : [{ shoe_size: 'old', count: 1 }, { shoe_size: 'new', count: 7 }])
    expect(await problems(world)).toMatchObject([which === 'all records' ? { code: 'SH215', property: 'shoe_size' } : { code: 'SH212', record_id: ids[0] }])
    honest()
    await world.pass(HOUR, 5 * MINUTE)
    expect(await world.differences('contacts')).toEqual([])
    expect(await problems(world)).toEqual([])
  })
})

describe('where nobody knows yet how HubSpot writes it', () => {
  test('a first load whose records lack all is not believed, and is read again', async () => {
    const { world, spoil, honest } = await lacking()
    await using _ = world
    spoil(LIST, bare)
    await world.load('contacts', ['email', 'firstname'])
    expect(await world.db.query('select from hubspot.contacts')).toEqual([])
    expect(await lag(world)).toBe(Infinity)
    honest()
    await world.pass(MINUTE, 5_000)
    expect(await world.differences('contacts')).toEqual([])
  })

  test.for(['some', 'all'] as const)('what was believed of records that lack %s is read again once a null was seen', async (which) => {
    const { world, spoil, honest } = await lacking()
    await using _ = world
    spoil(OBJECTS, which === 'all' ? bare : ({ properties }) => { for (const name of Object.keys(properties)) if (name === 'phone' || properties[name] === null) delete properties[name] })
    await world.load('contacts', ['email', 'firstname', 'phone'])
    await world.pass(MINUTE, 5_000)
    expect(await world.db.query('select count(*)::integer as rows, count(phone)::integer as phones from hubspot.contacts')).toEqual([{ rows: 8, phones: 0 }])
    honest()
    world.store.edit('contacts', [...world.store.records('contacts')][0]!.id, { firstname: 'Ada' })
    await world.pass(HOUR, 5 * MINUTE)
    expect(await world.differences('contacts')).toEqual([])
    expect(await problems(world)).toEqual([])
  })
})

test('where it leaves an empty one out, records that have none of them load after four reads, once, and a value goes with as many', async () => {
  const { world, ids } = await lacking({ settings: { emptyKeys: 'absent' }, objects: { contacts: 30 } })
  await using _ = world
  world.store.edit('contacts', ids, { city: null })
  await world.load('contacts', ['city'])
  await world.pass(MINUTE, 5_000)
  expect(await world.differences('contacts')).toEqual([])
  expect(world.store.calls({ kind: 'batch read' }).length).toBeLessThan(6)
  world.store.edit('contacts', ids, { city: 'Bern' })
  await world.pass(MINUTE, 5_000)
  world.store.resetCalls()
  world.store.edit('contacts', ids.slice(0, 3), { city: null })
  await world.pass(MINUTE, 5_000)
  expect(await world.differences('contacts')).toEqual([])
  expect(world.store.calls({ kind: 'batch read' }).length).toBeLessThan(7)
  expect(await world.db.query('select from hubspot_private.fetch_queue')).toEqual([])
  expect(await problems(world)).toEqual([])
})

test.for([['by id', READ], ['by list', LIST]] as const)('where it writes null but for reads %s, which leave an empty one out, the two are told apart', async ([, path]) => {
  const { world, ids, spoil } = await lacking({ objects: { contacts: 30 } })
  await using _ = world
  spoil(path, emptyLeftOut)
  world.store.edit('contacts', ids.slice(0, 20), { city: null, phone: null })
  await world.load('contacts', ['city', 'phone', 'email'])
  await world.pass(5 * MINUTE, 5_000)
  expect(await world.differences('contacts')).toEqual([])
  world.store.edit('contacts', ids.slice(15, 25), { city: null })
  await world.pass(20 * MINUTE, MINUTE)
  expect(await world.differences('contacts')).toEqual([])
  await world.db.query("select hubspot.resync('contacts')")
  await world.pass(20 * MINUTE, MINUTE)
  expect(await world.differences('contacts')).toEqual([])
  expect(await problems(world)).toEqual([])
  expect(await world.db.query('select from hubspot_private.fetch_queue')).toEqual([])
})

/** Where only the list leaves out what is empty, and nobody has a city. */
async function emptyLists() {
  const { world, ids, spoil } = await lacking({ objects: { contacts: 30 } })
  world.store.edit('contacts', ids, { city: null })
  spoil(LIST, emptyLeftOut)
  await world.load('contacts', ['city', 'phone', 'email'])
  await world.pass(5 * MINUTE, 30_000)
  world.store.edit('contacts', ids.slice(0, 3), { phone: '1' })
  await world.pass(MINUTE, 10_000)
  expect(await world.db.query("select is_empty_explicit from hubspot_private.objects where name = 'contacts'")).toEqual([{ is_empty_explicit: true }])
  return { world, ids, spoil }
}

test('where only its list leaves an empty one out, a record that the list passed over and a read by id found tells nothing of the list', async () => {
  const { world, ids, spoil } = await emptyLists()
  await using _ = world
  spoil(LIST, (record, path) => { emptyLeftOut(record, path); return record.id !== ids[1] })
  await world.db.query("select hubspot.resync('contacts')")
  await world.pass(3 * MINUTE, 5_000)
  spoil(LIST, emptyLeftOut)
  await world.db.query("select hubspot.resync('contacts')")
  await world.pass(3 * MINUTE, 5_000)
  expect(await problems(world)).toEqual([])
  world.store.edit('contacts', ids[5]!, { city: 'Bern' })
  await world.pass(MINUTE, 5_000)
  expect(await world.differences('contacts')).toEqual([])
})

test('where only its list leaves an empty one out, a property that reads by id kept back is tried by id', async () => {
  const { world, ids, spoil } = await emptyLists()
  await using _ = world
  spoil(OBJECTS, (record, path) => { if (READ.test(path)) delete record.properties['city']; else emptyLeftOut(record, path) })
  world.store.edit('contacts', ids.slice(0, 3), { phone: '2' })
  await world.pass(3 * MINUTE, 10_000)
  expect(await problems(world)).toMatchObject([{ code: 'SH215', property: 'city' }])
  await world.pass(20 * MINUTE, MINUTE)
  expect(await problems(world)).toMatchObject([{ code: 'SH215', property: 'city' }])
  spoil(LIST, emptyLeftOut)
  world.store.edit('contacts', ids[5]!, { city: 'Bern' })
  await world.pass(20 * MINUTE, MINUTE)
  expect(await problems(world)).toEqual([])
  expect(await world.differences('contacts')).toEqual([])
})
