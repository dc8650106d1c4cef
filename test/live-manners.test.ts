import { randomBytes } from 'node:crypto'
import { afterAll, describe, expect, inject, test } from 'vitest'
import { query } from './support/global-setup.ts'
import { type LiveWorld, startLiveWorld } from './support/live.ts'

const { adminUrl } = inject('server')
const roles: string[] = []
afterAll(async () => {
  for (const name of roles) await query(adminUrl, `drop role ${name}`)
})

/** A role that may sign on, and nothing else. */
async function role(): Promise<string> {
  const name = `live_${randomBytes(4).toString('hex')}`
  await query(adminUrl, `create role ${name} login password 'secret'`)
  roles.push(name)
  return name
}

async function contacts(count: number, options: Parameters<typeof startLiveWorld>[1] = {}): Promise<LiveWorld> {
  const world = await startLiveWorld('live', { ...options, sandbox: { ...options.sandbox, objects: { contacts: count, deals: 4, ...options.sandbox?.objects } } })
  await world.load('contacts', ['firstname', 'lastname', 'email'])
  await world.advance(1_000)
  world.calls()
  return world
}

const idsOf = (world: LiveWorld, object = 'contacts') => [...world.store.records(object)].map(({ id }) => id)

describe('writes', () => {
  test.for([
    `update hubspot_live.contacts set firstname = 'x' where id = 1`,
    `update hubspot_live.contacts set firstname = m.firstname from hubspot.contacts m where m.id = hubspot_live.contacts.id`,
    `delete from hubspot_live.contacts`,
    `insert into hubspot_live.contacts (id, firstname) values (1, 'x')`,
    `insert into hubspot_live.contacts (id, firstname) values (1, 'x') on conflict do nothing`,
    `truncate hubspot_live.contacts`,
  ])('%s', async (statement) => {
    await using world = await contacts(3)
    await expect(world.ask(statement)).rejects.toMatchObject({ code: 'SH105', hint: expect.stringContaining('in HubSpot') as string })
    expect(world.calls().filter((kind) => kind !== 'search')).toEqual([])
    // The session goes on.
    expect(await world.ask('select count(*)::integer as n from hubspot_live.contacts')).toEqual([{ n: 3 }])
    expect(await world.differences('contacts')).toEqual([])
  })

  test('by a client of the gateway itself: by name, by search path, in a copy', async () => {
    await using world = await contacts(3)
    const client = await world.direct()
    await client.query('set search_path = hubspot')
    for (const statement of ['delete from contacts', 'copy contacts from stdin', 'with gone as (delete from hubspot.contacts returning id) select * from gone', 'prepare p as delete from contacts']) {
      if (statement.startsWith('prepare')) await client.query(statement)
      await expect(client.query(statement.startsWith('prepare') ? 'execute p' : statement), statement).rejects.toMatchObject({ code: 'SH105' })
    }
    // A table of one's own is one's own.
    await client.query('create table public.mine as select id from contacts')
    await client.query('delete from public.mine')
  })
})

describe('who may not read', () => {
  test('makes no call of HubSpot, and gets the server\'s own error', async () => {
    await using world = await contacts(3)
    const stranger = await role()
    const client = await world.direct(stranger)
    await expect(client.query('select * from hubspot.contacts where id = 1')).rejects.toMatchObject({ code: '42501' })
    await query(world.db.adminUrl, `grant usage on schema hubspot to ${stranger}`)
    await expect(client.query('select * from hubspot.contacts where id = 1')).rejects.toMatchObject({ code: '42501', message: 'permission denied for table contacts' })
    await expect(client.query('select count(*) from hubspot.contacts')).rejects.toMatchObject({ code: '42501' })
    expect(world.calls()).toEqual([])
    await query(world.db.adminUrl, `grant select (id, firstname) on hubspot.contacts to ${stranger}`)
    const [id = ''] = idsOf(world)
    world.store.edit('contacts', id, { firstname: 'seen' })
    expect((await client.query(`select firstname from hubspot.contacts where id = ${id}`)).rows).toEqual([{ firstname: 'seen' }])
    await expect(client.query(`select lastname from hubspot.contacts where id = ${id}`)).rejects.toMatchObject({ code: '42501' })
    await client.end()
    await query(world.db.adminUrl, `drop owned by ${stranger}`)
  })

  test('a role that was granted live tables reads them as itself, by row level security too', async () => {
    await using world = await contacts(3)
    const reader = await role()
    await world.db.query('select hubspot.grant_live($1, $2)', [reader, 'secret'])
    const [id = '', other = ''] = idsOf(world)
    await world.db.query('alter table hubspot.contacts enable row level security')
    await world.db.query(`create policy mine on hubspot.contacts for select to ${reader} using (id = ${id})`)
    const client = await world.as(reader)
    const ask = async (text: string) => (await client.query(text)).rows as unknown[]
    world.store.edit('contacts', [id, other], { firstname: 'seen' })
    expect(await ask(`select id::text, firstname from hubspot_live.contacts where firstname = 'seen'`)).toEqual([{ id, firstname: 'seen' }])
    expect(await ask(`select from hubspot_live.contacts where id = ${other}`)).toEqual([])
    expect(await ask('select count(*)::integer as n from hubspot_live.contacts')).toEqual([{ n: 1 }])
    await client.end()
    await world.db.query(`drop policy mine on hubspot.contacts`)
    await query(world.db.adminUrl, `drop owned by ${reader}`)
  })
})

test('PostgreSQL 18 signs on at the gateway without a password that is stored anywhere', async ({ skip }) => {
  await using world = await contacts(3)
  const [{ version } = { version: 0 }] = await world.db.query<{ version: number }>(`select current_setting('server_version_num')::integer / 10000 as version`)
  if (version < 18) skip()
  const reader = await role()
  await world.db.query('select hubspot.grant_live($1)', [reader])
  const client = await world.as(reader)
  expect((await client.query('select count(*)::integer as n from hubspot_live.contacts')).rows).toEqual([{ n: 3 }])
  await client.end()
  await query(world.db.adminUrl, `drop owned by ${reader}`)
})

describe('views', () => {
  test('of live tables, and of the mirror through the gateway, are looked through', async () => {
    await using world = await contacts(3)
    const [id = ''] = idsOf(world)
    await world.db.query(`create view over_live as select id, firstname as name from hubspot_live.contacts`)
    await world.db.query(`create view over_mirror as select id + 1 as id, firstname as name from hubspot.contacts`)
    await world.db.query(`create view over_that as select * from over_mirror where name is not null`)
    await world.db.query(`create materialized view stored as select firstname as name from hubspot.contacts`)
    world.store.edit('contacts', id, { firstname: 'one' })
    expect(await world.ask(`select name from over_live where id = ${id}`)).toEqual([{ name: 'one' }])
    expect(world.calls()).toEqual(['batch read'])
    const client = await world.direct()
    await world.advance(1)
    world.store.edit('contacts', id, { firstname: 'two' })
    expect((await client.query(`select name from over_that where id = ${id}::bigint + 1`)).rows).toEqual([{ name: 'two' }])
    expect(world.calls()).toEqual(['search', 'batch read'])
    expect((await client.query(`select count(*)::integer as n from stored where name = 'two'`)).rows).toEqual([{ n: 0 }])
    expect(world.calls()).toEqual([])
    await world.advance(1)
    world.store.edit('contacts', id, { firstname: 'three' })
    await client.query('refresh materialized view stored')
    expect((await client.query(`select count(*)::integer as n from stored where name = 'three'`)).rows).toEqual([{ n: 1 }])
  })

  test('what is none of HubSpot\'s costs nothing', async () => {
    await using world = await contacts(3)
    const client = await world.direct()
    await client.query('create table public.mine (id bigint)')
    for (const statement of ['select 1', 'table hubspot.status', 'select * from public.mine', 'select * from pg_class limit 1', 'select * from information_schema.tables limit 1', 'explain select * from hubspot.contacts']) {
      await client.query(statement)
      expect(world.calls(), statement).toEqual([])
    }
    await expect(client.query('select * from nowhere')).rejects.toMatchObject({ code: '42P01' })
    await expect(client.query('select from from')).rejects.toMatchObject({ code: '42601' })
  })
})

describe('an object that is being loaded', () => {
  test('answers by id, and refuses everything else instead of answering half', async () => {
    await using world = await contacts(5)
    await world.db.query(`select hubspot.track('deals', '{dealname}')`)
    await world.run('deals', 'schema')
    const [id = ''] = idsOf(world, 'deals')
    expect(await world.ask(`select from hubspot_live.deals where id = ${id}`)).toHaveLength(1)
    await expect(world.ask('select count(*) from hubspot_live.deals')).rejects.toMatchObject({ code: '55000', message: 'table hubspot.deals is still being loaded', hint: expect.stringContaining(`hubspot.wait('deals')`) as string })
    await world.drain()
    expect(await world.ask('select count(*)::integer as n from hubspot_live.deals')).toEqual([{ n: 4 }])
  })
})

describe('an answer that may be older', () => {
  test('is given without a call: by table, and by session or role', async () => {
    await using world = await contacts(3)
    const [id = '', other = ''] = idsOf(world)
    const byId = (one = id) => world.ask(`select firstname from hubspot_live.contacts where id = ${one}`)
    const all = () => world.ask('select count(*) from hubspot_live.contacts')
    await world.db.query(`select hubspot.set_max_age('contacts', '1 hour')`)
    await byId()
    await all()
    world.calls()
    await byId()
    await all()
    expect(world.calls()).toEqual([])
    await byId(other)
    expect(world.calls()).toEqual(['batch read'])
    await world.db.query(`select hubspot.set_max_age('contacts', null)`)
    await byId()
    await all()
    expect(world.calls()).toEqual(['batch read', 'search'])
    const client = await world.direct()
    await client.query(`set hubspot.max_age = '1 hour'`)
    await client.query(`select from hubspot.contacts where id = ${id}`)
    await client.query('select count(*) from hubspot.contacts')
    expect(world.calls()).toEqual([])
    await client.query(`begin; set local hubspot.max_age = '0'`)
    await client.query('select count(*) from hubspot.contacts')
    expect(world.calls()).toEqual(['search'])
    await client.query('rollback')
    await client.query('select count(*) from hubspot.contacts')
    expect(world.calls()).toEqual([])
    // Of a foreign table's session, by the server's options.
    await world.db.query(`alter server hubspot_live options (add options '-c hubspot.max_age=1h')`)
    await world.ask(`select postgres_fdw_disconnect('hubspot_live')`)
    await byId()
    await all()
    expect(world.calls()).toEqual([])
    await client.query(`set hubspot.max_age = 'soon'`)
    await expect(client.query('select count(*) from hubspot.contacts')).rejects.toMatchObject({ code: '22007', message: expect.stringContaining('soon') as string })
    // A year at most, as of a table.
    await client.query(`set hubspot.max_age = '100 years'`)
    expect((await client.query(`select from hubspot.contacts where id = ${idsOf(world)[2]}`)).rowCount).toBe(1)
    expect(world.calls()).toEqual(['batch read'])
  })

  test('counts for nothing in a table that was dropped and made again', async () => {
    await using world = await contacts(3)
    await world.load('deals', ['dealname'])
    const [id = ''] = idsOf(world)
    const [deal = ''] = idsOf(world, 'deals')
    world.store.associate('deals', deal, 'contacts', id)
    await world.db.query(`select hubspot.track_associations('deals', 'contacts')`)
    await world.drain()
    await world.db.query(`select hubspot.set_max_age(t, '1 hour') from unnest('{contacts,deals,deals_contacts}'::name[]) t`)
    const client = await world.direct()
    const ask = async () => [
      (await client.query(`select from hubspot.contacts where id = ${id}`)).rowCount,
      (await client.query(`select from hubspot.deals_contacts where deal_id = ${deal}`)).rowCount,
    ]
    expect(await ask()).toEqual([1, 1])
    world.calls()
    expect(await ask()).toEqual([1, 1])
    expect(world.calls()).toEqual([])
    await world.db.query(`select hubspot.untrack_associations('deals', 'contacts', drop_table => true), hubspot.untrack('contacts', drop_table => true)`)
    await world.db.query(`select hubspot.track('contacts', '{firstname,lastname,email}')`)
    await world.run('contacts', 'schema')
    await world.db.query(`select hubspot.track_associations('deals', 'contacts')`)
    expect(await world.db.query(`select column_set from hubspot_private.objects where name = 'contacts'`)).toEqual([{ column_set: 1 }])
    expect(await ask()).toEqual([1, 1])
  })
})

describe('HubSpot that cannot be asked', () => {
  test('in time is an error, or the mirror\'s answer with a warning, as set', async () => {
    await using world = await contacts(3)
    await world.db.query(`select hubspot.configure('live_timeout', '300 milliseconds')`)
    world.store.addFault({ match: { kind: 'batch read' }, fault: { type: 'hang' } })
    const [id = ''] = idsOf(world)
    await expect(world.ask(`select from hubspot_live.contacts where id = ${id}`)).rejects.toMatchObject({ code: 'SH232', message: expect.stringContaining('more than 0.3 s') as string })
    await world.db.query(`select hubspot.configure('live_on_late', 'warn')`)
    expect(await world.ask(`select from hubspot_live.contacts where id = ${id}`)).toHaveLength(1)
    const client = await world.direct()
    const notices: (string | undefined)[] = []
    client.on('notice', ({ severity, code }) => notices.push(`${severity} ${code}`))
    expect((await client.query(`select from hubspot.contacts where id = ${id}`)).rowCount).toBe(1)
    expect(notices).toEqual(['WARNING SH232'])
  })

  test('because of the day\'s budget, because reading is paused, and because it is down: each says so', async () => {
    await using world = await contacts(3)
    const [id = ''] = idsOf(world)
    const byId = () => world.ask(`select from hubspot_live.contacts where id = ${id}`)
    const all = () => world.ask('select count(*) from hubspot_live.contacts')
    await world.db.query(`select hubspot.pause('contacts')`)
    await expect(byId()).rejects.toMatchObject({ code: 'SH232', message: expect.stringContaining('paused') as string })
    await world.db.query(`select hubspot.resume('contacts')`)
    await world.db.query(`select hubspot.set_quota('daily', 1)`)
    await expect(byId()).rejects.toMatchObject({ code: 'SH232', message: expect.stringContaining('no request of today') as string })
    await expect(all()).rejects.toMatchObject({ code: 'SH232', message: expect.stringContaining('no request of today') as string })
    await world.db.query(`select hubspot.set_quota('daily', 100000000)`)
    await byId()
    await all()
    await world.db.query(`select hubspot.configure('live_timeout', '2 seconds')`)
    world.store.addFault({ match: {}, fault: { type: 'answer', status: 503, body: '{"message":"down"}', headers: { 'content-type': 'application/json' } } })
    await expect(byId()).rejects.toMatchObject({ code: 'SH232' })
    await expect(all()).rejects.toMatchObject({ code: 'SH232' })
    world.store.removeFaults()
    await byId()
    // It was tried a moment ago; from a second later on it is tried again, however long the polls themselves would wait.
    await world.advance(1_001)
    await all()
    expect(await world.db.query('select from hubspot_private.streams where failures > 0')).toEqual([])
  })

  test('429s are waited out', async () => {
    await using world = await contacts(3)
    const [id = ''] = idsOf(world)
    world.store.edit('contacts', id, { firstname: 'patience' })
    world.store.addFault({ match: { kind: 'batch read' }, times: 2, fault: { type: 'answer', status: 429, body: '{"policyName":"TEN_SECONDLY_ROLLING","message":"You have reached your ten_secondly_rolling limit."}', headers: { 'content-type': 'application/json' } } })
    expect(await world.ask(`select firstname from hubspot_live.contacts where id = ${id}`)).toEqual([{ firstname: 'patience' }])
  })

  test('a statement that is canceled while it waits ends at once, and its session goes on', async () => {
    await using world = await contacts(3)
    world.store.addFault({ match: { kind: 'batch read' }, fault: { type: 'hang' } })
    const [id = ''] = idsOf(world)
    await world.ask(`set statement_timeout = '300ms'`)
    await expect(world.ask(`select from hubspot_live.contacts where id = ${id}`)).rejects.toMatchObject({ code: '57014' })
    world.store.removeFaults()
    await world.ask(`set statement_timeout = '10s'`)
    expect(await world.ask('select count(*)::integer as n from hubspot_live.contacts')).toEqual([{ n: 3 }])
  })
})
