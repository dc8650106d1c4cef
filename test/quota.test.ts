import fc from 'fast-check'
import type pg from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { freshDatabase, type FreshDatabase } from './support/cluster.ts'

let db: FreshDatabase
// One connection for what runs in the server: temporary functions are a session's own.
let client: pg.PoolClient
beforeAll(async () => {
  db = await freshDatabase('quota')
  client = await db.pool.connect()
  await client.query(`
    create function pg_temp.play(kind text, gaps double precision[]) returns table (asked_us bigint)
    language plpgsql as $$
    declare
      gap double precision;
    begin
      foreach gap in array gaps loop
        update hubspot_private.installation set clock_shift = clock_shift + make_interval(secs => gap / 1000);
        return query select (extract(epoch from t.asked_at) * 1000000)::bigint from hubspot_private.quota_take(play.kind) t;
      end loop;
    end $$`)
})
afterAll(async () => {
  client.release()
  await db[Symbol.asyncDispose]()
})
beforeEach(() => reset())

type Kind = 'burst' | 'search'
type Permit = { is_granted: boolean; delay_ms: number; asked_ms: number }

/** Budgets as after the installation, save what is given; time as it is. */
async function reset({ at }: { at?: string } = {}) {
  await client.query(`update hubspot_private.installation set clock_shift = coalesce($1::timestamptz - clock_timestamp(), '0')`, [at ?? null])
  await client.query(`update hubspot_private.account set time_zone = 'UTC', hubspot_ahead = '0'`)
  await client.query(`
    update hubspot_private.budgets set
      max_requests = case name when 'burst' then 100 when 'search' then 5 else 250000 end, learned_max = null, chosen_max = null,
      share = 1, free_at = hubspot_private.clock(), delay_low_ms = null, delay_high_ms = null, delay_seen_at = null, slow_factor = 1,
      slow_at = hubspot_private.clock(), used = 0, used_since = hubspot_private.account_day(hubspot_private.clock()), throttled_count = 0,
      postmaster_at = pg_postmaster_start_time()`)
}

const advance = (ms: number) =>
  client.query('update hubspot_private.installation set clock_shift = clock_shift + make_interval(secs => $1::double precision / 1000)', [ms])
const take = async (kind: Kind, seen?: object): Promise<Permit> =>
  (
    await client.query<Permit>(
      `select is_granted, delay_ms, (extract(epoch from asked_at) * 1000)::double precision as asked_ms
       from hubspot_private.quota_take($1, $2)`,
      [kind, seen ?? null],
    )
  ).rows[0]!
const play = async (kind: Kind, gaps: number[]): Promise<number[]> =>
  (await client.query<{ asked_us: string }>('select asked_us from pg_temp.play($1, $2)', [kind, gaps])).rows.map(({ asked_us }) => Number(asked_us) / 1000)
const budget = async (name: string) => (await client.query(`select * from hubspot.quota where budget = $1`, [name])).rows[0] as
  { max_requests: number; used: string; remaining: string; spread_ms: string | null; throttled_count: string }
/** Ms between this take and the next, both as early as they can be. */
const spacing = async (kind: Kind) => {
  const [first = 0, second = 0] = await play(kind, [0, 0])
  return second - first
}

describe('a rolling budget', () => {
  const sequence = fc.record({
    kind: fc.constantFrom<Kind>('burst', 'search'),
    limit: fc.integer({ min: 1, max: 12 }),
    // What was seen of delays, and where within it each request falls.
    spread: fc.integer({ min: 0, max: 280 }),
    requests: fc.array(
      fc.record({
        gap: fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.integer({ min: 0, max: 20_000 }) }),
        way: fc.double({ min: 0, max: 1, noNaN: true }),
      }),
      { minLength: 1, maxLength: 50 },
    ),
  })

  const neverOver = () =>
    fc.assert(
      fc.asyncProperty(sequence, async ({ kind, limit, spread, requests }) => {
        await reset()
        await client.query('select hubspot.set_quota($1, $2)', [kind, limit])
        for (const ms of [40, 40 + spread]) await client.query('select hubspot_private.quota_observe($1, $2)', [kind, { first_byte_ms: ms }])
        const window = kind === 'burst' ? 10_000 : 1_000
        const sends = await play(kind, requests.map(({ gap }) => gap))
        // Half a millisecond short of J, since times are rounded to microseconds.
        const arrivals = sends.map((at, i) => at + 40 + requests[i]!.way * (spread + 19.5)).sort((a, b) => a - b)
        for (let i = limit; i < arrivals.length; i += 1) {
          expect(arrivals[i]! - arrivals[i - limit]!).toBeGreaterThanOrEqual(window)
        }
      }),
      { numRuns: 80 },
    )

  test('is never over in any window, however requests come and are delayed within what was seen', neverOver)

  test('would be over without its margin: the property above notices', async () => {
    await client.query('begin')
    await client.query(`create or replace function hubspot_private.quota_spread(b hubspot_private.budgets) returns double precision
      language sql stable as 'select 0::double precision'`)
    await expect(neverOver()).rejects.toThrow('Property failed')
    await client.query('rollback')
  })

  test('gives away all that a margin for the delays leaves, and no sooner than time passes', async () => {
    for (const ms of [50, 130]) await client.query(`select hubspot_private.quota_observe('burst', $1)`, [{ first_byte_ms: ms }])
    const sends = await play('burst', Array.from({ length: 301 }, () => 0))
    // 100 in 10 s and J = 80 + 20 ms for timers: a hundred take 10.1 s.
    expect((sends[300]! - sends[0]!) / 3).toBeCloseTo(10_100, 0)
    const [late] = await play('burst', [60_000])
    const [now] = (await client.query<{ ms: number }>('select extract(epoch from hubspot_private.clock()) * 1000 as ms')).rows
    // What was not used before is not saved up.
    expect(Number(now?.ms) - late!).toBeLessThan(1_000)
  })

  test('is shared by takers at once: no two get the same turn', async () => {
    await client.query(`select hubspot.set_quota('burst', 1000)`)
    const takers = Array.from({ length: 4 }, async () => {
      const turns: number[] = []
      for (let i = 0; i < 40; i += 1) {
        const [permit] = await db.query<{ us: string }>(`select (extract(epoch from asked_at) * 1000000)::bigint as us from hubspot_private.quota_take('burst')`)
        turns.push(Number(permit!.us))
      }
      return turns
    })
    const turns = (await Promise.all(takers)).flat().sort((a, b) => a - b)
    expect(turns).toHaveLength(160)
    for (const [i, at] of turns.entries()) if (i > 0) expect(at - turns[i - 1]!).toBeGreaterThanOrEqual(10_099)
  })

  test('counts as full for a window after the server was restarted', async () => {
    await take('burst')
    await advance(60_000)
    await client.query(`update hubspot_private.budgets set postmaster_at = postmaster_at - interval '1 second'`)
    expect((await take('burst')).delay_ms).toBeGreaterThanOrEqual(10_000)
    // The others go on after it, not each after a window of its own.
    expect((await take('burst')).delay_ms).toBeLessThan(10_300)
    expect((await take('search')).delay_ms).toBeGreaterThanOrEqual(1_000)
  })

  test('slows when HubSpot refuses, by the policy it named, and recovers', async () => {
    const before = await spacing('search')
    await client.query(`select hubspot_private.quota_throttled('search', 2000)`)
    expect((await take('search')).delay_ms).toBeGreaterThan(1_900)
    expect(await spacing('search')).toBeGreaterThan(before * 1.9)
    expect(await spacing('burst')).toBeCloseTo(101, 0)
    expect(await budget('search')).toMatchObject({ throttled_count: '1' })
    expect(await budget('burst')).toMatchObject({ throttled_count: '0' })
    await advance(4_000)
    const between = await spacing('search')
    expect(between).toBeLessThan(before * 1.5)
    expect(between).toBeGreaterThan(before * 1.1)
    await advance(60_000)
    expect(await spacing('search')).toBeCloseTo(before, 0)
  })

  test('slows further with each refusal, up to sixteenfold', async () => {
    const before = await spacing('burst')
    for (let i = 0; i < 10; i += 1) await client.query(`select hubspot_private.quota_throttled('burst')`)
    await advance(1)
    const slowest = await spacing('burst')
    expect(slowest).toBeGreaterThan(before * 15)
    expect(slowest).toBeLessThanOrEqual(before * 16.01)
  })

  test('learns how much delays differ at once, and forgets by a tenth a minute; what one has not seen yet it takes from the other', async () => {
    expect(Number((await budget('burst')).spread_ms)).toBe(100)
    for (const ms of [100, 180]) await take('burst', { first_byte_ms: ms })
    expect(Number((await budget('burst')).spread_ms)).toBe(100)
    await take('burst', { first_byte_ms: 260 })
    expect(Number((await budget('burst')).spread_ms)).toBe(180)
    expect(Number((await budget('search')).spread_ms)).toBe(180)
    await advance(60_000)
    await take('burst', { first_byte_ms: 180 })
    expect(Number((await budget('burst')).spread_ms)).toBeCloseTo(164, 0)
    // Beyond 300 only refusals count.
    await take('burst', { first_byte_ms: 9_000 })
    expect(Number((await budget('burst')).spread_ms)).toBe(300)
  })
})

describe('limits', () => {
  test('are learned from headers', async () => {
    await take('burst', { burst_max: 190, daily_max: 650_000 })
    expect(await budget('burst')).toMatchObject({ max_requests: 190 })
    expect(await budget('daily')).toMatchObject({ max_requests: 650_000 })
    expect(await spacing('burst')).toBeCloseTo(10_100 / 190, 1)
    // An answer to a search names none; nonsense is no limit.
    await take('search', { first_byte_ms: 120 })
    await take('burst', { burst_max: 0, daily_max: -5 })
    expect(await budget('burst')).toMatchObject({ max_requests: 190 })
    expect(await budget('daily')).toMatchObject({ max_requests: 650_000 })
    expect(await budget('search')).toMatchObject({ max_requests: 5 })
  })

  test('that someone chose win, until they are given back', async () => {
    await client.query(`select hubspot.set_quota('burst', 50)`)
    await take('burst', { burst_max: 190 })
    expect(await budget('burst')).toMatchObject({ max_requests: 50 })
    expect(await spacing('burst')).toBeCloseTo(202, 0)
    await client.query(`select hubspot.set_quota('burst', null)`)
    expect(await budget('burst')).toMatchObject({ max_requests: 190 })
  })

  test('that cannot be are refused', async () => {
    await expect(client.query(`select hubspot.set_quota('burst', 0)`)).rejects.toMatchObject({ code: 'SH104' })
    await expect(client.query(`select hubspot.set_quota('hourly', 10)`)).rejects.toMatchObject({ code: 'SH111' })
  })
})

describe('the daily budget', () => {
  const zones = ['UTC', 'America/New_York', 'Europe/Berlin', 'Australia/Lord_Howe', 'Asia/Kathmandu', 'America/Santiago'] as const

  test('is counted and spent, and comes back at the midnight of the account, when clocks change too', async () => {
    const days = fc.record({
      zone: fc.constantFrom(...zones),
      // 2026: clocks change on 8 and 29 March, 5 April, 6 September, 4 and 25 October, 1 November.
      day: fc.constantFrom('2026-03-08', '2026-03-28', '2026-03-29', '2026-04-04', '2026-09-05', '2026-10-03', '2026-10-25', '2026-11-01', '2026-07-14'),
      minute: fc.integer({ min: 0, max: 1_439 }),
      limit: fc.integer({ min: 1, max: 4 }),
      ahead: fc.integer({ min: -5_000, max: 5_000 }),
    })
    await fc.assert(
      fc.asyncProperty(days, async ({ zone, day, minute, limit, ahead }) => {
        const start = Date.parse(`${day}T00:00Z`) + minute * 60_000
        await reset({ at: new Date(start).toISOString() })
        await client.query(`update hubspot_private.account set time_zone = $1, hubspot_ahead = make_interval(secs => $2::double precision / 1000)`, [zone, ahead])
        await client.query(`select hubspot.set_quota('daily', $1)`, [limit])
        for (let i = 0; i < limit; i += 1) expect((await take(i % 2 === 0 ? 'burst' : 'search')).is_granted).toBe(true)
        const refused = await take('burst')
        expect(refused.is_granted).toBe(false)
        expect(await budget('daily')).toMatchObject({ used: String(limit), remaining: '0' })
        // HubSpot's midnight, by our clock.
        const midnight = nextMidnight(start + ahead, zone) - ahead
        expect(refused.asked_ms).toBe(midnight)
        await reset({ at: new Date(midnight - 2_000).toISOString() })
        await client.query(`update hubspot_private.account set time_zone = $1, hubspot_ahead = make_interval(secs => $2::double precision / 1000)`, [zone, ahead])
        await client.query(`select hubspot.set_quota('daily', $1)`, [limit])
        for (let i = 0; i < limit; i += 1) await take('burst')
        expect((await take('search')).is_granted).toBe(false)
        await advance(2_001)
        expect((await take('search')).is_granted).toBe(true)
        expect(await budget('daily')).toMatchObject({ used: '1' })
      }),
      { numRuns: 40 },
    )
  })

  test('takes nothing from the other budget when it refuses', async () => {
    await client.query(`select hubspot.set_quota('daily', 1)`)
    await take('burst')
    const before = (await budget('burst')).used
    expect((await take('burst')).is_granted).toBe(false)
    expect((await budget('burst')).used).toBe(before)
  })

  test('learns what other apps used from headers of the same day, never backwards', async () => {
    await reset({ at: '2026-05-05T12:00:00Z' })
    await take('burst', { daily_max: 1_000, daily_remaining: 400, date: '2026-05-05T12:00:00Z' })
    expect(await budget('daily')).toMatchObject({ used: '601', remaining: '399' })
    // Answers overtake each other, and one that left before midnight says nothing of today.
    await take('burst', { daily_max: 1_000, daily_remaining: 500, date: '2026-05-05T12:00:00Z' })
    await take('burst', { daily_max: 1_000, daily_remaining: 3, date: '2026-05-04T23:59:59Z' })
    expect(await budget('daily')).toMatchObject({ used: '603' })
  })

  test('that HubSpot calls spent is spent until midnight', async () => {
    await reset({ at: '2026-05-05T12:00:00Z' })
    await client.query(`select hubspot_private.quota_throttled('daily')`)
    const refused = await take('search')
    expect(refused).toMatchObject({ is_granted: false })
    expect(new Date(refused.asked_ms).toISOString()).toBe('2026-05-06T00:00:00.000Z')
    await advance(12 * 3_600_000)
    expect((await take('search')).is_granted).toBe(true)
  })
})

/** The first moment of the day after, at a place: found by asking the platform's calendar, not Postgres'. */
function nextMidnight(at: number, timeZone: string): number {
  const format = new Intl.DateTimeFormat('en-CA', { timeZone, dateStyle: 'short' })
  const today = format.format(at)
  let [low, high] = [at, at + 26 * 3_600_000]
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2)
    if (format.format(middle) === today) low = middle
    else high = middle
  }
  return high
}
