import { type Database, openDatabase } from '../db/database.ts'
import type { Patience } from '../db/silence.ts'
import type { Log } from '../lib/log.ts'
import type { Inbox } from '../sync/inbox.ts'
import { counted, createMetrics, type Metrics } from './metrics.ts'
import { type Address, isLoopback, serve, type Serving } from './server.ts'
import { createSite } from './site.ts'
import { createWebhooks } from './webhooks.ts'

/** What a worker serves over HTTP. */
export type WebOptions = {
  address: Address
  /** For everything but probes and webhooks. */
  token?: string | undefined
  /** The client secret of the environment. */
  clientSecret?: string | undefined
  /** The webhooks' target URL as HubSpot has it. */
  webhookUrl?: string | undefined
}

/** The port, and what it counts. */
export type Web = AsyncDisposable & {
  metrics: Metrics
  url(): string | undefined
  /** Opens the port. SH014 where it cannot be. */
  open(inbox: Inbox): Promise<void>
}

/** Connections of its own: what is asked over HTTP waits for no stream's commit. */
const CONNECTIONS = 3

/** Prepares what a worker serves; nothing is heard before `open`. */
export function createWeb(
  { address, token, clientSecret, webhookUrl }: WebOptions,
  { databaseUrl, log, patience }: { databaseUrl: string; log: Log; patience: Patience },
): Web {
  const db: Database = openDatabase(databaseUrl, {
    max: CONNECTIONS, applicationName: 'pg-hubspot http', patience,
    onError: (error) => log.debug('an idle connection was lost', { error }),
  })
  for (const secret of [token, clientSecret]) if (secret !== undefined) log.hide(secret)
  const metrics = createMetrics(db)
  let serving: Serving | undefined
  return {
    metrics,
    url: () => serving?.url(),
    async open(inbox) {
      const access = { token, isLoopback: isLoopback(address.host) }
      const webhooks = createWebhooks({
        db, inbox, log, publicUrl: webhookUrl, count: metrics.received,
        // The only place that says whose signatures count.
        secrets: () => Promise.resolve(clientSecret === undefined ? [] : [clientSecret]),
      })
      const site = createSite({ webhooks, metrics: metrics.page, ready: metrics.ready }, access)
      serving = await serve(address, counted(site, metrics), log)
      if (token === undefined && !access.isLoopback) {
        log.warn('/metrics is not served beyond loopback without a token', { hint: 'Set PG_HUBSPOT_HTTP_TOKEN.' })
      }
    },
    async [Symbol.asyncDispose]() {
      await serving?.[Symbol.asyncDispose]()
      await db.close()
    },
  }
}
