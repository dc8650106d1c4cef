import type pg from 'pg'
import type { Database } from './database.ts'
import { type Jsonb, queryWithBody } from './jsonb.ts'
import type { Plan, StreamKey } from './calls.ts'

// The functions of sql/code/88_freshen.sql, 90 and 91, as calls.ts has those of the streams.

/** A table of the mirror, as one who reads it live has to know it. */
export type LiveTable = {
  table_name: string
  /** Of a pair's table, the object that it is read from. */
  object: string
  /** Which columns the object's records are read with. */
  column_set: number
  pair: number | null
  /** Another for a table that was dropped and made again. */
  oid: string
  /** `id`, or the columns of both ends of a pair. */
  keys: string[]
  /** Whole: until then records are answered by id alone, associations by the id of the record that is asked for them. */
  is_loaded: boolean
  /** Columns that not all rows have their value in yet. */
  filling: string[]
  /** Why HubSpot cannot be asked at all, and what to do. */
  unasked_code: string | null
  unasked: string | null
  unasked_hint: string | null
  max_age_ms: number
  timeout_ms: number
  on_late: 'error' | 'warn'
}

/** What is to be known of these tables; those that are not of the mirror are left out. */
export async function liveTables(db: Database, names: readonly string[]): Promise<LiveTable[]> {
  const { rows } = await db.pool.query<LiveTable>({
    name: 'live_tables',
    text: `
      select t.*, pg_catalog.to_regclass(pg_catalog.format('hubspot.%I', t.table_name))::pg_catalog.oid as oid
      from hubspot_private.live_tables(names => $1) t`,
    values: [names],
  })
  return rows
}

/** What to ask of an object's records; null: it is not tracked. */
export async function streamPlan(db: Database, object: string): Promise<Plan | null> {
  const { rows } = await db.pool.query<{ plan: Plan | null }>('select hubspot_private.stream_plan(object => $1) as plan', [object])
  return rows[0]!.plan
}

/**
 * What taking in a batch read came to; `held`: records whose rows are as they were, since someone holds them, or does not let them
 * change. apart: some of these were left out, so as to hold up no other.
 */
export type LiveApplied = { outcome: 'done' | 'apart' | 'unsure' | 'again'; held: string[] | null }

/** Takes in a batch read that a query waits for. */
export async function liveApply(
  db: Database,
  read: { object: string; columnSet: number; ids: readonly string[]; askedAt: string; body: Jsonb },
): Promise<LiveApplied> {
  const rows = await queryWithBody<LiveApplied>(db.pool, {
    name: 'live_apply',
    text: 'select * from hubspot_private.live_apply(object => $1, column_set => $2, ids => $3, asked_at => $4, answer => $5)',
    values: [read.object, read.columnSet, JSON.stringify(read.ids), read.askedAt, read.body],
  })
  return rows[0]!
}

/** Asks for a poll that begins from now on; its run. */
export async function livePoll(db: Database, object: string, mostMs: number): Promise<string> {
  const { rows } = await db.pool.query<{ run: string }>('select hubspot_private.live_poll(object => $1, most_ms => $2) as run', [object, mostMs])
  return rows[0]!.run
}

/** How long ago the last poll began, ms; null: too long, or not all that it found is here. */
export async function liveAge(db: Database, object: string): Promise<number | null> {
  const { rows } = await db.pool.query<{ age: number | null }>('select hubspot_private.live_age(object => $1) as age', [object])
  return rows[0]!.age
}

/** How far something is that a query waits for; null: it was stopped. */
export type Look = { is_done: boolean | null; started_at: string | null; retry_ms: number | null; code: string | null; message: string | null; hint: string | null }

/** Whether a poll's run is over, or ids or associations have been read since a time. */
export async function liveLook(db: Database, { object, stream, range }: StreamKey, { run, since }: { run?: string; since?: string }): Promise<Look> {
  const { rows } = await db.pool.query<Look>({
    name: 'live_look',
    text: 'select * from hubspot_private.live_look(object => $1, stream => $2, range => $3, run_id => $4, since => $5)',
    values: [object, stream, range, run ?? null, since ?? null],
  })
  return rows[0]!
}

/** Puts ids on the list of those to read; the time since when they are waited for. */
export async function liveQueue(client: Pick<pg.PoolClient, 'query'>, object: string, ids: readonly string[], mostMs: number): Promise<string> {
  const { rows } = await client.query<{ since: string }>(
    'select hubspot_private.live_queue(object => $1, ids => $2, most_ms => $3) as since',
    [object, ids, mostMs],
  )
  return rows[0]!.since
}

/** Those of these ids, or of all, that are still to be read after all: refused here, held, or in doubt. */
export async function liveDoubtful(db: Database, object: string, ids?: readonly string[]): Promise<string[]> {
  const { rows } = await db.pool.query<{ ids: string[] | null }>('select hubspot_private.live_doubtful(object => $1, ids => $2) as ids', [object, ids ?? null])
  return rows[0]!.ids ?? []
}

/** Of these ids, which could not be written when they were last read, those that nobody else's lock or refusal is in the way of now. */
export async function liveFree(db: Database, object: string, ids: readonly string[]): Promise<string[]> {
  const { rows } = await db.pool.query<{ ids: string[] | null }>('select hubspot_private.live_free(object => $1, ids => $2) as ids', [object, ids])
  return rows[0]!.ids ?? []
}

/** Has associations read, of records at either end of a pair; those that the mirror lacks are not. */
export async function liveEdges(
  db: Database,
  { pair, from, to, mostMs }: { pair: number; from: readonly string[]; to: readonly string[]; mostMs: number },
): Promise<{ since: string; lacking: string[] | null }> {
  const { rows } = await db.pool.query<{ since: string; lacking: string[] | null }>(
    'select * from hubspot_private.live_edges(pair => $1, from_ids => $2, to_ids => $3, most_ms => $4)',
    [pair, from, to, mostMs],
  )
  return rows[0]!
}

/** Records at either end of a pair, of these or (none) of all, whose associations are not as HubSpot has them after all. */
export async function liveEdgesDoubtful(
  db: Database,
  { pair, from, to, since }: { pair: number; from: readonly string[]; to: readonly string[]; since: string },
): Promise<{ from: string[]; to: string[] }> {
  const { rows } = await db.pool.query<{ from_held: string[] | null; to_held: string[] | null }>(
    'select * from hubspot_private.live_edges_doubtful(pair => $1, from_ids => $2, to_ids => $3, since => $4)',
    [pair, from, to, since],
  )
  return { from: rows[0]!.from_held ?? [], to: rows[0]!.to_held ?? [] }
}
