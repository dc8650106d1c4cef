import { Kysely, PostgresDialect } from 'kysely'
import pg from 'pg'
import { Misuse } from '../lib/errors.ts'
import { Session } from './session.ts'
import { cutSilent, PATIENCE, type Patience } from './silence.ts'
import type { DB } from './types.ts'
export { asJsonb } from './jsonb.ts'

/** The database: a pool for functions, kysely for reading views. */
export type Database = AsyncDisposable & {
  readonly pool: pg.Pool
  readonly views: Kysely<DB>
  close(): Promise<void>
}

/** How many connections and under which name. */
export type DatabaseOptions = {
  max?: number
  applicationName?: string
  onError?: (error: Error) => void
  patience?: Patience
  /** No transaction_timeout of the database's or the role's ends its transactions. Its connections are sessions. */
  isPatient?: boolean
}

/**
 * The statement that sets transaction_timeout to none. Postgres knows it from 17 on, and takes no setting at the start of a
 * session that it does not know.
 */
export const unlimited = (isLocal: boolean) =>
  `select pg_catalog.set_config('transaction_timeout', '0', ${isLocal}) where pg_catalog.current_setting('transaction_timeout', true) is not null`

/** Opens a pool, of sessions under the pinned path. Nothing is sent before the first query. */
export function openDatabase(
  url: string | undefined,
  { max = 10, applicationName = 'pg-hubspot', onError = () => undefined, patience = PATIENCE, isPatient = false }: DatabaseOptions = {},
): Database {
  const fault = url === undefined ? 'is not set' : databaseUrlFault(url)
  if (url === undefined || fault !== undefined) {
    throw new Misuse('SH104', `DATABASE_URL ${fault}`, { hint: 'Set it, as in DATABASE_URL=postgres://user:password@host:5432/database' })
  }
  const pool = new pg.Pool({
    Client: Session,
    connectionString: url,
    max,
    application_name: applicationName,
    // Waited for, whatever its type says; not watched yet.
    ...(isPatient && { onConnect: (client) => client.query({ text: unlimited(false), query_timeout: 15_000 } as pg.QueryConfig) as unknown as void }),
    types: { getTypeParser },
    // An idle half-open connection is found out by the kernel, one with a query under way by cutSilent().
    keepAlive: true,
    keepAliveInitialDelayMillis: 10_000,
    connectionTimeoutMillis: 15_000,
  })
  // An idle connection that breaks is replaced by the next query; nobody else would catch this event.
  pool.on('error', onError)
  pool.on('connect', (client) => client.on('error', onError))
  cutSilent(pool, url, patience)
  const close = async () => {
    if (!pool.ended) await pool.end()
  }
  return {
    pool,
    views: new Kysely<DB>({ dialect: new PostgresDialect({ pool }) }).withSchema('hubspot'),
    close,
    [Symbol.asyncDispose]: close,
  }
}

/** Why a text is no URL of a database; never repeats it, since there is a password in it. */
export function databaseUrlFault(url: string): string | undefined {
  if (!/^postgres(ql)?:\/\//.test(url)) return 'is not a postgres:// URL'
  try {
    new pg.Client({ connectionString: url })
    // A password that is not encoded ends at its #, and what follows would be left out without a word.
    if (!url.includes('#')) return undefined
  } catch (error) {
    // Of certificates that are not there it is told when they are used.
    if (!(error instanceof URIError) && (error as NodeJS.ErrnoException).code !== 'ERR_INVALID_URL') return undefined
  }
  return 'cannot be read: a port is a number up to 65535, and in user and password # is written %23, / %2F, ? %3F, @ %40, : %3A and % %25'
}

const { builtins } = pg.types
// Dates in JavaScript lose microseconds, and days in some time zones; ids lose digits as numbers.
const TEXTUAL = new Set<number>([builtins.DATE, builtins.TIMESTAMP, builtins.TIMESTAMPTZ, builtins.INTERVAL, builtins.INT8])

function getTypeParser(oid: number, format?: 'text' | 'binary') {
  if (TEXTUAL.has(oid)) return (value: string) => value
  return format === 'binary' ? pg.types.getTypeParser(oid, 'binary') : pg.types.getTypeParser(oid, 'text')
}

/** The SQLSTATE of an error that Postgres raised; undefined for any other error. */
export function sqlState(error: unknown): string | undefined {
  return error instanceof pg.DatabaseError ? error.code : undefined
}

/** Refusals of a body that parsing and repairing it may mend: not JSON, NUL, lone surrogate, out of range, too deep. */
const BODY_STATES = new Set(['22P02', '22P05', '22021', '22003', '54000', '54001'])

/** Whether Postgres refused the text of a body, and not what it says. */
export function isBodyRefused(error: unknown): boolean {
  return BODY_STATES.has(sqlState(error) ?? '')
}

/** Whether a row was refused: by its width or an index, a constraint, its values, or a trigger that raised. */
export function isRecordRefused(error: unknown): boolean {
  return /^(22|23|54|P0)/.test(sqlState(error) ?? '')
}

/**
 * Whether a trigger of a user's may have raised it for one record: any state but our own, and those of locks, the connection and
 * the server, which count where a function of a user's was at work, as one that calls a verb.
 */
export function mayBeOneRecords(error: unknown): boolean {
  const state = sqlState(error)
  if (state === undefined || SERVERS.test(state)) return false
  return !/^(08|40|53|57|58|55P03|SH(?!105))/.test(state) || isOfUsersCode(error as pg.DatabaseError)
}

/** A server that stops, or has no room left: whoever's code is at work then is not to blame. */
const SERVERS = /^(57P01|53[12]00)/

/** As hubspot_private.refusal_note has it: in any language of messages a line that names a function has PL/ in it. */
function isOfUsersCode({ where = '' }: pg.DatabaseError): boolean {
  return where.replace(/hubspot_private\.(write_\d+|gone_apply)\([^]*/, '').split('\n').some((line) => /PL\/[A-Za-z]/.test(line) && !line.includes('hubspot_private.'))
}

/** Serialization failure, deadlock, lock time-out; a column or table that changed under a statement; a prepared one that a user's trigger took away. */
const AGAIN_STATES = new Set(['40001', '40P01', '55P03', '42703', '42P01', '42883', '26000'])

/** Whether a statement named a column or table that is not there, or not any more. */
export function isCatalogueStale(error: unknown): boolean {
  return ['42703', '42P01'].includes(sqlState(error) ?? '')
}

/** Whether the same statement may go through at once. */
export function isWorthRepeating(error: unknown): boolean {
  return AGAIN_STATES.has(sqlState(error) ?? '')
}

/** What a lock or a deadlock with others kept from being done is done again, so often at most. */
export async function repeatedly<T>(what: () => Promise<T>, most = 3): Promise<T> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await what()
    } catch (error) {
      if (!isWorthRepeating(error) || tries >= most) throw error
    }
  }
}

/**
 * Runs something on a connection that is known to answer: with one session others of the pool may have been ended, which nobody
 * has noticed yet.
 */
export async function onLiving<Result>({ pool }: Pick<Database, 'pool'>, run: (client: pg.PoolClient) => Promise<Result>): Promise<Result> {
  for (let others = pool.totalCount; ; others -= 1) {
    const client = await pool.connect()
    let failure: Error | undefined
    let isAlive = false
    try {
      await client.query('select')
      isAlive = true
      return await run(client)
    } catch (error) {
      failure = error instanceof Error ? error : new Error(String(error))
      if (isAlive || others <= 0 || !isSessionEnded(error)) throw error
    } finally {
      client.release(failure)
    }
  }
}

/**
 * Runs something that has ended its session before; undefined if it does so again, and alone: a session that stands idle beside it
 * lives on. A server that stops or someone who ends sessions takes both, and that error is thrown.
 */
export async function unlessEnding<Result>(db: Pick<Database, 'pool'>, run: (client: pg.PoolClient) => Promise<Result>): Promise<Result | undefined> {
  // Not of the pool: all of its connections may wait for a second one.
  const witness = new Session(db.pool.options)
  witness.on('error', () => undefined)
  try {
    await witness.connect()
    return await onLiving(db, run)
  } catch (error) {
    if (!isSessionEnded(error)) throw error
    // Whoever ends sessions one after the other has come to it by then.
    await witness.query('select pg_sleep(0.1)').catch(() => { throw error })
    return undefined
  } finally {
    witness.end().catch(() => undefined)
  }
}

/** Whether a session was ended alone, or with all others by a server that stops. */
export function isSessionEnded(error: unknown): boolean {
  return ['57P01', '25P04'].includes(sqlState(error) ?? '')
}

/**
 * Whether the database itself was away: no answer came from it, or it said that it is stopping, starting or full. What else was
 * raised within a function says that of another server, as a foreign table's.
 */
export function isConnectionLost(error: unknown): boolean {
  const state = sqlState(error)
  if (state === undefined) return isNetworkError(error)
  return SERVERS.test(state) || /^(08|53|57P)/.test(state) && (error as pg.DatabaseError).where === undefined
}

function isNetworkError(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  const code = (error as NodeJS.ErrnoException).code ?? ''
  return /^E[A-Z]+$/.test(code) || /Connection terminated|connection timeout|Client has encountered/i.test(error.message)
}
