import { spawn } from 'node:child_process'
import { randomBytes, timingSafeEqual } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Misuse } from '../../lib/errors.ts'
import { sleep } from '../../lib/time.ts'

/** What the authorise page sends people back to, on this machine alone. */
export type Callback = AsyncDisposable & {
  /** As the app in HubSpot must know it. */
  redirectUri: string
  /** To be sent along: who cannot repeat it did not come from that page. */
  state: string
  /** Misuse SH228 when the person said no, or nothing within ten minutes. */
  code(signal: AbortSignal): Promise<string>
}

const PATH = '/oauth/callback'
const PATIENCE_MS = 600_000
const AGAIN = 'Run npx pg-hubspot connect --oauth again.'

/** Listens on loopback for the code; `port` 0 takes a free one. Misuse SH104 where the port is taken. */
export async function awaitCallback(port: number): Promise<Callback> {
  const state = randomBytes(32).toString('base64url')
  const came = Promise.withResolvers<string>()
  came.promise.catch(() => undefined)
  const server = createServer((request, response) => answer(request, response, state, came))
  const { port: bound } = await listen(server, port)
  return {
    redirectUri: `http://localhost:${bound}${PATH}`,
    state,
    async code(signal) {
      const over = new AbortController()
      const ends = sleep(PATIENCE_MS, AbortSignal.any([signal, over.signal])).then(() => {
        throw refused('nobody did within ten minutes')
      })
      return await Promise.race([came.promise, ends]).finally(() => over.abort())
    },
    async [Symbol.asyncDispose]() {
      server.close()
      // The page is told before it is cut off.
      server.closeIdleConnections()
      await sleep(50)
      server.closeAllConnections()
    },
  }
}

async function listen(server: Server, port: number): Promise<AddressInfo> {
  server.listen(port, '127.0.0.1')
  try {
    await once(server, 'listening')
  } catch (cause) {
    throw new Misuse('SH104', `port ${port} of this machine cannot be listened on: ${(cause as NodeJS.ErrnoException).code}`, {
      hint: 'Give another with --port, and add its redirect URL to the app in HubSpot.',
      cause,
    })
  }
  return server.address() as AddressInfo
}

function answer(request: IncomingMessage, response: ServerResponse, state: string, came: PromiseWithResolvers<string>): void {
  // What is no path, such as //, is nothing here either.
  const url = URL.parse(request.url ?? '/', 'http://localhost')
  const say = (status: number, text: string) => {
    response.writeHead(status, {
      'content-type': 'text/html;charset=utf-8', 'referrer-policy': 'no-referrer', 'cache-control': 'no-store', connection: 'close',
    })
    response.end(`<!doctype html><title>pg-hubspot</title><p>${text}</p>\n`)
  }
  if (url?.pathname !== PATH || request.method !== 'GET') return say(404, 'Nothing is here.')
  if (!isSame(url.searchParams.get('state') ?? '', state)) return say(400, 'This did not come from the page that pg-hubspot opened. Use the link that it printed.')
  const code = url.searchParams.get('code')
  if (code !== null && code !== '') {
    say(200, 'The app is authorised. You may close this page: pg-hubspot goes on in the terminal.')
    return came.resolve(code)
  }
  say(200, 'The app was not authorised. You may close this page.')
  came.reject(refused(url.searchParams.get('error_description') ?? url.searchParams.get('error') ?? 'HubSpot sent no code back'))
}

const refused = (why: string) => new Misuse('SH228', `the app was not authorised: ${why.slice(0, 300)}`, { hint: AGAIN })

function isSame(given: string, right: string): boolean {
  const [a, b] = [Buffer.from(given), Buffer.from(right)]
  return a.length === b.length && timingSafeEqual(a, b)
}

/** Shows a page in the person's browser, if there is one; the link is printed either way. */
export function openBrowser(url: string): void {
  const [program, args] =
    process.platform === 'darwin' ? ['open', [url]] as const
    : process.platform === 'win32' ? ['rundll32', ['url.dll,FileProtocolHandler', url]] as const
    : ['xdg-open', [url]] as const
  const child = spawn(program, args, { detached: true, stdio: 'ignore' })
  child.once('error', () => undefined)
  child.unref()
}
