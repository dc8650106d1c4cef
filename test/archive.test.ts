import { describe, expect, test } from 'vitest'
import type { Client } from '../src/hubspot/client.ts'
import { runStream } from '../src/sync/step.ts'
import { hold, pagesOf, startWorld, type World, type WorldOptions } from './support/sync.ts'

const MINUTE = 60_000
const HOUR = 60 * MINUTE

async function contacts(count: number, { onDelete = 'delete', ...options }: WorldOptions & { onDelete?: 'delete' | 'mark' } = {}): Promise<World> {
  const world = await startWorld('archive', { ...options, sandbox: { ...options.sandbox, objects: { contacts: count } } })
  await world.load('contacts', ['firstname'], onDelete)
  await world.advance(1_000)
  return world
}

const idsOf = (world: World, archived = false) => [...world.store.records('contacts', { archived })].map(({ id }) => id)
const rows = async (world: World) => (await world.db.query<{ id: string }>('select id from hubspot.contacts order by id')).map(({ id }) => id)
const archived = (world: World) => world.store.calls({ kind: 'list', object: 'contacts' }).filter((call) => call.archived)
const tombstones = (world: World) =>
  world.db.query<{ id: string; missed: number; is_purged: boolean }>('select id, missed, purged_at is not null as is_purged from hubspot_private.tombstones order by id')
const status = async (world: World) =>
  (await world.db.query<{ rows: string; deletes: string | null }>("select rows, deletes_complete_until as deletes from hubspot.status where object = 'contacts'"))[0]!

/** A client whose archived lists come in another order. */
const shuffled = (client: Client): Client => ({
  ...client,
  async request(request) {
    const answer = await client.request(request)
    if (request.query?.['archived'] !== true) return answer
    const page = JSON.parse(answer.body.toString()) as { results: { id: string }[] }
    return { ...answer, body: Buffer.from(JSON.stringify({ ...page, results: page.results.toReversed() })) }
  },
})

test('the archived list is read before the first page of the first load', async () => {
  await using world = await startWorld('archive', { sandbox: { objects: { contacts: 5 } } })
  world.store.archive('contacts', idsOf(world).slice(0, 2))
  const before = idsOf(world, true)
  await world.load('contacts', ['firstname'])
  const lists = world.store.calls({ kind: 'list', object: 'contacts' }).map((call) => call.archived ?? false)
  expect(lists).toEqual([true, false])
  expect((await tombstones(world)).map(({ id }) => id)).toEqual(before)
})

test('an archived record leaves the table with the next sweep, though archiving moves no date', async () => {
  await using world = await contacts(5, { sandbox: { settings: { archiveBumps: false } } })
  const [gone = ''] = idsOf(world)
  world.store.archive('contacts', gone)
  await world.pass(HOUR, 10 * MINUTE)
  expect(await rows(world)).toEqual(idsOf(world))
  expect(await status(world)).toMatchObject({ rows: '4' })
  expect(await world.db.query("select deleted from hubspot.runs where stream = 'archive' and deleted > 0")).toEqual([{ deleted: '1' }])
})

test('where rows are marked it is marked, and a second sweep changes nothing', async () => {
  await using world = await contacts(3, { onDelete: 'mark' })
  const [gone = ''] = idsOf(world)
  world.store.archive('contacts', gone)
  await world.pass(HOUR, 10 * MINUTE)
  const marked = await world.row<{ _archived_at: string }>('contacts', gone)
  expect(marked!._archived_at).toBeTruthy()
  await world.pass(2 * HOUR, 30 * MINUTE)
  expect(await world.row('contacts', gone)).toEqual(marked)
})

describe('a record that is restored', () => {
  test.for([true, false])('returns (with a new date: %s)', async (restoreBumps) => {
    await using world = await contacts(5, { sandbox: { settings: { restoreBumps, archiveBumps: false } } })
    const [gone = ''] = idsOf(world)
    world.store.archive('contacts', gone)
    await world.pass(HOUR, 10 * MINUTE)
    expect(await world.row('contacts', gone)).toBeUndefined()
    world.store.restore('contacts', gone)
    await world.pass(HOUR, 10 * MINUTE)
    expect(await world.differences('contacts')).toEqual([])
    expect(await tombstones(world)).toEqual([])
  })

  test('before the first load, without a new date, and listed as archived when that began, returns', async () => {
    await using world = await startWorld('archive', { sandbox: { objects: { contacts: 5 }, settings: { restoreBumps: false } } })
    const [id = ''] = idsOf(world)
    world.store.archive('contacts', id)
    await world.db.query("select hubspot.track('contacts', '{firstname}')")
    await world.run('contacts', 'schema')
    await world.run('contacts', 'archive')
    const load = (await hold(world, 'contacts', 'backfill'))!
    await load.commit(await load.ask())
    const page = await load.ask()
    world.store.restore('contacts', id)
    await load.commit(page)
    expect(await world.row('contacts', id)).toBeUndefined()
    await world.pass(HOUR, 10 * MINUTE)
    expect(await world.differences('contacts')).toEqual([])
  })
})

test('an archived list of many pages is read to its end, and goes on where it stood after a crash', async () => {
  await using world = await contacts(40, { client: pagesOf(5) })
  world.store.archive('contacts', idsOf(world).slice(3, 33))
  await world.advance(HOUR)
  world.store.resetCalls()
  await runStream({ ...world.deps, sliceMs: 0 }, { object: 'contacts', stream: 'archive', range: 0 })
  // The page that this one asked for is lost with it.
  const crashed = (await hold(world, 'contacts', 'archive'))!
  await crashed.ask()
  await world.advance(31_000)
  await world.drain()
  expect(await rows(world)).toEqual(idsOf(world))
  expect(archived(world).length).toBeLessThanOrEqual(Math.ceil(30 / 5) + 1 + 2)
  expect(await world.db.query("select distinct missed from hubspot_private.tombstones")).toEqual([{ missed: 0 }])
})

test('what is neither listed nor found twice in a row is purged: remembered, and not asked for again', async () => {
  await using world = await contacts(5)
  const [gone = ''] = idsOf(world)
  world.store.archive('contacts', gone)
  await world.pass(HOUR, 10 * MINUTE)
  world.store.purge('contacts', gone)
  await world.pass(4 * HOUR, 30 * MINUTE)
  expect(await tombstones(world)).toEqual([{ id: gone, missed: 3, is_purged: true }])
  world.store.resetCalls()
  await world.pass(2 * HOUR, 30 * MINUTE)
  expect(world.store.calls({ kind: 'batch read' })).toEqual([])
})

test('a list that is in no order of ids loses nothing: no archived record, and no restored one', async () => {
  await using world = await contacts(30, { client: (client, sandbox) => shuffled(pagesOf(5)(client, sandbox)), sandbox: { settings: { restoreBumps: false } } })
  const ids = idsOf(world)
  world.store.archive('contacts', ids.slice(2, 20))
  await world.pass(HOUR, 10 * MINUTE)
  expect(await rows(world)).toEqual(idsOf(world))
  world.store.restore('contacts', [ids[4]!, ids[19]!])
  await world.pass(HOUR + MINUTE, 10 * MINUTE)
  expect(await world.differences('contacts')).toEqual([])
  expect(await world.db.query('select from hubspot_private.listed')).toEqual([])
})

test('a sweep that meets what it knows writes no row and no tombstone', async () => {
  await using world = await contacts(20)
  world.store.archive('contacts', idsOf(world).slice(0, 10))
  await world.pass(HOUR, 10 * MINUTE)
  const state = () => world.db.query('select id, xmin from hubspot_private.tombstones union all select id, xmin from hubspot.contacts order by 1')
  const before = await state()
  await world.pass(HOUR, 10 * MINUTE)
  expect(await state()).toEqual(before)
})

test('an object that HubSpot keeps no archived list of loads all the same, and a full read tells how far deletions are known', async () => {
  await using world = await startWorld('archive', {
    sandbox: { objects: { contacts: 5 } },
    client: (client) => ({
      ...client,
      request: (request) => client.request(request.query?.['archived'] === true ? { ...request, query: { ...request.query, limit: 1_000 } } : request),
    }),
  })
  await world.load('contacts', ['firstname'])
  expect(await world.differences('contacts')).toEqual([])
  expect((await status(world)).deletes).toBeNull()
  await world.db.query("select hubspot.resync('contacts')")
  await world.drain()
  expect((await status(world)).deletes).toEqual(expect.any(String))
})

test('where HubSpot shows the archived list no longer, deletes_complete_until stands still until a full read, or until it does', async () => {
  await using world = await contacts(5)
  await world.pass(2 * HOUR, HOUR)
  const { deletes: known } = await status(world)
  world.store.configure({ archivedList: ['contacts'] })
  const [gone = ''] = idsOf(world)
  world.store.archive('contacts', gone)
  await world.pass(3 * HOUR, HOUR)
  expect((await status(world)).deletes).toBe(known)
  await world.db.query("select hubspot.resync('contacts')")
  await world.drain()
  expect(await world.row('contacts', gone)).toBeUndefined()
  const { deletes: read } = await status(world)
  expect(Date.parse(read!)).toBeGreaterThan(Date.parse(known!) + 2 * HOUR)
  world.store.configure({ archivedList: [] })
  await world.pass(2 * HOUR, HOUR)
  expect(Date.parse((await status(world)).deletes!)).toBeGreaterThan(Date.parse(read!) + HOUR)
})

test('deletes_complete_until is when the last whole sweep began, by HubSpot\'s clock', async () => {
  await using world = await contacts(5, { client: pagesOf(2) })
  world.store.archive('contacts', idsOf(world).slice(0, 4))
  await world.advance(HOUR)
  const began = world.store.now()
  const sweep = (await hold(world, 'contacts', 'archive'))!
  await sweep.commit(await sweep.ask())
  await world.advance(5_000)
  expect(Date.parse((await status(world)).deletes!)).toBeLessThan(began - 30 * MINUTE)
  await sweep.commit(await sweep.ask())
  while ((await sweep.commit(await sweep.ask())).outcome === 'more');
  expect(Math.abs(Date.parse((await status(world)).deletes!) - began)).toBeLessThan(1_000)
})

test('deletes_complete_until stands still while a row that the list showed as archived is held by someone', async () => {
  await using world = await contacts(5)
  await world.pass(2 * HOUR, HOUR)
  const { deletes: known } = await status(world)
  const [gone = ''] = idsOf(world)
  const holder = await world.db.pool.connect()
  await holder.query('begin')
  await holder.query('select from hubspot.contacts where id = $1 for update', [gone])
  world.store.archive('contacts', gone)
  await world.pass(3 * HOUR, HOUR)
  expect((await status(world)).deletes).toBe(known)
  await holder.query('commit')
  holder.release()
  await world.pass(3 * HOUR, HOUR)
  expect(await world.row('contacts', gone)).toBeUndefined()
  expect(Date.parse((await status(world)).deletes!)).toBeGreaterThan(Date.parse(known!) + 4 * HOUR)
})
