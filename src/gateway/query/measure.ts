/** Longer than this, outside of literals and comments, no statement is looked into; characters. Parsing takes some 2 µs for each. */
const LONGEST = 100_000
/** Literals are kept up to so many characters in all; of one beyond them no id is known. Thousands of ids fit. */
const MOST_LITERAL = 500_000

/** Without one of these words, outside of literals and names in quotes, no text reads a relation. */
const READING = /^(?:from|table|using|copy|execute|refresh)$/i

/** A word, or what begins something that is no SQL up to its end. */
const TOKEN = /--|\/\*|[A-Za-z_\u0080-\uffff][\w$\u0080-\uffff]*|['"]|\$(?:[A-Za-z_\u0080-\uffff][\w\u0080-\uffff]*)?\$/g

/**
 * A text with what is long in it left out, as the parser is to read it, as Postgres' own lexer cuts it. `short` is undefined
 * where it is too long even so; then `mayRead` says whether it may read a relation.
 */
export function measure(text: string): { short: string | undefined; mayRead: boolean } {
  if (text.length <= LONGEST) return { short: text, mayRead: true }
  const parts: string[] = []
  let outside = 0
  let literal = 0
  let mayRead = false
  let at = 0
  const keep = (to: number) => {
    outside += to - at
    if (outside <= LONGEST) parts.push(text.slice(at, to))
    at = to
  }
  TOKEN.lastIndex = 0
  for (let token = TOKEN.exec(text); token !== null; token = TOKEN.exec(text)) {
    const [word] = token
    const start = token.index
    if (/^\w|^[\u0080-\uffff]/.test(word)) {
      mayRead ||= READING.test(word)
      continue
    }
    const end = endOf(text, word, start)
    TOKEN.lastIndex = end
    if (word === '"') continue
    keep(start)
    if (word === '--' || word === '/*') parts.push(' ')
    else {
      literal += end - start
      parts.push(literal <= MOST_LITERAL ? text.slice(start, end) : "'…'")
    }
    at = end
  }
  keep(text.length)
  return { short: outside <= LONGEST ? parts.join('') : undefined, mayRead }
}

/** Where what begins at `start` ends. */
function endOf(text: string, opening: string, start: number): number {
  const from = start + opening.length
  if (opening === '--') return (next(/[\n\r]/g, text, from)?.index ?? text.length)
  if (opening === '/*') return commentEnd(text, from)
  // A quote that is doubled ends one literal and begins another, which comes to the same.
  if (opening === "'" && isEscaping(text, start)) return escapedEnd(text, from)
  const end = text.indexOf(opening, from)
  return end < 0 ? text.length : end + opening.length
}

function next(what: RegExp, text: string, from: number): RegExpExecArray | null {
  what.lastIndex = from
  return what.exec(text)
}

/** E'…': a backslash takes what follows it along. */
function isEscaping(text: string, quote: number): boolean {
  return /^[eE]$/.test(text[quote - 1] ?? '') && !/[\w$\u0080-\uffff]/.test(text[quote - 2] ?? '')
}

/** What of a literal is on another line is of the same kind. */
const CONTINUED = /(?:[ \t\f\v]|--[^\n\r]*)*[\n\r](?:[ \t\n\r\f\v]|--[^\n\r]*[\n\r])*'/y

function escapedEnd(text: string, from: number): number {
  for (let at = from; at < text.length; at += 1) {
    if (text[at] === '\\') at += 1
    else if (text[at] === "'") {
      const end = text[at + 1] === "'" ? at + 2 : next(CONTINUED, text, at + 1) && CONTINUED.lastIndex
      if (end === null) return at + 1
      at = end - 1
    }
  }
  return text.length
}

function commentEnd(text: string, from: number): number {
  let depth = 1
  const bound = /\/\*|\*\//g
  for (let found = next(bound, text, from); found !== null; found = bound.exec(text)) {
    depth += found[0] === '/*' ? 1 : -1
    if (depth === 0) return bound.lastIndex
  }
  return text.length
}
