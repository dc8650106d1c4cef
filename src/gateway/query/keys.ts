import type { A_Expr, Alias, Node, RangeVar } from 'libpg-query'
import { allTerms, arrayTerms, isHarmless, scalarTerm, type Term } from './ids.ts'

/** What must all be true for a condition to be. */
export function conjuncts(node: Node | undefined): readonly Node[] {
  if (node === undefined) return []
  const isAnd = 'BoolExpr' in node && node.BoolExpr.boolop === 'AND_EXPR'
  return isAnd ? (node.BoolExpr.args ?? []).flatMap(conjuncts) : [node]
}

/** How much may still be looked at of what conditions say: each is held against each relation of its level. */
export type Budget = { left: number }

type Key = { column: string; terms: readonly Term[] }

/** The column of a relation that a condition ties to known values; undefined where it does not, or the budget is spent. */
export function keyOf(node: Node, range: RangeVar, isAlone: boolean, budget: Budget): Key | undefined {
  budget.left -= 1
  if (budget.left < 0) return undefined
  if ('BoolExpr' in node && node.BoolExpr.boolop === 'OR_EXPR') {
    const keys: Key[] = []
    for (const one of node.BoolExpr.args ?? []) {
      const key = keyOf(one, range, isAlone, budget)
      if (key === undefined || key.column !== (keys[0] ?? key).column) return undefined
      keys.push(key)
    }
    return keys[0] && { column: keys[0].column, terms: keys.flatMap(({ terms }) => terms) }
  }
  // As postgres_fdw writes IS NOT DISTINCT FROM.
  if ('BoolExpr' in node && node.BoolExpr.boolop === 'NOT_EXPR') {
    const [denied] = node.BoolExpr.args ?? []
    return denied && 'A_Expr' in denied && denied.A_Expr.kind === 'AEXPR_DISTINCT' ? sameKey(denied.A_Expr, range, isAlone) : undefined
  }
  if (!('A_Expr' in node)) return undefined
  if (node.A_Expr.kind === 'AEXPR_NOT_DISTINCT') return sameKey(node.A_Expr, range, isAlone)
  if (!isEquality(node.A_Expr)) return undefined
  const { kind, lexpr, rexpr } = node.A_Expr
  const left = columnOf(lexpr, range, isAlone)
  if (kind === 'AEXPR_OP') {
    const column = left ?? columnOf(rexpr, range, isAlone)
    const term = scalarTerm(left === undefined ? lexpr : rexpr)
    return column === undefined || term === undefined ? undefined : keyed(column, [term], left === undefined ? rexpr : lexpr)
  }
  if (left === undefined) return undefined
  const terms = kind === 'AEXPR_IN' ? rexpr && 'List' in rexpr && allTerms(rexpr.List.items ?? []) : arrayTerms(rexpr)
  if (!terms) return undefined
  budget.left -= terms.length
  return keyed(left, terms, lexpr)
}

/** `is not distinct from`: of NULL, rows that are not there matter. */
function sameKey({ lexpr, rexpr }: A_Expr, range: RangeVar, isAlone: boolean): Key | undefined {
  const column = columnOf(lexpr, range, isAlone)
  const term = scalarTerm(rexpr)
  return column === undefined || term === undefined || !('text' in term) || term.text === null ? undefined : { column, terms: [term] }
}

/** How a parameter is bound that is compared with a column's cast, nobody knows. */
function keyed(column: string, terms: readonly Term[], side: Node | undefined): Key | undefined {
  return side !== undefined && 'TypeCast' in side && terms.some((term) => 'param' in term) ? undefined : { column, terms }
}

const KINDS = new Set(['AEXPR_OP', 'AEXPR_IN', 'AEXPR_OP_ANY'])

/** `=`, `in` or `= any`, of Postgres' own. */
function isEquality({ kind, name = [] }: A_Expr): boolean {
  const words = name.map((one) => ('String' in one ? one.String.sval : undefined))
  return KINDS.has(kind ?? '') && words.at(-1) === '=' && (words.length === 1 || (words.length === 2 && words[0] === 'pg_catalog'))
}

function columnOf(node: Node | undefined, range: RangeVar, isAlone: boolean): string | undefined {
  const { schemaname, relname, alias } = range
  if (node !== undefined && 'TypeCast' in node) return isHarmless(node) ? columnOf(node.TypeCast.arg, range, isAlone) : undefined
  if (node === undefined || !('ColumnRef' in node) || renames(alias)) return undefined
  const path = (node.ColumnRef.fields ?? []).map((field) => ('String' in field ? field.String.sval : undefined))
  const column = path.pop()
  const isOurs = path.length === 0
    ? isAlone
    : path.length === 1
      ? path[0] === (alias?.aliasname ?? relname)
      : path.length === 2 && alias === undefined && path[0] === schemaname && path[1] === relname
  return isOurs ? column : undefined
}

/** Whether it gives columns other names, by their position. */
export const renames = (alias: Alias | undefined): boolean => (alias?.colnames ?? []).length > 0
