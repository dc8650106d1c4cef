import { describe, expect, test } from 'vitest'
import { randomStream } from '../src/sandbox/store/random.ts'
import { runStream } from '../src/sync/step.ts'
import { dueStreams, pagesOf, startWorld, type World } from './support/sync.ts'

const MINUTE = 60_000
const SEED = Number(process.env['COMPLETE_SEED'] ?? 1)
const RUNS = Number(process.env['COMPLETE_RUNS'] ?? 2)

/** HubSpot's time up to which everything is said to be here, ms. */
async function completeUntil({ db }: World): Promise<number | null> {
  const [row] = await db.query<{ at: number | null }>(
    `select (extract(epoch from complete_until) * 1000)::float8 as at from hubspot.status where object = 'contacts'`)
  return row!.at
}

/** Changes that should be here and are not. */
async function lacking(world: World, until: number): Promise<string[]> {
  return await world.differences('contacts', {
    // Later ones may be here or not; so may those that are gone, of which it says nothing.
    ignore: (id) => {
      const record = world.store.record('contacts', id)
      return record === undefined || record.archived || Date.parse(record.updatedAt) > until
    },
  })
}

const windows = ({ db }: World, ...minutes: number[]) =>
  db.query(`select hubspot.configure('settle_windows', $1::text)`, [JSON.stringify(minutes.map((count) => `${count} minutes`))])

describe('complete_until', () => {
  test(`is never ahead of the mirror, and never goes back: seeds ${SEED} to ${SEED + RUNS - 1}`, async () => {
    for (let seed = SEED; seed < SEED + RUNS; seed += 1) {
      const random = randomStream(seed, 'complete')
      const chance = (share: number) => random() < share
      await using world = await startWorld('complete', {
        // Later than the narrow window at times, never than the wide one.
        sandbox: { seed, objects: { contacts: 150 }, settings: { lag: [0, 9 * MINUTE] } },
        client: pagesOf(10, 5),
      })
      const { db, store, deps } = world
      await windows(world, 2, 10)
      await db.query(`select hubspot.track('contacts', '{firstname}')`)
      const ids = () => [...store.records('contacts')].map(({ id }) => id)
      const any = () => ids()[Math.floor(random() * ids().length)]!
      let before: number | null = null
      let moved = 0
      const acts: [number, () => unknown][] = [
        [0.3, () => store.edit('contacts', any(), { firstname: `at ${random()}` })],
        [0.4, () => store.create('contacts', [{ properties: { firstname: 'new' } }])],
        [0.43, () => store.archive('contacts', any())],
        [0.45, () => db.query(`select hubspot.refresh('contacts', $1)`, [[any()]])],
        [0.47, () => db.query(`select hubspot.${chance(0.4) ? 'pause' : 'resume'}('contacts')`)],
        [0.49, () => windows(world, ...(chance(0.5) ? [2, 10] : chance(0.5) ? [10] : [3, 10, 15]))],
        [0.5, () => store.addFault({ match: { kind: 'batch read' }, fault: '502', times: 2 })],
        // Nothing runs for hours.
        [0.51, () => world.advance(5 * 60 * MINUTE)],
        // Copies that are behind for a while, by less than the widest window.
        [0.53, () => (store.removeFaults(), store.addFault({ match: { kind: 'batch read' }, fault: { type: 'behind', ms: random() * 8 * MINUTE }, times: 1 + Math.floor(random() * 30) }))],
        [1, () => world.advance(random() * 40_000)],
      ]
      for (let turn = 0; turn < 400; turn += 1) {
        const draw = random()
        // A record changed twice in one millisecond with a read between is for a full read alone to see.
        store.advance(1)
        await acts.find(([share]) => draw < share)![1]()
        const due = await dueStreams(db)
        if (due.length > 0) await runStream({ ...deps, sliceMs: 0 }, due[Math.floor(random() * due.length)]!)
        const until = await completeUntil(world)
        expect(until ?? 0, `seed ${seed}, turn ${turn}`).toBeGreaterThanOrEqual(before ?? 0)
        if (until !== null && until !== before) {
          moved += 1
          expect(await lacking(world, until), `seed ${seed}, turn ${turn}, until ${new Date(until).toISOString()}`).toEqual([])
        }
        before = until ?? before
      }
      // Paused for long, or behind hours of downtime, it may have stood; then it goes on.
      await db.query(`select hubspot.resume('contacts')`)
      for (let minute = 0; minute < 30; minute += 1) {
        await world.pass(MINUTE)
        const until = (await completeUntil(world)) ?? 0
        expect(until, `seed ${seed}`).toBeGreaterThanOrEqual(before ?? 0)
        expect(await lacking(world, until), `seed ${seed}, at the end`).toEqual([])
        if (until > (before ?? 0)) moved += 1
        before = until
      }
      expect(store.now() - (before ?? 0), `seed ${seed}`).toBeLessThan(20 * MINUTE)
      expect(moved, `seed ${seed}`).toBeGreaterThan(3)
    }
  })

  test('is unknown until the first load is over, every window was passed once, and what the search named is read', async () => {
    await using world = await startWorld('complete', { sandbox: { objects: { contacts: 250 } } })
    const { db, store } = world
    await windows(world, 2, 10)
    await db.query(`select hubspot.track('contacts', '{firstname}')`)
    await world.run('contacts', 'schema')
    await world.run('contacts', 'archive')
    // Everything but the load's last pages: search is settled, the mirror is not.
    await world.run('contacts', 'backfill', 0, { ...world.deps, sliceMs: 0 })
    for (const range of [0, 1]) await world.run('contacts', 'settle', range)
    expect(await completeUntil(world)).toBeNull()
    await world.run('contacts', 'backfill')
    // HubSpot's clock is known to two seconds.
    const began = store.now()
    expect(await completeUntil(world)).toBeLessThanOrEqual(began - 10 * MINUTE + 2_000)

    // Found by settle, and not yet read.
    store.edit('contacts', [...store.records('contacts')][7]!.id, { firstname: 'Ada' })
    const edited = store.now()
    await world.advance(11 * MINUTE)
    for (const range of [0, 1]) await world.run('contacts', 'settle', range)
    expect(await completeUntil(world)).toBeLessThan(edited)
    await world.run('contacts', 'fetch')
    expect(await completeUntil(world)).toBeGreaterThanOrEqual(edited)
  })

  test('stands still for a paused object and while nothing runs, and stays with windows that are added', async () => {
    await using world = await startWorld('complete', { sandbox: { objects: { contacts: 20 } } })
    await windows(world, 2, 10)
    await world.load('contacts', ['firstname'])
    await world.pass(12 * MINUTE, MINUTE)
    const known = (await completeUntil(world))!
    expect(world.store.now() - known).toBeLessThan(14 * MINUTE)
    await world.db.query(`select hubspot.pause('contacts')`)
    world.store.edit('contacts', [...world.store.records('contacts')][0]!.id, { firstname: 'Grace' })
    await world.pass(26 * 60 * MINUTE, 13 * 60 * MINUTE)
    expect(await completeUntil(world)).toBe(known)
    await windows(world, 2, 10, 60)
    expect(await completeUntil(world)).toBe(known)
    await world.db.query(`select hubspot.resume('contacts')`)
    await world.drain()
    // A day behind, and at once as complete as the widest window, new as it is, lets it be.
    expect(world.store.now() - (await completeUntil(world))!).toBeLessThan(61 * MINUTE)
    expect(await world.differences('contacts')).toEqual([])
    const late = (await completeUntil(world))!
    await windows(world, 120)
    await world.pass(4 * MINUTE, MINUTE)
    expect(await completeUntil(world)).toBe(late)
    await world.pass(120 * MINUTE, 20 * MINUTE)
    expect(await completeUntil(world)).toBeGreaterThan(late)
    expect(await world.db.query(`select stream, state from hubspot.runs where state in ('running', 'waiting')`)).toEqual([])
    await world.db.query(`select hubspot.untrack('contacts'), hubspot.track('contacts', '{firstname}')`)
    expect(await completeUntil(world)).toBeNull()
  })

  test('a record that cannot be written holds it up no longer than its first try', async () => {
    await using world = await startWorld('complete', { sandbox: { objects: { contacts: 20 } } })
    await windows(world, 2)
    await world.load('contacts', ['firstname'])
    await world.db.query(`alter table hubspot.contacts add constraint no_eve check (firstname <> 'Eve')`)
    const [first] = [...world.store.records('contacts')]
    world.store.edit('contacts', first!.id, { firstname: 'Eve' })
    const edited = world.store.now()
    await world.pass(6 * MINUTE, MINUTE)
    expect(await completeUntil(world)).toBeGreaterThan(edited)
    expect(await world.db.query('select code, record_id from hubspot.problems where resolved_at is null')).toEqual([{ code: 'SH213', record_id: first!.id }])
  })
})
