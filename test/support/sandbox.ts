import { type Sandbox, type SandboxOptions, startSandbox } from '../../src/sandbox/index.ts'

/** An answer of a sandbox, read whole. */
export type Answer = {
  status: number
  headers: Headers
  text: string
  /** The text as JSON, where it is. */
  body: any // oxlint-disable-line typescript/no-explicit-any -- whatever HubSpot says
}

/** What can be done with a sandbox that a test holds. */
export type Hands = Sandbox & {
  /** GET, or POST where there is a body, with the sandbox's token unless told otherwise. */
  ask(path: string, options?: { body?: unknown; token?: string | null; headers?: Record<string, string> }): Promise<Answer>
  /** POST …/search. */
  search(object: string, body: unknown): Promise<Answer>
  /** A call of the control API. */
  control(route: string, body?: unknown): Promise<Answer>
}

/** A sandbox whose clock stands still at a known time, without limits and search lag, unless told otherwise. */
export async function sandboxInHand(options: SandboxOptions = {}): Promise<Hands> {
  const sandbox = await startSandbox({
    now: '2026-11-23T12:00:00.500Z',
    frozen: true,
    ...options,
    settings: { limits: false, lag: 0, ...options.settings },
  })
  const ask: Hands['ask'] = async (path, { body, token = sandbox.token, headers = {} } = {}) =>
    read(await fetch(sandbox.url + path, {
      headers: { ...(token !== null && { authorization: `Bearer ${token}` }), ...(body !== undefined && { 'content-type': 'application/json' }), ...headers },
      ...(body !== undefined && { method: 'POST', body: JSON.stringify(body) }),
    }))
  return {
    ...sandbox,
    ask,
    search: (object, body) => ask(`/crm/objects/2026-09/${object}/search`, { body }),
    async control(route, body) {
      const [method = 'GET', path = '/'] = route.split(' ')
      return read(await fetch(sandbox.controlUrl + path, { method, ...(body !== undefined && { body: JSON.stringify(body) }) }))
    },
  }
}

async function read(response: Response): Promise<Answer> {
  const text = await response.text()
  const isJson = response.headers.get('content-type')?.includes('json') ?? false
  return { status: response.status, headers: response.headers, text, body: isJson && !response.headers.get('content-type')?.includes('ndjson') ? JSON.parse(text) : undefined }
}
