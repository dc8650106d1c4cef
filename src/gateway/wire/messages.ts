import type { ServerError, ServerNotice } from '../live.ts'
import { Violation } from './protocol.ts'

/**
 * How a session's texts are read and written: as UTF-8; or byte for byte where the client speaks another encoding, of which only
 * this is sure, that no byte of ASCII stands for another character. Where not even that is so, in Shift JIS and others whose
 * characters are pairs of bytes, the second of a pair is read as one beyond 0xff, and written as it was.
 */
export type Encoding = 'utf8' | 'latin1' | 'sjis' | 'sjis2004' | 'pairs'

/** By PostgreSQL's names. GB18030 has characters of four bytes too: two pairs. */
const ENCODINGS: Readonly<Record<string, Encoding>> = {
  UTF8: 'utf8', SQL_ASCII: 'utf8', SJIS: 'sjis', SHIFT_JIS_2004: 'sjis2004', BIG5: 'pairs', GBK: 'pairs', UHC: 'pairs', JOHAB: 'pairs', GB18030: 'pairs',
}

/** Pairs that the server reads as what is one byte in ASCII. */
const ASCII_OF_2004: Readonly<Record<number, string>> = { 0x815f: '\\', 0x81b0: '~' }

/** How texts of a client encoding are read. */
export const encodingOf = (name: string): Encoding => ENCODINGS[name.toUpperCase()] ?? 'latin1'

function decoded(bytes: Buffer, encoding: Encoding): string {
  if (encoding === 'utf8' || encoding === 'latin1') return bytes.toString(encoding)
  const codes = Uint16Array.from(bytes)
  for (let at = 0; at + 1 < codes.length; at += 1) {
    const code = codes[at]!
    if (code < 0x80 || (encoding !== 'pairs' && code > 0xa0 && code < 0xe0)) continue
    at += 1
    const ascii = encoding === 'sjis2004' ? ASCII_OF_2004[code * 0x100 + codes[at]!] : undefined
    if (ascii !== undefined) codes.set([0, ascii.charCodeAt(0)], at - 1)
    else if (codes[at]! < 0x80) codes[at]! += 0x100
  }
  return Buffer.from(codes.buffer).toString('utf16le').replaceAll('\0', '')
}

// Of a character beyond 0xff, latin1 writes the lower byte.
const encoded = (value: string, encoding: Encoding) => Buffer.from(value, encoding === 'utf8' ? 'utf8' : 'latin1')

/** Reads what a message says, from after its header on. Throws a Violation where it ends too early. */
class Reader {
  readonly #bytes: Buffer
  #at = 5

  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  int16(): number {
    return this.#take(2).readInt16BE()
  }

  int32(): number {
    return this.#take(4).readInt32BE()
  }

  letter(): string {
    return this.#take(1).toString('latin1')
  }

  text(encoding: Encoding): string {
    const end = this.#bytes.indexOf(0, this.#at)
    if (end < 0) throw new Violation('invalid string in message')
    const text = decoded(this.#bytes.subarray(this.#at, end), encoding)
    this.#at = end + 1
    return text
  }

  /** A value with its length before it; null where that is -1. */
  value(): Buffer | null {
    const length = this.int32()
    return length === -1 ? null : this.#take(length)
  }

  list<T>(read: () => T): T[] {
    const count = this.int16() & 0xffff
    return Array.from({ length: count }, read)
  }

  #take(count: number): Buffer {
    if (count < 0 || this.#at + count > this.#bytes.length) throw new Violation('insufficient data left in message')
    this.#at += count
    return this.#bytes.subarray(this.#at - count, this.#at)
  }
}

/** The text of a Query. */
export const readQuery = (bytes: Buffer, encoding: Encoding): string => new Reader(bytes).text(encoding)

/** A Parse: which statement, its text, and the ids of its parameters' types, 0 where the client leaves one to the server. */
export function readParse(bytes: Buffer, encoding: Encoding): { name: string; text: string; types: number[] } {
  const reader = new Reader(bytes)
  return { name: reader.text(encoding), text: reader.text(encoding), types: reader.list(() => reader.int32() >>> 0) }
}

/** A Bind: of which statement, and its parameters, with one format each: 0 text, 1 binary. */
export function readBind(bytes: Buffer, encoding: Encoding): { statement: string; params: (Buffer | null)[]; formats: number[] } {
  const reader = new Reader(bytes)
  reader.text(encoding)
  const statement = reader.text(encoding)
  const given = reader.list(() => reader.int16())
  const params = reader.list(() => reader.value())
  // None: all are text. One: it is everyone's.
  const formats = params.map((_, at) => (given.length === 1 ? given[0]! : (given[at] ?? 0)))
  return { statement, params, formats }
}

/** A Describe or a Close: of a statement or of a portal, by name. */
export function readTarget(bytes: Buffer, encoding: Encoding): { of: string; name: string } {
  const reader = new Reader(bytes)
  return { of: reader.letter(), name: reader.text(encoding) }
}

/** The number with which an Authentication message begins: 0 for "you are in". */
export const readAuthentication = (bytes: Buffer): number => new Reader(bytes).int32()

/** The mechanisms of an AuthenticationSASL. */
export function readMechanisms(bytes: Buffer): string[] {
  const reader = new Reader(bytes)
  reader.int32()
  const names: string[] = []
  for (let name = reader.text('latin1'); name !== ''; name = reader.text('latin1')) names.push(name)
  return names
}

/** What a BackendKeyData says: the process, and the key, of whatever length. */
export function readKey(bytes: Buffer): { pid: number; key: Buffer } {
  return { pid: new Reader(bytes).int32(), key: Buffer.from(bytes.subarray(9)) }
}

/** Where a transaction stands, as ReadyForQuery says: I none, T under way, E failed. */
export const readStatus = (bytes: Buffer): string => new Reader(bytes).letter()

/** A ParameterStatus: name and value. */
export function readParameter(bytes: Buffer): [name: string, value: string] {
  const reader = new Reader(bytes)
  return [reader.text('utf8'), reader.text('utf8')]
}

/** The values of a DataRow that came as text. */
export function readRow(bytes: Buffer, encoding: Encoding): (string | null)[] {
  const reader = new Reader(bytes)
  return reader.list(() => {
    const value = reader.value()
    return value && decoded(value, encoding)
  })
}

/** What an ErrorResponse says. */
export function readError(bytes: Buffer, encoding: Encoding): ServerError & { severity: string } {
  const reader = new Reader(bytes)
  const fields: Record<string, string> = {}
  for (let kind = reader.letter(); kind !== '\0'; kind = reader.letter()) fields[kind] = reader.text(encoding)
  const { V, S = '', C = 'XX000', M = '', D, H } = fields
  return { severity: V ?? S, code: C, message: M, ...(D !== undefined && { detail: D }), ...(H !== undefined && { hint: H }) }
}

const NUL = Buffer.alloc(1)

/** A message of this kind. */
export function message(kind: string, ...parts: readonly Buffer[]): Buffer {
  const length = parts.reduce((sum, part) => sum + part.length, 4)
  return Buffer.concat([Buffer.from(kind, 'latin1'), int32(length), ...parts], 1 + length)
}

/** A text with the zero byte that ends it; none within. */
export const text = (value: string, encoding: Encoding = 'utf8'): Buffer => Buffer.concat([encoded(value.replaceAll('\0', ''), encoding), NUL])

function int16(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(2)
  bytes.writeInt16BE(value)
  return bytes
}

/** Four bytes, big end first. */
export function int32(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(4)
  bytes.writeInt32BE(value)
  return bytes
}

export const SYNC = message('S')
export const FLUSH = message('H')
export const TERMINATE = message('X')

/** A Query. */
export const query = (sql: string, encoding: Encoding = 'utf8'): Buffer => message('Q', text(sql, encoding))

/** A Parse with these bytes after the statement's text: the types of its parameters. */
export const parse = (name: string, sql: string, encoding: Encoding = 'utf8', types: Buffer = int16(0)): Buffer =>
  message('P', text(name, encoding), text(sql, encoding), types)

/** The same Parse with another statement's text. */
export function parseWith(bytes: Buffer, sql: string, encoding: Encoding): Buffer {
  const { name } = readParse(bytes, encoding)
  const end = bytes.indexOf(0, bytes.indexOf(0, 5) + 1) + 1
  return parse(name, sql, encoding, bytes.subarray(end))
}

/** A Bind of text parameters, with results as text. */
export function bind(portal: string, statement: string, params: readonly (string | null)[], encoding: Encoding = 'utf8'): Buffer {
  const values = params.flatMap((param) => {
    if (param === null) return [int32(-1)]
    const bytes = encoded(param, encoding)
    return [int32(bytes.length), bytes]
  })
  return message('B', text(portal), text(statement), int16(0), int16(params.length), ...values, int16(0))
}

/** An Execute to the end. */
export const execute = (portal: string): Buffer => message('E', text(portal), int32(0))

/** A Close of a statement or of a portal. */
export const close = (of: 'S' | 'P', name: string): Buffer => message('C', Buffer.from(of), text(name))

/** An AuthenticationSASL with these mechanisms. */
export const authenticationSasl = (mechanisms: readonly string[]): Buffer =>
  message('R', int32(10), ...mechanisms.map((name) => text(name)), NUL)

/** An ErrorResponse. FATAL: the session is over. */
export const errorResponse = (severity: 'ERROR' | 'FATAL', error: ServerError, encoding: Encoding = 'utf8'): Buffer =>
  message('E', fields(severity, error, encoding))

/** A NoticeResponse. */
export const noticeResponse = ({ severity, ...notice }: ServerNotice, encoding: Encoding = 'utf8'): Buffer =>
  message('N', fields(severity, notice, encoding))

function fields(severity: string, { code, message: primary, detail, hint }: ServerError, encoding: Encoding): Buffer {
  const all = { S: severity, V: severity, C: code, M: primary, D: detail, H: hint }
  const said = Object.entries(all).filter((entry): entry is [string, string] => entry[1] !== undefined && entry[1] !== '')
  // Of another encoding no more is known than that it holds ASCII.
  const plain = (value: string) => (encoding === 'utf8' ? value : value.replaceAll(/[^\x20-\x7e\n\t]/g, '?'))
  return Buffer.concat([...said.flatMap(([kind, value]) => [Buffer.from(kind), text(plain(value))]), NUL])
}
