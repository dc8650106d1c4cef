import { BUSY } from '../notices.ts'

/** Who asks, with what was spent on him lately, ms, and when that was so. */
export type Asker = { spentMs: number; at: number; signal?: AbortSignal }

type Waiting = { by: Asker; start(): void }

/** Nobody waits longer for his turn; ms. */
const LONGEST_WAIT_MS = 10_000
/** Half of what was spent is forgotten after this long; ms. */
const HALF_LIFE_MS = 10_000

/** One thing at a time; next is whoever took least of late, and of those who took the same, whoever came first. */
export class Turns {
  readonly #longestMs: number
  #waiting: Waiting[] = []
  #isTaken = false

  constructor(longestMs = LONGEST_WAIT_MS) {
    this.#longestMs = longestMs
  }

  /** Does this when its turn has come. Throws BUSY where that takes too long, and what aborts the asker while he waits. */
  async take<Result>(by: Asker, act: () => Promise<Result>): Promise<Result> {
    await this.#turn(by)
    const begun = performance.now()
    try {
      return await act()
    } finally {
      const now = performance.now()
      Object.assign(by, { spentMs: spent(by, now) + now - begun, at: now })
      this.#isTaken = false
      this.#next()
    }
  }

  #turn(by: Asker): Promise<void> {
    const { signal } = by
    return new Promise((resolve, reject) => {
      const leave = (why: unknown) => {
        this.#waiting = this.#waiting.filter((one) => one !== mine)
        end()
        reject(why)
      }
      const abort = () => leave(signal?.reason)
      const timer = setTimeout(() => leave(BUSY), this.#longestMs).unref()
      const end = () => {
        clearTimeout(timer)
        signal?.removeEventListener('abort', abort)
      }
      const mine = { by, start: () => (end(), resolve()) }
      signal?.addEventListener('abort', abort)
      this.#waiting.push(mine)
      if (signal?.aborted) abort()
      this.#next()
    })
  }

  #next(): void {
    if (this.#isTaken || this.#waiting.length === 0) return
    const now = performance.now()
    const next = this.#waiting.reduce((least, one) => (spent(one.by, now) < spent(least.by, now) ? one : least))
    this.#waiting = this.#waiting.filter((one) => one !== next)
    this.#isTaken = true
    next.start()
  }
}

const spent = ({ spentMs, at }: Asker, now: number) => spentMs * 2 ** (-(now - at) / HALF_LIFE_MS)
