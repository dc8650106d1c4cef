const chunkMax = 1024

/**
 * Items in order, in chunks: adding, removing and finding by position take about the square root of the size.
 * Equal items are not told apart; `compare` must tell those apart that are to be removed singly.
 */
export class SortedList<T> {
  readonly #compare: (a: T, b: T) => number
  #chunks: T[][] = []
  #size = 0

  constructor(compare: (a: T, b: T) => number) {
    this.#compare = compare
  }

  get size(): number {
    return this.#size
  }

  add(item: T): void {
    const before = (other: T) => this.#compare(other, item) < 0
    const at = Math.min(this.#chunkOf(before), this.#chunks.length - 1)
    const chunk = this.#chunks[at]
    this.#size++
    if (!chunk) {
      this.#chunks.push([item])
      return
    }
    chunk.splice(countBefore(chunk, before), 0, item)
    // The last chunk is left full when it splits: ascending additions, the usual case, then fill every chunk.
    if (chunk.length > chunkMax) {
      const keep = at === this.#chunks.length - 1 ? chunkMax : chunkMax / 2
      this.#chunks.splice(at + 1, 0, chunk.splice(keep))
    }
  }

  /** Removes an item equal to this one; false where there is none. */
  delete(item: T): boolean {
    const before = (other: T) => this.#compare(other, item) < 0
    const at = this.#chunkOf(before)
    const chunk = this.#chunks[at]
    if (!chunk) return false
    const place = countBefore(chunk, before)
    const found = chunk[place]
    if (found === undefined || this.#compare(found, item) !== 0) return false
    chunk.splice(place, 1)
    if (chunk.length === 0) this.#chunks.splice(at, 1)
    this.#size--
    return true
  }

  /** How many items come before: `before` must hold for a first part of the list and for no other. */
  position(before: (item: T) => boolean): number {
    const at = this.#chunkOf(before)
    let position = 0
    for (let chunk = 0; chunk < at; chunk++) position += this.#chunks[chunk]!.length
    return position + (at < this.#chunks.length ? countBefore(this.#chunks[at]!, before) : 0)
  }

  at(position: number): T | undefined {
    let rest = position
    for (const chunk of this.#chunks) {
      if (rest < chunk.length) return chunk[rest]
      rest -= chunk.length
    }
    return undefined
  }

  /** Removes the first item and returns it. */
  shift(): T | undefined {
    const chunk = this.#chunks[0]
    if (!chunk) return undefined
    this.#size--
    const item = chunk.shift()
    if (chunk.length === 0) this.#chunks.shift()
    return item
  }

  /** The items from a position on, upwards. The list must not change meanwhile. */
  *from(position: number): Generator<T, undefined> {
    let rest = Math.max(position, 0)
    for (const chunk of this.#chunks) {
      if (rest >= chunk.length) {
        rest -= chunk.length
        continue
      }
      for (let at = rest; at < chunk.length; at++) yield chunk[at]!
      rest = 0
    }
  }

  /** The items below a position, downwards. The list must not change meanwhile. */
  *below(position: number): Generator<T, undefined> {
    let end = this.#size
    for (let chunk = this.#chunks.length - 1; chunk >= 0; chunk--) {
      const items = this.#chunks[chunk]!
      const start = end - items.length
      for (let at = Math.min(position, end) - start - 1; at >= 0; at--) yield items[at]!
      end = start
    }
  }

  /** The first chunk that does not come before whole. */
  #chunkOf(before: (item: T) => boolean): number {
    let low = 0
    let high = this.#chunks.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (before(this.#chunks[middle]!.at(-1)!)) low = middle + 1
      else high = middle
    }
    return low
  }
}

function countBefore<T>(items: readonly T[], before: (item: T) => boolean): number {
  let low = 0
  let high = items.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (before(items[middle]!)) low = middle + 1
    else high = middle
  }
  return low
}
