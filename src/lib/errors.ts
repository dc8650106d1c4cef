/**
 * Every code this product raises, in SQL and here, with its name. `sql/code/10_errors.sql` holds
 * the same table for the database side, and a test compares the two.
 *
 * SH0 set-up · SH1 the caller's mistake · SH2 HubSpot refused or failed · SH3 budget · SH9 our bug.
 */
export const ERRORS = {
  SH001: 'newer_database',
  SH002: 'missing_privilege',
  SH003: 'not_connected',
  SH004: 'pooled_connection',
  SH005: 'wrong_database',
  SH006: 'queue_version',
  SH007: 'postgres_unsupported',
  SH008: 'no_worker',
  SH009: 'database_refused',
  SH010: 'database_unfit',
  SH011: 'key_missing',
  SH012: 'key_differs',
  SH013: 'renewal_off',
  SH014: 'http_address',
  SH015: 'webhook_secret_missing',
  SH016: 'not_installed',
  SH017: 'gateway_unfit',
  SH018: 'gateway_unchallenged',
  SH019: 'gateway_refused',
  SH020: 'name_taken',
  SH101: 'object_not_tracked',
  SH102: 'object_unknown',
  SH103: 'property_unknown',
  SH104: 'argument_invalid',
  SH105: 'table_read_only',
  SH106: 'role_unknown',
  SH107: 'setting_unknown',
  SH108: 'in_transaction',
  SH109: 'stream_unknown',
  SH110: 'wait_timed_out',
  SH111: 'budget_unknown',
  SH112: 'setting_invalid',
  SH113: 'object_parked',
  SH114: 'column_in_use',
  SH115: 'associations_not_tracked',
  SH117: 'changes_gone',
  SH118: 'subscription_unknown',
  SH119: 'owner_needed',
  SH122: 'types_differ',
  SH123: 'role_owns',
  SH120: 'schedule_stretched',
  SH121: 'budget_too_small',
  SH124: 'live_unavailable',
  SH125: 'live_disabled',
  SH126: 'live_in_use',
  SH127: 'table_in_use',
  SH201: 'token_refused',
  SH202: 'scope_missing',
  SH203: 'request_refused',
  SH204: 'portal_differs',
  SH205: 'account_locked',
  SH206: 'hubspot_unreachable',
  SH207: 'hubspot_failed',
  SH208: 'answer_unreadable',
  SH209: 'value_not_castable',
  SH210: 'body_repaired',
  SH211: 'object_unavailable',
  SH212: 'record_unreadable',
  SH213: 'record_refused',
  SH214: 'row_spilled',
  SH215: 'property_unreadable',
  SH216: 'deletes_held',
  SH218: 'definition_refused',
  SH220: 'table_held',
  SH221: 'type_kept',
  SH222: 'object_archived',
  SH223: 'notify_off',
  SH224: 'delivery_failed',
  SH225: 'delivery_late',
  SH217: 'associations_unsaid',
  SH226: 'refresh_refused',
  SH227: 'client_refused',
  SH228: 'authorisation_failed',
  SH229: 'webhook_refused',
  SH230: 'webhook_portal_differs',
  SH231: 'live_behind',
  SH232: 'live_late',
  SH233: 'feed_blocked',
  SH234: 'erasure_waits',
  SH235: 'version_unread',
  SH301: 'throttled',
  SH302: 'daily_spent',
  SH901: 'bug',
} as const

/** A five-character code of class SH, as SQLSTATE has it; the table's values are what `hubspot_private.fail()` takes. */
export type ErrorCode = keyof typeof ERRORS

/** Whether a SQLSTATE is one of ours. */
export const isErrorCode = (code: string | null | undefined): code is ErrorCode => Object.hasOwn(ERRORS, code ?? '')

/** What every error carries beside its code and message. */
export type ErrorParts = {
  /** What to do next, as a command where there is one. Never empty. */
  hint: string
  /** Plain data for logs and `hubspot.problems`. Never a secret. */
  detail?: Record<string, unknown>
  cause?: unknown
}

/**
 * The common shape of this product's errors. Throw one of its subclasses: they are named by what
 * the caller does next, so that a caller tests the class and never a text.
 */
export class SyncError extends Error {
  readonly code: ErrorCode
  readonly hint: string
  readonly detail: Record<string, unknown>

  constructor(code: ErrorCode, message: string, { hint, detail = {}, cause }: ErrorParts) {
    super(message, cause === undefined ? undefined : { cause })
    this.name = new.target.name
    this.code = code
    this.hint = hint
    this.detail = detail
  }
}

/** The budget that HubSpot says is spent. */
export type ThrottlePolicy = 'burst' | 'search' | 'daily'

/** A 429: slow this budget down and ask again; no run fails by it. SH302 for `daily`, else SH301. */
export class Throttled extends SyncError {
  readonly policy: ThrottlePolicy
  /** HubSpot's own Retry-After in milliseconds, where it sent one. */
  readonly retryAfterMs: number | undefined

  constructor(
    message: string,
    { policy, retryAfterMs, ...parts }: ErrorParts & { policy: ThrottlePolicy; retryAfterMs?: number | undefined },
  ) {
    super(policy === 'daily' ? 'SH302' : 'SH301', message, parts)
    this.policy = policy
    this.retryAfterMs = retryAfterMs
  }
}

/** Heals by itself: ask again later, with back-off, and not before `retryAfterMs` where it is given. */
export class Transient extends SyncError {
  /** Milliseconds that must pass first, where they are known. */
  readonly retryAfterMs: number | undefined

  constructor(
    code: ErrorCode,
    message: string,
    { retryAfterMs, ...parts }: ErrorParts & { retryAfterMs?: number | undefined },
  ) {
    super(code, message, parts)
    this.retryAfterMs = retryAfterMs
  }
}

/** The access token was renewed meanwhile: take a turn and ask again at once. SH201. */
export class Renewed extends Transient {
  constructor(cause?: unknown) {
    super('SH201', 'the access token was renewed', { retryAfterMs: 0, cause, hint: 'Nothing to do: it is asked again at once.' })
  }
}

/** HubSpot understood and said no: asking again changes nothing until a person does. Park it. */
export class Refused extends SyncError {
  /** HTTP status; 0 where nothing was sent because it could only have been refused. */
  readonly status: number
  /** HubSpot's category, such as `MISSING_SCOPES`; empty where it sent none. */
  readonly category: string
  /** The scopes that HubSpot asked for in a 403, where it named them. */
  readonly scopes: readonly string[] | undefined

  constructor(
    code: ErrorCode,
    message: string,
    {
      status,
      category,
      scopes,
      ...parts
    }: ErrorParts & { status: number; category: string; scopes?: readonly string[] | undefined },
  ) {
    super(code, message, parts)
    this.status = status
    this.category = category
    this.scopes = scopes
  }
}

/** The person at the keyboard asked for something that cannot be: say so, with the hint. */
export class Misuse extends SyncError {}

/** A state this code holds to be impossible. SH901. */
export class Bug extends SyncError {
  constructor(message: string, { hint = REPORT, ...parts }: Partial<ErrorParts> = {}) {
    super('SH901', message, { hint, ...parts })
  }
}

const REPORT = 'This is a fault of pg-hubspot: please report it with this message and its detail.'
