/** Compares as bytes do: what `localeCompare` says differs from machine to machine. */
export const byCode = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)

/** A string literal, whatever is in it; what cannot be seen, or turns the direction of what follows, is written out. */
export const literal = (text: string): string =>
  JSON.stringify(text).replaceAll(/[\p{Cf}\u2028\u2029]/gu, (hidden) => hidden.split('').map(escaped).join(''))

const escaped = (unit: string) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`

/** A property's name as TypeScript takes it in a type. */
export function typeKey(name: string): string {
  return /^[A-Za-z_$][\w$]*$/.test(name) ? name : literal(name)
}

/** A property's name as it stands in an object. `__proto__` would be no property there. */
export function objectKey(name: string): string {
  return name === '__proto__' ? `["__proto__"]` : typeKey(name)
}

/** What the file itself uses: a table of that name would hide it. */
const TAKEN = ['DB', 'Date', 'Record', 'PostgresInterval']

/** The interface of each table: deals_contacts → DealsContacts; names that come to the same get a number, in the order given. */
export function interfaceNames(tables: readonly string[]): Map<string, string> {
  const taken = new Set(TAKEN)
  return new Map(
    tables.map((table) => {
      const words = table.split(/[^\p{ID_Continue}]|_/u).filter((word) => word !== '')
      const joined = words.map((word) => word.slice(0, 1).toUpperCase() + word.slice(1)).join('')
      const plain = /^\p{ID_Start}/u.test(joined) ? joined : `Table${joined}`
      let name = plain
      for (let number = 2; taken.has(name); number += 1) name = `${plain}${number}`
      taken.add(name)
      return [table, name]
    }),
  )
}

/** The zod schema of an interface: DealsContacts → dealsContactsSchema. */
export const schemaName = (name: string): string => `${name.slice(0, 1).toLowerCase()}${name.slice(1)}Schema`

/**
 * A comment of these lines, each of which may be any text that someone typed into HubSpot: it ends where it should, makes no
 * tag, and shows no other order of its letters than it has. Empty for no text.
 */
export function comment(lines: readonly string[], indent = ''): string {
  const safe = lines.flatMap((line) => line.split(/\r\n|[\n\r\u2028\u2029]/)).map(safeLine)
  while (safe[0] === '') safe.shift()
  while (safe.at(-1) === '') safe.pop()
  if (safe.length === 0) return ''
  if (safe.length === 1) return `${indent}/** ${safe[0]} */\n`
  return `${indent}/**\n${safe.map((line) => `${indent} *${line === '' ? '' : ` ${line}`}\n`).join('')}${indent} */\n`
}

const safeLine = (line: string): string =>
  line
    // Control characters, and those that turn the direction of what follows.
    .replaceAll(/[\p{Cc}\u200E\u200F\u202A-\u202E\u2066-\u2069]/gu, ' ')
    .replaceAll('*/', String.raw`*\/`)
    .replace(/^(\s*)@/, String.raw`$1\@`)
    .trim()
