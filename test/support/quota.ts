import type pg from 'pg'
import { type FreshDatabase, freshDatabase } from './cluster.ts'

export type Kind = 'burst' | 'search'
export type Class = 'live' | 'poll' | 'settle' | 'backfill'
export type Permit = { is_granted: boolean; delay_ms: number; asked_ms: number; refused_by: string | null }

/** A database whose budgets are taken from by hand, in a time that only moves when a test says so. */
export type Budgets = AsyncDisposable & {
  db: FreshDatabase
  /** One connection for what runs in the server: temporary functions are a session's own. */
  client: pg.PoolClient
  /** Budgets as after the installation; time as it is, or as given. */
  reset(at?: string): Promise<void>
  advance(ms: number): Promise<void>
  take(kind: Kind, seen?: object, turn?: Class): Promise<Permit>
  /** Takes after each of these pauses, ms, asking again when told to; when each is to be sent, ms. */
  play(kind: Kind, gaps: number[]): Promise<number[]>
  /** Its row in hubspot.quota. */
  budget(name: string): Promise<{
    max_requests: number
    used: string
    remaining: string
    spread_ms: string | null
    throttled_count: string
    share: string
    used_by: Record<Class, number>
    waiting: Class[]
    forecast: Record<Class, number> | null
  }>
}

/** Makes a database of its own. */
export async function openBudgets(): Promise<Budgets> {
  const db = await freshDatabase('quota')
  const client = await db.pool.connect()
  await client.query(`
    create function pg_temp.play(kind text, gaps double precision[]) returns table (asked_us bigint)
    language plpgsql as $$
    declare
      gap double precision;
      permit record;
    begin
      foreach gap in array gaps loop
        update hubspot_private.installation set clock_shift = clock_shift + make_interval(secs => gap / 1000);
        loop
          select * into permit from hubspot_private.quota_take(play.kind);
          exit when permit.is_granted;
          update hubspot_private.installation set clock_shift = clock_shift + make_interval(secs => permit.delay_ms / 1000);
        end loop;
        asked_us := extract(epoch from permit.asked_at) * 1000000;
        return next;
      end loop;
    end $$`)
  return {
    db, client,
    async reset(at) {
      await client.query(`update hubspot_private.installation set clock_shift = coalesce($1::timestamptz - clock_timestamp(), '0')`, [at ?? null])
      await client.query(`update hubspot_private.account set time_zone = 'UTC', hubspot_ahead = '0'`)
      await client.query(`
        update hubspot_private.budgets set
          max_requests = case name when 'burst' then 100 when 'search' then 5 else 250000 end, learned_max = null, chosen_max = null,
          share = 1, free_at = hubspot_private.clock(), delay_low_ms = null, delay_high_ms = null, delay_seen_at = null, slow_factor = 1,
          slow_at = hubspot_private.clock(), used_by = default, waiting_until = default, floor_at = default, forecast = default,
          forecast_at = '-infinity', used = 0, used_since = hubspot_private.account_day(hubspot_private.clock()), throttled_count = 0,
          refused_until = null, is_tried = false, postmaster_at = pg_postmaster_start_time()`)
    },
    async advance(ms) {
      await client.query('update hubspot_private.installation set clock_shift = clock_shift + make_interval(secs => $1::double precision / 1000)', [ms])
    },
    async take(kind, seen, turn = 'live') {
      const { rows } = await client.query<Permit>(
        `select is_granted, delay_ms, (extract(epoch from asked_at) * 1000)::double precision as asked_ms, refused_by
         from hubspot_private.quota_take(kind => $1, seen => $2, class => $3)`,
        [kind, seen ?? null, turn],
      )
      return rows[0]!
    },
    async play(kind, gaps) {
      const { rows } = await client.query<{ asked_us: string }>('select asked_us from pg_temp.play($1, $2)', [kind, gaps])
      return rows.map(({ asked_us }) => Number(asked_us) / 1000)
    },
    async budget(name) {
      return (await client.query(`select * from hubspot.quota where budget = $1`, [name])).rows[0] as Awaited<ReturnType<Budgets['budget']>>
    },
    async [Symbol.asyncDispose]() {
      client.release()
      await db[Symbol.asyncDispose]()
    },
  }
}
