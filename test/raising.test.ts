import { expect, test, vi } from 'vitest'
import { deliver } from '../src/sync/deliver.ts'
import { allFinal } from './support/feed.ts'
import { query } from './support/global-setup.ts'
import { startWorld, type World } from './support/sync.ts'

// Triggers of a user's that raise what is no plain error: a failed assertion, or what the database itself raises when it is away, stops, or is full.

const idsOf = (world: World) => [...world.store.records('contacts')].map(({ id }) => id)

test('a failed assertion of a trigger\'s on delete, or on an association, holds up that record alone', async () => {
  await using world = await startWorld('asserts', { sandbox: { objects: { contacts: 6, deals: 3 } } })
  await world.load('contacts', ['firstname'])
  await world.load('deals', ['dealname'])
  await world.db.query("select hubspot.track_associations('deals', 'contacts')")
  await world.drain()
  const [kept = '', gone = '', bad = '', good = ''] = idsOf(world)
  const [deal = '', other = ''] = [...world.store.records('deals')].map(({ id }) => id)
  await world.db.query(`create function public.keeper() returns trigger language plpgsql as $f$ begin assert old.id <> ${kept}, 'kept'; return old; end $f$;
    create trigger keeper before delete on hubspot.contacts for each row execute function public.keeper();
    create function public.apart() returns trigger language plpgsql as $f$ begin assert new.contact_id <> ${bad}, 'apart'; return new; end $f$;
    create trigger apart before insert on hubspot.deals_contacts for each row execute function public.apart()`)
  world.store.archive('contacts', [kept, gone])
  world.store.associate('deals', deal, 'contacts', bad)
  world.store.associate('deals', other, 'contacts', good)
  await world.db.query("select hubspot_private.associations_dirty('deals', $1), hubspot.refresh('contacts', $2)", [[deal, other], [kept, gone]])
  await world.pass(60_000, 5_000)
  expect(await world.row('contacts', gone)).toBeUndefined()
  const edges = 'select contact_id from hubspot.deals_contacts where deal_id = any ($1) and contact_id = any ($2)'
  expect(await world.db.query(edges, [[deal, other], [bad, good]])).toEqual([{ contact_id: good }])
  expect(await world.db.query('select object, record_id from hubspot.problems where resolved_at is null order by object'))
    .toEqual([{ object: 'contacts', record_id: kept }, { object: 'deals', record_id: deal }])
  await world.db.query('drop trigger keeper on hubspot.contacts; drop trigger apart on hubspot.deals_contacts')
  await world.pass(16 * 60_000, 4 * 60_000)
  expect(await world.db.query('select object from hubspot.problems where resolved_at is null')).toEqual([])
  expect(await world.differences('contacts')).toEqual([])
})

const problems = (world: World) => world.db.query<{ code: string; record_id: string | null; message: string }>(
  'select code, record_id, message from hubspot.problems where resolved_at is null order by id')

/** Contacts with a trigger that does this for the first. */
async function guarded(contacts: number, what: (first: string) => string): Promise<{ world: World; ids: string[] }> {
  const world = await startWorld('raising', { sandbox: { objects: { contacts } } })
  await world.load('contacts', ['firstname'])
  const ids = idsOf(world)
  await world.db.query(`create sequence public.times; create function public.guard() returns trigger language plpgsql as $f$ begin ${what(ids[0]!)} return new; end $f$;
    create trigger guard before update on hubspot.contacts for each row execute function public.guard()`)
  return { world, ids }
}

const changed = async (world: World) => (await world.db.query<{ id: string }>("select id from hubspot.contacts where firstname = 'new' order by id")).map(({ id }) => id)

// Another server that is away, as a foreign table's, or starts; a statement_timeout; what is configured too low; a file; a lock.
test.for(['08001', '57P03', '57014', '53400', '58030', '40001', '55P03'])('a trigger that raises %s for one record each time holds up that record alone, in the end', async (state) => {
  const { world, ids } = await guarded(12, (first) => `if new.id = ${first} then raise exception 'not this one' using errcode = '${state}'; end if;`)
  await using _ = world
  for (const id of ids.slice(0, 3)) world.store.edit('contacts', id, { firstname: 'new' })
  await world.pass(60_000, 5_000)
  expect(await changed(world)).toEqual(ids.slice(1, 3))
  expect(await problems(world)).toEqual([{ code: 'SH213', record_id: ids[0], message: `record ${ids[0]} of contacts cannot be written: not this one (${state})` }])
  // Known of it, nothing waits for it again.
  world.store.edit('contacts', [ids[0]!, ids[4]!], { firstname: 'new' }, { touch: false })
  await world.db.query('select hubspot.refresh($1, $2)', ['contacts', [ids[0], ids[4]]])
  await world.pass(2_000, 1_000)
  expect(await changed(world)).toEqual([...ids.slice(1, 3), ids[4]])
  await world.db.query('drop trigger guard on hubspot.contacts')
  await world.pass(20 * 60_000, 4 * 60_000)
  expect(await world.differences('contacts')).toEqual([])
  expect(await problems(world)).toEqual([])
})

test('a trigger that raises for every record that another server is away is no record\'s fault, and the message does not speak of ours', async () => {
  const { world, ids } = await guarded(40, () => "raise exception 'away' using errcode = '08001';")
  await using _ = world
  for (const id of ids) world.store.edit('contacts', id, { firstname: 'new' })
  await world.pass(60_000, 5_000)
  expect(await problems(world)).toEqual([{ code: 'SH009', record_id: null, message: 'the database refused a step: away' }])
  await world.db.query('drop trigger guard on hubspot.contacts')
  await world.pass(120_000, 10_000)
  expect(await world.differences('contacts')).toEqual([])
  expect(await problems(world)).toEqual([])
})

test.for(['08001', '40P01', '53100', '53200'])('a trigger that raises %s for some seconds is waited for, and so is a disk that is full for longer', async (state) => {
  const { world, ids } = await guarded(12, () => `if nextval('public.times') <= ${state.startsWith('53') ? 8 : 5} then raise exception 'in a moment' using errcode = '${state}'; end if;`)
  await using _ = world
  for (const id of ids.slice(0, 3)) world.store.edit('contacts', id, { firstname: 'new' })
  await world.pass(10 * 60_000, 10_000)
  expect(await world.differences('contacts')).toEqual([])
  expect(await world.db.query("select from hubspot.problems where code = 'SH213'")).toEqual([])
})

test.for([
  ['a foreign table whose server is away', 'perform from public.remote;', /connect/],
  ['a statement_timeout of the database\'s', 'perform pg_sleep(30);', /\(57014\)$/],
] as const)('%s holds up that record alone', { timeout: 60_000 }, async ([, what, message]) => {
  const { world, ids } = await guarded(6, (first) => `if new.id = ${first} then ${what} end if;`)
  await using _ = world
  const { adminUrl, name } = world.db
  if (what.includes('remote')) {
    await query(adminUrl, `create extension postgres_fdw; create server away foreign data wrapper postgres_fdw options (host '127.0.0.1', port '1');
      create user mapping for public server away options (user 'x', password 'x'); create foreign table public.remote (id int) server away; grant select on public.remote to public`)
  } else {
    await query(adminUrl, `alter database ${name} set statement_timeout = '1s'`)
    await query(adminUrl, 'select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()')
    await vi.waitFor(() => expect([world.db.pool.totalCount, world.deps.db.pool.totalCount]).toEqual([0, 0]))
  }
  for (const id of ids.slice(0, 3)) world.store.edit('contacts', id, { firstname: 'new' })
  await world.pass(60_000, 5_000)
  expect(await changed(world)).toEqual(ids.slice(1, 3))
  expect(await problems(world)).toEqual([{ code: 'SH213', record_id: ids[0], message: expect.stringMatching(message) as string }])
})

test.for(['08001', '53400', 'P0004'])('what was deferred by a function that is given changes, and raises %s, fails with that change', async (state) => {
  await using world = await startWorld('late', { sandbox: { objects: { contacts: 4 } } })
  await world.load('contacts', ['firstname'])
  const ids = idsOf(world)
  await world.db.query(`create table public.got (id bigint);
    create function public.take(change jsonb) returns void language sql as $f$ insert into public.got values ((change ->> 'record_id')::bigint) $f$;
    create function public.guard() returns trigger language plpgsql as $f$ begin
      if new.id = ${ids[0]} then raise exception 'away' using errcode = '${state}'; end if; return new; end $f$;
    create constraint trigger guard after insert on public.got deferrable initially deferred for each row execute function public.guard()`)
  const [row] = await world.db.query<{ id: string }>("select hubspot.on_change('contacts', function_name => 'public.take') as id")
  for (const id of ids) world.store.edit('contacts', id, { firstname: 'new' })
  await world.advance(1)
  await world.db.query('select hubspot.refresh($1, $2)', ['contacts', ids])
  await world.pass(2_000, 1_000)
  await allFinal(world.db)
  await deliver(world.deps, Number(row!.id))
  expect(await world.db.query('select id from public.got order by id')).toEqual(ids.slice(1).map((id) => ({ id })))
  expect(await problems(world)).toMatchObject([{ code: 'SH224', record_id: ids[0] }])
})
