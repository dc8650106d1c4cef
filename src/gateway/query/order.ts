import type { LiveSession, Statement } from '../live.ts'
import { TOO_COMPLEX, UNREADABLE, UNSETTLED } from '../notices.ts'
import type { Act, Prepared, Relation, Touch } from '../query.ts'
import { MOST_NAMES } from './guess.ts'
import type { Param } from './ids.ts'
import type { Found } from './parser.ts'
import { pinned } from './pinned.ts'
import { preparedBefore } from './relations.ts'
import { Words } from './words.ts'

/** A read of one statement: which relations, and with which parameters bound. Whatever columns it reads, `words` name. */
export type Wanted = { words: Words; touches: readonly Touch[]; targets: Act['targets']; params: readonly Param[] }

/** Looks into a text. */
type Look = (text: string) => Promise<Found>

/** Where nothing of ours is. */
export const isCatalogue = (schema: string | undefined): boolean => schema === 'pg_catalog' || schema === 'information_schema'

/**
 * What a statement's text wants, in order; undefined where Postgres' grammar cannot read it. All of it is looked up before
 * any of it runs: throws a Refusal where what comes before a read, in the text or sent along with it, may change what is read.
 */
export async function wantedOf(statement: Statement, session: LiveSession, look: Look): Promise<Wanted[] | undefined> {
  const found = await look(statement.text)
  if (found === 'unreadable' && statement.ahead?.some((text) => REREADS.test(text))) throw UNREADABLE
  if (found === 'unreadable') return undefined
  if (found === 'too complex') throw TOO_COMPLEX
  // What came before is of no matter to it: of a thousand statements sent at once, each has all of those before it.
  if (found.every(({ touches, targets, executes }) => touches.length + targets.length === 0 && executes === undefined)) return []
  const order = new Order(session, look, new Words(...(statement.ahead ?? []), statement.text))
  for (const text of statement.ahead ?? []) {
    const before = await look(text)
    for (const act of typeof before === 'string' || REREADS.test(text) ? [UNKNOWN] : before) await order.take(act, [])
  }
  const { params = [], formats = [], types = [] } = statement
  // One format may be given for all.
  const bound = params.map((value, at) => ({ value, isBinary: (formats.length === 1 ? formats[0] : formats[at]) === 1, type: types[at] }))
  const wanted: Wanted[] = []
  for (const act of found) wanted.push(...(await order.take(statement.isKept ? await kept(act, session) : act, bound)))
  refuseMany(wanted)
  return wanted
}

/** Each name is looked up on the session's own server, for its views and policies too. */
function refuseMany(wanted: readonly Prepared[]): void {
  const names = new Set<string>()
  for (const { touches, targets } of wanted) {
    for (const { relation } of [...touches, ...targets]) if (!isCatalogue(relation.schema)) names.add(keyOf(relation))
    if (names.size > MOST_NAMES) throw TOO_COMPLEX
  }
}

// By rights of anyone: it is names alone.
const IN_PATH = pinned(`
  select n.nspname, c.relname from pg_catalog.unnest(pg_catalog.current_schemas(true)) as s (name)
  join pg_catalog.pg_namespace n on n.nspname = s.name
  join pg_catalog.pg_class c on c.relnamespace = n.oid and c.relname = any (select pg_catalog.json_array_elements_text($1::pg_catalog.json))
  where n.nspname <> 'pg_catalog'`)

/** Of what was read before, a name means what it meant then, though another has come before that on the search path: all are taken. */
async function kept<One extends Prepared>(what: One, { inject, hasFailed }: LiveSession): Promise<One> {
  const names = new Set(what.touches.flatMap(({ relation: { schema, name } }) => (schema === undefined ? [name] : [])))
  if (names.size === 0 || hasFailed) return what
  refuseMany([what])
  const all = await inject(IN_PATH, [JSON.stringify([...names])])
  const schemas = new Map<string, string[]>()
  for (const [schema, name] of all) schemas.set(name!, [...(schemas.get(name!) ?? []), schema!])
  const also = what.touches.flatMap((touch) => {
    const found = touch.relation.schema === undefined ? (schemas.get(touch.relation.name) ?? []) : []
    return found.length > 1 ? found.map((schema) => ({ ...touch, relation: { schema, name: touch.relation.name } })) : []
  })
  return { ...what, touches: [...what.touches, ...also] }
}

/** Of what comes in another message after one with these words, nobody knows how it is read. */
const REREADS = /\b(?:client_encoding|names|standard_conforming_strings)\b/i
const UNKNOWN: Act = { touches: [], targets: [], unsettles: true }

/** Of one text: relations and values that views and prepared statements in it bring again where they are read, all in all. */
const MOST_BROUGHT = 100_000
const NO_KEYS: Touch['keys'] = new Map()

/** Statements one after another, with what each may do to those after it. */
class Order {
  readonly #session: LiveSession
  readonly #look: Look
  readonly #words: Words
  readonly #prepared = new Map<string, Prepared & { weight: number }>()
  readonly #preparedBefore = new Map<string, (Prepared & { weight: number }) | undefined>()
  /** Relations made so far, by their names as they were written; what views read, by name alone, whatever schema it is found in. */
  readonly #made = new Set<string>()
  readonly #views = new Map<string, { touches: Touch[]; weight: number }>()
  #brought = 0
  #isSettled = true
  /** In a transaction that failed, the first one ends that or is not run. */
  #isFailed: boolean

  constructor(session: LiveSession, look: Look, words: Words) {
    this.#words = words
    this.#session = session
    this.#look = look
    this.#isFailed = session.hasFailed
  }

  async take(act: Act, params: readonly Param[]): Promise<Wanted[]> {
    if (this.#isFailed) {
      this.#isFailed = false
      this.#isSettled = false
      return []
    }
    const wanted = [this.#wanted(act, params), ...(await this.#executed(act, params))]
    if (act.prepares !== undefined) this.#prepared.set(act.prepares.name, { ...act.prepares, weight: weightOf(act.prepares) })
    if (act.defines !== undefined) this.#define(act.defines)
    if (act.unsettles) this.#unsettle()
    // Nothing can be looked up there; what is left is made here, or no read: writes are refused by the tables themselves too.
    return this.#session.hasFailed ? [] : wanted
  }

  async #executed({ executes }: Act, bound: readonly Param[]): Promise<Wanted[]> {
    if (executes === undefined) return []
    const { name, args } = executes
    const known = this.#prepared.get(name)
    if (known === undefined && !this.#isSettled) throw UNSETTLED
    const what = known === undefined ? await this.#before(name) : known
    if (what === undefined) return []
    this.#bring(what.weight)
    const given = args.map((term) => (term === undefined || !('text' in term) ? undefined : { value: term.text === null ? null : Buffer.from(term.text), isBinary: false }))
    const params = (args.length === 0 ? bound : given).map((param, at) => param && { ...param, type: what.types?.[at] })
    const wanted = this.#wanted(what, params)
    if (what.unsettles) this.#unsettle()
    return [wanted]
  }

  /** What a session prepared before: of a name that is executed again and again, the server is asked once. */
  async #before(name: string): Promise<(Prepared & { weight: number }) | undefined> {
    if (!this.#preparedBefore.has(name)) {
      const what = await this.#askBefore(name)
      this.#preparedBefore.set(name, what && { ...what, weight: weightOf(what) })
    }
    return this.#preparedBefore.get(name)
  }

  /** The server has the whole text that it was in. */
  async #askBefore(name: string): Promise<Prepared | undefined> {
    const known = await preparedBefore(this.#session, name)
    if (known === undefined) return undefined
    const { text, types } = known
    const found = await this.#look(text)
    if (found === 'too complex') throw TOO_COMPLEX
    // The server has read it.
    if (found === 'unreadable') throw UNREADABLE
    const what = found.findLast(({ prepares }) => prepares?.name === name)?.prepares ?? found[0]
    this.#words.add(text)
    return what && { ...(await kept(what, this.#session)), types }
  }

  #wanted({ touches, targets }: Prepared, params: readonly Param[]): Wanted {
    const read = [...touches, ...this.#through(touches)]
    if (!this.#isSettled && !read.every(({ relation }) => isCatalogue(relation.schema) || this.#made.has(keyOf(relation)))) throw UNSETTLED
    return { words: this.#words, touches: read, targets, params }
  }

  /** What the views among these read, and the views among that, each once: a view may name another twice, that one a third twice, and so on. */
  #through(touches: readonly Touch[]): readonly Touch[] {
    const read: Touch[] = []
    const seen = new Set<string>()
    const look = ({ relation: { name } }: Touch) => {
      const view = this.#views.get(name)
      if (view === undefined || seen.has(name)) return
      seen.add(name)
      this.#bring(view.weight)
      for (const touch of view.touches) read.push(touch)
    }
    if (this.#views.size > 0) for (const touch of touches) look(touch)
    // It grows meanwhile.
    for (const touch of read) look(touch)
    return read
  }

  #bring(weight: number): void {
    this.#brought += weight
    if (this.#brought > MOST_BROUGHT) throw TOO_COMPLEX
  }

  #define({ relation, view }: NonNullable<Act['defines']>): void {
    if (view !== undefined && !this.#isSettled) return
    this.#made.add(keyOf(relation))
    if (view === undefined) return
    // Another of that name may be in another schema.
    const known = this.#views.get(relation.name) ?? { touches: [], weight: 0 }
    const touches = summed(view)
    for (const touch of touches) known.touches.push(touch)
    known.weight += weightOf({ touches, targets: [] })
    this.#views.set(relation.name, known)
  }

  #unsettle(): void {
    this.#isSettled = false
    this.#made.clear()
  }
}

const keyOf = ({ schema, name }: Relation) => JSON.stringify([schema, name])

/** What a view reads: each relation once of which it may read any row. */
function summed(touches: readonly Touch[]): Touch[] {
  const whole = new Map<string, { relation: Relation; isWhole: boolean; fields: Set<string> }>()
  for (const { relation, keys, isWhole = false, fields = [] } of touches) {
    if (keys.size > 0) continue
    const key = keyOf(relation)
    const one = whole.get(key) ?? { relation, isWhole: false, fields: new Set() }
    whole.set(key, one)
    one.isWhole ||= isWhole
    for (const field of fields) one.fields.add(field)
  }
  const any = [...whole.values()].map(({ relation, isWhole, fields }): Touch => ({ relation, keys: NO_KEYS, ...(isWhole && { isWhole }), ...(fields.size > 0 && { fields: [...fields] }) }))
  return [...any, ...touches.filter(({ keys }) => keys.size > 0)]
}

/** How much there is to a statement: relations, and values of their columns. */
function weightOf({ touches, targets }: Prepared): number {
  const values = touches.flatMap(({ keys }) => [...keys.values()].flatMap((lists) => lists.map((terms) => terms.length)))
  return values.reduce((sum, length) => sum + length, touches.length + targets.length)
}
