import { credentialSecrets } from '../db/account-calls.ts'
import { type Database, openDatabase } from '../db/database.ts'
import type { Patience } from '../db/silence.ts'
import type { Log } from '../lib/log.ts'
import type { Inbox } from '../sync/inbox.ts'
import { createSecrets } from '../sync/secrets.ts'
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
  { databaseUrl, log, patience, key }: { databaseUrl: string; log: Log; patience: Patience; key?: string | undefined },
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
        secrets: createClientSecrets(db, { clientSecret, key, log }),
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

/** How long stored secrets are used without looking again, ms. */
const KEPT_MS = 10_000

/** Whose signatures count: the environment's client secret, and those that accounts were connected with by OAuth. */
export function createClientSecrets(
  db: Database, { clientSecret, key, log }: { clientSecret: string | undefined; key: string | undefined; log: Log },
): () => Promise<readonly string[]> {
  const seal = createSecrets(key, log)
  const own = clientSecret === undefined ? [] : [clientSecret]
  let known: { secrets: readonly string[]; at: number } | undefined
  return async () => {
    if (known !== undefined && performance.now() - known.at < KEPT_MS) return known.secrets
    const stored = (await credentialSecrets(db)).filter(({ purpose }) => purpose === 'client_secret').flatMap(({ secret }) => {
      try {
        return [seal.open(secret, 'client_secret')]
      } catch (error) {
        // Sealed with a key that this worker has not: the environment's may do.
        log.debug('a stored client secret cannot be opened', { error })
        return []
      }
    })
    known = { secrets: [...new Set([...own, ...stored])], at: performance.now() }
    return known.secrets
  }
}
