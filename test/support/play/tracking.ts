import { type Command, type ObjectName, OBJECTS, pairsOf, type Scenario } from '../arbitraries.ts'
import type { World } from '../sync.ts'

/** Verbs of whoever mirrors, and what they say of an object that is not mirrored. */
const VERBS: ReadonlySet<Command['do']> = new Set(['refresh', 'live', 'webhook', 'forget', 'resync', 'sync', 'pause', 'resume', 'select', 'rename', 'lock'])

/** What is mirrored: objects and pairs are given up with their tables kept, and taken up again. */
export function createTracking({ db }: Pick<World, 'db'>, { counts, isAll, onDelete }: Pick<Scenario, 'counts' | 'isAll' | 'onDelete'>, trace: string[]) {
  const left = new Set<string>()
  const pairs = pairsOf(counts)
  const isTracked = (object: ObjectName) => counts[object] !== undefined && !left.has(object)
  const track = async (object: ObjectName) => {
    // What is archived, as far as is known, cannot be chosen.
    const archived = await db.query<{ property: string }>('select property from hubspot.properties where object = $1 and archived_at is not null', [object])
    const names = OBJECTS[object].filter((name) => archived.every(({ property }) => property !== name))
    await db.query('select hubspot.track($1, $2, $3)', [object, isAll && object === 'vehicle' ? null : names, onDelete])
    left.delete(object)
    trace.push(`  ${object} is tracked`)
  }
  const trackPair = async ([from, to]: readonly [ObjectName, ObjectName]) => {
    await db.query('select hubspot.track_associations($1, $2)', [from, to])
    left.delete(`${from} ${to}`)
    trace.push(`  ${from} ${to} are tracked`)
  }
  const leave = async (what: string, query: string, ...args: ObjectName[]) => {
    await db.query(query, args)
    left.add(what)
    trace.push(`  ${what} is untracked`)
  }

  return {
    isTracked,
    /** Whether a command makes sense while its object may not be mirrored. */
    mayPerform: (command: Extract<Command, { object: ObjectName }>) => isTracked(command.object) || !VERBS.has(command.do),
    async perform(command: Extract<Command, { do: 'toggle' | 'toggle pair' }>) {
      if (command.do === 'toggle') {
        if (!isTracked(command.object)) return await track(command.object)
        return await leave(command.object, 'select hubspot.untrack($1)', command.object)
      }
      const pair = pairs[command.pair % Math.max(pairs.length, 1)]
      // The pairs of an object go and come with it.
      if (pair === undefined || !isTracked(pair[0])) return
      if (left.has(pair.join(' '))) await trackPair(pair)
      else await leave(pair.join(' '), 'select hubspot.untrack_associations($1, $2)', ...pair)
    },
    /** All is mirrored again. */
    async finish() {
      for (const object of Object.keys(counts) as ObjectName[]) if (left.has(object)) await track(object)
      for (const pair of pairs) if (left.has(pair.join(' '))) await trackPair(pair)
    },
  }
}
