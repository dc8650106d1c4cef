import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { afterOf, idsOf, repairBody } from '../src/hubspot/body.ts'
import { isSearch } from '../src/hubspot/paths.ts'
import { Refused, Throttled } from '../src/lib/errors.ts'
import { answering, failure, json } from './support/answers.ts'

type Exchange = {
  method: string
  path: string
  query: Record<string, string>
  body: unknown
  status: number
  response: unknown
  headers: Record<string, string>
}

// Real HubSpot traffic of 2021 and 2022, which lies beside the repository where it lies at all.
const FOLDER = new URL('../../shared/recordings/grouparoo/', import.meta.url)
const present = existsSync(FOLDER)
const exchanges: Exchange[] = present
  ? readdirSync(FOLDER).flatMap((file) => JSON.parse(readFileSync(new URL(file, FOLDER), 'utf8')) as Exchange[])
  : []
const why = present ? '' : ' (skipped: ../shared/recordings is not here)'

// no header, no figure: of 1,355 answers 644 name the burst limit and 762 the daily one
function limitsOf(headers: Record<string, string>) {
  const figure = (key: string, name: string) => (headers[name] === undefined ? {} : { [key]: Number(headers[name]) })
  return {
    ...figure('burstMax', 'X-HubSpot-RateLimit-Max'),
    ...figure('burstRemaining', 'X-HubSpot-RateLimit-Remaining'),
    ...figure('burstIntervalMs', 'X-HubSpot-RateLimit-Interval-Milliseconds'),
    ...figure('dailyMax', 'X-HubSpot-RateLimit-Daily'),
    ...figure('dailyRemaining', 'X-HubSpot-RateLimit-Daily-Remaining'),
  }
}

describe.skipIf(!present)(`recorded HubSpot${why}`, () => {
  // replayed over HTTP in order: what the client is asked for next is what the server answers next
  const replay = async (some: Exchange[], check: (exchange: Exchange, answer: () => Promise<unknown>) => Promise<void>) => {
    let current = some[0]!
    await using hubspot = await answering((_, response) => {
      const { connection: _hop, ...headers } = current.headers
      json(response, current.response, current.status, headers)
    })
    for (current of some) {
      const { method, path, body } = current
      const send = () =>
        hubspot.client.request({
          method: method as 'GET',
          path,
          body: method === 'GET' ? undefined : body,
          mayBeEmpty: current.status === 204,
        })
      await check(current, send)
    }
    expect(hubspot.requests).toHaveLength(some.length)
  }

  test('every 429 is known for a full search budget, though none names its policy', async () => {
    const throttled = exchanges.filter(({ status }) => status === 429)
    expect(throttled).toHaveLength(69)
    await replay(throttled, async ({ path, headers }, send) => {
      expect(isSearch(path)).toBe(true)
      const error = await failure(send())
      expect(error).toBeInstanceOf(Throttled)
      expect(error).toMatchObject({
        code: 'SH301',
        policy: 'search',
        detail: {
          category: 'RATE_LIMITS',
          correlationId: headers['X-HubSpot-Correlation-Id'],
          answer: { date: new Date(headers['Date']!).toISOString(), limits: limitsOf(headers) },
        },
      })
    })
  })

  test('every other refusal is one, with what HubSpot said', async () => {
    const refused = exchanges.filter(({ status }) => status >= 400 && status !== 429)
    expect(refused.length).toBeGreaterThan(90)
    await replay(refused, async ({ status, response }, send) => {
      const error = await failure(send())
      expect(error).toBeInstanceOf(Refused)
      expect(error).toMatchObject({ code: 'SH203', status, detail: { said: (response as { message: string }).message } })
    })
  })

  test('every success comes through byte by byte, with the limits it names', async () => {
    const succeeded = exchanges.filter(({ status }) => status < 300)
    expect(succeeded.length).toBeGreaterThan(1_000)
    await replay(succeeded, async ({ status, response, headers }, send) => {
      const text = typeof response === 'string' ? response : JSON.stringify(response)
      const answer = (await send()) as { status: number; body: Buffer; limits: object }
      expect(answer.status).toBe(status)
      expect(answer.body.toString()).toBe(text)
      expect(answer.limits).toEqual(limitsOf(headers))
      if (text !== '') expect(repairBody(answer.body)).toEqual({ body: answer.body, repaired: [] })
    })
  })

  test('every page of records gives its ids, and the next page as a parser finds it', () => {
    type Page = { results?: { id?: string }[]; paging?: { next?: { after?: string } } }
    const pages = exchanges.filter(({ path, status }) => status < 300 && isSearch(path)).map(({ response }) => response as Page)
    expect(pages.length).toBeGreaterThan(100)
    for (const page of pages) {
      const body = Buffer.from(JSON.stringify(page))
      expect(idsOf(body)).toEqual(page.results?.map(({ id }) => id))
      expect(afterOf(body)).toBe(page.paging?.next?.after)
    }
  })
})
