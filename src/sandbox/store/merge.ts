import type { Settings } from '../settings.ts'
import type { Store } from '../types.ts'
import { columnsOf, snapshot } from './records.ts'
import type { Table } from './table.ts'
import type { Tables } from './tables.ts'
import type { Version } from './version.ts'
import { recordId, type Writer } from './writer.ts'

/** A merge that would give a record more lost ids than it may have. */
export class TooManyMerges extends Error {}

/** The property that names the ids a record had, or took over, by merges. */
export const mergedIds = 'hs_merged_object_ids'
/** The older one of contacts, with the times. */
const mergedVids = 'hs_calculated_merged_vids'

/** Merges of records. */
export function createMerge(tables: Tables, settings: Readonly<Settings>, writer: Writer): Store['merge'] {
  const { graph } = tables
  const makesNewId = (table: Table) =>
    settings.mergeMakesNewId === 'as HubSpot' ? ['contacts', 'companies'].includes(table.type.name) : settings.mergeMakesNewId

  return (object, primaryId, otherId, options = {}) => {
    const table = tables.get(object)
    const [primary, other] = [writer.live(table, primaryId), writer.live(table, otherId)]
    if (primary.id === other.id) throw new Error(`${table.type.name} ${primary.id} cannot be merged into itself`)
    const { newId = makesNewId(table) } = options
    const at = writer.timeOf(options)
    const id = newId === false ? primary.id : newId === true ? table.nextId : recordId(newId)
    if (newId !== false && table.newest(id)) throw new Error(`${table.type.name} ${id} was already there`)
    const losers = newId === false ? [other] : [primary, other]
    const lost = [...lostIds(table, primary), ...lostIds(table, other), ...losers.map((loser) => String(loser.id))]
    if (lost.length > settings.mergesMax) throw new TooManyMerges(`Cannot have more than ${settings.mergesMax} identities on a profile`)

    const own: Record<string, string | null> = { ...mergedValues(table, primary, other, newId !== false), [mergedIds]: lost.join(';') }
    if (table.definition(mergedVids)) {
      const before = [primary, other].map((version) => table.value(version, mergedVids)).filter(Boolean)
      own[mergedVids] = [...before, ...losers.map((loser) => `${loser.id}:${at}`)].join(';')
    }
    const survivor = newId === false
      ? { ...primary, own, updatedAt: at, before: primary }
      : { ...primary, id, own, updatedAt: at, filled: false, before: null }
    writer.write(table, survivor, options)
    for (const loser of losers) {
      writer.write(table, { ...loser, archivedAt: at, gone: true, mergedInto: id, before: loser }, options)
      graph.move(table, loser.id, id)
    }
    return snapshot(table, table.newest(id)!)
  }
}

function lostIds(table: Table, version: Version): string[] {
  return (table.value(version, mergedIds) ?? '').split(';').filter(Boolean)
}

/** What the survivor holds of its own: all values of the primary one where the id is new, and what only the other one has. */
function mergedValues(table: Table, primary: Version, other: Version, whole: boolean): Record<string, string | null> {
  const { created, modified } = table.type
  const given = new Set(['hs_object_id', created, modified, mergedIds, mergedVids])
  const columns = columnsOf(table, table.properties().map(({ name }) => name).filter((name) => !given.has(name)))
  const own: Record<string, string | null> = { ...primary.own }
  for (const [name, read] of columns) {
    const value = read(primary)
    const kept = value === null || value === '' ? (read(other) ?? value) : value
    if (kept !== value || (whole && kept !== null)) own[name] = kept
  }
  return own
}
