import type { Segment } from './segment.ts'
import { SortedList } from './sorted-list.ts'
import { isLive, type Version } from './version.ts'

/** An order in which the index can be read without sorting. */
export type Order = 'modified' | 'created' | 'id'

/** Keys from `low` (included) to `high` (excluded). */
export interface KeyRange {
  readonly low: number
  readonly high: number
}

/** All keys. */
export const everyKey: KeyRange = { low: -Infinity, high: Infinity }

interface Source {
  /** Live entries with a key in the range. */
  count(order: Order, range: KeyRange): number
  walk(order: Order, range: KeyRange, descending: boolean): Generator<Version, undefined>
}

/** The key of a version in an order: epoch ms, or the id. */
export function keyOf(order: Order, version: Version): number {
  return order === 'modified' ? version.updatedAt : order === 'created' ? version.createdAt : version.id
}

/**
 * What search knows of one object type: the generated records as formulas, without those that a later write reached,
 * and over them the last version of each record that the index has learned of. Writes wait here until they are due.
 */
export class SearchIndex {
  readonly #segments: SegmentSource[] = []
  readonly #overlay = new Overlay()
  readonly #learned = new Map<number, Version>()
  readonly #waiting = new SortedList<{ due: number; version: Version }>((a, b) => a.due - b.due || a.version.seq - b.version.seq)

  addSegment(segment: Segment): void {
    this.#segments.push(new SegmentSource(segment))
  }

  /** Notes a write that the index learns of at `due`, epoch ms of the sandbox's clock. */
  write(version: Version, due: number): void {
    this.#waiting.add({ due, version })
  }

  /** Writes that are not due. */
  get waiting(): number {
    return this.#waiting.size
  }

  /** Learns of everything due by now. A write older than what is known of its record changes nothing. */
  settle(now: number): void {
    for (let next = this.#waiting.at(0); next && next.due <= now; next = this.#waiting.at(0)) {
      this.#waiting.shift()
      this.#learn(next.version)
    }
  }

  count(order: Order, range: KeyRange): number {
    return this.#sources().reduce((sum, source) => sum + source.count(order, range), 0)
  }

  /** Live entries with a key in the range, in order. Ties come in an order of their own, always the same. */
  walk(order: Order, range: KeyRange, descending = false): Iterable<Version> {
    const walks = this.#sources().map((source) => source.walk(order, range, descending))
    return walks.length === 1 ? walks[0]! : merge(walks, order, descending ? -1 : 1)
  }

  #sources(): Source[] {
    return [...this.#segments, this.#overlay]
  }

  #learn(version: Version): void {
    const known = this.#learned.get(version.id)
    if (known && known.seq > version.seq) return
    if (known) this.#overlay.remove(known)
    else for (const source of this.#segments) source.mask(version.id)
    this.#learned.set(version.id, version)
    this.#overlay.add(version)
  }
}

/** Entries that were written since they were generated, or never generated. */
class Overlay implements Source {
  readonly #orders = {
    modified: new SortedList<Version>((a, b) => a.updatedAt - b.updatedAt || scramble(a.id) - scramble(b.id) || a.id - b.id),
    created: new SortedList<Version>((a, b) => a.createdAt - b.createdAt || a.id - b.id),
    id: new SortedList<Version>((a, b) => a.id - b.id),
  }

  add(version: Version): void {
    if (isLive(version)) for (const list of Object.values(this.#orders)) list.add(version)
  }

  remove(version: Version): void {
    if (isLive(version)) for (const list of Object.values(this.#orders)) list.delete(version)
  }

  count(order: Order, range: KeyRange): number {
    return this.#place(order, range.high) - this.#place(order, range.low)
  }

  *walk(order: Order, range: KeyRange, descending: boolean): Generator<Version, undefined> {
    const list = this.#orders[order]
    const start = this.#place(order, range.low)
    let rest = this.#place(order, range.high) - start
    for (const version of descending ? list.below(start + rest) : list.from(start)) {
      if (rest-- <= 0) return
      yield version
    }
  }

  #place(order: Order, key: number): number {
    return this.#orders[order].position((version) => keyOf(order, version) < key)
  }
}

/** Entries of one segment that no write has reached. */
class SegmentSource implements Source {
  readonly #segment: Segment
  readonly #maskedIndexes = new SortedList<number>((a, b) => a - b)
  readonly #maskedRanks = new SortedList<number>((a, b) => a - b)
  readonly #masked = new Set<number>()

  constructor(segment: Segment) {
    this.#segment = segment
  }

  mask(id: number): void {
    const index = this.#segment.indexOf(id)
    if (index < 0 || this.#masked.has(index)) return
    this.#masked.add(index)
    this.#maskedIndexes.add(index)
    this.#maskedRanks.add(this.#segment.rankOf(index))
  }

  count(order: Order, range: KeyRange): number {
    const [start, end] = this.#places(order, range)
    const masked = order === 'modified' ? this.#maskedRanks : this.#maskedIndexes
    return end - start - (masked.position((place) => place < end) - masked.position((place) => place < start))
  }

  *walk(order: Order, range: KeyRange, descending: boolean): Generator<Version, undefined> {
    const [start, end] = this.#places(order, range)
    const step = descending ? -1 : 1
    for (let place = descending ? end - 1 : start; place >= start && place < end; place += step) {
      const index = order === 'modified' ? this.#segment.indexAt(place) : place
      if (!this.#masked.has(index)) yield this.#segment.version(index)
    }
  }

  #places(order: Order, range: KeyRange): [number, number] {
    const start = this.#place(order, range.low)
    return [start, Math.max(start, this.#place(order, range.high))]
  }

  /** The first place whose key is not below. */
  #place(order: Order, key: number): number {
    const { count, createdAt, modifiedAt, indexFrom } = this.#segment
    if (key === -Infinity) return 0
    if (key === Infinity) return count
    if (order === 'id') return indexFrom(key)
    const keyAt = order === 'modified' ? modifiedAt : createdAt
    let low = 0
    let high = count
    while (low < high) {
      const middle = (low + high) >>> 1
      if (keyAt(middle) < key) low = middle + 1
      else high = middle
    }
    return low
  }
}

/** HubSpot says nothing about the order of ties; by id they would be kinder than they are. */
function scramble(id: number): number {
  return Math.imul(id | 0, 0x9e3779b1) >>> 0
}

function* merge(walks: Generator<Version, undefined>[], order: Order, sign: number): Generator<Version, undefined> {
  const heads = walks.map((walk) => ({ walk, version: walk.next().value })).filter((head) => head.version)
  while (heads.length > 0) {
    let first = heads[0]!
    for (const head of heads) {
      if (sign * (keyOf(order, head.version!) - keyOf(order, first.version!)) < 0) first = head
    }
    yield first.version!
    first.version = first.walk.next().value
    if (!first.version) heads.splice(heads.indexOf(first), 1)
  }
}
