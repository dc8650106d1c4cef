import type { Pipeline } from '../data/account.ts'
import type { ObjectType } from '../data/object-types.ts'
import type { Property } from '../data/properties.ts'
import type { Settings } from '../settings.ts'
import { SearchIndex } from './search-index.ts'
import type { Segment } from './segment.ts'
import { SortedList } from './sorted-list.ts'
import { isLive, isoTime, type Version, versionAt } from './version.ts'

/** Reads one property of a record. */
export type Reader = (version: Version) => string | null

/** One object type of the account: definition, properties, records and what search knows of them. */
export class Table {
  readonly type: ObjectType
  /** What a custom object's schema says besides its name. */
  readonly labels: { readonly singular: string; readonly plural: string }
  readonly createdAt: number
  readonly index = new SearchIndex()
  pipelines: readonly Pipeline[] = []
  primaryDisplayProperty: string | null = null
  /** When the object itself was archived, epoch ms. */
  archivedAt: number | null = null
  readonly #settings: Readonly<Settings>
  readonly #segments: Segment[] = []
  /** The newest version of every record that was ever written to. */
  readonly #written = new Map<number, Version>()
  /** Ids that no segment holds. */
  readonly #added = new SortedList<number>((a, b) => a - b)
  readonly #archived = new SortedList<number>((a, b) => a - b)
  /** Ids lost to merges. */
  readonly #merged = new SortedList<number>((a, b) => a - b)
  /** Archived and merged records by when they became so. */
  readonly #leaving = new SortedList<Version>((a, b) => a.archivedAt! - b.archivedAt! || a.id - b.id)
  readonly #properties = new Map<string, Property>()
  /** How to read each property; forgotten when a definition changes. */
  readonly #readers = new Map<string, Reader>()
  #highest = 0
  #live = 0

  constructor(type: ObjectType, settings: Readonly<Settings>, createdAt: number, labels?: { singular: string; plural: string }) {
    this.type = type
    this.createdAt = createdAt
    this.labels = labels ?? { singular: type.singular, plural: type.name }
    this.#settings = settings
    this.#highest = type.firstId - 1
  }

  /** The id a new record gets. */
  get nextId(): number {
    return this.#highest + 1
  }

  count(archived: boolean): number {
    if (!archived) return this.#live
    return this.#archived.size + (this.#settings.mergedArchived ? [...this.#lost(0)].length : 0)
  }

  addSegment(segment: Segment): void {
    if (segment.firstId <= this.#highest) throw new Error(`generated ids must lie above ${this.#highest}`)
    this.#segments.push(segment)
    this.#highest = segment.lastId
    this.#live += segment.count
    this.index.addSegment(segment)
  }

  /** The newest version of a record, live, archived or gone. */
  newest(id: number): Version | undefined {
    const written = this.#written.get(id)
    if (written) return written
    for (const segment of this.#segments) {
      const index = segment.indexOf(id)
      if (index >= 0) return segment.version(index)
    }
    return undefined
  }

  /** Puts a new version in place of the newest; the search index is told apart from this. */
  write(version: Version): void {
    const before = version.before
    if (!before) this.#added.add(version.id)
    if (before && isLive(before)) this.#live--
    if (before && before.archivedAt !== null && !before.gone) {
      this.#archived.delete(version.id)
      this.#leaving.delete(before)
    }
    if (isLive(version)) this.#live++
    else if (!version.gone) this.#archived.add(version.id)
    else if (version.mergedInto !== null) this.#merged.add(version.id)
    if (version.archivedAt !== null && (!version.gone || version.mergedInto !== null)) this.#leaving.add(version)
    this.#written.set(version.id, version)
    this.#highest = Math.max(this.#highest, version.id)
  }

  /** Live and archived records that were ever written to. */
  written(): Version[] {
    return [...this.#written.values()].filter(({ gone }) => !gone)
  }

  /** Live records by ascending id, from an id on. */
  *live(from: number): Generator<Version, undefined> {
    const added = this.#added.from(this.#added.position((id) => id < from))
    let next = added.next().value
    for (const segment of this.#segments) {
      for (let index = segment.indexFrom(from); index < segment.count; index++) {
        const id = segment.idAt(index)
        for (; next !== undefined && next < id; next = added.next().value) {
          const version = this.#written.get(next)!
          if (isLive(version)) yield version
        }
        const version = this.#written.get(id) ?? segment.version(index)
        if (isLive(version)) yield version
      }
    }
    for (; next !== undefined; next = added.next().value) {
      const version = this.#written.get(next)!
      if (isLive(version)) yield version
    }
  }

  /** Archived records by ascending id, from an id on; those lost to merges among them where the setting says so. */
  *archived(from: number): Generator<Version, undefined> {
    const lost = this.#settings.mergedArchived ? this.#lost(from) : [].values()
    let next = lost.next().value
    for (const id of this.#archived.from(this.#archived.position((other) => other < from))) {
      for (; next && next.id < id; next = lost.next().value) yield next
      yield this.#written.get(id)!
    }
    for (; next; next = lost.next().value) yield next
  }

  /** The record that an id leads to: its own, or the survivor of its merges; as it was at a time, epoch ms, where one is given. */
  survivor(id: number, at = Infinity): Version | undefined {
    let version = versionAt(this.newest(id), at)
    while (version && version.mergedInto !== null) version = versionAt(this.newest(version.mergedInto), at)
    return version
  }

  /** Ends the time of records archived by a time, epoch ms; returns their ids. Ids lost to merges leave the list, but still lead to their survivor. */
  expire(archivedBy: number): number[] {
    const ids: number[] = []
    for (let first = this.#leaving.at(0); first && first.archivedAt! <= archivedBy; first = this.#leaving.at(0)) {
      if (first.mergedInto !== null) {
        this.#merged.delete(first.id)
        this.#leaving.delete(first)
      } else {
        this.write({ ...first, gone: true, before: first })
        ids.push(first.id)
      }
    }
    return ids
  }

  /** Records lost to merges whose survivor has left some trace. */
  *#lost(from: number): Generator<Version, undefined> {
    for (const id of this.#merged.from(this.#merged.position((other) => other < from))) {
      if (this.survivor(id)?.gone === false) yield this.#written.get(id)!
    }
  }

  /** A record's value in a property; null where it has none. */
  value(version: Version, name: string): string | null {
    return this.reader(name)(version)
  }

  /** What reads a property of any record; to be taken once for many. */
  reader(name: string): Reader {
    const known = this.#readers.get(name)
    if (known) return known
    const reader = this.#createReader(name)
    this.#readers.set(name, reader)
    return reader
  }

  #createReader(name: string): Reader {
    const { created, modified } = this.type
    if (name === 'hs_object_id') return (version) => String(version.id)
    if (name === modified) return (version) => this.time(version.updatedAt)
    if (name === created) return (version) => this.time(version.createdAt)
    const generate = this.#properties.get(name)?.generate ?? null
    return ({ own, filled, id }) => {
      if (own && Object.hasOwn(own, name)) return this.#shown(own[name]!)
      return filled && generate ? generate(id) : null
    }
  }

  /** A time as this account's answers write it. */
  time(ms: number): string {
    return isoTime(ms, this.#settings.zeroMillis)
  }

  /** Every definition, archived ones too. */
  properties(): Property[] {
    return [...this.#properties.values()]
  }

  /** A definition, unless it is archived. */
  property(name: string): Property | undefined {
    const property = this.#properties.get(name)
    return property?.archivedAt === null ? property : undefined
  }

  /** A definition, archived or not. */
  definition(name: string): Property | undefined {
    return this.#properties.get(name)
  }

  /** Adds a definition, or replaces the one of its name. */
  define(property: Property): void {
    this.#properties.set(property.name, property)
    this.#readers.delete(property.name)
  }

  #shown(value: string | null): string | null {
    if (value !== null && value !== '') return value
    if (this.#settings.cleared === 'as written') return value
    return this.#settings.cleared === 'empty' ? '' : null
  }
}
