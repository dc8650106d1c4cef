import { describe, expect, test } from 'vitest'
import type { SandboxOptions } from '../src/sandbox/index.ts'
import { hold, pagesOf, startWorld, type World, type WorldOptions } from './support/sync.ts'

const MINUTE = 60_000

async function tracked(count: number, properties: readonly string[] | null, options: SandboxOptions = {}, client?: WorldOptions['client']): Promise<World> {
  const world = await startWorld('streams', { sandbox: { ...options, objects: { contacts: count } }, ...(client && { client }) })
  await world.db.query("select hubspot.track('contacts', $1)", [properties])
  await world.run('contacts', 'schema')
  await world.run('contacts', 'archive')
  world.store.resetCalls()
  return world
}

const idsOf = (world: World) => [...world.store.records('contacts')].map(({ id }) => id)
const status = async (world: World) => (await world.db.query("select state, rows, progress from hubspot.status where object = 'contacts'"))[0]
const runs = (world: World, stream: string) => world.db.query("select state, rows_read, inserted, updated, unchanged from hubspot.runs where object = 'contacts' and stream = $1 order by id", [stream])

describe('the first load', () => {
  test('reads page after page from where it stood, by whoever goes on with it', async () => {
    await using world = await tracked(23, ['firstname'], {}, pagesOf(5))
    for (let i = 0; ; i += 1) {
      // A slice of no length is one step; the next is another worker's.
      const outcome = await world.run('contacts', 'backfill', 0, world.worker(`w${i}`, { sliceMs: 0 }))
      if (outcome === 'done') break
      expect(outcome).toBe('more')
      expect(await status(world)).toMatchObject({ state: 'backfilling' })
    }
    const pages = world.store.calls({ kind: 'list', object: 'contacts' })
    expect(pages.map(({ returned }) => returned)).toEqual([5, 5, 5, 5, 3])
    expect(await runs(world, 'backfill')).toEqual([{ state: 'done', rows_read: '23', inserted: '23', updated: '0', unchanged: '0' }])
    expect(await status(world)).toEqual({ state: 'live', rows: '23', progress: '1' })
    expect(await world.differences('contacts')).toEqual([])
  })

  test('asks for page after page while the one before is applied, each once', async () => {
    await using world = await tracked(23, ['firstname'], {}, pagesOf(5))
    expect(await world.run('contacts', 'backfill')).toBe('done')
    const pages = world.store.calls({ kind: 'list', object: 'contacts' })
    expect(pages.map(({ returned }) => returned)).toEqual([5, 5, 5, 5, 3])
  })

  test('takes in the page that is on its way when a slice ends', async () => {
    await using world = await tracked(60, ['firstname'], {}, pagesOf(3))
    // Slices that end in the middle of a page, each at another place.
    for (let i = 0; (await world.run('contacts', 'backfill', 0, world.worker(`w${i}`, { sliceMs: 4 + (i % 7) }))) !== 'done'; i += 1);
    const asked = world.store.calls({ kind: 'list', object: 'contacts' }).map(({ after }) => after)
    expect(asked).toHaveLength(20)
    expect(new Set(asked).size).toBe(20)
    expect(await world.differences('contacts')).toEqual([])
  })

  test('short pages that name a next one are not the end, and an `after` is whatever HubSpot says', async () => {
    await using world = await tracked(230, ['firstname'], { settings: { shortPages: 0.8, after: 'base64' } })
    await world.drain()
    expect(await world.differences('contacts')).toEqual([])
  })

  test('more names than a URL takes: the list gives ids, batch reads the values', async () => {
    const properties = Array.from({ length: 300 }, (_, i) => ({ name: `a_rather_long_name_of_a_property_${i}` }))
    await using world = await startWorld('streams', { client: pagesOf(10) })
    world.store.addObject({ name: 'wide', properties })
    world.store.create('wide', Array.from({ length: 25 }, (_, i) => ({ properties: { a_rather_long_name_of_a_property_7: `${i}` } })))
    await world.db.query('select hubspot.sync()')
    await world.drain()
    await world.load('wide')
    expect(await world.differences('wide')).toEqual([])
    expect(world.store.calls({ kind: 'list', object: 'wide' }).every(({ url }) => url.length < 6_000)).toBe(true)
    expect(world.store.calls({ kind: 'batch read', object: 'wide' })).toHaveLength(3)
  })

  test('a record that goes between the list and the batch read is no row', async () => {
    const properties = Array.from({ length: 300 }, (_, i) => ({ name: `a_rather_long_name_of_a_property_${i}` }))
    await using world = await startWorld('streams')
    world.store.addObject({ name: 'wide', properties })
    world.store.create('wide', Array.from({ length: 3 }, () => ({ properties: {} })))
    await world.db.query('select hubspot.sync()')
    await world.drain()
    const [gone] = world.store.records('wide')
    await world.db.query("select hubspot.track('wide')")
    await world.run('wide', 'schema')
    await world.run('wide', 'archive')
    const listed = world.store.nextCall({ kind: 'list', object: 'wide' }).then(() => world.store.archive('wide', gone!.id))
    await world.drain()
    await listed
    // What the list has just shown is looked for once more.
    await world.pass(2_000)
    expect(await world.differences('wide')).toEqual([])
    expect(await world.db.query('select id from hubspot_private.tombstones')).toEqual([{ id: gone!.id }])
  })

  test('polling begins with its first answer, an hour earlier by HubSpot\'s clock', async () => {
    await using world = await tracked(12, ['firstname'], {}, pagesOf(5))
    expect(await world.db.query("select next_at from hubspot_private.streams where object = 'contacts' and stream = 'poll'")).toEqual([{ next_at: null }])
    const holder = (await hold(world, 'contacts', 'backfill'))!
    const at = world.store.now()
    await holder.commit(await holder.ask())
    const [poll] = await world.db.query<{ cursor: { date: number } }>("select cursor from hubspot_private.streams where object = 'contacts' and stream = 'poll'")
    expect(at - poll!.cursor.date).toBeGreaterThanOrEqual(60 * MINUTE)
    expect(at - poll!.cursor.date).toBeLessThan(60 * MINUTE + 1_000)
    // What changes behind the load, where it has already been, is found though the load goes on.
    await holder.commit(await holder.ask())
    world.store.advance(1)
    world.store.edit('contacts', idsOf(world)[0]!, { firstname: 'behind' })
    await world.pass(1_000)
    expect(await world.row('contacts', idsOf(world)[0]!)).toMatchObject({ firstname: 'behind' })
    expect(await status(world)).toMatchObject({ state: 'backfilling', rows: '5' })
  })

  test('a full read waits for it', async () => {
    await using world = await tracked(12, ['firstname'], {}, pagesOf(5))
    await world.db.query("select hubspot.resync('contacts')")
    expect(await world.run('contacts', 'resync')).toBe('idle')
    await world.drain()
    expect(await runs(world, 'resync')).toEqual([{ state: 'done', rows_read: '12', inserted: '0', updated: '0', unchanged: '12' }])
  })

  test('a page that names itself as the next is no endless loop', async () => {
    await using world = await tracked(3, ['firstname'])
    const holder = (await hold(world, 'contacts', 'backfill'))!
    await holder.commit(await holder.ask())
    const got = await holder.ask()
    const page = { ...(JSON.parse(got.body!.toString()) as object), paging: { next: { after: '5' } } }
    const again = { ...got, body: Buffer.from(JSON.stringify(page)) }
    expect((await holder.commit(again)).outcome).toBe('more')
    await expect(holder.commit(again)).rejects.toMatchObject({ code: 'SH208' })
  })
})

describe('a full read', () => {
  test('finds what HubSpot recalculates without a new date', async () => {
    await using world = await tracked(5, ['firstname'])
    await world.drain()
    const [id = ''] = idsOf(world)
    world.store.edit('contacts', id, { firstname: 'recalculated' }, { touch: false })
    await world.pass(60 * MINUTE, 20 * MINUTE)
    expect(await world.row('contacts', id)).not.toMatchObject({ firstname: 'recalculated' })
    await world.db.query("select hubspot.resync('contacts')")
    await world.drain()
    expect(await world.differences('contacts')).toEqual([])
  })

  test('comes by itself once a week, early on a Sunday where the account is', async () => {
    await using world = await tracked(5, ['firstname'])
    await world.db.query("update hubspot_private.account set time_zone = 'America/New_York'")
    await world.drain()
    const next = async () => (await world.db.query<{ day: string; hour: number; ms: number }>(
      `select to_char(s.next_run_at at time zone 'America/New_York', 'Dy') as day,
         extract(hour from s.next_run_at at time zone 'America/New_York')::integer as hour,
         extract(epoch from s.next_run_at - hubspot_private.clock())::float8 * 1000 as ms
       from hubspot.schedules s where s.object = 'contacts' and s.stream = 'resync'`))[0]!
    const first = await next()
    expect(first.day).toBe('Sun')
    expect(first.hour).toBeGreaterThanOrEqual(2)
    expect(first.hour).toBeLessThan(5)
    expect(first.ms).toBeGreaterThan(2.9 * 24 * 60 * MINUTE)
    await world.pass(first.ms - MINUTE)
    expect(await runs(world, 'resync')).toHaveLength(0)
    await world.pass(2 * MINUTE)
    expect(await runs(world, 'resync')).toHaveLength(1)
    expect(Math.abs((await next()).ms - 7 * 24 * 60 * MINUTE)).toBeLessThan(61 * MINUTE)
  })

  test('asked for twice while one waits is one run; while one runs it is another', async () => {
    await using world = await tracked(12, ['firstname'], {}, pagesOf(5))
    await world.drain()
    const ask = async () => (await world.db.query<{ resync: string }>("select hubspot.resync('contacts')"))[0]!.resync
    const waiting = await ask()
    expect(await ask()).toBe(waiting)
    const holder = (await hold(world, 'contacts', 'resync'))!
    await holder.commit(await holder.ask())
    const next = await ask()
    expect(next).not.toBe(waiting)
    while ((await holder.commit(await holder.ask())).outcome === 'more');
    expect((await runs(world, 'resync')).map(({ state }) => state)).toEqual(['done', 'done'])
  })
})

describe('definitions', () => {
  test('a new property of an object that is tracked whole gets a column and its values', async () => {
    await using world = await startWorld('streams', { sandbox: { objects: { vehicle: 6 } } })
    await world.load('vehicle')
    world.store.addProperty('vehicle', { name: 'wheels', type: 'number', filled: true })
    await world.pass(11 * MINUTE)
    expect(await world.differences('vehicle')).toEqual([])
    expect((await world.db.query('select count(wheels)::int as count from hubspot.vehicle'))[0]!['count']).toBeGreaterThan(0)
  })

  test('an archived property keeps its column and values, and is asked for no more', async () => {
    await using world = await startWorld('streams', { sandbox: { objects: { vehicle: 6 } } })
    await world.load('vehicle')
    const before = await world.db.query('select id, make from hubspot.vehicle order by id')
    world.store.archiveProperty('vehicle', 'make')
    await world.pass(11 * MINUTE)
    expect(await world.differences('vehicle')).toEqual([])
    expect(await world.db.query('select id, make from hubspot.vehicle order by id')).toEqual(before)
    world.store.restoreProperty('vehicle', 'make')
    await world.pass(11 * MINUTE)
    expect(await world.differences('vehicle')).toEqual([])
  })
})

describe('pause and resume', () => {
  test('a paused object asks for nothing after the step under way, and goes on where it stood', async () => {
    await using world = await tracked(12, ['firstname'], {}, pagesOf(5))
    const holder = (await hold(world, 'contacts', 'backfill'))!
    await holder.commit(await holder.ask())
    const page = await holder.ask()
    await world.db.query("select hubspot.pause('contacts')")
    expect((await holder.commit(page)).outcome).toBe('done')
    world.store.resetCalls()
    await world.pass(60 * MINUTE, 20 * MINUTE)
    expect(world.store.calls({ object: 'contacts' })).toEqual([])
    expect(await status(world)).toMatchObject({ state: 'paused', rows: '5' })
    await world.db.query("select hubspot.resume('contacts')")
    await world.drain()
    expect(await status(world)).toMatchObject({ state: 'live', rows: '12' })
    expect(world.store.calls({ kind: 'list', object: 'contacts' })[0]!.after).not.toBe('')
    expect(await world.differences('contacts')).toEqual([])
  })

  test('an object that is untracked in the middle of a step keeps its table, and takes nothing more in', async () => {
    await using world = await tracked(12, ['firstname'], {}, pagesOf(5))
    const holder = (await hold(world, 'contacts', 'backfill'))!
    await holder.commit(await holder.ask())
    await holder.commit(await holder.ask())
    const page = await holder.ask()
    await world.db.query("select hubspot.untrack('contacts')")
    expect(await holder.commit(page)).toMatchObject({ outcome: 'lost' })
    expect(await world.db.query('select count(*)::int as count from hubspot.contacts')).toEqual([{ count: 5 }])
    await world.load('contacts', ['firstname'])
    expect(await world.differences('contacts')).toEqual([])
    expect(await status(world)).toMatchObject({ state: 'live', rows: '12' })
  })
})
