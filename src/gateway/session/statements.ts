import type { Statement } from '../live.ts'
import { type Encoding, parseWith, query, readBind, readParse, readQuery, readTarget } from '../wire/messages.ts'
import type { Message } from '../wire/protocol.ts'

/** Texts of this many prepared statements are kept, the oldest go first: a session has dozens. */
const MOST = 2_000
/** And of no more than this in all; characters. */
const MOST_TEXT = 8 * 2 ** 20

/** A COMMIT or DEALLOCATE with all that may be said around it is no longer; characters. */
const LONGEST_PLAIN = 10_000
const DEALLOCATE = /^\s*deallocate\s+(?:prepare\s+)?(?:"((?:[^"]|"")+)"|(\w+))[\s;]*$/i

/** The statements that a session has parsed, by name: a Bind names only which. */
export class Statements {
  readonly #texts = new Map<string, Pick<Statement, 'text' | 'types' | 'escapes'>>()
  #length = 0
  /** Where in the part under way a statement is parsed: what goes to the server, and the place in it. */
  #here = new Map<string, { out: Buffer[]; at: number }>()
  /** And what is run in that part. Of a text that is sent twice, the last time counts. */
  #ahead = new Set<string>()
  #out: Buffer[] | undefined

  /** What a message asks to be run, if anything; a Parse and a Close are noted. `out`: what goes to the server before it, of its part. */
  take({ kind, bytes }: Message, { encoding, escapes }: { encoding: Encoding; escapes: boolean }, out: Buffer[]): Statement | undefined {
    if (this.#out !== out) {
      this.#out = out
      this.#here = new Map()
      this.#ahead = new Set()
    }
    if (kind === 'Q') {
      const text = readQuery(bytes, encoding)
      return this.#run({ text, params: undefined, escapes })
    }
    if (kind === 'P') {
      const { name, text, types } = readParse(bytes, encoding)
      this.#keep(name, { text, escapes, ...(types.some((type) => type > 0) && { types }) })
      this.#here.set(name, { out, at: out.length })
    }
    if (kind === 'C') {
      const { of, name } = readTarget(bytes, encoding)
      if (of === 'S') this.#forget(name)
    }
    if (kind !== 'B') return undefined
    const { statement, params, formats } = readBind(bytes, encoding)
    // One that SQL prepared, or that is too long ago.
    const known = this.#texts.get(statement) ?? { text: `execute "${statement.replaceAll('"', '""')}"` }
    return this.#run({ ...known, params, formats })
  }

  /** Puts another text in the place of the statement's that this message, the last of `out`, runs, if it is parsed in this part. */
  rewrite({ kind, bytes }: Message, text: string, encoding: Encoding, out: Buffer[]): void {
    if (kind === 'Q') {
      out[out.length - 1] = query(text, encoding)
      return
    }
    const parsed = this.#here.get(readBind(bytes, encoding).statement)
    if (parsed !== undefined) out[parsed.at] = parseWith(out[parsed.at]!, text, encoding)
  }

  #run(statement: Statement): Statement {
    const { text } = statement
    const ahead = [...this.#ahead]
    this.#ahead.delete(text)
    this.#ahead.add(text)
    this.#deallocate(text)
    return ahead.length === 0 ? statement : { ...statement, ahead }
  }

  /** What SQL lets go of may be another's name by the next Bind: the server is asked again. */
  #deallocate(text: string): void {
    const [, quoted, bare] = text.length < LONGEST_PLAIN ? (DEALLOCATE.exec(text) ?? []) : []
    const name = quoted?.replaceAll('""', '"') ?? bare?.toLowerCase()
    if (name !== undefined && name !== 'all') this.#forget(name)
    else if (/\b(?:deallocate|discard)\b/i.test(text)) for (const known of this.#texts.keys()) this.#forget(known)
  }

  #keep(name: string, statement: Pick<Statement, 'text' | 'types' | 'escapes'>): void {
    this.#forget(name)
    this.#texts.set(name, statement)
    this.#length += sizeOf(statement)
    for (const oldest of this.#texts.keys()) {
      if (this.#texts.size <= MOST && this.#length <= MOST_TEXT) return
      this.#forget(oldest)
    }
  }

  #forget(name: string): void {
    const known = this.#texts.get(name)
    if (known !== undefined) this.#length -= sizeOf(known)
    this.#texts.delete(name)
  }
}

const sizeOf = ({ text, types = [] }: Pick<Statement, 'text' | 'types'>) => text.length + 8 * types.length

/** Whether a statement is surely one, and nothing else was sent before it. */
export const isSingle = ({ text, ahead }: Statement): boolean => ahead === undefined && !/;\s*\S/.test(text)

/** Whether a text is a COMMIT and nothing else. */
export function isCommit(text: string): boolean {
  return text.length < LONGEST_PLAIN && /^(?:\s|--[^\n]*(?:\n|$)|\/\*(?:[^*]|\*(?!\/))*\*\/)*(?:commit|end)(?:\s+(?:work|transaction))?(?:\s+and\s+(?:no\s+)?chain)?[\s;]*$/i.test(text)
}

/** A text for the log: its beginning, without the values in it. */
export function shown(text: string): string {
  return text.slice(0, 1_000).replaceAll(/'(?:[^']|'')*(?:'|$)|\$(\w*)\$.*?(?:\$\1\$|$)/gs, "'…'")
}
