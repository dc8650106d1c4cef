import { int32, text } from './messages.ts'

/** What a client wants with its first bytes. */
export type Startup =
  | { kind: 'tls' }
  | { kind: 'gss' }
  /** `key`: as the session got it. */
  | { kind: 'cancel'; pid: number; key: Buffer }
  /** `params`: byte for byte, see {@link utf8}. */
  | { kind: 'session'; version: number; params: Map<string, string> }
  /** Nothing that can be served; `message` is for the client, undefined where it speaks another protocol. */
  | { kind: 'unfit'; message?: string }

const TLS_CODE = 80877103
const GSS_CODE = 80877104
const CANCEL_CODE = 80877102
const VERSION_3 = 3

/** As large a start-up as PostgreSQL itself takes; bytes. */
export const LARGEST_STARTUP = 10_000

/** SSLRequest, to ask a server for TLS. */
export const TLS_REQUEST = Buffer.concat([int32(8), int32(TLS_CODE)])

/** Reads a start-up packet, from after its length on. */
export function readStartup(body: Buffer): Startup {
  if (body.length < 4) return { kind: 'unfit' }
  const code = body.readInt32BE(0)
  if (code === TLS_CODE) return { kind: 'tls' }
  if (code === GSS_CODE) return { kind: 'gss' }
  if (code === CANCEL_CODE) return body.length > 8 ? { kind: 'cancel', pid: body.readInt32BE(4), key: body.subarray(8) } : { kind: 'unfit' }
  // Of version 3 every minor one: the server names what it knows better.
  if (code >>> 16 !== VERSION_3) return { kind: 'unfit', message: `unsupported frontend protocol ${code >>> 16}.${code & 0xffff}` }
  const params = readParams(body.subarray(4))
  return params === undefined ? { kind: 'unfit', message: 'invalid startup packet layout' } : { kind: 'session', version: code, params }
}

function readParams(bytes: Buffer): Map<string, string> | undefined {
  // Texts in pairs, each with a zero byte after it, and a zero byte after the last.
  const texts = bytes.toString('latin1').split('\0')
  if (texts.pop() !== '' || texts.pop() !== '' || texts.length % 2 === 1) return undefined
  const params = new Map<string, string>()
  for (let at = 0; at < texts.length; at += 2) {
    if (texts[at] === '') return undefined
    params.set(texts[at]!, texts[at + 1]!)
  }
  return params
}

/** A start-up packet with its length. */
export function startupPacket(version: number, params: ReadonlyMap<string, string>): Buffer {
  const pairs = [...params].flatMap(([name, value]) => [text(name, 'latin1'), text(value, 'latin1')])
  return packet(int32(version), ...pairs, Buffer.alloc(1))
}

/** A CancelRequest. */
export const cancelPacket = (pid: number, key: Buffer): Buffer => packet(int32(CANCEL_CODE), int32(pid), key)

function packet(...parts: Buffer[]): Buffer {
  const body = Buffer.concat(parts)
  return Buffer.concat([int32(body.length + 4), body])
}

/** What a start-up's parameter says, for people and for comparing. */
export const utf8 = (value: string): string => Buffer.from(value, 'latin1').toString('utf8')

/** The parameters with which a session signs on to the server: the client's own, and after its options the mark of a live session, which it cannot take off. */
export function markLive(params: ReadonlyMap<string, string>): Map<string, string> {
  const marked = new Map([...params].filter(([name]) => name.toLowerCase() !== 'hubspot.live'))
  return marked.set('options', [params.get('options'), '-c hubspot.live=on'].filter((part) => part !== undefined && part !== '').join(' '))
}

/** Whether a start-up asks for the replication protocol. */
export function isReplication(params: ReadonlyMap<string, string>): boolean {
  const value = params.get('replication')
  return value !== undefined && !/^(f|fa|fal|fals|false|n|no|of|off|0)$/i.test(value)
}
