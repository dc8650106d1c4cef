import pg from 'pg'
import { expect, test } from 'vitest'
import { deliver } from '../src/sync/deliver.ts'
import { allFinal } from './support/feed.ts'
import { startWorld, type World } from './support/sync.ts'

// What a subscription is of: columns by whatever name, the time until it ends, this database and not its original.

const idsOf = (world: World, object = 'contacts') => [...world.store.records(object)].map(({ id }) => id)
const health = async (world: World) => (await world.db.query("select ok, message, hint from hubspot.health() where name = 'subscriptions'"))[0]

async function subscribe(world: World, args: string): Promise<number> {
  const [row] = await world.db.query<{ id: string }>(`select hubspot.on_change(${args}) as id`)
  return Number(row!.id)
}

async function edited(world: World, id: string, values: Record<string, string>, object = 'contacts'): Promise<void> {
  world.store.edit(object, id, values)
  await world.advance(1)
  await world.db.query('select hubspot.refresh($1, array[$2::bigint])', [object, id])
  await world.pass(2_000, 1_000)
  await allFinal(world.db)
}

async function contacts(name: string): Promise<World> {
  const world = await startWorld(name, { sandbox: { objects: { contacts: 4 } } })
  await world.load('contacts', ['firstname', 'lastname'])
  await world.db.query(`create table public.got (n serial, changed jsonb);
    create function public.take(change jsonb) returns void language sql as $$ insert into public.got (changed) values (change -> 'changed') $$`)
  return world
}

const got = async (world: World) => (await world.db.query<{ changed: object }>('select changed from public.got order by n')).map(({ changed }) => changed)

test('a change that was written under a name which its column has no more is delivered, and none of the column that has it now', async () => {
  await using world = await contacts('renamed')
  const [id = ''] = idsOf(world)
  const subscription = await subscribe(world, `'contacts', function_name => 'public.take', columns => '{firstname}'`)
  const rename = (property: string, name: string) => world.db.query('select hubspot.rename_column($1, $2, $3)', ['contacts', property, name])
  await edited(world, id, { firstname: 'one' })
  await rename('firstname', 'given')
  await edited(world, id, { firstname: 'two' })
  await rename('firstname', 'given_name')
  await edited(world, id, { firstname: 'three' })
  await rename('lastname', 'given')
  await edited(world, id, { lastname: 'not this' })
  await deliver(world.deps, subscription)
  expect(await got(world)).toMatchObject([{ firstname: [expect.anything(), 'one'] }, { given: ['one', 'two'] }, { given_name: ['two', 'three'] }])
  expect(await got(world)).toHaveLength(3)
})

test('a value that is in _extra, for want of room or of a column, is one of its property', async () => {
  await using world = await startWorld('spilled')
  const names = Array.from({ length: 460 }, (_, i) => `t_${String(i).padStart(4, '0')}`)
  world.store.addObject({ name: 'thing', properties: names.map((name) => ({ name, filled: false })) })
  world.store.create('thing', [{ properties: Object.fromEntries(names.map((name) => [name, `${name}: The quick brown fox jumps over the lazy dog`])) }])
  await world.db.query('select hubspot.sync()')
  await world.drain()
  await world.load('thing')
  const [id = ''] = idsOf(world, 'thing')
  const row = (await world.row<{ _extra: Record<string, string> }>('thing', id))!
  const [spilled = '', other = ''] = Object.keys(row._extra)
  const plain = names.find((name) => !(name in row._extra))!
  const ids = []
  for (const name of [spilled, other, plain]) ids.push(await subscribe(world, `'thing', task => 'of_${ids.length}', columns => '{${name}}'`))
  await edited(world, id, { [spilled]: 'another long text that tells of something that changed', [plain]: 'and another long text that is not spilled at all, no' }, 'thing')
  for (const each of ids) await deliver(world.deps, each)
  expect(await world.db.query("select task_identifier as task from graphile_worker.jobs where task_identifier like 'of\\_%' order by 1")).toEqual([{ task: 'of_0' }, { task: 'of_2' }])
  world.store.archive('thing', id)
  await world.db.query('select hubspot.refresh($1, array[$2::bigint])', ['thing', id])
  await world.pass(2_000, 1_000)
  await allFinal(world.db)
  await deliver(world.deps, ids[1]!)
  expect(await world.db.query("select payload -> 'changes' -> 0 ->> 'op' as op from graphile_worker._private_jobs j join graphile_worker._private_tasks t on t.id = j.task_id where t.identifier = 'of_1'")).toEqual([{ op: 'delete' }])
}, 30_000)

test('off_change waits for a step that runs, and takes what that queued too', async () => {
  await using world = await contacts('ended')
  const subscription = await subscribe(world, `'contacts', task => 'send'`)
  for (const id of idsOf(world)) await edited(world, id, { firstname: 'new' })
  const step = await world.db.pool.connect()
  await step.query('begin')
  await step.query('select hubspot_private.deliver_step($1)', [subscription])
  const ended = world.db.query('select hubspot.off_change($1)', [subscription])
  for (;;) {
    const waiting = await world.db.query("select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock' and query like '%off_change%' and pid <> pg_backend_pid()")
    if (waiting.length > 0) break
  }
  await step.query('commit').finally(() => step.release())
  await ended
  expect(await world.db.query("select from graphile_worker.jobs where task_identifier = 'send'")).toEqual([])
})

test('disable_changes says which subscriptions get nothing now, and so does health', async () => {
  await using world = await contacts('disabled')
  const subscription = await subscribe(world, `'contacts', task => 'send'`)
  expect(await health(world)).toEqual({ ok: true, message: '1 to changes', hint: null })
  const client = await world.db.pool.connect()
  const notices: string[] = []
  client.on('notice', ({ message }) => notices.push(message ?? ''))
  await client.query("select hubspot.disable_changes('contacts')").finally(() => client.release())
  expect(notices).toEqual([`subscriptions of contacts get no more changes until hubspot.enable_changes(): ${subscription}`])
  expect(await health(world)).toEqual({
    ok: false, message: '1 get nothing: changes of contacts are not written',
    hint: `Run select hubspot.enable_changes('contacts'); or end them: select hubspot.off_change(${subscription});`,
  })
  await world.db.query("select hubspot.enable_changes('contacts')")
  expect(await health(world)).toMatchObject({ ok: true })
})

test('a copy that is adopted to read only leaves what was pending to the original; one that takes its place does not', async () => {
  await using world = await contacts('adopted')
  const [a = '', b = ''] = idsOf(world)
  const [called, queued] = [await subscribe(world, `'contacts', function_name => 'public.take'`), await subscribe(world, `'contacts', task => 'send'`)]
  const tasks = () => world.db.query("select payload -> 'changes' -> 0 -> 'changed' -> 'firstname' ->> 1 as name from graphile_worker._private_jobs j join graphile_worker._private_tasks t on t.id = j.task_id where t.identifier = 'send'")
  const copy = () => world.db.query('update hubspot_private.installation set database_oid = 1')
  const both = async () => {
    await deliver(world.deps, called)
    await deliver(world.deps, queued)
  }
  await edited(world, a, { firstname: 'one' })
  await deliver(world.deps, queued)
  await world.db.query("update graphile_worker._private_jobs set locked_at = now(), locked_by = 'the original' where task_id = (select id from graphile_worker._private_tasks where identifier = 'send')")
  await edited(world, b, { firstname: 'two' })
  await copy()
  await world.db.query('select hubspot.adopt(read_only => true)')
  await both()
  expect([await got(world), await tasks()]).toEqual([[], []])
  await edited(world, a, { firstname: 'three' })
  // Once more is no copy.
  await world.db.query('select hubspot.adopt(read_only => true)')
  await both()
  expect([await got(world), await tasks()]).toEqual([[{ firstname: ['one', 'three'] }], [{ name: 'three' }]])
  await edited(world, b, { firstname: 'four' })
  await copy()
  await world.db.query('select hubspot.adopt(read_only => false)')
  await both()
  expect([await got(world), await tasks()]).toMatchObject([[{}, { firstname: ['two', 'four'] }], [{ name: 'three' }, { name: 'four' }]])
})

test('a copy that takes the place of an original on another server goes on with all that the feed had for it', async () => {
  await using world = await contacts('moved')
  const [a = ''] = idsOf(world)
  const id = await subscribe(world, `'contacts', function_name => 'public.take'`)
  await edited(world, a, { firstname: 'taken' })
  await deliver(world.deps, id)
  // More than is looked through at once.
  await world.db.query(`insert into hubspot.changes (at, object, record_id, op, changed)
    select hubspot_private.clock(), 'contacts', 1, 'update', jsonb_build_object('n', n) from generate_series(1, 1500) n`)
  await world.db.query('update hubspot_private.installation set system_identifier = system_identifier + 1')
  await world.db.query('select hubspot.adopt(read_only => false)')
  expect(await world.db.query('select from hubspot.changes')).toEqual([])
  await edited(world, a, { firstname: 'later' })
  await deliver(world.deps, id, 60_000)
  // In order by record; records go side by side.
  const all = await got(world)
  expect(all.filter((changed) => 'n' in changed)).toEqual(Array.from({ length: 1_500 }, (_, n) => ({ n: n + 1 })))
  expect(all.filter((changed) => 'firstname' in changed)).toEqual([{ firstname: [expect.anything(), 'taken'] }, { firstname: ['taken', 'later'] }])
  expect(all).toHaveLength(1_502)
})

test('a transaction that is left open in another database of the server holds changes up: health and metrics tell, and name it', async () => {
  await using world = await contacts('elsewhere')
  const id = await subscribe(world, `'contacts', function_name => 'take'`)
  const checks = () => world.db.query<{ name: string; ok: boolean; message: string; hint: string | null }>(
    "select name, ok, message, hint from hubspot.health() where name in ('feed', 'subscriptions')")
  const lags = async () => (await world.db.query<{ value: number }>(
    "select value from hubspot_private.metrics() where name in ('feed_lag_seconds', 'subscription_lag_seconds') order by name")).map(({ value }) => value)
  const url = new URL(world.db.adminUrl)
  url.pathname = '/postgres'
  const other = new pg.Client(url.href)
  await other.connect()
  try {
    const { rows: [row] } = await other.query<{ pid: number; xid: string; role: string }>('begin; select pg_current_xact_id()').then(() =>
      other.query<{ pid: number; xid: string; role: string }>('select pg_backend_pid() as pid, pg_current_xact_id()::text as xid, current_user as role'))
    world.store.edit('contacts', idsOf(world)[0]!, { firstname: 'late' })
    await world.advance(1)
    await world.db.query('select hubspot.refresh($1, array[$2::bigint])', ['contacts', idsOf(world)[0]])
    await world.pass(120_000, 10_000)
    expect((await checks()).map(({ ok }) => ok)).toEqual([true, true])
    await world.pass(600_000, 60_000)
    await deliver(world.deps, id)
    expect(await got(world)).toEqual([])
    expect(await checks()).toEqual([
      { name: 'feed', ok: false, hint: `End that transaction where it runs; or, as its role or a superuser: select pg_terminate_backend(${row!.pid});`,
        message: expect.stringMatching(new RegExp(`^changes of the last 00:1\\d:\\d\\d reach nobody: transaction ${row!.xid}, which began before them, is not over: session ${row!.pid} in database postgres, of role ${row!.role}$`)) as string },
      { name: 'subscriptions', ok: false, message: expect.stringMatching(/^1 to changes; late by up to 00:1/) as string, hint: expect.stringContaining('check feed') as string },
    ])
    for (const lag of await lags()) expect(lag).toBeGreaterThan(600)
    await other.query('commit')
  } finally {
    await other.end()
  }
  await allFinal(world.db)
  await deliver(world.deps, id)
  expect(await got(world)).toHaveLength(1)
  expect((await checks()).map(({ ok }) => ok)).toEqual([true, true])
  expect(await lags()).toEqual([0, 0])
})
