import type { Database } from '../db/database.ts'
import { type Permit, type QuotaClass, quotaTake, quotaThrottled, type Seen } from '../db/calls.ts'
import type { AnswerHead } from '../hubspot/answer.ts'
import type { Answer } from '../hubspot/client.ts'
import { Renewed, SyncError, Throttled, Transient } from '../lib/errors.ts'

/** An answer, and when it was asked by the database's clock: no later than the request really left. */
export type Asked = { answer: Answer; askedAt: string }

/** Lets calls out: takes the permit, waits for its turn, sends, and slows the budget when HubSpot says so. */
export type Caller = {
  call(kind: 'burst' | 'search', send: () => Promise<Answer>): Promise<Asked>
  /** The same, asking in another class; at first it is `live`. */
  in(turn: QuotaClass): Caller
}

/** Told to ask again for so long, all in all, a call frees its stream for another time, and the job's place for another stream. */
const LONGEST_ASKING_MS = 5_000
/** J holds 20 ms for the lateness of timers (sql/code/30_quota.sql): a send that may be later takes a new turn. */
const LATENESS_MS = 20
/** Clocks are set right by at most this, or set anew. */
const CLOCK_DRIFT = 0.000_5
/** A token may have ended, be refused, and be replaced by another all while a call waits; more than that is another fault. */
const MOST_RENEWALS = 3
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
  const news = newsFor(db)
  const call = async (kind: 'burst' | 'search', turn: QuotaClass, send: () => Promise<Answer>): Promise<Asked> => {
    let waited = 0
    let renewals = 0
    for (let refusals = 0; ; ) {
      const begunAt = performance.now()
      const permit = await quotaTake(db, kind, turn, news.tell(kind))
      const due = news.due(permit, begunAt, performance.now())
      if (!permit.is_granted) {
        waited += permit.delay_ms
        if (permit.refused_by === 'daily' || waited > LONGEST_ASKING_MS) throw later(permit, turn)
        await sleep(permit.delay_ms, signal)
        continue
      }
      await sleep(Math.max(due.latest - performance.now(), 0), signal)
      // Against the later bound: a database far away leaves the turn's time uncertain by as much as it is away, each time alike.
      if (performance.now() - due.latest > LATENESS_MS) continue
      try {
        const answer = await send()
        news.hear(kind, answer, due)
        return { answer, askedAt: permit.asked_at }
      } catch (error) {
        const head = error instanceof SyncError && isHead(error.detail['answer']) ? error.detail['answer'] : undefined
        if (head !== undefined) news.hear(kind, head, due)
        // A turn of its own for what is sent again.
        if (error instanceof Renewed && renewals++ < MOST_RENEWALS) continue
        if (!(error instanceof Throttled)) throw error
        await quotaThrottled(db, error.policy, error.retryAfterMs, head?.date)
        if (++refusals >= MOST_REFUSALS) {
          throw new Transient(error.code, error.message, { retryAfterMs: error.retryAfterMs, hint: error.hint, cause: error })
        }
      }
    }
  }
  const within = (turn: QuotaClass): Caller => ({ call: (kind, send) => call(kind, turn, send), in: within })
  return within('live')
}

/** SH301, SH302: a budget has no turn for a class now; no failure, since it was said when to ask again. */
function later({ refused_by, delay_ms, asked_at }: Permit, turn: QuotaClass): Transient {
  return refused_by === 'daily'
    ? new Transient('SH302', `no request of today's is left for ${turn}: the rest is spent, or kept for what is more urgent`, {
        retryAfterMs: delay_ms,
        hint: `It goes on by itself at ${asked_at}. If your limit is higher: select hubspot.set_quota('daily', …); table hubspot.quota shows what is used.`,
      })
    : new Transient('SH301', `the ${refused_by} budget is full: ${turn} waits for its turn`, {
        retryAfterMs: delay_ms,
        hint: 'Nothing to do: it goes on by itself. table hubspot.quota shows the budgets.',
      })
}

/** What answers told and the database does not know yet: it is told with the next permit. */
type News = {
  /** `due`: when the request was to leave; what it was late on this side counts as delay too, and so does what is uncertain of it. */
  hear(kind: 'burst' | 'search', head: AnswerHead, due: Due): void
  tell(kind: 'burst' | 'search'): Seen | undefined
  /** When a permit's turn comes, by `performance.now()`; it was asked for and answered at these times. */
  due(permit: Permit, begunAt: number, takenAt: number): Due
}

/** The time of a turn, by `performance.now()`: between these, since the database's clock is not ours. */
type Due = { earliest: number; latest: number }

// A poll is one call and its caller lives no longer: what it heard must not be forgotten with it.
const known = new WeakMap<Database, News>()

function newsFor(db: Database): News {
  const news = known.get(db) ?? gatherNews()
  known.set(db, news)
  return news
}

function gatherNews(): News {
  // Per budget, since search has a delay of its own.
  const seen = new Map<'burst' | 'search', Seen>()
  let told = { limits: '', at: 0 }
  // Our clock less the database's lies between a question's leaving and its answer's coming: each round trip narrows it down, so
  // that one that was held up, or that we took late, makes no turn late.
  let ahead = { low: -Infinity, high: Infinity, at: 0 }
  return {
    hear(kind, head, { earliest, latest }) {
      const { burstMax, dailyMax, dailyRemaining } = head.limits
      const limits = `${burstMax ?? told.limits.split(' ')[0]} ${dailyMax}`
      // Limits hardly change; what is left of the day is worth a write every few seconds.
      const isNews = limits !== told.limits || head.sentAt - told.at > 5_000
      if (isNews) told = { limits, at: head.sentAt }
      const after = (at: number) => head.firstByteMs + Math.max(head.sentAt - at, 0)
      const before = seen.get(kind)
      seen.set(kind, {
        ...before,
        first_byte_ms: Math.min(after(latest), before?.first_byte_ms ?? Infinity),
        slowest_ms: Math.max(after(earliest), before?.slowest_ms ?? 0),
        ...(isNews && {
          ...(burstMax !== undefined && { burst_max: burstMax }),
          ...(dailyMax !== undefined && { daily_max: dailyMax }),
          ...(dailyRemaining !== undefined && { daily_remaining: dailyRemaining }),
          ...(head.date !== undefined && { date: head.date }),
        }),
      })
    },
    tell(kind) {
      const news = seen.get(kind)
      seen.delete(kind)
      return news
    },
    due({ clock_ms, delay_ms }, begunAt, takenAt) {
      const drift = (takenAt - ahead.at) * CLOCK_DRIFT
      const [low, high] = [begunAt - clock_ms, takenAt - clock_ms]
      const [least, most] = [Math.max(low, ahead.low - drift), Math.min(high, ahead.high + drift)]
      // Both cannot be, where a clock was set.
      ahead = least <= most ? { low: least, high: most, at: takenAt } : { low, high, at: takenAt }
      return { earliest: clock_ms + delay_ms + ahead.low, latest: clock_ms + delay_ms + ahead.high }
    },
  }
}

const isHead = (value: unknown): value is AnswerHead => typeof value === 'object' && value !== null && 'firstByteMs' in value
