import type {
  ColumnRef, DeleteStmt, FuncCall, JoinExpr, Node, ParamRef, RangeSubselect, RangeVar, ResTarget, SelectStmt, TypeCast, UpdateStmt, WithClause, XmlExpr,
} from 'libpg-query'
import type { Act, Relation, Touch } from '../query.ts'
import { isHarmless, type Term } from './ids.ts'
import { conjuncts, keyOf, renames } from './keys.ts'
import { hasStar, isByPosition, isOfRows, isStar } from './stars.ts'

/** Kinds of statements that read or write relations as a walk finds them. */
export const QUERIES = new Set(['SelectStmt', 'InsertStmt', 'UpdateStmt', 'DeleteStmt', 'MergeStmt'])

/** A relation as it is named. */
export const relationOf = ({ schemaname, relname = '' }: RangeVar): Relation => ({ schema: schemaname, name: relname })

function isSetting({ funcname = [] }: FuncCall): boolean {
  const last = funcname.at(-1)
  return last !== undefined && 'String' in last && last.String.sval === 'set_config'
}

/** Beyond so many comparisons of conditions with relations, any row may matter of what is left. */
const MOST_COMPARED = 100_000

/** A walk through a query: each level's relations with what its own conditions say of their columns. */
export class Reading {
  readonly #touches: (Touch & { label: string; isRenamed: boolean })[] = []
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
  /** Rows are taken whole somewhere, of what nobody knows. */
  #takesRows: boolean
  readonly #budget = { left: MOST_COMPARED }
  /** It sets a setting, by a function. */
  #sets = false

  constructor(takesRows = false) {
    this.#takesRows = takesRows
  }

  of(node: Node): Act {
    this.#walk(node, NO_NAMES)
    // Whose rows are in those of a query, nobody knows.
    const isWhole = this.#takesRows || [...this.#alone].some((name) => this.#derived.has(name))
    // One list for all of a name: thousands of relations may have it.
    const fields = new Map([...this.#fields].map(([label, names]) => [label, [...names]]))
    const touches = this.#touches.map(({ relation, keys, label, isRenamed }): Touch => ({
      relation, keys: new Map([...keys].map(([column, lists]) => [column, lists.map((terms) => terms.map((term) => this.#sure(term)))] as const)),
      ...((isWhole || isRenamed || this.#alone.has(label)) && { isWhole: true }),
      ...(fields.has(label) && { fields: fields.get(label)! }),
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
      if (kind === 'RangeSubselect') this.#derive(inner)
      if (kind === 'SubLink') this.#takesRows ||= isOfRows(inner)
      if (kind === 'XmlExpr') this.#takesRows ||= ((inner as XmlExpr).named_args ?? []).some(isStar)
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

  #derive({ alias, subquery }: RangeSubselect): void {
    if (alias?.aliasname !== undefined) this.#derived.add(alias.aliasname)
    this.#takesRows ||= renames(alias) && hasStar(subquery)
  }

  #write(kind: string, statement: Pick<UpdateStmt & DeleteStmt, 'relation' | 'withClause' | 'fromClause' | 'usingClause' | 'whereClause'>, outer: ReadonlySet<string>): void {
    const { relation, withClause, fromClause = [], usingClause = [], whereClause, ...rest } = statement
    const names = this.#with(withClause, outer)
    if (relation) this.#targets.push({ relation: relationOf(relation), verb: VERBS[kind] ?? 'written' })
    this.#takesRows ||= 'selectStmt' in rest && hasStar(rest.selectStmt as Node)
    // A name without a table's may be a column of what is written.
    this.#level([...fromClause, ...usingClause], whereClause, names, false)
    this.#walk(rest, names)
  }

  /** `isArm`: of a union or the like, which was looked at as a whole. */
  #select(select: SelectStmt, outer: ReadonlySet<string>, isArm = false): void {
    const { withClause, larg, rarg, fromClause = [], whereClause, ...rest } = select
    this.#takesRows ||= !isArm && isByPosition(select)
    const names = this.#with(withClause, outer)
    if (larg) this.#select(larg, names, true)
    if (rarg) this.#select(rarg, names, true)
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
    for (const { ctename = '', ctequery, aliascolnames = [] } of tables) {
      this.#takesRows ||= aliascolnames.length > 0 && hasStar(ctequery)
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
    if (alias?.aliasname !== undefined) this.#derived.add(alias.aliasname)
    this.#takesRows ||= isNatural === true || renames(alias)
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
    const isRenamed = renames(range.alias)
    if (relation.schema === undefined && names.has(relation.name)) {
      this.#takesRows ||= isRenamed
      return
    }
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
    this.#touches.push({ relation, keys, label: range.alias?.aliasname ?? relation.name, isRenamed })
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
