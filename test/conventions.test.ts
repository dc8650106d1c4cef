import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ERRORS } from '../src/lib/errors.ts'
import { tasks } from '../src/tasks.ts'
import { type FreshDatabase, freshDatabase } from './support/cluster.ts'

const root = join(import.meta.dirname, '..')
let db: FreshDatabase

beforeAll(async () => {
  db = await freshDatabase('conventions')
})
afterAll(async () => {
  await db[Symbol.asyncDispose]()
})

describe('the catalogue', () => {
  it('has a comment on every relation, function, and column that a user sees', async () => {
    const bare = await db.query<{ name: string }>(
      `select p.oid::regprocedure::text as name from pg_proc p
       where p.pronamespace in ('hubspot'::regnamespace, 'hubspot_private'::regnamespace) and obj_description(p.oid, 'pg_proc') is null
       union all
       select c.oid::regclass::text from pg_class c
       where c.relnamespace in ('hubspot'::regnamespace, 'hubspot_private'::regnamespace) and c.relkind in ('r', 'v')
         and obj_description(c.oid, 'pg_class') is null and c.relname <> 'schema_files'
       union all
       select format('%s.%I', c.oid::regclass, a.attname) from pg_class c
       join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
       where c.relnamespace = 'hubspot'::regnamespace and c.relkind in ('r', 'v', 'p') and col_description(c.oid, a.attnum) is null`,
    )
    expect(bare.map(({ name }) => name)).toEqual([])
  })

  it('gives nothing to public', async () => {
    const open = await db.query<{ name: string }>(
      `select p.oid::regprocedure::text as name from pg_proc p
       where p.pronamespace in ('hubspot'::regnamespace, 'hubspot_private'::regnamespace) and has_function_privilege('public', p.oid, 'execute')
       union all
       select c.oid::regclass::text from pg_class c
       where c.relnamespace in ('hubspot'::regnamespace, 'hubspot_private'::regnamespace) and c.relkind in ('r', 'v', 'p')
         and has_table_privilege('public', c.oid, 'select')
       union all
       select n.nspname from pg_namespace n where n.nspname like 'hubspot%' and has_schema_privilege('public', n.oid, 'usage')`,
    )
    expect(open.map(({ name }) => name)).toEqual([])
  })

  it('pins the search path of every function but those that set or read it, and those that must be inlined', async () => {
    const loose = await db.query<{ name: string }>(
      `select p.proname as name from pg_proc p
       where p.pronamespace in ('hubspot'::regnamespace, 'hubspot_private'::regnamespace)
         and not coalesce('search_path=pg_catalog, pg_temp' = any (p.proconfig), false)
       order by 1`,
    )
    const names = loose.map(({ name }) => name)
    const exempt = ['constraints_check', 'path_open', 'session_end', 'session_restore', 'session_settle', 'session_state', 'users_path', 'wait']
    // Casts are fully qualified instead: SET would keep the planner from inlining them.
    expect(names.filter((name) => !/^(cast|read|input)_|^is_castable$/.test(name))).toEqual(exempt)
  })

  it('runs nothing with its owner\'s rights that is not pinned', async () => {
    const definers = await db.query<{ name: string }>(
      `select p.oid::regprocedure::text as name from pg_proc p
       where p.pronamespace in ('hubspot'::regnamespace, 'hubspot_private'::regnamespace) and p.prosecdef
         and not coalesce('search_path=pg_catalog, pg_temp' = any (p.proconfig), false)`,
    )
    expect(definers).toEqual([])
  })

  it('catches failed assertions, of triggers of users\' among others, wherever it catches all else', async () => {
    const functions = await db.query<{ name: string; text: string }>(
      `select p.proname as name, p.prosrc as text from pg_proc p
       where p.pronamespace in ('hubspot'::regnamespace, 'hubspot_private'::regnamespace) and p.prosrc ~* '\\mothers\\M'`)
    const clauses = functions.flatMap(({ name, text }) => [...text.matchAll(/\bwhen\s+((?:\w+\s+or\s+)*\w+)\s+then\b/gi)]
      .map(([, caught = '']) => ({ name, caught: caught.toLowerCase().split(/\s+or\s+/) }))
      .filter(({ caught }) => caught.includes('others')))
    expect(clauses.length).toBeGreaterThan(10)
    expect(clauses.filter(({ caught }) => !caught.includes('assert_failure'))).toEqual([])
  })

  it('lets what is users\' run under the usual search path alone, in others\' sessions with temporary tables last', async () => {
    const functions = await db.query<{ name: string; text: string }>(
      `select p.proname as name, p.prosrc as text from pg_proc p
       where p.pronamespace in ('hubspot'::regnamespace, 'hubspot_private'::regnamespace) and p.prosrc ~* '''search_path'', |set local search_path'`)
    const pinned = /pg_catalog\.set_config\('search_path', 'pg_catalog, pg_temp', true\)/g
    expect(functions.filter(({ text }) => text.replaceAll(pinned, '').includes('search_path')).map(({ name }) => name)).toEqual(['path_open'])
    expect(await db.query('select hubspot_private.usual_search_path() as path')).toEqual([{ path: '"$user", public' }])
  })
})

describe('SQL and TypeScript', () => {
  it('know the same errors', async () => {
    const rows = await db.query<{ code: string; name: string }>('select code, name from hubspot_private.errors order by code')
    expect(Object.fromEntries(rows.map(({ code, name }) => [code, name]))).toEqual(ERRORS)
  })

  it('know the same tasks', async () => {
    const [row] = await db.query<{ names: string[] }>('select hubspot_private.task_names() as names')
    expect(row?.names.toSorted()).toEqual(Object.keys(tasks).toSorted())
  })

  it('agree on the arguments of every function that TypeScript calls', async () => {
    const source = ['calls', 'account-calls', 'deliver-calls', 'live-calls', 'web-calls'].map((name) => readFileSync(join(root, `src/db/${name}.ts`), 'utf8')).join('\n')
    const called = [...source.matchAll(/hubspot_private\.(\w+)\(((?:\s*\w+ => \$\d+,?)*)\s*\)/g)].map(([, name = '', args = '']) => ({
      name,
      args: [...args.matchAll(/(\w+) =>/g)].map(([, arg]) => arg),
    }))
    expect(called.length).toBeGreaterThan(10)
    for (const { name, args } of called) {
      const rows = await db.query<{ names: string[] | null; needed: number }>(
        `select p.proargnames as names, p.pronargs - p.pronargdefaults as needed from pg_proc p
         where p.pronamespace = 'hubspot_private'::regnamespace and p.proname = $1`,
        [name],
      )
      expect(rows, name).toHaveLength(1)
      expect(rows[0]?.names ?? [], name).toEqual(expect.arrayContaining(args))
      expect(args.length, name).toBeGreaterThanOrEqual(rows[0]?.needed ?? 0)
    }
  })
})

describe('the sources', () => {
  const files = (folder: string): string[] =>
    readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
      .filter((file) => /\.(sql|ts)$/.test(file))
      .map((file) => `${folder}/${file}`)
  const sources = ['sql/schema', 'sql/code', 'src'].flatMap(files).filter((file) => file !== 'src/db/types.ts')

  it('stay short', () => {
    const long = sources.filter((file) => readFileSync(join(root, file), 'utf8').split('\n').length > 301)
    expect(long).toEqual([])
  })

  it('raise only errors that exist', async () => {
    const known = new Set((await db.query<{ name: string }>('select name from hubspot_private.errors')).map(({ name }) => name))
    const raised = sources.flatMap((file) =>
      [...readFileSync(join(root, file), 'utf8').matchAll(/hubspot_private\.fail\(\s*'(\w+)'/g)].map(([, name]) => name ?? ''),
    )
    expect(raised.length).toBeGreaterThan(20)
    expect(raised.filter((name) => !known.has(name))).toEqual([])
  })

  it('call only what a lower-numbered file defines, where SQL is checked at creation', () => {
    // Every relation, function and type that a `language sql` function names must exist when it is made: install proves it.
    const order = files('sql/code').map((file) => file.slice('sql/code/'.length)).toSorted()
    expect(order.every((file) => /^\d\d_[a-z_]+\.sql$/.test(file))).toBe(true)
    expect(new Set(order.map((file) => file.slice(0, 2))).size).toBe(order.length)
  })
})
