import { setImmediate as turn } from 'node:timers/promises'
import type { LiveSession, Statement } from '../live.ts'
import { TOO_COMPLEX, TOO_MANY, UNREADABLE, UNSETTLED } from '../notices.ts'
import type { Act, Prepared, Relation, Touch } from '../query.ts'
import { MOST_NAMES } from './guess.ts'
import type { Param } from './ids.ts'
import type { Found } from './parser.ts'
import { pinned } from './pinned.ts'
import { preparedBefore } from './relations.ts'
import { Words } from './words.ts'

/** A read of one statement: which relations, and with which parameters bound. */
export type Wanted = { touches: readonly Touch[]; targets: Act['targets']; params: readonly Param[] }

/** Looks into a text. */
type Look = (text: string) => Promise<Found>

/** Where nothing of ours is. */
export const isCatalogue = (schema: string | undefined): boolean => schema === 'pg_catalog' || schema === 'information_schema'

// They go with their parts.
const orders = new WeakMap<readonly string[], Order>()

/** What a statement is sent along with, up to its Sync: a part has one order, to which each of its statements comes in turn. */
export function orderOf({ part = [] }: Statement, { hasFailed }: LiveSession): Order {
  const order = orders.get(part) ?? new Order(part, hasFailed)
  orders.set(part, order)
  return order
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

/** Of what comes in another message after one with these words, nobody knows how it is read. */
const REREADS = /\b(?:client_encoding|names|standard_conforming_strings)\b/i
const UNKNOWN: Act = { touches: [], targets: [], unsettles: true }

/** Relations and values that views and prepared statements of a part have, all in all, and bring again where they are read; of what is read, some more for each statement. */
const MOST_BROUGHT = 100_000
const BROUGHT_BY_EACH = 1_000
/** So many statements are looked into without a Sync between them. */
export const MOST_PIPED = 20_000
/** After so many of them whoever else waits has a turn: nothing else makes them wait for anything. */
const TURN = 16
const NO_KEYS: Touch['keys'] = new Map()

/** Who asks, what looks into a text for him, and what he parsed in the part. */
type By = { session: LiveSession; look: Look; parsed?: Statement['parsed'] }

/** Statements one after another, with what each may do to those after it. Nothing of them has run while one is asked of. */
export class Order {
  readonly part: readonly string[]
  /** Whatever columns they read, these name. */
  readonly words = new Words()
  /** Names that mean nothing of ours. */
  readonly strange = new Set<string>()
  #taken = 0
  #mayReread = false
  readonly #prepared = new Map<string, Prepared & { weight: number }>()
  readonly #preparedBefore = new Map<string, (Prepared & { weight: number }) | undefined>()
  /** Relations made so far, by their names as they were written; what views read, by name alone, whatever schema it is found in. */
  readonly #made = new Set<string>()
  readonly #views = new Map<string, { touches: Touch[]; weight: number }>()
  /** In which schemas of the search path there is something of a name. */
  readonly #schemas = new Map<string, string[]>()
  #brought = 0
  #held = 0
  #isSettled = true
  /** In a transaction that failed, the first one ends that or is not run. */
  #isFailed: boolean

  constructor(part: readonly string[], isFailed: boolean) {
    this.part = part
    this.#isFailed = isFailed
  }

  /**
   * What the next statement's text wants, in order. All of it is looked up before any of it runs: throws a Refusal where what
   * comes before a read, in the text or sent along with it, may change what is read.
   */
  async next({ text, params = [], formats = [], types = [], isKept, parsed }: Statement, { session, look }: By): Promise<Wanted[]> {
    const by: By = { session, look, parsed }
    if (this.part.length > MOST_PIPED) throw TOO_MANY
    if (this.part.length % TURN === 0) await turn()
    session.signal.throwIfAborted()
    this.#brought = Math.max(0, this.#brought - BROUGHT_BY_EACH)
    // Nobody was asked of a ROLLBACK, in a transaction that failed.
    for (; this.#taken < this.part.length - 1; this.#taken += 1) await this.#pass(this.part[this.#taken]!, by)
    this.#taken = this.part.length
    this.words.add(text)
    const found = await look(text)
    if (found === 'too complex') throw TOO_COMPLEX
    // The server will say so.
    if (found === 'unreadable' && this.#mayReread) throw UNREADABLE
    // One format may be given for all.
    const bound = params.map((value, at) => ({ value, isBinary: (formats.length === 1 ? formats[0] : formats[at]) === 1, type: types[at] }))
    const wanted: Wanted[] = []
    for (const act of found === 'unreadable' ? [UNKNOWN] : found) {
      for (const one of await this.#take(isKept ? await this.#kept(act, session) : act, bound, by)) wanted.push(one)
    }
    this.#reread(text)
    refuseMany(wanted)
    return wanted
  }

  async #pass(text: string, by: By): Promise<void> {
    this.words.add(text)
    const found = await by.look(text)
    for (const act of typeof found === 'string' ? [UNKNOWN] : found) await this.#take(act, [], by)
    this.#reread(text)
  }

  #reread(text: string): void {
    if (this.#mayReread || !REREADS.test(text)) return
    this.#mayReread = true
    this.#unsettle()
  }

  async #take(act: Act, params: readonly Param[], by: By): Promise<Wanted[]> {
    if (this.#isFailed) {
      this.#isFailed = false
      this.#isSettled = false
      return []
    }
    const wanted = [this.#wanted(act, params), ...(await this.#executed(act, params, by))]
    if (act.prepares !== undefined) this.#prepare(act.prepares)
    if (act.defines !== undefined) this.#define(act.defines)
    if (act.unsettles) this.#unsettle()
    // Nothing can be looked up there; what is left is made here, or no read: writes are refused by the tables themselves too.
    return by.session.hasFailed ? [] : wanted
  }

  async #executed({ executes }: Act, bound: readonly Param[], by: By): Promise<Wanted[]> {
    if (executes === undefined) return []
    const { name, args, isStored } = executes
    const known = this.#prepared.get(name)
    // Of what was parsed by the protocol meanwhile, the server does not know yet.
    if ((known === undefined && !this.#isSettled) || by.parsed?.has(name) === true) throw UNSETTLED
    const what = known === undefined ? await this.#before(name, by) : known
    if (what === undefined) return []
    this.#bring(what.weight)
    const given = args.map((term) => (term === undefined || !('text' in term) ? undefined : { value: term.text === null ? null : Buffer.from(term.text), isBinary: false }))
    const params = (args.length === 0 ? bound : given).map((param, at) => param && { ...param, type: what.types?.[at] })
    const wanted = this.#wanted(isStored ? { ...what, touches: what.touches.map(asWhole) } : what, params)
    if (what.unsettles) this.#unsettle()
    return [wanted]
  }

  /** What a session prepared before: of a name that is executed again and again, the server is asked once. */
  async #before(name: string, by: By): Promise<(Prepared & { weight: number }) | undefined> {
    if (!this.#preparedBefore.has(name)) {
      const what = await this.#askBefore(name, by)
      this.#preparedBefore.set(name, what && { ...what, weight: weightOf(what) })
    }
    return this.#preparedBefore.get(name)
  }

  /** The server has the whole text that it was in. */
  async #askBefore(name: string, { session, look }: By): Promise<Prepared | undefined> {
    const known = await preparedBefore(session, name)
    if (known === undefined) return undefined
    const { text, types } = known
    const found = await look(text)
    if (found === 'too complex') throw TOO_COMPLEX
    // The server has read it.
    if (found === 'unreadable') throw UNREADABLE
    const what = found.findLast(({ prepares }) => prepares?.name === name)?.prepares ?? found[0]
    this.words.add(text)
    return what && { ...(await this.#kept(what, session)), types }
  }

  #wanted({ touches, targets }: Prepared, params: readonly Param[]): Wanted {
    const read = [...touches, ...this.#through(touches)]
    if (!this.#isSettled && !read.every(({ relation }) => isCatalogue(relation.schema) || this.#made.has(keyOf(relation)))) throw UNSETTLED
    return { touches: read, targets, params }
  }

  /** What the views among these read, and the views among that, each once: a view may name another twice, that one a third twice, and so on. */
  #through(touches: readonly Touch[]): readonly Touch[] {
    const read: Touch[] = []
    const seen = new Set<string>()
    let isWhole = false
    const look = ({ relation: { name }, isWhole: isItself, fields }: Touch) => {
      const view = this.#views.get(name)
      // Of a view's whole row nobody knows what is in it; what looks like a column of it may be that, as an argument.
      if (view !== undefined) isWhole ||= isItself === true || fields !== undefined
      if (view === undefined || seen.has(name)) return
      seen.add(name)
      this.#bring(view.weight)
      for (const touch of view.touches) read.push(touch)
    }
    if (this.#views.size > 0) for (const touch of touches) look(touch)
    // It grows meanwhile.
    for (const touch of read) look(touch)
    return isWhole ? read.map(asWhole) : read
  }

  #bring(weight: number): void {
    this.#brought += weight
    if (this.#brought > MOST_BROUGHT) throw TOO_COMPLEX
  }

  #hold(weight: number): void {
    this.#held += weight
    if (this.#held > MOST_BROUGHT) throw TOO_COMPLEX
  }

  #prepare(what: NonNullable<Act['prepares']>): void {
    const weight = weightOf(what)
    this.#hold(weight - (this.#prepared.get(what.name)?.weight ?? 0))
    this.#prepared.set(what.name, { ...what, weight })
  }

  #define({ relation, view }: NonNullable<Act['defines']>): void {
    if (view !== undefined && !this.#isSettled) return
    this.#made.add(keyOf(relation))
    if (view === undefined) return
    // Another of that name may be in another schema.
    const known = this.#views.get(relation.name) ?? { touches: [], weight: 0 }
    const touches = summed(view)
    const weight = weightOf({ touches, targets: [] })
    this.#hold(weight)
    for (const touch of touches) known.touches.push(touch)
    known.weight += weight
    this.#views.set(relation.name, known)
  }

  /** Of what was read before, a name means what it meant then, though another has come before that on the search path: all are taken. */
  async #kept<One extends Prepared>(what: One, { inject, hasFailed }: LiveSession): Promise<One> {
    const names = new Set(what.touches.flatMap(({ relation: { schema, name } }) => (schema === undefined ? [name] : [])))
    if (names.size === 0 || hasFailed) return what
    refuseMany([what])
    const unknown = [...names].filter((name) => !this.#schemas.has(name))
    const found = unknown.length === 0 ? [] : await inject(IN_PATH, [JSON.stringify(unknown)])
    for (const name of unknown) this.#schemas.set(name, [])
    for (const [schema, name] of found) this.#schemas.get(name!)!.push(schema!)
    const also = what.touches.flatMap((touch) => {
      const schemas = touch.relation.schema === undefined ? (this.#schemas.get(touch.relation.name) ?? []) : []
      return schemas.length > 1 ? schemas.map((schema) => ({ ...touch, relation: { schema, name: touch.relation.name } })) : []
    })
    return { ...what, touches: [...what.touches, ...also] }
  }

  #unsettle(): void {
    this.#isSettled = false
    this.#made.clear()
  }
}

const asWhole = (touch: Touch): Touch => ({ ...touch, isWhole: true })
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
