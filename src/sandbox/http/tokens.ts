import type { Scopes } from '../api/request.ts'
import { type Clock, epoch } from '../store/clock.ts'
import type { ObjectName, Time, TokenChanges, TokenInput } from '../types.ts'

/** What is known of a token: its scopes (null: all), or why it is no good. `name` tells whose burst window a call counts in. */
export type TokenState =
  | { readonly status: 'valid'; readonly name: string; readonly scopes: Scopes | null; readonly listed: readonly string[] }
  | { readonly status: 'unknown' | 'expired' }

/** The account's bearer tokens. */
export interface Tokens {
  add(token: TokenInput): void
  change(token: string, changes: TokenChanges): void
  revoke(token: string): void
  check(token: string | null): TokenState
}

interface Held {
  /** Null: every scope. */
  readonly scopes: ReadonlySet<string> | null
  readonly withdrawn: ReadonlySet<string>
  readonly expiresAt: number
  readonly name: string
}

/** Tokens, by the sandbox's clock; `scopesOf` names all scopes that concern an object. */
export function createTokens(clock: Clock, scopesOf: (object: ObjectName) => readonly string[]): Tokens {
  const tokens = new Map<string, Held>()
  const end = (time: Time | null | undefined) => (time == null ? Infinity : epoch(time))
  return {
    add({ token, scopes, expiresAt, name = token }) {
      if (!token || /\s/.test(token)) throw new Error('a token is a word')
      tokens.set(token, { scopes: scopes ? new Set(scopes) : null, withdrawn: new Set(), expiresAt: end(expiresAt), name })
    },
    change(token, { scopes, without, expiresAt }) {
      const known = tokens.get(token)
      if (!known) throw new Error(`no token ${token}`)
      tokens.set(token, {
        scopes: scopes === undefined ? known.scopes : scopes && new Set(scopes),
        withdrawn: without ? new Set(without.flatMap(scopesOf)) : known.withdrawn,
        expiresAt: expiresAt === undefined ? known.expiresAt : end(expiresAt),
        name: known.name,
      })
    },
    revoke: (token) => void tokens.delete(token),
    check(token) {
      const known = token === null ? undefined : tokens.get(token)
      if (!known || token === null) return { status: 'unknown' }
      if (known.expiresAt <= clock.now()) return { status: 'expired' }
      const { scopes, withdrawn } = known
      const has = (scope: string) => !withdrawn.has(scope) && (scopes === null || scopes.has(scope))
      return {
        status: 'valid', name: known.name, scopes: scopes === null && withdrawn.size === 0 ? null : { has },
        listed: [...(scopes ?? [])].filter(has),
      }
    },
  }
}
