import type { Database } from '../db/database.ts'
import { type LiveTable, liveTables } from '../db/live-calls.ts'
import { SyncError } from '../lib/errors.ts'
import type { Log } from '../lib/log.ts'
import { sleep } from '../lib/time.ts'
import type { LiveReads } from '../sync/live.ts'
import { idsOf, type Param } from './query/ids.ts'
import { isCatalogue, type Wanted, wantedOf } from './query/order.ts'
import { Parser } from './query/parser.ts'
import type { Live, LiveSession, ServerNotice, Verdict } from './live.ts'
import { Refusal } from './live.ts'
import type { Relation, Touch } from './query.ts'
import { lookUp, lookUpTables, type Meant, nameOf } from './query/relations.ts'
import { withoutSnapshot } from './query/snapshot.ts'

/** What freshening needs. */
export type FreshenDeps = { db: Database; reads: LiveReads; log: Log }

/** What of one table a statement needs: records by the values of each key column, or whatever changed. */
type Need = { table: LiveTable; ids: Map<string, Set<string>>; all: boolean }

/** Of a transaction: how often each table was freshened in it. */
type Freshened = { transaction: number; times: Map<string, number> }

/** A table that is looked up more often than this in one transaction is caught up with once, and then left: a loop is at work. */
const MOST_LOOKUPS = 5
/** So many ids of one table and statement are read by id, a hundred a call; for more, what changed is. */
const MOST_IDS = 5_000

/** Makes what sessions ask before a statement is forwarded: HubSpot is asked for what it touches. */
export function createLive({ db, reads, log }: FreshenDeps): Live {
  const parser = new Parser(log)
  return {
    async prepare(statement, session) {
      const text = withoutSnapshot(statement.text, session)
      const wanted = (await wantedOf(statement, session, (one) => parser.acts(one))) ?? []
      const named = wanted.flatMap(({ touches, targets }) => [...touches, ...targets]).filter(({ relation }) => !isCatalogue(relation.schema))
      const verdict = named.length === 0 ? undefined : await freshen({ db, reads, log }, wanted, session)
      if (verdict?.do === 'refuse' || text === undefined) return verdict ?? { do: 'forward' }
      return { ...verdict, do: 'forward', text }
    },
    end: () => parser.end(),
  }
}

async function freshen(deps: FreshenDeps, wanted: readonly Wanted[], session: LiveSession): Promise<Verdict> {
  const { meant, tables } = await meaningOf(deps, wanted.flatMap(({ touches, targets }) => [...touches, ...targets].map(({ relation }) => relation)), session)
  const refused = refusedWrite(wanted, meant, tables)
  if (refused !== undefined) return { do: 'refuse', error: refused.error }
  const needs = needsOf(wanted, meant, tables)
  const freshened = state<Freshened>(session, 'freshened', () => ({ transaction: session.transaction, times: new Map() }))
  if (freshened.transaction !== session.transaction) Object.assign(freshened, { transaction: session.transaction, times: new Map() })
  for (const need of needs) limit(need, freshened)
  const notices: ServerNotice[] = []
  await Promise.all(needs.map(async (need) => {
    const notice = await meet(deps, need, meant.maxAgeMs)
    if (notice !== undefined) notices.push(notice)
  }))
  return { do: 'forward', ...(notices.length > 0 && { notices }) }
}

type Meaning = { meant: Meant; tables: ReadonlyMap<string, LiveTable> }

/** Names as the session's process has them, and what is to be known of the tables they come to. */
async function meaningOf({ db }: FreshenDeps, relations: readonly Relation[], session: LiveSession): Promise<Meaning> {
  const ours = [...new Set(relations.flatMap(({ schema, name }) => (schema === 'hubspot' ? [name] : [])))]
  const known = state(session, 'tables', () => new Set<string>())
  if (relations.every(({ schema, name }) => schema === 'hubspot' && known.has(name))) {
    // At once: each is a way to the server and back.
    const [meant, found] = await Promise.all([lookUpTables(session, relations), liveTables(db, ours)])
    if (found.length === ours.length) return { meant, tables: byName(found) }
    known.clear()
  }
  const meant = await lookUp(session, relations)
  const tables = byName(await liveTables(db, [...new Set(meant.relations.flatMap((one) => one.tables))]))
  for (const { isTable, tables: [name] } of meant.relations) if (isTable && name !== undefined && tables.has(name)) known.add(name)
  return { meant, tables }
}

const byName = (tables: readonly LiveTable[]) => new Map(tables.map((table) => [table.table_name, table]))

/** What a session keeps under a name. */
function state<Kept>({ state: kept }: LiveSession, name: string, make: () => Kept): Kept {
  if (!kept.has(name)) kept.set(name, make())
  return kept.get(name) as Kept
}

/** Writes do not reach HubSpot yet: those of its tables are refused before they come to nothing. */
function refusedWrite(wanted: readonly Wanted[], meant: Meant, tables: ReadonlyMap<string, LiveTable>): Refusal | undefined {
  for (const { relation, verb } of wanted.flatMap(({ targets }) => targets)) {
    const table = meant.relations.find(({ name }) => name === nameOf(relation))
    if (table?.isTable !== true || !tables.has(table.tables[0] ?? '')) continue
    return new Refusal({
      code: 'SH105',
      message: `table hubspot.${table.tables[0]} is read-only: it cannot be ${verb}`,
      detail: 'What is written to a live table does not reach HubSpot.',
      hint: 'Change the record in HubSpot: the next query shows it. Keep your own columns in a table of your own.',
    })
  }
  return undefined
}

/** What must be read for a statement, table by table. Whoever may not read one spends no call on it. */
function needsOf(wanted: readonly Wanted[], meant: Meant, tables: ReadonlyMap<string, LiveTable>): Need[] {
  const needs = new Map<string, Need>()
  for (const { touches, params } of wanted) {
    for (const { relation, keys, isDefinition } of touches) {
      const known = meant.relations.find(({ name }) => name === nameOf(relation))
      if (known === undefined || !known.mayRead || (known.isStored && !isDefinition)) continue
      for (const name of known.tables) {
        const table = tables.get(name)
        if (table === undefined) continue
        const need = needs.get(name) ?? { table, ids: new Map(), all: false }
        needs.set(name, need)
        // What a view's columns are is its own affair.
        const by = known.isTable ? table.keys.map((key) => ({ key, ids: idsIn(keys.get(key), params) })).find(({ ids }) => ids !== undefined) : undefined
        if (by?.ids === undefined) need.all = true
        else need.ids.set(by.key, new Set([...(need.ids.get(by.key) ?? []), ...by.ids]))
      }
    }
  }
  return [...needs.values()]
}

/** The shortest of the lists of which a column must have a value. */
function idsIn(lists: Touch['keys'] extends ReadonlyMap<string, infer Lists> ? Lists | undefined : never, params: readonly Param[]): string[] | undefined {
  const known = (lists ?? []).map((list) => idsOf(list, params)).filter((ids) => ids !== undefined)
  const [shortest] = known.toSorted((one, other) => one.length - other.length)
  return shortest === undefined || shortest.length > MOST_IDS ? undefined : shortest
}

/** Look-ups without end, as of a nested loop, become one look at what changed. */
function limit(need: Need, { times }: Freshened): void {
  const name = need.table.table_name
  const now = (times.get(name) ?? 0) + 1
  times.set(name, now)
  if (now <= MOST_LOOKUPS) return
  need.ids.clear()
  need.all = now === MOST_LOOKUPS + 1
}

/** Has HubSpot asked for what is needed of a table; a warning where it was not in time, and that is what was chosen. */
async function meet({ reads, log }: FreshenDeps, { table, ids, all }: Need, sessionMaxAgeMs: number): Promise<ServerNotice | undefined> {
  if (!all && [...ids.values()].every((some) => some.size === 0)) return undefined
  if (!table.is_loaded && (all || table.pair !== null)) {
    throw new Refusal({
      code: '55000',
      message: `table hubspot.${table.table_name} is still being loaded`,
      hint: `Wait for it: call hubspot.wait('${table.object}'); or ask for records by their id.`,
    })
  }
  const patience = { maxAgeMs: Math.max(sessionMaxAgeMs, table.max_age_ms), mostMs: table.timeout_ms }
  const inTime = new AbortController()
  try {
    if (table.unasked !== null) throw new Error(table.unasked)
    await Promise.race([
      read(reads, { table, ids, all }, patience),
      sleep(patience.mostMs, inTime.signal).then(() => { throw new Error(`it took more than ${patience.mostMs / 1_000} s`) }),
    ])
    return undefined
  } catch (error) {
    if (error instanceof Refusal) throw error
    return late(table, error, log)
  } finally {
    inTime.abort()
  }
}

async function read(reads: LiveReads, { table: { object, pair, keys }, ids, all }: Need, patience: Parameters<LiveReads['records']>[2]): Promise<void> {
  const of = (key: string | undefined) => [...(ids.get(key ?? '') ?? [])]
  const [first, second] = [of(keys[0]), of(keys[1])]
  const some = first.length > 0 || second.length > 0
  if (pair === null) {
    await Promise.all([all && reads.catchUp(object, patience), some && reads.records(object, first, patience)])
    return
  }
  if (all) await reads.edges({ object, pair }, patience)
  if (some) await reads.edges({ object, pair, from: first, to: second }, patience)
}

function late({ table_name: name, on_late: onLate }: LiveTable, error: unknown, log: Log): ServerNotice {
  const why = error instanceof Error ? error.message : String(error)
  log.warn(`a query of live table ${name} was not fresh in time: ${why}`, { table: name, ...(error instanceof SyncError && { code: error.code }) })
  const said = {
    code: 'SH232',
    message: `HubSpot could not be asked in time for hubspot.${name}: ${why}`,
    ...(error instanceof SyncError && { detail: error.hint }),
    hint: "Try again, read the mirror in schema hubspot, or let answers be older: set hubspot.max_age = '1 minute'. Settings live_timeout and live_on_late say how long is waited and what then.",
  }
  if (onLate === 'error') throw new Refusal(said)
  return { ...said, severity: 'WARNING' }
}
