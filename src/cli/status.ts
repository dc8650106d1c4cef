import { type Database, isConnectionLost, openDatabase } from '../db/database.ts'
import { printable } from '../lib/printable.ts'
import { sleep } from '../lib/time.ts'
import { command, duration, flag, value } from './support/command.ts'
import { databaseUrl } from './support/environment.ts'
import { checkInstalled } from './support/installed.ts'
import { hideCursor, type Out, paint, Picture } from './support/screen.ts'
import { page, type Status } from './support/status-page.ts'

/** `pg-hubspot status`. */
export const status = command({
  name: 'status',
  summary: 'Shows each object: state, rows, progress, how late it is, and what is wrong.',
  about: `
The same as table hubspot.status, with what hubspot.health() finds wrong below it: no worker, no account, something parked. A role
that was given hubspot.grant_read() may run it. lag: since the last poll began. complete until: HubSpot's time up to which every change
of a record is here, those that its search index shows late too.

--watch shows it again and again, with budgets, workers and open problems: on a terminal in place, elsewhere one block after
another. It goes on while the database is away. Ctrl-C ends it: 0.`,
  options: {
    watch: flag('Show it again and again, until Ctrl-C.', 'w'),
    interval: value('TIME', duration, 'With --watch: how often; 2s by default, 100ms at least.'),
    json: flag('Print JSON: objects, health, quota, problems, workers; one line each time.'),
  },
  endsInOrder: true,
  async run({ options: { watch, interval = 2_000, json }, env, signal }) {
    await using db = openDatabase(databaseUrl(env), { max: 1, applicationName: 'pg-hubspot status' })
    await until(signal, checkInstalled(db))
    if (watch) return await watchStatus(db, { intervalMs: interval, json, signal })
    const seen = await until(signal, look(db))
    console.log(json ? JSON.stringify(seen) : page(seen))
  },
})

/** How to watch, and where to show it. */
export type Watching = { intervalMs: number; json: boolean; signal: AbortSignal; out?: Out }

/** Shows the status again and again until the signal, then leaves the last picture as it stands. */
export async function watchStatus(db: Database, { intervalMs, json, signal, out = process.stdout }: Watching): Promise<void> {
  const picture = new Picture(out, 0)
  using _ = hideCursor(out)
  let last: Status | undefined
  while (!signal.aborted) {
    const began = performance.now()
    const seen = await until(signal, look(db)).catch((error: unknown) => {
      if (signal.aborted) return undefined
      if (!isConnectionLost(error)) throw error
      return error as Error
    })
    if (seen === undefined) break
    if (!(seen instanceof Error)) last = seen
    if (json) out.write(`${JSON.stringify(seen instanceof Error ? { error: seen.message } : seen)}\n`)
    else {
      const text = [
        ...(last === undefined ? [] : [page(last, { all: true, out })]),
        ...(seen instanceof Error ? [`${paint('red', '!', out)} the database is away: ${printable(seen.message)}. It is asked again.`] : []),
      ].join('\n\n')
      if (out.isTTY) picture.show(text)
      else out.write(`${text}\n\n`)
    }
    await sleep(Math.max(intervalMs, 100) - (performance.now() - began), signal).catch(() => undefined)
  }
}

/** Ends with the signal, whatever the promise does. */
async function until<T>(signal: AbortSignal, promise: Promise<T>): Promise<T> {
  signal.throwIfAborted()
  const over = Promise.withResolvers<never>()
  const abort = () => over.reject(signal.reason as Error)
  signal.addEventListener('abort', abort, { once: true })
  promise.catch(() => undefined)
  return await Promise.race([promise, over.promise]).finally(() => signal.removeEventListener('abort', abort))
}

/** Reads the status views. */
async function look({ pool }: Database): Promise<Status> {
  const { rows } = await pool.query<{ seen: Status }>(`
    select jsonb_build_object(
      'at', clock_timestamp(),
      'objects', (select coalesce(jsonb_agg(jsonb_build_object(
          'object', s.object, 'state', s.state, 'rows', s.rows, 'progress', s.progress,
          'eta_seconds', extract(epoch from s.eta), 'lag_seconds', extract(epoch from s.lag), 'complete_until', s.complete_until,
          'found_by_settle', s.found_by_settle, 'problems', s.problems, 'last_error', s.last_error) order by s.object), '[]') from hubspot.status s),
      'health', (select jsonb_agg(jsonb_build_object('name', h.name, 'ok', h.ok, 'message', h.message, 'hint', h.hint)) from hubspot.health() h),
      'quota', (select jsonb_agg(jsonb_build_object('budget', q.budget, 'max_requests', q.max_requests,
          'period_seconds', extract(epoch from q.period), 'used', q.used, 'remaining', q.remaining, 'throttled_count', q.throttled_count,
          'waiting', q.waiting) order by q.budget) from hubspot.quota q),
      'problems', (select coalesce(jsonb_agg(to_jsonb(p)), '[]') from (
          select object, record_id, property, code, message, hint, count from hubspot.problems
          where resolved_at is null order by last_seen_at desc limit 5) p),
      'workers', (select coalesce(jsonb_agg(jsonb_build_object('id', w.id, 'host', w.host, 'pid', w.pid, 'started_at', w.started_at,
          'streams', w.streams) order by w.started_at, w.id), '[]') from hubspot.workers w)) as seen`)
  return rows[0]!.seen
}
