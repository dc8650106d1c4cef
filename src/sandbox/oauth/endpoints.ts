import { type Answer, notFound, Refusal } from '../api/answers.ts'
import { jsonBody, type Request } from '../api/request.ts'
import type { App, GrantedTokens } from '../types.ts'
import type { Grant } from './apps.ts'

/** POST /oauth/{version}/token: a code or a refresh token for tokens. All parameters in the body, as a form. */
export function token(request: Request): Answer {
  const form = formOf(request)
  const { apps } = request.account
  const grantType = form.get('grant_type')
  if (grantType !== 'authorization_code' && grantType !== 'refresh_token') throw bad(request, 'BAD_GRANT_TYPE', 'missing or unknown grant type', 'unsupported_grant_type')
  const app = appOf(request, form)
  if (grantType === 'authorization_code') {
    const code = apps.redeem(form.get('code') ?? '')
    if (code?.app !== app) throw bad(request, 'BAD_AUTH_CODE', 'missing or unknown auth code')
    if (code.redirectUri !== form.get('redirect_uri')) throw bad(request, 'BAD_REDIRECT_URI', 'missing or invalid redirect_uri')
    return granted(request, apps.install(app, code.scopes), code.scopes)
  }
  const grant = apps.grantOf(form.get('refresh_token') ?? '')
  if (grant?.app !== app) throw bad(request, 'BAD_REFRESH_TOKEN', 'refresh token is invalid, expired or revoked')
  return granted(request, apps.refresh(grant), grant.scopes)
}

/** POST /oauth/{version}/token/introspect: what a token is. */
export function introspect(request: Request): Answer {
  const form = formOf(request)
  const app = appOf(request, form)
  const asked = form.get('token') ?? form.get('access_token') ?? form.get('refresh_token') ?? ''
  const { apps } = request.account
  const grant = apps.giverOf(asked) ?? apps.grantOf(asked)
  if (grant?.app !== app) return { status: 200, body: { active: false } }
  return { status: 200, body: { active: true, client_id: app.clientId, token_use: apps.grantOf(asked) ? 'refresh_token' : 'access_token', ...about(request, grant) } }
}

/** POST /oauth/{version}/token/revoke. */
export function revoke(request: Request): Answer {
  const form = formOf(request)
  const app = appOf(request, form)
  const asked = form.get('token') ?? form.get('refresh_token') ?? ''
  if (request.account.apps.grantOf(asked)?.app !== app) throw bad(request, 'BAD_REFRESH_TOKEN', 'refresh token is invalid, expired or revoked')
  request.account.apps.revokeRefreshToken(asked)
  return { status: 204 }
}

/** GET /oauth/v1/access-tokens/{token}. */
export function accessTokenInfo(request: Request): Answer {
  const [asked = ''] = request.path.slice(-1)
  const grant = request.account.apps.giverOf(asked)
  if (!grant) throw notFound('The access token is not known')
  return { status: 200, body: { token: asked, token_type: 'access', ...about(request, grant) } }
}

/** GET or DELETE /oauth/v1/refresh-tokens/{token}. */
export function refreshTokenInfo(request: Request): Answer {
  const [asked = ''] = request.path.slice(-1)
  const grant = request.account.apps.grantOf(asked)
  if (!grant) throw notFound('The refresh token is not known')
  if (request.method === 'DELETE') {
    request.account.apps.revokeRefreshToken(asked)
    return { status: 204 }
  }
  return { status: 200, body: { token: asked, token_type: 'refresh', client_id: grant.app.clientId, ...about(request, grant) } }
}

/** POST /oauth/v2/private-apps/get/access-token-info: of a private app's token. */
export function privateAppInfo(request: Request): Answer {
  const { tokenKey } = jsonBody(request)
  const known = request.account.tokenCheck(typeof tokenKey === 'string' ? tokenKey : null)
  if (known.status !== 'valid') throw notFound('The token is not known')
  return { status: 200, body: { userId: 901, hubId: request.account.portalId, appId: 1_000_000, scopes: known.listed } }
}

function about({ account }: Request, grant: Grant): Record<string, unknown> {
  return {
    hub_id: account.portalId, app_id: grant.app.appId, user_id: grant.userId, user: 'ada@example.com',
    hub_domain: 'sandbox.example.com', scopes: grant.scopes, expires_in: account.settings.accessTokenSeconds,
  }
}

function granted({ account, path }: Request, { accessToken, refreshToken, expiresIn }: GrantedTokens, scopes: readonly string[]): Answer {
  const short = { token_type: 'bearer', access_token: accessToken, refresh_token: refreshToken, expires_in: expiresIn }
  if (path[0] === 'v1') return { status: 200, body: short }
  return { status: 200, body: { ...short, hub_id: account.portalId, scopes, user_id: 901, token_use: 'access_token' } }
}

function appOf(request: Request, form: URLSearchParams): App {
  const app = request.account.apps.find(form.get('client_id') ?? '')
  if (!app) throw bad(request, 'BAD_CLIENT_ID', 'missing or unknown client id', 'invalid_client')
  if (form.get('client_secret') !== app.clientSecret) throw bad(request, 'BAD_CLIENT_SECRET', 'missing or invalid client secret', 'invalid_client')
  return app
}

/** What is no form is read as an empty one, so that every parameter is missing. */
const formOf = ({ body, headers }: Request) =>
  new URLSearchParams(/^application\/x-www-form-urlencoded\b/i.test(headers['content-type'] ?? '') ? body : '')

function bad({ path }: Request, status: string, message: string, error = 'invalid_grant'): Refusal {
  // The first version has its own two fields alone.
  const standard = path[0] === 'v1' ? {} : { error, error_description: message }
  return new Refusal({ status: 400, body: { ...standard, status, message } })
}
