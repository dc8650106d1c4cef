import type { PairTypes } from '../data/association-types.ts'
import type { Table } from '../store/table.ts'
import type { AssociationCategory, AssociationType, AssociationTypeName } from '../types.ts'
import { EdgeList } from './edge-list.ts'

/** A type of association, seen from one end; its place among the types of the direction is its bit in the masks of edges. */
export interface DirectedType {
  readonly category: AssociationCategory
  readonly typeId: number
  readonly label: string | null
  /** The place of the type that the other end shows. */
  readonly inverse: number
  /** The end that has one association of this type at most. */
  readonly single: 'from' | 'to' | null
}

/** Masks hold 32 bits, of which the unlabelled type and Primary take two. */
const most = 32

/** The associations of one object's records with another's, as the first ones see them. Of a pair of one object with itself there is one direction. */
export class Direction {
  readonly from: Table
  readonly to: Table
  readonly edges = new EdgeList()
  readonly #types: (DirectedType | undefined)[] = []
  #reverse: Direction = this

  constructor(from: Table, to: Table) {
    this.from = from
    this.to = to
  }

  get reverse(): Direction {
    return this.#reverse
  }

  /** Makes two directions one pair. */
  join(other: Direction): void {
    this.#reverse = other
    other.#reverse = this
  }

  types(): DirectedType[] {
    return this.#types.filter((type) => type !== undefined)
  }

  /** Adds a type that HubSpot brings or someone defines, on both sides; ids are those there and back. */
  add(type: Omit<AssociationType, 'typeId'>, ids: readonly [number, number], inverseLabel: string | null, single: DirectedType['single'] = null): void {
    const { category, label } = type
    const other = this.#reverse
    const isOne = other === this && ids[0] === ids[1]
    const place = this.#free(0)
    const back = other !== this || isOne ? place : this.#free(place + 1)
    if (Math.max(place, back) >= most) throw new Error(`${this.name} has as many types as it can`)
    this.#types[place] = { category, typeId: ids[0], label, inverse: back, single }
    if (isOne) return
    const opposite = single === null ? null : single === 'from' ? 'to' : 'from'
    other.#types[back] = { category, typeId: ids[1], label: inverseLabel, inverse: place, single: opposite }
  }

  rename(place: number, label: string): void {
    this.#types[place] = { ...this.#types[place]!, label }
  }

  /** Forgets a type on both sides; no edge may have it any more. */
  forget(place: number): void {
    const { inverse } = this.#types[place]!
    this.#types[place] = undefined
    this.#reverse.#types[inverse] = undefined
  }

  /** The place of a type by name; throws where there is none or more than one. */
  place(name: AssociationTypeName): number {
    const fits = (type: DirectedType | undefined) => {
      if (type === undefined) return false
      if (typeof name === 'string') return type.label === name
      if (typeof name === 'number') return type.typeId === name
      return type.typeId === name.typeId && type.category === name.category
    }
    const places = this.#types.flatMap((type, place) => (fits(type) ? [place] : []))
    const shown = typeof name === 'object' ? `${name.category} ${name.typeId}` : String(name)
    if (places.length === 0) throw new Error(`${this.name} has no association type ${shown}; it has ${this.types().map(({ label, typeId }) => label ?? typeId).join(', ')}`)
    if (places.length > 1) throw new Error(`${this.name} has several association types ${shown}; say {category, typeId}`)
    return places[0]!
  }

  at(place: number): DirectedType {
    return this.#types[place]!
  }

  /** The types in a mask. */
  inMask(mask: number): DirectedType[] {
    return this.#types.filter((type, place) => type !== undefined && (mask & bit(place)) !== 0) as DirectedType[]
  }

  /** What the other end shows of a mask. */
  inverse(mask: number): number {
    if (this.#reverse !== this) return mask
    let inverse = 0
    for (const [place, type] of this.#types.entries()) if (type && (mask & bit(place)) !== 0) inverse |= bit(type.inverse)
    return inverse >>> 0
  }

  get name(): string {
    return `${this.from.type.name} → ${this.to.type.name}`
  }

  #free(from: number): number {
    let place = from
    while (this.#types[place]) place++
    return place
  }
}

/** A pair with the types that HubSpot brings. */
export function createDirection(from: Table, to: Table, { unlabelled, primary }: PairTypes, category: AssociationCategory): Direction {
  const direction = new Direction(from, to)
  if (from !== to) direction.join(new Direction(to, from))
  direction.add({ category, label: null }, unlabelled, null)
  if (primary) direction.add({ category, label: 'Primary' }, primary, 'Primary', 'from')
  return direction
}

/** The bit of a place in a mask. */
export function bit(place: number): number {
  return (1 << place) >>> 0
}
