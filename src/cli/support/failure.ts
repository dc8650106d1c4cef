import { ERRORS, SyncError } from '../../lib/errors.ts'
import { printableLines } from '../../lib/printable.ts'
import { sqlState } from '../../db/database.ts'
import { EXIT, Usage } from './command.ts'

/** A failure in words: what went wrong, what to do, and the exit code. */
export type Failure = { message: string; hint: string | undefined; exit: number }

/** Puts an error into one message and one hint. Never shows a URL with its password. */
export function explain(error: unknown, databaseUrl?: string): Failure {
  if (error instanceof Usage) return { message: error.message, hint: error.hint, exit: EXIT.usage }
  if (error instanceof SyncError) return { message: `${error.message} (${error.code})`, hint: error.hint, exit: EXIT.error }
  const state = sqlState(error)
  if (state !== undefined) return { ...ofPostgres(error as PostgresError, state), exit: EXIT.error }
  const code = networkCode(error)
  if (code !== undefined) {
    return { message: `cannot reach PostgreSQL${place(databaseUrl)}: ${NETWORK[code] ?? code}`, hint: NETWORK_HINT, exit: EXIT.error }
  }
  const message = error instanceof Error ? error.message : String(error)
  if (/Connection terminated|timeout exceeded when trying to connect/.test(message)) {
    return { message: `PostgreSQL${place(databaseUrl)} broke off: ${message}`, hint: NETWORK_HINT, exit: EXIT.error }
  }
  return { message: message === '' ? 'unknown error' : message, hint: 'Run it again with --log-level debug to see where.', exit: EXIT.error }
}

/** One or two lines for standard error. */
export function failureLines({ message, hint }: Failure): string {
  const lines = [`pg-hubspot: ${printableLines(message)}`]
  if (hint !== undefined && hint !== '') lines.push(`  ${printableLines(hint)}`)
  return `${lines.join('\n')}\n`
}

type PostgresError = Error & { hint?: string; detail?: string }

/** What to do about errors of Postgres that come without a hint. */
const POSTGRES: readonly [RegExp, string][] = [
  [/^28/, 'Check user and password in DATABASE_URL, and pg_hba.conf on the server.'],
  [/^3D000/, 'Create the database first, or name another in DATABASE_URL.'],
  [/^42501/, 'Connect as the role that installed pg-hubspot, or let it grant this: hubspot.grant_read() to look, hubspot.grant_control() to drive it. The worker and connect are its own.'],
  [/^(3F000|42P01|42883)/, 'Is pg-hubspot installed here, in this version? Run: npx pg-hubspot install'],
  [/^53300/, 'The server has no connection left: raise max_connections or lower --concurrency.'],
  [/^57P0/, 'The server is starting or stopping: try again in a moment.'],
]

/** As PgBouncer and RDS Proxy word it. */
const POOLER_HINT = 'A pooler refuses the settings that sessions of pg-hubspot begin with (-c search_path, -c default_transaction_isolation): give a direct connection in DATABASE_URL, or a pooler that passes startup options on.'

function ofPostgres(error: PostgresError, state: string): Omit<Failure, 'exit'> {
  const detail = error.detail === undefined || state in ERRORS ? '' : `: ${error.detail}`
  const hint = error.hint ?? (/startup parameter|command-line options/.test(error.message) ? POOLER_HINT : POSTGRES.find(([pattern]) => pattern.test(state))?.[1])
  return { message: `${error.message}${detail} (${state})`.replaceAll('\n', ' '), hint }
}

const NETWORK: Record<string, string> = {
  ECONNREFUSED: 'nothing listens there (ECONNREFUSED)',
  ENOTFOUND: 'there is no such host (ENOTFOUND)',
  EAI_AGAIN: 'its name could not be looked up (EAI_AGAIN)',
  ETIMEDOUT: 'no answer (ETIMEDOUT)',
  ECONNRESET: 'the connection was reset (ECONNRESET)',
  EHOSTUNREACH: 'no route to the host (EHOSTUNREACH)',
}
const NETWORK_HINT = 'Is the server running, and are host and port in DATABASE_URL right? A firewall or TLS setting may stand between.'

function networkCode(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined
  const { code } = error as NodeJS.ErrnoException
  return code !== undefined && /^E[A-Z_]+$/.test(code) && !code.startsWith('ERR_') && ('syscall' in error || error instanceof AggregateError) ? code : undefined
}

function place(databaseUrl: string | undefined): string {
  if (databaseUrl === undefined || !URL.canParse(databaseUrl)) return ''
  const { hostname, port } = new URL(databaseUrl)
  return ` at ${hostname === '' ? 'localhost' : hostname}:${port === '' ? '5432' : port}`
}
