import { z } from 'zod'
import { Misuse, Refused } from '../lib/errors.ts'
import { unreadable } from './answer.ts'
import { parsed } from './body.ts'
import type { Call, Client } from './client.ts'

/** What HubSpot gives for a code or a refresh token. */
export type Tokens = {
  accessToken: string
  /** Absent in an answer to a refresh that leaves the one that was used in force. */
  refreshToken: string | undefined
  /** Seconds, as HubSpot says. */
  expiresIn: number
  scopes: string[] | undefined
}

/** An app: what it is known by, and its password. */
export type App = { clientId: string; clientSecret: string }

/** Where people authorise apps; another host than the API's. A loopback HUBSPOT_API_URL serves both. */
const AUTHORISE = 'https://app.hubspot.com'

/**
 * Asks for a new access token. Refused SH226 where HubSpot takes the refresh token no more, SH227 where it does not know the app.
 * Never aborted half-way: HubSpot may have ended the token before.
 * @see https://developers.hubspot.com/docs/api-reference/latest/authentication/manage-oauth-tokens
 */
export async function refreshTokens(client: Client, call: Call, app: App, refreshToken: string): Promise<Tokens> {
  return await ask(client, call, { ...named(app), grant_type: 'refresh_token', refresh_token: refreshToken })
}

/** Takes what the authorise page sent back. Refused SH228 where HubSpot does not take it, SH227 as above. */
export async function exchangeCode(
  client: Client, call: Call, app: App, { code, redirectUri }: { code: string; redirectUri: string },
): Promise<Tokens & { refreshToken: string }> {
  const tokens = await ask(client, call, { ...named(app), grant_type: 'authorization_code', code, redirect_uri: redirectUri })
  const { refreshToken } = tokens
  if (refreshToken === undefined) {
    throw new Misuse('SH228', 'the app was not authorised: HubSpot gave no refresh token', { hint: 'Run npx pg-hubspot connect --oauth again.' })
  }
  return { ...tokens, refreshToken }
}

/** The page where a person authorises the app; `scopes` must be what the app requires, and may be more than it optionally asks. */
export function authoriseUrl(
  { clientId, redirectUri, scopes, optionalScopes, state }: { clientId: string; redirectUri: string; scopes: readonly string[]; optionalScopes: readonly string[]; state: string },
  baseUrl?: string,
): string {
  const query = new URLSearchParams({ client_id: clientId, redirect_uri: redirectUri, scope: scopes.join(' '), state })
  if (optionalScopes.length > 0) query.set('optional_scope', optionalScopes.join(' '))
  // HubSpot wants spaces as %20.
  return `${baseUrl ?? AUTHORISE}/oauth/authorize?${query.toString().replaceAll('+', '%20')}`
}

const named = ({ clientId, clientSecret }: App) => ({ client_id: clientId, client_secret: clientSecret })

async function ask(client: Client, call: Call, form: Record<string, string>): Promise<Tokens> {
  try {
    const { body } = await call('burst', () => client.request({ path: client.paths.oauthToken(), form }))
    const { access_token, refresh_token, expires_in, scopes } = tokensOf(body)
    return { accessToken: access_token, refreshToken: refresh_token, expiresIn: Math.min(Math.max(expires_in, SHORTEST_S), LONGEST_S), scopes }
  } catch (error) {
    throw error instanceof Refused ? refusalOf(error, form['grant_type'] === 'authorization_code') : error
  }
}

/** What a parser says of a text repeats parts of it, and this one is all secrets. */
function tokensOf(body: Buffer): z.infer<typeof Answer> {
  try {
    return parsed(body, Answer)
  } catch {
    throw unreadable('it is no pair of tokens')
  }
}

/** An end behind us would have it renewed without pause; one of years, never. */
const SHORTEST_S = 1
const LONGEST_S = 7 * 86_400
/** What HubSpot's documentation says of all of them. */
const USUAL_S = 1_800

const SCOPE = z.string().regex(/^[\x21-\x7e]{1,200}$/)
const word = z.string().regex(/^[\x21-\x7e]{1,8192}$/)
const Answer = z.looseObject({
  access_token: word,
  refresh_token: word.optional(),
  expires_in: z.coerce.number().catch(USUAL_S),
  // They are only shown: one that is none must not cost the tokens beside it.
  scopes: z.array(z.unknown()).transform((scopes) => scopes.filter((scope) => SCOPE.safeParse(scope).success) as string[]).optional().catch(undefined),
})

/** HubSpot's refusal in this product's words. What is not about the grant stays what it is. */
function refusalOf(error: Refused, isCode: boolean): Refused {
  const [reason = '', said = ''] = [error.detail['reason'], error.detail['said']] as (string | undefined)[]
  const parts = { status: error.status, category: reason, detail: error.detail, cause: error }
  if (/BAD_CLIENT|invalid_client|unauthorized_client/i.test(`${reason} ${said}`)) {
    return new Refused('SH227', `HubSpot refuses the app's client id or secret: ${error.message}`, {
      ...parts, hint: "Copy both from the app's Auth tab in HubSpot and authorise it again: npx pg-hubspot connect --oauth",
    })
  }
  if (isCode) {
    return new Refused('SH228', `the app was not authorised: ${error.message}`, {
      ...parts, hint: 'A code is good once and for minutes, and the redirect URL must be the app\'s: run npx pg-hubspot connect --oauth again.',
    })
  }
  if (/BAD_REFRESH_TOKEN|invalid_grant/i.test(`${reason} ${said}`)) {
    return new Refused('SH226', `HubSpot refuses the refresh token: ${error.message}`, {
      ...parts,
      hint: 'Authorise the app again: npx pg-hubspot connect --oauth. It was revoked, or the app was uninstalled; or another program renews the same token.',
    })
  }
  return error
}
