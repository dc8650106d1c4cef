import { describe, expect, test } from 'vitest'
import type { SandboxOptions } from '../src/sandbox/index.ts'
import { pagesOf, startWorld, type World, type WorldOptions } from './support/sync.ts'

const MINUTE = 60_000

async function contacts(count: number, options: SandboxOptions = {}, client?: WorldOptions['client']): Promise<World> {
  const world = await startWorld('poll', { sandbox: { ...options, objects: { contacts: count } }, ...(client && { client }) })
  await world.load('contacts', ['firstname'])
  await world.advance(1_000)
  return world
}

const idsOf = (world: World) => [...world.store.records('contacts')].map(({ id }) => id)
const poll = (world: World) => world.run('contacts', 'poll')
const fetched = async (world: World) => (await world.db.query<{ id: string }>('select id from hubspot_private.fetch_queue order by id')).map(({ id }) => id)
const searches = (world: World) => world.store.calls({ kind: 'search' }).filter(({ limit }) => limit !== 1)
const foundBySettle = async (world: World) => Number((await world.db.query<{ found: string }>("select found_by_settle as found from hubspot.status where object = 'contacts'"))[0]!.found)

test('a poll that finds nothing is one call', async () => {
  await using world = await contacts(5)
  await world.pass(3 * 3_600_000, 60 * MINUTE)
  world.store.resetCalls()
  await world.advance(10_000)
  expect(await poll(world)).toBe('done')
  expect(world.store.calls().map(({ kind }) => kind)).toEqual(['search'])
})

test('an edit is polled by its date and read from the store', async () => {
  await using world = await contacts(5, { settings: { lag: [500, 3_000] } })
  const [id = ''] = idsOf(world)
  world.store.edit('contacts', id, { firstname: 'edited' })
  await world.pass(11_000)
  expect(await world.row('contacts', id)).toMatchObject({ firstname: 'edited' })
  expect(world.store.calls({ kind: 'batch read' }).at(-1)!.ids).toEqual([id])
})

test('nothing is lost while hits move between pages', async () => {
  await using world = await contacts(20, {}, pagesOf(100, 3))
  const ids = idsOf(world)
  for (const [i, id] of ids.entries()) world.store.edit('contacts', id, { firstname: `first ${i}` }, { at: world.store.now() - 60_000 + i })
  // Whatever the page held is edited right after it: an offset would now skip as many.
  const stop = new AbortController()
  const moving = (async () => {
    for (let i = 0; i < 6; i += 1) {
      const call = await world.store.nextCall({ kind: 'search', object: 'contacts' })
      if (stop.signal.aborted) return
      const at = Math.max(0, ids.indexOf(call.firstId ?? ''))
      world.store.advance(1)
      world.store.edit('contacts', ids.slice(at, at + 3), { firstname: `moved ${i}` })
    }
  })()
  await world.pass(10_000)
  await world.pass(10_000)
  stop.abort()
  await world.pass(10_000)
  await moving
  expect(await world.differences('contacts')).toEqual([])
})

test('a page reads on from the date of its last hit, and never by an offset', async () => {
  await using world = await contacts(10, {}, pagesOf(100, 4))
  const start = world.store.now()
  for (const [i, id] of idsOf(world).entries()) world.store.edit('contacts', id, { firstname: 'x' }, { at: start + i * 10 })
  await world.advance(10_000)
  world.store.resetCalls()
  await poll(world)
  expect(world.store.calls({ kind: 'search' }).every(({ after }) => after === undefined || after === '')).toBe(true)
  expect(await fetched(world)).toEqual(idsOf(world))
})

describe('more records of one millisecond than a page holds', () => {
  test.for([
    [450, 200],
    [23, 4],
    [8, 4],
  ] as const)('%i of them, %i a page: each is found once, in pages by id', async ([count, page]) => {
    await using world = await contacts(count + 30, {}, pagesOf(100, page))
    const ids = idsOf(world)
    const at = world.store.now()
    world.store.edit('contacts', ids.slice(10, 10 + count), { firstname: 'imported' }, { at })
    world.store.edit('contacts', ids.slice(0, 5), { firstname: 'after' }, { at: at + 1 })
    world.store.edit('contacts', ids.slice(-5), { firstname: 'before' }, { at: at - 1 })
    await world.advance(10_000)
    world.store.resetCalls()
    expect(await poll(world)).toBe('done')
    expect(await fetched(world)).toHaveLength(count + 10)
    // The records around, the walk's pages and its short end: far from once per record, and never beyond the cap by offset.
    expect(searches(world).length).toBeLessThan(8 + 2 * Math.ceil((count + 10) / page))
    expect(searches(world).some(({ sort }) => sort?.includes('hs_object_id'))).toBe(true)
    await world.pass(10_000)
    expect(await world.differences('contacts')).toEqual([])
  })

  test('one that joins them while they are walked is found', async () => {
    await using world = await contacts(20, {}, pagesOf(100, 4))
    const ids = idsOf(world)
    const at = world.store.now()
    world.store.edit('contacts', ids.slice(0, 18), { firstname: 'imported' }, { at })
    await world.advance(10_000)
    const joining = world.store.nextCall({ kind: 'search' }).then(() => world.store.nextCall({ kind: 'search' })).then(() => world.store.nextCall({ kind: 'search' })).then(() => {
      world.store.edit('contacts', ids[19]!, { firstname: 'joined' }, { at })
      // Behind the walk, which is beyond the first of them by now: only the settle pass can see it.
      world.store.edit('contacts', ids[0]!, { firstname: 'again' }, { at: at + 5 })
    })
    await poll(world)
    await joining
    await world.pass(12 * MINUTE, 2 * MINUTE)
    expect(await world.differences('contacts')).toEqual([])
  })
})

describe('what the index shows late', () => {
  test.for([[8, 'first'], [45, 'second']] as const)('%i minutes late and behind the cursor: the %s settle window finds it, and it is counted', async ([minutes]) => {
    await using world = await contacts(5)
    const [late = '', other = ''] = idsOf(world)
    world.store.edit('contacts', late, { firstname: 'late' }, { lag: minutes * MINUTE })
    await world.advance(1_000)
    world.store.edit('contacts', other, { firstname: 'soon' })
    await world.pass(11_000)
    expect(await world.row('contacts', other)).toMatchObject({ firstname: 'soon' })
    expect(await world.row('contacts', late)).not.toMatchObject({ firstname: 'late' })
    const before = await foundBySettle(world)
    // The windows look every two minutes.
    await world.pass(minutes < 10 ? 14 * MINUTE : 66 * MINUTE, minutes < 10 ? 2 * MINUTE : 6 * MINUTE)
    expect(await world.row('contacts', late)).toMatchObject({ firstname: 'late' })
    expect(await foundBySettle(world)).toBe(before + 1)
  })

  test('after hours of downtime, behind the cursor of a poll that has caught up, is found within the widest window', async () => {
    await using world = await contacts(6)
    const [first = '', late = '', last = ''] = idsOf(world)
    await world.pass(70 * MINUTE, 10 * MINUTE)
    // Nobody works; HubSpot goes on.
    await world.advance(3 * 60 * MINUTE)
    world.store.edit('contacts', first, { firstname: 'early' })
    await world.advance(2 * 60 * MINUTE)
    world.store.edit('contacts', late, { firstname: 'late' }, { lag: 40 * MINUTE })
    await world.advance(1_000)
    world.store.edit('contacts', last, { firstname: 'last' })
    await world.advance(30 * MINUTE)
    await world.pass(11_000)
    expect(await world.row('contacts', first)).toMatchObject({ firstname: 'early' })
    expect(await world.row('contacts', last)).toMatchObject({ firstname: 'last' })
    expect(await world.row('contacts', late)).not.toMatchObject({ firstname: 'late' })
    await world.pass(34 * MINUTE, 2 * MINUTE)
    expect(await world.row('contacts', late)).toMatchObject({ firstname: 'late' })
    expect(await world.differences('contacts')).toEqual([])
  })

  test('a record that is edited more often than any settle window is seen all the same', async () => {
    await using world = await startWorld('poll', { sandbox: { objects: { contacts: 5 } } })
    await world.db.query(`select hubspot.configure('settle_windows', '["4 minutes", "6 minutes"]')`)
    await world.load('contacts', ['firstname'])
    const [hot = '', other = ''] = idsOf(world)
    // What the index says of it is 100 to 220 seconds old: behind the poll, which others keep at the present, and before any window.
    let seen = 0
    for (let second = 0; second < 1_500; second += 20) {
      world.store.edit('contacts', other, { firstname: `other ${second}` })
      if (second % 120 === 0) world.store.edit('contacts', hot, { firstname: `edit ${second}` }, { lag: 100_000 })
      await world.pass(20_000)
      const row = await world.row<{ firstname: string }>('contacts', hot)
      seen = Math.max(seen, Number(/edit (\d+)/.exec(row!.firstname)?.[1] ?? 0))
    }
    expect(seen).toBeGreaterThan(600)
    await world.pass(10 * MINUTE, 2 * MINUTE)
    expect(await world.differences('contacts')).toEqual([])
  })

  test('a record created with an id below the others, minutes late, is found', async () => {
    await using world = await contacts(5)
    world.store.create('contacts', [{ id: 7, properties: { firstname: 'low' } }], { lag: 7 * MINUTE })
    await world.pass(14 * MINUTE, 2 * MINUTE)
    expect(await world.row('contacts', 7)).toMatchObject({ firstname: 'low' })
    expect(await world.differences('contacts')).toEqual([])
  })

  test('complete_until follows the widest window, in HubSpot\'s time', async () => {
    await using world = await contacts(2)
    await world.pass(2 * 60 * MINUTE, 30 * MINUTE)
    const [status] = await world.db.query<{ behind: number }>(
      `select (extract(epoch from complete_until) * 1000)::float8 as behind from hubspot.status where object = 'contacts'`,
    )
    const minutes = (world.store.now() - status!.behind) / MINUTE
    // HubSpot's clock is known by its Date header, to two seconds.
    expect(minutes).toBeGreaterThan(59.96)
    expect(minutes).toBeLessThan(63)
  })
})

test('a hint is asked once for each version, though reads do not show it, and again by the settle windows alone', async () => {
  await using world = await contacts(3, { settings: { searchValues: 'index' } })
  const [id = ''] = idsOf(world)
  const was = world.store.record('contacts', id)!.updatedAt
  // The index learns of a version that the store takes back before anyone reads.
  world.store.edit('contacts', id, { firstname: 'new' }, { lag: 0 })
  world.store.edit('contacts', id, { firstname: 'restored' }, { at: was, lag: 48 * 60 * MINUTE })
  const problems = () => world.db.query('select code, record_id from hubspot.problems where resolved_at is null')
  world.store.resetCalls()
  await world.pass(9 * MINUTE, MINUTE)
  expect(world.store.calls({ kind: 'batch read' })).toHaveLength(1)
  await world.pass(2 * 60 * MINUTE, MINUTE)
  // Each of them for a minute, in case a copy that is behind answers.
  expect(world.store.calls({ kind: 'batch read' })).toHaveLength(1 + 2 * 7)
  expect(await problems()).toEqual([{ code: 'SH235', record_id: id }])
  world.store.resetCalls()
  await world.pass(2 * 60 * MINUTE, 10 * MINUTE)
  expect(world.store.calls({ kind: 'batch read' })).toEqual([])
  expect(await world.row('contacts', id)).toMatchObject({ firstname: 'restored' })
  // Another version is another hint.
  world.store.edit('contacts', id, { firstname: 'newest' })
  await world.pass(11_000)
  expect(world.store.calls({ kind: 'batch read' })).toHaveLength(1)
  expect(await world.row('contacts', id)).toMatchObject({ firstname: 'newest' })
  expect(await problems()).toEqual([])
})

test('what search says is gone, and is not, stays; what it says is there, and is not, goes', async () => {
  await using world = await contacts(4, { settings: { searchValues: 'index' } })
  const [one = '', two = ''] = idsOf(world)
  world.store.edit('contacts', one, { firstname: 'edited' }, { lag: 0 })
  world.store.archive('contacts', one, { lag: 30 * MINUTE })
  world.store.archive('contacts', two, { lag: 0 })
  world.store.restore('contacts', two, { lag: 30 * MINUTE })
  await world.pass(11_000)
  expect(await world.row('contacts', one)).toBeUndefined()
  expect(await world.row('contacts', two)).toBeDefined()
  await world.pass(90 * MINUTE, 10 * MINUTE)
  expect(await world.differences('contacts')).toEqual([])
})

test('an object without search is listed at the poll\'s pace, and status says so', async () => {
  await using world = await startWorld('poll', { sandbox: { objects: { contracts: 12 } }, client: pagesOf(5) })
  await world.load('contracts', ['hs_name', 'hs_contract_value'])
  expect(await world.differences('contracts')).toEqual([])
  const [first] = world.store.records('contracts')
  await world.advance(1_000)
  world.store.edit('contracts', first!.id, { hs_name: 'edited' })
  await world.pass(11_000)
  expect(await world.differences('contracts')).toEqual([])
  expect(await world.db.query("select state, rows from hubspot.status where object = 'contracts'")).toEqual([{ state: 'list only', rows: '12' }])
  expect(world.store.calls({ kind: 'search', object: 'contracts' })).toEqual([])
})

describe('records dated in the future', () => {
  test.for([1, 450] as const)('%i of them: the poll sees what is edited after them, and reads each of them once', async (count) => {
    await using world = await contacts(500)
    const ids = idsOf(world)
    const far = world.store.now() + 10 * 365 * 24 * 60 * MINUTE
    for (const [i, id] of ids.slice(0, count).entries()) world.store.edit('contacts', id, { firstname: 'future' }, { at: far + i })
    await world.pass(10_000)
    expect(await world.differences('contacts')).toEqual([])
    const cursor = async () => Number((await world.db.query<{ date: string }>("select cursor ->> 'date' as date from hubspot_private.streams where stream = 'poll'"))[0]!.date)
    expect(await cursor()).toBeLessThanOrEqual(world.store.now())
    await world.advance(1_000)
    const [other = '', another = ''] = ids.slice(-2)
    world.store.edit('contacts', other, { firstname: 'after' })
    world.store.resetCalls()
    await world.pass(10_000)
    expect(await world.row('contacts', other)).toMatchObject({ firstname: 'after' })
    expect(world.store.calls({ kind: 'batch read' }).flatMap((call) => call.ids ?? [])).toEqual([other])
    // And whatever else happens to one of them.
    world.store.edit('contacts', ids[0]!, { firstname: 'back' })
    world.store.edit('contacts', another, { firstname: 'too' })
    await world.pass(20_000, 10_000)
    expect(await world.differences('contacts')).toEqual([])
    world.store.resetCalls()
    await world.pass(5 * MINUTE, 10_000)
    expect(world.store.calls({ kind: 'batch read' })).toEqual([])
  })
})

test('a poll that is asked for before the first load waits for its first answer', async () => {
  await using world = await startWorld('poll', { sandbox: { objects: { contacts: 5 } } })
  await world.db.query("select hubspot.track('contacts', '{firstname}')")
  await world.run('contacts', 'schema')
  await world.db.query("select hubspot.sync('contacts')")
  expect(await poll(world)).toBe('idle')
  await world.drain()
  expect(await world.db.query("select state, error_code from hubspot.runs where stream = 'poll' order by id limit 1")).toEqual([{ state: 'done', error_code: null }])
  expect(await world.db.query('select from hubspot.problems')).toEqual([])
})

test.for([400, 404, 405])('an object whose search HubSpot refuses (%i) is polled by list, until a full read finds that it is searched again', async (status) => {
  await using world = await contacts(5)
  world.store.addFault({ match: { kind: 'search' }, fault: { type: 'answer', status, body: '{"status":"error","message":"no search here"}', headers: { 'content-type': 'application/json' } } })
  await world.pass(45 * 60_000, 60_000)
  const state = async () => (await world.db.query("select state, problems::integer from hubspot.status where object = 'contacts'"))[0]
  expect(await state()).toEqual({ state: 'list only', problems: 0 })
  const [edited = ''] = idsOf(world)
  world.store.edit('contacts', edited, { firstname: 'edited' })
  await world.pass(120_000, 10_000)
  expect(await world.differences('contacts')).toEqual([])
  world.store.removeFaults()
  world.store.edit('contacts', edited, { firstname: 'again' })
  await world.db.query("select hubspot.resync('contacts')")
  await world.pass(60_000, 5_000)
  expect(await state()).toEqual({ state: 'live', problems: 0 })
  expect(await world.differences('contacts')).toEqual([])
})
