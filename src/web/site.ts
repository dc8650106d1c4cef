import { createHash, timingSafeEqual } from 'node:crypto'
import type { Handler } from './server.ts'

/** What is served. */
export type Pages = {
  webhooks: Handler
  metrics: () => Promise<Response>
  ready: () => Promise<Response>
}

/** Who may read what: without a token, and beyond loopback, nobody. */
export type Access = { token: string | undefined; isLoopback: boolean }

/** The worker's paths. Probes are for everyone, webhooks have signatures, the rest wants the token. */
export function createSite({ webhooks, metrics, ready }: Pages, access: Access): Handler {
  const paths: Record<string, { method: 'GET' | 'POST'; isOpen: boolean; handle: Handler }> = {
    '/healthz': { method: 'GET', isOpen: true, handle: () => Promise.resolve(Response.json({ status: 'ok' }, { headers: NOT_KEPT })) },
    '/readyz': { method: 'GET', isOpen: true, handle: ready },
    '/metrics': { method: 'GET', isOpen: false, handle: metrics },
    '/webhooks/hubspot': { method: 'POST', isOpen: true, handle: webhooks },
  }
  return async (request, target) => {
    const { pathname } = new URL(request.url)
    const page = Object.hasOwn(paths, pathname) ? paths[pathname] : undefined
    if (page === undefined) return refusal(404, `no ${pathname}; there are ${Object.keys(paths).join(', ')}`)
    if (request.method !== page.method && !(page.method === 'GET' && request.method === 'HEAD')) {
      return refusal(405, `${pathname} wants ${page.method}`, { allow: page.method })
    }
    if (!page.isOpen && !isAllowed(request, access)) {
      return refusal(401, access.token === undefined
        ? 'beyond loopback this is served with a token only: set PG_HUBSPOT_HTTP_TOKEN'
        : 'send the token: Authorization: Bearer …', { 'www-authenticate': 'Bearer' })
    }
    return await page.handle(request, target)
  }
}

const NOT_KEPT = { 'cache-control': 'no-store' }

function refusal(status: number, message: string, headers: Record<string, string> = {}): Response {
  return Response.json({ message }, { status, headers: { ...NOT_KEPT, ...headers } })
}

function isAllowed(request: Request, { token, isLoopback }: Access): boolean {
  if (token === undefined) return isLoopback
  const given = /^Bearer (.+)$/i.exec(request.headers.get('authorization') ?? '')?.[1] ?? ''
  return timingSafeEqual(digest(given), digest(token))
}

const digest = (text: string) => createHash('sha256').update(text).digest()
