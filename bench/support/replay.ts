import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createInterface } from 'node:readline'
import { makePage, makeProperties, propertiesAnswer } from './pages.ts'

/** The object that a replay serves. */
export const OBJECT = 'deals'

/** A HubSpot of finished answers. */
export type Replay = AsyncDisposable & { url: string; token: string; objectTypeId: string }

/**
 * Starts, in a process of its own, a HubSpot that has every page of a first load written out before anything asks for it: serving
 * one is a copy into a socket, where the sandbox spends more CPU on a page than the worker and Postgres together. It holds
 * `pages` pages of 100 records, never changes, and has no limits; what it has no answer for is a 404.
 */
export async function spawnReplay(pages: number, properties: number): Promise<Replay> {
  const child = spawn(process.execPath, [import.meta.filename, String(pages), String(properties)], { stdio: ['pipe', 'pipe', 'inherit'] })
  const ended = once(child, 'exit')
  const [port] = await once(createInterface(child.stdout), 'line')
  return {
    url: `http://127.0.0.1:${port}`,
    token: 'pat-na1-00000000-0000-4000-8000-000000000000',
    objectTypeId: '0-3',
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL')
      await ended
    },
  }
}

const NONE = Buffer.from('{"results":[]}')

function serve(pageCount: number, propertyCount: number): void {
  const made = makeProperties(propertyCount)
  const pages = Array.from({ length: pageCount }, (_, i) => makePage(made, 1 + i * 100, i === pageCount - 1))
  const definitions = propertiesAnswer(made)
  const account = Buffer.from('{"portalId":1,"timeZone":"UTC","utcOffsetMilliseconds":0,"accountType":"STANDARD"}')
  const total = Buffer.from(`{"total":${pageCount * 100},"results":[]}`)
  const nobody = Buffer.from('{"total":0,"results":[]}')
  const page = (query: URLSearchParams) =>
    query.get('archived') === 'true' ? NONE : pages[(Number(query.get('after') ?? 1) - 1) / 100]

  const answer = ({ pathname, searchParams }: URL, sent: string): Buffer | undefined => {
    if (/^\/crm\/(v3\/objects|objects\/[^/]+)\/0-3$/.test(pathname)) return page(searchParams)
    // A question for the number of records has no condition; hits of the other ones there are none.
    if (pathname.endsWith('/search')) return /"filters":\[\{/.test(sent) ? nobody : total
    if (pathname.startsWith('/crm/properties/')) return searchParams.has('dataSensitivity') || searchParams.get('archived') === 'true' ? NONE : definitions
    if (pathname.startsWith('/account-info/')) return account
    return /^\/crm\/(pipelines|owners)\/|^\/crm-object-schemas\//.test(pathname) ? NONE : undefined
  }

  const server = createServer((request, response) => {
    let sent = ''
    request.setEncoding('utf8').on('data', (text: string) => (sent += text))
    request.on('end', () => {
      const body = answer(new URL(request.url ?? '/', 'http://replay'), sent)
      response.statusCode = body === undefined ? 404 : 200
      response.setHeader('content-type', 'application/json;charset=utf-8')
      response.end(body ?? JSON.stringify({ status: 'error', message: `nothing is served at ${request.url}` }))
    })
  })
  // It ends with whoever started it, however that ends.
  process.stdin.resume().on('end', () => process.exit())
  server.listen(0, '127.0.0.1', () => console.log((server.address() as AddressInfo).port))
}

if (import.meta.main) serve(Number(process.argv[2]), Number(process.argv[3]))
