import type { Database } from './database.ts'
import { type Jsonb, queryWithBody } from './jsonb.ts'

// As in calls.ts: one wrapper for each function of hubspot_private, for what is served over HTTP.

/** What became of the events of one request. */
export type Received = { stored: number; repeated: number; unreadable: number; other_portals: number }

/** Stores the events of a request whose signature was right. SH229 for a body that is no list. */
export async function inboxReceive(db: Database, events: Jsonb): Promise<Received> {
  const rows = await queryWithBody<Received>(db.pool, {
    name: 'inbox_receive',
    text: 'select * from hubspot_private.inbox_receive(events => $1)',
    values: [events],
  })
  return rows[0]!
}

/** How many events were acted on, which objects have records to read now, and how long to gather before the next, ms. */
export type AppliedEvents = { applied: number; objects: string[] | null; pause_ms: number | null }

/** Acts on events that wait, a few thousand at most. */
export async function inboxApply(db: Database): Promise<AppliedEvents> {
  const { rows } = await db.pool.query<AppliedEvents>({
    name: 'inbox_apply',
    text: 'select * from hubspot_private.inbox_apply()',
  })
  return rows[0]!
}

/** Records of one object that are erased together. */
export type Erasing = { object: string; ids: string[] }

/** What is to be erased now without another look at HubSpot, counted as tried. */
export async function erasuresTake(db: Database): Promise<Erasing[]> {
  return (await db.pool.query<Erasing>('select object, ids from hubspot_private.erasures_take()')).rows
}

/** Erases records that erasuresTake gave. */
export async function erasuresForget(db: Database, { object, ids }: Erasing): Promise<void> {
  await db.pool.query('select hubspot_private.erasures_forget(object => $1, ids => $2)', [object, ids])
}

/** A request to the webhook URL was turned down, or, without a code, taken. */
export async function webhooksJudge(db: Database, refused?: { code: string; message: string; hint?: string }): Promise<void> {
  await db.pool.query('select hubspot_private.webhooks_judge(code => $1, message => $2, hint => $3)', [
    refused?.code ?? null, refused?.message ?? null, refused?.hint ?? null,
  ])
}

/** A measured value; a counter where its name ends in _total. */
export type Sample = { name: string; labels: Record<string, string>; value: number }

/** All that the database measures. */
export async function metricsRead(db: Database): Promise<Sample[]> {
  const { rows } = await db.pool.query<Sample>({ name: 'metrics', text: 'select name, labels, value from hubspot_private.metrics()' })
  return rows
}

/** Whether work can be done: an account is connected. Rejects where the database is away or has no pg-hubspot. */
export async function isConnected(db: Database): Promise<boolean> {
  const { rows } = await db.pool.query<{ is_connected: boolean }>('select hubspot_private.account_is_connected() as is_connected')
  return rows[0]!.is_connected
}
