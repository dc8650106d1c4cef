import { describe, expect, test } from 'vitest'
import type { Client } from '../src/hubspot/client.ts'
import type { Sandbox } from '../src/sandbox/index.ts'
import { runStream } from '../src/sync/step.ts'
import { randomStream } from '../src/sandbox/store/random.ts'
import { dueStreams, hold, pagesOf, startWorld, type World } from './support/sync.ts'

const SEED = Number(process.env['RANGES_SEED'] ?? 1)
const RUNS = Number(process.env['RANGES_RUNS'] ?? 6)

/** Contacts under the given ids, read in as many parts as there may be. */
async function openWorld(ids: readonly number[], client: (client: Client, sandbox: Sandbox) => Client = pagesOf(10), parts = 6): Promise<World> {
  const world = await startWorld('ranges', { client })
  world.store.create('contacts', ids.map((id) => ({ id: String(id), properties: { firstname: `n${id}` } })))
  await world.db.query("select hubspot.configure('max_ranges', $1::integer), hubspot.configure('range_records', 1)", [parts])
  await world.db.query("select hubspot.track('contacts', '{firstname}')")
  return world
}

const parts = (world: World, stream = 'backfill') =>
  world.db.query<{ range: number; cursor: { after?: string }; run_id: string | null }>(
    'select range, cursor, run_id from hubspot_private.streams where stream = $1 order by range', [stream])
const lists = (world: World) => world.store.calls({ kind: 'list', object: 'contacts' }).length
const run = async (world: World, stream: string) =>
  (await world.db.query(`select state, rows_read::integer, (inserted + updated + unchanged)::integer as counted, error_code
    from hubspot.runs where stream = $1 order by id desc limit 1`, [stream]))[0]

/** Steps of due streams, one page each and in any order, until none is due; `between` is called before each. */
async function shuffle(world: World, random: () => number, between: () => void | Promise<void> = () => undefined): Promise<number> {
  let most = 0
  for (let turns = 0; turns < 3_000; turns += 1) {
    const due = await dueStreams(world.db)
    if (due.length === 0) return most
    most = Math.max(most, due.filter(({ stream }) => stream === 'backfill' || stream === 'resync').length)
    await between()
    await runStream({ ...world.deps, sliceMs: 0 }, due[Math.floor(random() * due.length)]!)
  }
  throw new Error('streams are due for ever')
}

/** Ids in clumps, as an account that has grown has them: dense old ones, and others far away. */
function clumps(random: () => number, count: number): number[] {
  const ids = new Set<number>()
  let id = 1
  while (ids.size < count) {
    if (random() < 0.03) id += Math.floor(10 ** (1 + random() * 9))
    id += 1 + Math.floor(random() * 3)
    ids.add(id)
  }
  return [...ids]
}

/** A list in another order, or with another `after`, than ids give. `order` is asked once; values are read by id. */
function listed(order: (ids: string[]) => string[], { page = 10, after = String as (at: number) => string, at = Number as (after: string) => number } = {}) {
  return (client: Client, sandbox: Sandbox): Client => {
    let all: string[] | undefined
    return {
      ...client,
      async request(request) {
        const { query, path } = request
        if (query?.['properties'] === undefined || query['limit'] === undefined) return client.request(request)
        all ??= order([...sandbox.store.records('contacts')].map(({ id }) => id))
        const from = query['after'] === undefined ? 0 : at(String(query['after']))
        const ids = all.slice(from, from + page)
        const answer = await client.request({
          method: 'POST', path: `${path}/batch/read`, type: request.type!, signal: request.signal,
          body: { inputs: ids.map((id) => ({ id })), properties: query['properties'] },
        })
        const { results } = JSON.parse(answer.body.toString()) as { results: { id: string }[] }
        const sorted = ids.flatMap((id) => results.filter((one) => one.id === id))
        const paging = from + page < all.length ? { paging: { next: { after: after(from + page) } } } : {}
        return { ...answer, body: Buffer.from(JSON.stringify({ results: sorted, ...paging })) }
      },
    }
  }
}

type Page = { from: number; results: { id: string }[]; paging?: { next: { after: string } } }
const any = <T>(list: readonly T[], random: () => number) => list[Math.floor(random() * list.length)]

type Mangle = (page: Page, seen: readonly Page[], read: (after: number) => Promise<Page>) => unknown

/** A list in id order, of which every sixth page or so is not what it should be: so many at most. */
function mangled(random: () => number, mangle: Mangle, most = Infinity) {
  return (client: Client, sandbox: Sandbox): Client => {
    const paged = pagesOf(10)(client, sandbox)
    const seen: Page[] = []
    let left = most
    return {
      ...paged,
      async request(request) {
        const read = async (after: number): Promise<Page> => {
          const { body } = await paged.request({ ...request, query: { ...request.query, after: String(after) } })
          return { from: after, ...(JSON.parse(body.toString()) as Omit<Page, 'from'>) }
        }
        const answer = await paged.request(request)
        if (request.query?.['properties'] === undefined || request.query['limit'] === undefined) return answer
        const page: Page = { from: Number(request.query['after'] ?? 0), ...(JSON.parse(answer.body.toString()) as Omit<Page, 'from'>) }
        if (page.results.length === 0) return answer
        const kept = structuredClone(page)
        if (seen.length > 3 && left > 0 && random() < 0.15) {
          left -= 1
          await mangle(page, seen, read)
        }
        seen.push(kept)
        return { ...answer, body: Buffer.from(JSON.stringify({ results: page.results, paging: page.paging })) }
      },
    }
  }
}

describe('parts of a full read', () => {
  test('each has a lease and a cursor, all have one run, and the last ends it', async () => {
    await using world = await openWorld(Array.from({ length: 400 }, (_, i) => i + 1))
    const random = randomStream(1, 'turns')
    const most = await shuffle(world, random)
    expect(most).toBeGreaterThan(3)
    expect(await run(world, 'backfill')).toEqual({ state: 'done', rows_read: 400, counted: 400, error_code: null })
    expect(await parts(world)).toMatchObject([{ range: 0, run_id: null }])
    expect(await world.db.query('select * from hubspot_private.ranges')).toEqual([])
    expect(await world.differences('contacts')).toEqual([])
    // 40 pages, and for each part one that overlaps with the next.
    expect(lists(world)).toBeLessThan(40 + 2 * 40)
    expect(await world.db.query('select rows::integer from hubspot.status')).toEqual([{ rows: 400 }])

    world.store.advance(1_000)
    for (const id of ['7', '200', '399']) world.store.edit('contacts', id, { firstname: 'edited' }, { touch: false })
    await world.db.query("select hubspot.resync('contacts')")
    expect(await shuffle(world, random)).toBeGreaterThan(3)
    expect(await run(world, 'resync')).toEqual({ state: 'done', rows_read: 400, counted: 400, error_code: null })
    expect(await world.differences('contacts')).toEqual([])
  })

  test('a resync that is asked for while parts of one are under way begins after it', async () => {
    await using world = await openWorld(Array.from({ length: 300 }, (_, i) => i + 1))
    await world.drain()
    await world.db.query("select hubspot.resync('contacts')")
    let asked = false
    const resyncs = async () => (await parts(world, 'resync')).filter(({ run_id }) => run_id !== null)
    await shuffle(world, randomStream(2, 'turns'), async () => {
      const active = await resyncs()
      // All of one run, at any time.
      expect(new Set(active.map(({ run_id }) => run_id)).size).toBeLessThanOrEqual(1)
      if (active.length > 2 && !asked) {
        asked = true
        await world.db.query("select hubspot.resync('contacts')")
      }
    })
    expect(asked).toBe(true)
    expect(await world.db.query("select state, rows_read::integer from hubspot.runs where stream = 'resync'")).toEqual([
      { state: 'done', rows_read: 300 }, { state: 'done', rows_read: 300 }])
  })

  test('as many as the budget and the delay need, shared by the objects that are read', async () => {
    await using world = await openWorld([1])
    const wanted = async (burst: number, low: number, high: number) => {
      await world.db.query("select hubspot.set_quota('burst', $1)", [burst])
      await world.db.query('select hubspot_private.quota_adopt()')
      await world.db.query("update hubspot_private.budgets set delay_low_ms = $1, delay_high_ms = $2 where name = 'burst'", [low, high])
      return (await world.db.query<{ wanted: number }>('select hubspot_private.ranges_wanted() as wanted'))[0]!.wanted
    }
    await world.drain()
    await world.db.query("select hubspot.configure('max_ranges', 8)")
    expect(await wanted(1, 5, 15)).toBe(1)
    expect(await wanted(100, 5, 15)).toBe(2)
    // 19 requests a second, each on its way for 200 ms, and the root of that more, since all may be late at once.
    expect(await wanted(190, 100, 200)).toBe(6)
    expect(await wanted(1_000_000, 1, 2)).toBe(8)
    await world.db.query("select hubspot.track('deals'), hubspot.track('companies')")
    await world.db.query("update hubspot_private.streams set run_id = 1 where stream = 'backfill' and object <> 'contacts'")
    expect(await wanted(190, 100, 200)).toBe(3)
  })

  test('a probe that HubSpot refuses ends its part, and no more are made', async () => {
    const refusing = (client: Client, sandbox: Sandbox): Client => {
      const paged = pagesOf(10)(client, sandbox)
      let last: string | undefined
      return {
        ...paged,
        async request(request) {
          const after = request.query?.['after']
          if (after !== undefined && after !== last) return client.request({ ...request, query: { ...request.query, after: '!' } })
          const answer = await paged.request(request)
          if (request.query?.['limit'] !== undefined) last = /"after":"([^"]+)"/.exec(answer.body.toString())?.[1]
          return answer
        },
      }
    }
    await using world = await openWorld(Array.from({ length: 100 }, (_, i) => i + 1), refusing)
    await world.drain()
    expect(await run(world, 'backfill')).toMatchObject({ state: 'done', rows_read: 100 })
    expect(await world.differences('contacts')).toEqual([])
    expect(await world.db.query('select is_list_opaque from hubspot_private.objects where is_tracked')).toEqual([{ is_list_opaque: true }])
    expect(await world.db.query('select code from hubspot.problems where resolved_at is null')).toEqual([])
  })

  test('a probe that fails again and again is given up, and the load ends without it', async () => {
    await using world = await openWorld(Array.from({ length: 200 }, (_, i) => i + 1))
    await world.drain()
    await world.db.query("select hubspot.resync('contacts')")
    while ((await parts(world, 'resync')).length < 2) await world.run('contacts', 'resync', 0, { ...world.deps, sliceMs: 0 })
    world.store.addFault({ match: { kind: 'list' }, fault: '502', times: 3 })
    for (let tries = 0; tries < 3; tries += 1) {
      await world.run('contacts', 'resync', 1)
      await world.advance(10_000)
    }
    world.store.removeFaults()
    await world.drain()
    expect(await run(world, 'resync')).toMatchObject({ state: 'done', rows_read: 200 })
  })

  test('a frozen part that wakes commits nothing', async () => {
    await using world = await openWorld(Array.from({ length: 200 }, (_, i) => i + 1))
    const worker = { ...world.deps, sliceMs: 0 }
    for (let turns = 0; (await parts(world)).length < 2; turns += 1) {
      for (const key of await dueStreams(world.db)) if (key.range === 0) await runStream(worker, key)
    }
    const frozen = (await hold(world, 'contacts', 'backfill', 1, 'frozen'))!
    const late = await frozen.ask()
    await world.advance(31_000)
    await world.drain()
    const before = await world.db.query('select * from hubspot.contacts order by id')
    expect((await frozen.commit(late)).outcome).toBe('lost')
    expect(await world.db.query('select * from hubspot.contacts order by id')).toEqual(before)
    expect(await world.differences('contacts')).toEqual([])
  })
})

describe('whatever the list is like, all of it is read', () => {
  const LISTS = {
    'ids in clumps': () => pagesOf(10),
    'short pages': () => pagesOf(1),
    'after is an opaque text': () => listed((ids) => ids, { after: (at) => Buffer.from(String(at)).toString('base64'), at: (text) => Number(Buffer.from(text, 'base64').toString()) }),
    'after is an offset': () => listed((ids) => ids),
    'after is a number of its own': () => listed((ids) => ids, { after: (at) => String(at * 7 + 1_000_000), at: (text) => Math.max(0, Math.floor((Number(text) - 1_000_000) / 7)) }),
    'not in id order': (random: () => number) => listed((ids) => ids.map((id) => [random(), id] as const).sort(([a], [b]) => a - b).map(([, id]) => id)),
    'newest first': () => listed((ids) => ids.toReversed()),
    'a record of another page on some': (random: () => number) => mangled(random, (page, seen) => page.results.push(any(seen, random)!.results[0]!)),
    'a record of another page in the middle of some': (random: () => number) => mangled(random, (page, seen) => page.results.splice(1, 0, any(seen, random)!.results[0]!)),
    'an earlier page instead of some': (random: () => number) => mangled(random, (page, seen) => {
      const before = seen.filter(({ from }) => from < page.from).at(-1)
      if (before !== undefined) Object.assign(page, { results: before.results, paging: before.paging })
    }),
    'a later page instead of one': (random: () => number) => mangled(random, async (page, _, read) => {
      const { results, paging } = await read(page.from + 30)
      if (results.length > 0) Object.assign(page, { results, paging })
    }, 1),
    'no next on one': (random: () => number) => mangled(random, (page) => Object.assign(page, { paging: undefined }), 1),
    'nothing on one': (random: () => number) => mangled(random, (page) => Object.assign(page, { results: [], paging: undefined }), 1),
  }
  for (const [name, client] of Object.entries(LISTS)) {
    test(`${name}: seeds ${SEED} to ${SEED + RUNS - 1}`, async () => {
      for (let seed = SEED; seed < SEED + RUNS; seed += 1) {
        const random = randomStream(seed, name)
        await using world = await openWorld(clumps(random, 20 + Math.floor(random() * 150)), client(random), 1 + Math.floor(random() * 8))
        const isById = name === 'ids in clumps' || name === 'short pages'
        await shuffle(world, random, () => {
          if (!isById || random() > 0.2) return
          // Records go and come while they are read: below what was read, and beyond it.
          const ids = [...world.store.records('contacts')].map(({ id }) => id)
          world.store.advance(1_000)
          const id = ids[Math.floor(random() * ids.length)]
          if (id !== undefined && random() < 0.5) world.store.edit('contacts', id, { firstname: `edited at ${random()}` })
          else world.store.create('contacts', [{ properties: { firstname: 'new' } }])
        })
        await world.pass(2 * 3_600_000, 600_000)
        expect(await world.differences('contacts'), `seed ${seed}`).toEqual([])
        const [loaded] = await world.db.query<{ state: string }>("select state from hubspot.runs where stream = 'backfill'")
        expect(loaded, `seed ${seed}`).toEqual({ state: 'done' })
        expect(await parts(world), `seed ${seed}`).toMatchObject([{ range: 0 }])
      }
    })
  }
})
