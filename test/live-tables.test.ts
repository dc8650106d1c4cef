import { randomBytes } from 'node:crypto'
import { afterAll, describe, expect, inject, test } from 'vitest'
import { freshDatabase } from './support/cluster.ts'
import { query } from './support/global-setup.ts'
import { allowForeignTables } from './support/live.ts'
import { startWorld, type World } from './support/sync.ts'

const { adminUrl } = inject('server')
const roles: string[] = []
afterAll(async () => {
  for (const name of roles) await query(adminUrl, `drop role ${name}`)
})

async function role(): Promise<string> {
  const name = `live_${randomBytes(4).toString('hex')}`
  await query(adminUrl, `create role ${name} login password 'secret'`)
  roles.push(name)
  return name
}

const ENABLE = `select hubspot.enable_live('127.0.0.1', 5999, 'secret')`

/** A world with two objects and a pair, live tables on; no gateway listens. */
async function enabled(name: string): Promise<World> {
  const world = await startWorld(name, { sandbox: { objects: { contacts: 3, deals: 3 } } })
  await allowForeignTables(world.db)
  await world.load('contacts', ['firstname', 'lastname'])
  await world.load('deals', ['dealname', 'amount'])
  await world.db.query(`select hubspot.track_associations('deals', 'contacts')`)
  await world.db.query(ENABLE)
  return world
}

const liveTables = async ({ db }: World) =>
  (await db.query<{ name: string }>(`select foreign_table_name as name from information_schema.foreign_tables where foreign_table_schema = 'hubspot_live' order by 1`)).map(({ name }) => name)
const columns = async ({ db }: World, schema: string, table: string) =>
  (await db.query<{ shown: string }>(
    `select format('%s %s: %s', attname, format_type(atttypid, atttypmod), col_description(attrelid, attnum)) as shown from pg_attribute
     where attrelid = format('%I.%I', $1::text, $2::text)::regclass and attnum > 0 and not attisdropped order by attname`, [schema, table])).map(({ shown }) => shown)
const options = async ({ db }: World) =>
  Object.fromEntries((await db.query<{ name: string; value: string }>(
    `select o.option_name as name, o.option_value as value from pg_foreign_server s, pg_options_to_table(s.srvoptions) o where s.srvname = 'hubspot_live'`)).map(({ name, value }) => [name, value]))
const problems = ({ db }: World) => db.query<{ object: string; message: string }>(`select object, message from hubspot.problems where code = 'SH231' and resolved_at is null`)

describe('enabling', () => {
  test('says what to ask an administrator for where the extension or the wrapper may not be used', async () => {
    await using db = await freshDatabase('live')
    const owner = new URL(db.url).username
    await expect(db.query(ENABLE)).rejects.toMatchObject({
      code: 'SH124', message: `live tables cannot be made: role ${owner} may not create extension postgres_fdw`,
      hint: `Ask an administrator to run, in this database: create extension if not exists postgres_fdw; grant usage on foreign data wrapper postgres_fdw to ${owner};`,
    })
    await query(db.adminUrl, 'create extension postgres_fdw')
    await expect(db.query(ENABLE)).rejects.toMatchObject({ code: 'SH124', message: expect.stringContaining('may not use foreign data wrapper') as string })
    await query(db.adminUrl, `grant usage on foreign data wrapper postgres_fdw to ${owner}`)
    await db.query(ENABLE)
    // A server of somebody else's is told of too.
    await query(db.adminUrl, 'alter server hubspot_live owner to postgres')
    await expect(db.query(ENABLE)).rejects.toMatchObject({ code: 'SH124', hint: `Ask its owner to run: alter server hubspot_live owner to ${owner};` })
  })

  test('refuses what is no address', async () => {
    await using db = await freshDatabase('live')
    for (const call of [`enable_live(null, 5433)`, `enable_live('', 5433)`, `enable_live('h', null)`, `enable_live('h', 0)`, `enable_live('h', 65536)`, `enable_live('h', 1, sslmode => 'on')`]) {
      await expect(db.query(`select hubspot.${call}`), call).rejects.toMatchObject({ code: 'SH104' })
    }
    await expect(db.query(`select hubspot.grant_live('postgres')`)).rejects.toMatchObject({ code: 'SH125' })
    await db.query('select hubspot.disable_live()')
  })

  test('makes a foreign table for every table of an object or a pair, with its columns and comments', async () => {
    await using world = await enabled('live')
    expect(await liveTables(world)).toEqual(['contacts', 'deals', 'deals_contacts'])
    for (const table of await liveTables(world)) expect(await columns(world, 'hubspot_live', table)).toEqual(await columns(world, 'hubspot', table))
    expect(await options(world)).toMatchObject({ host: '127.0.0.1', port: '5999', dbname: world.db.name, channel_binding: 'disable', truncatable: 'true', fetch_size: '1000' })
    // Another address; what was tuned stays.
    await world.db.query(`alter server hubspot_live options (set fetch_size '50')`)
    await world.db.query(`select hubspot.enable_live('/tmp', 6000, sslmode => 'disable')`)
    const now = await options(world)
    expect(now).toMatchObject({ host: '/tmp', port: '6000', sslmode: 'disable', fetch_size: '50' })
    expect(now).not.toHaveProperty('channel_binding')
  })

  test('keeps no password where none is given, and takes a new one', async () => {
    await using world = await enabled('live')
    const reader = await role()
    await world.db.query(`select hubspot.grant_live($1)`, [reader])
    const mapping = async () => (await query<{ umoptions: string[] }>(world.db.adminUrl, `select umoptions from pg_user_mappings where usename = '${reader}'`))[0]?.umoptions
    expect(await mapping()).toEqual([`user=${reader}`])
    await world.db.query(`select hubspot.grant_live($1, 'one')`, [reader])
    await world.db.query(`select hubspot.grant_live($1, 'two')`, [reader])
    expect(await mapping()).toEqual([`user=${reader}`, 'password=two'])
    await query(world.db.adminUrl, `drop owned by ${reader}`)
  })
})

describe('once enabled', () => {
  test('what is tracked, untracked and dropped is followed', async () => {
    await using world = await enabled('live')
    await world.load('companies', ['name'])
    await world.db.query(`select hubspot.track_associations('deals', 'companies')`)
    expect(await liveTables(world)).toEqual(['companies', 'contacts', 'deals', 'deals_companies', 'deals_contacts'])
    await world.db.query(`select hubspot.untrack_associations('deals', 'companies')`)
    await world.db.query(`select hubspot.untrack('companies')`)
    expect(await liveTables(world)).toEqual(['contacts', 'deals', 'deals_contacts'])
    await world.db.query(`select hubspot.untrack('deals', drop_table => true)`)
    expect(await liveTables(world)).toEqual(['contacts'])
    await world.load('deals', ['dealname'])
    expect(await liveTables(world)).toEqual(['contacts', 'deals'])
  })

  test('so are columns: new, renamed, of another type, and of another choice', async () => {
    await using world = await enabled('live')
    await world.db.query('create view mine as select firstname from hubspot_live.contacts')
    await world.db.query(`select hubspot.rename_column('contacts', 'firstname', 'given_name')`)
    await world.load('contacts', ['firstname', 'lastname', 'email'], 'mark')
    expect(await columns(world, 'hubspot_live', 'contacts')).toEqual(await columns(world, 'hubspot', 'contacts'))
    expect((await world.db.query<{ text: string }>(`select pg_get_viewdef('mine') as text`))[0]?.text).toContain('given_name')
    await world.db.query(`select hubspot.retype_column('deals', 'amount', 'text')`)
    await world.pass(60_000, 5_000)
    expect(await columns(world, 'hubspot_live', 'deals')).toEqual(await columns(world, 'hubspot', 'deals'))
    expect((await columns(world, 'hubspot_live', 'deals')).join()).toContain('amount text')
    expect(await problems(world)).toEqual([])
  })

  test('what depends on a live table holds up no step: it is a problem until it is gone', async () => {
    await using world = await enabled('live')
    await world.db.query('create view mine as select amount from hubspot_live.deals')
    await world.db.query(`select hubspot.retype_column('deals', 'amount', 'text')`)
    await world.pass(60_000, 5_000)
    expect((await columns(world, 'hubspot', 'deals')).join()).toContain('amount text')
    expect((await columns(world, 'hubspot_live', 'deals')).join()).toContain('amount numeric')
    expect(await problems(world)).toEqual([{ object: 'deals', message: expect.stringContaining('cannot alter type of a column used by a view') as string }])
    await expect(world.db.query('select hubspot.disable_live()')).rejects.toMatchObject({ code: 'SH126', message: expect.stringContaining('view public.mine') as string })
    await world.db.query('drop view mine')
    await world.db.query('select hubspot_private.sweep()')
    expect((await columns(world, 'hubspot_live', 'deals')).join()).toContain('amount text')
    expect(await problems(world)).toEqual([])
  })

  test('someone who reads a live table holds up no step either', async () => {
    await using world = await enabled('live')
    const client = await world.db.pool.connect()
    await client.query('begin')
    await client.query('explain select firstname from hubspot_live.contacts')
    await world.load('contacts', ['firstname', 'lastname', 'email'])
    expect((await columns(world, 'hubspot', 'contacts')).join()).toContain('email')
    expect((await columns(world, 'hubspot_live', 'contacts')).join()).not.toContain('email')
    await client.query('rollback')
    client.release()
    await world.db.query('select hubspot_private.sweep()')
    expect(await columns(world, 'hubspot_live', 'contacts')).toEqual(await columns(world, 'hubspot', 'contacts'))
    expect(await problems(world)).toEqual([])
  })

  test('a server that belongs to another role makes a problem, and no step fails', async () => {
    await using world = await enabled('live')
    await query(world.db.adminUrl, `alter foreign table hubspot_live.contacts owner to postgres`)
    await world.load('contacts', ['firstname', 'lastname', 'email'])
    expect(await world.db.query(`select firstname, email from hubspot.contacts limit 0`)).toEqual([])
    expect(await problems(world)).toEqual([{ object: 'contacts', message: expect.stringContaining('must be owner') as string }])
  })

  test('tables made later are granted too', async () => {
    await using world = await enabled('live')
    const reader = await role()
    await world.db.query(`select hubspot.grant_live($1)`, [reader])
    await world.load('companies', ['name'])
    const may = async (table: string) => (await world.db.query<{ may: boolean }>(`select has_table_privilege($1, $2, 'select') and has_schema_privilege($1, 'hubspot_live', 'usage') as may`, [reader, table]))[0]?.may
    for (const table of ['hubspot_live.contacts', 'hubspot_live.companies', 'hubspot_live.deals_contacts', 'hubspot.companies']) expect(await may(table), table).toBe(true)
    await expect(world.db.query(`select hubspot.grant_live('nobody_of_that_name')`)).rejects.toMatchObject({ code: 'SH106' })
    await query(world.db.adminUrl, `drop owned by ${reader}`)
  })

  test('tables of the user\'s own beside them are his: one under another name, of a view, of another schema', async () => {
    await using world = await enabled('live')
    const own = ['of_contacts', 'status', 'things']
    await world.db.query(`create foreign table hubspot_live.of_contacts (id bigint, firstname text) server hubspot_live options (schema_name 'hubspot', table_name 'contacts');
      create foreign table hubspot_live.status (object text) server hubspot_live options (schema_name 'hubspot', table_name 'status');
      create foreign table hubspot_live.things (id bigint) server hubspot_live options (schema_name 'public', table_name 'things')`)
    await world.db.query('select hubspot_private.sweep()')
    expect(await liveTables(world)).toEqual(['contacts', 'deals', 'deals_contacts', ...own])
    await world.db.query(`select hubspot.untrack('deals', drop_table => true)`)
    expect(await liveTables(world)).toEqual(['contacts', ...own])
    await expect(world.db.query('select hubspot.disable_live()')).rejects.toMatchObject({ code: 'SH126', message: expect.stringContaining('hubspot_live.status') as string })
    expect(await liveTables(world)).toEqual(['contacts', ...own])
    await world.db.query(own.map((name) => `drop foreign table hubspot_live.${name}`).join('; '))
    await world.db.query('select hubspot.disable_live()')
    expect(await liveTables(world)).toEqual([])
  })

  test('all of it goes with disable_live, and comes back', async () => {
    await using world = await enabled('live')
    await world.db.query('select hubspot.disable_live()')
    expect(await liveTables(world)).toEqual([])
    expect(await world.db.query(`select from pg_foreign_server where srvname = 'hubspot_live'`)).toEqual([])
    await world.load('companies', ['name'])
    await world.db.query(ENABLE)
    expect(await liveTables(world)).toEqual(['companies', 'contacts', 'deals', 'deals_contacts'])
  })

  test('so does what was granted on them, until it is granted again', async () => {
    await using world = await enabled('live')
    const reader = await role()
    const may = async () => await world.db.query(
      `select has_schema_privilege($1, 'hubspot_live', 'usage') as schema, has_table_privilege($1, 'hubspot_live.contacts', 'select') as tables, has_table_privilege($1, 'hubspot.contacts', 'select') as mirror,
         exists (select from pg_user_mappings where usename = $1) as mapping`, [reader])
    await world.db.query(`select hubspot.grant_live($1, 'secret')`, [reader])
    expect(await may()).toEqual([{ schema: true, tables: true, mirror: true, mapping: true }])
    await world.db.query('select hubspot.disable_live()')
    await world.db.query(ENABLE)
    expect(await may()).toEqual([{ schema: false, tables: false, mirror: true, mapping: false }])
    await world.db.query(`select hubspot.grant_live($1, 'secret')`, [reader])
    expect(await may()).toEqual([{ schema: true, tables: true, mirror: true, mapping: true }])
    // Nothing of it holds the role back.
    await world.db.query('select hubspot.revoke_all($1)', [reader])
    expect(await may()).toEqual([{ schema: false, tables: false, mirror: false, mapping: false }])
    await query(adminUrl, `drop role ${reader}`)
    roles.splice(roles.indexOf(reader), 1)
  })
})

test('how old an answer may be is set by table, and a wrong name gets the near one', async () => {
  await using world = await enabled('live')
  await world.db.query(`select hubspot.set_max_age('contacts', '5 seconds'), hubspot.set_max_age('deals_contacts', '1 minute')`)
  expect(await world.db.query(`select table_name, max_age_ms from hubspot_private.live_tables('{contacts,deals,deals_contacts,status}') order by 1`)).toEqual([
    { table_name: 'contacts', max_age_ms: 5_000 }, { table_name: 'deals', max_age_ms: 0 }, { table_name: 'deals_contacts', max_age_ms: 60_000 },
  ])
  await world.db.query(`select hubspot.set_max_age('contacts', null)`)
  expect(await world.db.query(`select max_age_ms from hubspot_private.live_tables('{contacts}')`)).toEqual([{ max_age_ms: 0 }])
  await expect(world.db.query(`select hubspot.set_max_age('contcts', '5 seconds')`)).rejects.toMatchObject({ code: 'SH104', hint: expect.stringContaining('contacts') as string })
  await expect(world.db.query(`select hubspot.set_max_age('contacts', '-5 seconds')`)).rejects.toMatchObject({ code: 'SH104' })
  await expect(world.db.query(`select hubspot.configure('live_on_late', 'perhaps')`)).rejects.toMatchObject({ code: 'SH112' })
})
