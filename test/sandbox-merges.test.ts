import { Client } from '@hubspot/api-client'
import { expect, test } from 'vitest'
import type { Store } from '../src/sandbox/index.ts'
import { type Hands, sandboxInHand } from './support/sandbox.ts'

const ids = (store: Store, object: string, archived = false) => [...store.records(object, { archived })].map(({ id }) => id)

async function listed(sandbox: Hands, object: string, archived = false): Promise<string[]> {
  const found: string[] = []
  for (let after: string | undefined = '0'; after !== undefined;) {
    const { body }: { body: { results: { id: string }[]; paging?: { next: { after: string } } } } = await sandbox.ask(`/crm/objects/2026-09/${object}?limit=2&archived=${archived}&after=${after}`)
    found.push(...body.results.map(({ id }) => id))
    after = body.paging?.next.after
  }
  return found
}

const read = (sandbox: Hands, object: string, asked: readonly string[], query = '') =>
  sandbox.ask(`/crm/objects/2026-09/${object}/batch/read${query}`, { body: { inputs: asked.map((id) => ({ id })), properties: ['hs_merged_object_ids'] } })

test("HubSpot's own client merges contacts into a new record that both old ids lead to", async () => {
  await using sandbox = await sandboxInHand()
  const { store } = sandbox
  store.create('contacts', [
    { id: 11, properties: { email: 'a@example.com', firstname: 'Ada', city: '' } },
    { id: 12, properties: { email: 'b@example.com', lastname: 'Byron', city: 'London', phone: null } },
    { id: 13 },
  ])
  store.advance(60_000)
  const { crm } = new Client({ accessToken: sandbox.token, basePath: sandbox.url })
  const survivor = await crm.contacts.basicApi.merge({ primaryObjectId: '11', objectIdToMerge: '12' })
  expect(survivor).toMatchObject({ id: '101', properties: { email: 'a@example.com', firstname: 'Ada', lastname: 'Byron' } })
  expect(store.record('contacts', 101)).toMatchObject({
    createdAt: '2026-11-23T12:00:00.500Z',
    updatedAt: '2026-11-23T12:01:00.500Z',
    properties: { city: 'London', phone: null, hs_merged_object_ids: '11;12', hs_calculated_merged_vids: `11:${store.now()};12:${store.now()}` },
  })
  for (const id of ['11', '12']) expect((await crm.contacts.basicApi.getById(id, ['hs_merged_object_ids'])).id).toBe('101')
  expect([await listed(sandbox, 'contacts'), await listed(sandbox, 'contacts', true), store.record('contacts', 11)]).toEqual([['13', '101'], [], undefined])
  await expect(crm.contacts.basicApi.merge({ primaryObjectId: '12', objectIdToMerge: '101' })).rejects.toMatchObject({ code: 400 })
  await expect(crm.contacts.basicApi.merge({ primaryObjectId: '101', objectIdToMerge: '999' })).rejects.toMatchObject({ code: 404 })
  expect((await crm.contacts.basicApi.merge({ primaryObjectId: '13', objectIdToMerge: '12' })).id).toBe('102')
  expect(store.record('contacts', 102)!.properties['hs_merged_object_ids']).toBe('11;12;13;101')
  expect((await crm.contacts.basicApi.getById('11')).id).toBe('102')
  expect(() => store.restore('contacts', 11)).toThrow('no such record')
  expect(() => store.create('contacts', [{ id: 12 }])).toThrow('already there')
  expect((await sandbox.ask('/crm/v3/objects/notes/merge', { body: { primaryObjectId: '1', objectIdToMerge: '2' } })).status).toBe(404)
})

test("a deal keeps the primary's id; settings and options decide otherwise, and generated values stay what they were", async () => {
  await using sandbox = await sandboxInHand({ objects: { deals: 5, contacts: 2, vehicle: 2 } })
  const { store } = sandbox
  const [a, b, c, d, e] = ids(store, 'deals')
  const stored = (id: string) => store.record('deals', id)!.properties
  const [one, two] = [stored(a!), stored(b!)]
  const special = ['hs_object_id', 'createdate', 'hs_lastmodifieddate', 'hs_merged_object_ids']
  expect(store.merge('deals', a!, b!).id).toBe(a)
  for (const [name, value] of Object.entries(stored(a!))) {
    if (!special.includes(name)) expect(value, name).toBe(one[name] || (two[name] ?? one[name]))
  }
  expect(stored(a!)).toMatchObject({ hs_object_id: a, hs_merged_object_ids: b, hs_lastmodifieddate: '2026-11-23T12:00:00.500Z' })
  store.configure({ mergeMakesNewId: true })
  const before = stored(c!)
  const made = store.merge('deals', c!, d!, { at: '2026-11-24T00:00:00Z' })
  expect([made.id, made.updatedAt]).toEqual([String(Number(e) + 1), '2026-11-24T00:00:00Z'])
  for (const [name, value] of Object.entries(before)) {
    if (!special.includes(name) && value) expect(made.properties[name], name).toBe(value)
  }
  store.configure({ mergeMakesNewId: false })
  const [contact, other] = ids(store, 'contacts')
  expect(store.merge('contacts', contact!, other!).id).toBe(contact)
  expect(store.merge('deals', e!, a!, { newId: 77 }).properties['hs_merged_object_ids']).toBe([b, e, a].join(';'))
  expect(() => store.merge('deals', made.id, 77, { newId: b! })).toThrow('already there')
  const cars = ids(store, 'vehicle')
  expect((await sandbox.ask('/crm/objects/2026-09/2-3465404/merge', { body: { primaryObjectId: cars[1], objectIdToMerge: cars[0] } })).body.id).toBe(cars[1])
})

test('a batch read of a lost id answers the survivor, or misses it; archived lists show lost records where the setting says so', async () => {
  await using sandbox = await sandboxInHand({ objects: { companies: 4 } })
  const { store } = sandbox
  const [a, b, c, d] = ids(store, 'companies')
  const survivor = store.merge('companies', b!, c!).id
  store.archive('companies', d!)
  const answer = await read(sandbox, 'companies', [b!, c!, survivor, a!])
  expect([answer.status, answer.body.results.map(({ id }: { id: string }) => id).sort()]).toEqual([200, [a!, survivor].sort()])
  store.configure({ mergedRead: 'missing' })
  expect((await read(sandbox, 'companies', [b!, a!])).body).toMatchObject({ results: [{ id: a }], errors: [{ context: { ids: [b] } }] })
  expect(await listed(sandbox, 'companies', true)).toEqual([d])
  store.configure({ mergedArchived: true })
  expect(await listed(sandbox, 'companies', true)).toEqual([b, c, d])
  expect([ids(store, 'companies', true), store.count('companies', { archived: true }), store.count('companies')]).toEqual([[b, c, d], 3, 2])
  store.purge('companies', survivor)
  expect([await listed(sandbox, 'companies', true), (await sandbox.ask(`/crm/v3/objects/companies/${b}`)).status]).toEqual([[d], 404])
})

test('search forgets lost records as late as any write, and learns of the survivor', async () => {
  await using sandbox = await sandboxInHand({ objects: { contacts: 3 } })
  const { store } = sandbox
  const [a, b, c] = ids(store, 'contacts')
  const { id } = store.merge('contacts', a!, c!, { lag: 60_000 })
  const search = async () => {
    const { body } = await sandbox.search('contacts', { limit: 10 })
    return [body.total, body.results.map((contact: { id: string }) => contact.id).sort()]
  }
  expect(await search()).toEqual([3, [b]])
  store.advance(60_000)
  expect(await search()).toEqual([2, [b!, id].sort()])
  const lost = await sandbox.search('contacts', { filterGroups: [{ filters: [{ propertyName: 'hs_merged_object_ids', operator: 'HAS_PROPERTY' }] }] })
  expect(lost.body.results.map((contact: { id: string }) => contact.id)).toEqual([id])
})

test('a survivor has the associations of both, one Primary, and none with itself', async () => {
  await using sandbox = await sandboxInHand({ objects: { contacts: 4, companies: 3 } })
  const { store } = sandbox
  const [a, b, c, d] = ids(store, 'contacts')
  const [x, y, z] = ids(store, 'companies')
  store.defineLabel('contacts', 'contacts', { label: 'Parent', inverseLabel: 'Child' })
  store.associateAll('contacts', 'companies', [
    { fromId: a!, toId: x!, types: ['Primary'] }, { fromId: b!, toId: y!, types: ['Primary'] }, { fromId: b!, toId: x! }, { fromId: c!, toId: x!, types: ['Primary'] },
  ])
  store.associateAll('contacts', 'contacts', [{ fromId: a!, toId: b! }, { fromId: b!, toId: d!, types: ['Parent'] }])
  const { id } = store.merge('contacts', a!, b!)
  const shown = (from: string, to: string) => [...store.edges(from, to)].map(({ fromId, toId, label }) => `${fromId} ${label} ${toId}`).sort()
  expect(shown('contacts', 'companies')).toEqual([`${id} Primary ${x}`, `${id} null ${x}`, `${id} null ${y}`, `${c} Primary ${x}`, `${c} null ${x}`].sort())
  expect(shown('companies', 'contacts')).toEqual([`${x} Primary ${id}`, `${x} null ${id}`, `${y} null ${id}`, `${x} Primary ${c}`, `${x} null ${c}`].sort())
  expect(shown('contacts', 'contacts')).toEqual([`${id} Parent ${d}`, `${id} null ${d}`, `${d} Child ${id}`, `${d} null ${id}`].sort())
  const company = store.merge('companies', z!, x!, { newId: false }).id
  expect(shown('contacts', 'companies')).toEqual([`${id} Primary ${company}`, `${id} null ${company}`, `${id} null ${y}`, `${c} Primary ${company}`, `${c} null ${company}`].sort())
})

test('a record has 250 lost ids at most, more where the setting allows', async () => {
  await using sandbox = await sandboxInHand({ objects: { deals: 303 } })
  const { store } = sandbox
  const [first, ...others] = ids(store, 'deals')
  for (const id of others.slice(0, 250)) store.merge('deals', first!, id)
  const merge = () => sandbox.ask('/crm/objects/2026-09/deals/merge', { body: { primaryObjectId: first, objectIdToMerge: others[250] } })
  expect(await merge()).toMatchObject({ status: 414, body: { message: 'Cannot have more than 250 identities on a profile' } })
  expect(() => store.merge('deals', first!, others[250]!)).toThrow('Cannot have more than 250 identities')
  expect(store.count('deals')).toBe(53)
  store.configure({ mergesMax: 1_000 })
  expect((await merge()).status).toBe(200)
  for (const id of others.slice(251)) store.merge('deals', first!, id)
  expect([store.count('deals'), store.record('deals', first!)!.properties['hs_merged_object_ids']]).toEqual([1, others.join(';')])
  expect((await sandbox.ask(`/crm/v3/objects/deals/${others[7]}`)).body.id).toBe(first)
})

test('a privacy deletion leaves nothing in any list, by id or e-mail, also of what the contact was before', async () => {
  await using sandbox = await sandboxInHand({ settings: { mergedArchived: true } })
  const { store } = sandbox
  store.create('contacts', [1, 2, 3, 4, 5].map((id) => ({ id, properties: { email: `c${id}@example.com` } })))
  const { id } = store.merge('contacts', 1, 2)
  store.archive('contacts', 3)
  store.associate('contacts', 4, 'contacts', 5)
  const { crm } = new Client({ accessToken: sandbox.token, basePath: sandbox.url })
  await crm.contacts.basicApi.purge({ objectId: '2' })
  await crm.contacts.basicApi.purge({ objectId: 'c4@example.com', idProperty: 'email' })
  const { status, text } = await sandbox.ask('/crm/objects/2026-09/contacts/gdpr-delete', { body: { objectId: '3' } })
  expect([status, text]).toEqual([204, ''])
  expect([await listed(sandbox, 'contacts'), await listed(sandbox, 'contacts', true), [...store.edges('contacts', 'contacts')]]).toEqual([['5'], [], []])
  for (const gone of ['1', '2', '3', '4', id]) {
    for (const query of ['', '?archived=true']) {
      expect((await sandbox.ask(`/crm/v3/objects/contacts/${gone}${query}`)).status).toBe(404)
      expect((await read(sandbox, 'contacts', [gone], query)).body.results).toEqual([])
    }
  }
  expect((await sandbox.ask('/crm/objects/2026-09/contacts/gdpr-delete', { body: { objectId: '3' } })).status).toBe(404)
  expect((await sandbox.ask('/crm/objects/2026-09/deals/gdpr-delete', { body: { objectId: '3' } })).status).toBe(404)
})

test('an archived record can be restored for 90 days, and is gone then with its associations', async () => {
  await using sandbox = await sandboxInHand({ objects: { deals: 3, contacts: 1 }, settings: { mergedArchived: true } })
  const { store } = sandbox
  const [a, b, c] = ids(store, 'deals')
  const [contact] = ids(store, 'contacts')
  store.associate('deals', a!, 'contacts', contact!)
  store.merge('deals', b!, c!)
  store.archive('deals', a!)
  const day = 86_400_000
  store.advance(day)
  store.archive('deals', b!)
  store.advance(89 * day - 1)
  expect(await listed(sandbox, 'deals', true)).toEqual([a, b, c])
  store.restore('deals', a!)
  expect([...store.edges('contacts', 'deals')]).toHaveLength(1)
  store.archive('deals', a!, { at: store.now() - 89 * day })
  store.advance(1)
  expect(await listed(sandbox, 'deals', true)).toEqual([a, b])
  store.advance(day)
  expect([await listed(sandbox, 'deals', true), store.count('deals', { archived: true }), store.record('deals', a!)]).toEqual([[], 0, undefined])
  expect(() => store.restore('deals', b!)).toThrow('no such record')
  expect((await read(sandbox, 'deals', [a!], '?archived=true')).body.results).toEqual([])
  store.configure({ archivedDays: 1 })
  const [fresh] = store.create('deals', [{}])
  store.archive('deals', fresh!.id)
  store.advance(day)
  expect(ids(store, 'deals', true)).toEqual([])
})

test('deletes by the API go to the recycle bin, need the scope to write, and can be refused a list', async () => {
  await using sandbox = await sandboxInHand({ objects: { tickets: 4, notes: 2 } })
  const { store } = sandbox
  const [a, b, c] = ids(store, 'tickets')
  const { crm } = new Client({ accessToken: sandbox.token, basePath: sandbox.url })
  await crm.tickets.basicApi.archive(a!)
  await crm.tickets.basicApi.archive(a!)
  await crm.tickets.batchApi.archive({ inputs: [{ id: b! }, { id: b! }, { id: '9' }] })
  expect(await listed(sandbox, 'tickets', true)).toEqual([a, b])
  expect((await crm.tickets.basicApi.getById(a!, [], [], [], true)).archivedAt?.toISOString()).toBe('2026-11-23T12:00:00.500Z')
  store.addToken({ token: 'reader', scopes: ['crm.objects.contacts.read'] })
  const note = ids(store, 'notes')[0]!
  const refused = await sandbox.ask('/crm/v3/objects/notes/batch/archive', { body: { inputs: [{ id: note }] }, token: 'reader' })
  expect(refused).toMatchObject({ status: 403, body: { errors: [{ context: { requiredGranularScopes: ['crm.objects.contacts.write'] } }] } })
  expect([ids(store, 'notes').length, store.count('tickets'), ids(store, 'tickets')[0]]).toEqual([2, 2, c])
  store.configure({ archivedList: ['tickets'] })
  expect([(await sandbox.ask('/crm/v3/objects/tickets?archived=true')).status, (await sandbox.ask('/crm/v3/objects/tickets')).status]).toEqual([400, 200])
  const { control } = sandbox
  const merged = await control('POST /merge/tickets', { primaryId: c, otherId: ids(store, 'tickets')[1], newId: 5 })
  expect(merged.body).toEqual({ id: '5' })
  store.create('contacts', [{ id: 8 }])
  await control('POST /gdpr-delete/contacts', { ids: [8] })
  expect(store.count('contacts')).toBe(0)
})
