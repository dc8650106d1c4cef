import { performance } from 'node:perf_hooks'
import { promisify } from 'node:util'
import { gunzip, gunzipSync } from 'node:zlib'
import type { Dispatcher } from 'undici'
import { Transient } from '../lib/errors.ts'
import { release } from '../lib/memory.ts'

/** What an answer's rate-limit headers said. Search answers carry no burst figures, OAuth ones no daily figures. */
export type Limits = {
  burstMax?: number
  burstRemaining?: number
  burstIntervalMs?: number
  dailyMax?: number
  dailyRemaining?: number
}

/** What is known of every answer, a refusal too (there as the error's `detail.answer`). */
export type AnswerHead = {
  status: number
  /** HubSpot's `Date` header as ISO 8601 in UTC: its clock, never to be compared with ours. */
  date: string | undefined
  correlationId: string | undefined
  limits: Limits
  /** Milliseconds from sending to the answer's head. */
  firstByteMs: number
  /** `performance.now()` when the request was handed to the socket pool. */
  sentAt: number
}

/** A success: 2xx, 207 included, whose batch errors are in the body. */
export type Answer = AnswerHead & {
  /** The body as HubSpot wrote it: decompressed, not decoded, not parsed; whole, and JSON by its type and ends. */
  body: Buffer
}

/** Header names in lower case, as undici gives them. */
export type Headers = Dispatcher.ResponseData['headers']

/** One header's first value, trimmed; undefined where it is missing or empty. */
export function header(headers: Headers, name: string): string | undefined {
  const value = headers[name]
  return (Array.isArray(value) ? value[0] : value)?.trim() || undefined
}

/** Reads everything but the body; to be called as soon as the head is there. `sentAt` by `performance.now()`. */
export function headOf({ statusCode, headers }: Dispatcher.ResponseData, sentAt: number): AnswerHead {
  const firstByteMs = performance.now() - sentAt
  const date = new Date(header(headers, 'date') ?? '')
  const limits: Limits = {}
  for (const [key, name] of LIMIT_HEADERS) {
    const text = header(headers, name)
    if (text !== undefined && /^\d{1,15}$/.test(text)) limits[key] = Number(text)
  }
  return {
    status: statusCode,
    date: Number.isNaN(date.getTime()) ? undefined : date.toISOString(),
    correlationId: header(headers, 'x-hubspot-correlation-id') ?? header(headers, 'x-request-id'),
    limits,
    firstByteMs,
    sentAt,
  }
}

const LIMIT_HEADERS = [
  ['burstMax', 'x-hubspot-ratelimit-max'],
  ['burstRemaining', 'x-hubspot-ratelimit-remaining'],
  ['burstIntervalMs', 'x-hubspot-ratelimit-interval-milliseconds'],
  ['dailyMax', 'x-hubspot-ratelimit-daily'],
  ['dailyRemaining', 'x-hubspot-ratelimit-daily-remaining'],
] as const

/**
 * Reads and decompresses a body of at most `limit` bytes, packed and unpacked, into memory that nobody else holds. Transient
 * SH208 else. `fromSocket`: the chunks are what Node read from a socket of our own, and their memory is given back.
 */
export async function bodyOf(
  { body, headers }: Dispatcher.ResponseData,
  { limit, fromSocket }: { limit: number; fromSocket: boolean },
): Promise<Buffer> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of body as AsyncIterable<Buffer>) {
    size += chunk.length
    // leaving the loop ends the connection, so that the rest is not even received
    if (size > limit) throw tooLarge(limit)
    chunks.push(chunk)
  }
  const packed = joined(chunks, size)
  // Only now: several chunks may be parts of one read.
  if (fromSocket) for (const { buffer } of chunks) if (buffer.byteLength >= SOCKET_READ) release(Buffer.from(buffer))
  const encoding = header(headers, 'content-encoding')?.toLowerCase() ?? 'identity'
  if (encoding === 'identity' || packed.length === 0) return packed
  if (encoding !== 'gzip' && encoding !== 'x-gzip') throw unreadable(`it is encoded as ${encoding}, asked was gzip`)
  try {
    // an ordinary page unpacks in under 1 ms, less than a hop to the thread pool is worth;
    // a larger one would hold up every other stream of this worker
    const unpack = packed.length <= 64 * 1024 ? gunzipSync : promisify(gunzip)
    return await unpack(packed, { maxOutputLength: limit, chunkSize: Math.min(unpackedSize(packed), limit) })
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE') throw tooLarge(limit)
    throw unreadable('its compression is damaged', cause)
  }
}

// Below it may be a piece of the pool that Node cuts small buffers from, and is not worth it.
const SOCKET_READ = 16 * 1024

function joined(chunks: readonly Buffer[], size: number): Buffer {
  const whole = Buffer.allocUnsafeSlow(size)
  let at = 0
  for (const chunk of chunks) at += chunk.copy(whole, at)
  return whole
}

// The last four bytes say how much comes out, so that it comes in one piece. They may be wrong: then it comes in several,
// or the piece is larger than need be, but deflate makes no more than 1,032 bytes of one.
function unpackedSize(packed: Buffer): number {
  const said = packed.length < 18 ? 0 : packed.readUInt32LE(packed.length - 4)
  return Math.max(Math.min(said, packed.length * 1_032), 1_024)
}

/**
 * The body of a success, unless it cannot be JSON by its type or its ends: Transient SH208. Postgres
 * is what parses; here only what would waste a transaction is turned away.
 */
export function checkedJson(body: Buffer, headers: Headers): Buffer {
  if (body.length === 0) throw unreadable('it is empty')
  const type = header(headers, 'content-type') ?? 'without a content type'
  if (!/^application\/([\w.-]+\+)?json\b/i.test(type)) throw unreadable(`it is ${type.slice(0, 80)}, not JSON`)
  const first = body.toString('latin1', 0, 16).trimStart().at(0)
  const last = body.toString('latin1', Math.max(body.length - 16, 0)).trimEnd().at(-1)
  if (!(first === '{' && last === '}') && !(first === '[' && last === ']')) throw unreadable('its JSON is cut short')
  return body
}

/** The hint of whatever heals by itself. */
export const AGAIN = 'Nothing to do: it is asked again by itself. If it stays, see https://status.hubspot.com.'

/** Transient SH208: an answer that came but cannot be used. */
export function unreadable(why: string, cause?: unknown): Transient {
  return new Transient('SH208', `HubSpot's answer cannot be used: ${why}`, { hint: AGAIN, cause })
}

function tooLarge(limit: number): Transient {
  const error = unreadable(`it is larger than ${limit} bytes`)
  error.detail['isTooLarge'] = true
  return error
}

/** Whether an answer was given up for its size: asked for less, it may come. */
export function isTooLarge(error: unknown): boolean {
  return error instanceof Transient && error.detail['isTooLarge'] === true
}
