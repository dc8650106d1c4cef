import { describe, expect, test } from 'vitest'
import type { Client } from '../src/hubspot/client.ts'
import { runStream } from '../src/sync/step.ts'
import { dueStreams, startWorld, watchedDatabase, type World } from './support/sync.ts'

// Answers that are JSON and not the truth.

const idsOf = (world: World) => [...world.store.records('contacts')].map(({ id }) => id)
const open = (world: World) =>
  world.db.query<{ code: string; record_id: string | null; message: string }>('select code, record_id, message from hubspot.problems where resolved_at is null order by id')

type Page = { results: { id: string; properties?: Record<string, unknown> }[] }

/** Lets a test rewrite the answers of paths that end so, while it has a rewriting. */
function rewriting(path: string | RegExp): { wrap: (client: Client) => Client; change: { now: ((page: Page) => void) | undefined } } {
  const change: { now: ((page: Page) => void) | undefined } = { now: undefined }
  const wrap = (client: Client): Client => ({
    ...client,
    async request(request) {
      const answer = await client.request(request)
      if (change.now === undefined || !new RegExp(path).test(request.path)) return answer
      const page = JSON.parse(answer.body.toString()) as Page
      change.now(page)
      return { ...answer, body: Buffer.from(JSON.stringify(page)) }
    },
  })
  return { wrap, change }
}

describe('a record that comes incomplete', () => {
  test.for([
    ['without properties', (record: Page['results'][number]) => { delete record.properties }],
    ['with properties that are no object', (record: Page['results'][number]) => { record.properties = [] as never }],
    ['with null for properties', (record: Page['results'][number]) => { record.properties = null as never }],
    ['without its modified date', (record: Page['results'][number]) => { record.properties = {} }],
  ] as const)('%s keeps its row, shows as a problem, and is read again, in batch reads and lists', async ([, spoil]) => {
    const { wrap, change } = rewriting(/batch\/read$|objects\/[^/]+\/0-1$/)
    await using world = await startWorld('incomplete', { sandbox: { objects: { contacts: 8 } }, client: wrap })
    await world.load('contacts', ['firstname', 'email'])
    const [bad = '', other = ''] = idsOf(world)
    const before = await world.row('contacts', bad)
    change.now = (page) => {
      for (const record of page.results) if (record.id === bad) spoil(record)
    }
    world.store.edit('contacts', [bad, other], { firstname: 'Ada' })
    await world.pass(15_000, 5_000)
    await world.db.query("select hubspot.resync('contacts')")
    await world.pass(5_000)
    expect(await world.row('contacts', bad)).toEqual(before)
    expect(await world.row('contacts', other)).toMatchObject({ firstname: 'Ada' })
    expect(await open(world)).toMatchObject([{ code: 'SH212', record_id: bad }])
    change.now = undefined
    await world.pass(3_600_000, 600_000)
    expect(await open(world)).toEqual([])
    expect(await world.differences('contacts')).toEqual([])
  })

  test.for([['null', null], ['a text', 'record'], ['a list', []]] as const)('in whose place stands %s is told of, the others are taken, and nothing is deleted for it', async ([, thing]) => {
    const { wrap, change } = rewriting(/.*/)
    await using world = await startWorld('null_record', { sandbox: { objects: { contacts: 30 } }, client: wrap })
    const [hidden = '', other = ''] = idsOf(world)
    change.now = (page) => {
      if (Array.isArray(page.results)) page.results.push(thing as never)
    }
    await world.load('contacts', ['firstname'])
    expect(await world.db.query('select state, rows::integer as rows from hubspot.status')).toEqual([{ state: 'live', rows: 30 }])
    change.now = (page) => {
      if (Array.isArray(page.results)) page.results = page.results.map((record) => (record.id === hidden ? (thing as never) : record))
    }
    world.store.edit('contacts', [hidden, other], { firstname: 'Ada' })
    await world.pass(60_000, 5_000)
    await world.db.query("select hubspot.resync('contacts'), hubspot.refresh('contacts', $1)", [[hidden]])
    await world.pass(60_000, 5_000)
    expect(await world.row('contacts', other)).toMatchObject({ firstname: 'Ada' })
    expect(await world.row('contacts', hidden)).toBeDefined()
    expect(await open(world)).toMatchObject([{ code: 'SH212', record_id: null }])
    change.now = undefined
    await world.pass(2 * 3_600_000, 600_000)
    expect(await world.differences('contacts')).toEqual([])
  })

  test('with all others of its page makes the page unreadable: it is asked again', async () => {
    const { wrap, change } = rewriting(/objects\/[^/]+\/0-1$/)
    await using world = await startWorld('incomplete', { sandbox: { objects: { contacts: 150 } }, client: wrap })
    change.now = (page) => {
      for (const record of page.results) delete record.properties
    }
    await world.db.query("select hubspot.track('contacts', '{firstname}')")
    await world.pass(10_000, 2_000)
    expect(await world.db.query('select state, rows from hubspot.status')).toEqual([{ state: 'backfilling', rows: '0' }])
    expect(await open(world)).toMatchObject([{ code: 'SH208', record_id: null, message: expect.stringContaining('lack their properties') as string }])
    change.now = undefined
    await world.pass(120_000, 20_000)
    expect(await open(world)).toEqual([])
    expect(await world.differences('contacts')).toEqual([])
  })
})

test('a list of properties that is empty archives none', async () => {
  const { wrap, change } = rewriting(/properties\//)
  await using world = await startWorld('properties', { sandbox: { objects: { contacts: 5 } }, client: wrap })
  await world.load('contacts', ['firstname'])
  change.now = (page) => { page.results = [] }
  await world.pass(3_600_000, 600_000)
  expect(await world.db.query("select property from hubspot.properties where archived_at is not null")).toEqual([])
  expect(await open(world)).toMatchObject([{ code: 'SH208', message: expect.stringContaining('no properties') as string }])
  change.now = undefined
  await world.pass(2 * 3_600_000, 600_000)
  expect(await open(world)).toEqual([])
  expect(await world.differences('contacts')).toEqual([])
})

test('odd numbers and flags in definitions, pipelines and owners stop nothing', async () => {
  const odd = (client: Client): Client => ({
    ...client,
    async request(request) {
      const answer = await client.request(request)
      if (!/properties|pipelines|owners/.test(request.path)) return answer
      const text = answer.body.toString()
        .replaceAll(/"displayOrder":-?\d+/g, '"displayOrder":99999999999.5')
        .replaceAll(/"hidden":(true|false)/g, '"hidden":"maybe"')
        .replaceAll(/"(userId\w*)":\d+/g, '"$1":98765432109876543210')
      return { ...answer, body: Buffer.from(text) }
    },
  })
  await using world = await startWorld('odd', { sandbox: { objects: { deals: 5 } }, client: odd })
  await world.load('deals')
  expect(await world.differences('deals')).toEqual([])
  expect(await world.db.query('select from hubspot.problems')).toEqual([])
  expect(await world.db.query('select distinct display_order from hubspot.pipeline_stages')).toEqual([{ display_order: null }])
  expect(await world.db.query('select distinct user_id from hubspot.owners')).toEqual([{ user_id: null }])
})

test('text that came spoilt and is repaired to what the mirror has is a problem until it comes unspoilt', async () => {
  const { wrap, change } = rewriting(/batch\/read$/)
  await using world = await startWorld('repaired', { sandbox: { objects: { contacts: 3 } }, client: wrap })
  await world.load('contacts', ['firstname'])
  const [bad = ''] = idsOf(world)
  const read = async () => {
    await world.db.query("select hubspot.refresh('contacts', $1)", [[bad]])
    await world.pass(3_000, 1_000)
  }
  change.now = (page) => {
    for (const { properties } of page.results) if (properties !== undefined) properties['firstname'] = `${String(properties['firstname'])}\0`
  }
  await read()
  await read()
  expect(await open(world)).toMatchObject([{ code: 'SH210', record_id: bad }])
  change.now = undefined
  await read()
  expect(await open(world)).toEqual([])
  expect(await world.differences('contacts')).toEqual([])
})

test('text that is repaired has its problem with the page itself: a worker that dies after it leaves none out', async () => {
  await using world = await startWorld('repaired', { sandbox: { objects: { contacts: 3 } } })
  const [bad = ''] = idsOf(world)
  world.store.edit('contacts', bad, { firstname: 'Ada\u0000Byron' })
  const seen: number[] = []
  const db = watchedDatabase(world.deps.db, async (text, _values, query) => {
    const result = await query()
    if (!text.includes('step_commit')) return result
    const [row] = await world.db.query<{ rows: number; problems: number }>(
      "select (select count(*)::int from hubspot.contacts where firstname = 'AdaByron') as rows, (select count(*)::int from hubspot.problems where code = 'SH210') as problems").catch(() => [])
    if (row?.rows === 1) seen.push(row.problems)
    return result
  })
  await world.db.query("select hubspot.track('contacts', '{firstname}')")
  for (let turn = 0; turn < 20 && seen.length === 0; turn += 1) {
    for (const key of await dueStreams(world.db)) await runStream({ ...world.deps, db }, key)
    await world.advance(2_000)
  }
  expect(seen[0]).toBe(1)
  expect(await open(world)).toMatchObject([{ code: 'SH210', record_id: bad }])
})

test.for([['a text', 'x'], ['a number', 7], ['an object', {}]] as const)('a search whose results are %s is an answer that cannot be read, and no refusal of the database', async ([, results]) => {
  const { wrap, change } = rewriting(/\/search$/)
  await using world = await startWorld('search_results', { sandbox: { objects: { contacts: 3 } }, client: wrap })
  await world.load('contacts', ['firstname'])
  change.now = (page) => { page.results = results as never }
  await world.db.query("select hubspot.sync('contacts')")
  expect(await world.run('contacts', 'poll')).toBe('failed')
  expect(await world.db.query('select distinct error_code from hubspot.runs where error_code is not null')).toEqual([{ error_code: 'SH208' }])
})
