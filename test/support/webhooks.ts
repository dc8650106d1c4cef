import { createHash, createHmac } from 'node:crypto'
import { openDatabase } from '../../src/db/database.ts'
import type { WebhookTarget } from '../../src/sandbox/index.ts'
import { createInbox, type Inbox } from '../../src/sync/inbox.ts'
import { createMetrics, type Metrics } from '../../src/web/metrics.ts'
import { type Handler, serve } from '../../src/web/server.ts'
import { createSite } from '../../src/web/site.ts'
import { createWebhooks, type WebhookOptions } from '../../src/web/webhooks.ts'
import type { World } from './sync.ts'

export const SECRET = 'client-secret-of-the-app'

/** What a worker of a world serves, without a port of its own until `listen`. */
export type Site = AsyncDisposable & {
  inbox: Inbox
  metrics: Metrics
  handle: Handler
  /** Sends events as HubSpot does, signed by `sign` (v3 by default); `body` instead of them. */
  send(events: unknown, options?: { sign?: (body: string) => Record<string, string>; body?: string; url?: string }): Promise<Response>
  /** Opens a port and lets the sandbox send its webhooks there. */
  listen(target?: Partial<WebhookTarget>): Promise<void>
  /** All that the sandbox said was acted on and read; nothing was polled. */
  caughtUp(): Promise<void>
}

/** A site for a world; `options` change how webhooks are taken. */
export function siteOf(world: World, options: Partial<WebhookOptions> = {}, token?: string): Site {
  const db = options.db ?? openDatabase(world.db.url, { max: 3 })
  const inbox = createInbox(world.deps)
  const metrics = createMetrics(db)
  const webhooks = createWebhooks({ db, inbox, log: world.deps.log, secrets: () => Promise.resolve([SECRET]), count: metrics.received, ...options })
  const handle = createSite({ webhooks, metrics: metrics.page, ready: metrics.ready }, { token, isLoopback: true })
  const closing: (() => PromiseLike<void>)[] = []
  return {
    inbox, metrics, handle,
    send(events, { sign = (text: string) => v3(text), body = JSON.stringify(events), url = 'http://127.0.0.1/webhooks/hubspot' } = {}) {
      const { pathname, search } = new URL(url)
      return handle(new Request(url, { method: 'POST', body, headers: sign(body) }), pathname + search)
    },
    async listen(target = {}) {
      const serving = await serve({ host: '127.0.0.1', port: 0, isSpare: false }, handle, world.deps.log)
      closing.push(() => serving[Symbol.asyncDispose]())
      world.store.setWebhooks({ url: `${serving.url()}/webhooks/hubspot`, clientSecret: SECRET, ...target })
    },
    async caughtUp() {
      await world.store.webhooksSent()
      await inbox.idle()
      // Jobs would do that: what was named, and the associations of it.
      for (let rounds = 0; rounds < 20; rounds += 1) {
        const due = await world.db.query<{ object: string; stream: string; range: number }>(
          `select object, stream, range from hubspot_private.streams_due()
           where stream = 'fetch' or stream = 'associations' and exists (select from hubspot_private.association_dirty d where d.pair = range)`)
        if (due.length === 0) return
        for (const { object, stream, range } of due) await world.run(object, stream, range)
      }
      throw new Error('reading what webhooks named has no end')
    },
    async [Symbol.asyncDispose]() {
      world.store.setWebhooks(null)
      for (const close of closing) await close()
      await inbox.idle()
      if (options.db === undefined) await db.close()
    },
  }
}

/** Version 3 headers of a request. */
export function v3(body: string, { url = 'https://127.0.0.1/webhooks/hubspot', secret = SECRET, at = Date.now(), method = 'POST' } = {}): Record<string, string> {
  return {
    'x-hubspot-signature-v3': createHmac('sha256', secret).update(`${method}${url}${body}${at}`).digest('base64'),
    'x-hubspot-request-timestamp': String(at),
  }
}

/** Version 1 and 2 headers. */
export function older(version: 'v1' | 'v2', body: string, { url = 'https://127.0.0.1/webhooks/hubspot', secret = SECRET } = {}): Record<string, string> {
  const source = version === 'v1' ? secret + body : `${secret}POST${url}${body}`
  return { 'x-hubspot-signature': createHash('sha256').update(source).digest('hex'), 'x-hubspot-signature-version': version }
}

/** Ids of the records that are live. */
export const idsOf = (world: World, object = 'contacts') => [...world.store.records(object)].map(({ id }) => id)

/** An event as HubSpot sends it. */
export const changeOf = (world: World, objectId: unknown, more: object = {}) => ({
  eventId: 1, subscriptionId: 2, portalId: world.store.portalId, appId: 3, occurredAt: world.store.now(), attemptNumber: 0,
  subscriptionType: 'contact.propertyChange', objectId, propertyName: 'firstname', propertyValue: 'x', ...more,
})

/** Problems that webhooks have. */
export const problems = (world: World) => world.db.query<{ code: string; message: string; hint: string; is_open: boolean }>(
  "select code, message, hint, resolved_at is null as is_open from hubspot.problems where property = 'webhooks' order by id")

/** What waits to be read. */
export const queue = (world: World) => world.db.query('select object, id, reason, class from hubspot_private.fetch_queue order by 1, 2')
