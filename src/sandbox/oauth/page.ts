import type { Answer } from '../api/answers.ts'
import type { Request } from '../api/request.ts'
import type { App } from '../types.ts'

/** What an app asks a person for. */
interface Asked {
  readonly app: App
  readonly redirectUri: string
  readonly scopes: readonly string[]
  readonly state: string | null
}

/** GET /oauth/authorize, also /oauth/{portal}/authorize: the page on which a person allows an app to read the account, or not. */
export function authorisePage(request: Request): Answer {
  const asked = askedOf(request, request.query)
  if (typeof asked === 'string') return page(400, "This app can't be connected", `<p>${escaped(asked)}</p>`)
  const { app, scopes } = asked
  const fields = [...request.query].map(([name, value]) => `<input type="hidden" name="${escaped(name)}" value="${escaped(value)}">`)
  return page(200, `App ${app.appId} asks for access to account ${request.account.portalId}`, `
<ul>${scopes.map((scope) => `<li>${escaped(scope)}</li>`).join('')}</ul>
<form method="post" action="/oauth/authorize">${fields.join('')}
<button name="decision" value="allow">Connect app</button> <button name="decision" value="deny">Cancel</button></form>`)
}

/** POST of that page: back to the app, with a code or with a no. */
export function authorise(request: Request): Answer {
  const form = new URLSearchParams(request.body)
  const asked = askedOf(request, form)
  if (typeof asked === 'string') return page(400, "This app can't be connected", `<p>${escaped(asked)}</p>`)
  const { app, redirectUri, scopes, state } = asked
  const back = new URL(redirectUri)
  if (form.get('decision') === 'allow') back.searchParams.set('code', request.account.apps.code(app, scopes, redirectUri))
  else {
    back.searchParams.set('error', 'access_denied')
    back.searchParams.set('error_description', 'The user denied access to the app')
  }
  if (state !== null) back.searchParams.set('state', state)
  return { status: 302, headers: { Location: back.href } }
}

/** What is asked for, or why it cannot be. */
function askedOf({ account }: Request, query: URLSearchParams): Asked | string {
  const app = account.apps.find(query.get('client_id') ?? '')
  if (!app) return 'The client id is unknown.'
  const redirectUri = query.get('redirect_uri') ?? ''
  const url = URL.parse(redirectUri)
  const isKnown = app.redirectUris.includes(redirectUri)
    || app.redirectUris.length === 0 && url?.protocol === 'http:' && /^(localhost|127\.0\.0\.1|\[::1\])$/.test(url.hostname)
  if (url === null || !isKnown) return 'The redirect URL is not one of the app\'s.'
  const split = (name: string) => (query.get(name) ?? '').split(/\s+/).filter(Boolean)
  const scopes = [...new Set([...split('scope'), ...split('optional_scope')])]
  const missing = app.scopes.filter((scope) => !scopes.includes(scope))
  if (missing.length > 0) return `The app requires scopes that the link leaves out: ${missing.join(', ')}.`
  return { app, redirectUri, scopes, state: query.get('state') }
}

function page(status: number, title: string, content: string): Answer {
  return {
    status,
    headers: { 'Content-Type': 'text/html;charset=utf-8' },
    body: `<!doctype html>\n<title>${escaped(title)}</title>\n<h1>${escaped(title)}</h1>${content}\n`,
  }
}

const escaped = (text: string) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;')
