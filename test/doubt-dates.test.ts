import { describe, expect, test } from 'vitest'
import type { Client } from '../src/hubspot/client.ts'
import { startWorld, type World } from './support/sync.ts'

// A HubSpot whose modified date is later than `updatedAt`, by search and in reads alike: nobody promises that they are the same.

const MINUTE = 60_000

const LATER_MS = 700
type Record = { updatedAt: string; properties: { hs_lastmodifieddate: string } }
const dated = (client: Client): Client => ({
  ...client,
  async request(request) {
    const answer = await client.request(request)
    if (!request.path.includes('/0-3')) return answer
    const said = JSON.parse(answer.body.toString()) as { results?: Record[] }
    for (const record of said.results ?? []) record.updatedAt = new Date(Date.parse(record.updatedAt) - LATER_MS).toISOString()
    return { ...answer, body: Buffer.from(JSON.stringify(said)) }
  },
})

const reads = (world: World) => world.store.calls({ kind: 'batch read' }).length
const queued = (world: World) => world.db.query('select id from hubspot_private.fetch_queue')
const problems = (world: World) => world.db.query('select code from hubspot.problems where resolved_at is null')
const names = (world: World, id: string) => world.row<{ dealname: string }>('deals', id)
const behind = (world: World, ms: number, times?: number) =>
  world.store.addFault({ match: { kind: 'batch read' }, fault: { type: 'behind', ms }, ...(times !== undefined && { times }) })

async function loaded() {
  const world = await startWorld('dates', { sandbox: { objects: { deals: 20 } }, client: dated })
  await world.load('deals', ['dealname'])
  await world.pass(65 * MINUTE, 31 * MINUTE)
  world.store.resetCalls()
  return { world, id: [...world.store.records('deals')][3]!.id }
}

async function sound(world: World, id: string, name: string) {
  expect(await names(world, id)).toMatchObject({ dealname: name })
  expect(await queued(world)).toEqual([])
  expect(await problems(world)).toEqual([])
}

describe('a modified date that is later than updatedAt', () => {
  test('is asked for once, and holds up nothing', async () => {
    const { world, id } = await loaded()
    await using _ = world
    world.store.edit('deals', id, { dealname: 'edited' })
    const edited = world.store.now()
    await world.pass(3 * 60 * MINUTE, 5 * MINUTE)
    expect(reads(world)).toBe(1)
    await sound(world, id, 'edited')
    const [status] = await world.db.query<{ until: string }>("select complete_until as until from hubspot.status where object = 'deals'")
    expect(Date.parse(status!.until)).toBeGreaterThan(edited)
    world.store.edit('deals', id, { dealname: 'again' })
    await world.pass(3 * 60 * MINUTE, 5 * MINUTE)
    expect(reads(world)).toBe(2)
    await sound(world, id, 'again')
  })

  test.for([1, 8, 30])('is asked for again while copies that are %i minutes behind answer an older one', async (minutes) => {
    const { world, id } = await loaded()
    await using _ = world
    behind(world, minutes * MINUTE)
    world.store.edit('deals', id, { dealname: 'edited' })
    await world.pass((minutes < 10 ? 14 : 65) * MINUTE, 15_000)
    expect(await names(world, id)).toMatchObject({ dealname: 'edited' })
    world.store.resetCalls()
    await world.pass(3 * 60 * MINUTE, 5 * MINUTE)
    expect(reads(world)).toBeLessThanOrEqual(0)
    await sound(world, id, 'edited')
  })

  test('that was answered is asked for again where a copy which is behind took the row back', async () => {
    const { world, id } = await loaded()
    await using _ = world
    world.store.edit('deals', id, { dealname: 'edited' })
    await world.pass(15_000)
    expect(await names(world, id)).toMatchObject({ dealname: 'edited' })
    const fault = behind(world, 5 * MINUTE)
    await world.db.query("select hubspot.refresh('deals', $1)", [[id]])
    await world.pass(2 * MINUTE, 5_000)
    world.store.removeFaults(fault)
    await world.pass(9 * MINUTE, 15_000)
    await sound(world, id, 'edited')
  })
})
