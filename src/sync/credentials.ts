import { accountConfirm, credentialFail, homeCheck, tokenGet } from '../db/account-calls.ts'
import { asJsonb, type Database, repeatedly } from '../db/database.ts'
import { type Client, createClient } from '../hubspot/client.ts'
import { readAccount } from '../hubspot/metadata.ts'
import { Refused, SyncError } from '../lib/errors.ts'
import type { Log } from '../lib/log.ts'
import { createCaller } from './call.ts'
import { createSecrets, sealStored } from './secrets.ts'
import { addressOf, createTokens, type TokenDeps } from './tokens.ts'

/** Where HubSpot is, which token to use when the database holds none, and what may be done there. */
export type HubSpotEnv = {
  baseUrl?: string
  version?: string
  token?: string | undefined
  /** `PG_HUBSPOT_KEY`: 32 bytes in base64, with which stored secrets are sealed. */
  key?: string | undefined
  /** False (`HUBSPOT_WRITES=off`): HubSpot is never written to, and no token renewed. */
  mayWrite?: boolean
}

/** A client whose token is the database's, else the environment's; one of an OAuth app is renewed in time. */
export function createHubSpot({ db, env, log, worker, sleep }: Omit<TokenDeps, 'secrets'>): Client {
  const tokens = createTokens({ db, env, log, worker, sleep, secrets: createSecrets(env.key, log) })
  const client = createClient({ ...addressOf(env), token: tokens.token, renew: tokens.renew })
  const close = async () => {
    await client.close()
    await tokens[Symbol.asyncDispose]()
  }
  return { ...client, close, [Symbol.asyncDispose]: close }
}

/** What checking takes. */
export type Check = {
  db: Database
  env: HubSpotEnv
  log: Log
  signal: AbortSignal
  sleep: (ms: number, signal: AbortSignal) => Promise<void>
  /** As in hubspot_private.workers. */
  worker: string
}

/** What checking a token came to; `none`: there is no token to check; `copied`: this database is a copy, and nothing was asked. */
export type Checked = 'connected' | 'portal_differs' | 'superseded' | 'refused' | 'failed' | 'none' | 'copied'

/**
 * Asks HubSpot which account a token opens, and lets SQL decide: the candidate that `hubspot.connect` left, else the
 * token in use, which is checked at every start. A bad candidate never replaces a good token.
 */
export async function checkCredentials({ db, env, log, signal, sleep, worker }: Check): Promise<Checked> {
  if (!(await homeCheck(db))) return 'copied'
  const secrets = createSecrets(env.key, log)
  await sealStored(db, secrets)
  const candidate = await tokenGet(db, true)
  const stored = candidate ?? (await tokenGet(db, false))
  if (stored === undefined && env.token === undefined) return 'none'
  await using tokens = createTokens({ db, env, log, secrets, worker, sleep }, { isCandidate: candidate !== undefined })
  await using client = createClient({ ...addressOf(env), token: tokens.token, renew: tokens.renew })
  const caller = createCaller({ db, signal, sleep })
  try {
    const { answer } = await readAccount(client, async (kind, send) => (await caller.call(kind, send)).answer, { signal })
    const outcome = await repeatedly(() => accountConfirm(db, asJsonb(answer.body), stored?.id))
    log[outcome === 'connected' ? 'info' : 'warn'](`HubSpot account: ${outcome}`)
    return outcome
  } catch (error) {
    if (!(error instanceof SyncError)) throw error
    // Another worker has checked it meanwhile, or someone took it back.
    if (error.code === 'SH003') return 'superseded'
    const isRefused = error instanceof Refused
    log.warn(`the access token could not be checked: ${error.message}`, { code: error.code, hint: error.hint })
    await credentialFail(db, candidate?.id, { isRefused, code: error.code, message: error.message, hint: error.hint })
    return isRefused ? 'refused' : 'failed'
  }
}

/** Seals what is stored readable, where there is a key. */
export async function sealSecrets({ db, env, log }: Pick<Check, 'db' | 'env' | 'log'>): Promise<void> {
  const count = await sealStored(db, createSecrets(env.key, log))
  if (count > 0) log.info('stored secrets were sealed', { count })
}
