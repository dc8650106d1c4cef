import { Client } from '@hubspot/api-client'
import { expect, test } from 'vitest'
import { sandboxInHand } from './support/sandbox.ts'

const client = (sandbox: { url: string; token: string }) => new Client({ accessToken: sandbox.token, basePath: sandbox.url })

test("HubSpot's own client reads every kind of answer", async () => {
  await using sandbox = await sandboxInHand({ objects: { contacts: 250, vehicle: 3 } })
  const { crm } = client(sandbox)
  const contacts = await crm.contacts.getAll(100, undefined, ['email', 'remarks'])
  expect(contacts.map(({ id }) => id)).toEqual([...sandbox.store.records('contacts')].map(({ id }) => id))
  const [first] = contacts
  const stored = sandbox.store.record('contacts', first!.id)!
  expect(first!.createdAt.toISOString()).toBe(new Date(stored.createdAt).toISOString())
  expect(first!.properties['email']).toBe(stored.properties['email'])
  expect((await crm.contacts.basicApi.getById(first!.id, ['email'])).properties['email']).toBe(stored.properties['email'])
  expect((await crm.contacts.basicApi.getById(stored.properties['email']!, [], [], [], false, 'email')).id).toBe(first!.id)

  const read = await crm.contacts.batchApi.read({ inputs: [{ id: first!.id }, { id: '7' }], properties: ['email'], propertiesWithHistory: [] })
  expect(read).toMatchObject({ status: 'COMPLETE', numErrors: 1, results: [{ id: first!.id }], errors: [{ category: 'OBJECT_NOT_FOUND', context: { ids: ['7'] } }] })
  const found = await crm.contacts.searchApi.doSearch({ filterGroups: [], properties: [], limit: 200, after: '0', sorts: [] })
  expect([found.total, found.results.length, found.paging?.next?.after]).toEqual([250, 200, '200'])

  const { results: properties } = await crm.properties.coreApi.getAll('contacts')
  expect(new Set(properties.map(({ type }) => type))).toEqual(new Set(['string', 'number', 'bool', 'enumeration', 'date', 'datetime', 'phone_number', 'json']))
  expect((await crm.properties.coreApi.getByName('contacts', 'lifecyclestage')).options[0]).toMatchObject({ value: 'subscriber', label: 'Subscriber', hidden: false })
  expect((await crm.properties.groupsApi.getAll('contacts')).results.map(({ name }) => name)).toContain('contactinformation')
  const { results: [schema] } = await crm.schemas.coreApi.getAll()
  expect(schema).toMatchObject({ objectTypeId: '2-3465404', name: 'vehicle', fullyQualifiedName: 'p8675309_vehicle', labels: { singular: 'Vehicle' } })
  expect((await crm.objects.basicApi.getPage(schema!.objectTypeId!, 10, undefined, ['vin'])).results).toHaveLength(3)
  expect((await crm.pipelines.pipelinesApi.getAll('deals')).results[0]?.stages.map(({ id }) => id)).toContain('closedwon')
  const owners = await crm.owners.ownersApi.getPage(undefined, undefined, 5)
  expect(owners.results[0]).toMatchObject({ email: 'owner0@example.com', archived: false, userIdIncludingInactive: expect.any(Number) })
  await expect(crm.deals.basicApi.getById('999')).rejects.toMatchObject({ code: 404, body: { category: 'OBJECT_NOT_FOUND', context: { id: ['999'] } } })
})

test('a list is ascending by id, goes on at the last id plus one, and says so while more follow', async () => {
  await using sandbox = await sandboxInHand({ objects: { deals: 25 } })
  const ids = [...sandbox.store.records('deals')].map(({ id }) => id)
  const first = (await sandbox.ask('/crm/objects/2026-09/deals')).body
  expect(first.results.map((deal: { id: string }) => deal.id)).toEqual(ids.slice(0, 10))
  expect(first.paging.next.after).toBe(String(Number(ids[9]) + 1))
  const rest = (await sandbox.ask(`/crm/objects/2026-03/0-3/?limit=15&after=${first.paging.next.after}`)).body
  expect(rest.results.map((deal: { id: string }) => deal.id)).toEqual(ids.slice(10))
  expect(rest).not.toHaveProperty('paging')
})

test('a list resumed by a kept cursor shows what was created behind it and nothing of what was archived', async () => {
  await using sandbox = await sandboxInHand({ objects: { contacts: 30 } })
  const ids = [...sandbox.store.records('contacts')].map(({ id }) => Number(id))
  const free = ids.slice(1).map((id) => id - 1).filter((id) => !ids.includes(id))
  sandbox.store.create('contacts', [{ id: free[20]!, properties: { email: 'late@example.com' } }, { id: free[2]! }])
  sandbox.store.archive('contacts', ids[25]!)
  const after = ids[9]! + 1
  const { body } = await sandbox.ask(`/crm/objects/2026-09/contacts?limit=100&after=${after}`)
  const expected = [...ids.slice(10).filter((id) => id !== ids[25]), free[20]!].sort((a, b) => a - b)
  expect(body.results.map((contact: { id: string }) => Number(contact.id))).toEqual(expected)
  const archived = await sandbox.ask('/crm/objects/2026-09/contacts?archived=true')
  expect(archived.body.results).toMatchObject([{ id: String(ids[25]), archived: true, archivedAt: '2026-11-23T12:00:00.500Z' }])
})

test('properties come by repeated keys or commas, unknown ones not at all, empty ones as null, id and dates always', async () => {
  await using sandbox = await sandboxInHand()
  sandbox.store.create('contacts', [{ id: 7, properties: { email: 'a@example.com', firstname: null, city: '', company: 'x' } }])
  const names = async (query: string) => Object.keys((await sandbox.ask(`/crm/v3/objects/contacts?${query}`)).body.results[0].properties)
  expect(await names('properties=email,city,nope&properties=firstname')).toEqual(['city', 'createdate', 'email', 'firstname', 'hs_object_id', 'lastmodifieddate'])
  expect(await names('')).toEqual(['createdate', 'email', 'firstname', 'hs_object_id', 'lastmodifieddate', 'lastname'])
  const { body } = await sandbox.ask('/crm/v3/objects/contacts/7?properties=city,firstname,hs_lastmodifieddate')
  expect(body).toEqual({
    id: '7',
    properties: { city: '', createdate: '2026-11-23T12:00:00.500Z', firstname: null, hs_lastmodifieddate: null, hs_object_id: '7', lastmodifieddate: '2026-11-23T12:00:00.500Z' },
    createdAt: '2026-11-23T12:00:00.500Z',
    updatedAt: '2026-11-23T12:00:00.500Z',
    archived: false,
    url: 'https://app.hubspot.com/contacts/8675309/record/0-1/7',
  })
  sandbox.store.configure({ emptyKeys: 'absent', cleared: 'null', hosting: 'eu1' })
  const switched = (await sandbox.ask('/crm/v3/objects/contacts/7?properties=city,firstname')).body
  expect([Object.keys(switched.properties), switched.url]).toEqual([['createdate', 'hs_object_id', 'lastmodifieddate'], 'https://app-eu1.hubspot.com/contacts/8675309/record/0-1/7'])
})

test('a page holds 100 records, 50 with history, and a URL 16,200 characters', async () => {
  await using sandbox = await sandboxInHand({ objects: { deals: 120 } })
  expect((await sandbox.ask('/crm/objects/2026-09/deals?limit=100')).body.results).toHaveLength(100)
  for (const query of ['limit=101', 'limit=0', 'limit=x', 'limit=51&propertiesWithHistory=amount', 'after=%20x']) {
    expect(await sandbox.ask(`/crm/objects/2026-09/deals?${query}`)).toMatchObject({ status: 400, body: { status: 'error', category: 'VALIDATION_ERROR' } })
  }
  const long = (length: number) => `/crm/objects/2026-09/deals?properties=${'x'.repeat(length - '/crm/objects/2026-09/deals?properties='.length)}`
  expect((await sandbox.ask(long(16_200))).status).toBe(200)
  expect((await sandbox.ask(long(16_201))).status).toBe(414)
  expect((await sandbox.ask(long(40_000))).status).toBe(414)
})

test('a batch read collapses duplicates, names all missing ids in one error, and is limited to 100, or 50 with history', async () => {
  await using sandbox = await sandboxInHand({ objects: { companies: 110 } })
  const ids = [...sandbox.store.records('companies')].map(({ id }) => id)
  sandbox.store.archive('companies', ids[0]!)
  sandbox.store.purge('companies', ids[1]!)
  const read = (asked: readonly string[], rest: object = {}, query = '') =>
    sandbox.ask(`/crm/objects/2026-09/companies/batch/read${query}`, { body: { inputs: asked.map((id) => ({ id })), properties: ['name'], ...rest } })
  const partial = await read([ids[0]!, ids[1]!, ids[2]!, ids[2]!, ids[3]!, 'x'])
  expect(partial.status).toBe(207)
  expect(partial.body.results.map(({ id }: { id: string }) => id).sort()).toEqual([ids[2], ids[3]])
  expect(partial.body.errors).toEqual([{
    status: 'error',
    category: 'OBJECT_NOT_FOUND',
    message: 'Could not get some COMPANY objects, they may be deleted or not exist. Check that ids are valid.',
    context: { ids: [ids[0], ids[1], 'x'] },
  }])
  expect((await read([ids[0]!], {}, '?archived=true')).body.results).toMatchObject([{ id: ids[0], archived: true }])
  const whole = await read(ids.slice(2, 102))
  expect([whole.status, whole.body.results.length, 'errors' in whole.body]).toEqual([200, 100, false])
  expect(whole.body.results.map(({ id }: { id: string }) => id)).not.toEqual(ids.slice(2, 102))
  expect((await read(ids.slice(2, 103))).body.message).toBe('The maximum number of inputs supported in a batch is 100. Please reduce the number of items and try again')
  expect((await read(ids.slice(2, 53), { propertiesWithHistory: ['name'] })).body.message).toBe(
    'The maximum number of inputs supported in a batch request for property histories is 50. Please reduce the number of items and try again')
})

test('history tells what a property held, newest first', async () => {
  await using sandbox = await sandboxInHand()
  const { store } = sandbox
  store.create('deals', [{ id: 5, properties: { amount: 1 } }])
  store.advance(1000)
  store.edit('deals', 5, { dealname: 'same amount' })
  store.edit('deals', 5, { amount: 2.5 })
  const { body } = await sandbox.ask('/crm/objects/2026-09/deals/5?propertiesWithHistory=amount')
  expect(body.propertiesWithHistory.amount).toMatchObject([{ value: '2.5', timestamp: '2026-11-23T12:00:01.500Z' }, { value: '1', timestamp: '2026-11-23T12:00:00.500Z' }])
})

test('an object is found by type id, plural, singular and full name; other names are refused as HubSpot does', async () => {
  await using sandbox = await sandboxInHand({ objects: { contacts: 1, line_items: 1, vehicle: 1 } })
  for (const name of ['0-1', 'contacts', 'contact', 'CONTACT', 'line_item', 'line_items', '0-8', '2-3465404', 'p8675309_vehicle', 'p_vehicle']) {
    expect((await sandbox.ask(`/crm/objects/2026-09/${name}`)).body.results, name).toHaveLength(1)
  }
  for (const name of ['vehicle', 'nope', '2-1']) {
    const { status, body } = await sandbox.ask(`/crm/objects/2026-09/${name}`)
    expect([status, body]).toEqual([400, { status: 'error', message: `Unable to infer object type from: ${name}`, correlationId: expect.any(String) }])
  }
  sandbox.store.configure({ customShortNames: true, inactive: ['line_items'] })
  expect((await sandbox.ask('/crm/objects/2026-09/vehicle')).status).toBe(200)
  expect((await sandbox.ask('/crm/objects/2026-09/line_items')).status).toBe(400)
})

test('every standard object can be listed, searched and described, under dated paths and v3', async () => {
  await using sandbox = await sandboxInHand()
  for (const object of sandbox.store.objects()) {
    sandbox.store.seed(object, 3)
    const record = [...sandbox.store.records(object)][1]!
    for (const version of ['objects/2026-09', 'objects/2026-03', 'v3/objects']) {
      expect((await sandbox.ask(`/crm/${version}/${object}?limit=1&after=${record.id}`)).body.results[0].updatedAt).toBe(record.updatedAt)
    }
    const { body } = await sandbox.ask(`/crm/properties/2026-09/${object}`)
    const modified = object === 'contacts' ? 'lastmodifieddate' : 'hs_lastmodifieddate'
    expect(body.results.find((property: { name: string }) => property.name === modified), object).toMatchObject({ type: 'datetime', fieldType: 'date' })
    expect(record.properties[modified]).toBe(record.updatedAt)
    const found = await sandbox.search(object, { filterGroups: [{ filters: [{ propertyName: modified, operator: 'EQ', value: String(Date.parse(record.updatedAt)) }] }] })
    expect(found.status, object).toBe(object === 'contracts' ? 404 : 200)
    if (object !== 'contracts') expect(found.body.results.map(({ id }: { id: string }) => id)).toContain(record.id)
  }
})

test('metadata is one call each: owners by pages, archived ones apart, account, usage, pipelines, schemas', async () => {
  await using sandbox = await sandboxInHand({ objects: { vehicle: 1 }, settings: { timeZone: 'Europe/Berlin' } })
  const ids: string[] = []
  for (let after: string | undefined = ''; after !== undefined;) {
    const { body }: { body: { results: { id: string }[]; paging?: { next: { after: string } } } } = await sandbox.ask(`/crm/v3/owners/?limit=4&after=${after}`)
    ids.push(...body.results.map(({ id }) => id))
    after = body.paging?.next.after
  }
  expect([ids.length, new Set(ids).size]).toEqual([10, 10])
  const left = (await sandbox.ask('/crm/owners/2026-09?archived=true')).body.results
  expect(left).toMatchObject([{ archived: true, userId: null, userIdIncludingInactive: expect.any(Number) }, { archived: true }])
  expect((await sandbox.ask('/account-info/2026-09/details')).body).toMatchObject({ portalId: 8675309, timeZone: 'Europe/Berlin', utcOffset: '+01:00', utcOffsetMilliseconds: 3_600_000, dataHostingLocation: 'na1' })
  expect((await sandbox.ask('/account-info/v3/api-usage/daily/private-apps')).body.results[0]).toMatchObject({ usageLimit: 250_000, currentUsage: 6, resetsAt: '2026-11-23T23:00:00.000Z' })
  expect((await sandbox.ask('/crm/pipelines/2026-09/tickets')).body.results[0]).toMatchObject({ id: '0', createdAt: '1970-01-01T00:00:00Z', stages: [{ metadata: { ticketState: 'OPEN' } }, {}, {}, {}] })
  expect((await sandbox.ask('/crm/pipelines/2026-09/tickets/0/stages')).body.results).toHaveLength(4)
  expect((await sandbox.ask('/crm-object-schemas/2026-09/schemas/CONTACT')).body).toMatchObject({ objectTypeId: '0-1', fullyQualifiedName: 'CONTACT' })
  expect((await sandbox.ask('/crm/object-library/2026-09/enablement')).body.enablementByObjectTypeId['0-420']).toBe(true)
  for (const path of ['/', '/crm/objects/2026-09', '/crm/objects/1999-01/contacts', '/crm/objects/2026-09/contacts/1/2/3', '/crm/pipelines/2026-09/deals/nope', '/crm/properties/2026-09/deals/nope']) {
    expect((await sandbox.ask(path)).status, path).toBe(404)
  }
  expect((await sandbox.ask('/crm/owners/2026-09', { body: {} })).status).toBe(405)
})
