/**
 * A text that came from elsewhere, as one line that a terminal only shows: breaks and tabs as spaces; control characters, and
 * those that turn the direction of what follows, as `\u001b`.
 */
export function printable(text: string): string {
  return text
    .replaceAll(/\r\n|[\t\n\v\f\r\u0085\u2028\u2029]/g, ' ')
    .replaceAll(/[\p{Cc}\p{Bidi_Control}]/gu, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`)
}

/** The same of a text of several lines. */
export function printableLines(text: string): string {
  return text.split(/\r?\n/).map(printable).join('\n')
}

/** The same of every text in a value. */
export function printableAll<Value>(value: Value): Value {
  if (typeof value === 'string') return printable(value) as Value
  if (typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) return value.map((item: unknown) => printableAll(item)) as Value
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, printableAll(item)])) as Value
}
