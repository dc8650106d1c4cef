import fc from 'fast-check'
import type pg from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type Budgets, type Class, type Kind, openBudgets } from './support/quota.ts'

let budgets: Budgets
let client: pg.PoolClient
let { reset, take, budget }: Omit<Budgets, 'db' | 'client'> = {} as Budgets
beforeAll(async () => {
  budgets = await openBudgets();
  ({ client, reset, take, budget } = budgets)
  // Several that ask at once, each again after its request was sent and thought about: who gets which turns until a time.
  await client.query(`
    create function pg_temp.contend(kind text, classes text[], think_ms integer[], for_s double precision)
    returns table (class text, sent_ms double precision)
    language plpgsql as $$
    declare
      start timestamptz := hubspot_private.clock();
      asks timestamptz[];
      i integer;
      permit record;
    begin
      asks := array(select start + n * interval '1 ms' from generate_series(1, cardinality(classes)) n);
      loop
        select n into i from generate_subscripts(asks, 1) n order by asks[n] limit 1;
        exit when asks[i] > start + make_interval(secs => for_s);
        update hubspot_private.installation set clock_shift = asks[i] - clock_timestamp();
        select * into permit from hubspot_private.quota_take(kind => contend.kind, class => classes[i]);
        if permit.is_granted then
          class := classes[i];
          sent_ms := extract(epoch from permit.asked_at - start) * 1000;
          return next;
          asks[i] := permit.asked_at + think_ms[i] * interval '1 ms';
        else
          -- Who sleeps wakes a little late.
          asks[i] := permit.asked_at + interval '1 ms' * (1 + i % 4);
        end if;
      end loop;
    end $$`)
})
afterAll(() => budgets[Symbol.asyncDispose]())
beforeEach(() => reset())

const CLASSES: readonly Class[] = ['live', 'poll', 'settle', 'backfill']
const SPACING = { burst: 101, search: 220 }

type Crowd = { kind: Kind; waiters: Record<Class, { count: number; think: number }> }
async function contend({ kind, waiters }: Crowd, turns: number) {
  const those = CLASSES.flatMap((name) => Array.from({ length: waiters[name].count }, () => ({ name, think: waiters[name].think })))
  const { rows } = await client.query<{ class: Class; sent_ms: number }>('select * from pg_temp.contend($1, $2, $3, $4)', [
    kind, those.map(({ name }) => name), those.map(({ think }) => think), (turns * SPACING[kind]) / 1_000,
  ])
  // What is reserved ahead when the time is over tells nothing of shares.
  return rows.filter(({ sent_ms }) => sent_ms <= turns * SPACING[kind]).toSorted((a, b) => a.sent_ms - b.sent_ms)
}

describe('classes that ask at once', () => {
  const waiters = fc.record({ count: fc.integer({ min: 0, max: 8 }), think: fc.integer({ min: 0, max: 300 }) })
  const crowd = fc.record({ kind: fc.constantFrom<Kind>('burst', 'search'), waiters: fc.record({ live: waiters, poll: waiters, settle: waiters, backfill: waiters }) })
  /** Whether these alone want more turns than there are: one is always asking while another is sent. */
  const isTooMuch = ({ kind, waiters }: Crowd, names: readonly Class[]) =>
    names.some((name) => waiters[name].count >= waiters[name].think / SPACING[kind] + 3)

  test('never come closer than the spacing, use every turn while there is work, higher ones first, none below its floor', async () => {
    await fc.assert(
      fc.asyncProperty(crowd, async (given) => {
        await reset()
        const turns = 120
        const sent = await contend(given, turns)
        const count = (name: Class) => sent.filter((one) => one.class === name).length
        for (const [i, { sent_ms }] of sent.entries()) {
          if (i > 0) expect(sent_ms - sent[i - 1]!.sent_ms).toBeGreaterThanOrEqual(SPACING[given.kind] - 0.01)
        }
        if (isTooMuch(given, CLASSES)) expect(sent.length).toBeGreaterThanOrEqual(turns * 0.98 - 1)
        for (const name of ['settle', 'backfill'] as const) {
          // A floor is a twentieth of the turns; its first comes at once.
          const { count: n, think } = given.waiters[name]
          if (n > 0 && think < 20 * SPACING[given.kind]) expect(count(name), name).toBeGreaterThanOrEqual(turns / 20 - 2)
        }
        if (isTooMuch(given, ['live', 'poll'])) {
          for (const name of ['settle', 'backfill'] as const) expect(count(name), name).toBeLessThanOrEqual(turns / 20 + 3)
        } else if (isTooMuch(given, ['settle'])) {
          expect(count('backfill')).toBeLessThanOrEqual(turns / 20 + 3)
        }
      }),
      { numRuns: 20 },
    )
  })

  test('would starve the lowest without its floor: the property above notices', async () => {
    const given: Crowd = { kind: 'burst', waiters: { live: { count: 0, think: 0 }, poll: { count: 8, think: 0 }, settle: { count: 0, think: 0 }, backfill: { count: 2, think: 0 } } }
    expect((await contend(given, 160)).filter((one) => one.class === 'backfill').length).toBeGreaterThanOrEqual(6)
    await client.query('begin')
    await reset()
    await client.query(`
      create function pg_temp.without_floor() returns trigger language plpgsql as $$
      begin
        new.floor_at := '{infinity,infinity,infinity,infinity}';
        return new;
      end $$;
      create trigger without_floor before update on hubspot_private.budgets for each row execute function pg_temp.without_floor();
      update hubspot_private.budgets set name = name`)
    const starved = await contend(given, 160)
    await client.query('rollback')
    expect(starved.filter((one) => one.class === 'backfill').length).toBeLessThan(3)
  })

  test('of a hundred first loads none is left behind for long, and no turn is lost', async () => {
    const sent = await contend({ kind: 'burst', waiters: { live: { count: 0, think: 0 }, poll: { count: 0, think: 0 }, settle: { count: 0, think: 0 }, backfill: { count: 100, think: 150 } } }, 300)
    expect(sent.length).toBeGreaterThanOrEqual(297)
  })

  test('a live request finds its turn within a second of polls, and at once among first loads', async () => {
    for (let i = 0; i < 40; i += 1) await take('burst', undefined, 'poll')
    const amongPolls = await take('burst')
    expect(amongPolls.is_granted).toBe(true)
    expect(amongPolls.delay_ms).toBeLessThan(1_110)
    await reset()
    for (let i = 0; i < 40; i += 1) await take('burst', undefined, 'backfill')
    expect((await take('burst')).delay_ms).toBeLessThan(310)
  })

  test('reserve nothing where they are refused, are told when to ask, and are seen waiting', async () => {
    const state = async () => (await client.query(`select name, free_at, used, used_by, floor_at from hubspot_private.budgets order by name`)).rows as unknown[]
    await fc.assert(
      fc.asyncProperty(fc.constantFrom<Kind>('burst', 'search'), fc.constantFrom(...CLASSES), fc.array(fc.constantFrom(...CLASSES), { maxLength: 60 }), async (kind, turn, before) => {
        await reset()
        for (const name of before) await take(kind, undefined, name)
        const was = await state()
        const permit = await take(kind, undefined, turn)
        if (permit.is_granted) return
        expect(permit.refused_by).toBe(kind)
        expect(permit.delay_ms).toBeGreaterThan(0)
        expect(permit.delay_ms).toBeLessThanOrEqual(5_000)
        expect(await state()).toEqual(was)
        expect((await budget(kind)).waiting).toContain(turn)
        expect((await budget('daily')).waiting).toEqual([])
      }),
      { numRuns: 60 },
    )
  })

  test('a first load waits while anything higher does', async () => {
    for (let i = 0; i < 8; i += 1) await take('burst', undefined, 'settle')
    expect((await budget('burst')).waiting).toEqual(['settle'])
    for (let i = 0; i < 3; i += 1) await take('burst', undefined, 'backfill')
    // Its floor is used up, and the turn that comes next is the other's.
    await budgets.advance(310)
    expect(await take('burst', undefined, 'backfill')).toMatchObject({ is_granted: false, refused_by: 'burst' })
    expect(await take('burst', undefined, 'settle')).toMatchObject({ is_granted: true })
  })
})

describe('a share', () => {
  const set = (...args: unknown[]) => client.query(`select hubspot.set_quota_share(${args.map((_, i) => `$${i + 1}`).join(', ')})`, args)

  test('caps all budgets, or one', async () => {
    await set(0.5)
    for (const name of ['burst', 'search', 'daily']) expect(await budget(name)).toMatchObject({ share: '0.5' })
    expect(await budget('burst')).toMatchObject({ max_requests: 100, remaining: '50' })
    const [first = 0, second = 0] = await budgets.play('burst', [0, 0])
    expect(second - first).toBeCloseTo(202, 0)
    await set(0.2, 'search')
    expect((await client.query('select budget, share from hubspot.quota')).rows).toEqual([
      { budget: 'burst', share: '0.5' }, { budget: 'daily', share: '0.5' }, { budget: 'search', share: '0.2' },
    ])
    await set(1)
    expect(await budget('search')).toMatchObject({ share: '1' })
  })

  test('caps a budget of which it is less than one request a period', async () => {
    await set(0.05)
    const turns = await budgets.play('search', [0, 0, 0])
    // Five a second, of which a twentieth: one each four seconds, and the spread's tenth.
    expect(turns[2]! - turns[1]!).toBeCloseTo(4_400, 0)
    await set(0.33)
    const [first = 0, second = 0] = await budgets.play('search', [20_000, 0])
    expect(second - first).toBeCloseTo(1_100, 0)
    await set(1)
  })

  test('of the day is of our own requests: what other apps took is theirs', async () => {
    await reset('2026-05-05T12:00:00Z')
    await client.query(`select hubspot.set_quota('daily', 100), hubspot.set_quota_share(0.05, 'daily')`)
    await take('burst', { daily_max: 100, daily_remaining: 40, date: '2026-05-05T12:00:00Z' })
    for (let i = 1; i < 5; i += 1) expect(await take('burst')).toMatchObject({ is_granted: true })
    expect(await take('burst')).toMatchObject({ is_granted: false, refused_by: 'daily' })
    expect(await budget('daily')).toMatchObject({ used: '65', used_by: { live: 5 }, remaining: '0' })
  })

  test('that cannot be is refused with what can', async () => {
    for (const share of [0, -1, 1.01, 'NaN', null]) {
      await expect(set(share), String(share)).rejects.toMatchObject({ code: 'SH104', hint: expect.stringContaining('set_quota_share(0.33)') })
    }
    await expect(set(0.5, 'hourly')).rejects.toMatchObject({ code: 'SH111', hint: 'Budgets: burst, search, daily.' })
    for (const name of ['burst', 'search', 'daily']) expect(await budget(name)).toMatchObject({ share: '1' })
  })

  test('is set by nobody to whom it was not granted', async () => {
    const { rows } = await client.query<{ open: boolean }>(`select has_function_privilege('public', 'hubspot.set_quota_share(numeric, text)', 'execute') as open`)
    expect(rows).toEqual([{ open: false }])
  })
})
