import fc from 'fast-check'
import { expect, test } from 'vitest'
import { SortedList } from '../src/sandbox/store/sorted-list.ts'
import { type Hands, sandboxInHand } from './support/sandbox.ts'

type Filter = { propertyName: string; operator: string; value?: string; highValue?: string; values?: string[] }

const by = (propertyName: string, direction = 'ASCENDING') => [{ propertyName, direction }]
const ms = (time: string | null) => String(Date.parse(time!))

async function idsFound(sandbox: Hands, object: string, filters: Filter[], rest: object = {}): Promise<number[]> {
  const { body } = await sandbox.search(object, { filterGroups: [{ filters }], limit: 200, ...rest })
  return body.results.map(({ id }: { id: string }) => Number(id))
}

test('search learns of a write after its lag, by the sandbox clock, while reads know it at once', async () => {
  await using sandbox = await sandboxInHand({ objects: { contacts: 5 }, settings: { lag: 5_000 } })
  const { store } = sandbox
  const [id] = [...store.records('contacts')].map((record) => Number(record.id))
  const before = store.record('contacts', id!)!.properties['email']!
  store.edit('contacts', id!, { email: 'new@example.com' })
  store.create('contacts', [{ id: 9_000_000, properties: { email: 'fresh@example.com' } }], { lag: 60_000 })
  const has = (email: string) => idsFound(sandbox, 'contacts', [{ propertyName: 'email', operator: 'EQ', value: email }])
  expect((await sandbox.ask(`/crm/objects/2026-09/contacts/${id}`)).body.properties.email).toBe('new@example.com')
  expect([await has('new@example.com'), await has(before), store.pending('contacts')]).toEqual([[], [id], 2])
  store.advance(4_999)
  expect(await has('new@example.com')).toEqual([])
  store.advance(1)
  expect([await has('new@example.com'), await has(before), await has('fresh@example.com')]).toEqual([[id], [], []])
  store.flushIndex()
  expect([await has('fresh@example.com'), store.pending()]).toEqual([[9_000_000], 0])
})

test('an older write that the index learns of later changes nothing', async () => {
  await using sandbox = await sandboxInHand()
  const { store } = sandbox
  store.create('deals', [{ id: 1 }])
  store.edit('deals', 1, { dealname: 'first' }, { lag: 10_000 })
  store.edit('deals', 1, { dealname: 'second' }, { lag: 1_000 })
  store.advance(20_000)
  const named = (value: string) => idsFound(sandbox, 'deals', [{ propertyName: 'dealname', operator: 'EQ', value }])
  expect([await named('first'), await named('second')]).toEqual([[], [1]])
})

test('the index finds, the store shows: a hit may not fit its filter any more, and one archived since is only counted', async () => {
  await using sandbox = await sandboxInHand({ settings: { lag: 60_000 } })
  const { store } = sandbox
  store.create('deals', [1, 2, 3].map((id) => ({ id, properties: { dealname: 'old' } })), { lag: 0 })
  store.advance(10)
  store.edit('deals', 1, { dealname: 'new' })
  store.archive('deals', 2)
  const old = async (limit = 10) => {
    const { body } = await sandbox.search('deals', { filterGroups: [{ filters: [{ propertyName: 'dealname', operator: 'EQ', value: 'old' }] }], properties: ['dealname'], limit })
    return [body.total, body.results.map(({ id, properties }: { id: string; properties: { dealname: string } }) => [id, properties.dealname]), body.paging?.next.after]
  }
  expect(await old()).toEqual([3, [['1', 'new'], ['3', 'old']], undefined])
  expect(await old(2)).toEqual([3, [['1', 'new']], '2'])
  store.configure({ searchValues: 'index' })
  expect(await old()).toEqual([3, [['1', 'old'], ['2', 'old'], ['3', 'old']], undefined])
  store.flushIndex()
  expect(await old()).toEqual([1, [['3', 'old']], undefined])
})

test('each operator compares as its property type asks', async () => {
  await using sandbox = await sandboxInHand()
  const make = (id: number, properties: Record<string, string | null>) => ({ id, properties })
  sandbox.store.create('contacts', [
    make(1, { firstname: 'Ada', loyalty_points: '9.5', customer_since: '2024-02-29', lifecyclestage: 'lead', favourite_colours: 'red;blue', company: 'Blue Harbor GmbH' }),
    make(2, { firstname: 'grace', loyalty_points: '10', customer_since: '2025-01-01', lifecyclestage: 'customer', favourite_colours: 'blue' }),
    make(3, { firstname: 'Zoë', loyalty_points: '-1', closedate: '2026-01-01T00:00:00.000Z', lifecyclestage: '', company: 'Harbour-Blue' }),
  ])
  const cases: [Filter, number[]][] = [
    [{ propertyName: 'firstname', operator: 'EQ', value: 'ADA' }, [1]],
    [{ propertyName: 'firstname', operator: 'NEQ', value: 'ada' }, [2, 3]],
    [{ propertyName: 'firstname', operator: 'GT', value: 'ada' }, [2, 3]],
    [{ propertyName: 'firstname', operator: 'IN', values: ['ada', 'Grace'] }, [1]],
    [{ propertyName: 'firstname', operator: 'NOT_IN', values: ['ada'] }, [2, 3]],
    [{ propertyName: 'loyalty_points', operator: 'GT', value: '9' }, [1, 2]],
    [{ propertyName: 'loyalty_points', operator: 'LT', value: '9.5' }, [3]],
    [{ propertyName: 'loyalty_points', operator: 'LTE', value: '9.50' }, [1, 3]],
    [{ propertyName: 'loyalty_points', operator: 'BETWEEN', value: '-1', highValue: '9.5' }, [1, 3]],
    [{ propertyName: 'loyalty_points', operator: 'IN', values: ['10.0'] }, [2]],
    [{ propertyName: 'customer_since', operator: 'GTE', value: '2024-02-29' }, [1, 2]],
    [{ propertyName: 'customer_since', operator: 'EQ', value: ms('2025-01-01') }, [2]],
    [{ propertyName: 'closedate', operator: 'LTE', value: '2026-01-01T00:00:00Z' }, [3]],
    [{ propertyName: 'lifecyclestage', operator: 'EQ', value: 'lead' }, [1]],
    [{ propertyName: 'lifecyclestage', operator: 'EQ', value: 'LEAD' }, []],
    [{ propertyName: 'lifecyclestage', operator: 'HAS_PROPERTY' }, [1, 2]],
    [{ propertyName: 'lifecyclestage', operator: 'NOT_HAS_PROPERTY' }, [3]],
    [{ propertyName: 'favourite_colours', operator: 'IN', values: ['red'] }, [1]],
    [{ propertyName: 'favourite_colours', operator: 'EQ', value: 'blue' }, [1, 2]],
    [{ propertyName: 'company', operator: 'CONTAINS_TOKEN', value: 'blue' }, [1, 3]],
    [{ propertyName: 'company', operator: 'CONTAINS_TOKEN', value: 'harb*r' }, [1, 3]],
    [{ propertyName: 'company', operator: 'CONTAINS_TOKEN', value: 'blu' }, []],
    [{ propertyName: 'company', operator: 'NOT_CONTAINS_TOKEN', value: 'harbor' }, [2, 3]],
    [{ propertyName: 'hs_object_id', operator: 'IN', values: ['3', '1'] }, [1, 3]],
    [{ propertyName: 'hs_lastmodifieddate', operator: 'GT', value: '1000' }, []],
  ]
  for (const [filter, expected] of cases) {
    expect(await idsFound(sandbox, 'contacts', [filter], { sorts: by('hs_object_id') }), JSON.stringify(filter)).toEqual(expected)
  }
  const { body } = await sandbox.search('contacts', { filters: [cases[0]![0]], sorts: ['-hs_object_id'], query: 'gmbh' })
  expect(body.total).toBe(1)
  const either = await sandbox.search('contacts', { filterGroups: [{ filters: [cases[0]![0]] }, { filters: [cases[4]![0], cases[12]![0]] }], sorts: by('firstname', 'DESCENDING') })
  expect(either.body.results.map(({ id }: { id: string }) => id)).toEqual(['3', '1'])
})

test('what HubSpot refuses is refused', async () => {
  await using sandbox = await sandboxInHand({ objects: { contacts: 10_300, emails: 1 } })
  const filter = { propertyName: 'email', operator: 'HAS_PROPERTY' }
  const group = (count: number) => ({ filters: Array.from({ length: count }, () => filter) })
  const status = async (body: unknown, object = 'contacts') => (await sandbox.search(object, body)).status
  expect(await status({ limit: 201 })).toBe(400)
  expect(await status({ limit: 100, after: '9900' })).toBe(200)
  expect(await status({ limit: 100, after: '9901' })).toBe(400)
  expect((await sandbox.search('contacts', { limit: 200, after: '9800' })).body).toMatchObject({ total: 10_300, paging: { next: { after: '10000' } } })
  expect(await status({ sorts: [...by('email'), ...by('firstname')] })).toBe(400)
  expect(await status({ sorts: by('nope') })).toBe(400)
  expect(await status({ filterGroups: [group(7)] })).toBe(400)
  expect(await status({ filterGroups: Array.from({ length: 6 }, () => group(1)) })).toBe(400)
  expect(await status({ filterGroups: [group(6), group(6), group(6)] })).toBe(200)
  expect(await status({ filterGroups: [group(6), group(6), group(6), group(1)] })).toBe(400)
  expect(await status({ filterGroups: [{ filters: [{ propertyName: 'nope', operator: 'HAS_PROPERTY' }] }] })).toBe(400)
  expect(await status({ filterGroups: [{ filters: [{ propertyName: 'email', operator: 'LIKE', value: 'x' }] }] })).toBe(400)
  expect(await status({ filterGroups: [{ filters: [{ propertyName: 'email', operator: 'EQ' }] }] })).toBe(400)
  expect(await status({ filterGroups: [{ filters: [{ propertyName: 'lastmodifieddate', operator: 'GTE', value: 'soon' }] }] })).toBe(400)
  expect(await status({ filterGroups: [{ filters: [{ propertyName: 'lastmodifieddate', operator: 'GTE', value: '0' }] }] })).toBe(500)
  expect(await status({ filterGroups: [{ filters: [{ propertyName: 'hs_email_html', operator: 'HAS_PROPERTY' }] }] }, 'emails')).toBe(400)
  expect(await status({ properties: ['x'.repeat(3_000)] })).toBe(400)
  expect(await status([])).toBe(400)
  sandbox.store.configure({ searchBodyCounts: 'query' })
  expect(await status({ properties: ['x'.repeat(3_000)] })).toBe(200)
})

test('records of one millisecond beyond the cap are all found by walking their ids', async () => {
  await using sandbox = await sandboxInHand({ objects: { deals: { count: 12_000, ties: 11_000 } } })
  const dates = new Map<string, number>()
  for (const { updatedAt } of sandbox.store.records('deals')) dates.set(updatedAt, (dates.get(updatedAt) ?? 0) + 1)
  const [tie, count] = [...dates].reduce((most, entry) => (entry[1] > most[1] ? entry : most))
  expect(count).toBe(11_000)
  const found = new Set<number>()
  for (let last = 0, page: number[] = [0]; page.length > 0;) {
    page = await idsFound(sandbox, 'deals', [
      { propertyName: 'hs_lastmodifieddate', operator: 'EQ', value: ms(tie) },
      { propertyName: 'hs_object_id', operator: 'GT', value: String(last) },
    ], { sorts: by('hs_object_id') })
    for (const id of page) found.add(id)
    last = page.at(-1) ?? last
  }
  expect(found.size).toBe(11_000)
})

test('a sorted list is an array kept in order', () => {
  fc.assert(fc.property(fc.array(fc.tuple(fc.boolean(), fc.integer({ min: 0, max: 3_000 })), { maxLength: 400 }), fc.integer({ min: 0, max: 3_000 }), (steps, probe) => {
    const list = new SortedList<number>((a, b) => a - b)
    let plain: number[] = []
    for (let at = 0; at < 2_500; at++) list.add((at * 7919) % 3_001)
    plain = [...list.from(0)]
    expect(plain).toEqual(plain.toSorted((a, b) => a - b))
    for (const [adds, item] of steps) {
      const at = plain.indexOf(item)
      if (adds) {
        list.add(item)
        plain.push(item)
        plain.sort((a, b) => a - b)
      } else {
        expect(list.delete(item)).toBe(at >= 0)
        if (at >= 0) plain.splice(at, 1)
      }
    }
    const position = list.position((item) => item < probe)
    expect([list.size, position, list.at(position)]).toEqual([plain.length, plain.filter((item) => item < probe).length, plain[position]])
    expect([...list.from(position)]).toEqual(plain.slice(position))
    expect([...list.below(position)]).toEqual(plain.slice(0, position).toReversed())
  }), { numRuns: 20 })
})

test('whatever was written, a settled index finds exactly what the store holds, in order and counted', async () => {
  const write = fc.record({
    kind: fc.constantFrom('create', 'edit', 'edit', 'archive', 'restore', 'purge', 'wait', 'seed'),
    pick: fc.nat(),
    lag: fc.integer({ min: 0, max: 500 }),
  })
  await fc.assert(fc.asyncProperty(fc.array(write, { maxLength: 60 }), fc.integer({ min: 1, max: 1000 }), async (writes, seed) => {
    await using sandbox = await sandboxInHand({ seed, objects: { tickets: 40 } })
    const { store } = sandbox
    for (const { kind, pick, lag } of writes) {
      const live = [...store.records('tickets')].map(({ id }) => id)
      const archived = [...store.records('tickets', { archived: true })].map(({ id }) => id)
      const [id, gone] = [live[pick % live.length], archived[pick % archived.length]]
      if (kind === 'create') store.create('tickets', [{ properties: { subject: `made ${pick}` } }], { lag })
      else if (kind === 'seed') store.seed('tickets', 1 + (pick % 5))
      else if (kind === 'wait') store.advance(pick % 300)
      else if (kind === 'restore' && gone) store.restore('tickets', gone, { lag })
      else if (kind === 'edit' && id) store.edit('tickets', id, { subject: `said ${pick}` }, { lag })
      else if (kind === 'archive' && id) store.archive('tickets', id, { lag })
      else if (kind === 'purge' && id) store.purge('tickets', id, { lag })
      await sandbox.search('tickets', { limit: 1 })
    }
    store.advance(500)
    const records = [...store.records('tickets')]
    expect(store.count('tickets')).toBe(records.length)
    const since = records.map((record) => ms(record.updatedAt)).sort()[Math.floor(records.length / 3)] ?? '0'
    for (const direction of ['ASCENDING', 'DESCENDING']) {
      const { body } = await sandbox.search('tickets', {
        filterGroups: since === '0' ? [] : [{ filters: [{ propertyName: 'hs_lastmodifieddate', operator: 'GTE', value: since }] }],
        sorts: by('hs_lastmodifieddate', direction), limit: 200, properties: ['subject'],
      })
      const found = body.results.map(({ id, properties }: { id: string; properties: Record<string, string> }) => [id, properties['hs_lastmodifieddate'], properties['subject']])
      const expected = records.filter((record) => Number(ms(record.updatedAt)) >= Number(since))
      expect(body.total).toBe(expected.length)
      const byId = ([a]: string[], [b]: string[]) => Number(a) - Number(b)
      expect(found.toSorted(byId)).toEqual(expected.map(({ id, updatedAt, properties }) => [id, updatedAt, properties['subject']]))
      const dates = found.map(([, date]: string[]) => Number(ms(date!)))
      expect(dates).toEqual(dates.toSorted((a: number, b: number) => (direction === 'ASCENDING' ? a - b : b - a)))
    }
  }), { numRuns: 25 })
})
