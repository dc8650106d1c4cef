import type { Node, TypeName } from 'libpg-query'
import { isBlank } from './lex.ts'

/**
 * One side of `column = …` that is known before the statement runs: a constant's text (null: NULL), or a parameter. `isCast`: to a
 * whole number, by the statement. `isUnsure`: the statement has it elsewhere too, where it may have got another type.
 */
export type Term = { text: string | null } | { param: number; isArray: boolean; isCast?: true; isUnsure?: true }

/** A parameter as it was bound, and its type's id, 0 where that was left to the statement; undefined where nobody knows its value. */
export type Param = { value: Buffer | null; isBinary: boolean; type?: number | undefined } | undefined

/** Casts that leave the value of a whole number as it is; those of a parameter say of what type it is bound. */
const INTEGER_TYPES = new Set(['int2', 'int4', 'int8'])
const OTHER_TYPES = new Set(['numeric', 'text', 'varchar'])

/** Of these the session is asked whether they mean Postgres' own; the grammar qualifies what it keeps for those. */
export const PLAIN: ReadonlySet<string> = new Set(['int2', 'int4', 'int8', 'oid', 'text'])

/** More elements than this an array is not taken apart for. */
const MOST_ELEMENTS = 20_000

/** A constant or a parameter, whole numbers and their texts; undefined for anything else. */
export function scalarTerm(node: Node | undefined): Term | undefined {
  if (node === undefined) return undefined
  if ('ParamRef' in node) return { param: node.ParamRef.number ?? 0, isArray: false }
  if ('TypeCast' in node) return isHarmless(node) ? cast(scalarTerm(node.TypeCast.arg)) : undefined
  if (!('A_Const' in node)) return undefined
  const { isnull, ival, fval, sval } = node.A_Const
  if (isnull) return { text: null }
  if (ival) return { text: String(ival.ival ?? 0) }
  const text = fval?.fval ?? sval?.sval
  return text === undefined ? undefined : { text }
}

/** The elements of the right side of `= any (…)`; undefined where they are not known. */
export function arrayTerms(node: Node | undefined): readonly Term[] | undefined {
  if (node === undefined) return undefined
  if ('ParamRef' in node) return [{ param: node.ParamRef.number ?? 0, isArray: true }]
  if ('TypeCast' in node) return isHarmless(node) ? arrayTerms(node.TypeCast.arg)?.map(cast) : undefined
  if ('A_ArrayExpr' in node) return allTerms(node.A_ArrayExpr.elements ?? [])
  if ('A_Const' in node && node.A_Const.sval) return elementsOf(node.A_Const.sval.sval ?? '')?.map((text) => ({ text }))
  return undefined
}

/** A term with what a cast says of it. */
function cast<Known extends Term | undefined>(term: Known): Known {
  return term !== undefined && 'param' in term ? { ...term, isCast: true } : term
}

/** Each node as a term; undefined where one is none. */
export function allTerms(nodes: readonly Node[]): readonly Term[] | undefined {
  const terms = nodes.map(scalarTerm)
  return terms.every((term) => term !== undefined) ? terms : undefined
}

/** A type of Postgres' own, as it is named; one without a schema is, where the session has no others before them (see Meant). */
export function typeIn({ names = [], typmods = [] }: TypeName): string | undefined {
  const path = names.map((one) => ('String' in one ? one.String.sval : undefined))
  const isOwn = path.length === 2 ? path[0] === 'pg_catalog' : path.length === 1 && PLAIN.has(path[0] ?? '')
  return typmods.length === 0 && isOwn ? path.at(-1) : undefined
}

/** Whether a cast leaves a whole number what it is. */
export function isHarmless(node: Extract<Node, { TypeCast: unknown }>): boolean {
  const { arg, typeName } = node.TypeCast
  const type = typeName && typeIn(typeName)
  if (arg === undefined || type === undefined) return false
  // A negative one is another there.
  if (type === 'oid') return 'A_Const' in arg && (arg.A_Const.ival?.ival ?? 0) >= 0 && arg.A_Const.sval?.sval?.includes('-') !== true
  return INTEGER_TYPES.has(type) || (OTHER_TYPES.has(type) && !('ParamRef' in arg))
}

/** The elements of a one-dimensional array's text; undefined where it is written in any way that is not plain, or is of no use. */
function elementsOf(text: string): (string | null)[] | undefined {
  const bare = text.trim()
  if (bare[0] !== '{' || bare.indexOf('}') !== bare.length - 1 || bare.includes('{', 1) || bare.includes('\\')) return undefined
  const inner = bare.slice(1, -1)
  if (inner.trim() === '') return []
  const parts = inner.split(',', MOST_ELEMENTS + 1)
  if (parts.length > MOST_ELEMENTS) return undefined
  return parts.map((part) => {
    const one = part.trim()
    if (one.length > 1 && one.startsWith('"') && one.endsWith('"')) return one.slice(1, -1)
    return one.toLowerCase() === 'null' ? null : one
  })
}

/**
 * The ids that terms stand for, once parameters are bound; undefined where one cannot be told: then every row may be meant.
 * What no record can have as its id is left out.
 */
export function idsOf(terms: readonly Term[], params: readonly Param[]): string[] | undefined {
  const ids = new Set<string>()
  for (const term of terms) {
    const texts = 'text' in term ? [term.text] : paramTexts(params[term.param - 1], term)
    if (texts === undefined) return undefined
    for (const text of texts) {
      if (text === null) continue
      const id = wholeNumber(text)
      if (id === undefined) return undefined
      if (id !== '' && id.length <= 18) ids.add(id)
    }
  }
  return [...ids]
}

/** The digits of a whole number, '' of one below zero; undefined for anything else. By hand: a text may be megabytes long. */
function wholeNumber(text: string): string | undefined {
  let from = 0
  let to = text.length
  while (from < to && isBlank(text.charCodeAt(from))) from += 1
  while (to > from && isBlank(text.charCodeAt(to - 1))) to -= 1
  const isNegative = text[from] === '-'
  if (isNegative || text[from] === '+') from += 1
  const point = text.indexOf('.', from)
  const end = point < 0 || point >= to ? to : point
  for (let at = end + 1; at < to; at += 1) if (text[at] !== '0') return undefined
  if (from === end) return undefined
  for (let at = from; at < end; at += 1) if (!isDigit(text.charCodeAt(at))) return undefined
  while (from < end - 1 && text[from] === '0') from += 1
  return isNegative ? '' : text.slice(from, end)
}

const isDigit = (code: number) => code >= 48 && code <= 57

/** Ids of types whose value is a whole number's; those of which that is so of the text alone. By what they are arrays of, too. */
const INT8 = 20
const WHOLE: ReadonlySet<number> = new Set([INT8, 21, 23])
const AS_TEXT: ReadonlySet<number> = new Set([25, 1043, 1700])
const ELEMENTS: ReadonlyMap<number, number> = new Map([[1016, INT8], [1005, 21], [1007, 23], [1009, 25], [1015, 1043], [1231, 1700]])
/** What a client says where it leaves the type to the statement: nothing, or Postgres' own "unknown". */
const LEFT_OPEN: ReadonlySet<number> = new Set([0, 705])

const TYPES: ReadonlyMap<string, number> = new Map([['int8', INT8], ['int2', 21], ['int4', 23], ['text', 25], ['varchar', 1043], ['numeric', 1700]])

/** The id of a parameter's type as `prepare` names it; -1 for what is none of the above. */
export function typeOf(type: TypeName): number {
  const one = TYPES.get(typeIn(type) ?? '') ?? -1
  return (type.arrayBounds ?? []).length === 0 ? one : ([...ELEMENTS].find(([, element]) => element === one)?.[0] ?? -1)
}

function paramTexts(param: Param, { isArray, isUnsure }: Extract<Term, { param: number }>): readonly (string | null)[] | undefined {
  if (param === undefined) return undefined
  const { value, isBinary, type = 0 } = param
  if (value === null) return []
  const element = isArray ? (ELEMENTS.get(type) ?? -1) : type
  const isSure = LEFT_OPEN.has(type) ? isUnsure !== true : WHOLE.has(element) || (AS_TEXT.has(element) && !isBinary)
  if (!isSure) return undefined
  if (!isBinary) return isArray ? elementsOf(value.toString()) : [value.toString()]
  return isArray ? binaryElements(value) : binaryInteger(value, value.length)
}

function binaryInteger(value: Buffer, length: number): [string] | undefined {
  if (value.length !== length) return undefined
  if (length === 8) {
    const text = value.readBigInt64BE().toString()
    // No id: bound as something else, perhaps.
    return text.length > 18 ? undefined : [text]
  }
  return length === 4 || length === 2 ? [value.readIntBE(0, length).toString()] : undefined
}

/** An array as the protocol's binary format has it: dimensions, flags, element type, then length and lower bound, elements. */
function binaryElements(value: Buffer): (string | null)[] | undefined {
  if (value.length < 12) return undefined
  const dimensions = value.readInt32BE(0)
  if (!WHOLE.has(value.readInt32BE(8))) return undefined
  if (dimensions === 0) return []
  if (dimensions !== 1 || value.length < 20 || value.readInt32BE(12) > MOST_ELEMENTS) return undefined
  const elements: (string | null)[] = []
  let at = 20
  for (let left = value.readInt32BE(12); left > 0; left -= 1) {
    if (value.length < at + 4) return undefined
    const length = value.readInt32BE(at)
    at += 4
    if (length < 0) {
      elements.push(null)
      continue
    }
    const [text] = binaryInteger(value.subarray(at, at + length), length) ?? []
    if (text === undefined) return undefined
    elements.push(text)
    at += length
  }
  return elements
}
