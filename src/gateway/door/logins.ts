/** A failed login counts for this long; ms. */
const WINDOW_MS = 60_000
/** So many of one user from one address, and so many from one address at all: of its other users, most sign on rightly. */
const MOST = { user: 10, address: 600 }
/** So many addresses and users are remembered at most. */
const MOST_KEPT = 10_000

/** Failed logins of the last minute, by address and user. */
export class Logins {
  readonly #failures = new Map<string, number[]>()
  readonly #now: () => number

  constructor(now: () => number = () => performance.now()) {
    this.#now = now
  }

  /** Whether so many failed lately that the next is not tried. */
  isRefused(address: string, user: string): boolean {
    return this.#recent(address) >= MOST.address || this.#recent(`${address} ${user}`) >= MOST.user
  }

  /** One more failed. */
  failed(address: string, user: string): void {
    for (const [name, most] of [[address, MOST.address], [`${address} ${user}`, MOST.user]] as const) {
      const times = this.#failures.get(name)?.slice(1 - most) ?? []
      // Those that failed last are at the end, and forgotten last.
      this.#failures.delete(name)
      this.#failures.set(name, [...times, this.#now()])
    }
    for (const name of this.#failures.keys()) {
      if (this.#failures.size <= MOST_KEPT) break
      this.#failures.delete(name)
    }
  }

  #recent(name: string): number {
    const since = this.#now() - WINDOW_MS
    return this.#failures.get(name)?.filter((time) => time > since).length ?? 0
  }
}
