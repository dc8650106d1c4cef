import { randomBytes } from 'node:crypto'
import pg from 'pg'
import { afterEach, describe, expect, inject, test } from 'vitest'
import { migrate, uninstall } from '../src/db/migrate.ts'
import { at, query } from './support/global-setup.ts'

const { adminUrl, appUrl } = inject('server')
const made: string[] = []
afterEach(async () => {
  for (const name of made.splice(0)) await query(adminUrl, `drop database if exists ${name} with (force)`)
})

/** An empty database of the role that owns test databases, which is no superuser. */
async function emptyDatabase(): Promise<string> {
  const name = `uninstall_${randomBytes(4).toString('hex')}`
  await query(appUrl, `create database ${name}`)
  made.push(name)
  return at(appUrl, name)
}

describe('uninstalling with things of others in schema hubspot', () => {
  test('refuses and names them; told to, drops them too', async () => {
    const url = await emptyDatabase()
    await migrate(url)
    await query(url, `select hubspot.track('contacts'), hubspot.track('deals');
      select hubspot_private.properties_apply('contacts', '{"results": [{"name": "email", "type": "string"}]}'), hubspot_private.selection_apply('contacts');
      select hubspot.track_associations('deals', 'contacts'); select hubspot.untrack('contacts')`)
    await query(url, `create table hubspot.mine (id integer generated always as identity primary key); create view hubspot."My view" as select 1 as one;
      create function hubspot.own() returns integer language sql as 'select 1'; create type hubspot.colour as enum ('red')`)
    await expect(uninstall(url)).rejects.toMatchObject({
      code: 'SH104',
      message: `schema hubspot holds what is not pg-hubspot's: function hubspot.own(), table hubspot.mine, type hubspot.colour, view hubspot."My view"`,
      hint: expect.stringContaining('set schema public') as string,
    })
    expect(await query(url, `select count(*) as n from hubspot.mine`)).toEqual([{ n: '0' }])
    await uninstall(url, { withOthers: true })
    expect(await query(url, `select nspname from pg_namespace where nspname like 'hubspot%'`)).toEqual([])
  })
})

test('uninstalling drops nothing of others that rests on the mirror, unless told to', async () => {
  const url = await emptyDatabase()
  await migrate(url)
  await query(url, `select hubspot.track('contacts');
    select hubspot_private.properties_apply('contacts', '{"results": [{"name": "email", "type": "string"}]}'), hubspot_private.selection_apply('contacts');
    create table public.orders (id integer primary key, contact bigint references hubspot.contacts)`)
  await query(url, `create view public.people as select email from hubspot.contacts; create view public.few as select from public.people;
    create materialized view public.counted as select count(*) from hubspot.contacts;
    create function public.one(c hubspot.contacts) returns integer language sql as 'select 1'`)
  await expect(uninstall(url)).rejects.toMatchObject({
    code: 'SH104',
    message: `what is not pg-hubspot's rests on its tables and functions: constraint orders_contact_fkey on table public.orders, function public.one(hubspot.contacts), materialized view public.counted, view public.people`,
    hint: expect.stringContaining('--with-others') as string,
  })
  expect(await query(url, 'select from public.people')).toEqual([])
  await uninstall(url, { withOthers: true })
  expect(await query(url, `select to_regclass('public.orders')::text as kept, to_regclass('public.few') as gone`)).toEqual([{ kept: 'orders', gone: null }])
})

test.for(['installing', 'uninstalling'] as const)('%s waits long for nobody who reads, and so holds up nobody', async (what) => {
  const url = await emptyDatabase()
  await migrate(url)
  await query(url, `update hubspot_private.schema_files set hash = 'another' where name = 'code'`)
  const [user, reader] = [new pg.Client(url), new pg.Client(url)]
  await Promise.all([user.connect(), reader.connect()])
  await user.query('begin; select from hubspot.status')
  let isOver = false
  const doing = (what === 'installing' ? migrate(url) : uninstall(url)).finally(() => (isOver = true))
  const began = performance.now()
  setTimeout(() => void user.query('rollback'), 7_000)
  let slowest = 0
  while (!isOver) {
    const from = performance.now()
    // Once it is uninstalled there is nothing to read.
    await reader.query('select from hubspot.status').catch(() => undefined)
    slowest = Math.max(slowest, performance.now() - from)
  }
  await doing
  expect(performance.now() - began).toBeGreaterThan(7_000)
  expect(slowest).toBeLessThan(4_000)
  await Promise.all([user.end(), reader.end()])
})

test('uninstalling leaves the jobs and tables of others', async () => {
  const url = await emptyDatabase()
  await migrate(url)
  await query(url, `create table public.mine as select 1 as one`)
  await query(url, `select graphile_worker.add_job('theirs', '{}')`)
  await query(url, `update hubspot_private.account set is_connected = true`)
  await query(url, `select hubspot.connect('pat-na1-12345678'), hubspot.track('contacts')`)
  expect((await query<{ n: number }>(url, 'select count(*)::integer as n from graphile_worker.jobs'))[0]?.n).toBeGreaterThan(1)
  await uninstall(url)
  expect(await query(url, 'select task_identifier from graphile_worker.jobs')).toEqual([{ task_identifier: 'theirs' }])
  expect(await query(url, 'table public.mine')).toEqual([{ one: 1 }])
  expect(await query(url, `select nspname from pg_namespace where nspname like 'hubspot%'`)).toEqual([])
  // And it can come back.
  expect(await migrate(url)).toMatchObject({ from: null, isCodeApplied: true })
})
