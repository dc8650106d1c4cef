import { isUtf8 } from 'node:buffer'
import { z } from 'zod'
import { unreadable } from './answer.ts'

// `paging.next.link` repeats the request's whole URL, of up to 16 KB, after `after`.
const TAIL_BYTES = 24 * 1024

/**
 * The `paging.next.after` of a page, found without parsing the page, so that the next one can be
 * asked for while Postgres takes this one apart. Undefined on the last page, and wherever `paging`
 * does not end the body as HubSpot writes it.
 *
 * It is a hint, and the caller goes by what SQL says once it has parsed: undefined may mean "not
 * found", and a body that is no JSON proves nothing. In one that is, a hit is right: a string cannot
 * hold an unescaped `"paging":`, and what stands from that key on is a whole object, given one
 * brace in front, only where the key belongs to the outermost object.
 */
export function afterOf(body: Buffer): string | undefined {
  const tail = body.subarray(Math.max(body.length - TAIL_BYTES, 0))
  let at = tail.lastIndexOf('"paging"')
  // the last one is the right one but for bodies that nobody sends; these may not cost much
  for (let tries = 0; at >= 0 && tries < 4; tries += 1) {
    const after = isKey(tail, at) ? nextAfter(`{${tail.toString('utf8', at)}`) : undefined
    if (after !== undefined) return after.value
    at = at === 0 ? -1 : tail.lastIndexOf('"paging"', at - 1)
  }
  return undefined
}

// A key follows a brace, a comma or white space; a quote inside a string follows a backslash.
function isKey(tail: Buffer, at: number): boolean {
  return at > 0 && '{, \t\r\n'.includes(String.fromCharCode(tail[at - 1]!))
}

const Paging = z.looseObject({
  paging: z.looseObject({ next: z.looseObject({ after: z.union([z.string(), z.int()]).nullish() }).nullish() }).nullish(),
})

function nextAfter(text: string): { value: string | undefined } | undefined {
  try {
    const after = Paging.parse(JSON.parse(text)).paging?.next?.after
    return { value: after === undefined || after === null || after === '' ? undefined : String(after) }
  } catch {
    return undefined
  }
}

/**
 * A body that Postgres refused, made acceptable: NULs removed, lone surrogates and bytes that are no
 * UTF-8 made U+FFFD, numbers beyond Postgres' range made text; every other number keeps its digits.
 * `repaired` names the records changed by it (where bytes were no UTF-8, also those that held a
 * U+FFFD before). Undefined where the body is no JSON: then ask again.
 */
export function repairBody(body: Buffer): { body: Buffer; repaired: string[] } | undefined {
  const repair = repairer({ damaged: !isUtf8(body) })
  const repaired = new Set<string>()
  try {
    const whole: unknown = JSON.parse(new TextDecoder().decode(body), exactNumbers)
    if (isObject(whole) && Array.isArray(whole['results'])) {
      whole['results'] = whole['results'].map((record: unknown) => {
        const before = repair.count()
        const clean = repair.value(record)
        const id = repair.count() > before ? idOf(clean) : undefined
        if (id !== undefined) repaired.add(id)
        return clean
      })
    }
    return { body: Buffer.from(JSON.stringify(repair.value(whole))), repaired: [...repaired] }
  } catch (error) {
    // RangeError: nested deeper than the stack, which no body of HubSpot's comes near
    if (error instanceof SyntaxError || error instanceof RangeError) return undefined
    throw error
  }
}

// Node has these; TypeScript's library for ES2024 does not know them yet.
const { rawJSON, isRawJSON } = JSON as unknown as {
  rawJSON(text: string): RawNumber
  isRawJSON(value: unknown): value is RawNumber
}
type RawNumber = { readonly rawJSON: string }

// A double would change 12345678901234567890 and 1.10; a raw number is written as it was read.
const exactNumbers = ((_key: string, value: unknown, { source }: { source?: string }) =>
  typeof value === 'number' && source !== undefined && source !== String(value)
    ? rawJSON(source)
    : value) as unknown as (key: string, value: unknown) => unknown

// jsonb keeps numbers as numeric: 131,072 digits before the point, 16,383 after it. Digits and
// exponent together stay below the smaller one; no measure anywhere comes near it.
const DIGITS_LIMIT = 16_000

function repairer({ damaged }: { damaged: boolean }) {
  let count = 0
  const text = (before: string) => {
    const after = before.replaceAll('\0', '').toWellFormed()
    if (after !== before || (damaged && after.includes('\ufffd'))) count += 1
    return after
  }
  const number = (raw: RawNumber) => {
    const exponent = Number(/e([+-]?\d+)$/i.exec(raw.rawJSON)?.[1] ?? 0)
    if (Math.abs(exponent) + raw.rawJSON.length <= DIGITS_LIMIT) return raw
    count += 1
    return raw.rawJSON
  }
  const value = (before: unknown): unknown => {
    if (typeof before === 'string') return text(before)
    if (isRawJSON(before)) return number(before)
    if (Array.isArray(before)) return before.map(value)
    // fromEntries defines where an assignment would set the prototype, for a key of `__proto__`
    if (isObject(before)) return Object.fromEntries(Object.entries(before).map(([key, item]) => [text(key), value(item)]))
    return before
  }
  return { value, count: () => count }
}

/** The ids of a page's records, in its order. Transient SH208 where it is no such page. */
export function idsOf(body: Buffer): string[] {
  return parsed(body, z.looseObject({ results: z.array(Identified) })).results.map(({ id }) => String(id))
}

/** The ids of those records of a page that it says are archived, whatever was asked. Transient SH208 where it is no such page. */
export function archivedOf(body: Buffer): string[] {
  return parsed(body, z.looseObject({ results: z.array(Identified) })).results.flatMap(({ id, archived }) => (archived === true ? [String(id)] : []))
}

const Identified = z.looseObject({ id: z.union([z.string(), z.int()]) })

function idOf(record: unknown): string | undefined {
  const { data } = Identified.safeParse(record)
  return data && String(data.id)
}

/** A small body parsed by a shape. Transient SH208 where it is no JSON, or of another shape. */
export function parsed<T>(body: Buffer, shape: z.ZodType<T>): T {
  try {
    return shape.parse(JSON.parse(body.toString('utf8')))
  } catch (cause) {
    throw unreadable('it has another shape than HubSpot describes', cause)
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !isRawJSON(value)
}
