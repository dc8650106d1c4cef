import { describe, expect, test } from 'vitest'
import { sweep as sweepOf } from '../src/db/calls.ts'
import { openDatabase } from '../src/db/database.ts'
import { type FreshDatabase, freshDatabase } from './support/cluster.ts'
import { allFinal } from './support/feed.ts'

// What people hang on the feed does not end it: the days of it that cannot be kept are a problem, and the rest goes on.

const keep = (db: FreshDatabase) => db.query('select hubspot_private.changes_keep()')
/** As a worker does when it starts, and every 20 s. */
async function sweep({ url }: FreshDatabase): Promise<void> {
  const db = openDatabase(url)
  await sweepOf(db)
  await db.close()
}
const days = async (db: FreshDatabase) => (await db.query<{ day: string }>(
  `select to_char(begins_at at time zone 'UTC' - date_trunc('day', hubspot_private.clock() at time zone 'UTC'), 'DD') as day from hubspot_private.change_days()`)).map(({ day }) => Number(day))
const shift = (db: FreshDatabase, by: string) => db.query('update hubspot_private.installation set clock_shift = clock_shift + $1::interval', [by])
const write = (db: FreshDatabase, ids: number[]) => db.query(
  `insert into hubspot.changes (at, object, record_id, op, changed) select hubspot_private.clock(), 'deals', i, 'update', '{}' from unnest($1::bigint[]) i`, [ids])
const open = (db: FreshDatabase) => db.query<{ code: string; property: string; message: string; hint: string }>('select code, property, message, hint from hubspot.problems where resolved_at is null order by property')
const records = async (db: FreshDatabase) => (await db.query<{ record_id: string }>('select record_id from hubspot.changes order by 1')).map(({ record_id }) => Number(record_id))
const PROCESSED = 'create table public.processed (xid xid8, id bigint, at timestamptz, foreign key (xid, id, at) references hubspot.changes'

describe('a day that cannot be dropped', () => {
  test('as a view reads it, or a key refers to it, is a problem that names that; the sweep and the other days go on, and it is dropped once it can be', async () => {
    await using db = await freshDatabase('days')
    await keep(db)
    await write(db, [1])
    const [{ name }] = (await db.query<{ name: string }>('select name from hubspot_private.change_days() limit 1')) as [{ name: string }]
    await db.query(`create view public.recent as select * from hubspot_private.${name}`)
    await shift(db, '10 days')
    await sweep(db)
    expect(await days(db)).toEqual([-10, 0, 1, 2])
    expect(await open(db)).toEqual([{
      code: 'SH233', property: 'changes drop', message: expect.stringContaining('view public.recent depends on') as string, hint: expect.stringContaining('Drop') as string,
    }])
    await db.query('drop view public.recent')
    await keep(db)
    expect([await days(db), await open(db)]).toEqual([[0, 1, 2], []])

    await db.query(`${PROCESSED})`)
    await write(db, [2])
    await db.query('insert into public.processed select xid, id, at from hubspot.changes')
    await shift(db, '10 days')
    for (let times = 0; times < 2; times += 1) {
      await sweep(db)
      expect(await days(db)).toEqual([-10, -9, -8, 0, 1, 2])
      expect(await open(db)).toMatchObject([{ code: 'SH233', message: expect.stringContaining('table public.processed depends on') as string }])
    }
    await write(db, [3])
    await db.query('alter table public.processed drop constraint processed_xid_id_at_fkey')
    await keep(db)
    expect([await days(db), await open(db), await records(db)]).toEqual([[0, 1, 2], [], [3]])
  })

  test('nor its rows be deleted where they have no table, is the same', async () => {
    await using db = await freshDatabase('rest')
    await write(db, [1])
    await db.query(`${PROCESSED}); insert into public.processed select xid, id, at from hubspot.changes`)
    await shift(db, '10 days')
    await sweep(db)
    expect(await open(db)).toMatchObject([{ code: 'SH233', property: 'changes drop', message: expect.stringContaining('on table "processed"') as string }])
    await db.query('delete from public.processed')
    await keep(db)
    expect([await open(db), await records(db)]).toEqual([[], []])
  })
})

test('a table of a day that cannot be made is a problem, and what comes goes to the rest', async () => {
  await using db = await freshDatabase('made')
  const [{ name }] = (await db.query<{ name: string }>(`select to_char(hubspot_private.clock() at time zone 'UTC', '"changes_"YYYYMMDD') as name`)) as [{ name: string }]
  await db.query(`create table hubspot_private.${name} ()`)
  await sweep(db)
  await write(db, [1])
  expect(await days(db)).toEqual([1, 2])
  expect(await open(db)).toMatchObject([{ code: 'SH233', property: 'changes make', message: expect.stringContaining(name) as string }])
  await db.query(`drop table hubspot_private.${name}`)
  await keep(db)
  expect([await days(db), await open(db), await records(db)]).toEqual([[0, 1, 2], [], [1]])
})

test.for([
  'add column handled boolean default false',
  `add column stage text generated always as (changed #>> '{dealstage,1}') stored`,
  'add check (octet_length(changed::text) < 100000)',
])('the feed goes on for whoever did: alter table hubspot.changes %s', async (what) => {
  await using db = await freshDatabase('altered')
  await keep(db)
  await db.query(`alter table hubspot.changes ${what}`)
  await shift(db, '5 days')
  await write(db, [1, 2])
  if (what.includes('handled')) await db.query('update hubspot.changes set handled = true where record_id = 1')
  const before = await db.query('select * from hubspot.changes order by id')
  await sweep(db)
  expect([await days(db), await open(db)]).toEqual([[-5, -4, -3, 0, 1, 2], []])
  expect(await db.query('select * from hubspot.changes order by id')).toEqual(before)
  expect(await db.query('select from hubspot_private.changes_rest')).toEqual([])
  await allFinal(db)
  expect(await db.query('select * from hubspot.changes_after()')).toHaveLength(2)
})

test.for(['trigger', 'key'])('what the rest has of a day stays there while a %s of a user\'s would take it for new, or gone', async (what) => {
  await using db = await freshDatabase('told')
  await db.query(what === 'key' ? `${PROCESSED} on delete cascade)` : `create table public.processed (id bigint);
    create function public.tell() returns trigger language plpgsql as $$ begin insert into public.processed values (new.id); return null; end $$;
    create trigger tell after insert on hubspot.changes for each row execute function public.tell()`)
  await write(db, [1])
  if (what === 'key') await db.query('insert into public.processed select xid, id, at from hubspot.changes')
  await keep(db)
  await write(db, [2])
  expect(await db.query('select from public.processed')).toHaveLength(what === 'key' ? 1 : 2)
  expect([await days(db), await records(db), await open(db)]).toEqual([[1, 2], [1, 2], []])
  await shift(db, '10 days')
  await keep(db)
  expect(await records(db)).toEqual([])
})

test('the feed is emptied for another server though a key refers to it', async () => {
  await using db = await freshDatabase('emptied')
  await keep(db)
  await write(db, [1, 2])
  await db.query(`${PROCESSED} on delete cascade); insert into public.processed select xid, id, at from hubspot.changes`)
  await db.query('update hubspot_private.installation set system_identifier = system_identifier + 1')
  await db.query('select hubspot.adopt(read_only => true)')
  expect(await db.query('select from hubspot.changes union all select from public.processed')).toEqual([])
})

test('what a subscription has still to look through is kept as long again where its day has no table, too', async () => {
  await using db = await freshDatabase('lags')
  await write(db, [1, 2])
  await allFinal(db)
  const position = (by: string) => db.query(`insert into hubspot_private.subscriptions (object, task, ops, at_xid, at_id, created_at)
    select 'deals', 'mine', '{update}', c.xid, c.id, hubspot_private.clock() from hubspot.changes c where c.record_id = ${by}`)
  await position('1')
  await shift(db, '9 days')
  await keep(db)
  expect(await records(db)).toEqual([2])
  await shift(db, '6 days')
  await keep(db)
  expect(await records(db)).toEqual([])
})
