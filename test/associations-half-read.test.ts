import { describe, expect, test } from 'vitest'
import { type Graph, startGraph } from './support/associations.ts'

// A record with more associations than one answer holds, and what happens between two of its pages.

const HOUR = 3_600_000
const refresh = async (graph: Graph, object: string, ...ids: string[]) => void (await graph.db.query('select hubspot.refresh($1, $2)', [object, ids]))

describe('a record that is half read', () => {
  const wide = () => startGraph({ companies: 2, contacts: 30 }, {
    pairs: [['companies', 'contacts']],
    settings: { archiveBumps: false, restoreBumps: false, associationPage: 10 },
    make: ({ store, ids }) => store.associateAll('companies', 'contacts', ids('contacts').map((toId) => ({ fromId: ids('companies')[0]!, toId }))),
  })
  const half = async (graph: Graph) => {
    const [firm = ''] = graph.ids('companies')
    await graph.db.query("select hubspot_private.associations_dirty('companies', $1)", [[firm]])
    const reading = (await graph.hold('companies', 'contacts'))!
    await reading.commit(await reading.ask())
    return { reading, firm }
  }

  test('and dirtied again is read to its end, and then anew', async () => {
    await using graph = await wide()
    const { reading, firm } = await half(graph)
    const [early = ''] = graph.ids('contacts')
    graph.store.dissociate('companies', firm, 'contacts', early)
    await graph.db.query("select hubspot_private.associations_dirty('companies', $1)", [[firm]])
    await reading.commit(await reading.ask())
    expect((await reading.commit(await reading.ask())).outcome).toBe('more')
    expect(await graph.count('association_dirty')).toBe(1)
    for (let outcome = 'more'; outcome === 'more';) outcome = (await reading.commit(await reading.ask())).outcome
    expect(await graph.differing()).toEqual([])
    expect(await graph.count('association_dirty')).toBe(0)
  })

  test.for(['on a page that was read', 'on the page that is on its way', 'on a page to come'] as const)('has another end that goes, %s', async (where) => {
    await using graph = await wide()
    const { reading } = await half(graph)
    const people = graph.ids('contacts')
    const gone = people[{ 'on a page that was read': 2, 'on the page that is on its way': 12, 'on a page to come': 22 }[where]]!
    const next = await reading.ask()
    graph.store.archive('contacts', gone)
    await refresh(graph, 'contacts', gone)
    await graph.run('contacts', 'fetch')
    await reading.commit(next)
    expect((await reading.commit(await reading.ask())).outcome).toBe('done')
    expect(await graph.differing()).toEqual([])
    expect(await graph.db.query('select count(*) from hubspot.companies_contacts')).toEqual([{ count: '29' }])
  })

  test('and counts its pages: one that ends between two of them takes no other along, nor keeps one away that is new', async () => {
    await using graph = await wide()
    graph.store.configure({ associationAfter: 'count' })
    const [firm = ''] = graph.ids('companies')
    const people = graph.ids('contacts')
    const { reading } = await half(graph)
    // The eleventh moves up to the page that was read already.
    graph.store.dissociate('companies', firm, 'contacts', people[0]!)
    await reading.commit(await reading.ask())
    expect((await reading.commit(await reading.ask())).outcome).toBe('more')
    expect(await graph.db.query('select count(*) from hubspot.companies_contacts')).toEqual([{ count: '30' }])
    for (let outcome = 'more'; outcome === 'more';) outcome = (await reading.commit(await reading.ask())).outcome
    await graph.pass(60_000, 1_000)
    expect(await graph.differing()).toEqual([])
    expect(await graph.count('association_dirty')).toBe(0)

    graph.store.associate('companies', firm, 'contacts', people[0]!)
    graph.store.dissociate('companies', firm, 'contacts', people[15]!)
    await graph.advance(2 * HOUR)
    await graph.drain()
    expect(await graph.differing()).toEqual([])
  })

  test('and whose pages lead in a circle keeps its rows, with a problem, and holds up no others', async () => {
    let isCircle = false
    await using graph = await startGraph({ companies: 2, contacts: 30 }, {
      pairs: [['companies', 'contacts']],
      settings: { associationPage: 10 },
      make: ({ store, ids }) => store.associateAll('companies', 'contacts', ids('contacts').map((toId) => ({ fromId: ids('companies')[0]!, toId }))),
      client: (client) => ({
        ...client,
        async request(request) {
          const answer = await client.request(request)
          if (!isCircle || !request.path.includes('associations')) return answer
          const told = JSON.parse(answer.body.toString()) as { results?: { paging?: { next: { after: string } } }[] }
          const { inputs = [] } = request.body as { inputs?: { after?: string }[] }
          for (const result of told.results ?? []) if (inputs[0]?.after !== undefined) result.paging = { next: { after: inputs[0].after === '1' ? '2' : '1' } }
          return { ...answer, body: Buffer.from(JSON.stringify(told)) }
        },
      }),
    })
    const [firm = '', other = ''] = graph.ids('companies')
    isCircle = true
    graph.store.resetCalls()
    graph.store.associate('companies', other, 'contacts', graph.ids('contacts')[0]!)
    await graph.db.query("select hubspot_private.associations_dirty('companies', $1)", [[firm, other]])
    await graph.pass(5 * 60_000, 5_000)
    expect(graph.store.calls({ kind: 'associations', object: 'companies' }).length).toBeLessThan(600)
    expect(await graph.db.query("select code, record_id from hubspot.problems where resolved_at is null")).toEqual([{ code: 'SH217', record_id: firm }])
    expect(await graph.differing()).toEqual([])
    isCircle = false
    await graph.pass(2 * HOUR, HOUR / 4)
    expect(await graph.differing()).toEqual([])
    expect(await graph.db.query("select code from hubspot.problems where resolved_at is null")).toEqual([])
    expect(await graph.count('association_dirty')).toBe(0)
  })

  test('goes itself: what was read of it is of no use', async () => {
    await using graph = await wide()
    const { reading, firm } = await half(graph)
    const next = await reading.ask()
    graph.store.archive('companies', firm)
    await refresh(graph, 'companies', firm)
    await graph.run('companies', 'fetch')
    expect((await reading.commit(next)).outcome).toBe('done')
    for (const table of ['association_reads', 'association_pages', 'association_dirty']) expect(await graph.count(table), table).toBe(0)
    expect(await graph.differing()).toEqual([])
  })
})
