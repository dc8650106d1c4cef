import { describe, expect, test } from 'vitest'
import { type Graph, startGraph } from './support/associations.ts'

// What an answer shows and cannot be read may be any of the associations that are here: none of them goes.

const HOUR = 3_600_000
const small = (options: Parameters<typeof startGraph>[1]) => startGraph({ deals: 6, contacts: 4 }, {
  pairs: [['deals', 'contacts'], ['contacts', 'deals']],
  make: ({ store, ids }) => store.associateAll('deals', 'contacts', ids('deals').flatMap((fromId, at) => [0, 1].map((next) => ({ fromId, toId: ids('contacts')[(at + next) % 4]! })))),
  settings: { archiveBumps: false, restoreBumps: false },
  ...options,
})
const rows = async (graph: Graph, where: string, id: string) =>
  Number((await graph.db.query<{ count: string }>(`select count(*) from hubspot.deals_contacts where ${where} = $1`, [id]))[0]!.count)

describe('an association that comes unreadable', () => {
  type Entry = { toObjectId?: unknown; associationTypes?: unknown }
  const SPOILT: Record<string, (entry: Entry) => unknown> = {
    'without its types': (entry) => ({ toObjectId: entry.toObjectId }),
    'with no type': (entry) => ({ ...entry, associationTypes: [] }),
    'with a type of no number': (entry) => ({ ...entry, associationTypes: [...entry.associationTypes as object[], { category: 'HUBSPOT_DEFINED' }].toReversed() }),
    'with a type of no category': (entry) => ({ ...entry, associationTypes: (entry.associationTypes as object[]).map((type) => ({ ...type, category: [] })) }),
    'without its other end': ({ toObjectId, ...rest }) => ({ ...rest, id: toObjectId }),
    'as null': () => null,
  }
  const spoiling = () => {
    const spoil: { which: undefined | ((deal: string, entry: Entry, at: number) => unknown) } = { which: undefined }
    const graph = small({
      client: (client) => ({
        ...client,
        async request(request) {
          const answer = await client.request(request)
          if (spoil.which === undefined || !/associations.*batch/.test(request.path)) return answer
          const body = JSON.parse(answer.body.toString()) as { results: { from: { id: string }; to: Entry[] }[] }
          for (const result of body.results) result.to = result.to.map((entry, at) => spoil.which!(result.from.id, entry, at) as Entry)
          return { ...answer, body: Buffer.from(JSON.stringify(body)) }
        },
      }),
    })
    return { graph, spoil }
  }
  const open = (graph: Graph) => graph.db.query('select distinct code, record_id from hubspot.problems where resolved_at is null')

  test.for(Object.entries(SPOILT))('%s keeps all of its record, which is asked alone and a problem after five times; others, and the rest of it, go on', async ([, how]) => {
    const { graph: making, spoil } = spoiling()
    await using graph = await making
    const [bad = '', other = ''] = graph.ids('deals')
    const [first = '', , third = '', fourth = ''] = graph.ids('contacts')
    spoil.which = (deal, entry, at) => deal === bad && at === 0 ? how(entry) : entry
    graph.store.associate('deals', bad, 'contacts', fourth)
    graph.store.associate('deals', other, 'contacts', fourth)
    graph.store.dissociate('deals', bad, 'contacts', first)
    graph.store.dissociate('deals', other, 'contacts', third)
    await graph.db.query("select hubspot_private.associations_dirty('deals', $1)", [[bad, other]])
    await graph.pass(5_000, 1_000)
    expect(await rows(graph, 'deal_id', bad)).toBe(3)
    expect(await graph.db.query('select contact_id from hubspot.deals_contacts where deal_id = $1 and contact_id in ($2, $3)', [other, third, fourth])).toEqual([{ contact_id: fourth }])
    expect(await open(graph)).toEqual([])
    await graph.pass(4 * 60_000, 10_000)
    expect(await open(graph)).toEqual([{ code: 'SH217', record_id: bad }])
    spoil.which = undefined
    await graph.pass(HOUR, HOUR / 2)
    expect(await graph.differing()).toEqual([])
    expect(await open(graph)).toEqual([])
    expect(await graph.count('association_dirty')).toBe(0)
  })

  test('on a page that others follow hides none of these, and none goes', async () => {
    const { graph: making, spoil } = spoiling()
    await using graph = await making
    graph.store.configure({ associationPage: 2 })
    const [bad = ''] = graph.ids('deals')
    const [first = '', second = '', ...more] = graph.ids('contacts')
    spoil.which = (deal, entry) => deal === bad && String(entry.toObjectId) === first ? SPOILT['without its types']!(entry) : entry
    for (const contact of more) graph.store.associate('deals', bad, 'contacts', contact)
    graph.store.dissociate('deals', bad, 'contacts', second)
    await graph.db.query("select hubspot_private.associations_dirty('deals', $1)", [[bad]])
    await graph.pass(4 * 60_000, 10_000)
    expect(await rows(graph, 'deal_id', bad)).toBe(4)
    expect(await graph.db.query('select record_id, message from hubspot.problems where resolved_at is null')).toEqual([
      { record_id: bad, message: `HubSpot shows an association of record ${bad} of deals that cannot be read: the others are taken, and none goes` },
    ])
    expect(await graph.count('association_pages')).toBe(0)
    await graph.pass(2 * HOUR, HOUR / 4)
    const [pair] = await graph.db.query<{ at: string }>("select complete_until as at from hubspot.association_pairs where from_object = 'deals'")
    expect(graph.store.now() - Date.parse(pair!.at)).toBeLessThan(1.5 * HOUR)
    spoil.which = undefined
    await graph.pass(HOUR, HOUR / 2)
    expect(await graph.differing()).toEqual([])
    expect(await open(graph)).toEqual([])
    expect(await graph.count('association_dirty')).toBe(0)
  })

  test('in every record keeps all of them, asked from either side', async () => {
    const { graph: making, spoil } = spoiling()
    await using graph = await making
    spoil.which = (_, entry) => SPOILT['without its types']!(entry)
    await graph.pass(2 * HOUR, HOUR / 4)
    expect(await graph.differing()).toEqual([])
    expect(await graph.db.query("select from hubspot.changes where op = 'disassociate'")).toEqual([])
    expect(await graph.db.query("select distinct error_code from hubspot.runs where stream = 'associations' and error is not null")).toEqual([{ error_code: 'SH208' }])
    spoil.which = undefined
    await graph.pass(3 * HOUR, HOUR / 4)
    expect(await graph.differing()).toEqual([])
    expect(await open(graph)).toEqual([])
  })
})
