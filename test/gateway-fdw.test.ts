import { once } from 'node:events'
import type pg from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { LiveSession, Verdict } from '../src/gateway/live.ts'
import { type FreshDatabase, freshDatabase } from './support/cluster.ts'
import { type Gate, openGate } from './support/gateway.ts'
import { query as run } from './support/global-setup.ts'

// What postgres_fdw sends comes back to the same database by the gateway: schema `near` holds the tables, `far` their foreign ones.
let db: FreshDatabase
let gate: Gate
let client: pg.PoolClient
let version: number
/** Statements of postgres_fdw, without what each transaction of its begins and ends with. */
const sent = () => gate.asked.map(({ text }) => text).filter((text) => !/^(START|COMMIT|ABORT|SET |FETCH|CLOSE|DEALLOCATE)/.test(text))

beforeAll(async () => {
  db = await freshDatabase('fdw')
  gate = await openGate('fdw', { db, limits: { lock: '300ms' } })
  version = Math.floor(Number((await db.query<{ n: string }>(`select current_setting('server_version_num') as n`))[0]!.n) / 10_000)
  const { username: user, password } = new URL(db.url)
  await run(db.adminUrl, `
    create extension postgres_fdw; grant usage on foreign data wrapper postgres_fdw to ${user}; grant create on database ${db.name} to ${user}`)
  await db.query(`
    create server gate foreign data wrapper postgres_fdw options (host '127.0.0.1', port '${gate.gateway.at.port}', dbname '${db.name}', application_name 'through the gateway');
    create user mapping for ${user} server gate options (user '${user}', password '${password}');
    create schema near; create schema far;
    create table near.deals (id bigint primary key, dealname text, dealstage text, amount numeric, company_id bigint);
    create table near.companies (id bigint primary key, name text);
    insert into near.deals select n, 'deal ' || n, case n % 3 when 0 then 'won' else 'open' end, n, n % 10 from generate_series(1, 1000) n;
    insert into near.companies select n, 'company ' || n from generate_series(0, 9) n;
    create view near.slow as select n from generate_series(1, 3) n, pg_sleep(600)`)
  // Of another transaction: what it imports has to be there.
  await db.query('import foreign schema near from server gate into far')
})
beforeEach(async () => {
  gate.answer = ({ text }) => ({ do: 'forward', text: text.replace('ISOLATION LEVEL REPEATABLE READ', 'ISOLATION LEVEL READ COMMITTED') })
  client = await db.pool.connect()
  client.on('error', () => undefined)
  // Signed on before a test counts what is sent.
  await client.query('select from far.companies limit 0')
  gate.asked.length = 0
})
afterEach(() => client.release(true))
afterAll(async () => {
  await gate[Symbol.asyncDispose]()
  await db[Symbol.asyncDispose]()
})
const rows = async (text: string, values?: unknown[]) => (await client.query<Record<string, unknown>>(text, values)).rows

describe('reading', () => {
  test('by id, by ids, by parameter, in a generic plan and from plpgsql', async () => {
    const one = [{ dealname: 'deal 7' }]
    expect(await rows('select dealname from far.deals where id = 7')).toEqual(one)
    expect(await rows('select count(*)::int as n from far.deals where id in (1, 2, 3, 5000)')).toEqual([{ n: 3 }])
    await rows(`set plan_cache_mode = force_generic_plan; prepare p(bigint) as select dealname from far.deals where id = $1`)
    for (let time = 0; time < 3; time += 1) expect(await rows('execute p(7)')).toEqual(one)
    await rows(`create or replace function pg_temp.f(i bigint) returns text language plpgsql as $$ begin return (select dealname from far.deals where id = i); end $$`)
    expect(await rows('select pg_temp.f(7) as dealname')).toEqual(one)
    const bound = gate.asked.filter(({ text, params }) => text.includes('$1') && params?.length === 1)
    expect(bound.length).toBeGreaterThanOrEqual(4)
    expect(bound.every(({ params, formats }) => params![0]!.toString() === '7' && formats![0] === 0)).toBe(true)
  })

  test('joins, aggregates, existence, order and limit', async () => {
    expect(await rows('select d.dealname, c.name from far.deals d join far.companies c on c.id = d.company_id where d.id = 15')).toEqual([{ dealname: 'deal 15', name: 'company 5' }])
    expect(await rows(`select dealstage, count(*)::int as n, sum(amount)::int as amount from far.deals group by 1 order by 1`)).toEqual([
      { dealstage: 'open', n: 667, amount: 333_667 }, { dealstage: 'won', n: 333, amount: 166_833 },
    ])
    expect(await rows('select count(*)::int as n from far.companies c where not exists (select from far.deals d where d.company_id = c.id and d.id < 6)')).toEqual([{ n: 5 }])
    expect(await rows('select id from far.deals order by amount desc limit 2')).toEqual([{ id: '1000' }, { id: '999' }])
    expect(await rows('select count(*)::int as n from far.deals f join near.deals d using (id) where d.id <= 250')).toEqual([{ n: 250 }])
  })

  test('more rows than one FETCH, by a cursor that stops half-way, and in a nested loop', async () => {
    expect(await rows('select sum(id)::int as n from (select id from far.deals where dealname <> random()::text) d')).toEqual([{ n: 500_500 }])
    await rows('begin; declare c cursor for select id from far.deals where dealname <> random()::text')
    expect(await rows('fetch 150 from c')).toHaveLength(150)
    await rows('close c; commit')
    await rows('set enable_hashjoin = off; set enable_mergejoin = off; set enable_material = off')
    expect(await rows('select count(f.id)::int as n from generate_series(1, 5) n, lateral (select id from far.deals where id = n offset 0) f')).toEqual([{ n: 5 }])
  })

  test('plans: EXPLAIN, by the server\'s estimate, ANALYZE, and IMPORT FOREIGN SCHEMA', async () => {
    await rows('explain (verbose) select * from far.deals where id = 7')
    expect(sent()).toEqual([])
    await rows(`begin; alter foreign table far.deals options (use_remote_estimate 'true')`)
    await rows('explain select * from far.deals d join far.companies c on c.id = d.company_id where d.id = 7 order by amount limit 1')
    expect(sent().some((text) => text.startsWith('EXPLAIN SELECT'))).toBe(true)
    await rows('rollback')
    await rows('analyze far.deals')
    expect(await rows(`select reltuples from pg_class where oid = 'far.deals'::regclass`)).toEqual([{ reltuples: 1_000 }])
    await rows('create schema again; import foreign schema near from server gate into again')
    expect(await rows('select name from again.companies where id = 3')).toEqual([{ name: 'company 3' }])
  })

  test('two scans at once under an Append, by way of one connection and of two', async () => {
    const { username: user, password } = new URL(db.url)
    await rows(`
      create server gate2 foreign data wrapper postgres_fdw options (host '127.0.0.1', port '${gate.gateway.at.port}', dbname '${db.name}', async_capable 'true');
      create user mapping for ${user} server gate2 options (user '${user}', password '${password}');
      create table far.parted (id bigint, dealname text) partition by range (id);
      create foreign table far.part1 partition of far.parted for values from (1) to (2) server gate options (schema_name 'near', table_name 'deals');
      create foreign table far.part2 partition of far.parted for values from (2) to (3) server gate2 options (schema_name 'near', table_name 'deals');
      create foreign table far.part3 partition of far.parted for values from (3) to (4) server gate options (schema_name 'near', table_name 'deals');
      alter server gate options (add async_capable 'true')`)
    const text = `select count(*)::int as n from far.parted where dealname <> 'none'`
    expect(JSON.stringify(await rows(`explain ${text}`))).toContain('Async Foreign Scan')
    for (let time = 0; time < 3; time += 1) expect(await rows(text)).toEqual([{ n: 3_000 }])
    await rows(`alter server gate options (drop async_capable); drop table far.parted; drop server gate2 cascade`)
  })
})

describe('transactions', () => {
  test('see what was committed meanwhile, since the isolation level that postgres_fdw asks for is given another text', async () => {
    await rows('begin')
    expect(await rows('select dealstage from far.deals where id = 1')).toEqual([{ dealstage: 'open' }])
    await db.query(`update near.deals set dealstage = 'lost' where id = 1`)
    expect(await rows('select dealstage from far.deals where id = 1')).toEqual([{ dealstage: 'lost' }])
    await rows('commit')
    gate.answer = () => ({ do: 'forward' })
    await rows('begin')
    await rows('select from far.deals where id = 1')
    await db.query(`update near.deals set dealstage = 'open' where id = 1`)
    expect(await rows('select dealstage from far.deals where id = 1')).toEqual([{ dealstage: 'lost' }])
    await rows('commit; begin isolation level serializable')
    expect(await rows('select dealstage from far.deals where id = 1')).toEqual([{ dealstage: 'open' }])
    await rows('commit')
    expect(gate.asked.map(({ text }) => text)).toContain('START TRANSACTION ISOLATION LEVEL SERIALIZABLE')
  })

  test('with savepoints: what failed is undone alone, a refusal too', async () => {
    gate.answer = ({ text }) => (text.includes('id = 13') ? { do: 'refuse', error: { code: 'SH113', message: 'not this one', hint: 'Another.' } } : { do: 'forward' })
    await rows(`begin; create temporary table seen (id bigint)`)
    await rows(`do $$ declare i bigint; begin
      foreach i in array '{12,13,14}'::bigint[] loop
        begin
          execute format('insert into seen select id from far.deals where id = %s', i);
        exception when sqlstate 'SH113' then raise notice '%', sqlerrm;
        end;
      end loop; end $$`)
    expect(await rows('table seen')).toEqual([{ id: '12' }, { id: '14' }])
    await rows('commit')
    expect(gate.asked.some(({ text }) => text.startsWith('RELEASE SAVEPOINT'))).toBe(true)
  })

  test('a refusal is the error, with its code, detail and hint, and aborts what the local transaction did', async () => {
    gate.answer = ({ text }) => (text.includes('id = 13') ? { do: 'refuse', error: { code: 'SH113', message: 'not this one', detail: 'why', hint: 'Another.' } } : { do: 'forward' })
    await rows('begin; create table local_work (n int)')
    await expect(rows('select * from far.deals where id = 13')).rejects.toMatchObject({ code: 'SH113', message: 'not this one', detail: 'why', hint: 'Another.' })
    await rows('rollback')
    expect(await rows('select dealname from far.deals where id = 14')).toEqual([{ dealname: 'deal 14' }])
    expect(await rows(`select to_regclass('local_work') as it`)).toEqual([{ it: null }])
  })

  test('write, return, batch, copy and truncate where Live lets them', async () => {
    await rows('begin')
    expect(await rows(`update far.deals set amount = 4242 where id = 30 returning id, amount::int`)).toEqual([{ id: '30', amount: 4_242 }])
    expect(await rows(`insert into far.companies values (77, 'new') returning name`)).toEqual([{ name: 'new' }])
    await rows(`update far.deals f set dealname = 'n2' from near.companies c where c.id = f.company_id and f.id = 31 and c.name <> random()::text`)
    expect(await rows(`select dealname from far.deals where id = 31`)).toEqual([{ dealname: 'n2' }])
    await rows(`alter foreign table far.companies options (add batch_size '100')`)
    await rows(`insert into far.companies select n, 'many' from generate_series(100, 350) n on conflict do nothing`)
    await rows(`delete from far.companies where name = 'many' and id > 200`)
    expect(await rows(`select count(*)::int as n from far.companies where name = 'many'`)).toEqual([{ n: 101 }])
    await rows('rollback; begin; truncate far.companies')
    expect(await rows('select count(*)::int as n from far.companies')).toEqual([{ n: 0 }])
    await rows('rollback')
    expect(await rows('select count(*)::int as n from far.companies')).toEqual([{ n: 10 }])
  })
})

describe('what goes wrong', () => {
  /** Live waits until the session's signal. */
  const holdUp = (part: string) => new Promise<LiveSession>((resolve) => {
    gate.answer = ({ text }, session) => !text.includes(part) ? { do: 'forward' } : new Promise<Verdict>((_, reject) => {
      session.signal.addEventListener('abort', () => reject(session.signal.reason as Error))
      resolve(session)
    })
  })

  /** The error comes before postgres_fdw cancels what it waits for. */
  const aborted = async (signal: AbortSignal) => {
    if (!signal.aborted) await once(signal, 'abort')
  }

  test('a time-out or cancel while Live waits ends that, and the session is of use afterwards', async () => {
    const waits = holdUp('id = 13')
    await rows(`set statement_timeout = '300ms'`)
    await expect(rows('select * from far.deals where id = 13')).rejects.toMatchObject({ code: '57014' })
    await aborted((await waits).signal)
    expect(await rows('select dealname from far.deals where id = 14')).toEqual([{ dealname: 'deal 14' }])
    expect(await rows(`select count(*)::int as n from postgres_fdw_get_connections()`)).toEqual([{ n: 1 }])
  })

  test('a time-out while the server works ends that', async () => {
    await rows(`set statement_timeout = '300ms'`)
    await expect(rows('select n from far.slow')).rejects.toMatchObject({ code: '57014' })
    expect(await rows('select dealname from far.deals where id = 14')).toEqual([{ dealname: 'deal 14' }])
    await gate.until(`not exists (select from pg_stat_activity where datname = current_database() and query like '%slow%' and state = 'active' and pid <> pg_backend_pid())`)
  })

  test('a row that this very transaction holds is not waited for in vain', async () => {
    await rows('begin; update near.deals set amount = 0 where id = 40')
    await expect(rows('update far.deals set amount = 1 where id = 40')).rejects.toMatchObject({ code: '55P03' })
    await rows('rollback')
  })

  test('a local session that ends while Live waits takes everything along', async () => {
    const waits = holdUp('id = 13')
    const [{ pid }] = (await rows('select pg_backend_pid() as pid')) as [{ pid: number }]
    const failed = expect(rows('select * from far.deals where id = 13')).rejects.toThrow()
    const { signal } = await waits
    await run(db.adminUrl, `select pg_terminate_backend(${pid})`)
    await failed
    await aborted(signal)
    await gate.until(`not exists (select from pg_stat_activity where datname = current_database() and application_name = 'through the gateway')`)
  })

  test('a gateway that stops and comes again is found again; one that is away is said to be', async () => {
    const { port } = gate.gateway.at
    await gate.gateway.stop()
    await expect(rows('select from far.deals where id = 1')).rejects.toMatchObject({ code: '08001' })
    await using again = await openGate('fdw_again', { db, at: { host: '127.0.0.1', port } })
    expect(await rows('select dealname from far.deals where id = 1')).toEqual([{ dealname: 'deal 1' }])
    await rows('begin')
    await rows('select from far.deals where id = 1')
    await again.gateway.stop()
    await expect(rows('select from far.deals where id = 1')).rejects.toMatchObject({ code: expect.stringMatching(/^(57P01|08006)$/) as string })
    await rows('rollback')
    gate.gateway = (await openGate('fdw_third', { db, at: { host: '127.0.0.1', port } })).gateway
    expect(await rows('select dealname from far.deals where id = 1')).toEqual([{ dealname: 'deal 1' }])
  })

  test('on 18 no password is kept: SCRAM passes through, and keys of the newest protocol too', async (context) => {
    if (version < 18) context.skip()
    const { username: user } = new URL(db.url)
    await rows(`
      create server through foreign data wrapper postgres_fdw
        options (host '127.0.0.1', port '${gate.gateway.at.port}', dbname '${db.name}', use_scram_passthrough 'true', max_protocol_version 'latest');
      create user mapping for ${user} server through options (user '${user}');
      create foreign table far.through (n int) server through options (schema_name 'near', table_name 'slow');
      create foreign table far.quick (id bigint, name text) server through options (schema_name 'near', table_name 'companies')`)
    expect(await rows('select name from far.quick where id = 3')).toEqual([{ name: 'company 3' }])
    await rows(`set statement_timeout = '300ms'`)
    await expect(rows('select n from far.through')).rejects.toMatchObject({ code: '57014' })
    expect(await rows('select name from far.quick where id = 4')).toEqual([{ name: 'company 4' }])
  })
})
