import { expect, test } from 'vitest'
import type { Client } from '../src/hubspot/client.ts'
import { Refused, Transient } from '../src/lib/errors.ts'
import { edgeDifferences } from './support/compare.ts'
import { startWorld, type World } from './support/sync.ts'

const MINUTE = 60_000
const HOUR = 60 * MINUTE

type Request = Parameters<Client['request']>[0]
const isBatch = ({ path }: Request) => path.endsWith('/batch/read')
const named = ({ body }: Request) =>
  ((typeof body === 'string' ? JSON.parse(body) : body) as { inputs: { id: string | number }[] }).inputs.map(({ id }) => String(id))

const failures: Record<number, () => Error> = {
  400: () => new Refused('SH203', 'HubSpot answered 400: this record is cursed', { status: 400, category: '', scopes: undefined, hint: 'Read it.', detail: { method: 'POST' } }),
  404: () => new Refused('SH211', 'HubSpot answered 404: this record is cursed', { status: 404, category: '', scopes: undefined, hint: 'Read it.', detail: { method: 'POST' } }),
  500: () => new Transient('SH207', 'HubSpot answered 500: this record is cursed', { hint: 'Read it.', detail: { method: 'POST' } }),
}

/** Batch calls that name one of these fail, and are counted; `all`: every batch call. */
function cursed() {
  const curse = { ids: new Set<string>(), failed: 0, status: 500, all: false }
  const client = (real: Client): Client => ({
    ...real,
    request(request) {
      if (!isBatch(request) || !(curse.all || named(request).some((id) => curse.ids.has(id)))) return real.request(request)
      curse.failed += 1
      return Promise.reject(failures[curse.status]!())
    },
  })
  return { curse, client }
}

const idsOf = (world: World, object = 'contacts') => [...world.store.records(object)].map(({ id }) => id)
const problems = (world: World) =>
  world.db.query<{ code: string; record_id: string | null; message: string }>('select code, record_id, message from hubspot.problems where resolved_at is null order by code, record_id')
const refresh = (world: World, ids: readonly string[]) => world.db.query("select hubspot.refresh('contacts', $1)", [ids])

test.for([400, 404, 500])('records that HubSpot answers %i for wait alone, up to an hour, and the others are read', async (status) => {
  const { curse, client } = cursed()
  await using world = await startWorld('suspects', { sandbox: { objects: { contacts: 230 } }, client })
  await world.load('contacts', ['firstname'])
  const ids = idsOf(world)
  const bad = [ids[57]!, ids[58]!]
  bad.forEach((id) => curse.ids.add(id))
  curse.status = status
  world.store.edit('contacts', ids, { firstname: 'anew' }, { touch: false })
  await refresh(world, ids)
  await world.pass(10 * MINUTE, 30_000)
  expect(await world.db.query<{ id: string }>("select id from hubspot.contacts where firstname is distinct from 'anew' order by id")).toEqual(bad.map((id) => ({ id })))
  expect(await problems(world)).toEqual(bad.map((id) => ({
    code: 'SH212', record_id: id, message: `HubSpot does not answer for record ${id} of contacts: HubSpot answered ${status}: this record is cursed`,
  })))
  // Alone it holds up nobody.
  world.store.edit('contacts', ids[0]!, { firstname: 'later' }, { touch: false })
  await refresh(world, ids.slice(0, 1))
  await world.drain()
  expect(await world.row('contacts', ids[0]!)).toMatchObject({ firstname: 'later' })
  await world.pass(3 * HOUR, 10 * MINUTE)
  curse.failed = 0
  await world.pass(6 * HOUR, 10 * MINUTE)
  expect(curse.failed).toBeGreaterThanOrEqual(2 * 5)
  expect(curse.failed).toBeLessThanOrEqual(2 * 7)
  curse.ids.clear()
  await world.pass(2 * HOUR, 10 * MINUTE)
  expect(await world.differences('contacts')).toEqual([])
  expect(await problems(world)).toEqual([])
})

test('where HubSpot fails at everything, few calls are made and no record is held to be at fault', async () => {
  const { curse, client } = cursed()
  await using world = await startWorld('suspects', { sandbox: { objects: { contacts: 230 } }, client })
  await world.load('contacts', ['firstname'])
  const ids = idsOf(world)
  curse.all = true
  world.store.edit('contacts', ids, { firstname: 'anew' }, { touch: false })
  await refresh(world, ids)
  await world.pass(6 * HOUR, 10 * MINUTE)
  expect(curse.failed).toBeLessThan(30)
  expect((await problems(world)).filter(({ record_id }) => record_id !== null)).toEqual([])
  curse.all = false
  world.store.resetCalls()
  await world.pass(HOUR + MINUTE, 10 * MINUTE)
  expect(await world.differences('contacts')).toEqual([])
  expect(await problems(world)).toEqual([])
  expect(world.store.calls({ kind: 'batch read' }).length).toBeLessThan(25)
})

test.for([400, 500])('a record whose associations HubSpot answers %i for holds up neither the sweep nor the others', async (status) => {
  const { curse, client } = cursed()
  await using world = await startWorld('suspects', { sandbox: { objects: { contacts: 40, deals: 40 } }, client })
  await world.load('contacts', ['firstname'])
  await world.load('deals', ['dealname'])
  const [contacts, deals] = [idsOf(world), idsOf(world, 'deals')]
  contacts.forEach((id, i) => world.store.associate('contacts', id, 'deals', deals[i]!))
  const bad = contacts.at(-1)!
  curse.ids.add(bad)
  curse.status = status
  await world.db.query("select hubspot.track_associations('contacts', 'deals')")
  await world.pass(10 * MINUTE, 30_000)
  expect(await world.db.query('select count(*)::integer from hubspot.contacts_deals')).toEqual([{ count: 39 }])
  expect(await problems(world)).toMatchObject([{ code: 'SH217', record_id: bad, message: expect.stringContaining('cursed') as string }])
  expect(await world.db.query("select state from hubspot.runs where stream = 'associations' and requests > 2")).toEqual([{ state: 'done' }])
  curse.ids.clear()
  await world.pass(2 * HOUR, 10 * MINUTE)
  expect(await edgeDifferences(world.db, world.sandbox, 'contacts', 'deals')).toEqual([])
  expect(await problems(world)).toEqual([])
})

test('a full read is not held up by a record that it did not list and HubSpot does not answer for', async () => {
  const { curse, client } = cursed()
  await using world = await startWorld('suspects', { sandbox: { objects: { contacts: 30 } }, client })
  await world.load('contacts', ['firstname'])
  const gone = idsOf(world).slice(0, 4)
  for (const id of gone) world.store.purge('contacts', id)
  curse.ids.add(gone[1]!)
  await world.db.query("select hubspot.resync('contacts')")
  await world.pass(10 * MINUTE, 30_000)
  expect(await world.db.query('select count(*)::integer from hubspot.contacts')).toEqual([{ count: 27 }])
  expect(await world.db.query("select state from hubspot.runs where object = 'contacts' and stream = 'resync'")).toEqual([{ state: 'done' }])
  expect(await problems(world)).toMatchObject([{ code: 'SH212', record_id: gone[1] }])
  curse.ids.clear()
  await world.pass(2 * HOUR, 10 * MINUTE)
  expect(await world.differences('contacts')).toEqual([])
  expect(await problems(world)).toEqual([])
})

test('of a table whose values take batch reads the first load goes on without such a record', async () => {
  const { curse, client } = cursed()
  await using world = await startWorld('suspects', { sandbox: { objects: { contacts: 250 } }, client })
  for (let n = 0; n < 150; n += 1) world.store.addProperty('contacts', { name: `a_property_with_${'a_long_name_'.repeat(7)}${n}`, type: 'string' })
  const ids = idsOf(world)
  curse.ids.add(ids[150]!)
  await world.load('contacts')
  await world.pass(10 * MINUTE, 30_000)
  expect(await world.db.query('select count(*)::integer from hubspot.contacts')).toEqual([{ count: 249 }])
  expect(await world.db.query("select state from hubspot.runs where object = 'contacts' and stream = 'backfill'")).toEqual([{ state: 'done' }])
  expect(await problems(world)).toMatchObject([{ code: 'SH212', record_id: ids[150] }])
  curse.ids.clear()
  await world.pass(2 * HOUR, 10 * MINUTE)
  expect(await world.differences('contacts')).toEqual([])
})

/** Lists whose places are texts, as many to a page; those given out lapse when the world says so. */
function lapsing() {
  const state = { era: 0, refused: 0, isForgetful: false }
  const client = (real: Client): Client => ({
    ...real,
    async request(request) {
      const { query } = request
      if (query?.['limit'] === undefined) return await real.request(request)
      const after = query['after'] === undefined ? undefined : String(query['after']).split('~')
      if (after !== undefined && (state.isForgetful || after[1] !== String(state.era))) {
        state.refused += 1
        return await real.request({ ...request, query: { ...query, after: 'lapsed!' } })
      }
      const answer = await real.request({ ...request, query: { ...query, limit: 10, ...(after && { after: after[0] }) } })
      const page = JSON.parse(answer.body.toString()) as { paging?: { next?: { after: string } } }
      if (page.paging?.next) page.paging.next.after += `~${state.era}`
      return { ...answer, body: Buffer.from(JSON.stringify(page)) }
    },
  })
  return { state, client }
}

/** Takes one step of a stream, which then stands in the middle of its list. */
async function stepInto(world: World, stream: string): Promise<void> {
  const deps = world.worker('slow', { sliceMs: -1 })
  while ((await world.db.query<{ at: string | null }>("select cursor ->> 'after' as at from hubspot_private.streams where object = 'contacts' and stream = $1", [stream]))[0]?.at == null) {
    expect(await world.run('contacts', stream, 0, deps)).toBe('more')
  }
}

const begun: Record<string, (world: World) => Promise<unknown>> = {
  archive: (world) => world.advance(HOUR),
  resync: (world) => world.db.query("select hubspot.resync('contacts')"),
  fill: async (world) => {
    world.store.addProperty('contacts', { name: 'added', type: 'string', filled: true })
    await world.advance(HOUR)
    await world.run('contacts', 'schema')
  },
}

test.for(['archive', 'resync', 'fill'])('%s begins its list again where HubSpot refuses the place that it stands at', async (stream) => {
  const { state, client } = lapsing()
  await using world = await startWorld('suspects', { sandbox: { objects: { contacts: 60 } }, client })
  await world.load('contacts')
  const ids = idsOf(world)
  world.store.archive('contacts', ids.slice(0, 25))
  await begun[stream]!(world)
  await stepInto(world, stream)
  state.era += 1
  await world.pass(5 * MINUTE, 30_000)
  expect(state.refused).toBeGreaterThan(0)
  expect(await world.db.query('select stream from hubspot_private.streams where failures > 0 or restarts > 0')).toEqual([])
  expect(await problems(world)).toEqual([])
  await world.pass(HOUR, 10 * MINUTE)
  expect(await world.differences('contacts')).toEqual([])
})

test('so does the first load, and a place that is refused each time is a problem that costs few calls', async () => {
  const { state, client } = lapsing()
  await using world = await startWorld('suspects', { sandbox: { objects: { contacts: 60 } }, client })
  await world.db.query("select hubspot.track('contacts', array['firstname'])")
  await world.run('*', 'schema')
  await world.run('contacts', 'schema')
  await world.run('contacts', 'archive')
  await stepInto(world, 'backfill')
  state.isForgetful = true
  await world.pass(6 * HOUR, 10 * MINUTE)
  expect(state.refused).toBeLessThan(80)
  expect(await problems(world)).toMatchObject([{ code: 'SH203', record_id: null }])
  state.isForgetful = false
  await world.pass(2 * HOUR, 10 * MINUTE)
  expect(await world.differences('contacts')).toEqual([])
  expect(await problems(world)).toEqual([])
})
