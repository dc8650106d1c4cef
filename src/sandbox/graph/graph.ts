import { isDocumented, pairTypes } from '../data/association-types.ts'
import type { Settings } from '../settings.ts'
import type { Table } from '../store/table.ts'
import { isLive } from '../store/version.ts'
import type { LabelInput } from '../types.ts'
import { bit, createDirection, Direction } from './direction.ts'
import type { StoredEdge } from './edge-list.ts'

/** The unlabelled type comes first in every direction. */
const unlabelled = bit(0)

/** All associations of the account. What is stored outlives archiving; what is shown has two live ends. */
export class Graph {
  readonly #directions = new Map<string, Direction>()
  readonly #settings: Readonly<Settings>
  readonly #tables: () => readonly Table[]
  /** The last id of a label that someone defined; ids of labels count apart from HubSpot's own. */
  #lastLabel = 27

  constructor(settings: Readonly<Settings>, tables: () => readonly Table[]) {
    this.#settings = settings
    this.#tables = tables
  }

  /** The associations from one object to another; both directions are made when one is first asked for. */
  direction(from: Table, to: Table): Direction {
    const known = this.#directions.get(keyOf(from, to))
    if (known) return known
    if (!isDocumented(from.type, to.type) && isDocumented(to.type, from.type)) return this.direction(to, from).reverse
    const tables = this.#tables()
    const types = pairTypes(from.type, to.type, [tables.indexOf(from), tables.indexOf(to)])
    const custom = from.type.custom || to.type.custom
    const made = createDirection(from, to, types, custom ? this.#settings.customPairs : 'HUBSPOT_DEFINED')
    for (const direction of [made, made.reverse]) this.#directions.set(keyOf(direction.from, direction.to), direction)
    return made
  }

  /** Adds a label to a pair; returns its ids there and back. */
  define(direction: Direction, input: LabelInput): { typeId: number; inverseTypeId: number } {
    const label = input.label ?? input.name
    const { category = 'USER_DEFINED', inverseLabel } = input
    if (!label) throw new Error('a label needs a text')
    const typeId = input.typeId ?? this.#lastLabel + 1
    const isSelf = direction.reverse === direction
    const isOne = isSelf && inverseLabel === undefined && input.inverseTypeId === undefined
    const inverseTypeId = isOne ? typeId : (input.inverseTypeId ?? Math.max(typeId, this.#lastLabel) + 1)
    for (const [side, id] of [[direction, typeId], [direction.reverse, inverseTypeId]] as const) {
      if (!Number.isSafeInteger(id) || id < 1) throw new Error(`not a type id: ${id}`)
      if (side.types().some((type) => type.category === category && type.typeId === id)) throw new Error(`${side.name} has a type ${category} ${id}`)
    }
    if (isSelf && !isOne && typeId === inverseTypeId) throw new Error(`${direction.name} needs two ids for a label and its inverse`)
    direction.add({ category, label }, [typeId, inverseTypeId], inverseLabel ?? label)
    this.#lastLabel = Math.max(this.#lastLabel, typeId, inverseTypeId)
    return { typeId, inverseTypeId }
  }

  /** Removes a label from all edges and from the pair. */
  removeLabel(direction: Direction, place: number): void {
    if (direction.at(place).label === null) throw new Error('the unlabelled type cannot be removed')
    for (const { from, to, mask } of direction.edges.walk()) this.#put(direction, from, to, mask & ~bit(place))
    direction.forget(place)
  }

  /** Associates two records, with these labels besides those they have. */
  connect(direction: Direction, from: number, to: number, places: readonly number[]): void {
    let mask = direction.edges.get(from, to) | unlabelled
    for (const place of places) {
      mask |= bit(place)
      this.#makeRoom(direction, from, to, place)
    }
    this.#put(direction, from, to, mask)
  }

  /** Takes labels away; all of the association where it is the unlabelled type, or where none is named. */
  disconnect(direction: Direction, from: number, to: number, places: readonly number[]): void {
    const taken = places.reduce((mask, place) => mask | bit(place), 0)
    const whole = places.length === 0 || (taken & unlabelled) !== 0
    this.#put(direction, from, to, whole ? 0 : direction.edges.get(from, to) & ~taken)
  }

  /** Removes all associations of a record for good. */
  drop(table: Table, id: number): void {
    for (const direction of this.#of(table)) {
      for (const { to } of direction.edges.of(id)) this.#put(direction, id, to, 0)
    }
  }

  /** Removes all that there is of an object's associations, their types too. */
  forget(table: Table): void {
    for (const [key, { from, to }] of this.#directions) if (from === table || to === table) this.#directions.delete(key)
  }

  /** Gives a record's associations to another; what the other has stays, also its Primary. */
  move(table: Table, id: number, heir: number): void {
    for (const direction of this.#of(table)) {
      for (const { to, mask } of direction.edges.of(id)) {
        this.#put(direction, id, to, 0)
        if (to === heir) continue
        let kept = mask
        for (const type of direction.inMask(mask)) {
          const place = direction.place(type)
          if (type.single === 'from' && this.#holders(direction, heir, place).some((other) => other !== to)) kept &= ~bit(place)
        }
        this.#put(direction, heir, to, direction.edges.get(heir, to) | kept)
      }
    }
  }

  /** The edges of a record from one other on that lists show: both ends are live. */
  *shownOf(direction: Direction, from: number, after = 0): Generator<StoredEdge, undefined> {
    if (!isShown(direction.from, from)) return
    for (const edge of direction.edges.of(from, after)) if (isShown(direction.to, edge.to)) yield edge
  }

  /** All edges whose two ends are live. */
  *shown(direction: Direction): Generator<StoredEdge, undefined> {
    for (const edge of direction.edges.walk()) {
      if (isShown(direction.from, edge.from) && isShown(direction.to, edge.to)) yield edge
    }
  }

  #of(table: Table): Direction[] {
    return [...this.#directions.values()].filter((direction) => direction.from === table)
  }

  /** Takes a type of which a record has one at most from the edge that has it. */
  #makeRoom(direction: Direction, from: number, to: number, place: number): void {
    const { single, inverse } = direction.at(place)
    if (single === 'to') this.#makeRoom(direction.reverse, to, from, inverse)
    if (single !== 'from') return
    for (const other of this.#holders(direction, from, place)) {
      if (other !== to) this.#put(direction, from, other, direction.edges.get(from, other) & ~bit(place))
    }
  }

  #holders(direction: Direction, from: number, place: number): number[] {
    return [...direction.edges.of(from)].filter(({ mask }) => (mask & bit(place)) !== 0).map(({ to }) => to)
  }

  #put(direction: Direction, from: number, to: number, mask: number): void {
    direction.edges.set(from, to, mask >>> 0)
    direction.reverse.edges.set(to, from, direction.inverse(mask >>> 0))
  }
}

function keyOf(from: Table, to: Table): string {
  return `${from.type.name} ${to.type.name}`
}

function isShown(table: Table, id: number): boolean {
  if (table.archivedAt !== null) return false
  const version = table.newest(id)
  return version !== undefined && isLive(version)
}
