import type { Database } from '../db/database.ts'
import { type LiveTable, liveTables } from '../db/live-calls.ts'
import type { Log } from '../lib/log.ts'
import { sleep } from '../lib/time.ts'
import type { LiveReads } from '../sync/live.ts'
import { type Need, needsOf, refuseWrites } from './query/needs.ts'
import { isCatalogue, type Order, orderOf, type Wanted } from './query/order.ts'
import { guessed } from './query/guess.ts'
import { type Found, Parser } from './query/parser.ts'
import { type Live, type LiveSession, Refusal, type ServerNotice, type Statement, type Verdict } from './live.ts'
import { heldRows, late, noteHeld, OLD_SNAPSHOT, someEmpty, stillFilling, stillLoading } from './notices.ts'
import { GRAMMAR, type Relation } from './query.ts'
import { columnsOf, lookUp, lookUpTables, type Meant, nameOf } from './query/relations.ts'
import { type Beginning, beginAgain, note, standOf } from './query/replay.ts'
import { withoutSnapshot } from './query/snapshot.ts'
import type { Asker } from './query/turns.ts'

/** What freshening needs. */
export type FreshenDeps = { db: Database; reads: LiveReads; log: Log }

/** Makes what sessions ask before a statement is forwarded: HubSpot is asked for what it touches. */
export function createLive({ db, reads, log }: FreshenDeps): Live {
  const parser = new Parser(log)
  return {
    async prepare(statement, session) {
      const verdict = await prepare(statement, session)
      if (verdict.do === 'forward') note(beginningOf(session), statement.text, session)
      return verdict
    },
    end: () => parser.end(),
  }

  async function prepare(statement: Statement, session: LiveSession): Promise<Verdict> {
    const begunAt = performance.now()
    const text = withoutSnapshot(statement.text, session)
    const by = state<Asker>(session, 'asker', () => ({ spentMs: 0, at: 0 }))
    by.signal = session.signal
    const order = orderOf(statement, session)
    const wanted = await order.next(statement, { session, look: (one) => looked(one, () => parser.acts(one, by), statement, session) })
    const relations = wanted.flatMap(({ touches, targets }) => [...touches, ...targets]).flatMap(({ relation }) => (isStrange(relation, order) ? [] : [relation]))
    const verdict = relations.length === 0 ? undefined : await freshen({ db, reads, log }, { wanted, relations, order }, session, begunAt)
    if (verdict?.do === 'refuse' || text === undefined) return verdict ?? { do: 'forward' }
    return { ...verdict, do: 'forward', text }
  }
}

/** It is known to be none of ours: nothing of the part has run, so what a name meant when it was looked up, it means. */
const isStrange = (relation: Relation, { strange }: Order) => isCatalogue(relation.schema) || strange.has(nameOf(relation))

/** `relations`: those of them that may be ours. */
type Asked = { wanted: readonly Wanted[]; relations: readonly Relation[]; order: Order }

async function freshen(deps: FreshenDeps, { wanted, relations, order }: Asked, session: LiveSession, begunAt: number): Promise<Verdict> {
  const { meant, tables } = await meaningOf(deps, relations, session)
  for (const { name, tables: { length } } of meant.relations) if (length === 0) order.strange.add(name)
  const known = new Map(meant.relations.map((one) => [one.name, one]))
  refuseWrites(wanted, known, tables)
  const filled = [...tables.values()].filter(({ filling }) => filling.length > 0)
  const columns = filled.length === 0 ? NONE : await columnsOf(session, filled.map(({ oid }) => oid))
  const needs = needsOf(wanted, { words: order.words, known, hasPlainTypes: meant.hasPlainTypes, tables, columns })
  for (const need of needs) refuseHalf(need)
  const notices = needs.flatMap((need) => tellOnce(need, session))
  // What is looked up here, was looked up in the client's transaction: its snapshot is from before HubSpot is asked.
  const isKept = needs.length > 0 && meant.keepsSnapshot && session.isInTransaction
  const beginning = beginningOf(session)
  const stand = isKept ? await standOf(beginning, session) : undefined
  const said = order.part.length > 1 ? undefined : stand?.said
  if (stand !== undefined && said === undefined) {
    if (beginning.told !== stand.began) notices.push(OLD_SNAPSHOT)
    beginning.told = stand.began
    return { do: 'forward', notices }
  }
  const met = await Promise.all(needs.map((need) => meet(deps, need, meant.maxAgeMs, begunAt)))
  notices.push(...met.filter((notice) => notice !== undefined))
  if (said !== undefined) await beginAgain(said, session)
  return { do: 'forward', ...(notices.length > 0 && { notices }) }
}

const NONE: ReadonlySet<string> = new Set()

const beginningOf = (session: LiveSession) => state<Beginning>(session, 'beginning', () => ({ transaction: -1, unasked: 0, texts: undefined, told: undefined }))

type Meaning = { meant: Meant; tables: ReadonlyMap<string, LiveTable> }

/** Names as the session's process has them, and what is to be known of the tables they come to. */
async function meaningOf({ db }: FreshenDeps, relations: readonly Relation[], session: LiveSession): Promise<Meaning> {
  const ours = [...new Set(relations.flatMap(({ schema, name }) => (schema === 'hubspot' ? [name] : [])))]
  const known = state(session, 'tables', () => new Set<string>())
  if (relations.every(({ schema, name }) => schema === 'hubspot' && known.has(name))) {
    // At once: each is a way to the server and back.
    const [meant, found] = await Promise.all([lookUpTables(session, relations), liveTables(db, ours)])
    if (meant !== undefined && found.length === ours.length) return { meant, tables: byName(found) }
    known.clear()
  }
  const meant = await lookUp(session, relations)
  const tables = byName(await liveTables(db, [...new Set(meant.relations.flatMap((one) => one.tables))]))
  for (const { itself, isFiltered } of meant.relations) if (itself !== undefined && !isFiltered && tables.has(itself)) known.add(itself)
  return { meant, tables }
}

/** What a text does, whether the parser reads it or the server alone: of another version, or with literals that mean another thing. */
async function looked(text: string, acts: () => Promise<Found>, { escapes = false }: Statement, { version }: LiveSession): Promise<Found> {
  if (escapes && text.includes('\\')) return [guessed(text, escapes)]
  const found = await acts()
  return found === 'unreadable' && version !== GRAMMAR ? [guessed(text, escapes)] : found
}

const byName = (tables: readonly LiveTable[]) => new Map(tables.map((table) => [table.table_name, table]))

/** What a session keeps under a name. */
function state<Kept>({ state: kept }: LiveSession, name: string, make: () => Kept): Kept {
  if (!kept.has(name)) kept.set(name, make())
  return kept.get(name) as Kept
}

/** Nothing is answered from a part of the rows, or of a column's values. */
function refuseHalf({ table, ids, all, filling }: Need): void {
  // Associations are asked for from one side: of a record of the other, some may be lacking.
  const isPart = all || (table.pair !== null && (ids.get(table.keys[1] ?? '')?.size ?? 0) > 0)
  if (!table.is_loaded && isPart) throw stillLoading(table)
  if (filling.size > 0) throw stillFilling(table, [...filling])
}

/** What a session is told once: `select *` shows columns that it does not name. */
function tellOnce({ table, all }: Need, session: LiveSession): ServerNotice[] {
  const told = state(session, 'told', () => new Set<string>())
  const what = `${table.table_name} ${table.filling.join()}`
  if (!all || table.filling.length === 0 || told.has(what)) return []
  told.add(what)
  return [someEmpty(table)]
}

/** Has HubSpot asked for what is needed of a table; a warning where it was not in time and that was chosen, or where someone holds its rows. */
async function meet({ reads, log }: FreshenDeps, { table, ids, all, isFiltered }: Need, sessionMaxAgeMs: number, begunAt: number): Promise<ServerNotice | undefined> {
  if (!all && [...ids.values()].every((some) => some.size === 0)) return undefined
  // What was read before a column was there, lacks it.
  const maxAgeMs = table.filling.length > 0 ? 0 : Math.max(sessionMaxAgeMs, table.max_age_ms)
  // Waiting for its turn at the parser is waiting too.
  const patience = { maxAgeMs, mostMs: Math.max(table.timeout_ms - (performance.now() - begunAt), 0), version: `${table.oid} ${table.column_set}` }
  const inTime = new AbortController()
  try {
    const { unasked, unasked_code: code, unasked_hint: hint } = table
    if (unasked !== null) throw Object.assign(new Error(unasked), { code, hint })
    const held = await Promise.race([
      read(reads, { table, ids, all }, patience),
      sleep(patience.mostMs, inTime.signal).then((): never => { throw new Error(`it took more than ${table.timeout_ms / 1_000} s`) }),
    ])
    if (held.length > 0) noteHeld(table, held, log)
    return held.length > 0 ? heldRows(table, isFiltered ? [] : held) : undefined
  } catch (error) {
    if (error instanceof Refusal) throw error
    return late(table, error, log)
  } finally {
    inTime.abort()
  }
}

async function read(reads: LiveReads, { table: { object, pair, keys }, ids, all }: Pick<Need, 'table' | 'ids' | 'all'>, patience: Parameters<LiveReads['records']>[2]): Promise<readonly string[]> {
  const of = (key: string | undefined) => [...(ids.get(key ?? '') ?? [])]
  const [first, second] = [of(keys[0]), of(keys[1])]
  const some = first.length > 0 || second.length > 0
  if (pair === null) {
    const held = await Promise.all([some ? reads.records(object, first, patience) : [], all ? reads.catchUp(object, patience) : []])
    return [...new Set(held.flat())]
  }
  const held = await Promise.all([
    ...(all ? [reads.edges({ object, pair }, patience)] : []),
    ...(some ? [reads.edges({ object, pair, from: first, to: second }, patience)] : []),
  ])
  return [...new Set(held.flatMap(({ from, to }) => [...from.map((id) => `${keys[0]} ${id}`), ...to.map((id) => `${keys[1]} ${id}`)]))]
}
