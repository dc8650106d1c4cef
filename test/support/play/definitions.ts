import { type Command, type ObjectName, OBJECTS } from '../arbitraries.ts'
import type { World } from '../sync.ts'

/** What changes in HubSpot besides records: properties, their options, pipelines, owners. */
export function createDefinitions({ store, db }: Pick<World, 'store' | 'db'>, unseen: Set<string>, trace: string[]) {
  let count = 0
  const added = new Map<ObjectName, { name: string; type: string }[]>()
  const archived = new Map<ObjectName, Set<string>>()
  const piped = new Set<ObjectName>()
  const owners: string[] = []

  const namesOf = (object: ObjectName) => [...OBJECTS[object], ...(added.get(object) ?? []).map(({ name }) => name)]
  const archivedOf = (object: ObjectName) => archived.get(object) ?? new Set<string>()

  return {
    /** Whether a property is archived in HubSpot now. */
    isArchived: (object: ObjectName, name: string) => archivedOf(object).has(name),
    /** A value for one of the properties that were added. */
    addedValues(object: ObjectName, pick: number): Record<string, string> {
      const all = added.get(object) ?? []
      const one = all[pick % Math.max(all.length, 1)]
      return one === undefined ? {} : { [one.name]: one.type === 'number' || pick % 3 === 0 ? String(pick) : `value ${pick}` }
    },
    async perform(command: Extract<Command, { do: 'define' | 'archive property' | 'restore property' | 'describe' | 'pipeline' | 'owner' }>) {
      switch (command.do) {
        case 'define': {
          const name = `added_${++count}`
          store.addProperty(command.object, { name, type: command.type, filled: command.pick % 2 === 0 })
          added.set(command.object, [...(added.get(command.object) ?? []), { name, type: command.type }])
          trace.push(`  ${command.object}.${name} is made, a ${command.type}`)
          break
        }
        case 'archive property': {
          const names = namesOf(command.object).filter((name) => !archivedOf(command.object).has(name))
          // The texts that every write changes stay.
          const name = names[1 + (command.pick % Math.max(names.length - 1, 1))]
          if (name === undefined) break
          store.archiveProperty(command.object, name)
          archived.set(command.object, new Set([...archivedOf(command.object), name]))
          trace.push(`  ${command.object}.${name} is archived`)
          break
        }
        case 'restore property': {
          const names = [...archivedOf(command.object)]
          const name = names[command.pick % Math.max(names.length, 1)]
          if (name === undefined) break
          const [known] = await db.query<{ is_archived: boolean }>(
            'select archived_at is not null as is_archived from hubspot.properties where object = $1 and property = $2', [command.object, name])
          // Archived and restored between two looks at the definitions: what was read meanwhile lacks it, and nothing tells.
          if (known?.is_archived === false) {
            for (const isArchived of [false, true]) for (const { id } of store.records(command.object, { archived: isArchived })) unseen.add(`${command.object} ${id}`)
          }
          store.restoreProperty(command.object, name)
          archived.set(command.object, new Set(names.filter((other) => other !== name)))
          trace.push(`  ${command.object}.${name} is restored`)
          break
        }
        case 'describe': {
          const names = namesOf(command.object)
          const name = names[command.pick % names.length]!
          const options = Array.from({ length: command.pick % 4 }, (_, at) => ({ value: `option ${at + (command.pick % 2)}`, label: `Option ${++count}`, hidden: at === 2 }))
          store.changeProperty(command.object, name, command.pick % 3 === 0 ? { label: `label ${++count}` } : { options })
          break
        }
        case 'pipeline': {
          const { object, pick } = command
          if (object === 'contacts') break
          if (!piped.has(object) || pick % 3 === 0) {
            store.setPipelines(object, Array.from({ length: 1 + (pick % 3) }, (_, at) => ({
              id: `p${at}`, label: `pipeline ${++count}`, stages: Array.from({ length: 1 + (pick % 2) }, (__, stage) => ({ id: `s${at}${stage}`, label: `stage ${++count}`, metadata: { isClosed: String(stage === 1) } })),
            })))
            piped.add(object)
          } else if (pick % 3 === 1) store.changePipeline(object, 'p0', { label: `pipeline ${++count}`, archived: pick % 4 === 0, displayOrder: pick % 5 })
          else store.changeStage(object, 'p0', 's00', { label: `stage ${++count}`, archived: pick % 4 === 0, metadata: { isClosed: 'false', probability: `0.${pick % 10}` } })
          break
        }
        case 'owner': {
          const id = owners[command.pick % Math.max(owners.length, 1)]
          const act = command.pick % 5
          if (id === undefined || act === 0) owners.push(store.addOwner({ email: `owner.${++count}@example.com`, firstName: `owner ${count}` }))
          else if (act === 1) store.changeOwner(id, { lastName: `O'Wner ${++count}` })
          else if (act === 2) store.archiveOwner(id)
          else if (act === 3) store.restoreOwner(id)
          else {
            store.removeOwner(id)
            owners.splice(owners.indexOf(id), 1)
          }
        }
      }
    },
  }
}
