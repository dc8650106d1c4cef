import { readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { startSandbox } from '../src/sandbox/index.ts'
import { controlRoutes } from '../src/sandbox/http/control.ts'
import { defaultSettings } from '../src/sandbox/settings.ts'
import { createSegment } from '../src/sandbox/store/segment.ts'
import { isoTime } from '../src/sandbox/store/version.ts'
import { sandboxInHand } from './support/sandbox.ts'

test('one seed makes one account, whatever else was drawn; another seed makes another', async () => {
  const dump = async (seed: number, distract = false) => {
    await using sandbox = await sandboxInHand({ seed, objects: { contacts: 50, vehicle: { count: 10, properties: 12 } } })
    if (distract) await sandbox.search('contacts', {})
    return [...sandbox.store.records('contacts'), ...sandbox.store.records('vehicle')].map((record) => ({ ...record }))
  }
  const first = await dump(1)
  expect(await dump(1, true)).toEqual(first)
  expect(await dump(2)).not.toEqual(first)
  expect(first[55]!.properties).toHaveProperty('extra_012')
})

test('generated values are of their types, and odd as real ones are', async () => {
  await using sandbox = await sandboxInHand({ objects: { contacts: 3_000, deals: 200 } })
  const { results } = (await sandbox.ask('/crm/properties/2026-09/contacts')).body
  const records = [...sandbox.store.records('contacts')]
  const forms: Record<string, RegExp> = {
    number: /^-?\d+(\.\d+)?$/, bool: /^(true|false)$/, date: /^\d{4}-\d\d-\d\d$/, datetime: /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3})?Z$/, json: /^\{.*\}$/,
  }
  const values = new Map<string, (string | null)[]>(results.map(({ name }: { name: string }) => [name, records.map(({ properties }) => properties[name]!)]))
  for (const { name, type, fieldType, options } of results) {
    const filled = values.get(name)!.filter((value) => value !== null && value !== '') as string[]
    expect(filled.find((value) => forms[type]?.test(value) === false), name).toBeUndefined()
    if (fieldType !== 'checkbox' || options.length === 0) continue
    const known = options.map((option: { value: string }) => option.value)
    expect(filled.some((value) => value.includes(';')), name).toBe(true)
    expect(filled.every((value) => value.split(';').every((one) => known.includes(one))), name).toBe(true)
  }
  const all = [...values.values()].flat()
  for (const odd of ['\n', '"', '🚀', '\\', '<b>', '注文', 'مرحبا']) expect(all.some((value) => value?.includes(odd)), odd).toBe(true)
  expect(all).toContain('')
  expect(new Set(values.get('email')!.filter(Boolean)).size).toBe(values.get('email')!.filter(Boolean).length)
  const stages = new Map<string, string[]>((await sandbox.ask('/crm/v3/pipelines/deals')).body.results.map((pipeline: { id: string; stages: { id: string }[] }) => [pipeline.id, pipeline.stages.map(({ id }) => id)]))
  for (const { properties } of sandbox.store.records('deals')) expect(stages.get(properties['pipeline']!)).toContain(properties['dealstage'])
})

test('a million records are answered like ten', async () => {
  await using sandbox = await sandboxInHand({ objects: { contacts: 1_000_000 } })
  const { body } = await sandbox.search('contacts', { sorts: [{ propertyName: 'lastmodifieddate', direction: 'DESCENDING' }], limit: 1 })
  expect(body.total).toBe(1_000_000)
  const [newest] = body.results
  expect((await sandbox.ask(`/crm/objects/2026-09/contacts?limit=1&after=${newest.id}`)).body.results[0]).toEqual(newest)
})

test('a segment finds by formula what it made by formula', () => {
  for (const [count, ties] of [[1, 0], [2, 2], [7, 3], [1_000, 0], [4_097, 900]] as const) {
    const segment = createSegment({ count, ties, firstId: 50, now: Date.UTC(2026, 10, 23), salt: count * 31 })
    const indexes = Array.from({ length: count }, (_, index) => index)
    const ids = indexes.map(segment.idAt)
    expect([ids[0], ids.at(-1)]).toEqual([segment.firstId, segment.lastId])
    expect(ids.every((id, at) => at === 0 || id > ids[at - 1]!)).toBe(true)
    expect(ids.map(segment.indexOf)).toEqual(indexes)
    for (let id = 40; id < 120; id++) expect(segment.indexFrom(id)).toBe(ids.filter((other) => other < id).length)
    expect(indexes.map((index) => segment.indexAt(segment.rankOf(index)))).toEqual(indexes)
    const modified = indexes.map(segment.modifiedAt)
    expect(modified.every((at, rank) => rank === 0 || at >= modified[rank - 1]!)).toBe(true)
    expect(indexes.every((index) => segment.createdAt(index) <= segment.version(index).updatedAt)).toBe(true)
    expect(Math.max(...Map.groupBy(modified, (at) => at).values().map((same) => same.length))).toBeGreaterThanOrEqual(ties)
  }
})

test("times are written as Date does, without milliseconds on whole seconds", () => {
  for (const ms of [0, 1, 999, 1_000, 86_399_999, 86_400_000, Date.UTC(2024, 1, 29, 23, 59, 59, 7), Date.UTC(1969, 5, 1, 3, 4, 5, 60), Date.UTC(2026, 10, 23, 12, 0, 0, 45)]) {
    expect(isoTime(ms, 'keep')).toBe(new Date(ms).toISOString())
    expect(isoTime(ms)).toBe(new Date(ms).toISOString().replace('.000Z', 'Z'))
  }
})

test('writes move the modified date where HubSpot does: not when archived, restored or recalculated', async () => {
  await using sandbox = await sandboxInHand({ objects: { deals: 3 } })
  const { store } = sandbox
  const [id] = [...store.records('deals')].map((record) => record.id)
  const at = () => store.record('deals', id!)!.updatedAt
  const before = at()
  store.edit('deals', id!, { hs_deal_score: 3 }, { touch: false })
  store.archive('deals', id!)
  store.restore('deals', id!)
  expect([at(), store.record('deals', id!)!.properties['hs_deal_score']]).toEqual([before, '3'])
  store.configure({ archiveBumps: true })
  store.archive('deals', id!)
  expect(at()).toBe('2026-11-23T12:00:00.500Z')
  store.configure({ restoreBumps: true })
  store.advance(1_000)
  store.restore('deals', id!)
  expect(at()).toBe('2026-11-23T12:00:01.500Z')
  store.edit('deals', id!, { createdate: '2020-01-01T00:00:00Z' }, { at: '2027-01-01T00:00:00Z' })
  expect(store.record('deals', id!)).toMatchObject({ createdAt: '2020-01-01T00:00:00Z', updatedAt: '2027-01-01T00:00:00Z', properties: { createdate: '2020-01-01T00:00:00Z', hs_lastmodifieddate: '2027-01-01T00:00:00Z' } })
})

test('a write that does not fit is refused whole', async () => {
  await using sandbox = await sandboxInHand({ objects: { deals: 2 } })
  const { store } = sandbox
  const [one, two] = [...store.records('deals')]
  expect(() => store.edit('deals', [one!.id, 1], { amount: 5 })).toThrow('no such record: deals 1')
  expect(() => store.create('deals', [{ id: 3 }, { id: two!.id }])).toThrow(`deals ${two!.id} was already there`)
  expect(() => store.restore('deals', one!.id)).toThrow()
  expect([...store.records('deals')].map((record) => ({ ...record }))).toEqual([{ ...one }, { ...two }])
  store.purge('deals', one!.id)
  expect(() => store.create('deals', [{ id: one!.id }])).toThrow('was already there')
  expect([store.record('deals', one!.id), (await sandbox.ask(`/crm/v3/objects/deals/${one!.id}?archived=true`)).status]).toEqual([undefined, 404])
})

test('a schema drifts: properties added, changed, archived and brought back, a custom object, pipelines, owners', async () => {
  await using sandbox = await sandboxInHand({ objects: { deals: 5 } })
  const { store } = sandbox
  const id = [...store.records('deals')][0]!.id
  const value = async (name: string) => (await sandbox.ask(`/crm/v3/objects/deals/${id}?properties=${name}`)).body.properties[name]
  const before = store.record('deals', id)!.updatedAt
  store.addProperty('deals', { name: 'risk', type: 'enumeration', options: ['low', { value: 'high', label: 'High!' }] })
  store.addProperty('deals', { name: 'score', type: 'number', filled: true })
  expect([await value('risk'), await value('score')]).toEqual([null, store.record('deals', id)!.properties['score']])
  store.edit('deals', id, { risk: 'low' })
  store.changeProperty('deals', 'risk', { type: 'string', label: 'Risk now' })
  expect((await sandbox.ask('/crm/properties/2026-09/deals/risk')).body).toMatchObject({ type: 'string', fieldType: 'text', label: 'Risk now' })
  store.archiveProperty('deals', 'risk')
  expect([await value('risk'), (await sandbox.ask('/crm/properties/2026-09/deals/risk')).status]).toEqual([undefined, 404])
  expect((await sandbox.ask('/crm/properties/2026-09/deals?archived=true')).body.results).toMatchObject([{ name: 'risk', archived: true, archivedAt: expect.any(String) }])
  store.restoreProperty('deals', 'risk')
  expect([await value('risk'), before === store.record('deals', id)!.createdAt]).toEqual(['low', false])

  const typeId = store.addObject({ name: 'boat', typeNumber: 77, properties: [{ name: 'hull', hasUniqueValue: true }, { name: 'length', type: 'number' }] })
  store.seed('boat', 4)
  const [boat] = (await sandbox.ask(`/crm/v3/objects/${typeId}?properties=hull,length`)).body.results
  expect([typeId, Object.keys(boat.properties)]).toEqual(['2-77', ['hs_createdate', 'hs_lastmodifieddate', 'hs_object_id', 'hull', 'length']])
  expect((await sandbox.ask('/crm/v3/schemas/2-77')).body).toMatchObject({ name: 'boat', primaryDisplayProperty: 'hull', requiredProperties: ['hull'], createdAt: '2026-11-23T12:00:00.500Z' })
  store.setPipelines('deals', [{ id: 'p', stages: [{ id: 's' }] }])
  expect((await sandbox.ask('/crm/v3/properties/deals/dealstage')).body.options).toMatchObject([{ value: 's' }])
  const owner = store.addOwner({ email: 'new@example.com' })
  store.archiveOwner(owner)
  expect((await sandbox.ask(`/crm/v3/owners/${owner}?archived=true`)).body).toMatchObject({ email: 'new@example.com', archived: true, userId: null })
})

test('a property that may not be read refuses whatever asks for it, by name or without', async () => {
  await using sandbox = await sandboxInHand({ objects: { contacts: 3 } })
  const list = '/crm/objects/2026-09/contacts?properties=email'
  const read = (properties: string[]) => sandbox.ask('/crm/objects/2026-09/contacts/batch/read', { body: { inputs: [{ id: '101' }], properties } })
  await sandbox.control('PATCH /properties/contacts', { name: 'phone', unreadable: 'unnamed' })
  expect((await sandbox.ask(list)).status).toBe(200)
  for (const refused of [await sandbox.ask(`${list},phone`), await read(['phone']), await sandbox.search('contacts', { properties: ['phone'] })]) {
    expect(refused).toMatchObject({ status: 403, body: { category: 'MISSING_PERMISSIONS' } })
    expect(refused.text).not.toContain('phone')
  }
  sandbox.store.changeProperty('contacts', 'phone', { unreadable: 'named' })
  expect((await read(['email', 'phone'])).body).toMatchObject({ message: expect.stringContaining('"phone"') as string, errors: [{ context: { properties: ['phone'] } }] })
  sandbox.store.changeProperty('contacts', 'phone', { unreadable: null })
  expect((await sandbox.ask(`${list},phone`)).status).toBe(200)
})

test('the control API over HTTP does what the store does', async () => {
  await using sandbox = await sandboxInHand({ objects: { contacts: 20 } })
  const { control, store } = sandbox
  expect((await control('POST /records/contacts', { records: [{ id: 5, properties: { email: 'x@example.com' } }, {}], at: 1_700_000_000_000 })).body.ids[0]).toBe('5')
  await control('PATCH /records/contacts', { ids: [5], properties: { city: 'Kraków' }, lag: 60_000 })
  expect([store.record('contacts', 5)!.properties['city'], store.pending()]).toEqual(['Kraków', 1])
  await control('POST /index/flush')
  await control('POST /archive/contacts', { ids: ['5'] })
  expect((await control('GET /')).body).toMatchObject({ portalId: 8675309, now: '2026-11-23T12:00:00.500Z', pending: 0, objects: { contacts: { live: 21, archived: 1 } } })
  const dump = async (query = '') => (await control(`GET /dump/contacts${query}`)).text.trim().split('\n').map((line) => JSON.parse(line) as { id: string })
  expect(await dump()).toEqual([...store.records('contacts')].map((record) => ({ ...record })))
  expect((await dump('?archived=true')).map(({ id }) => id)).toEqual(['5'])
  await control('POST /restore/contacts', { ids: [5] })
  expect((await control('POST /clock', { advance: 60_000, frozen: true })).body.now).toBe('2026-11-23T12:01:00.500Z')
  expect((await control('PATCH /settings', { lag: [1, 2], gzip: false })).body).toMatchObject({ lag: [1, 2], gzip: false })
  expect((await control('POST /faults', { fault: '500', match: { kind: 'list' }, times: 1 })).body).toEqual({ number: 1 })
  expect([(await sandbox.ask('/crm/v3/objects/contacts?limit=2&after=7')).status, (await sandbox.ask('/crm/v3/objects/contacts?limit=2&after=7')).status]).toEqual([500, 200])
  const { counts, calls } = (await control('GET /calls?object=contacts&status=200')).body
  expect(counts).toContainEqual({ kind: 'list', object: 'contacts', status: 500, count: 1 })
  expect(calls).toMatchObject([{ number: 2, kind: 'list', object: 'contacts', status: 200, limit: 2, after: '7', returned: 2, firstId: '101', method: 'GET' }])
  await control('DELETE /calls')
  expect((await control('GET /calls')).body).toEqual({ counts: [], calls: [] })
  await control('POST /tokens', { token: 'second' })
  expect((await sandbox.ask('/crm/v3/owners', { token: 'second' })).status).toBe(200)
  await control('DELETE /tokens', { token: 'second' })
  expect((await sandbox.ask('/crm/v3/owners', { token: 'second' })).status).toBe(401)
  expect((await control('POST /seed/vehicle', { count: 1 })).body.message).toMatch('no object vehicle')
  expect((await control('POST /objects', { name: 'vehicle' })).body.objectTypeId).toBe('2-3465404')
  expect((await control('POST /seed/vehicle', { count: 30 })).body.count).toBe(30)
  for (const [route, body] of [['PATCH /settings', { lags: 1 }], ['PATCH /settings', { lag: [3, 1] }], ['POST /archive/contacts', {}], ['POST /faults', { fault: 'x' }], ['POST /clock', { advance: -1 }]] as const) {
    const refused = await control(route, body)
    expect([refused.status, typeof refused.body.message], route).toEqual([400, 'string'])
  }
  expect((await control('GET /nope')).status).toBe(404)
})

test('the clock runs, stands, and moves everything that has a date', async () => {
  await using sandbox = await startSandbox({ now: '2030-01-01T00:00:00Z', objects: { contacts: 1 } })
  const date = async () => Date.parse((await fetch(`${sandbox.url}/account-info/v3/details`, { headers: { authorization: `Bearer ${sandbox.token}` } })).headers.get('date')!)
  const first = sandbox.store.now()
  expect(first).toBeGreaterThanOrEqual(Date.parse('2030-01-01T00:00:00Z'))
  await expect.poll(() => sandbox.store.now()).toBeGreaterThan(first)
  sandbox.store.freeze()
  const still = sandbox.store.now()
  sandbox.store.advance(86_400_000)
  expect([sandbox.store.now(), await date()]).toEqual([still + 86_400_000, Math.floor(still / 1_000) * 1_000 + 86_400_000])
  sandbox.store.setClock('2020-05-05T00:00:00Z')
  expect(sandbox.store.create('contacts', [{}])[0]!.createdAt).toBe('2020-05-05T00:00:00Z')
})

test('every setting and every control call is in the documentation', async () => {
  const text = await readFile(new URL('../docs/sandbox.md', import.meta.url), 'utf8')
  for (const name of [...Object.keys(defaultSettings), ...Object.keys(controlRoutes)]) expect(text, name).toContain(`\`${name}\``)
})
