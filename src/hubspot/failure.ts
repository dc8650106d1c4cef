import { z } from 'zod'
import { Refused, type SyncError, Throttled, type ThrottlePolicy, Transient } from '../lib/errors.ts'
import { AGAIN, type AnswerHead, header, type Headers } from './answer.ts'
import { isSearch } from './paths.ts'

/** An answer that is no success, as the client hands it over to be classified. */
export type FailedAnswer = {
  method: string
  path: string
  /** Path with query, for its length. */
  url: string
  type: string | undefined
  head: AnswerHead
  headers: Headers
  /** Absent where it broke off. */
  body?: Buffer
  /** What was sent that is secret, struck out of whatever HubSpot echoes. */
  secrets: readonly string[]
}

// Everything may be missing, or be of another kind: an error about an error helps nobody.
const text = z.string().optional().catch(undefined)
const texts = z.array(z.string()).optional().catch(undefined)
const context = z.looseObject({ requiredGranularScopes: texts, requiredScopes: texts }).optional().catch(undefined)
const Envelope = z.looseObject({
  message: text,
  category: text,
  errorType: text,
  policyName: text,
  status: text,
  error: text,
  correlationId: text,
  context,
  errors: z.array(z.looseObject({ message: text, code: text, context })).optional().catch(undefined),
})
type Envelope = z.infer<typeof Envelope>

/**
 * The one place that decides what an answer other than 2xx means.
 * @see https://developers.hubspot.com/docs/api-reference/error-handling
 */
export function failureOf(answer: FailedAnswer): SyncError {
  const { head, path, method, url, type, secrets } = answer
  const strike = (said: string) => secrets.reduce((rest, secret) => rest.replaceAll(spellingsOf(secret), '[redacted]'), said)
  const raw = strike(answer.body?.toString('utf8') ?? '')
  const envelope = parse(raw)
  const said = (envelope?.message ?? '').slice(0, 1_000)
  const policy = head.status === 429 ? policyOf(envelope, path) : undefined
  const retryAfterMs = retryAfter(answer, policy === 'daily' || head.status === 477 ? LONGEST_OF_DAY_MS : LONGEST_MS)
  const detail = {
    method,
    path,
    status: head.status,
    correlationId: head.correlationId === undefined ? envelope?.correlationId : strike(head.correlationId),
    category: envelope?.category ?? envelope?.errorType,
    // Of the token endpoint, which has its own words: BAD_REFRESH_TOKEN, invalid_grant.
    reason: envelope?.status === 'error' ? envelope.error : (envelope?.status ?? envelope?.error),
    answer: head,
    ...(envelope ? { said, errors: envelope.errors?.slice(0, 10) } : { body: raw.slice(0, 500) }),
  }
  const message = `HubSpot answered ${head.status}${said ? `: ${said}` : ''}`
  const category = detail.category ?? ''
  const refused = (code: 'SH201' | 'SH202' | 'SH203' | 'SH211', hint: string, scopes?: string[]) =>
    new Refused(code, message, { status: head.status, category, scopes, hint, detail })
  const transient = (code: 'SH205' | 'SH206' | 'SH207', hint: string, ms = retryAfterMs) =>
    new Transient(code, message, { retryAfterMs: ms, hint, detail })

  switch (head.status) {
    case 401:
      return refused('SH201', 'Make a new token in HubSpot and hand it over: pg-hubspot connect < token.txt')
    case 403: {
      const scopes = scopesOf(envelope)
      const which = scopes.length === 0 ? 'the missing scope' : `one of ${scopes.join(', ')}`
      return refused('SH202', `Add ${which} to the app in HubSpot.`, scopes.length === 0 ? undefined : scopes)
    }
    case 408:
      return transient('SH206', AGAIN)
    case 414:
      return refused('SH203', `The URL has ${url.length} characters: ask for fewer properties, or by batch read.`)
    case 423:
      // HubSpot's locks last two seconds
      return transient('SH205', AGAIN, Math.max(retryAfterMs ?? 0, 2_000))
    case 429:
      return new Throttled(message, {
        policy: policy ?? 'burst',
        retryAfterMs,
        hint: 'Nothing to do: the budget slows down and recovers. To leave more to other apps, run select hubspot.set_quota_share(0.5);',
        detail,
      })
    case 477:
      return transient('SH205', 'HubSpot moves this account to another region; it goes on by itself afterwards.')
  }
  if ((type !== undefined && head.status === 404) || (head.status === 400 && /unable to infer object type/i.test(said))) {
    return refused('SH211', `Check that ${type ?? 'the object'} exists in this account: table hubspot.object_types;`)
  }
  if (head.status >= 500) return transient('SH207', AGAIN)
  if (head.status >= 400) return refused('SH203', REFUSED)
  if (head.status === 301 || head.status === 308) {
    // never followed: the token would go wherever the answer says
    return refused('SH203', 'Check HUBSPOT_API_URL: the address there has moved, or is not HubSpot\'s.')
  }
  return transient('SH206', 'Something between here and HubSpot redirects calls: look for a proxy or a sign-in page.')
}

const REFUSED = 'Read HubSpot\'s message: look in HubSpot at what it names, a property, a record or a setting. It is tried again every 15 minutes; '
  + 'at once by select hubspot.resume(); If it stays so, give HubSpot\'s support the correlation id.'

/** A secret as it is, and as JSON, a URL or HTML may write each of its characters. */
function spellingsOf(secret: string): RegExp {
  const characters = Array.from(secret, (character) => {
    const hex = character.codePointAt(0)!.toString(16)
    return String.raw`(?:\\?\u{${hex}}|\\u0*${hex}|%0*${hex}|&#(?:x0*${hex}|0*${character.codePointAt(0)});)`
  })
  return new RegExp(characters.join(''), 'giu')
}

function parse(raw: string): Envelope | undefined {
  try {
    return Envelope.safeParse(JSON.parse(raw)).data
  } catch {
    return undefined
  }
}

// Recorded 429s of search lack policyName, so that the message has to do; and search is exempt from
// the burst limit, so that a 429 there which says nothing is about search. `ten_secondly` also holds
// `secondly`, and is looked for first.
function policyOf(envelope: Envelope | undefined, path: string): ThrottlePolicy {
  const said = `${envelope?.policyName ?? ''} ${envelope?.message ?? ''}`.toLowerCase()
  if (/daily/.test(said)) return 'daily'
  if (/ten_?secondly/.test(said)) return 'burst'
  return isSearch(path) ? 'search' : 'burst'
}

function scopesOf(envelope: Envelope | undefined): string[] {
  const contexts = [envelope?.context, ...(envelope?.errors ?? []).map((error) => error.context)]
  return [...new Set(contexts.flatMap((c) => c?.requiredGranularScopes ?? c?.requiredScopes ?? []))]
}

// Only a day's limit, and an account that moves to another region, take longer: of all else HubSpot recovers sooner than a header may claim.
const LONGEST_MS = 3_600_000
const LONGEST_OF_DAY_MS = 24 * LONGEST_MS

// Seconds or a date. A date is HubSpot's, so it is compared with HubSpot's own Date header alone.
function retryAfter({ headers, head }: FailedAnswer, longestMs: number): number | undefined {
  const said = header(headers, 'retry-after') ?? ''
  const ms = /^\d+(\.\d+)?$/.test(said) ? Number(said) * 1_000 : Date.parse(said) - Date.parse(head.date ?? '')
  return Number.isNaN(ms) ? undefined : Math.min(Math.max(Math.ceil(ms), 0), longestMs)
}
