import { performance } from 'node:perf_hooks'
import { Agent, type Dispatcher } from 'undici'
import { Bug, Misuse, Refused, Renewed, SyncError, Transient } from '../lib/errors.ts'
import { AGAIN, type Answer, type AnswerHead, bodyOf, checkedJson, headOf } from './answer.ts'
export type { Answer } from './answer.ts'
import { failureOf, type FailedAnswer } from './failure.ts'
import { API_VERSION, pathsOf, type Paths } from './paths.ts'

/** One call. Paths come from {@link Paths}, which encodes them. */
export type HubSpotRequest = {
  method?: 'GET' | 'POST' | 'PATCH' | 'PUT' | 'DELETE'
  path: string
  /** Lists are joined by commas; undefined is left out. */
  query?: Record<string, string | number | boolean | readonly string[] | undefined>
  /** Sent as JSON; a string is sent as it is and must be JSON already. */
  body?: unknown
  /** Sent as a form in place of `body`, and without a token: what asks for tokens. All of it counts as secret. */
  form?: Record<string, string>
  /** The object type that the path names, if it does: a 404 then means that the type is not there. */
  type?: string
  /** Whether a success may come without a body, as that of an archive call does. */
  mayBeEmpty?: boolean
  signal?: AbortSignal | undefined
}

/** Milliseconds that each part of a call may take. */
export type Timeouts = { connectMs: number; firstByteMs: number; totalMs: number }

/** HubSpot gives up on itself after 100 s (524); leases last 30 s, so that waiting for that serves nobody. */
export const TIMEOUTS: Timeouts = { connectMs: 5_000, firstByteMs: 30_000, totalMs: 60_000 }

/** Bytes of one answer, before and after decompression: what Postgres still takes as one jsonb (255 MB), with room to spare. */
export const BODY_LIMIT = 224 * 1024 * 1024

/** How a step lets a call out: it takes the permit, sends, and accounts for the answer or the error. */
export type Call = (kind: 'burst' | 'search', send: () => Promise<Answer>) => Promise<Answer>

/** HubSpot over HTTP. It neither waits for budgets nor tries again: both belong to whoever calls. */
export type Client = AsyncDisposable & {
  readonly paths: Paths
  /**
   * Sends one request. Throttled on 429; Transient on what heals by itself (SH205 to SH208); Refused
   * on what does not (SH201 to SH203, SH211); Renewed where another token is there. Rejects with the signal's reason when that is aborted.
   */
  request(request: HubSpotRequest): Promise<Answer>
  /** Ends the connections; calls in flight fail as Transient. */
  close(): Promise<void>
}

/** How to reach HubSpot. */
export type ClientOptions = {
  /** Asked before every call, so that a refreshed token is used at once. */
  token: () => string | Promise<string>
  /** HubSpot answered this token with 401: whether another one is there now. Then the call fails as Renewed. */
  renew?: (token: string) => Promise<boolean>
  /** HTTPS, or HTTP on a loopback host. */
  baseUrl?: string
  version?: string
  /** Stays the caller's: `close` leaves it open. `connectMs` is then the caller's too. */
  dispatcher?: Dispatcher
  timeouts?: Partial<Timeouts>
  bodyLimit?: number
}

/** Makes a client. Misuse SH104 for a base URL or version that cannot be right. */
export function createClient({
  token,
  renew,
  baseUrl = 'https://api.hubapi.com',
  version = API_VERSION,
  dispatcher,
  timeouts = {},
  bodyLimit = BODY_LIMIT,
}: ClientOptions): Client {
  const { origin, prefix } = baseOf(baseUrl)
  const limits = { ...TIMEOUTS, ...timeouts }
  const agent =
    dispatcher ??
    new Agent({
      // one broken HTTP/2 connection would fail every call in flight; and what was measured is HTTP/1.1
      allowH2: false,
      // longer than the widest pause between two polls, so that a quiet worker keeps its connection
      keepAliveTimeout: 30_000,
      connect: { timeout: limits.connectMs },
      // `deadline` below is exact where undici's own timers tick by the second
      headersTimeout: 0,
      bodyTimeout: 0,
    })

  async function request({ method, path, query, body, form, type, mayBeEmpty = false, signal }: HubSpotRequest) {
    signal?.throwIfAborted()
    const secret = form === undefined ? await token() : undefined
    const sent = { method: method ?? (body === undefined && form === undefined ? 'GET' : 'POST'), path, type, url: path + queryText(query) }
    const headers: Record<string, string> = {
      ...(secret !== undefined && { authorization: `Bearer ${sendable(secret)}` }),
      accept: 'application/json',
      'accept-encoding': 'gzip',
      'user-agent': 'pg-hubspot',
    }
    if (body !== undefined) headers['content-type'] = 'application/json'
    if (form !== undefined) headers['content-type'] = 'application/x-www-form-urlencoded'
    const text = form !== undefined ? new URLSearchParams(form).toString() : textOf(body)

    using clock = deadline(limits, signal)
    const sentAt = performance.now()
    let head: AnswerHead | undefined
    let failed: FailedAnswer | undefined
    try {
      const response = await agent.request({
        origin,
        path: prefix + sent.url,
        method: sent.method,
        headers,
        body: text,
        signal: clock.signal,
      })
      clock.firstByte()
      head = headOf(response, sentAt)
      if (head.status < 200 || head.status > 299) {
        failed = { ...sent, head, headers: response.headers, secrets: secret === undefined ? secretsOf(form) : [secret] }
      }
      const bytes = await bodyOf(response, { limit: bodyLimit, fromSocket: dispatcher === undefined })
      if (!failed) {
        return { ...head, body: mayBeEmpty && bytes.length === 0 ? bytes : checkedJson(bytes, response.headers) }
      }
      failed.body = bytes
    } catch (cause) {
      signal?.throwIfAborted()
      // the status is known: a body that broke off takes nothing from it
      if (!failed) throw unreached(cause, { method: sent.method, path, answer: head }, clock.passed())
    }
    const failure = failureOf(failed)
    if (failed.head.status === 401 && secret !== undefined && (await renew?.(secret)) === true) throw new Renewed(failure)
    throw failure
  }

  const close = async () => {
    if (!dispatcher) await agent.destroy()
  }
  return { paths: pathsOf(version), request, close, [Symbol.asyncDispose]: close }
}

// The token would travel in clear text: only what never leaves the machine may go without TLS.
function baseOf(baseUrl: string): { origin: string; prefix: string } {
  const hint = 'Set HUBSPOT_API_URL to https://api.hubapi.com, or leave it out; http is for loopback addresses only.'
  const url = URL.parse(baseUrl)
  const isLoopback = url !== null && /^(localhost|127(\.\d{1,3}){3}|\[::1\])$/.test(url.hostname)
  if (!url || !(url.protocol === 'https:' || (url.protocol === 'http:' && isLoopback))) {
    throw new Misuse('SH104', 'the URL of HubSpot must be https, or http on a loopback address', { hint })
  }
  if (url.username || url.password || url.search || url.hash) {
    throw new Misuse('SH104', 'the URL of HubSpot may hold a host and a path, nothing else', { hint })
  }
  return { origin: url.origin, prefix: url.pathname.replace(/\/+$/, '') }
}

function queryText(query: HubSpotRequest['query'] = {}): string {
  const pairs = Object.entries(query).flatMap(([name, value]) => {
    if (value === undefined) return []
    const parts = typeof value === 'object' ? value : [String(value)]
    // a plain comma between names: `%2C` would cost two bytes of URL for each of hundreds
    return [`${encodeURIComponent(name)}=${parts.map(encodeURIComponent).join(',')}`]
  })
  return pairs.length === 0 ? '' : `?${pairs.join('&')}`
}

const textOf = (body: unknown) => (body === undefined || typeof body === 'string' ? (body ?? null) : JSON.stringify(body))

/** What is short is a word such as `refresh_token`, and no secret. */
const secretsOf = (form: HubSpotRequest['form'] = {}) => Object.entries(form).flatMap(([name, value]) => (name === 'grant_type' || value.length < 6 ? [] : [value]))

function sendable(secret: string): string {
  if (/^[\x21-\x7e]+$/.test(secret)) return secret
  throw new Refused('SH201', 'the access token is empty or holds characters that no token has', {
    status: 0,
    category: '',
    hint: 'Copy the token again, whole and without spaces, and run pg-hubspot connect.',
  })
}

/** One signal for the caller's abort and both time-outs, let go of when the call is over. */
function deadline({ firstByteMs, totalMs }: Timeouts, outer: AbortSignal | undefined) {
  const controller = new AbortController()
  let passed: string | undefined
  const expire = (what: string) => () => {
    passed = what
    controller.abort(new Error(what))
  }
  const forward = () => controller.abort(outer?.reason)
  if (outer?.aborted) forward()
  else outer?.addEventListener('abort', forward, { once: true })
  const first = setTimeout(expire(`no answer within ${firstByteMs} ms`), firstByteMs)
  const total = setTimeout(expire(`the answer was not whole within ${totalMs} ms`), totalMs)
  return {
    signal: controller.signal,
    firstByte: () => clearTimeout(first),
    passed: () => passed,
    [Symbol.dispose]() {
      clearTimeout(first)
      clearTimeout(total)
      outer?.removeEventListener('abort', forward)
    },
  }
}

function unreached(cause: unknown, detail: Record<string, unknown>, passed: string | undefined): SyncError {
  if (cause instanceof SyncError) {
    Object.assign(cause.detail, detail)
    return cause
  }
  if ((cause as { code?: unknown }).code === 'UND_ERR_INVALID_ARG') throw new Bug('a request that cannot be sent', { detail, cause })
  const why = passed ?? (cause instanceof Error ? cause.message || cause.name : String(cause))
  const brokeOff = passed === undefined && detail['answer'] !== undefined
  return brokeOff
    ? new Transient('SH208', `HubSpot's answer broke off: ${why}`, { hint: AGAIN, detail, cause })
    : new Transient('SH206', `HubSpot could not be reached: ${why}`, { hint: AGAIN, detail, cause })
}
