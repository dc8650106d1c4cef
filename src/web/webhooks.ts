import { asJsonb, type Database, isBodyRefused, sqlState } from '../db/database.ts'
import { inboxReceive, type Received, webhooksJudge } from '../db/web-calls.ts'
import { repairBody } from '../hubspot/body.ts'
import { checkHead, checkSignature } from '../hubspot/signature.ts'
import type { Log } from '../lib/log.ts'
import type { Inbox } from '../sync/inbox.ts'
import { createRoom, readBody } from './body.ts'
import type { Handler } from './server.ts'

/** Where events go, and what their signatures are checked with. */
export type WebhookOptions = {
  db: Database
  inbox: Pick<Inbox, 'wake'>
  log: Log
  /** The app's client secrets; any of them will do, as while one takes the place of another. */
  secrets: () => Promise<readonly string[]>
  /** The target URL as HubSpot knows it, where a proxy changes scheme, host or path on the way here. */
  publicUrl?: string | undefined
  /** Epoch ms by the real clock: HubSpot's timestamps are compared with nothing else. */
  now?: () => number
  /** What became of each request's events, for metrics. */
  count?: (received: Received) => void
  /** How long the database may take, ms. HubSpot gives up after 5 s and comes again. */
  patienceMs?: number
}

/** A hundred events, as many as HubSpot sends at once, of the longest text that a property holds (65,536 characters). */
export const BODY_LIMIT = 10 * 1024 * 1024
/** Bodies that are held at once, all in all: the longest that is not whole yet gives way, and is told to come again. */
const HELD_LIMIT = 64 * 1024 * 1024
/** A problem is not counted or logged at every request: whoever sends a million forged ones writes one row a minute. */
const JUDGED_MS = 60_000

/**
 * `POST /webhooks/hubspot`: 200 once the events are stored; 400 for what is no list of events, 401 for a wrong or late signature,
 * 413 for more than 10 MB, 503 where they could not be stored or checked, so that HubSpot sends them again.
 */
export function createWebhooks({
  db, inbox, log, secrets, publicUrl, now = Date.now, count = () => undefined, patienceMs = 4_000,
}: WebhookOptions): Handler {
  const judge = createJudge(db, log)
  const room = createRoom(HELD_LIMIT)

  const handle: Handler = async (request, target) => {
    const header = (name: string) => request.headers.get(name)
    const early = checkHead(header, now())
    if (early !== undefined) return refused(early, [], judge)
    const known = await within(secrets(), patienceMs)
    if (known.length === 0) {
      judge({ code: 'SH015', message: 'webhooks arrive, and there is no client secret to check them with' })
      return answer(503, 'this worker knows no client secret of the app')
    }
    using place = room.enter()
    const body = await readBody(request, BODY_LIMIT, place)
    if (body === 'too long') return answer(413, `a body is ${BODY_LIMIT} bytes at most`)
    if (body === 'no room') return answer(503, 'too much at once')
    if (body === 'broken off') {
      log.debug('the body of a webhook broke off')
      return answer(400, 'the body broke off')
    }
    const urls = urlsOf(request, target, publicUrl)
    const verdict = checkSignature({ method: request.method, urls, body, header }, known, now())
    if (verdict !== 'valid') return refused(verdict, urls, judge)
    const received = await within(receive(db, body), patienceMs)
    if (received === undefined) return answer(400, 'the body is no list of events in JSON')
    count(received)
    if (received.unreadable > 0) log.warn('a webhook brought events that cannot be read', { ...received })
    inbox.wake()
    judge()
    return Response.json(received, { headers: NOT_KEPT })
  }
  let warnedAt = -Infinity
  return async (request, target) => {
    try {
      return await handle(request, target)
    } catch (error) {
      const isKnown = performance.now() - warnedAt < JUDGED_MS
      if (!isKnown) warnedAt = performance.now()
      log[isKnown ? 'debug' : 'warn']('a webhook could not be stored; HubSpot sends it again', { error })
      return answer(503, 'the events cannot be stored now')
    }
  }
}

const NOT_KEPT = { 'cache-control': 'no-store' }

function answer(status: number, message: string): Response {
  return Response.json({ message }, { status, headers: NOT_KEPT })
}

function refused(verdict: 'missing' | 'stale' | 'wrong', urls: readonly string[], judge: Judge): Response {
  if (verdict === 'stale') {
    judge({
      code: 'SH229', message: 'a webhook was refused: it was signed more than five minutes ago, or ahead',
      hint: "Nothing, where it is an old request sent again. If it goes on, set the worker's clock.",
    })
  } else if (verdict === 'wrong') {
    judge({
      code: 'SH229', message: 'a webhook was refused: its signature is wrong',
      hint: `Set HUBSPOT_CLIENT_SECRET to the secret of the app that sends them, and HUBSPOT_WEBHOOK_URL to the target URL in that app's settings. This request, whoever wrote it, came for ${urls.join(' or ').slice(0, 400)}.`,
    })
  }
  // The sender is told no more than that.
  return answer(401, 'the signature is missing, late or wrong')
}

/**
 * What HubSpot may have called: the configured URL, with the query where that has none; else the host that was asked for, by
 * either scheme, since what ends TLS mostly stands in front. Forwarding headers are anyone's to send and say nothing.
 */
function urlsOf(request: Request, target: string, publicUrl: string | undefined): string[] {
  if (publicUrl === undefined) {
    const host = request.headers.get('host') ?? new URL(request.url).host
    return [`https://${host}${target}`, `http://${host}${target}`]
  }
  const mark = target.indexOf('?')
  return mark < 0 || publicUrl.includes('?') ? [publicUrl] : [publicUrl + target.slice(mark), publicUrl]
}

/** Undefined for what is no list of events. */
async function receive(db: Database, body: Buffer): Promise<Received | undefined> {
  try {
    return await inboxReceive(db, asJsonb(body))
  } catch (error) {
    if (sqlState(error) === 'SH229') return undefined
    if (!isBodyRefused(error)) throw error
    // Text that Postgres cannot hold, in a value that is not kept anyway.
    const repair = repairBody(body)
    if (repair === undefined) return undefined
    return await inboxReceive(db, asJsonb(repair.body)).catch((second: unknown) => {
      if (sqlState(second) === 'SH229' || isBodyRefused(second)) return undefined
      throw second
    })
  }
}

/** A database that does not answer: what it does with the statement in the end changes nothing, since events are taken once. */
async function within<T>(promise: Promise<T>, ms: number): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>()
  const timer = setTimeout(() => reject(new Error(`no answer within ${ms} ms`)), ms)
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}

type Judge = (refused?: { code: string; message: string; hint?: string }) => void

/** Problems of requests that were turned down, each once a minute; the next good request ends them. */
function createJudge(db: Database, log: Log): Judge {
  const told = new Map<string, number>()
  // One after another: what was said last is what stands.
  let writing = Promise.resolve()
  return (refusal) => {
    const key = refusal?.message ?? 'taken'
    if (performance.now() - (told.get(key) ?? -Infinity) < JUDGED_MS) return
    // What is said now is no longer so after the opposite.
    if (refusal === undefined) told.clear()
    else told.delete('taken')
    told.set(key, performance.now())
    if (refusal !== undefined) log.warn(refusal.message, { code: refusal.code, hint: refusal.hint })
    writing = writing.then(() => webhooksJudge(db, refusal)).catch((error: unknown) => log.debug('what was wrong with a webhook is not noted', { error }))
  }
}
