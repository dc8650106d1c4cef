import { compileGroup, compileQuery, type Filter, type Group, meets, orderOf } from './filters.ts'
import { everyKey, type KeyRange, type Order } from './search-index.ts'
import type { Table } from './table.ts'
import type { Version } from './version.ts'

/** A search, checked. */
export interface Search {
  /** Any of these must hold; none: everything. */
  readonly groups: readonly (readonly Filter[])[]
  readonly query: string
  /** Null: by creation, oldest first. */
  readonly sort: { readonly property: string; readonly descending: boolean } | null
  readonly offset: number
  readonly limit: number
}

/** A page of results and how many there are. */
export interface Found {
  readonly total: number
  readonly page: readonly Version[]
}

/** What the index answers now. */
export function runSearch(table: Table, search: Search): Found {
  const groups = search.groups.map((filters) => compileGroup(table, filters))
  const asked = search.query.trim() === '' ? null : compileQuery(table, search.query)
  const order: Order | undefined = search.sort ? orderOf(table, search.sort.property) : 'created'
  const descending = search.sort?.descending ?? false
  const matches = (version: Version) =>
    (groups.length === 0 || groups.some((group) => meets(group, version))) && (!asked || asked(version))

  const whole = order && !asked ? rangeAlone(groups, order) : undefined
  if (order && whole) {
    // Nothing to look at record by record: the positions in the order tell the total.
    const page = take(table.index.walk(order, whole, descending), search)
    return { total: table.index.count(order, whole), page }
  }
  const [path, range] = narrowest(table, groups, order ?? 'id')
  if (order && path === order) {
    const page: Version[] = []
    let total = 0
    for (const version of table.index.walk(order, range, descending)) {
      if (!matches(version)) continue
      if (total >= search.offset && page.length < search.limit) page.push(version)
      total++
    }
    return { total, page }
  }
  const found: Version[] = []
  for (const version of table.index.walk(path, range)) if (matches(version)) found.push(version)
  sortVersions(table, found, search.sort)
  return { total: found.length, page: found.slice(search.offset, search.offset + search.limit) }
}

/** The range, if all the groups ask is a range in this one order. */
function rangeAlone(groups: readonly Group[], order: Order): KeyRange | undefined {
  const [group, ...others] = groups
  if (!group) return everyKey
  const plain = (other: Order) => other === order || (group.ranges[other].low === -Infinity && group.ranges[other].high === Infinity)
  if (others.length > 0 || group.tests.length > 0 || !(['modified', 'created', 'id'] as const).every(plain)) return undefined
  const { low, high } = group.ranges[order]
  return { low, high: Math.max(low, high) }
}

/**
 * The order and range that leave the fewest records to look at, `preferred` among equals: for several groups, from the
 * lowest bound to the highest.
 */
function narrowest(table: Table, groups: readonly Group[], preferred: Order): [Order, KeyRange] {
  const ways = ([preferred, 'id', 'modified', 'created'] as const).map((order): [Order, KeyRange] => {
    const low = groups.length > 0 ? Math.min(...groups.map((group) => group.ranges[order].low)) : -Infinity
    const high = groups.length > 0 ? Math.max(...groups.map((group) => group.ranges[order].high)) : Infinity
    return [order, { low, high: Math.max(low, high) }]
  })
  const sizes = ways.map(([order, range]) => table.index.count(order, range))
  return ways[sizes.indexOf(Math.min(...sizes))]!
}

function take(versions: Iterable<Version>, { offset, limit }: Search): Version[] {
  const page: Version[] = []
  let at = 0
  for (const version of versions) {
    if (page.length === limit) break
    if (at++ >= offset) page.push(version)
  }
  return page
}

function sortVersions(table: Table, versions: Version[], sort: Search['sort']): void {
  if (!sort) {
    versions.sort((a, b) => a.createdAt - b.createdAt || a.id - b.id)
    return
  }
  const type = table.property(sort.property)?.type
  const sign = sort.descending ? -1 : 1
  const keyed = versions.map((version) => ({ version, key: sortKey(table.value(version, sort.property), type) }))
  // Records without a value come last, whatever the direction.
  keyed.sort((a, b) => {
    if (a.key === null || b.key === null) return Number(a.key === null) - Number(b.key === null)
    return a.key < b.key ? -sign : a.key > b.key ? sign : 0
  })
  for (const [at, { version }] of keyed.entries()) versions[at] = version
}

function sortKey(value: string | null, type: string | undefined): string | number | null {
  if (value === null || value === '') return null
  if (type === 'number') return Number(value)
  return type === 'date' || type === 'datetime' ? Date.parse(value) : value.toLowerCase()
}
