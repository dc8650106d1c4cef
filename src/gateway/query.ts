import {
  type CopyStmt, type ExplainStmt, type FuncCall, type JoinExpr, loadModule, type Node, parseSync, type RangeVar, type SelectStmt, SqlError,
  type WithClause,
} from 'libpg-query'
import { scalarTerm, type Term } from './query/ids.ts'
import { conjuncts, keyOf } from './query/keys.ts'
import { measure } from './query/measure.ts'
import { definedBy, isSettled } from './query/settled.ts'

/** A relation as a statement names it; without a schema the search path tells. */
export type Relation = { schema: string | undefined; name: string }

/** One place where a statement reads a relation. */
export type Touch = {
  relation: Relation
  /** By column: lists of values, of each of which the column must have one for a row to matter. None: any row may. */
  keys: ReadonlyMap<string, readonly (readonly Term[])[]>
  /** A materialized view that is made anew: what it is defined by is read. */
  isDefinition?: true
}

/** What one statement does, as far as its text tells. */
export type Act = {
  touches: readonly Touch[]
  /** Relations that it writes. */
  targets: readonly { relation: Relation; verb: string }[]
  /** What `prepare` gives a name to: for `execute` in the same text. */
  prepares?: { name: string } & Prepared
  /** The relation that it makes; of a view, what that reads. */
  defines?: { relation: Relation; view?: Act['touches'] }
  /** What names mean, who may read and what is in the database may be otherwise after it. */
  unsettles?: true
  /** `execute`: the name, and the arguments; an argument that is not known before it runs is undefined. */
  executes?: { name: string; args: readonly (Term | undefined)[] }
}

/** What a statement that has a name does when it is executed. */
export type Prepared = Pick<Act, 'touches' | 'targets' | 'unsettles'>

/** Loads the parser: once, before `acts`. */
export const loadParser = loadModule

/**
 * What each statement of a text does; undefined where Postgres' grammar cannot read it: the server will say so. TooComplex for
 * one that is too long. Any other error leaves the parser unfit: what it says from then on may be wrong.
 */
export function acts(text: string): readonly Act[] | undefined {
  const { short, mayRead } = measure(text)
  if (short === undefined && mayRead) throw new TooComplex()
  if (short === undefined) return [UNREAD]
  try {
    return (parseSync(short).stmts ?? []).map(({ stmt }) => (stmt === undefined ? NOTHING : actOf(stmt)))
  } catch (error) {
    if (error instanceof SqlError && !error.message.startsWith('out of memory')) return undefined
    throw error
  }
}

/** A statement that cannot be looked into. */
export class TooComplex extends Error {}

const NOTHING: Act = { touches: [], targets: [] }
/** Of a text that is too long to be looked into, and reads no relation. */
const UNREAD: Act = { ...NOTHING, unsettles: true }

function actOf(node: Node): Act {
  const defined = definedBy(node)
  return {
    ...act(node),
    ...(defined && { defines: { relation: relationOf(defined.relation), ...(defined.view && { view: act(defined.view).touches }) } }),
    ...(!isSettled(node) && { unsettles: true }),
  }
}

function act(node: Node): Act {
  if ('ExplainStmt' in node) return isRun(node.ExplainStmt) && node.ExplainStmt.query ? act(node.ExplainStmt.query) : NOTHING
  if ('PrepareStmt' in node) {
    const { name = '', query } = node.PrepareStmt
    return query === undefined ? NOTHING : { ...NOTHING, prepares: { name, ...act(query) } }
  }
  if ('ExecuteStmt' in node) return { ...NOTHING, executes: { name: node.ExecuteStmt.name ?? '', args: (node.ExecuteStmt.params ?? []).map(scalarTerm) } }
  if ('CreateTableAsStmt' in node) return node.CreateTableAsStmt.query === undefined ? NOTHING : act(node.CreateTableAsStmt.query)
  if ('DeclareCursorStmt' in node) return node.DeclareCursorStmt.query === undefined ? NOTHING : act(node.DeclareCursorStmt.query)
  if ('CopyStmt' in node) return copy(node.CopyStmt)
  if ('TruncateStmt' in node) {
    const named = (node.TruncateStmt.relations ?? []).flatMap((one) => ('RangeVar' in one ? [relationOf(one.RangeVar)] : []))
    return { touches: [], targets: named.map((relation) => ({ relation, verb: 'truncated' })) }
  }
  if ('RefreshMatViewStmt' in node) {
    const { relation, skipData } = node.RefreshMatViewStmt
    return relation === undefined || skipData ? NOTHING : { ...NOTHING, touches: [{ relation: relationOf(relation), keys: new Map(), isDefinition: true }] }
  }
  const [kind = ''] = Object.keys(node)
  return kind === 'CallStmt' || QUERIES.has(kind) ? new Reading().of(node) : NOTHING
}

const QUERIES = new Set(['SelectStmt', 'InsertStmt', 'UpdateStmt', 'DeleteStmt', 'MergeStmt'])

function copy({ relation, query, is_from: isFrom }: CopyStmt): Act {
  if (query !== undefined) return act(query)
  if (relation === undefined) return NOTHING
  if (isFrom) return { touches: [], targets: [{ relation: relationOf(relation), verb: 'written' }] }
  return { ...NOTHING, touches: [{ relation: relationOf(relation), keys: new Map() }] }
}

function isRun({ options = [] }: ExplainStmt): boolean {
  return options.some((option) => {
    if (!('DefElem' in option) || option.DefElem.defname !== 'analyze') return false
    const said = JSON.stringify(option.DefElem.arg ?? true).toLowerCase()
    return !/"(false|off|0)"|"ival":0\b|"ival":\{\}|"integer":\{\}|"boolval":\{\}|"boolean":\{\}/.test(said)
  })
}

const relationOf = ({ schemaname, relname = '' }: RangeVar): Relation => ({ schema: schemaname, name: relname })

function isSetting({ funcname = [] }: FuncCall): boolean {
  const last = funcname.at(-1)
  return last !== undefined && 'String' in last && last.String.sval === 'set_config'
}

/** A walk through a query: each level's relations with what its own conditions say of their columns. */
class Reading {
  readonly #touches: Touch[] = []
  readonly #targets: { relation: Relation; verb: string }[] = []
  /** It sets a setting, by a function. */
  #sets = false

  of(node: Node): Act {
    this.#walk(node, NO_NAMES)
    return { touches: this.#touches, targets: this.#targets, ...(this.#sets && { unsettles: true }) }
  }

  /** Any node: queries in it are levels of their own. `names`: those of WITH, which hide tables. */
  #walk(node: unknown, names: ReadonlySet<string>): void {
    if (Array.isArray(node)) {
      for (const one of node) this.#walk(one, names)
      return
    }
    if (typeof node !== 'object' || node === null) return
    for (const [kind, inner] of Object.entries(node) as [string, object][]) {
      if (kind === 'FuncCall') this.#sets ||= isSetting(inner)
      if (kind === 'SelectStmt') this.#select(inner, names)
      else if (kind === 'RangeVar') this.#touch(inner, names, [], false)
      else if (QUERIES.has(kind)) this.#write(kind, inner, names)
      // FOR UPDATE OF names what stands in FROM already.
      else if (kind !== 'LockingClause') this.#walk(inner, names)
    }
  }

  #write(kind: string, statement: { relation?: RangeVar; withClause?: WithClause }, outer: ReadonlySet<string>): void {
    const { relation, withClause, ...rest } = statement
    const names = this.#with(withClause, outer)
    if (relation) this.#targets.push({ relation: relationOf(relation), verb: VERBS[kind] ?? 'written' })
    this.#walk(rest, names)
  }

  #select({ withClause, larg, rarg, fromClause = [], whereClause, ...rest }: SelectStmt, outer: ReadonlySet<string>): void {
    const names = this.#with(withClause, outer)
    if (larg) this.#select(larg, names)
    if (rarg) this.#select(rarg, names)
    const isAlone = fromClause.length === 1 && !('JoinExpr' in fromClause[0]!)
    const conditions = conjuncts(whereClause)
    for (const item of fromClause) this.#from(item, names, conditions, isAlone)
    this.#walk(whereClause, names)
    this.#walk(rest, names)
  }

  /** The names that WITH gives, each seen by what comes after it; by itself too where it is recursive. */
  #with(clause: WithClause | undefined, outer: ReadonlySet<string>): ReadonlySet<string> {
    if (clause === undefined) return outer
    const tables = (clause.ctes ?? []).flatMap((one) => ('CommonTableExpr' in one ? [one.CommonTableExpr] : []))
    let names = clause.recursive ? new Set([...outer, ...tables.map(({ ctename = '' }) => ctename)]) : outer
    for (const { ctename = '', ctequery } of tables) {
      this.#walk(ctequery, names)
      names = new Set([...names, ctename])
    }
    return names
  }

  /** `conditions` hold for every row that matters of this item. */
  #from(item: Node, names: ReadonlySet<string>, conditions: readonly Node[], isAlone: boolean): void {
    if ('RangeVar' in item) this.#touch(item.RangeVar, names, conditions, isAlone)
    else if ('JoinExpr' in item) this.#join(item.JoinExpr, names, conditions)
    else if ('RangeTableSample' in item && item.RangeTableSample.relation) {
      const { relation, ...rest } = item.RangeTableSample
      this.#from(relation, names, conditions, isAlone)
      this.#walk(rest, names)
    } else this.#walk(item, names)
  }

  #join({ jointype = 'JOIN_INNER', larg, rarg, quals, alias }: JoinExpr, names: ReadonlySet<string>, outer: readonly Node[]): void {
    // An alias of the join hides those in it.
    const above = alias === undefined ? outer : []
    const own = [...above, ...conjuncts(quals)]
    // ON says nothing of the rows of the side that an outer join keeps whole.
    if (larg) this.#from(larg, names, jointype === 'JOIN_INNER' || jointype === 'JOIN_RIGHT' ? own : above, false)
    if (rarg) this.#from(rarg, names, jointype === 'JOIN_INNER' || jointype === 'JOIN_LEFT' ? own : above, false)
    this.#walk(quals, names)
  }

  #touch(range: RangeVar, names: ReadonlySet<string>, conditions: readonly Node[], isAlone: boolean): void {
    const relation = relationOf(range)
    if (relation.schema === undefined && names.has(relation.name)) return
    const keys = new Map<string, (readonly Term[])[]>()
    for (const condition of conditions) {
      const key = keyOf(condition, range, isAlone)
      if (key !== undefined) keys.set(key.column, [...(keys.get(key.column) ?? []), key.terms])
    }
    this.#touches.push({ relation, keys })
  }
}

const NO_NAMES: ReadonlySet<string> = new Set()
const VERBS: Record<string, string> = { InsertStmt: 'inserted into', UpdateStmt: 'updated', DeleteStmt: 'deleted from', MergeStmt: 'merged into' }
