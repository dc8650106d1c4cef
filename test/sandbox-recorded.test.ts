import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { sandboxInHand, type Hands } from './support/sandbox.ts'

type Recorded = { id: string; properties: Record<string, string | null>; createdAt: string; updatedAt: string; archived: boolean }
type Exchange = {
  method: string
  path: string
  status: number
  body: { properties: string[]; filterGroups: { filters: { propertyName: string; value: string }[] }[] }
  response: { total: number; results: Recorded[] }
  headers: Record<string, string>
}

const folder = new URL('../../shared/recordings/grouparoo/', import.meta.url)
const present = existsSync(folder)
const exchanges: Exchange[] = present
  ? readdirSync(folder).filter((name) => name.endsWith('.json')).flatMap((name) => JSON.parse(readFileSync(new URL(name, folder), 'utf8')) as Exchange[])
  : []
const searches = exchanges.filter(({ path }) => path.endsWith('/search'))

/** Brings the sandbox to where HubSpot stood when it answered; says how many hits did not fit what had been asked. */
function stage({ store }: Hands, object: string, { body, response }: Exchange): number {
  store.flushIndex()
  const others = new Set([...store.records(object)].map(({ id }) => id))
  const first = response.results[0]!.id
  let late = 0
  for (const { id, properties, createdAt, updatedAt } of response.results) {
    if (store.record(object, id)?.archived) store.restore(object, id)
    if (!store.record(object, id)) store.create(object, [{ id }], { at: createdAt })
    const created = { hs_createdate: createdAt, createdate: createdAt }
    const fits = body.filterGroups.find(({ filters }) => filters.every(({ propertyName, value }) => properties[propertyName]?.toLowerCase() === value.toLowerCase()))
    // The index found what the record had been until a moment ago.
    const asked = (fits ?? body.filterGroups[0]!).filters.map(({ propertyName, value }) => [propertyName, value] as const)
    if (!fits) late++
    store.edit(object, id, { ...properties, ...created, ...Object.fromEntries(fits ? [] : asked) }, { at: updatedAt })
    store.edit(object, id, { ...properties, ...created }, { at: updatedAt, lag: fits ? 0 : 60_000 })
    others.delete(id)
  }
  store.archive(object, [...others])
  const named = [...response.results.flatMap(({ properties }) => Object.keys(properties)), ...body.filterGroups.flatMap(({ filters }) => filters.map(({ propertyName }) => propertyName))]
  for (const name of new Set(named)) if (!(name in store.record(object, first)!.properties)) store.addProperty(object, { name })
  return late
}

test.skipIf(!present)(`searches are answered as HubSpot answered them${present ? '' : ' (skipped: ../shared/recordings is not here)'}`, async () => {
  await using sandbox = await sandboxInHand({ portalId: 20_858_235 })
  sandbox.store.addObject({ name: 'grouparoo_object', typeNumber: 3_604_285, properties: [{ name: 'grouparoo_object_property' }] })
  // Where `total` counts more than there is, a record was archived a moment before; who it was is not recorded.
  const answered = searches.filter(({ status, response }) => status === 200 && response.total > 0 && response.total === response.results.length)
  let late = 0
  for (const exchange of answered) {
    const { path, body, response, headers } = exchange
    late += stage(sandbox, path.split('/').at(-2)!, exchange)
    const answer = await sandbox.ask(path, { body })
    // Records have had an address since; the recorded ones are older.
    const results = answer.body.results.map((record: object) => ({ ...record, url: undefined }))
    const byId = (a: { id: string }, b: { id: string }) => Number(a.id) - Number(b.id)
    expect([answer.status, { ...answer.body, results: results.sort(byId) }]).toEqual([200, { ...response, results: response.results.toSorted(byId) }])
    // An OAuth app's answers lack the daily pair; none shows the burst limit.
    const named = [...answer.headers.keys()].filter((name) => name.startsWith('x-hubspot'))
    expect(named).toEqual(expect.arrayContaining(Object.keys(headers).map((name) => name.toLowerCase()).filter((name) => name.startsWith('x-hubspot'))))
    expect(named).toHaveLength(3)
  }
  expect([answered.length, late]).toEqual([406, 12])
})

test.skipIf(!present)('a refused search reads as the recorded ones', async () => {
  await using sandbox = await sandboxInHand({ settings: { limits: true, search: 0, throttleBody: 'category' } })
  const { body, headers } = await sandbox.search('companies', {})
  const refused = searches.filter(({ status }) => status === 429)
  expect(refused).toHaveLength(69)
  for (const { response, headers: recorded } of refused) {
    expect({ ...response, correlationId: body.correlationId }).toEqual(body)
    expect(Object.keys(recorded).filter((name) => !name.startsWith('CF-')).every((name) => headers.has(name))).toBe(true)
  }
})
