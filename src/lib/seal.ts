import { createCipheriv, createDecipheriv, createHmac, randomBytes } from 'node:crypto'
import { Misuse } from './errors.ts'

/** What a secret is for. A sealed one opens for that alone: put elsewhere, it is no text. */
export type Purpose = 'access_token' | 'client_secret' | 'refresh_token'

/** Seals secrets with one key. */
export type Seal = {
  seal(text: string, purpose: Purpose): string
  /** The text of a sealed secret; a readable one as it is. Misuse SH011 without a key, SH012 with another. */
  open(text: string, purpose: Purpose): string
  /** Whether there is a key; without one `seal` leaves texts as they are. */
  hasKey: boolean
}

/** AES-256-GCM as RFC 5116 has it: a nonce of 12 bytes, drawn anew for each text, and a tag of 16. */
const CIPHER = 'aes-256-gcm'
const NONCE = 12
const TAG = 16
/** `sealed:1:<which key>:<nonce, tag, text>`; `hubspot_private.is_sealed()` knows its beginning. */
const FORM = /^sealed:1:([0-9a-f]{8}):([A-Za-z0-9_-]+)$/
const HINT = 'Start it with the PG_HUBSPOT_KEY they were sealed with; or connect again: pg-hubspot connect'

/** What is sealed with `PG_HUBSPOT_KEY`: 32 bytes in base64. Without a key nothing is. */
export function createSeal(key: string | undefined): Seal {
  const bytes = key === undefined ? undefined : Buffer.from(key, 'base64')
  // Tells keys apart, and nothing of the key.
  const name = bytes && createHmac('sha256', bytes).update('pg-hubspot: name of the key').digest('hex').slice(0, 8)
  return {
    hasKey: bytes !== undefined,
    seal(text, purpose) {
      if (bytes === undefined) return text
      const nonce = randomBytes(NONCE)
      const cipher = createCipheriv(CIPHER, bytes, nonce).setAAD(bound(purpose))
      const sealed = Buffer.concat([cipher.update(text, 'utf8'), cipher.final()])
      return `sealed:1:${name}:${Buffer.concat([nonce, cipher.getAuthTag(), sealed]).toString('base64url')}`
    },
    open(text, purpose) {
      if (!isSealed(text)) return text
      if (bytes === undefined) throw new Misuse('SH011', 'the stored secrets are sealed, and PG_HUBSPOT_KEY is not set', { hint: HINT })
      const [, sealedWith, payload = ''] = FORM.exec(text) ?? []
      if (sealedWith !== undefined && sealedWith !== name) {
        throw new Misuse('SH012', `the stored secrets were sealed with another PG_HUBSPOT_KEY (${sealedWith}, this is ${name})`, { hint: HINT })
      }
      try {
        const all = Buffer.from(payload, 'base64url')
        const decipher = createDecipheriv(CIPHER, bytes, all.subarray(0, NONCE), { authTagLength: TAG })
          .setAAD(bound(purpose))
          .setAuthTag(all.subarray(NONCE, NONCE + TAG))
        return Buffer.concat([decipher.update(all.subarray(NONCE + TAG)), decipher.final()]).toString('utf8')
      } catch (cause) {
        throw new Misuse('SH012', `a stored ${purpose.replace('_', ' ')} cannot be opened: it was changed, or is another secret in its place`, { hint: 'Connect again: pg-hubspot connect', cause })
      }
    },
  }
}

/** Whether a stored text is sealed. */
export const isSealed = (text: string) => text.startsWith('sealed:1:')

const bound = (purpose: Purpose) => Buffer.from(`pg-hubspot:1:${purpose}`)
