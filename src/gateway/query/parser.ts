import { once } from 'node:events'
import { extname } from 'node:path'
import { Worker } from 'node:worker_threads'
import type { Log } from '../../lib/log.ts'
import type { Act } from '../query.ts'
import { filled, templateOf } from './template.ts'
import { type Asker, Turns } from './turns.ts'

/** What the statements of a text do; unreadable by Postgres' grammar; or of no use to look into. */
export type Found = readonly Act[] | 'unreadable' | 'too complex'

/** Texts whose findings are kept: most are sent again and again. */
const MOST_KEPT = 1_000
/** Longer ones have a thread of their own, so that no short one waits for them; characters. */
const LONGEST_KEPT = 10_000
/** For one text, ms. The longest that is parsed takes 200 where nothing else runs. */
const LONGEST_MS = 5_000
/** Until a thread is there, ms. */
const START_MS = 30_000
/** The stack is what the parser's own, in its memory, is surely enough for: beyond it the thread fails rather than what it says. */
const LIMITS = { maxOldGenerationSizeMb: 192, stackSizeMb: 2 }

/**
 * Postgres' own parser, in threads: what it takes, time, memory and nested deeper than it can, harms nobody else. A thread
 * that failed is never asked again. It begins with the first text.
 */
export class Parser {
  readonly #known = new Map<string, Found>()
  readonly #short: Lane
  readonly #long: Lane

  constructor(log: Log) {
    this.#short = new Lane(log)
    this.#long = new Lane(log)
  }

  /** What a text does. One that another differs from in its ids alone is parsed once for both. Throws BUSY, and what aborted the asker. */
  async acts(text: string, by: Asker = { spentMs: 0, at: 0 }): Promise<Found> {
    const { template, ids } = templateOf(text)
    const found = ids.length === 0 ? 'unreadable' : await this.#of(template, by)
    return typeof found === 'string' ? await this.#of(text, by) : found.map((act) => filled(act, ids))
  }

  async #of(text: string, by: Asker): Promise<Found> {
    const known = this.#known.get(text)
    if (known !== undefined) return known
    const isLong = text.length > LONGEST_KEPT
    const lane = isLong ? this.#long : this.#short
    const found = await lane.turns.take(by, async () => this.#known.get(text) ?? (await lane.ask(text, isLong ? 1 : 2)))
    // What a thread failed at may be read the next time: it is not always the text's fault.
    if (found === undefined) return 'too complex'
    if (isLong) return found
    this.#known.set(text, found)
    const [oldest] = this.#known.keys()
    if (this.#known.size > MOST_KEPT && oldest !== undefined) this.#known.delete(oldest)
    return found
  }

  end(): void {
    this.#short.end()
    this.#long.end()
  }
}

/** A thread with those who wait for it: one at a time, so that it is known which of them it fails at. */
class Lane {
  readonly turns = new Turns()
  readonly #log: Log
  #thread: Promise<Worker> | undefined
  /** The thread once it is there. */
  #worker: Worker | undefined
  #isOver = false

  constructor(log: Log) {
    this.#log = log
  }

  /** Undefined where each of so many threads, one after another, failed. */
  async ask(text: string, threads: number): Promise<Found | undefined> {
    const thread = await this.#ready()
    const found = await answerOf(thread, text).catch((error: unknown) => {
      this.#log.warn('a text could not be looked into', { length: text.length, error })
      this.#drop()
      // At once: the next text is somebody else's, who is not to wait for it.
      if (!this.#isOver) this.#ready().catch(() => undefined)
      return undefined
    })
    return found ?? (threads > 1 && !this.#isOver ? await this.ask(text, threads - 1) : undefined)
  }

  end(): void {
    this.#isOver = true
    this.#drop()
  }

  #ready(): Promise<Worker> {
    return (this.#thread ??= this.#start())
  }

  async #start(): Promise<Worker> {
    const thread = new Worker(new URL(`thread${extname(import.meta.filename)}`, import.meta.url), { resourceLimits: LIMITS, execArgv: [] })
    thread.unref()
    try {
      await once(thread, 'message', { signal: AbortSignal.timeout(START_MS) })
    } catch (error) {
      this.#thread = undefined
      void thread.terminate()
      throw error
    }
    this.#worker = thread
    // It ends by itself when it fails; whoever asks it then hears of it there.
    thread.on('error', () => undefined).on('exit', () => {
      if (this.#worker === thread) this.#drop()
    })
    return thread
  }

  #drop(): void {
    const thread = this.#thread
    this.#thread = undefined
    this.#worker = undefined
    thread?.then((one) => one.terminate()).catch(() => undefined)
  }
}

/** What a thread says of a text; throws where it fails, or takes too long. */
function answerOf(thread: Worker, text: string): Promise<Found> {
  return new Promise((resolve, reject) => {
    const over = new AbortController()
    const fail = (error: Error) => {
      over.abort()
      reject(error)
    }
    // An answer that came while this thread had no time for it counts.
    const timer = setTimeout(() => setImmediate(() => fail(new Error(`it took more than ${LONGEST_MS / 1_000} s`))), LONGEST_MS)
    over.signal.addEventListener('abort', () => {
      clearTimeout(timer)
      thread.off('message', take).off('error', fail).off('exit', leave)
    })
    const take = (found: Found) => {
      over.abort()
      resolve(found)
    }
    const leave = () => fail(new Error('the thread ended'))
    thread.on('message', take).on('error', fail).on('exit', leave)
    thread.postMessage(text)
  })
}
