import { randomBytes } from 'node:crypto'
import { runMigrations } from 'graphile-worker'
import { afterEach, describe, expect, inject, test } from 'vitest'
import { migrate } from '../src/db/migrate.ts'
import { VERSION } from '../src/lib/version.ts'
import { catalogue } from './support/catalogue.ts'
import { at, query } from './support/global-setup.ts'

const { adminUrl, appUrl } = inject('server')
const made: string[] = []
afterEach(async () => {
  for (const name of made.splice(0)) await query(adminUrl, `drop database if exists ${name} with (force)`)
})

/** An empty database of the role that owns test databases, which is no superuser. */
async function emptyDatabase(): Promise<string> {
  const name = `install_${randomBytes(4).toString('hex')}`
  await query(appUrl, `create database ${name}`)
  made.push(name)
  return at(appUrl, name)
}

describe('installing', () => {
  test('takes no superuser, and twice changes nothing', async () => {
    const url = await emptyDatabase()
    expect(await query(url, 'select rolsuper from pg_roles where rolname = current_user')).toEqual([{ rolsuper: false }])
    expect(await migrate(url)).toMatchObject({ from: null, to: VERSION, isCodeApplied: true, queueSchema: 'graphile_worker' })
    const before = await catalogue(url)
    expect(before.length).toBeGreaterThan(200)
    const [first] = await query(url, 'select installed_at::text from hubspot_private.installation')
    expect(await migrate(url)).toMatchObject({ from: VERSION, files: [], isCodeApplied: false })
    expect(await query(url, 'select installed_at::text from hubspot_private.installation')).toEqual([first])
    expect(await catalogue(url)).toEqual(before)
  })

  test('again with other code applies all of it anew, to the same result, and keeps tables and state', async () => {
    const url = await emptyDatabase()
    await migrate(url)
    await query(url, `update hubspot_private.account set is_connected = true, portal_id = 1`)
    await query(url, `select hubspot.configure('max_columns', 700)`)
    await query(url, `select hubspot.track('contacts')`)
    await query(url, `select hubspot_private.properties_apply('contacts', '{"results": [{"name": "email", "type": "string"}, {"name": "score", "type": "number"}]}'),
      hubspot_private.selection_apply('contacts')`)
    const before = await catalogue(url)
    // Functions that someone changed, and one that is gone, as an older version's text would be.
    await query(url, `create or replace function hubspot_private.account_day(at timestamptz) returns timestamptz language sql stable as 'select at'`)
    await query(url, `drop function hubspot_private.as_ms(timestamptz) cascade`)
    // What a version with another generator would have left of a table's functions.
    const [generated] = await query<{ judge: string; signature: string }>(url, `select p.proname as judge, p.oid::regprocedure::text as signature
      from pg_proc p where p.pronamespace = 'hubspot_private'::regnamespace and p.proname ~ '^judge_[0-9]+$'`)
    await query(url, `drop function ${generated!.signature}; create function hubspot_private.${generated!.judge}(text) returns text language sql as 'select $1'`)
    await query(url, `update hubspot_private.apply_statements set generator = 'older'`)
    await query(url, `update hubspot_private.schema_files set hash = 'older' where name = 'code'`)
    expect(await migrate(url)).toMatchObject({ files: [], isCodeApplied: true })
    expect(await catalogue(url)).toEqual(before)
    expect(await query(url, `select value from hubspot.settings where name = 'max_columns'`)).toEqual([{ value: 700 }])
    expect(await query(url, `select object from hubspot.status`)).toEqual([{ object: 'contacts' }])
  })

  test('by twenty at once ends as by one', async () => {
    const [alone, crowded] = [await emptyDatabase(), await emptyDatabase()]
    await migrate(alone)
    const all = await Promise.all(Array.from({ length: 20 }, () => migrate(crowded)))
    expect(all.filter(({ isCodeApplied }) => isCodeApplied)).toHaveLength(1)
    expect(await catalogue(crowded)).toEqual(await catalogue(alone))
  })

  test.each(['40P01', '55P03'])('begins again when Postgres ends it for others\' locks (%s), and tells after ten times', async (state) => {
    const url = await emptyDatabase()
    await migrate(url)
    const before = await catalogue(url)
    const admin = at(adminUrl, new URL(url).pathname.slice(1))
    // A sequence keeps what a transaction that is undone took of it.
    await query(admin, `create sequence public.tries; grant all on sequence public.tries to public;
      create table public.most (n integer); insert into public.most values (4); grant all on table public.most to public;
      create function public.refuse() returns event_trigger language plpgsql as $$ begin
        if pg_catalog.nextval('public.tries') <= (select m.n from public.most m) then raise exception using errcode = '${state}', message = 'in a circle'; end if; end $$;
      create event trigger refuse on ddl_command_start when tag in ('CREATE FUNCTION') execute function public.refuse()`)
    await query(url, `update hubspot_private.schema_files set hash = 'older' where name = 'code'`)
    expect(await migrate(url)).toMatchObject({ isCodeApplied: true })
    await query(admin, "update public.most set n = 1000000; select setval('public.tries', 1)")
    await query(url, `update hubspot_private.schema_files set hash = 'older' where name = 'code'`)
    await expect(migrate(url)).rejects.toMatchObject({ code: 'SH220', cause: { code: state } })
    expect(await query(admin, 'select last_value::integer as tries from public.tries')).toEqual([{ tries: 11 }])
    await query(admin, 'drop event trigger refuse; drop function public.refuse(); drop sequence public.tries; drop table public.most')
    await migrate(url)
    expect(await catalogue(url)).toEqual(before)
  })

  test('refuses a database of a newer version, and changes nothing there', async () => {
    const url = await emptyDatabase()
    await migrate(url)
    await query(url, `update hubspot_private.schema_files set version = '999.0.0' where name = 'code'`)
    await expect(migrate(url)).rejects.toMatchObject({ code: 'SH001', message: expect.stringContaining('999.0.0') as string })
    await query(url, `update hubspot_private.schema_files set version = '${VERSION}' where name = 'code'`)
    await query(url, `insert into hubspot_private.schema_files (name, hash, version) values ('0999_later.sql', 'x', '${VERSION}')`)
    const files = () => query(url, `select name, hash, version, applied_at from hubspot_private.schema_files order by name`)
    const before = await files()
    await expect(migrate(url)).rejects.toMatchObject({ code: 'SH001' })
    expect(await files()).toEqual(before)
  })

  test('says which privilege is missing, and the statement that gives it', async () => {
    const url = await emptyDatabase()
    const role = `installer_${randomBytes(4).toString('hex')}`
    await query(appUrl, `create role ${role} login password 'installer'`)
    const poor = new URL(url)
    poor.username = role
    poor.password = 'installer'
    const name = poor.pathname.slice(1)
    await expect(migrate(poor.href)).rejects.toMatchObject({ code: 'SH002', hint: `As its owner run: grant create on database "${name}" to "${role}";` })
    await query(url, `grant create on database "${name}" to "${role}"`)
    expect(await migrate(poor.href)).toMatchObject({ isCodeApplied: true })
    // Now it is that role's: another one is told so.
    await expect(migrate(url)).rejects.toMatchObject({ code: 'SH002', message: expect.stringMatching(/schema hubspot\w* belongs to another role/) as string })
    await query(poor.href, `drop schema hubspot, hubspot_private, graphile_worker cascade`)
    await query(url, `revoke create on database "${name}" from "${role}"`)
    await query(appUrl, `drop role ${role}`)
  })

  test('leaves alone a schema of the name hubspot that belongs to someone else', async () => {
    const url = await emptyDatabase()
    const theirs = `someone_${randomBytes(4).toString('hex')}`
    const admin = at(adminUrl, new URL(url).pathname.slice(1))
    await query(admin, `create role ${theirs}; create schema hubspot authorization ${theirs}`)
    await expect(migrate(url)).rejects.toMatchObject({ code: 'SH002', message: 'schema hubspot belongs to another role' })
    expect(await query(url, `select nspname from pg_namespace where nspname ~ '^(hubspot|graphile)' order by 1`)).toEqual([{ nspname: 'hubspot' }])
    await query(admin, `drop schema hubspot; drop role ${theirs}`)
  })
})

describe('a database that cannot hold it', () => {
  test('of an encoding that lacks characters of HubSpot\'s texts', async () => {
    const name = `latin_${randomBytes(4).toString('hex')}`
    await query(adminUrl, `create database ${name} encoding 'LATIN1' lc_collate 'C' lc_ctype 'C' template template0`)
    await expect(migrate(at(adminUrl, name))).rejects.toMatchObject({ code: 'SH010', hint: expect.stringContaining('UTF8') as string })
    await query(adminUrl, `drop database ${name}`)
  })

  test('that is read-only', async () => {
    const url = await emptyDatabase()
    await query(url, `alter database "${new URL(url).pathname.slice(1)}" set default_transaction_read_only = on`)
    await expect(migrate(url)).rejects.toMatchObject({ code: 'SH010', message: expect.stringContaining('read-only') as string })
  })
})

describe('a queue that is there already', () => {
  test('in a version whose workers an upgrade would break is refused; another schema is taken', async () => {
    const url = await emptyDatabase()
    await runMigrations({ connectionString: url })
    await query(url, `delete from graphile_worker.migrations where id >= 19`)
    await expect(migrate(url)).rejects.toMatchObject({ code: 'SH006', hint: expect.stringContaining('--queue-schema') as string })
    expect(await query(url, `select to_regclass('hubspot_private.installation') as installed`)).toEqual([{ installed: null }])
    expect(await migrate(url, { queueSchema: 'hubspot_queue' })).toMatchObject({ queueSchema: 'hubspot_queue' })
    // Once installed, that is where it stays.
    expect(await migrate(url)).toMatchObject({ queueSchema: 'hubspot_queue', isCodeApplied: false })
  })

  test.each(['hubspot', 'hubspot_private', 'hubspot_live', 'information_schema', 'pg_queue'])('is never in schema %s', async (queueSchema) => {
    const url = await emptyDatabase()
    await expect(migrate(url, { queueSchema })).rejects.toMatchObject({ code: 'SH104', message: expect.stringContaining(queueSchema) as string })
    expect(await query(url, `select nspname from pg_namespace where nspname ~ '^(hubspot|graphile)'`)).toEqual([])
  })

  test('in a schema of another role\'s is refused, with whose it is and what to run', async () => {
    const url = await emptyDatabase()
    const name = new URL(url).pathname.slice(1)
    const theirs = `queue_${randomBytes(4).toString('hex')}`
    const admin = at(adminUrl, name)
    await query(admin, `create role ${theirs}; create schema graphile_worker authorization ${theirs}`)
    const [me] = await query<{ role: string }>(url, 'select quote_ident(current_user) as role')
    const refused = { code: 'SH002', message: `schema graphile_worker belongs to role ${theirs}`, hint: expect.stringContaining('--queue-schema hubspot_queue') as string }
    await expect(migrate(url)).rejects.toMatchObject(refused)
    const grant = `grant usage, create on schema graphile_worker to ${me!.role};`
    await expect(migrate(url)).rejects.toMatchObject({ hint: expect.stringContaining(grant) as string })
    expect(await query(url, `select to_regclass('hubspot_private.installation') as installed`)).toEqual([{ installed: null }])
    // What it says is enough.
    await query(admin, grant)
    expect(await migrate(url)).toMatchObject({ queueSchema: 'graphile_worker', isCodeApplied: true })
    await query(admin, `drop schema hubspot, hubspot_private, graphile_worker cascade; drop role ${theirs}`)
  })

  test('that another role filled is refused; a queue of one\'s own goes', async () => {
    const url = await emptyDatabase()
    const admin = at(adminUrl, new URL(url).pathname.slice(1))
    await runMigrations({ connectionString: admin })
    await expect(migrate(url)).rejects.toMatchObject({
      code: 'SH002', message: expect.stringMatching(/^schema graphile_worker belongs to role /) as string,
      hint: expect.stringMatching(/^Connect as that role or .*--queue-schema hubspot_queue/) as string,
    })
    expect(await migrate(url, { queueSchema: 'hubspot_queue' })).toMatchObject({ isCodeApplied: true })
  })

  test('in the present version is used, its jobs untouched', async () => {
    const url = await emptyDatabase()
    await runMigrations({ connectionString: url })
    await query(url, `select graphile_worker.add_job('theirs', '{"of": "theirs"}')`)
    await migrate(url)
    expect(await query(url, 'select task_identifier from graphile_worker.jobs')).toEqual([{ task_identifier: 'theirs' }])
  })
})

describe('names that are taken', () => {
  test.each([
    ['create table hubspot.owners (id integer)', 'table hubspot.owners'],
    ['create table hubspot.status (id integer)', 'table hubspot.status'],
    ['create view hubspot.status as select 1 as one', 'view hubspot.status'],
    ['create sequence hubspot.merges', 'sequence hubspot.merges'],
  ])('%s: nothing is installed, and nothing of theirs changed', async (statement, what) => {
    const url = await emptyDatabase()
    await query(url, `create schema hubspot; ${statement}`)
    const there = () => query(url, `select c.oid::regclass::text as name, c.relkind, c.xmin::text from pg_class c
      where c.relnamespace = any (array(select oid from pg_namespace where nspname ~ '^(hubspot|graphile)')) order by 1`)
    const before = await there()
    await expect(migrate(url)).rejects.toMatchObject({
      code: 'SH020', message: `${what} is there already, and is not pg-hubspot's`, hint: expect.stringContaining(`alter ${what} set schema public;`) as string,
    })
    expect(await there()).toEqual(before)
    await query(url, `alter ${what} set schema public`)
    expect(await migrate(url)).toMatchObject({ isCodeApplied: true })
  })

  test('an upgrade takes over no view either', async () => {
    const url = await emptyDatabase()
    await migrate(url)
    await query(url, `drop view hubspot.webhooks; delete from hubspot_private.code_objects where name = 'view hubspot.webhooks';
      create view hubspot.webhooks as select 1 as one; update hubspot_private.schema_files set hash = 'older' where name = 'code'`)
    await expect(migrate(url)).rejects.toMatchObject({ code: 'SH020', message: expect.stringContaining('view hubspot.webhooks') as string })
    expect(await query(url, 'table hubspot.webhooks')).toEqual([{ one: 1 }])
  })

  test('an upgrade leaves a table alone that stands where the mirror had one', async () => {
    const url = await emptyDatabase()
    await migrate(url)
    await query(url, `select hubspot.track('contacts');
      select hubspot_private.properties_apply('contacts', '{"results": [{"name": "email", "type": "string"}]}'), hubspot_private.selection_apply('contacts')`)
    await query(url, `drop table hubspot.contacts; create view hubspot.contacts as select 1 as email;
      update hubspot_private.schema_files set hash = 'older' where name = 'code'`)
    expect(await migrate(url)).toMatchObject({ isCodeApplied: true })
    expect(await query(url, `table hubspot.contacts`)).toEqual([{ email: 1 }])
  })
})
