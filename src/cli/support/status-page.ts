import { printableAll } from '../../lib/printable.ts'
import { formatDuration } from '../../lib/time.ts'
import { bar, columns, count, type Out, paint } from './screen.ts'

/** What `status --json` prints. */
export type Status = {
  at: string
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
  quota: { budget: string; max_requests: number; period_seconds: number; used: number; remaining: number; throttled_count: number; waiting: string[] }[]
  /** The latest that are open, as many as fit on a screen. */
  problems: { object: string | null; record_id: number | null; property: string | null; code: string; message: string; hint: string | null; count: number }[]
  workers: { id: string; host: string; pid: number; started_at: string; streams: number }[]
}

const COLOURS: Record<string, Parameters<typeof paint>[0]> = { live: 'green', 'list only': 'green', parked: 'red', paused: 'yellow' }

/** The objects as a table, and what is wrong below it; `all`: budgets, workers and problems too. */
export function page(seen: Status, { all = false, out = process.stdout }: { all?: boolean; out?: Out } = {}): string {
  // Messages quote values of records, and names are HubSpot's.
  const status = printableAll(seen)
  const { health } = status
  // Whether secrets are stored is a matter of taste, not of the hour; problems are told one by one.
  const wrong = health.filter(({ name, ok }) => !ok && name !== 'secrets' && !(all && name === 'problems'))
  const notices = wrong.map(({ name, message, hint }) => `${paint('yellow', '!', out)} ${name}: ${message}${hint === null ? '' : `. ${hint}`}`)
  const parts = [objectTable(status, all, out), ...(all ? [budgets(status), workers(status), problems(status, out)] : []), notices]
  return parts.filter((lines) => lines.length > 0).map((lines) => lines.join('\n')).join('\n\n')
}

function objectTable({ objects }: Status, all: boolean, out: Out): string[] {
  if (objects.length === 0) return ["No object is tracked: select hubspot.track('contacts');"]
  const isLoading = all && objects.some(({ progress }) => progress < 1)
  const head = ['object', 'state', 'rows', 'progress', 'eta', 'lag', 'complete until', 'last error']
  const rows = objects.map((o) => [
    o.object,
    paint(COLOURS[o.state] ?? 'reset', o.state, out),
    count(o.rows),
    `${isLoading ? `${bar(o.progress, 16)} ` : ''}${`${Math.floor(o.progress * 1_000) / 10} %`.padStart(6)}`,
    o.eta_seconds === null ? '' : formatDuration(o.eta_seconds * 1_000),
    o.lag_seconds === null ? '' : formatDuration(o.lag_seconds * 1_000),
    o.complete_until?.slice(0, 19).replace('T', ' ') ?? '',
    o.problems === 0 ? '' : `${o.last_error ?? ''}${o.problems > 1 ? ` (and ${o.problems - 1} more)` : ''}`,
  ])
  return columns([head.map((name) => paint('bold', name, out)), ...rows], [2, 3, 4, 5]).split('\n')
}

function budgets({ quota }: Status): string[] {
  const rows = quota.map((q) => [
    q.budget,
    `${count(q.max_requests)} per ${formatDuration(q.period_seconds * 1_000)}`,
    q.budget === 'daily' ? `${bar(q.used / q.max_requests, 16)} ${count(q.used)} used, ${count(q.remaining)} left` : '',
    q.throttled_count > 0 ? `${count(q.throttled_count)} refused` : '',
    q.waiting.length > 0 ? `${q.waiting.join(', ')} waiting` : '',
  ])
  return columns(rows).split('\n')
}

function workers({ workers: all }: Status): string[] {
  return columns(all.map(({ host, pid, streams }) => [`worker ${pid} on ${host}`, `reads ${streams} ${streams === 1 ? 'stream' : 'streams'}`])).split('\n').filter(Boolean)
}

function problems({ problems: open }: Status, out: Out): string[] {
  return open.flatMap(({ object, record_id, property, code, message, hint, count: times }) => {
    const where = [object ?? 'account', record_id, property].filter((part) => part !== null).join(' ')
    const line = `${paint('red', code, out)} ${where}: ${message}${times > 1 ? ` (${count(times)} times)` : ''}`
    return hint === null ? [line] : [line, `  ${hint}`]
  })
}
