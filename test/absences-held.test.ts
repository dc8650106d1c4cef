import { describe, expect, test } from 'vitest'
import { runStream } from '../src/sync/step.ts'
import { startWorld, type World } from './support/sync.ts'

// How many rows may go unasked, whatever read does not find them.

const idsOf = (world: World) => [...world.store.records('contacts')].map(({ id }) => id)
const rows = async (world: World) => (await world.db.query<{ id: string }>('select id from hubspot.contacts order by id')).map(({ id }) => id)
const resync = async (world: World) => {
  const [{ id }] = (await world.db.query<{ id: string }>("select hubspot.resync('contacts') as id")) as [{ id: string }]
  await world.drain()
  return id
}
const run = async (world: World, id: string) =>
  (await world.db.query<{ state: string; deleted: number }>('select state, deleted::integer from hubspot.runs where id = $1', [id]))[0]!
const held = async (world: World) =>
  (await world.db.query<{ message: string; hint: string }>("select message, hint from hubspot.problems where code = 'SH216' and resolved_at is null"))[0]
async function contacts(count: number, properties: readonly string[] | null = ['firstname']): Promise<World> {
  const world = await startWorld('absences', { sandbox: { objects: { contacts: count } } })
  await world.load('contacts', properties ?? undefined)
  await world.advance(1_000)
  return world
}

describe('rows that wait to be confirmed', () => {
  /** Every second of 400 contacts is gone; a full read has found that. */
  async function waiting(properties: readonly string[] | null): Promise<{ world: World; run: string }> {
    const world = await contacts(400, properties)
    world.store.purge('contacts', idsOf(world).filter((_, i) => i % 2 === 0))
    return { world, run: await resync(world) }
  }
  const live = async (world: World) => (await rows(world)).length

  test('are not asked for by a read of a property that HubSpot has now, and the full read that found them waits on', async () => {
    const { world, run: id } = await waiting(null)
    await using _ = world
    world.store.addProperty('contacts', { name: 'brand_new', type: 'number' })
    await world.pass(15 * 60_000, 5 * 60_000)
    expect(await live(world)).toBe(400)
    expect(await run(world, id)).toEqual({ state: 'waiting', deleted: 0 })
    expect((await held(world))!.hint).toContain(`hubspot.confirm_deletes(${id})`)
    const [{ filling_run }] = (await world.db.query<{ filling_run: string | null }>("select filling_run from hubspot.properties where property = 'brand_new'")) as [{ filling_run: string | null }]
    expect(filling_run).toBeNull()
    expect(await world.differences('contacts', { ignore: (key) => world.store.record('contacts', key) === undefined })).toEqual([])
    await world.db.query('select hubspot.confirm_deletes($1)', [id])
    await world.drain()
    expect(await world.differences('contacts')).toEqual([])
  })

  test('nor by a read of a property that is chosen now', async () => {
    const { world } = await waiting(['firstname'])
    await using _ = world
    await world.db.query("select hubspot.track('contacts', '{firstname,email}')")
    await world.pass(15 * 60_000, 60_000)
    expect(await live(world)).toBe(400)
    expect(await held(world)).toBeDefined()
  })

  test('count on where others of them go meanwhile: the next full read asks for the rest too', async () => {
    const { world } = await waiting(['firstname'])
    await using _ = world
    const gone = (await rows(world)).filter((id) => world.store.record('contacts', id) === undefined)
    await world.db.query("select hubspot.refresh('contacts', $1)", [gone.slice(0, 150)])
    await world.drain()
    expect(await live(world)).toBe(250)
    const second = await resync(world)
    expect(await live(world)).toBe(250)
    expect((await held(world))!.message).toContain('50 rows')
    await world.db.query('select hubspot.confirm_deletes($1)', [second])
    await world.drain()
    expect(await rows(world)).toEqual(idsOf(world))
    expect(await run(world, await resync(world))).toEqual({ state: 'done', deleted: 0 })
  })

  test('and are no longer waited for once all of them went', async () => {
    const { world } = await waiting(['firstname'])
    await using _ = world
    const gone = (await rows(world)).filter((id) => world.store.record('contacts', id) === undefined)
    await world.db.query("select hubspot.refresh('contacts', $1)", [gone])
    await world.drain()
    expect(await run(world, await resync(world))).toEqual({ state: 'done', deleted: 0 })
    expect(await held(world)).toBeUndefined()
    expect(await world.db.query('select from hubspot_private.absences')).toEqual([])
  })
})

describe('a full read that ends up held while the next is due', () => {
  const KEY = { object: 'contacts', stream: 'resync', range: 0 } as const
  const audit = async (world: World, id: string) =>
    (await world.db.query('select missing::integer, extra::integer, different::integer, repaired::integer from hubspot.audits where run_id = $1', [id]))[0]
  /** One step of a full read, of 400 contacts of which every second is gone. */
  async function begun(ask: (world: World) => Promise<unknown>): Promise<World> {
    const world = await contacts(400)
    await world.pass(70 * 60_000, 10 * 60_000)
    world.store.purge('contacts', idsOf(world).filter((_, i) => i % 2 === 0))
    await ask(world)
    await runStream({ ...world.deps, sliceMs: 0 }, KEY)
    return world
  }
  const verify = async (world: World) => (await world.db.query<{ id: string }>("select hubspot.verify('contacts') as id"))[0]!.id

  test('because it was asked for, gives way to it: each reads every row once', async () => {
    let first = ''
    await using world = await begun(async (it) => (first = await verify(it)))
    const second = await verify(world)
    expect(second).not.toBe(first)
    world.store.resetCalls()
    await world.drain()
    // Two hundred in two, and before that when they were archived.
    expect(world.store.calls({ kind: 'batch read' })).toHaveLength(8)
    for (const id of [first, second]) expect(await audit(world, id)).toEqual({ missing: 0, extra: 200, different: 0, repaired: 0 })
    expect([await run(world, first), await run(world, second)]).toEqual([{ state: 'stopped', deleted: 0 }, { state: 'waiting', deleted: 0 }])
    expect((await held(world))!.hint).toContain(`hubspot.confirm_deletes(${second})`)
    await world.db.query('select hubspot.confirm_deletes($1)', [second])
    await world.drain()
    expect(await rows(world)).toEqual(idsOf(world))
    expect(await audit(world, second)).toEqual({ missing: 0, extra: 200, different: 0, repaired: 200 })
  })

  test('because it took longer than its schedule allows, gives way to it too', async () => {
    await using world = await begun(async (it) => {
      await it.db.query("select hubspot.schedule('contacts', 'resync', every => '10 minutes')")
      await it.advance(11 * 60_000)
    })
    await world.advance(11 * 60_000)
    world.store.resetCalls()
    await runStream(world.deps, KEY)
    expect(world.store.calls({ kind: 'batch read' })).toHaveLength(4)
    expect(await held(world)).toBeDefined()
    expect(await rows(world)).toHaveLength(400)
  })

  test('and takes no answer in while it waits', async () => {
    await using world = await begun(verify)
    await world.drain()
    const [stream] = await world.db.query<{ epoch: string; cursor: object }>("select epoch, cursor from hubspot_private.streams where stream = 'resync'")
    const asked = { kind: 'read', ids: [idsOf(world)[0]], seqs: [] }
    expect(await world.db.query(
      `select outcome from hubspot_private.step_commit('contacts', 'resync', 0, $1, $2, $3,
         (select column_set from hubspot_private.objects where name = 'contacts'), hubspot_private.clock(), hubspot_private.clock(), '{"results": []}')`,
      [stream!.epoch, JSON.stringify(stream!.cursor), JSON.stringify(asked)])).toEqual([{ outcome: 'lost' }])
  })
})

describe('a read of a property alone that lacks many rows', () => {
  test('deletes none of them: a full read is asked for, and waits to be confirmed', async () => {
    await using world = await contacts(400)
    world.store.purge('contacts', idsOf(world).filter((_, i) => i % 2 === 0))
    await world.db.query("select hubspot.track('contacts', '{firstname,email}')")
    await world.pass(60_000, 10_000)
    expect(await rows(world)).toHaveLength(400)
    expect((await held(world))!.message).toContain('200 rows')
    expect(await world.db.query('select from hubspot_private.fill_absences')).toEqual([])
  })

  test('counts them by the settings', async () => {
    await using world = await contacts(20)
    await world.db.query("select hubspot.configure('held_deletes', 1), hubspot.configure('held_deletes_percent', 1)")
    world.store.purge('contacts', idsOf(world).slice(0, 5))
    await world.db.query("select hubspot.track('contacts', '{firstname,email}')")
    await world.pass(60_000, 10_000)
    expect(await rows(world)).toHaveLength(20)
    expect(await held(world)).toBeDefined()
  })

  test('asks for a few, which go', async () => {
    await using world = await contacts(150)
    world.store.purge('contacts', idsOf(world).slice(0, 90))
    await world.db.query("select hubspot.track('contacts', '{firstname,email}')")
    await world.pass(60_000, 10_000)
    expect(await rows(world)).toHaveLength(60)
    expect(await world.differences('contacts')).toEqual([])
  })
})

test('an empty list and an empty read by id, once each, delete nothing; said time and again they do', async () => {
  await using world = await contacts(90)
  const empty = { type: 'answer', status: 200, body: '{"results":[]}' } as const
  for (const kind of ['list', 'batch read'] as const) world.store.addFault({ fault: empty, match: { kind, object: 'contacts' }, times: 1 })
  expect(await run(world, await resync(world))).toEqual({ state: 'done', deleted: 0 })
  expect(await rows(world)).toHaveLength(90)
  await world.pass(5 * 60_000, 60_000)
  expect(await world.differences('contacts')).toEqual([])
  expect(await world.db.query('select from hubspot_private.fetch_queue')).toEqual([])
  world.store.purge('contacts', idsOf(world).slice(0, 30))
  // Nobody else asks by id here.
  world.store.addFault({ fault: empty, match: { kind: 'batch read', object: 'contacts' } })
  await resync(world)
  expect(await rows(world)).toHaveLength(90)
  await world.pass(15 * 60_000, 60_000)
  expect(await world.differences('contacts')).toEqual([])
})
