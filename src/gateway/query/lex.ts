/** A part of a text: a bare word, a name in quotes, a literal, a comment, or any other character but blanks. */
export type Part = 'word' | 'name' | 'literal' | 'comment' | 'mark'

/** Takes each part with where it begins and ends; false: that is enough. */
type Take = (part: Part, start: number, end: number) => unknown

const TAB = 9
const NEWLINE = 10
const RETURN = 13
const BLANK = 32
const NAME = 34
const DOLLAR = 36
const QUOTE = 39
const BACKSLASH = 92

/** Space, tab, newline, vertical tab, form feed, carriage return: what Postgres passes over. */
export const isBlank = (code: number): boolean => code === BLANK || (code >= TAB && code <= RETURN)
const isDigit = (code: number) => code >= 48 && code <= 57
const isLetter = (code: number) => (code >= 97 && code <= 122) || (code >= 65 && code <= 90) || code === 95 || code >= 0x80
const isOfWord = (code: number) => isLetter(code) || isDigit(code) || code === DOLLAR
const isNewline = (code: number) => code === NEWLINE || code === RETURN

/**
 * A text as Postgres' own lexer cuts it, in one pass: whoever sends it waits for others' as well. `escapes`: a backslash takes
 * what follows it along in any literal, as with standard_conforming_strings off.
 */
export function lex(text: string, escapes: boolean, take: Take): void {
  for (let at = 0; at < text.length; ) {
    const code = text.charCodeAt(at)
    const start = at
    let part: Part = 'mark'
    at += 1
    if (isBlank(code)) continue
    if (isLetter(code)) {
      part = 'word'
      at = wordEnd(text, at)
    } else if (code === QUOTE) {
      part = 'literal'
      at = literalEnd(text, at, isEscaping(text, start, escapes))
    } else if (code === NAME) {
      part = 'name'
      at = nameEnd(text, at)
    } else if (text.startsWith('--', start)) {
      part = 'comment'
      at = lineEnd(text, at)
    } else if (text.startsWith('/*', start)) {
      part = 'comment'
      at = commentEnd(text, start)
    } else if (code === DOLLAR) {
      const opening = dollarOf(text, start)
      if (opening !== undefined) {
        part = 'literal'
        at = after(text, opening, start + opening.length)
      }
    }
    if (take(part, start, at) === false) return
  }
}

/** A bare word, a name in quotes as it is written, as the name that it is. */
export function nameIn(text: string, part: 'word' | 'name'): string {
  return part === 'name' ? text.slice(1, -1).replaceAll('""', '"') : text.replaceAll(/[A-Z]+/g, (letters) => letters.toLowerCase())
}

function wordEnd(text: string, from: number): number {
  let at = from
  while (at < text.length && isOfWord(text.charCodeAt(at))) at += 1
  return at
}

function lineEnd(text: string, from: number): number {
  let at = from
  while (at < text.length && !isNewline(text.charCodeAt(at))) at += 1
  return at
}

function nameEnd(text: string, from: number): number {
  let at = after(text, '"', from)
  while (text.charCodeAt(at) === NAME) at = after(text, '"', at + 1)
  return at
}

function after(text: string, closing: string, from: number): number {
  const at = text.indexOf(closing, from)
  return at < 0 ? text.length : at + closing.length
}

function commentEnd(text: string, start: number): number {
  let depth = 0
  for (let at = start; at < text.length; ) {
    if (text.startsWith('/*', at)) depth += 1
    else if (text.startsWith('*/', at)) depth -= 1
    else {
      at += 1
      continue
    }
    at += 2
    if (depth === 0) return at
  }
  return text.length
}

/** `$$` or `$tag$` as it begins here. */
function dollarOf(text: string, start: number): string | undefined {
  let at = start + 1
  if (isDigit(text.charCodeAt(at))) return undefined
  while (at < text.length && text.charCodeAt(at) !== DOLLAR && isOfWord(text.charCodeAt(at))) at += 1
  return text.charCodeAt(at) === DOLLAR ? text.slice(start, at + 1) : undefined
}

/** Whether in the literal that begins here a backslash takes what follows it along: E'…', and where it always does, any but B'…' and X'…'. */
function isEscaping(text: string, quote: number, escapes: boolean): boolean {
  const isAlone = quote < 2 || !isOfWord(text.charCodeAt(quote - 2))
  const before = quote > 0 && isAlone ? text[quote - 1]!.toLowerCase() : ''
  return before === 'e' || (escapes && before !== 'b' && before !== 'x')
}

function literalEnd(text: string, from: number, escapes: boolean): number {
  for (let at = from; at < text.length; at += 1) {
    const code = text.charCodeAt(at)
    if (escapes && code === BACKSLASH) at += 1
    else if (code === QUOTE) {
      const end = text.charCodeAt(at + 1) === QUOTE ? at + 2 : continued(text, at + 1)
      if (end === undefined) return at + 1
      at = end - 1
    }
  }
  return text.length
}

/** Where a literal goes on, after its closing quote: what of it is on another line is of the same kind. */
function continued(text: string, from: number): number | undefined {
  let hasNewline = false
  for (let at = from; at < text.length; ) {
    const code = text.charCodeAt(at)
    if (isNewline(code)) hasNewline = true
    if (isBlank(code)) at += 1
    else if (text.startsWith('--', at)) at = lineEnd(text, at)
    else return hasNewline && code === QUOTE ? at + 1 : undefined
  }
  return undefined
}
