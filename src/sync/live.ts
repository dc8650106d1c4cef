import type { Plan, StreamKey } from '../db/calls.ts'
import { asJsonb, isConnectionLost, repeatedly, sqlState } from '../db/database.ts'
import {
  type LiveApplied, liveAge, liveApply, liveDoubtful, liveEdges, liveEdgesDoubtful, liveLook, livePoll, liveQueue, streamPlan,
} from '../db/live-calls.ts'
import { batchRead, PAGE_LIMIT } from '../hubspot/objects.ts'
import { isErrorCode, Refused, Transient } from '../lib/errors.ts'
import { sleep } from '../lib/time.ts'
import { type Caller, createCaller } from './call.ts'
import { runStream, type SyncDeps } from './step.ts'

/** What queries wait for: reads of HubSpot now, shared by whoever needs the same. All throw what kept them from it. */
export type LiveReads = {
  /**
   * These records as HubSpot has them, unless each was read no longer ago than `maxAgeMs`. Returns those whose rows stayed as they
   * were: someone holds them locked, or does not let them change.
   */
  records(object: string, ids: readonly string[], options: Patience): Promise<readonly string[]>
  /** Whatever HubSpot's search shows by now, unless that was asked no longer ago than `maxAgeMs`. Returns as `records`. */
  catchUp(object: string, options: Patience): Promise<readonly string[]>
  /**
   * Associations of these records, at either end of a pair; neither: of those that changed, as search shows them. Returns, by end,
   * records whose associations stayed as they were, likewise.
   */
  edges(of: { object: string; pair: number; from?: readonly string[]; to?: readonly string[] }, options: Patience): Promise<Ends>
}

/** How old an answer may be, and how long it may take; records read with another column set are older than any age. */
export type Patience = { maxAgeMs: number; mostMs: number; columnSet?: number }

/** Records at both ends of a pair. */
export type Ends = { from: readonly string[]; to: readonly string[] }

/** Ids that go into one call: more may join until it is sent. */
type Batch = { ids: Set<string>; done: Promise<readonly string[]> }

/** A read's time is remembered for this many records. */
const MOST_READS = 20_000
/** Of a stream that another holds it is looked after so long, then twice, up to the second number; ms. */
const LOOKS_MS = [4, 64] as const

/** HubSpot said no, and will until a person sees to it: nobody waits for the next try. */
const FINAL = /^SH(20[124]|211|22[67])$/

/** Reads for queries, beside a worker's own streams. */
export function createLiveReads(deps: SyncDeps): LiveReads {
  const ages = new Ages()
  const records = new Records(deps, ages)
  const catchUps = new Map<string, Promise<readonly string[]>>()

  async function catchUp(object: string, { maxAgeMs, mostMs }: Patience): Promise<readonly string[]> {
    if (maxAgeMs > 0) {
      const age = await liveAge(deps.db, object)
      if (age !== null && age <= maxAgeMs) return []
    }
    const run = await repeatedly(() => livePoll(deps.db, object, mostMs))
    // All who asked before it began wait for the same.
    const running = catchUps.get(run) ?? (async () => {
      const key = { object, stream: 'poll', range: 0 }
      const since = await settle(deps, key, { run }, mostMs)
        ?? await settle(deps, key, { run: await repeatedly(() => livePoll(deps.db, object, mostMs)) }, mostMs)
      if (since === undefined) throw new Transient('SH232', `the poll of ${object} was stopped`, { hint: '' })
      await settle(deps, { object, stream: 'fetch', range: 0 }, { since }, mostMs)
      return await liveDoubtful(deps.db, object)
    })().finally(() => catchUps.delete(run))
    catchUps.set(run, running)
    return await running
  }

  async function edges({ object, pair, from = [], to = [] }: Parameters<LiveReads['edges']>[0], patience: Patience): Promise<Ends> {
    if (from.length === 0 && to.length === 0) await catchUp(object, patience)
    const { mostMs, maxAgeMs } = patience
    const askedAt = performance.now()
    const due = { from: ages.due(`${pair} from`, from, maxAgeMs), to: ages.due(`${pair} to`, to, maxAgeMs) }
    if (from.length + to.length > 0 && due.from.length + due.to.length === 0) return { from: [], to: [] }
    const ask = (ids: typeof due) => repeatedly(() => liveEdges(deps.db, { pair, ...ids, mostMs }))
    let { since, lacking } = await ask(due)
    if (lacking !== null) {
      await records.read(object, lacking, patience)
      ;({ since } = await ask({ from: lacking, to: [] }))
    }
    const read = (stream: string, range: number) => settle(deps, { object, stream, range }, { since }, mostMs)
    await read('associations', pair)
    if (due.to.length > 0) {
      // The other end may have told of records that are new here.
      await read('fetch', 0)
      await read('associations', pair)
    }
    const held = await liveEdgesDoubtful(deps.db, { pair, ...due, since })
    ages.note(`${pair} from`, due.from.filter((id) => !held.from.includes(id)), askedAt)
    // Whatever is held at the one end may be another's at the other.
    if (held.from.length + held.to.length === 0) ages.note(`${pair} to`, due.to, askedAt)
    return held
  }

  return { records: (object, ids, patience) => records.read(object, ids, patience), catchUp, edges }
}

/** When each record was last asked for, by `performance.now()`. */
class Ages {
  readonly #askedAt = new Map<string, number>()

  /** Those that an answer of that age does not serve. */
  due(of: string, ids: readonly string[], maxAgeMs: number): string[] {
    const since = performance.now() - maxAgeMs
    return ids.filter((id) => maxAgeMs === 0 || (this.#askedAt.get(`${of} ${id}`) ?? -Infinity) < since)
  }

  note(of: string, ids: readonly string[], at: number): void {
    for (const id of ids) {
      const record = `${of} ${id}`
      this.#askedAt.delete(record)
      this.#askedAt.set(record, at)
    }
    for (const oldest of this.#askedAt.keys()) {
      if (this.#askedAt.size <= MOST_READS) return
      this.#askedAt.delete(oldest)
    }
  }
}

/** Batch reads that queries wait for, a call for all that ask while it waits for its turn. */
class Records {
  readonly #deps: SyncDeps
  readonly #caller: Caller
  readonly #open = new Map<string, Batch>()
  readonly #plans = new Map<string, Plan>()
  readonly #ages: Ages

  constructor(deps: SyncDeps, ages: Ages) {
    this.#deps = deps
    this.#ages = ages
    this.#caller = createCaller(deps).in('live')
  }

  async read(object: string, ids: readonly string[], { maxAgeMs, mostMs, columnSet }: Patience): Promise<readonly string[]> {
    const held = await Promise.all(new Set(this.#ages.due(`${object} ${columnSet}`, ids, maxAgeMs).map((id) => this.#join(object, id, mostMs))))
    const wanted = new Set(ids)
    return held.flat().filter((id) => wanted.has(id))
  }

  /** The call that a record is read by. */
  #join(object: string, id: string, mostMs: number): Promise<readonly string[]> {
    let batch = this.#open.get(object)
    if (batch === undefined || (batch.ids.size >= PAGE_LIMIT && !batch.ids.has(id))) {
      const ids = new Set<string>()
      batch = { ids, done: Promise.resolve([]) }
      this.#open.set(object, batch)
      batch.done = this.#send(object, batch, mostMs)
      // Each of those who wait may have given up.
      batch.done.catch(() => undefined)
    }
    batch.ids.add(id)
    return batch.done
  }

  async #send(object: string, batch: Batch, mostMs: number): Promise<readonly string[]> {
    try {
      for (let tries = 0; tries < 3; tries += 1) {
        const { outcome, held } = await this.#ask(object, batch)
        if (outcome === 'done') return held ?? []
        if (outcome === 'unsure') break
      }
    } catch (error) {
      const isRefusedHere = /^(?!SH)/.test(sqlState(error) ?? 'SH') && !isConnectionLost(error)
      // A value, a trigger or a property that may not be read is in the way: the stream knows what to do about each.
      if (!isRefusedHere && !(error instanceof Refused)) throw error
    } finally {
      if (this.#open.get(object) === batch) this.#open.delete(object)
    }
    const since = await repeatedly(() => liveQueue(this.#deps.db, object, [...batch.ids], mostMs))
    await settle(this.#deps, { object, stream: 'fetch', range: 0 }, { since }, mostMs)
    return await liveDoubtful(this.#deps.db, object, [...batch.ids])
  }

  async #ask(object: string, batch: Batch): Promise<LiveApplied> {
    const { hubspot, signal } = this.#deps
    const plan = await this.#planOf(object)
    let ids: string[] = []
    let sentAt = 0
    const { answer, askedAt } = await this.#caller.call('burst', () => {
      // From here on it is too late to join.
      if (this.#open.get(object) === batch) this.#open.delete(object)
      ids = [...batch.ids]
      sentAt = performance.now()
      return batchRead(hubspot, { type: plan.type, ids, properties: plan.properties, signal })
    })
    const read = { object, columnSet: plan.column_set, ids, askedAt, body: asJsonb(answer.body) }
    const applied = await repeatedly(() => liveApply(this.#deps.db, read))
    if (applied.outcome === 'again') this.#plans.delete(object)
    if (applied.outcome === 'done') this.#ages.note(`${object} ${plan.column_set}`, ids.filter((id) => applied.held?.includes(id) !== true), sentAt)
    return applied
  }

  async #planOf(object: string): Promise<Plan> {
    const known = this.#plans.get(object)
    if (known !== undefined) return known
    const plan = await streamPlan(this.#deps.db, object)
    if (plan === null) throw new Transient('SH101', `object ${object} is not tracked`, { hint: `Run select hubspot.track('${object}');` })
    this.#plans.set(object, plan)
    return plan
  }
}

/**
 * Takes steps of a stream, or waits for whoever holds it, until what is waited for is read; the time its run began, undefined: it
 * was stopped. Throws what the stream failed with where it is not tried again in time.
 */
async function settle(deps: SyncDeps, key: StreamKey, what: { run?: string; since?: string }, mostMs: number): Promise<string | undefined> {
  const until = performance.now() + mostMs
  for (let wait: number = LOOKS_MS[0]; ; ) {
    const { is_done: isDone, started_at: startedAt, retry_ms: retryMs, code, message, hint } = await liveLook(deps.db, key, what)
    if (isDone === null) return undefined
    if (isDone) return startedAt ?? what.since ?? '-infinity'
    const left = until - performance.now()
    if (left <= 0 || (retryMs ?? 0) > left || (retryMs !== null && FINAL.test(code ?? ''))) {
      throw new Transient(isErrorCode(code) ? code : 'SH232', message ?? `${key.stream} of ${key.object} is under way`, { hint: hint ?? '' })
    }
    if (retryMs !== null) {
      await sleep(retryMs, deps.signal)
      continue
    }
    if ((await runStream(deps, key)) !== 'idle') {
      wait = LOOKS_MS[0]
      continue
    }
    await sleep(Math.min(wait, left), deps.signal)
    wait = Math.min(wait * 2, LOOKS_MS[1])
  }
}
