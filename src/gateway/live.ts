/** What the gateway answers a client in the place of the server: the fields of its ErrorResponse. */
export type ServerError = {
  /** SQLSTATE, five characters. */
  code: string
  message: string
  detail?: string
  hint?: string
}

/** What a client is told beside its answer. */
export type ServerNotice = ServerError & { severity: 'WARNING' | 'NOTICE' | 'INFO' }

/** A statement before the server sees it. A simple query is one, however many it holds. */
export type Statement = {
  /** Of a name that was not parsed on this session by the protocol: `execute "name"`, as in SQL. */
  text: string
  /** As the client bound them; undefined for a simple query. */
  params: readonly (Buffer | null)[] | undefined
  /** 0 text, 1 binary: one for each parameter. */
  formats?: readonly number[]
  /** Ids of the parameters' types as the client gave them; 0, or none: it left that to the statement. */
  types?: readonly number[]
  /** In its literals a backslash takes what follows it along: standard_conforming_strings was off when it was read. */
  escapes?: boolean
  /** Texts sent along with it that run one after another and have not yet, up to its own: one list, which grows with each. */
  part?: readonly string[]
  /** Names that were parsed, in that part. */
  parsed?: { has(name: string): boolean }
  /** It was read before: what its names meant then, it may still mean. */
  isKept?: true
}

/**
 * Runs one statement of the gateway's own on the client's server process, in its transaction and with its rights; the client
 * sees nothing of it. Values come back as text. An error aborts the client's transaction, as any would, and is thrown as a
 * Refusal. Throws 0A000 between a Flush and its Sync, where nothing can be run, and once the statement is answered.
 */
export type Inject = (sql: string, params?: readonly (string | null)[]) => Promise<readonly (readonly (string | null)[])[]>

/** The session for whom a statement is prepared. */
export type LiveSession = {
  id: string
  /** Who signed on; `set role` may have made it another. */
  user: string
  database: string
  inject: Inject
  /** Another number for each transaction, whichever way the one before ended; whether one is under way, begun by BEGIN. */
  transaction: number
  isInTransaction: boolean
  /** How often the session did what nobody was asked of: an error took something back, or a function was called by its number. */
  unasked: number
  /** It failed: nothing can be injected until it is over. */
  hasFailed: boolean
  /** The server's major version; NaN where it does not say. */
  version: number
  /** Aborted when the client cancels or is gone, and when the gateway stops. */
  signal: AbortSignal
  /** Lives as long as the session. */
  state: Map<string, unknown>
}

/** What becomes of a statement. `text` goes in the place of its own, where it is parsed in the same breath as it is run. */
export type Verdict =
  | { do: 'forward'; text?: string; notices?: readonly ServerNotice[] }
  | { do: 'refuse'; error: ServerError }

/** What a session does with a statement before it is forwarded. An error thrown is a refusal. */
export type Live = {
  /**
   * Called for each simple query, and for each statement bound: the server takes its snapshot then, and not at Execute. Not
   * called in a transaction that failed, for a ROLLBACK neither: the server runs nothing else there. Called there for what
   * is sent along with that and after it, and may be run.
   */
  prepare(statement: Statement, session: LiveSession): Promise<Verdict>
  /**
   * Called before a COMMIT that stands alone is forwarded. Refused, the transaction is rolled back and over. Once it was
   * called, a client that goes away stops neither it nor the COMMIT.
   */
  commit?(session: LiveSession): Promise<Verdict>
  /** Called when the last session is over. */
  end?(): void
}

/** An error that a client gets as it is, of the gateway's own making or of the server's. */
export class Refusal extends Error {
  readonly error: ServerError
  constructor(error: ServerError) {
    super(error.message)
    this.name = 'Refusal'
    this.error = error
  }
}
