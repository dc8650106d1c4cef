import { createAssociations } from '../graph/associations.ts'
import { applySettings, type Settings } from '../settings.ts'
import type { OauthStore, ObjectName, SandboxRecord, Store, WebhookStore } from '../types.ts'
import type { Clock } from './clock.ts'
import { allColumns, snapshot } from './records.ts'
import { createMerge } from './merge.ts'
import { createSchemaChanges } from './schema-changes.ts'
import type { Table } from './table.ts'
import type { Tables } from './tables.ts'
import { createWriter, recordId } from './writer.ts'
import { createWrites } from './writes.ts'

/** The parts of a store that do not concern calls: those belong to the HTTP side. */
export type DataStore = Omit<Store, keyof WebhookStore | keyof OauthStore | 'addToken' | 'changeToken' | 'revokeToken' | 'addFault' | 'faults' | 'removeFaults' | 'calls' | 'counts' | 'resetCalls' | 'nextCall'>

/** The data of one account and everything that can be done to it. */
export function createDataStore(input: { portalId: number; seed: number; tables: Tables; clock: Clock; settings: Settings }): DataStore {
  const { portalId, seed, tables, clock, settings } = input

  const writer = createWriter(clock, settings, seed)

  const some = (object: ObjectName | undefined): Table[] => (object === undefined ? tables.all() : [tables.get(object)])

  return {
    portalId,
    settings,
    configure: (changes) => applySettings(settings, changes),
    now: clock.now,
    setClock: clock.set,
    advance: clock.advance,
    freeze: (frozen = true) => clock.freeze(frozen),

    objects: () => tables.all().map(({ type }) => type.name),
    ...createWrites(tables, clock, settings, seed, writer),
    ...createAssociations(tables, settings, writer),
    merge: createMerge(tables, settings, writer),

    records(object, { archived = false } = {}) {
      return slices(tables.get(object), archived)
    },
    record(object, id) {
      const table = tables.get(object)
      const version = table.newest(recordId(id))
      return version && !version.gone ? snapshot(table, version) : undefined
    },
    count: (object, { archived = false } = {}) => tables.get(object).count(archived),
    pending(object) {
      for (const { index } of some(object)) index.settle(clock.now())
      return some(object).reduce((sum, { index }) => sum + index.waiting, 0)
    },
    flushIndex() {
      for (const { index } of tables.all()) index.settle(Infinity)
    },

    ...createSchemaChanges(tables, clock, writer),
  }
}

/** Records a few hundred at a time, so that the store may change while someone reads them. */
function* slices(table: Table, archived: boolean): Generator<SandboxRecord, undefined> {
  for (let from = 0; ; ) {
    const slice = [...(archived ? table.archived(from) : table.live(from)).take(500)]
    const columns = allColumns(table)
    for (const version of slice) yield snapshot(table, version, columns)
    if (slice.length < 500) return
    from = slice.at(-1)!.id + 1
  }
}
