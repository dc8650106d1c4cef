import { describe, expect, test } from 'vitest'
import type { Client } from '../src/hubspot/client.ts'
import { Refused } from '../src/lib/errors.ts'
import { startLiveWorld } from './support/live.ts'
import { startWorld, type World, type WorldOptions } from './support/sync.ts'

// Records younger than a copy of HubSpot's may be behind: that it does not find them says nothing, that it shows them archived does.

const MINUTE = 60_000

const has = async (world: World, id: string) => (await world.row('deals', id)) !== undefined
const deletes = (world: World) => world.db.query("select from hubspot.changes where op = 'delete'")
const queued = (world: World) => world.db.query('select id from hubspot_private.fetch_queue')
const problems = async (world: World) => (await world.db.query<{ code: string }>('select code from hubspot.problems where resolved_at is null')).map(({ code }) => code)
const reads = (world: World) => world.store.calls({ kind: 'batch read' }).length
const refresh = (world: World, id: string) => world.db.query("select hubspot.refresh('deals', $1)", [[id]])

/** A world with a deal that is a few seconds old, and here. */
async function born(options: WorldOptions = {}) {
  const world = await startWorld('young', { ...options, sandbox: { ...options.sandbox, objects: { deals: 20 } } })
  await world.load('deals', ['dealname'])
  await world.pass(62 * MINUTE, 31 * MINUTE)
  const { id } = world.store.create('deals', [{ properties: { dealname: 'new' } }])[0]!
  await world.pass(15_000)
  expect(await has(world, id)).toBe(true)
  world.store.resetCalls()
  return { world, id }
}

describe.each([1, 3])('copies that are %i minutes behind', (behind) => {
  test('do not delete a record that they do not know yet', async () => {
    const { world, id } = await born()
    await using _ = world
    const fault = world.store.addFault({ match: { kind: 'batch read' }, fault: { type: 'behind', ms: behind * MINUTE } })
    await refresh(world, id)
    await world.pass(behind * MINUTE, 15_000)
    await world.pass(5 * MINUTE, 15_000)
    expect(await has(world, id)).toBe(true)
    expect(reads(world)).toBeLessThanOrEqual(24)
    world.store.removeFaults(fault)
    await world.pass(65 * MINUTE, 5 * MINUTE)
    expect(await deletes(world)).toEqual([])
    expect(await world.differences('deals')).toEqual([])
    expect(await queued(world)).toEqual([])
    expect(await problems(world)).toEqual([])
  })

  test('have one go that was archived, once they know, or the archived list tells', async () => {
    const { world, id } = await born()
    await using _ = world
    world.store.addFault({ match: { kind: 'batch read' }, fault: { type: 'behind', ms: behind * MINUTE } })
    world.store.archive('deals', id)
    await refresh(world, id)
    await world.pass(Math.max(2 * behind, 5) * MINUTE, 15_000)
    await world.pass(60 * MINUTE, 5 * MINUTE)
    expect(await has(world, id)).toBe(false)
    expect(await queued(world)).toEqual([])
  })
})

test('one that was edited since, and that a copy does not know, stays', async () => {
  const { world, id } = await born()
  await using _ = world
  world.store.addFault({ match: { kind: 'batch read' }, fault: { type: 'behind', ms: 3 * MINUTE } })
  world.store.edit('deals', id, { dealname: 'edited' })
  await world.pass(20 * MINUTE, 15_000)
  expect(await deletes(world)).toEqual([])
  expect(await world.differences('deals')).toEqual([])
})

test('one that is asked for again and again stays, though a copy does not know it', async () => {
  const { world, id } = await born()
  await using _ = world
  const fault = world.store.addFault({ match: { kind: 'batch read' }, fault: { type: 'behind', ms: 3 * MINUTE } })
  for (let times = 0; times < 20; times += 1) {
    await refresh(world, id)
    await world.pass(1_000)
  }
  expect(await has(world, id)).toBe(true)
  world.store.removeFaults(fault)
  await world.pass(65 * MINUTE, 5 * MINUTE)
  expect(await deletes(world)).toEqual([])
  expect(await queued(world)).toEqual([])
})

test('one that was archived goes with the read that asks, for a call more; one that was there long, for none', async () => {
  const { world, id } = await born()
  await using _ = world
  world.store.archive('deals', id)
  await refresh(world, id)
  await world.run('deals', 'fetch')
  expect(await has(world, id)).toBe(false)
  expect(reads(world)).toBe(2)
  expect(await queued(world)).toEqual([])
  const old = [...world.store.records('deals')][0]!.id
  await world.pass(90 * MINUTE, 30 * MINUTE)
  world.store.purge('deals', old)
  world.store.resetCalls()
  await refresh(world, old)
  await world.run('deals', 'fetch')
  expect(await has(world, old)).toBe(false)
  expect(reads(world)).toBe(1)
})

/** What becomes of a read of archived records. */
const archivedReads = (says: (answer: () => ReturnType<Client['request']>) => ReturnType<Client['request']>): NonNullable<WorldOptions['client']> => (client) => ({
  ...client,
  request: (request) =>
    request.path.endsWith('/batch/read') && request.query?.['archived'] === true ? says(() => client.request(request)) : client.request(request),
})
const refused = () => new Refused('SH203', 'it cannot be asked so', { status: 400, category: 'VALIDATION_ERROR', hint: '' })

describe.each([
  ['gone without a trace', undefined],
  ['archived, where HubSpot does not answer reads of archived ones', archivedReads(() => Promise.reject(refused()))],
  ['archived, where a read of archived ones finds none', archivedReads(async (answer) => ({ ...(await answer()), body: Buffer.from('{"results":[]}') }))],
] as const)('one that is %s', (_, client) => {
  test('goes after some minutes, for few calls', async () => {
    const { world, id } = await born({ sandbox: { settings: { archivedList: ['deals'] } }, ...(client && { client }) })
    await using _world = world
    if (client === undefined) world.store.purge('deals', id)
    else world.store.archive('deals', id)
    await refresh(world, id)
    await world.pass(3 * MINUTE, 5_000)
    expect(await has(world, id)).toBe(true)
    await world.pass(3 * MINUTE, 5_000)
    expect(await has(world, id)).toBe(false)
    expect(await queued(world)).toEqual([])
    expect(reads(world)).toBeLessThanOrEqual(20)
    world.store.resetCalls()
    await world.pass(120 * MINUTE, 10 * MINUTE)
    expect(reads(world)).toBe(0)
  })
})

test('one that the archived list shows goes at once', async () => {
  const { world, id } = await born({ client: archivedReads(() => Promise.reject(refused())) })
  await using _ = world
  world.store.archive('deals', id)
  await refresh(world, id)
  await world.pass(MINUTE, 15_000)
  expect(await has(world, id)).toBe(true)
  await world.run('deals', 'archive')
  await world.pass(62 * MINUTE, 10 * MINUTE)
  expect(await has(world, id)).toBe(false)
})

describe('a live query by id', () => {
  test.for(['as it was read', 'edited since, as search has shown'] as const)('does not show a young record that was archived, %s, for two calls more than one that is there', async (which) => {
    await using world = await startLiveWorld('young', { sandbox: { objects: { deals: 20 } } })
    await world.load('deals', ['dealname'])
    await world.pass(62 * MINUTE, 31 * MINUTE)
    const { id } = world.store.create('deals', [{ properties: { dealname: 'new' } }])[0]!
    await world.pass(15_000)
    if (which !== 'as it was read') {
      world.store.edit('deals', id, { dealname: 'edited' })
      await world.advance(11_000)
      await world.run('deals', 'poll')
    }
    const select = `select dealname from hubspot_live.deals where id = ${id}`
    world.store.archive('deals', id)
    world.calls()
    expect(await world.ask(select)).toEqual([])
    expect(world.calls()).toEqual(['batch read', 'batch read', 'batch read'])
    expect(await world.ask(select)).toEqual([])
    expect(world.calls()).toEqual(['batch read'])
    expect(await queued(world)).toEqual([])
  })
})
