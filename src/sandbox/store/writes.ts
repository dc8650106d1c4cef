import { extraProperties, createProperty } from '../data/properties.ts'
import type { Settings } from '../settings.ts'
import type { ObjectName, RecordId, SeedOptions, Store, Values, WriteOptions } from '../types.ts'
import { type Clock, epoch } from './clock.ts'
import { hashText } from './random.ts'
import { allColumns, snapshot } from './records.ts'
import { createSegment } from './segment.ts'
import type { Table } from './table.ts'
import type { Tables } from './tables.ts'
import { isLive, type Version } from './version.ts'
import { recordId, type Writer } from './writer.ts'

type Writes = Pick<Store, 'seed' | 'create' | 'edit' | 'archive' | 'restore' | 'purge' | 'gdprDelete'>

/** The writes of a store: each makes a new version, in the store at once, and tells the search index when to learn of it. */
export function createWrites(tables: Tables, clock: Clock, settings: Readonly<Settings>, seed: number, writer: Writer): Writes {
  const { write, timeOf } = writer

  /** Writes to each of some records; refuses all of them before the first is written if one does not fit. */
  const change = (
    object: ObjectName,
    ids: RecordId | readonly RecordId[],
    fits: (version: Version) => boolean,
    next: (version: Version, at: number) => Partial<Version>,
    options: WriteOptions,
  ) => {
    const table = tables.get(object)
    const at = timeOf(options)
    const versions = [ids].flat().map((id) => {
      const version = table.newest(recordId(id))
      if (!version || !fits(version)) throw new Error(`no such record: ${table.type.name} ${id}`)
      return version
    })
    // A record that is named twice is written twice: the second write builds on the first.
    const columns = allColumns(table)
    return versions.map(({ id }) => {
      const before = table.newest(id)!
      return snapshot(table, write(table, { ...before, ...next(before, at), before }, options), columns)
    })
  }

  const purge: Writes['purge'] = (object, ids, options = {}) => {
    const table = tables.get(object)
    change(object, ids, (version) => !version.gone, () => ({ gone: true }), options)
    for (const id of [ids].flat()) tables.graph.drop(table, recordId(id))
  }

  return {
    seed(object, options) {
      const table = tables.get(object)
      const wanted: SeedOptions = typeof options === 'number' ? { count: options } : options
      addExtra(tables, table, wanted.properties ?? 0, clock.now())
      const segment = createSegment({
        count: wanted.count,
        firstId: wanted.firstId ?? table.nextId,
        now: clock.now(),
        salt: hashText(`${seed}:${table.type.name}:${wanted.firstId ?? table.nextId}`),
        ...(wanted.ties !== undefined && { ties: wanted.ties }),
      })
      table.addSegment(segment)
      return { count: segment.count, firstId: String(segment.firstId), lastId: String(segment.lastId) }
    },
    create(object, records, options = {}) {
      const table = tables.get(object)
      const at = timeOf(options)
      const ids = new Set<number>()
      for (const { id } of records) {
        if (id === undefined) continue
        const number = recordId(id)
        if (table.newest(number) || ids.has(number)) throw new Error(`${table.type.name} ${id} was already there`)
        ids.add(number)
      }
      const columns = allColumns(table)
      return records.map(({ id, properties = {} }) => {
        let free = id === undefined ? table.nextId : recordId(id)
        while (id === undefined && ids.has(free)) free++
        const { own, createdAt = at } = written(table, properties)
        const fresh = { createdAt, updatedAt: at, archivedAt: null, gone: false, mergedInto: null, filled: options.fill ?? false, own, before: null }
        return snapshot(table, write(table, { id: free, ...fresh }, options), columns)
      })
    },
    edit: (object, ids, properties, options = {}) =>
      change(object, ids, isLive, (version, at) => {
        const { own, createdAt = version.createdAt } = written(tables.get(object), properties)
        return { own: { ...version.own, ...own }, createdAt, ...(options.touch !== false && { updatedAt: at }) }
      }, options),
    archive(object, ids, options = {}) {
      change(object, ids, isLive, (_, at) => ({ archivedAt: at, ...(settings.archiveBumps && { updatedAt: at }) }), options)
    },
    restore(object, ids, options = {}) {
      const archived = (version: Version) => version.archivedAt !== null && !version.gone
      change(object, ids, archived, (_, at) => ({ archivedAt: null, ...(settings.restoreBumps && { updatedAt: at }) }), options)
    },
    purge,
    gdprDelete: (ids, options) => purge('contacts', ids, options),
  }
}

/** Values as text. The creation date may be written; answers then show it in both places, as recorded ones do. */
function written(table: Table, values: Values): { own: Record<string, string | null>; createdAt?: number } {
  const { [table.type.created]: created, ...rest } = values
  const own = Object.fromEntries(Object.entries(rest).map(([name, value]) => [name, value === null ? null : String(value)]))
  return created == null ? { own } : { own, createdAt: epoch(typeof created === 'number' ? created : String(created)) }
}

function addExtra(tables: Tables, table: Table, count: number, at: number): void {
  const had = table.properties().filter(({ name }) => name.startsWith('extra_')).length
  for (const property of extraProperties(had + 1, count)) {
    table.define(createProperty(property, tables.context(table), at))
  }
}
