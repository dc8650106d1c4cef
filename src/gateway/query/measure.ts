import { lex } from './lex.ts'

/** Longer than this, outside of literals and comments, no statement is looked into; characters. Parsing takes some 2 µs for each. */
const LONGEST = 100_000
/** Literals are kept up to so many characters in all; of one beyond them no id is known. Thousands of ids fit. */
const MOST_LITERAL = 500_000

/** Without one of these words, outside of literals and names in quotes, no text reads a relation. */
const READING = new Set(['from', 'table', 'using', 'copy', 'execute', 'refresh'])

/** Whether a text that has this word may read a relation. */
export const isReading = (word: string): boolean => word.length <= 7 && READING.has(word.toLowerCase())

/**
 * A text with what is long in it left out, as the parser is to read it. `short` is undefined where it is too long even so; then
 * `mayRead` says whether it may read a relation.
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
    if (outside <= LONGEST && to > at) parts.push(text.slice(at, to))
    at = to
  }
  lex(text, false, (part, start, end) => {
    if (part === 'word') mayRead ||= end - start <= 7 && isReading(text.slice(start, end))
    if (part === 'literal' || part === 'comment') {
      keep(start)
      at = end
      if (part === 'literal') literal += end - start
      if (outside <= LONGEST) parts.push(part === 'comment' ? ' ' : literal <= MOST_LITERAL ? text.slice(start, end) : "'…'")
    }
    return !mayRead || outside + end - at <= LONGEST
  })
  keep(text.length)
  return { short: outside <= LONGEST ? parts.join('') : undefined, mayRead }
}
