/**
 * A text of ours for a client's session, whose search path may hold what others laid there: an operator for just these types
 * would go before Postgres' own, and run as the client. Constructs that bring an operator by themselves, as `in` and `nullif`
 * do, cannot say whose.
 */
export function pinned(sql: string): string {
  return sql.replaceAll(/ (=|<>|>|\*|\|\|) /g, ' operator(pg_catalog.$1) ')
}
