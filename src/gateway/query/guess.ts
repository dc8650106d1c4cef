import { TOO_COMPLEX, UNREADABLE } from '../notices.ts'
import type { Act, Relation } from '../query.ts'
import { lex, nameIn } from './lex.ts'
import { isReading } from './measure.ts'

/** What names more relations than this is not looked into; nor is one with more words guessed at. */
export const MOST_NAMES = 1_000
const MOST_WORDS = 20_000

/**
 * What a single statement may do that the parser does not read, but the server perhaps does: it reads whatever it names, any row of
 * it. Throws UNREADABLE where that cannot be told from the text.
 */
export function guessed(text: string, escapes: boolean): Act {
  const relations = new Map<string, Relation>()
  const name = (relation: Relation) => {
    relations.set(`${relation.schema ?? ''}\0${relation.name}`, relation)
    words += 1
    if (relations.size > MOST_NAMES || words > MOST_WORDS) throw TOO_COMPLEX
  }
  let words = 0
  let mayRead = false
  let isOpaque = false
  let isOver = false
  /** The name before, and whether a point came after it. */
  let schema: string | undefined
  let isPoint = false
  lex(text, escapes, (part, start, end) => {
    if (part === 'comment') return
    if (isOver) isOpaque = true
    const said = part === 'mark' ? text[start] : ''
    if (part === 'word' || part === 'name') {
      const one = nameIn(text.slice(start, end), part)
      mayRead ||= part === 'word' && isReading(one)
      // The one is written in numbers, what the other reads is known by its name alone.
      isOpaque ||= (part === 'name' && /u&$/i.test(text.slice(Math.max(start - 2, 0), start))) || (part === 'word' && one === 'execute')
      name({ schema: undefined, name: one })
      if (isPoint) name({ schema, name: one })
      schema = one
    } else if (said !== '.') schema = undefined
    isPoint = said === '.' && schema !== undefined
    isOver ||= said === ';'
  })
  if (mayRead && isOpaque) throw UNREADABLE
  return { touches: mayRead ? [...relations.values()].map((relation) => ({ relation, keys: new Map(), isWhole: true as const })) : [], targets: [], unsettles: true }
}
