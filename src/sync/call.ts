import type { Database } from '../db/database.ts'
import { quotaTake, quotaThrottled, type Seen } from '../db/calls.ts'
import type { AnswerHead } from '../hubspot/answer.ts'
import type { Answer } from '../hubspot/client.ts'
import { SyncError, Throttled, Transient } from '../lib/errors.ts'

/** An answer, and when it was asked by the database's clock: no later than the request really left. */
export type Asked = { answer: Answer; askedAt: string }

/** Lets a call out: takes the permit, waits for its turn, sends, and slows the budget when HubSpot says so. */
export type Caller = {
  call(kind: 'burst' | 'search', send: () => Promise<Answer>): Promise<Asked>
}

/** A turn further away than this frees the stream for another time. */
const LONGEST_WAIT_MS = 15_000
/** J holds 20 ms for the lateness of timers (sql/code/30_quota.sql): a send that is later takes a new turn. */
const LATENESS_MS = 20
/** 429s in a row, each of which slowed the budget, after which the step gives up for now. */
const MOST_REFUSALS = 8

/** The only way to HubSpot for whoever syncs: no call can escape the budget. */
export function createCaller({
  db,
  signal,
  sleep,
}: {
  db: Database
  signal: AbortSignal
  sleep: (ms: number, signal: AbortSignal) => Promise<void>
}): Caller {
  // Per budget, since search has a delay of its own.
  const seen = new Map<'burst' | 'search', Seen>()
  let told = { limits: '', at: 0 }

  const observe = (kind: 'burst' | 'search', head: AnswerHead) => {
    const { burstMax, dailyMax, dailyRemaining } = head.limits
    const limits = `${burstMax} ${dailyMax}`
    // Limits hardly change; what is left of the day is worth a write every few seconds.
    const isNews = limits !== told.limits || head.sentAt - told.at > 5_000
    if (isNews) told = { limits, at: head.sentAt }
    seen.set(kind, {
      first_byte_ms: head.firstByteMs,
      ...(isNews && {
        ...(burstMax !== undefined && { burst_max: burstMax }),
        ...(dailyMax !== undefined && { daily_max: dailyMax }),
        ...(dailyRemaining !== undefined && { daily_remaining: dailyRemaining }),
        ...(head.date !== undefined && { date: head.date }),
      }),
    })
  }

  return {
    async call(kind, send) {
      for (let refusals = 0; ; ) {
        const permit = await quotaTake(db, kind, seen.get(kind))
        seen.delete(kind)
        const takenAt = performance.now()
        if (!permit.is_granted || permit.delay_ms > LONGEST_WAIT_MS) {
          throw new Transient(permit.is_granted ? 'SH301' : 'SH302', 'the budget has no request left for now', {
            retryAfterMs: permit.delay_ms,
            hint: 'Nothing to do: it goes on by itself. table hubspot.quota shows the budgets.',
          })
        }
        await sleep(permit.delay_ms, signal)
        if (performance.now() - takenAt - permit.delay_ms > LATENESS_MS) continue
        try {
          const answer = await send()
          observe(kind, answer)
          return { answer, askedAt: permit.asked_at }
        } catch (error) {
          if (error instanceof SyncError && isHead(error.detail['answer'])) observe(kind, error.detail['answer'])
          if (!(error instanceof Throttled)) throw error
          await quotaThrottled(db, error.policy, error.retryAfterMs)
          if (error.policy === 'daily' || ++refusals >= MOST_REFUSALS) {
            throw new Transient(error.code, error.message, { retryAfterMs: error.retryAfterMs, hint: error.hint, cause: error })
          }
        }
      }
    },
  }
}

const isHead = (value: unknown): value is AnswerHead => typeof value === 'object' && value !== null && 'firstByteMs' in value
