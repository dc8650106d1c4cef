import type pg from 'pg'
import { type Database, isSessionEnded } from './database.ts'

/** How long a step may go on after it should end, ms: then its session is ended, and what it did is undone. */
const GRACE_MS = 2_000

/** A step whose session ended in the midst of it. */
export type Ended = {
  /** The record that was tried alone; null: several were. */
  record: string | null
  /** Since when the server is up. */
  serverAt: string
  /** It is nothing new of that record, or no accident: we ended it, since it went on after delivery_timeout. */
  isSure: boolean
  /** Why, for the problem; ends in the SQLSTATE. */
  error: string
}

type Begun = { pid: number; limit_ms: number; server_at: string; alone: string | null; has_ended: boolean | null }

/**
 * Delivers changes of a subscription for a second or so: more, when more is due now. A function that takes longer than the setting
 * delivery_timeout is broken off, and its session ended where it goes on all the same. `isCareful`: one change, alone.
 */
export async function deliverStep(
  db: Database, subscription: number, isCareful: boolean, signal: AbortSignal,
): Promise<'done' | 'more' | Ended> {
  const client = await db.pool.connect()
  let failure: Error | undefined
  let begun: Begun | undefined
  let overdue: Promise<boolean> | undefined
  const timers: NodeJS.Timeout[] = []
  const after = (ms: number, what: () => unknown) => timers.push(setTimeout(() => void what(), ms))
  const end = () => {
    // What nothing interrupts goes on without us.
    after(GRACE_MS, () => (client as unknown as pg.Client).end().catch(() => undefined))
    return isEnded(db, begun!.pid).catch(() => false)
  }
  const stop = () => after(GRACE_MS, end)
  try {
    await client.query('begin')
    begun = (await client.query<Begun>('select * from hubspot_private.deliver_begin(subscription => $1, is_careful => $2)', [subscription, isCareful])).rows[0]!
    if (signal.aborted) stop()
    else signal.addEventListener('abort', stop, { once: true })
    after(begun.limit_ms + GRACE_MS, () => (overdue = end()))
    const { rows } = await client.query<{ is_more: boolean }>(
      'select hubspot_private.deliver_step(subscription => $1, is_careful => $2, alone => $3) as is_more',
      [subscription, isCareful, begun.alone],
    )
    // The commit may wait for a standby.
    timers.forEach(clearTimeout)
    await client.query('commit')
    return rows[0]!.is_more ? 'more' : 'done'
  } catch (error) {
    failure = error instanceof Error ? error : new Error(String(error))
    const isOverdue = (await overdue) === true
    if (begun === undefined || signal.aborted || !(isOverdue || isSessionEnded(error))) throw error
    return {
      record: begun.alone,
      serverAt: begun.server_at,
      isSure: isOverdue || begun.has_ended === true,
      error: isOverdue
        ? 'it took longer than delivery_timeout, and went on when it was broken off (57P01)'
        : `it ended its session: ${failure.message} (${(error as pg.DatabaseError).code})`,
    }
  } finally {
    signal.removeEventListener('abort', stop)
    timers.forEach(clearTimeout)
    // With what a function may have left behind in it, it is not used again.
    client.release(failure)
  }
}

/** Ends a session that is at work; false: none is, so its answer was lost on the way. */
async function isEnded(db: Database, pid: number): Promise<boolean> {
  const { rows } = await db.pool.query(
    `select pg_terminate_backend(a.pid) from pg_stat_activity a
     where a.pid = $1 and a.state is distinct from 'idle' and a.state is distinct from 'idle in transaction'`,
    [pid],
  )
  return rows.length > 0
}

/** The call with a record's change ended its session: it counts as not taken, unless it was the server that stopped. */
export async function deliveryEnded(db: Database, subscription: number, { record, serverAt, error }: Ended): Promise<void> {
  await db.pool.query(
    'select hubspot_private.delivery_ended(subscription => $1, record_id => $2, server_at => $3, error => $4)',
    [subscription, record, serverAt, error],
  )
}

/** Queues a look at a subscription: now, or in a second, for want of a turn. */
export async function subscriptionWake(db: Database, id: number, isLater = false): Promise<void> {
  await db.pool.query(isLater
    ? 'select hubspot_private.subscription_later(id => $1)'
    : 'select hubspot_private.subscription_wake(id => $1)', [id])
}
