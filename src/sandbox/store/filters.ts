import { everyKey, type KeyRange, keyOf, type Order } from './search-index.ts'
import type { Table } from './table.ts'
import type { Version } from './version.ts'

/** One condition of a search. */
export interface Filter {
  readonly propertyName: string
  readonly operator: string
  readonly value?: string
  readonly highValue?: string
  readonly values?: readonly string[]
}

/** Conditions that all must hold, split into what an order of the index answers and what must be looked at. */
export interface Group {
  readonly ranges: Readonly<Record<Order, KeyRange>>
  /** Tests of the conditions that are no range. */
  readonly tests: readonly ((version: Version) => boolean)[]
}

/** A condition that HubSpot refuses. */
export class FilterProblem extends Error {}

const text = (value: string) => value.toLowerCase()

/** Compiles conditions; throws a {@link FilterProblem} where one cannot be. */
export function compileGroup(table: Table, filters: readonly Filter[]): Group {
  const ranges: Record<Order, KeyRange> = { modified: everyKey, created: everyKey, id: everyKey }
  const tests: ((version: Version) => boolean)[] = []
  for (const filter of filters) {
    const order = orderOf(table, filter.propertyName)
    const range = order && rangeOf(filter, order)
    if (range) ranges[order] = { low: Math.max(ranges[order].low, range.low), high: Math.min(ranges[order].high, range.high) }
    else tests.push(compileFilter(table, filter))
  }
  return { ranges, tests }
}

/** Whether a record meets all conditions of a group. */
export function meets(group: Group, version: Version): boolean {
  for (const order of ['modified', 'created', 'id'] as const) {
    const { low, high } = group.ranges[order]
    const key = keyOf(order, version)
    if (key < low || key >= high) return false
  }
  return group.tests.every((test) => test(version))
}

/** The order of the index that sorts by a property. */
export function orderOf(table: Table, property: string): Order | undefined {
  if (property === 'hs_object_id') return 'id'
  if (property === table.type.modified) return 'modified'
  if (property === table.type.created) return 'created'
  return undefined
}

/** Keys are whole numbers, so every comparison is a range from a number (included) to a number (excluded). */
function rangeOf(filter: Filter, order: Order): KeyRange | undefined {
  const read = (value: string | undefined) => (order === 'id' ? number(filter, value) : time(filter, value))
  switch (filter.operator) {
    case 'EQ': return { low: read(filter.value), high: read(filter.value) + 1 }
    case 'LT': return { low: -Infinity, high: read(filter.value) }
    case 'LTE': return { low: -Infinity, high: read(filter.value) + 1 }
    case 'GT': return { low: read(filter.value) + 1, high: Infinity }
    case 'GTE': return { low: read(filter.value), high: Infinity }
    case 'BETWEEN': return { low: read(filter.value), high: read(filter.highValue) + 1 }
    default: return undefined
  }
}

function compileFilter(table: Table, filter: Filter): (version: Version) => boolean {
  const { propertyName, operator } = filter
  const type = table.property(propertyName)?.type ?? 'string'
  const read = table.reader(propertyName)
  const shown = (version: Version) => read(version) ?? ''
  const compared = (value: string | undefined): string | number =>
    type === 'number' ? number(filter, value) : type === 'date' || type === 'datetime' ? time(filter, value) : text(given(filter, value))
  const key = (value: string): string | number =>
    type === 'number' ? Number(value) : type === 'date' || type === 'datetime' ? Date.parse(value) : text(value)
  const against = (test: (value: string | number) => boolean) => (version: Version) => {
    const value = shown(version)
    return value !== '' && test(key(value))
  }
  // Enumerations are compared as they are written, and one of several chosen values suffices.
  const isOneOf = (values: readonly string[]) => {
    if (type === 'enumeration') return (version: Version) => {
      const value = shown(version)
      return value !== '' && (values.includes(value) || value.split(';').some((one) => values.includes(one)))
    }
    // HubSpot holds texts in lower case here and compares what it is given as it stands.
    const keys = new Set(type === 'number' || type.startsWith('date') ? values.map(compared) : values)
    return against((value) => keys.has(value))
  }
  const not = (test: (version: Version) => boolean) => (version: Version) => !test(version)
  switch (operator) {
    case 'EQ':
    case 'NEQ': {
      const value = compared(filter.value)
      const test = type === 'enumeration' ? isOneOf([given(filter, filter.value)]) : against((other) => other === value)
      return operator === 'EQ' ? test : not(test)
    }
    case 'LT': { const value = compared(filter.value); return against((other) => other < value) }
    case 'LTE': { const value = compared(filter.value); return against((other) => other <= value) }
    case 'GT': { const value = compared(filter.value); return against((other) => other > value) }
    case 'GTE': { const value = compared(filter.value); return against((other) => other >= value) }
    case 'BETWEEN': {
      const [low, high] = [compared(filter.value), compared(filter.highValue)]
      return against((other) => other >= low && other <= high)
    }
    case 'IN':
    case 'NOT_IN': {
      if (!filter.values) throw new FilterProblem(`operator ${operator} requires values`)
      const test = isOneOf(filter.values)
      return operator === 'IN' ? test : not(test)
    }
    case 'HAS_PROPERTY': return (version) => shown(version) !== ''
    case 'NOT_HAS_PROPERTY': return (version) => shown(version) === ''
    case 'CONTAINS_TOKEN':
    case 'NOT_CONTAINS_TOKEN': {
      const patterns = (filter.values ?? [given(filter, filter.value)]).map(tokenPatterns)
      const test = (version: Version) => patterns.some((all) => containsTokens(shown(version), all))
      return operator === 'CONTAINS_TOKEN' ? test : not(test)
    }
    default: throw new FilterProblem(`unknown operator ${operator}`)
  }
}

/** Whether a record holds every word of a search text at the start of some word of its searchable properties. */
export function compileQuery(table: Table, query: string): (version: Version) => boolean {
  const readers = table.properties()
    .filter(({ type, hidden, archivedAt }) => (type === 'string' || type === 'phone_number') && !hidden && archivedAt === null)
    .map(({ name }) => table.reader(name))
  const patterns = tokenPatterns(tokens(query).map((token) => `${token}*`).join(' '))
  return (version) => {
    const words = readers.map((read) => read(version) ?? '').join(' ')
    return containsTokens(words, patterns)
  }
}

function tokens(value: string): string[] {
  return text(value).match(/[\p{L}\p{N}*]+/gu) ?? []
}

function tokenPatterns(value: string): RegExp[] {
  return tokens(value).map((token) => new RegExp(`^${token.replaceAll('*', '.*')}$`, 'u'))
}

function containsTokens(value: string, patterns: readonly RegExp[]): boolean {
  const words = tokens(value)
  return patterns.length > 0 && patterns.every((pattern) => words.some((word) => pattern.test(word)))
}

function given(filter: Filter, value: string | undefined): string {
  if (value === undefined) throw new FilterProblem(`operator ${filter.operator} requires a value (property ${filter.propertyName})`)
  return value
}

function number(filter: Filter, value: string | undefined): number {
  const parsed = Number(given(filter, value))
  if (value!.trim() === '' || !Number.isFinite(parsed)) throw new FilterProblem(`${value} was not a valid number (property ${filter.propertyName})`)
  return parsed
}

/** Epoch milliseconds, or ISO 8601 cut to milliseconds: the index knows nothing finer. */
function time(filter: Filter, value: string | undefined): number {
  const asked = given(filter, value)
  const ms = /^-?\d+$/.test(asked) ? Number(asked) : Date.parse(asked)
  if (!Number.isFinite(ms)) throw new FilterProblem(`${asked} was not a valid date (property ${filter.propertyName})`)
  return ms
}
