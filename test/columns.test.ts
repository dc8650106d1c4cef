import { describe, expect, test } from 'vitest'
import { hold, startWorld, type World } from './support/sync.ts'

// What becomes of columns: other names, other choices, other ways of deleting.

const FIELDS = ['firstname', 'lastname', 'jobtitle'] as const

async function contacts(count = 3, properties: readonly string[] = FIELDS): Promise<World> {
  const world = await startWorld('columns', { sandbox: { objects: { contacts: count } } })
  await world.load('contacts', properties)
  await world.advance(1_000)
  return world
}

const idsOf = (world: World) => [...world.store.records('contacts')].map(({ id }) => id)
const rename = (world: World, ...args: (string | null)[]) => world.db.query('select hubspot.rename_column($1, $2, $3)', args)
const comment = async (world: World, column: string) =>
  (await world.db.query<{ text: string }>("select col_description('hubspot.contacts'::regclass, attnum) as text from pg_attribute where attrelid = 'hubspot.contacts'::regclass and attname = $1", [column]))[0]?.text ?? ''
const track = async (world: World, properties: readonly string[] | null, onDelete?: string) => {
  await world.db.query(`select hubspot.track('contacts', $1${onDelete === undefined ? '' : `, '${onDelete}'`})`, [properties])
  await world.drain()
}

describe('rename_column', () => {
  test('gives up within seconds where someone holds the table, and holds up nobody who reads', async () => {
    await using world = await startWorld('rename_held', { sandbox: { objects: { contacts: 3 } } })
    await world.load('contacts', ['firstname'])
    const reader = await world.db.pool.connect()
    await reader.query('begin; select from hubspot.contacts')
    const renaming = expect(rename(world, 'contacts', 'firstname', 'given')).rejects.toMatchObject({
      code: 'SH220', message: expect.stringContaining('hubspot.contacts is held') as string, hint: expect.stringContaining("'hubspot.contacts'::regclass") as string,
    })
    const began = performance.now()
    await world.db.query('select from hubspot.contacts')
    expect(performance.now() - began).toBeLessThan(1_000)
    await renaming
    await reader.query('commit')
    reader.release()
    await rename(world, 'contacts', 'firstname', 'given')
    expect(await world.db.query('select count(given)::integer as n from hubspot.contacts')).toEqual([{ n: 3 }])
  })

  test('gives the live column another name for good; views, indexes and the sync go on', async () => {
    await using world = await contacts()
    const [id = ''] = idsOf(world)
    await world.db.query('create view public.mine as select id, firstname from hubspot.contacts')
    await world.db.query('create index mine on hubspot.contacts (lower(firstname))')
    await rename(world, 'contacts', 'firstname', 'First "name"; drop')
    world.store.edit('contacts', id, { firstname: 'Ada' })
    await world.pass(11_000)
    expect(await world.row('contacts', id)).toMatchObject({ 'First "name"; drop': 'Ada' })
    expect(await world.db.query('select firstname from public.mine where id = $1', [id])).toEqual([{ firstname: 'Ada' }])
    await rename(world, 'contacts', 'firstname', 'given_name')
    // The same name is no change, and a name that another one left is free.
    await rename(world, '0-1', 'firstname', 'given_name')
    await rename(world, 'contacts', 'lastname', 'firstname')
    await world.db.query("select hubspot.resync('contacts')")
    await world.pass(11 * 60_000)
    expect((await world.db.query("select updated from hubspot.runs where stream = 'resync' order by id desc limit 1"))[0]).toEqual({ updated: '0' })
    await track(world, [...FIELDS, 'email'])
    expect(await world.differences('contacts')).toEqual([])
    expect(await world.db.query("select column_name from hubspot.properties where object = 'contacts' and property in ('firstname', 'lastname') order by property")).toEqual([{ column_name: 'given_name' }, { column_name: 'firstname' }])
    expect(await world.db.query("select 1 from pg_indexes where indexname = 'mine' and indexdef like '%given_name%'")).toHaveLength(1)
    expect(await world.db.query("select 1 from hubspot.problems where resolved_at is null")).toEqual([])
  })

  test('in the middle of a step: the page is asked again', async () => {
    await using world = await contacts()
    await world.db.query("select hubspot.resync('contacts')")
    const holder = (await hold(world, 'contacts', 'resync'))!
    const page = await holder.ask()
    await rename(world, 'contacts', 'firstname', 'given_name')
    expect(await holder.commit(page)).toMatchObject({ outcome: 'again' })
    await world.pass(31_000)
    expect(await world.differences('contacts')).toEqual([])
  })

  test('errors say what to do', async () => {
    await using world = await contacts()
    await world.db.query('alter table hubspot.contacts add column score integer')
    const fails = async (...args: (string | null)[]) => {
      const error = await rename(world, ...args).then(() => undefined, (caught: unknown) => caught as { code: string; message: string; hint: string })
      return `${error?.code} ${error?.message} → ${error?.hint}`
    }
    expect(await fails('contact', 'firstname', 'a')).toMatch(/^SH101 .*contact is not tracked → Did you mean contacts\?/)
    expect(await fails('deals', 'dealname', 'a')).toMatch(/^SH101/)
    expect(await fails(null, 'firstname', 'a')).toMatch(/^SH104 the object is null/)
    expect(await fails('contacts', 'first_name', 'a')).toMatch(/^SH103 object contacts has no property first_name → Did you mean firstname\?/)
    expect(await fails('contacts', null, 'a')).toMatch(/^SH103 .* → select property/)
    expect(await fails('contacts', 'phone', 'a')).toMatch(/^SH104 property phone of contacts has no column → Choose it first/)
    expect(await fails('contacts', 'firstname', null)).toMatch(/^SH104 .*null → Give a name of 1 to 63 bytes/)
    expect(await fails('contacts', 'firstname', '')).toMatch(/^SH104 .*empty/)
    expect(await fails('contacts', 'firstname', 'é'.repeat(32))).toMatch(/^SH104 .*64 bytes/)
    for (const reserved of ['id', '_extra', '_archived_at', 'ctid', 'tableoid']) expect(await fails('contacts', 'firstname', reserved)).toMatch(/^SH104 .*is reserved/)
    for (const taken of ['lastname', 'score']) expect(await fails('contacts', 'firstname', taken)).toMatch(/^SH104 table hubspot.contacts has a column (lastname|score)/)
    await rename(world, 'contacts', 'firstname', 'é'.repeat(31))
    expect(await world.differences('contacts')).toEqual([])
  })
})

describe('track again with other properties', () => {
  test('fills what is new, keeps what is not chosen with a mark, and brings it up to date when it is chosen again', async () => {
    await using world = await contacts()
    const [one = '', two = ''] = idsOf(world)
    world.store.edit('contacts', [one, two], { jobtitle: 'old' })
    await world.pass(11_000)
    await track(world, ['firstname', 'email'])
    expect(await world.differences('contacts')).toEqual([])
    expect(await world.row('contacts', one)).toMatchObject({ jobtitle: 'old' })
    expect(await comment(world, 'jobtitle')).toMatch(/\(no longer chosen since \d{4}-\d\d-\d\d \d\d:\d\d UTC: not kept up to date\)/)
    expect(await comment(world, 'firstname')).not.toContain('(')
    // One changes while nobody asks, and the other is read for another reason.
    world.store.edit('contacts', one, { jobtitle: 'new' }, { touch: false })
    world.store.edit('contacts', two, { jobtitle: 'newer', firstname: 'Ada' })
    await world.pass(11_000)
    expect(await world.row('contacts', two)).toMatchObject({ jobtitle: 'old', firstname: 'Ada' })

    await world.db.query("select hubspot.track('contacts', '{firstname,jobtitle}')")
    await world.run('contacts', 'schema')
    await world.run('contacts', 'archive')
    // Until all rows are read nobody takes it for fresh.
    expect(await comment(world, 'jobtitle')).toMatch(/being filled, run \d+: until it is done, some rows lack it or hold an older value/)
    await world.pass(11 * 60_000)
    expect(await world.row('contacts', one)).toMatchObject({ jobtitle: 'new' })
    expect(await world.differences('contacts')).toEqual([])
    expect(await comment(world, 'jobtitle')).not.toContain('(')
    expect(await world.db.query("select count(*)::int as columns from pg_attribute where attrelid = 'hubspot.contacts'::regclass and attnum > 0 and attname like 'jobtitle%'")).toEqual([{ columns: 1 }])
  })

  test('reads the object only for what is new, and that alone', async () => {
    await using world = await contacts()
    await track(world, ['firstname'])
    expect(await world.db.query("select 1 from hubspot.runs where stream = 'resync'")).toEqual([])
    world.store.archiveProperty('contacts', 'firstname')
    await world.pass(11 * 60_000)
    expect(await world.db.query("select 1 from hubspot.runs where stream = 'resync'")).toEqual([])
    for (const id of idsOf(world)) world.store.edit('contacts', id, { firstname: 'Ada' }, { touch: false })
    world.store.restoreProperty('contacts', 'firstname')
    await world.pass(11 * 60_000)
    expect(await world.db.query("select stream, state, updated from hubspot.runs where stream in ('resync', 'fill')")).toEqual([{ stream: 'fill', state: 'done', updated: '3' }])
    expect(await world.differences('contacts')).toEqual([])
  })

  test('takes what did not fit out of _extra when it is no longer chosen', async () => {
    await using world = await contacts(3, ['firstname', 'hs_email_open'])
    const [id = ''] = idsOf(world)
    world.store.edit('contacts', id, { hs_email_open: 'many' })
    await world.pass(11_000)
    expect(await world.row('contacts', id)).toMatchObject({ _extra: { hs_email_open: 'many' } })
    await track(world, ['firstname'])
    expect(await world.row('contacts', id)).toMatchObject({ _extra: null })
    expect(await world.db.query('select 1 from hubspot.problems where resolved_at is null')).toEqual([])
  })

  test('gives a column to what was in _extra when the ceiling is raised', async () => {
    await using world = await startWorld('columns', { sandbox: { objects: { vehicle: 5 } } })
    await world.db.query("select hubspot.configure('max_columns', 2)")
    await world.load('vehicle')
    await world.db.query("select hubspot.configure('max_columns', 1000)")
    await world.pass(11 * 60_000)
    expect(await world.differences('vehicle')).toEqual([])
    expect(await world.db.query('select 1 from hubspot.vehicle where _extra is not null')).toEqual([])
  })

  test('after untracking: the table goes on where it is, with what is chosen now', async () => {
    await using world = await contacts()
    const [one = ''] = idsOf(world)
    await world.db.query("select hubspot.untrack('contacts')")
    world.store.edit('contacts', one, { lastname: 'Lovelace', jobtitle: 'Countess' })
    world.store.create('contacts', [{ properties: { firstname: 'Grace' } }])
    await track(world, ['firstname', 'jobtitle', 'email'])
    await world.pass(11_000)
    expect(await world.differences('contacts')).toEqual([])
    expect(await world.row('contacts', one)).not.toMatchObject({ lastname: 'Lovelace' })
    expect((await world.db.query("select state, rows from hubspot.status"))[0]).toEqual({ state: 'live', rows: '4' })
    await track(world, null)
    expect(await world.row('contacts', one)).toMatchObject({ lastname: 'Lovelace' })
    expect(await world.differences('contacts')).toEqual([])
  })

  test('after untracking: what was purged meanwhile leaves by a full read that follows at once', async () => {
    await using world = await contacts()
    const [gone = ''] = idsOf(world)
    await world.db.query("select hubspot.untrack('contacts')")
    world.store.purge('contacts', gone)
    await track(world, ['firstname', 'email'])
    expect(await world.row('contacts', gone)).toBeUndefined()
    expect(await world.differences('contacts')).toEqual([])
    expect((await world.db.query('select rows from hubspot.status'))[0]).toEqual({ rows: String(idsOf(world).length) })
    // A table that is new needs no second read.
    await world.db.query("select hubspot.untrack('contacts', drop_table => true)")
    await track(world, ['firstname'])
    expect(await world.db.query("select count(*) from hubspot.runs where stream = 'resync'")).toEqual([{ count: '1' }])
  })

  test('after untracking: what does not fit in a row that was kept is a problem again', async () => {
    await using world = await contacts()
    const [one = ''] = idsOf(world)
    await track(world, ['firstname', 'hs_email_open'])
    world.store.edit('contacts', one, { hs_email_open: 'many' })
    await world.pass(11_000)
    const open = () => world.db.query("select code, record_id, property from hubspot.problems where resolved_at is null")
    const misfit = [{ code: 'SH209', record_id: one, property: 'hs_email_open' }]
    expect(await open()).toEqual(misfit)
    await world.db.query("select hubspot.untrack('contacts')")
    expect(await open()).toEqual([])
    await track(world, ['firstname', 'hs_email_open'])
    expect(await open()).toEqual(misfit)
  })

  test('after untracking with the table: everything is new', async () => {
    await using world = await contacts()
    await rename(world, 'contacts', 'firstname', 'given_name')
    await world.db.query("select hubspot.untrack('contacts', drop_table => true)")
    await track(world, ['firstname', 'email'])
    expect(await world.differences('contacts')).toEqual([])
    expect(Object.keys((await world.row('contacts', idsOf(world)[0]!))!).sort()).toEqual(['_created_at', '_extra', '_synced_at', '_updated_at', 'email', 'firstname', 'id'])
  })
})

describe('on_delete', () => {
  test('may become mark: from then on rows are marked', async () => {
    await using world = await contacts(4)
    const [one = '', two = '', three = ''] = idsOf(world)
    world.store.archive('contacts', one)
    await world.db.query("select hubspot.refresh('contacts', $1)", [[one]])
    await world.drain()
    await track(world, FIELDS, 'mark')
    world.store.archive('contacts', two)
    await world.db.query("select hubspot.refresh('contacts', $1)", [[two]])
    await world.drain()
    expect(await world.row('contacts', one)).toBeUndefined()
    expect(await world.row('contacts', two)).toMatchObject({ _archived_at: expect.any(String) as string })
    expect(await world.row('contacts', three)).toMatchObject({ _archived_at: null })
    expect(await world.db.query("select 1 from hubspot.problems where resolved_at is null")).toEqual([])
    world.store.restore('contacts', [one, two])
    await world.db.query("select hubspot.refresh('contacts', $1)", [[one, two]])
    await world.drain()
    expect(await world.differences('contacts')).toEqual([])
    expect(await world.db.query('select 1 from hubspot.contacts where _archived_at is not null')).toEqual([])
  })

  test('stays mark when it is left out, and says so, with the table kept in between too', async () => {
    await using world = await startWorld('columns', { sandbox: { objects: { contacts: 2 } } })
    await world.load('contacts', ['firstname'], 'mark')
    const client = await world.db.pool.connect()
    const notices: string[] = []
    client.on('notice', ({ message }) => notices.push(message ?? ''))
    await client.query("select hubspot.track('contacts', '{firstname,email}')")
    await client.query("select hubspot.untrack('contacts')")
    await client.query("select hubspot.track('contacts', '{firstname}')")
    client.release()
    expect(notices).toEqual(['on_delete of contacts stays mark', 'on_delete of contacts stays mark'])
    await world.drain()
    expect(await world.db.query("select on_delete from hubspot.object_types where object = 'contacts'")).toEqual([{ on_delete: 'mark' }])
  })
})

describe('values outside the range of their type', () => {
  const VALUES = [
    ['number', ['1e4000', 'NaN', 'Infinity', '1_000', '0x1F', '9'.repeat(500)], '-12.50'],
    ['bool', ['yes', '1', 't', 'on'], 'TRUE'],
    ['date', ['20000-01-01', '2026-02-30', 'now', '0000-00-00', '999999999999999'], '2026-02-28'],
    ['datetime', ['20000-01-01T00:00:00Z', '2026-02-28T25:00:00Z', 'yesterday', '-99999999999999', '294277-01-01T00:00:00Z'], '1700000000000'],
    ['enumeration', [';', ';;;'], 'a;;b;'],
  ] as const

  test('are raw in _extra with a problem each, and heal when the value is right', async () => {
    await using world = await startWorld('columns')
    const properties = VALUES.flatMap(([type, bad]) => bad.map((value, i) => ({ type, name: `${type}_${i}`, value })))
    const right = Object.fromEntries(VALUES.flatMap(([type, bad, good]) => bad.map((_, i) => [`${type}_${i}`, good])))
    world.store.addObject({ name: 'thing', properties: properties.map(({ type, name }) => ({ type, name, filled: false, ...(type === 'enumeration' && { fieldType: 'checkbox' }) })) })
    const raw = Object.fromEntries(properties.map(({ name, value }) => [name, value]))
    const [odd, fine] = world.store.create('thing', [{ properties: raw }, { properties: right }])
    await world.db.query('select hubspot.sync()')
    await world.drain()
    await world.load('thing')
    const row = (await world.row<Record<string, unknown>>('thing', odd!.id))!
    expect(row['_extra']).toEqual(raw)
    for (const { name } of properties) expect([name, row[name]]).toEqual([name, null])
    const open = () => world.db.query<{ code: string; property: string; record_id: string }>('select code, property, record_id from hubspot.problems where resolved_at is null order by property')
    expect(await open()).toEqual(properties.map(({ name }) => ({ code: 'SH209', property: name, record_id: odd!.id })).sort((a, b) => (a.property < b.property ? -1 : 1)))
    // Empty parts of a list of options are no options.
    expect(await world.row('thing', fine!.id)).toMatchObject({ _extra: null, number_0: -12.5, bool_0: true, date_0: '2026-02-28', enumeration_0: ['a', 'b'] })
    await world.db.query("select hubspot.resync('thing')")
    await world.drain()
    expect((await world.db.query("select updated, unchanged from hubspot.runs where stream = 'resync'"))[0]).toEqual({ updated: '0', unchanged: '2' })
    await world.advance(1_000)
    world.store.edit('thing', odd!.id, right)
    await world.pass(11_000)
    expect(await open()).toEqual([])
    expect(await world.row('thing', odd!.id)).toMatchObject({ _extra: null, bool_3: true, datetime_4: '2023-11-14T22:13:20+00:00' })
  })
})
