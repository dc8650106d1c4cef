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

async function contacts(count: number, objects: Record<string, number> = {}): Promise<LiveWorld> {
  const world = await startLiveWorld('live', { sandbox: { objects: { contacts: count, ...objects } } })
  await world.load('contacts', ['firstname', 'lastname', 'email'])
  await world.advance(1_000)
  world.calls()
  return world
}

const idsOf = (world: LiveWorld, object = 'contacts') => [...world.store.records(object)].map(({ id }) => id)

describe('associations that are being loaded', () => {
  test('are answered by the record that is asked for them, and refused else until the first sweep is done', async () => {
    await using world = await contacts(4, { deals: 5 })
    await world.load('deals', ['dealname'])
    const [deal = ''] = idsOf(world, 'deals')
    const [contact = ''] = idsOf(world)
    for (const id of idsOf(world)) world.store.associate('deals', deal, 'contacts', id)
    await world.db.query(`select hubspot.track_associations('deals', 'contacts')`)
    const count = (where = 'true') => world.ask(`select count(distinct contact_id)::integer as n from hubspot_live.deals_contacts where ${where}`)
    const loading = { code: '55000', message: 'table hubspot.deals_contacts is still being loaded', hint: expect.stringContaining('ask for records by their deal_id') as string }
    for (const where of ['true', 'deal_id > 0', `contact_id = ${contact}`]) await expect(count(where), where).rejects.toMatchObject(loading)
    await expect(world.ask('select from hubspot_live.deals d join hubspot_live.deals_contacts l on l.deal_id = d.id')).rejects.toMatchObject(loading)
    expect(await count(`deal_id = ${deal}`)).toEqual([{ n: 4 }])
    await world.drain()
    expect(await count()).toEqual([{ n: 4 }])
    expect(await count(`contact_id = ${contact}`)).toEqual([{ n: 1 }])
  })
})

describe('a column that is being filled', () => {
  test('is refused where a query names it other than by id; what does not is answered, and shows it with a warning once', async () => {
    await using world = await contacts(4)
    const [id = ''] = idsOf(world)
    world.store.edit('contacts', idsOf(world), { jobtitle: 'boss' })
    await world.advance(120_000)
    await world.drain()
    await world.db.query(`create view old_view as select id, firstname from hubspot.contacts`)
    await world.db.query(`select hubspot.track('contacts', properties => '{firstname,lastname,email,jobtitle}')`)
    await world.run('contacts', 'schema')
    await world.db.query(`create view new_view as select id from hubspot.contacts where jobtitle = 'boss'`)
    const filling = { code: '55000', message: 'column hubspot.contacts.jobtitle is still being filled', hint: expect.stringContaining(`call hubspot.wait('contacts')`) as string }
    for (const statement of [`select count(*) from hubspot_live.contacts where jobtitle = 'boss'`, 'select max(jobtitle) from hubspot_live.contacts', 'select * from hubspot_live.contacts']) {
      await expect(world.ask(statement), statement).rejects.toMatchObject(filling)
    }
    expect(await world.ask('select count(*)::integer as n from hubspot_live.contacts where firstname is not null')).toEqual([{ n: 4 }])
    expect(await world.ask(`select jobtitle from hubspot_live.contacts where id = ${id}`)).toEqual([{ jobtitle: 'boss' }])
    const client = await world.direct()
    const notices: (string | undefined)[] = []
    client.on('notice', ({ severity, code, message }) => notices.push(`${severity} ${code} ${message}`))
    await client.query({ name: 'named', text: `select "jobtitle" from hubspot.contacts where id = any ($1)` , values: [[id]] })
    await client.query('prepare filtered as select 1 from hubspot.contacts where JobTitle is null')
    for (const statement of ['select from new_view', 'execute filtered', `select from hubspot.contacts c where c.jobtitle is null`, 'select U&"\\006aobtitle" from hubspot.contacts', 'select contacts from hubspot.contacts', 'select c.*::text from hubspot.contacts c']) await expect(client.query(statement), statement).rejects.toMatchObject(filling)
    expect(notices).toEqual([])
    expect((await client.query('select * from hubspot.contacts')).rowCount).toBe(4)
    expect((await client.query('table hubspot.contacts')).rowCount).toBe(4)
    expect((await client.query('select * from old_view')).rowCount).toBe(4)
    expect(notices).toEqual(['WARNING 55000 hubspot.contacts has columns that are still being filled, and empty or old until then: jobtitle'])
    await world.drain()
    expect(await world.ask(`select count(*)::integer as n from hubspot_live.contacts where jobtitle = 'boss'`)).toEqual([{ n: 4 }])
    expect((await client.query('select from new_view')).rowCount).toBe(4)
  })

  test('is refused where whole rows are taken: by a view, a policy of another table, and by a function as if it were a column', async () => {
    await using world = await contacts(4)
    await world.db.query(`select hubspot.track('contacts', properties => '{firstname,lastname,email,jobtitle}')`)
    await world.run('contacts', 'schema')
    const [reader, other] = [await role(), await role()]
    for (const name of [reader, other]) await world.db.query('select hubspot.grant_read($1)', [name])
    await world.db.query(`
      create view as_json as select id, to_jsonb(c) as j from hubspot.contacts c;
      create view over_that as select j ->> 'jobtitle' as title from as_json;
      create view gathered as select array_agg(c) as all from hubspot.contacts c;
      create view joined as select to_jsonb(j) as j from (hubspot.contacts c join (select 1 as n) one on true) j;
      create materialized view stored as select contacts::text from hubspot.contacts with no data;
      create view plain as select id, firstname from hubspot.contacts;
      create table mine (n int); insert into mine values (1); alter table mine enable row level security;
      create policy p on mine to ${reader} using (exists (select from hubspot.contacts c where to_jsonb(c) ->> 'jobtitle' is null));
      create policy q on mine to ${other} using (exists (select from hubspot.contacts c where c.firstname is not null));
      grant select on mine to ${reader}, ${other}`)
    const client = await world.direct()
    const filling = { code: '55000', message: 'column hubspot.contacts.jobtitle is still being filled' }
    for (const statement of [
      'select j from as_json', `select from as_json where id = 1`, 'table over_that', 'table gathered', 'table joined', 'refresh materialized view stored',
      'select c.to_jsonb from hubspot.contacts c', 'select (c).to_jsonb from hubspot.contacts c', 'select contacts.row_to_json from hubspot.contacts',
      'select hubspot.contacts.row_to_json from hubspot.contacts', 'select (x.c).to_jsonb from (select c from hubspot.contacts c) x',
    ]) await expect(client.query(statement), statement).rejects.toMatchObject(filling)
    for (const statement of ['select id, firstname from plain', 'select c.firstname, c.id, c.ctid, c._extra from hubspot.contacts c']) expect((await client.query(statement)).rowCount, statement).toBe(4)
    const [reads, other_reads] = [await world.direct(reader), await world.direct(other)]
    await expect(reads.query('table mine')).rejects.toMatchObject(filling)
    expect((await other_reads.query('table mine')).rowCount).toBe(1)
    for (const one of [reads, other_reads]) await one.end()
    for (const name of [reader, other]) await query(world.db.adminUrl, `drop owned by ${name} cascade`)
  })

  test('is refused where columns are taken by their position, under another name or for another table', async () => {
    await using world = await contacts(4)
    await world.db.query('create table kept (n bigint, a text, b text, c text, d text, e text, f text)')
    await world.db.query(`select hubspot.track('contacts', properties => '{firstname,lastname,email,jobtitle}')`)
    await world.run('contacts', 'schema')
    const client = await world.direct()
    await client.query('prepare p as select * from hubspot.contacts')
    const filling = { code: '55000', message: 'column hubspot.contacts.jobtitle is still being filled' }
    for (const statement of [
      'select count(*) filter (where e is null) from hubspot.contacts as f (a, b, c, d, e, f, g)', 'with x (a, b, c, d, e) as (select * from hubspot.contacts) select from x where e is null',
      'with x as (table hubspot.contacts) select from x as y (a, b, c, d, e)', 'select from (select * from hubspot.contacts) x (a, b, c, d, e) where e is null',
      'select from (hubspot.contacts c join (values (1)) v (n) on true) as j (a, b, c, d, e)', 'select e from (select 1, 2, 3, 4, 5 as e union all select * from hubspot.contacts) x',
      'table hubspot.contacts order by 5 limit 1', 'select distinct * from hubspot.contacts', 'select from kept where (1, 2, 3, 4, 5, 6, 7) in (table hubspot.contacts)',
      'copy hubspot.contacts to stdout', 'copy (table hubspot.contacts) to stdout', 'create table snap as select * from hubspot.contacts', 'select * into snap from hubspot.contacts', 'create table snap as execute p',
      'insert into kept select * from hubspot.contacts', 'with y as (insert into kept table hubspot.contacts) select 1', 'create materialized view snap as select * from hubspot.contacts',
      'create temp view v (a, b, c, d, e) as table hubspot.contacts; select e from v', 'create temp view v as table hubspot.contacts; select to_jsonb(v) from v', 'create temp view v as table hubspot.contacts; select from v as w (a, b, c, d, e)',
    ]) await expect(client.query(statement), statement).rejects.toMatchObject(filling)
    for (const statement of [
      'execute p', 'select * from hubspot.contacts order by firstname, lower(lastname)', 'select firstname from hubspot.contacts, (values (1)) v (n), generate_series(1, 1) as g (i)', 'select from hubspot.contacts where exists (table hubspot.contacts)',
      'create temp view v as select id, firstname from hubspot.contacts; select firstname from v', 'with x (a, b) as (select id, firstname from hubspot.contacts) select b from x', 'copy hubspot.contacts (id, firstname) to stdout',
      'insert into kept (n, a) select id, firstname from hubspot.contacts', 'create temp table few as select id, firstname from hubspot.contacts', 'select firstname from hubspot.contacts union select lastname from hubspot.contacts',
    ]) await client.query(statement)
  })

  test('is read by id, however old an answer may be; and until it is filled', async () => {
    await using world = await contacts(4)
    const [id = '', other = ''] = idsOf(world)
    world.store.edit('contacts', idsOf(world), { jobtitle: 'boss' })
    await world.advance(120_000)
    await world.drain()
    await world.db.query(`select hubspot.set_max_age('contacts', '1 hour')`)
    for (const one of [id, other]) await world.ask(`select firstname from hubspot_live.contacts where id = ${one}`)
    await world.db.query(`select hubspot.track('contacts', properties => '{firstname,lastname,email,jobtitle}')`)
    await world.run('contacts', 'schema')
    expect(await world.ask(`select jobtitle from hubspot_live.contacts where id = ${id}`)).toEqual([{ jobtitle: 'boss' }])
    // Filled, but for a row that someone held.
    await world.drain()
    await query(world.db.adminUrl, `set session_replication_role = replica; update hubspot.contacts set jobtitle = null where id = ${other}`)
    expect(await world.ask(`select jobtitle from hubspot_live.contacts where id = ${other}`)).toEqual([{ jobtitle: 'boss' }])
    world.calls()
    for (const one of [id, other]) expect(await world.ask(`select jobtitle from hubspot_live.contacts where id = ${one}`)).toEqual([{ jobtitle: 'boss' }])
    expect(world.calls()).toEqual([])
  })
})

describe('who may not read', () => {
  test('makes no call by a view either: whose owner may not, that reads as its caller, or over such a one', async () => {
    await using world = await contacts(3)
    const [stranger, reader] = [await role(), await role()]
    await query(world.db.adminUrl, `create schema authorization ${stranger}; grant usage on schema hubspot, ${stranger} to ${stranger}, ${reader}`)
    await world.db.query('select hubspot.grant_read($1)', [reader])
    const client = await world.direct(stranger)
    for (const statement of [
      `create view ${stranger}.of_mine as select * from hubspot.contacts`,
      `create view ${stranger}.over_that as select id from ${stranger}.of_mine`,
      `create materialized view ${stranger}.stored as select * from hubspot.contacts with no data`,
    ]) await client.query(statement)
    await world.db.query(`create view as_caller with (security_invoker) as select * from hubspot.contacts`)
    await world.db.query(`create view around as select * from as_caller`)
    await world.db.query(`create view as_owner as select * from hubspot.contacts`)
    await world.db.query(`grant select on as_caller, around, as_owner to ${stranger}, ${reader}`)
    await query(world.db.adminUrl, `grant select on all tables in schema ${stranger} to ${reader}`)
    const denied = [`select * from ${stranger}.of_mine`, `select from ${stranger}.over_that where id = 1`, 'select * from as_caller', 'select * from around']
    for (const statement of [...denied, `refresh materialized view ${stranger}.stored`]) {
      await expect(client.query(statement), statement).rejects.toMatchObject({ code: '42501', message: 'permission denied for table contacts' })
    }
    // What counts is the right of the view's owner, where it is read as him.
    const granted = await world.direct(reader)
    for (const statement of denied.slice(0, 2)) await expect(granted.query(statement), statement).rejects.toMatchObject({ code: '42501' })
    expect(world.calls()).toEqual([])
    await world.advance(1_000)
    for (const [who, statement] of [[client, 'select * from as_owner'], [granted, 'select * from as_caller'], [granted, 'select * from around']] as const) {
      expect((await who.query(statement)).rowCount, statement).toBe(3)
      expect(world.calls(), statement).toContain('search')
    }
    await client.end()
    await granted.end()
    for (const name of [stranger, reader]) await query(world.db.adminUrl, `drop owned by ${name} cascade`)
  })
})

const JSON_TYPE = { 'content-type': 'application/json' }

describe('HubSpot that says no', () => {
  test.for([
    [401, 'SH201', 'HubSpot answered 401: expired', 'Create a new token'],
    [403, 'SH202', 'HubSpot answered 403: scopes', 'Grant the app the scopes'],
    [404, 'SH211', 'HubSpot answered 404: nothing', 'Activate it in HubSpot'],
  ] as const)('%i is %s, at once, by id and by filter', async ([status, code, message, hint]) => {
    await using world = await contacts(3)
    const [id = ''] = idsOf(world)
    world.store.addFault({ match: {}, fault: { type: 'answer', status, body: JSON.stringify({ status: 'error', message: message.slice(22) }), headers: JSON_TYPE } })
    for (const where of [`id = ${id}`, 'true']) {
      const begun = performance.now()
      const failed = await world.ask(`select from hubspot_live.contacts where ${where}`).catch((error: unknown) => error) as { code: string; message: string; hint: string }
      expect(failed, where).toMatchObject({ code, message: `HubSpot could not be asked for hubspot.contacts: ${message}` })
      expect(failed.hint).toContain(hint)
      expect(failed.hint).not.toMatch(/try again/i)
      expect(performance.now() - begun).toBeLessThan(5_000)
    }
  })

  test('nothing is waited for in a copy of the database', async () => {
    await using world = await contacts(3)
    const [id = ''] = idsOf(world)
    await world.db.query('update hubspot_private.installation set system_identifier = system_identifier + 1')
    for (const where of [`id = ${id}`, 'true']) {
      const begun = performance.now()
      await expect(world.ask(`select from hubspot_live.contacts where ${where}`), where).rejects.toMatchObject({
        code: 'SH005', message: expect.stringContaining('this database is a copy') as string, hint: expect.stringContaining('select hubspot.adopt(') as string,
      })
      expect(performance.now() - begun).toBeLessThan(2_000)
    }
    expect(world.calls()).toEqual([])
  })
})
