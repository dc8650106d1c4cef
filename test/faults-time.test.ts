import { describe, expect, test, vi } from 'vitest'
import { workerBeat } from '../src/db/calls.ts'
import { startWorld, type World } from './support/sync.ts'

// Clocks that jump, and users who hold rows and tables for minutes.

vi.setConfig({ testTimeout: 120_000 })

const MINUTE = 60_000
const HOUR = 60 * MINUTE
const idsOf = (world: World) => [...world.store.records('contacts')].map(({ id }) => id)
const open = (world: World) =>
  world.db.query<{ object: string | null; code: string; message: string }>('select object, code, message from hubspot.problems where resolved_at is null order by id')
const beat = (world: World) => workerBeat(world.deps.db, { id: 'worker', host: 'here', pid: 1, queueIds: [], held: [] })

async function contacts(count: number): Promise<World> {
  const world = await startWorld('time', { sandbox: { objects: { contacts: count } } })
  await world.load('contacts', ['firstname'])
  await world.advance(1_000)
  return world
}

describe('the database\'s clock', () => {
  test.for([['forwards', 1], ['back', -1]] as const)('jumps %s by a day: the work goes on within minutes; rows written in what is the future again are right when it comes', async ([, sign]) => {
    await using world = await contacts(120)
    const { db, store } = world
    await world.pass(30 * HOUR, 10 * HOUR)
    const [one = '', two = '', three = '', four = ''] = idsOf(world)
    store.edit('contacts', [one, two], { firstname: 'before' })
    await world.pass(10_000)
    await db.query(`select hubspot.resync('contacts')`)
    await world.pass(10_000)
    await beat(world)
    // A lease is held, and its worker is gone with the jump.
    await db.query(`update hubspot_private.streams set lease_until = hubspot_private.clock() + interval '30 seconds', holder = 'gone', epoch = epoch + 1 where stream = 'poll'`)
    await db.query(`update hubspot_private.installation set clock_shift = clock_shift + $1 * interval '1 day'`, [sign])
    await beat(world)
    store.edit('contacts', [one, three], { firstname: 'after' })
    store.archive('contacts', four)
    await db.query(`select hubspot.refresh('contacts', $1)`, [[four]])
    await world.pass(2 * MINUTE, 10_000)
    expect(await world.row('contacts', three)).toMatchObject({ firstname: 'after' })
    const [next] = await db.query<{ is_soon: boolean }>(
      `select bool_and(next_at < hubspot_private.clock() + interval '11 minutes') as is_soon from hubspot_private.streams where stream in ('poll', 'settle', 'schema')`)
    expect(next).toEqual({ is_soon: true })
    expect(await db.query(`select bool_and(next_free_at < hubspot_private.clock() + interval '1 minute') as is_free from hubspot.quota`)).toEqual([{ is_free: true }])
    // Rows written in what is the future again are in doubt until then, or until a full read after it.
    await world.pass(sign > 0 ? HOUR : 25 * HOUR, HOUR / 2)
    expect(await world.differences('contacts')).toEqual([])
    expect(await open(world)).toEqual([])
  })
})

test.for([['ahead', 1], ['behind', -1]] as const)("HubSpot's Date is a day %s for a while: nothing is lost by it", async ([, sign]) => {
  await using world = await contacts(120)
  const ids = idsOf(world)
  world.store.edit('contacts', ids[0]!, { firstname: 'before' })
  await world.pass(20_000, 10_000)
  const number = world.store.addFault({ fault: { type: 'date', ms: sign * 24 * HOUR } })
  world.store.edit('contacts', ids[1]!, { firstname: 'meanwhile' })
  await world.pass(5 * MINUTE, 10_000)
  expect(await world.row('contacts', ids[1]!)).toMatchObject({ firstname: 'meanwhile' })
  world.store.edit('contacts', ids[2]!, { firstname: 'late' }, { lag: 5 * MINUTE })
  world.store.removeFaults(number)
  world.store.edit('contacts', ids[3]!, { firstname: 'after' })
  await world.pass(20_000, 10_000)
  expect(await world.row('contacts', ids[3]!)).toMatchObject({ firstname: 'after' })
  await world.pass(2 * HOUR, 2 * MINUTE)
  expect(await world.differences('contacts')).toEqual([])
  expect(await open(world)).toEqual([])
})

describe('a user who holds', () => {
  test('a row for minutes holds up that row alone', async () => {
    await using world = await contacts(120)
    const [held = '', other = '', gone = ''] = idsOf(world)
    const holder = await world.db.pool.connect()
    await holder.query('begin')
    await holder.query('select from hubspot.contacts where id = any ($1) for update', [[held, gone]])
    world.store.edit('contacts', [held, other], { firstname: 'edited' })
    world.store.archive('contacts', gone)
    await world.db.query(`select hubspot.refresh('contacts', $1), hubspot.resync('contacts')`, [[gone]])
    await world.pass(5 * MINUTE, 30_000)
    expect(await world.row('contacts', other)).toMatchObject({ firstname: 'edited' })
    expect(await world.row('contacts', held)).not.toMatchObject({ firstname: 'edited' })
    expect(await world.db.query('select state from hubspot.status')).toEqual([{ state: 'live' }])
    await holder.query('commit')
    holder.release()
    await world.pass(HOUR, 5 * MINUTE)
    expect(await world.differences('contacts')).toEqual([])
    expect(await open(world)).toEqual([])
  })

  test('a table for minutes holds up that object alone, is named in a problem, and goes by itself', async () => {
    await using world = await startWorld('table', { sandbox: { objects: { contacts: 30, companies: 30 } } })
    await world.load('contacts', ['firstname'])
    await world.load('companies', ['name'])
    await world.advance(1_000)
    const holder = await world.db.pool.connect()
    await holder.query('begin; lock table hubspot.contacts in access exclusive mode')
    world.store.edit('contacts', idsOf(world)[0]!, { firstname: 'edited' })
    world.store.edit('companies', [...world.store.records('companies')][0]!.id, { name: 'edited' })
    // Two seconds of real time for each try, of which a step makes three.
    for (let tries = 0; tries < 3; tries += 1) {
      await world.advance(10_000)
      await world.run('contacts', 'poll')
    }
    await world.run('companies', 'poll')
    await world.run('companies', 'fetch')
    expect(await world.differences('companies')).toEqual([])
    expect(await open(world)).toMatchObject([{ object: 'contacts', code: 'SH009', message: expect.stringContaining('lock') as string }])
    await holder.query('commit')
    holder.release()
    await world.pass(5 * MINUTE, 10_000)
    expect(await world.differences('contacts')).toEqual([])
    expect(await open(world)).toEqual([])
  })
})
