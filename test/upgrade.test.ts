import { randomBytes } from 'node:crypto'
import type pg from 'pg'
import { afterAll, describe, expect, inject, test } from 'vitest'
import { type Database, openDatabase } from '../src/db/database.ts'
import { asJsonb } from '../src/db/jsonb.ts'
import { stepCommit, streamClaim, type StreamKey } from '../src/db/calls.ts'
import { migrate } from '../src/db/migrate.ts'
import { createClient } from '../src/hubspot/client.ts'
import { createLog } from '../src/lib/log.ts'
import { type Sandbox, startSandbox } from '../src/sandbox/index.ts'
import { ask } from '../src/sync/ask.ts'
import type { Caller } from '../src/sync/call.ts'
import { runOnce } from '../src/worker.ts'
import { catalogue } from './support/catalogue.ts'
import { differences } from './support/compare.ts'
import { at, query } from './support/global-setup.ts'
import { installOld, type OldVersion, oldVersions, schemaHashes } from './support/old-version.ts'

/** Files that databases in use were made by. A change of tables is a new file; one that is released joins this list. */
const FROZEN = {
  '0001_init.sql': 'a53c450d6e47c0ef387338fc2a7fdf67aec2db7d652f76c6c6f827c23907501d',
  '0002_state.sql': '36cac38f3d221969e3e33205c1128ab0258a0078fa2fe9c6e33c6fc7326d6f8f',
}

const { adminUrl, appUrl } = inject('server')
const reader = `reader_${randomBytes(4).toString('hex')}`
const made: string[] = []
afterAll(async () => {
  for (const name of made) await query(adminUrl, `drop database if exists ${name} with (force)`)
  await query(adminUrl, `drop role if exists ${reader}`)
})

/** An empty database of the test role's. */
async function emptyDatabase() {
  const name = `upgrade_${randomBytes(4).toString('hex')}`
  await query(appUrl, `create database ${name}`)
  made.push(name)
  const url = at(appUrl, name)
  const database = openDatabase(url, { max: 2 })
  const { pool } = database
  return { url, database, pool, query: async <Row extends pg.QueryResultRow>(text: string, values?: unknown[]) => (await pool.query<Row>(text, values)).rows }
}
type Base = Awaited<ReturnType<typeof emptyDatabase>>

/** Takes steps of a stream as a worker does, without its budgets; how many, unless its run ends before. */
async function steps(db: Database, sandbox: Sandbox, key: StreamKey, most = 100): Promise<void> {
  const claim = await streamClaim(db, key, 'of the old version')
  if (claim === undefined) throw new Error(`${key.stream} of ${key.object} is not due`)
  const hubspot = createClient({ baseUrl: sandbox.url, token: () => sandbox.token })
  const caller: Caller = {
    async call(_, send) {
      const { rows } = await db.pool.query<{ now: string }>('select hubspot_private.clock() as now')
      return { askedAt: rows[0]!.now, answer: await send() }
    },
    in: () => caller,
  }
  let [cursor, request] = [claim.cursor, claim.request]
  for (let taken = 1; taken <= most; taken += 1) {
    const got = await ask({ hubspot, caller, signal: AbortSignal.timeout(60_000) }, request, claim.plan)
    const step = { epoch: claim.epoch, cursor, request, columnSet: claim.plan?.column_set ?? 0, ...got, body: got.body && asJsonb(got.body) }
    const outcome = await stepCommit(db.pool, key, step)
    if (outcome.outcome === 'done') break
    if (outcome.outcome !== 'more') throw new Error(`${key.stream} of ${key.object}: ${outcome.outcome}`)
    cursor = outcome.next_cursor
    request = outcome.next_request!
  }
  await hubspot.close()
}

/** What a database in use holds: one object live, one half read, a value that does not fit, and things of the user's own. */
async function fill({ query: run, database }: Base, sandbox: Sandbox): Promise<void> {
  await run('select hubspot.connect($1)', [sandbox.token])
  await run(`select hubspot_private.account_confirm(jsonb_build_object('portalId', $1::bigint, 'timeZone', 'US/Eastern'),
    (select id from hubspot_private.credentials where state = 'candidate'))`, [sandbox.portalId])
  await run('select hubspot.grant_read($1)', [reader])
  await run(`select hubspot.track('contacts', '{email,firstname,hs_email_open}'), hubspot.track('deals')`)
  await run(`select hubspot.set_quota('burst', 150), hubspot.configure('runs_kept', '20 days'), hubspot.schedule('contacts', 'poll', every => '15 seconds')`)
  await steps(database, sandbox, { object: '*', stream: 'schema', range: 0 })
  for (const object of ['contacts', 'deals']) await steps(database, sandbox, { object, stream: 'schema', range: 0 })
  // Versions differ in what comes before the first load.
  for (const { object } of await run<{ object: string }>(`select object from hubspot_private.streams where stream = 'archive' order by object`)) {
    await steps(database, sandbox, { object, stream: 'archive', range: 0 })
  }
  await steps(database, sandbox, { object: 'contacts', stream: 'backfill', range: 0 })
  await steps(database, sandbox, { object: 'contacts', stream: 'poll', range: 0 })
  await steps(database, sandbox, { object: 'contacts', stream: 'settle', range: 1 })
  // The count, and two pages of four.
  await steps(database, sandbox, { object: 'deals', stream: 'backfill', range: 0 }, 3)
  await run('update hubspot_private.streams set lease_until = null, holder = null')
  await run(`create table public.noted (id bigint, firstname text);
    create function public.note() returns trigger language plpgsql as $$ begin insert into public.noted values (new.id, new.firstname); return null; end $$;
    create trigger noted after insert or update on hubspot.contacts for each row execute function public.note();
    create index contacts_by_name on hubspot.contacts (firstname);
    create view public.named as select c.id, c.firstname, s.state from hubspot.contacts c, hubspot.status s where s.object = 'contacts';
    create function hubspot.of_my_own() returns integer language sql as 'select 1';
    revoke all on function hubspot.of_my_own() from public;
    create view public.resting_on_private as select hubspot_private.clock() as now`)
}

/** Rows of tables that an upgrade must not touch. */
const kept = (base: Base) =>
  base.query(`select
    (select md5(string_agg(t::text, e'\\n' order by t.id)) from hubspot.contacts t) as contacts,
    (select md5(string_agg(t::text, e'\\n' order by t.id)) from hubspot.deals t) as deals,
    (select json_agg(json_build_array(object, stream, range, epoch, cursor, run_id, next_at, rows) order by object, stream, range) from hubspot_private.streams
      where stream in ('backfill', 'fetch', 'poll', 'resync', 'schema', 'settle')) as streams,
    (select json_agg(json_build_array(id, object, stream, state, started_at, finished_at, requests, rows_read, inserted) order by id) from hubspot_private.runs) as runs,
    (select json_agg(p order by id) from hubspot_private.problems p) as problems,
    (select json_agg(p order by name) from hubspot_private.settings p) as settings,
    (select json_agg(p order by object, stream) from hubspot_private.schedules p) as schedules,
    (select json_agg(json_build_array(name, max_requests, chosen_max, learned_max) order by name) from hubspot_private.budgets p) as budgets,
    (select json_agg(json_build_array(object, property, column_name, column_type, is_selected, locked_at) order by object, property) from hubspot_private.properties p) as properties,
    (select json_agg(to_jsonb(p) - '{is_missing_explicit}'::text[]) from hubspot_private.account p) as account, (select json_agg(p) from hubspot_private.credentials p) as credentials`)

test('files in sql/schema that databases were made by are what they were', () => {
  const here = schemaHashes()
  expect(here).toMatchObject(FROZEN)
  for (const old of oldVersions()) expect(here, old.commit).toMatchObject(old.schema)
})

describe.each(oldVersions())('upgrading from $commit', (old: OldVersion) => {
  test('gives what a fresh install is, keeps rows and what is the user\'s, and a worker goes on', async () => {
    await query(adminUrl, `create role ${reader}`)
    await using sandbox = await startSandbox({ objects: { contacts: 250, deals: 350 }, settings: { limits: false, lag: 0 } })
    sandbox.store.create('contacts', [{ properties: { firstname: 'Ada', hs_email_open: 'many' } }])
    const [older, fresh] = [await emptyDatabase(), await emptyDatabase()]
    await using _ = older.database
    await using __ = fresh.database
    await installOld(older.url, old)
    await fill(older, sandbox)
    // Of a version that has what this one does not: one rests on the other, and one is what a view of the user's rests on.
    await older.query(`
      create function hubspot_private.gone_since(a integer) returns integer language sql begin atomic select a; end;
      create view hubspot_private.gone_too as select hubspot_private.gone_since(1) as one;
      create function hubspot_private.gone_but_used() returns integer language sql as 'select 2';
      create view public.user_of as select hubspot_private.gone_but_used() as two`)
    const before = await kept(older)
    expect(before).toMatchObject([{ problems: [{ code: 'SH209', record_id: expect.any(Number) as number }] }])

    expect(await migrate(older.url)).toMatchObject({ from: old.version, isCodeApplied: true, files: expect.arrayContaining(['0003_generated.sql']) as string[] })
    expect(await kept(older)).toEqual(before)
    expect(await older.query('select * from public.user_of')).toEqual([{ two: 2 }])
    // Once nothing of the user's rests on it, it goes with the next version.
    await older.query(`drop view public.user_of; update hubspot_private.schema_files set hash = 'older' where name = 'code'`)
    expect(await migrate(older.url)).toMatchObject({ files: [], isCodeApplied: true })

    await migrate(fresh.url)
    await fill(fresh, sandbox)
    expect(await catalogue(older.url)).toEqual(await catalogue(fresh.url))
    // With the same rights for whom they were granted to, and nobody else.
    expect(await older.query('select has_table_privilege($1, $2, $3) as may', [reader, 'hubspot.deals', 'select'])).toEqual([{ may: true }])
    expect(await older.query('select hubspot.of_my_own() as one, now() <= now as rests from public.resting_on_private')).toEqual([{ one: 1, rests: true }])

    // A worker finds an edit by the old cursor, and reads the other half of the first load, no page of it twice.
    sandbox.store.resetCalls()
    const [edited] = [...sandbox.store.records('contacts')]
    sandbox.store.edit('contacts', edited!.id, { firstname: 'Grace' })
    await older.query(`update hubspot_private.streams set next_at = hubspot_private.clock() where next_at is not null and stream <> 'resync';
      update hubspot_private.budgets set free_at = now(), max_requests = 100000, chosen_max = 100000`)
    const log = createLog({ level: 'error', write: (line) => expect.unreachable(line) })
    const { parked } = await runOnce({ databaseUrl: older.url, hubspot: { baseUrl: sandbox.url }, log, signal: AbortSignal.timeout(60_000) })
    expect(parked).toEqual([])
    for (const object of ['contacts', 'deals']) expect(await differences(older, sandbox, object)).toEqual([])
    const lists = (object: string) => sandbox.store.calls({ kind: 'list', object }).filter(({ archived }) => archived !== true)
    expect(lists('contacts')).toEqual([])
    const pages = lists('deals').map(({ after }) => Number(after))
    expect(pages).toHaveLength(2)
    expect(await older.query('select * from public.noted')).toEqual([{ id: edited!.id, firstname: 'Grace' }])
    expect(await older.query('select firstname, state from public.named where id = $1', [edited!.id])).toEqual([{ firstname: 'Grace', state: 'live' }])
    expect(await older.query(`select state, rows_read::integer, inserted::integer from hubspot.runs where object = 'deals' and stream = 'backfill'`))
      .toEqual([{ state: 'done', rows_read: 350, inserted: 350 }])
  })
})

test('what waits to be delivered is kept, and put in order: what a job carries, then what came beside it', async () => {
  const base = await emptyDatabase()
  await using _ = base.database
  const schema = Object.fromEntries(Object.entries(schemaHashes()).filter(([name]) => name < '0031'))
  await installOld(base.url, { commit: 'before', version: '0.0.0', schema, code: {} })
  await base.query(`insert into hubspot_private.subscriptions (object, task, ops, at_xid, at_id, created_at) values ('contacts', 'note', '{update}', '900', 0, now())`)
  // Of 1 a job has up to 12: 11 came later, of a later transaction. Of 2 none is under way. Of 3 the job's last one was erased.
  await base.query(`insert into hubspot_private.deliveries (subscription, record_id, not_before, job_id, job_until)
    values (1, 1, now(), 70, 12), (1, 2, now(), null, null), (1, 3, now(), 71, 32)`)
  await base.query(`insert into hubspot_private.delivery_changes (subscription, record_id, change_id, change)
    select 1, v.record_id, v.change_id, jsonb_build_object('xid', v.xid)
    from (values (3, 31, '805'), (1, 13, '803'), (1, 12, '802'), (1, 11, '806'), (1, 10, '801'), (2, 21, '800'), (2, 20, '801')) v (record_id, change_id, xid)`)
  expect((await migrate(base.url)).files).toContain('0031_delivery_order.sql')
  expect(await base.query(`select record_id::integer, (select array_agg(c.change_id::integer order by c.seq) from hubspot_private.delivery_changes c where c.record_id = d.record_id) as waiting,
      (select array_agg(c.change_id::integer order by c.seq) from hubspot_private.delivery_changes c where c.record_id = d.record_id and c.seq <= d.job_until) as carried
    from hubspot_private.deliveries d order by record_id`)).toEqual([
    { record_id: 1, waiting: [10, 12, 11, 13], carried: [10, 12] }, { record_id: 2, waiting: [20, 21], carried: null }, { record_id: 3, waiting: [31], carried: null },
  ])
  // What comes goes behind them.
  expect(await base.query(`insert into hubspot_private.delivery_changes (subscription, record_id, change_id, change) values (1, 1, 5, '{}') returning seq::integer`)).toEqual([{ seq: 8 }])
})
