import { hash, hashText } from '../store/random.ts'
import { isoTime } from '../store/version.ts'
import * as lists from './words.ts'

/** The value of a generated record in one property. */
export type Generate = (id: number) => string | null

/** What formulas draw from besides the id. */
export interface ValueContext {
  readonly seed: number
  readonly object: string
  readonly property: string
  readonly options: readonly string[]
  /** Ids of owners. */
  readonly owners: readonly string[]
  readonly pipelines: readonly { readonly id: string; readonly stages: readonly { readonly id: string }[] }[]
  /** Times are spread over the four years before it, epoch ms. */
  readonly now: number
}

const day = 86_400_000

/**
 * A formula by its name and arguments: `int 0 100`, `text 12`, `pick`, … A trailing `?30` leaves 30 % of the records
 * without a value. The same seed, object, property and id give the same value, always.
 */
export function createGenerator(formula: string, context: ValueContext): Generate | null {
  const [, body = '', empty] = /^(.*?)(?:\?(\d+))?$/.exec(formula) ?? []
  const [name = '', ...rest] = body.trim().split(' ')
  if (name === 'none' || name === '') return null
  const salt = hashText(`${context.seed}:${context.object}:${context.property}`)
  const make = formulas[name]
  if (!make) throw new Error(`no formula ${name} (${context.object}.${context.property})`)
  const value = make(rest, context)
  const share = Math.round((Number(empty ?? 0) / 100) * 0x100000000)
  if (share === 0) return (id) => value(hash(id, salt), id)
  return (id) => (hash(id, salt ^ 0x5bd1e995) < share ? null : value(hash(id, salt), id))
}

const latinNames = lists.firstNames.map(latin)
const latinCompanies = lists.companyWords.map(latin)

type Formula = (args: readonly string[], context: ValueContext) => (bits: number, id: number) => string | null

const pick = <T>(list: readonly T[], bits: number): T => list[bits % list.length]!

/** Salted by the object alone, so that two properties of one record can agree. */
const shared = (word: string, context: ValueContext) => hashText(`${context.seed}:${context.object}:${word}`)

const formulas: Readonly<Record<string, Formula>> = {
  is: (args) => () => args.join(' '),
  pick: (_, { options }) => (bits) => (options.length > 0 ? pick(options, bits) : null),
  picks: (_, { options }) => (bits) => {
    const chosen = options.filter((_, at) => (bits >>> (at % 31)) & 1)
    return chosen.length > 0 ? chosen.join(';') : ''
  },
  bool: () => (bits) => (bits & 1 ? 'true' : 'false'),
  int: ([least = '0', most = '1000']) => (bits) => String(Number(least) + (bits % (Number(most) - Number(least) + 1))),
  decimal: ([places = '2', most = '1000']) => (bits) => ((bits / 0x100000000) * Number(most)).toFixed(Number(places)),
  money: () => (bits) => pick([String(bits % 90_000), ((bits % 9_000_000) / 100).toFixed(2), '0', `${bits}000.5`, `-${bits % 500}`], bits >>> 24),
  big: () => (bits) => `9${String(bits).padStart(10, '0')}${String(hash(bits, 7)).padStart(10, '0')}`,
  datetime: (_, { now }) => (bits) => isoTime(now - Math.floor((bits / 0x100000000) * 1460 * day)),
  date: ([years = '4'], { now }) => (bits) =>
    new Date(now - Math.floor((bits / 0x100000000) * Number(years) * 365 * day)).toISOString().slice(0, 10),
  first: (_, context) => {
    const salt = shared('first', context)
    return (_, id) => pick(lists.firstNames, hash(id, salt))
  },
  last: (_, context) => {
    const salt = shared('last', context)
    return (_, id) => pick(lists.lastNames, hash(id, salt))
  },
  email: (_, context) => {
    const salt = shared('first', context)
    return (bits, id) => `${pick(latinNames, hash(id, salt))}.${id}@${pick(lists.domains, bits)}`
  },
  company: () => (bits) => `${pick(lists.companyWords, bits)} ${pick(lists.companyEnds, bits >>> 8)}`,
  domain: () => (bits, id) => `${pick(latinCompanies, bits)}-${id}.example`,
  url: () => (bits, id) => `https://${pick(latinCompanies, bits)}-${id}.example/${bits % 7 === 0 ? `?q=${encodeURIComponent('ü&ß')}` : ''}`,
  phone: () => (bits) => pick([`+49 30 ${bits % 1_000_000}`, `(555) ${bits % 900}-0${100 + (bits % 900)}`, `+1${2_000_000_000 + (bits % 1_000_000_000)}`], bits >>> 20),
  street: () => (bits) => `${(bits % 300) + 1} ${pick(lists.streets, bits >>> 9)}`,
  zip: () => (bits) => String(bits % 100_000).padStart(5, '0'),
  city: () => (bits) => pick(lists.cities, bits),
  country: () => (bits) => pick(lists.countries, bits),
  job: () => (bits) => pick(lists.jobs, bits),
  thing: () => (bits) => `${pick(lists.things, bits)}${bits % 3 === 0 ? ` / ${pick(lists.companyWords, bits >>> 5)}` : ''}`,
  deal: () => (bits, id) => `${pick(lists.companyWords, bits)} – ${pick(lists.things, bits >>> 6)} (${id})`,
  text: ([length = '8']) => (bits) => phrase(bits, 1 + (bits % Number(length))),
  long: () => (bits) => longText(bits),
  html: () => (bits) => `<p>${phrase(bits, 6).replaceAll('<b>', '').replaceAll('</b>', '')}</p>\n<p>${phrase(bits >>> 3, 9)}</p>`,
  owner: (_, { owners }) => (bits) => (owners.length > 0 ? pick(owners, bits) : null),
  ids: () => (bits, id) => Array.from({ length: 1 + (bits % 3) }, (_, at) => String(id + at * 17)).join(';'),
  own: () => (_, id) => String(id),
  uuid: () => (bits) => `${hex(bits)}-${hex(hash(bits, 1)).slice(4)}-4${hex(hash(bits, 2)).slice(5)}-a${hex(hash(bits, 3)).slice(5)}-${hex(hash(bits, 4))}${hex(bits).slice(4)}`,
  code: ([prefix = '']) => (bits, id) => `${prefix}${id.toString(36).toUpperCase()}${(bits % 1296).toString(36).toUpperCase()}`,
  json: () => (bits) => JSON.stringify({ score: bits % 100, tags: [pick(lists.cities, bits)], nested: { ok: (bits & 1) === 1, note: null } }),
  coordinates: () => (bits) => `${((bits % 18_000) / 100 - 90).toFixed(2)},${((bits % 36_000) / 100 - 180).toFixed(2)}`,
  pipeline: (_, context) => {
    const salt = shared('pipeline', context)
    return (_, id) => pipelineOf(id, salt, context)?.id ?? null
  },
  stage: (_, context) => {
    const salt = shared('pipeline', context)
    return (bits, id) => {
      const stages = pipelineOf(id, salt, context)?.stages
      return stages && stages.length > 0 ? pick(stages, bits).id : null
    }
  },
}

function pipelineOf(id: number, salt: number, { pipelines }: ValueContext) {
  return pipelines.length > 0 ? pick(pipelines, hash(id, salt) % 4 === 0 ? hash(id, salt + 1) : 0) : undefined
}

function phrase(bits: number, length: number): string {
  let text = ''
  for (let at = 0; at < length; at++) text += (at > 0 ? ' ' : '') + pick(lists.loose, hash(at, bits))
  return text
}

/** Mostly a line, often several, now and then some thousand characters, rarely HubSpot's most. */
function longText(bits: number): string {
  if (bits % 2003 === 0) return `${phrase(bits, 40)}\n`.repeat(400).slice(0, 65_536)
  const lines = bits % 97 === 0 ? 40 : bits % 4
  let text = phrase(bits, 3 + (bits % 9))
  for (let line = 0; line < lines; line++) text += (line % 5 === 4 ? '\n\n' : '\n') + phrase(hash(line, bits), 3 + (bits % 12))
  return text
}

function latin(word: string): string {
  const plain = word.normalize('NFD').replaceAll(/[^A-Za-z0-9]/g, '').toLowerCase()
  return plain || 'kontakt'
}

function hex(bits: number): string {
  return bits.toString(16).padStart(8, '0')
}
