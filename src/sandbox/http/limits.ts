import type { Settings } from '../settings.ts'
import type { CallKind } from '../types.ts'
import type { Clock } from '../store/clock.ts'

/** The limit that refuses a call. */
export type Policy = 'burst' | 'secondly' | 'search' | 'daily'

/** A call was let through, or refused by a limit; with the headers that tell where the limits stand. */
export interface Admission {
  readonly refusedBy: Policy | null
  readonly headers: Readonly<Record<string, string>>
}

/** Counts calls as they arrive. */
export interface Limits {
  /** Counts a call of a token, and says whether it may pass. */
  admit(token: string, kind: CallKind): Admission
  /** Calls of the account's current day. */
  usedToday(): number
  /** When the current day ends, epoch ms. */
  resetsAt(): number
  /** Forgets every count. */
  reset(): void
}

/** The limits of one account: strict rolling windows, nothing smoothed, nothing forgiven. */
export function createLimits(settings: Readonly<Settings>, clock: Clock): Limits {
  const bursts = new Map<string, Window>()
  let searches = createWindow()
  let day = { name: '', used: 0 }

  const now = () => (settings.limitClock === 'sandbox' ? clock.now() : performance.now())
  const today = () => {
    const name = dayName(clock.now(), settings.timeZone)
    if (name !== day.name) day = { name, used: 0 }
    return day
  }
  const burstOf = (token: string) => {
    const window = bursts.get(token) ?? createWindow()
    bursts.set(token, window)
    return window
  }

  return {
    admit(token, kind) {
      const search = kind === 'search'
      const exempt = kind === 'associations' && settings.associationsCount === 'daily'
      const at = now()
      const daily = today()
      const window = search ? searches : exempt ? createWindow() : burstOf(token)
      const secondly = Math.max(1, Math.floor(settings.burst / 10))
      const used = () => window.count(at, search ? settings.searchWindow : settings.burstWindow)
      let refusedBy: Policy | null = null
      if (daily.used >= settings.daily) refusedBy = 'daily'
      else if (search && used() >= settings.search) refusedBy = 'search'
      else if (!search && used() >= settings.burst) refusedBy = 'burst'
      else if (!search && settings.bindSecondly && window.count(at, 1000, false) >= secondly) refusedBy = 'secondly'
      if (!settings.limits) refusedBy = null
      if (!refusedBy || settings.countThrottled) {
        window.add(at)
        daily.used++
      }
      const headers: Record<string, string> = {
        'X-HubSpot-RateLimit-Daily': String(settings.daily),
        'X-HubSpot-RateLimit-Daily-Remaining': String(Math.max(0, settings.daily - daily.used)),
      }
      // Recorded answers to searches carry the daily pair alone.
      if (!search && !exempt) {
        headers['X-HubSpot-RateLimit-Interval-Milliseconds'] = String(settings.burstWindow)
        headers['X-HubSpot-RateLimit-Max'] = String(settings.burst)
        headers['X-HubSpot-RateLimit-Remaining'] = String(Math.max(0, settings.burst - used()))
        headers['X-HubSpot-RateLimit-Secondly'] = String(secondly)
        headers['X-HubSpot-RateLimit-Secondly-Remaining'] = String(Math.max(0, secondly - window.count(at, 1000, false)))
      }
      return { refusedBy, headers }
    },
    usedToday: () => today().used,
    resetsAt() {
      const start = clock.now()
      const name = dayName(start, settings.timeZone)
      let [low, high] = [start, start + 26 * 3_600_000]
      while (high - low > 1) {
        const middle = Math.floor((low + high) / 2)
        if (dayName(middle, settings.timeZone) === name) low = middle
        else high = middle
      }
      return high
    },
    reset() {
      bursts.clear()
      searches = createWindow()
      day = { name: '', used: 0 }
    },
  }
}

interface Window {
  add(at: number): void
  /** Calls in the last `length` ms; `forget` allows to drop what is older. */
  count(at: number, length: number, forget?: boolean): number
}

function createWindow(): Window {
  let times: number[] = []
  return {
    add: (at) => times.push(at),
    count(at, length, forget = true) {
      let first = times.length
      while (first > 0 && times[first - 1]! > at - length) first--
      const count = times.length - first
      if (forget && first > 1000) times = times.slice(first)
      return count
    },
  }
}

const days = new Map<string, { format: Intl.DateTimeFormat; minute: number; name: string }>()

/** The date at the account's place. Formatting is slow, so one minute's answer is kept: no zone changes date within one. */
function dayName(at: number, timeZone: string): string {
  const minute = Math.floor(at / 60_000)
  const known = days.get(timeZone)
  if (known?.minute === minute) return known.name
  const format = known?.format ?? new Intl.DateTimeFormat('en-CA', { timeZone, dateStyle: 'short' })
  const name = format.format(at)
  days.set(timeZone, { format, minute, name })
  return name
}
