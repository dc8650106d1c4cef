import { createHash, createHmac, timingSafeEqual } from 'node:crypto'

/** What a signature is made of, as it came. Header names in lower case; null where a header is missing. */
export type SignedRequest = {
  method: string
  /** The URLs that the sender may have called: the public one, not that behind a proxy. */
  urls: readonly string[]
  body: Uint8Array
  header(name: string): string | null
}

/**
 * What a request's signature is worth: `missing`, it has none; `stale`, it was signed more than five minutes ago, or ahead, by
 * our clock; `wrong`, it is not HubSpot's for this app, or the URL is another.
 */
export type Verdict = 'valid' | 'missing' | 'stale' | 'wrong'

/** HubSpot: "reject if the timestamp is older than 5 minutes". */
const WINDOW_MS = 300_000

/**
 * Looks at the headers alone, before the body is read: `missing` and `stale` need no more.
 *
 * @see https://developers.hubspot.com/docs/apps/developer-platform/build-apps/authentication/request-validation
 */
export function checkHead(header: SignedRequest['header'], now: number): 'missing' | 'stale' | undefined {
  if (header(V3) === null) return header(V1_OR_V2) === null ? 'missing' : undefined
  const sent = header(TIMESTAMP) ?? ''
  if (!/^\d{1,16}$/.test(sent)) return 'stale'
  return Math.abs(now - Number(sent)) > WINDOW_MS ? 'stale' : undefined
}

/**
 * Checks a request against the app's client secrets: version 3 where it is there, whatever else is; 1 and 2 where only they are.
 * In constant time for each candidate. `now`: epoch ms by the real clock.
 *
 * 1 and 2 have no window: they sign no time of sending, and `occurredAt` is no bound, since HubSpot tries for a day after a first
 * attempt that may be late. Whoever sends one again has records read once more, and no more than that.
 */
export function checkSignature({ method, urls, body, header }: SignedRequest, secrets: readonly string[], now: number): Verdict {
  const early = checkHead(header, now)
  if (early !== undefined) return early
  const v3 = header(V3)
  if (v3 !== null) {
    const forms = [...new Set(urls.flatMap((url) => [decoded(url), url]))]
    const isRight = some(secrets, (secret) => some(forms, (url) => {
      const hmac = createHmac('sha256', secret).update(method + url).update(body).update(header(TIMESTAMP) ?? '')
      return isSame(hmac.digest('base64'), v3)
    }))
    return isRight ? 'valid' : 'wrong'
  }
  const given = (header(V1_OR_V2) ?? '').toLowerCase()
  const heads = header(VERSION)?.toLowerCase() === 'v2' ? urls.map((url) => method + url) : ['']
  const isRight = some(secrets, (secret) => some(heads, (head) => isSame(createHash('sha256').update(secret + head).update(body).digest('hex'), given)))
  return isRight ? 'valid' : 'wrong'
}

const V3 = 'x-hubspot-signature-v3'
const V1_OR_V2 = 'x-hubspot-signature'
const VERSION = 'x-hubspot-signature-version'
const TIMESTAMP = 'x-hubspot-request-timestamp'

/** HubSpot signs the URL with these characters, and no others, as they are, however they were sent. */
const DECODED = /%(3A|2F|3F|40|21|24|27|28|29|2A|2C|3B)/gi

function decoded(url: string): string {
  return url.replace(DECODED, (escape) => decodeURIComponent(escape))
}

/** All of them are tried, so that the time says nothing of which one fits. */
function some<T>(items: readonly T[], fits: (item: T) => boolean): boolean {
  return items.map(fits).includes(true)
}

// The length of a digest is no secret.
function isSame(expected: string, given: string): boolean {
  const [one, other] = [Buffer.from(expected), Buffer.from(given)]
  return one.length === other.length && timingSafeEqual(one, other)
}
