import { describe, expect, test } from 'vitest'
import type { Client } from '../src/hubspot/client.ts'
import { hold, pagesOf, startWorld, type World } from './support/sync.ts'

// Properties come and go: what is new is read for it alone, by pages that hold nothing else.

const MINUTE = 60_000

async function contacts(count = 12, properties: readonly string[] | null = null, page = 5, wrap = (client: Client) => client): Promise<World> {
  const world = await startWorld('drift', { sandbox: { objects: { contacts: count } }, client: (client, sandbox) => wrap(pagesOf(page)(client, sandbox)) })
  await world.load('contacts', properties ?? undefined)
  await world.advance(1_000)
  return world
}

const idsOf = (world: World) => [...world.store.records('contacts')].map(({ id }) => id)
const lists = (world: World) => world.store.calls({ object: 'contacts', kind: 'list' }).filter(({ url }) => !url.includes('archived=true'))
const open = (world: World) => world.db.query('select code, property, record_id from hubspot.problems where resolved_at is null order by property, record_id')
const runs = (world: World, stream: string) => world.db.query('select state, rows_read, updated from hubspot.runs where stream = $1 order by id', [stream])
const places = (world: World) => world.db.query<{ property: string; column_name: string | null; column_type: string }>(
  "select property, column_name, column_type from hubspot.properties where object = 'contacts' and is_selected and archived_at is null order by property")
const queue = (world: World) => world.db.query<{ id: string }>("select id from hubspot_private.fetch_queue where object = 'contacts' and reason = 'fill' order by id")
/** A new property with values that no modified date tells of. */
const add = (world: World, name: string, value: (i: number) => string | null, type = 'string') => {
  world.store.addProperty('contacts', { name, type, filled: false })
  for (const [i, id] of idsOf(world).entries()) world.store.edit('contacts', id, { [name]: value(i) }, { touch: false })
}
describe('a property that is added', () => {
  test('is read for it alone: fewer bytes than a full read, and neither dates nor other columns move', async () => {
    let bytes = 0
    await using world = await contacts(12, null, 5, (client) => ({
      ...client,
      async request(request) {
        const answer = await client.request(request)
        bytes += answer.body?.length ?? 0
        return answer
      },
    }))
    const [id = ''] = idsOf(world)
    // An edit without a date of its own is a full read's to find.
    world.store.edit('contacts', id, { firstname: 'Unseen' }, { touch: false })
    const before = await world.db.query('select id, _synced_at, _updated_at, firstname from hubspot.contacts order by id')
    add(world, 'shoe_size', (i) => (i === 3 ? null : i === 4 ? 'wide' : `${36 + i}`), 'number')
    await world.advance(11 * MINUTE)
    await world.run('contacts', 'schema')
    world.store.resetCalls()
    bytes = 0
    await world.run('contacts', 'fill')
    const filled = bytes
    await world.drain()
    expect(await world.db.query('select id, _synced_at, _updated_at, firstname from hubspot.contacts order by id')).toEqual(before)
    expect(await runs(world, 'fill')).toEqual([{ state: 'done', rows_read: '12', updated: '11' }])
    expect(await runs(world, 'resync')).toEqual([])
    const calls = lists(world)
    expect(calls).toHaveLength(3)
    for (const { url } of calls) expect(new URL(url, 'http://x').searchParams.getAll('properties').join().split(',').sort()).toEqual(['lastmodifieddate', 'shoe_size'])
    expect(world.store.calls({ object: 'contacts', kind: 'batch read' })).toEqual([])
    expect(await open(world)).toEqual([{ code: 'SH209', property: 'shoe_size', record_id: idsOf(world)[4] }])
    await world.db.query("select hubspot.resync('contacts')")
    bytes = 0
    await world.run('contacts', 'resync')
    expect(bytes).toBeGreaterThan(5 * filled)
    await world.drain()
    expect((await runs(world, 'resync')).at(-1)).toMatchObject({ updated: '1' })
    expect(await world.differences('contacts')).toEqual([])
  })

  test('goes to _extra beyond the ceiling of columns, filled all the same', async () => {
    await using world = await contacts(7, ['firstname'])
    await world.db.query("select hubspot.configure('max_columns', 1)")
    await world.db.query("select hubspot.track('contacts', '{firstname,shoe_size}')").catch(() => undefined)
    add(world, 'shoe_size', (i) => (i % 2 === 0 ? `${i}` : null))
    await world.db.query("select hubspot.track('contacts', null)")
    await world.drain()
    expect((await places(world)).filter(({ column_name }) => column_name !== null)).toHaveLength(1)
    expect(await world.row('contacts', idsOf(world)[2]!)).toMatchObject({ _extra: { shoe_size: '2' } })
    expect(await world.differences('contacts')).toEqual([])
  })

  test('whose name clashes gets another, and is filled', async () => {
    await using world = await contacts(3)
    await world.db.query("select hubspot.rename_column('contacts', 'firstname', 'given')")
    await world.db.query('alter table hubspot.contacts add column mine integer default 7')
    for (const name of ['id', 'ctid', 'given', 'mine', 'select', 'a'.repeat(90)]) add(world, name, (i) => `${name.slice(0, 9)} ${i}`)
    await world.pass(11 * MINUTE)
    const names = Object.fromEntries((await places(world)).map(({ property, column_name }) => [property, column_name]))
    expect(names).toMatchObject({ id: 'id_', ctid: 'ctid_', select: 'select', firstname: 'given' })
    expect(names['given']).toMatch(/^given_[0-9a-f]{6}$/)
    expect(names['mine']).toMatch(/^mine_[0-9a-f]{6}$/)
    expect(await world.differences('contacts')).toEqual([])
    expect(await world.row('contacts', idsOf(world)[0]!)).toMatchObject({ mine: 7 })
  })
})

describe('a page of some properties alone', () => {
  test('writes a row only where it is of the version that the row has; what else it shows or leaves out is read whole', async () => {
    await using world = await contacts(10, ['firstname'], 4)
    const ids = idsOf(world)
    const [edited = '', locked = '', archived = '', late = ''] = [ids[0], ids[1], ids[2], ids[9]]
    add(world, 'shoe_size', (i) => `${i}`)
    await world.db.query("select hubspot.track('contacts', null)")
    world.store.archive('contacts', archived)
    await world.run('contacts', 'schema')
    world.store.edit('contacts', edited, { firstname: 'Ada' })
    const user = await world.db.pool.connect()
    await user.query('begin; set local lock_timeout = 0')
    await user.query('select from hubspot.contacts where id = $1 for update', [locked])
    const holder = (await hold(world, 'contacts', 'fill'))!
    await holder.commit(await holder.ask())
    expect(await world.row('contacts', edited)).toMatchObject({ shoe_size: null })
    expect((await queue(world)).map(({ id }) => id)).toEqual([edited, locked].sort((a, b) => Number(a) - Number(b)))
    const [added] = world.store.create('contacts', [{ id: Number(late) - 1, properties: { shoe_size: 'new' } }])
    await holder.commit(await holder.ask())
    await holder.commit(await holder.ask())
    // What it leaves out waits for its end, which tells how much that is.
    expect((await queue(world)).map(({ id }) => id)).toEqual(expect.arrayContaining([added!.id, archived]))
    await user.query('commit')
    user.release()
    await world.pass(MINUTE, 10_000)
    expect(await world.row('contacts', archived)).toBeUndefined()
    expect(await world.differences('contacts')).toEqual([])
  })

  test('that was asked for before a row was written writes nothing to it', async () => {
    await using world = await contacts(4, ['firstname'])
    const [id = ''] = idsOf(world)
    add(world, 'shoe_size', () => 'old')
    await world.db.query("select hubspot.track('contacts', null)")
    await world.run('contacts', 'schema')
    const holder = (await hold(world, 'contacts', 'fill'))!
    const page = await holder.ask()
    // The same version, read whole later, says something else.
    world.store.edit('contacts', id, { shoe_size: 'new' }, { touch: false })
    await world.db.query("select hubspot.refresh('contacts', $1)", [[id]])
    await world.run('contacts', 'fetch')
    expect(await world.row('contacts', id)).toMatchObject({ shoe_size: 'new' })
    await holder.commit(page)
    expect(await world.row('contacts', id)).toMatchObject({ shoe_size: 'new' })
    await world.pass(MINUTE, 10_000)
    expect(await world.differences('contacts')).toEqual([])
  })

  test('of an older column set is asked again, and a fill that is interrupted goes on where it stood', async () => {
    await using world = await contacts(12, ['firstname'])
    add(world, 'shoe_size', (i) => `${i}`)
    await world.db.query("select hubspot.track('contacts', null)")
    await world.run('contacts', 'schema')
    const holder = (await hold(world, 'contacts', 'fill'))!
    await holder.commit(await holder.ask())
    const page = await holder.ask()
    add(world, 'hat_size', (i) => `${i}`)
    await world.advance(11 * MINUTE)
    await world.run('contacts', 'schema')
    expect(await holder.commit(page)).toMatchObject({ outcome: 'again' })
    world.store.resetCalls()
    await world.pass(MINUTE)
    // Two pages are left of the first, and the second begins from the start.
    expect(lists(world)).toHaveLength(2 + 3)
    expect(await world.differences('contacts')).toEqual([])
    expect((await runs(world, 'fill')).map(({ state }) => state)).toEqual(['done', 'done'])
    expect(await world.db.query('select 1 from hubspot.properties where filling_run is not null')).toEqual([])
  })

  test('that is not in id order, or leaves out too much, hands over to a full read', async () => {
    await using world = await startWorld('drift', { sandbox: { objects: { contacts: 300 } } })
    await world.load('contacts', ['firstname'])
    add(world, 'shoe_size', (i) => `${i}`)
    for (const trouble of ['order', 'absent'] as const) {
      if (trouble === 'absent') add(world, 'hat_size', (i) => `${i}`)
      await world.db.query("select hubspot.track('contacts', null)")
      await world.run('contacts', 'schema')
      const holder = (await hold(world, 'contacts', 'fill'))!
      const got = await holder.ask()
      const body = JSON.parse(got.body!.toString()) as { results: unknown[]; paging?: unknown }
      const results = trouble === 'order' ? body.results.toReversed() : body.results.slice(0, 20)
      await holder.commit({ ...got, body: Buffer.from(JSON.stringify(trouble === 'order' ? { ...body, results } : { results })) })
      expect(await queue(world)).toEqual([])
      expect((await world.db.query("select distinct r.stream from hubspot.properties p join hubspot.runs r on r.id = p.filling_run"))).toEqual([{ stream: 'resync' }])
      await world.drain()
      expect(await world.differences('contacts')).toEqual([])
      expect(await world.db.query('select count(*)::int as rows from hubspot.contacts')).toEqual([{ rows: 300 }])
    }
  })

  test('fills rows that are near the widest by reading them whole', async () => {
    await using world = await startWorld('drift')
    const names = Array.from({ length: 440 }, (_, i) => `text_${String(i).padStart(4, '0')}`)
    world.store.addObject({ name: 'thing', properties: names.map((name) => ({ name, filled: false })) })
    const long = (name: string) => `${name}: The quick brown fox jumps over the lazy dog`
    const [wide] = world.store.create('thing', [{ properties: Object.fromEntries(names.map((name) => [name, long(name)])) }, { properties: {} }])
    await world.db.query('select hubspot.sync()')
    await world.drain()
    await world.load('thing', names.slice(0, 400))
    expect((await world.row('thing', wide!.id))!['_extra']).toBeNull()
    await world.db.query("select hubspot.track('thing')")
    await world.drain()
    const row = (await world.row<Record<string, unknown>>('thing', wide!.id))!
    const spilled = row['_extra'] as Record<string, string>
    expect(Object.keys(spilled).length).toBeGreaterThan(0)
    for (const name of names) expect(row[name] ?? spilled[name]).toBe(long(name))
    expect(await world.db.query('select code from hubspot.problems where resolved_at is null')).toEqual([{ code: 'SH214' }])
  })
})

test('a property that is archived keeps its column; restored, with other values, it is filled', async () => {
  await using world = await contacts(6)
  const ids = idsOf(world)
  for (const id of ids) world.store.edit('contacts', id, { jobtitle: 'old' })
  await world.pass(11_000)
  world.store.archiveProperty('contacts', 'jobtitle')
  await world.pass(11 * MINUTE)
  expect(await world.row('contacts', ids[0]!)).toMatchObject({ jobtitle: 'old' })
  expect(await world.differences('contacts')).toEqual([])
  for (const id of ids) world.store.edit('contacts', id, { jobtitle: 'new' }, { touch: false })
  world.store.restoreProperty('contacts', 'jobtitle')
  await world.pass(11 * MINUTE)
  expect(await world.row('contacts', ids[0]!)).toMatchObject({ jobtitle: 'new' })
  expect(await world.differences('contacts')).toEqual([])
  expect(await runs(world, 'resync')).toEqual([])
})

test('labels, descriptions and options follow, and no record is read for them', async () => {
  await using world = await contacts(3)
  world.store.addProperty('contacts', { name: 'size', type: 'enumeration', options: [{ value: 's', label: 'Small' }, { value: 'm', label: 'Medium' }] })
  await world.pass(11 * MINUTE)
  world.store.resetCalls()
  world.store.changeProperty('contacts', 'size', { label: 'Hat size', description: 'Of the head', options: [{ value: 'm', label: 'Middling' }, { value: 'l', label: 'Large', hidden: true }] })
  await world.pass(11 * MINUTE)
  expect(lists(world)).toEqual([])
  expect(await world.db.query("select value, label, is_hidden from hubspot.property_options where object = 'contacts' and property = 'size' order by value")).toEqual([
    { value: 'l', label: 'Large', is_hidden: true }, { value: 'm', label: 'Middling', is_hidden: false }])
  expect(await world.db.query("select col_description(attrelid, attnum) as text from pg_attribute where attrelid = 'hubspot.contacts'::regclass and attname = 'size'")).toEqual([{ text: 'Hat size: Of the head' }])
  expect(await world.db.query("select label from hubspot.properties where object = 'contacts' and property = 'size'")).toEqual([{ label: 'Hat size' }])
  expect(await world.differences('contacts')).toEqual([])
})

test('1,700 properties that are added and archived in turn leave a table that works, what is beyond the ceiling in _extra', { timeout: 300_000 }, async () => {
  await using world = await startWorld('drift', { sandbox: { objects: { vehicle: 3 } } })
  await world.load('vehicle')
  const [id = ''] = [...world.store.records('vehicle')].map((record) => record.id)
  const step = 170
  for (let from = 0; from < 1_700; from += step) {
    const names = Array.from({ length: step }, (_, i) => `turn_${from + i}`)
    for (const name of names) world.store.addProperty('vehicle', { name, filled: false })
    world.store.edit('vehicle', id, Object.fromEntries(names.map((name) => [name, `value of ${name}`])), { touch: false })
    await world.pass(11 * MINUTE)
    expect(await world.differences('vehicle')).toEqual([])
    for (const name of names.slice(0, -1)) world.store.archiveProperty('vehicle', name)
    await world.pass(11 * MINUTE)
    // More than half of them: it is asked once more.
    await world.pass(MINUTE)
    expect(await world.differences('vehicle')).toEqual([])
  }
  const [made] = await world.db.query<{ made: number }>("select max(attnum)::int as made from pg_attribute where attrelid = 'hubspot.vehicle'::regclass")
  expect(made!.made).toBeLessThanOrEqual(1_500)
  const { _extra: extra, ...row } = (await world.row<Record<string, unknown> & { _extra: Record<string, string> }>('vehicle', id))!
  expect(extra).toMatchObject({ turn_1189: 'value of turn_1189', turn_1359: 'value of turn_1359', turn_1529: 'value of turn_1529', turn_1699: 'value of turn_1699' })
  // What was archived stays, in its column or in _extra.
  const names = Array.from({ length: 1_700 }, (_, i) => `turn_${i}`)
  expect(names.filter((name) => (row[name] ?? extra[name]) !== `value of ${name}`)).toEqual([])
  expect(names.filter((name) => name in row && row[name] !== null && name in extra)).toEqual([])
  expect(await runs(world, 'resync')).toEqual([])
})
