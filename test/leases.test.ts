import { describe, expect, test } from 'vitest'
import { streamClaim, streamRelease, workerBeat } from '../src/db/calls.ts'
import { interleave } from './support/interleave.ts'
import { hold, type Holder, pagesOf, startWorld, watchedDatabase, type World } from './support/sync.ts'

const contacts = { sandbox: { objects: { contacts: 5 } } }
const key = { object: 'contacts', stream: 'resync', range: 0 }

/** A loaded object with a full read asked for. */
async function loaded(name: string): Promise<World> {
  const world = await startWorld(name, contacts)
  await world.load('contacts', ['firstname'])
  await world.db.query("select hubspot.resync('contacts')")
  return world
}

async function held(world: World, worker: string, stream = 'resync'): Promise<Holder> {
  const holder = await hold(world, 'contacts', stream, 0, worker)
  expect(holder, `${worker} holds ${stream}`).toBeDefined()
  return holder!
}

const names = (world: World) => world.db.query<{ firstname: string }>('select firstname from hubspot.contacts order by id').then((rows) => rows.map((row) => row.firstname))

test('of twenty claims at once one holds the stream', async () => {
  await using world = await loaded('leases')
  const claims = await Promise.all(Array.from({ length: 20 }, (_, i) => streamClaim(world.deps.db, key, `w${i}`)))
  expect(claims.filter((claim) => claim !== undefined)).toHaveLength(1)
  const [stream] = await world.db.query<{ holder: string }>("select holder from hubspot_private.streams where object = 'contacts' and stream = 'resync'")
  expect(stream!.holder).toBe(`w${claims.findIndex((claim) => claim !== undefined)}`)
})

test('a wake-up for a stream that has nothing to do begins nothing', async () => {
  await using world = await startWorld('leases', contacts)
  await world.load('contacts', ['firstname'])
  const before = await world.db.query('select * from hubspot.runs')
  for (const stream of ['backfill', 'fetch', 'resync', 'poll', 'settle', 'schema']) expect(await world.run('contacts', stream), stream).toBe('idle')
  expect(await world.db.query('select * from hubspot.runs')).toEqual(before)
})

describe('a commit changes nothing', () => {
  test('with the epoch of an earlier claim, though the cursor is the same', async () => {
    await using world = await loaded('leases')
    const frozen = await held(world, 'a')
    const page = await frozen.ask()
    await world.advance(31_000)
    const next = await held(world, 'b')
    world.store.edit('contacts', [...world.store.records('contacts')].map(({ id }) => id), { firstname: 'later' })
    expect(await frozen.commit(page)).toMatchObject({ outcome: 'lost' })
    expect(next.claim.cursor).toEqual(frozen.claim.cursor)
    expect((await next.commit(await next.ask())).outcome).toBe('done')
    expect(new Set(await names(world))).toEqual(new Set(['later']))
  })

  test('with the cursor of an earlier step, though the epoch is the same', async () => {
    await using world = await startWorld('leases', { ...contacts, client: pagesOf(2) })
    await world.load('contacts', ['firstname'])
    await world.db.query("select hubspot.resync('contacts')")
    const holder = await held(world, 'a')
    const page = await holder.ask()
    expect((await holder.commit(page)).outcome).toBe('more')
    world.store.edit('contacts', [...world.store.records('contacts')].map(({ id }) => id), { firstname: 'later' })
    const before = await names(world)
    expect(await holder.commit(page, { cursor: holder.claim.cursor })).toMatchObject({ outcome: 'lost' })
    expect(await names(world)).toEqual(before)
    while ((await holder.commit(await holder.ask())).outcome === 'more');
    const [run] = await world.db.query("select rows_read from hubspot.runs where stream = 'resync'")
    expect(run).toEqual({ rows_read: '5' })
  })
})

test('a worker that freezes in the middle of a load is taken over, and changes nothing when it wakes', async () => {
  await using world = await startWorld('leases', { ...contacts, client: pagesOf(2) })
  await world.db.query("select hubspot.track('contacts', '{firstname}')")
  await world.run('contacts', 'schema')
  await world.run('contacts', 'archive')
  const frozen = await held(world, 'a', 'backfill')
  await frozen.commit(await frozen.ask())
  const page = await frozen.ask()
  await world.advance(60_000)
  await world.drain()
  expect(await world.differences('contacts')).toEqual([])
  const ids = [...world.store.records('contacts')].map(({ id }) => id)
  world.store.archive('contacts', ids)
  await world.db.query("select hubspot.refresh('contacts', $1)", [ids])
  await world.drain()
  expect(await frozen.commit(page)).toMatchObject({ outcome: 'lost' })
  expect(await world.db.query('select * from hubspot.contacts')).toEqual([])
})

test('a lease ends after thirty seconds without a word, and a heartbeat keeps it', async () => {
  await using world = await loaded('leases')
  const holder = await held(world, 'a')
  const beat = (epoch: string) => workerBeat(world.deps.db, { id: 'a', host: 'h', pid: 1, queueIds: [], held: [{ ...key, epoch }] })
  await world.advance(20_000)
  await beat(holder.claim.epoch)
  await world.advance(20_000)
  expect(await streamClaim(world.deps.db, key, 'b')).toBeUndefined()
  await beat(String(BigInt(holder.claim.epoch) - 1n))
  await world.advance(11_000)
  expect(await streamClaim(world.deps.db, key, 'b')).toBeDefined()
})

test('a step renews the lease', async () => {
  await using world = await startWorld('leases', { ...contacts, client: pagesOf(2) })
  await world.load('contacts', ['firstname'])
  await world.db.query("select hubspot.resync('contacts')")
  const holder = await held(world, 'a')
  await world.advance(25_000)
  expect((await holder.commit(await holder.ask())).outcome).toBe('more')
  await world.advance(25_000)
  expect(await streamClaim(world.deps.db, key, 'b')).toBeUndefined()
})

test('a lease given back is taken at once, and the run goes on where it stood', async () => {
  await using world = await startWorld('leases', { ...contacts, client: pagesOf(2) })
  await world.load('contacts', ['firstname'])
  const [{ resync: run }] = (await world.db.query<{ resync: string }>("select hubspot.resync('contacts')")) as [{ resync: string }]
  const first = await held(world, 'a')
  await first.commit(await first.ask())
  await streamRelease(world.deps.db, key, first.claim.epoch)
  const second = await held(world, 'b')
  expect(second.claim.request).toMatchObject({ kind: 'list', after: expect.any(String) as string })
  while ((await second.commit(await second.ask())).outcome === 'more');
  const done = await world.db.query("select id, state, rows_read from hubspot.runs where stream = 'resync'")
  expect(done).toEqual([{ id: run, state: 'done', rows_read: '5' }])
})

describe('work that is queued while a holder is at its end is not lost', () => {
  const waits = (world: World) => world.db.query<{ object: string }>("select object from hubspot_private.streams_due() where object = 'contacts' and stream = 'fetch'")

  test.for([
    ['before its last commit', 'queue1 fetch1'],
    ['after it', 'fetch1 queue1'],
    ['in a transaction that ends after it', 'queue2 fetch1~ queue3'],
  ] as const)('%s', async ([, order]) => {
    await using world = await loaded('leases')
    await world.drain()
    const ids = [...world.store.records('contacts')].map(({ id }) => id)
    await world.db.query("select hubspot.refresh('contacts', $1)", [ids.slice(0, 2)])
    const holder = await held(world, 'a', 'fetch')
    const got = await holder.ask()
    const client = await world.db.pool.connect()
    let outcome = ''
    await interleave(
      {
        fetch: [async () => (outcome = (await holder.commit(got)).outcome)],
        queue: [
          () => world.db.query("select hubspot.refresh('contacts', $1)", [ids.slice(2)]),
          async () => {
            await client.query('begin')
            await client.query("select hubspot.refresh('contacts', $1)", [ids.slice(2)])
          },
          () => client.query('commit'),
        ],
      },
      order,
    )
    client.release()
    // Either the holder saw it and goes on, or it let go and the stream is due.
    expect(outcome === 'more' ? ['goes on'] : await waits(world)).toHaveLength(1)
  })
})

test('a stream whose claim is being made and one that lets go do not miss each other', async () => {
  await using world = await loaded('leases')
  await world.drain()
  const ids = [...world.store.records('contacts')].map(({ id }) => id)
  await world.db.query("select hubspot.refresh('contacts', $1)", [ids.slice(0, 1)])
  const holder = await held(world, 'a', 'fetch')
  const got = await holder.ask()
  // Its last commit stands open while another learns of work and comes to claim.
  const client = await world.db.pool.connect()
  await client.query('begin')
  await client.query("select from hubspot_private.streams where object = 'contacts' and stream = 'fetch' for update")
  await world.db.query("select hubspot.refresh('contacts', $1)", [ids.slice(1)])
  const claim = streamClaim(world.deps.db, { object: 'contacts', stream: 'fetch', range: 0 }, 'b')
  await client.query('commit')
  client.release()
  expect(await claim).toBeUndefined()
  expect((await holder.commit(got)).outcome).toBe('more')
})

test('a commit whose answer is lost counts, and is no failure of what follows', async () => {
  await using world = await startWorld('leases', { ...contacts, client: pagesOf(2) })
  await world.db.query("select hubspot.track('contacts', '{firstname}')")
  await world.run('contacts', 'schema')
  await world.run('contacts', 'archive')
  const db = watchedDatabase(world.deps.db, async (text, _, query) => {
    const result = await query()
    if (text.includes('step_commit')) throw new Error('Connection terminated unexpectedly')
    return result
  })
  const unlucky = world.worker('unlucky', { db })
  // A count, three pages, and a count again.
  for (let i = 0; i < 5; i += 1) {
    expect(await world.run('contacts', 'backfill', 0, unlucky)).toBe('failed')
    await world.advance(10_000)
  }
  expect(await world.db.query("select failures, holder, run_id from hubspot_private.streams where object = 'contacts' and stream = 'backfill'")).toEqual([{ failures: 0, holder: null, run_id: null }])
  expect(await world.db.query("select state, rows_read from hubspot.runs where stream = 'backfill'")).toEqual([{ state: 'done', rows_read: '5' }])
  expect(await world.differences('contacts')).toEqual([])
})

test('failures back off by doubling up to an hour, and a success ends that', async () => {
  await using world = await loaded('leases')
  world.store.addFault({ fault: '500' })
  const waits: number[] = []
  for (let i = 0; i < 15; i += 1) {
    expect(await world.run('contacts', 'resync')).toBe('failed')
    expect(await world.run('contacts', 'resync')).toBe('idle')
    const [left] = await world.db.query<{ ms: number }>(
      "select extract(epoch from retry_at - hubspot_private.clock())::float8 * 1000 as ms from hubspot_private.streams where object = 'contacts' and stream = 'resync'",
    )
    waits.push(left!.ms)
    await world.advance(left!.ms + 1)
  }
  for (const [i, ms] of waits.entries()) {
    const longest = Math.min(1_000 * 2 ** i, 3_600_000)
    expect(ms, `after failure ${i + 1}`).toBeLessThanOrEqual(longest)
    expect(ms, `after failure ${i + 1}`).toBeGreaterThan(longest / 2 - 1_000)
  }
  const [problem] = await world.db.query("select code, count from hubspot.problems where object = 'contacts' and resolved_at is null")
  expect(problem).toEqual({ code: 'SH207', count: '13' })
  world.store.removeFaults()
  expect(await world.run('contacts', 'resync')).toBe('done')
  expect(await world.db.query("select failures, retry_at from hubspot_private.streams where stream = 'resync' and object = 'contacts'")).toEqual([{ failures: 0, retry_at: null }])
  expect(await world.db.query('select * from hubspot.problems where resolved_at is null')).toEqual([])
})

test('what HubSpot refuses parks the object; a probe at most a quarter of an hour later finds it mended', async () => {
  await using world = await loaded('leases')
  world.store.addFault({ fault: '403', match: { object: 'contacts' } })
  expect(await world.run('contacts', 'resync')).toBe('failed')
  const state = async () => (await world.db.query<{ state: string }>("select state from hubspot.status where object = 'contacts'"))[0]!.state
  expect(await state()).toBe('parked')
  await world.pass(3_600_000, 60_000)
  const tries = world.store.calls({ kind: 'list', status: 403 }).length
  expect(tries).toBeGreaterThan(3)
  // Each try is followed by one that names no property: is it for one of them?
  expect(tries).toBeLessThan(2 * 20)
  world.store.removeFaults()
  await world.pass(15 * 60_000 + 1)
  expect(await state()).toBe('live')
  expect(await world.db.query('select * from hubspot.problems where resolved_at is null')).toEqual([])
})
