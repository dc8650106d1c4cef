import { isConnectionLost } from '../db/database.ts'
import { deliverStep, subscriptionWake } from '../db/calls.ts'
import type { SyncDeps } from './step.ts'

/** As long as a stream's time slice: others get their turn. */
const SLICE_MS = 5_000

/**
 * Delivers changes of a subscription until none is due or the time slice is over. Safe to call at any time, any number of times.
 * What a step was refused at its commit, as by a deferred constraint, is found out one by one.
 */
export async function deliver({ db, signal }: Pick<SyncDeps, 'db' | 'signal'>, subscription: number, sliceMs = SLICE_MS): Promise<void> {
  const until = performance.now() + sliceMs
  let isCareful = false
  while (!signal.aborted) {
    try {
      if (!(await deliverStep(db, subscription, isCareful))) return
    } catch (error) {
      if (isCareful || isConnectionLost(error)) throw error
      isCareful = true
    }
    if (performance.now() > until) return await subscriptionWake(db, subscription)
  }
}
