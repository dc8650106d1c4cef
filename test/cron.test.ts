import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type FreshDatabase, freshDatabase } from './support/cluster.ts'

let db: FreshDatabase
beforeAll(async () => {
  db = await freshDatabase('cron')
})
afterAll(async () => {
  await db[Symbol.asyncDispose]()
})

const iso = (expression: string) => `to_char(${expression} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')`

async function next(cron: string | null, timezone: string | null, after: string | null): Promise<string | undefined> {
  const [row] = await db.query<{ at: string }>(
    `select ${iso('hubspot_private.cron_next($1, $2, $3)')} as at`,
    [cron, timezone, after],
  )
  return row?.at
}

/** The next times, one after another. */
async function following(count: number, cron: string, timezone: string, after: string): Promise<(string | undefined)[]> {
  const times: (string | undefined)[] = []
  for (let at: string | undefined = after; times.length < count; ) times.push((at = await next(cron, timezone, at ?? null)))
  return times
}

describe('the next time', () => {
  // 2026-03-04 was a Wednesday.
  const after = '2026-03-04T10:30:00Z'
  test.each([
    ['* * * * *', '2026-03-04T10:31:00Z'],
    ['30 10 * * *', '2026-03-05T10:30:00Z'],
    ['31 10 * * *', '2026-03-04T10:31:00Z'],
    ['*/20 * * * *', '2026-03-04T10:40:00Z'],
    ['5/20 * * * *', '2026-03-04T10:45:00Z'],
    ['0-10/5,50 11 * * *', '2026-03-04T11:00:00Z'],
    ['0 3 * * sun', '2026-03-08T03:00:00Z'],
    ['0 3 * * 7', '2026-03-08T03:00:00Z'],
    ['0 3 * * 0', '2026-03-08T03:00:00Z'],
    ['0 3 * * Fri-Sun', '2026-03-06T03:00:00Z'],
    ['0 3 * * mon,thu', '2026-03-05T03:00:00Z'],
    ['0 0 1 jan *', '2027-01-01T00:00:00Z'],
    ['0 0 31 * *', '2026-03-31T00:00:00Z'],
    ['0 0 31 apr-dec *', '2026-05-31T00:00:00Z'],
    ['0 0 29 2 *', '2028-02-29T00:00:00Z'],
    ['0 0 15 * mon', '2026-03-09T00:00:00Z'],
    ['0 0 6 * mon', '2026-03-06T00:00:00Z'],
    ['0 0 */10 * mon', '2026-05-11T00:00:00Z'],
    ['0 0 13 * */5', '2026-03-13T00:00:00Z'],
    ['0 0 29 feb */7', '2032-02-29T00:00:00Z'],
    ['@hourly', '2026-03-04T11:00:00Z'],
    ['@daily', '2026-03-05T00:00:00Z'],
    ['@weekly', '2026-03-08T00:00:00Z'],
    ['@monthly', '2026-04-01T00:00:00Z'],
    [' 0\t4  * * * ', '2026-03-05T04:00:00Z'],
  ])('of %s', async (cron, expected) => {
    expect(await next(cron, 'UTC', after)).toBe(expected)
  })

  test('is later than the time given, to the microsecond', async () => {
    expect(await next('* * * * *', 'UTC', '2026-03-04T10:30:59.999999Z')).toBe('2026-03-04T10:31:00Z')
    expect(await next('30 10 * * *', 'UTC', '2026-03-04T10:29:59.999999Z')).toBe('2026-03-04T10:30:00Z')
  })

  test('is meant in the time zone, whatever the session\'s', async () => {
    expect(await next('0 3 * * *', 'Asia/Kolkata', after)).toBe('2026-03-04T21:30:00Z')
    expect(await next('0 3 * * thu', 'Pacific/Auckland', after)).toBe('2026-03-04T14:00:00Z')
    const [row] = await db.query<{ at: string }>(
      `select ${iso(`hubspot_private.cron_next('0 3 * * *', 'europe/berlin', '2026-03-04T10:30:00Z')`)} as at
       from set_config('timezone', 'Asia/Tokyo', true)`,
    )
    expect(row?.at).toBe('2026-03-05T02:00:00Z')
  })
})

describe('a change of clocks', () => {
  // Berlin: 2026-03-29 from 02:00 to 03:00, at 01:00 UTC; 2026-10-25 from 03:00 back to 02:00, at 01:00 UTC.
  test('runs what it skips once, at the end of the gap', async () => {
    expect(await following(3, '30 2 * * *', 'Europe/Berlin', '2026-03-28T12:00:00Z')).toEqual([
      '2026-03-29T01:00:00Z', '2026-03-30T00:30:00Z', '2026-03-31T00:30:00Z',
    ])
    expect(await following(4, '*/30 1-3 * * *', 'Europe/Berlin', '2026-03-29T00:15:00Z')).toEqual([
      '2026-03-29T00:30:00Z', '2026-03-29T01:00:00Z', '2026-03-29T01:30:00Z', '2026-03-29T23:00:00Z',
    ])
  })

  test('runs once what comes twice, the first time', async () => {
    expect(await following(2, '30 2 * * *', 'Europe/Berlin', '2026-10-24T12:00:00Z')).toEqual([
      '2026-10-25T00:30:00Z', '2026-10-26T01:30:00Z',
    ])
    expect(await next('30 2 * * *', 'Europe/Berlin', '2026-10-25T01:15:00Z')).toBe('2026-10-26T01:30:00Z')
  })

  test('holds up nothing that runs around the clock', async () => {
    expect(await following(4, '0 * * * *', 'Europe/Berlin', '2026-10-24T23:30:00Z')).toEqual([
      '2026-10-25T00:00:00Z', '2026-10-25T01:00:00Z', '2026-10-25T02:00:00Z', '2026-10-25T03:00:00Z',
    ])
    expect(await following(5, '*/30 * * * *', 'Europe/Berlin', '2026-10-25T00:15:00Z')).toEqual([
      '2026-10-25T00:30:00Z', '2026-10-25T01:00:00Z', '2026-10-25T01:30:00Z', '2026-10-25T02:00:00Z', '2026-10-25T02:30:00Z',
    ])
    expect(await following(3, '*/20 * * * *', 'Australia/Lord_Howe', '2026-04-04T14:25:00Z')).toEqual([
      '2026-04-04T14:40:00Z', '2026-04-04T15:10:00Z', '2026-04-04T15:30:00Z',
    ])
    // On other days, and by other hours, as ever.
    expect(await next('0 * * * mon', 'Europe/Berlin', '2026-10-25T00:15:00Z')).toBe('2026-10-25T23:00:00Z')
    expect(await following(2, '0 */3 * * *', 'Europe/Berlin', '2026-10-25T00:15:00Z')).toEqual(['2026-10-25T02:00:00Z', '2026-10-25T05:00:00Z'])
  })

  test('may be half an hour, at midnight, or a whole day', async () => {
    // Lord Howe Island goes from 02:00 to 02:30 on 2026-10-04, at 15:30 UTC the day before.
    expect(await next('15 2 * * *', 'Australia/Lord_Howe', '2026-10-03T00:00:00Z')).toBe('2026-10-03T15:30:00Z')
    // and from 02:00 back to 01:30 on 2026-04-05, first at 14:45 UTC.
    expect(await following(2, '45 1 * * *', 'Australia/Lord_Howe', '2026-04-04T00:00:00Z')).toEqual([
      '2026-04-04T14:45:00Z', '2026-04-05T15:15:00Z',
    ])
    // Beirut's 2026-03-29 begins at 01:00.
    expect(await next('0 0 29 3 *', 'Asia/Beirut', '2026-03-01T00:00:00Z')).toBe('2026-03-28T22:00:00Z')
    // Samoa had no 2011-12-30.
    expect(await following(2, '0 12 * * *', 'Pacific/Apia', '2011-12-29T12:00:00Z')).toEqual([
      '2011-12-29T22:00:00Z', '2011-12-30T10:00:00Z',
    ])
  })
})

describe('a mistake', () => {
  test.each([
    ['60 * * * *', 'UTC', '\'60\' is no minute'],
    ['* 24 * * *', 'UTC', '\'24\' is no hour'],
    ['* * 0 * *', 'UTC', '\'0\' is no day of a month'],
    ['* * * 13 *', 'UTC', '\'13\' is no month'],
    ['* * * * 8', 'UTC', '\'8\' is no weekday'],
    ['* * * foo *', 'UTC', '\'foo\' is no month'],
    ['* * * mon *', 'UTC', '\'mon\' is no month'],
    ['*/0 * * * *', 'UTC', '\'*/0\' is no minute'],
    ['5-1 * * * *', 'UTC', '\'5-1\' is no minute'],
    ['1,,2 * * * *', 'UTC', '\'\' is no minute'],
    ['-1 * * * *', 'UTC', '\'-1\' is no minute'],
    ['1e1 * * * *', 'UTC', '\'1e1\' is no minute'],
    ['* * * *', 'UTC', 'no cron expression'],
    ['* * * * * *', 'UTC', 'no cron expression'],
    ['', 'UTC', 'no cron expression'],
    ['@never', 'UTC', 'no cron expression'],
    [null, 'UTC', 'no cron expression'],
    ['0 0 30 2 *', 'UTC', 'never matches'],
    ['0 0 31 feb,apr,jun,sep,nov *', 'UTC', 'never matches'],
    ['0 0 30 2 */2', 'Europe/Berlin', 'never matches'],
    ['* * * * *', 'Europe/Berln', 'no time zone Europe/Berln'],
    ['* * * * *', 'Berlin7', 'no time zone Berlin7'],
    ['* * * * *', 'UTC+3', 'no time zone UTC+3'],
    ['* * * * *', '', 'no time zone'],
    ['* * * * *', null, 'needs a time zone'],
  ])('in %s, %s is told', async (cron, timezone, message) => {
    await expect(next(cron, timezone, '2026-03-04T10:30:00Z')).rejects.toMatchObject({
      code: 'SH104',
      message: expect.stringContaining(message),
      hint: expect.stringMatching(/./),
    })
  })

  test('in the time is told too', async () => {
    for (const after of ['infinity', '-infinity', null]) {
      await expect(next('* * * * *', 'UTC', after)).rejects.toMatchObject({ code: 'SH104' })
    }
  })
})

test('time zones of every other form are known', async () => {
  for (const zone of ['UTC', 'gmt', 'Etc/GMT+3', 'GMT0', 'EST5EDT', 'America/Argentina/Buenos_Aires', 'CET']) {
    expect(await next('* * * * *', zone, '2026-03-04T10:30:00Z'), zone).toBe('2026-03-04T10:31:00Z')
  }
})

test('it agrees with looking at every minute', async () => {
  const some = (low: number, high: number) =>
    fc.oneof(
      { weight: 2, arbitrary: fc.constant('*') },
      fc.integer({ min: low, max: high }).map(String),
      fc.tuple(fc.integer({ min: low, max: high }), fc.integer({ min: low, max: high })).map(([a, b]) => `${Math.min(a, b)}-${Math.max(a, b)}`),
      fc.uniqueArray(fc.integer({ min: low, max: high }), { minLength: 1, maxLength: 3 }).map((list) => list.join(',')),
      fc.integer({ min: 1, max: 15 }).map((step) => `*/${step}`),
    )
  const values = (field: string, low: number, high: number) =>
    field.split(',').flatMap((part) => {
      const [range = '', step = '1'] = part.split('/')
      const [from = low, to = range === '*' ? high : Number(range)] = range === '*' ? [] : range.split('-').map(Number)
      return Array.from({ length: high - low + 1 }, (_, i) => low + i).filter((n) => n >= from && n <= to && (n - from) % Number(step) === 0)
    })
  const day = 86_400_000
  await fc.assert(
    fc.asyncProperty(
      fc.tuple(some(0, 59), some(0, 23), some(1, 31), fc.constant('*'), some(0, 6)),
      fc.date({ min: new Date('2020-01-01'), max: new Date('2040-01-01'), noInvalidDate: true }),
      async (fields, after) => {
        const [minutes, hours, days, , weekdays] = [
          values(fields[0], 0, 59), values(fields[1], 0, 23), values(fields[2], 1, 31), [], values(fields[4], 0, 6),
        ] as const
        const matches = (at: Date) => {
          const inMonth = days.includes(at.getUTCDate())
          const inWeek = weekdays.includes(at.getUTCDay())
          return fields[2].startsWith('*') || fields[4].startsWith('*') ? inMonth && inWeek : inMonth || inWeek
        }
        let at = Math.floor(after.getTime() / 60_000) * 60_000 + 60_000
        while (!matches(new Date(at)) || !hours.includes(new Date(at).getUTCHours()) || !minutes.includes(new Date(at).getUTCMinutes())) {
          at = matches(new Date(at)) ? at + 60_000 : Math.floor(at / day) * day + day
        }
        expect(await next(fields.join(' '), 'UTC', after.toISOString())).toBe(new Date(at).toISOString().replace('.000', ''))
      },
    ),
  )
})

test('how often it comes is known, within a tenth of what is counted', async () => {
  for (const cron of ['* * * * *', '*/5 9-17 * * mon-fri', '0 3 * * sun', '@daily', '0 0 1 * *', '0 12 1,15 * fri', '30 4 * 1-6 *', '0,30 */6 */2 * *']) {
    const [row] = await db.query<{ every: number; counted: number }>(
      `with recursive times as (
         select hubspot_private.cron_next($1, 'UTC', '2026-01-01') as at, 1 as n
         union all
         select hubspot_private.cron_next($1, 'UTC', t.at), t.n + 1 from times t where t.n < 400 and t.at < '2028-01-01'
       )
       select extract(epoch from hubspot_private.cron_every($1))::float8 as every,
         extract(epoch from max(at) - min(at))::float8 / greatest(max(n) - 1, 1) as counted from times`, [cron])
    expect(row!.every / row!.counted, cron).toBeGreaterThan(0.9)
    expect(row!.every / row!.counted, cron).toBeLessThan(1.1)
  }
})
