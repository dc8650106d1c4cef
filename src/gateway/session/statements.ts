import type { Statement } from '../live.ts'
import { lex } from '../query/lex.ts'
import { type Encoding, parseWith, query, readBind, readParse, readQuery, readTarget } from '../wire/messages.ts'
import type { Message } from '../wire/protocol.ts'

/** Texts of this many prepared statements are kept, the oldest go first: a session has dozens. */
const MOST = 2_000
/** And of no more than this in all; characters. */
const MOST_TEXT = 8 * 2 ** 20

/** A COMMIT or DEALLOCATE with all that may be said around it is no longer; characters. */
const LONGEST_PLAIN = 10_000
const DEALLOCATE = /^\s*deallocate\s+(?:prepare\s+)?(?:"((?:[^"]|"")+)"|(\w+))[\s;]*$/i

/** What is kept of a statement. */
type Kept = Pick<Statement, 'text' | 'types' | 'escapes'>

/** What a Parse or a Close does to a name once the server says that it is done: gives it a text, or takes that away. Of a portal, nothing. */
type Change = { name: string; statement: Kept | undefined } | undefined

/** The statements that a session has parsed, by name: a Bind names only which. */
export class Statements {
  readonly #texts = new Map<string, Kept>()
  #length = 0
  /** Of the statement without a name, which the server does not tell of. */
  #unnamed: Kept | undefined
  /** What the server has not done yet, and may pass over after an error; in order. */
  #coming: Change[] = []
  /** How much of that it has done. */
  #done = 0
  /** Those that give a name a text. */
  readonly #given = new Map<string, NonNullable<Change>[]>()
  /** What names mean once it has, as what is sent after it finds them. */
  #next = new Map<string, Kept | undefined>()
  /** Where in the part under way a statement is parsed: what goes to the server, and the place in it. */
  #here = new Map<string, { out: Buffer[]; at: number }>()
  /** And what is run in that part. */
  #part: string[] = []
  #out: Buffer[] | undefined

  /** What a message asks to be run, if anything; a Parse and a Close are noted. `out`: what goes to the server before it, of its part. */
  take({ kind, bytes }: Message, { encoding, escapes }: { encoding: Encoding; escapes: boolean }, out: Buffer[]): Statement | undefined {
    if (this.#out !== out) {
      this.#out = out
      this.#here = new Map()
      this.#part = []
    }
    if (kind === 'Q') {
      const text = readQuery(bytes, encoding)
      return this.#run({ text, params: undefined, escapes })
    }
    if (kind === 'P') {
      const { name, text, types } = readParse(bytes, encoding)
      this.#change({ name, statement: { text, escapes, ...(types.some((type) => type > 0) && { types }) } })
      this.#here.set(name, { out, at: out.length })
    }
    if (kind === 'C') {
      const { of, name } = readTarget(bytes, encoding)
      this.#change(of === 'S' ? { name, statement: undefined } : undefined)
    }
    if (kind !== 'B') return undefined
    const { statement: name, params, formats } = readBind(bytes, encoding)
    const isKept = !this.#next.has(name)
    const known = isKept ? this.#keptOf(name) : this.#next.get(name)
    // One that SQL prepared, or that is too long ago.
    const statement = known ?? { text: `execute "${name.replaceAll('"', '""')}"` }
    return this.#run({ ...statement, params, formats, ...(isKept && { isKept }) })
  }

  /** The server says that a Parse or a Close is done, the next of what came; false: none came. */
  done(): boolean {
    if (this.#done === this.#coming.length) return false
    const change = this.#coming[this.#done]
    this.#done += 1
    if (change?.statement !== undefined) this.#keep(change.name, change.statement)
    else if (change !== undefined) this.#forget(change.name)
    return true
  }

  /** The server waits: what it has not done by now, it passed over. */
  settle(): void {
    this.#coming = []
    this.#done = 0
    this.#given.clear()
    this.#next.clear()
    // What is known of a part goes with it.
    this.#part = []
    this.#out = undefined
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
    this.#part.push(text)
    this.#deallocate(text)
    return { ...statement, part: this.#part, parsed: this.#here }
  }

  /** What SQL lets go of may be another's name by the next Bind: the server is asked again. */
  #deallocate(text: string): void {
    const [, quoted, bare] = text.length < LONGEST_PLAIN ? (DEALLOCATE.exec(text) ?? []) : []
    const name = quoted?.replaceAll('""', '"') ?? bare?.toLowerCase()
    if (name !== undefined && name !== 'all') this.#letGo(name)
    else if (/\b(?:deallocate|discard)\b/i.test(text)) for (const one of [...this.#texts.keys(), ...this.#given.keys()]) this.#letGo(one)
  }

  #letGo(name: string): void {
    if (name === '') return
    this.#forget(name)
    for (const change of this.#given.get(name) ?? []) change.statement = undefined
    if (this.#given.delete(name)) this.#next.set(name, undefined)
  }

  #change(change: Change): void {
    this.#coming.push(change)
    if (change === undefined) return
    const { name, statement } = change
    this.#next.set(name, statement)
    if (statement === undefined) return
    const given = this.#given.get(name)
    if (given === undefined) this.#given.set(name, [change])
    else given.push(change)
  }

  #keptOf(name: string): Kept | undefined {
    return name === '' ? this.#unnamed : this.#texts.get(name)
  }

  #keep(name: string, statement: Kept): void {
    this.#forget(name)
    if (name === '') {
      this.#unnamed = statement
      return
    }
    this.#texts.set(name, statement)
    this.#length += sizeOf(statement)
    for (const oldest of this.#texts.keys()) {
      if (this.#texts.size <= MOST && this.#length <= MOST_TEXT) return
      this.#forget(oldest)
    }
  }

  #forget(name: string): void {
    if (name === '') this.#unnamed = undefined
    const known = this.#texts.get(name)
    if (known !== undefined) this.#length -= sizeOf(known)
    this.#texts.delete(name)
  }
}

/** Whether a message only has statements read, named and described: it runs nothing. */
export function isParsing({ kind, bytes }: Message): boolean {
  return 'PH'.includes(kind) || ('DC'.includes(kind) && bytes[5] === 'S'.charCodeAt(0))
}

const sizeOf = ({ text, types = [] }: Kept) => text.length + 8 * types.length

/** Whether a statement is surely one, and nothing else was sent before it. */
export const isSingle = ({ text, part = [] }: Statement): boolean => part.length < 2 && !/;\s*\S/.test(text)

/** Whether a text is a COMMIT and nothing else. */
export function isCommit(text: string): boolean {
  return text.length < LONGEST_PLAIN && /^(?:\s|--[^\n\r]*(?:[\n\r]|$)|\/\*(?:[^*]|\*(?!\/))*\*\/)*(?:commit|end)(?:\s+(?:work|transaction))?(?:\s+and\s+(?:no\s+)?chain)?[\s;]*$/i.test(text)
}

/** A text for the log: its beginning, without the values and comments in it. `escapes`: as {@link lex} has it. */
export function shown(text: string, escapes = false): string {
  const beginning = text.slice(0, 1_000)
  let said = ''
  let at = 0
  lex(beginning, escapes, (part, start, end) => {
    if (part !== 'literal' && part !== 'comment') return
    said += beginning.slice(at, start) + (part === 'literal' ? "'…'" : '/*…*/')
    at = end
  })
  return said + beginning.slice(at)
}
