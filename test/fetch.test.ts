import { describe, expect, test } from 'vitest'
import type { SandboxOptions } from '../src/sandbox/index.ts'
import { hold, startWorld, type World } from './support/sync.ts'

async function contacts(count: number, settings: SandboxOptions['settings'] = {}): Promise<World> {
  const world = await startWorld('fetch', { sandbox: { objects: { contacts: count }, settings } })
  await world.load('contacts', ['firstname'])
  await world.advance(1_000)
  return world
}

const idsOf = (world: World) => [...world.store.records('contacts')].map(({ id }) => id)
const queue = async (world: World) => (await world.db.query<{ id: string }>('select id from hubspot_private.fetch_queue order by id')).map(({ id }) => id)
const tombstones = async (world: World) => (await world.db.query<{ id: string }>('select id from hubspot_private.tombstones order by id')).map(({ id }) => id)
const refresh = async (world: World, ids: readonly (string | number)[]) =>
  (await world.db.query<{ refresh: number }>("select hubspot.refresh('contacts', $1)", [ids]))[0]!.refresh

test('refresh queues ids once each and reads them in batches of a hundred', async () => {
  await using world = await contacts(250)
  const ids = idsOf(world)
  world.store.edit('contacts', ids, { firstname: 'recalculated' }, { touch: false })
  expect(await refresh(world, [...ids, ...ids.slice(0, 50)])).toBe(250)
  expect(await refresh(world, ids.slice(0, 3))).toBe(3)
  world.store.resetCalls()
  await world.drain()
  expect(world.store.calls({ kind: 'batch read' }).map((call) => call.ids?.length)).toEqual([100, 100, 50])
  expect(await queue(world)).toEqual([])
  expect(await world.differences('contacts')).toEqual([])
})

test.for([200, 207] as const)('an archived record that is read again leaves the table, with a tombstone (a batch without it is %i)', async (missingStatus) => {
  await using world = await contacts(3, { missingStatus })
  const [gone = '', kept = ''] = idsOf(world)
  world.store.archive('contacts', gone)
  await refresh(world, [gone, kept])
  await world.drain()
  expect(await world.row('contacts', gone)).toBeUndefined()
  expect(await world.row('contacts', kept)).toBeDefined()
  expect(await tombstones(world)).toEqual([gone])
  expect(await world.db.query("select rows from hubspot.status where object = 'contacts'")).toEqual([{ rows: '2' }])
  expect(await world.db.query("select deleted from hubspot.runs where stream = 'fetch' order by id desc limit 1")).toEqual([{ deleted: '1' }])
})

test('an id that HubSpot never had is remembered as gone, and changes nothing', async () => {
  await using world = await contacts(2)
  await refresh(world, [9, '999999999999999999'])
  await world.drain()
  expect(await tombstones(world)).toEqual(['9', '999999999999999999'])
  expect(await queue(world)).toEqual([])
  expect(await world.differences('contacts')).toEqual([])
})

test('a restored record comes back when it is read, and its tombstone goes', async () => {
  await using world = await contacts(2)
  const [id = ''] = idsOf(world)
  world.store.archive('contacts', id)
  await refresh(world, [id])
  await world.drain()
  world.store.restore('contacts', id)
  await refresh(world, [id])
  await world.drain()
  expect(await tombstones(world)).toEqual([])
  expect(await world.differences('contacts')).toEqual([])
})

describe('a read that was asked before a record was found gone does not bring it back', () => {
  test('of the same batch, restored in between: it is read once more', async () => {
    await using world = await contacts(2)
    const [id = ''] = idsOf(world)
    await world.db.query("select hubspot.resync('contacts')")
    const early = (await hold(world, 'contacts', 'resync'))!
    const page = await early.ask()
    world.store.archive('contacts', id)
    await refresh(world, [id])
    await world.run('contacts', 'fetch')
    world.store.restore('contacts', id)
    await early.commit(page)
    expect(await world.row('contacts', id)).toBeUndefined()
    expect(await queue(world)).toEqual([id])
    await world.pass(2_000)
    expect(await world.differences('contacts')).toEqual([])
  })

  test.for(['that began before it', 'that began after it'] as const)('nor does a finding take away what a full read %s has written since', async (begins) => {
    await using world = await contacts(2)
    const [id = ''] = idsOf(world)
    world.store.archive('contacts', id)
    await refresh(world, [id])
    await world.db.query("select hubspot.resync('contacts')")
    const before = begins === 'that began before it' ? await hold(world, 'contacts', 'resync') : undefined
    const early = (await hold(world, 'contacts', 'fetch'))!
    const found = await early.ask()
    const resync = before ?? (await hold(world, 'contacts', 'resync'))!
    world.store.advance(1)
    world.store.restore('contacts', id)
    world.store.edit('contacts', id, { firstname: 'back' })
    await resync.commit(await resync.ask())
    await early.commit(found)
    expect(await world.row('contacts', id)).toMatchObject({ firstname: 'back' })
    expect(await tombstones(world)).toEqual([])
    expect(await queue(world)).toEqual([id])
    await world.pass(2_000)
    expect(await world.differences('contacts')).toEqual([])
  })
})

test('an id that is queued again while it is being read stays queued', async () => {
  await using world = await contacts(2)
  const [id = '', other = ''] = idsOf(world)
  await refresh(world, [id, other])
  const holder = (await hold(world, 'contacts', 'fetch'))!
  const got = await holder.ask()
  world.store.advance(1)
  world.store.edit('contacts', id, { firstname: 'edited' })
  await refresh(world, [id])
  expect((await holder.commit(got)).outcome).toBe('more')
  expect(await queue(world)).toEqual([id])
  expect((await holder.commit(await holder.ask())).outcome).toBe('done')
  expect(await world.row('contacts', id)).toMatchObject({ firstname: 'edited' })
})

test('a read that fails keeps its ids', async () => {
  await using world = await contacts(2)
  const ids = idsOf(world)
  for (const fault of ['reset', 'reset body', 'torn', 'short', '500'] as const) {
    world.store.edit('contacts', ids, { firstname: `before ${fault}` }, { touch: false })
    world.store.addFault({ fault, times: 1, match: { kind: 'batch read' } })
    await refresh(world, ids)
    expect(await world.run('contacts', 'fetch'), fault).toBe('failed')
    expect(await queue(world), fault).toEqual(ids)
    await world.pass(3_000)
    expect(await world.differences('contacts'), fault).toEqual([])
  }
  expect(await world.db.query('select * from hubspot.problems where resolved_at is null')).toEqual([])
})

test('what was queued while an object was paused is read after it goes on', async () => {
  await using world = await contacts(2)
  const [id = ''] = idsOf(world)
  await world.db.query("select hubspot.pause('contacts')")
  world.store.edit('contacts', id, { firstname: 'edited' })
  await refresh(world, [id])
  await world.pass(60_000)
  expect(await world.row('contacts', id)).not.toMatchObject({ firstname: 'edited' })
  await world.db.query("select hubspot.resume('contacts')")
  await world.drain()
  expect(await world.row('contacts', id)).toMatchObject({ firstname: 'edited' })
})

test('refresh refuses what cannot be an id', async () => {
  await using world = await contacts(1)
  for (const ids of [null, [null], [-1], ['1000000000000000000']]) {
    await expect(world.db.query("select hubspot.refresh('contacts', $1)", [ids]), String(ids)).rejects.toMatchObject({ code: 'SH104' })
  }
  await expect(world.db.query("select hubspot.refresh('deals', '{1}')")).rejects.toMatchObject({ code: 'SH101' })
})
