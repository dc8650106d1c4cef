import type { TokenState } from '../http/tokens.ts'
import type { Apps } from '../oauth/apps.ts'
import type { Settings } from '../settings.ts'
import type { Clock } from '../store/clock.ts'
import type { Random } from '../store/random.ts'
import type { Table } from '../store/table.ts'
import type { Tables } from '../store/tables.ts'
import type { CallKind, Store } from '../types.ts'
import { type Answer, invalid } from './answers.ts'

/** The account that answers. */
export interface Account {
  readonly portalId: number
  readonly tables: Tables
  /** What can be done by calls. */
  readonly store: Pick<Store, 'archive' | 'merge' | 'gdprDelete'>
  readonly apps: Apps
  readonly tokenCheck: (token: string | null) => TokenState
  readonly clock: Clock
  readonly settings: Readonly<Settings>
  /** Draws of the answers: page lengths, orders. */
  readonly random: Random
  /** Calls of the current day, and when it ends (epoch ms). */
  readonly usage: { usedToday(): number; resetsAt(): number }
}

/** A call that has arrived, been let through and routed. */
export interface Request {
  readonly account: Account
  readonly table: Table | null
  /** The second object, where the call is about two. */
  readonly to: Table | null
  /** Scopes of the token; null: all. */
  readonly scopes: Scopes | null
  /** Path and query as they came. */
  readonly url: string
  readonly method: string
  readonly headers: Readonly<Record<string, string | undefined>>
  readonly query: URLSearchParams
  readonly body: string
  /** Parts of the path behind the object's name. */
  readonly path: readonly string[]
  /** Host and port as the caller named them. */
  readonly host: string
  readonly version: string
  /** Epoch ms: a read answers as the store was then; null: as it is. */
  readonly asOf: number | null
}

/** What a token may do. */
export interface Scopes {
  has(scope: string): boolean
}

/** A handler with what must be known before it runs. */
export interface Route {
  readonly kind: CallKind
  readonly handle: (request: Request) => Answer
  /** Whether it is asked without a token. */
  readonly isOpen?: boolean
  /** Sets of scopes of which the token needs one each; none: any token may. */
  readonly scopes: readonly (readonly string[])[]
  readonly table: Table | null
  readonly to: Table | null
  /** The names of objects as asked that the path has. */
  readonly asked: readonly string[]
  readonly path: readonly string[]
  readonly version: string
}

/** A list parameter: repeated keys, commas, or both. */
export function listParam(query: URLSearchParams, name: string): string[] {
  return query.getAll(name).flatMap((value) => value.split(',')).map((value) => value.trim()).filter(Boolean)
}

/** A flag parameter; anything but `true` is false. */
export function flagParam(query: URLSearchParams, name: string): boolean {
  return query.get(name) === 'true'
}

/** A page length; 400 beyond `most`. */
export function limitParam(query: URLSearchParams, usual: number, most: number): number {
  const text = query.get('limit')
  if (text === null || text === '') return usual
  const limit = Number(text)
  if (!Number.isInteger(limit) || limit < 1) throw invalid(`Request URI param 'limit' with value of '${text}' should be a positive integer`)
  if (limit > most) throw invalid(`Request URI param 'limit' with value of '${text}' should be less than or equal to ${most}`)
  return limit
}

/** The body as a JSON object; 400 where it is none. */
export function jsonBody(request: Request): Record<string, unknown> {
  let parsed: unknown
  try {
    parsed = JSON.parse(request.body)
  } catch {
    throw invalid('Invalid input JSON on line 1, column 1: the body could not be read')
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) throw invalid('Invalid input JSON: an object was expected')
  return parsed as Record<string, unknown>
}

/** A list of texts in a body; 400 where it is something else. */
export function textList(body: Record<string, unknown>, name: string): string[] {
  const value = body[name] ?? []
  if (!Array.isArray(value) || value.some((item) => typeof item !== 'string')) throw invalid(`Invalid input JSON: ${name} must be a list of strings`)
  return value as string[]
}
