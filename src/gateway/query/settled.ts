import type { Node, RangeVar, VariableSetStmt } from 'libpg-query'

/** Statements after which names mean what they did, but for what {@link definedBy} tells. Of any other kind, nothing is sure. */
const SETTLED = new Set([
  'SelectStmt', 'InsertStmt', 'UpdateStmt', 'DeleteStmt', 'MergeStmt', 'CopyStmt', 'TruncateStmt', 'LockStmt', 'RefreshMatViewStmt',
  'PrepareStmt', 'ExecuteStmt', 'DeallocateStmt', 'DeclareCursorStmt', 'FetchStmt', 'ClosePortalStmt', 'VariableShowStmt',
  'ListenStmt', 'UnlistenStmt', 'NotifyStmt', 'VacuumStmt', 'ConstraintsSetStmt', 'CommentStmt',
  'CreateStmt', 'CreateTableAsStmt', 'ViewStmt', 'IndexStmt', 'CreateSeqStmt', 'AlterSeqStmt', 'AlterTableStmt', 'CreateEnumStmt', 'CreateFunctionStmt', 'CreateTrigStmt',
])
const TRANSACTION_GOES_ON = new Set(['TRANS_STMT_BEGIN', 'TRANS_STMT_START', 'TRANS_STMT_SAVEPOINT', 'TRANS_STMT_RELEASE'])
/** Settings by which names, rights and how old an answer may be are told. */
const TELLING = new Set(['search_path', 'role', 'session_authorization', 'hubspot.max_age'])

/** Whether names mean, and a session may read, after a statement what they did before it. */
export function isSettled(node: Node): boolean {
  if ('ExplainStmt' in node) return node.ExplainStmt.query === undefined || isSettled(node.ExplainStmt.query)
  // A ROLLBACK undoes what was set and made, a COMMIT ends SET LOCAL.
  if ('TransactionStmt' in node) return TRANSACTION_GOES_ON.has(node.TransactionStmt.kind ?? '')
  if ('VariableSetStmt' in node) return !isTelling(node.VariableSetStmt)
  const [kind = ''] = Object.keys(node)
  return SETTLED.has(kind)
}

const isTelling = ({ kind, name = '' }: VariableSetStmt) => kind === 'VAR_RESET_ALL' || TELLING.has(name.toLowerCase())

/** The relation that a statement makes: a view with its query, and whether that gives its columns other names; anything else without. */
export function definedBy(node: Node): { relation: RangeVar; view?: Node; isRenamed?: boolean } | undefined {
  if ('ViewStmt' in node && node.ViewStmt.view) {
    const { view: relation, query, aliases = [] } = node.ViewStmt
    return { relation, isRenamed: aliases.length > 0, ...(query && { view: query }) }
  }
  // One that is there already may be anything.
  if ('CreateStmt' in node && node.CreateStmt.relation && !node.CreateStmt.if_not_exists) return { relation: node.CreateStmt.relation }
  if ('CreateTableAsStmt' in node && node.CreateTableAsStmt.into?.rel && !node.CreateTableAsStmt.if_not_exists) return { relation: node.CreateTableAsStmt.into.rel }
  return undefined
}
