import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { openDatabase } from '../src/db/database.ts'
import { migrate } from '../src/db/migrate.ts'
import { deliver } from '../src/sync/deliver.ts'
import { type FreshDatabase, freshDatabase } from './support/cluster.ts'
import { allFinal } from './support/feed.ts'

// Subscriptions of a task that the user's own graphile-worker runs, in a process of its own.

async function startTasks(url: string): Promise<ChildProcess> {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'support/task-worker.ts'), url], { stdio: ['ignore', 'pipe', 'ignore'] })
  await Promise.race([once(child.stdout, 'data'), once(child, 'exit').then(() => expect.unreachable('it ended'))])
  return child
}

async function kill(child: ChildProcess, db: FreshDatabase): Promise<void> {
  const ended = once(child, 'exit')
  child.kill('SIGKILL')
  await ended
  // What its sessions had begun, they end: they may still take a job.
  for (let left = 1; left > 0; ) {
    [{ left }] = (await db.query(`select count(*)::integer as left from pg_stat_activity where datname = current_database() and application_name = 'tasks'`)) as [{ left: number }]
  }
  // graphile-worker itself frees a killed worker's jobs after four hours.
  await db.query(`select graphile_worker.force_unlock_workers(array(select distinct locked_by from graphile_worker.jobs where locked_by is not null))`)
}

async function prepared(name: string, ops = '{insert,update,delete}') {
  const db = await freshDatabase(name)
  const database = openDatabase(db.url, { max: 4 })
  await db.query(`create table public.got (n serial, who text, record_id bigint, change_id bigint, op text, changed jsonb)`)
  await db.query(`select hubspot.track('contacts')`)
  const [row] = await db.query<{ id: string }>(`select hubspot.on_change('contacts', task => 'note', ops => $1) as id`, [ops])
  const id = Number(row!.id)
  const look = () => deliver({ db: database, signal: new AbortController().signal }, id)
  return {
    db, id, look,
    write: (ids: readonly number[], name_ = 'b') => db.query(
      `insert into hubspot.changes (at, object, record_id, op, changed) select now(), 'contacts', i, 'update', jsonb_build_object('firstname', array['a', $2]) from unnest($1::bigint[]) i`, [ids, name_]),
    /** Looks as the product's worker does, until the condition holds. */
    async until(condition: string) {
      for (;;) {
        await look()
        if ((await db.query<{ is_so: boolean }>(`select (${condition}) as is_so`))[0]!.is_so) return
        await new Promise((resolve) => setTimeout(resolve, 50))
      }
    },
    async [Symbol.asyncDispose]() {
      await database.close()
      await db[Symbol.asyncDispose]()
    },
  }
}

/** Ids of the changes that jobs carry. */
const carried = async (db: FreshDatabase) => (await db.query<{ ids: string[] }>(
  `select array(select c ->> 'id' from json_array_elements(j.payload -> 'changes') c) as ids
   from graphile_worker._private_jobs j join graphile_worker._private_tasks t on t.id = j.task_id where t.identifier = 'note' order by j.id`)).map(({ ids }) => ids)

const IS_IDLE = 'not exists (select from hubspot_private.deliveries)'

test('gets one job of a record at a time, its changes in order, each at least once, through kills of its process', async () => {
  await using it = await prepared('tasks_killed')
  let tasks = await startTasks(it.db.url)
  try {
    for (let i = 0; i < 12; i += 1) {
      await it.write(Array.from({ length: 40 }, (_, g) => 1 + ((g * 7 + i) % 17)))
      await it.look()
      // While it has some of them.
      await it.until(`exists (select from public.got) or not exists (select from hubspot_private.deliveries)`)
      if (i % 3 === 2) {
        await kill(tasks, it.db)
        tasks = await startTasks(it.db.url)
      }
    }
    await it.until(IS_IDLE)
  } finally {
    await kill(tasks, it.db)
  }
  // Each, and whatever came again began with a change that had come before: seen for the first time, they came in order.
  expect(await it.db.query(`select (select count(*)::integer from hubspot.changes) as written, (select count(distinct change_id)::integer from got) as got,
    not exists (select from (
      select first.change_id < lag(first.change_id) over (partition by first.record_id order by first.n) as is_back
      from (select record_id, change_id, min(n) as n from got group by 1, 2) first) x where is_back) as is_ordered`)).toEqual([{ written: 480, got: 480, is_ordered: true }])
  expect(await it.db.query(`select from graphile_worker.jobs where task_identifier = 'note'`)).toEqual([])
})

test('that fails holds up its record alone, as a problem, and goes on once it is mended; off_change takes what waits', async () => {
  await using it = await prepared('tasks_failing')
  const open = () => it.db.query('select code, record_id, property, message from hubspot.problems where resolved_at is null')
  const tasks = await startTasks(it.db.url)
  try {
    await it.write([1], 'bad')
    await it.write([1, 2, 2], 'good')
    await it.until(`exists (select from hubspot.problems where code = 'SH224') and (select count(*) from public.got) = 2
      and not exists (select from hubspot_private.deliveries where record_id = 2)`)
    expect(await it.db.query('select record_id from got')).toEqual([{ record_id: '2' }, { record_id: '2' }])
    expect(await open()).toEqual([{ code: 'SH224', record_id: '1', property: `on_change ${it.id}`, message: expect.stringContaining('not this one') as string }])
    expect(await it.db.query('select records_waiting, records_failing, last_error from hubspot.change_subscriptions')).toEqual([{ records_waiting: '1', records_failing: '1', last_error: 'not this one' }])
    // Given up by hand, it stays in the queue and its record waits.
    await it.db.query(`select graphile_worker.permanently_fail_jobs(array(select id from graphile_worker.jobs where task_identifier = 'note'), 'given up')`)
    await it.write([1], 'later')
    await allFinal(it.db)
    await it.look()
    expect(await it.db.query(`select count(*)::integer as n from graphile_worker.jobs where task_identifier = 'note'`)).toEqual([{ n: 1 }])
    // Mended: here the change that it failed with is taken out of its job.
    await it.db.query(`update graphile_worker._private_jobs set payload = replace(payload::text, '"bad"', '"mended"')::json`)
    await it.db.query(`select graphile_worker.reschedule_jobs(array(select id from graphile_worker.jobs where task_identifier = 'note'), run_at => now(), attempts => 0)`)
    await it.until(IS_IDLE)
    expect(await it.db.query(`select changed -> 'firstname' ->> 1 as name from got where record_id = 1 order by n`)).toEqual([{ name: 'mended' }, { name: 'good' }, { name: 'later' }])
    expect(await open()).toEqual([])
  } finally {
    await kill(tasks, it.db)
  }
  await it.write([7], 'good')
  await allFinal(it.db)
  await it.look()
  expect(await it.db.query(`select payload from graphile_worker._private_jobs j join graphile_worker._private_tasks t on t.id = j.task_id where t.identifier = 'note'`)).toMatchObject([
    { payload: { subscription: it.id, object: 'contacts', record_id: '7', changes: [{ record_id: '7', op: 'update', object: 'contacts', changed: { firstname: ['a', 'good'] } }] } },
  ])
  await it.db.query('select hubspot.off_change($1)', [it.id])
  expect(await it.db.query(`select from graphile_worker.jobs where task_identifier = 'note'`)).toEqual([])
})

test('gets anew what waited in a queue that was lost; jobs of the one made in its place are not taken for those', async () => {
  await using it = await prepared('tasks_lost')
  const jobs = () => it.db.query("select t.identifier as task, payload -> 'record_id' as record from graphile_worker._private_jobs j join graphile_worker._private_tasks t on t.id = j.task_id where t.identifier <> 'hubspot:deliver' order by 1, 2::text")
  await it.write([1, 2])
  await allFinal(it.db)
  await it.look()
  const lose = async () => {
    await it.db.query('drop schema graphile_worker cascade')
    await migrate(it.db.url)
    // Among them the ids that its jobs had.
    await it.db.query("select graphile_worker.add_job('another', '{}') from generate_series(1, 20)")
  }
  const others = Array.from({ length: 20 }, () => ({ task: 'another', record: null }))
  await lose()
  await it.look()
  expect(await jobs()).toEqual([...others, { task: 'note', record: '1' }, { task: 'note', record: '2' }])
  await it.db.query("select graphile_worker.complete_jobs(array(select id from graphile_worker.jobs where task_identifier = 'note'))")
  await it.look()
  expect(await it.db.query('select from hubspot_private.deliveries union all select from hubspot_private.delivery_changes')).toEqual([])
  await it.write([3])
  await allFinal(it.db)
  await it.look()
  await lose()
  await it.db.query("select hubspot_private.changes_forget('contacts', '{3}'), hubspot.off_change($1)", [it.id])
  expect(await jobs()).toEqual(others)
})

test('gets a change too whose id is lower than one that it has already, of a transaction that is later', async () => {
  await using it = await prepared('tasks_order', '{update,associate}')
  const { db } = it
  const [older, newer] = [await db.pool.connect(), await db.pool.connect()]
  try {
    const write = `insert into hubspot.changes (at, object, record_id, op, changed) values (now(), 'contacts', 1, $1, $2) returning id`
    // A step of associations has its number first and writes last.
    await older.query('begin; select pg_current_xact_id()')
    await newer.query('begin')
    const { rows: [late] } = await newer.query<{ id: string }>(write, ['update', '{"firstname": ["a", "b"]}'])
    const { rows: [early] } = await older.query<{ id: string }>(write, ['associate', '{"to_object": "companies", "to": 7}'])
    await older.query('commit')
    await it.until('exists (select from hubspot_private.deliveries where job_id is not null)')
    expect(await carried(db)).toEqual([[early!.id]])
    await newer.query('commit')
    await allFinal(db)
    await it.look()
    const done = () => db.query(`select graphile_worker.complete_jobs(array(select id from graphile_worker.jobs where task_identifier = 'note'))`)
    await done()
    await it.look()
    expect(await carried(db)).toEqual([[late!.id]])
    await done()
    await it.look()
    expect(await db.query('select from hubspot_private.deliveries union all select from hubspot_private.delivery_changes')).toEqual([])
  } finally {
    older.release()
    newer.release()
  }
})

test('is given nothing of a record that is forgotten while its changes are being copied, or the other way round', async () => {
  await using it = await prepared('tasks_forgotten')
  const { db } = it
  const [copying, forgetting] = [await db.pool.connect(), await db.pool.connect()]
  try {
    const forget = () => forgetting.query(`select hubspot_private.changes_forget('contacts', '{1}')`)
    const secrets = () => db.query(`select from hubspot_private.delivery_changes where change::text like '%secret%'
      union all select from graphile_worker._private_jobs where payload::text like '%secret%' union all select from hubspot_private.deliveries`)
    await it.write([1], 'secret')
    await allFinal(db)
    await copying.query('begin')
    await copying.query('select hubspot_private.deliver_step($1)', [it.id])
    let isOver = false
    const forgotten = forget().finally(() => (isOver = true))
    while (!isOver && (await db.query(`select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`)).length === 0) continue
    await copying.query('commit')
    await forgotten
    expect(await secrets()).toEqual([])

    await it.write([1], 'secret')
    await allFinal(db)
    await forgetting.query('begin')
    await forget()
    // It does not wait: it comes again.
    await it.look()
    await forgetting.query('commit')
    await it.look()
    expect(await secrets()).toEqual([])
    expect(await db.query(`select from graphile_worker.jobs where key = 'hubspot:deliver:${it.id}:again'`)).toHaveLength(1)
  } finally {
    copying.release()
    forgetting.release()
  }
})
