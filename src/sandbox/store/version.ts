/**
 * What a record was from one write to the next. Versions never change: the store points at the newest,
 * the search index at the last one it has learned of, and each at the one before it, which is the history.
 */
export interface Version {
  readonly id: number
  /** Counts the writes of the whole sandbox; 0 for a generated record that nobody touched. */
  readonly seq: number
  /** Epoch ms. */
  readonly createdAt: number
  readonly updatedAt: number
  /** Epoch ms; null: live. */
  readonly archivedAt: number | null
  /** Whether it was removed without a trace. */
  readonly gone: boolean
  /** Whether properties without a value of their own have a generated one. */
  readonly filled: boolean
  /** Values that were written; null: none. */
  readonly own: Readonly<Record<string, string | null>> | null
  readonly before: Version | null
}

/** Whether lists and search may show it. */
export function isLive(version: Version): boolean {
  return version.archivedAt === null && !version.gone
}

/** ISO 8601 in UTC; HubSpot leaves the milliseconds out on whole seconds, as recorded answers show. */
export function isoTime(ms: number, zeroMillis: 'omit' | 'keep' = 'omit'): string {
  const text = new Date(ms).toISOString()
  return zeroMillis === 'omit' && ms % 1000 === 0 ? `${text.slice(0, -5)}Z` : text
}
