import { randomBytes } from 'node:crypto'
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import pg from 'pg'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { allCommands } from '../src/cli/main.ts'
import { openDatabase } from '../src/db/database.ts'
import { Session } from '../src/db/session.ts'
import { startSandbox } from '../src/sandbox/index.ts'
import { runCli, startCli } from './support/cli.ts'
import { type FreshDatabase, freshDatabase } from './support/cluster.ts'
import { query } from './support/global-setup.ts'
import { startWorld } from './support/sync.ts'

/** Operators for just these types, and functions for just these arguments, which go before Postgres' own general ones. */
const TRAPS = [
  ['||', 'bigint[]', 'bigint[]', 'bigint[]', '$1'], ['||', 'text[]', 'text[]', 'text[]', '$1'], ['||', 'text[]', 'text', 'text[]', '$1'],
  ['||', 'bigint[]', 'bigint', 'bigint[]', '$1'], ['<>', 'bigint[]', 'bigint[]', 'boolean', 'true'], ['<>', 'text[]', 'text[]', 'boolean', 'true'],
  ['=', 'bigint[]', 'bigint[]', 'boolean', 'true'], ['=', 'text[]', 'text[]', 'boolean', 'true'], ['=', 'jsonb', 'text', 'boolean', 'true'],
  ['->>', 'jsonb', 'varchar', 'text', '$2::text'], ['#>>', 'jsonb', 'text', 'text', '$2'], ['<>', 'bigint', 'numeric', 'boolean', 'true'],
  ['=', 'oid', 'regclass', 'boolean', 'true'], ['=', 'name', 'varchar', 'boolean', 'true'], ['&&', 'bigint[]', 'bigint[]', 'boolean', 'true'], ['@>', 'bigint[]', 'bigint[]', 'boolean', 'true'],
] as const
const FUNCTIONS = [
  ['cardinality(bigint[])', 'integer', '1'], ['cardinality(text[])', 'integer', '1'], ['unnest(bigint[])', 'setof bigint', '1::bigint'], ['unnest(text[])', 'setof text', "'1'"],
  ['array_remove(bigint[], bigint)', 'bigint[]', '$1'], ['num_nonnulls(text)', 'integer', '1'], ['num_nonnulls(numeric)', 'integer', '1'],
  ['jsonb_build_object(text, jsonb)', 'jsonb', '$2'], ['jsonb_build_object(text, text)', 'jsonb', "'{}'"], ['format(text, text)', 'text', '$1'],
  ['format(text, text, text)', 'text', '$1'], ['array_position(text[], text)', 'integer', '1'], ['jsonb_build_object(text, text, text, text)', 'jsonb', "'{}'"],
  ['concat_ws(text, text, text)', 'text', '$1'], ['to_jsonb(bigint[])', 'jsonb', "'[]'"],
  ['pg_terminate_backend(integer)', 'boolean', 'true'], ['pg_advisory_xact_lock(integer)', 'integer', '1'],
] as const

/** Lays all of them in a schema as a role that may do that and no more; whoever runs one is noted. */
async function lay(db: FreshDatabase, schema: string, role: string): Promise<void> {
  const admin = new pg.Client(db.adminUrl)
  await admin.connect()
  await admin.query(`create role ${role}; grant create on database ${pg.escapeIdentifier(db.name)} to ${role};
    create schema if not exists ${schema}; grant create, usage on schema ${schema} to ${role}; grant create, usage on schema ${schema} to public;
    create table public.caught (what text, who text); grant insert, select on public.caught to public; set role ${role}`)
  const trap = (what: string, args: string, returns: string, value: string) =>
    `create function ${schema}.${what}${args} returns ${returns} language plpgsql as $t$ begin insert into public.caught values ('${what} ${args}', current_user);
     ${returns.startsWith('setof') ? `return query select ${value}` : `return ${value}`}; end $t$`
  for (const [index, [operator, left, right, returns, value]] of TRAPS.entries()) {
    await admin.query(trap(`trap_${index}`, `(${left}, ${right})`, returns, value))
    await admin.query(`create operator ${schema}.${operator} (function = ${schema}.trap_${index}, leftarg = ${left}, rightarg = ${right})`)
  }
  for (const [signature, returns, value] of FUNCTIONS) await admin.query(trap(signature.split('(')[0]!, signature.slice(signature.indexOf('(')), returns, value))
  await admin.end()
}

describe.each([['public', 'public'], ["a schema named like the owner's role", undefined]])('operators and functions that someone lays in %s', (_, named) => {
  test('are not run by the sync, nor by a verb; users\' triggers find what they always find there', { timeout: 120_000 }, async () => {
    await using world = await startWorld('traps', { sandbox: { objects: { contacts: { count: 20, properties: 10 }, deals: { count: 5, properties: 5 } } } })
    const { db, store } = world
    const [{ owner }] = (await db.query<{ owner: string }>('select current_user as owner')) as [{ owner: string }]
    const schema = named ?? owner
    const role = `layer_${randomBytes(4).toString('hex')}`
    await lay(db, schema, role)
    await db.query(`create table ${schema}.seen (id bigint); create function ${schema}.note() returns trigger language plpgsql as $$
      begin insert into seen values (coalesce(new.id, old.id)); return null; end $$`)
    await world.load('contacts', ['email', 'firstname', 'lastname'])
    await world.load('deals', ['dealname'])
    await db.query("select hubspot.track_associations('deals', 'contacts')")
    const [one = '', two = '', three = ''] = [...store.records('contacts')].map(({ id }) => id)
    const [deal = ''] = [...store.records('deals')].map(({ id }) => id)
    await db.query(`create trigger "noted at once" after insert or update or delete on hubspot.contacts for each row execute function ${schema}.note()`)
    await db.query(`create constraint trigger noted_late after insert or update or delete on hubspot.contacts
      deferrable initially deferred for each row execute function ${schema}.note()`)
    store.associate('deals', deal, 'contacts', one)
    store.edit('contacts', one, { firstname: 'One' })
    store.edit('contacts', two, { firstname: 'Two' })
    store.archive('contacts', three)
    store.addProperty('contacts', { name: 'colour', type: 'string', label: 'Colour' })
    await world.pass(2 * 3_600_000, 600_000)
    await db.query("select hubspot.resync('contacts'), hubspot.verify('deals')")
    await world.drain()
    await db.query('select hubspot.forget($1, $2)', ['contacts', two])
    expect(await db.query('select distinct what, who from public.caught')).toEqual([])
    const seen = await db.query<{ id: string; n: number }>(`select id, count(*)::integer as n from ${schema}.seen group by id order by id`)
    expect(seen.map(({ id }) => id)).toEqual([one, two, three].toSorted((a, b) => Number(a) - Number(b)))
    expect(seen.every(({ n }) => n >= 2)).toBe(true)
    expect((await world.row('contacts', one))?.['firstname']).toBe('One')
    expect(await db.query('select deal_id, contact_id from hubspot.deals_contacts')).toEqual([{ deal_id: deal, contact_id: one }])
    await db.query(`drop owned by ${role} cascade`).catch(() => undefined)
  })

  test('are not run by any command', { timeout: 240_000 }, async () => {
    await using db = await freshDatabase('traps_cli')
    await using sandbox = await startSandbox({ objects: { contacts: 20 }, settings: { lag: 0 } })
    const [{ owner }] = (await db.query<{ owner: string }>('select current_user as owner')) as [{ owner: string }]
    const role = `layer_${randomBytes(4).toString('hex')}`
    await lay(db, named ?? owner, role)
    const called = new Set<string>()
    const run = async (args: string[], env: NodeJS.ProcessEnv = { HUBSPOT_API_URL: sandbox.url, HUBSPOT_ACCESS_TOKEN: sandbox.token }) => {
      called.add(args[0]!)
      const { code, stdout, stderr } = await runCli(args, { env: { ...env, DATABASE_URL: db.url } })
      expect.soft(code, `${args.join(' ')}: ${stdout}${stderr}`).toBe(0)
      expect.soft(await db.query('select distinct what, who from public.caught'), args.join(' ')).toEqual([])
      await query(db.adminUrl, 'truncate public.caught')
    }
    await run(['uninstall', '--yes'])
    await db.query('drop schema graphile_worker cascade')
    await run(['install'])
    await run(['connect'])
    await db.query("select hubspot.track('contacts')")
    await run(['worker', '--once', '--http', 'off'])
    {
      const env = { DATABASE_URL: db.url, HUBSPOT_API_URL: sandbox.url, HUBSPOT_ACCESS_TOKEN: sandbox.token }
      await using worker = startCli(['worker', '--http', '127.0.0.1:0', '--gateway', '127.0.0.1:0'], { env })
      let log = ''
      worker.child.stderr!.on('data', (text: string) => (log += text))
      await worker.said(/http is served/)
      const { url } = JSON.parse(/.*http is served.*/.exec(log)![0]) as { url: string }
      for (const page of ['metrics', 'readyz']) expect((await fetch(`${url}/${page}`)).status).toBe(200)
      for (const args of [['status'], ['status', '--json'], ['types'], ['verify', 'contacts'], ['resync', 'contacts'], ['doctor']]) await run(args)
      await run(['install'])
    }
    await run(['uninstall', '--yes'])
    await run(['demo', '--once'], {})
    expect((await allCommands()).map(({ name }) => name).filter((name) => !called.has(name))).toEqual(['sandbox'])
    await db.query(`drop owned by ${role} cascade`).catch(() => undefined)
  })
})

describe('sessions of the product\'s own', () => {
  test.each([
    ['nobody says anything', '', undefined, '4MB'],
    ['the URL has options', '?options=-c%20work_mem%3D8MB%20--search_path%3Dpublic%20-c%20default_transaction_isolation%3Dserializable', undefined, '8MB'],
    ['PGOPTIONS has some', '', '-c work_mem=8MB -csearch_path=public', '8MB'],
    ['the URL has some, and PGOPTIONS', '?options=-c%20work_mem%3D8MB', '-c work_mem=16MB', '8MB'],
  ])('have their own settings where %s, and the others', async (_, more, options, memory) => {
    await using db = await freshDatabase('options')
    await query(db.adminUrl, `alter database ${db.name} set default_transaction_isolation = 'repeatable read'; alter database ${db.name} set search_path = public`)
    vi.stubEnv('PGOPTIONS', options)
    onTestFinished(() => void vi.unstubAllEnvs())
    await using own = openDatabase(db.url + more)
    const lone = new Session({ connectionString: db.url + more })
    await lone.connect()
    for (const session of [own.pool, lone]) {
      const { rows } = await session.query("select current_setting('search_path') as path, current_setting('transaction_isolation') as isolation, current_setting('work_mem') as memory")
      expect(rows).toEqual([{ path: 'pg_catalog,pg_temp', isolation: 'read committed', memory }])
    }
    await lone.end()
  })

  test('are made in few places', () => {
    const src = join(import.meta.dirname, '..', 'src')
    const made = globSync('**/*.ts', { cwd: src }).flatMap((file) =>
      readFileSync(join(src, file), 'utf8').split('\n').filter((line) => /new pg\.(Client|Pool)\b/.test(line)).map(() => file))
    // The pool of sessions; an installer's, pinned by a statement; and two that only read a URL.
    expect(made.toSorted()).toEqual(['db/database.ts', 'db/database.ts', ...Array<string>(4).fill('db/migrate.ts'), 'db/server-address.ts'])
  })
})
