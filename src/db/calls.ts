import type pg from 'pg'
import type { Database } from './database.ts'
import { type Jsonb, queryWithBody } from './jsonb.ts'

// One wrapper for each function of hubspot_private that the worker calls, always in named notation.

/** A stream: one way of reading one object; `range` is a part of it, or a settle window. Object `*` is the account. */
export type StreamKey = { object: string; stream: string; range: number }

/** How urgent a request is: a lower class leaves budgets to the higher ones, but for a floor (sql/code/31_quota_take.sql). */
export type QuotaClass = 'live' | 'poll' | 'settle' | 'backfill'

/** What a stream's cursor stands at; see `stream_request` in sql/code/51_requests.sql. */
export type StreamRequest = { class: QuotaClass } & (
  | { kind: 'list'; after: string | null; until?: string; properties?: string[]; is_apart?: boolean }
  | { kind: 'archived'; after: string | null }
  | { kind: 'read'; ids: string[]; seqs: number[]; young?: string[] }
  | { kind: 'look'; inputs: string[] }
  | { kind: 'search' | 'count'; body: object; upto?: number | null }
  | { kind: 'schema' }
  | { kind: 'probe'; properties: string[]; silent: string[]; is_by_id: boolean }
  | { kind: 'labels'; from: string; to: string }
  | { kind: 'associations'; from: string; to: string; inputs: { id: string; after?: string }[]; seqs: (number | null)[] }
  | { kind: 'catalogue' }
)

/** What stays the same from step to step. */
export type Plan = { type: string; column_set: number; has_pipelines: boolean; properties: string[] }

/** A lease taken: commits need its epoch and the cursor they were asked at. Its time comes in `wait_ms`, half a second at most. */
export type Claim = { epoch: string; cursor: unknown; request: StreamRequest; plan: Plan | null; wait_ms: number }

/** Takes the lease of a stream that is due; undefined: nothing to do, or another holds it. */
export async function streamClaim(db: Database, key: StreamKey, worker: string): Promise<Claim | undefined> {
  const { rows } = await db.pool.query<Claim>({
    name: 'stream_claim',
    text: 'select * from hubspot_private.stream_claim(object => $1, stream => $2, range => $3, worker => $4)',
    values: [key.object, key.stream, key.range, worker],
  })
  return rows[0]
}

/** Reads the catalogue again: a column or table that someone dropped is made anew, and filled. */
export async function tableMend(db: Database, object: string): Promise<void> {
  await db.pool.query('select hubspot_private.table_mend(object => $1)', [object])
}

/** Gives a lease back in the middle of a run. */
export async function streamRelease(db: Database, key: StreamKey, epoch: string): Promise<void> {
  await db.pool.query(
    'select hubspot_private.stream_release(object => $1, stream => $2, range => $3, epoch => $4)',
    [key.object, key.stream, key.range, epoch],
  )
}

/** How a step failed; `transient` heals by itself, `refused` parks the object, `bug` is ours. */
export type Failure = {
  kind: 'transient' | 'refused' | 'bug'
  code: string
  message: string
  hint: string
  retryAfterMs: number | undefined
  /** What failed, where that may lie in what it names. */
  request?: StreamRequest | undefined
}

/** Gives a lease back after a failure, with a back-off. */
export async function streamFail(db: Database, key: StreamKey, epoch: string, failure: Failure): Promise<void> {
  await db.pool.query(
    `select hubspot_private.stream_fail(object => $1, stream => $2, range => $3, epoch => $4,
       kind => $5, code => $6, message => $7, hint => $8, retry_after_ms => $9, request => $10)`,
    [
      key.object, key.stream, key.range, epoch, failure.kind, failure.code, failure.message, failure.hint, failure.retryAfterMs ?? null,
      failure.request ? JSON.stringify(failure.request) : null,
    ],
  )
}

/** The answer of one step; `body` by `asJsonb`, null where an optional question was refused. */
export type StepAnswer = {
  epoch: string
  cursor: unknown
  request: StreamRequest
  columnSet: number
  askedAt: string
  answeredAt: string | undefined
  body: Jsonb | null
  after: string | undefined
  asked: readonly string[] | undefined
  requests: number
  /** Record by record: what cannot be written is left out with a problem, where a whole page was refused before. */
  isCareful?: boolean
  /** What it would write is queued to be read and written one by one, or left out where it is one already. */
  isApart?: boolean
  /** Ids of the records whose text was made such as Postgres can hold: SH210. */
  repaired?: readonly string[]
}

/** What became of a step; see `step_commit` in sql/code/52_steps.sql. */
export type StepOutcome = {
  outcome: 'more' | 'done' | 'lost' | 'again'
  next_cursor: unknown
  next_request: StreamRequest | null
}

/** Takes in an answer in one transaction. */
export async function stepCommit(on: pg.Pool | pg.PoolClient, key: StreamKey, step: StepAnswer): Promise<StepOutcome> {
  // Rare, and named where it is so alone.
  const isRare = step.repaired !== undefined || step.isApart === true
  const rows = await queryWithBody<StepOutcome>(on, {
    name: isRare ? 'step_commit_rare' : 'step_commit',
    text: `select * from hubspot_private.step_commit(object => $1, stream => $2, range => $3, epoch => $4, cursor => $5, request => $6,
      column_set => $7, asked_at => $8, answered_at => $9, answer => $10, after => $11, asked => $12, requests => $13, is_careful => $14${isRare ? ', repaired => $15, is_apart => $16' : ''})`,
    values: [
      key.object, key.stream, key.range, step.epoch, JSON.stringify(step.cursor), JSON.stringify(step.request),
      step.columnSet, step.askedAt, step.answeredAt ?? null, step.body, step.after ?? null,
      step.asked === undefined ? null : JSON.stringify(step.asked), step.requests, step.isCareful ?? false,
      ...(isRare ? [step.repaired ?? null, step.isApart ?? false] : []),
    ],
  })
  return rows[0]!
}

/** A request's turn: wait `delay_ms`, then send; not granted: nothing is reserved, ask again after `delay_ms`. */
export type Permit = {
  is_granted: boolean
  delay_ms: number
  asked_at: string
  /** daily: the class has none left until midnight. */
  refused_by: 'burst' | 'search' | 'daily' | null
  /** The database's clock when it was asked: epoch ms. */
  clock_ms: number
}

/** What answers told about delays (the fastest and the slowest) and limits. */
export type Seen = {
  first_byte_ms: number
  slowest_ms: number
  burst_max?: number
  daily_max?: number
  daily_remaining?: number
  date?: string
}

/** Takes one request of a budget and of the day. */
export async function quotaTake(db: Database, kind: 'burst' | 'search', turn: QuotaClass, seen: Seen | undefined): Promise<Permit> {
  const { rows } = await db.pool.query<Permit>({
    name: 'quota_take',
    text: 'select * from hubspot_private.quota_take(kind => $1, class => $2, seen => $3)',
    values: [kind, turn, seen === undefined ? null : JSON.stringify(seen)],
  })
  return rows[0]!
}

/** HubSpot answered 429, by its clock at `answeredAt`. */
export async function quotaThrottled(db: Database, budget: string, retryAfterMs: number | undefined, answeredAt: string | undefined): Promise<void> {
  await db.pool.query('select hubspot_private.quota_throttled(budget => $1, retry_after_ms => $2, answered_at => $3)', [
    budget, retryAfterMs ?? null, answeredAt ?? null,
  ])
}

/** A stream whose lease a worker holds. */
export type Held = StreamKey & { epoch: string }

/** A worker is alive and still holds these streams; `isPresent`: it also holds its lock (src/db/presence.ts). */
export async function workerBeat(
  db: Database,
  {
    id, host, pid, queueIds, held, isPresent = false, mayWrite = true,
  }: { id: string; host: string; pid: number; queueIds: readonly string[]; held: readonly Held[]; isPresent?: boolean; mayWrite?: boolean },
): Promise<void> {
  await db.pool.query(
    'select hubspot_private.worker_beat(id => $1, host => $2, pid => $3, queue_ids => $4, held => $5, is_present => $6, may_write => $7)',
    [id, host, pid, queueIds, JSON.stringify(held), isPresent, mayWrite],
  )
}

/** A worker stopped in order. */
export async function workerStop(db: Database, id: string): Promise<void> {
  await db.pool.query('select hubspot_private.worker_stop(id => $1)', [id])
}

/** Wakes what nobody holds, and keeps the change feed's days; returns how many streams were woken. */
export async function sweep(db: Database): Promise<number> {
  let woken = 0
  try {
    // In a transaction of its own: it may hold the feed for a moment. Whatever is wrong with that, the sweep is done.
    await db.pool.query('select hubspot_private.changes_keep()')
  } finally {
    woken = (await db.pool.query<{ woken: number }>('select hubspot_private.sweep() as woken')).rows[0]!.woken
  }
  return woken
}

/** Streams that nobody holds and that are due; since a time: all that everything due then still needs. */
export async function streamsDue(db: Database, startedAt?: string): Promise<StreamKey[]> {
  const { rows } = await db.pool.query<StreamKey>(
    'select object, stream, range from hubspot_private.streams_due(started_at => $1)',
    [startedAt ?? null],
  )
  return rows
}

/** The statements that end a first load; not in a transaction. */
export async function vacuum(db: Database, object: string): Promise<void> {
  const { rows } = await db.pool.query<{ statement: string }>(
    `select format('vacuum (analyze) hubspot.%I', t.table_name) as statement
     from hubspot.object_types t where t.object = $1 and t.is_tracked and t.table_name is not null`,
    [object],
  )
  if (rows[0] !== undefined) await db.pool.query(rows[0].statement)
}

/** The product's clock, as text. */
export async function clock(db: Database): Promise<string> {
  const { rows } = await db.pool.query<{ now: string }>('select hubspot_private.clock() as now')
  return rows[0]!.now
}

/** HubSpot refuses to show these properties: they are left out. How many of them are. */
export async function propertiesPark(
  db: Database,
  { object, properties, message, hint }: { object: string; properties: readonly string[]; message: string; hint: string },
): Promise<number> {
  const { rows } = await db.pool.query<{ parked: number }>(
    'select hubspot_private.properties_park(object => $1, properties => $2, message => $3, hint => $4) as parked',
    [object, properties, message, hint],
  )
  return rows[0]!.parked
}
