import { describe, expect, test } from 'vitest'
import type { Client } from '../src/hubspot/client.ts'
import { pagesOf, startWorld, type World } from './support/sync.ts'

const MINUTE = 60_000

const ids = (world: World) => [...world.store.records('deals')].map(({ id }) => id)
const problems = async (world: World) => (await world.db.query<{ code: string }>('select code from hubspot.problems where resolved_at is null')).map(({ code }) => code)
const queued = (world: World) => world.db.query('select id from hubspot_private.fetch_queue')
const reads = (world: World) => world.store.calls({ kind: 'batch read' }).length
async function completeUntil(world: World): Promise<number> {
  const [status] = await world.db.query<{ until: string }>("select complete_until as until from hubspot.status where object = 'deals'")
  return Date.parse(status!.until)
}
async function loaded(options: Parameters<typeof startWorld>[1] = {}): Promise<World> {
  const world = await startWorld('behind', { ...options, sandbox: { ...options.sandbox, objects: { deals: 20 } } })
  await world.load('deals', ['dealname'])
  await world.pass(62 * MINUTE, 31 * MINUTE)
  world.store.resetCalls()
  return world
}

describe.each([[1, 14], [8, 14], [30, 64]])('batch reads that are %i minutes behind search', (behind, within) => {
  test(`are asked again: edits, new and restored records are here within ${within} minutes, and complete_until waits for them`, async () => {
    await using world = await loaded()
    const [edited = '', twice = '', archived = ''] = ids(world)
    world.store.archive('deals', archived)
    await world.pass(62 * MINUTE, 31 * MINUTE)
    world.store.configure({ restoreBumps: true })
    const fault = world.store.addFault({ match: { kind: 'batch read' }, fault: { type: 'behind', ms: behind * MINUTE } })
    const began = world.store.now()
    world.store.edit('deals', [edited, twice], { dealname: 'edited' })
    world.store.create('deals', [{ properties: { dealname: 'new' } }])
    world.store.restore('deals', archived)
    await world.advance(30_000)
    world.store.edit('deals', twice, { dealname: 'edited again' })
    for (let minutes = 0; minutes < within; minutes += 1) {
      if ((await world.differences('deals')).length > 0) expect(await completeUntil(world)).toBeLessThan(world.store.now() - minutes * MINUTE)
      await world.pass(MINUTE, 15_000)
    }
    expect(await world.differences('deals')).toEqual([])
    world.store.removeFaults(fault)
    await world.pass(65 * MINUTE, 13 * MINUTE)
    expect(await completeUntil(world)).toBeGreaterThan(began)
    expect(await queued(world)).toEqual([])
    expect(await problems(world)).toEqual([])
  })
})

test.for([true, false])('one read that does not find a record which search has just shown does not take it for gone (an archived list: %s)', async (hasList) => {
  await using world = await loaded({ sandbox: { settings: { archivedList: hasList ? [] : ['deals'] } } })
  world.store.create('deals', [{ properties: { dealname: 'new' } }])
  world.store.addFault({ match: { kind: 'batch read' }, fault: { type: 'behind', ms: MINUTE }, times: 1 })
  await world.advance(11_000)
  await world.run('deals', 'poll')
  await world.run('deals', 'fetch')
  expect(reads(world)).toBe(1)
  expect(await world.db.query('select from hubspot_private.tombstones')).toEqual([])
  await world.pass(4_000, 2_000)
  expect(await world.differences('deals')).toEqual([])
  expect(await queued(world)).toEqual([])
})

/** A HubSpot of which no batch read ever shows this record as it is. */
const stuck = (held: { id: string; record: object | undefined }) => (client: Client): Client => ({
  ...client,
  async request(request) {
    const answer = await client.request(request)
    if (held.record === undefined || !request.path.endsWith('/batch/read')) return answer
    const said = JSON.parse(answer.body.toString()) as { results: { id: string }[] }
    return { ...answer, body: Buffer.from(JSON.stringify({ ...said, results: said.results.map((result) => (result.id === held.id ? held.record : result)) })) }
  },
})

async function stuckWorld() {
  const held: { id: string; record: object | undefined } = { id: '', record: undefined }
  const world = await loaded({ client: stuck(held) })
  held.id = ids(world)[3]!
  const { properties, createdAt, updatedAt } = world.store.record('deals', held.id)!
  held.record = { id: held.id, properties, createdAt, updatedAt, archived: false }
  world.store.edit('deals', held.id, { dealname: 'edited' })
  const edited = world.store.now()
  world.store.resetCalls()
  await world.pass(60 * MINUTE, 30_000)
  expect(await completeUntil(world)).toBeLessThan(edited)
  expect(await problems(world)).toEqual([])
  await world.pass(10 * MINUTE, 30_000)
  expect(await problems(world)).toEqual(['SH235'])
  expect(await completeUntil(world)).toBeGreaterThanOrEqual(edited)
  return { world, held }
}

describe('a version that search shows and no read ever', () => {
  test('is a problem once the last settle window has asked, costs a few calls, and is forgotten in a day', async () => {
    const { world } = await stuckWorld()
    await using _ = world
    expect(reads(world)).toBeLessThanOrEqual(3 * 7)
    // Or search would name it anew.
    world.store.edit('deals', ids(world)[0]!, { dealname: 'later' })
    await world.pass(25 * 60 * MINUTE, 60 * MINUTE)
    await world.db.query('select hubspot_private.history_sweep()')
    expect(await problems(world)).toEqual([])
    expect(reads(world)).toBeLessThanOrEqual(3 * 7 + 1)
  })

  test('is none any more once a read shows it', async () => {
    const { world, held } = await stuckWorld()
    await using _ = world
    held.record = undefined
    await world.db.query("select hubspot.refresh('deals', $1)", [[held.id]])
    await world.drain()
    expect(await problems(world)).toEqual([])
    expect(await world.differences('deals')).toEqual([])
  })
})

describe('a new record that search shows and no read ever', () => {
  /** Batch reads leave it out; `archivedList`: objects whose archived list HubSpot does not show. */
  async function unread(archivedList: string[] = []) {
    const held: { id: string | undefined } = { id: undefined }
    const world = await loaded({
      sandbox: { settings: { archivedList } },
      client: (client) => ({
        ...client,
        async request(request) {
          const answer = await client.request(request)
          if (!request.path.endsWith('/batch/read')) return answer
          const said = JSON.parse(answer.body.toString()) as { results: { id: string }[] }
          return { ...answer, body: Buffer.from(JSON.stringify({ ...said, results: said.results.filter(({ id }) => id !== held.id) })) }
        },
      }),
    })
    held.id = world.store.create('deals', [{ properties: { dealname: 'new' } }])[0]!.id
    const sweep = () => world.db.query('select hubspot_private.history_sweep()')
    await world.pass(15_000)
    await world.pass(3 * 60 * MINUTE, 10 * MINUTE)
    await sweep()
    expect(await problems(world)).toEqual([])
    await world.pass(2 * 60 * MINUTE, 10 * MINUTE)
    await sweep()
    const told = () => world.db.query<{ record_id: string; message: string }>("select record_id, message from hubspot.problems where code = 'SH235' and resolved_at is null")
    expect(await told()).toEqual([{ record_id: held.id, message: `search shows record ${held.id} of deals, and no read by id finds it` }])
    return { world, held, id: held.id, sweep, told }
  }

  test.for([true, false])('is a problem after hours, costs few calls, and is forgotten in a day (an archived list: %s)', async (hasList) => {
    const { world, id, sweep, told } = await unread(hasList ? [] : ['deals'])
    await using _ = world
    expect(reads(world)).toBeLessThanOrEqual(7 + 2 + 3)
    world.store.resetCalls()
    // That it is not found once more is nothing new.
    await world.db.query("select hubspot.refresh('deals', $1)", [[id]])
    await world.drain()
    await sweep()
    expect(await told()).toHaveLength(1)
    // Or search would name it anew.
    world.store.edit('deals', ids(world)[0]!, { dealname: 'later' })
    await world.pass(25 * 60 * MINUTE, 60 * MINUTE)
    await sweep()
    expect(await told()).toEqual([])
    expect(reads(world)).toBeLessThanOrEqual(2)
    await sweep()
    expect(await told()).toEqual([])
  })

  test.for(['a read', 'a full read'] as const)('is none any more once %s finds it', async (which) => {
    const { world, held, id, sweep, told } = await unread()
    await using _ = world
    held.id = undefined
    await world.db.query(which === 'a read' ? "select hubspot.refresh('deals', $1)" : "select hubspot.resync('deals') where $1::bigint[] is not null", [[id]])
    await world.drain()
    await sweep()
    expect(await told()).toEqual([])
    expect(await world.differences('deals')).toEqual([])
  })

  test('is none any more once the archived list shows it', async () => {
    const { world, id, sweep, told } = await unread()
    await using _ = world
    world.store.archive('deals', id)
    await world.pass(62 * MINUTE, 31 * MINUTE)
    await sweep()
    expect(await told()).toEqual([])
  })
})

describe('records that search still shows and that are gone', () => {
  const index = { sandbox: { settings: { searchValues: 'index', archivedList: ['deals'] } } } as const
  test.for([[30, 2], [180, 3]] as const)('for %i minutes: rows that have long been here go at once, for %i calls', async ([minutes, calls]) => {
    await using world = await loaded(index)
    const gone = ids(world).slice(0, 15)
    world.store.edit('deals', gone, { dealname: 'edited' })
    world.store.purge('deals', gone, { lag: minutes * MINUTE })
    await world.pass(15_000)
    expect(await world.differences('deals')).toEqual([])
    await world.pass(150 * MINUTE, 5 * MINUTE)
    expect(await world.differences('deals')).toEqual([])
    expect(reads(world)).toBe(calls)
    expect(await queued(world)).toEqual([])
    expect(await problems(world)).toEqual([])
  })

  test('new ones are looked for during a minute', async () => {
    await using world = await loaded(index)
    const made = world.store.create('deals', Array.from({ length: 50 }, () => ({ properties: { dealname: 'new' } }))).map(({ id }) => id)
    world.store.purge('deals', made, { lag: 180 * MINUTE })
    await world.pass(2 * MINUTE, 2_000)
    expect(reads(world)).toBe(7)
    expect(await queued(world)).toEqual([])
    await world.pass(150 * MINUTE, 5 * MINUTE)
    expect(reads(world)).toBe(9)
    expect(await problems(world)).toEqual([])
    expect(await completeUntil(world)).toBeGreaterThan(world.store.now() - 65 * MINUTE)
  })
})

test.for([1, 300])('pages of search that are short and name no next, %i ms between records, are read to their end', async (apart) => {
  await using world = await loaded({
    client: (client, sandbox) => {
      const short = pagesOf(100, 100)(client, sandbox)
      return {
        ...short,
        async request(request) {
          const answer = await short.request(request)
          if (!request.path.endsWith('/search')) return answer
          const { paging: _, ...page } = JSON.parse(answer.body.toString()) as Record<string, unknown>
          return { ...answer, body: Buffer.from(JSON.stringify(page)) }
        },
      }
    },
  })
  const at = world.store.now()
  for (let n = 0; n < 150; n += 1) world.store.create('deals', [{ properties: { dealname: `new ${n}` } }], { at: at + Math.floor((n * apart) / 300) })
  await world.pass(15_000)
  expect(await world.differences('deals')).toEqual([])
  world.store.resetCalls()
  await world.run('deals', 'poll')
  expect(world.store.calls({ kind: 'search' }).length).toBeLessThanOrEqual(1)
})
