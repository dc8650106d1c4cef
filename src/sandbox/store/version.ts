/**
 * What a record was from one write to the next. Versions never change: the store points at the newest,
 * the search index at the last one it has learned of, and each at the one before it, which is the history.
 */
export interface Version {
  readonly id: number
  /** Counts the writes of the whole sandbox; 0 for a generated record that nobody touched. */
  readonly seq: number
  /** Epoch ms of that write, whatever time it gave the record; -Infinity for a generated one. */
  readonly writtenAt: number
  /** Epoch ms. */
  readonly createdAt: number
  readonly updatedAt: number
  /** Epoch ms; null: live. */
  readonly archivedAt: number | null
  /** Whether it was removed without a trace, or lost to a merge. */
  readonly gone: boolean
  /** The record that it was merged into. */
  readonly mergedInto: number | null
  /** Whether properties without a value of their own have a generated one. */
  readonly filled: boolean
  /** Values that were written; null: none. */
  readonly own: Readonly<Record<string, string | null>> | null
  readonly before: Version | null
}

/** What a record was at a time, epoch ms; undefined: not there yet. */
export function versionAt(newest: Version | undefined, at: number): Version | undefined {
  let version: Version | null | undefined = newest
  while (version && version.writtenAt > at) version = version.before
  return version ?? undefined
}

/** Whether lists and search may show it. */
export function isLive(version: Version): boolean {
  return version.archivedAt === null && !version.gone
}

const day = 86_400_000
const days = new Map<number, string>()
const two = Array.from({ length: 60 }, (_, number) => String(number).padStart(2, '0'))

/**
 * ISO 8601 in UTC; HubSpot leaves the milliseconds out on whole seconds, as recorded answers show.
 * Half of a page is times, so the dates are remembered: this takes a quarter of what Date does.
 */
export function isoTime(ms: number, zeroMillis: 'omit' | 'keep' = 'omit'): string {
  const number = Math.floor(ms / day)
  let date = days.get(number)
  if (date === undefined) {
    date = new Date(number * day).toISOString().slice(0, -13)
    if (days.size < 20_000) days.set(number, date)
  }
  const rest = ms - number * day
  const minute = Math.floor(rest / 60_000)
  const millis = rest % 1000
  const time = `${date}${two[Math.floor(minute / 60)]}:${two[minute % 60]}:${two[Math.floor(rest / 1000) % 60]}`
  if (millis === 0 && zeroMillis === 'omit') return `${time}Z`
  return `${time}.${millis < 10 ? '00' : millis < 100 ? '0' : ''}${millis}Z`
}
