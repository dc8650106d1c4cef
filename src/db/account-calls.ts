import { createHash } from 'node:crypto'
import type { Database } from './database.ts'
import type { Jsonb } from './jsonb.ts'

// One wrapper for each function of hubspot_private about the account and its credentials, always in named notation.

/** A token as it is stored: sealed or not. */
export type StoredToken = {
  id: string
  kind: 'token' | 'oauth'
  /** Null: of an app, and not asked for yet. */
  secret: string | null
  /** How often it was renewed: which one it is. */
  renewed: string
  is_due: boolean
  is_expired: boolean
  /** Milliseconds until it is due; null where it has no end, or is not there yet. */
  due_in_ms: number | null
}

/** The token to check, or the token in use. */
export async function tokenGet(db: Database, isCandidate: boolean): Promise<StoredToken | undefined> {
  const { rows } = await db.pool.query<StoredToken>('select * from hubspot_private.token_get(is_candidate => $1)', [isCandidate])
  return rows[0]
}

/** What a claim to renew a token came to; see `refresh_claim` in sql/code/25_refresh.sql. */
export type RefreshClaim =
  | { outcome: 'renewed' | 'held' | 'early' | 'borrowed' }
  | { outcome: 'waits'; code: string | null; retry_in_ms: number }
  | {
      outcome: 'claimed'
      epoch: string
      client_id: string
      client_secret: string
      refresh_token: string
      former_refresh_token: string | null
    }

/** Takes the right to renew a token. */
export async function refreshClaim(
  db: Database,
  { id, renewed, holder, isEarly }: { id: string; renewed: string; holder: string; isEarly: boolean },
): Promise<RefreshClaim> {
  const { rows } = await db.pool.query<RefreshClaim>(
    'select * from hubspot_private.refresh_claim(credential_id => $1, renewed => $2, holder => $3, is_early => $4)',
    [id, renewed, holder, isEarly],
  )
  return rows[0]!
}

/** Stores what HubSpot gave; false: the credentials were replaced meanwhile. `refreshToken` undefined: the one used stays. */
export async function refreshStore(
  db: Database,
  row: {
    id: string
    epoch: string
    accessToken: string
    refreshToken: string | undefined
    isFormer: boolean
    askedAt: string
    expiresIn: number
    scopes: readonly string[] | undefined
  },
): Promise<boolean> {
  const { rows } = await db.pool.query<{ is_stored: boolean }>(
    `select hubspot_private.refresh_store(credential_id => $1, epoch => $2, access_token => $3, refresh_token => $4, is_former => $5,
       asked_at => $6, expires_in => $7, scopes => $8) as is_stored`,
    [row.id, row.epoch, row.accessToken, row.refreshToken ?? null, row.isFormer, row.askedAt, Math.floor(row.expiresIn), row.scopes ?? null],
  )
  return rows[0]!.is_stored
}

/** Gives a claim back: `refused` by HubSpot, `transient`, or `stopped` before anything was sent. */
export async function refreshFail(
  db: Database,
  { id, epoch, kind, code, message, hint }: { id: string; epoch: string; kind: 'refused' | 'transient' | 'stopped'; code: string; message: string; hint: string },
): Promise<void> {
  await db.pool.query(
    'select hubspot_private.refresh_fail(credential_id => $1, epoch => $2, kind => $3, code => $4, message => $5, hint => $6)',
    [id, epoch, kind, code, message, hint],
  )
}

/** A secret as it is stored. */
export type StoredSecret = {
  credential_id: string
  purpose: 'access_token' | 'client_secret' | 'refresh_token' | 'former_refresh_token'
  secret: string
}

/** Every secret that is stored, sealed or not. */
export async function credentialSecrets(db: Database): Promise<StoredSecret[]> {
  return (await db.pool.query<StoredSecret>('select * from hubspot_private.credential_secrets()')).rows
}

/** Puts a sealed secret in a readable one's place, if that is still there. It goes by its digest: parameters may be logged. */
export async function credentialSeal(
  db: Database,
  { credentialId, purpose, secret, sealed }: { credentialId: string; purpose: StoredSecret['purpose']; secret: string; sealed: string },
): Promise<void> {
  await db.pool.query(
    'select hubspot_private.credential_seal(credential_id => $1, purpose => $2, digest => $3, sealed => $4)',
    [credentialId, purpose, createHash('sha256').update(secret).digest(), sealed],
  )
}

/** Whether this is the database that was installed, and no copy; a problem says so while it is one. */
export async function homeCheck(db: Database): Promise<boolean> {
  const { rows } = await db.pool.query<{ is_home: boolean }>('select hubspot_private.home_check() as is_home')
  return rows[0]!.is_home
}

/** Whether a token is in use and nothing is known against it. */
export async function accountIsSure(db: Database): Promise<boolean> {
  const { rows } = await db.pool.query<{ is_sure: boolean }>('select hubspot_private.account_is_sure() as is_sure')
  return rows[0]!.is_sure
}

/** A token answered with these account details. */
export async function accountConfirm(
  db: Database,
  details: Jsonb,
  credentialId: string | undefined,
): Promise<'connected' | 'portal_differs' | 'superseded'> {
  const { rows } = await db.pool.query<{ outcome: 'connected' | 'portal_differs' | 'superseded' }>(
    'select hubspot_private.account_confirm(details => $1, credential_id => $2) as outcome',
    [details, credentialId ?? null],
  )
  return rows[0]!.outcome
}

/** A candidate could not be checked. */
export async function credentialFail(
  db: Database,
  credentialId: string | undefined,
  { isRefused, code, message, hint }: { isRefused: boolean; code: string; message: string; hint: string },
): Promise<void> {
  await db.pool.query(
    `select hubspot_private.credential_fail(credential_id => $1, is_refused => $2, code => $3, message => $4, hint => $5)`,
    [credentialId ?? null, isRefused, code, message, hint],
  )
}
