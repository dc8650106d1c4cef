import { describe, expect, test } from 'vitest'
import type { Client } from '../src/hubspot/client.ts'
import { runStream } from '../src/sync/step.ts'
import { hold, pagesOf, startWorld, type World, type WorldOptions } from './support/sync.ts'

async function contacts(count: number, { onDelete = 'delete', ...options }: WorldOptions & { onDelete?: 'delete' | 'mark' } = {}): Promise<World> {
  const world = await startWorld('absences', { ...options, sandbox: { ...options.sandbox, objects: { contacts: count } } })
  await world.load('contacts', ['firstname'], onDelete)
  await world.advance(1_000)
  return world
}

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

/** Each list page by ids the other way round, or two pages swapped: nothing that id order would show. */
const reversed = (client: Client): Client => ({
  ...client,
  async request(request) {
    const answer = await client.request(request)
    if (request.query?.['properties'] === undefined || request.query['archived'] !== false) return answer
    const page = JSON.parse(answer.body.toString()) as { results: unknown[] }
    return { ...answer, body: Buffer.from(JSON.stringify({ ...page, results: page.results.toReversed() })) }
  },
})

describe('a full read deletes what is gone without a trace', () => {
  test.for(['delete', 'mark'] as const)('first, last and between (rows are to %s)', async (onDelete) => {
    await using world = await contacts(25, { client: pagesOf(5), onDelete })
    const ids = idsOf(world)
    const gone = [0, 4, 5, 11, 12, 13, 24].map((i) => ids[i]!)
    world.store.purge('contacts', gone)
    const id = await resync(world)
    const live = onDelete === 'mark' ? await world.db.query<{ id: string }>('select id from hubspot.contacts where _archived_at is null order by id') : undefined
    expect(live?.map((row) => row.id) ?? (await rows(world))).toEqual(idsOf(world))
    expect(await run(world, id)).toEqual({ state: 'done', deleted: 7 })
    const tombstones = await world.db.query<{ id: string }>('select id from hubspot_private.tombstones order by id')
    expect(tombstones.map((row) => row.id)).toEqual(gone)
  })

  test('all of a whole page, and all there is', async () => {
    await using world = await contacts(20, { client: pagesOf(5) })
    world.store.purge('contacts', idsOf(world).slice(5, 15))
    await resync(world)
    expect(await rows(world)).toEqual(idsOf(world))
    world.store.purge('contacts', idsOf(world))
    await resync(world)
    expect(await rows(world)).toEqual([])
  })

  test.for([true, false])('for privacy\'s sake, also one that others were merged into (new id %s), and its associations with it', async (newId) => {
    await using world = await startWorld('absences', { sandbox: { objects: { contacts: 8, deals: 3 } } })
    for (const object of ['contacts', 'deals']) await world.load(object, object === 'contacts' ? ['firstname'] : [])
    await world.db.query("select hubspot.track_associations('deals', 'contacts')")
    const [one = '', two = '', three = ''] = idsOf(world)
    const [deal] = [...world.store.records('deals')]
    for (const id of [one, three]) world.store.associate('deals', deal!.id, 'contacts', id)
    await world.drain()
    const { id: kept } = world.store.merge('contacts', one, two, { newId })
    await world.pass(60_000, 20_000)
    expect(await world.db.query('select contact_id from hubspot.deals_contacts order by 1')).toEqual([kept, three].toSorted((a, b) => Number(a) - Number(b)).map((contact_id) => ({ contact_id })))
    world.store.gdprDelete([kept, three])
    await resync(world)
    expect(await rows(world)).toEqual(idsOf(world))
    expect(await world.db.query('select * from hubspot.deals_contacts')).toEqual([])
    expect(await world.differences('contacts')).toEqual([])
  })

  test('in parts', async () => {
    await using world = await contacts(300, { client: pagesOf(10) })
    await world.db.query("select hubspot.configure('max_ranges', 6), hubspot.configure('range_records', 1)")
    const ids = idsOf(world)
    world.store.purge('contacts', ids.filter((_, i) => i % 13 === 0))
    const id = await resync(world)
    expect(await rows(world)).toEqual(idsOf(world))
    expect(await run(world, id)).toMatchObject({ state: 'done', deleted: Math.ceil(300 / 13) })
    const [{ most }] = (await world.db.query<{ most: number }>("select max(range) as most from hubspot_private.streams where stream = 'resync'")) as [{ most: number }]
    expect(most).toBe(0)
  })

  test('where the list is in no order of ids', async () => {
    await using world = await contacts(60, { client: (client, sandbox) => reversed(pagesOf(10)(client, sandbox)) })
    world.store.purge('contacts', idsOf(world).filter((_, i) => i % 7 === 0))
    const asked = world.store.now() - 1
    const id = await resync(world)
    expect(await rows(world)).toEqual(idsOf(world))
    expect(await run(world, id)).toMatchObject({ state: 'done', deleted: 9 })
    // Once to find that out, and once from the start.
    expect(world.store.calls({ kind: 'list', object: 'contacts' }).filter(({ at, archived }) => at > asked && archived !== true).length).toBeLessThanOrEqual(8)
    expect(await world.db.query('select from hubspot_private.listed union all select from hubspot_private.absences')).toEqual([])
  })

  test('and goes on where it stood after a crash between any two steps', async () => {
    await using world = await contacts(30, { client: pagesOf(5) })
    world.store.purge('contacts', idsOf(world).slice(3, 9))
    await world.db.query("select hubspot.resync('contacts')")
    for (let outcome = 'more'; outcome !== 'done' && outcome !== 'idle'; ) {
      const crashed = await hold(world, 'contacts', 'resync')
      await crashed?.ask()
      await world.advance(31_000)
      outcome = await runStream({ ...world.deps, sliceMs: 0 }, { object: 'contacts', stream: 'resync', range: 0 })
    }
    expect(await rows(world)).toEqual(idsOf(world))
  })
})

test('a record that the list left out, and that is there, stays', async () => {
  await using world = await contacts(20, {
    client: (client) => ({
      ...client,
      async request(request) {
        const answer = await client.request(request)
        if (request.query?.['properties'] === undefined) return answer
        const page = JSON.parse(answer.body.toString()) as { results: unknown[] }
        return { ...answer, body: Buffer.from(JSON.stringify({ ...page, results: page.results.filter((_, i) => i % 3 > 0) })) }
      },
    }),
  })
  const missed = idsOf(world).filter((id, i) => i % 3 === 0 && id)
  await world.db.query("select hubspot.refresh('contacts', $1)", [missed])
  await world.drain()
  expect(await rows(world)).toEqual(idsOf(world))
  const id = await resync(world)
  expect(await rows(world)).toEqual(idsOf(world))
  expect(await run(world, id)).toEqual({ state: 'done', deleted: 0 })
})

test('a record that was written after it was read as gone stays', async () => {
  await using world = await contacts(10)
  const [gone = ''] = idsOf(world)
  world.store.archive('contacts', gone)
  await world.db.query("select hubspot.resync('contacts')")
  const holder = (await hold(world, 'contacts', 'resync'))!
  await holder.commit(await holder.ask())
  const answer = await holder.ask()
  world.store.restore('contacts', gone)
  await world.advance(1_000)
  world.store.edit('contacts', gone, { firstname: 'back' })
  await world.db.query("select hubspot.refresh('contacts', $1)", [[gone]])
  await world.run('contacts', 'fetch')
  await holder.commit(answer)
  await world.pass(5_000)
  expect(await world.differences('contacts')).toEqual([])
})

test.for(['in the place of a page that is on its way', 'below the last id of a page that was read'] as const)('an id that is created %s, and read by another stream, stays', async (where) => {
  await using world = await contacts(12, { client: pagesOf(4) })
  const ids = idsOf(world).map(Number)
  await world.db.query("select hubspot.resync('contacts')")
  const holder = (await hold(world, 'contacts', 'resync'))!
  await holder.commit(await holder.ask())
  const second = await holder.ask()
  // Pages hold four: the last id of the first is the fourth, what lies behind it is the second's.
  const between = (at: number) => {
    const id = Array.from({ length: ids[at]! - ids[at - 1]! - 1 }, (_, i) => ids[at - 1]! + i + 1)[0]
    if (id === undefined) throw new Error('there is no room between the ids')
    return id
  }
  const id = between(where.startsWith('in') ? roomy(ids, 4) : roomy(ids, 0))
  world.store.create('contacts', [{ id, properties: { firstname: 'between' } }])
  await world.db.query("select hubspot.refresh('contacts', $1)", [[id]])
  await world.advance(1_000)
  await world.run('contacts', 'fetch')
  expect(await world.row('contacts', id)).toMatchObject({ firstname: 'between' })
  let outcome = await holder.commit(second)
  while (outcome.outcome === 'more') outcome = await holder.commit(await holder.ask())
  expect(await world.row('contacts', id)).toMatchObject({ firstname: 'between' })
  expect(await world.differences('contacts')).toEqual([])
})

/** The first place behind this one before which an id is free. */
function roomy(ids: readonly number[], from: number): number {
  return ids.findIndex((id, at) => at > from && id - ids[at - 1]! > 1)
}

describe('a full read that would delete more than a hundred rows and a tenth of all', () => {
  const many = async () => {
    const world = await contacts(400)
    world.store.purge('contacts', idsOf(world).slice(100, 250))
    return world
  }

  test('waits to be confirmed, while all else goes on', async () => {
    await using world = await many()
    const id = await resync(world)
    expect(await rows(world)).toHaveLength(400)
    expect(await run(world, id)).toEqual({ state: 'waiting', deleted: 0 })
    expect((await held(world))!.message).toContain('150 rows')
    expect((await held(world))!.hint).toContain(`hubspot.confirm_deletes(${id})`)
    world.store.edit('contacts', idsOf(world)[0]!, { firstname: 'still polled' })
    await world.pass(20_000, 10_000)
    expect(await world.row('contacts', idsOf(world)[0]!)).toMatchObject({ firstname: 'still polled' })
    await world.db.query('select hubspot.confirm_deletes($1)', [id])
    await world.drain()
    expect(await rows(world)).toEqual(idsOf(world))
    expect(await run(world, id)).toEqual({ state: 'done', deleted: 150 })
    expect(await held(world)).toBeUndefined()
  })

  test('does not wait where settings let so many pass', async () => {
    for (const setting of [`'held_deletes', 150`, `'held_deletes_percent', 40`]) {
      await using world = await many()
      await world.db.query(`select hubspot.configure(${setting})`)
      expect(await run(world, await resync(world))).toEqual({ state: 'done', deleted: 150 })
    }
  })

  test('what came back before it was confirmed stays', async () => {
    await using world = await contacts(400)
    const gone = idsOf(world).slice(0, 150)
    world.store.archive('contacts', gone)
    const id = await resync(world)
    world.store.restore('contacts', gone[0]!)
    await world.db.query('select hubspot.confirm_deletes($1)', [id])
    await world.drain()
    expect(await rows(world)).toEqual(idsOf(world))
  })

  test('gives way to the next full read, which looks anew', async () => {
    await using world = await contacts(400)
    const gone = idsOf(world).slice(0, 150)
    world.store.archive('contacts', gone)
    const first = await resync(world)
    world.store.restore('contacts', gone.slice(0, 120))
    const second = await resync(world)
    expect(await run(world, first)).toMatchObject({ state: 'stopped' })
    expect(await run(world, second)).toEqual({ state: 'done', deleted: 30 })
    expect(await held(world)).toBeUndefined()
    expect(await rows(world)).toEqual(idsOf(world))
  })

  test('gives way whole, though it was read in parts', async () => {
    await using world = await contacts(400, { client: pagesOf(10) })
    await world.db.query("select hubspot.configure('max_ranges', 6), hubspot.configure('range_records', 1)")
    world.store.purge('contacts', idsOf(world).slice(0, 150))
    const first = await resync(world)
    expect(await run(world, first)).toMatchObject({ state: 'waiting' })
    const last = idsOf(world).at(-1)!
    world.store.purge('contacts', last)
    const second = await resync(world)
    expect(await run(world, second)).toMatchObject({ state: 'waiting' })
    expect((await world.db.query<{ rows_read: string }>('select rows_read from hubspot.runs where id = $1', [second]))[0]!.rows_read).toBe('249')
    await world.db.query('select hubspot.confirm_deletes($1)', [second])
    await world.drain()
    expect(await rows(world)).toEqual(idsOf(world))
  })

  test('only a run that waits can be confirmed', async () => {
    await using world = await contacts(5)
    const id = await resync(world)
    for (const wrong of [id, '999', null]) {
      await expect(world.db.query('select hubspot.confirm_deletes($1)', [wrong])).rejects.toMatchObject({ code: 'SH104', hint: expect.stringContaining('SH216') as string })
    }
  })

  test('a hundred rows are deleted without asking', async () => {
    await using world = await contacts(150)
    world.store.purge('contacts', idsOf(world).slice(0, 100))
    await resync(world)
    expect(await rows(world)).toHaveLength(50)
  })
})
