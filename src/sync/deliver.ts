import { isConnectionLost } from '../db/database.ts'
import { deliverStep, subscriptionWake } from '../db/deliver-calls.ts'
import type { SyncDeps } from './step.ts'

/** As long as a stream's time slice: others get their turn. */
const SLICE_MS = 5_000

/** Subscriptions that one worker delivers at once. */
export type Turns = { taken: number; readonly most: number }

/** A third of what a worker does at once: functions that hang leave the rest to what reads HubSpot. */
export function createTurns(concurrency: number): Turns {
  return { taken: 0, most: Math.max(1, Math.floor(concurrency / 3)) }
}

type Deps = Pick<SyncDeps, 'db' | 'signal'>

/** The same where it is its turn; else it is queued again. */
export async function deliverInTurn(deps: Deps & { turns: Turns }, subscription: number): Promise<void> {
  const { db, turns } = deps
  if (turns.taken >= turns.most) return await subscriptionWake(db, subscription, true)
  turns.taken += 1
  try {
    await deliver(deps, subscription)
  } finally {
    turns.taken -= 1
  }
}

/**
 * Delivers changes of a subscription until none is due or the time slice is over. Safe to call at any time, any number of times.
 * What a step was refused at its commit, as by a deferred constraint, is found out one by one.
 */
export async function deliver({ db, signal }: Deps, subscription: number, sliceMs = SLICE_MS): Promise<void> {
  const until = performance.now() + sliceMs
  let isCareful = false
  while (!signal.aborted) {
    try {
      if (!(await deliverStep(db, subscription, isCareful, signal))) return
    } catch (error) {
      if (isCareful || isConnectionLost(error)) throw error
      isCareful = true
    }
    if (performance.now() > until) return await subscriptionWake(db, subscription)
  }
}
