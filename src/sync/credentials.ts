import { accountConfirm, credentialFail, credentialGet } from '../db/calls.ts'
import { asJsonb, type Database } from '../db/database.ts'
import { type Client, createClient } from '../hubspot/client.ts'
import { readAccount } from '../hubspot/metadata.ts'
import { Misuse, Refused, SyncError } from '../lib/errors.ts'
import type { Log } from '../lib/log.ts'
import { createCaller } from './call.ts'

/** Where HubSpot is and which token to use when the database holds none. */
export type HubSpotEnv = { baseUrl?: string; version?: string; token?: string | undefined }

/** How long a token read from the database is used without asking again, ms. */
const TOKEN_KEPT_MS = 2_000

/** A client whose token is the database's, else the environment's. */
export function createHubSpot(db: Database, env: HubSpotEnv, log: Log): Client {
  if (env.token !== undefined) log.hide(env.token)
  let known: { token: string; at: number } | undefined
  return createClient({
    ...(env.baseUrl !== undefined && { baseUrl: env.baseUrl }),
    ...(env.version !== undefined && { version: env.version }),
    async token() {
      if (known !== undefined && performance.now() - known.at < TOKEN_KEPT_MS) return known.token
      const token = (await credentialGet(db, false))?.secret ?? env.token
      if (token === undefined) throw notConnected()
      log.hide(token)
      known = { token, at: performance.now() }
      return token
    },
  })
}

function notConnected(): Misuse {
  return new Misuse('SH003', 'no HubSpot account is connected', {
    hint: "Run select hubspot.connect(access_token => 'pat-…'), or pg-hubspot connect.",
  })
}

type Check = { db: Database; env: HubSpotEnv; log: Log; signal: AbortSignal; sleep: (ms: number, signal: AbortSignal) => Promise<void> }

/** What checking a token came to; `none`: there is no token to check. */
export type Checked = 'connected' | 'portal_differs' | 'superseded' | 'refused' | 'failed' | 'none'

/**
 * Asks HubSpot which account a token opens, and lets SQL decide: the candidate that `hubspot.connect` left, else the
 * token in use, which is checked at every start. A bad candidate never replaces a good token.
 */
export async function checkCredentials({ db, env, log, signal, sleep }: Check): Promise<Checked> {
  const candidate = await credentialGet(db, true)
  const stored = candidate ?? (await credentialGet(db, false))
  const token = stored?.secret ?? env.token
  if (token === undefined) return 'none'
  log.hide(token)
  const { baseUrl, version } = env
  await using client = createClient({ token: () => token, ...(baseUrl !== undefined && { baseUrl }), ...(version !== undefined && { version }) })
  const caller = createCaller({ db, signal, sleep })
  try {
    const { answer } = await readAccount(client, async (kind, send) => (await caller.call(kind, send)).answer, { signal })
    const outcome = await accountConfirm(db, asJsonb(answer.body), stored?.id)
    log[outcome === 'connected' ? 'info' : 'warn'](`HubSpot account: ${outcome}`)
    return outcome
  } catch (error) {
    if (!(error instanceof SyncError)) throw error
    const isRefused = error instanceof Refused
    log.warn(`the access token could not be checked: ${error.message}`, { code: error.code, hint: error.hint })
    await credentialFail(db, candidate?.id, { isRefused, code: error.code, message: error.message, hint: error.hint })
    return isRefused ? 'refused' : 'failed'
  }
}
