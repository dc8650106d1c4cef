import pg from 'pg'
import { describe, expect, test } from 'vitest'
import type { FreshDatabase } from './support/cluster.ts'
import { hold, startWorld, type World } from './support/sync.ts'

// The change feed: what is written to it, and what is not. How it is read and kept: changes-read.test.ts.

const idsOf = (world: World, object = 'contacts') => [...world.store.records(object)].map(({ id }) => id)
const changes = (db: FreshDatabase, columns = 'object, record_id, op, changed') => db.query(`select ${columns} from hubspot.changes order by xid, id`)

async function refresh(world: World, ids: readonly string[], object = 'contacts'): Promise<void> {
  await world.advance(1)
  await world.db.query('select hubspot.refresh($1, $2)', [object, ids])
  await world.pass(3_000, 1_000)
}

describe('the feed', () => {
  test('has nothing of the first load; then each insert, update and delete, with what changed and by which run', async () => {
    await using world = await startWorld('feed', { sandbox: { objects: { contacts: 250 } } })
    await world.load('contacts', ['email', 'firstname', 'num_associated_deals', 'hs_email_open'])
    // Edited within the hour before it was tracked: settle passes look at them again.
    await world.pass(15 * 60_000, 5 * 60_000)
    expect(await changes(world.db)).toEqual([])

    const [first = '', second = ''] = idsOf(world)
    const was = await world.row<{ firstname: string }>('contacts', first)
    world.store.edit('contacts', first, { firstname: 'Ada "the first", Köln' })
    world.store.archive('contacts', second)
    const [made] = world.store.create('contacts', [{ properties: { firstname: 'New', num_associated_deals: '2' } }])
    const gone = await world.row('contacts', second)
    await refresh(world, [first, second, made!.id])
    const found = await changes(world.db)
    expect(found).toContainEqual({ object: 'contacts', record_id: first, op: 'update', changed: { firstname: [was!.firstname, 'Ada "the first", Köln'] } })
    expect(found).toContainEqual({ object: 'contacts', record_id: made!.id, op: 'insert', changed: { firstname: [null, 'New'], num_associated_deals: [null, 2] } })
    const deleted = found.find(({ op }) => op === 'delete') as { record_id: string; changed: Record<string, unknown> }
    expect(deleted.record_id).toBe(second)
    const whole = Object.fromEntries(Object.entries(gone!).filter(([, value]) => value !== null))
    const times = ['_created_at', '_updated_at', '_synced_at']
    expect(Object.keys(deleted.changed).toSorted()).toEqual(Object.keys(whole).toSorted())
    for (const [name, value] of Object.entries(whole)) {
      if (!times.includes(name)) expect(deleted.changed[name], name).toEqual(value)
      else expect(Date.parse(deleted.changed[name] as string), name).toBe(Date.parse(value as string))
    }
    expect(found).toHaveLength(3)
    expect(await world.db.query(`select distinct r.stream from hubspot.changes c join hubspot.runs r on r.id = c.run_id`)).toEqual([{ stream: 'fetch' }])
  })

  test('has nothing of what did not change: a full read, a new modified date, a property that is not chosen', async () => {
    await using world = await startWorld('unchanged', { sandbox: { objects: { contacts: 130 } } })
    await world.load('contacts', ['email'])
    const [first = ''] = idsOf(world)
    world.store.edit('contacts', first, { firstname: 'not chosen' })
    const before = await world.row<{ _synced_at: string }>('contacts', first)
    await world.pass(15_000)
    expect((await world.row<{ _synced_at: string }>('contacts', first))!._synced_at).not.toBe(before!._synced_at)
    await world.db.query("select hubspot.resync('contacts')")
    await world.pass(5_000)
    expect(await world.db.query("select state, unchanged::integer from hubspot.runs where stream = 'resync'")).toEqual([{ state: 'done', unchanged: 130 }])
    expect(await changes(world.db)).toEqual([])
  })

  test('names columns as they are named now, and has raw values that do not fit as _extra', async () => {
    await using world = await startWorld('names', { sandbox: { objects: { contacts: 5 } } })
    await world.load('contacts', ['firstname', 'hs_email_open'])
    await world.db.query("select hubspot.rename_column('contacts', 'firstname', 'Given \"name\"')")
    const [first = ''] = idsOf(world)
    world.store.edit('contacts', first, { firstname: 'Ada', hs_email_open: 'many' })
    await refresh(world, [first])
    const [change] = await changes(world.db, 'changed')
    expect(change!['changed']).toMatchObject({ 'Given "name"': [expect.anything(), 'Ada'], _extra: [null, { hs_email_open: 'many' }] })
  })

  test('has a record that is marked as archived as deleted, and restored as inserted', async () => {
    await using world = await startWorld('marked', { sandbox: { objects: { contacts: 5 } } })
    await world.load('contacts', ['firstname'], 'mark')
    const [first = '', second = ''] = idsOf(world)
    world.store.archive('contacts', first)
    world.store.edit('contacts', second, { firstname: 'Ada' })
    await refresh(world, [first, second])
    await world.pass(61 * 60_000)
    world.store.restore('contacts', first)
    world.store.edit('contacts', first, { firstname: 'Back' })
    await refresh(world, [first])
    expect((await changes(world.db, 'record_id, op')).toSorted((a, b) => Number(a['record_id']) - Number(b['record_id']))).toEqual([
      { record_id: first, op: 'delete' }, { record_id: first, op: 'insert' }, { record_id: second, op: 'update' },
    ].toSorted((a, b) => Number(a.record_id) - Number(b.record_id)))
    const [back] = await world.db.query("select changed from hubspot.changes where op = 'insert'")
    expect(back).toEqual({ changed: { firstname: [null, 'Back'] } })
  })

  test.each(['delete', 'mark'] as const)('has a record of which all that is chosen is empty, too, when it comes, goes and comes back (%s)', async (onDelete) => {
    await using world = await startWorld('empty', { sandbox: { objects: { contacts: 5 } } })
    await world.load('contacts', ['num_associated_deals'], onDelete)
    const [made] = world.store.create('contacts', [{ properties: { firstname: 'New' } }])
    await refresh(world, [made!.id])
    world.store.archive('contacts', made!.id)
    await refresh(world, [made!.id])
    await world.pass(61 * 60_000)
    world.store.restore('contacts', made!.id)
    await refresh(world, [made!.id])
    expect(await changes(world.db, 'record_id, op')).toEqual(['insert', 'delete', 'insert'].map((op) => ({ record_id: made!.id, op })))
    expect(await world.db.query("select distinct changed from hubspot.changes where op = 'insert'")).toEqual([{ changed: {} }])
  })

  test('has a restored record with what columns that are no longer chosen have kept of it', async () => {
    await using world = await startWorld('marked', { sandbox: { objects: { contacts: 5 }, settings: { archiveBumps: false } } })
    const [first = ''] = idsOf(world)
    world.store.edit('contacts', first, { firstname: 'Ada', lastname: 'Lovelace' })
    await world.load('contacts', ['firstname', 'lastname'], 'mark')
    await world.db.query("select hubspot.track('contacts', '{firstname}')")
    world.store.archive('contacts', first)
    await world.pass(61 * 60_000)
    world.store.restore('contacts', first)
    await refresh(world, [first])
    expect(await world.row('contacts', first)).toMatchObject({ firstname: 'Ada', lastname: 'Lovelace' })
    expect(await world.db.query("select changed from hubspot.changes where op = 'insert'")).toEqual([{ changed: { firstname: [null, 'Ada'], lastname: [null, 'Lovelace'] } }])
  })

  test('has no first values of a column: not of one that is new, nor of one that takes another\'s place', async () => {
    await using world = await startWorld('filled', { sandbox: { objects: { contacts: 120 } } })
    await world.load('contacts', ['email'])
    await world.db.query("select hubspot.track('contacts', '{email,firstname,lastname}')")
    await world.drain()
    expect(await world.db.query('select count(firstname)::integer > 50 as is_filled from hubspot.contacts')).toEqual([{ is_filled: true }])
    await world.db.query("select hubspot.retype_column('contacts', 'firstname', 'text[]')")
    await world.pass(30_000, 5_000)
    expect(await world.db.query("select column_type from hubspot.properties where object = 'contacts' and property = 'firstname'")).toEqual([{ column_type: 'text[]' }])
    expect(await changes(world.db)).toEqual([])
    const [first = ''] = idsOf(world)
    world.store.edit('contacts', first, { firstname: 'a;b' })
    await refresh(world, [first])
    expect(await changes(world.db, 'changed')).toEqual([{ changed: { firstname: [expect.any(Array), ['a', 'b']] } }])
  })

  test('has nothing that was rolled back', async () => {
    await using world = await startWorld('rolled', { sandbox: { objects: { contacts: 12 } } })
    await world.load('contacts', ['firstname'])
    await world.db.query(`create function public.raiser() returns trigger language plpgsql as $f$
      begin if new.firstname = 'bad' then raise 'not this one'; end if; return null; end $f$`)
    await world.db.query('create constraint trigger raiser after update on hubspot.contacts deferrable initially deferred for each row execute function public.raiser()')
    const [bad = '', good = ''] = idsOf(world)
    world.store.edit('contacts', bad, { firstname: 'bad' })
    world.store.edit('contacts', good, { firstname: 'good' })
    await refresh(world, [bad, good])
    expect(await changes(world.db, 'record_id, changed')).toEqual([{ record_id: good, changed: { firstname: [expect.anything(), 'good'] } }])
  })

  test('can be switched off and on for an object', async () => {
    await using world = await startWorld('switch', { sandbox: { objects: { contacts: 5, companies: 5 } } })
    await world.load('contacts', ['firstname'])
    await world.load('companies', ['name'])
    await world.db.query("select hubspot.track_associations('contacts', 'companies'), hubspot.disable_changes('contacts')")
    await world.drain()
    const [first = ''] = idsOf(world)
    const [company = ''] = idsOf(world, 'companies')
    const triggers = () => world.db.query(`select count(*)::integer as n from pg_trigger where tgname like '\\_100%' and tgrelid::regclass::text ~ 'contacts'`)
    expect(await triggers()).toEqual([{ n: 0 }])
    world.store.edit('contacts', first, { firstname: 'one' })
    world.store.edit('companies', company, { name: 'one' })
    await refresh(world, [first])
    await refresh(world, [company], 'companies')
    expect(await changes(world.db, 'object')).toEqual([{ object: 'companies' }])
    expect(await world.db.query("select has_changes from hubspot.object_types where object = 'contacts'")).toEqual([{ has_changes: false }])
    await world.db.query("select hubspot.enable_changes('contacts'), hubspot.enable_changes('contacts')")
    expect(await triggers()).toEqual([{ n: 6 }])
    world.store.edit('contacts', first, { firstname: 'two' })
    await refresh(world, [first])
    expect(await changes(world.db, 'object, changed')).toContainEqual({ object: 'contacts', changed: { firstname: ['one', 'two'] } })
    await expect(world.db.query("select hubspot.disable_changes('deals')")).rejects.toMatchObject({ code: 'SH101' })
  })

  test('has associations that came, went, and got another label, but not the first sweep', async () => {
    await using world = await startWorld('edges', { sandbox: { objects: { contacts: 20, companies: 20 } } })
    const { store, db } = world
    const [contact = '', other = ''] = idsOf(world)
    const [company = ''] = idsOf(world, 'companies')
    store.associate('contacts', other, 'companies', company)
    await world.load('contacts', ['firstname'])
    await world.load('companies', ['name'])
    await db.query("select hubspot.track_associations('contacts', 'companies')")
    await world.drain()
    expect((await db.query('select count(*)::integer as n from hubspot.contacts_companies'))[0]!['n']).toBeGreaterThan(0)
    expect(await changes(db)).toEqual([])
    await db.query('delete from hubspot.changes')
    const edge = async () => db.query('select contact_id, company_id, type_id, category, label from hubspot.contacts_companies where contact_id = $1', [contact])
    const before = await edge()
    for (const { company_id } of before) store.dissociate('contacts', contact, 'companies', company_id as string)
    store.associate('contacts', contact, 'companies', company)
    await world.pass(61 * 60_000)
    const found = await db.query("select record_id, op, changed, object from hubspot.changes where record_id = $1 order by xid, id", [contact])
    const after = await edge()
    expect(after.length).toBeGreaterThan(0)
    const changedOf = ({ company_id, type_id, category, label }: Record<string, unknown>) => ({ to_object: 'companies', to: Number(company_id), type_id: Number(type_id), category, label })
    const keyOf = (one: Record<string, unknown>) => JSON.stringify(changedOf(one))
    const [was, is] = [before.map(keyOf), after.map(keyOf)]
    const expected = [
      ...before.filter((one) => !is.includes(keyOf(one))).map((one) => ({ object: 'contacts', record_id: contact, op: 'disassociate', changed: changedOf(one) })),
      ...after.filter((one) => !was.includes(keyOf(one))).map((one) => ({ object: 'contacts', record_id: contact, op: 'associate', changed: changedOf(one) })),
    ]
    expect(found).toHaveLength(expected.length)
    expect(found).toEqual(expect.arrayContaining(expected))
    // They go with their record.
    store.archive('contacts', other)
    await refresh(world, [other])
    const last = await db.query('select op from hubspot.changes where record_id = $1 order by xid, id', [other])
    expect(last[0]).toEqual({ op: 'delete' })
    expect(last.slice(1).length).toBeGreaterThan(0)
    expect(new Set(last.slice(1).map(({ op }) => op as string))).toEqual(new Set(['disassociate']))
  })
})

describe('the end of the first load', () => {
  test('comes after every step that wrote rows and no changes: a copy of the table misses none', async () => {
    await using world = await startWorld('load end', { sandbox: { objects: { contacts: 30 } } })
    const { db } = world
    await db.query("select hubspot.track('contacts', '{firstname}')")
    await world.run('contacts', 'schema')
    await world.run('contacts', 'archive')
    const load = (await hold(world, 'contacts', 'backfill'))!
    await load.commit(await load.ask())
    const [first = ''] = idsOf(world)
    await db.query("select hubspot.refresh('contacts', $1)", [[first]])
    const read = (await hold(world, 'contacts', 'fetch'))!
    const old = await read.ask()
    await world.advance(1)
    // The step that ends the load has not committed: one that writes now may not commit after it.
    const ending = new pg.Client({ connectionString: db.url })
    await ending.connect()
    await ending.query("begin; update hubspot_private.objects set loaded_at = hubspot_private.clock() where name = 'contacts'")
    await expect(read.commit(old)).rejects.toMatchObject({ code: '55P03' })
    await ending.query('rollback')
    await ending.end()
    expect((await read.commit(old)).outcome).toMatch(/more|done/)
    await load.commit(await load.ask())
    await world.drain()
    expect(await world.differences('contacts')).toEqual([])
    expect(await changes(db)).toEqual([])
  })
})

describe('listen hubspot', () => {
  test('tells each statement once, ids left out where there are too many, and not at all if that is set', async () => {
    await using world = await startWorld('listen', { sandbox: { objects: { contacts: 2_200 } } })
    await world.load('contacts', ['firstname'])
    const listener = new pg.Client({ connectionString: world.db.url })
    await listener.connect()
    const told: { op: string; count: number; ids?: number[] }[] = []
    listener.on('notification', ({ payload }) => void told.push(JSON.parse(payload!) as (typeof told)[0]))
    await listener.query('listen hubspot')
    const ids = idsOf(world)
    const [gone = '', ...edited] = ids.slice(0, 4)
    world.store.archive('contacts', gone)
    for (const id of edited) world.store.edit('contacts', id, { firstname: 'Ada' })
    await refresh(world, [gone, ...edited])
    await listener.query('select 1')
    const numbers = edited.map(Number).toSorted((a, b) => a - b)
    expect(told.toSorted((a, b) => a.op.localeCompare(b.op))).toEqual([
      { object: 'contacts', op: 'delete', count: 1, ids: [Number(gone)] }, { object: 'contacts', op: 'update', count: 3, ids: numbers },
    ])
    told.length = 0
    // A statement of two thousand rows, as no page is.
    await world.db.query(`update hubspot_private.streams set writer = pg_current_xact_id() where object = 'contacts' and stream = 'fetch';
      update hubspot.contacts set firstname = 'many'`)
    await listener.query('select 1')
    expect(told).toEqual([{ object: 'contacts', op: 'update', count: expect.any(Number) as number }])
    told.length = 0
    await world.db.query("select hubspot.configure('notify', false)")
    world.store.edit('contacts', edited[0]!, { firstname: 'silent' })
    await refresh(world, edited)
    await listener.query('select 1')
    expect(told).toEqual([])
    expect(await changes(world.db, 'changed')).toContainEqual({ changed: { firstname: ['many', 'silent'] } })
    await expect(world.db.query("select hubspot.configure('notify', 'perhaps')")).rejects.toMatchObject({ code: 'SH112' })
    await listener.end()
  })
})
