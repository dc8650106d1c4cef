import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Readable } from 'node:stream'
import { Misuse } from '../lib/errors.ts'
import type { Log } from '../lib/log.ts'
import { boundConnections } from './connections.ts'

/** Answers a request; `target`: its path and query as they were sent, which a URL may write in another way. */
export type Handler = (request: Request, target: string) => Promise<Response>

/** Where to listen. `isSpare`: a port that another process has is waited for, since one worker of a machine is enough. */
export type Address = { host: string; port: number; isSpare: boolean }

/** A port that is served. */
export type Serving = AsyncDisposable & {
  /** Where, without a trailing slash; undefined while another process has the port. */
  url(): string | undefined
}

/** How often a port that another process has is tried, ms. */
const SPARE_MS = 15_000

/** Whether only this machine reaches a host. */
export function isLoopback(host: string): boolean {
  return /^(localhost|127(\.\d{1,3}){3}|::1)$/.test(host)
}

/** Serves HTTP. SH014 where it cannot. */
export async function serve({ host, port, isSpare }: Address, handler: Handler, log: Log, spareMs = SPARE_MS): Promise<Serving> {
  // By itself Node looks every 30 s who is over time, and lets him wait until then.
  const times = { requestTimeout: 10_000, headersTimeout: 5_000, keepAliveTimeout: 30_000, connectionsCheckingInterval: 1_000 }
  const server = createServer(times, (incoming, outgoing) => {
    respond(handler, incoming, outgoing).catch((error: unknown) => {
      log.debug('a request was not answered', { error })
      outgoing.destroy()
    })
  })
  boundConnections(server)
  let retry: NodeJS.Timeout | undefined
  const shown = host.includes(':') ? `[${host}]` : host
  const url = () => (server.listening ? `http://${shown}:${(server.address() as AddressInfo).port}` : undefined)
  const listen = () =>
    new Promise<void>((resolve, reject) => {
      const heard = () => {
        server.off('error', failed)
        server.on('error', (error) => log.warn('the HTTP server', { error }))
        log.info('http is served', { url: url() })
        resolve()
      }
      const failed = (error: Error) => {
        server.off('listening', heard)
        reject(error)
      }
      server.once('error', failed).once('listening', heard).listen(port, host)
    })
  const again = () => {
    retry = setTimeout(() => {
      listen().catch(again)
    }, spareMs).unref()
  }
  try {
    await listen()
  } catch (error) {
    const isTaken = (error as NodeJS.ErrnoException).code === 'EADDRINUSE'
    if (!isTaken || !isSpare) {
      throw new Misuse('SH014', `HTTP cannot be served at ${shown}:${port}: ${error instanceof Error ? error.message : String(error)}`, {
        hint: 'Give a free address, as in pg-hubspot worker --http 127.0.0.1:8470, or --http off.', cause: error,
      })
    }
    log.info('http is served by another process on this machine; this one takes over when that ends', { address: `${shown}:${port}` })
    again()
  }
  return {
    url,
    async [Symbol.asyncDispose]() {
      clearTimeout(retry)
      if (!server.listening) return
      const closed = new Promise<void>((resolve) => server.close(() => resolve()))
      server.closeIdleConnections()
      // Those under way get a moment; nothing that was not answered counts as taken.
      const timer = setTimeout(() => server.closeAllConnections(), 2_000)
      await closed
      clearTimeout(timer)
    },
  }
}

async function respond(handler: Handler, incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
  const { method = 'GET', url: target = '/' } = incoming
  const response = await answer(handler, incoming, method, target)
  outgoing.writeHead(response.status, Object.fromEntries(response.headers))
  outgoing.end(method === 'HEAD' ? undefined : Buffer.from(await response.arrayBuffer()))
}

async function answer(handler: Handler, incoming: IncomingMessage, method: string, target: string): Promise<Response> {
  const url = URL.parse(`http://${incoming.headers.host ?? 'localhost'}${target}`)
  if (!target.startsWith('/') || url === null) return Response.json({ message: 'that is no path' }, { status: 400 })
  const headers = new Headers()
  for (const [name, value] of Object.entries(incoming.headers)) if (value !== undefined) headers.set(name, String(value))
  const hasBody = method !== 'GET' && method !== 'HEAD'
  try {
    const request = new Request(url, { method, headers, ...(hasBody && { body: Readable.toWeb(incoming), duplex: 'half' }) })
    return await handler(request, target)
  } catch (error) {
    // TRACE and CONNECT are no requests to fetch().
    if (error instanceof TypeError) return Response.json({ message: 'that is no request' }, { status: 400 })
    throw error
  }
}
