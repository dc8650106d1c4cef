import { describe, expect, test } from 'vitest'
import type { Settings } from '../src/sandbox/index.ts'
import { hold, startWorld, type World, type WorldOptions } from './support/sync.ts'
import { changeOf, siteOf } from './support/webhooks.ts'

const HOUR = 3_600_000

async function contacts(count: number, settings: Partial<Settings> = {}, client?: WorldOptions['client']): Promise<World> {
  const world = await startWorld('merges', { sandbox: { objects: { contacts: count }, settings }, ...(client && { client }) })
  await world.load('contacts', ['firstname'])
  await world.advance(1_000)
  return world
}

const idsOf = (world: World) => [...world.store.records('contacts')].map(({ id }) => id)
const merges = async (world: World) =>
  Object.fromEntries((await world.db.query<{ lost_id: string; kept_id: string }>("select lost_id, kept_id from hubspot.merges where object = 'contacts' order by lost_id"))
    .map((row) => [row.lost_id, row.kept_id]))
const tombstones = async (world: World) => (await world.db.query<{ id: string }>('select id from hubspot_private.tombstones order by id')).map(({ id }) => id)
const sorted = (ids: readonly string[]) => ids.toSorted((a, b) => Number(a) - Number(b))

const ways = [true, false].flatMap((mergeMakesNewId) => (['survivor', 'missing'] as const).map((mergedRead) => ({ mergeMakesNewId, mergedRead })))

describe.each(ways)('merges (new id: $mergeMakesNewId, a batch read answers: $mergedRead)', (settings) => {
  test('a merge that polling finds takes the lost records away and leads to the survivor', async () => {
    await using world = await contacts(6, settings)
    const [one = '', two = ''] = idsOf(world)
    const { id: kept } = world.store.merge('contacts', one, two)
    await world.pass(30_000, 10_000)
    expect(await world.differences('contacts')).toEqual([])
    const lost = sorted([one, two].filter((id) => id !== kept))
    expect(await merges(world)).toEqual(Object.fromEntries(lost.map((id) => [id, kept])))
    expect(await tombstones(world)).toEqual(lost)
  })

  test('chains lead to the last survivor', async () => {
    await using world = await contacts(6, settings)
    const [a = '', b = '', c = '', d = ''] = idsOf(world)
    const first = world.store.merge('contacts', a, b).id
    await world.pass(30_000, 10_000)
    const second = world.store.merge('contacts', c, d).id
    await world.pass(30_000, 10_000)
    world.store.advance(1)
    const last = world.store.merge('contacts', first, second).id
    await world.pass(30_000, 10_000)
    expect(await world.differences('contacts')).toEqual([])
    const lost = [a, b, c, d, first, second].filter((id) => id !== last)
    expect(await merges(world)).toEqual(Object.fromEntries(lost.map((id) => [id, last])))
  })

  test('of merges one after another between two polls nothing stays', async () => {
    await using world = await contacts(8, settings)
    const [a = '', b = '', c = '', d = ''] = idsOf(world)
    let kept = world.store.merge('contacts', a, b).id
    for (const next of [c, d]) {
      world.store.advance(1)
      kept = world.store.merge('contacts', kept, next).id
    }
    await world.pass(30_000, 10_000)
    expect(await world.differences('contacts')).toEqual([])
    expect(new Set(Object.values(await merges(world)))).toEqual(new Set([kept]))
    expect(Object.keys(await merges(world))).toEqual(expect.arrayContaining([a, b, c, d].filter((id) => id !== kept)))
  })

  test('lost records asked for by id are gone', async () => {
    await using world = await contacts(8, settings)
    const [a = '', b = '', c = '', d = ''] = idsOf(world)
    // Search tells late: only the read by id finds it.
    world.store.merge('contacts', a, b, { lag: 50 * 60_000 })
    world.store.merge('contacts', c, d, { lag: 50 * 60_000 })
    await world.db.query("select hubspot.refresh('contacts', $1)", [[a, b, c, d]])
    await world.pass(30_000, 10_000)
    await world.pass(2 * HOUR, 600_000)
    expect(await world.differences('contacts')).toEqual([])
    expect(Object.keys(await merges(world))).toEqual(expect.arrayContaining([b, d]))
  })
})

test('a read by id that answers other ids leads to them, though they do not tell what they were', async () => {
  // A survivor that says nothing of whom it took in.
  await using world = await contacts(8, { mergedRead: 'survivor', mergeMakesNewId: true }, (client) => ({
    ...client,
    async request(request) {
      const answer = await client.request(request)
      return { ...answer, body: Buffer.from(answer.body.toString().replaceAll(/"hs_merged_object_ids":"[^"]*"/g, '"hs_merged_object_ids":null')) }
    },
  }))
  const [a = '', b = '', c = '', d = ''] = idsOf(world)
  const one = world.store.merge('contacts', a, b, { lag: 50 * 60_000 }).id
  const two = world.store.merge('contacts', c, d, { lag: 50 * 60_000 }).id
  await world.db.query("select hubspot.refresh('contacts', $1)", [[a, b, c, d]])
  await world.pass(60_000, 10_000)
  expect(await world.differences('contacts')).toEqual([])
  expect(await merges(world)).toEqual({ [a]: one, [b]: one, [c]: two, [d]: two })
})

test('an answer that is older than a merge does not point back', async () => {
  await using world = await contacts(6, { mergeMakesNewId: true })
  const [a = '', b = '', c = ''] = idsOf(world)
  const first = world.store.merge('contacts', a, b).id
  await world.db.query("select hubspot.refresh('contacts', $1)", [[first]])
  const slow = (await hold(world, 'contacts', 'fetch'))!
  const older = await slow.ask()
  const last = world.store.merge('contacts', first, c).id
  await world.db.query("select hubspot.resync('contacts')")
  await world.run('contacts', 'resync')
  expect(await merges(world)).toEqual({ [a]: last, [b]: last, [c]: last, [first]: last })
  await slow.commit(older)
  await world.pass(60_000, 10_000)
  expect(await merges(world)).toEqual({ [a]: last, [b]: last, [c]: last, [first]: last })
  expect(await world.differences('contacts')).toEqual([])
})

test('a record that took in more than 250 others: all of them leave', async () => {
  await using world = await contacts(300, { mergeMakesNewId: false, mergesMax: 1_000 })
  const [kept = '', ...others] = idsOf(world)
  for (const id of others.slice(0, 260)) world.store.merge('contacts', kept, id)
  await world.pass(30_000, 10_000)
  expect(await world.differences('contacts')).toEqual([])
  expect(Object.keys(await merges(world))).toHaveLength(260)
})

test('the survivor is read once more when a loss is new, and not again', async () => {
  await using world = await contacts(6)
  const [one = '', two = ''] = idsOf(world)
  const { id: kept } = world.store.merge('contacts', one, two)
  world.store.resetCalls()
  await world.pass(30_000, 10_000)
  const reads = () => world.store.calls({ kind: 'batch read' }).filter((call) => call.ids?.includes(kept)).length
  expect(reads()).toBe(2)
  await world.pass(60_000, 10_000)
  expect(reads()).toBe(2)
  await world.db.query("select hubspot.resync('contacts')")
  await world.pass(10_000)
  expect(reads()).toBe(2)
})

test('a survivor that is archived before anybody read it takes with it what it took in', async () => {
  await using world = await contacts(6, { mergeMakesNewId: false })
  const [kept = '', lost = ''] = idsOf(world)
  world.store.merge('contacts', kept, lost)
  world.store.archive('contacts', kept)
  await world.pass(HOUR, 600_000)
  expect(await world.differences('contacts')).toEqual([])
  expect(await merges(world)).toEqual({ [lost]: kept })
})

test.for(['a webhook says so', 'a user says so'])('a lost record that is erased leads to its survivor all the same, which tells of it (%s)', async (how) => {
  await using world = await contacts(6, { mergeMakesNewId: false, mergedRead: 'missing' })
  const [kept = '', lost = ''] = idsOf(world)
  world.store.merge('contacts', kept, lost)
  await world.pass(30_000, 10_000)
  expect(await merges(world)).toEqual({ [lost]: kept })
  if (how === 'a user says so') await world.db.query("select hubspot.forget('contacts', $1)", [lost])
  else {
    await using site = siteOf(world)
    await site.send([changeOf(world, Number(lost), { subscriptionType: 'contact.privacyDeletion' })])
    await site.caughtUp()
  }
  expect(await world.db.query('select id from hubspot_private.tombstones where erased_at is not null')).toEqual([{ id: lost }])
  expect(await merges(world)).toEqual({ [lost]: kept })
  // With the survivor the way there goes.
  await world.db.query("select hubspot.forget('contacts', $1)", [kept])
  expect(await merges(world)).toEqual({})
})

describe("a user's trigger on hubspot.merges", () => {
  const open = (world: World) => world.db.query('select record_id, code from hubspot.problems where resolved_at is null order by record_id')
  const hang = (world: World, body: string, when: string) => world.db.query(
    `create function public.remap() returns trigger language plpgsql as $f$ begin ${body} end $f$; create ${when} for each row execute function public.remap()`)
  const RAISE = "raise exception 'my table does not know %', new.lost_id;"
  const ways = [
    { what: 'raises', body: RAISE, when: 'trigger remap after insert on hubspot.merges', message: 'my table does not know', mergedRead: 'survivor' },
    { what: 'raises at the commit', body: RAISE, when: 'constraint trigger remap after insert on hubspot.merges deferrable initially deferred', message: 'my table does not know', mergedRead: 'missing' },
    { what: 'returns null', body: 'return null;', when: 'trigger remap before insert on hubspot.merges', message: 'a trigger of yours returns null', mergedRead: 'survivor' },
  ] as const

  test.for(ways)('that $what keeps that merge alone away, and it comes when the trigger lets it', async ({ body, when, message, mergedRead }) => {
    await using world = await startWorld('remap', { sandbox: { objects: { contacts: 12 }, settings: { mergedRead } } })
    await world.load('contacts', ['firstname'])
    await world.pass(70 * 60_000, 10 * 60_000)
    await hang(world, body, when)
    const [one = '', two = '', ...others] = idsOf(world)
    const { id: kept } = world.store.merge('contacts', one, two)
    const lost = sorted([one, two].filter((id) => id !== kept))
    await world.pass(60_000, 10_000)
    world.store.edit('contacts', others.slice(0, 4), { firstname: 'later' })
    world.store.archive('contacts', others[5]!)
    await world.db.query("select hubspot.refresh('contacts', $1)", [[others[5]]])
    await world.pass(20 * 60_000, 5 * 60_000)
    expect(await world.differences('contacts')).toEqual([])
    expect(await merges(world)).toEqual({})
    expect(await open(world)).toEqual(lost.map((id) => ({ record_id: id, code: 'SH213' })))
    expect(await world.db.query("select distinct message like '%' || $1 || '%' as is_said, count(*) over ()::integer as count from hubspot.problems where code = 'SH213'", [message]))
      .toEqual([{ is_said: true, count: lost.length }])
    expect(await world.db.query('select state from hubspot.status')).toEqual([{ state: 'live' }])
    expect(await world.db.query('select from hubspot_private.streams where failures > 0')).toEqual([])
    // Asked for every quarter of an hour, and not in a circle.
    world.store.resetCalls()
    await world.pass(20 * 60_000, 2 * 60_000)
    expect(world.store.calls({ kind: 'batch read' }).length).toBeLessThanOrEqual(2 * (1 + lost.length))
    await world.db.query('drop trigger remap on hubspot.merges')
    await world.pass(16 * 60_000, 4 * 60_000)
    expect(await merges(world)).toEqual(Object.fromEntries(lost.map((id) => [id, kept])))
    expect(await open(world)).toEqual([])
    expect(await world.db.query('select from hubspot_private.fetch_queue')).toEqual([])
    expect(await world.differences('contacts')).toEqual([])
  })

  test('that keeps the row of one that is there after all, keeps that record alone away', async () => {
    await using world = await contacts(6)
    const [back = '', kept = '', other = ''] = idsOf(world)
    await world.db.query(`alter table hubspot.contacts disable trigger user; delete from hubspot.contacts where id = ${back}; alter table hubspot.contacts enable trigger user;
      insert into hubspot_private.tombstones (object, id, seen_gone_at) values ('contacts', ${back}, hubspot_private.clock());
      insert into hubspot.merges (object, lost_id, kept_id, merged_at) values ('contacts', ${back}, ${kept}, hubspot_private.clock())`)
    await hang(world, "raise exception 'mine';", 'trigger remap before delete on hubspot.merges')
    await world.advance(1_000)
    world.store.edit('contacts', [back, other], { firstname: 'Ada' })
    await world.pass(10 * 60_000, 20_000)
    expect(await world.row('contacts', other)).toMatchObject({ firstname: 'Ada' })
    expect(await world.row('contacts', back)).toBeUndefined()
    expect(await open(world)).toEqual([{ record_id: back, code: 'SH213' }])
    await world.db.query('drop trigger remap on hubspot.merges')
    await world.pass(16 * 60_000, 4 * 60_000)
    expect(await world.differences('contacts')).toEqual([])
    expect([await merges(world), await open(world)]).toEqual([{}, []])
  })
})
