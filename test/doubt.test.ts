import { describe, expect, test } from 'vitest'
import type { Client } from '../src/hubspot/client.ts'
import { startWorld, type World, type WorldOptions } from './support/sync.ts'

const idsOf = (world: World, object: string) => [...world.store.records(object)].map(({ id }) => id)
const rows = async (world: World, object: string) => (await world.db.query<{ id: string }>(`select id from hubspot.${object} order by id`)).map(({ id }) => id)
const problems = async (world: World) => (await world.db.query<{ code: string }>('select code from hubspot.problems where resolved_at is null')).map(({ code }) => code)
const held = (world: World) => world.db.query<{ id: string; deleted: number }>("select id, deleted::integer from hubspot.runs where stream = 'resync' and state = 'waiting'")

/** Batch reads of records that answer something else, as long as `says` has it. */
type Liar = { says: undefined | ((asked: string[], answer: { results: Record<string, unknown>[] }) => object | undefined) }
const silence: Liar['says'] = () => ({ status: 'COMPLETE', results: [] })
const lying = (liar: Liar): NonNullable<WorldOptions['client']> => (client: Client) => ({
  ...client,
  async request(request) {
    const answer = await client.request(request)
    if (liar.says === undefined || !request.path.endsWith('/batch/read') || request.path.includes('associations')) return answer
    const { inputs } = request.body as { inputs: { id: string }[] }
    const said = liar.says(inputs.map(({ id }) => id), JSON.parse(answer.body.toString()) as { results: Record<string, unknown>[] })
    return said === undefined ? answer : { ...answer, body: Buffer.from(JSON.stringify(said)) }
  },
})

/** An object with more names than a URL takes: its lists give ids, batch reads the values. */
async function wide(count: number, liar: Liar): Promise<World> {
  const world = await startWorld('doubt', { client: lying(liar) })
  world.store.addObject({ name: 'thing', properties: Array.from({ length: 230 }, (_, i) => ({ name: `quite_a_long_name_of_a_text_${i}`, filled: false })) })
  world.store.create('thing', Array.from({ length: count }, (_, i) => ({ properties: { quite_a_long_name_of_a_text_0: `v${i}` } })))
  await world.db.query('select hubspot.sync()')
  await world.drain()
  await world.load('thing')
  await world.advance(5_000)
  return world
}

describe('a batch read that does not tell of ids that the list has just shown', () => {
  test('deletes no more in a resync than one that lists less: many wait to be confirmed, and what is there stays', async () => {
    const liar: Liar = { says: undefined }
    await using world = await wide(130, liar)
    liar.says = silence
    await world.db.query("select hubspot.resync('thing')")
    await world.drain()
    expect(await rows(world, 'thing')).toEqual(idsOf(world, 'thing'))
    expect(await problems(world)).toEqual(['SH216'])
    const [run] = await held(world)
    expect(run).toMatchObject({ deleted: 0 })
    liar.says = undefined
    await world.db.query('select hubspot.confirm_deletes($1)', [run!.id])
    await world.drain()
    expect(await world.differences('thing')).toEqual([])
  })

  test('once: they are read again at the end, and stay; what is gone by then goes', async () => {
    const liar: Liar = { says: undefined }
    await using world = await wide(20, liar)
    const [gone = '', ...others] = idsOf(world, 'thing')
    liar.says = (_, answer) => {
      liar.says = undefined
      world.store.purge('thing', gone)
      return { ...answer, results: answer.results.filter(({ id }) => id === others[0]) }
    }
    await world.db.query("select hubspot.resync('thing')")
    await world.drain()
    expect(await rows(world, 'thing')).toEqual(others)
    expect(await world.differences('thing')).toEqual([])
  })
})

describe('a fetch that is answered without a word about many records', () => {
  async function edited(liar: Liar): Promise<World> {
    const world = await startWorld('doubt', { sandbox: { objects: { deals: 150 } }, client: lying(liar) })
    await world.load('deals', ['dealname'])
    await world.advance(5_000)
    return world
  }

  test('takes none away while it may be a passing fault', async () => {
    const liar: Liar = { says: undefined }
    await using world = await edited(liar)
    world.store.edit('deals', idsOf(world, 'deals').slice(0, 120), { dealname: 'edited' })
    liar.says = silence
    await world.pass(120_000, 20_000)
    expect(await rows(world, 'deals')).toHaveLength(150)
    liar.says = undefined
    await world.pass(120_000, 20_000)
    expect(await world.differences('deals')).toEqual([])
    expect(await world.db.query('select from hubspot_private.fetch_queue')).toEqual([])
  })

  test('takes them away where it is said again and again', async () => {
    const liar: Liar = { says: (_, { results }) => ({ status: 'COMPLETE', results }) }
    await using world = await edited(liar)
    const gone = idsOf(world, 'deals').slice(0, 30)
    world.store.purge('deals', gone)
    await world.db.query("select hubspot.refresh('deals', $1)", [gone])
    await world.drain()
    expect(await rows(world, 'deals')).toHaveLength(150)
    await world.pass(300_000, 20_000)
    expect(await rows(world, 'deals')).toEqual(idsOf(world, 'deals'))
    expect(await world.db.query('select from hubspot_private.fetch_queue')).toEqual([])
  })

  test.for(['few', 'many that an error names'] as const)('takes %s away at once', async (which) => {
    const liar: Liar = { says: which === 'few' ? (_, { results }) => ({ status: 'COMPLETE', results }) : undefined }
    await using world = await edited(liar)
    const gone = idsOf(world, 'deals').slice(0, which === 'few' ? 9 : 90)
    world.store.purge('deals', gone)
    await world.db.query("select hubspot.refresh('deals', $1)", [gone])
    await world.run('deals', 'fetch')
    expect(await rows(world, 'deals')).toEqual(idsOf(world, 'deals'))
  })
})

test('an account that names what it does not find: silence about one record takes nothing away', async () => {
  const liar: Liar = { says: undefined }
  await using world = await startWorld('doubt', { sandbox: { objects: { deals: 20 } }, client: lying(liar) })
  await world.load('deals', ['dealname'])
  await world.advance(5_000)
  const [named = '', one = ''] = idsOf(world, 'deals')
  world.store.purge('deals', named)
  await world.db.query("select hubspot.refresh('deals', $1)", [[named]])
  await world.run('deals', 'fetch')
  expect(await rows(world, 'deals')).toEqual(idsOf(world, 'deals'))
  liar.says = () => {
    liar.says = undefined
    return { status: 'COMPLETE', results: [] }
  }
  await world.db.query("select hubspot.refresh('deals', $1)", [[one]])
  await world.run('deals', 'fetch')
  expect(await rows(world, 'deals')).toEqual(idsOf(world, 'deals'))
  await world.pass(90_000, 10_000)
  expect(await world.db.query('select from hubspot_private.fetch_queue')).toEqual([])
  expect(await world.differences('deals')).toEqual([])
})

test('a read of an older version than search has shown is asked again, and holds up complete_until', async () => {
  const liar: Liar = { says: undefined }
  await using world = await startWorld('doubt', { sandbox: { objects: { deals: 20 } }, client: lying(liar) })
  await world.load('deals', ['dealname'])
  await world.advance(5_000)
  const [id = ''] = idsOf(world, 'deals')
  const { properties, createdAt, updatedAt } = world.store.record('deals', id)!
  const stale = { id, properties, createdAt, updatedAt, archived: false }
  world.store.edit('deals', id, { dealname: 'edited' })
  const edited = Date.parse(world.store.record('deals', id)!.updatedAt)
  liar.says = (asked, answer) => (asked.includes(id) ? { ...answer, results: [stale] } : undefined)
  await world.pass(20_000, 2_000)
  expect(await world.db.query("select from hubspot_private.fetch_queue where reason = 'fetch' or attempts > 0")).toHaveLength(1)
  const [status] = await world.db.query<{ until: string }>("select complete_until as until from hubspot.status where object = 'deals'")
  expect(Date.parse(status!.until)).toBeLessThan(edited)
  liar.says = undefined
  await world.pass(30_000, 2_000)
  expect(await world.differences('deals')).toEqual([])
  expect(await world.db.query('select from hubspot_private.fetch_queue')).toEqual([])
})

describe.each(['delete', 'mark'] as const)('a record that was merged away (rows are to %s)', (onDelete) => {
  const live = async (world: World) => {
    const found = await world.db.query<{ id: string }>(`select id from hubspot.contacts ${onDelete === 'mark' ? 'where _archived_at is null' : ''} order by id`)
    return found.map(({ id }) => id)
  }
  // Here it is marked, there unknown.
  const different = (world: World, lost: string) => world.differences('contacts', { ignore: (id) => onDelete === 'mark' && id === lost })
  async function merged(liar: Liar) {
    const world = await startWorld('doubt', { sandbox: { objects: { contacts: 12 } }, client: lying(liar) })
    await world.load('contacts', ['email'], onDelete)
    const [kept = '', lost = ''] = idsOf(world, 'contacts')
    const { properties, createdAt, updatedAt } = world.store.record('contacts', lost)!
    const stale = { id: lost, properties, createdAt, updatedAt, archived: false }
    await world.advance(5_000)
    world.store.merge('contacts', kept, lost, { newId: false })
    await world.pass(60_000, 20_000)
    return { world, kept, lost, stale }
  }

  test('and that a copy which is behind shows once more stays away', async () => {
    const liar: Liar = { says: undefined }
    const { world, lost, stale } = await merged(liar)
    await using _ = world
    liar.says = (asked, answer) => {
      if (!asked.includes(lost)) return undefined
      liar.says = undefined
      return { ...answer, results: [stale] }
    }
    await world.db.query("select hubspot.refresh('contacts', $1)", [[lost]])
    await world.run('contacts', 'fetch')
    expect(await live(world)).toEqual(idsOf(world, 'contacts'))
    await world.pass(10_000, 2_000)
    expect(await different(world, lost)).toEqual([])
    expect(await world.db.query('select from hubspot_private.fetch_queue')).toEqual([])
    expect(await world.db.query('select lost_id from hubspot.merges')).toEqual([{ lost_id: lost }])
  })

  test('and that is shown for minutes comes back, to leave with the next read of its survivor', async () => {
    const liar: Liar = { says: undefined }
    const { world, kept, lost, stale } = await merged(liar)
    await using _ = world
    liar.says = (asked, answer) => (asked.includes(lost) ? { ...answer, results: [stale] } : undefined)
    await world.db.query("select hubspot.refresh('contacts', $1)", [[lost]])
    await world.pass(180_000, 5_000)
    expect(await live(world)).toContain(lost)
    expect(await world.db.query('select lost_id from hubspot.merges')).toEqual([])
    liar.says = undefined
    world.store.edit('contacts', kept, { email: 'again@example.com' })
    await world.pass(60_000, 20_000)
    expect(await different(world, lost)).toEqual([])
    expect(await world.db.query('select lost_id, kept_id from hubspot.merges')).toEqual([{ lost_id: lost, kept_id: kept }])
  })

  test('but never was: one wrong answer for another id; a full read brings it back', async () => {
    const liar: Liar = { says: undefined }
    await using world = await startWorld('doubt', { sandbox: { objects: { contacts: 12 } }, client: lying(liar) })
    await world.load('contacts', ['email'], onDelete)
    const [id = ''] = idsOf(world, 'contacts')
    liar.says = (asked, answer) => {
      if (!asked.includes(id)) return undefined
      liar.says = undefined
      return { ...answer, results: [{ ...answer.results[0], id: '999999' }] }
    }
    await world.db.query("select hubspot.refresh('contacts', $1)", [[id]])
    await world.run('contacts', 'fetch')
    expect(await world.db.query('select lost_id from hubspot.merges')).toEqual([{ lost_id: id }])
    await world.pass(60_000, 20_000)
    await world.db.query("select hubspot.resync('contacts')")
    await world.pass(180_000, 5_000)
    expect(await world.differences('contacts', { ignore: (other) => other === '999999' })).toEqual([])
    expect(await live(world)).toEqual(idsOf(world, 'contacts'))
    expect(await world.db.query('select lost_id from hubspot.merges')).toEqual([])
    expect(await problems(world)).toEqual([])
  })

  test('and is here all the same, its merge known, leaves with the next read of its survivor', async () => {
    const { world, kept, lost, stale } = await merged({ says: undefined })
    await using _ = world
    await world.db.query('alter table hubspot.contacts disable trigger user')
    await world.db.query('delete from hubspot.contacts where id = $1', [lost])
    await world.db.query("insert into hubspot.contacts (id, _created_at, _updated_at, _synced_at) values ($1, $2, $3, hubspot_private.clock())", [lost, stale.createdAt, stale.updatedAt])
    await world.db.query('alter table hubspot.contacts enable trigger user')
    await world.advance(1_000)
    world.store.resetCalls()
    await world.db.query("select hubspot.refresh('contacts', $1)", [[kept]])
    await world.run('contacts', 'fetch')
    expect(await live(world)).toEqual(idsOf(world, 'contacts'))
    // The loss is not new.
    expect(world.store.calls({ kind: 'batch read' })).toHaveLength(1)
    expect(await different(world, lost)).toEqual([])
  })
})
