import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import type { Figure } from './support/figure.ts'
import { openHouse } from './support/house.ts'

const CHANGES = Number(process.env['BENCH_RECORDS'] ?? 100_000)
const RECORDS = 5_000
const root = new URL('../', import.meta.url).pathname

/**
 * 100,000 changes written by several transactions at once, some slow, a tenth rolled back, while three subscribers get them: a
 * function, a task of a graphile-worker of its own, and a reader of changes_after. Worker and task process are killed throughout.
 */
export async function run(): Promise<Figure[]> {
  await using house = await openHouse()
  await house.db.pool.query(`create table got (n bigserial, who text, record_id bigint, change_id bigint, op text, changed jsonb);
    create function note(change hubspot.changes) returns void language sql as
      $$ insert into public.got (who, record_id, change_id) values ('function', change.record_id, change.id) $$`)
  await house.db.pool.query(`select hubspot.track('contacts'), hubspot.on_change('contacts', function_name => 'note'), hubspot.on_change('contacts', task => 'note'),
    hubspot_private.changes_keep()`)
  const began = performance.now()
  let kills = 0
  let isDone = false
  const count = async (text: string) => Number((await house.db.pool.query<{ n: string }>(`select ${text} as n`)).rows[0]!.n)
  const taken = (who: string) => count(`(select coalesce(max(n), 0) from got where who = '${who}')`)
  const killed = async (who: string, start: () => ChildProcess, free: () => Promise<unknown>) => {
    let child = start()
    while (!isDone) {
      // In the middle of its work, however long it takes to start.
      for (const before = await taken(who); !isDone && (await taken(who)) === before; ) await sleep(200)
      await sleep(Math.random() * 1_500)
      const ended = once(child, 'exit')
      child.kill('SIGKILL')
      await ended
      await free()
      kills += 1
      if (!isDone) child = start()
    }
  }
  const env = { ...process.env, DATABASE_URL: house.url, HUBSPOT_API_URL: 'http://127.0.0.1:9' }
  const node = (...args: string[]) => () => spawn(process.execPath, args, { cwd: root, env, stdio: 'ignore' })
  const killing = Promise.all([
    killed('function', node('src/cli.ts', 'worker'), async () => undefined),
    killed('task', node('test/support/task-worker.ts', house.url), () => house.db.pool.query(
      `select graphile_worker.force_unlock_workers(array(select distinct locked_by from graphile_worker.jobs where task_identifier = 'note' and locked_by is not null))`)),
  ])
  const reading = readAll(house.url, () => isDone)
  await Promise.all(Array.from({ length: 8 }, (_, n) => writeSome(house.url, n)))
  const writtenMs = performance.now() - began
  while ((await count('(select count(*) from hubspot_private.deliveries)')) > 0 || (await count(`(select count(*) from hubspot.change_subscriptions where lag is not null)`)) > 0) await sleep(500)
  const ms = performance.now() - began
  isDone = true
  const read = await reading
  await killing
  const written = await count('(select count(*) from hubspot.changes)')
  const figures: Figure[] = []
  for (const who of ['function', 'task']) {
    const missed = await count(`(select count(*) from hubspot.changes c where not exists (select from got g where g.who = '${who}' and g.change_id = c.id))`)
    const unreal = await count(`(select count(*) from got g where g.who = '${who}' and not exists (select from hubspot.changes c where c.id = g.change_id))`)
    const back = await count(`(select count(*) from (
      select f.change_id < lag(f.change_id) over (partition by f.record_id order by f.n) as is_back
      from (select record_id, change_id, min(n) as n from got where who = '${who}' group by 1, 2) f) x where is_back)`)
    const again = await count(`(select count(*) - count(distinct change_id) from got where who = '${who}')`)
    figures.push({ number: 16, name: `changes that a ${who} missed, got out of order, or that were rolled back`, value: missed + unreal + back, unit: 'rows', goal: { most: 0 },
      from: `${written} changes of ${RECORDS} records, ${again} came again; ${kills} SIGKILLs; ${Math.round(ms / 1_000)} s, written in ${Math.round(writtenMs / 1_000)}` })
  }
  const { rows } = await house.db.pool.query<{ id: string }>('select id from hubspot.changes')
  const missed = rows.filter(({ id }) => !read.has(id)).length
  figures.push({ number: 16, name: 'changes that a reader of changes_after missed, or got twice', value: missed + Math.abs(read.size - rows.length) + read.again, unit: 'rows', goal: { most: 0 },
    from: `${read.size} read beside 8 writers` })
  return figures
}

/** Batches in transactions that last up to a tenth of a second; one of ten is rolled back. */
async function writeSome(url: string, n: number): Promise<void> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  for (let left = CHANGES / 8, i = 0; left > 0; i += 1) {
    const isKept = i % 10 !== 9
    await client.query('begin')
    await client.query(`insert into hubspot.changes (at, object, record_id, op, changed)
      select now(), 'contacts', 1 + ((g + ${i} * 131) * 8 + ${n}) % ${RECORDS}, 'update', '{"firstname": ["a", "b"]}' from generate_series(1, 50) g`)
    if (i % 7 === n % 7) await client.query('select pg_sleep(random() / 10)')
    await client.query(isKept ? 'commit' : 'rollback')
    if (isKept) left -= 50
  }
  await client.end()
}

async function readAll(url: string, isDone: () => boolean): Promise<Set<string> & { again: number }> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  const read = Object.assign(new Set<string>(), { again: 0 })
  for (let after: string | null = null, isLast = false; ; isLast = isDone()) {
    const { rows }: { rows: { id: string; next_after: string }[] } = await client.query('select id, next_after from hubspot.changes_after($1)', [after])
    for (const { id } of rows) {
      if (read.has(id)) read.again += 1
      read.add(id)
    }
    if (rows.length > 0) after = rows.at(-1)!.next_after
    else if (isLast) break
    else await sleep(50)
  }
  await client.end()
  return read
}
