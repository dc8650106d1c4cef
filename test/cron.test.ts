import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type FreshDatabase, freshDatabase } from './support/cluster.ts'

let db: FreshDatabase
beforeAll(async () => {
  db = await freshDatabase('cron')
})
afterAll(async () => {
  await db[Symbol.asyncDispose]()
})

const next = async (cron: string | null, zone: string | null, after: string) =>
  (
    await db.query<{ at: string }>(
      `select to_char(hubspot_private.cron_next($1, $2, $3) at time zone 'UTC', 'YYYY-MM-DD HH24:MI') as at`,
      [cron, zone, after],
    )
  )[0]?.at

describe('cron_next', () => {
  // 23 November 2026 is a Monday.
  it.each([
    ['* * * * *', 'UTC', '2026-11-23 12:00Z', '2026-11-23 12:01'],
    ['*/15 * * * *', 'UTC', '2026-11-23 12:00Z', '2026-11-23 12:15'],
    ['5/20 * * * *', 'UTC', '2026-11-23 12:46Z', '2026-11-23 13:05'],
    ['0 3 * * sun', 'Europe/Berlin', '2026-11-23 12:00Z', '2026-11-29 02:00'],
    ['0 3 * * 7', 'UTC', '2026-11-23 12:00Z', '2026-11-29 03:00'],
    ['0 9-17/4 * * mon-fri', 'UTC', '2026-11-23 17:00Z', '2026-11-24 09:00'],
    ['30 6 1,15 JAN *', 'UTC', '2026-11-23 12:00Z', '2027-01-01 06:30'],
    ['0 0 13 * fri', 'UTC', '2026-11-23 12:00Z', '2026-11-27 00:00'],
    ['0 0 */10 * *', 'UTC', '2026-11-23 12:00Z', '2026-12-01 00:00'],
    ['0 0 29 2 *', 'UTC', '2026-11-23 12:00Z', '2028-02-29 00:00'],
    ['@daily', 'America/New_York', '2026-11-23 12:00Z', '2026-11-24 05:00'],
    ['  0   0  *  *  *  ', 'UTC', '2026-11-23 00:00Z', '2026-11-24 00:00'],
  ])('%s in %s after %s is %s', async (cron, zone, after, at) => {
    expect(await next(cron, zone, after)).toBe(at)
  })

  it('runs behind the gap when a local time does not exist', async () => {
    expect(await next('30 2 * * *', 'Europe/Berlin', '2026-03-28 12:00Z')).toBe('2026-03-29 01:30')
    expect(await next('30 2 * * *', 'Europe/Berlin', '2026-03-29 01:30Z')).toBe('2026-03-30 00:30')
  })

  it('runs once when a local time occurs twice', async () => {
    const first = await next('30 2 * * *', 'Europe/Berlin', '2026-10-24 12:00Z')
    expect(first).toBe('2026-10-25 01:30')
    expect(await next('30 2 * * *', 'Europe/Berlin', `${first}Z`)).toBe('2026-10-26 01:30')
  })

  it.each([
    ['', 'UTC'], ['every day', 'UTC'], ['* * * *', 'UTC'], ['* * * * * *', 'UTC'], ['60 * * * *', 'UTC'], ['* 24 * * *', 'UTC'],
    ['5-1 * * * *', 'UTC'], ['*/0 * * * *', 'UTC'], ['* * 0 * *', 'UTC'], ['* * * foo *', 'UTC'], ['1,,2 * * * *', 'UTC'],
    ['0 0 30 2 *', 'UTC'], [null, 'UTC'], ['* * * * *', 'Mars/Olympus'], ['* * * * *', null], ['* * * * *', ''],
  ])('%s in %s is refused with a hint', async (cron, zone) => {
    await expect(next(cron, zone, '2026-11-23 12:00Z')).rejects.toMatchObject({ code: 'SH104', hint: expect.stringMatching(/.{10}/) as string })
  })
})
