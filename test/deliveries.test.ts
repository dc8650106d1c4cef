import { describe, expect, test } from 'vitest'
import { type FreshDatabase, freshDatabase } from './support/cluster.ts'
import { allFinal } from './support/feed.ts'
import { openDatabase } from '../src/db/database.ts'
import { deliver } from '../src/sync/deliver.ts'
import { startWorld, type World } from './support/sync.ts'

// Subscriptions whose changes a function gets. Those of a task: deliveries-task.test.ts.

const idsOf = (world: World) => [...world.store.records('contacts')].map(({ id }) => id)
const subscriptions = (db: FreshDatabase) => db.query('select * from hubspot.change_subscriptions')
const openProblems = (db: FreshDatabase) => db.query('select code, object, record_id, property, message, hint from hubspot.problems where resolved_at is null order by id')

/** A table that a function writes what it gets to. */
const NOTE = `create table public.got (n serial, subscription text default '', record_id bigint, op text, changed jsonb, change_id bigint);
  create function public.note(change hubspot.changes) returns void language plpgsql as $$
  begin
    if change.changed -> 'firstname' ->> 1 = 'bad' then raise 'not this one'; end if;
    insert into got (record_id, op, changed, change_id) values (change.record_id, change.op, change.changed, change.id);
  end $$;
  create function public.note_json(change jsonb) returns void language sql as $$
    insert into public.got (subscription, record_id, op, changed, change_id)
    values ('json', (change ->> 'record_id')::bigint, change ->> 'op', change -> 'changed', (change ->> 'id')::bigint) $$`

async function edit(world: World, id: string, firstname: string): Promise<void> {
  world.store.edit('contacts', id, { firstname })
  await world.advance(1)
  await world.db.query('select hubspot.refresh($1, array[$2::bigint])', ['contacts', id])
  await world.pass(2_000, 1_000)
}

/** Delivers, once nothing that runs elsewhere on the server holds changes back. */
async function delivered(world: World, id: number): Promise<void> {
  await allFinal(world.db)
  await deliver(world.deps, id)
}

async function subscribed(name: string, sql: string): Promise<{ world: World; id: number }> {
  const world = await startWorld(name, { sandbox: { objects: { contacts: 12 } } })
  await world.load('contacts', ['firstname', 'lastname'])
  await world.db.query(NOTE)
  const [row] = await world.db.query<{ id: string }>(`select ${sql} as id`)
  return { world, id: Number(row!.id) }
}

describe('on_change with a function', () => {
  test('gets each change of a record, in order, of what it asked for', async () => {
    const { world, id } = await subscribed('subscribed', `hubspot.on_change('contacts', function_name => 'public.note')`)
    await using _ = world
    const [json] = await world.db.query<{ id: string }>(
      `select hubspot.on_change('contacts', function_name => 'note_json', ops => '{update,delete}', columns => '{lastname}') as id`)
    const [a = '', b = ''] = idsOf(world)
    await edit(world, a, 'one')
    await edit(world, b, 'two')
    await edit(world, a, 'three')
    world.store.edit('contacts', b, { lastname: 'four' })
    await edit(world, b, 'five')
    world.store.archive('contacts', a)
    await edit(world, b, 'six')
    await world.db.query("select hubspot.refresh('contacts', $1)", [[a]])
    await world.pass(2_000)
    // Writing them queued a look at each.
    expect(await world.db.query("select count(*)::integer > 3 as is_so from graphile_worker.jobs where task_identifier = 'hubspot:deliver'")).toEqual([{ is_so: true }])
    await delivered(world, id)
    await delivered(world, Number(json!.id))
    const got = (what: string, record: string) => world.db.query('select op, changed from got where subscription = $1 and record_id = $2 order by n', [what, record])
    expect(await got('', a)).toMatchObject([
      { op: 'update', changed: { firstname: [expect.anything(), 'one'] } }, { op: 'update', changed: { firstname: ['one', 'three'] } }, { op: 'delete', changed: { firstname: 'three' } },
    ])
    expect(await got('', b)).toMatchObject([
      { changed: { firstname: [expect.anything(), 'two'] } }, { changed: { firstname: ['two', 'five'], lastname: [expect.anything(), 'four'] } }, { changed: { firstname: ['five', 'six'] } },
    ])
    expect(await got('json', b)).toMatchObject([{ op: 'update', changed: { lastname: [expect.anything(), 'four'] } }])
    expect(await got('json', a)).toMatchObject([{ op: 'delete' }])
    await delivered(world, id)
    expect(await world.db.query('select count(*)::integer as n from got')).toEqual([{ n: 8 }])
    expect(await subscriptions(world.db)).toMatchObject([
      { id: String(id), object: 'contacts', task: null, function_name: 'public.note', ops: ['insert', 'update', 'delete'], columns: null, lag: null, records_waiting: '0', records_failing: '0' },
      { function_name: 'public.note_json', columns: ['lastname'] },
    ])
  })

  test('that raises is told as a problem and tried again later, while other records go on; it heals', async () => {
    const { world, id } = await subscribed('raising', `hubspot.on_change('contacts', function_name => 'public.note', columns => '{firstname}')`)
    await using _ = world
    const [bad = '', good = ''] = idsOf(world)
    await edit(world, bad, 'bad')
    await edit(world, bad, 'after')
    await edit(world, good, 'good')
    await delivered(world, id)
    const got = () => world.db.query(`select record_id, changed -> 'firstname' ->> 1 as name from got order by n`)
    expect(await got()).toEqual([{ record_id: good, name: 'good' }])
    expect(await openProblems(world.db)).toEqual([{
      code: 'SH224', object: 'contacts', record_id: bad, property: `on_change ${id}`,
      message: expect.stringContaining('not this one (P0001)') as string, hint: expect.stringContaining(`hubspot.off_change(${id})`) as string,
    }])
    expect(await subscriptions(world.db)).toMatchObject([{ records_waiting: '1', records_failing: '1', last_error: 'not this one (P0001)' }])
    // It wakes itself, later each time, and is not tried before.
    const waits: number[] = []
    for (let i = 0; i < 6; i += 1) {
      const [next] = await world.db.query<{ ms: number; job: boolean }>(
        `select extract(epoch from not_before - hubspot_private.clock())::float8 * 1000 as ms,
           exists (select from graphile_worker.jobs where key = 'hubspot:deliver:${id}:next') as job from hubspot_private.deliveries`)
      expect(next!.job).toBe(true)
      waits.push(next!.ms)
      await delivered(world, id)
      await world.advance(Math.max(Math.ceil(next!.ms), 0) + 1)
      await delivered(world, id)
    }
    expect(waits[5]!).toBeGreaterThan(10 * Math.max(waits[0]!, 1_000))
    expect(await got()).toHaveLength(1)
    await world.db.query(`create or replace function public.note(change hubspot.changes) returns void language sql as
      $$ insert into public.got (record_id, changed) values (change.record_id, change.changed) $$`)
    await world.advance(3_600_000)
    await delivered(world, id)
    expect((await got()).slice(1)).toEqual([{ record_id: bad, name: 'bad' }, { record_id: bad, name: 'after' }])
    expect(await openProblems(world.db)).toEqual([])
    expect(await subscriptions(world.db)).toMatchObject([{ records_waiting: '0', last_error: null }])
  })

  test('that a deferred constraint refuses at the commit is blamed on its record alone', async () => {
    const { world, id } = await subscribed('deferred', `hubspot.on_change('contacts', function_name => 'public.note_json')`)
    await using _ = world
    await world.db.query(`create function public.check_later() returns trigger language plpgsql as
      $$ begin if new.changed -> 'firstname' ->> 1 = 'bad' then raise 'too late'; end if; return null; end $$;
      create constraint trigger check_later after insert on public.got deferrable initially deferred for each row execute function public.check_later()`)
    const [a = '', bad = '', c = ''] = idsOf(world)
    await edit(world, a, 'one')
    await edit(world, bad, 'bad')
    await edit(world, c, 'three')
    await delivered(world, id)
    expect((await world.db.query('select record_id from got order by 1')).map(({ record_id }) => record_id as string)).toEqual([a, c].toSorted((x, y) => Number(x) - Number(y)))
    expect(await openProblems(world.db)).toMatchObject([{ code: 'SH224', record_id: bad, message: expect.stringContaining('too late') as string }])
  })

  test('sees the database\'s own settings', async () => {
    const { world, id } = await subscribed('settings', `hubspot.on_change('contacts', function_name => 'public.note_json')`)
    await using _ = world
    await world.db.query(`create or replace function public.note_json(change jsonb) returns void language sql as
      $$ insert into public.got (subscription) select current_setting('search_path') || ' ' || current_setting('timezone') || ' ' || current_setting('enable_nestloop') $$`)
    await edit(world, idsOf(world)[0]!, 'one')
    await delivered(world, id)
    const [own] = await world.db.query<{ settings: string }>(`select current_setting('search_path') || ' ' || current_setting('timezone') || ' on' as settings`)
    expect(await world.db.query('select subscription from got')).toEqual([{ subscription: own!.settings }])
  })

  test('begins now, ends with off_change, and refuses what it cannot do', async () => {
    const { world, id } = await subscribed('refusing', `hubspot.on_change('contacts', function_name => 'public.note')`)
    await using _ = world
    const { db } = world
    const [a = '', b = ''] = idsOf(world)
    const older = await db.pool.connect() // Its transaction holds the feed back: the first change is not final yet.
    await older.query('begin; select pg_current_xact_id()')
    await edit(world, a, 'bad')
    const [late] = await db.query<{ id: string }>(`select hubspot.on_change('contacts', function_name => 'public.note_json') as id`)
    await older.query('commit').finally(() => older.release())
    await edit(world, b, 'two')
    for (const each of [id, Number(late!.id)]) await delivered(world, each)
    expect(await db.query('select subscription, record_id from got order by n')).toEqual([{ subscription: '', record_id: b }, { subscription: 'json', record_id: b }])
    expect(await openProblems(db)).toHaveLength(1)
    await db.query('select hubspot.off_change($1)', [id])
    expect(await openProblems(db)).toEqual([])
    expect(await db.query('select from hubspot_private.deliveries union all select from hubspot_private.delivery_changes')).toEqual([])
    await delivered(world, id)
    await expect(db.query('select hubspot.off_change($1)', [id])).rejects.toMatchObject({ code: 'SH118' })
    await expect(db.query('select hubspot.off_change(null)')).rejects.toMatchObject({ code: 'SH118' })
    const refused: [string, string][] = [
      [`'deals', task => 'x'`, 'SH101'], [`'contacts', task => 'hubspot:stream'`, 'SH104'], [`'contacts', task => ''`, 'SH104'], [`'contacts', task => null::text`, 'SH104'],
      [`'contacts', task => 'x', ops => '{upsert}'`, 'SH104'], [`'contacts', task => 'x', ops => '{}'`, 'SH104'], [`'contacts', task => 'x', columns => '{}'`, 'SH104'],
      [`'contacts', task => 'x', columns => '{fristname}'`, 'SH103'], [`'contacts', function_name => 'pg_catalog.now'`, 'SH104'], [`'contacts', function_name => 'pg_catalog.numeric_abs'`, 'SH104'],
    ]
    for (const [given, code] of refused) await expect(db.query(`select hubspot.on_change(${given})`), given).rejects.toMatchObject({ code, hint: expect.stringMatching(/./) as string })
    await db.query("select hubspot.disable_changes('contacts')")
    await expect(db.query("select hubspot.on_change('contacts', task => 'x')")).rejects.toMatchObject({ code: 'SH104', hint: expect.stringContaining('enable_changes') as string })
  })
})

describe('a subscription', () => {
  const write = (db: FreshDatabase, ids: readonly number[], at = 'now()') =>
    db.query(`insert into hubspot.changes (at, object, record_id, op, changed) select ${at}, 'contacts', i, 'update', '{"firstname": ["a", "b"]}' from unnest($1::bigint[]) i`, [ids])

  async function prepared(name: string) {
    const db = await freshDatabase(name)
    const database = openDatabase(db.url, { max: 4 })
    await db.query(NOTE)
    await db.query(`select hubspot.track('contacts')`)
    const [row] = await db.query<{ id: string }>(`select hubspot.on_change('contacts', function_name => 'public.note_json') as id`)
    const id = Number(row!.id)
    return {
      db, id, database, deliver: () => deliver({ db: database, signal: new AbortController().signal }, id, 60_000),
      async [Symbol.asyncDispose]() {
        await database.close()
        await db[Symbol.asyncDispose]()
      },
    }
  }

  test('waits for a transaction that began before, and looks again by itself', async () => {
    await using it = await prepared('slow')
    const slow = await it.db.pool.connect()
    await slow.query("begin; insert into hubspot.changes (at, object, record_id, op, changed) values (now(), 'contacts', 1, 'update', '{}')")
    await write(it.db, [2])
    await it.deliver()
    expect(await it.db.query('select from got')).toHaveLength(0)
    expect(await it.db.query(`select run_at > now() as is_soon from graphile_worker.jobs where key = 'hubspot:deliver:${it.id}:next'`)).toEqual([{ is_soon: true }])
    expect((await subscriptions(it.db))[0]!['lag']).not.toBeNull()
    await slow.query('commit')
    slow.release()
    await allFinal(it.db)
    await it.deliver()
    expect(await it.db.query('select record_id from got order by n')).toEqual([{ record_id: '1' }, { record_id: '2' }])
  })

  test('whose worker is killed again and again gets each change once, in order, and none that was rolled back', async () => {
    await using it = await prepared('killed')
    let hits = 0
    const killer = (async () => {
      // Later each time, or on a slow machine none would ever get to its end.
      for (let kills = 0; kills < 15; kills += 1) {
        await new Promise((resolve) => setTimeout(resolve, 10 * kills))
        hits += (await it.db.query("select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and application_name = 'pg-hubspot' and state = 'active' and query like '%deliver_step%'")).length
      }
    })()
    const writing = (async () => {
      for (let i = 0; i < 40; i += 1) {
        const client = await it.db.pool.connect()
        await client.query(`begin; insert into hubspot.changes (at, object, record_id, op, changed)
          select now(), 'contacts', 1 + (g * 7 + ${i}) % 37, 'update', '{}' from generate_series(1, 50) g; ${i % 5 === 0 ? 'rollback' : 'commit'}`)
        client.release()
      }
    })()
    const wanted = async () => (await it.db.query<{ n: number }>('select count(*)::integer as n from hubspot.changes'))[0]!.n
    const count = async () => (await it.db.query<{ n: number }>('select count(*)::integer as n from got'))[0]!.n
    for (let isWritten = false; !isWritten || (await count()) < (await wanted()); ) {
      await it.deliver().catch(() => undefined)
      isWritten = await Promise.race([writing.then(() => true), new Promise<false>((resolve) => setTimeout(() => resolve(false), 1))])
    }
    await killer
    expect(await wanted()).toBe(32 * 50)
    expect(await it.db.query(`select (select array_agg(id order by id) from hubspot.changes) = (select array_agg(change_id order by change_id) from got) as is_all,
      not exists (select from (select change_id < lag(change_id) over (partition by record_id order by n) as is_back from got) x where is_back) as is_ordered`)).toEqual([{ is_all: true, is_ordered: true }])
    expect(hits).toBeGreaterThan(0)
  })

  test('keeps the feed\'s old days until it has looked through them, not for ever, and is told what it missed', async () => {
    await using it = await prepared('behind')
    const keep = () => it.db.query('select hubspot_private.changes_keep()')
    const count = async () => (await it.db.query<{ n: number }>('select count(*)::integer as n from hubspot.changes'))[0]!.n
    const shift = (by: string) => it.db.query('update hubspot_private.installation set clock_shift = clock_shift + $1::interval', [by])
    await keep()
    await write(it.db, [1])
    await shift('9 days')
    await keep()
    expect(await count()).toBe(1)
    await allFinal(it.db)
    await it.deliver()
    await keep()
    expect(await count()).toBe(0)
    expect(await it.db.query('select record_id from got')).toEqual([{ record_id: '1' }])
    await write(it.db, [2], 'hubspot_private.clock()')
    await shift('16 days')
    await keep()
    expect(await count()).toBe(0)
    await it.deliver()
    expect(await openProblems(it.db)).toMatchObject([{ code: 'SH225', object: 'contacts', property: `on_change ${it.id}` }])
    await write(it.db, [3], 'hubspot_private.clock()')
    await allFinal(it.db)
    await it.deliver()
    expect(await it.db.query('select record_id from got order by n')).toEqual([{ record_id: '1' }, { record_id: '3' }])
  })

  test('of a copy of the database stands still until it is adopted; on another server it begins anew', async () => {
    await using it = await prepared('copy')
    await write(it.db, [1])
    const [was] = await it.db.query<{ position: string }>('select position from hubspot.change_subscriptions')
    await it.db.query('update hubspot_private.installation set system_identifier = system_identifier + 1')
    await allFinal(it.db)
    await it.deliver()
    expect(await it.db.query('select from got')).toHaveLength(0)
    await it.db.query('select hubspot.adopt(read_only => true)')
    await expect(it.db.query('select * from hubspot.changes_after($1)', [was!.position])).rejects.toMatchObject({ code: 'SH117' })
    await write(it.db, [2])
    await allFinal(it.db)
    await it.deliver()
    expect(await it.db.query('select record_id from got')).toEqual([{ record_id: '2' }])
    expect(await openProblems(it.db)).toEqual([])
  })

  test('forgets a record that is to be forgotten', async () => {
    await using it = await prepared('forget')
    await write(it.db, [1, 2, 1])
    await it.db.query('drop function public.note_json')
    await allFinal(it.db)
    await it.deliver()
    expect(await it.db.query('select distinct record_id from hubspot_private.delivery_changes order by 1')).toHaveLength(2)
    await it.db.query("select hubspot_private.changes_forget('contacts', '{1}')")
    expect(await it.db.query(`select distinct record_id from hubspot_private.delivery_changes union all select record_id from hubspot_private.deliveries
      union all select record_id from hubspot.changes`)).toEqual([{ record_id: '2' }, { record_id: '2' }, { record_id: '2' }])
  })
})
