import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { rightsReference } from './support/reference.ts'
import { makeRoles, type Roles } from './support/roles.ts'
import { startWorld, type World } from './support/sync.ts'

// Role × object: every relation and function of schema hubspot, tried as each role.

const ROLES = ['nobody', 'reader', 'writer', 'controller'] as const
type Role = (typeof ROLES)[number]
/** The kinds of function that a role may run. */
const MAY: Record<Role, readonly string[]> = { nobody: [], reader: ['read'], writer: ['read'], controller: ['read', 'control'] }
const DENIED = '42501'

let world: World
let roles: Roles<Role>
beforeAll(async () => {
  world = await startWorld('rights', { sandbox: { objects: { contacts: 3, deals: 2, vehicle: 1 } } })
  await world.load('contacts', ['firstname'])
  await world.load('vehicle')
  roles = await makeRoles(world.db, ...ROLES)
  const { reader, writer, controller } = roles.names
  await world.db.query('select hubspot.grant_read($1), hubspot.grant_write($2), hubspot.grant_control($3)', [reader, writer, controller])
  // Made after the grants.
  await world.load('deals', ['dealname', 'amount'])
  await world.db.query(`select hubspot.track_associations('deals', 'contacts')`)
  await world.drain()
})
afterAll(async () => {
  await roles[Symbol.asyncDispose]()
  await world[Symbol.asyncDispose]()
})

const MIRROR = ['contacts', 'deals', 'deals_contacts', 'vehicle']

describe.each(ROLES)('as %s', (role) => {
  test('each relation: reads, and writes nothing but what the read-only tables refuse', async () => {
    const { rows } = await roles.admin.query<{ name: string; kind: string }>(
      `select format('hubspot.%I', relname) as name, relkind as kind from pg_class
       where relnamespace = 'hubspot'::regnamespace and relkind in ('r', 'p', 'v', 'f') and not relispartition order by 1`,
    )
    expect(rows.map(({ name }) => name)).toEqual(expect.arrayContaining(MIRROR.map((name) => `hubspot.${name}`)))
    expect(rows.length).toBeGreaterThan(20)
    for (const { name, kind } of rows) {
      expect(await roles.tries(role, `select * from ${name}`), `select of ${name}`).toBe(role === 'nobody' ? DENIED : undefined)
      const isOpen = role === 'writer' && MIRROR.some((table) => name === `hubspot.${table}`)
      const column = (await columnsOf(name)).at(-1)
      for (const write of [`insert into ${name} default values`, `update ${name} set ${column} = ${column}`, `delete from ${name}`]) {
        // A view, or its column, that takes no writes says so first.
        expect(isOpen ? ['SH105'] : kind === 'v' && role !== 'nobody' ? [DENIED, '55000', '0A000'] : [DENIED], write).toContain(await roles.tries(role, write))
      }
      if (kind === 'v') continue
      for (const text of [`truncate ${name}`, `create trigger t before update on ${name} for each row execute function suppress_redundant_updates_trigger()`, `drop table ${name}`]) {
        expect(await roles.tries(role, text), text).toBe(DENIED)
      }
    }
  })

  test('each function', async () => {
    const functions = await functionsOf()
    for (const { call, kind } of functions) {
      const state = await roles.tries(role, call)
      if (kind !== undefined && MAY[role].includes(kind)) expect(state, call).not.toBe(DENIED)
      else expect(state, call).toBe(DENIED)
    }
  })

  test('nothing of the private schema, the queue, or the cluster', async () => {
    const { rows } = await roles.admin.query<{ name: string }>(
      `select format('%I.%I', n.nspname, c.relname) as name from pg_class c join pg_namespace n on n.oid = c.relnamespace
       where n.nspname in ('hubspot_private', 'graphile_worker') and c.relkind in ('r', 'v', 'S')
         and (has_schema_privilege($1, n.oid, 'usage') or case c.relkind when 'S' then has_sequence_privilege($1, c.oid, 'usage, select, update')
           else has_table_privilege($1, c.oid, 'select, insert, update, delete, truncate, references, trigger') end)`,
      [roles.names[role]],
    )
    expect(rows).toEqual([])
    for (const text of ['select hubspot_private.clock()', 'table hubspot_private.credentials', 'create table hubspot.mine ()', 'create function hubspot.mine() returns int return 1']) {
      expect(await roles.tries(role, text), text).toBe(DENIED)
    }
  })
})

test('every function of schema hubspot is of exactly one kind: read, control, or the owner\'s', async () => {
  expect(await world.db.query(
    `select p.oid::regprocedure::text as name from pg_proc p
     join hubspot_private.function_kinds() k on p.proname = any (k.names) or replace(p.oid::regprocedure::text, 'hubspot.', '') = any (k.names)
     where p.pronamespace = 'hubspot'::regnamespace group by 1 having count(*) > 1`,
  )).toEqual([])
  const missing = (await functionsOf()).filter(({ kind }) => kind === undefined).map(({ call }) => call)
  expect(missing, 'put it into hubspot_private.function_kinds(), sql/code/35_grants.sql').toEqual([])
})

test('a controller drives it: tracks, waits, schedules; what he makes is the owner\'s and everybody\'s that was granted', async () => {
  await roles.as('controller', `select hubspot.track('companies', '{name}')`)
  await world.drain()
  await roles.as('controller', `call hubspot.wait('companies', '5 seconds')`)
  expect(await roles.as('reader', 'select count(*)::integer as n from hubspot.companies')).toEqual([{ n: 0 }])
  await roles.as('controller', `select hubspot.schedule('companies', 'poll', every => '1 minute'), hubspot.pause('companies'), hubspot.configure('max_columns', 900)`)
  expect(await roles.as('controller', `select state, (select is_done from hubspot.progress('companies')) from hubspot.status where object = 'companies'`)).toEqual([{ state: 'paused', is_done: true }])
  await expect(roles.as('controller', `call hubspot.wait('companies', timeout => null)`)).rejects.toMatchObject({ code: 'SH104' })
  await roles.as('controller', `select hubspot.untrack('companies', drop_table => true), hubspot.configure('max_columns', null::integer)`)
})

test('docs/rights.md says what each role may do', async () => {
  await expect(await rightsReference(world.db, roles.names, MIRROR)).toMatchFileSnapshot('../docs/rights.md')
})

async function columnsOf(relation: string): Promise<string[]> {
  const rows = await world.db.query<{ name: string }>(
    'select quote_ident(attname) as name from pg_attribute where attrelid = $1::regclass and attnum > 0 and not attisdropped order by attnum',
    [relation],
  )
  return rows.map(({ name }) => name)
}

/** A call of each function, every argument null, and the kind that it is listed as. */
async function functionsOf(): Promise<{ call: string; kind: string | undefined }[]> {
  const rows = await world.db.query<{ call: string; kind: string | null }>(
    `select format('%s hubspot.%I(%s)', case p.prokind when 'p' then 'call' else 'select' end, p.proname,
         (select string_agg(format('null::%s', case t.oid when 'anyelement'::regtype then 'integer' else format_type(t.oid, null) end), ', ' order by a.n)
          from unnest(p.proargtypes) with ordinality a (type, n) join pg_type t on t.oid = a.type)) as call,
       hubspot_private.function_kind(p.oid) as kind
     from pg_proc p where p.pronamespace = 'hubspot'::regnamespace and p.prorettype <> 'trigger'::regtype order by 1`,
  )
  expect(rows.length).toBeGreaterThan(25)
  return rows.map(({ call, kind }) => ({ call, kind: kind ?? undefined }))
}
