import {
  type Alias, type ColumnRef, type CopyStmt, type DeleteStmt, type ExplainStmt, type FuncCall, type JoinExpr, loadModule, type Node, type ParamRef, parseSync, type RangeSubselect,
  type RangeVar, type ResTarget, type SelectStmt, SqlError, type TypeCast, type UpdateStmt, type WithClause,
} from 'libpg-query'
import { isHarmless, scalarTerm, type Term, typeOf } from './query/ids.ts'
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
  /** Whole rows of it are read as values, and so columns that are not named; `select *` by itself is not meant. */
  isWhole?: true
  /** What stands after its name and a dot: columns, or functions that take whole rows. */
  fields?: readonly string[]
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

/** What a statement that has a name does when it is executed, and its parameters' types, as far as it says. */
export type Prepared = Pick<Act, 'touches' | 'targets' | 'unsettles'> & { types?: readonly number[] }

/** The version of Postgres whose grammar is read here. */
export const GRAMMAR = 18

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
  if (short === '') return []
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
    const { name = '', query, argtypes = [] } = node.PrepareStmt
    const types = argtypes.map((type) => ('TypeName' in type ? typeOf(type.TypeName) : -1))
    return query === undefined ? NOTHING : { ...NOTHING, prepares: { name, ...act(query), ...(types.length > 0 && { types }) } }
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

/** Beyond so many comparisons of conditions with relations, any row may matter of what is left. */
const MOST_COMPARED = 100_000

/** A walk through a query: each level's relations with what its own conditions say of their columns. */
class Reading {
  readonly #touches: (Touch & { label: string })[] = []
  readonly #targets: { relation: Relation; verb: string }[] = []
  /** How often each parameter stands where it is not cast to a whole number; of these, as a key of a table of the mirror. */
  readonly #loose = new Map<number, number>()
  readonly #keyed = new Map<number, number>()
  /** Names that stand alone, and so for a column or for whole rows. */
  readonly #alone = new Set<string>()
  /** By a name, what stands after it and a dot. */
  readonly #fields = new Map<string, Set<string>>()
  /** What a query, a join or WITH is called by. */
  readonly #derived = new Set<string>()
  #isNatural = false
  readonly #budget = { left: MOST_COMPARED }
  /** It sets a setting, by a function. */
  #sets = false

  of(node: Node): Act {
    this.#walk(node, NO_NAMES)
    // Whose rows are in those of a query, nobody knows.
    const isWhole = this.#isNatural || [...this.#alone].some((name) => this.#derived.has(name))
    const touches = this.#touches.map(({ relation, keys, label }): Touch => ({
      relation, keys: new Map([...keys].map(([column, lists]) => [column, lists.map((terms) => terms.map((term) => this.#sure(term)))] as const)),
      ...((isWhole || this.#alone.has(label)) && { isWhole: true }),
      ...(this.#fields.has(label) && { fields: [...(this.#fields.get(label) ?? [])] }),
    }))
    return { touches, targets: this.#targets, ...(this.#sets && { unsettles: true }) }
  }

  /** A parameter has the type that its first use gives it; where that may be another's than the key's, it is not sure. */
  #sure(term: Term): Term {
    if ('text' in term) return term
    const { param, isArray, isCast } = term
    const own = Math.max(this.#keyed.get(param) ?? 0, isCast ? 0 : 1)
    return { param, isArray, ...((this.#loose.get(param) ?? 0) > own && { isUnsure: true }) }
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
      if (kind === 'ParamRef') count(this.#loose, (inner as ParamRef).number)
      if (kind === 'ColumnRef') this.#refer((inner as ColumnRef).fields)
      if (kind === 'RangeSubselect') this.#derive((inner as RangeSubselect).alias)
      if (kind === 'SelectStmt') this.#select(inner, names)
      else if (kind === 'RangeVar') this.#touch(inner, names, [], false)
      else if (QUERIES.has(kind)) this.#write(kind, inner, names)
      // FOR UPDATE OF names what stands in FROM already.
      else if (kind !== 'LockingClause' && !isPlain(kind, inner)) this.#walk(inner, names)
    }
  }

  #refer(fields: readonly Node[] = []): void {
    const last = fields.at(-1)
    const named = last !== undefined && 'A_Star' in last ? fields.at(-2) : fields.length === 1 ? last : undefined
    if (named !== undefined && 'String' in named) this.#alone.add(named.String.sval ?? '')
    const before = fields.at(-2)
    if (before === undefined || last === undefined || !('String' in before && 'String' in last)) return
    const label = before.String.sval ?? ''
    this.#fields.set(label, (this.#fields.get(label) ?? new Set()).add(last.String.sval ?? ''))
  }

  #derive(alias: Alias | undefined): void {
    if (alias?.aliasname !== undefined) this.#derived.add(alias.aliasname)
  }

  #write(kind: string, statement: Pick<UpdateStmt & DeleteStmt, 'relation' | 'withClause' | 'fromClause' | 'usingClause' | 'whereClause'>, outer: ReadonlySet<string>): void {
    const { relation, withClause, fromClause = [], usingClause = [], whereClause, ...rest } = statement
    const names = this.#with(withClause, outer)
    if (relation) this.#targets.push({ relation: relationOf(relation), verb: VERBS[kind] ?? 'written' })
    // A name without a table's may be a column of what is written.
    this.#level([...fromClause, ...usingClause], whereClause, names, false)
    this.#walk(rest, names)
  }

  #select({ withClause, larg, rarg, fromClause = [], whereClause, ...rest }: SelectStmt, outer: ReadonlySet<string>): void {
    const names = this.#with(withClause, outer)
    if (larg) this.#select(larg, names)
    if (rarg) this.#select(rarg, names)
    const isAlone = fromClause.length === 1 && !('JoinExpr' in fromClause[0]!)
    this.#level(fromClause, whereClause, names, isAlone)
    this.#walk(rest, names)
  }

  /** What a statement reads, with what its WHERE says of that; `isAlone`: a name without a table's is its column. */
  #level(items: readonly Node[], where: Node | undefined, names: ReadonlySet<string>, isAlone: boolean): void {
    const conditions = conjuncts(where)
    for (const item of items) this.#from(item, names, conditions, isAlone)
    this.#walk(where, names)
  }

  /** The names that WITH gives, each seen by what comes after it; by itself too where it is recursive. */
  #with(clause: WithClause | undefined, outer: ReadonlySet<string>): ReadonlySet<string> {
    if (clause === undefined) return outer
    const tables = (clause.ctes ?? []).flatMap((one) => ('CommonTableExpr' in one ? [one.CommonTableExpr] : []))
    const names = new Set(clause.recursive ? [...outer, ...tables.map(({ ctename = '' }) => ctename)] : outer)
    for (const { ctename = '', ctequery } of tables) {
      this.#walk(ctequery, names)
      names.add(ctename)
      this.#derived.add(ctename)
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

  #join({ jointype = 'JOIN_INNER', larg, rarg, quals, alias, isNatural }: JoinExpr, names: ReadonlySet<string>, outer: readonly Node[]): void {
    this.#isNatural ||= isNatural === true
    this.#derive(alias)
    this.#budget.left -= outer.length
    // An alias of the join hides those in it.
    const above = alias === undefined && this.#budget.left > 0 ? outer : []
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
      if (this.#budget.left <= 0) break
      const key = keyOf(condition, range, isAlone, this.#budget)
      if (key === undefined) continue
      const lists = keys.get(key.column)
      if (lists === undefined) keys.set(key.column, [key.terms])
      else lists.push(key.terms)
      for (const term of key.terms) if ('param' in term && !term.isCast && relation.schema === 'hubspot') count(this.#keyed, term.param)
    }
    this.#touches.push({ relation, keys, label: range.alias?.aliasname ?? relation.name })
  }
}

const count = (of: Map<number, number>, param = 0) => of.set(param, (of.get(param) ?? 0) + 1)

/** What says nothing of a parameter's type but that it is a whole number; and `*` or `name.*` as it stands in a list of what is selected. */
function isPlain(kind: string, inner: object): boolean {
  if (kind === 'TypeCast') {
    const { arg } = inner as TypeCast
    return arg !== undefined && 'ParamRef' in arg && isHarmless({ TypeCast: inner })
  }
  const { val } = inner as ResTarget
  return kind === 'ResTarget' && val !== undefined && 'ColumnRef' in val && (val.ColumnRef.fields ?? []).some((field) => 'A_Star' in field)
}

const NO_NAMES: ReadonlySet<string> = new Set()
const VERBS: Record<string, string> = { InsertStmt: 'inserted into', UpdateStmt: 'updated', DeleteStmt: 'deleted from', MergeStmt: 'merged into' }
