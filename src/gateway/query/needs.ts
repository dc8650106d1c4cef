import type { LiveTable } from '../../db/live-calls.ts'
import { readOnly } from '../notices.ts'
import type { Touch } from '../query.ts'
import { idsOf, type Param, type Term } from './ids.ts'
import type { Wanted } from './order.ts'
import { type Meant, nameOf } from './relations.ts'
import type { Words } from './words.ts'

/** What of one table a statement needs: records by the values of each key column, or whatever changed, and of that which columns being filled; whether it shows only some rows of the table. */
export type Need = { table: LiveTable; ids: Map<string, Set<string>>; all: boolean; filling: Set<string>; isFiltered: boolean }

/** What is known of relations, by their names as {@link nameOf} writes them. */
type Known = ReadonlyMap<string, Meant['relations'][number]>
type Tables = ReadonlyMap<string, LiveTable>

/** So many ids of one table and statement are read by id, a hundred a call; for more, what changed is. */
const MOST_IDS = 5_000

/** Writes do not reach HubSpot yet: those of its tables are refused before they come to nothing. */
export function refuseWrites(wanted: readonly Wanted[], known: Known, tables: Tables): void {
  for (const { relation, verb } of wanted.flatMap(({ targets }) => targets)) {
    const name = known.get(nameOf(relation))?.itself
    if (name !== undefined && tables.has(name)) throw readOnly(name, verb)
  }
}

/** `words` name whatever columns are read; `columns`: of tables that have some being filled. */
type Meaning = { words: Words; known: Known; hasPlainTypes: boolean; tables: Tables; columns: ReadonlySet<string> }

/** What must be read for a statement, table by table. Whoever may not read one spends no call on it. */
export function needsOf(wanted: readonly Wanted[], { words, known, hasPlainTypes, tables, columns }: Meaning): Need[] {
  const needs = new Map<string, Need>()
  // A relation may be named thousands of times: what of its columns is read without an id, is asked once.
  const seen = new Set<string>()
  const added = new Map<readonly string[], Set<string>>()
  for (const { touches, params } of wanted) {
    const lists: Lists = new Map()
    for (const { relation, keys, isDefinition, isWhole, fields = [] } of touches) {
      const said = nameOf(relation)
      const one = known.get(said)
      if (one === undefined || !one.mayRead || (one.isStored && !isDefinition)) continue
      for (const name of one.tables) {
        const table = tables.get(name)
        if (table === undefined) continue
        const need = needs.get(name) ?? { table, ids: new Map<string, Set<string>>(), all: false, filling: new Set(), isFiltered: false }
        needs.set(name, need)
        const isItself = one.itself === name
        if (one.isFiltered || !isItself) need.isFiltered = true
        // What a view's columns are is its own affair.
        const by = isItself && hasPlainTypes ? table.keys.map((key) => ({ key, ids: idsIn(keys.get(key), params, lists) })).find(({ ids }) => ids !== undefined) : undefined
        if (by?.ids !== undefined) {
          const ids = need.ids.get(by.key) ?? new Set()
          need.ids.set(by.key, ids)
          const to = added.get(by.ids) ?? new Set()
          added.set(by.ids, to)
          if (!to.has(`${by.key} ${name}`)) for (const id of by.ids) ids.add(id)
          to.add(`${by.key} ${name}`)
          continue
        }
        need.all = true
        if (table.filling.length === 0) continue
        const takesRows = isItself && (isWhole || fields.some((field) => !columns.has(`${table.oid}.${field}`)))
        const key = `${takesRows} ${name} ${said}`
        if (seen.has(key)) continue
        seen.add(key)
        const ofColumns = new Set(one.columns)
        const here = isItself ? (takesRows ? table.filling : words.among(table.filling)) : []
        for (const column of here) need.filling.add(column)
        for (const column of table.filling) if (ofColumns.has(`${name}.${column}`) || ofColumns.has(`${name}.*`)) need.filling.add(column)
      }
    }
  }
  return [...needs.values()]
}

/** The ids of parameters, which a statement may name thousands of times; null: they are none, or too many. */
type Lists = Map<string, string[] | null>

/** The shortest of the lists of which a column must have a value. */
function idsIn(conditions: Touch['keys'] extends ReadonlyMap<string, infer Conditions> ? Conditions | undefined : never, params: readonly Param[], lists: Lists): string[] | undefined {
  let shortest: string[] | undefined
  for (const terms of conditions ?? []) {
    const ids = listOf(terms, params, lists)
    if (ids !== null && (shortest === undefined || ids.length < shortest.length)) shortest = ids
  }
  return shortest
}

function listOf(terms: readonly Term[], params: readonly Param[], lists: Lists): string[] | null {
  const [term] = terms
  const name = terms.length === 1 && term !== undefined && 'param' in term ? `${term.param} ${term.isArray} ${term.isUnsure}` : undefined
  const known = name === undefined ? undefined : lists.get(name)
  if (known !== undefined) return known
  const ids = idsOf(terms, params) ?? null
  const list = ids === null || ids.length > MOST_IDS ? null : ids
  if (name !== undefined) lists.set(name, list)
  return list
}
