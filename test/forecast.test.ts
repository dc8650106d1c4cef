import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import pg from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type FreshDatabase, freshDatabase } from './support/cluster.ts'
import { startWorld, type World } from './support/sync.ts'

type Line = {
  object: string | null
  stream: string
  every: string | null
  stretched_every: string | null
  seconds: number
  requests_per_day: number
  share_of_daily: number
  wanted_per_day: number
  limited_by: string | null
}
const forecast = (db: FreshDatabase, where = 'true') =>
  db.query<Line>(
    `select object, stream, every::text, stretched_every::text, extract(epoch from stretched_every)::float8 as seconds,
       requests_per_day::float8, share_of_daily::float8, wanted_per_day::float8, limited_by
     from hubspot.forecast where ${where} order by object, stream`)
const sum = (numbers: readonly number[]) => numbers.reduce((all, one) => all + one, 0)

/** HubSpot's limits, by tier. */
const TIERS = { free: { burst: 100, daily: 250_000 }, professional: { burst: 190, daily: 625_000 }, enterprise: { burst: 190, daily: 1_000_000 } }

describe('what a day takes', () => {
  let db: FreshDatabase
  beforeAll(async () => {
    db = await freshDatabase('forecast')
  })
  afterAll(() => db[Symbol.asyncDispose]())
  beforeEach(async () => {
    await db.query(`select hubspot.untrack(object) from hubspot.status`)
    await db.query('delete from hubspot_private.runs')
    await db.query(`update hubspot_private.budgets set used = 0, used_by = default where name = 'daily'`)
    await db.query(`select hubspot.set_quota(b, null) from unnest('{burst,search,daily}'::text[]) b`)
    await db.query(`select hubspot.set_quota_share(1)`)
  })
  const track = (count: number) => db.query(`select hubspot.track('object_' || n) from generate_series(1, $1) n`, [count])
  const tier = async ({ burst, daily }: (typeof TIERS)['free'], share: number) => {
    await db.query(`select hubspot.set_quota('burst', $1), hubspot.set_quota('daily', $2), hubspot.set_quota_share($3)`, [burst, daily, share])
  }
  const slowestPoll = async () => Math.max(...(await forecast(db, `stream = 'poll'`)).map(({ seconds }) => seconds))

  test('is shown by object and stream, as scheduled where all of it fits', async () => {
    await track(2)
    expect(await forecast(db)).toMatchObject([1, 2].flatMap((n) => [
      { object: `object_${n}`, stream: 'archive', every: '01:00:00', stretched_every: '01:00:00', requests_per_day: 24 },
      { object: `object_${n}`, stream: 'poll', every: '00:00:10', stretched_every: '00:00:10', requests_per_day: 8_640, wanted_per_day: 8_640, share_of_daily: 0.03456, limited_by: null },
      { object: `object_${n}`, stream: 'resync', every: '7 days', stretched_every: '7 days', limited_by: null },
      { object: `object_${n}`, stream: 'schema', every: '00:10:00', requests_per_day: 576 },
      // Two windows, whose passes run on now and then.
      { object: `object_${n}`, stream: 'settle', every: '00:02:00', stretched_every: '00:02:00', requests_per_day: 1_584 },
    ]))
  })

  test.each([
    [20, 'free', 1 / 3, 60], [40, 'professional', 1 / 3, 60], [40, 'professional', 1, 15], [40, 'enterprise', 1, 15],
  ] as const)('of %i objects fits on %s at a share of %d when each is polled every %i seconds at most', async (count, name, share, most) => {
    await track(count)
    await tier(TIERS[name], share)
    const lines = await forecast(db)
    expect(await slowestPoll()).toBeLessThanOrEqual(most)
    const daily = Math.floor(TIERS[name].daily * share)
    expect(sum(lines.map((line) => line.requests_per_day))).toBeLessThanOrEqual(daily * 0.9 + 1)
    const searches = lines.filter(({ stream }) => stream === 'poll' || stream === 'settle')
    expect(sum(searches.map((line) => line.requests_per_day))).toBeLessThanOrEqual(86_400 * Math.max(Math.floor(5 * share), 1))
    for (const { every, stretched_every, limited_by, requests_per_day, wanted_per_day } of lines) {
      expect(limited_by === null).toBe(every === stretched_every)
      expect(requests_per_day).toBeLessThanOrEqual(wanted_per_day + 0.1)
    }
    // Busy and quiet ones among each other too.
    await db.query(`insert into hubspot_private.runs (object, stream, state, requested_at, started_at, finished_at, hinted, requests)
      select 'object_' || n, 'poll', 'done', t, t, t, 1, 1 from generate_series(1, $1) n cross join (select hubspot_private.clock() as t) c`, [count / 2])
    expect(await slowestPoll()).toBeLessThanOrEqual(most)
    const [busy, quiet] = [await forecast(db, `object = 'object_1' and stream = 'poll'`), await forecast(db, `object = 'object_${count}' and stream = 'poll'`)]
    if (share < 1) expect(busy[0]!.seconds).toBeLessThan(quiet[0]!.seconds)
  })

  test('is in docs/schedules.md for every tier', async () => {
    const lines = ['| tier | of it | objects | polled every | poll | settle | schema | archive | requests a day | of |', '| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |']
    const n = (value: number) => Math.round(value).toLocaleString('en')
    for (const [name, share, counts] of [['free', 1 / 3, [5, 20, 40]], ['free', 1, [20, 40]], ['professional', 1 / 3, [20, 40]], ['professional', 1, [40]], ['enterprise', 1, [40, 80]]] as const) {
      await tier(TIERS[name], share)
      for (const count of counts) {
        await db.query('select hubspot.untrack(object) from hubspot.status')
        await track(count)
        const all = await forecast(db)
        const calls = (stream: string) => n(sum(all.filter((line) => line.stream === stream).map((line) => line.requests_per_day)))
        lines.push(`| ${[
          name === 'free' ? 'Free, Starter' : name === 'professional' ? 'Professional' : 'Enterprise', share === 1 ? 'all' : 'a third', count, `${(await slowestPoll()).toPrecision(2)} s`,
          ...['poll', 'settle', 'schema', 'archive'].map(calls), n(sum(all.map((line) => line.requests_per_day))), n(TIERS[name].daily * share),
        ].join(' | ')} |`)
      }
    }
    expect(await readFile(join(import.meta.dirname, '../docs/schedules.md'), 'utf8')).toContain(lines.join('\n'))
  })

  test('is stretched by the limit that is short, and not at all once that is gone', async () => {
    await track(4)
    await db.query(`select hubspot.set_quota('daily', 20000)`)
    for (const { limited_by } of await forecast(db)) expect(limited_by).toBe('daily')
    await db.query(`select hubspot.set_quota('daily', null), hubspot.set_quota('search', 1), hubspot.schedule('object_1', 'poll', every => '1 second')`)
    for (const { stream, limited_by } of await forecast(db)) expect(limited_by).toBe(stream === 'poll' || stream === 'settle' ? 'search' : null)
    await db.query(`select hubspot.set_quota('search', null), hubspot.unschedule('object_1', 'poll')`)
    for (const { every, stretched_every, limited_by } of await forecast(db)) expect([limited_by, stretched_every]).toEqual([null, every])
  })

  test('of what other apps and live requests take is not planned with', async () => {
    await track(10)
    await db.query(`select hubspot.set_quota('daily', 100000)`)
    const planned = async () => sum((await forecast(db)).map((line) => line.requests_per_day))
    const alone = await planned()
    expect(alone).toBeCloseTo(90_000, -2)
    await db.query(`update hubspot_private.budgets set used = 10000, used_since = hubspot_private.account_day(hubspot_private.hubspot_now()) where name = 'daily'`)
    const others = await planned()
    expect(others).toBeLessThan(81_000)
    await db.query(`update hubspot_private.budgets set used_by = '{10000,0,0,0}' where name = 'daily'`)
    expect(await planned()).toBeLessThan(80_000)
    // Not all of it: what others took by now they need not take tomorrow.
    await db.query(`update hubspot_private.budgets set used = 100000, used_by = default where name = 'daily'`)
    expect(await planned()).toBeCloseTo(18_000, -2)
  })

  test('is told by a notice when a schedule does not fit, or others give way to it; the view shows it before and after', async () => {
    await track(3)
    const client = new pg.Client(db.url)
    await client.connect()
    const notices: { code: string; message: string; detail?: string; hint?: string }[] = []
    client.on('notice', (notice) => notices.push(notice as unknown as (typeof notices)[number]))
    const before = await forecast(db)
    await client.query(`select hubspot.schedule('object_1', 'poll', every => '5 seconds')`)
    expect(notices).toEqual([])
    await client.query(`select hubspot.set_quota('daily', 40000)`)
    await client.query(`select hubspot.schedule('object_1', 'poll', every => '2 seconds')`)
    expect(notices).toHaveLength(1)
    expect(notices[0]).toMatchObject({
      code: 'SH120',
      message: expect.stringMatching(/^poll of object_1 every 00:00:02 does not fit into the daily budget: it runs every 00:00:\d\d, about, and others less often too: \d+$/),
      detail: expect.stringMatching(/^All schedules come to 3\d{4}(\.\d)? requests a day now, of 40000\.$/),
      hint: expect.stringContaining('table hubspot.forecast'),
    })
    const [poll] = await forecast(db, `object = 'object_1' and stream = 'poll'`)
    expect(poll).toMatchObject({ every: '00:00:02', limited_by: 'daily', wanted_per_day: 43_200 })
    // What was asked for weighs as much as what is by default: five times as often.
    const [other] = await forecast(db, `object = 'object_2' and stream = 'poll'`)
    expect(other!.seconds / poll!.seconds).toBeCloseTo(5, 1)
    await client.query(`select hubspot.schedule('object_1', 'poll', cron => '* * * * *')`)
    await client.query(`select hubspot.unschedule('object_1', 'poll'), hubspot.set_quota('daily', null)`)
    expect(await forecast(db)).toEqual(before)
    await client.end()
  })

  test('counts cron by the mean of a year and leaves its times alone', async () => {
    await track(2)
    await db.query(`select hubspot.schedule('object_1', 'archive', cron => '*/5 9-17 * * mon-fri', timezone => 'Europe/Berlin'), hubspot.set_quota('daily', 5000)`)
    const [line] = await forecast(db, `object = 'object_1' and stream = 'archive'`)
    expect(line).toMatchObject({ limited_by: null, requests_per_day: expect.closeTo((12 * 9 * 5) / 7, 0) })
    expect(line!.every).toBe(line!.stretched_every)
    expect(await forecast(db, `object = 'object_2' and stream = 'archive'`)).toMatchObject([{ limited_by: 'daily' }])
  })

  test('that cannot fit at all still looks for deletions each day, is read whole each four weeks, and is a problem until it fits', async () => {
    await track(30)
    await db.query(`select hubspot.set_quota('daily', 100)`)
    await db.query('select hubspot_private.sweep()')
    const lines = await forecast(db, `object = 'object_7'`)
    for (const { stream, seconds } of lines) expect(seconds, stream).toBe((stream === 'resync' ? 28 : 1) * 86_400)
    const problems = () => db.query(`select code, object, message, count from hubspot.problems where resolved_at is null`)
    expect(await problems()).toEqual([{ code: 'SH121', object: null, message: expect.stringMatching(/^schedules need \d+ requests a day, 100 may be made$/), count: '1' }])
    await db.query('select hubspot_private.sweep()')
    expect(await problems()).toMatchObject([{ count: '1' }])
    await db.query(`select hubspot.set_quota('daily', null)`)
    await db.query('select hubspot_private.sweep()')
    expect(await problems()).toEqual([])
  })

  test('leaves out what is paused', async () => {
    await track(2)
    await db.query(`select hubspot.pause('object_1')`)
    expect(new Set((await forecast(db)).map(({ object }) => object))).toEqual(new Set(['object_2']))
    await db.query(`select hubspot.resume('object_1')`)
    expect(new Set((await forecast(db)).map(({ object }) => object))).toEqual(new Set(['object_1', 'object_2']))
  })
})

describe('streams that do not fit', () => {
  const nextPoll = async ({ db }: World, object: string) =>
    (await db.query<{ seconds: number }>(
      `select extract(epoch from next_run_at - hubspot_private.clock())::float8 as seconds from hubspot.status where object = $1`, [object]))[0]!.seconds

  test('run as often as the forecast says, and as scheduled again once there is room', async () => {
    await using world = await startWorld('forecast')
    const { db, store } = world
    store.seed('contacts', 5)
    store.seed('deals', 5)
    await world.load('contacts', ['email'])
    await world.load('deals', ['dealname'])
    await world.pass(60_000, 10_000)
    await db.query(`select hubspot.set_quota('daily', 6000)`)
    await db.query('select hubspot_private.sweep()')
    const [line] = await forecast(db, `object = 'deals' and stream = 'poll'`)
    expect(line).toMatchObject({ limited_by: 'daily' })
    expect(line!.seconds).toBeGreaterThan(30)
    // Those on their way come at their old time once.
    await world.pass(20_000, 5_000)
    const polls = async () => Number((await db.query<{ n: string }>(`select count(*) as n from hubspot.runs where object = 'deals' and stream = 'poll' and state = 'done'`))[0]!.n)
    const before = await polls()
    await world.pass(10 * line!.seconds * 1_000, 5_000)
    expect((await polls()) - before).toBeLessThanOrEqual(11)
    expect((await polls()) - before).toBeGreaterThanOrEqual(8)
    expect(await nextPoll(world, 'deals')).toBeGreaterThan(-5)
    // Nothing but the budget changes: it stays as it is.
    const steady = await forecast(db)
    for (let sweeps = 0; sweeps < 5; sweeps += 1) await db.query('select hubspot_private.sweep()')
    expect(await forecast(db)).toEqual(steady)
    await db.query(`select hubspot.set_quota('daily', 100000000)`)
    await db.query('select hubspot_private.sweep()')
    for (const object of ['contacts', 'deals']) expect(await nextPoll(world, object)).toBeLessThanOrEqual(12.5)
  })

  test('poll a busy object more often than a quiet one, and alike again an hour later', async () => {
    await using world = await startWorld('forecast')
    const { db, store } = world
    store.seed('contacts', 3)
    const [{ id } = { id: 0 }] = [...store.records('contacts')]
    store.seed('deals', 3)
    await world.load('contacts', ['email'])
    await world.load('deals', ['dealname'])
    await world.pass(2 * 3_600_000, 600_000)
    await db.query(`select hubspot.set_quota('daily', 3000)`)
    const polls = async () => Object.fromEntries((await forecast(db, `stream = 'poll'`)).map(({ object, seconds }) => [object, seconds]))
    const quiet = await polls()
    expect(quiet['contacts']).toBe(quiet['deals'])
    store.edit('contacts', id, { email: 'ada@example.com' })
    await world.pass(60_000, 10_000)
    const busy = await polls()
    expect(busy['contacts']).toBeLessThan(busy['deals']! * 0.9)
    await db.query('select hubspot_private.sweep()')
    await world.pass(2 * 3_600_000, 60_000)
    const later = await polls()
    expect(later['contacts']).toBe(later['deals'])
    expect(await world.differences('contacts')).toEqual([])
  })

  test('that had their turn late begin from there, so that they do not meet each time', async () => {
    await using world = await startWorld('forecast')
    const { db, store } = world
    store.seed('contacts', 1)
    await world.load('contacts', ['email'])
    await db.query(`select hubspot.schedule('contacts', 'poll', every => '30 seconds'), hubspot.set_quota('search', 1)`)
    await world.pass(120_000, 10_000)
    await db.query(`update hubspot_private.budgets set free_at = hubspot_private.clock() + interval '4 seconds' where name = 'search'`)
    await db.query(`select hubspot.sync('contacts')`)
    const [{ at: asked } = { at: 0 }] = await db.query<{ at: number }>(`select extract(epoch from hubspot_private.clock())::float8 as at`)
    await world.drain()
    const [run] = await db.query<{ started: number; next: number }>(
      `select extract(epoch from r.started_at)::float8 as started, extract(epoch from s.next_at)::float8 as next
       from hubspot_private.runs r join hubspot_private.streams s using (object, stream)
       where r.object = 'contacts' and r.stream = 'poll' and r.state = 'done' order by r.id desc limit 1`)
    expect(run!.started - asked).toBeGreaterThan(3)
    expect(run!.next - run!.started).toBeCloseTo(30, 1)
  })

  test('of an object that HubSpot does not search rest ten times as long as its list takes', async () => {
    const db = await freshDatabase('forecast')
    await db.query(`select hubspot.track('things')`)
    await db.query(`update hubspot_private.objects set has_search = false where name = 'things'`)
    await db.query(`insert into hubspot_private.runs (object, stream, state, requested_at, started_at, finished_at, requests)
      select 'things', 'poll', 'done', t, t, t + interval '30 seconds', 50 from (select hubspot_private.clock() - interval '1 minute' as t) c`)
    expect(await forecast(db, `stream in ('poll', 'settle')`)).toMatchObject([{ stream: 'poll', every: '00:00:10', stretched_every: '00:05:00', requests_per_day: 14_400, limited_by: null }])
    await db[Symbol.asyncDispose]()
  })
})
