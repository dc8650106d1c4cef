import { pinned } from '../query/pinned.ts'
import type { ServerSide } from './server-side.ts'

/** How long a live session may do nothing, and wait for a lock. */
export type SessionTimes = {
  /** Outside a transaction; a client such as postgres_fdw connects again. */
  idle: string
  /** In a transaction, which holds back vacuum. */
  idleInTransaction: string
  /** A row that the local transaction holds and the foreign table waits for is a deadlock that Postgres cannot see. */
  lock: string
}

// What the client's own options say stands, and so does what is stricter: of the role, the database or the server.
const LIMIT = pinned(`
  select pg_catalog.set_config(s.name, m.value, false)
  from pg_catalog.pg_settings s join pg_catalog.json_each_text($1::pg_catalog.json) m on s.name = m.key
  where s.source <> 'client' and ((s.setting = '0') or s.setting::pg_catalog.numeric > (pg_catalog.extract('epoch', m.value::pg_catalog.interval) * 1000))`)

/** Limits a session that has just signed on. */
export async function limitTimes(server: ServerSide, { idle, idleInTransaction, lock }: SessionTimes): Promise<void> {
  await server.inject(LIMIT, [JSON.stringify({ lock_timeout: lock, idle_session_timeout: idle, idle_in_transaction_session_timeout: idleInTransaction })])
}
