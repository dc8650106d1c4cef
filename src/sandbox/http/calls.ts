import type { Settings } from '../settings.ts'
import type { Call, CallCount, CallKind, ObjectName } from '../types.ts'

/** Which calls are meant. */
export interface CallMatch {
  kind?: CallKind
  object?: ObjectName
  status?: number
}

/** The log of calls. */
export interface CallLog {
  begin(call: Omit<Call, 'number' | 'status'>): Call
  /** Notes that a call is over; its status is final. */
  end(call: Call): void
  list(match?: CallMatch): readonly Call[]
  counts(): CallCount[]
  reset(): void
  next(match?: CallMatch): Promise<Call>
}

/** A log that keeps the latest calls and counts all. */
export function createCallLog(settings: Readonly<Settings>, sameObject: (asked: string, object: string | null) => boolean): CallLog {
  let number = 0
  let kept: Call[] = []
  let counts = new Map<string, { kind: CallKind; object: string | null; status: number; count: number }>()
  let waiting: { match: CallMatch; from: number; resolve: (call: Call) => void }[] = []

  const fits = ({ kind, object, status }: CallMatch, call: Call) =>
    (kind === undefined || kind === call.kind) &&
    (object === undefined || sameObject(object, call.object)) &&
    (status === undefined || status === call.status)

  const latest = () => kept.slice(Math.max(0, kept.length - settings.callsKept))

  return {
    begin(call) {
      const begun: Call = { ...call, number: ++number, status: 0 }
      kept.push(begun)
      if (kept.length > settings.callsKept * 2) kept = latest()
      return begun
    },
    end(call) {
      const key = `${call.kind} ${call.object} ${call.status}`
      const count = counts.get(key) ?? { kind: call.kind, object: call.object, status: call.status, count: 0 }
      count.count++
      counts.set(key, count)
      const met = waiting.filter(({ match, from }) => call.number >= from && fits(match, call))
      waiting = waiting.filter((entry) => !met.includes(entry))
      for (const { resolve } of met) resolve(call)
    },
    list: (match = {}) => latest().filter((call) => fits(match, call)),
    counts: () => [...counts.values()].map((count) => ({ ...count })),
    reset() {
      kept = []
      counts = new Map()
    },
    next: (match = {}) => new Promise((resolve) => waiting.push({ match, from: number + 1, resolve })),
  }
}
