import { expect, test } from 'vitest'
import { startWorld, type World } from './support/sync.ts'

const MINUTE = 60_000
const COUNT = 25_000

const idsOf = (world: World) => [...world.store.records('contacts')].map(({ id }) => id)
const reads = (world: World) => world.store.calls({ kind: 'batch read' }).flatMap(({ ids }) => ids ?? [])
const last = async (world: World, stream: string) =>
  (await world.db.query(`select hinted, state from hubspot.runs where stream = $1 order by hinted desc, id desc limit 1`, [stream]))[0]

// Search answers no more than 10,000 hits of one query.
test('25,000 records of one millisecond, by poll and by settle: exact, and each is read once', async () => {
  await using world = await startWorld('ties', { sandbox: { objects: { contacts: COUNT + 50 } } })
  await world.load('contacts', ['firstname'])
  await world.advance(1_000)
  const ids = idsOf(world)
  world.store.edit('contacts', ids.slice(0, COUNT), { firstname: 'imported' }, { at: world.store.now(), lag: 0 })
  await world.advance(10_000)
  world.store.resetCalls()
  await world.drain()
  expect(await last(world, 'poll')).toEqual({ hinted: String(COUNT), state: 'done' })
  expect(await world.differences('contacts')).toEqual([])
  expect(reads(world).length).toBe(COUNT)
  expect(new Set(reads(world)).size).toBe(COUNT)
  // Both settle windows see them again and find nothing to ask for.
  await world.pass(75 * MINUTE, 15 * MINUTE)
  expect(reads(world).length).toBe(COUNT)
  const { query } = world.db
  expect((await query("select found_by_settle::int as found, complete_until > to_timestamp($1::double precision / 1000) as is_past from hubspot.status", [Date.parse(world.store.record('contacts', ids[0]!)!.updatedAt)]))[0]).toEqual({ found: 0, is_past: true })

  // What the index shows so late that no poll sees it: settle walks the same way.
  const late = ids.slice(0, 12_000)
  world.store.resetCalls()
  const at = world.store.now()
  world.store.edit('contacts', late, { firstname: 'late' }, { at, lag: 5 * MINUTE })
  world.store.edit('contacts', ids.at(-1)!, { firstname: 'seen at once' }, { at: at + MINUTE, lag: 0 })
  await world.pass(2 * MINUTE, MINUTE)
  await world.pass(12 * MINUTE, 6 * MINUTE)
  expect(await world.differences('contacts')).toEqual([])
  expect(new Set(reads(world)).size).toBe(late.length + 1)
  expect(reads(world).length).toBe(late.length + 1)
  expect((await query('select found_by_settle::int as found from hubspot.status'))[0]).toEqual({ found: late.length })
}, 300_000)

test('12,000 changes at different times between two polls are each read once', async () => {
  await using world = await startWorld('ties', { sandbox: { objects: { contacts: 12_100 } } })
  await world.load('contacts', ['firstname'])
  await world.advance(1_000)
  const ids = idsOf(world)
  for (let i = 0; i < 120; i += 1) {
    await world.advance(70)
    world.store.edit('contacts', ids.slice(i * 100, (i + 1) * 100), { firstname: `at ${i}` }, { lag: 0 })
  }
  await world.advance(10_000)
  world.store.resetCalls()
  await world.drain()
  expect(await world.differences('contacts')).toEqual([])
  expect(reads(world).length).toBe(12_000)
  expect(new Set(reads(world)).size).toBe(12_000)
  expect(Math.max(...world.store.calls({ kind: 'search' }).map(({ after }) => Number(after ?? 0)))).toBe(0)
}, 120_000)
