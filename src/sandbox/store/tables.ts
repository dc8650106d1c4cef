import { type Owner, defaultOwners, defaultPipelines, shown } from '../data/account.ts'
import { commonProperties } from '../data/common.ts'
import { customProperties, type ObjectType, standardTypes } from '../data/object-types.ts'
import { createProperty, type Property, type PropertyContext, parseProperties } from '../data/properties.ts'
import { Graph } from '../graph/graph.ts'
import type { Settings } from '../settings.ts'
import type { ObjectInput, ObjectName } from '../types.ts'
import { hashText } from './random.ts'
import { Table } from './table.ts'

/** All object types of the account, found by every name they go by, and its owners. */
export class Tables {
  readonly owners: Owner[]
  readonly graph: Graph
  readonly #tables = new Map<string, Table>()
  readonly #account: { readonly portalId: number; readonly seed: number; readonly now: () => number }
  readonly #settings: Readonly<Settings>
  #lastNumber = 3_465_403

  constructor(account: { portalId: number; seed: number; now: () => number }, settings: Readonly<Settings>) {
    this.#account = account
    this.#settings = settings
    this.graph = new Graph(settings, () => this.all())
    this.owners = defaultOwners(account.now() - 900 * 86_400_000)
    for (const type of standardTypes) this.#add(new Table(type, settings, 0))
  }

  /** Every table, standard ones first. */
  all(): Table[] {
    return [...this.#tables.values()]
  }

  /** A table by any of its names, as control calls use them; throws where there is none. */
  get(object: ObjectName): Table {
    const table = this.find(object, true)
    if (!table) throw new Error(`no object ${object}; there are ${this.all().map((other) => other.type.name).join(', ')}`)
    return table
  }

  /**
   * A table by a name in a path: type id, plural, singular, or, for custom objects, `p{portal}_{name}` and `p_{name}`;
   * a custom object's bare name counts only where `bare` says so.
   */
  find(name: string, bare = this.#settings.customShortNames): Table | undefined {
    const asked = name.toLowerCase()
    const table = this.all().find(({ type }) => {
      if (type.typeId === asked) return true
      if (!type.custom) return type.name === asked || type.singular === asked
      return asked === this.fullName(type) || asked === `p_${type.name}` || (bare && asked === type.name)
    })
    if (table) this.#expire(table)
    return table
  }

  /** Records whose time in the recycle bin is over are gone before anyone can look. */
  #expire(table: Table): void {
    for (const id of table.expire(this.#account.now() - this.#settings.archivedDays * 86_400_000)) this.graph.drop(table, id)
  }

  /** `p8675309_vehicle` for a custom object, `CONTACT` for contacts. */
  fullName(type: ObjectType): string {
    return type.custom ? `p${this.#account.portalId}_${type.name}` : type.singular.toUpperCase()
  }

  /** Adds a custom object; without properties of its own it gets those of a vehicle. */
  addCustom(input: ObjectInput): Table {
    if (!/^[a-z][a-z0-9_]*$/.test(input.name)) throw new Error(`not a name for a custom object: ${input.name}`)
    if (this.find(input.name, true)) throw new Error(`there is an object ${input.name}`)
    const number = input.typeNumber ?? this.#nextNumber()
    if (this.find(`2-${number}`)) throw new Error(`there is an object 2-${number}`)
    const at = this.#account.now()
    const label = input.name[0]!.toUpperCase() + input.name.slice(1).replaceAll('_', ' ')
    const type: ObjectType = {
      name: input.name,
      singular: input.name,
      typeId: `2-${number}`,
      custom: true,
      created: 'hs_createdate',
      modified: 'hs_lastmodifieddate',
      scopes: ['crm.objects.custom.read'],
      searchable: true,
      usual: [],
      firstId: 1_000_000_001 + (hashText(input.name) % 1_000_000_000),
      properties: input.properties ? '' : customProperties,
    }
    const table = new Table(type, this.#settings, at, input.labels ?? { singular: label, plural: `${label}s` })
    this.#add(table)
    for (const property of input.properties ?? []) {
      table.define(createProperty({ filled: true, ...property }, this.context(table), at))
    }
    table.primaryDisplayProperty = input.primaryDisplayProperty ?? input.properties?.[0]?.name ?? 'vin'
    return table
  }

  /** Removes a custom object; its type id is not given again. */
  remove(table: Table): void {
    this.graph.forget(table)
    this.#tables.delete(table.type.name)
    this.#lastNumber = Math.max(this.#lastNumber, Number(table.type.typeId.slice(2)))
  }

  /** What the formulas of a table's properties draw from. */
  context({ type, pipelines }: Table): PropertyContext {
    return {
      seed: this.#account.seed,
      object: type.name,
      group: type.custom ? `${type.name}_information` : `${type.singular.replaceAll('_', '')}information`,
      owners: this.owners.map((owner) => owner.id),
      pipelines,
      now: this.#account.now(),
    }
  }

  #add(table: Table): void {
    const { type } = table
    table.pipelines = defaultPipelines(type.name)
    const lines = [
      `${type.created} | Create Date | datetime/date | none`,
      `${type.modified} | Last Modified Date | datetime/date | none | | readonly`,
      commonProperties,
    ]
    const context = this.context(table)
    for (const property of [
      ...parseProperties(lines.join('\n'), context, table.createdAt),
      ...parseProperties(type.properties, context, table.createdAt, !type.custom),
    ]) {
      table.define(withPipelines(property, table))
    }
    this.#tables.set(type.name, table)
  }

  #nextNumber(): number {
    const numbers = this.all().filter(({ type }) => type.custom).map(({ type }) => Number(type.typeId.slice(2)))
    return Math.max(this.#lastNumber, ...numbers) + 1
  }
}

/** A property; the options of one that holds pipelines or stages are those of the table. */
export function withPipelines(property: Property, table: Table): Property {
  const stage = property.name === 'dealstage' || property.name === 'hs_pipeline_stage'
  if (!stage && property.name !== 'pipeline' && property.name !== 'hs_pipeline') return property
  if (table.pipelines.length === 0) return property
  const from = stage ? shown(table.pipelines).flatMap((pipeline) => shown(pipeline.stages)) : shown(table.pipelines)
  return { ...property, options: from.map(({ id, label }, displayOrder) => ({ label, value: id, displayOrder, hidden: false })) }
}
