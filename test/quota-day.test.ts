import fc from 'fast-check'
import type pg from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type Budgets, openBudgets } from './support/quota.ts'

let budgets: Budgets
let client: pg.PoolClient
let { reset, advance, take, budget }: Omit<Budgets, 'db' | 'client'> = {} as Budgets
beforeAll(async () => {
  budgets = await openBudgets();
  ({ client, reset, advance, take, budget } = budgets)
})
afterAll(() => budgets[Symbol.asyncDispose]())
beforeEach(() => reset())

describe('the daily budget', () => {
  const zones = ['UTC', 'America/New_York', 'Europe/Berlin', 'Australia/Lord_Howe', 'Asia/Kathmandu', 'America/Santiago', 'Antarctica/Troll'] as const

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
        await reset(new Date(start).toISOString())
        await client.query(`update hubspot_private.account set time_zone = $1, hubspot_ahead = make_interval(secs => $2::double precision / 1000)`, [zone, ahead])
        await client.query(`select hubspot.set_quota('daily', $1)`, [limit])
        for (let i = 0; i < limit; i += 1) expect((await take(i % 2 === 0 ? 'burst' : 'search')).is_granted).toBe(true)
        const refused = await take('burst')
        expect(refused.is_granted).toBe(false)
        expect(await budget('daily')).toMatchObject({ used: String(limit), remaining: '0' })
        // HubSpot's midnight, by our clock.
        const midnight = nextMidnight(start + ahead, zone) - ahead
        expect(refused.asked_ms).toBe(midnight)
        await reset(new Date(midnight - 2_000).toISOString())
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

  test('ends with a day of 22 to 26 hours', async () => {
    await client.query(`update hubspot_private.account set time_zone = 'Antarctica/Troll'`)
    for (const [day, hours] of [['2026-03-29', 22], ['2026-07-14', 24], ['2026-10-25', 26]] as const) {
      const { rows } = await client.query<{ hours: number }>(
        `select extract(epoch from hubspot_private.account_tomorrow(d.at) - d.at)::integer / 3600 as hours
         from (select $1::timestamp at time zone 'Antarctica/Troll' as at) d`, [day])
      expect(rows).toEqual([{ hours }])
    }
    await client.query(`update hubspot_private.account set time_zone = 'UTC'`)
  })

  test('takes nothing from the other budget when it refuses', async () => {
    await client.query(`select hubspot.set_quota('daily', 1)`)
    await take('burst')
    const before = (await budget('burst')).used
    expect((await take('burst')).is_granted).toBe(false)
    expect((await budget('burst')).used).toBe(before)
  })

  test('learns what other apps used from headers of the same day, never backwards', async () => {
    await reset('2026-05-05T12:00:00Z')
    await take('burst', { daily_max: 1_000, daily_remaining: 400, date: '2026-05-05T12:00:00Z' })
    expect(await budget('daily')).toMatchObject({ used: '601', remaining: '399' })
    // Answers overtake each other, and one that left before midnight says nothing of today.
    await take('burst', { daily_max: 1_000, daily_remaining: 500, date: '2026-05-05T12:00:00Z' })
    await take('burst', { daily_max: 1_000, daily_remaining: 3, date: '2026-05-04T23:59:59Z' })
    expect(await budget('daily')).toMatchObject({ used: '603' })
  })

  test('that HubSpot calls spent is spent until midnight, as far as one request every 15 minutes shows', async () => {
    await reset('2026-05-05T12:00:00Z')
    const throttled = () => client.query(`select hubspot_private.quota_throttled('daily', answered_at => hubspot_private.clock())`)
    const asked = async () => new Date((await take('search')).asked_ms).toISOString()
    await throttled()
    expect(await take('burst')).toMatchObject({ is_granted: false, refused_by: 'daily' })
    expect(await asked()).toMatch(/^2026-05-05T12:15:00/)
    expect(await budget('daily')).toMatchObject({ used: '250000', remaining: '0' })
    for (let quarters = 0; quarters < 3; quarters += 1) {
      await advance(15 * 60_000)
      expect((await take('burst')).is_granted).toBe(true)
      // The others wait for what that is answered.
      expect(await take('search')).toMatchObject({ is_granted: false, refused_by: 'daily' })
      await throttled()
      expect((await take('burst')).is_granted).toBe(false)
    }
    await reset('2026-05-05T23:50:00Z')
    await throttled()
    expect(await asked()).toBe('2026-05-06T00:00:00.000Z')
    await advance(10 * 60_000)
    for (let i = 0; i < 3; i += 1) expect((await take('burst')).is_granted).toBe(true)
    expect(await budget('daily')).toMatchObject({ used: '3' })
  })

  test('that HubSpot calls spent, and is not: after one request it goes on', async () => {
    await reset('2026-05-05T12:00:00Z')
    for (let i = 0; i < 5; i += 1) await take('burst')
    await client.query(`select hubspot_private.quota_throttled('daily')`)
    await advance(15 * 60_000)
    expect((await take('burst')).is_granted).toBe(true)
    await advance(10_001)
    for (let i = 0; i < 3; i += 1) expect((await take('burst')).is_granted).toBe(true)
    expect(await budget('daily')).toMatchObject({ used: '9', remaining: '249991' })
  })

  test('that HubSpot called spent yesterday, in an answer that is heard today, is not', async () => {
    await reset('2026-05-06T00:00:01Z')
    await client.query(`select hubspot_private.quota_throttled('daily', answered_at => '2026-05-05T23:59:59Z')`)
    expect((await take('burst')).is_granted).toBe(true)
    expect(await budget('daily')).toMatchObject({ used: '1', throttled_count: '1' })
  })

  test('that HubSpot calls spent is asked again when someone says that it is not, or sets another limit', async () => {
    for (const verb of ['resume()', `set_quota('daily', 100)`]) {
      await reset('2026-05-05T12:00:00Z')
      await client.query(`select hubspot_private.quota_throttled('daily')`)
      expect((await take('burst')).is_granted).toBe(false)
      await client.query(`select hubspot.${verb}`)
      expect((await take('burst')).is_granted, verb).toBe(true)
    }
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
