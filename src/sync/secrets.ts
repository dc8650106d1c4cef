import { credentialSeal, credentialSecrets } from '../db/account-calls.ts'
import type { Database } from '../db/database.ts'
import type { Log } from '../lib/log.ts'
import { createSeal, isSealed, type Seal } from '../lib/seal.ts'

/** Seals and opens, and keeps whatever it opens out of the log. */
export type Secrets = Seal & { hide(secret: string): void }

/** Secrets by `PG_HUBSPOT_KEY`, for one log. */
export function createSecrets(key: string | undefined, log: Log): Secrets {
  const seal = createSeal(key)
  const hide = (secret: string) => log.hide(secret)
  return {
    hasKey: seal.hasKey,
    hide,
    seal(text, purpose) {
      hide(text)
      return seal.seal(text, purpose)
    },
    open(text, purpose) {
      // The log forgets what was hidden long ago.
      if (key !== undefined) hide(key)
      const opened = seal.open(text, purpose)
      hide(opened)
      return opened
    },
  }
}

/** Seals what is stored readable, as after `hubspot.connect` in SQL. Nothing without a key. Returns how many there were. */
export async function sealStored(db: Database, secrets: Secrets): Promise<number> {
  if (!secrets.hasKey) return 0
  const readable = (await credentialSecrets(db)).filter(({ secret }) => !isSealed(secret))
  for (const { credential_id, purpose, secret } of readable) {
    // The former refresh token becomes the present one, or the present the former: one purpose for both.
    const sealed = secrets.seal(secret, purpose === 'former_refresh_token' ? 'refresh_token' : purpose)
    await credentialSeal(db, { credentialId: credential_id, purpose, secret, sealed })
  }
  return readable.length
}
