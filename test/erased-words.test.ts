import { expect, test } from 'vitest'
import { deliver } from '../src/sync/deliver.ts'
import { openProblems as open, refresh, traces, worldOf } from './support/erasing.ts'
import { allFinal } from './support/feed.ts'
import { startWorld } from './support/sync.ts'
import { idsOf } from './support/webhooks.ts'

// What others said of a record that is forgotten since: it may quote what is nowhere else any more.

const HOUR = 3_600_000

test('what the database said of a page of records', async () => {
  await using world = await startWorld('erasures', { sandbox: { objects: { contacts: 40 } } })
  await world.load('contacts', ['firstname'])
  await world.db.query(`create function no() returns trigger language plpgsql as $$ begin raise exception 'no such %', new.firstname; end $$`)
  await world.db.query('create trigger no before update on hubspot.contacts for each row execute function no()')
  const ids = idsOf(world)
  for (const id of ids) world.store.edit('contacts', id, { firstname: 'Unmistakable' })
  await refresh(world, ...ids)
  await world.pass(10 * 60_000, 60_000)
  expect(await world.db.query("select code from hubspot.problems where message like '%Unmistakable%' and record_id is null")).toEqual([{ code: 'SH009' }])
  for (const id of ids) await world.db.query("select hubspot.forget('contacts', $1)", [id])
  expect(await traces(world, 'Unmistakable')).toEqual([])
})

test('what a subscription\'s function said of all changes', async () => {
  await using world = await worldOf()
  await world.db.query(`create function take(c hubspot.changes) returns void language plpgsql as $$ begin
    execute format('insert into %I values (1)', c.changed #>> '{firstname,1}'); end $$`)
  const [row] = await world.db.query<{ id: string }>("select hubspot.on_change('contacts', function_name => 'take') as id")
  const [id = ''] = idsOf(world)
  world.store.edit('contacts', id, { firstname: 'Unmistakable' })
  await refresh(world, id)
  await allFinal(world.db)
  await deliver(world.deps, Number(row!.id))
  expect(await world.db.query("select code from hubspot.problems where message like '%Unmistakable%' and record_id is null")).toEqual([{ code: 'SH224' }])
  await world.db.query('update hubspot_private.problems set resolved_at = hubspot_private.clock()')
  await world.db.query("select hubspot.forget('contacts', $1)", [id])
  expect(await traces(world, 'Unmistakable')).toEqual([])
})

test('why a column cannot follow its property', async () => {
  await using world = await startWorld('erasures', { sandbox: { objects: { contacts: 6 } } })
  const [id = ''] = idsOf(world)
  world.store.edit('contacts', id, { firstname: 'Unmistakable' })
  await world.load('contacts', ['firstname', 'email'], 'mark')
  world.store.archive('contacts', id)
  await world.pass(2 * HOUR, HOUR / 2)
  await world.db.query(`create function mine() returns trigger language plpgsql as $$ begin
    if new.id = ${id} then raise exception 'not %', old.firstname; end if; return new; end $$`)
  await world.db.query('create trigger mine before update on hubspot.contacts for each row execute function mine()')
  await world.db.query("select hubspot.retype_column('contacts', 'firstname', 'text[]')")
  await world.pass(HOUR, 5 * 60_000)
  expect(await traces(world, 'not Unmistakable')).toContain('hubspot_private.properties')
  expect(await world.db.query("select code from hubspot.problems where message like '%not Unmistakable%' and resolved_at is null")).toEqual([{ code: 'SH221' }])
  await world.db.query("select hubspot.forget('contacts', $1)", [id])
  expect(await traces(world, 'Unmistakable')).toEqual([])
  await world.pass(HOUR, 5 * 60_000)
  expect(await traces(world, 'Unmistakable')).toEqual([])
  // Nothing keeps the column any more.
  expect(await world.db.query("select column_type from hubspot.properties where object = 'contacts' and property = 'firstname'")).toEqual([{ column_type: 'text[]' }])
  expect(await open(world)).toEqual([])
})

test('what names a record of an association, and who else has its id', async () => {
  await using world = await worldOf()
  const [id = ''] = idsOf(world)
  await world.db.query("select hubspot.track_associations('deals', 'contacts')")
  await world.db.query(`select hubspot_private.problem_report('SH009', 'deals', 'Key (deal_id, contact_id)=(7, ${id}) is there'),
    hubspot_private.problem_report('SH209', 'deals', 'value of record ${id} of deals', null, ${id}),
    hubspot_private.problem_report('SH203', 'deals', '1${id}')`)
  await world.db.query("select hubspot.forget('contacts', $1)", [id])
  expect(await world.db.query('select code, message from hubspot.problems where resolved_at is null order by code')).toEqual([
    { code: 'SH009', message: 'what it said was erased, with a record that it may have named' },
    { code: 'SH203', message: `1${id}` }, { code: 'SH209', message: `value of record ${id} of deals` },
  ])
})
