import { describe, expect, test, vi } from 'vitest'
import { createClient } from '../src/hubspot/client.ts'
import type { Fault, Sandbox } from '../src/sandbox/index.ts'
import { startWorld, type World, type WorldOptions } from './support/sync.ts'

// What HubSpot, and the way to it, do to workers that run: nothing is lost, it shows, and it heals by itself.

vi.setConfig({ testTimeout: 120_000 })

const MINUTE = 60_000
const HOUR = 60 * MINUTE
const KINDS = ['list', 'batch read', 'search', 'properties', 'pipelines', 'schemas', 'owners'] as const
const idsOf = (world: World) => [...world.store.records('contacts')].map(({ id }) => id)
const open = (world: World) =>
  world.db.query<{ object: string | null; code: string; message: string; hint: string }>(
    'select object, code, message, hint from hubspot.problems where resolved_at is null order by id')
const rowsOf = (world: World) => world.db.query<{ id: string; firstname: string }>('select id, firstname from hubspot.contacts order by id')
/** The product's own client, with less patience, or less room, than a worker's. */
const client = (options: Partial<Parameters<typeof createClient>[0]>): NonNullable<WorldOptions['client']> =>
  (_, sandbox: Sandbox) => createClient({ baseUrl: sandbox.url, token: () => sandbox.token, ...options })
const hasty = client({ timeouts: { firstByteMs: 150, totalMs: 300 } })

async function contacts(count: number, options: WorldOptions = {}): Promise<World> {
  const world = await startWorld('faults', { ...options, sandbox: { ...options.sandbox, objects: { contacts: count } } })
  await world.load('contacts', ['firstname'])
  await world.advance(1_000)
  return world
}

const FAULTS: readonly [name: string, fault: Fault, code: string, healsAfter: number][] = [
  ['502 with a web page', { type: '502' }, 'SH207', HOUR],
  ['an empty 503 without Content-Type', { type: '503' }, 'SH207', HOUR],
  ['504', { type: '504' }, 'SH207', HOUR],
  ['500', { type: '500' }, 'SH207', HOUR],
  ['423', { type: '423' }, 'SH205', HOUR],
  ['477 with Retry-After', { type: '477', retryAfter: 1_800 }, 'SH205', HOUR],
  ['a spent day', { type: '429', policy: 'daily' }, 'SH302', 26 * HOUR],
  ['no answer', { type: 'hang' }, 'SH206', HOUR],
  ['a head and nothing after it', { type: 'hang body' }, 'SH206', HOUR],
  ['a body slower than anyone waits', { type: 'slow body', ms: 2_000 }, 'SH206', HOUR],
  ['a reset', { type: 'reset' }, 'SH206', HOUR],
  ['a reset in the body', { type: 'reset body' }, 'SH208', HOUR],
  ['JSON that ends half-way', { type: 'torn' }, 'SH208', HOUR],
  ['a body shorter than announced', { type: 'short' }, 'SH208', HOUR],
  ['a web page that says 200', { type: 'content type', value: 'text/html' }, 'SH208', HOUR],
  ['no Content-Type', { type: 'content type', value: null }, 'SH208', HOUR],
  ['a sign-in page of a proxy', { type: 'answer', status: 302, headers: { Location: 'http://127.0.0.1/login' } }, 'SH206', HOUR],
  ['JSON of another kind', { type: 'answer', status: 200, body: '[]' }, 'SH208', HOUR],
  ['JSON without results', { type: 'answer', status: 200, body: '{"status": "ok"}' }, 'SH208', HOUR],
  ['records without their properties', { type: 'incomplete' }, 'SH208', HOUR],
]

describe('while HubSpot answers with', () => {
  test.for(FAULTS)('%s: rows stay as they were, a problem says so, and it heals', async ([, fault, code, healsAfter]) => {
    await using world = await contacts(130, { client: hasty })
    const [one = '', two = '', three = ''] = idsOf(world)
    const before = (await rowsOf(world)).filter(({ id }) => id !== three)
    const number = world.store.addFault({ fault, match: { kind: KINDS } })
    world.store.edit('contacts', [one, two], { firstname: 'meanwhile' })
    world.store.archive('contacts', three)
    await world.db.query(`select hubspot.refresh('contacts', $1), hubspot.resync('contacts')`, [[one, two, three]])
    await world.pass(2 * MINUTE, 10_000)
    // What is gone may be known by its absence alone.
    expect((await rowsOf(world)).filter(({ id }) => id !== three)).toEqual(before)
    expect(await open(world)).toContainEqual({ object: 'contacts', code, message: expect.any(String) as string, hint: expect.stringMatching(/.{10}/) as string })
    world.store.removeFaults(number)
    await world.pass(healsAfter, healsAfter / 24)
    // What was asked for before it, and not only what search finds after it.
    expect(await world.differences('contacts')).toEqual([])
    expect(await open(world)).toEqual([])
  })
})

test('another app that takes the limits for itself slows the work down, and costs nothing else', async () => {
  await using world = await contacts(130)
  world.store.addFault({ fault: { type: '429', policy: 'burst' }, match: { kind: KINDS }, times: 40 })
  world.store.edit('contacts', idsOf(world), { firstname: 'meanwhile' })
  await world.pass(2 * MINUTE, 10_000)
  await world.pass(HOUR, 10 * MINUTE)
  expect(await world.differences('contacts')).toEqual([])
  expect(await open(world)).toEqual([])
  expect((await world.db.query<{ n: string }>('select sum(throttled_count) as n from hubspot.quota'))[0]).toEqual({ n: '40' })
})

describe('a first load', () => {
  test.for(FAULTS.filter(([, { type }]) => ['502', '477', 'hang body', 'reset body', 'torn', 'incomplete'].includes(type)))('that meets %s in its middle goes on where it stood', async ([, fault, , healsAfter]) => {
    await using world = await startWorld('load', { sandbox: { objects: { contacts: 450 } }, client: hasty })
    const number = world.store.addFault({ fault, match: { kind: 'list' }, nth: 3 })
    await world.db.query("select hubspot.track('contacts', '{firstname}')")
    await world.pass(MINUTE, 10_000)
    expect(await world.db.query('select state from hubspot.status')).not.toEqual([{ state: 'live' }])
    world.store.removeFaults(number)
    world.store.resetCalls()
    await world.pass(healsAfter, healsAfter / 24)
    expect(await world.db.query('select state, rows from hubspot.status')).toEqual([{ state: 'live', rows: '450' }])
    expect(await world.differences('contacts')).toEqual([])
    expect(await open(world)).toEqual([])
  })

  test('takes pages with duplicates, short pages, and records made below the newest meanwhile', async () => {
    await using world = await startWorld('odd', { sandbox: { objects: { contacts: 450 }, settings: { shortPages: 0.4 } } })
    const highest = Math.max(...idsOf(world).map(Number))
    world.store.addFault({ fault: 'duplicates', match: { kind: ['list', 'batch read', 'search'] } })
    const low = world.store.nextCall({ kind: 'list' }).then(() => world.store.nextCall({ kind: 'list' })).then(() => {
      world.store.create('contacts', [{ id: 1, properties: { firstname: 'low' } }, { id: highest + 10_000, properties: { firstname: 'high' } }])
    })
    await world.load('contacts', ['firstname'])
    await low
    world.store.edit('contacts', idsOf(world).slice(10, 15), { firstname: 'edited' })
    await world.pass(MINUTE, 10_000)
    expect(await world.differences('contacts')).toEqual([])
    expect(await open(world)).toEqual([])
    expect((await world.db.query('select rows from hubspot.status'))[0]).toEqual({ rows: '452' })
  })

  test('that was not shown some records counts them and reads once more, and a full read that is not shown some loses none', async () => {
    await using world = await startWorld('missing', { sandbox: { objects: { contacts: 330 } } })
    world.store.addFault({ fault: 'missing', match: { kind: 'list' }, nth: 2, times: 2 })
    await world.load('contacts', ['firstname'])
    expect(await world.differences('contacts')).toEqual([])
    expect(await world.db.query("select state from hubspot.runs where stream = 'backfill'")).toEqual([{ state: 'done' }])
    world.store.addFault({ fault: 'missing', match: { kind: 'list' } })
    await world.db.query(`select hubspot.resync('contacts')`)
    await world.pass(10_000)
    expect(await world.differences('contacts')).toEqual([])
  })
})

describe('a page', () => {
  test('of ten megabytes is taken as any other', async () => {
    await using world = await startWorld('large', { sandbox: { objects: { contacts: 120 } } })
    for (const id of idsOf(world)) world.store.edit('contacts', id, { firstname: 'é'.repeat(52_000) })
    world.store.addFault({ fault: { type: 'padding', bytes: 10_000_000 }, match: { kind: 'search' } })
    await world.load('contacts', ['firstname'])
    await world.pass(MINUTE, 10_000)
    expect(await world.differences('contacts')).toEqual([])
    expect(await open(world)).toEqual([])
  })

  test('beyond the limit is asked for again in smaller ones, and so is a batch', async () => {
    await using world = await startWorld('limit', { sandbox: { objects: { contacts: 130 } }, client: client({ bodyLimit: 400_000 }) })
    const ids = idsOf(world)
    // A hundred of them are more than the limit, ten are not.
    world.store.edit('contacts', ids, { firstname: 'x'.repeat(10_000) })
    await world.load('contacts', ['firstname'])
    expect(await world.differences('contacts')).toEqual([])
    world.store.edit('contacts', ids, { firstname: 'y'.repeat(10_000) }, { touch: false })
    await world.db.query(`select hubspot.refresh('contacts', $1)`, [ids])
    await world.pass(20 * MINUTE, 30_000)
    expect(await world.differences('contacts')).toEqual([])
    expect(await open(world)).toEqual([])
  })
})

test('a scope that is withdrawn parks the object, not the account, and given back it goes on by itself', async () => {
  await using world = await startWorld('scope', { sandbox: { objects: { contacts: 20, companies: 20 } } })
  await world.load('contacts', ['firstname'])
  await world.load('companies', ['name'])
  const states = () => world.db.query('select object, state from hubspot.status order by object')
  const scopes = (...names: string[]) => world.store.addToken({ token: world.sandbox.token, scopes: names })
  scopes('crm.objects.companies.read', 'crm.schemas.companies.read')
  world.store.edit('contacts', idsOf(world)[0]!, { firstname: 'unseen' })
  world.store.edit('companies', [...world.store.records('companies')][0]!.id, { name: 'seen' })
  await world.pass(2 * MINUTE, 10_000)
  expect(await states()).toEqual([{ object: 'companies', state: 'live' }, { object: 'contacts', state: 'parked' }])
  expect(await world.differences('companies')).toEqual([])
  expect((await open(world)).filter(({ object }) => object === 'contacts')).toMatchObject([{ code: 'SH202', hint: expect.stringContaining('crm.objects.contacts.read') as string }])
  world.store.addToken({ token: world.sandbox.token })
  await world.pass(40 * MINUTE, 5 * MINUTE)
  expect(await states()).toEqual([{ object: 'companies', state: 'live' }, { object: 'contacts', state: 'live' }])
  expect(await open(world)).toEqual([])
  expect(await world.differences('contacts')).toEqual([])
})
