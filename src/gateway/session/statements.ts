import type { Statement } from '../live.ts'
import { type Encoding, parseWith, query, readBind, readParse, readQuery, readTarget } from '../wire/messages.ts'
import type { Message } from '../wire/protocol.ts'

/** Texts of this many prepared statements are kept, the oldest go first: a session has dozens. */
const MOST = 2_000
/** And of no more than this in all; characters. */
const MOST_TEXT = 8 * 2 ** 20

/** The statements that a session has parsed, by name: a Bind names only which. */
export class Statements {
  readonly #texts = new Map<string, string>()
  #length = 0
  /** Where in the part under way a statement is parsed: what goes to the server, and the place in it. */
  #here = new Map<string, { out: Buffer[]; at: number }>()
  #out: Buffer[] | undefined

  /** What a message asks to be run, if anything; a Parse and a Close are noted. `out`: what goes to the server before it, of its part. */
  take({ kind, bytes }: Message, encoding: Encoding, out: Buffer[]): Statement | undefined {
    if (this.#out !== out) {
      this.#out = out
      this.#here = new Map()
    }
    if (kind === 'Q') return { text: readQuery(bytes, encoding), params: undefined }
    if (kind === 'P') {
      const { name, text } = readParse(bytes, encoding)
      this.#keep(name, text)
      this.#here.set(name, { out, at: out.length })
    }
    if (kind === 'C') {
      const { of, name } = readTarget(bytes, encoding)
      if (of === 'S') this.#forget(name)
    }
    if (kind !== 'B') return undefined
    const { statement, params, formats } = readBind(bytes, encoding)
    // One that SQL prepared, or that is too long ago.
    return { text: this.#texts.get(statement) ?? `execute "${statement.replaceAll('"', '""')}"`, params, formats }
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

  #keep(name: string, text: string): void {
    this.#forget(name)
    this.#texts.set(name, text)
    this.#length += text.length
    for (const oldest of this.#texts.keys()) {
      if (this.#texts.size <= MOST && this.#length <= MOST_TEXT) return
      this.#forget(oldest)
    }
  }

  #forget(name: string): void {
    this.#length -= this.#texts.get(name)?.length ?? 0
    this.#texts.delete(name)
  }
}

/** Whether a text is a COMMIT and nothing else. */
export function isCommit(text: string): boolean {
  return /^(?:\s|--[^\n]*(?:\n|$)|\/\*(?:[^*]|\*(?!\/))*\*\/)*(?:commit|end)(?:\s+(?:work|transaction))?(?:\s+and\s+(?:no\s+)?chain)?[\s;]*$/i.test(text)
}

/** A text for the log: its beginning, without the values in it. */
export function shown(text: string): string {
  return text.slice(0, 1_000).replaceAll(/'(?:[^']|'')*(?:'|$)|\$(\w*)\$.*?(?:\$\1\$|$)/gs, "'…'")
}
