import { expect, test } from 'vitest'
import { freshDatabase } from './support/cluster.ts'

const told = { first_byte_ms: 12, burst_max: 190, daily_max: 650_000, daily_remaining: 600_000 }

test('permits of two budgets that learn limits at the same time never deadlock', async () => {
  await using db = await freshDatabase('permits')
  // All are granted: none reaches further ahead than a class may.
  await db.query("select hubspot.set_quota('search', 1000)")
  const take = (i: number) =>
    db.query('select * from hubspot_private.quota_take(kind => $1, seen => $2)', [
      i % 3 === 0 ? 'burst' : 'search',
      i % 2 === 0 ? null : JSON.stringify({ ...told, burst_max: 100 + i, daily_max: 250_000 + i, first_byte_ms: i }),
    ])
  for (let round = 0; round < 40; round += 1) await Promise.all(Array.from({ length: 5 }, (_, i) => take(round * 5 + i)))
  const [burst] = await db.query<{ used: string }>("select used from hubspot.quota where budget = 'daily'")
  expect(Number(burst!.used)).toBeGreaterThan(199)
})

test('a clock that is set back stretches no spacing', async () => {
  await using db = await freshDatabase('permits')
  await db.query("select hubspot_private.quota_throttled(budget => 'burst')")
  await db.query("update hubspot_private.installation set clock_shift = '-40 days'")
  await db.query('select * from hubspot_private.quota_take(kind => $1)', ['burst'])
  const [{ spacing }] = (await db.query<{ spacing: number }>(
    "select extract(epoch from hubspot_private.quota_spacing(b, hubspot_private.clock()))::float8 as spacing from hubspot_private.budgets b where name = 'burst'",
  )) as [{ spacing: number }]
  expect(spacing).toBeLessThan(0.5)
})

test.for(['-8 months', '8 months'])('the day that HubSpot spent ends at its own midnight when its clock is %s off', async (ahead) => {
  await using db = await freshDatabase('permits')
  const granted = async () => (await db.query<{ is_granted: boolean }>("select is_granted from hubspot_private.quota_take('burst')"))[0]!.is_granted
  await db.query('update hubspot_private.account set hubspot_ahead = $1', [ahead])
  expect(await granted()).toBe(true)
  await db.query("select hubspot_private.quota_throttled(budget => 'daily')")
  expect(await granted()).toBe(false)
  await db.query("update hubspot_private.installation set clock_shift = '24 hours'")
  expect(await granted()).toBe(true)
})
