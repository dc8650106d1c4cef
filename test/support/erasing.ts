import { startWorld, type World } from './sync.ts'

/** Contacts and deals that are read. */
export async function worldOf(): Promise<World> {
  const world = await startWorld('erasures', { sandbox: { objects: { contacts: 5, deals: 2 } } })
  await world.load('contacts', ['firstname', 'lastname'])
  await world.load('deals', ['dealname'])
  return world
}

/** What is wrong, by record. */
export const openProblems = ({ db }: World) => db.query('select code, record_id from hubspot.problems where resolved_at is null order by record_id')

/** Has contacts read again. */
export async function refresh(world: World, ...ids: string[]): Promise<void> {
  await world.advance(1)
  await world.db.query("select hubspot.refresh('contacts', $1)", [ids])
  await world.pass(2_000, 1_000)
}

/** Where a text is found in the product's tables and in the queue's. */
export async function traces({ db }: World, text: string): Promise<string[]> {
  const tables = await db.query<{ name: string }>(
    `select c.oid::regclass::text as name from pg_class c
     where c.relnamespace = any ('{hubspot,hubspot_private,graphile_worker}'::regnamespace[]) and c.relkind in ('r', 'p') and not c.relispartition order by 1`)
  const found = await Promise.all(tables.map(async ({ name }) =>
    (await db.query(`select from ${name} t where to_jsonb(t)::text ~ $1 limit 1`, [text])).length > 0 ? [name] : []))
  return found.flat()
}
