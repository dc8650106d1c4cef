import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type FreshDatabase, freshDatabase } from './support/cluster.ts'

// The arithmetic of what does not fit, by itself: any streams, any budgets.
let db: FreshDatabase
beforeAll(async () => {
  db = await freshDatabase('stretch')
})
afterAll(() => db[Symbol.asyncDispose]())

type Demand = { object: string; stream: string; budget: 'search' | 'burst'; every: number; calls: number; bend: number; rest: number; most: number; level: 1 }
type Rates = { search: number; burst: number; daily: number }
type Pace = { object: string; stream: string; stretched_every: number; limited_by: string | null }

const solve = async (demands: readonly Demand[], { search, burst, daily }: Rates): Promise<Pace[]> =>
  db.query<Pace>(
    `select s.* from hubspot_private.stretch_solve(
       array(select d from jsonb_populate_recordset(null::hubspot_private.demand, $1) d), $2, $3, $4) s order by s.object`,
    [JSON.stringify(demands), search, burst, daily])

/** As the product has them: polls, settle passes, and what is not searched. */
const kinds = [
  { stream: 'poll', budget: 'search', bend: 1, most: 86_400 }, { stream: 'poll', budget: 'search', bend: 1.15, most: 86_400 },
  { stream: 'settle', budget: 'search', bend: 1.7, most: 86_400 }, { stream: 'archive', budget: 'burst', bend: 1, most: 86_400 },
  { stream: 'resync', budget: 'burst', bend: 1, most: 28 * 86_400 }, { stream: 'schema', budget: 'burst', bend: 0, most: 86_400 },
] as const
const demand = fc.record({
  kind: fc.constantFrom(...kinds), every: fc.constantFrom(1, 5, 10, 60, 120, 3_600, 7 * 86_400, 30 * 86_400), calls: fc.constantFrom(1, 1, 2, 7, 300), rest: fc.constantFrom(0, 0, 0, 40),
})
const demands = fc.array(demand, { maxLength: 60 }).map((list) =>
  list.map(({ kind, ...rest }, i): Demand => ({ ...kind, ...rest, object: String(i).padStart(3, '0'), level: 1 })))
const rates = fc.record({
  search: fc.constantFrom(0.5, 0.9, 4.5), burst: fc.constantFrom(0.5, 3, 10, 20), daily: fc.double({ min: 0.01, max: 12, noNaN: true }),
})

const used = (given: readonly Demand[], paces: readonly Pace[], budget?: string) =>
  given.reduce((sum, { calls, budget: own }, i) => sum + (budget === undefined || own === budget ? calls / paces[i]!.stretched_every : 0), 0)
/** As far as anything is stretched. */
const slowest = ({ bend, every, most, rest }: Demand) => Math.max(rest, bend === 0 ? every : Math.max(every, most))
const atMost = (given: readonly Demand[], budget?: string) =>
  used(given, given.map((one) => ({ object: one.object, stream: one.stream, stretched_every: slowest(one), limited_by: null })), budget)

describe('schedules that do not fit', () => {
  test('fit once they are stretched, unless they do not at their slowest; what fits is left as it is', async () => {
    await fc.assert(fc.asyncProperty(demands, rates, async (given, budgets) => {
      const paces = await solve(given, budgets)
      const limits = [['search', budgets.search], ['burst', budgets.burst], [undefined, budgets.daily]] as const
      for (const [budget, limit] of limits) {
        expect(used(given, paces, budget)).toBeLessThanOrEqual(Math.max(limit, atMost(given, budget)) * 1.001)
      }
      const fits = limits.every(([budget, limit]) =>
        given.reduce((sum, one) => sum + (budget === undefined || one.budget === budget ? one.calls / Math.max(one.every, one.rest) : 0), 0) <= limit)
      for (const [i, one] of given.entries()) {
        const { stretched_every: at, limited_by } = paces[i]!
        expect(at).toBeGreaterThanOrEqual(Math.max(one.every, one.rest) * 0.999_999)
        expect(at).toBeLessThanOrEqual(slowest(one) * 1.000_001)
        if (fits) expect(at).toBeCloseTo(Math.max(one.every, one.rest), 6)
        expect(limited_by === null).toBe(at <= Math.max(one.every, one.rest))
        if (one.bend === 0) expect(limited_by).toBeNull()
      }
    }), { numRuns: 60 })
  })

  test('are stretched no more than they need: the budget that is short is used up', async () => {
    await fc.assert(fc.asyncProperty(demands, rates, async (given, budgets) => {
      const paces = await solve(given, budgets)
      for (const [budget, limit] of [['search', budgets.search], ['burst', budgets.burst], ['daily', budgets.daily]] as const) {
        const short = given.filter((_, i) => paces[i]!.limited_by === budget)
        if (short.every((one, i) => paces[i]!.stretched_every >= slowest(one) * 0.999)) continue
        expect(used(given, paces, budget === 'daily' ? undefined : budget), budget).toBeGreaterThan(limit * 0.98)
      }
    }), { numRuns: 60 })
  })

  test('are stretched evenly: of one kind and one budget alike, the busy less than the quiet, settle the most', async () => {
    await fc.assert(fc.asyncProperty(fc.array(fc.constantFrom(...kinds.slice(0, 3)), { minLength: 2, maxLength: 80 }), rates, async (list, budgets) => {
      const given = list.map((kind, i): Demand => ({ ...kind, every: 10, calls: 1, rest: 0, object: String(i).padStart(3, '0'), level: 1 }))
      const paces = await solve(given, budgets)
      const byBend = new Map<number, number>()
      for (const [i, { bend }] of given.entries()) {
        expect(paces[i]!.stretched_every).toBeCloseTo(byBend.get(bend) ?? paces[i]!.stretched_every, 6)
        byBend.set(bend, paces[i]!.stretched_every)
      }
      const [busy = 0, quiet = Infinity, settle = Infinity] = [1, 1.15, 1.7].map((bend) => byBend.get(bend))
      expect(busy).toBeLessThanOrEqual(Math.min(quiet, settle))
      if (paces.some(({ limited_by }) => limited_by !== null) && byBend.has(1) && byBend.has(1.15) && busy < 86_400) expect(quiet).toBeGreaterThan(busy)
    }), { numRuns: 60 })
  })

  test('are never sped up by another object, nor slowed by a larger budget', async () => {
    await fc.assert(fc.asyncProperty(demands, demand, rates, fc.constantFrom('search', 'burst', 'daily'), async (given, { kind, ...more }, budgets, wider) => {
      const before = await solve(given, budgets)
      const other: Demand = { ...kind, ...more, object: '~', level: 1 }
      const after = await solve([...given, other], budgets)
      const roomier = await solve(given, { ...budgets, [wider]: budgets[wider as keyof Rates] * 1.5 })
      for (const [i, { stretched_every }] of before.entries()) {
        expect(after[i]!.stretched_every).toBeGreaterThanOrEqual(stretched_every * 0.999_99)
        // More turns a second may leave less of the day for others, which then run less often.
        if (wider === 'daily') expect(roomier[i]!.stretched_every).toBeLessThanOrEqual(stretched_every * 1.000_01)
      }
    }), { numRuns: 60 })
  })

  test('of a thousand streams are solved in a moment', async () => {
    const given = Array.from({ length: 1_000 }, (_, i): Demand => ({ ...kinds[i % 5]!, every: 10, calls: 1, rest: 0, object: String(i).padStart(4, '0'), level: 1 }))
    const paces = await solve(given, { search: 4.5, burst: 17, daily: 7 })
    expect(used(given, paces)).toBeCloseTo(7, 1)
  })
})
