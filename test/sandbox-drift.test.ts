import { expect, test } from 'vitest'
import type { SandboxRecord } from '../src/sandbox/index.ts'
import { sandboxInHand } from './support/sandbox.ts'

test('a calculated property changes for all records or chosen ones, and no modified date moves', async () => {
  await using sandbox = await sandboxInHand({ objects: { deals: 30 } })
  const { store } = sandbox
  store.create('deals', [{ id: 5, properties: { hs_deal_score: 7 } }, { id: 6 }])
  store.addProperty('deals', { name: 'risk', type: 'number', calculated: true })
  const all = () => [...store.records('deals')].map(({ id, updatedAt, properties }) => ({ id, updatedAt, properties }))
  const changed = (before: readonly Pick<SandboxRecord, 'id' | 'properties'>[], name: string) =>
    all().filter((record, at) => record.properties[name] !== before[at]!.properties[name]).map(({ id }) => id)
  const first = all()
  store.recalculate('deals', 'risk')
  expect(changed(first, 'risk').length).toBeGreaterThan(20)
  expect(changed(first, 'dealname')).toEqual([])
  const second = all()
  store.recalculate('deals', 'hs_deal_score')
  expect(changed(second, 'hs_deal_score')).toContain('5')
  expect(changed(second, 'hs_deal_score').length).toBeGreaterThan(20)
  expect(all().map(({ updatedAt }) => updatedAt)).toEqual(first.map(({ updatedAt }) => updatedAt))

  const third = all()
  const chosen = ['5', third[4]!.id, third[9]!.id]
  store.recalculate('deals', 'risk', { ids: chosen, lag: 60_000 })
  expect(changed(third, 'risk').every((id) => chosen.includes(id))).toBe(true)
  expect([store.pending('deals'), all().map(({ updatedAt }) => updatedAt)]).toEqual([3, first.map(({ updatedAt }) => updatedAt)])
  const fourth = all()
  await sandbox.control('POST /properties/deals/recalculate', { name: 'risk' })
  expect(changed(fourth, 'risk').length).toBeGreaterThan(20)
  const { body } = await sandbox.ask('/crm/objects/2026-09/deals?limit=100&properties=risk')
  expect(body.results.map((deal: SandboxRecord) => deal.properties['risk'])).toEqual(all().map(({ properties }) => properties['risk']))
  expect(() => store.recalculate('deals', 'hs_lastmodifieddate')).toThrow('not calculated')
})

test('owners leave, come back, change and vanish', async () => {
  await using sandbox = await sandboxInHand()
  const { store, control } = sandbox
  const id = store.addOwner({ email: 'new@example.com' })
  const shown = async (archived: boolean) => (await sandbox.ask(`/crm/v3/owners/${id}?archived=${archived}`)).body
  store.advance(1_000)
  await control('PATCH /owners', { id, lastName: 'Nowak' })
  expect(await shown(false)).toMatchObject({ email: 'new@example.com', lastName: 'Nowak', updatedAt: '2026-11-23T12:00:01.500Z', createdAt: '2026-11-23T12:00:00.500Z' })
  store.archiveOwner(id)
  expect(await shown(true)).toMatchObject({ id, archived: true, userId: null })
  await control('POST /owners/restore', { id })
  expect(await shown(false)).toMatchObject({ id, archived: false })
  await control('DELETE /owners', { id })
  expect([(await shown(false)).category, (await shown(true)).category]).toEqual(['OBJECT_NOT_FOUND', 'OBJECT_NOT_FOUND'])
  expect(() => store.removeOwner(id)).toThrow(`no owner ${id}`)
})

test('pipelines and stages are renamed, archived and brought back, and the properties that hold them follow', async () => {
  await using sandbox = await sandboxInHand()
  const { store, control } = sandbox
  const labels = async () => {
    const { body } = await sandbox.ask('/crm/pipelines/2026-09/deals')
    return body.results.map(({ label, stages }: { label: string; stages: { label: string }[] }) => [label, stages.map((stage) => stage.label).join()])
  }
  const stages = async () => (await sandbox.ask('/crm/properties/2026-09/deals/dealstage')).body.options.map(({ label }: { label: string }) => label)
  store.setPipelines('deals', [{ id: 'a', label: 'A', stages: [{ id: 'a1' }, { id: 'a2' }] }, { id: 'b', label: 'B', stages: [{ id: 'b1' }] }])
  await control('PATCH /stages/deals', { pipeline: 'a', id: 'a2', label: 'Won', metadata: { isClosed: 'true' } })
  await control('PATCH /pipelines/deals', { id: 'a', label: 'Alpha', displayOrder: 9 })
  expect([await labels(), await stages()]).toEqual([[['B', 'b1'], ['Alpha', 'a1,Won']], ['b1', 'a1', 'Won']])
  store.changeStage('deals', 'a', 'a1', { archived: true })
  store.changePipeline('deals', 'b', { archived: true })
  expect([await labels(), await stages()]).toEqual([[['Alpha', 'Won']], ['Won']])
  expect((await sandbox.ask('/crm/pipelines/2026-09/deals/b')).status).toBe(404)
  expect((await sandbox.ask('/crm/pipelines/2026-09/deals/a/stages')).body.results).toMatchObject([{ id: 'a2', metadata: { isClosed: 'true' } }])
  store.changeStage('deals', 'a', 'a1', { archived: false })
  store.changePipeline('deals', 'b', { archived: false })
  expect(await stages()).toEqual(['b1', 'a1', 'Won'])
  expect(() => store.changeStage('deals', 'a', 'b1', { archived: true })).toThrow('no stage b1')
})

test('a custom object is archived and restored, with its records and associations', async () => {
  await using sandbox = await sandboxInHand({ objects: { vehicle: 3, contacts: 1 } })
  const { store, control } = sandbox
  const [contact, car] = ['contacts', 'vehicle'].map((object) => [...store.records(object)][0]!.id)
  store.associate('vehicle', car!, 'contacts', contact!)
  const asked = async () => [
    (await sandbox.ask('/crm/objects/2026-09/2-3465404')).status,
    (await sandbox.ask('/crm/v3/properties/2-3465404')).status,
    (await sandbox.ask(`/crm/v4/objects/contacts/${contact}/associations/2-3465404`)).status,
    (await sandbox.ask('/crm-object-schemas/2026-09/schemas')).body.results.length,
    (await sandbox.ask('/crm-object-schemas/2026-09/schemas?archived=true')).body.results.length,
    [...store.edges('contacts', 'vehicle')].length,
  ]
  expect(await asked()).toEqual([200, 200, 200, 1, 0, 1])
  await control('POST /objects/vehicle/archive')
  expect(await asked()).toEqual([400, 400, 400, 0, 1, 0])
  expect((await sandbox.ask('/crm/objects/2026-09/2-3465404')).body.message).toBe('Unable to infer object type from: 2-3465404')
  await control('POST /objects/vehicle/restore')
  expect(await asked()).toEqual([200, 200, 200, 1, 0, 1])
  expect(() => store.archiveObject('contacts')).toThrow('not a custom object')
})

test("a token loses one object's scopes and gets them back", async () => {
  await using sandbox = await sandboxInHand({ objects: { deals: 1, contacts: 1 } })
  const { store, token } = sandbox
  const asked = async (held = token) => {
    const paths = ['/crm/v3/objects/deals', '/crm/v3/properties/deals', '/crm/v3/pipelines/deals', '/crm/v3/objects/contacts']
    return Promise.all(paths.map(async (path) => (await sandbox.ask(path, { token: held })).status))
  }
  expect(await asked()).toEqual([200, 200, 200, 200])
  store.changeToken(token, { without: ['deals'] })
  expect(await asked()).toEqual([403, 403, 403, 200])
  expect((await sandbox.search('deals', {})).body.category).toBe('MISSING_SCOPES')
  await sandbox.control('PATCH /tokens', { token, without: [] })
  expect(await asked()).toEqual([200, 200, 200, 200])
  store.addToken({ token: 'small', scopes: ['crm.objects.contacts.read'] })
  expect(await asked('small')).toEqual([403, 403, 403, 200])
  store.changeToken('small', { scopes: ['crm.objects.deals.read'], expiresAt: store.now() + 1_000 })
  expect(await asked('small')).toEqual([200, 200, 200, 403])
  store.changeToken('small', { scopes: null })
  expect(await asked('small')).toEqual([200, 200, 200, 200])
  store.advance(1_000)
  expect((await asked('small'))[0]).toBe(401)
  store.changeToken('small', { expiresAt: null })
  expect((await asked('small'))[0]).toBe(200)
  expect(() => store.changeToken('none', {})).toThrow('no token none')
})
