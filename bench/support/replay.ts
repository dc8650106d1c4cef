import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { gzip } from 'node:zlib'
import { makePage, makeProperties, propertiesAnswer } from './pages.ts'

/** The object that a replay serves. */
export const OBJECT = 'deals'

/** What a replay holds and how it answers. */
export type ReplayOptions = {
  records: number
  properties: number
  /** ms from request to answer, drawn evenly; half of it passes before a call arrives. */
  latency?: readonly [least: number, most: number]
  /** Calls, search apart, in any `period` ms by arrival; beyond it 429. */
  limit?: { burst: number; period: number }
  /** Whether answers are compressed, as HubSpot's are. */
  gzip?: boolean
}

/** A HubSpot of finished answers. */
export type Replay = AsyncDisposable & {
  url: string
  token: string
  objectTypeId: string
  /** Calls that were answered, and that were refused. */
  counts(): Promise<{ answered: number; refused: number }>
}

/**
 * Starts, in a process of its own, a HubSpot whose records were written out before anything asks for them: serving a page is a
 * copy into a socket, where the sandbox spends more CPU on one than the worker and Postgres together. Ids follow one another,
 * values repeat every few thousand records, nothing ever changes; what it has no answer for is a 404.
 */
export async function spawnReplay(options: ReplayOptions): Promise<Replay> {
  const child = spawn(process.execPath, [import.meta.filename, JSON.stringify(options)], { stdio: ['pipe', 'pipe', 'inherit'] })
  const ended = once(child, 'exit')
  const [port] = await once(createInterface(child.stdout), 'line')
  const url = `http://127.0.0.1:${port}`
  return {
    url,
    token: 'pat-na1-00000000-0000-4000-8000-000000000000',
    objectTypeId: '0-3',
    counts: async () => (await (await fetch(`${url}/counts`)).json()) as { answered: number; refused: number },
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL')
      await ended
    },
  }
}

const NONE = Buffer.from('{"results":[]}')
const REFUSED = Buffer.from('{"status":"error","message":"You have reached your ten_secondly_rolling limit.","errorType":"RATE_LIMIT","policyName":"TEN_SECONDLY_ROLLING"}')
/** All ids have as many digits, so that one can be written over another. */
const FIRST_ID = 1_000_000_001
const TEMPLATES = 4_000
const COMMA = Buffer.from(',')

/** A record's text, and where in it its id stands. */
type Template = { bytes: Buffer; at: readonly number[] }

/** As many records as there are, each the copy of a template with its own id written into it. */
function createRecords(count: number, propertyCount: number) {
  const made = makeProperties(propertyCount)
  const written = Array.from({ length: Math.ceil(Math.min(count, TEMPLATES) / 100) }, (_, i) => makePage(made, FIRST_ID + i * 100))
    .flatMap((page) => (JSON.parse(page.toString()) as { results: { id: string; properties: object }[] }).results)
  const templateOf = (record: { id: string; properties: object }): Template => {
    const bytes = Buffer.from(JSON.stringify(record))
    const at: number[] = []
    for (let i = bytes.indexOf(record.id); i >= 0; i = bytes.indexOf(record.id, i + 1)) at.push(i)
    return { bytes, at }
  }
  const whole = written.map(templateOf)
  const bare = written.map((record) => templateOf({ ...record, properties: {} }))
  const join = (numbers: readonly number[], templates: readonly Template[], tail: string): Buffer => {
    const parts = [Buffer.from('{"results":[')]
    for (const n of numbers) {
      const { bytes, at } = templates[n % templates.length]!
      const copy = Buffer.from(bytes)
      for (const i of at) copy.write(String(FIRST_ID + n), i, 'latin1')
      parts.push(...(parts.length === 1 ? [copy] : [COMMA, copy]))
    }
    return Buffer.concat([...parts, Buffer.from(tail)])
  }
  return {
    /** A page of the list: with all values, or the ids alone where few were asked for. */
    list(query: URLSearchParams): Buffer {
      const first = Math.max(Number(query.get('after') ?? FIRST_ID) - FIRST_ID, 0)
      const last = Math.max(Math.min(first + 100, count), first)
      const next = `${FIRST_ID + last}`
      const tail = last < count ? `],"paging":{"next":{"after":"${next}","link":"https://api.hubapi.com/crm/objects?after=${next}"}}}` : ']}'
      const isWhole = (query.get('properties')?.split(',').length ?? 0) > 10 || query.getAll('properties').length > 10
      return join(Array.from({ length: last - first }, (_, i) => first + i), isWhole ? whole : bare, tail)
    },
    /** What a batch read asks for. */
    read: (ids: readonly string[]) => join(ids.map((id) => Number(id) - FIRST_ID), whole, '],"status":"COMPLETE"}'),
  }
}

function serve({ records, properties, latency: [least, most] = [0, 0], limit, gzip: isPacked = false }: ReplayOptions): void {
  const made = createRecords(records, properties)
  const definitions = propertiesAnswer(makeProperties(properties))
  const account = Buffer.from('{"portalId":1,"timeZone":"UTC","utcOffsetMilliseconds":0,"accountType":"STANDARD"}')
  const newest = Buffer.from(`{"total":${records},"results":[{"id":"${FIRST_ID + records - 1}","properties":{},"createdAt":"2026-01-01T00:00:00Z","updatedAt":"2026-01-01T00:00:00Z"}]}`)
  const nobody = Buffer.from('{"total":0,"results":[]}')
  const counts = { answered: 0, refused: 0 }
  const arrivals: number[] = []

  const answer = ({ pathname, searchParams }: URL, sent: string): Buffer | undefined => {
    if (/^\/crm\/(v3\/objects|objects\/[^/]+)\/0-3$/.test(pathname)) return searchParams.get('archived') === 'true' ? NONE : made.list(searchParams)
    if (pathname.endsWith('/batch/read')) return made.read((JSON.parse(sent) as { inputs: { id: string }[] }).inputs.map(({ id }) => id))
    // A question for the number of records has no condition; hits of the other ones there are none.
    if (pathname.endsWith('/search')) return /"filters":\[\{/.test(sent) ? nobody : newest
    if (pathname.startsWith('/crm/properties/')) return searchParams.has('dataSensitivity') || searchParams.get('archived') === 'true' ? NONE : definitions
    if (pathname.startsWith('/account-info/')) return account
    return /^\/crm\/(pipelines|owners)\/|^\/crm-object-schemas\//.test(pathname) ? NONE : undefined
  }
  const isOver = (pathname: string, { burst, period }: { burst: number; period: number }): boolean => {
    if (pathname.endsWith('/search')) return false
    const now = performance.now()
    while (arrivals[0]! <= now - period) arrivals.shift()
    return arrivals.push(now) > burst && arrivals.pop() !== undefined
  }

  const respond = async (request: IncomingMessage, response: ServerResponse, sent: string): Promise<void> => {
    const url = new URL(request.url ?? '/', 'http://replay')
    response.setHeader('content-type', 'application/json;charset=utf-8')
    if (url.pathname === '/counts') return void response.end(JSON.stringify(counts))
    if (limit !== undefined) response.setHeader('x-hubspot-ratelimit-max', limit.burst)
    const half = (least + Math.random() * (most - least)) / 2
    if (half > 0) await sleep(half)
    const isRefused = limit !== undefined && isOver(url.pathname, limit)
    counts[isRefused ? 'refused' : 'answered'] += 1
    if (half > 0) await sleep(half)
    const body = isRefused ? REFUSED : answer(url, sent)
    response.statusCode = isRefused ? 429 : body === undefined ? 404 : 200
    const plain = body ?? Buffer.from(JSON.stringify({ status: 'error', message: `nothing is served at ${request.url}` }))
    if (!isPacked || plain.length < 1_000) return void response.end(plain)
    response.setHeader('content-encoding', 'gzip')
    response.end(await promisify(gzip)(plain, { level: 1 }))
  }
  const server = createServer((request, response) => {
    let sent = ''
    request.setEncoding('utf8').on('data', (text: string) => (sent += text))
    request.on('end', () => void respond(request, response, sent))
  })
  // It ends with whoever started it, however that ends.
  process.stdin.resume().on('end', () => process.exit())
  server.listen(0, '127.0.0.1', () => console.log((server.address() as AddressInfo).port))
}

if (import.meta.main) serve(JSON.parse(process.argv[2]!) as ReplayOptions)
