import { describe, expect, test, vi } from 'vitest'
import { sweep, workerBeat, workerStop } from '../src/db/calls.ts'
import { hold, startWorld, type World, type WorldOptions } from './support/sync.ts'

// What is known of the time: our clock jumps, HubSpot's Date is wrong or missing, and nothing is claimed that rests on it.

vi.setConfig({ testTimeout: 120_000 })

const MINUTE = 60_000
const HOUR = 60 * MINUTE

async function contacts(options: WorldOptions = {}): Promise<World & { beat(id?: string): Promise<void>; jump(by: string): Promise<void>; one: string }> {
  const world = await startWorld('clocks', { sandbox: { objects: { contacts: 30 } }, ...options })
  await world.load('contacts', ['firstname'])
  await world.pass(2 * MINUTE, 10_000)
  return {
    ...world,
    beat: (id = 'worker') => workerBeat(world.deps.db, { id, host: 'here', pid: 1, queueIds: [], held: [] }),
    jump: async (by) => void (await world.db.query('update hubspot_private.installation set clock_shift = clock_shift + $1::interval', [by])),
    one: [...world.store.records('contacts')][0]!.id,
  }
}

const completeUntil = async ({ db }: World) =>
  Date.parse((await db.query<{ at: string }>('select complete_until::text as at from hubspot.status'))[0]!.at)

describe('our clock', () => {
  test('is set back while no worker runs: the next one goes on at once', async () => {
    await using world = await contacts()
    const { db, store, one } = world
    await world.beat()
    await workerStop(world.deps.db, 'worker')
    await world.jump('-6 hours')
    await world.beat('another')
    expect(await db.query(`select stream from hubspot_private.streams where stream in ('poll', 'settle', 'schema') and next_at > hubspot_private.clock() + interval '11 minutes'`)).toEqual([])
    expect(await db.query(`select budget from hubspot.quota where next_free_at > hubspot_private.clock() + interval '11 seconds'`)).toEqual([])
    store.edit('contacts', one, { firstname: 'after' })
    store.create('contacts', [{ properties: { firstname: 'new' } }])
    await world.pass(5 * MINUTE, 10_000)
    expect(await db.query(`select firstname from hubspot.contacts where firstname = 'new'`)).toHaveLength(1)
    await world.pass(7 * HOUR, 10 * MINUTE)
    expect(await world.differences('contacts')).toEqual([])
  })

  test('that was set is believed after half a minute of answers, and the mirror is complete up to what these say meanwhile', async () => {
    await using world = await contacts()
    await world.pass(2 * HOUR, 5 * MINUTE)
    await world.jump('6 hours')
    const ahead = async () => (await world.db.query<{ hours: number }>(
      'select round(extract(epoch from hubspot_ahead) / 3600)::integer as hours from hubspot_private.account'))[0]!.hours
    const before = await ahead()
    await world.pass(20_000, 10_000)
    expect(await ahead()).toBe(before)
    expect(world.store.now() - (await completeUntil(world))).toBeLessThan(70 * MINUTE)
    await world.pass(MINUTE, 10_000)
    expect(await ahead()).toBe(before - 6)
    world.store.edit('contacts', world.one, { firstname: 'after' })
    await world.pass(MINUTE, 10_000)
    expect(await world.differences('contacts')).toEqual([])
  })

  test('was a day ahead for a minute: what was written meanwhile is written again as soon as it changes, and goes when it is archived', async () => {
    await using world = await contacts()
    const { db, store, one } = world
    const another = [...store.records('contacts')][1]!.id
    const third = [...store.records('contacts')][2]!.id
    const live = async (ms: number) => {
      for (let left = ms; left > 0; left -= 10_000) {
        await world.pass(10_000)
        await world.beat()
      }
    }
    await live(10_000)
    await world.jump('1 day')
    await live(10_000)
    for (const id of [one, another, third]) store.edit('contacts', id, { firstname: 'meanwhile' })
    await live(MINUTE)
    expect(await db.query(`select id from hubspot.contacts where firstname = 'meanwhile'`)).toHaveLength(3)
    await world.jump('-1 day')
    await live(10_000)
    store.edit('contacts', one, { firstname: 'after' })
    store.archive('contacts', another)
    await live(30_000)
    expect((await world.row<{ firstname: string }>('contacts', one))!.firstname).toBe('after')
    await world.pass(HOUR, 10 * MINUTE)
    expect(await world.row('contacts', another)).toBeUndefined()
    // What a full read repairs, it counts.
    store.edit('contacts', third, { firstname: 'unseen' }, { lag: 30 * 24 * HOUR })
    await world.pass(2 * HOUR, 10 * MINUTE)
    await db.query(`select hubspot.verify('contacts')`)
    await world.drain()
    expect(await db.query('select compared, different from hubspot.audits')).toEqual([{ compared: '29', different: '1' }])
    expect(await world.differences('contacts')).toEqual([])
  })

  test.each(['1 day', '40 seconds'])('is set back by %s while a read is on its way: it overwrites nothing that is later', async (by) => {
    await using world = await contacts()
    const { store, one } = world
    await world.db.query(`select hubspot.schedule('contacts', 'resync', every => '30 days')`)
    const firstname = async () => (await world.row<{ firstname: string }>('contacts', one))!.firstname
    // As another stream reads it, asked this moment.
    const read = () => world.db.query(`select hubspot_private.page_apply('contacts', 'poll', 0, $1, hubspot_private.clock(), 'poll')`,
      [JSON.stringify({ results: [{ id: one, properties: store.record('contacts', one)!.properties, updatedAt: store.record('contacts', one)!.updatedAt }] })])
    for (const [written, isNoticed] of [['before', false], ['before', true], ['after', false], ['after', true]] as const) {
      // Until it is noticed no row is written that is as young as that.
      await world.pass(80 * HOUR)
      await world.beat()
      await world.db.query(`select hubspot.refresh('contacts', array[$1::bigint])`, [one])
      const held = (await hold(world, 'contacts', 'fetch'))!
      const got = await held.ask()
      await world.advance(5_000)
      const later = `later, written ${written}${isNoticed ? ', noticed' : ''}`
      store.edit('contacts', one, { firstname: later })
      if (written === 'before') await read()
      await world.jump(`-${by}`)
      if (isNoticed) await world.beat()
      if (written === 'after') await read()
      await world.advance(25_000)
      await held.commit(got)
      expect(await firstname()).toBe(later)
      await world.beat()
      await world.pass(2 * MINUTE, 10_000)
      await world.pass(10 * MINUTE, MINUTE)
      expect(await firstname()).toBe(later)
    }
    expect(await world.differences('contacts')).toEqual([])
  })

  test('is set back: what waited goes on waiting as long as it had to, and nothing is said to have begun later than now', async () => {
    await using world = await contacts()
    const { db } = world
    await world.beat()
    await world.jump('1 day')
    await world.beat()
    await world.pass(MINUTE, 10_000)
    await db.query(`update hubspot_private.objects o set held_since = hubspot_private.clock() where o.name = 'contacts'`)
    await db.query(`update hubspot_private.credentials c set retry_at = hubspot_private.clock() + interval '1 minute'`)
    await world.beat()
    await world.jump('-1 day')
    await world.beat()
    expect(await db.query(`
      select 'held' as what from hubspot_private.objects o where o.held_since > hubspot_private.clock()
      union all select 'credential' from hubspot_private.credentials c where c.retry_at > hubspot_private.clock() + interval '2 minutes'
      union all select 'run' from hubspot_private.runs r where r.started_at > hubspot_private.clock()`)).toEqual([])
  })

  test('far ahead for a moment costs no day of the change feed', async () => {
    await using world = await contacts()
    await world.beat()
    world.store.edit('contacts', world.one, { firstname: 'changed' })
    await world.pass(MINUTE, 10_000)
    const count = () => world.db.query('select count(*)::integer as n from hubspot.changes')
    await world.jump('10 days')
    await world.beat()
    await sweep(world.deps.db)
    for (let i = 0; i < 3; i += 1) await world.db.query('select hubspot_private.changes_keep()')
    expect(await count()).toEqual([{ n: 1 }])
    await world.jump('-10 days')
    // By the time that HubSpot tells, it is old, and goes.
    await world.pass(10 * 24 * HOUR, 24 * HOUR)
    await world.db.query('select hubspot_private.changes_keep()')
    expect(await count()).toEqual([{ n: 0 }])
  })
})

describe("HubSpot's Date", () => {
  test('a day ahead for a moment claims nothing', async () => {
    await using world = await contacts()
    await world.pass(2 * HOUR, 5 * MINUTE)
    const number = world.store.addFault({ fault: { type: 'date', ms: 24 * HOUR } })
    await world.pass(20_000, 5_000)
    world.store.removeFaults(number)
    expect(await completeUntil(world)).toBeLessThan(world.store.now())
    world.store.edit('contacts', world.one, { firstname: 'late' }, { lag: 10 * MINUTE })
    await world.pass(30_000, 10_000)
    expect(await completeUntil(world)).toBeLessThan(Date.parse(world.store.record('contacts', world.one)!.updatedAt))
    await world.pass(2 * HOUR, 2 * MINUTE)
    expect(await world.differences('contacts')).toEqual([])
    expect(world.store.now() - (await completeUntil(world))).toBeLessThan(70 * MINUTE)
  })

  test('a day ahead for so long that it is believed: what was claimed is taken back, and what search showed late is found', async () => {
    await using world = await contacts()
    await world.pass(2 * HOUR, 5 * MINUTE)
    const number = world.store.addFault({ fault: { type: 'date', ms: 24 * HOUR } })
    await world.pass(10 * MINUTE, 10_000)
    expect(await completeUntil(world)).toBeGreaterThan(world.store.now())
    world.store.edit('contacts', world.one, { firstname: 'late' }, { lag: 5 * MINUTE })
    await world.pass(MINUTE, 10_000)
    // The poll passes it.
    world.store.edit('contacts', [...world.store.records('contacts')].at(-1)!.id, { firstname: 'shown at once' })
    await world.pass(MINUTE, 10_000)
    world.store.removeFaults(number)
    await world.pass(MINUTE, 10_000)
    await sweep(world.deps.db)
    expect(await completeUntil(world)).toBeLessThan(world.store.now())
    await world.pass(2 * HOUR, 2 * MINUTE)
    expect(await world.differences('contacts')).toEqual([])
    expect(world.store.now() - (await completeUntil(world))).toBeLessThan(70 * MINUTE)
  })

  test('is missing while our clock jumps: the mirror is not complete beyond what was last told', async () => {
    let isMissing = false
    await using world = await contacts({
      client: (client) => ({ ...client, async request(request) {
        const answer = await client.request(request)
        return isMissing ? { ...answer, date: undefined } : answer
      } }),
    })
    await world.pass(2 * HOUR, 5 * MINUTE)
    const before = world.store.now()
    isMissing = true
    await world.jump('6 hours')
    await world.pass(10 * MINUTE, 10_000)
    expect(await completeUntil(world)).toBeLessThanOrEqual(before + 1_000)
    isMissing = false
    await world.pass(2 * HOUR, 5 * MINUTE)
    expect(world.store.now() - (await completeUntil(world))).toBeLessThan(70 * MINUTE)
  })
})
