import { asJsonb, type Database, isBodyRefused, isCatalogueStale, isConnectionLost, isRecordRefused, isSessionEnded, isWorthRepeating, mayBeOneRecords, onLiving, sqlState, unlessEnding } from '../db/database.ts'
import {
  type Claim, type Held, type Plan, type StepAnswer, stepCommit, type StepOutcome, streamClaim, streamFail, streamRelease,
  type StreamKey, type StreamRequest, tableMend,
} from '../db/calls.ts'
import { repairBody } from '../hubspot/body.ts'
import type { Client } from '../hubspot/client.ts'
import { Refused, SyncError, Throttled, Transient } from '../lib/errors.ts'
import type { Log } from '../lib/log.ts'
import { release } from '../lib/memory.ts'
import { sleep } from '../lib/time.ts'
import { ask, type Got, nextOf } from './ask.ts'
import { createCaller } from './call.ts'
import { parkUnreadable } from './unreadable.ts'

/** What running a stream needs; built by worker, CLI or test. */
export type SyncDeps = {
  db: Database
  hubspot: Client
  log: Log
  /** Ends waits and calls; leases held are given back. */
  signal: AbortSignal
  /** This worker's id, as in hubspot_private.workers. */
  worker: string
  /** The leases held just now, for the heartbeat. */
  held: Set<Held>
  sleep: (ms: number, signal: AbortSignal) => Promise<void>
  /** Milliseconds that a stream is read in one go, so that others get their turn. */
  sliceMs?: number
}

/** idle: nothing to do, or another holds it; done: the run is over; more: the slice is; failed: it is tried again later. */
export type SliceOutcome = 'idle' | 'done' | 'more' | 'failed'

/** Claims a stream and takes its steps until its run or the time slice is over. Safe to call at any time, any number of times. */
export async function runStream(deps: SyncDeps, key: StreamKey): Promise<SliceOutcome> {
  const claim = await streamClaim(deps.db, key, deps.worker).catch((error: unknown) => {
    // Someone holds the stream's row for long: the sweep comes again.
    if (isWorthRepeating(error)) return undefined
    throw error
  })
  if (claim === undefined) return 'idle'
  const held = { ...key, epoch: claim.epoch }
  deps.held.add(held)
  const place = { request: claim.request }
  try {
    return await steps(deps, key, claim, place)
  } catch (error) {
    const left = await withoutUnreadable(deps, key, claim, error)
    if (left === undefined) return 'more'
    await giveBack(deps, key, claim.epoch, left, isAbout(left, place.request) ? place.request : undefined)
    return 'failed'
  } finally {
    deps.held.delete(held)
  }
}

/** Leaves out what HubSpot refuses to show, where that is what failed; else what failed. */
async function withoutUnreadable(deps: SyncDeps, key: StreamKey, { plan, epoch, request }: Claim, error: unknown): Promise<unknown> {
  // Only these name properties.
  if (request.kind !== 'list' && request.kind !== 'read') return error
  try {
    const way = { db: deps.db, hubspot: deps.hubspot, signal: deps.signal, caller: createCaller(deps).in(request.class) }
    if (!(await parkUnreadable(way, key.object, plan, error))) return error
    return await streamRelease(deps.db, key, epoch)
  } catch (second) {
    return second
  }
}

async function steps(deps: SyncDeps, key: StreamKey, { epoch, plan, wait_ms, ...first }: Claim, place: { request: StreamRequest }): Promise<SliceOutcome> {
  if (wait_ms > 0) await deps.sleep(wait_ms, deps.signal)
  // A prefetch that is no longer wanted must not wait for its turn.
  const over = new AbortController()
  const signal = AbortSignal.any([deps.signal, over.signal])
  const way = { hubspot: deps.hubspot, signal, caller: createCaller({ db: deps.db, signal, sleep: deps.sleep }) }
  const until = performance.now() + (deps.sliceMs ?? 5_000)
  let { cursor, request } = first
  let page: Promise<Got> | undefined
  try {
    for (;;) {
      const got = await (page ?? ask(way, request, plan))
      const guess = performance.now() < until ? nextRequest(request, got) : undefined
      page = guess && quietly(ask(way, guess, plan))
      const answer = { epoch, cursor, request, columnSet: plan?.column_set ?? 0, ...got }
      const outcome = await commit(deps, key, answer, got.body)
      if (got.body !== null) release(got.body)
      if (outcome.outcome === 'done') return 'done'
      if (outcome.outcome === 'lost') return 'idle'
      // The tail of a body only suggests what comes next.
      if (guess === undefined || outcome.next_request === null || !isSame(guess, outcome.next_request)) page = undefined
      // A page that is on its way is taken in before the slice ends: nothing is asked for twice.
      const isSliceOver = performance.now() > until && page === undefined
      if (outcome.outcome === 'again' || outcome.next_request === null || isSliceOver) {
        await streamRelease(deps.db, key, epoch)
        return 'more'
      }
      cursor = outcome.next_cursor
      request = outcome.next_request
      place.request = request
    }
  } finally {
    over.abort()
  }
}

/**
 * Page n + 1 of a list can be asked for while page n is applied, unless another part of the read began before it; nothing
 * else is known that early.
 */
function nextRequest(request: StreamRequest, got: Got): StreamRequest | undefined {
  if (request.kind !== 'list' && request.kind !== 'archived') return undefined
  const after = nextOf(got)
  if (after === undefined) return undefined
  if (request.kind === 'archived') return { ...request, after }
  if (request.until !== undefined && isPast(after, request.until)) return undefined
  return { class: request.class, kind: 'list', after, ...(request.properties && { properties: request.properties }) }
}

const isPast = (after: string, until: string) => /^\d+$/.test(after) && BigInt(after) > BigInt(until)

const isSame = (guess: StreamRequest, request: StreamRequest) =>
  'after' in guess && 'after' in request && guess.kind === request.kind && guess.after === request.after
  && propertiesOf(guess) === propertiesOf(request)

const propertiesOf = (request: StreamRequest) => ('properties' in request ? request.properties?.join() : undefined)

/** Its failure counts when it is awaited, and not at all when it is not. */
function quietly<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => undefined)
  return promise
}

type Answer = Got & { epoch: string; cursor: unknown; request: StreamRequest; columnSet: Plan['column_set'] }

async function commit(deps: SyncDeps, key: StreamKey, answer: Answer, body: Buffer | null): Promise<StepOutcome> {
  const step = { ...answer, body: body && asJsonb(body) }
  for (let tries = 0; ; tries += 1) {
    try {
      return await take(deps.db, key, step)
    } catch (error) {
      // Someone dropped a column or the table: it is made anew, and the answer asked for again.
      if (isCatalogueStale(error) && tries === 0) await tableMend(deps.db, key.object)
      // Locks, deadlocks, and columns that changed meanwhile: the same answer may go through at once.
      if (isWorthRepeating(error) && tries < 2) continue
      if (body !== null && isBodyRefused(error)) return await commitRepaired(deps, key, answer, body, error)
      // Record by record, in which SQL finds out whose fault it is, is slow: only what is no accident is worth that.
      if (mayBeOneRecords(error) && !isRecordRefused(error) && tries < 1) continue
      if (mayBeOneRecords(error)) return await take(deps.db, key, { ...step, isCareful: true })
      throw error
    }
  }
}

/**
 * Text that Postgres cannot hold: NUL, lone surrogates. What is no JSON at all was torn on the way. What is refused even then
 * is some record, too wide or too long for an index: the page is written record by record, without it.
 */
async function commitRepaired(deps: SyncDeps, key: StreamKey, answer: Answer, body: Buffer, cause: unknown): Promise<StepOutcome> {
  const repair = repairBody(body)
  if (repair === undefined) {
    throw new Transient('SH208', 'an answer of HubSpot is not JSON', { cause, hint: 'Nothing to do: it is asked again.' })
  }
  // One whose id is no number has a problem of its own.
  const step = { ...answer, body: asJsonb(repair.body), repaired: repair.repaired.filter((id) => /^\d{1,18}$/.test(id)) }
  return take(deps.db, key, step).catch((error: unknown) => {
    if (!mayBeOneRecords(error)) throw error
    return take(deps.db, key, { ...step, isCareful: true })
  })
}

/**
 * Takes in an answer. What ends its session, and that one alone, is no accident: nothing in that transaction can tell which record
 * it is, so each is read and written alone, until that one is left.
 */
async function take(db: Database, key: StreamKey, step: StepAnswer): Promise<StepOutcome> {
  try {
    return await stepCommit(db.pool, key, step)
  } catch (error) {
    if (!isSessionEnded(error) || step.isApart === true) throw error
  }
  for (let tries = 1; ; tries += 1) {
    try {
      const outcome = await unlessEnding(db, (client) => stepCommit(client, key, step))
      return outcome ?? (await onLiving(db, (client) => stepCommit(client, key, { ...step, isApart: true })))
    } catch (error) {
      if (!isSessionEnded(error) || tries >= 3) throw error
    }
  }
}

/**
 * Records a failure with its back-off. A database that is away is waited for as long as a lease lasts; then the lease has
 * run out by itself and the sweep finds the stream.
 */
async function giveBack({ db, log, signal }: SyncDeps, key: StreamKey, epoch: string, error: unknown, request: StreamRequest | undefined): Promise<void> {
  const failure = failureOf(error)
  if (!signal.aborted) {
    // Who waits for his turn has not failed.
    const isWaiting = failure.code === 'SH301' || failure.code === 'SH302'
    log[failure.kind === 'bug' ? 'error' : isWaiting ? 'debug' : 'warn'](`${key.stream} of ${key.object} ${isWaiting ? 'waits' : 'failed'}: ${failure.message}`, {
      ...key,
      code: failure.code,
      hint: failure.hint,
      ...(error instanceof SyncError && { correlationId: error.detail['correlationId'] }),
      ...(failure.kind === 'bug' && error instanceof Error && { stack: error.stack }),
    })
  }
  for (let wait = 250; ; wait *= 2) {
    try {
      return signal.aborted ? await streamRelease(db, key, epoch) : await streamFail(db, key, epoch, { ...failure, request })
    } catch (second) {
      const isWorthWaiting = (isConnectionLost(second) || isWorthRepeating(second)) && wait < LEASE_MS / 2 && !signal.aborted
      if (!isWorthWaiting) return log.warn(`the lease of ${key.stream} of ${key.object} runs out by itself`, { ...key, error: second })
      await sleep(wait, signal).catch(() => undefined)
    }
  }
}

/** Whether the failure may lie in what the request names: ids, or the place in a list, which HubSpot refuses to know. */
function isAbout(error: unknown, request: StreamRequest): boolean {
  if (request.kind !== 'list' && request.kind !== 'archived') return true
  // A list's values may take a batch read, which names no place.
  return error instanceof Refused && [400, 404, 410, 422].includes(error.status) && error.detail['method'] === 'GET'
}

/** hubspot_private.stream_claim gives leases of this length. */
const LEASE_MS = 30_000

/** What a step's error means for its stream. */
function failureOf(error: unknown) {
  const message = error instanceof Error ? error.message : String(error)
  if (error instanceof SyncError) {
    const isRefused = error instanceof Refused
    const retryAfterMs = error instanceof Transient || error instanceof Throttled ? error.retryAfterMs : undefined
    const kind = isRefused ? 'refused' : error.code === 'SH901' ? 'bug' : 'transient'
    return { kind, code: error.code, message, hint: error.hint, retryAfterMs } as const
  }
  const state = sqlState(error)
  if (state === 'SH020') {
    return { kind: 'refused', code: state, message, hint: (error as { hint: string }).hint, retryAfterMs: undefined } as const
  }
  if (state === 'SH208') {
    return { kind: 'transient', code: state, message, hint: 'Nothing to do: it is asked again.', retryAfterMs: undefined } as const
  }
  if (isSessionEnded(error)) {
    const hint = 'Is it a trigger of yours, or do you end sessions? It is tried again by itself.'
    return { kind: 'transient', code: 'SH009', message: `a step's session was ended: ${message}`, hint, retryAfterMs: undefined } as const
  }
  if (isConnectionLost(error)) {
    const hint = 'Is the server running, and are host and port in DATABASE_URL right? It goes on by itself when the database is back.'
    return { kind: 'transient', code: 'SH009', message: `the database cannot be reached: ${message}`, hint, retryAfterMs: undefined } as const
  }
  const isOurs = state === undefined
  return {
    kind: isOurs ? 'bug' : 'transient',
    code: isOurs ? 'SH901' : 'SH009',
    message: isOurs ? message : `the database refused a step: ${message}`,
    hint: isOurs
      ? 'Please report it.'
      : 'Read the message: a lock held for long, or a trigger of yours that raises. It is tried again by itself.',
    retryAfterMs: undefined,
  } as const
}
