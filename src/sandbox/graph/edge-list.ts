const chunkMax = 1024
const sliceLength = 500

interface Chunk {
  size: number
  readonly from: Float64Array
  readonly to: Float64Array
  readonly mask: Uint32Array
}

/** One record's association with another; every set bit of `mask` is a type. */
export interface StoredEdge {
  readonly from: number
  readonly to: number
  readonly mask: number
}

/** The edges of one direction by from and to, 20 bytes each: a million take as much memory as a few thousand objects would. */
export class EdgeList {
  readonly #chunks: Chunk[] = []
  #size = 0

  get size(): number {
    return this.#size
  }

  /** The types between two records; 0 where they are not associated. */
  get(from: number, to: number): number {
    const [chunk, place] = this.#find(from, to)
    return chunk && isAt(chunk, place, from, to) ? chunk.mask[place]! : 0
  }

  /** Replaces the types between two records; 0 takes the edge away. */
  set(from: number, to: number, mask: number): void {
    const [chunk, place, at] = this.#find(from, to)
    if (chunk && isAt(chunk, place, from, to)) {
      if (mask !== 0) chunk.mask[place] = mask
      else this.#remove(chunk, place, at)
    } else if (mask !== 0) {
      this.#insert(at, place, from, to, mask)
    }
  }

  /** Some of the edges in order, from the first that is not below (from, to), of records up to `last`. */
  #slice(from: number, to: number, last: number): StoredEdge[] {
    const found: StoredEdge[] = []
    let [, place, at] = this.#find(from, to)
    for (; at < this.#chunks.length; at++, place = 0) {
      const chunk = this.#chunks[at]!
      for (; place < chunk.size; place++) {
        if (found.length === sliceLength || chunk.from[place]! > last) return found
        found.push({ from: chunk.from[place]!, to: chunk.to[place]!, mask: chunk.mask[place]! })
      }
    }
    return found
  }

  /** All edges, a few hundred at a time, so that the list may change meanwhile. */
  walk(): Generator<StoredEdge, undefined> {
    return this.#walk(0, 0, Infinity)
  }

  /** The edges of one record, from one other on. */
  of(from: number, after = 0): Generator<StoredEdge, undefined> {
    return this.#walk(from, after, from)
  }

  *#walk(from: number, to: number, last: number): Generator<StoredEdge, undefined> {
    for (let next: readonly [number, number] = [from, to]; ; ) {
      const slice = this.#slice(...next, last)
      yield* slice
      const end = slice.at(-1)
      if (!end || slice.length < sliceLength) return
      next = [end.from, end.to + 1]
    }
  }

  /** The first chunk that does not end below the edge, the place in it, and its number. */
  #find(from: number, to: number): [Chunk | undefined, number, number] {
    let low = 0
    let high = this.#chunks.length
    while (low < high) {
      const middle = (low + high) >>> 1
      const chunk = this.#chunks[middle]!
      if (isBelow(chunk, chunk.size - 1, from, to)) low = middle + 1
      else high = middle
    }
    const chunk = this.#chunks[low]
    return [chunk, chunk ? placeIn(chunk, from, to) : 0, low]
  }

  #insert(at: number, place: number, from: number, to: number, mask: number): void {
    this.#size++
    let chunk = this.#chunks[at]
    if (!chunk) {
      // Past the end. A full last chunk stays full: edges that come in order, the usual case, then fill every chunk.
      const last = this.#chunks.at(-1)
      chunk = last && last.size < chunkMax ? last : emptyChunk()
      if (chunk !== last) this.#chunks.push(chunk)
      place = chunk.size
    } else if (chunk.size === chunkMax) {
      const half = chunkMax / 2
      const upper = emptyChunk()
      for (const column of columns) upper[column].set(chunk[column].subarray(half))
      upper.size = half
      chunk.size = half
      this.#chunks.splice(at + 1, 0, upper)
      if (place > half) {
        chunk = upper
        place -= half
      }
    }
    for (const column of columns) chunk[column].copyWithin(place + 1, place, chunk.size)
    chunk.from[place] = from
    chunk.to[place] = to
    chunk.mask[place] = mask
    chunk.size++
  }

  #remove(chunk: Chunk, place: number, at: number): void {
    this.#size--
    for (const column of columns) chunk[column].copyWithin(place, place + 1, chunk.size)
    chunk.size--
    if (chunk.size === 0) this.#chunks.splice(at, 1)
  }
}

const columns = ['from', 'to', 'mask'] as const

function emptyChunk(): Chunk {
  return { size: 0, from: new Float64Array(chunkMax), to: new Float64Array(chunkMax), mask: new Uint32Array(chunkMax) }
}

function isAt(chunk: Chunk, place: number, from: number, to: number): boolean {
  return place < chunk.size && chunk.from[place] === from && chunk.to[place] === to
}

function isBelow(chunk: Chunk, place: number, from: number, to: number): boolean {
  return chunk.from[place]! < from || (chunk.from[place] === from && chunk.to[place]! < to)
}

function placeIn(chunk: Chunk, from: number, to: number): number {
  let low = 0
  let high = chunk.size
  while (low < high) {
    const middle = (low + high) >>> 1
    if (isBelow(chunk, middle, from, to)) low = middle + 1
    else high = middle
  }
  return low
}
