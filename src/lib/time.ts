import { performance } from 'node:perf_hooks'
import { Misuse } from './errors.ts'

// setTimeout takes a signed 32-bit number and fires at once beyond it
const LONGEST_TIMER_MS = 2 ** 31 - 1

/**
 * Resolves once at least `ms` milliseconds have passed by the monotonic clock, never sooner, however
 * long it is; Infinity waits for the signal alone. Rejects with the signal's reason when it is aborted.
 */
export async function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  const until = performance.now() + ms
  signal?.throwIfAborted()
  // Node's timers count whole milliseconds from a cached time and do fire early: look again
  for (let left = ms; left > 0; left = until - performance.now()) {
    await timer(Math.min(Math.ceil(left), LONGEST_TIMER_MS), signal)
  }
}

function timer(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const abort = () => {
      clearTimeout(timeout)
      reject(signal?.reason as Error)
    }
    const timeout = setTimeout(() => {
      signal?.removeEventListener('abort', abort)
      resolve()
    }, ms)
    signal?.addEventListener('abort', abort, { once: true })
  })
}

const UNITS = [
  ['w', 604_800_000, /^(w|weeks?)$/],
  ['d', 86_400_000, /^(d|days?)$/],
  ['h', 3_600_000, /^(h|hrs?|hours?)$/],
  ['min', 60_000, /^(m|mins?|minutes?)$/],
  ['s', 1_000, /^(s|secs?|seconds?)$/],
  ['ms', 1, /^(ms|milliseconds?)$/],
] as const

/**
 * Milliseconds of a duration as people write it: `10 min`, `1h30m`, `2 days`, `1.5 s`, `500ms`.
 * Misuse SH104 for anything else, a number without a unit too.
 */
export function parseDuration(text: string): number {
  const parts = [...text.trim().toLowerCase().matchAll(/(\d+(?:\.\d+)?)\s*([a-z]+)[\s,]*/gy)]
  const read = parts.reduce((length, [part]) => length + part.length, 0)
  const ms = parts.reduce((sum, [, count, unit]) => {
    const known = UNITS.find(([, , names]) => names.test(unit ?? ''))
    return sum + Number(count) * (known?.[1] ?? Number.NaN)
  }, 0)
  if (parts.length === 0 || read !== text.trim().length || !Number.isFinite(ms)) {
    throw new Misuse('SH104', `"${text}" is not a duration`, { hint: "Write it as '10 min', '1h30m' or '500 ms'." })
  }
  return Math.round(ms)
}

/** A duration in its two largest units, for people: `2 d 3 h`, `4 min 10 s`, `3.2 s`, `250 ms`. */
export function formatDuration(ms: number): string {
  if (ms < 999.5) return `${Math.max(Math.round(ms), 0)} ms`
  if (ms < 9_950) return `${(ms / 1_000).toFixed(1).replace(/\.0$/, '')} s`
  if (ms < 59_500) return `${Math.round(ms / 1_000)} s`
  const units = UNITS.slice(1, 5)
  const first = units.findIndex(([, size]) => ms >= size || size === 60_000)
  const [[large, largeMs], [small, smallMs]] = [units[first]!, units[first + 1]!]
  // rounded by the smaller unit first, so that 59.9 s after a minute is 2 min and not 1 min 60 s
  const rounded = Math.round(ms / smallMs) * smallMs
  if (first > 0 && rounded >= units[first - 1]![1]) return formatDuration(rounded)
  const rest = Math.round((rounded % largeMs) / smallMs)
  return `${Math.floor(rounded / largeMs)} ${large}${rest === 0 ? '' : ` ${rest} ${small}`}`
}
