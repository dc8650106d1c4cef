import type { Random } from '../store/random.ts'
import type { CallKind, Fault, FaultMatch, FaultRule } from '../types.ts'

/** The faults in force. */
export interface Faults {
  add(rule: FaultRule): number
  list(): (FaultRule & { number: number; struck: number })[]
  remove(number?: number): void
  /** The fault that strikes a call, if one does. Each rule counts the calls that fit it. */
  strike(call: { kind: CallKind; object: string | null; to?: string; method: string; url: string; token: string | null }): Fault | undefined
}

const types: ReadonlySet<string> = new Set<Fault['type']>([
  '429', '401', '403', '423', '500', '502', '503', '504', '477', 'answer', 'reset', 'reset body', 'torn', 'short',
  'slow head', 'slow body', 'hang', 'hang body', 'content type', 'duplicates', 'missing', 'incomplete', 'lacking', 'padding', 'date', 'behind',
])

/** Faults drawn by one stream; `sameObject` says whether two names mean one object. */
export function createFaults(random: Random, sameObject: (asked: string, object: string | null) => boolean): Faults {
  let last = 0
  let rules: { number: number; rule: FaultRule; fault: Fault; seen: number; struck: number }[] = []

  const fits = ({ kind, object, to, method, path, token }: FaultMatch, call: Parameters<Faults['strike']>[0]) =>
    (kind === undefined || [kind].flat().includes(call.kind)) &&
    (object === undefined || sameObject(object, call.object)) &&
    (to === undefined || sameObject(to, call.to ?? null)) &&
    (method === undefined || method.toUpperCase() === call.method) &&
    (path === undefined || call.url.includes(path)) &&
    (token === undefined || token === call.token)

  return {
    add(rule) {
      const fault = typeof rule.fault === 'string' ? ({ type: rule.fault } as Fault) : rule.fault
      if (!types.has(fault.type)) throw new Error(`no fault ${fault.type}; one of ${[...types].join(', ')}`)
      if (fault.type === 'padding' && !(fault.bytes >= 0)) throw new Error('fault padding needs bytes')
      if (fault.type === 'behind' && !(fault.ms >= 0)) throw new Error('fault behind needs ms')
      if (fault.type === 'date' && !Number.isFinite(fault.ms)) throw new Error('fault date needs ms')
      if ((fault.type === 'slow head' || fault.type === 'slow body') && !(fault.ms >= 0)) throw new Error(`fault ${fault.type} needs ms`)
      if (fault.type === 'answer' && !(fault.status >= 200 && fault.status < 600)) throw new Error('fault answer needs a status')
      if (fault.type === 'content type' && fault.value === undefined) throw new Error('fault content type needs a value')
      rules.push({ number: ++last, rule, fault, seen: 0, struck: 0 })
      return last
    },
    list: () => rules.map(({ number, rule, struck }) => ({ ...rule, number, struck })),
    remove(number) {
      rules = number === undefined ? [] : rules.filter((rule) => rule.number !== number)
    },
    strike(call) {
      let strikes: Fault | undefined
      for (const entry of rules) {
        const { rule } = entry
        if (strikes || !fits(rule.match ?? {}, call)) continue
        entry.seen++
        if (entry.seen < (rule.nth ?? 1)) continue
        if (rule.probability !== undefined && random() >= rule.probability) continue
        entry.struck++
        strikes = entry.fault
      }
      rules = rules.filter(({ rule, struck }) => struck < (rule.times ?? Infinity))
      return strikes
    },
  }
}
