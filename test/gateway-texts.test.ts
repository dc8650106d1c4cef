import { randomBytes } from 'node:crypto'
import { loadModule, parseSync } from 'libpg-query'
import type pg from 'pg'
import { afterEach, beforeAll, expect, test, vi } from 'vitest'
import { ServerSide } from '../src/gateway/session/server-side.ts'
import { query } from './support/global-setup.ts'
import { startLiveWorld } from './support/live.ts'

beforeAll(loadModule)
afterEach(() => void vi.restoreAllMocks())

const OPERATORS = ['=', '<>', '<', '>', '||', '*']
const TYPES = [
  'numeric', 'integer', 'bigint', 'double precision', 'name', 'text', 'varchar', '"char"', 'oid', 'regclass', 'regtype', 'oid[]', 'name[]', 'text[]', '"char"[]', 'boolean', 'interval', 'timestamptz',
]

/** Lays each operator on these types that Postgres has not for just them, as a role that may do that and no more; each fails, and says who ran it. */
async function lay(adminUrl: string, role: string): Promise<void> {
  const unnest = (all: readonly string[]) => `unnest(array[${all.map((one) => `'${one}'`).join()}])`
  await query(adminUrl, `create role ${role}; grant create, usage on schema public to ${role}, public; set role ${role};
    do $do$
    declare one record; n integer := 0;
    begin
      for one in
        select o.sign, l.type::regtype as l, r.type::regtype as r from ${unnest(OPERATORS)} o (sign), ${unnest(TYPES)} l (type), ${unnest(TYPES)} r (type)
        where not exists (select from pg_operator p where p.oprname = o.sign and p.oprleft = l.type::regtype and p.oprright = r.type::regtype)
      loop
        n := n + 1;
        execute format('create function public.laid_%1$s(%2$s, %3$s) returns boolean language plpgsql as $$ begin raise exception %4$L, current_user; end $$',
          n, one.l, one.r, concat(one.l, ' ', one.sign, ' ', one.r, ' is run as %'));
        execute format('create operator public.%s (function = public.laid_%s, leftarg = %s, rightarg = %s)', one.sign, n, one.l, one.r);
      end loop;
    end $do$`)
}

type Tree = { [key: string]: unknown }
const isTree = (value: unknown): value is Tree => typeof value === 'object' && value !== null

/** What in a tree is found by the search path: operators, also those that a construct brings by itself, functions, types and relations. */
function loose(tree: unknown, known: readonly string[] = []): string[] {
  if (!isTree(tree)) return []
  const ctes = isTree(tree['withClause']) ? JSON.stringify(tree['withClause']).matchAll(/"ctename":"(\w+)"/g) : []
  const names = [...known, ...[...ctes].map(([, name]) => name!)]
  return Object.entries(tree).flatMap(([kind, node]) => [...(isTree(node) ? looseOf(kind, node, names) : []), ...loose(node, names)])
}

function looseOf(kind: string, node: Tree, ctes: readonly string[]): string[] {
  const path = (names: unknown) => ((names ?? []) as { String?: { sval: string } }[]).map((one) => one.String?.sval ?? '').join('.')
  const unless = (isSafe: boolean, what: string) => (isSafe ? [] : [`${kind} ${what}`])
  const isOwn = (names: unknown) => path(names).startsWith('pg_catalog.')
  if (kind === 'A_Expr') return unless(isOwn(node['name']) && ['AEXPR_OP', 'AEXPR_OP_ANY', 'AEXPR_OP_ALL'].includes(String(node['kind'])), `${String(node['kind'])} ${path(node['name'])}`)
  if (kind === 'SubLink') return unless(node['testexpr'] === undefined || isOwn(node['operName']), path(node['operName']))
  if (kind === 'FuncCall') return unless(isOwn(node['funcname']), path(node['funcname']))
  if (kind === 'TypeCast') return unless(isOwn((node['typeName'] as Tree)['names']), path((node['typeName'] as Tree)['names']))
  if (kind === 'RangeVar') return unless(node['schemaname'] === 'pg_catalog' || (node['schemaname'] === undefined && ctes.includes(String(node['relname']))), String(node['relname']))
  if (kind === 'CaseExpr') return unless(node['arg'] === undefined, 'compares')
  if (kind === 'JoinExpr') return unless(node['usingClause'] === undefined && node['isNatural'] !== true, 'compares')
  if (kind === 'SortBy') return unless(node['useOp'] === undefined, 'using')
  return unless(!['MinMaxExpr', 'CollateClause'].includes(kind), 'of its own')
}

test('a text that is run on a client\'s session finds nothing that someone else laid on its search path', { timeout: 120_000 }, async () => {
  await using live = await startLiveWorld('texts', { sandbox: { objects: { contacts: 3 } } })
  await live.load('contacts', ['firstname'])
  await live.advance(1_000)
  await live.db.query(`create view public.seen as select id, firstname from hubspot.contacts;
    create materialized view public.stored as select id, firstname from hubspot.contacts; create table public.parent (id bigint, firstname text);
    create table public.mine (id bigint); insert into public.mine select id from hubspot.contacts; alter table public.mine enable row level security; alter table public.mine force row level security;
    create policy ours on public.mine using (id in (select id from hubspot.contacts)); create policy theirs on public.mine for select to ${new URL(live.db.url).username} using (true)`)
  const role = `layer_${randomBytes(4).toString('hex')}`
  await lay(live.db.adminUrl, role)
  try {
    const injected = vi.spyOn(ServerSide.prototype, 'inject')
    const client = await live.direct()
    const rows = (text: string | pg.QueryConfig) => client.query(text).then((answer) => answer.rows.length, (error: Error) => error.message)
    for (const text of ['hubspot.contacts', 'hubspot.contacts', 'public.seen', 'public.stored', 'public.parent', 'public.mine']) expect.soft(await rows(`select id from ${text}`), text).toBe(text.endsWith('parent') ? 0 : 3)
    await client.query("set hubspot.max_age = '1 min'")
    expect.soft(await rows('select id from public.seen')).toBe(3)
    await client.query('prepare before as select id from public.seen')
    expect.soft(await rows('execute before')).toBe(3)
    await client.query('set search_path = "$user", public, hubspot')
    for (let time = 0; time < 2; time += 1) expect.soft(await rows({ name: 'kept', text: 'select id from contacts' })).toBe(3)
    for (const first of ['select 1', 'savepoint one']) {
      await client.query('begin isolation level repeatable read')
      await client.query(first)
      expect.soft(await rows('select id from contacts')).toBe(3)
      await client.query('commit')
    }
    const texts = [...new Set(injected.mock.calls.map(([sql]) => sql))]
    for (const part of ['with recursive named', 'has_any_column_privilege(c.oid', 'pg_prepared_statements', 'current_schemas(true)', 'transaction_timestamp()']) {
      expect.soft(texts.filter((text) => text.includes(part)), part).toHaveLength(1)
    }
    for (const text of texts) expect.soft(loose(parseSync(text)), text).toEqual([])
  } finally {
    await query(live.db.adminUrl, `drop owned by ${role} cascade`)
    await query(live.db.adminUrl, `drop role ${role}`)
  }
})
