import { createServer } from 'node:http'
import { describe, expect, test } from 'vitest'
import { listPage } from '../src/hubspot/objects.ts'
import { search } from '../src/hubspot/search.ts'
import { Bug, ERRORS, Misuse, Refused, type SyncError, Throttled, Transient } from '../src/lib/errors.ts'
import { answering, failure } from './support/answers.ts'

type Said = { status: number; body?: unknown; headers?: Record<string, string> }

/** What the client makes of an answer to a list (or a search) of contacts. */
async function classified({ status, body = '', headers = {} }: Said, via = listContacts): Promise<SyncError> {
  await using hubspot = await answering((_, response) => {
    // no Content-Type at all where a test gives none, as HubSpot's edge does
    response.writeHead(status, { ...(typeof body === 'string' ? {} : { 'content-type': 'application/json' }), ...headers })
    response.end(typeof body === 'string' ? body : JSON.stringify(body))
  })
  const error = await failure(via(hubspot.client))
  expect(error.hint).not.toBe('')
  expect(error.detail).toMatchObject({ status, answer: { status } })
  expect(error.code in ERRORS).toBe(true)
  return error
}

type Via = (client: Parameters<typeof listPage>[0]) => Promise<unknown>
const listContacts: Via = (client) => listPage(client, { type: '0-1', properties: ['email'] })
const searchContacts: Via = (client) => search(client, { type: '0-1', body: {} })

const envelope = (message: string, more = {}) => ({ status: 'error', message, correlationId: 'c-7', ...more })
const TEN_SECONDLY = 'You have reached your ten_secondly_rolling limit.'
const SECONDLY = 'You have reached your secondly limit.'
const DAILY = 'You have reached your daily limit.'

describe('a 429 slows the budget that it names:', () => {
  test.each<[string, Via, unknown, string]>([
    ['burst by policy', listContacts, envelope('', { policyName: 'TEN_SECONDLY_ROLLING' }), 'burst'],
    ['burst by message', listContacts, envelope(TEN_SECONDLY), 'burst'],
    ['burst, said to a search', searchContacts, envelope(TEN_SECONDLY, { policyName: 'TEN_SECONDLY_ROLLING' }), 'burst'],
    ['a list that is asked too often in a second', listContacts, envelope(SECONDLY, { policyName: 'SECONDLY' }), 'burst'],
    ['search by policy', searchContacts, envelope('', { policyName: 'SECONDLY' }), 'search'],
    ['search by message alone', searchContacts, envelope(SECONDLY), 'search'],
    ['daily by policy', listContacts, envelope('', { policyName: 'DAILY' }), 'daily'],
    ['daily by message', searchContacts, envelope(DAILY), 'daily'],
    ['nothing said to a list', listContacts, '', 'burst'],
    ['nothing said to a search', searchContacts, '', 'search'],
    ['a web page', listContacts, '<html>Too many requests</html>', 'burst'],
    ['fields of other kinds', listContacts, { message: 7, policyName: null, errors: 'x', context: [] }, 'burst'],
    ['JSON of another shape', searchContacts, ['DAILY'], 'search'],
  ])('%s', async (_, via, body, policy) => {
    const error = await classified({ status: 429, body }, via)
    expect(error).toBeInstanceOf(Throttled)
    expect(error).toMatchObject({ policy, code: policy === 'daily' ? 'SH302' : 'SH301', retryAfterMs: undefined })
  })

  test.each([
    [{ 'retry-after': '3' }, 3_000],
    [{ 'retry-after': '0.5' }, 500],
    [{ 'retry-after': 'Thu, 17 Feb 2022 18:56:24 GMT', date: 'Thu, 17 Feb 2022 18:56:14 GMT' }, 10_000],
    [{ 'retry-after': 'Thu, 17 Feb 2022 18:56:04 GMT', date: 'Thu, 17 Feb 2022 18:56:14 GMT' }, 0],
    [{ 'retry-after': 'soon' }, undefined],
    [{ 'retry-after': '' }, undefined],
    // What no limit but the day's can mean.
    [{ 'retry-after': '999999999' }, 3_600_000],
  ])('and says when to come back: %j', async (headers, retryAfterMs) => {
    expect(await classified({ status: 429, headers })).toMatchObject({ retryAfterMs })
    expect(await classified({ status: 503, headers })).toMatchObject({ retryAfterMs })
  })

  test('for the day, tomorrow at the latest', async () => {
    const headers = { 'retry-after': '999999999' }
    expect(await classified({ status: 429, headers, body: { policyName: 'DAILY' } })).toMatchObject({ retryAfterMs: 86_400_000 })
  })
})

describe('refused for good:', () => {
  test('a token, with what HubSpot said', async () => {
    const body = envelope('Authentication credentials not found.', { category: 'INVALID_AUTHENTICATION' })
    const error = await classified({ status: 401, body })
    expect(error).toBeInstanceOf(Refused)
    expect(error).toMatchObject({
      code: 'SH201',
      status: 401,
      category: 'INVALID_AUTHENTICATION',
      detail: { correlationId: 'c-7', said: 'Authentication credentials not found.', method: 'GET' },
    })
    expect(error.message).toBe('HubSpot answered 401: Authentication credentials not found.')
  })

  test('a call whose scope is missing, with the scopes that would do', async () => {
    const errors = [
      { message: 'One or more of the following scopes are required.', context: { requiredGranularScopes: ['a.read', 'b.read'] } },
      { context: { requiredGranularScopes: ['a.read'] } },
    ]
    const error = await classified({ status: 403, body: envelope('no', { category: 'MISSING_SCOPES', errors }) })
    expect(error).toBeInstanceOf(Refused)
    expect(error).toMatchObject({ code: 'SH202', category: 'MISSING_SCOPES', scopes: ['a.read', 'b.read'] })
    expect(error.hint).toContain('a.read, b.read')
    expect(await classified({ status: 403 })).toMatchObject({ code: 'SH202', category: '', scopes: undefined })
  })

  test('an object type that is not there', async () => {
    const inferred = { status: 400, body: envelope('Unable to infer object type from: vehicle') }
    for (const said of [inferred, { status: 404 }, { status: 404, body: envelope('no', { category: 'OBJECT_NOT_FOUND' }) }]) {
      const error = await classified(said)
      expect(error).toBeInstanceOf(Refused)
      expect(error.code).toBe('SH211')
    }
  })

  test('a record that is not there, which is not its type', async () => {
    const one: Via = (client) => client.request({ path: client.paths.object('0-1', '9') })
    expect(await classified({ status: 404, body: envelope('Object not found.') }, one)).toMatchObject({ code: 'SH203' })
  })

  test.each([400, 409, 414, 415, 451])('a request, with %i', async (status) => {
    const body = envelope('Property values were not valid', { errors: [{ message: 'x', code: 'PROPERTY_DOESNT_EXIST' }] })
    const error = await classified({ status, body })
    expect(error).toBeInstanceOf(Refused)
    expect(error).toMatchObject({ code: 'SH203', status, detail: { errors: [{ code: 'PROPERTY_DOESNT_EXIST' }] } })
  })

  test.each([301, 308])('an address that moved (%i), without following it', async (status) => {
    expect(await classified({ status, headers: { location: '/stolen' } })).toMatchObject({ code: 'SH203', status })
  })
})

describe('healing by itself:', () => {
  test.each([
    [302, 'SH206', {}, undefined],
    [307, 'SH206', {}, undefined],
    [408, 'SH206', {}, undefined],
    [423, 'SH205', {}, 2_000],
    [423, 'SH205', { 'retry-after': '1' }, 2_000],
    [423, 'SH205', { 'retry-after': '9' }, 9_000],
    [477, 'SH205', { 'retry-after': '7200' }, 7_200_000],
    [477, 'SH205', {}, undefined],
    ...[500, 502, 503, 504, 521, 522, 523, 524, 525, 526].map((status) => [status, 'SH207', {}, undefined] as const),
    [503, 'SH207', { 'retry-after': '30' }, 30_000],
  ] as const)('%i as %s %j', async (status, code, headers, retryAfterMs) => {
    for (const body of ['', '<html>Bad gateway</html>', envelope('internal error')]) {
      const error = await classified({ status, headers, body })
      expect(error).toBeInstanceOf(Transient)
      expect(error).toMatchObject({ code, retryAfterMs })
    }
  })

  test('a page instead of an error shows its beginning, and no more', async () => {
    const error = await classified({ status: 502, body: `<html>${'x'.repeat(10_000)}` })
    expect(error.detail['body']).toBe(`<html>${'x'.repeat(494)}`)
  })
})

test('a redirect takes the token nowhere', async () => {
  let followed = 0
  const thief = createServer((_, response) => response.end(String((followed += 1)))).listen(0, '127.0.0.1')
  await new Promise((listening) => thief.once('listening', listening))
  const location = `http://127.0.0.1:${(thief.address() as { port: number }).port}/`
  for (const status of [301, 302, 303, 307, 308]) await classified({ status, headers: { location } })
  await new Promise((closed) => thief.close(closed))
  expect(followed).toBe(0)
})

describe('the table of errors', () => {
  test('has one name for a code and one code for a name', () => {
    expect(Object.keys(ERRORS).every((code) => /^SH[0-9]{3}$/.test(code))).toBe(true)
    expect(new Set(Object.values(ERRORS)).size).toBe(Object.keys(ERRORS).length)
  })

  test('errors keep name, code, hint, detail and cause', () => {
    const cause = new Error('deeper')
    const error = new Misuse('SH102', 'no such object', { hint: 'table hubspot.object_types;', detail: { object: 'x' }, cause })
    expect(error).toMatchObject({ name: 'Misuse', code: 'SH102', hint: 'table hubspot.object_types;', detail: { object: 'x' } })
    expect(error.cause).toBe(cause)
    expect(error).toBeInstanceOf(Error)
    expect(new Bug('never')).toMatchObject({ name: 'Bug', code: 'SH901', detail: {} })
  })
})
