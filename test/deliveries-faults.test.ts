import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { createTurns, deliver, deliverInTurn } from '../src/sync/deliver.ts'
import { query } from './support/global-setup.ts'
import { allFinal } from './support/feed.ts'
import { startWorld, type World } from './support/sync.ts'

// Functions of a user's that hang, are gone, or leave the session otherwise than they found it.

const idsOf = (world: World) => [...world.store.records('contacts')].map(({ id }) => id)
const openProblems = (world: World) => world.db.query('select code, record_id, property, message from hubspot.problems where resolved_at is null order by id')
const got = async (world: World) => (await world.db.query<{ id: string }>('select id from public.got order by n')).map(({ id }) => id)
const jobs = (world: World) => world.db.query<{ key: string | null }>("select key from graphile_worker.jobs where task_identifier = 'hubspot:deliver' order by key")

/** Contacts, and a function that first does this and then notes whose change it got. */
async function subscribed(name: string, first: string): Promise<{ world: World; id: number; ids: string[] }> {
  const world = await startWorld(name, { sandbox: { objects: { contacts: 6 } } })
  await world.load('contacts', ['firstname', 'lastname'])
  await world.db.query('create table public.got (n serial, id bigint, note text)')
  await make(world, first)
  const [row] = await world.db.query<{ id: string }>("select hubspot.on_change('contacts', function_name => 'public.take') as id")
  return { world, id: Number(row!.id), ids: idsOf(world) }
}

const make = (world: World, first: string) => world.db.query(`create or replace function public.take(change jsonb) returns void language plpgsql as
  $$ begin ${first} insert into public.got (id) values ((change ->> 'record_id')::bigint); end $$`)
const ofRecord = (id: string | undefined, what: string) => `if (change ->> 'record_id')::bigint = ${id} then ${what} end if;`

async function edited(world: World, ids: readonly string[], firstname = 'new'): Promise<void> {
  for (const id of ids) world.store.edit('contacts', id, { firstname })
  await world.advance(1)
  await world.db.query('select hubspot.refresh($1, $2)', ['contacts', ids])
  await world.pass(2_000, 1_000)
  await allFinal(world.db)
}

/** What outlives a transaction in its session. */
const LEFT = `set client_encoding = 'LATIN1'; set default_transaction_read_only = on; set statement_timeout = '50ms'; set work_mem = '1MB'; set app.me = 'a';
  listen mine; create temp table mine (a int); perform pg_advisory_lock(1); execute 'declare mine cursor with hold for select 1'; reset lock_timeout; deallocate all;`

/** What is left of it in any of the worker's sessions. */
async function left({ deps: { db } }: World): Promise<unknown[]> {
  const sessions = await Promise.all(Array.from({ length: db.pool.totalCount }, () => db.pool.connect()))
  const found = await Promise.all(sessions.map((session) => session.query(`
    select format('%s %s', name, setting) as what from pg_settings where source = 'session' and setting <> reset_val and name <> 'search_path'
    union all select 'app.me ' || nullif(current_setting('app.me', true), '')
    union all select 'role ' || current_user where current_user <> session_user
    union all select 'listen ' || c from pg_listening_channels() c
    union all select 'table ' || relname from pg_class where relnamespace = pg_my_temp_schema()
    union all select 'lock ' || objid from pg_locks where pid = pg_backend_pid() and locktype = 'advisory'
    union all select 'cursor ' || name from pg_cursors where is_holdable`)))
  for (const session of sessions) session.release()
  return found.flatMap(({ rows }) => rows.flatMap(({ what }) => what ?? []) as unknown[])
}

describe('a function that takes too long', () => {
  test('is broken off: that change fails, those of other records go on', async () => {
    const { world, id, ids } = await subscribed('slow', '')
    await using _ = world
    await make(world, ofRecord(ids[0], 'perform pg_sleep(60);'))
    await world.db.query("select hubspot.configure('delivery_timeout', '200 ms')")
    await edited(world, ids.slice(0, 3))
    await deliver(world.deps, id)
    await world.advance(1_000)
    await deliver(world.deps, id)
    expect((await got(world)).toSorted()).toEqual(ids.slice(1, 3).toSorted())
    expect(await openProblems(world)).toEqual([{
      code: 'SH224', record_id: ids[0], property: `on_change ${id}`,
      message: expect.stringContaining('it took longer than delivery_timeout, 00:00:00.2 (57014)') as string,
    }])
  }, 20_000)

  test('does not keep a worker that is to stop', async () => {
    const { world, id, ids } = await subscribed('stopped', 'perform pg_sleep(60);')
    await using _ = world
    await edited(world, ids.slice(0, 1))
    const stopping = new AbortController()
    const delivery = deliver({ ...world.deps, signal: stopping.signal }, id).catch((error: unknown) => error)
    while ((await world.db.query("select from pg_stat_activity where datname = current_database() and wait_event = 'PgSleep'")).length === 0) await sleep(10)
    const began = performance.now()
    stopping.abort()
    expect(await delivery).toMatchObject({ code: '57P01' })
    expect(performance.now() - began).toBeLessThan(5_000)
    // Nothing was wrong with it.
    expect(await openProblems(world)).toEqual([])
    expect(await world.db.query('select attempts from hubspot_private.deliveries')).toEqual([{ attempts: 0 }])
  }, 20_000)

  test('has a third of a worker at most: what has no turn is queued again', async () => {
    const { world, id, ids } = await subscribed('turns', '')
    await using _ = world
    await edited(world, ids.slice(0, 1))
    await world.db.query("delete from graphile_worker._private_jobs")
    const turns = createTurns(12)
    expect([turns.most, createTurns(1).most]).toEqual([4, 1])
    for (const other of [-1, -2, -3, -4]) turns.taken.add(other)
    await deliverInTurn({ ...world.deps, turns }, id)
    expect(await got(world)).toEqual([])
    expect(await jobs(world)).toEqual([{ key: `hubspot:deliver:${id}:again` }])
    turns.taken.delete(-4)
    for (const slow of [id, -1, -2, -3]) turns.slow.add(slow)
    await deliverInTurn({ ...world.deps, turns }, id)
    expect(await got(world)).toEqual([])
    // One turn is for those that are not slow.
    turns.slow.delete(id)
    await deliverInTurn({ ...world.deps, turns }, id)
    expect(await got(world)).toHaveLength(1)
    expect([...turns.taken]).toEqual([-1, -2, -3])
  })
})

describe('a function that leaves the session changed', () => {
  test.each([
    ['set local role feed_bob;', 'it went on as role feed_bob'],
    ['set role feed_bob;', 'it went on as role feed_bob'],
    ['set transaction read only;', 'it left transaction_read_only'],
  ])('by %s fails with that change, and no other', async (sql, message) => {
    const { world, id, ids } = await subscribed('role', '')
    await using _ = world
    await withRole(world)
    await make(world, ofRecord(ids[0], `insert into public.got (id) values (0); ${sql} return;`))
    await edited(world, ids.slice(0, 3))
    await deliver(world.deps, id)
    expect((await got(world)).toSorted()).toEqual(ids.slice(1, 3).toSorted())
    expect(await openProblems(world)).toEqual([{ code: 'SH224', record_id: ids[0], property: `on_change ${id}`, message: expect.stringContaining(message) as string }])
    expect(await world.deps.db.pool.query('select current_user = session_user as is_so')).toMatchObject({ rows: [{ is_so: true }] })
  })

  test('in what hides nothing has it put back, for the next call and for good', async () => {
    const { world, id, ids } = await subscribed('settings', '')
    await using _ = world
    await world.db.query(`create or replace function public.take(change jsonb) returns void language plpgsql as
      $$ begin insert into public.got (note) values (current_setting('search_path') || current_setting('timezone')); set search_path = nowhere; set timezone = 'Asia/Tokyo'; end $$`)
    const [usual] = await world.db.query<{ note: string }>("select current_setting('search_path') || current_setting('timezone') as note")
    const [own] = await world.deps.db.pool.query<{ note: string }>("select current_setting('search_path') || current_setting('timezone') as note").then(({ rows }) => rows)
    await edited(world, ids.slice(0, 3))
    await deliver(world.deps, id)
    expect(await world.db.query('select distinct note from public.got')).toEqual([usual])
    const sessions = await Promise.all(Array.from({ length: 3 }, () => world.deps.db.pool.query("select current_setting('search_path') || current_setting('timezone') as note")))
    expect(sessions.map(({ rows }) => rows[0])).toEqual([own, own, own])
  })

  test('in whatever outlives a transaction leaves nothing in the worker\'s sessions, and no text is spoilt', async () => {
    const { world, id, ids } = await subscribed('leaves', `if to_regclass('pg_temp.mine') is null then ${LEFT} end if;`)
    await using _ = world
    for (const firstname of ['Žluť', 'Kůň']) {
      await edited(world, ids, firstname)
      await deliver(world.deps, id)
      expect(await left(world)).toEqual([])
    }
    expect(await got(world)).toHaveLength(2 * ids.length)
    expect(await world.differences('contacts')).toEqual([])
  })
})

describe('a trigger that leaves the session changed', () => {
  test.each(['deferrable', 'deferrable initially deferred'])('and is %s leaves nothing in the worker\'s sessions, and no text is spoilt', async (when) => {
    const { world, ids } = await subscribed('leaving', '')
    await using _ = world
    await world.db.query(`create function public.leave() returns trigger language plpgsql as
      $$ begin if new.id = ${ids[0]} then ${LEFT} end if; return null; end $$;
      create constraint trigger leaves after update on hubspot.contacts ${when} for each row execute function public.leave()`)
    for (const firstname of ['Žluť', 'Kůň']) {
      await edited(world, ids, firstname)
      expect(await left(world)).toEqual([])
    }
    expect(await openProblems(world)).toEqual([])
    expect(await world.differences('contacts')).toEqual([])
  })

  test('where it was deferred is named too, and its role does not stay', async () => {
    const { world, ids } = await subscribed('late', '')
    await using _ = world
    await withRole(world)
    await world.db.query(`create function public.go() returns trigger language plpgsql as
      $$ begin if old.id = ${ids[0]} then set role feed_bob; end if; return null; end $$;
      create constraint trigger goes after update on hubspot.contacts deferrable initially deferred for each row execute function public.go()`)
    await edited(world, ids)
    expect(await openProblems(world)).toMatchObject([{ code: 'SH213', record_id: ids[0], message: expect.stringContaining('went on as role feed_bob') as string }])
    expect(await left(world)).toEqual([])
    expect(await world.db.query("select from hubspot.contacts where firstname = 'new'")).toHaveLength(ids.length - 1)
  })

  test.each(['update', 'delete'])('at an %s is named with the record, and holds up that one alone', async (event) => {
    const { world, ids } = await subscribed('trigger', '')
    await using _ = world
    await withRole(world)
    await world.db.query(`create function public.go() returns trigger language plpgsql as
      $$ begin if old.id = ${ids[0]} then set local role feed_bob; end if; return coalesce(new, old); end $$;
      create trigger goes before ${event} on hubspot.contacts for each row execute function public.go()`)
    if (event === 'delete') for (const id of ids.slice(0, 2)) world.store.archive('contacts', id)
    await edited(world, event === 'delete' ? ids.slice(2, 3) : ids.slice(0, 3))
    await world.db.query('select hubspot.refresh($1, $2)', ['contacts', ids.slice(0, 3)])
    await world.pass(2_000, 1_000)
    expect(await openProblems(world)).toEqual([{
      code: 'SH213', record_id: ids[0], property: null, message: expect.stringContaining('trigger goes went on as role feed_bob') as string,
    }])
    const rows = await world.db.query<{ id: string; firstname: string }>('select id, firstname from hubspot.contacts where id = any ($1) order by id', [ids.slice(0, 3)])
    expect(rows.find(({ id }) => id === ids[0])?.firstname).not.toBe('new')
    expect(rows.find(({ id }) => id === ids[1])).toEqual(event === 'delete' ? undefined : { id: ids[1], firstname: 'new' })
  })
})

test('a function that is gone is one problem, until its first change is taken', async () => {
  const { world, id, ids } = await subscribed('gone', '')
  await using _ = world
  await world.db.query('drop function public.take')
  await edited(world, ids)
  await deliver(world.deps, id)
  expect(await openProblems(world)).toEqual([{
    code: 'SH224', record_id: null, property: `on_change ${id}`, message: expect.stringContaining('changes of contacts are not taken by function public.take: ') as string,
  }])
  await make(world, '')
  await world.advance(10_000)
  await deliver(world.deps, id)
  expect((await got(world)).toSorted()).toEqual(ids.toSorted())
  expect(await openProblems(world)).toEqual([])
})

async function withRole(world: World): Promise<void> {
  await query(world.db.adminUrl, `do $$ begin create role feed_bob; exception when duplicate_object or unique_violation then null; end $$;
    do $$ begin execute format('grant feed_bob to %I', (select pg_get_userbyid(datdba) from pg_database where datname = '${new URL(world.db.url).pathname.slice(1)}')); end $$`)
}

test('a function that fails gets what came meanwhile after it, in the order of the feed, though its id is lower', async () => {
  const { world, id } = await subscribed('late', '')
  await using _ = world
  const { db } = world
  await db.query(`create table public.allowed (); select hubspot.off_change(${id})`)
  const [row] = await db.query<{ id: string }>(`select hubspot.on_change('contacts', function_name => 'public.take', ops => '{update,associate}') as id`)
  await db.query(`create or replace function public.take(change jsonb) returns void language plpgsql as $$ begin
    if change ->> 'op' = 'associate' and not exists (select from public.allowed) then raise 'not yet'; end if;
    insert into public.got (note) values (change ->> 'op'); end $$`)
  const [older, newer] = [await db.pool.connect(), await db.pool.connect()]
  const write = (op: string) => `insert into hubspot.changes (at, object, record_id, op, changed) values (now(), 'contacts', 1, '${op}', '{}')`
  await older.query('begin; select pg_current_xact_id()')
  await newer.query(`begin; ${write('update')}`)
  await older.query(`${write('associate')}; commit`)
  older.release()
  while ((await openProblems(world)).length === 0) await deliver(world.deps, Number(row!.id))
  await newer.query('commit')
  newer.release()
  await allFinal(db)
  await deliver(world.deps, Number(row!.id))
  await db.query('alter table public.allowed add column n integer; insert into public.allowed values (1)')
  await world.advance(10_000)
  await deliver(world.deps, Number(row!.id))
  expect(await db.query('select note from public.got order by n')).toEqual([{ note: 'associate' }, { note: 'update' }])
})

describe('erasing while a function is called', () => {
  test('waits for a call with the record, and leaves nothing of what that said', async () => {
    const { world, id, ids: [one = ''] } = await subscribed('erased', `raise 'not %', change #>> '{changed,firstname,1}';`)
    await using _ = world
    const { db } = world
    await edited(world, [one], 'Unmistakable')
    const [calling, forgetting] = [await db.pool.connect(), await db.pool.connect()]
    const step = () => calling.query('select hubspot_private.deliver_step($1) as is_more', [id])
    try {
      expect((await step()).rows).toEqual([{ is_more: true }])
      await calling.query('begin')
      await step()
      let isOver = false
      const forgotten = forgetting.query("select hubspot.forget('contacts', $1)", [one]).finally(() => (isOver = true))
      while (!isOver && (await db.query("select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'")).length === 0) await sleep(10)
      await calling.query('commit')
      await forgotten
      expect(await db.query(`select p::text from hubspot_private.problems p where p::text like '%Unmistakable%'
        union all select d::text from hubspot_private.deliveries d union all select d::text from hubspot_private.delivery_changes d`)).toEqual([])
    } finally {
      calling.release()
      forgetting.release()
    }
  })

  test('waits for no call with another', async () => {
    const { world, id, ids: [one = '', slow = ''] } = await subscribed('erasing', 'perform pg_advisory_xact_lock(1);')
    await using _ = world
    const { db } = world
    await edited(world, [slow])
    const holder = await db.pool.connect()
    try {
      await holder.query('select pg_advisory_lock(1)')
      const delivery = deliver(world.deps, id)
      while ((await db.query("select from pg_stat_activity where datname = current_database() and wait_event = 'advisory'")).length === 0) await sleep(10)
      await holder.query(`set lock_timeout = '1 s'; select hubspot.forget('contacts', ${one}); reset lock_timeout`)
      expect(await world.row('contacts', one)).toBeUndefined()
      await holder.query('select pg_advisory_unlock(1)')
      await delivery
      // What the erasing did is told after it.
      await allFinal(db)
      await deliver(world.deps, id)
      expect(await got(world)).toEqual([slow, one])
    } finally {
      holder.release()
    }
  })
})
