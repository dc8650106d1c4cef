import { describe, expect, test } from 'vitest'
import { type Graph, startGraph } from './support/associations.ts'
import { hold } from './support/sync.ts'

// What becomes of associations when records go, come back and are merged, and what comes between a call and its commit.

const BOTH = [['deals', 'contacts'], ['contacts', 'deals']] as const
const QUIET = { archiveBumps: false, restoreBumps: false } as const
const HOUR = 3_600_000

const ring = (graph: Graph) => {
  const [deals, contacts] = [graph.ids('deals'), graph.ids('contacts')]
  graph.store.associateAll('deals', 'contacts', deals.flatMap((fromId, at) => [0, 1].map((next) => ({ fromId, toId: contacts[(at + next) % contacts.length]! }))))
}
const small = (options: Parameters<typeof startGraph>[1] = {}) => startGraph({ deals: 6, contacts: 4 }, { pairs: BOTH, make: ring, settings: QUIET, ...options })
const refresh = async (graph: Graph, object: string, ...ids: string[]) => void (await graph.db.query('select hubspot.refresh($1, $2)', [object, ids]))
const rows = async (graph: Graph, where: string, id: string) =>
  Number((await graph.db.query<{ count: string }>(`select count(*) from hubspot.deals_contacts where ${where} = $1`, [id]))[0]!.count)
/** All but the associations themselves, so that what is seen is not their hourly sweep's doing. */
const soon = (graph: Graph) => graph.pass(60_000, 20_000)
const swept = async (graph: Graph) => (await graph.db.query<{ sum: string }>("select sum(rows_read)::text from hubspot.runs where stream = 'associations'"))[0]!.sum

describe.for(['delete', 'mark'] as const)('records that go (on_delete %s)', (onDelete) => {
  test.for(['deals', 'contacts'] as const)('one of %s takes its associations with it in both tables, in one transaction, and brings them back', async (object) => {
    await using graph = await small({ onDelete })
    expect(await graph.differing()).toEqual([])
    const [id = ''] = graph.ids(object)
    const column = object === 'deals' ? 'deal_id' : 'contact_id'
    const xids = 'select distinct xmin::text from hubspot_private.tombstones'
    graph.store.archive(object, id)
    await refresh(graph, object, id)
    await graph.run(object, 'fetch')
    expect(await rows(graph, column, id)).toBe(0)
    expect(await graph.differing()).toEqual([])
    expect(await graph.db.query(xids)).toHaveLength(1)
    // No date tells of the restore: the read does that finds it.
    graph.store.restore(object, id)
    await refresh(graph, object, id)
    await graph.drain()
    expect(await graph.differing()).toEqual([])
    expect(await rows(graph, column, id)).toBeGreaterThan(0)
    expect(await graph.count('association_dirty')).toBe(0)
  })
})

test('a new record has its associations within seconds, and one that was edited is read again', async () => {
  await using graph = await small()
  const [contact = ''] = graph.ids('contacts')
  const [made] = graph.store.create('deals', [{}])
  graph.store.associate('deals', made!.id, 'contacts', contact)
  await soon(graph)
  expect(await rows(graph, 'deal_id', made!.id)).toBe(1)
  const [deal = ''] = graph.ids('deals')
  graph.store.dissociate('deals', deal, 'contacts', contact)
  graph.store.edit('deals', deal, { dealname: 'edited' })
  await soon(graph)
  expect(await rows(graph, 'deal_id', deal)).toBe(1)
})

test.for([true, false])('merged records: the survivor has the associations of both, at both ends (new id %s)', async (newId) => {
  await using graph = await small()
  const [one = '', , three = ''] = graph.ids('contacts')
  const kept = graph.store.merge('contacts', one, three, { newId })
  await graph.pass(120_000, 30_000)
  expect(await graph.differing()).toEqual([])
  expect(await rows(graph, 'contact_id', kept.id)).toBeGreaterThan(3)
  expect(await rows(graph, 'contact_id', three)).toBe(0)
})

describe('between a call and its commit', () => {
  test.for(['deals', 'contacts'] as const)('a record of %s is found gone: its associations do not come back', async (object) => {
    await using graph = await small()
    await graph.advance(HOUR)
    const sweep = (await graph.hold('deals', 'contacts'))!
    await sweep.commit(await sweep.ask())
    const late = await sweep.ask()
    const [id = ''] = graph.ids(object)
    graph.store.archive(object, id)
    await refresh(graph, object, id)
    await graph.run(object, 'fetch')
    await sweep.commit(late)
    expect(await rows(graph, object === 'deals' ? 'deal_id' : 'contact_id', id)).toBe(0)
    expect((await graph.differing()).filter((line) => line.startsWith('deals'))).toEqual([])
  })

  test('a record is restored that the answer does not know yet: it is read again', async () => {
    await using graph = await small()
    const [id = ''] = graph.ids('contacts')
    graph.store.archive('contacts', id)
    await refresh(graph, 'contacts', id)
    await graph.drain()
    await graph.advance(HOUR)
    const sweep = (await graph.hold('deals', 'contacts'))!
    await sweep.commit(await sweep.ask())
    const late = await sweep.ask()
    graph.store.restore('contacts', id)
    await refresh(graph, 'contacts', id)
    await graph.run('contacts', 'fetch')
    await sweep.commit(late)
    await graph.db.query("update hubspot_private.streams set lease_until = null where holder = 'by hand'")
    await graph.drain()
    expect(await graph.differing()).toEqual([])
    expect(await rows(graph, 'contact_id', id)).toBeGreaterThan(0)
  })

  test('a record is dirtied: its row stays, and it is read again', async () => {
    await using graph = await small()
    const [deal = ''] = graph.ids('deals')
    const dirty = () => graph.db.query("select hubspot_private.associations_dirty('deals', $1)", [[deal]])
    await dirty()
    const reading = (await graph.hold('deals', 'contacts'))!
    expect(reading.claim.request).toMatchObject({ kind: 'associations', inputs: [{ id: deal }] })
    const late = await reading.ask()
    graph.store.dissociate('deals', deal, 'contacts', graph.ids('contacts')[0]!)
    await dirty()
    expect((await reading.commit(late)).outcome).toBe('more')
    expect(await rows(graph, 'deal_id', deal)).toBe(2)
    expect((await reading.commit(await reading.ask())).outcome).toBe('done')
    expect(await rows(graph, 'deal_id', deal)).toBe(1)
    expect(await graph.count('association_dirty')).toBe(0)
  })

  test('the worker dies, and another reads the same; the first one\'s answer is refused', async () => {
    await using graph = await small({ settings: { ...QUIET, associationPage: 1 } })
    await graph.advance(HOUR)
    graph.store.dissociate('deals', graph.ids('deals')[0]!, 'contacts', graph.ids('contacts')[0]!)
    const first = (await graph.hold('deals', 'contacts', 'first'))!
    await first.commit(await first.ask())
    await first.commit(await first.ask())
    const lost = await first.ask()
    await graph.advance(60_000)
    const second = (await graph.hold('deals', 'contacts', 'second'))!
    await second.commit(await second.ask())
    expect((await first.commit(lost)).outcome).toBe('lost')
    await graph.db.query("update hubspot_private.streams set lease_until = null where holder = 'second'")
    await graph.drain()
    expect(await graph.differing()).toEqual([])
    for (const table of ['association_reads', 'association_pages']) expect(await graph.count(table), table).toBe(0)
  })
})

test('what an answer says nothing of keeps its rows, is asked alone, later each time, and is a problem after five', async () => {
  await using graph = await small()
  const [deal = ''] = graph.ids('deals')
  graph.store.addFault({ fault: 'missing', match: { kind: 'associations', object: 'deals' } })
  graph.store.resetCalls()
  await graph.pass(HOUR + 60_000, 30 * 60_000)
  const open = () => graph.db.query("select object, record_id, property from hubspot.problems where code = 'SH217' and resolved_at is null")
  expect(await rows(graph, 'deal_id', deal)).toBe(2)
  for (let tries = 0; tries < 5; tries += 1) await graph.pass(60_000, 60_000)
  expect(await open()).toEqual([{ object: 'deals', record_id: deal, property: 'deals_contacts' }])
  const alone = graph.store.calls({ kind: 'associations', object: 'deals' }).filter(({ url }) => url.includes('batch/read'))
  expect(alone.length).toBeGreaterThanOrEqual(6)
  expect(await rows(graph, 'deal_id', deal)).toBe(2)
  graph.store.removeFaults()
  await graph.pass(HOUR, 30 * 60_000)
  expect(await open()).toEqual([])
  expect(await graph.differing()).toEqual([])
  expect(await graph.count('association_dirty')).toBe(0)
})

describe('an account that says with an empty list, and no error, that a record has no associations', () => {
  const blank = (options: Parameters<typeof startGraph>[1] = {}) => startGraph({ deals: 40, contacts: 4 }, {
    pairs: BOTH, settings: { ...QUIET, noAssociations: 'empty' },
    make: ({ store, ids }) => store.associateAll('deals', 'contacts', ids('deals').slice(0, 20).map((fromId, at) => ({ fromId, toId: ids('contacts')[at % 4]! }))),
    ...options,
  })
  const asked = (graph: Graph) => graph.store.calls({ kind: 'associations', object: 'deals' }).filter(({ url }) => url.includes('batch/read')).length

  test('is taken at its word: nothing is asked alone where there is nothing here, and one record at most where there is', async () => {
    await using graph = await blank()
    expect(await graph.differing()).toEqual([])
    expect(await graph.count('association_dirty')).toBe(0)
    expect(asked(graph)).toBe(1)
    const end = (first: number, last: number) => {
      for (let at = first; at < last; at += 1) graph.store.dissociate('deals', graph.ids('deals')[at]!, 'contacts', graph.ids('contacts')[at % 4]!)
    }
    end(0, 15)
    graph.store.resetCalls()
    await graph.pass(HOUR, HOUR)
    await graph.pass(5_000, 1_000)
    expect(await graph.differing()).toEqual([])
    expect(await graph.count('association_dirty')).toBe(0)
    // The sweep, one record alone, the others together.
    expect(asked(graph)).toBeLessThanOrEqual(3)
    end(15, 20)
    graph.store.resetCalls()
    await graph.pass(HOUR, HOUR)
    expect(await graph.differing()).toEqual([])
    expect(asked(graph)).toBe(1)
    expect(await graph.db.query("select code from hubspot.problems where resolved_at is null")).toEqual([])
  })

  test('and that said so with errors before is not believed, whatever it says of one record: after five times it is a problem', async () => {
    await using graph = await blank({ settings: { ...QUIET, noAssociations: 'error' } })
    const rule = async () => (await graph.db.query('select is_empty_explicit from hubspot_private.pairs order by number'))[0]
    const open = () => graph.db.query('select code, record_id from hubspot.problems where resolved_at is null')
    const [one = '', two = ''] = graph.ids('deals')
    expect(await rule()).toEqual({ is_empty_explicit: true })
    graph.store.configure({ noAssociations: 'empty' })
    graph.store.dissociate('deals', one, 'contacts', graph.ids('contacts')[0]!)
    graph.store.edit('deals', graph.ids('deals')[30]!, { dealname: 'it has none, here neither' })
    graph.store.resetCalls()
    await graph.pass(10_000, 1_000)
    expect(await rows(graph, 'deal_id', one)).toBe(1)
    // Both together, then each alone; that which has none here is left.
    await graph.db.query("select hubspot_private.associations_dirty('deals', $1)", [[one]])
    await graph.pass(120_000, 5_000)
    expect(await rule()).toEqual({ is_empty_explicit: true })
    expect(await open()).toEqual([{ code: 'SH217', record_id: one }])
    expect(asked(graph)).toBeLessThan(12)
    graph.store.configure({ noAssociations: 'error' })
    graph.store.dissociate('deals', two, 'contacts', graph.ids('contacts')[1]!)
    await graph.pass(HOUR, HOUR / 2)
    expect(await graph.differing()).toEqual([])
    expect(await open()).toEqual([])
    expect(await graph.count('association_dirty')).toBe(0)
  })

  test('and with an error behind the last page alone is taken at its word of records that have none', async () => {
    await using graph = await blank({ settings: { ...QUIET, noAssociations: 'empty', associationPage: 1, associationAfter: 'count', pastLastEdge: 'error' } })
    const [one = '', two = ''] = graph.ids('deals')
    const [, other = ''] = graph.ids('contacts')
    graph.store.associate('deals', one, 'contacts', other)
    await graph.db.query("select hubspot_private.associations_dirty('deals', $1)", [[one]])
    // Its last one ends between the first page and the second.
    const pair = (await graph.db.query<{ number: number }>("select number from hubspot_private.pairs where from_object = 'deals'"))[0]!
    const read = (await hold(graph, 'deals', 'associations', pair.number))!
    await read.commit(await read.ask())
    graph.store.dissociate('deals', one, 'contacts', other)
    for (let outcome = 'more'; outcome === 'more';) outcome = (await read.commit(await read.ask())).outcome
    graph.store.dissociate('deals', two, 'contacts', other)
    await graph.db.query("select hubspot_private.associations_dirty('deals', $1)", [[two]])
    await graph.pass(HOUR, HOUR / 2)
    expect(await graph.differing()).toEqual([])
    expect(await graph.count('association_dirty')).toBe(0)
    expect(await graph.db.query("select code from hubspot.problems where resolved_at is null")).toEqual([])
  })

  test('for once, by mistake, loses nothing', async () => {
    await using graph = await blank({ settings: { ...QUIET, noAssociations: 'error' } })
    const before = await graph.db.query('select * from hubspot.deals_contacts order by 1, 2')
    const lie = JSON.stringify({ status: 'COMPLETE', results: graph.ids('deals').map((id) => ({ from: { id }, to: [] })) })
    graph.store.addFault({ fault: { type: 'answer', status: 200, body: lie }, times: 1, match: { kind: 'associations', object: 'deals' } })
    await graph.db.query("select hubspot_private.associations_dirty('deals', $1)", [graph.ids('deals')])
    await graph.drain()
    expect(await graph.db.query('select * from hubspot.deals_contacts order by 1, 2')).toEqual(before)
    await graph.pass(60_000, 1_000)
    expect(await graph.db.query('select * from hubspot.deals_contacts order by 1, 2')).toEqual(before)
    expect(await graph.count('association_dirty')).toBe(0)
  })
})

test('an answer that says nothing at all is asked again, and changes nothing', async () => {
  await using graph = await small()
  const before = await graph.db.query('select * from hubspot.deals_contacts order by 1, 2')
  graph.store.addFault({ fault: { type: 'answer', status: 200, body: '{"status":"COMPLETE","results":[]}' }, times: 2, match: { kind: 'associations', object: 'deals' } })
  await graph.pass(HOUR, HOUR)
  expect(await graph.db.query('select * from hubspot.deals_contacts order by 1, 2')).toEqual(before)
  expect(await graph.count('association_dirty')).toBe(0)
  await graph.pass(60_000, 20_000)
  expect(await graph.differing()).toEqual([])
  expect(Number(await swept(graph))).toBeGreaterThan(10)
})
