import { isConnectionLost } from '../db/database.ts'
import { deliverStep, deliveryEnded, type Ended, subscriptionWake } from '../db/deliver-calls.ts'
import type { SyncDeps } from './step.ts'

/** As long as a stream's time slice: others get their turn. */
const SLICE_MS = 5_000

/** A slice that takes longer has a function in it that hangs, or nearly. */
const SLOW_MS = 2 * SLICE_MS

/** Who may deliver in one worker. */
export type Turns = {
  /** Subscriptions that are delivered now. */
  readonly taken: Set<number>
  /** How many may be at once. */
  readonly most: number
  /** Those whose last turn was slow: together they leave one turn to the others. */
  readonly slow: Set<number>
}

/** A third of what a worker does at once: functions that hang leave the rest to what reads HubSpot. */
export function createTurns(concurrency: number): Turns {
  return { taken: new Set(), most: Math.max(1, Math.floor(concurrency / 3)), slow: new Set() }
}

type Deps = Pick<SyncDeps, 'db' | 'signal'>

/** Delivers a subscription's changes where it is its turn; else it is queued again. */
export async function deliverInTurn(deps: Deps & { turns: Turns }, subscription: number): Promise<void> {
  const { db, turns: { taken, most, slow } } = deps
  const isTooSlow = slow.has(subscription) && [...taken].filter((id) => slow.has(id)).length >= Math.max(1, most - 1)
  if (taken.has(subscription) || taken.size >= most || isTooSlow) return await subscriptionWake(db, subscription, true)
  const began = performance.now()
  taken.add(subscription)
  try {
    await deliver(deps, subscription)
  } finally {
    taken.delete(subscription)
    if (performance.now() - began > SLOW_MS) slow.add(subscription)
    else slow.delete(subscription)
  }
}

/**
 * Delivers changes of a subscription until none is due or the time slice is over. Safe to call at any time, any number of times.
 * What a step was refused at its commit, as by a deferred constraint, is found out one by one, and so is what ends its session.
 */
export async function deliver({ db, signal }: Deps, subscription: number, sliceMs = SLICE_MS): Promise<void> {
  const until = performance.now() + sliceMs
  let isCareful = false
  let suspect: Ended | undefined
  while (!signal.aborted) {
    try {
      const step = await deliverStep(db, subscription, isCareful, signal)
      if (step === 'done') return
      if (step !== 'more') {
        if (isCareful && step.record === null) throw new Error(step.error)
        isCareful = true
        const isFault = isItsFault(step, suspect)
        if (isFault) await deliveryEnded(db, subscription, step)
        suspect = isFault ? undefined : step
        // Whose fault it was is found out in this slice: the next would begin anew.
        if (!isFault) continue
      }
    } catch (error) {
      if (isCareful || isConnectionLost(error)) throw error
      isCareful = true
    }
    if (performance.now() > until) return await subscriptionWake(db, subscription)
  }
}

/** Once may be an accident, as a server that is restarted or someone who ends sessions; not twice in a row at the same record alone. */
function isItsFault(ended: Ended, suspect: Ended | undefined): boolean {
  return ended.record !== null && (ended.isSure || (suspect?.record === ended.record && suspect.serverAt === ended.serverAt))
}
