import { Client } from '@hubspot/api-client'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createLimits } from '../src/sandbox/http/limits.ts'
import { defaultSettings } from '../src/sandbox/settings.ts'
import { createClock } from '../src/sandbox/store/clock.ts'
import { sandboxInHand } from './support/sandbox.ts'

const limitHeaders = (headers: Headers) => Object.fromEntries([...headers].filter(([name]) => name.startsWith('x-hubspot-ratelimit')))
const limited = { limits: true, limitClock: 'sandbox' } as const

test('headers count down, and a search shows the daily pair alone', async () => {
  await using sandbox = await sandboxInHand({ settings: limited })
  await sandbox.ask('/account-info/v3/details')
  expect(limitHeaders((await sandbox.ask('/crm/v3/owners')).headers)).toEqual({
    'x-hubspot-ratelimit-daily': '250000',
    'x-hubspot-ratelimit-daily-remaining': '249998',
    'x-hubspot-ratelimit-interval-milliseconds': '10000',
    'x-hubspot-ratelimit-max': '100',
    'x-hubspot-ratelimit-remaining': '98',
    'x-hubspot-ratelimit-secondly': '10',
    'x-hubspot-ratelimit-secondly-remaining': '8',
  })
  expect(limitHeaders((await sandbox.search('contacts', {})).headers)).toEqual({
    'x-hubspot-ratelimit-daily': '250000',
    'x-hubspot-ratelimit-daily-remaining': '249997',
  })
})

test('the burst window is per token, the search window per account, and each refuses in its own words', async () => {
  await using sandbox = await sandboxInHand({ settings: { ...limited, burst: 3 } })
  sandbox.store.addToken({ token: 'other' })
  const status = async (token: string) => (await sandbox.ask('/crm/v3/owners', { token })).status
  expect([await status(sandbox.token), await status(sandbox.token), await status(sandbox.token), await status('other')]).toEqual([200, 200, 200, 200])
  const refused = await sandbox.ask('/crm/v3/owners')
  expect([refused.status, refused.body, refused.headers.get('x-hubspot-ratelimit-remaining'), refused.headers.get('retry-after')]).toEqual([429, {
    status: 'error',
    message: 'You have reached your ten_secondly_rolling limit.',
    errorType: 'RATE_LIMIT',
    correlationId: refused.headers.get('x-hubspot-correlation-id'),
    policyName: 'TEN_SECONDLY_ROLLING',
    groupName: 'publicapi:private-app-api-calls-ten-secondly:8675309',
  }, '0', null])
  const searches = async (token: string) => (await sandbox.ask('/crm/v3/objects/deals/search', { token, body: {} })).status
  for (const token of ['other', sandbox.token, 'other', sandbox.token, 'other']) expect(await searches(token)).toBe(200)
  const search = await sandbox.search('deals', {})
  expect([search.status, search.body]).toMatchObject([429, { message: 'You have reached your secondly limit.', policyName: 'SECONDLY' }])
  sandbox.store.configure({ throttleBody: 'category', retryAfter: 2 })
  const other = await sandbox.search('deals', {})
  expect([other.body, other.headers.get('retry-after')]).toEqual([{ status: 'error', message: 'You have reached your secondly limit.', correlationId: expect.any(String), category: 'RATE_LIMITS' }, '2'])
  sandbox.store.advance(1_000)
  expect(await searches(sandbox.token)).toBe(200)
  sandbox.store.advance(9_000)
  expect(await status(sandbox.token)).toBe(200)
})

test("HubSpot's own client knows the search limit by its message and tries again", async () => {
  await using sandbox = await sandboxInHand({ settings: { limits: true, search: 1, searchWindow: 400 } })
  await sandbox.search('deals', {})
  const hubspot = new Client({ accessToken: sandbox.token, basePath: sandbox.url, numberOfApiCallRetries: 3 })
  const quiet = console.error
  console.error = () => {}
  try {
    expect((await hubspot.crm.deals.searchApi.doSearch({})).total).toBe(0)
  } finally {
    console.error = quiet
  }
  expect(sandbox.store.counts()).toEqual(expect.arrayContaining([expect.objectContaining({ kind: 'search', status: 429, count: 1 })]))
})

test('the day ends at midnight of the account, and searches count in it', async () => {
  await using sandbox = await sandboxInHand({ now: '2026-11-24T04:59:58.000Z', settings: { ...limited, daily: 2 } })
  await sandbox.search('deals', {})
  expect((await sandbox.ask('/crm/v3/owners')).status).toBe(200)
  const refused = await sandbox.ask('/crm/v3/owners')
  expect([refused.status, refused.body]).toMatchObject([429, { message: 'You have reached your daily limit.', policyName: 'DAILY', requestId: expect.any(String) }])
  expect(refused.headers.get('x-hubspot-ratelimit-daily-remaining')).toBe('0')
  sandbox.store.advance(2_000)
  expect((await sandbox.ask('/crm/v3/owners')).headers.get('x-hubspot-ratelimit-daily-remaining')).toBe('1')
})

test('no window of ten seconds ever holds more than the limit, and nothing is refused that would have fitted', () => {
  fc.assert(fc.property(fc.array(fc.integer({ min: 0, max: 3_000 }), { maxLength: 300 }), fc.boolean(), (gaps, countThrottled) => {
    const clock = createClock(0, true)
    const limits = createLimits({ ...defaultSettings, burst: 7, limitClock: 'sandbox', countThrottled }, clock)
    const counted: number[] = []
    for (const gap of gaps) {
      clock.advance(gap)
      const inWindow = counted.filter((at) => at > clock.now() - 10_000).length
      const { refusedBy } = limits.admit('token', 'list')
      expect(refusedBy).toBe(inWindow >= 7 ? 'burst' : null)
      if (!refusedBy || countThrottled) counted.push(clock.now())
    }
  }))
})

test('the deprecated limit per second binds where the switch says so', async () => {
  await using sandbox = await sandboxInHand({ settings: { ...limited, burst: 20, bindSecondly: true } })
  const statuses = [await sandbox.ask('/crm/v3/owners'), await sandbox.ask('/crm/v3/owners'), await sandbox.ask('/crm/v3/owners')].map(({ status }) => status)
  expect(statuses).toEqual([200, 200, 429])
  sandbox.store.advance(1_000)
  expect((await sandbox.ask('/crm/v3/owners')).status).toBe(200)
})

test('tokens: none, unknown, revoked and ended are 401; a missing scope is 403 with its name', async () => {
  await using sandbox = await sandboxInHand({ objects: { deals: 1, vehicle: 1 } })
  const { store } = sandbox
  store.addToken({ token: 'narrow', scopes: ['crm.objects.contacts.read', 'crm.schemas.deals.read'] })
  store.addToken({ token: 'short', expiresAt: store.now() + 1_000 })
  const ask = (token: string | null, path = '/crm/objects/2026-09/deals') => sandbox.ask(path, { token })
  const unknown = { status: 401, body: { status: 'error', category: 'INVALID_AUTHENTICATION', message: expect.stringMatching(/^Authentication credentials not found\. This API supports OAuth 2\.0/) } }
  expect(await ask(null)).toMatchObject(unknown)
  expect(await ask('nope')).toMatchObject(unknown)
  expect((await ask('short')).status).toBe(200)
  store.advance(1_000)
  expect(await ask('short')).toMatchObject({ status: 401, body: { category: 'EXPIRED_AUTHENTICATION' } })
  const refused = await ask('narrow')
  expect([refused.status, refused.body]).toEqual([403, {
    status: 'error',
    message: "This app hasn't been granted all required scopes to make this call. Read more about required scopes here: https://developers.hubspot.com/scopes.",
    correlationId: expect.any(String),
    errors: [{ message: 'One or more of the following scopes are required.', context: { requiredGranularScopes: ['crm.objects.deals.read'] } }],
    links: { scopes: 'https://developers.hubspot.com/scopes' },
    category: 'MISSING_SCOPES',
  }])
  const reads: [string, number][] = [['/crm/v3/properties/deals', 200], ['/crm/v3/pipelines/deals', 200], ['/crm/v3/objects/contacts', 200], ['/crm/v3/objects/notes', 200], ['/crm/v3/owners', 403], ['/crm/v3/schemas', 403], ['/crm/v3/objects/2-3465404', 403], ['/account-info/v3/details', 200]]
  for (const [path, status] of reads) expect((await ask('narrow', path)).status, path).toBe(status)
  store.revokeToken(sandbox.token)
  expect((await ask(sandbox.token)).status).toBe(401)
})

test('a sensitive property is shown only to who asks for its kind, and refuses the whole call without its scope', async () => {
  await using sandbox = await sandboxInHand({ objects: { contacts: 1 } })
  const { store } = sandbox
  store.addProperty('contacts', { name: 'blood_type', dataSensitivity: 'sensitive', filled: true })
  store.addToken({ token: 'plain', scopes: ['crm.objects.contacts.read'] })
  store.addToken({ token: 'trusted', scopes: ['crm.objects.contacts.read', 'crm.objects.contacts.sensitive.read.v2'] })
  const names = async (query: string) => (await sandbox.ask(`/crm/v3/properties/contacts${query}`)).body.results.map(({ name }: { name: string }) => name)
  expect([(await names('')).includes('blood_type'), await names('?dataSensitivity=sensitive')]).toEqual([false, ['blood_type']])
  const status = async (token: string) => (await sandbox.ask('/crm/v3/objects/contacts?properties=blood_type,email', { token })).status
  expect([await status('plain'), await status('trusted')]).toEqual([403, 200])
})
