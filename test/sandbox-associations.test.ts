import { Client } from '@hubspot/api-client'
import { expect, test } from 'vitest'
import { EdgeList } from '../src/sandbox/graph/edge-list.ts'
import type { Edge, Store } from '../src/sandbox/index.ts'
import { randomStream } from '../src/sandbox/store/random.ts'
import { type Hands, sandboxInHand } from './support/sandbox.ts'

type Shown = { from: { id: string }; to: { toObjectId: number; associationTypes: { category: string; typeId: number; label: string | null }[] }[]; paging?: { next: { after: string } } }

const batch = (sandbox: Hands, from: string, to: string, inputs: readonly object[]) =>
  sandbox.ask(`/crm/associations/2026-09/${from}/${to}/batch/read`, { body: { inputs } })

const ids = (store: Store, object: string) => [...store.records(object)].map(({ id }) => id)

/** All edges of a pair as the API answers them, page by page. */
async function readAll(sandbox: Hands, from: string, to: string): Promise<Edge[]> {
  const edges: Edge[] = []
  let asked: { id: string; after?: string }[] = ids(sandbox.store, from).map((id) => ({ id }))
  while (asked.length > 0) {
    const { body } = await batch(sandbox, from, to, asked.splice(0, 1_000))
    for (const { from: { id }, to: others, paging } of body.results as Shown[]) {
      edges.push(...others.flatMap(({ toObjectId, associationTypes }) => associationTypes.map((type) => ({ fromId: id, toId: String(toObjectId), ...type }) as Edge)))
      if (paging) asked.push({ id, after: paging.next.after })
    }
  }
  return sorted(edges)
}

function sorted(edges: Iterable<Edge>): Edge[] {
  const key = ({ fromId, toId, typeId, category }: Edge) => [fromId.padStart(16), toId.padStart(16), String(typeId).padStart(9), category].join(' ')
  return [...edges].map(({ fromId, toId, typeId, category, label }) => ({ fromId, toId, typeId, category, label })).sort((a, b) => (key(a) < key(b) ? -1 : 1))
}

test("HubSpot's own client reads associations, those of a record and those of many, and labels", async () => {
  await using sandbox = await sandboxInHand({ objects: { contacts: 3, companies: 3 } })
  const { store } = sandbox
  const [contact, other] = ids(store, 'contacts')
  const [company, second] = ids(store, 'companies')
  store.defineLabel('contacts', 'companies', { label: 'Billing contact', inverseLabel: 'Billed by' })
  store.associate('contacts', contact!, 'companies', company!, ['Primary', 'Billing contact'])
  store.associate('contacts', contact!, 'companies', second!)
  const { crm } = new Client({ accessToken: sandbox.token, basePath: sandbox.url })
  const read = await crm.associations.v4.batchApi.getPage('contacts', 'companies', { inputs: [{ id: contact! }, { id: other! }] })
  expect(read).toMatchObject({
    status: 'COMPLETE',
    numErrors: 1,
    results: [{ _from: { id: contact } }],
    errors: [{ category: 'OBJECT_NOT_FOUND', subCategory: 'crm.associations.NO_ASSOCIATIONS_FOUND', context: { fromObjectId: [other], fromObjectType: ['contact'], toObjectType: ['company'] } }],
  })
  const page = await crm.associations.v4.basicApi.getPage('companies', company!, 'contacts')
  expect(page.results).toHaveLength(1)
  expect<unknown>(page.results[0]!.toObjectId).toBe(Number(contact))
  expect(page.results[0]!.associationTypes.toSorted((a, b) => a.typeId - b.typeId).map(({ category, typeId, label }) => [category, typeId, label ?? null])).toEqual([
    ['HUBSPOT_DEFINED', 2, 'Primary'], ['USER_DEFINED', 29, 'Billed by'], ['HUBSPOT_DEFINED', 280, null],
  ])
  const labels = await crm.associations.v4.schema.definitionsApi.getAll('contacts', 'companies')
  expect(labels.results.map(({ category, typeId, label }) => [category, typeId, label ?? null])).toEqual([
    ['HUBSPOT_DEFINED', 279, null], ['HUBSPOT_DEFINED', 1, 'Primary'], ['USER_DEFINED', 28, 'Billing contact'],
  ])
})

test('a batch names the record as text and the other as a number, has an error for each id with nothing, and does not say why', async () => {
  await using sandbox = await sandboxInHand({ objects: { contacts: 4, deals: 2 } })
  const { store } = sandbox
  const [one, none, archived, purged] = ids(store, 'contacts')
  const [deal] = ids(store, 'deals')
  for (const id of [one!, archived!, purged!]) store.associate('contacts', id, 'deals', deal!)
  store.archive('contacts', archived!)
  store.purge('contacts', purged!)
  const { status, text, body } = await batch(sandbox, '0-1', 'deal', [one, none, archived, purged, '77777777', 'x', one].map((id) => ({ id })))
  expect(status).toBe(207)
  expect(text).toContain(`{"from":{"id":"${one}"},"to":[{"toObjectId":${deal},"associationTypes":[{"category":"HUBSPOT_DEFINED","typeId":4,"label":null}]}]}`)
  expect(body.results).toHaveLength(1)
  expect(body.errors.map((error: { context: { fromObjectId: string[] } }) => error.context.fromObjectId)).toEqual([[none], [archived], [purged], ['77777777'], ['x']])
  expect(body.errors[1]).toEqual({ ...body.errors[0], message: `No deal is associated with contact ${archived}.`, context: { ...body.errors[0].context, fromObjectId: [archived] } })
  expect((await batch(sandbox, 'contacts', 'deals', [{ id: one }])).status).toBe(200)
  store.configure({ missingStatus: 200 })
  expect((await batch(sandbox, 'contacts', 'deals', [{ id: none }])).status).toBe(200)
  const many = (count: number) => Array.from({ length: count }, (_, at) => ({ id: String(at + 1) }))
  expect((await batch(sandbox, 'contacts', 'deals', many(1_000))).status).toBe(200)
  expect(await batch(sandbox, 'contacts', 'deals', many(1_001))).toMatchObject({ status: 400, body: { category: 'VALIDATION_ERROR' } })
  expect((await batch(sandbox, 'contacts', 'nope', many(1))).body.message).toBe('Unable to infer object type from: nope')
  for (const path of ['/crm/v3/objects/contacts/1/associations/deals', '/crm/v4/objects/contacts', '/crm/associations/2026-09/contacts', '/crm/associations/2026-09/contacts/deals/nope']) {
    expect((await sandbox.ask(path)).status, path).toBe(404)
  }
})

test('12,000 edges of one record come by pages that go on by themselves, in no order, and are made at once', async () => {
  await using sandbox = await sandboxInHand({ objects: { companies: 2, contacts: 12_001 } })
  const { store } = sandbox
  const [company, second] = ids(store, 'companies')
  const contacts = ids(store, 'contacts')
  const random = randomStream(1, 'edges')
  const shuffled = contacts.map((id) => [random(), id] as const).sort((a, b) => a[0] - b[0]).map(([, id]) => id)
  const began = performance.now()
  store.associateAll('companies', 'contacts', shuffled.slice(1).map((toId) => ({ fromId: company!, toId, types: ['Primary'] })))
  expect(performance.now() - began).toBeLessThan(10_000)
  store.associate('companies', second!, 'contacts', shuffled[0]!)
  const seen: number[] = []
  let calls = 0
  for (let asked: object[] = [{ id: company! }, { id: second! }]; asked.length > 0; calls++) {
    const { body } = await batch(sandbox, 'companies', 'contacts', asked)
    asked = []
    for (const { from, to, paging } of body.results as Shown[]) {
      if (from.id === company) seen.push(...to.map(({ toObjectId }) => toObjectId))
      if (paging) asked.push({ id: from.id, after: paging.next.after })
    }
  }
  expect([calls, seen.length, new Set(seen).size]).toEqual([24, 12_000, 12_000])
  expect(seen).not.toEqual(seen.toSorted((a, b) => a - b))
  store.configure({ associationPage: 7, shuffleAssociations: false })
  const behind = [{ id: company!, after: String(Math.max(...seen) + 1) }]
  expect(await batch(sandbox, 'companies', 'contacts', behind)).toMatchObject({ status: 207, body: { results: [], errors: [{ context: { fromObjectId: [company] } }] } })
  store.configure({ pastLastEdge: 'empty' })
  expect(await batch(sandbox, 'companies', 'contacts', behind)).toMatchObject({ status: 200, body: { results: [{ from: { id: company }, to: [] }] } })
  const first = (await sandbox.ask(`/crm/v4/objects/companies/${company}/associations/contacts?limit=5`)).body
  const rest = (await sandbox.ask(`/crm/objects/2026-03/companies/${company}/associations/0-1/?after=${first.paging.next.after}`)).body
  const both = [...first.results, ...rest.results].map(({ toObjectId }) => toObjectId)
  expect(both).toEqual(seen.toSorted((a, b) => a - b).slice(0, 12))
  expect((await sandbox.ask(`/crm/v4/objects/companies/${company}/associations/contacts?limit=8`)).status).toBe(400)
})

test('every edge is there from both ends with the inverse type, also between records of one object', async () => {
  await using sandbox = await sandboxInHand({ objects: { contacts: 3, vehicle: 2 } })
  const { store } = sandbox
  const [a, b, c] = ids(store, 'contacts')
  const [car] = ids(store, 'vehicle')
  const family = store.defineLabel('contacts', 'contacts', { label: 'Parent', inverseLabel: 'Child' })
  const friends = store.defineLabel('contacts', 'contacts', { label: 'Friend' })
  const drives = store.defineLabel('contacts', 'vehicle', { label: 'Driver', category: 'INTEGRATOR_DEFINED' })
  expect([family.typeId === family.inverseTypeId, friends.typeId === friends.inverseTypeId, drives.typeId === drives.inverseTypeId]).toEqual([false, true, false])
  store.associate('contacts', a!, 'contacts', b!, ['Parent'])
  store.associate('contacts', b!, 'contacts', c!, [{ category: 'USER_DEFINED', typeId: friends.typeId }])
  store.associate('contacts', a!, 'vehicle', car!, ['Driver'])
  expect(() => store.associate('contacts', a!, 'contacts', a!)).toThrow('itself')
  expect(() => store.associate('contacts', a!, 'contacts', 999)).toThrow('no such record: contacts 999')
  expect(() => store.associate('contacts', a!, 'contacts', c!, ['Boss'])).toThrow('contacts → contacts has no association type Boss')
  const shown = (from: string, to: string) => [...store.edges(from, to)].map(({ fromId, toId, label }) => `${fromId} ${label} ${toId}`)
  expect(shown('contacts', 'contacts').sort()).toEqual([`${a} Parent ${b}`, `${a} null ${b}`, `${b} Child ${a}`, `${b} null ${a}`, `${b} Friend ${c}`, `${b} null ${c}`, `${c} Friend ${b}`, `${c} null ${b}`].sort())
  expect(shown('vehicle', 'contacts')).toEqual([`${car} Driver ${a}`, `${car} null ${a}`])
  const vehicle = store.associationTypes('vehicle', 'contacts')
  expect(vehicle.map(({ category }) => category)).toEqual(['HUBSPOT_DEFINED', 'INTEGRATOR_DEFINED'])
  expect((await sandbox.ask('/crm/associations/2026-09/2-3465404/contacts/labels')).body.results).toEqual(vehicle)
  for (const [from, to] of [['contacts', 'contacts'], ['contacts', '2-3465404'], ['2-3465404', 'contacts']] as const) {
    expect(await readAll(sandbox, from, to)).toEqual(sorted(store.edges(from, to)))
  }
  store.changeLabel('contacts', 'contacts', 'Parent', 'Mother')
  store.changeLabel('contacts', 'contacts', 'Friend', 'Pal')
  store.dissociate('contacts', b!, 'contacts', a!, ['Child'])
  expect(shown('contacts', 'contacts').sort()).toEqual([`${a} null ${b}`, `${b} null ${a}`, `${b} Pal ${c}`, `${b} null ${c}`, `${c} Pal ${b}`, `${c} null ${b}`].sort())
  store.removeLabel('contacts', 'contacts', 'Pal')
  store.dissociate('vehicle', car!, 'contacts', a!)
  expect([shown('contacts', 'vehicle'), shown('contacts', 'contacts').filter((edge) => !edge.includes('null'))]).toEqual([[], []])
  expect(() => store.dissociate('vehicle', car!, 'contacts', a!)).toThrow('no association vehicle → contacts')
})

test('a contact has one primary company; a company is that of many', async () => {
  await using sandbox = await sandboxInHand({ objects: { contacts: 2, companies: 2 } })
  const { store } = sandbox
  const [a, b] = ids(store, 'contacts')
  const [x, y] = ids(store, 'companies')
  store.associateAll('contacts', 'companies', [{ fromId: a!, toId: x!, types: ['Primary'] }, { fromId: a!, toId: y!, types: [{ category: 'HUBSPOT_DEFINED', typeId: 1 }] }])
  store.associateAll('companies', 'contacts', [{ fromId: y!, toId: b!, types: ['Primary'] }])
  const primary = (from: string, to: string) => [...store.edges(from, to)].filter(({ label }) => label === 'Primary').map(({ fromId, toId, typeId }) => [fromId, toId, typeId])
  expect(primary('contacts', 'companies')).toEqual([[a, y, 1], [b, y, 1]])
  store.associate('companies', x!, 'contacts', b!, ['Primary'])
  expect([primary('contacts', 'companies'), [...store.edges('contacts', 'companies')].length]).toEqual([[[a, y, 1], [b, x, 1]], 6])
  expect(await readAll(sandbox, 'companies', 'contacts')).toEqual(sorted(store.edges('companies', 'contacts')))
})

test('an archived record hides its edges from both sides, a restored one has them again, a purged one never', async () => {
  await using sandbox = await sandboxInHand({ objects: { contacts: 2, deals: 2 } })
  const { store } = sandbox
  const [a, b] = ids(store, 'contacts')
  const [x, y] = ids(store, 'deals')
  store.associateAll('contacts', 'deals', [[a, x], [a, y], [b, x]].map(([fromId, toId]) => ({ fromId: fromId!, toId: toId! })))
  const pairs = (from: string, to: string) => [...store.edges(from, to)].map(({ fromId, toId }) => `${fromId} ${toId}`)
  store.archive('deals', x!)
  expect([pairs('contacts', 'deals'), pairs('deals', 'contacts')]).toEqual([[`${a} ${y}`], [`${y} ${a}`]])
  expect(await readAll(sandbox, 'contacts', 'deals')).toEqual(sorted(store.edges('contacts', 'deals')))
  store.restore('deals', x!)
  expect(pairs('deals', 'contacts')).toEqual([`${x} ${a}`, `${x} ${b}`, `${y} ${a}`])
  store.purge('contacts', a!)
  expect([pairs('contacts', 'deals'), pairs('deals', 'contacts')]).toEqual([[`${b} ${x}`], [`${x} ${b}`]])
})

test('associations move no modified date unless the setting says so', async () => {
  await using sandbox = await sandboxInHand({ objects: { contacts: 1, deals: 1 } })
  const { store } = sandbox
  const [[contact], [deal]] = [ids(store, 'contacts'), ids(store, 'deals')]
  const dates = () => [store.record('contacts', contact!)!.updatedAt, store.record('deals', deal!)!.updatedAt]
  const before = dates()
  store.associate('contacts', contact!, 'deals', deal!)
  expect(dates()).toEqual(before)
  store.configure({ associationBumps: true })
  store.dissociate('contacts', contact!, 'deals', deal!)
  expect(dates()).toEqual(['2026-11-23T12:00:00.500Z', '2026-11-23T12:00:00.500Z'])
})

test('a batch counts in the burst window, or in the daily budget alone, and needs the scopes of both objects', async () => {
  await using sandbox = await sandboxInHand({ settings: { limits: true, burst: 2, limitClock: 'sandbox' } })
  const ask = (token = sandbox.token) => sandbox.ask('/crm/associations/2026-09/contacts/deals/batch/read', { body: { inputs: [{ id: '1' }] }, token })
  expect([(await ask()).status, (await ask()).status, (await ask()).status]).toEqual([207, 207, 429])
  sandbox.store.configure({ associationsCount: 'daily' })
  expect((await ask()).headers.get('x-hubspot-ratelimit-max')).toBeNull()
  sandbox.store.configure({ limits: false })
  sandbox.store.addToken({ token: 'half', scopes: ['crm.objects.contacts.read'] })
  sandbox.store.addToken({ token: 'whole', scopes: ['crm.objects.contacts.read', 'crm.objects.deals.read'] })
  expect(await ask('half')).toMatchObject({ status: 403, body: { errors: [{ context: { requiredGranularScopes: ['crm.objects.deals.read'] } }] } })
  expect((await ask('whole')).status).toBe(207)
  sandbox.store.addFault({ fault: '500', match: { kind: 'associations', to: 'deal' }, times: 1 })
  expect((await ask()).status).toBe(500)
  expect(sandbox.store.calls({ kind: 'associations' }).at(-1)).toMatchObject({ object: 'contacts', to: 'deals', ids: ['1'], status: 500 })
})

test('the control API does what the store does', async () => {
  await using sandbox = await sandboxInHand({ objects: { contacts: 2, companies: 1 } })
  const { store, control } = sandbox
  const [a, b] = ids(store, 'contacts')
  const [x] = ids(store, 'companies')
  const { body: { typeId } } = await control('POST /labels/contacts', { to: 'companies', label: 'Boss', typeId: 279 })
  expect(typeId).toBe(279)
  await control('POST /associations/contacts', { to: 'companies', edges: [{ fromId: a, toId: x, types: ['Boss'] }, { fromId: b, toId: x }] })
  await control('PATCH /labels/contacts', { to: 'companies', type: 'Boss', label: 'Chief' })
  const lines = async (query: string) => (await control(`GET /associations/contacts?${query}`)).text.trim().split('\n').map((line) => JSON.parse(line) as Edge)
  expect(await lines('to=companies')).toEqual([...store.edges('contacts', 'companies')])
  expect((await lines(`to=companies&fromId=${a}`)).map(({ typeId: id, category, label }) => [id, category, label])).toEqual([[279, 'HUBSPOT_DEFINED', null], [279, 'USER_DEFINED', 'Chief']])
  expect((await control('POST /associations/contacts', { to: 'companies', edges: [{ fromId: a, toId: x, types: [279] }] })).body.message).toContain('say {category, typeId}')
  await control('DELETE /associations/contacts', { to: 'companies', edges: [{ fromId: b, toId: x }] })
  await control('DELETE /labels/contacts', { to: 'companies', type: 'Chief' })
  expect((await lines('to=companies')).map(({ fromId, label }) => [fromId, label])).toEqual([[a, null]])
  expect((await control('GET /labels/contacts?to=companies')).body.types.map(({ label }: { label: string | null }) => label)).toEqual([null, 'Primary'])
})

test('a million edges take little memory and are found at once; a list of them equals a map in any order of changes', () => {
  const list = new EdgeList()
  const before = process.memoryUsage().arrayBuffers
  for (let from = 1; from <= 500_000; from++) for (const to of [7_000_000_000 + from, 7_100_000_000 + from]) list.set(from, to, 1)
  expect([list.size, list.get(250_000, 7_100_250_000), list.get(250_000, 1)]).toEqual([1_000_000, 1, 0])
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(45_000_000)
  const random = randomStream(3, 'changes')
  const small = new EdgeList()
  const map = new Map<string, number>()
  for (let at = 0; at < 30_000; at++) {
    const [from, to] = [1 + Math.floor(random() * 40), 1 + Math.floor(random() * 400)]
    const mask = random() < 0.3 ? 0 : 1 + Math.floor(random() * 7)
    small.set(from, to, mask)
    if (mask === 0) map.delete(`${from} ${to}`)
    else map.set(`${from} ${to}`, mask)
  }
  const walked = [...small.walk()]
  expect(new Map(walked.map(({ from, to, mask }) => [`${from} ${to}`, mask]))).toEqual(map)
  expect([walked.length, small.size]).toEqual([map.size, map.size])
  expect(walked.every((edge, at) => at === 0 || edge.from > walked[at - 1]!.from || (edge.from === walked[at - 1]!.from && edge.to > walked[at - 1]!.to))).toBe(true)
  expect([...small.of(7, 200)]).toEqual(walked.filter(({ from, to }) => from === 7 && to >= 200))
})
