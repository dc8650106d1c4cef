import { collectDefaultMetrics, Counter, Gauge, Registry } from 'prom-client'
import type { Database } from '../db/database.ts'
import { isConnected, metricsRead, type Received, type Sample } from '../db/web-calls.ts'
import type { Client } from '../hubspot/client.ts'
import { SyncError } from '../lib/errors.ts'
import type { Handler } from './server.ts'

/** What the database measures, by the names that hubspot_private.metrics() gives: help, labels. */
const FROM_SQL: Record<string, [help: string, ...labels: string[]]> = {
  connected: ['1: a HubSpot account is connected'],
  workers: ['Worker processes that live'],
  rows: ['Rows of the table', 'object'],
  progress_ratio: ['Of the first load, 0 to 1', 'object'],
  lag_seconds: ['Since the last finished poll began', 'object'],
  complete_until_timestamp_seconds: ["HubSpot's time up to which every change of a record is here", 'object'],
  deletes_complete_until_timestamp_seconds: ["HubSpot's time up to which every deletion is here", 'object'],
  associations_complete_until_timestamp_seconds: ["HubSpot's time up to which every association is here", 'object'],
  fetch_queue: ['Records that wait to be read by id', 'object'],
  association_queue: ['Records whose associations wait to be read', 'object'],
  object_state: ['1 for the state that the object is in', 'object', 'state'],
  budget_max_requests: ["HubSpot's limit", 'budget'],
  budget_used_requests: ['Requests used in the present period, by all apps', 'budget'],
  budget_remaining_requests: ['Requests left for this product in the present period', 'budget'],
  budget_throttled_total: ['429s since the installation', 'budget'],
  problems: ['Open problems', 'object', 'code'],
  run_duration_seconds: ['How long the last finished run took', 'object', 'stream'],
  run_finished_timestamp_seconds: ['When the last run finished', 'object', 'stream'],
  sweep_finished_timestamp_seconds: ['When a sweep of the workers was last done: every 20 s'],
  feed_lag_seconds: ['For how long changes have waited for a transaction that began before them, in any database of the server'],
  subscription_lag_seconds: ['Since the oldest change that a subscription has still to get', 'subscription', 'object'],
  subscription_records_failing: ['Records whose changes a subscription did not take', 'subscription', 'object'],
  jobs_waiting: ['Jobs that could run and that no worker has taken'],
  webhook_events_waiting: ['Webhook events that nobody acted on yet'],
  webhook_events_total: ['Webhook events by type, acted on or ignored since nobody tracks what they are about', 'type', 'object', 'outcome'],
}

const PREFIX = 'pg_hubspot_'
/** How long an answer of the database serves: whoever asks more often learns nothing new and costs nothing. */
const KEPT_MS = 1_000

/** The metrics of a worker: what the database knows, of all workers, and what this process counts itself. */
export type Metrics = {
  /** `GET /metrics`: 503 while the database is away. */
  page: () => Promise<Response>
  /** `GET /readyz`: 200 where the database is reached and an account is connected, else 503. */
  ready: () => Promise<Response>
  /** A request that was answered. */
  served(path: string, status: number): void
  /** A webhook's events. */
  received(events: Received): void
  /** The same client, its calls counted by status. */
  counting(client: Client): Client
}

/** Makes the metrics of one process, in a registry of their own. */
export function createMetrics(db: Database): Metrics {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry })
  const make = <Label extends string>(kind: typeof Counter | typeof Gauge, name: string, help: string, labelNames: readonly Label[]) =>
    new kind<Label>({ name: PREFIX + name, help, labelNames, registers: [registry] })
  const measured = new Map(Object.entries(FROM_SQL).map(([name, [help, ...labels]]) =>
    [name, make(name.endsWith('_total') ? Counter : Gauge, name, help, labels)]))
  const calls = make(Counter, 'hubspot_calls_total', "This process's calls of HubSpot by status; 0: no answer came", ['status'])
  const requests = make(Counter, 'http_requests_total', 'Requests that this process answered, by path and status', ['path', 'status'])
  const events = make(Counter, 'webhook_received_total', 'Webhook events that this process received: stored, repeated, unreadable, other_portals', ['outcome'])

  const take = (samples: readonly Sample[]) => {
    for (const metric of measured.values()) metric.reset()
    for (const { name, labels, value } of samples) {
      const [, ...order] = FROM_SQL[name] ?? []
      measured.get(name)?.inc(Object.fromEntries(order.map((label) => [label, labels[label] ?? ''])), value)
    }
  }
  const scrape = keep(async () => {
    take(await metricsRead(db))
    return registry.metrics()
  })
  const look = keep(() => isConnected(db))

  return {
    async page() {
      try {
        return new Response(await scrape(), { headers: { 'content-type': registry.contentType, 'cache-control': 'no-store' } })
      } catch (error) {
        return Response.json({ message: `the database does not answer: ${textOf(error)}` }, { status: 503 })
      }
    },
    async ready() {
      const { status, message } = await look().then(
        (isSo) => (isSo ? { status: 200, message: 'ready' } : { status: 503, message: 'no HubSpot account is connected' }),
        (error: unknown) => ({ status: 503, message: `the database does not answer: ${textOf(error)}` }),
      )
      return Response.json({ status: message }, { status, headers: { 'cache-control': 'no-store' } })
    },
    served: (path, status) => requests.inc({ path, status: String(status) }),
    received(counts) {
      for (const [outcome, count] of Object.entries(counts)) if (count > 0) events.inc({ outcome }, count)
    },
    counting: (client) => ({
      ...client,
      async request(request) {
        try {
          const answer = await client.request(request)
          calls.inc({ status: String(answer.status) })
          return answer
        } catch (error) {
          calls.inc({ status: String(statusOf(error)) })
          throw error
        }
      },
    }),
  }
}

/** Counts every answer of a handler. Unknown paths are one: names made up by a caller must not fill the memory. */
export function counted(handler: Handler, metrics: Pick<Metrics, 'served'>): Handler {
  return async (request, target) => {
    const response = await handler(request, target)
    metrics.served(response.status === 404 ? 'other' : new URL(request.url).pathname, response.status)
    return response
  }
}

/** Asks once for all who ask within the time; a failure is not kept. */
function keep<T>(ask: () => Promise<T>): () => Promise<T> {
  let kept: { answer: Promise<T>; at: number } | undefined
  return () => {
    if (kept === undefined || performance.now() - kept.at > KEPT_MS) {
      const mine = { answer: ask(), at: performance.now() }
      kept = mine
      mine.answer.catch(() => {
        if (kept === mine) kept = undefined
      })
    }
    return kept.answer
  }
}

function statusOf(error: unknown): number {
  const answer = error instanceof SyncError ? error.detail['answer'] : undefined
  return typeof answer === 'object' && answer !== null && 'status' in answer ? Number(answer.status) : 0
}

// The class of an error, never its text: it may name hosts and users, and probes are for everyone.
function textOf(error: unknown): string {
  return error instanceof Error ? ((error as NodeJS.ErrnoException).code ?? error.name) : 'unknown'
}
