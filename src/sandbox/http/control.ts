import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { once } from 'node:events'
import { accountRoutes } from '../control/account.ts'
import { associationRoutes } from '../control/associations.ts'
import { callRoutes } from '../control/calls.ts'
import { oauthRoutes } from '../control/oauth.ts'
import { recordRoutes } from '../control/records.ts'
import type { Body, ControlRoutes } from '../control/route.ts'
import { schemaRoutes } from '../control/schema.ts'
import { webhookRoutes } from '../control/webhooks.ts'
import type { Store } from '../types.ts'

/** The control API's calls: method and path, where `:object` stands for an object's name. */
export const controlRoutes: ControlRoutes = { ...accountRoutes, ...oauthRoutes, ...recordRoutes, ...associationRoutes, ...schemaRoutes, ...callRoutes, ...webhookRoutes }

/** The control API over HTTP: JSON in and out, no token; 400 with a message where the store refuses. */
export function createControlServer(store: Store): Server {
  return createServer((request, response) => {
    handle(store, request, response).catch((error: unknown) => {
      if (response.headersSent) response.destroy()
      else send(response, 400, { message: error instanceof Error ? error.message : String(error) })
    })
  })
}

async function handle(store: Store, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { pathname, searchParams } = new URL(request.url ?? '/', 'http://control')
  const [, first = '', object = '', ...rest] = pathname.replace(/\/$/, '').split('/').map(decodeURIComponent)
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk as Buffer)
  const text = Buffer.concat(chunks).toString()
  const body: unknown = text === '' ? {} : JSON.parse(text)
  if (typeof body !== 'object' || body === null || Array.isArray(body)) throw new Error('the body must be a JSON object')
  const named = [`/${first}`, ':object', ...rest].join('/')
  const route = controlRoutes[`${request.method} ${pathname}`] ?? controlRoutes[`${request.method} ${named}`]
  if (!route) return send(response, 404, { message: `no ${request.method} ${pathname}`, calls: Object.keys(controlRoutes) })
  for (const field of route.needs ?? []) if (!(field in body)) throw new Error(`${field} is missing`)
  const answer = route.run(store, object, body as Body, searchParams)
  if (answer instanceof Iterator) return sendLines(response, answer)
  send(response, 200, answer ?? {})
}

function send(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'Content-Type': 'application/json' })
  response.end(JSON.stringify(body))
}

async function sendLines(response: ServerResponse, items: IteratorObject<unknown>): Promise<void> {
  response.writeHead(200, { 'Content-Type': 'application/x-ndjson' })
  let lines: string[] = []
  for (const item of items) {
    lines.push(`${JSON.stringify(item)}\n`)
    if (lines.length < 500) continue
    if (!response.write(lines.join(''))) await once(response, 'drain')
    lines = []
  }
  response.end(lines.join(''))
}
