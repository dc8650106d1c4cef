import { describe, expect, test } from 'vitest'
import { hold, pagesOf, startWorld, type World } from './support/sync.ts'

// Columns whose type changes: another one is filled beside the old and takes its place.

const MINUTE = 60_000
const TYPES = { string: 'text', number: 'numeric', bool: 'boolean', date: 'date', datetime: 'timestamptz', checkbox: 'text[]' } as const
type Kind = keyof typeof TYPES
/** What HubSpot calls it. */
const input = (kind: Kind) => (kind === 'checkbox' ? { type: 'enumeration', fieldType: 'checkbox', options: ['a', 'b'] } : { type: kind })
const VALUES = ['12.5', 'true', 'false', '2026-03-01', '2026-03-01T10:20:30Z', '1700000000000', 'a;b', 'plain text', 'b', ''] as const

/** Things with these properties, a record for each value. */
async function things(properties: readonly { name: string; kind: Kind }[], page = 100): Promise<World> {
  const world = await startWorld('retype', { client: pagesOf(page) })
  world.store.addObject({ name: 'thing', properties: properties.map(({ name, kind }) => ({ name, filled: false, ...input(kind) })) })
  world.store.create('thing', VALUES.map((value) => ({ properties: Object.fromEntries(properties.map(({ name }) => [name, value])) })))
  await world.db.query('select hubspot.sync()')
  await world.drain()
  await world.load('thing')
  await world.advance(1_000)
  return world
}

const idsOf = (world: World) => [...world.store.records('thing')].map(({ id }) => id)
const open = (world: World) => world.db.query<{ code: string; property: string; message: string; hint: string }>('select code, property, message, hint from hubspot.problems where resolved_at is null order by code, property, record_id')
const typeOf = async (world: World, column: string) =>
  (await world.db.query<{ type: string }>("select format_type(atttypid, null) as type from pg_attribute where attrelid = 'hubspot.thing'::regclass and attname = $1 and not attisdropped", [column]))[0]?.type
const columns = async (world: World) =>
  (await world.db.query<{ name: string }>("select attname as name from pg_attribute where attrelid = 'hubspot.thing'::regclass and attnum > 0 and not attisdropped and attname not like '\\_%' order by attname")).map(({ name }) => name)
const spare = (world: World) => world.db.query("select attname from pg_attribute where attrelid = 'hubspot.thing'::regclass and attname like '%\\_next%' and not attisdropped")
const retype = (world: World, property: string, type: string | null) => world.db.query("select hubspot.retype_column('thing', $1, $2)", [property, type])
const change = (world: World, property: string, kind: Kind) => world.store.changeProperty('thing', property, input(kind))
/** Open SH209 are for the values that do not fit, and no others. */
const misfits = async (world: World) => {
  const rows = await world.db.query<{ n: number }>("select coalesce(sum((select count(*) from jsonb_object_keys(_extra))), 0)::int as n from hubspot.thing")
  const problems = (await open(world)).filter(({ code }) => code === 'SH209')
  expect(problems).toHaveLength(rows[0]!.n)
}

const kinds = Object.keys(TYPES) as Kind[]
const pairs = kinds.flatMap((from) => kinds.filter((to) => to !== from).map((to) => ({ name: `${from}_to_${to}`, from, to })))

describe('a type that changes, in every direction at once', () => {
  test('in HubSpot: a column of the new type takes the place of the old, and every value is in it or in _extra', async () => {
    await using world = await things(pairs.map(({ name, from }) => ({ name, kind: from })))
    for (const { name, to } of pairs) change(world, name, to)
    await world.pass(11 * MINUTE)
    expect(await world.differences('thing')).toEqual([])
    for (const { name, to } of pairs) expect([name, await typeOf(world, name)]).toEqual([name, { ...TYPES, datetime: 'timestamp with time zone' }[to]])
    expect(await spare(world)).toEqual([])
    await misfits(world)
    expect(await world.db.query("select updated from hubspot.runs where stream = 'fill'")).toEqual([{ updated: '9' }])
    expect(await world.db.query("select 1 from hubspot.runs where stream = 'resync'")).toEqual([])
    await world.db.query("select hubspot.resync('thing')")
    await world.drain()
    expect(await world.db.query("select updated from hubspot.runs where stream = 'resync'")).toEqual([{ updated: '0' }])
  })

  test('by retype_column: and that type stays, whatever HubSpot says later', async () => {
    await using world = await things(pairs.map(({ name, from }) => ({ name, kind: from })))
    for (const { name, to } of pairs) await retype(world, name, TYPES[to])
    await world.drain()
    expect(await world.differences('thing')).toEqual([])
    for (const { name } of pairs) change(world, name, 'number')
    await world.pass(11 * MINUTE)
    for (const { name, to } of pairs) expect([name, await typeOf(world, name)]).toEqual([name, { ...TYPES, datetime: 'timestamp with time zone' }[to]])
    expect(await world.differences('thing')).toEqual([])
    expect(await spare(world)).toEqual([])
    await misfits(world)
    // Until it is given back to HubSpot.
    for (const { name } of pairs) await retype(world, name, null)
    await world.drain()
    for (const { name } of pairs) expect([name, await typeOf(world, name)]).toEqual([name, 'numeric'])
    expect(await world.differences('thing')).toEqual([])
  })
})

test('until the new column is filled the old one goes on, and what does not fit is in _extra; an interrupted fill is finished by another', async () => {
  await using world = await things([{ name: 'price', kind: 'number' }, { name: 'other', kind: 'string' }], 4)
  const [first = '', , , , , last = ''] = idsOf(world)
  change(world, 'price', 'string')
  await world.advance(11 * MINUTE)
  await world.run('thing', 'schema')
  expect(await world.db.query("select column_type, next_type, filling_run is not null as is_filling from hubspot.properties where property = 'price'")).toEqual([{ column_type: 'numeric', next_type: 'text', is_filling: true }])
  const holder = (await hold(world, 'thing', 'fill'))!
  await holder.commit(await holder.ask())
  await holder.ask()
  // Its worker dies here; meanwhile records change.
  world.store.edit('thing', [first, last], { price: 'about ten' })
  await world.advance(11_000)
  await world.run('thing', 'poll')
  await world.run('thing', 'fetch')
  expect(await world.row('thing', first)).toMatchObject({ price: null, _extra: { price: 'about ten' } })
  world.store.edit('thing', first, { price: '10' })
  await world.advance(11_000)
  await world.run('thing', 'poll')
  await world.run('thing', 'fetch')
  expect(await world.row('thing', first)).toMatchObject({ price: 10, _extra: null })
  expect(await typeOf(world, 'price')).toBe('numeric')
  await world.pass(2 * MINUTE, 10_000)
  expect(await typeOf(world, 'price')).toBe('text')
  expect(await world.row('thing', last)).toMatchObject({ price: 'about ten', _extra: null })
  expect(await world.differences('thing')).toEqual([])
  expect(await spare(world)).toEqual([])
  expect(await open(world)).toEqual([])
})

test('a record that has to be read whole is read before the new column takes its place', async () => {
  await using world = await things([{ name: 'price', kind: 'number' }])
  const [id = ''] = idsOf(world)
  change(world, 'price', 'string')
  await world.advance(11 * MINUTE)
  await world.run('thing', 'schema')
  world.store.edit('thing', id, { price: 'new' })
  await world.run('thing', 'fill')
  await world.run('thing', 'build')
  expect(await typeOf(world, 'price')).toBe('numeric')
  expect(await world.row('thing', id)).toMatchObject({ price: 12.5 })
  await world.run('thing', 'fetch')
  await world.pass(11_000)
  expect(await typeOf(world, 'price')).toBe('text')
  expect(await world.differences('thing')).toEqual([])
})

test('a property that changes type five times, each before the last is done, and back', async () => {
  await using world = await things([{ name: 'price', kind: 'number' }, { name: 'other', kind: 'string' }], 4)
  const made = async () => (await world.db.query<{ made: number }>("select max(attnum)::int as made from pg_attribute where attrelid = 'hubspot.thing'::regclass"))[0]!.made
  const before = await made()
  for (const kind of ['string', 'bool', 'date', 'datetime', 'checkbox'] as const) {
    change(world, 'price', kind)
    await world.advance(11 * MINUTE)
    await world.run('thing', 'schema')
    await world.run('thing', 'fill', 0, world.worker('brief', { sliceMs: 0 }))
    await world.advance(31_000)
  }
  await world.drain()
  expect(await typeOf(world, 'price')).toBe('text[]')
  expect(await world.differences('thing')).toEqual([])
  for (const kind of ['string', 'bool', 'date', 'datetime', 'number'] as const) {
    change(world, 'price', kind)
    await world.pass(11 * MINUTE)
    expect(await typeOf(world, 'price')).toBe({ ...TYPES, datetime: 'timestamp with time zone' }[kind])
    expect(await world.differences('thing')).toEqual([])
  }
  await misfits(world)
  expect(await made()).toBe(before + 10)
  expect(await spare(world)).toEqual([])
  // Back before it is done: the old column stays.
  change(world, 'price', 'string')
  await world.advance(11 * MINUTE)
  await world.run('thing', 'schema')
  change(world, 'price', 'number')
  await world.pass(11 * MINUTE)
  expect(await typeOf(world, 'price')).toBe('numeric')
  expect(await spare(world)).toEqual([])
  expect(await world.differences('thing')).toEqual([])
})

describe('a column that something of a user\'s depends on', () => {
  const USES = [
    ['a view', 'create view public.mine as select id, price from hubspot.thing', 'drop view public.mine', 'view public.mine'],
    ['a materialized view', 'create materialized view public.mine as select price from hubspot.thing', 'drop materialized view public.mine', 'materialized view public.mine'],
    ['an index', 'create index mine on hubspot.thing (price)', 'drop index hubspot.mine', 'index hubspot.mine'],
    ['an index on an expression', 'create index mine on hubspot.thing ((price * 2))', 'drop index hubspot.mine', 'index hubspot.mine'],
    ['a trigger on it', 'create function public.mine() returns trigger language plpgsql as $$ begin return null; end $$; create trigger mine after update of price on hubspot.thing for each row execute function public.mine()', 'drop function public.mine() cascade', 'trigger mine on table hubspot.thing'],
    ['a constraint', 'alter table hubspot.thing add constraint mine check (price > -1)', 'alter table hubspot.thing drop constraint mine', 'constraint mine on table hubspot.thing'],
    ['a generated column', 'alter table hubspot.thing add column mine numeric generated always as (price * 2) stored', 'alter table hubspot.thing drop column mine', 'column mine of table hubspot.thing'],
    ['a policy', 'create policy mine on hubspot.thing using (price > 0)', 'drop policy mine on hubspot.thing', 'policy mine on table hubspot.thing'],
    ['a function in SQL', 'create function public.mine() returns numeric language sql begin atomic select max(price) from hubspot.thing; end', 'drop function public.mine()', 'function public.mine()'],
    ['statistics', 'create statistics public.mine on price, other from hubspot.thing', 'drop statistics public.mine', 'statistics object public.mine'],
    ['a default', 'alter table hubspot.thing alter column price set default 0', 'alter table hubspot.thing alter column price drop default', 'default value for column price'],
    ['privileges on it', 'grant select (price) on hubspot.thing to public', 'revoke select (price) on hubspot.thing from public', 'privileges on the column'],
  ] as const

  test('keeps its type, with a problem that names what is in the way; once that is gone it follows', { timeout: 120_000 }, async () => {
    await using world = await things([{ name: 'price', kind: 'number' }, { name: 'other', kind: 'string' }])
    const [id = ''] = idsOf(world)
    let [now, next]: Kind[] = ['number', 'string']
    for (const [what, make, drop, name] of USES) {
      await world.db.query(make)
      change(world, 'price', next!)
      await world.pass(11 * MINUTE)
      expect([what, (await open(world)).filter(({ code }) => code === 'SH221')]).toEqual([what, [expect.objectContaining({ code: 'SH221', property: 'price', message: expect.stringContaining(name) as string, hint: expect.stringContaining("hubspot.retype_column('thing', 'price', 'text')") as string })]])
      expect([what, await typeOf(world, 'price')]).toEqual([what, TYPES[now!]])
      expect(await spare(world)).toEqual([])
      await world.advance(1_000)
      world.store.edit('thing', id, { price: 'no number' })
      await world.pass(11_000)
      expect(await world.row('thing', id)).toMatchObject({ price: null, _extra: { price: 'no number' } })
      const error = await retype(world, 'price', 'text').catch((caught: unknown) => caught as { code: string; message: string })
      expect(error).toMatchObject({ code: 'SH114', message: expect.stringContaining(name) as string })
      await world.db.query(drop)
      await world.pass(11 * MINUTE)
      expect([what, await typeOf(world, 'price')]).toEqual([what, TYPES[next!]])
      expect((await open(world)).filter(({ code }) => code === 'SH221')).toEqual([])
      expect(await world.differences('thing')).toEqual([])
      // As it was, for the next.
      change(world, 'price', now!)
      await world.pass(11 * MINUTE)
      expect(await typeOf(world, 'price')).toBe('numeric')
    }
  })

  test('keeps its type also where that comes while the new column is being filled; or for good, where someone says so', async () => {
    await using world = await things([{ name: 'price', kind: 'number' }])
    change(world, 'price', 'string')
    await world.advance(11 * MINUTE)
    await world.run('thing', 'schema')
    expect(await spare(world)).toHaveLength(1)
    await world.db.query('create view public.mine as select id, price from hubspot.thing')
    await world.drain()
    expect(await spare(world)).toEqual([])
    expect(await typeOf(world, 'price')).toBe('numeric')
    expect((await open(world)).map(({ code }) => code).filter((code) => code !== 'SH209')).toEqual(['SH221'])
    await retype(world, 'price', 'numeric')
    await world.drain()
    expect((await open(world)).filter(({ code }) => code === 'SH221')).toEqual([])
    await world.pass(11 * MINUTE)
    expect((await open(world)).filter(({ code }) => code === 'SH221')).toEqual([])
    expect(await world.differences('thing')).toEqual([])
  })
})

test('a table that can be given no more columns keeps its types, and what does not fit is in _extra', async () => {
  await using world = await things([{ name: 'price', kind: 'number' }])
  for (let i = 0; i < 10; i += 1) {
    const made = Array.from({ length: 150 }, (_, n) => `c_${i}_${n}`)
    await world.db.query(`alter table hubspot.thing ${made.map((name) => `add column ${name} text`).join(', ')}`)
    await world.db.query(`alter table hubspot.thing ${made.map((name) => `drop column ${name}`).join(', ')}`)
  }
  change(world, 'price', 'string')
  await world.pass(11 * MINUTE)
  expect((await open(world)).filter(({ code }) => code === 'SH221')).toMatchObject([{ message: expect.stringContaining('no more columns') as string }])
  expect(await typeOf(world, 'price')).toBe('numeric')
  expect(await world.differences('thing')).toEqual([])
  await expect(retype(world, 'price', 'text')).rejects.toMatchObject({ code: 'SH104', hint: expect.stringContaining('drop_table => true') as string })
  await world.db.query("select hubspot.untrack('thing', drop_table => true)")
  await world.load('thing')
  expect(await typeOf(world, 'price')).toBe('text')
  expect(await world.differences('thing')).toEqual([])
})

test('archived, refused, no longer chosen or untracked while the new column is being filled: it is given up, and done when it can be', async () => {
  for (const way of ['archived', 'refused', 'unchosen', 'untracked'] as const) {
    await using world = await things([{ name: 'price', kind: 'number' }, { name: 'other', kind: 'string' }], 4)
    change(world, 'price', 'string')
    await world.advance(11 * MINUTE)
    await world.run('thing', 'schema')
    await world.run('thing', 'fill', 0, world.worker('brief', { sliceMs: 0 }))
    if (way === 'archived') world.store.archiveProperty('thing', 'price')
    if (way === 'refused') world.store.changeProperty('thing', 'price', { unreadable: 'named' })
    if (way === 'unchosen') await world.db.query("select hubspot.track('thing', '{other}')")
    if (way === 'untracked') await world.db.query("select hubspot.untrack('thing')")
    await world.advance(MINUTE)
    await world.drain()
    await world.pass(11 * MINUTE)
    expect([way, await typeOf(world, 'price')]).toEqual([way, 'numeric'])
    if (way === 'archived') world.store.restoreProperty('thing', 'price')
    if (way === 'refused') world.store.changeProperty('thing', 'price', { unreadable: null })
    if (way === 'unchosen' || way === 'untracked') await world.db.query("select hubspot.track('thing')")
    await world.pass(32 * MINUTE, 8 * MINUTE)
    expect([way, await typeOf(world, 'price')]).toEqual([way, 'text'])
    expect([way, await world.differences('thing')]).toEqual([way, []])
    expect(await columns(world)).toEqual(['id', 'other', 'price'].concat((await columns(world)).filter((name) => name.startsWith('hs_') || name.startsWith('hubspot_'))).sort())
    expect(await spare(world)).toEqual([])
    expect(await open(world)).toEqual([])
  }
})

test('retype_column: errors say what to do', async () => {
  await using world = await things([{ name: 'price', kind: 'number' }])
  const fails = async (...args: (string | null)[]) => {
    const error = await world.db.query('select hubspot.retype_column($1, $2, $3)', args).then(() => undefined, (caught: unknown) => caught as { code: string; message: string; hint: string })
    return `${error?.code} ${error?.message} → ${error?.hint}`
  }
  expect(await fails('things', 'price', 'text')).toMatch(/^SH101/)
  expect(await fails('thing', 'prise', 'text')).toMatch(/^SH103 .* → Did you mean price\?/)
  for (const type of ['integer', 'jsonb', '', 'text; drop table x', 'text[][]']) expect(await fails('thing', 'price', type)).toMatch(/^SH104 a property's column cannot be of type .* → Give text, numeric, boolean, date, timestamptz or text\[\]/)
  await world.db.query("select hubspot.track('thing', '{hs_object_id}')")
  await world.drain()
  expect(await fails('thing', 'price', 'text')).toMatch(/^SH104 property price of thing is not chosen/)
  for (const type of [' Text ', 'varchar', 'timestamp with time zone', 'DECIMAL', 'bool']) {
    await world.db.query("select hubspot.track('thing')")
    await world.drain()
    await retype(world, 'price', type)
    await world.drain()
    expect(await world.differences('thing')).toEqual([])
  }
  expect(await typeOf(world, 'price')).toBe('boolean')
})
