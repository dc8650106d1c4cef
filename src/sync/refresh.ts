import { type RefreshClaim, refreshClaim, refreshFail, refreshStore, type StoredToken } from '../db/account-calls.ts'
import { type Database, isConnectionLost, isWorthRepeating } from '../db/database.ts'
import type { Client } from '../hubspot/client.ts'
import { refreshTokens, type Tokens } from '../hubspot/oauth.ts'
import { Refused, SyncError } from '../lib/errors.ts'
import type { Log } from '../lib/log.ts'
import { sleep } from '../lib/time.ts'
import type { Caller } from './call.ts'
import type { Secrets } from './secrets.ts'

/** What renewing a token takes; HubSpot is called without one. */
export type RefreshDeps = {
  db: Database
  log: Log
  secrets: Secrets
  /** Of requests that carry no token. */
  client: Client
  caller: Caller
  /** Whose lease it is: hubspot_private.workers. */
  worker: string
}

/** What came of it: `refused` with HubSpot's word for it, `waits` where it was refused or failed a moment ago. */
export type Refreshed =
  | { outcome: 'renewed' | 'held' | 'early' | 'borrowed' }
  | { outcome: 'waits'; code: string | null; retryInMs: number }
  | { outcome: 'failed'; error: unknown }

/**
 * Renews a token once for all workers: claims it, asks HubSpot with no transaction open, stores both tokens at once. What
 * another worker does meanwhile is its outcome.
 */
export async function refresh(deps: RefreshDeps, { id, renewed }: StoredToken, isEarly: boolean): Promise<Refreshed> {
  const claim = await refreshClaim(deps.db, { id, renewed, holder: deps.worker, isEarly })
  if (claim.outcome === 'waits') return { outcome: 'waits', code: claim.code, retryInMs: claim.retry_in_ms }
  if (claim.outcome !== 'claimed') return { outcome: claim.outcome }
  let wasSent = false
  try {
    const got = await askFor(deps, claim, () => (wasSent = true))
    await store(deps, id, claim.epoch, got)
    deps.log.info('the access token was renewed', { expires_in_s: got.tokens.expiresIn })
    return { outcome: 'renewed' }
  } catch (error) {
    await giveUp(deps, id, claim.epoch, error, wasSent)
    return { outcome: 'failed', error }
  }
}

type Got = { tokens: Tokens; used: string; isFormer: boolean; askedAt: string }
type Claimed = Extract<RefreshClaim, { outcome: 'claimed' }>

/** The present token; the one before, once, where HubSpot no longer takes it: what it gave last may have been lost on the way. */
async function askFor({ client, caller, secrets }: RefreshDeps, claim: Claimed, sends: () => void): Promise<Got> {
  const app = { clientId: claim.client_id, clientSecret: secrets.open(claim.client_secret, 'client_secret') }
  const asking = async (stored: string, isFormer: boolean): Promise<Got> => {
    const used = secrets.open(stored, 'refresh_token')
    let askedAt = '-infinity'
    const tokens = await refreshTokens(client, async (kind, send) => {
      const asked = await caller.call(kind, () => {
        sends()
        return send()
      })
      askedAt = asked.askedAt
      return asked.answer
    }, app, used)
    for (const secret of [tokens.accessToken, tokens.refreshToken]) if (secret !== undefined) secrets.hide(secret)
    return { tokens, used, isFormer, askedAt }
  }
  try {
    return await asking(claim.refresh_token, false)
  } catch (error) {
    if (!(error instanceof Refused && error.code === 'SH226') || claim.former_refresh_token === null) throw error
    return await asking(claim.former_refresh_token, true)
  }
}

/** HubSpot may have ended the tokens before: what it gave is stored however long the database is away, up to minutes. */
async function store({ db, secrets, log }: RefreshDeps, id: string, epoch: string, { tokens, used, isFormer, askedAt }: Got): Promise<void> {
  const { accessToken, refreshToken, expiresIn, scopes } = tokens
  const isNew = refreshToken !== undefined && refreshToken !== used
  const row = {
    id, epoch, isFormer, askedAt, expiresIn, scopes,
    accessToken: secrets.seal(accessToken, 'access_token'),
    refreshToken: isNew ? secrets.seal(refreshToken, 'refresh_token') : undefined,
  }
  for (let wait = 100; ; wait *= 2) {
    try {
      return void (await refreshStore(db, row))
    } catch (error) {
      if (!(isConnectionLost(error) || isWorthRepeating(error)) || wait > STORE_MS) throw error
      log.warn('the renewed access token is not stored yet: the database is away', { in_ms: wait })
      await sleep(wait)
    }
  }
}

/** The last pause: two minutes in all. */
const STORE_MS = 60_000

async function giveUp({ db, log }: RefreshDeps, id: string, epoch: string, error: unknown, wasSent: boolean): Promise<void> {
  const isKnown = error instanceof SyncError
  const kind = error instanceof Refused ? 'refused' : wasSent || isKnown ? 'transient' : 'stopped'
  const message = error instanceof Error ? error.message : String(error)
  if (kind !== 'stopped') log.warn(`the access token was not renewed: ${message}`, { ...(isKnown && { code: error.code, hint: error.hint }) })
  // A database that is away: the lease ends by itself.
  await refreshFail(db, {
    id, epoch, kind,
    code: isKnown ? error.code : 'SH009', message, hint: isKnown ? error.hint : 'Nothing to do: it is tried again by itself.',
  }).catch((second: unknown) => log.debug('not given back', { error: second }))
}
