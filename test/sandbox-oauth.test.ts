import { expect, test } from 'vitest'
import { type Hands, sandboxInHand } from './support/sandbox.ts'

// OAuth as HubSpot has it: the page, codes, refresh tokens, and how they end.

const BACK = 'http://localhost:9/back'
const app = { clientId: 'app-1', clientSecret: 'app-secret-1', scopes: ['crm.objects.contacts.read'] }
const named = { client_id: app.clientId, client_secret: app.clientSecret }

async function form(sandbox: Hands, path: string, fields: Record<string, string>) {
  const response = await fetch(sandbox.url + path, { method: 'POST', body: new URLSearchParams(fields), redirect: 'manual' })
  const text = await response.text()
  return { status: response.status, location: response.headers.get('location'), body: text.startsWith('{') ? (JSON.parse(text) as Record<string, unknown>) : text }
}
const token = (sandbox: Hands, fields: Record<string, string>, version = '2026-09') => form(sandbox, `/oauth/${version}/token`, { ...named, ...fields })
const refresh = (sandbox: Hands, refreshToken: unknown) => token(sandbox, { grant_type: 'refresh_token', refresh_token: String(refreshToken) })
const list = async (sandbox: Hands, accessToken: unknown, object = 'contacts') => (await sandbox.ask(`/crm/objects/2026-09/${object}?limit=1`, { token: String(accessToken) })).status

test('a person allows an app on the page; its code is good once, with the redirect URL it was asked for with, for ten minutes', async () => {
  await using sandbox = await sandboxInHand({ objects: { contacts: 3, deals: 3 } })
  sandbox.store.addApp(app)
  const query = { client_id: app.clientId, redirect_uri: BACK, scope: 'crm.objects.contacts.read', state: 's<1>' }
  const page = await sandbox.ask(`/oauth/authorize?${new URLSearchParams(query)}`, { token: null })
  expect(page).toMatchObject({ status: 200, text: expect.stringMatching(/<form method="post".*value="s&lt;1>"/s) as string })
  const allow = async () => new URL((await form(sandbox, '/oauth/authorize', { ...query, decision: 'allow' })).location!)
  const back = await allow()
  expect(back.origin + back.pathname).toBe(BACK)
  expect(back.searchParams.get('state')).toBe('s<1>')
  const code = back.searchParams.get('code')!
  const exchange = (changes: Record<string, string> = {}, version?: string) => token(sandbox, { grant_type: 'authorization_code', code, redirect_uri: BACK, ...changes }, version)

  expect((await exchange({ client_secret: 'wrong' })).body).toMatchObject({ status: 'BAD_CLIENT_SECRET' })
  const got = await exchange()
  expect(got).toMatchObject({ status: 200, body: { token_type: 'bearer', expires_in: 1800, hub_id: sandbox.portalId, scopes: ['crm.objects.contacts.read'] } })
  expect(await exchange()).toMatchObject({ status: 400, body: { status: 'BAD_AUTH_CODE', error: 'invalid_grant' } })
  const { access_token: access } = got.body as Record<string, unknown>
  expect([await list(sandbox, access), await list(sandbox, access, 'deals')]).toEqual([200, 403])

  expect(await exchange({ code: (await allow()).searchParams.get('code')!, redirect_uri: 'http://localhost:9/other' })).toMatchObject({ body: { status: 'BAD_REDIRECT_URI' } })
  const late = (await allow()).searchParams.get('code')!
  sandbox.store.advance(600_001)
  expect(await exchange({ code: late }, 'v1')).toEqual({ status: 400, location: null, body: { status: 'BAD_AUTH_CODE', message: 'missing or unknown auth code' } })

  const denied = new URL((await form(sandbox, '/oauth/authorize', { ...query, decision: 'deny' })).location!)
  expect(Object.fromEntries(denied.searchParams)).toMatchObject({ error: 'access_denied', state: 's<1>' })
  for (const wrong of [{ client_id: 'other' }, { redirect_uri: 'https://evil.example' }, { scope: 'crm.objects.deals.read' }]) {
    expect((await sandbox.ask(`/oauth/${sandbox.portalId}/authorize?${new URLSearchParams({ ...query, ...wrong })}`, { token: null })).status).toBe(400)
  }
})

test('access tokens end by the clock and are renewed; refresh tokens stay, turn over at once, or once the new one is used', async () => {
  await using sandbox = await sandboxInHand({ objects: { contacts: 3 } })
  const { store } = sandbox
  store.addApp(app)
  const first = store.installApp(app.clientId)
  expect(await list(sandbox, first.accessToken)).toBe(200)
  store.advance(1_800_000)
  expect(await sandbox.ask('/crm/objects/2026-09/contacts', { token: first.accessToken })).toMatchObject({ status: 401, body: { category: 'EXPIRED_AUTHENTICATION' } })
  const same = await refresh(sandbox, first.refreshToken)
  expect(same.body).toMatchObject({ refresh_token: first.refreshToken })
  expect(await list(sandbox, (same.body as { access_token: string }).access_token)).toBe(200)
  expect(store.calls({ kind: 'token' })).toMatchObject([{ grant: 'refresh_token', status: 200, token: null }])

  const next = async (from: unknown) => ((await refresh(sandbox, from)).body as Record<string, unknown>)['refresh_token']
  store.configure({ refreshRotation: 'strict' })
  const second = await next(first.refreshToken)
  expect(second).not.toBe(first.refreshToken)
  expect(await refresh(sandbox, first.refreshToken)).toMatchObject({
    status: 400, body: { error: 'invalid_grant', error_description: 'refresh token is invalid, expired or revoked', status: 'BAD_REFRESH_TOKEN', message: 'refresh token is invalid, expired or revoked' },
  })
  store.configure({ refreshRotation: 'grace' })
  const third = await next(second)
  const fourth = await next(second)
  expect(await next(fourth)).toBeTypeOf('string')
  expect([await next(second), await next(third)]).toEqual([undefined, undefined])
})

test('tokens tell what they are; revoked, ended and uninstalled ones are refused', async () => {
  await using sandbox = await sandboxInHand({ objects: { contacts: 3 } })
  const { control, store } = sandbox
  expect((await control('POST /apps', app)).body).toMatchObject({ appId: 1_000_001, ...app })
  const installed = async () => (await control('POST /apps/install', { clientId: app.clientId })).body as { refreshToken: string; accessToken: string }
  const one = await installed()
  expect((await sandbox.ask(`/oauth/v1/access-tokens/${one.accessToken}`, { token: null })).body).toMatchObject({ hub_id: sandbox.portalId, app_id: 1_000_001, token_type: 'access' })
  expect((await sandbox.ask(`/oauth/v1/refresh-tokens/${one.refreshToken}`, { token: null })).body).toMatchObject({ client_id: app.clientId, token_type: 'refresh' })
  const introspect = async (asked: string) => (await form(sandbox, '/oauth/2026-09/token/introspect', { ...named, token: asked })).body
  expect(await introspect(one.accessToken)).toMatchObject({ active: true, token_use: 'access_token', scopes: app.scopes })
  expect(await introspect('unknown')).toEqual({ active: false })
  expect((await sandbox.ask('/oauth/v2/private-apps/get/access-token-info', { token: null, body: { tokenKey: sandbox.token } })).body).toMatchObject({ hubId: sandbox.portalId })

  expect((await control('POST /apps/end-access', {})).body).toEqual({ count: 1 })
  expect(await list(sandbox, one.accessToken)).toBe(401)
  const again = (await refresh(sandbox, one.refreshToken)).body as { access_token: string }
  expect((await form(sandbox, '/oauth/2026-09/token/revoke', { ...named, token: one.refreshToken })).status).toBe(204)
  expect([await list(sandbox, again.access_token), (await refresh(sandbox, one.refreshToken)).status]).toEqual([200, 400])

  store.configure({ revokeCascades: true })
  const two = await installed()
  await control('POST /apps/revoke', { refreshToken: two.refreshToken })
  expect(await list(sandbox, two.accessToken)).toBe(401)
  const three = await installed()
  await control('POST /apps/uninstall', { clientId: app.clientId })
  expect([await list(sandbox, three.accessToken), (await refresh(sandbox, three.refreshToken)).status]).toEqual([401, 400])
  expect((await control('POST /apps/install', { clientId: 'nobody' })).status).toBe(400)
  expect((await control('GET /apps')).body).toMatchObject({ apps: [app] })
})

test('all tokens of an app count in one burst window; asking for one counts in none', async () => {
  await using sandbox = await sandboxInHand({ objects: { contacts: 3 }, settings: { limits: true, burst: 2, limitClock: 'sandbox' } })
  sandbox.store.addApp(app)
  const tokens = [1, 2, 3].map(() => sandbox.store.installApp(app.clientId))
  expect(await Promise.all(tokens.map(({ accessToken }) => list(sandbox, accessToken)))).toEqual([200, 200, 429])
  expect((await refresh(sandbox, tokens[0]!.refreshToken)).status).toBe(200)
  sandbox.store.addFault({ fault: '500', match: { kind: 'token' }, times: 1 })
  expect((await refresh(sandbox, tokens[0]!.refreshToken)).status).toBe(500)
})
