import { setTimeout as sleep } from 'node:timers/promises'
import type { Database } from '../../db/database.ts'
import { Misuse } from '../../lib/errors.ts'
import { printable } from '../../lib/printable.ts'
import { formatDuration } from '../../lib/time.ts'
import { EXIT } from './command.ts'
import { bar, count, Picture } from './screen.ts'

/** A full read of an object, as hubspot.runs shows it, and what it may wait for. */
export type Run = {
  id: string
  object: string
  state: string
  requests: number
  rows_read: number
  inserted: number
  updated: number
  unchanged: number
  deleted: number
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

/** Shows how far a run is until it is over, or waits for someone. Misuse SH110 after `timeout` ms: it goes on. */
export async function follow(db: Database, id: string, timeout: number): Promise<Run> {
  const picture = new Picture(process.stderr)
  for (const until = performance.now() + timeout; ; await sleep(200)) {
    const { rows } = await db.pool.query<Run>(
      `select r.id, r.object, r.state, r.requests::integer, r.rows_read::integer, r.inserted::integer, r.updated::integer, r.unchanged::integer,
         r.deleted::integer, extract(epoch from r.finished_at - r.started_at)::double precision as seconds, r.error_code, r.error,
         coalesce(s.rows, 0)::integer as total, coalesce(s.state = 'parked', false) as is_parked, coalesce(s.state = 'paused', false) as is_paused,
         (select p.message from hubspot.problems p where p.object = r.object and p.code = 'SH216' and p.resolved_at is null and r.state = 'waiting' and r.requests > 0) as held,
         (select string_agg(format('%s: %s', h.name, h.message), '; ') from hubspot.health() h where h.name in ('identity', 'worker', 'account') and not h.ok) as obstacle
       from hubspot.runs r left join hubspot.status s on s.object = r.object where r.id = $1`,
      [id],
    )
    const [run] = rows
    if (run === undefined) throw new Misuse('SH101', `run ${id} is gone`, { hint: 'Was the object untracked? See: pg-hubspot status' })
    const isOver = ['done', 'failed', 'stopped'].includes(run.state)
    if (isOver || run.is_parked || run.is_paused || run.held !== null) {
      picture.end(printable(line(run)))
      return run
    }
    picture.show(printable(line(run)))
    if (performance.now() > until) {
      throw new Misuse('SH110', `timed out after ${formatDuration(timeout)}; run ${id} goes on`, { hint: `See: select * from hubspot.runs where id = ${id};` })
    }
  }
}

/** Says why a run that did not come to its end did not, and the exit code for it. */
export function explain({ id, object, state, error, held, is_parked, is_paused }: Run): number {
  const [why, what, code] =
    held !== null ? [`waits: ${held}`, `select hubspot.confirm_deletes(${id});`, EXIT.waits]
    : is_paused ? ['waits: the object is paused', `select hubspot.resume('${object}');`, EXIT.waits]
    : [
        `${is_parked ? 'waits: the object is parked' : state}${error === null ? '' : `: ${error}`}`,
        'select * from hubspot.problems where resolved_at is null;',
        is_parked ? EXIT.waits : EXIT.error,
      ]
  process.stderr.write(`pg-hubspot: run ${id} ${printable(why)}\n  ${printable(what)}\n`)
  return code
}

function line({ object, state, rows_read, total, inserted, updated, unchanged, deleted, seconds, obstacle }: Run): string {
  if (state === 'done') {
    const took = seconds === null ? '' : ` in ${formatDuration(seconds * 1_000)}`
    const gone = deleted > 0 ? `, ${count(deleted)} gone` : ''
    return `${object}: ${count(rows_read)} read${took}, ${count(inserted)} new, ${count(updated)} changed${gone}, ${count(unchanged)} as before`
  }
  const share = total > 0 ? Math.min(rows_read / total, 1) : 0
  return `${object} ${bar(share)} ${count(rows_read)} of ${count(total)} ${state}${obstacle === null ? '' : ` (${obstacle})`}`
}
