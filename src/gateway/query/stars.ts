import type { Node, SelectStmt, SubLink } from 'libpg-query'

/** Whether what a query shows, or a statement returns, has a `*` in it: columns that are not named. */
export function hasStar(node: Node | undefined): boolean {
  if (node === undefined) return false
  if ('SelectStmt' in node) return selectsStar(node.SelectStmt)
  const [statement] = Object.values(node) as [{ returningClause?: { exprs?: Node[] }; returningList?: Node[] }?]
  return [...(statement?.returningClause?.exprs ?? []), ...(statement?.returningList ?? [])].some(isStar)
}

/** Whether columns count by where they stand in a `*`: of a union or the like, by DISTINCT, by a number, or for another table. */
export function isByPosition(select: SelectStmt): boolean {
  const { larg, distinctClause = [], sortClause = [], groupClause = [], intoClause } = select
  const isNumbered = [...sortClause.map((one) => ('SortBy' in one ? one.SortBy.node : one)), ...groupClause].some((one) => one !== undefined && ('A_Const' in one || 'GroupingSet' in one))
  return (larg !== undefined || distinctClause.length > 0 || isNumbered || intoClause !== undefined) && selectsStar(select)
}

/** Whether the rows of a query in an expression are values there. */
export function isOfRows({ subLinkType, subselect }: SubLink): boolean {
  return subLinkType !== 'EXISTS_SUBLINK' && hasStar(subselect)
}

function selectsStar(select: SelectStmt): boolean {
  // Thousands may be strung together, each the left one of the next.
  for (let one: SelectStmt | undefined = select; one !== undefined; one = one.larg) {
    if ((one.targetList ?? []).some(isStar) || (one.rarg !== undefined && selectsStar(one.rarg))) return true
  }
  return false
}

/** `*` or `name.*` as it stands in a list. */
export function isStar(node: Node): boolean {
  const { val } = 'ResTarget' in node ? node.ResTarget : {}
  return val !== undefined && 'ColumnRef' in val && (val.ColumnRef.fields ?? []).some((field) => 'A_Star' in field)
}
