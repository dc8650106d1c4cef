import { type StoredToken, tokenGet } from '../db/account-calls.ts'
import { createClient, TIMEOUTS } from '../hubspot/client.ts'
import { Misuse, Refused, Renewed, Transient } from '../lib/errors.ts'
import { createCaller } from './call.ts'
import type { HubSpotEnv } from './credentials.ts'
import { refresh, type RefreshDeps, type Refreshed } from './refresh.ts'

/** Which token to send, as `createClient` asks for it. */
export type TokenSource = AsyncDisposable & {
  /** The token in use. Renewed where one had to be asked for first. */
  token(): Promise<string>
  /** HubSpot answered this one with 401: whether there is another now. */
  renew(token: string): Promise<boolean>
}

/** What it takes; `sleep` waits for turns and for other workers. */
export type TokenDeps = Pick<RefreshDeps, 'db' | 'log' | 'secrets' | 'worker'> & {
  env: HubSpotEnv
  sleep: (ms: number, signal: AbortSignal) => Promise<void>
}

/** How long a token read from the database is used without asking again, ms. */
const TOKEN_KEPT_MS = 2_000
/** Longer than a lease: by then another worker has renewed it, or died. */
const OTHERS_MS = 40_000
/** A renewal is worth less of a wait than a page: its lease is 30 s. */
const REFRESH_TIMEOUTS = { ...TIMEOUTS, firstByteMs: 15_000, totalMs: 20_000 }

/**
 * The database's token (a candidate that is to be checked, or the one in use), else the environment's. One of an OAuth app is
 * renewed beside the work before it ends, and at once where it has ended or HubSpot refuses it before its time.
 */
export function createTokens(deps: TokenDeps, { isCandidate = false }: { isCandidate?: boolean } = {}): TokenSource {
  const { db, log, secrets, env, sleep } = deps
  const ending = new AbortController()
  const client = createClient({ token: () => '', timeouts: REFRESH_TIMEOUTS, ...addressOf(env) })
  const renewing: RefreshDeps = { ...deps, client, caller: createCaller({ db, signal: ending.signal, sleep }) }
  let known: { token: string; until: number } | undefined
  let underWay: Promise<Refreshed> | undefined
  // Whose a refused token was: the latest few.
  const handedOut = new Map<string, StoredToken>()

  const hand = (token: string, from: StoredToken | undefined, keptMs: number) => {
    if (from !== undefined) {
      handedOut.delete(token)
      handedOut.set(token, from)
      if (handedOut.size > 8) handedOut.delete(handedOut.keys().next().value!)
    }
    known = { token, until: performance.now() + keptMs }
    return token
  }

  /** One renewal at a time here; other workers' are waited for where there is no token to go on with. */
  const renewed = async (stored: StoredToken, isEarly: boolean): Promise<Refreshed> => {
    for (const until = performance.now() + OTHERS_MS; ; ) {
      underWay ??= refresh(renewing, stored, isEarly).finally(() => (underWay = undefined))
      const came = await underWay
      if (came.outcome === 'renewed') known = undefined
      if (came.outcome !== 'held' || performance.now() > until) return came
      await sleep(200, ending.signal)
    }
  }

  return {
    async token() {
      if (known !== undefined && performance.now() < known.until) return known.token
      const stored = await tokenGet(db, isCandidate)
      if (stored === undefined) {
        if (env.token === undefined || isCandidate) throw notConnected()
        secrets.hide(env.token)
        return hand(env.token, undefined, TOKEN_KEPT_MS)
      }
      if (stored.secret === null || stored.is_expired) {
        if (env.mayWrite === false) throw renewalOff()
        const came = await renewed(stored, false)
        if (came.outcome === 'renewed') throw new Renewed()
        throw failed(came)
      }
      const token = secrets.open(stored.secret, 'access_token')
      if (stored.is_due && env.mayWrite !== false) {
        // Beside the work: this one is good still. What goes wrong with it is told where it is recorded.
        underWay ??= refresh(renewing, stored, false).finally(() => (underWay = undefined))
        underWay.catch((error: unknown) => log.debug('the access token was not renewed', { error }))
      }
      return hand(token, stored, Math.min(TOKEN_KEPT_MS, Math.max(stored.due_in_ms ?? TOKEN_KEPT_MS, 100)))
    },

    async renew(token) {
      known = undefined
      const was = handedOut.get(token)
      const stored = await tokenGet(db, isCandidate)
      if (stored === undefined) return !isCandidate && env.token !== undefined && env.token !== token
      // Another token was given, or this one renewed, while the call was under way.
      if (was === undefined || stored.id !== was.id || stored.renewed !== was.renewed) return true
      if (stored.kind !== 'oauth') return false
      if (env.mayWrite === false) throw renewalOff()
      const came = await renewed(stored, true)
      if (came.outcome === 'early') return false
      if (came.outcome === 'renewed') return true
      throw failed(came)
    },

    async [Symbol.asyncDispose]() {
      // Turns are waited for no longer; a request that is under way comes to its end, and what it brings is stored.
      ending.abort(new Error('the worker stops'))
      await underWay?.catch(() => undefined)
      await client.close()
    },
  }
}

/** What of the environment says where HubSpot is. */
export const addressOf = ({ baseUrl, version }: HubSpotEnv) => ({
  ...(baseUrl !== undefined && { baseUrl }),
  ...(version !== undefined && { version }),
})

function failed(came: Refreshed): unknown {
  if (came.outcome === 'failed') return came.error
  if (came.outcome === 'borrowed') {
    return new Misuse('SH013', 'the access token has ended, and must not be renewed here: it came with a copy of the database', {
      hint: 'Connect this database with a token or an app of its own; or select hubspot.adopt(read_only => false), if the original is gone.',
    })
  }
  if (came.outcome === 'waits' && (came.code === 'SH226' || came.code === 'SH227')) {
    return new Refused(came.code, 'the access token has ended, and HubSpot refused to renew it', {
      status: 400, category: '', hint: 'See select * from hubspot.health(); then authorise the app again: npx pg-hubspot connect --oauth',
    })
  }
  return new Transient('SH207', 'the access token has ended, and is not renewed yet', {
    retryAfterMs: came.outcome === 'waits' ? came.retryInMs : 1_000,
    hint: 'Nothing to do: it is tried again. See select * from hubspot.health();',
  })
}

function renewalOff(): Transient {
  return new Transient('SH013', 'the access token has ended, and must not be renewed here: HUBSPOT_WRITES is off', {
    retryAfterMs: 60_000,
    hint: 'Start a worker without HUBSPOT_WRITES=off, or connect with a private-app token, which does not end.',
  })
}

function notConnected(): Misuse {
  return new Misuse('SH003', 'no HubSpot account is connected', {
    hint: "Run select hubspot.connect(access_token => 'pat-…'), or pg-hubspot connect.",
  })
}
