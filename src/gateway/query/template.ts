import type { Act } from '../query.ts'

/** An id as postgres_fdw writes one into a condition. */
const ID = /(?<== )\d{1,18}(?=::bigint\)|\))/g
/** One query, and no more than that. */
const QUERY = /^\s*(?:select|declare)\b[^;]*$/i
/** With one of these, what looks like a condition may be within a literal, a name or a comment, or parameters are there already. */
const OPAQUE = /['"$]|--|\/\*/
/** What differs in nothing but its ids is not long; characters. */
const LONGEST = 10_000

/** A text with parameters in the place of the ids that its conditions name; without ids, the text as it is. */
export function templateOf(text: string): { template: string; ids: readonly string[] } {
  if (text.length > LONGEST || OPAQUE.test(text) || !QUERY.test(text)) return { template: text, ids: [] }
  const ids: string[] = []
  const template = text.replaceAll(ID, (id) => `$${ids.push(id)}`)
  return { template, ids }
}

/** What the query of a template does with these ids. */
export function filled(act: Act, ids: readonly string[]): Act {
  const touches = act.touches.map((touch) => ({
    ...touch,
    keys: new Map([...touch.keys].map(([column, lists]) => [
      column, lists.map((terms) => terms.map((term) => ('text' in term ? term : { text: ids[term.param - 1] ?? null }))),
    ] as const)),
  }))
  return { ...act, touches }
}
