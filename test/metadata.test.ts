import { expect, test } from 'vitest'
import type { Answer, Call } from '../src/hubspot/client.ts'
import { readAccount, readOwners, readPipelines, readProperties, readSchemas } from '../src/hubspot/metadata.ts'
import { answering, failure, json } from './support/answers.ts'

const through: Call = (_kind, send) => send()

test('owners are read to the last page, archived ones too, each call through the caller', async () => {
  await using hubspot = await answering((request, response) => {
    const { searchParams } = new URL(request.url ?? '', 'http://hubspot')
    const [archived, after] = [searchParams.get('archived'), searchParams.get('after')]
    json(response, { results: [{ id: `${archived} ${after}` }], ...(after ? {} : { paging: { next: { after: '1' } } }) })
  })
  const kinds: string[] = []
  const answers: Answer[] = []
  const call: Call = async (kind, send) => {
    kinds.push(kind)
    answers.push(await send())
    return answers.at(-1)!
  }
  const pages = await readOwners(hubspot.client, call)
  expect(pages.map(({ body }) => JSON.parse(body.toString()).results[0].id)).toEqual(
    ['false null', 'false 1', 'true null', 'true 1'],
  )
  expect(pages).toEqual(answers)
  expect(kinds).toEqual(['burst', 'burst', 'burst', 'burst'])

  const refuse: Call = () => Promise.reject(new Error('no permit'))
  await expect(readProperties(hubspot.client, refuse, { type: '0-1' })).rejects.toThrow('no permit')
  expect(hubspot.requests).toHaveLength(4)
})

test('a body that leads in a circle, or has another shape, is asked again and not believed', async () => {
  await using hubspot = await answering((_, response) => json(response, { results: [], paging: { next: { after: '1' } } }))
  expect(await failure(readOwners(hubspot.client, through))).toMatchObject({ code: 'SH208' })
  expect(hubspot.requests).toHaveLength(2)
  expect(await failure(readAccount(hubspot.client, through))).toMatchObject({ code: 'SH208' })
})

test('the account gives portal and time zone', async () => {
  await using hubspot = await answering((_, response) => json(response, { portalId: 7974676, timeZone: 'US/Eastern' }))
  const { value, answer } = await readAccount(hubspot.client, through)
  expect(value).toMatchObject({ portalId: 7_974_676, timeZone: 'US/Eastern' })
  expect(answer.status).toBe(200)
})

test('definitions are asked for by their own paths, sensitive and archived ones where they are wanted', async () => {
  await using hubspot = await answering((_, response) => json(response, { results: [] }))
  await readProperties(hubspot.client, through, { type: '0-1' })
  await readProperties(hubspot.client, through, { type: '2-7', archived: true, sensitivity: 'highly_sensitive' })
  await readSchemas(hubspot.client, through)
  await readPipelines(hubspot.client, through, { type: '0-3' })
  expect(hubspot.requests.map(({ url }) => url)).toEqual([
    '/crm/properties/2026-09/0-1?archived=false',
    '/crm/properties/2026-09/2-7?archived=true&dataSensitivity=highly_sensitive',
    '/crm-object-schemas/2026-09/schemas?archived=false',
    '/crm/pipelines/2026-09/0-3',
  ])
})
