import pg from 'pg'
import { describe, expect, test } from 'vitest'
import { deliver } from '../src/sync/deliver.ts'
import { startGraph } from './support/associations.ts'
import { openProblems as open, refresh, traces, worldOf } from './support/erasing.ts'
import { allFinal } from './support/feed.ts'
import type { World } from './support/sync.ts'
import { changeOf, idsOf, siteOf } from './support/webhooks.ts'

const HOUR = 3_600_000
const DAY = 24 * HOUR

const erased = (world: World, id: string) => changeOf(world, Number(id), { subscriptionType: 'contact.privacyDeletion' })

describe('a privacy deletion of what is no longer tracked', () => {
  test.for(['raises', 'keeps the row', 'is slow'])('a trigger that %s holds up no other event', async (how) => {
    await using world = await worldOf()
    await using site = siteOf(world)
    const [id = '', other = ''] = idsOf(world)
    const [deal = ''] = idsOf(world, 'deals')
    const user = await world.db.pool.connect()
    if (how === 'is slow') {
      await user.query('begin')
      await user.query('select from hubspot.contacts where id = $1 for update', [id])
    } else {
      await world.db.query(`create function bad() returns trigger language plpgsql as $$ begin
        if old.id <> ${id} then return old; end if; ${how === 'raises' ? 'perform 1 / 0;' : ''} return null; end $$`)
      await world.db.query('create trigger bad before delete on hubspot.contacts for each row execute function bad()')
    }
    await world.db.query("select hubspot.untrack('contacts')")
    world.store.edit('deals', deal, { dealname: 'Changed' })
    await site.send([erased(world, id), erased(world, other), changeOf(world, Number(deal), { subscriptionType: 'deal.propertyChange' })])
    await site.caughtUp()
    expect(await world.row('deals', deal)).toMatchObject({ dealname: 'Changed' })
    expect(await world.row('contacts', other)).toBeUndefined()
    expect(await world.db.query('select * from hubspot_private.inbox where applied_at is null')).toEqual([])
    expect(await open(world)).toEqual([{ code: 'SH213', record_id: id }])
    await user.query('rollback')
    user.release()
    await world.db.query('drop trigger if exists bad on hubspot.contacts')
    await world.advance(2 * 60_000)
    await world.db.query('select hubspot_private.inbox_sweep()')
    site.inbox.wake()
    await site.inbox.idle()
    expect(await world.row('contacts', id)).toBeUndefined()
    expect(await open(world)).toEqual([])
    expect(await world.db.query('select * from hubspot_private.erasures')).toEqual([])
  })

  test('said before it was untracked, and not confirmed by then', async () => {
    await using world = await worldOf()
    await using site = siteOf(world)
    const [id = ''] = idsOf(world)
    world.store.gdprDelete(id)
    const fault = world.store.addFault({ fault: '500', match: { kind: 'batch read', object: 'contacts' } })
    await site.send([erased(world, id)])
    await site.caughtUp()
    world.store.removeFaults(fault)
    expect(await world.row('contacts', id)).toBeDefined()
    await world.db.query("select hubspot.untrack('contacts')")
    await world.advance(2 * 60_000)
    await world.db.query('select hubspot_private.inbox_sweep()')
    expect(await world.db.query(`select from graphile_worker.jobs where task_identifier = 'hubspot:inbox'`)).toHaveLength(1)
    site.inbox.wake()
    await site.inbox.idle()
    expect(await world.row('contacts', id)).toBeUndefined()
  })

  test.for(['webhook', 'verb'])('with its table dropped, nothing of it stays elsewhere (%s)', async (how) => {
    await using world = await worldOf()
    await using site = siteOf(world)
    const [id = ''] = idsOf(world)
    const [deal = ''] = idsOf(world, 'deals')
    await world.db.query("select hubspot.track_associations('deals', 'contacts')")
    await world.drain()
    world.store.associate('deals', deal, 'contacts', id)
    world.store.edit('contacts', id, { firstname: 'Unmistakable' })
    await refresh(world, id)
    await world.pass(2 * HOUR, HOUR)
    await world.db.query("select hubspot.untrack('contacts', true)")
    expect(await traces(world, 'Unmistakable')).not.toEqual([])
    if (how === 'verb') await world.db.query("select hubspot.forget('contacts', $1)", [id])
    else await site.send([erased(world, id)])
    await site.caughtUp()
    expect(await traces(world, 'Unmistakable')).toEqual([])
    expect(await world.db.query('select * from hubspot.deals_contacts where contact_id = $1', [id])).toEqual([])
  })
})

test.for([
  ['asserts', 'assert false;'],
  ['reads from a server that is away', "raise 'away' using errcode = '08001';"],
  ['is broken off', "raise 'slow' using errcode = '57014';"],
  ['finds something full', "raise 'full' using errcode = '53400';"],
  ['raises at the end', "raise 'late';"],
  ['ends its session', 'perform pg_terminate_backend(pg_backend_pid()); perform pg_sleep(1);'],
] as const)('a record that cannot be erased, since a trigger %s, keeps no other, and is told of', async ([how, body]) => {
  await using world = await worldOf()
  await using site = siteOf(world)
  const [id = '', other = ''] = idsOf(world)
  const act = async (ms: number) => {
    await world.advance(ms)
    await world.db.query('select hubspot_private.inbox_sweep()')
    site.inbox.wake()
    await site.inbox.idle()
  }
  await world.db.query(`create function bad() returns trigger language plpgsql as $$ begin if old.id = ${id} then ${body} end if; return old; end $$`)
  await world.db.query(how === 'raises at the end'
    ? 'create constraint trigger bad after delete on hubspot.contacts deferrable initially deferred for each row execute function bad()'
    : 'create trigger bad before delete on hubspot.contacts for each row execute function bad()')
  // As forget() does in the session of a role with control.
  await world.db.query("select hubspot_private.forget_later(o, i) from hubspot_private.objects o, unnest($1::bigint[]) i where o.name = 'contacts'", [[id, other]])
  await act(0)
  await act(2 * 60_000)
  expect(await world.row('contacts', other)).toBeUndefined()
  expect(await world.db.query('select id, attempts from hubspot_private.erasures')).toEqual([{ id, attempts: 2 }])
  expect(await open(world)).toEqual(how === 'ends its session' ? [] : [{ code: 'SH213', record_id: id }])
  await act(2 * HOUR)
  expect(await world.db.query("select message from hubspot.problems where code = 'SH234' and resolved_at is null")).toEqual([
    { message: expect.stringContaining(`record ${id} of contacts was deleted for privacy, and not erased yet, since the worker could not so far; since 20`) as string },
  ])
  expect(await world.row('contacts', id)).toBeDefined()
  await world.db.query('drop trigger bad on hubspot.contacts')
  await act(7 * HOUR)
  await act(0)
  expect(await world.row('contacts', id)).toBeUndefined()
  expect(await open(world)).toEqual([])
  expect(world.lines.filter((line) => line.includes('webhook events wait'))).toEqual([])
})

test('a webhook\'s word is kept while nothing can be read, for months', async () => {
  await using world = await worldOf()
  await using site = siteOf(world)
  const [id = '', other = ''] = idsOf(world)
  await world.db.query('select hubspot.pause()')
  await site.send([erased(world, id), erased(world, other)])
  await site.caughtUp()
  world.store.gdprDelete(id)
  for (let days = 0; days < 40; days += 10) {
    await world.advance(10 * DAY)
    await world.db.query('select hubspot_private.inbox_sweep()')
  }
  await world.db.query('select hubspot.resume()')
  await world.drain()
  expect(await world.db.query('select id from hubspot_private.tombstones where erased_at is not null')).toEqual([{ id }])
  // The other is there all the same.
  expect(await world.row('contacts', other)).toBeDefined()
  await world.db.query('select hubspot_private.inbox_sweep()')
  await world.drain()
  await world.db.query('select hubspot_private.inbox_sweep()')
  expect(await world.db.query('select * from hubspot_private.erasures')).toEqual([])
})

test.for(['paused', 'all paused', 'parked'])('a privacy deletion that cannot be looked at says why: %s', async (how) => {
  await using world = await worldOf()
  await using site = siteOf(world)
  const [id = ''] = idsOf(world)
  const sweep = async () => {
    await world.drain()
    await world.db.query('select hubspot_private.inbox_sweep()')
  }
  const told = () => world.db.query("select record_id, message, hint from hubspot.problems where code = 'SH234' and object = 'contacts' and resolved_at is null")
  if (how === 'paused') await world.db.query("select hubspot.pause('contacts')")
  else if (how === 'all paused') await world.db.query('select hubspot.pause()')
  else world.store.addFault({ match: { object: 'contacts' }, fault: '403' })
  world.store.gdprDelete(id)
  await site.send([erased(world, id)])
  await site.caughtUp()
  await sweep()
  expect(await told()).toEqual([])
  await world.pass(2 * HOUR, 10 * 60_000)
  await sweep()
  const [why, then] = { 'paused': ['contacts is paused', "Run select hubspot.resume('contacts');"], 'all paused': ['all reading is paused', 'Run select hubspot.resume();'],
    'parked': ['HubSpot refuses to show contacts', 'See select * from hubspot.problems where resolved_at is null for what is to be done;'] }[how]!
  expect(await told()).toEqual([{
    record_id: null, message: expect.stringContaining(`record ${id} of contacts was deleted for privacy, and not erased yet, since it cannot be read: ${why}; since 20`) as string,
    hint: `${then} then it is erased by itself. Or erase it without asking HubSpot: select hubspot.forget('contacts', ${id});`,
  }])
  expect(await world.db.query("select ok from hubspot.health() where name = 'problems'")).toEqual([{ ok: false }])
  if (how === 'parked') world.store.removeFaults()
  await world.db.query(how === 'paused' ? "select hubspot.resume('contacts')" : 'select hubspot.resume()')
  await world.pass(60_000, 10_000)
  expect(await world.row('contacts', id)).toBeUndefined()
  await sweep()
  expect(await told()).toEqual([])
})

describe('who has a copy hears of it, and what has a copy loses it', () => {
  test('a subscription to some columns', async () => {
    await using world = await worldOf()
    await world.db.query('create table got (change jsonb)')
    await world.db.query('create function take(change jsonb) returns void language sql as $$ insert into public.got values ($1) $$')
    const [row] = await world.db.query<{ id: string }>("select hubspot.on_change('contacts', function_name => 'public.take', columns => '{firstname}') as id")
    const [id = ''] = idsOf(world)
    await world.db.query("select hubspot.forget('contacts', $1)", [id])
    await allFinal(world.db)
    await deliver(world.deps, Number(row!.id))
    expect(await world.db.query(`select change ->> 'op' as op, change ->> 'record_id' as id, change -> 'changed' as changed from got`)).toEqual([{ op: 'delete', id, changed: {} }])
  })

  test('a job that runs meanwhile, and fails', async () => {
    await using world = await worldOf()
    const [row] = await world.db.query<{ id: string }>("select hubspot.on_change('contacts', task => 'send') as id")
    const look = async () => {
      await allFinal(world.db)
      await deliver(world.deps, Number(row!.id))
    }
    const [id = ''] = idsOf(world)
    world.store.edit('contacts', id, { firstname: 'Unmistakable' })
    await refresh(world, id)
    await look()
    const job = (set: string) => world.db.query(`update graphile_worker._private_jobs set ${set} where id = any (select id from graphile_worker.jobs where task_identifier = 'send')`)
    await job("locked_at = now(), locked_by = 'w'")
    world.store.gdprDelete(id)
    await world.db.query("select hubspot.forget('contacts', $1)", [id])
    await look()
    await job("locked_at = null, locked_by = null, attempts = 1, last_error = 'no mail for Unmistakable', run_at = now() + interval '1 hour'")
    await look()
    await look()
    expect(await traces(world, 'Unmistakable')).toEqual([])
    const jobs = await world.db.query<{ payload: { changes: { op: string; changed: unknown }[] } }>(
      "select p.payload from graphile_worker._private_jobs p join graphile_worker.jobs j using (id) where j.task_identifier = 'send'")
    expect(jobs.map(({ payload }) => payload.changes.map(({ op, changed }) => [op, changed]))).toEqual([[['delete', {}]]])
  })
})

describe('hubspot.forget', () => {
  test('says that a trigger keeps the row, and has forgotten nothing', async () => {
    await using world = await worldOf()
    const [id = ''] = idsOf(world)
    await world.db.query('create function keep() returns trigger language plpgsql as $$ begin return null; end $$')
    await world.db.query('create trigger keep before delete on hubspot.contacts for each row execute function keep()')
    await expect(world.db.query("select hubspot.forget('contacts', $1)", [id])).rejects.toMatchObject({ code: 'P0001', message: expect.stringContaining('a trigger of yours') })
    expect(await world.db.query('select * from hubspot_private.tombstones')).toEqual([])
  })

  test('waits for whoever holds an association, at either end', async () => {
    await using graph = await startGraph({ contacts: 3, deals: 3 }, {
      pairs: [['contacts', 'deals'], ['deals', 'contacts']],
      make: (g) => g.store.associateAll('deals', 'contacts', g.ids('deals').map((fromId, i) => ({ fromId, toId: g.ids('contacts')[i]! }))),
    })
    for (const [index, table] of ['contacts_deals', 'deals_contacts'].entries()) {
      const id = graph.ids('contacts')[0]!
      const user = await graph.db.pool.connect()
      await user.query('begin')
      await user.query(`select from hubspot.${table} where contact_id = $1 for update`, [id])
      graph.store.gdprDelete(id)
      const forgetting = graph.db.query("select hubspot.forget('contacts', $1)", [id])
      for (let waiting = 0; waiting === 0; ) {
        [{ waiting }] = (await graph.db.query(`select count(*)::integer as waiting from pg_stat_activity where datname = current_database() and query like 'select hubspot.forget%' and wait_event_type = 'Lock'`)) as [{ waiting: number }]
      }
      await user.query('commit')
      user.release()
      await forgetting
      expect(await graph.db.query('select from hubspot.contacts_deals where contact_id = $1 union all select from hubspot.deals_contacts where contact_id = $1', [id])).toEqual([])
      expect(await graph.db.query('select from hubspot_private.tombstones where erased_at is not null')).toHaveLength(index + 1)
    }
    await graph.pass(2 * HOUR, HOUR)
    expect(await graph.differing()).toEqual([])
  })

  test('gives whoever may control no more than that', async () => {
    await using world = await worldOf()
    const ids = idsOf(world)
    const role = `"mallory ${world.db.name}"`
    await using _ = { [Symbol.asyncDispose]: async () => {
      await admin.query(`drop owned by ${role}`)
      await admin.query(`drop role ${role}`)
      await admin.end()
    } }
    const admin = new pg.Client(world.db.adminUrl)
    await admin.connect()
    await admin.query(`create role ${role}`)
    await world.db.query("select hubspot.grant_control($1)", [role.slice(1, -1)])
    const [{ owner }] = (await world.db.query('select current_user as owner')) as [{ owner: string }]
    await world.db.query('create table audit (id bigint)')
    await world.db.query('create function note() returns trigger language plpgsql as $$ begin insert into audit values (old.id); return old; end $$')
    await world.db.query('create trigger note_before before delete on hubspot.contacts for each row execute function note()')
    await world.db.query('create trigger note after delete on hubspot.contacts for each row execute function note()')
    await admin.query(`set role ${role}`)
    await admin.query('create temp table audit (id bigint)')
    await admin.query('grant all on audit to public')
    await admin.query('create temp table loot (who text)')
    await admin.query('grant all on loot to public')
    await admin.query('create function pg_temp.evil() returns trigger language plpgsql as $f$ begin insert into pg_temp.loot values (current_user); return new; end $f$')
    await admin.query('create trigger evil before insert on pg_temp.audit for each row execute function pg_temp.evil()')
    const paths = [undefined, 'public', 'pg_temp, public', '"$user", public , "pg_temp"', 'public, pg_catalog']
    for (const [n, path] of paths.entries()) {
      if (path !== undefined) await world.db.query(`alter role ${pg.escapeIdentifier(owner)} in database ${pg.escapeIdentifier(world.db.name)} set search_path = ${path}`)
      await admin.query('set search_path = pg_temp, public')
      await admin.query(`select hubspot.forget('contacts', $1)`, [ids[n % ids.length]])
      if (ids[n] !== undefined) expect(await world.db.query('select count(*) from public.audit where id = $1', [ids[n]]), path).toEqual([{ count: '2' }])
      expect((await admin.query('select * from loot')).rows, path).toEqual([])
    }
    await admin.query('reset role')
  })
})
