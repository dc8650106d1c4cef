import { randomBytes } from 'node:crypto'
import pg from 'pg'
import { expect, test } from 'vitest'
import { deliver } from '../src/sync/deliver.ts'
import { allFinal } from './support/feed.ts'
import { startWorld } from './support/sync.ts'

// A function that is subscribed to runs with the worker's rights: nobody may put another in its place.

test.for([
  ['once it is gone', 'drop function my_app.take; set role %s; create function my_app.take(change jsonb)'],
  ['beside one with a further argument that has a default', 'set role %s; create function my_app.take(change jsonb)'],
  ['for any type', 'drop function my_app.take; set role %s; create function my_app.take(variadic change anyarray)'],
] as const)("another role's function under its name is not called: %s", async ([how, put]) => {
  await using world = await startWorld('strangers', { sandbox: { objects: { contacts: 4 } } })
  const { db, store } = world
  const role = `layer_${randomBytes(4).toString('hex')}`
  const admin = new pg.Client(db.adminUrl)
  await admin.connect()
  try {
    await world.load('contacts', ['firstname'])
    const take = `create function my_app.take(change jsonb${how.includes('default') ? ', more integer default 1' : ''}) returns void language sql
      as $$ insert into public.got values ((change ->> 'record_id')::bigint, current_user, 'mine') $$`
    await db.query(`create schema my_app; create table public.got (id bigint, who text, whose text); ${take}`)
    await admin.query(`create role ${role}; grant create, usage on schema my_app to ${role}`)
    const [row] = await db.query<{ id: string }>("select hubspot.on_change('contacts', function_name => 'my_app.take') as id")
    const [one = ''] = [...store.records('contacts')].map(({ id }) => id)
    const edited = async (firstname: string) => {
      store.edit('contacts', one, { firstname })
      await world.pass(60_000, 1_000)
      await allFinal(db)
      await deliver(world.deps, Number(row!.id))
    }
    await edited('one')
    const mine = { id: one, who: new URL(db.url).username, whose: 'mine' }
    expect(await db.query('select * from public.got')).toEqual([mine])
    await admin.query(`${put.replace('%s', role)} returns void language sql as $$ insert into public.got values (0, current_user, 'theirs') $$; reset role`)
    await edited('two')
    expect(await db.query('select * from public.got')).toEqual([mine])
    expect(await db.query('select code, record_id, message from hubspot.problems where resolved_at is null'))
      .toEqual([{ code: 'SH224', record_id: null, message: expect.stringContaining(`is role ${role}'s, and it was ${mine.who}'s that was subscribed`) as string }])
    // Its own again: nothing is lost.
    await admin.query(`drop owned by ${role} cascade`)
    if (!how.includes('default')) await db.query(take)
    await edited('three')
    await world.pass(120_000, 10_000)
    await deliver(world.deps, Number(row!.id))
    expect(await db.query('select * from public.got')).toEqual([mine, mine, mine])
    expect(await db.query('select from hubspot.problems where resolved_at is null')).toEqual([])
  } finally {
    await admin.query(`reset role; drop owned by ${role} cascade; drop role ${role}`)
    await admin.end()
  }
})

test("a role that is renamed keeps its function, on another server too, and another of its name has none", async () => {
  await using world = await startWorld('strangers', { sandbox: { objects: { contacts: 4 } } })
  const { db, store } = world
  const role = `layer_${randomBytes(4).toString('hex')}`
  const admin = new pg.Client(db.adminUrl)
  await admin.connect()
  const put = async (owner: string, whose: string) => {
    await admin.query(`set role ${owner}; create function my_app.take(change jsonb) returns void language sql as $$ insert into public.got values ('${whose}') $$; reset role`)
  }
  try {
    await world.load('contacts', ['firstname'])
    await db.query('create schema my_app; create table public.got (whose text)')
    await admin.query(`create role ${role}; grant create, usage on schema my_app to ${role}`)
    await put(role, 'mine')
    const [row] = await db.query<{ id: string }>("select hubspot.on_change('contacts', function_name => 'my_app.take') as id")
    const [one = ''] = [...store.records('contacts')].map(({ id }) => id)
    const edited = async (firstname: string) => {
      store.edit('contacts', one, { firstname })
      await world.pass(60_000, 1_000)
      await allFinal(db)
      await deliver(world.deps, Number(row!.id))
      return (await db.query<{ whose: string }>('select whose from public.got')).map(({ whose }) => whose)
    }
    expect(await edited('one')).toEqual(['mine'])
    await admin.query(`alter role ${role} rename to ${role}_x`)
    expect(await edited('two')).toEqual(['mine', 'mine'])
    await db.query('select hubspot_private.sweep()')
    // Where oids are others.
    await db.query('update hubspot_private.installation set system_identifier = system_identifier + 1; update hubspot_private.subscriptions set function_owner_oid = 1')
    await db.query('select hubspot.adopt(read_only => false)')
    expect(await edited('three')).toEqual(['mine', 'mine', 'mine'])
    await admin.query(`create role ${role}; grant create, usage on schema my_app to ${role}; drop function my_app.take`)
    await put(role, 'theirs')
    expect(await edited('four')).toEqual(['mine', 'mine', 'mine'])
    const problem = async () => (await db.query<{ message: string }>('select message from hubspot.problems where resolved_at is null')).map(({ message }) => message)
    expect(await problem()).toEqual([expect.stringContaining(`is role ${role}'s, and it was ${role}_x's that was subscribed`)])
    await admin.query(`drop owned by ${role}_x; drop role ${role}_x`)
    await world.pass(10_000)
    await deliver(world.deps, Number(row!.id))
    expect(await problem()).toEqual([expect.stringContaining(`is role ${role}'s, and it was a former ${role}_x's that was subscribed`)])
    expect(await db.query('select whose from public.got')).toHaveLength(3)
  } finally {
    for (const name of [role, `${role}_x`]) {
      const { rows } = await admin.query('select from pg_roles where rolname = $1', [name])
      if (rows.length > 0) await admin.query(`reset role; drop owned by ${name} cascade; drop role ${name}`)
    }
    await admin.end()
  }
})
