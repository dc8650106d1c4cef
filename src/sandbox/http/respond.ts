import type { IncomingMessage, ServerResponse } from 'node:http'
import { promisify } from 'node:util'
import { gzip } from 'node:zlib'
import type { Answer } from '../api/answers.ts'
import type { Fault } from '../types.ts'

const compress = promisify(gzip)

/** What a connection does with an answer besides sending it. */
export interface Delivery {
  readonly answer: Answer
  readonly correlationId: string
  readonly headers: Readonly<Record<string, string>>
  /** Epoch ms for the Date header. */
  readonly now: number
  readonly gzip: boolean
  readonly fault: Fault | undefined
}

/** Sends an answer, or as much of it as the fault leaves; resolves when nothing more will come. */
export async function respond(request: IncomingMessage, response: ServerResponse, delivery: Delivery): Promise<void> {
  const { answer, correlationId, fault } = delivery
  if (fault?.type === 'hang') return closed(response)
  if (fault?.type === 'reset') return reset(response)
  if (fault?.type === 'slow head') await pause(fault.ms, response)

  const headers: Record<string, string | number> = { Date: new Date(delivery.now + (fault?.type === 'date' ? fault.ms : 0)).toUTCString(), ...delivery.headers, ...answer.headers }
  headers['X-HubSpot-Correlation-Id'] = correlationId
  let bytes = bodyBytes(spoiled(answer, fault), correlationId)
  if (bytes.length > 0 && !('Content-Type' in headers)) headers['Content-Type'] = 'application/json;charset=utf-8'
  if (fault?.type === 'content type') {
    delete headers['Content-Type']
    if (fault.value !== null) headers['Content-Type'] = fault.value
  }
  if (fault?.type === 'torn') bytes = bytes.subarray(0, Math.floor(bytes.length / 2))
  if (delivery.gzip && bytes.length > 1000 && /\bgzip\b/.test(request.headers['accept-encoding']?.toString() ?? '')) {
    bytes = await compress(bytes, { level: 1 })
    headers['Content-Encoding'] = 'gzip'
    headers['Vary'] = 'Accept-Encoding'
  }
  if (answer.status !== 204) headers['Content-Length'] = bytes.length
  if (response.destroyed) return
  response.sendDate = false
  response.writeHead(answer.status, headers)
  if (fault?.type === 'hang body') {
    response.flushHeaders()
    return closed(response)
  }
  if (fault?.type === 'reset body' || fault?.type === 'short') {
    await written(response, bytes.subarray(0, Math.floor(bytes.length / 2)))
    if (fault.type === 'reset body') return reset(response)
    response.socket?.end()
    return closed(response)
  }
  if (fault?.type === 'slow body') await trickle(response, bytes, fault.ms)
  else response.end(bytes)
  return closed(response)
}

/** What a fault makes of an answer's records. */
function spoiled(answer: Answer, fault: Fault | undefined): Answer {
  const { results } = answer
  if (results === undefined) return answer
  switch (fault?.type) {
    case 'duplicates': return { ...answer, results: results.flatMap((record) => [record, record]) }
    case 'missing': return { ...answer, results: results.slice(1) }
    case 'incomplete':
      return { ...answer, results: results.map((record) => JSON.stringify({ ...(JSON.parse(record) as object), properties: undefined })) }
    case 'lacking':
      return { ...answer, results: results.map((record, at) => (at % 2 === 0 ? lacking(record, at) : record)) }
    case 'padding': {
      const share = Math.ceil(fault.bytes / Math.max(results.length, 1))
      return { ...answer, results: results.map((record) => record + ' '.repeat(Math.max(0, share - record.length))) }
    }
    default: return answer
  }
}

/** A record without one of its properties, another one for each place. */
function lacking(record: string, at: number): string {
  const { properties, ...rest } = JSON.parse(record) as { id: string; properties: Record<string, unknown> }
  const names = Object.keys(properties)
  const gone = names[(Number(rest.id) + at) % names.length]
  return JSON.stringify({ ...rest, properties: Object.fromEntries(Object.entries(properties).filter(([name]) => name !== gone)) })
}

function bodyBytes({ body, results }: Answer, correlationId: string): Buffer {
  if (results) {
    const rest = JSON.stringify(body).slice(1)
    return Buffer.from(`{"results":[${results.join(',')}]${rest === '}' ? '' : ','}${rest}`)
  }
  if (body === undefined) return Buffer.alloc(0)
  if (typeof body === 'string') return Buffer.from(body)
  const envelope = body as Record<string, unknown>
  if ('correlationId' in envelope) envelope['correlationId'] = correlationId
  if ('requestId' in envelope) envelope['requestId'] = correlationId
  return Buffer.from(JSON.stringify(body))
}

async function trickle(response: ServerResponse, bytes: Buffer, ms: number): Promise<void> {
  const pieces = 10
  const size = Math.max(1, Math.ceil(bytes.length / pieces))
  for (let at = 0; at < bytes.length && !response.destroyed; at += size) {
    response.write(bytes.subarray(at, at + size))
    await pause(ms / pieces, response)
  }
  response.end()
}

/** A RST where the kernel can send one, so that the caller sees ECONNRESET and no orderly end. */
function reset(response: ServerResponse): void {
  response.socket?.resetAndDestroy()
}

function written(response: ServerResponse, bytes: Buffer): Promise<void> {
  return new Promise((resolve) => response.write(bytes, () => setTimeout(resolve, 5)))
}

function closed(response: ServerResponse): Promise<void> {
  return new Promise((resolve) => (response.destroyed || response.writableFinished ? resolve() : response.once('close', resolve)))
}

/** Waits, but no longer than the connection lives. */
export function pause(ms: number, response: ServerResponse): Promise<void> {
  if (ms <= 0 || response.destroyed) return Promise.resolve()
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer)
      response.off('close', done)
      resolve()
    }
    const timer = setTimeout(done, ms)
    response.once('close', done)
  })
}
