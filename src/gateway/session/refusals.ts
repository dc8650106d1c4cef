import { SyncError } from '../../lib/errors.ts'
import type { Log } from '../../lib/log.ts'
import { Refusal, type ServerError } from '../live.ts'
import { Violation } from '../wire/protocol.ts'

/** The client asked for it. */
export const CANCELED = new Refusal({ code: '57014', message: 'canceling statement due to user request' })
/** Nobody is there to hear of it. */
export const GONE = new Refusal({ code: '57014', message: 'canceling statement: the client is gone' })
/** The worker stops. */
export const STOPPING = new Refusal({ code: '57P01', message: 'terminating connection: the pg-hubspot worker stops' })
/** The server asked for no password: then everyone who reaches the gateway would be whoever they say. */
export const UNCHALLENGED = new Refusal({
  code: 'SH018',
  message: 'the server asks for no password, so the gateway does not let anyone in',
  hint: 'In pg_hba.conf, give the address from which the worker connects scram-sha-256 instead of trust, peer or ident.',
})

/** What a client sent is no protocol. */
export const violates = (message: string): Refusal => new Refusal({ code: '08P01', message })

/** The server does not answer; why is in the worker's log. */
export const unreachable = (): Refusal =>
  new Refusal({ code: '08001', message: 'the gateway cannot reach the database server', hint: "Is it running? The worker's log says what went wrong." })

/** A connection that the gateway does not take, and what to do. */
export const refused = (why: string, hint: string): Refusal => new Refusal({ code: 'SH019', message: `the gateway refuses the connection: ${why}`, hint })

/** Any error as a client is told of it. What only a fault of ours can be is logged. */
export function asRefusal(error: unknown, log: Log): Refusal {
  if (error instanceof Refusal) return error
  if (error instanceof Violation) return violates(error.message)
  if (error instanceof SyncError) return new Refusal({ code: error.code, message: error.message, hint: error.hint })
  const parts = error instanceof Error ? (error as Error & Partial<ServerError>) : undefined
  // As the server says it, on a connection of the worker's.
  if (parts?.code !== undefined && /^[0-9A-Z]{5}$/.test(parts.code)) {
    const { code, message, detail, hint } = parts
    return new Refusal({ code, message, ...(detail !== undefined && { detail }), ...(hint !== undefined && { hint }) })
  }
  log.error('a live session failed', { error })
  return new Refusal({ code: 'SH901', message: parts?.message ?? String(error), hint: 'Please report it.' })
}
