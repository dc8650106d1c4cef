import { expect, test } from 'vitest'
import { startSandbox } from '../src/sandbox/index.ts'
import { startCli } from './support/cli.ts'
import { freshDatabase } from './support/cluster.ts'
import { differences } from './support/compare.ts'

// Four worker processes, what each commits noted by a trigger of the test's own on the streams.

const COUNTS = { contacts: 9_000, deals: 5_000, companies: 3_000 }
/** Pages that a worker may have asked for and not committed, of each stream that it holds. */
const IN_FLIGHT = 2

type Commit = { n: number; holder: string; object: string; stream: string; range: number; epoch: number; was: string }

test('four workers share the work; one that is killed and one that is frozen are replaced within the lease, and nothing runs twice', { timeout: 90_000 }, async () => {
  await using db = await freshDatabase('workers')
  await using sandbox = await startSandbox({ objects: COUNTS, settings: { limits: false, lag: 0, latency: [150, 250], callsKept: 20_000 } })
  const { store } = sandbox
  await db.query(`select hubspot.connect($1), hubspot.set_quota('burst', 1000000), hubspot.set_quota('search', 1000),
    hubspot.configure('max_ranges', 4)`, [sandbox.token])
  await db.query(`create table public.commits (
      n integer generated always as identity, holder text, object text, stream text, range integer, run_id bigint, epoch bigint, was jsonb);
    create function public.note() returns trigger language plpgsql as $$ begin
      insert into public.commits (holder, object, stream, range, run_id, epoch, was)
      values (old.holder, new.object, new.stream, new.range, old.run_id, new.epoch, old.cursor);
      return null;
    end $$;
    create trigger note after update on hubspot_private.streams for each row
      when (old.cursor is distinct from new.cursor and old.epoch = new.epoch) execute function public.note()`)
  const commits = () => db.query<Commit>('select n, holder, object, stream, range, epoch::float8, was::text from public.commits order by n')
  const until = async (text: string, values: unknown[] = []) => {
    while ((await db.query(text, values)).length === 0) await moment(50)
  }
  const start = async () => {
    const running = startCli(['worker', '--concurrency', '3'], { env: { DATABASE_URL: db.url, HUBSPOT_API_URL: sandbox.url } })
    await running.said(/"worker started"/)
    const [worker] = await db.query<{ id: string }>('select id from hubspot_private.workers where pid = $1', [running.child.pid])
    return { ...running, id: worker!.id, signal: (name: NodeJS.Signals) => running.child.kill(name) }
  }
  const all = await Promise.all(Array.from({ length: 4 }, start))
  try {
    for (const object of Object.keys(COUNTS)) await db.query(`select hubspot.track($1, '{createdate}')`, [object])

    // Each of them has its share of the steps before anything happens.
    for (const { id } of all) await until(`select from public.commits where holder = $1 and stream = 'backfill' offset 3`, [id])
    const parts = (id: string) =>
      db.query<{ object: string; range: number }>(`select object, range from hubspot_private.streams where holder = $1 and stream = 'backfill' and lease_until > now()`, [id])
    const [killed, frozen] = [all[0]!, all[1]!]
    for (const { id } of [killed, frozen]) await until(`select from hubspot_private.streams where holder = $1 and stream = 'backfill' and lease_until > now()`, [id])
    killed.signal('SIGKILL')
    frozen.signal('SIGSTOP')
    const before = performance.now()
    const held = [...(await parts(killed.id)), ...(await parts(frozen.id))]
    expect(held.length).toBeGreaterThanOrEqual(2)
    // As if it had stood still for a lease already. The killed one's lock is free: a sweep sees that.
    await db.query(`update hubspot_private.streams set lease_until = lease_until - interval '31 seconds' where holder = $1`, [frozen.id])
    await db.query(`update hubspot_private.workers set beat_at = beat_at - interval '31 seconds' where id = $1`, [frozen.id])
    await until(`select where not exists (
      select from hubspot_private.streams where holder = any ($1) and (lease_until > now() or run_id is not null))`, [[killed.id, frozen.id]])
    expect(performance.now() - before).toBeLessThan(30_000)
    expect(await db.query('select id from hubspot_private.workers where id = any ($1)', [[killed.id, frozen.id]])).toEqual([])

    frozen.signal('SIGCONT')
    for (const object of Object.keys(COUNTS)) await until(`select from hubspot.status where object = $1 and state = 'live'`, [object])
    // It is one of them again.
    await until('select from hubspot_private.workers where id = $1', [frozen.id])

    for (const [object, count] of Object.entries(COUNTS)) {
      expect(await db.query(`select state, rows_read::integer from hubspot.runs where object = $1 and stream = 'backfill'`, [object]))
        .toEqual([{ state: 'done', rows_read: count }])
      // By whichever stream came first.
      expect(await db.query('select sum(inserted)::integer as inserted from hubspot.runs where object = $1', [object])).toEqual([{ inserted: count }])
      expect(await differences(db, sandbox, object)).toEqual([])
      // No page twice but those in flight where a part was taken over.
      const pages = store.calls({ kind: 'list', object }).filter(({ archived }) => archived !== true).map(({ after }) => after)
      const taken = held.filter((part) => part.object === object).length
      expect(pages.length - new Set(pages).size, object).toBeLessThanOrEqual(taken * IN_FLIGHT)
    }
    const made = (await commits()).filter(({ stream }) => stream === 'backfill')
    expect(made.length).toBeGreaterThan(150)
    // No place was committed twice, and no lease committed after a later one of the same part had.
    expect(new Set(made.map((one) => `${one.object} ${one.range} ${one.was}`)).size).toBe(made.length)
    const epochs = new Map<string, number>()
    for (const { object, stream, range, epoch } of await commits()) {
      const part = `${object} ${stream} ${range}`
      expect(epoch, part).toBeGreaterThanOrEqual(epochs.get(part) ?? 0)
      epochs.set(part, epoch)
    }
    const share = (id: string) => made.filter(({ holder }) => holder === id).length / made.length
    for (const { id } of all.slice(2)) expect(share(id)).toBeGreaterThan(0.1)
    expect(await db.query('select code from hubspot.problems where resolved_at is null')).toEqual([])
  } finally {
    for (const one of all) await one[Symbol.asyncDispose]()
  }
})

const moment = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))
