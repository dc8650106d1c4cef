import type { Log } from '../../lib/log.ts'
import { type Live, type LiveSession, Refusal, type Statement, type Verdict } from '../live.ts'
import { asRefusal } from './refusals.ts'
import { Closed, type ServerSide } from './server-side.ts'

/** Whose session it is. */
export type Who = { id: string; user: string; database: string }

/** One question under way. */
type Question = { abort: AbortController; mayInject: boolean }

const NOT_HERE = new Refusal({
  code: '0A000',
  message: 'nothing can be looked up for a statement here',
  hint: 'End what comes before it with Sync instead of Flush.',
})

/** A session's questions to Live, one after another, and what Live runs on the session's server meanwhile. */
export class Consult {
  readonly #live: Live
  readonly #who: Who
  readonly #server: ServerSide
  readonly #log: Log
  readonly #state = new Map<string, unknown>()
  #question: Question | undefined
  #injecting: Promise<unknown> = Promise.resolve()
  /** A COMMIT's: nobody stops it half-way. */
  isCommitting = false

  constructor(live: Live, who: Who, server: ServerSide, log: Log) {
    this.#live = live
    this.#who = who
    this.#server = server
    this.#log = log
  }

  /** What becomes of a statement. `mayInject`: whether something can be run before it. Throws Closed. */
  prepare(statement: Statement, mayInject: boolean): Promise<Verdict> {
    return this.#ask((session) => this.#live.prepare(statement, session), mayInject)
  }

  /** What becomes of a COMMIT. Refused, the transaction is rolled back. */
  async commit(): Promise<Verdict> {
    if (this.#live.commit === undefined || this.#server.status !== 'T') return { do: 'forward' }
    this.isCommitting = true
    const verdict = await this.#ask((session) => this.#live.commit!(session), true)
    if (verdict.do === 'refuse') await this.#server.inject('rollback', [])
    return verdict
  }

  /** Ends what is asked, with this for an answer. A COMMIT's question goes on. */
  abort(why: Refusal): void {
    if (!this.isCommitting) this.#question?.abort.abort(why)
  }

  async #ask(what: (session: LiveSession) => Promise<Verdict>, mayInject: boolean): Promise<Verdict> {
    const question: Question = { abort: new AbortController(), mayInject }
    const { signal } = question.abort
    this.#question = question
    const aborted = new Promise<never>((_, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true })
    })
    const inject: LiveSession['inject'] = (sql, params = []) => this.#inject(question, sql, params)
    const { transaction, status, unasked, version } = this.#server
    const session = { ...this.#who, transaction, isInTransaction: status === 'T', hasFailed: status === 'E', unasked, version, state: this.#state, signal, inject }
    try {
      return await Promise.race([what(session), aborted])
    } catch (error) {
      if (error instanceof Closed) throw error
      return { do: 'refuse', error: asRefusal(error, this.#log).error }
    } finally {
      question.mayInject = false
      this.#question = undefined
      // Whoever does not wait for Live waits for what it runs: the server does one thing at a time.
      await this.#injecting
    }
  }

  #inject(question: Question, sql: string, params: readonly (string | null)[]): Promise<(string | null)[][]> {
    const next = this.#injecting.then(() => {
      if (!question.mayInject) throw NOT_HERE
      return this.#server.inject(sql, params)
    })
    this.#injecting = next.catch(() => undefined)
    return next
  }
}
