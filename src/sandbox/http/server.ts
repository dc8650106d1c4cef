import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { type Answer, missingScopes, Refusal, refuse, throttled, unauthorized } from '../api/answers.ts'
import type { Account, Request, Route } from '../api/request.ts'
import { route } from '../api/router.ts'
import { drawSpan, drawUuid, type Random } from '../store/random.ts'
import type { Call, Fault } from '../types.ts'
import type { CallLog } from './calls.ts'
import type { Faults } from './faults.ts'
import type { Limits } from './limits.ts'
import { pause, respond } from './respond.ts'
import type { Tokens } from './tokens.ts'

/** What the server asks at every call. */
export interface Gate {
  readonly account: Account
  readonly limits: Limits
  readonly faults: Faults
  readonly calls: CallLog
  readonly tokens: Tokens
  readonly latencies: Random
  readonly correlations: Random
}

/** HubSpot's side. A call travels, arrives, is known by its token, counted, struck by a fault or handled, and answered. */
export function createHubspotServer(gate: Gate): Server {
  // Node would refuse URLs beyond 16 kB by itself, with another status than HubSpot's.
  const server = createServer({ maxHeaderSize: 1_048_576, keepAliveTimeout: 60_000 }, (request, response) => {
    handle(gate, request, response).catch((error: unknown) => {
      // A caller who goes away is nothing; anything else is a fault of the sandbox, and must not look like one of HubSpot's.
      if (response.destroyed) return
      response.destroy()
      throw error
    })
  })
  server.on('clientError', (_, socket) => socket.destroy())
  return server
}

async function handle(gate: Gate, incoming: IncomingMessage, response: ServerResponse): Promise<void> {
  const { account } = gate
  const { settings, clock } = account
  const latency = drawSpan(settings.latency, gate.latencies)
  const correlationId = drawUuid(gate.correlations)
  const body = await readBody(incoming)
  if (body === null) return
  await pause(latency * settings.uplink, response)
  if (response.destroyed) return

  const url = incoming.url ?? '/'
  const mark = url.indexOf('?')
  const pathname = mark < 0 ? url : url.slice(0, mark)
  const query = new URLSearchParams(mark < 0 ? '' : url.slice(mark + 1))
  const method = incoming.method ?? 'GET'
  const routed = route(account.tables, method, pathname)
  const token = /^Bearer (.+)$/i.exec(incoming.headers.authorization ?? '')?.[1]?.trim() ?? null
  const call = gate.calls.begin({
    at: clock.now(),
    arrivedAt: performance.now(),
    kind: routed.kind,
    object: routed.table?.type.name ?? null,
    ...(routed.to && { to: routed.to.type.name }),
    method,
    url,
    token,
    ...asked(routed, query, body),
  })

  const headers: Record<string, string> = {}
  const decide = (): { answer: Answer; fault?: Fault } => {
    if (url.length > settings.maxUrl) return { answer: html(414, 'Request-URI Too Large') }
    const known = gate.tokens.check(token)
    // Who asks for a token has none, and counts in no window.
    if (!routed.isOpen) {
      if (known.status !== 'valid') return { answer: unauthorized(known.status === 'expired') }
      const admission = gate.limits.admit(known.name, routed.kind)
      Object.assign(headers, admission.headers)
      if (admission.refusedBy) return { answer: throttled(admission.refusedBy, settings.throttleBody, account.portalId, settings.retryAfter) }
    }
    const fault = gate.faults.strike(call)
    const struck = fault && faultAnswer(fault, account)
    if (fault && struck) return { answer: struck, fault }
    const request: Request = {
      account, table: routed.table, to: routed.to, scopes: known.status === 'valid' ? known.scopes : null, url, method, query, body, path: routed.path,
      headers: incoming.headers as Record<string, string | undefined>,
      host: incoming.headers.host ?? '127.0.0.1', version: routed.version,
      asOf: fault?.type === 'behind' ? clock.now() - fault.ms : null,
    }
    return { answer: run(routed, request), ...(fault && { fault }) }
  }

  const { answer, fault } = decide()
  if (fault) call.fault = fault.type
  call.status = fault?.type === 'hang' || fault?.type === 'reset' ? 0 : answer.status
  note(call, answer)
  await pause(latency * (1 - settings.uplink), response)
  try {
    await respond(incoming, response, { answer, correlationId, headers, now: clock.now(), gzip: settings.gzip, fault })
  } finally {
    gate.calls.end(call)
  }
}

function run(routed: Route, request: Request): Answer {
  const { settings } = request.account
  try {
    for (const [at, name] of routed.asked.entries()) {
      const table = at === 0 ? routed.table : routed.to
      if (!table || table.archivedAt !== null || settings.inactive.includes(table.type.name)) throw refuse(400, `Unable to infer object type from: ${name}`)
    }
    if (routed.kind === 'search' && routed.table?.type.searchable === false) throw refuse(404, 'Unable to find resource')
    const { scopes } = request
    for (const needed of routed.scopes) if (scopes && !needed.some((scope) => scopes.has(scope))) throw missingScopes(needed)
    return routed.handle(request)
  } catch (error) {
    if (error instanceof Refusal) return error.answer
    throw error
  }
}

/** The answer of faults that are answers; undefined for those that happen to a right one. */
function faultAnswer(fault: Fault, account: Account): Answer | undefined {
  switch (fault.type) {
    case '429': return throttled(fault.policy ?? 'burst', account.settings.throttleBody, account.portalId, account.settings.retryAfter)
    case '401': return unauthorized(true)
    case '403': return missingScopes(['crm.objects.contacts.read']).answer
    case '423': return refuse(423, 'The resource is locked because of a high volume of calls').answer
    case '477': return { ...refuse(477, 'This account is being migrated').answer, headers: { 'Retry-After': String(fault.retryAfter ?? 3600) } }
    case '500': return refuse(500, 'internal error').answer
    case '502': return html(502, 'Bad Gateway')
    case '503': return { status: 503 }
    case '504': return html(504, 'Gateway Time-out')
    case 'answer': return { status: fault.status, ...(fault.body !== undefined && { body: fault.body }), ...(fault.headers && { headers: fault.headers }) }
    default: return undefined
  }
}

function html(status: number, text: string): Answer {
  return {
    status,
    body: `<html>\r\n<head><title>${status} ${text}</title></head>\r\n<body>\r\n<center><h1>${status} ${text}</h1></center>\r\n</body>\r\n</html>\r\n`,
    headers: { 'Content-Type': 'text/html' },
  }
}

/** What a call asks for, for the log. */
function asked(routed: Route, query: URLSearchParams, body: string): Partial<Call> {
  if (routed.kind === 'token') return { grant: new URLSearchParams(body).get('grant_type') ?? '' }
  if (routed.kind === 'search' || routed.kind === 'batch read' || routed.kind === 'associations') {
    try {
      const { limit, after, inputs, sorts, filterGroups, filters } = JSON.parse(body)
      return {
        ...(limit !== undefined && { limit: Number(limit) }),
        ...(after !== undefined && { after: String(after) }),
        ...(Array.isArray(inputs) && { ids: inputs.map((input) => String(input?.id)) }),
        ...(sorts?.[0] !== undefined && { sort: typeof sorts[0] === 'string' ? sorts[0] : `${sorts[0].propertyName} ${sorts[0].direction ?? 'ASCENDING'}` }),
        ...((filterGroups ?? filters) !== undefined && { filters: filterGroups ?? filters }),
      }
    } catch {
      return {}
    }
  }
  const [limit, after, archived] = ['limit', 'after', 'archived'].map((name) => query.get(name))
  return {
    ...(limit != null && { limit: Number(limit) }),
    ...(after != null && { after }),
    ...(archived != null && { archived: archived === 'true' }),
    ...((routed.kind === 'get' || routed.kind === 'record associations') && { ids: routed.path.slice(0, 1) }),
  }
}

function note(call: Call, { ids }: Answer): void {
  if (!ids) return
  call.returned = ids.length
  const [first, last] = [ids[0], ids.at(-1)]
  if (first !== undefined) call.firstId = first
  if (last !== undefined) call.lastId = last
}

/** The body as text; null where the caller went away. */
async function readBody(request: IncomingMessage): Promise<string | null> {
  const chunks: Buffer[] = []
  try {
    for await (const chunk of request) chunks.push(chunk as Buffer)
  } catch {
    return null
  }
  return Buffer.concat(chunks).toString()
}
