import type { SandboxOptions } from '../../src/sandbox/index.ts'
import { edgeDifferences } from './compare.ts'
import { hold, type Holder, startWorld, type World, type WorldOptions } from './sync.ts'

/** A world whose objects are loaded and whose pairs are read, with ways to look at associations. */
export type Graph = World & {
  /** The ids of an object's live records. */
  ids(object: string): string[]
  /** Tracks a pair; nothing is read yet. */
  pair(from: string, to: string): Promise<void>
  /** Claims a pair's stream by hand. */
  hold(from: string, to: string, worker?: string): Promise<Holder | undefined>
  /** How the pairs differ from the sandbox: of all that are tracked. */
  differing(): Promise<string[]>
  /** Rows of a private table. */
  count(table: string): Promise<number>
}

/** Loads objects, makes associations, reads the pairs, lets a second pass. */
export async function startGraph(
  objects: NonNullable<SandboxOptions['objects']>,
  { pairs = [], settings = {}, onDelete = 'delete', make, client }: {
    pairs?: readonly (readonly [from: string, to: string])[]
    settings?: SandboxOptions['settings']
    onDelete?: 'delete' | 'mark'
    make?: (graph: Graph) => void
    client?: WorldOptions['client']
  } = {},
): Promise<Graph> {
  const world = await startWorld('associations', { sandbox: { objects, settings }, ...(client && { client }) })
  const { db, sandbox } = world
  const number = async (from: string, to: string) =>
    (await db.query<{ number: number }>('select number from hubspot_private.pairs where from_object = $1 and to_object = $2', [from, to]))[0]!.number
  const graph: Graph = {
    ...world,
    ids: (object) => [...world.store.records(object)].map(({ id }) => id),
    pair: async (from, to) => void (await db.query('select hubspot.track_associations($1, $2)', [from, to])),
    hold: async (from, to, worker) => hold(world, from, 'associations', await number(from, to), worker),
    async differing() {
      const tracked = await db.query<{ from: string; to: string }>('select from_object as from, to_object as to from hubspot.association_pairs where is_tracked')
      return (await Promise.all(tracked.map(({ from, to }) => edgeDifferences(db, sandbox, from, to)))).flat()
    },
    count: async (table) => Number((await db.query<{ count: string }>(`select count(*) from hubspot_private.${table}`))[0]!.count),
  }
  for (const object of Object.keys(objects)) await world.load(object, [], onDelete)
  make?.(graph)
  for (const [from, to] of pairs) await graph.pair(from, to)
  await world.drain()
  await world.advance(1_000)
  return graph
}
