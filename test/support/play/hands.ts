import { type Command, isGuarded, type ObjectName, OBJECTS, pairsOf, type Scenario } from '../arbitraries.ts'
import type { World } from '../sync.ts'
import { createDefinitions } from './definitions.ts'
import { createTracking } from './tracking.ts'

const TYPES = { contacts: '0-1', deals: '0-3', vehicle: 'vehicle' } as const

/** Whoever works in HubSpot and in the database: writes, verbs, faults, locks. */
export function createHands(world: World, { order, focus, counts, isAll, onDelete }: Pick<Scenario, 'order' | 'focus' | 'counts' | 'isAll' | 'onDelete'>, trace: string[]) {
  const { db, store } = world
  /** Records that changed as only a full read sees: calculated anew, or gone without a trace. */
  const unseen = new Set<string>()
  const definitions = createDefinitions(world, unseen, trace)
  const tracking = createTracking(world, { counts, isAll, onDelete }, trace)
  /** Each lost record, with the id that it became part of then. */
  const into = new Map<string, string>()
  const lost = new Set<string>()
  /** What each survivor took in, as it did before and as what it took in had. */
  /** The fault of reads that are behind; 0: there is none, and nothing has that number. */
  let behind = 0
  const taken = new Map<string, string[]>()
  const lowestOf = new Map((Object.keys(counts) as ObjectName[]).map((object) => [object, Math.min(10_000, ...[...store.records(object)].map(({ id }) => Number(id)))]))
  let edits = 0
  const locks: (() => Promise<void>)[] = []
  const refused = new Map<string, () => void>()
  const text = { contacts: 'firstname', deals: 'dealname', vehicle: 'make' } as const

  const chainOf = (object: ObjectName, id: string): string[] => {
    const next = into.get(`${object} ${id}`)
    return next === undefined ? [] : [next, ...chainOf(object, next)]
  }
  const choose = (object: ObjectName, pick: number, count: number, archived = false): string[] => {
    // Archived lists may show records that were merged away; nobody restores these.
    const ids = [...store.records(object, { archived })].map(({ id }) => id).filter((id) => !lost.has(`${object} ${id}`))
    // Mostly the same few: what is written once in a while meets nothing.
    const from = pick % Math.max(pick % 10 < 7 ? Math.min(focus, ids.length) : ids.length, 1)
    return [...ids, ...ids].slice(from, from + Math.min(count, ids.length))
  }
  const pairs = pairsOf(counts)
  const labels = new Map<string, string[]>()
  const associations = {
    associate([from, to]: readonly [ObjectName, ObjectName], pick: number, isLabelled: boolean) {
      const [one] = choose(from, pick, 1)
      const other = choose(to, Math.floor(pick / 7), 2).find((id) => from !== to || id !== one)
      if (one === undefined || other === undefined) return
      const known = labels.get(`${from} ${to}`) ?? []
      store.associate(from, one, to, other, isLabelled && known.length > 0 ? [known[pick % known.length]!] : [])
      trace.push(`  associated ${from} ${one} with ${to} ${other}`)
    },
    dissociate([from, to]: readonly [ObjectName, ObjectName], pick: number, isLabelled: boolean) {
      const edges = [...store.edges(from, to)]
      const edge = edges[pick % Math.max(edges.length, 1)]
      if (edge === undefined) return
      store.dissociate(from, edge.fromId, to, edge.toId, isLabelled ? [{ category: edge.category, typeId: edge.typeId }] : [])
      trace.push(`  dissociated ${from} ${edge.fromId} from ${to} ${edge.toId}`)
    },
    label([from, to]: readonly [ObjectName, ObjectName], pick: number) {
      const known = labels.get(`${from} ${to}`) ?? []
      const name = `label ${++edits}`
      if (known.length < 2) store.defineLabel(from, to, { label: name })
      else if (pick % 2 === 0) store.changeLabel(from, to, known.shift()!, name)
      else return store.removeLabel(from, to, known.shift()!)
      labels.set(`${from} ${to}`, [...known, name])
    },
  }
  const unique = (object: ObjectName) => ({ [text[object]]: `edit ${++edits}` })
  const refresh = async (object: ObjectName, ids: readonly string[]) => {
    if (ids.length > 0) trace.push(`  refresh ${object} ${ids.join(' ')}`)
    await db.query('select hubspot.refresh($1, $2)', [object, ids])
  }

  const told = async ({ object, pick, count, verb, lateMs }: Extract<Command, { do: 'webhook' }>) => {
    const ids = [...choose(object, pick, count), ...choose(object, pick, 1, true), '7'].map(Number)
    const events = ids.map((id, at) => ({
      eventId: pick, portalId: store.portalId, subscriptionType: `object.${verb}`, objectTypeId: TYPES[object], objectId: id, occurredAt: store.now() - lateMs,
      ...(verb === 'merge' && { primaryObjectId: id, mergedObjectIds: [ids.at(at - 1)] }),
      ...(verb === 'associationChange' && { fromObjectTypeId: TYPES[object], fromObjectId: id, toObjectTypeId: TYPES.contacts, toObjectId: ids.at(at - 1) }),
    }))
    trace.push(`  told of ${verb}: ${object} ${ids.join(' ')}`)
    await db.query('select hubspot_private.inbox_receive($1)', [JSON.stringify(events)])
    await db.query('select hubspot_private.inbox_apply()')
  }

  return {
    choose,
    unseen,
    isArchived: definitions.isArchived,
    isTracked: tracking.isTracked,
    merges: (object: ObjectName) => new Map([...into.keys()].filter((key) => key.startsWith(`${object} `)).map((key) => key.slice(object.length + 1)).map((id) => [id, chainOf(object, id)])),
    async perform(command: Exclude<Command, { do: 'advance' | 'jump' | 'beat' | 'kill' | 'freeze' | 'thaw' | 'lose' | 'check' | 'live' }>) {
      if ('object' in command && (counts[command.object] === undefined || !tracking.mayPerform(command))) return
      switch (command.do) {
        case 'create': {
          const { object, isLow } = command
          // No id is given twice, those of purged records neither.
          const lowest = (lowestOf.get(object) ?? 10_000) - command.count
          if (isLow && lowest > 0) lowestOf.set(object, lowest)
          const records = Array.from({ length: command.count }, (_, i) => ({
            properties: { ...command.values, ...unique(object) },
            ...(isLow && lowest > 0 && { id: lowest + i }),
          }))
          const made = store.create(object, records, { lag: command.lag })
          trace.push(`  made ${made.map(({ id }) => id).join(' ')} at ${store.now()}`)
          break
        }
        case 'edit': {
          const ids = choose(command.object, command.pick, command.count)
          store.edit(command.object, ids, { ...command.values, ...definitions.addedValues(command.object, command.pick), ...unique(command.object) }, { lag: command.lag })
          trace.push(`  edited ${ids.slice(0, 10).join(' ')} at ${store.now()}`)
          break
        }
        case 'recalculate': {
          const ids = choose(command.object, command.pick, 1)
          store.edit(command.object, ids, { ...command.values, ...unique(command.object) }, { touch: false })
          for (const id of ids) unseen.add(`${command.object} ${id}`)
          break
        }
        case 'archive': {
          const ids = choose(command.object, command.pick, command.count)
          store.archive(command.object, ids, { lag: command.lag })
          trace.push(`  archived ${ids.join(' ')}`)
          break
        }
        case 'restore': {
          const ids = choose(command.object, command.pick, 1, true)
          store.restore(command.object, ids, { lag: command.lag })
          trace.push(`  restored ${ids.join(' ')}`)
          break
        }
        case 'merge': {
          const [one, two] = choose(command.object, command.pick, 2)
          if (one === undefined || two === undefined) break
          const { id } = store.merge(command.object, one, two, { lag: command.lag })
          const ids = [one, two].filter((each) => each !== id)
          const gone = ids.map((each) => `${command.object} ${each}`)
          for (const each of gone) {
            lost.add(each)
            into.set(each, id)
          }
          taken.set(`${command.object} ${id}`, [...new Set([`${command.object} ${id}`, ...gone].flatMap((each) => [each, ...(taken.get(each) ?? [])]))])
          trace.push(`  merged ${one} and ${two} into ${id} at ${store.now()}`)
          break
        }
        case 'associate': case 'dissociate': case 'label': {
          const pair = pairs[command.pair % Math.max(pairs.length, 1)]
          if (pair !== undefined) associations[command.do](pair, command.pick, command.do !== 'label' && command.isLabelled)
          break
        }
        case 'retype': {
          const names = OBJECTS[command.object]
          // The texts that every write changes stay texts.
          const name = names[1 + (command.pick % (names.length - 1))]!
          store.changeProperty(command.object, name, { type: command.type })
          trace.push(`  ${command.object}.${name} is a ${command.type}`)
          break
        }
        case 'define': case 'archive property': case 'restore property': case 'describe': case 'pipeline': case 'owner':
          await definitions.perform(command)
          break
        case 'purge': {
          const ids = choose(command.object, command.pick, command.count)
          // A contact for privacy's sake, with the ids that it had before merges; others after their time in the bin.
          if (command.object === 'contacts') store.gdprDelete(ids, { lag: command.lag })
          else store.purge(command.object, ids, { lag: command.lag })
          trace.push(`  purged ${ids.join(' ')}`)
          // Whoever has not read the survivor by then is never told what it took in.
          for (const id of ids) for (const gone of [`${command.object} ${id}`, ...(taken.get(`${command.object} ${id}`) ?? [])]) unseen.add(gone)
          break
        }
        case 'refresh':
          await refresh(command.object, [...choose(command.object, command.pick, command.count), '7'])
          break
        case 'webhook':
          await told(command)
          break
        case 'forget': {
          const [id] = choose(command.object, command.pick, 1)
          // Whoever forgets waits for those who hold rows.
          if (id === undefined || locks.length > 0) break
          trace.push(`  forgotten ${id}`)
          await db.query('select hubspot.forget($1, $2)', [command.object, id])
          break
        }
        case 'toggle': case 'toggle pair':
          await tracking.perform(command)
          break
        case 'resync':
          await db.query(`select hubspot.${isGuarded({ order }) ? 'verify' : 'resync'}($1)`, [command.object])
          break
        case 'sync': case 'pause': case 'resume':
          await db.query(`select hubspot.${command.do}($1)`, [command.object])
          break
        case 'select': {
          // Mostly all but one: what is left out comes back with the next choice.
          const names = OBJECTS[command.object].filter((_, i, all) => i === 0 || command.pick % 4 === 0 || i !== command.pick % all.length)
          const chosen = isAll && command.object === 'vehicle' && command.pick % 2 === 0 ? null : names
          await db.query('select hubspot.track($1, $2)', [command.object, chosen]).catch((error: unknown) => {
            // It is archived, as far as the mirror knows.
            if ((error as { code?: string }).code !== 'SH103') throw error
          })
          break
        }
        case 'rename': {
          const names = OBJECTS[command.object]
          const name = names[command.pick % names.length]!
          const [there] = await db.query<{ column_name: string | null }>(
            'select column_name from hubspot.properties where object = $1 and property = $2 and locked_at is not null', [command.object, name])
          // Whoever renames waits for those who hold rows.
          if (there?.column_name == null || locks.length > 0) break
          await db.query('select hubspot.rename_column($1, $2, $3)', [command.object, name, `${name} ${++edits}`])
          break
        }
        case 'refuse': {
          const names = OBJECTS[command.object]
          const name = names[command.pick % names.length]!
          store.changeProperty(command.object, name, { unreadable: command.how })
          refused.set(`${command.object} ${name}`, () => store.changeProperty(command.object, name, { unreadable: null }))
          break
        }
        case 'sweep':
          await db.query('select hubspot_private.sweep()')
          break
        case 'lock': {
          const client = await db.pool.connect()
          await client.query('begin')
          const ids = choose(command.object, command.pick, command.count)
          await client.query(`select id from hubspot.${command.object} where id = any ($1) for update skip locked`, [ids])
          const tables = await client.query<{ name: string; column: string }>(
            'select table_name as name, from_column as column from hubspot_private.pairs where from_object = $1 and table_name is not null order by number', [command.object])
          for (const { name, column } of command.pick % 2 === 0 ? tables.rows : []) {
            await client.query(`select from hubspot."${name}" where "${column}" = any ($1) for key share skip locked`, [ids])
          }
          locks.push(async () => {
            await client.query('commit')
            client.release()
          })
          if (locks.length > 3) await locks.shift()!()
          break
        }
        case 'unlock':
          await locks.shift()?.()
          break
        case 'fault':
          // Where an empty value is left out anyway, a record that has it and lacks it is as one that has not.
          if (command.fault.type === 'lacking' && store.settings.emptyKeys === 'absent') break
          store.addFault({ fault: command.fault, times: command.times, ...(command.kind && { match: { kind: command.kind } }) })
          break
        case 'behind':
          store.removeFaults(behind)
          behind = command.ms === 0 ? 0 : store.addFault({ fault: { type: 'behind', ms: command.ms }, match: { kind: 'batch read' }, probability: 0.7 })
          break
      }
    },
    /** Nothing is wrong any more; what was promised is done. */
    async finish() {
      store.removeFaults()
      for (const show of refused.values()) show()
      for (const unlock of locks.splice(0)) await unlock()
      await tracking.finish()
      await db.query('select hubspot.resume()')
    },
  }
}
