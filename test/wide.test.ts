import { describe, expect, test } from 'vitest'
import type { ObjectInput } from '../src/sandbox/index.ts'
import { pagesOf, startWorld, type World } from './support/sync.ts'

// More columns, wider rows and longer names than Postgres takes.

type Properties = NonNullable<ObjectInput['properties']>

/** A custom object with nothing but these properties, and so many records; `value` fills them. */
async function thing(properties: Properties, count = 1, value?: (name: string, record: number) => string): Promise<World> {
  const world = await startWorld('wide')
  world.store.addObject({ name: 'thing', properties: properties.map((property) => ({ filled: false, ...property })) })
  world.store.create('thing', Array.from({ length: count }, (_, i) => ({
    properties: value === undefined ? {} : Object.fromEntries(properties.map(({ name }) => [name, value(name, i)])),
  })))
  await world.db.query('select hubspot.sync()')
  await world.drain()
  return world
}

const idsOf = (world: World) => [...world.store.records('thing')].map(({ id }) => id)
const open = (world: World) => world.db.query<{ code: string; record_id: string; message: string }>(
  'select code, record_id, property, message from hubspot.problems where resolved_at is null order by code, record_id, property')
const row = async (world: World, id: string) => (await world.row<Record<string, unknown> & { _extra: Record<string, string> | null }>('thing', id))!
const resync = async (world: World) => {
  await world.db.query("select hubspot.resync('thing')")
  await world.drain()
  return (await world.db.query("select rows_read, inserted, updated, unchanged from hubspot.runs where stream = 'resync' order by id desc limit 1"))[0]
}
const refresh = async (world: World, ...ids: string[]) => {
  await world.db.query("select hubspot.refresh('thing', $1)", [ids])
  await world.drain()
}
const names = (count: number, prefix = 'text') => Array.from({ length: count }, (_, i) => `${prefix}_${String(i).padStart(4, '0')}`)
/** What the row holds, column and _extra together, is what HubSpot has. */
const whole = async (world: World, id: string) => {
  const { _extra, ...columns } = await row(world, id)
  const wanted = world.store.record('thing', id)!.properties
  for (const name of Object.keys(wanted).filter((name) => name.includes('_0'))) {
    if ((wanted[name] ?? '') !== '') expect([columns[name] ?? _extra?.[name], name]).toEqual([wanted[name], name])
    if (_extra !== null && name in _extra) expect(columns[name]).toBeNull()
  }
  return Object.keys(_extra ?? {})
}

describe('a row of 460 long texts', () => {
  const properties = [...names(230), ...names(230, 'hs_text')].map((name) => ({ name, hidden: name === 'text_0007' }))
  const long = (name: string, record: number) => `${name}: The quick brown fox jumps over the lazy dog ${record}`

  test('spills what few look at into _extra, with a problem that names it, and un-spills when it is narrower', async () => {
    await using world = await thing(properties, 3, long)
    const [wide = '', other = ''] = idsOf(world)
    world.store.edit('thing', other, Object.fromEntries(properties.map(({ name }) => [name, 'short'])))
    await world.load('thing')
    const spilled = await whole(world, wide)
    // 460 pointers of 18 bytes are 8,280.
    expect(spilled.length).toBeGreaterThan(20)
    expect(spilled.length).toBeLessThan(40)
    expect(spilled.filter((name) => !name.startsWith('hs_'))).toEqual(['text_0007'])
    expect(await whole(world, other)).toEqual([])
    const problems = await open(world)
    expect(problems.map(({ code, record_id }) => [code, record_id])).toEqual(idsOf(world).filter((id) => id !== other).map((id) => ['SH214', id]))
    for (const name of spilled) expect(problems[0]!.message).toContain(name)
    // The same again is no change.
    const before = await row(world, wide)
    expect(await resync(world)).toEqual({ rows_read: '3', inserted: '0', updated: '0', unchanged: '3' })
    expect(await row(world, wide)).toEqual(before)
    // One of the spilled changes: that is one.
    world.store.edit('thing', wide, { [spilled[0]!]: 'another text that is as long as the one before it was' }, { touch: false })
    expect(await resync(world)).toMatchObject({ updated: '1', unchanged: '2' })
    await whole(world, wide)
    world.store.edit('thing', wide, Object.fromEntries(names(40).map((name) => [name, null])))
    await refresh(world, wide)
    expect(await whole(world, wide)).toEqual([])
    expect((await open(world)).map(({ record_id }) => record_id)).toEqual([idsOf(world)[2]])
    expect((await world.db.query("select state, rows from hubspot.status where object = 'thing'"))[0]).toEqual({ state: 'live', rows: '3' })
  })

  test.for([
    ['of 23 bytes, which are stored in the row', () => 'twenty-three bytes here'],
    ['that compress to almost nothing, and stay in the row', () => 'x'.repeat(1000)],
    ['of few letters that compress to some twenty bytes', (name: string) => `${name.slice(-2)}`.repeat(12) + 'abcdefg'.repeat(30)],
    ['of random letters', (name: string, record: number) => Array.from({ length: 60 }, (_, i) => String.fromCodePoint(97 + ((name.charCodeAt(name.length - 1) * 7 + record * 13 + i * i * 11 + i * 17) % 26))).join('')],
    ['in other scripts', (name: string) => `注文${name}مرحبا🚀`.repeat(3)],
  ] as const)('%s', async ([, value]) => {
    await using world = await thing(properties, 2, value)
    await world.load('thing')
    for (const id of idsOf(world)) expect((await whole(world, id)).length).toBeGreaterThan(0)
    expect((await open(world)).map(({ code }) => code)).toEqual(['SH214', 'SH214'])
    expect(await resync(world)).toMatchObject({ updated: '0', unchanged: '2' })
  })

  test('is no matter where the table cannot hold such a row', async () => {
    await using world = await thing(properties.slice(0, 100), 1, long)
    await world.load('thing')
    const [{ source } = { source: '' }] = await world.db.query<{ source: string }>("select hubspot_private.apply_source('thing') as source")
    expect(source).not.toContain('spill')
    const made = await world.db.query<{ prosrc: string }>("select prosrc from pg_proc where proname ~ '^(write|differing)_[0-9]+$' and prosrc like '%hubspot.thing%'")
    expect(made).toHaveLength(2)
    for (const { prosrc } of made) expect(prosrc).not.toMatch(/extra_kept|_extra - /)
    expect(await world.differences('thing')).toEqual([])
  })
})

test('a row of every type at once, as wide as can be, is written', async () => {
  const types = ['string', 'number', 'datetime', 'date', 'bool', 'string', 'string', 'number'] as const
  const properties = names(900, 'mix').map((name, i) => ({ name, type: types[i % types.length]! }))
  const values = { string: 'twenty-three bytes here', number: '12345.678', datetime: '2026-01-02T03:04:05.678Z', date: '2026-01-02', bool: 'true' } as const
  await using world = await thing(properties, 2, (name) => values[types[Number(name.slice(4)) % types.length]!])
  await world.load('thing')
  const [id = ''] = idsOf(world)
  const spilled = Object.keys((await row(world, id))._extra!)
  expect(spilled.length).toBeGreaterThan(0)
  expect(spilled.every((name) => types[Number(name.slice(4)) % types.length] === 'string')).toBe(true)
  expect((await open(world)).map(({ code }) => code)).toEqual(['SH214', 'SH214'])
})

test('a row that cannot be written even spilled is left out with a problem, and heals', async () => {
  const properties = names(640, 'number').map((name) => ({ name, type: 'number' }))
  await using world = await thing(properties, 3)
  const [wide = ''] = idsOf(world)
  world.store.edit('thing', wide, Object.fromEntries(properties.map(({ name }, i) => [name, Array.from({ length: 80 }, (_, n) => ((i + 7) * (n + 11) * 7919) % 97 % 10).join('')])))
  await world.load('thing')
  expect(await open(world)).toEqual([expect.objectContaining({ code: 'SH213', record_id: wide })])
  expect((await world.db.query("select state, rows from hubspot.status where object = 'thing'"))[0]).toEqual({ state: 'live', rows: '2' })
  world.store.edit('thing', wide, Object.fromEntries(properties.map(({ name }) => [name, '9'])), { touch: false })
  await world.pass(16 * 60_000, 8 * 60_000)
  expect(await open(world)).toEqual([])
  expect(await world.differences('thing')).toEqual([])
})

test('what a column held when it was last chosen is not in the way of what is chosen now', async () => {
  const long = (name: string, record: number) => `${name}: The quick brown fox jumps over the lazy dog ${record}`
  await using world = await thing([...names(420), ...names(420, 'other')].map((name) => ({ name })), 2, long)
  await world.load('thing', names(420))
  await world.db.query("select hubspot.track('thing', $1)", [names(420, 'other')])
  await world.drain()
  expect(await world.differences('thing')).toEqual([])
  expect(await open(world)).toEqual([])
  expect((await world.db.query('select count(text_0001)::int as old, count(other_0001)::int as new from hubspot.thing'))[0]).toEqual({ old: 0, new: 2 })
})

describe('columns that are no longer filled', () => {
  const long = (name: string, record: number) => `${name}: The quick brown fox jumps over the lazy dog ${record}`

  test('lose nothing to a value that an index refuses', async () => {
    await using world = await thing(names(4).map((name) => ({ name })), 3, long)
    await world.load('thing')
    await world.db.query('create index on hubspot.thing (text_0000)')
    world.store.archiveProperty('thing', 'text_0002')
    await world.pass(11 * 60_000, 60_000)
    await world.db.query("select hubspot.track('thing', '{text_0000,text_0001}')")
    await world.drain()
    const [id = ''] = idsOf(world)
    const before = await row(world, id)
    await world.advance(1_000)
    world.store.edit('thing', id, { text_0000: Array.from({ length: 4_000 }, (_, i) => String.fromCodePoint(0x4e00 + (i * i * 7919) % 20_000)).join('') })
    await world.pass(30_000, 10_000)
    expect((await open(world)).map(({ code, record_id }) => [code, record_id])).toEqual([['SH213', id]])
    expect(before).toMatchObject({ text_0002: long('text_0002', 0), text_0003: long('text_0003', 0) })
    expect(await row(world, id)).toEqual(before)
  })

  test.for(['refused', 'archived'] as const)('since HubSpot has them %s keep a row from no edit: what they hold goes to _extra, with a problem, and stays', async (how) => {
    const kept = names(40)
    await using world = await thing([...names(430), ...names(30, 'hs_text')].map((name) => ({ name })), 2, long)
    await world.load('thing')
    const [id = '', other = ''] = idsOf(world)
    const change = (unreadable: 'named' | null) => {
      for (const name of kept) {
        if (how === 'refused') world.store.changeProperty('thing', name, { unreadable })
        else if (unreadable === null) world.store.restoreProperty('thing', name)
        else world.store.archiveProperty('thing', name)
      }
    }
    const all = async (record: string, n: number, present = names(430)) => {
      const { _extra, ...columns } = await row(world, record)
      for (const name of present) expect([name, columns[name] ?? _extra?.[name]]).toEqual([name, name === 'text_0429' && n === 0 ? 'another' : long(name, n)])
      return Object.keys(_extra ?? {})
    }
    await world.db.query("select hubspot.enable_changes('thing')")
    change('named')
    // The column is kept, and so it is when the definitions are read before any record is.
    if (how === 'archived') await world.pass(11 * 60_000, 60_000)
    await world.advance(1_000)
    world.store.edit('thing', id, { text_0429: 'another' })
    await world.pass(60_000, 10_000)
    expect(await row(world, id)).toMatchObject({ text_0429: 'another' })
    expect(await all(id, 0)).toEqual(expect.arrayContaining(kept))
    const problems = async () => (await open(world)).filter(({ code }) => code !== 'SH215')
    expect((await problems()).map(({ code, record_id }) => [code, record_id])).toContainEqual(['SH214', id])
    expect((await problems()).filter(({ code }) => code !== 'SH214')).toEqual([])
    // Read again it is as it is.
    const before = await row(world, id)
    await world.db.query("select hubspot.resync('thing')")
    await world.pass(60_000, 10_000)
    expect(await row(world, id)).toEqual(before)
    await all(other, 1)
    // What of it left its column, the feed tells.
    const [told] = await world.db.query<{ names: string[] }>(
      "select array_agg(distinct c) as names from hubspot.changes f, jsonb_object_keys(f.changed) c where f.record_id = $1 and f.op = 'update'", [id])
    expect(told!.names).toEqual(expect.arrayContaining(['_extra', 'text_0000', 'text_0039', 'text_0429']))
    change(null)
    await world.pass(20 * 60_000, 5 * 60_000)
    for (const [n, record] of [id, other].entries()) expect((await all(record, n)).every((name) => name.startsWith('hs_'))).toBe(true)
    expect((await open(world)).map(({ code }) => code)).toEqual(['SH214', 'SH214'])
  })
})

describe('1,700 properties with colliding names of 63 bytes', () => {
  const stem = (i: number) => `${'p'.repeat(56)}_${String(i % 17).padStart(6, '0')}`
  const properties: Properties = Array.from({ length: 1_700 }, (_, i) => ({ name: i < 17 ? stem(i) : `${stem(i)}_${i}` }))

  test('each has its column or its place in _extra, the same in every database, and each value is there', async () => {
    const all: unknown[] = []
    for (const order of [properties, properties.toReversed()]) {
      await using world = await thing(order, 3, (name, record) => (name.length % 5 === record ? name.slice(-4) : ''))
      await world.load('thing')
      expect(await world.differences('thing')).toEqual([])
      const columns = await world.db.query<{ property: string; column_name: string | null }>("select property, column_name from hubspot.properties where object = 'thing' order by property")
      const placed = columns.flatMap(({ column_name }) => column_name ?? [])
      expect(placed).toHaveLength(1_000)
      expect(new Set(placed).size).toBe(1_000)
      expect(Math.max(...placed.map((name) => Buffer.byteLength(name)))).toBe(63)
      expect(await open(world)).toEqual([])
      expect(await resync(world)).toMatchObject({ updated: '0', unchanged: '3' })
      const [id = ''] = idsOf(world)
      await world.advance(1_000)
      world.store.edit('thing', id, { [columns.at(-1)!.property]: 'polled' })
      await world.pass(11_000)
      expect(await world.differences('thing')).toEqual([])
      all.push(columns)
    }
    expect(all[0]).toEqual(all[1])
  })
})

test('columns that were dropped count: from 1,500 ever made, what is new goes to _extra', async () => {
  await using world = await thing(names(30).map((name) => ({ name })), 2, (name) => name)
  await world.load('thing', names(10))
  for (let i = 0; i < 10; i += 1) {
    const made = Array.from({ length: 148 }, (_, n) => `c_${i}_${n}`)
    await world.db.query(`alter table hubspot.thing ${made.map((name) => `add column ${name} text`).join(', ')}`)
    await world.db.query(`alter table hubspot.thing ${made.map((name) => `drop column ${name}`).join(', ')}`)
  }
  await world.db.query("select hubspot.track('thing')")
  await world.drain()
  const [columns] = await world.db.query("select count(column_name)::int as placed, (select max(attnum)::int from pg_attribute where attrelid = 'hubspot.thing'::regclass) as made from hubspot.properties where object = 'thing' and is_selected")
  expect(columns).toEqual({ placed: 15, made: 1_500 })
  expect(await world.differences('thing')).toEqual([])
  // Dropped by its owner, it cannot be made anew: its values stay all the same.
  await world.db.query('alter table hubspot.thing drop column text_0003')
  await world.pass(11 * 60_000)
  expect(await world.differences('thing')).toEqual([])
  expect((await row(world, idsOf(world)[0]!))._extra).toMatchObject({ text_0003: 'text_0003' })
})

test('a column that someone drops is made anew and filled; one that he gave the table is his', async () => {
  await using world = await thing(names(3).map((name) => ({ name })), 2, (name) => name)
  await world.load('thing', ['text_0000', 'text_0001'])
  await world.db.query('alter table hubspot.thing drop column text_0001')
  await world.db.query('alter table hubspot.thing add column text_0002 integer default 7')
  await world.db.query("select hubspot.track('thing')")
  await world.drain()
  expect(await world.differences('thing')).toEqual([])
  const [{ column_name } = { column_name: '' }] = await world.db.query<{ column_name: string }>("select column_name from hubspot.properties where property = 'text_0002'")
  expect(column_name).toMatch(/^text_0002_[0-9a-f]{6}$/)
  expect(await row(world, idsOf(world)[0]!)).toMatchObject({ text_0002: 7, [column_name]: 'text_0002' })
})

test('more properties than a URL takes are read by batch, whatever stream reads them', async () => {
  const long = names(300, `${'n'.repeat(60)}`)
  const world = await startWorld('wide', { client: pagesOf(5) })
  await using _ = world
  world.store.addObject({ name: 'thing', properties: long.map((name) => ({ name, filled: false })) })
  const records = world.store.create('thing', Array.from({ length: 12 }, (_, i) => ({ properties: { [long[i]!]: `of ${i}` } })))
  await world.db.query('select hubspot.sync()')
  await world.drain()
  await world.load('thing')
  expect(await world.differences('thing')).toEqual([])
  expect(Math.max(...world.store.calls({ object: 'thing' }).map(({ url }) => url.length))).toBeLessThan(1_000)
  await world.advance(1_000)
  world.store.edit('thing', records[3]!.id, { [long[299]!]: 'polled' })
  await world.pass(11_000)
  expect(await resync(world)).toMatchObject({ rows_read: '12', updated: '0' })
  expect(await world.differences('thing')).toEqual([])
})
