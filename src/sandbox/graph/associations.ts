import type { Settings } from '../settings.ts'
import type { Table } from '../store/table.ts'
import type { Tables } from '../store/tables.ts'
import { isLive } from '../store/version.ts'
import { recordId, type Writer } from '../store/writer.ts'
import type { AssociationStore, Edge, EdgeInput, ObjectName } from '../types.ts'
import type { Direction } from './direction.ts'

/** What a store can do about associations. */
export function createAssociations(tables: Tables, settings: Readonly<Settings>, writer: Writer): AssociationStore {
  const { graph } = tables
  const directionOf = (from: ObjectName, to: ObjectName) => graph.direction(tables.get(from), tables.get(to))
  const placesOf = (direction: Direction, types: EdgeInput['types'] = []) => types.map((type) => direction.place(type))

  const bump = (table: Table, ids: Iterable<number>) => {
    if (!settings.associationBumps) return
    for (const id of new Set(ids)) {
      const before = table.newest(id)
      if (before && isLive(before)) writer.write(table, { ...before, updatedAt: writer.timeOf({}), before }, {})
    }
  }
  /** Checks all edges before the first changes; all of them have one list of types mostly, which is looked up once. */
  const each = (direction: Direction, edges: readonly EdgeInput[], isNew: boolean, act: (from: number, to: number, places: number[]) => void) => {
    const places = new Map<EdgeInput['types'], number[]>()
    const checked = edges.map(({ fromId, toId, types }) => {
      const [from, to] = [recordId(fromId), recordId(toId)]
      if (!places.has(types)) places.set(types, placesOf(direction, types))
      if (isNew) for (const [table, id] of [[direction.from, from], [direction.to, to]] as const) writer.live(table, id)
      else if (direction.edges.get(from, to) === 0) throw new Error(`no association ${direction.name}: ${from} → ${to}`)
      if (direction.from === direction.to && from === to) throw new Error(`${direction.from.type.name} ${from} cannot be associated with itself`)
      return { from, to, places: places.get(types)! }
    })
    for (const edge of checked) act(edge.from, edge.to, edge.places)
    bump(direction.from, checked.map(({ from }) => from))
    bump(direction.to, checked.map(({ to }) => to))
  }
  const associateAll: AssociationStore['associateAll'] = (from, to, edges) => {
    const direction = directionOf(from, to)
    each(direction, edges, true, (...edge) => graph.connect(direction, ...edge))
  }
  const dissociateAll: AssociationStore['dissociateAll'] = (from, to, edges) => {
    const direction = directionOf(from, to)
    each(direction, edges, false, (...edge) => graph.disconnect(direction, ...edge))
  }
  const one = (fromId: EdgeInput['fromId'], toId: EdgeInput['toId'], types: EdgeInput['types']): EdgeInput[] => [{ fromId, toId, ...(types && { types }) }]

  return {
    associationTypes: (from, to) => directionOf(from, to).types().map(({ category, typeId, label }) => ({ category, typeId, label })),
    defineLabel: (from, to, label) => graph.define(directionOf(from, to), label),
    changeLabel(from, to, type, label) {
      const direction = directionOf(from, to)
      const place = direction.place(type)
      const { label: old, inverse } = direction.at(place)
      if (old === null) throw new Error('the unlabelled type has no label')
      if (direction.reverse.at(inverse).label === old) direction.reverse.rename(inverse, label)
      direction.rename(place, label)
    },
    removeLabel(from, to, type) {
      const direction = directionOf(from, to)
      graph.removeLabel(direction, direction.place(type))
    },
    associate: (from, fromId, to, toId, types) => associateAll(from, to, one(fromId, toId, types)),
    dissociate: (from, fromId, to, toId, types) => dissociateAll(from, to, one(fromId, toId, types)),
    associateAll,
    dissociateAll,
    *edges(from, to, { fromId } = {}) {
      const direction = directionOf(from, to)
      const stored = fromId === undefined ? graph.shown(direction) : graph.shownOf(direction, recordId(fromId))
      for (const edge of stored) {
        const types = direction.inMask(edge.mask).sort((a, b) => a.typeId - b.typeId || (a.category < b.category ? -1 : 1))
        for (const { category, typeId, label } of types) {
          yield { fromId: String(edge.from), toId: String(edge.to), typeId, category, label } satisfies Edge
        }
      }
    },
  }
}
