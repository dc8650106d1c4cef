import type { Database } from './database.ts'

/** How long a step may go on after it should end, ms: then its session is ended, and what it did is undone. */
const GRACE_MS = 2_000

/**
 * Delivers changes of a subscription for a second or so; true when more is due now. A function that takes longer than the setting
 * delivery_timeout is broken off. `isCareful`: one change, alone.
 */
export async function deliverStep(db: Database, subscription: number, isCareful: boolean, signal: AbortSignal): Promise<boolean> {
  const client = await db.pool.connect()
  let failure: Error | undefined
  let timer: NodeJS.Timeout | undefined
  let end = () => undefined as void
  try {
    await client.query('begin')
    const { rows: [begun] } = await client.query<{ pid: number }>('select hubspot_private.deliver_begin() as pid')
    end = () => {
      timer = setTimeout(() => {
        db.pool.query('select pg_terminate_backend($1)', [begun!.pid]).catch(() => undefined)
      }, GRACE_MS)
    }
    if (signal.aborted) end()
    else signal.addEventListener('abort', end, { once: true })
    const { rows } = await client.query<{ is_more: boolean }>(
      'select hubspot_private.deliver_step(subscription => $1, is_careful => $2) as is_more',
      [subscription, isCareful],
    )
    await client.query('commit')
    return rows[0]!.is_more
  } catch (error) {
    failure = error instanceof Error ? error : new Error(String(error))
    throw error
  } finally {
    signal.removeEventListener('abort', end)
    clearTimeout(timer)
    // With what a function may have left behind in it, it is not used again.
    client.release(failure)
  }
}

/** Queues a look at a subscription: now, or in a second, for want of a turn. */
export async function subscriptionWake(db: Database, id: number, isLater = false): Promise<void> {
  await db.pool.query(isLater
    ? 'select hubspot_private.subscription_later(id => $1)'
    : 'select hubspot_private.subscription_wake(id => $1)', [id])
}
