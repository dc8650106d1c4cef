import type { Settings } from '../settings.ts'
import { drawSpan, type Random } from '../store/random.ts'
import type { Delivery, WebhookCounts, WebhookEvent, WebhookStore, WebhookTarget } from '../types.ts'
import { signatureHeaders } from './signing.ts'

/** Takes events and brings them to the target: in batches, out of order, twice, and again when it fails, as the settings say. */
export interface Postman extends WebhookStore {
  readonly target: WebhookTarget | null
  post(events: readonly WebhookEvent[]): void
  /** Ends what is under way; nothing is sent any more. */
  close(): void
}

/** HubSpot: an answer is expected within five seconds; after ten attempts an event is given up. */
const patienceMs = 5_000
const attemptsMost = 10

interface Letter {
  readonly event: WebhookEvent
  readonly attempt: number
  /** When it may go, by the monotonic clock: deliveries happen in real time, whatever the sandbox's clock does. */
  readonly due: number
}

/** A postman without a target. */
export function createPostman(settings: Readonly<Settings>, random: Random): Postman {
  let target: WebhookTarget | null = null
  let letters: Letter[] = []
  let counts = { events: 0, requests: 0, delivered: 0, lost: 0 }
  let deliveries: Delivery[] = []
  let stopping = new AbortController()
  let active = 0
  let timer: NodeJS.Timeout | undefined
  let waiting: (() => void)[] = []

  const put = (events: readonly WebhookEvent[], attempt: number, delay: () => number) => {
    const now = performance.now()
    letters.push(...events.map((event) => ({ event, attempt, due: now + delay() })))
  }
  const take = (): Letter[] => {
    const now = performance.now()
    const due = letters.filter((letter) => letter.due <= now)
    if (settings.webhookShuffle) for (let at = due.length - 1; at > 0; at--) {
      const other = Math.floor(random() * (at + 1))
      ;[due[at], due[other]] = [due[other]!, due[at]!]
    }
    const batch = due.slice(0, Math.min(settings.webhookBatch, 100))
    const taken = new Set(batch)
    letters = letters.filter((letter) => !taken.has(letter))
    return batch
  }
  const send = async (to: WebhookTarget, batch: readonly Letter[], signal: AbortSignal) => {
    const events = batch.map(({ event, attempt }) => ({ ...event, attemptNumber: attempt }))
    const body = JSON.stringify(events)
    const begun = performance.now()
    const status = await fetch(to.via ?? to.url, {
      method: 'POST', body, redirect: 'manual',
      headers: { 'Content-Type': 'application/json', 'User-Agent': 'HubSpot Connect 2.0', ...signatureHeaders(to, body, Date.now()) },
      signal: AbortSignal.any([signal, AbortSignal.timeout(patienceMs)]),
    }).then(async (answer) => {
      await answer.arrayBuffer()
      return answer.status
    }).catch(() => 0)
    if (signal.aborted) return
    counts.requests++
    const attempt = Math.max(...batch.map((letter) => letter.attempt))
    deliveries.push({ at: Date.now(), attempt, events, status, ms: performance.now() - begun })
    if (deliveries.length > settings.callsKept * 2) deliveries = deliveries.slice(-settings.callsKept)
    if (status >= 200 && status < 300) {
      counts.delivered += batch.length
      const again = batch.filter(() => random() < settings.webhookDuplicates)
      for (const letter of again) put([letter.event], letter.attempt, () => drawSpan(settings.webhookDelay, random))
      return
    }
    for (const letter of batch) {
      if (letter.attempt >= attemptsMost) counts.lost++
      else put([letter.event], letter.attempt + 1, () => drawSpan(settings.webhookRetryDelay, random) * 2 ** letter.attempt)
    }
  }
  const pump = () => {
    clearTimeout(timer)
    while (target !== null && active < settings.webhookConcurrency) {
      const batch = take()
      if (batch.length === 0) break
      active++
      void send(target, batch, stopping.signal).finally(() => {
        active--
        pump()
      })
    }
    if (letters.length === 0 && active === 0) {
      for (const tell of waiting.splice(0)) tell()
    } else if (letters.length > 0 && active < settings.webhookConcurrency) {
      const next = letters.reduce((least, { due }) => Math.min(least, due), Infinity)
      timer = setTimeout(pump, Math.max(next - performance.now(), 0)).unref()
    }
  }
  const drop = () => {
    stopping.abort()
    stopping = new AbortController()
    letters = []
  }

  return {
    get target() {
      return target
    },
    post(events) {
      if (target === null || events.length === 0) return
      counts.events += events.length
      put(events, 0, () => drawSpan(settings.webhookDelay, random))
      // What one call made goes together: it is sent after the call is over.
      setImmediate(pump)
    },
    setWebhooks(next) {
      if (next !== null) {
        if (URL.parse(next.url) === null || next.via !== undefined && URL.parse(next.via) === null) throw new Error('url is no URL')
        if (typeof next.clientSecret !== 'string' || next.clientSecret === '') throw new Error('clientSecret is missing')
      }
      drop()
      target = next
      counts = { events: 0, requests: 0, delivered: 0, lost: 0 }
      deliveries = []
      pump()
    },
    webhooks() {
      const { clientSecret: _, ...shown } = target ?? { clientSecret: '', url: '' }
      return { target: target === null ? null : shown, ...counts, waiting: letters.length + active } satisfies WebhookCounts & { target: unknown }
    },
    deliveries: () => deliveries.slice(-settings.callsKept),
    sendWebhooks(events) {
      if (target === null) throw new Error('webhooks have no target: PUT /webhooks first')
      this.post(events)
    },
    webhooksSent: () => new Promise((resolve) => {
      waiting.push(resolve)
      setImmediate(pump)
    }),
    close() {
      drop()
      target = null
      pump()
    },
  }
}
