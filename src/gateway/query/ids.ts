import type { Node } from 'libpg-query'

/** One side of `column = …` that is known before the statement runs: a constant's text (null: NULL), or a parameter. */
export type Term = { text: string | null } | { param: number; isArray: boolean }

/** A parameter as it was bound; undefined where nobody knows its value. */
export type Param = { value: Buffer | null; isBinary: boolean } | undefined

/** Casts that leave the value of a whole number as it is; those of a parameter say of what type it is bound. */
const INTEGER_TYPES = new Set(['int2', 'int4', 'int8'])
const OTHER_TYPES = new Set(['numeric', 'text', 'varchar'])

/** A constant or a parameter, whole numbers and their texts; undefined for anything else. */
export function scalarTerm(node: Node | undefined): Term | undefined {
  if (node === undefined) return undefined
  if ('ParamRef' in node) return { param: node.ParamRef.number ?? 0, isArray: false }
  if ('TypeCast' in node) return isHarmless(node) ? scalarTerm(node.TypeCast.arg) : undefined
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
  if ('TypeCast' in node) return isHarmless(node) ? arrayTerms(node.TypeCast.arg) : undefined
  if ('A_ArrayExpr' in node) return allTerms(node.A_ArrayExpr.elements ?? [])
  if ('A_Const' in node && node.A_Const.sval) return elementsOf(node.A_Const.sval.sval ?? '')?.map((text) => ({ text }))
  return undefined
}

/** Each node as a term; undefined where one is none. */
export function allTerms(nodes: readonly Node[]): readonly Term[] | undefined {
  const terms = nodes.map(scalarTerm)
  return terms.every((term) => term !== undefined) ? terms : undefined
}

/** Whether a cast leaves a whole number what it is. */
export function isHarmless(node: Extract<Node, { TypeCast: unknown }>): boolean {
  const { arg, typeName: { names = [], typmods = [] } = {} } = node.TypeCast
  const last = names.at(-1)
  if (typmods.length > 0 || arg === undefined || last === undefined || !('String' in last)) return false
  const type = last.String.sval ?? ''
  // A negative one is another there.
  if (type === 'oid') return 'A_Const' in arg && (arg.A_Const.ival?.ival ?? 0) >= 0 && arg.A_Const.sval?.sval?.includes('-') !== true
  return INTEGER_TYPES.has(type) || (OTHER_TYPES.has(type) && !('ParamRef' in arg))
}

/** The elements of a one-dimensional array's text; undefined where it is written in any way that is not plain. */
function elementsOf(text: string): (string | null)[] | undefined {
  const inner = /^\s*\{([^{}\\]*)\}\s*$/.exec(text)?.[1]
  if (inner === undefined) return undefined
  if (inner.trim() === '') return []
  return inner.split(',').map((one) => {
    const bare = one.trim().replace(/^"(.*)"$/, '$1')
    return bare.toLowerCase() === 'null' && bare === one.trim() ? null : bare
  })
}

/**
 * The ids that terms stand for, once parameters are bound; undefined where one cannot be told: then every row may be meant.
 * What no record can have as its id is left out.
 */
export function idsOf(terms: readonly Term[], params: readonly Param[]): string[] | undefined {
  const ids = new Set<string>()
  for (const term of terms) {
    const texts = 'text' in term ? [term.text] : paramTexts(params[term.param - 1], term.isArray)
    if (texts === undefined) return undefined
    for (const text of texts) {
      if (text === null) continue
      const digits = /^\s*([+-]?)0*(\d+)(?:\.0*)?\s*$/.exec(text)
      if (digits === null) return undefined
      const [, sign, id = ''] = digits
      if (sign !== '-' && id.length <= 18) ids.add(id)
    }
  }
  return [...ids]
}

function paramTexts(param: Param, isArray: boolean): readonly (string | null)[] | undefined {
  if (param === undefined) return undefined
  const { value, isBinary } = param
  if (value === null) return []
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

/** Type ids of int8, int2, int4. */
const INTEGERS = new Set([20, 21, 23])

/** An array as the protocol's binary format has it: dimensions, flags, element type, then length and lower bound, elements. */
function binaryElements(value: Buffer): (string | null)[] | undefined {
  if (value.length < 12) return undefined
  const dimensions = value.readInt32BE(0)
  if (!INTEGERS.has(value.readInt32BE(8))) return undefined
  if (dimensions === 0) return []
  if (dimensions !== 1 || value.length < 20) return undefined
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
