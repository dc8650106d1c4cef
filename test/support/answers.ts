import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { text } from 'node:stream/consumers'
import { type Client, type ClientOptions, createClient } from '../../src/hubspot/client.ts'
import { SyncError } from '../../src/lib/errors.ts'

/** A token by its form, which no error or log line may ever show. */
export const TOKEN = 'pat-na1-00000000-feed-4000-8000-c0ffee123456'

/** A real HTTP server on loopback that answers as it is told, and a client of it. */
export type Answering = AsyncDisposable & {
  url: string
  client: Client
  /** Every request so far, with its body. */
  requests: { method: string; url: string; headers: IncomingMessage['headers']; body: string }[]
  sockets: Set<Socket>
}

/** Starts a server whose every request is answered by `handler`, once its body is read. */
export async function answering(handler: RequestListener, options: Partial<ClientOptions> = {}): Promise<Answering> {
  const requests: Answering['requests'] = []
  const sockets = new Set<Socket>()
  const server = createServer((request, response) => {
    const { method = '', url = '', headers } = request
    const answer = (body: string) => {
      requests.push({ method, url, headers, body })
      handler(request, response)
    }
    // a request that breaks off needs no answer
    text(request).then(answer, () => response.destroy())
  })
  server.on('connection', (socket) => sockets.add(socket))
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening))
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const client = createClient({ baseUrl: url, token: () => TOKEN, ...options })
  return {
    url,
    client,
    requests,
    sockets,
    async [Symbol.asyncDispose]() {
      await client.close()
      server.closeAllConnections()
      await new Promise((closed) => server.close(closed))
    },
  }
}

/** Answers JSON, as HubSpot labels it. */
export function json(response: ServerResponse, body: unknown, status = 200, headers: Record<string, string> = {}) {
  response.writeHead(status, { 'content-type': 'application/json;charset=utf-8', ...headers })
  response.end(typeof body === 'string' ? body : JSON.stringify(body))
}

/** The error a promise rejects with, which has to be one of ours. */
export async function failure(promise: Promise<unknown>): Promise<SyncError> {
  const error = await promise.then(
    () => new Error('it succeeded'),
    (reason: unknown) => reason,
  )
  if (error instanceof SyncError) return error
  throw error
}
