import type { Plan, StreamKey } from '../db/calls.ts'
import { asJsonb, isConnectionLost, isSessionEnded, mayBeOneRecords, onLiving, repeatedly, sqlState } from '../db/database.ts'
import {
  type LiveApplied, liveAge, liveApply, liveDoubtful, liveEdges, liveEdgesDoubtful, liveFree, liveLook, livePoll, liveQueue, streamPlan,
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

/** How old an answer may be, and how long it may take; what was read for another version of the table is older than any age. */
export type Patience = { maxAgeMs: number; mostMs: number; version?: string }

/** Records at both ends of a pair. */
export type Ends = { from: readonly string[]; to: readonly string[] }

/** What a call came to: records whose rows stayed as they were, and those that have to be read in another way. */
type Taken = { held: readonly string[]; left: readonly string[] }

/** Ids that go into one call: more may join until it is sent. */
type Batch = { ids: Set<string>; version: string; done: Promise<Taken> }

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

  async function catchUp(object: string, patience: Patience): Promise<readonly string[]> {
    const { maxAgeMs, mostMs, version = '' } = patience
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
      return await records.doubtful(object, version)
    })().finally(() => catchUps.delete(run))
    catchUps.set(run, running)
    return await running
  }

  async function edges({ object, pair, from = [], to = [] }: Parameters<LiveReads['edges']>[0], patience: Patience): Promise<Ends> {
    if (from.length === 0 && to.length === 0) await catchUp(object, patience)
    const { mostMs, maxAgeMs, version = '' } = patience
    const [fromEnd, toEnd] = [`${pair} from ${version}`, `${pair} to ${version}`]
    const askedAt = performance.now()
    const due = { from: ages.due(fromEnd, from, maxAgeMs), to: ages.due(toEnd, to, maxAgeMs) }
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
    ages.note(fromEnd, due.from.filter((id) => !held.from.includes(id)), askedAt)
    // Whatever is held at the one end may be another's at the other.
    if (held.from.length + held.to.length === 0) ages.note(toEnd, due.to, askedAt)
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
  readonly #plans = new Map<string, { plan: Plan; version: string }>()
  readonly #ages: Ages

  constructor(deps: SyncDeps, ages: Ages) {
    this.#deps = deps
    this.#ages = ages
    this.#caller = createCaller(deps).in('live')
  }

  async read(object: string, ids: readonly string[], { maxAgeMs, mostMs, version = '' }: Patience): Promise<readonly string[]> {
    const due = this.#ages.due(`${object} ${version}`, ids, maxAgeMs)
    const taken = await Promise.all(new Set(due.map((id) => this.#join(object, id, version))))
    const wanted = new Set(ids)
    const held = taken.flatMap((one) => one.held).filter((id) => wanted.has(id))
    const left = taken.flatMap((one) => one.left).filter((id) => wanted.has(id))
    if (left.length === 0) return held
    // With the session of a call others may have ended.
    const since = await repeatedly(() => onLiving(this.#deps.db, (client) => liveQueue(client, object, left, mostMs)))
    await settle(this.#deps, { object, stream: 'fetch', range: 0 }, { since }, mostMs)
    return [...held, ...await this.doubtful(object, version, left)]
  }

  /** Of these records, or of all, those that could not be written when they were last read, nor now. */
  async doubtful(object: string, version: string, ids?: readonly string[]): Promise<readonly string[]> {
    const doubtful = await liveDoubtful(this.#deps.db, object, ids)
    const free = doubtful.length === 0 ? [] : await repeatedly(() => liveFree(this.#deps.db, object, doubtful))
    if (free.length === 0) return doubtful
    // Another read of ours was in the way, and may have been asked earlier.
    const { held, left } = await this.#apply(object, { ids: new Set(free), version })
    return doubtful.filter((id) => !free.includes(id) || held.includes(id) || left.includes(id))
  }

  /** The call that a record is read by. */
  #join(object: string, id: string, version: string): Promise<Taken> {
    let batch = this.#open.get(object)
    if (batch === undefined || batch.version !== version || (batch.ids.size >= PAGE_LIMIT && !batch.ids.has(id))) {
      const ids = new Set<string>()
      batch = { ids, version, done: Promise.resolve({ held: [], left: [] }) }
      this.#open.set(object, batch)
      batch.done = this.#apply(object, batch)
      // Each of those who wait may have given up.
      batch.done.catch(() => undefined)
    }
    batch.ids.add(id)
    return batch.done
  }

  async #apply(object: string, batch: Omit<Batch, 'done'>): Promise<Taken> {
    try {
      for (let tries = 0; tries < 3; tries += 1) {
        const { outcome, held } = await this.#ask(object, batch)
        if (outcome === 'done') return { held: held ?? [], left: [] }
        if (outcome === 'apart') return { held: [], left: held ?? [] }
        if (outcome === 'unsure') break
      }
    } catch (error) {
      const isRefusedHere = mayBeOneRecords(error) || isSessionEnded(error) || /^(?!SH)/.test(sqlState(error) ?? 'SH') && !isConnectionLost(error)
      // A value, a trigger or a property that may not be read is in the way: the stream knows what to do about each.
      if (!isRefusedHere && !(error instanceof Refused)) throw error
    } finally {
      this.#close(object, batch)
    }
    return { held: [], left: [...batch.ids] }
  }

  /** From here on it is too late to join. */
  #close(object: string, batch: Omit<Batch, 'done'>): void {
    if (this.#open.get(object) === batch) this.#open.delete(object)
  }

  async #ask(object: string, batch: Omit<Batch, 'done'>): Promise<LiveApplied> {
    const { hubspot, signal } = this.#deps
    const plan = await this.#planOf(object, batch.version)
    let ids: string[] = []
    let sentAt = 0
    const { answer, askedAt } = await this.#caller.call('burst', () => {
      this.#close(object, batch)
      ids = [...batch.ids]
      sentAt = performance.now()
      return batchRead(hubspot, { type: plan.type, ids, properties: plan.properties, signal })
    })
    const read = { object, columnSet: plan.column_set, ids, askedAt, body: asJsonb(answer.body) }
    const applied = await repeatedly(() => liveApply(this.#deps.db, read))
    if (applied.outcome === 'again') this.#plans.delete(object)
    if (applied.outcome === 'done' || applied.outcome === 'apart') this.#ages.note(`${object} ${batch.version}`, ids.filter((id) => applied.held?.includes(id) !== true), sentAt)
    return applied
  }

  async #planOf(object: string, version: string): Promise<Plan> {
    const known = this.#plans.get(object)
    if (known?.version === version) return known.plan
    const plan = await streamPlan(this.#deps.db, object)
    if (plan === null) throw new Transient('SH101', `object ${object} is not tracked`, { hint: `Run select hubspot.track('${object}');` })
    this.#plans.set(object, { plan, version })
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
