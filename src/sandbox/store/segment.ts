import { hash } from './random.ts'
import type { Version } from './version.ts'

const day = 86_400_000
/** Distance between two generated ids at most; what lies between stays free for records with ids of one's choice. */
const stride = 4
const block = 25

/**
 * Generated records as formulas: id, creation and modified date follow from the place in the order of creation (the
 * index), and the place in the order of modification (the rank) is a permutation of it, so that nothing is stored.
 */
export interface Segment {
  readonly count: number
  readonly firstId: number
  readonly lastId: number
  idAt(index: number): number
  /** The index of an id; -1 where the segment has no such record. */
  indexOf(id: number): number
  /** The number of records with lower ids. */
  indexFrom(id: number): number
  createdAt(index: number): number
  modifiedAt(rank: number): number
  rankOf(index: number): number
  indexAt(rank: number): number
  version(index: number): Version
}

/** Makes a segment: created in the three years until 60 days before `now`, modified since then, `ties` of them in one millisecond. */
export function createSegment(input: { count: number; firstId: number; now: number; salt: number; ties?: number }): Segment {
  const { count, firstId, now, salt } = input
  if (!Number.isSafeInteger(count) || count < 1 || count > 50_000_000) throw new Error(`cannot generate ${count} records`)
  const ties = Math.min(input.ties ?? 0, count)
  const tieRank = Math.floor((count - ties) / 2)
  const tieEnd = tieRank + ties
  const multiplier = coprime(Math.max(1, Math.floor(count * 0.618)), count)
  const inverse = invert(multiplier, count)
  const shift = salt % count
  const created = { from: now - 1095 * day, step: (1035 * day) / count }
  const modified = { from: now - 60 * day, step: (60 * day - 60_000) / count }

  const idAt = (index: number) => firstId + index * stride + (index === 0 ? 0 : hash(index, salt) % (stride - 1))
  const indexFrom = (id: number) => {
    const near = Math.min(Math.max(Math.floor((id - firstId) / stride), 0), count)
    return near < count && idAt(near) < id ? near + 1 : near
  }
  const indexOf = (id: number) => {
    const index = indexFrom(id)
    return index < count && idAt(index) === id ? index : -1
  }
  const createdAt = (index: number) =>
    created.from + Math.floor((index + hash(index, salt + 1) / 0x100000000) * created.step)
  const modifiedAt = (rank: number) => {
    let place = rank
    if (rank >= tieRank && rank < tieEnd) place = tieRank
    // Every sixth group of 25 was an import: one millisecond for all of it.
    else if (hash(Math.floor(rank / block), salt + 2) % 6 === 0)
      place = Math.max(rank - (rank % block), rank >= tieEnd ? tieEnd : 0)
    return modified.from + Math.floor(place * modified.step)
  }
  const rankOf = (index: number) => (multiplier * index + shift) % count
  return {
    count,
    firstId,
    lastId: idAt(count - 1),
    idAt,
    indexOf,
    indexFrom,
    createdAt,
    modifiedAt,
    rankOf,
    indexAt: (rank) => (inverse * ((rank - shift + count) % count)) % count,
    version: (index) => ({
      id: idAt(index),
      seq: 0,
      writtenAt: -Infinity,
      createdAt: createdAt(index),
      updatedAt: modifiedAt(rankOf(index)),
      archivedAt: null,
      gone: false,
      mergedInto: null,
      filled: true,
      own: null,
      before: null,
    }),
  }
}

function coprime(from: number, count: number): number {
  let candidate = from
  while (divisor(candidate, count) !== 1) candidate++
  return candidate
}

function divisor(a: number, b: number): number {
  return b === 0 ? a : divisor(b, a % b)
}

/** The factor that undoes a factor modulo `count`. */
function invert(factor: number, count: number): number {
  let [rest, next] = [factor, count]
  let [a, b] = [1, 0]
  while (next > 0) {
    const quotient = Math.floor(rest / next)
    ;[rest, next] = [next, rest - quotient * next]
    ;[a, b] = [b, a - quotient * b]
  }
  return ((a % count) + count) % count
}
