import { setTimeout as sleep } from 'node:timers/promises'
import { type Database, openDatabase } from '../db/database.ts'
import { Misuse } from '../lib/errors.ts'
import { formatDuration } from '../lib/time.ts'
import { command, duration, EXIT, flag, value } from './support/command.ts'
import { databaseUrl } from './support/environment.ts'
import { bar, count, Picture } from './support/screen.ts'

/** `pg-hubspot resync`. */
export const resync = command({
  name: 'resync',
  args: 'OBJECT',
  positionals: { least: 1, most: 1 },
  summary: 'Reads an object whole again, and writes what differs.',
  about: `
The same as select hubspot.resync('OBJECT'): a worker reads every record and compares values. It begins when the first load is
over. With --wait it shows how far it is and returns when it is done: 0, 1 when it failed, 2 when the object is parked, or when
so many rows are to be deleted that hubspot.confirm_deletes() has to say so.`,
  options: {
    wait: flag('Wait for its end.'),
    timeout: value('TIME', duration, 'With --wait: give up after this long; 1h by default. It goes on without you.'),
    json: flag('Print the run as JSON.'),
  },
  async run({ options: { wait, timeout = 3_600_000, json }, positionals: [object = ''], env }) {
    await using db = openDatabase(databaseUrl(env), { max: 2, applicationName: 'pg-hubspot resync' })
    const { rows } = await db.pool.query<{ id: string }>('select hubspot.resync($1) as id', [object])
    const { id } = rows[0]!
    if (!wait) {
      console.log(json ? JSON.stringify({ id: Number(id), object, state: 'queued' }) : `Run ${id} is queued: select * from hubspot.runs where id = ${id};`)
      return EXIT.ok
    }
    const run = await follow(db, id, timeout)
    const { obstacle: _, is_parked: __, is_paused: ___, held: ____, total: _____, ...figures } = run
    if (json) console.log(JSON.stringify({ ...figures, id: Number(run.id) }))
    if (run.state === 'done') return EXIT.ok
    if (run.held !== null) {
      process.stderr.write(`pg-hubspot: run ${id} waits: ${run.held}\n  select hubspot.confirm_deletes(${id});\n`)
      return EXIT.waits
    }
    if (run.is_paused) {
      process.stderr.write(`pg-hubspot: run ${id} waits: the object is paused\n  select hubspot.resume('${run.object}');\n`)
      return EXIT.waits
    }
    process.stderr.write(`pg-hubspot: run ${id} ${run.is_parked ? 'waits: the object is parked' : run.state}${run.error === null ? '' : `: ${run.error}`}\n  select * from hubspot.problems where resolved_at is null;\n`)
    return run.is_parked ? EXIT.waits : EXIT.error
  },
})

type Run = {
  id: string
  object: string
  state: string
  requests: number
  rows_read: number
  inserted: number
  updated: number
  unchanged: number
  seconds: number | null
  error_code: string | null
  error: string | null
  total: number
  is_parked: boolean
  is_paused: boolean
  /** Why it waits for hubspot.confirm_deletes(). */
  held: string | null
  obstacle: string | null
}

async function follow(db: Database, id: string, timeout: number): Promise<Run> {
  const picture = new Picture(process.stderr)
  for (const until = performance.now() + timeout; ; await sleep(200)) {
    const { rows } = await db.pool.query<Run>(
      `select r.id, r.object, r.state, r.requests::integer, r.rows_read::integer, r.inserted::integer, r.updated::integer, r.unchanged::integer,
         extract(epoch from r.finished_at - r.started_at)::double precision as seconds, r.error_code, r.error,
         coalesce(s.rows, 0)::integer as total, coalesce(s.state = 'parked', false) as is_parked, coalesce(s.state = 'paused', false) as is_paused,
         (select p.message from hubspot.problems p where p.object = r.object and p.code = 'SH216' and p.resolved_at is null and r.state = 'waiting' and r.requests > 0) as held,
         (select string_agg(format('%s: %s', h.name, h.message), '; ') from hubspot.health() h where h.name in ('worker', 'account') and not h.ok) as obstacle
       from hubspot.runs r left join hubspot.status s on s.object = r.object where r.id = $1`,
      [id],
    )
    const [run] = rows
    if (run === undefined) throw new Misuse('SH101', `run ${id} is gone`, { hint: 'Was the object untracked? See: pg-hubspot status' })
    const isOver = ['done', 'failed', 'stopped'].includes(run.state)
    if (isOver || run.is_parked || run.is_paused || run.held !== null) {
      picture.end(line(run))
      return run
    }
    picture.show(line(run))
    if (performance.now() > until) {
      throw new Misuse('SH110', `timed out after ${formatDuration(timeout)}; run ${id} goes on`, { hint: `See: select * from hubspot.runs where id = ${id};` })
    }
  }
}

function line({ object, state, rows_read, total, inserted, updated, unchanged, seconds, obstacle }: Run): string {
  if (state === 'done') {
    const took = seconds === null ? '' : ` in ${formatDuration(seconds * 1_000)}`
    return `${object}: ${count(rows_read)} read${took}, ${count(inserted)} new, ${count(updated)} changed, ${count(unchanged)} as before`
  }
  const share = total > 0 ? Math.min(rows_read / total, 1) : 0
  return `${object} ${bar(share)} ${count(rows_read)} of ${count(total)} ${state}${obstacle === null ? '' : ` (${obstacle})`}`
}
