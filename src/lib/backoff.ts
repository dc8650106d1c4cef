/** The shortest wait between two tries, in milliseconds. */
export const BACKOFF_FIRST_MS = 1_000
/** The longest wait between two tries, in milliseconds. */
export const BACKOFF_LAST_MS = 3_600_000

/**
 * Milliseconds to wait after the `attempt`-th failure in a row (1 is the first): doubling from 1 s
 * to 1 h. The n-th wait lies evenly in [step, 2 · step) with step = 1 s · 2^(n−1), at most half an
 * hour, so that it is jittered at both ends and never leaves its bounds.
 */
export function backoffMs(attempt: number, { random = Math.random }: { random?: () => number } = {}): number {
  // beyond 40 doublings a double is still exact, and nobody needs more to reach half an hour
  const doublings = Math.min(Math.max(Math.trunc(attempt) || 1, 1), 40) - 1
  const step = Math.min(BACKOFF_FIRST_MS * 2 ** doublings, BACKOFF_LAST_MS / 2)
  return step + Math.floor(random() * step)
}
