import { expect, test } from 'vitest'
import { openDatabase } from '../src/db/database.ts'
import { streamClaim, sweep } from '../src/db/calls.ts'
import { createCaller } from '../src/sync/call.ts'
import { hold, pagesOf, startWorld, watchedDatabase, type World } from './support/sync.ts'

const openProblems = (world: World) =>
  world.db.query<{ object: string; code: string }>(`select object, code from hubspot.problems where resolved_at is null`)
const idsOf = async ({ db }: World) => (await db.query<{ id: string }>('select id from hubspot.contacts order by id')).map(({ id }) => id)
const taken = async ({ db }: World, budget = 'burst') =>
  (await db.query<{ used_by: Record<string, number> }>('select used_by from hubspot.quota where budget = $1', [budget]))[0]!.used_by

test('requests ask in the class of their stream, reads in that of what named their ids, the most urgent ids first', async () => {
  await using world = await startWorld('quota_streams')
  const { db, store } = world
  store.seed('contacts', 160)
  await world.load('contacts', ['email'])
  for (const [stream, turn] of [['poll', 'poll'], ['settle', 'settle'], ['resync', 'backfill'], ['schema', 'poll']]) {
    await db.query(`select hubspot_private.run_request('contacts', $1)`, [stream])
    const claim = await streamClaim(world.deps.db, { object: 'contacts', stream: stream!, range: 0 }, 'by hand')
    expect(claim?.request.class, stream).toBe(turn)
  }
  const ids = await idsOf(world)
  await db.query(`select hubspot_private.fetch_enqueue('contacts', $1, 'resync')`, [ids])
  await db.query(`select hubspot_private.fetch_enqueue('contacts', $1, 'poll')`, [[ids[150]]])
  await db.query(`select hubspot.refresh('contacts', $1)`, [[ids[155]]])
  // What is less urgent does not take its place.
  await db.query(`select hubspot_private.fetch_enqueue('contacts', $1, 'resync')`, [[ids[150], ids[155]]])
  const before = await taken(world)
  const reads = (await hold(world, 'contacts', 'fetch'))!
  const { request } = reads.claim
  expect(request).toMatchObject({ kind: 'read', class: 'live' })
  expect(request.kind === 'read' && request.ids.slice(0, 2)).toEqual([ids[155], ids[150]])
  expect((await reads.commit(await reads.ask())).next_request).toMatchObject({ class: 'backfill' })
  expect((await reads.commit(await reads.ask())).outcome).toBe('done')
  const after = await taken(world)
  expect([after['live']! - before['live']!, after['backfill']! - before['backfill']!]).toEqual([1, 1])
})

test('a first load leaves the day to what is more urgent but for its floor, waits for midnight, and goes on by itself', async () => {
  await using world = await startWorld('quota_streams', { client: pagesOf(1) })
  const { db, store } = world
  store.seed('contacts', 60)
  await db.query(`select hubspot.track('contacts', '{email}')`)
  await world.run('contacts', 'schema')
  await world.run('contacts', 'archive')
  await db.query(`select hubspot.schedule('contacts', s, every => '1 hour') from unnest('{poll,settle,schema}'::text[]) s`)
  // Ten hours to go: what runs by the clock needs more than what is left of these, and 7 are the first loads' floor.
  await db.query(`update hubspot_private.account set time_zone = 'UTC'`)
  await db.query(`select hubspot.set_quota('daily', 140)`)
  // A forecast is made anew each minute.
  await world.advance(61_000)
  await world.drain()
  const status = async () =>
    (await db.query<{ state: string; error_code: string | null; rows_read: string }>(
      `select state, error_code, rows_read from hubspot.runs where stream = 'backfill' order by id desc limit 1`))[0]
  const waiting = await status()
  expect(waiting).toMatchObject({ state: 'waiting', error_code: 'SH302' })
  expect(Number(waiting!.rows_read)).toBeLessThan(60)
  expect(await openProblems(world)).toEqual([{ object: 'contacts', code: 'SH302' }])
  const [stream] = await db.query<{ failures: number; at: string }>(
    `select failures, (date_trunc('minute', retry_at + (select hubspot_ahead from hubspot_private.account) + interval '5 seconds') at time zone 'UTC')::text as at
     from hubspot_private.streams where stream = 'backfill'`)
  expect(stream).toEqual({ failures: 0, at: expect.stringContaining('00:00:00') })
  // What is more urgent goes on.
  await db.query(`select hubspot.sync('contacts')`)
  await world.drain()
  expect((await db.query(`select from hubspot.runs where stream = 'poll' and state = 'done'`)).length).toBeGreaterThan(0)
  expect(await openProblems(world)).toHaveLength(1)
  // A higher limit is taken up at once, by the sweep that it queues.
  await db.query(`select hubspot.set_quota('daily', 100000)`)
  expect(await db.query(`select from graphile_worker.jobs where task_identifier = 'hubspot:sweep' and run_at <= now()`)).not.toEqual([])
  await sweep(world.deps.db)
  await world.drain()
  expect(await status()).toMatchObject({ state: 'done' })
  expect(await openProblems(world)).toEqual([])
  expect(await world.differences('contacts')).toEqual([])
})

test('a day that HubSpot calls spent stops every stream until midnight, without a failure, and then none', async () => {
  await using world = await startWorld('quota_streams')
  const { db, store } = world
  store.seed('contacts', 5)
  await world.load('contacts', ['email'])
  await db.query(`select hubspot_private.quota_throttled('daily')`)
  await db.query(`select hubspot.refresh('contacts', $1)`, [await idsOf(world)])
  expect(await world.run('contacts', 'fetch')).toBe('failed')
  expect(await openProblems(world)).toEqual([{ object: 'contacts', code: 'SH302' }])
  expect(await db.query(`select failures, parked_at from hubspot_private.streams where stream = 'fetch'`)).toEqual([{ failures: 0, parked_at: null }])
  await world.pass(25 * 3_600_000)
  expect(await openProblems(world)).toEqual([])
  expect(await db.query(`select from hubspot_private.fetch_queue`)).toEqual([])
})

test('429s of another app slow a step and do not fail it', async () => {
  await using world = await startWorld('quota_streams')
  const { db, store } = world
  store.seed('contacts', 5)
  await world.load('contacts', ['email'])
  store.addFault({ fault: '429', times: 3, match: { kind: 'batch read' } })
  await db.query(`select hubspot.refresh('contacts', $1)`, [await idsOf(world)])
  expect(await world.run('contacts', 'fetch')).toBe('done')
  expect(await db.query(`select budget, throttled_count from hubspot.quota order by budget`)).toEqual([
    { budget: 'burst', throttled_count: '3' }, { budget: 'daily', throttled_count: '0' }, { budget: 'search', throttled_count: '0' },
  ])
  expect(await openProblems(world)).toEqual([])
})

test('a send that comes too late takes a new turn; a database that is far away only makes turns uncertain, which counts as delay', async () => {
  await using world = await startWorld('quota_streams')
  await world.db.query(`select hubspot.set_quota('burst', 100)`)
  const real = openDatabase(world.db.url, { max: 2 })
  let permits = 0
  const far = watchedDatabase(real, async (text, _, query) => {
    const answer = await query()
    if (!/quota_take/.test(text)) return answer
    permits += 1
    await new Promise((resolve) => setTimeout(resolve, 60))
    return answer
  })
  let late = 60
  const sleep = async (ms: number) => {
    await new Promise<void>((resolve) => setTimeout(resolve, ms + late))
    late = 0
  }
  const caller = createCaller({ db: far, signal: new AbortController().signal, sleep })
  const call = () => caller.call('burst', () => world.deps.hubspot.request({ path: world.deps.hubspot.paths.account() }))
  expect((await call()).answer.status).toBe(200)
  expect(permits).toBeGreaterThan(1)
  const before = permits
  for (let calls = 0; calls < 4; calls += 1) await call()
  // A machine that is busy may be late once more; each call late would be for ever.
  expect(permits - before).toBeLessThan(4 + 3)
  const [budget] = await world.db.query<{ spread: number }>("select delay_high_ms - delay_low_ms as spread from hubspot_private.budgets where name = 'burst'")
  expect(budget!.spread).toBeGreaterThan(50)
  await real.close()
})
