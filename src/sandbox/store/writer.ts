import type { Settings } from '../settings.ts'
import type { RecordId, WriteOptions } from '../types.ts'
import { type Clock, epoch } from './clock.ts'
import { drawSpan, randomStream } from './random.ts'
import type { Table } from './table.ts'
import { isLive, type Version } from './version.ts'

/** Makes a new version of a record: in the store at once, and the search index is told when to learn of it. */
export interface Writer {
  write(table: Table, version: Omit<Version, 'seq' | 'writtenAt'>, options: WriteOptions): Version
  /** The time of a write, epoch ms. */
  timeOf(options: WriteOptions): number
  /** The newest version of a live record; throws where there is none. */
  live(table: Table, id: RecordId): Version
}

/** The one writer of an account: it counts all writes, and draws their lags from one stream. */
export function createWriter(clock: Clock, settings: Readonly<Settings>, seed: number): Writer {
  const lags = randomStream(seed, 'lag')
  let seq = 0
  return {
    write(table, version, options) {
      const written: Version = { ...version, seq: ++seq, writtenAt: clock.now() }
      table.write(written)
      table.index.write(written, clock.now() + drawSpan(options.lag ?? settings.lag, lags))
      return written
    },
    timeOf: (options) => (options.at === undefined ? clock.now() : epoch(options.at)),
    live(table, id) {
      const version = table.newest(recordId(id))
      if (!version || !isLive(version)) throw new Error(`no such record: ${table.type.name} ${id}`)
      return version
    },
  }
}

/** An id as the store keeps it; throws where it is none. */
export function recordId(id: RecordId): number {
  const number = Number(id)
  if (!Number.isSafeInteger(number) || number < 1) throw new Error(`not a record id: ${id}`)
  return number
}
