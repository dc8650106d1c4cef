import { setTimeout as sleep } from 'node:timers/promises'
import { type Database, openDatabase } from '../db/database.ts'
import { Misuse } from '../lib/errors.ts'
import { formatDuration } from '../lib/time.ts'
import { command, duration, flag, value } from './support/command.ts'
import { databaseUrl } from './support/environment.ts'
import { columns, count, paint, Picture } from './support/screen.ts'

/** `pg-hubspot status`. */
export const status = command({
  name: 'status',
  summary: 'Shows each object: state, rows, progress, how late it is, and what is wrong.',
  about: `
The same as table hubspot.status, with what hubspot.health() finds wrong below it: no worker, no account, something parked. A role
that was given hubspot.grant_read() may run it. lag: since the last poll began. complete until: HubSpot's time up to which even its late
search index is read.`,
  options: {
    watch: flag('Show it again and again, until Ctrl-C.', 'w'),
    every: value('TIME', duration, 'With --watch: how often; 1s by default.'),
    json: flag('Print JSON: objects, health, quota; one line each time.'),
  },
  async run({ options: { watch, every = 1_000, json }, env }) {
    await using db = openDatabase(databaseUrl(env), { max: 1, applicationName: 'pg-hubspot status' })
    await checkInstalled(db)
    const picture = new Picture(process.stdout, 0)
    for (;;) {
      const seen = await look(db)
      if (json) console.log(JSON.stringify(seen))
      else if (watch) picture.show(page(seen))
      else console.log(page(seen))
      if (!watch) return
      await sleep(Math.max(every, 100))
    }
  },
})

/** What `status --json` prints. */
export type Status = {
  objects: {
    object: string
    state: string
    rows: number
    progress: number
    eta_seconds: number | null
    lag_seconds: number | null
    complete_until: string | null
    found_by_settle: number
    problems: number
    last_error: string | null
  }[]
  health: { name: string; ok: boolean; message: string; hint: string | null }[]
  quota: { budget: string; max_requests: number; used: number; remaining: number }[]
}

/** Reads the status views. */
export async function look({ pool }: Database): Promise<Status> {
  const { rows } = await pool.query<{ seen: Status }>(`
    select jsonb_build_object(
      'objects', (select coalesce(jsonb_agg(jsonb_build_object(
          'object', s.object, 'state', s.state, 'rows', s.rows, 'progress', s.progress,
          'eta_seconds', extract(epoch from s.eta), 'lag_seconds', extract(epoch from s.lag), 'complete_until', s.complete_until,
          'found_by_settle', s.found_by_settle, 'problems', s.problems, 'last_error', s.last_error) order by s.object), '[]') from hubspot.status s),
      'health', (select jsonb_agg(jsonb_build_object('name', h.name, 'ok', h.ok, 'message', h.message, 'hint', h.hint)) from hubspot.health() h),
      'quota', (select jsonb_agg(jsonb_build_object(
          'budget', q.budget, 'max_requests', q.max_requests, 'used', q.used, 'remaining', q.remaining)) from hubspot.quota q)) as seen`)
  return rows[0]!.seen
}

/** A reader cannot see hubspot_private, so that the installation is known by its view. */
async function checkInstalled({ pool }: Database): Promise<void> {
  const { rows } = await pool.query<{ is_there: boolean }>(
    `select exists (select from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname = 'hubspot' and c.relname = 'status') as is_there`,
  )
  if (rows[0]?.is_there !== true) throw new Misuse('SH003', 'pg-hubspot is not installed in this database', { hint: 'Run: npx pg-hubspot install' })
}

const COLOURS: Record<string, Parameters<typeof paint>[0]> = { live: 'green', 'list only': 'green', parked: 'red', paused: 'yellow' }

/** The table, and what is wrong below it. */
export function page({ objects, health }: Status): string {
  const head = ['object', 'state', 'rows', 'progress', 'eta', 'lag', 'complete until', 'last error']
  const rows = objects.map((o) => [
    o.object,
    paint(COLOURS[o.state] ?? 'reset', o.state),
    count(o.rows),
    `${Math.floor(o.progress * 1_000) / 10} %`,
    o.eta_seconds === null ? '' : formatDuration(o.eta_seconds * 1_000),
    o.lag_seconds === null ? '' : formatDuration(o.lag_seconds * 1_000),
    o.complete_until?.slice(0, 19).replace('T', ' ') ?? '',
    o.problems === 0 ? '' : `${o.last_error ?? ''}${o.problems > 1 ? ` (and ${o.problems - 1} more)` : ''}`,
  ])
  const table = objects.length === 0 ? "No object is tracked: select hubspot.track('contacts');" : columns([head.map((name) => paint('bold', name)), ...rows], [2, 3, 4, 5])
  // Whether secrets are stored is a matter of taste, not of the hour.
  const wrong = health.filter(({ name, ok }) => !ok && name !== 'secrets')
  const notices = wrong.map(({ name, message, hint }) => `${paint('yellow', '!')} ${name}: ${message}${hint === null ? '' : `. ${hint}`}`)
  return [table, ...(notices.length > 0 ? ['', ...notices] : [])].join('\n')
}
