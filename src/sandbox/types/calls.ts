import type { ObjectName } from './names.ts'

/** What HubSpot can do wrong. */
export type Fault =
  | { type: '429'; policy?: 'burst' | 'secondly' | 'search' | 'daily' }
  | { type: '401' | '403' | '423' | '500' | '502' | '503' | '504' }
  | { type: '477'; /** Seconds. Default 3600. */ retryAfter?: number }
  /** Any other answer, as given. */
  | { type: 'answer'; status: number; body?: string; headers?: Readonly<Record<string, string>> }
  /** The connection is reset: before a byte of the answer, or after half of its body. */
  | { type: 'reset' | 'reset body' }
  /** JSON that ends half-way, the content-length right (torn), or longer than what comes before the connection ends (short). */
  | { type: 'torn' | 'short' }
  /** Delays in ms: before the head, or over the body, which then comes in pieces. */ | { type: 'slow head' | 'slow body'; ms: number }
  /** No answer, or a head and no body, until the caller gives up or the sandbox closes. */
  | { type: 'hang' | 'hang body' }
  /** Of the records: each twice, the first left out, all without their properties, every other without one of them; spaces between them, up to so many bytes. */
  | { type: 'duplicates' | 'missing' | 'incomplete' | 'lacking' } | { type: 'padding'; bytes: number }
  /** A batch read answered by a copy that knows nothing of the last so many ms. */ | { type: 'behind'; ms: number }
  /** A right answer under another Content-Type; null: under none. */
  | { type: 'content type'; value: string | null }
  /** A right answer whose Date header is off by so many ms. */ | { type: 'date'; ms: number }

/** Which calls a fault strikes. All given fields must fit. */
export interface FaultMatch {
  kind?: CallKind | readonly CallKind[]
  object?: ObjectName
  /** The second object, of calls about two. */
  to?: ObjectName
  method?: string
  /** A part of path and query. */
  path?: string
  token?: string
}

/** A fault and when it strikes. */
export interface FaultRule {
  match?: FaultMatch
  fault: Fault | Fault['type']
  /** The first call that fits and is struck, counted from 1. Default 1. */
  nth?: number
  /** How often it strikes before it goes by itself. Default: until it is removed. */
  times?: number
  /** Chance of each call that fits, drawn by the seed. Default 1. */
  probability?: number
}

/** What a call asks for. */
export type CallKind =
  | 'list' | 'get' | 'search' | 'batch read' | 'associations' | 'record associations' | 'association labels'
  | 'merge' | 'gdpr delete' | 'archive' | 'batch archive'
  | 'properties' | 'property' | 'property groups' | 'schemas' | 'schema' | 'pipelines' | 'pipeline' | 'stages'
  | 'owners' | 'owner' | 'account' | 'usage' | 'enablement'
  | 'authorise' | 'token' | 'token info' | 'token revoke' | 'unknown'

/** One call that HubSpot's side received. */
export interface Call {
  /** Counts from 1 and never starts again. */
  readonly number: number
  /** Arrival: the sandbox's clock, epoch ms. */
  readonly at: number
  /** Arrival: the machine's monotonic clock, ms. */
  readonly arrivedAt: number
  readonly kind: CallKind
  /** The object's name, where the call names one that exists. */
  readonly object: string | null
  /** The second object's name, of a call about two. */
  readonly to?: string
  readonly method: string
  /** Path and query as they came. */
  readonly url: string
  readonly token: string | null
  /** What was answered; 0 where no answer was given. */
  status: number
  /** The fault that struck. */
  fault?: Fault['type']
  /** What was asked for, as far as the kind of call has it. */
  readonly limit?: number
  readonly after?: string
  readonly archived?: boolean
  readonly ids?: readonly string[]
  readonly sort?: string
  readonly filters?: unknown
  /** Of a call for tokens: `authorization_code` or `refresh_token`. */
  readonly grant?: string
  /** How many records were answered, and the first and last of them. */
  returned?: number
  firstId?: string
  lastId?: string
}

/** How many calls of a kind ended in a status. */
export interface CallCount {
  readonly kind: CallKind
  readonly object: string | null
  readonly status: number
  readonly count: number
}
