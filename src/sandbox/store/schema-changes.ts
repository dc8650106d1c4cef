import { createOwner, createPipelines, type Owner, type Pipeline } from '../data/account.ts'
import { changeProperty, createProperty, recalculateProperty } from '../data/properties.ts'
import type { ObjectName, RecordId, Store } from '../types.ts'
import type { Clock } from './clock.ts'
import type { Table } from './table.ts'
import { type Tables, withPipelines } from './tables.ts'
import { recordId, type Writer } from './writer.ts'

type SchemaChanges = Pick<Store,
  | 'addProperty' | 'changeProperty' | 'archiveProperty' | 'restoreProperty' | 'recalculate'
  | 'addObject' | 'archiveObject' | 'restoreObject' | 'removeObject'
  | 'setPipelines' | 'changePipeline' | 'changeStage'
  | 'addOwner' | 'changeOwner' | 'archiveOwner' | 'restoreOwner' | 'removeOwner'>

/** Changes of what an account's records are made of, and of whom they belong to. */
export function createSchemaChanges(tables: Tables, clock: Clock, writer: Writer): SchemaChanges {
  let rounds = 0

  const definition = (object: ObjectName, name: string) => {
    const table = tables.get(object)
    const property = table.definition(name)
    if (!property) throw new Error(`no property ${table.type.name}.${name}`)
    return { table, property }
  }
  const custom = (object: ObjectName) => {
    const table = tables.get(object)
    if (!table.type.custom) throw new Error(`${table.type.name} is not a custom object`)
    return table
  }
  const usePipelines = (table: Table, pipelines: readonly Pipeline[]) => {
    table.pipelines = pipelines
    for (const property of table.properties()) table.define(withPipelines(property, table))
  }
  const replacePipeline = (object: ObjectName, id: string, change: (pipeline: Pipeline) => Partial<Pipeline>) => {
    const table = tables.get(object)
    if (!table.pipelines.some((pipeline) => pipeline.id === id)) throw new Error(`no pipeline ${id} of ${table.type.name}`)
    usePipelines(table, table.pipelines.map((pipeline) => (pipeline.id === id ? { ...pipeline, ...change(pipeline), updatedAt: clock.now() } : pipeline)))
  }
  const ownerAt = (id: RecordId) => {
    const at = tables.owners.findIndex((owner) => owner.id === String(id))
    if (at < 0) throw new Error(`no owner ${id}`)
    return at
  }
  const replaceOwner = (id: RecordId, changes: Partial<Owner>) => {
    const at = ownerAt(id)
    tables.owners[at] = { ...tables.owners[at]!, ...changes, updatedAt: clock.now() }
  }

  return {
    addProperty(object, property) {
      const table = tables.get(object)
      if (table.definition(property.name)) throw new Error(`there is a property ${table.type.name}.${property.name}`)
      table.define(createProperty(property, tables.context(table), clock.now()))
    },
    changeProperty(object, name, changes) {
      const { table, property } = definition(object, name)
      table.define(changeProperty(property, changes, clock.now()))
    },
    archiveProperty(object, name) {
      const { table, property } = definition(object, name)
      table.define({ ...property, archivedAt: clock.now() })
    },
    restoreProperty(object, name) {
      const { table, property } = definition(object, name)
      table.define({ ...property, archivedAt: null })
    },
    recalculate(object, name, { ids, ...options } = {}) {
      const { table, property } = definition(object, name)
      if (['hs_object_id', table.type.created, table.type.modified].includes(name)) throw new Error(`${name} is not calculated`)
      const again = recalculateProperty(property, tables.context(table), ++rounds)
      const chosen = ids === undefined ? undefined : [ids].flat().map((id) => writer.live(table, id))
      if (!chosen) table.define(again)
      // Generated values follow from the definition; those that were written, or that a record without generated ones has, are written.
      for (const before of chosen ?? table.written()) {
        if (!chosen && before.filled && !Object.hasOwn(before.own ?? {}, name)) continue
        writer.write(table, { ...before, own: { ...before.own, [name]: again.generate?.(before.id) ?? null }, before }, options)
      }
    },

    addObject: (object) => tables.addCustom(object).type.typeId,
    archiveObject(object) {
      custom(object).archivedAt = clock.now()
    },
    restoreObject(object) {
      custom(object).archivedAt = null
    },
    removeObject(object) {
      const table = custom(object)
      if (table.archivedAt === null) throw new Error(`${table.type.name} is not archived`)
      tables.remove(table)
    },

    setPipelines: (object, pipelines) => usePipelines(tables.get(object), createPipelines(pipelines, clock.now())),
    changePipeline: (object, id, { label, displayOrder, archived }) =>
      replacePipeline(object, id, () => given({ label, displayOrder, archived })),
    changeStage: (object, pipelineId, id, { label, displayOrder, archived, metadata }) =>
      replacePipeline(object, pipelineId, ({ stages }) => {
        if (!stages.some((stage) => stage.id === id)) throw new Error(`no stage ${id} of pipeline ${pipelineId}`)
        return { stages: stages.map((stage) => (stage.id === id ? { ...stage, ...given({ label, displayOrder, archived, metadata }) } : stage)) }
      }),

    addOwner(owner) {
      const next = Math.max(0, ...tables.owners.map(({ id }) => Number(id))) + 1
      const added = createOwner(owner, owner.id === undefined ? next : recordId(owner.id), clock.now())
      if (tables.owners.some(({ id }) => id === added.id)) throw new Error(`there is an owner ${added.id}`)
      tables.owners.push(added)
      return added.id
    },
    changeOwner: (id, { email, firstName, lastName, type }) => replaceOwner(id, given({ email, firstName, lastName, type })),
    archiveOwner: (id) => replaceOwner(id, { archived: true }),
    restoreOwner: (id) => replaceOwner(id, { archived: false }),
    removeOwner(id) {
      tables.owners.splice(ownerAt(id), 1)
    },
  }
}

type Given<T> = { [K in keyof T]?: Exclude<T[K], undefined> }

/** The fields that have a value. */
function given<T extends object>(fields: T): Given<T> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as Given<T>
}
