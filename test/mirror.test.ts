import { describe, expect, test } from 'vitest'
import type { ObjectInput } from '../src/sandbox/index.ts'
import { startWorld, type World } from './support/sync.ts'

const FIELDS = ['firstname', 'hs_email_open', 'hs_email_optout', 'hs_buying_role', 'hs_latest_source_timestamp'] as const

async function contacts(count = 2, properties: readonly string[] = FIELDS): Promise<World> {
  const world = await startWorld('mirror', { sandbox: { objects: { contacts: count } } })
  await world.load('contacts', properties)
  return world
}

/** A custom object with nothing but these properties' names, types, and one record. */
async function custom(properties: NonNullable<ObjectInput['properties']>, name = 'thing'): Promise<World> {
  const world = await startWorld('mirror')
  world.store.addObject({ name, properties })
  world.store.create(name, [{ properties: Object.fromEntries(properties.map((property) => [property.name, `of ${property.name}`])) }])
  await world.db.query('select hubspot.sync()')
  await world.drain()
  return world
}

const first = (world: World) => [...world.store.records('contacts')][0]!.id
const open = (world: World) => world.db.query('select code, record_id, property, message from hubspot.problems where resolved_at is null order by code, property')

async function refresh(world: World, ...ids: string[]): Promise<void> {
  await world.db.query("select hubspot.refresh('contacts', $1)", [ids])
  await world.drain()
}

describe('values', () => {
  test.for(['null', 'empty', 'as written'] as const)('an emptied property is null, whichever way HubSpot says so (%s)', async (cleared) => {
    await using world = await startWorld('mirror', { sandbox: { objects: { contacts: 2 }, settings: { cleared } } })
    await world.load('contacts', FIELDS)
    const [one, two] = [...world.store.records('contacts')].map(({ id }) => id)
    const all = (value: string | null) => Object.fromEntries(FIELDS.map((name) => [name, value]))
    world.store.edit('contacts', one!, all(''))
    world.store.edit('contacts', two!, all(null))
    await refresh(world, one!, two!)
    const rows = await world.db.query(`select ${FIELDS.join(', ')}, _extra from hubspot.contacts`)
    expect(rows).toEqual([{ ...all(null), _extra: null }, { ...all(null), _extra: null }])
  })

  test('a value that does not fit is null in its column, raw in _extra and a problem, until it fits', async () => {
    await using world = await contacts()
    const id = first(world)
    world.store.edit('contacts', id, { firstname: 'fits', hs_email_open: '0x1F', hs_email_optout: 'perhaps', hs_latest_source_timestamp: 'yesterday' })
    await refresh(world, id)
    expect(await world.row('contacts', id)).toMatchObject({
      firstname: 'fits', hs_email_open: null, hs_email_optout: null, hs_latest_source_timestamp: null,
      _extra: { hs_email_open: '0x1F', hs_email_optout: 'perhaps', hs_latest_source_timestamp: 'yesterday' },
    })
    expect((await open(world)).map(({ code, property }) => `${code} ${property}`)).toEqual(['SH209 hs_email_open', 'SH209 hs_email_optout', 'SH209 hs_latest_source_timestamp'])
    world.store.edit('contacts', id, { hs_email_open: '31', hs_email_optout: 'true' }, { touch: false })
    await refresh(world, id)
    expect((await open(world)).map(({ property }) => property)).toEqual(['hs_latest_source_timestamp'])
    world.store.edit('contacts', id, { hs_latest_source_timestamp: null }, { touch: false })
    await refresh(world, id)
    expect(await open(world)).toEqual([])
    expect(await world.differences('contacts')).toEqual([])
  })

  test('what does not fit and stays so is no change', async () => {
    await using world = await contacts()
    const id = first(world)
    world.store.edit('contacts', id, { hs_email_open: 'many' })
    await refresh(world, id)
    const before = await world.row('contacts', id)
    await world.advance(60_000)
    await refresh(world, id)
    await world.db.query("select hubspot.resync('contacts')")
    await world.drain()
    expect(await world.row('contacts', id)).toEqual(before)
    expect(await world.db.query("select updated from hubspot.runs where stream = 'resync'")).toEqual([{ updated: '0' }])
    expect(await world.db.query("select count from hubspot.problems where code = 'SH209'")).toEqual([{ count: '1' }])
  })

  test.for([
    ['NUL', 'a\0b', 'ab'],
    ['a lone surrogate', 'a\ud800b', 'a\ufffdb'],
  ])('%s is repaired, with a problem that names the record; the rest of the page is untouched', async ([, sent, kept]) => {
    await using world = await contacts(5)
    const id = first(world)
    world.store.edit('contacts', id, { firstname: sent!, hs_email_open: '12345678901234567890.1234567890' })
    await world.db.query("select hubspot.resync('contacts')")
    await world.drain()
    expect(await world.row('contacts', id)).toMatchObject({ firstname: kept })
    expect(await open(world)).toEqual([expect.objectContaining({ code: 'SH210', record_id: id })])
    expect(await world.differences('contacts', { ignore: (other) => other === id })).toEqual([])
    const [row] = await world.db.query('select hs_email_open::text from hubspot.contacts where id = $1', [id])
    expect(row).toEqual({ hs_email_open: '12345678901234567890.1234567890' })
  })

  test('beyond max_columns values go to _extra', async () => {
    await using world = await startWorld('mirror', { sandbox: { objects: { vehicle: 12 } } })
    await world.db.query("select hubspot.configure('max_columns', 3)")
    await world.load('vehicle')
    const columns = await world.db.query<{ count: number }>("select count(column_name)::int as count from hubspot.properties where object = 'vehicle'")
    expect(columns[0]!.count).toBe(3)
    expect(await world.differences('vehicle')).toEqual([])
    const [row] = await world.db.query<{ keys: number }>('select max((select count(*) from jsonb_object_keys(_extra)))::int as keys from hubspot.vehicle')
    expect(row!.keys).toBeGreaterThan(5)
  })
})

describe('columns', () => {
  test('a column is named as its property, and what cannot be gets a name that can', async () => {
    const long = `a_${'very_'.repeat(14)}long_name`
    await using world = await custom([
      { name: 'order' }, { name: 'select' }, { name: 'id' }, { name: 'id_' }, { name: 'ctid' }, { name: 'xmin' }, { name: 'tableoid' },
      { name: `${long}_1` }, { name: `${long}_2` }, { name: 'table' }, { name: 'user' },
    ])
    await world.load('thing')
    expect(await world.differences('thing')).toEqual([])
    const rows = await world.db.query<{ property: string; column_name: string }>("select property, column_name from hubspot.properties where object = 'thing'")
    const names = new Map(rows.map(({ property, column_name }) => [property, column_name]))
    for (const name of ['order', 'select', 'table', 'user']) expect(names.get(name)).toBe(name)
    for (const name of ['ctid', 'xmin', 'tableoid']) expect(names.get(name)).toBe(`${name}_`)
    expect(new Set(names.values()).size).toBe(names.size)
    for (const [property, name] of names) {
      expect(Buffer.byteLength(name), property).toBeLessThan(64)
      expect(name, property).not.toBe('id')
    }
    const [{ comment } = { comment: '' }] = await world.db.query<{ comment: string }>("select col_description('hubspot.thing'::regclass, attnum) as comment from pg_attribute where attrelid = 'hubspot.thing'::regclass and attname = 'order'")
    expect(comment).toContain('order')
  })

  test('the names are the same in another database', async () => {
    const properties = [{ name: 'id' }, { name: 'id_' }, { name: 'xmax' }, { name: `x${'y'.repeat(80)}` }, { name: `x${'y'.repeat(81)}` }]
    const all: unknown[] = []
    for (const order of [properties, [...properties].reverse()]) {
      await using world = await custom(order)
      await world.load('thing')
      all.push(await world.db.query("select property, column_name from hubspot.properties where object = 'thing' order by property"))
    }
    expect(all[0]).toEqual(all[1])
  })

  test.for([['status', 'status_object'], ['runs', 'runs_object'], ['settings', 'settings_object']] as const)('a custom object called %s has table %s', async ([name, table]) => {
    await using world = await custom([{ name: 'colour' }], name)
    await world.load(name)
    expect(await world.db.query(`select colour from hubspot.${table}`)).toEqual([{ colour: 'of colour' }])
    expect(await world.db.query('select object, rows from hubspot.status')).toEqual([{ object: name, rows: '1' }])
  })

  test('each type of property has its type of column', async () => {
    await using world = await custom([
      { name: 's', type: 'string' }, { name: 'n', type: 'number' }, { name: 'b', type: 'bool' }, { name: 'd', type: 'date' }, { name: 't', type: 'datetime' },
      { name: 'p', type: 'phone_number' }, { name: 'j', type: 'json' }, { name: 'o', type: 'object_coordinates' }, { name: 'e', type: 'enumeration', fieldType: 'select' }, { name: 'm', type: 'enumeration', fieldType: 'checkbox' },
    ])
    await world.load('thing')
    const types = await world.db.query("select attname, format_type(atttypid, atttypmod) as type from pg_attribute where attrelid = 'hubspot.thing'::regclass and length(attname) = 1 order by attname")
    expect(Object.fromEntries(types.map(({ attname, type }) => [attname, type]))).toEqual({
      s: 'text', n: 'numeric', b: 'boolean', d: 'date', t: 'timestamp with time zone', p: 'text', j: 'text', o: 'text', e: 'text', m: 'text[]',
    })
  })
})

describe('what users do with the tables', () => {
  test('nobody else writes them: SH105', async () => {
    await using world = await contacts()
    const before = await world.db.query('select * from hubspot.contacts')
    for (const statement of [
      "update hubspot.contacts set firstname = 'mine'", 'delete from hubspot.contacts', 'insert into hubspot.contacts (id, _synced_at) values (1, now())',
      'truncate hubspot.contacts', 'delete from hubspot.contacts where false',
      'merge into hubspot.contacts c using (select 1) s on true when matched then delete',
    ]) {
      await expect(world.db.query(statement), statement).rejects.toMatchObject({ code: 'SH105', hint: expect.stringContaining('HubSpot') as string })
    }
    expect(await world.db.query('select * from hubspot.contacts')).toEqual(before)
  })

  test('indexes, views and triggers survive new columns and full reads', async () => {
    await using world = await contacts()
    await world.db.query('create index mine on hubspot.contacts (lower(firstname))')
    await world.db.query('create view public.mine as select id, firstname from hubspot.contacts')
    await world.db.query('create table public.seen (id bigint, op text)')
    await world.db.query("create function public.note() returns trigger language plpgsql as $$ begin insert into public.seen values (coalesce(new.id, old.id), tg_op); return null; end $$")
    await world.db.query('create trigger mine after insert or update or delete on hubspot.contacts for each row execute function public.note()')
    await world.db.query("select hubspot.track('contacts', '{firstname,lastname,jobtitle}')")
    await world.drain()
    await world.db.query("select hubspot.track('contacts')")
    await world.drain()
    expect(await world.differences('contacts')).toEqual([])
    const id = first(world)
    await world.db.query('truncate public.seen')
    world.store.edit('contacts', id, { firstname: 'Ada' }, { touch: false })
    await refresh(world, id)
    world.store.archive('contacts', id)
    await refresh(world, id)
    expect(await world.db.query('select * from public.seen')).toEqual([{ id, op: 'UPDATE' }, { id, op: 'DELETE' }])
    expect(await world.db.query('select count(*)::int as count from public.mine')).toEqual([{ count: 1 }])
    expect(await world.db.query("select indexdef from pg_indexes where indexname = 'mine'")).toHaveLength(1)
  })

  test('a trigger sees old and new, and the settings of the database', async () => {
    await using world = await contacts()
    const id = first(world)
    await world.db.query(`alter database ${world.db.name} set search_path = app, public`)
    await world.db.query(`alter database ${world.db.name} set datestyle = 'German, DMY'`)
    await world.db.query('create schema app')
    await world.db.query('create table app.seen (was text, is_now text, path text, style text)')
    // Unqualified names, as people write them.
    await world.db.query(`create function app.note() returns trigger language plpgsql as $$
      begin
        insert into seen values (old.firstname, new.firstname, current_setting('search_path'), current_setting('datestyle'));
        return null;
      end $$`)
    await world.db.query('create trigger mine after update on hubspot.contacts for each row when (old.firstname is distinct from new.firstname) execute function app.note()')
    await world.db.query("select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()")
    // Its own pool, too, learns that connections ended.
    await expect.poll(() => world.db.pool.totalCount).toBe(1)
    const was = (await world.row<{ firstname: string | null }>('contacts', id))!.firstname
    world.store.edit('contacts', id, { firstname: 'Ada', hs_latest_source_timestamp: '2025-02-01T00:00:00Z' })
    await refresh(world, id)
    expect(await world.db.query('select * from app.seen')).toEqual([{ was, is_now: 'Ada', path: 'app, public', style: 'German, DMY' }])
    expect(await world.db.query("select (hs_latest_source_timestamp = '2025-02-01 00:00:00+00')::text as same from hubspot.contacts where id = $1", [id])).toEqual([{ same: 'true' }])
  })
})
