import { type Clock, epoch } from '../store/clock.ts'
import type { TokenInput } from '../types.ts'

/** What is known of a token: its scopes (null: all), or why it is no good. `name` tells whose burst window a call counts in. */
export type TokenState =
  | { readonly status: 'valid'; readonly name: string; readonly scopes: ReadonlySet<string> | null }
  | { readonly status: 'unknown' | 'expired' }

/** The account's bearer tokens. */
export interface Tokens {
  add(token: TokenInput): void
  revoke(token: string): void
  check(token: string | null): TokenState
}

/** Tokens, by the sandbox's clock. */
export function createTokens(clock: Clock): Tokens {
  const tokens = new Map<string, { scopes: ReadonlySet<string> | null; expiresAt: number }>()
  return {
    add({ token, scopes, expiresAt }) {
      if (!token || /\s/.test(token)) throw new Error('a token is a word')
      tokens.set(token, { scopes: scopes ? new Set(scopes) : null, expiresAt: expiresAt === undefined ? Infinity : epoch(expiresAt) })
    },
    revoke: (token) => void tokens.delete(token),
    check(token) {
      const known = token === null ? undefined : tokens.get(token)
      if (!known || token === null) return { status: 'unknown' }
      if (known.expiresAt <= clock.now()) return { status: 'expired' }
      return { status: 'valid', name: token, scopes: known.scopes }
    },
  }
}
