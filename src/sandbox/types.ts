import type { Settings, Span } from './settings.ts'

/** An object type as callers name it: `contacts`, `contact`, `0-1`, `vehicle`, `2-1234567`, `p8675309_vehicle`. */
export type ObjectName = string
/** A record's id; the sandbox hands ids out as text, as HubSpot does, and takes numbers too. */
export type RecordId = string | number
/** A time: epoch milliseconds, an ISO string, or a Date. */
export type Time = number | string | Date

/** A running sandbox. */
export interface Sandbox extends AsyncDisposable {
  /** HubSpot's address here, without a trailing slash; loopback only. */
  readonly url: string
  /** The control API's address, without a trailing slash; loopback only. */
  readonly controlUrl: string
  /** A token with every scope. */
  readonly token: string
  readonly portalId: number
  /** The control API in process; the one over HTTP calls the same functions. */
  readonly store: Store
  /** Cuts every connection and frees both ports. */
  close(): Promise<void>
}

/** What a sandbox starts with. */
export interface SandboxOptions {
  /** HubSpot's port; 0 or nothing: any free one. */
  port?: number
  /** The control API's port; 0 or nothing: any free one. */
  controlPort?: number
  /** Decides every value, id, lag, latency and fault. Default 1. */
  seed?: number
  /** The first token; default one derived from the portal's id. */
  token?: string
  /** Default 8675309. */
  portalId?: number
  /** The clock at start; default the machine's time. */
  now?: Time
  /** Whether the clock stands still until it is advanced. Default false. */
  frozen?: boolean
  /** Records to begin with, by object: `{ contacts: 1000, vehicle: { count: 50, properties: 20 } }`. An unknown name makes a custom object. */
  objects?: Readonly<Record<ObjectName, number | SeedOptions>>
  /** Changes to {@link Settings}. */
  settings?: Partial<Settings>
}

/** How generated records are made. Their values follow from the seed and their ids by formula, so a million take no memory. */
export interface SeedOptions {
  /** How many. */
  count: number
  /** Further custom properties of mixed types to add to the object first (`extra_001`, …). */
  properties?: number
  /** How many of them share one millisecond as their modified date. */
  ties?: number
  /** The lowest id; default above every id there is. */
  firstId?: number
}

/** A record as it stands in the store: what a list or a batch read would answer for all properties. */
export interface SandboxRecord {
  readonly id: string
  readonly properties: Readonly<Record<string, string | null>>
  readonly createdAt: string
  readonly updatedAt: string
  readonly archived: boolean
  readonly archivedAt?: string
}

/** Property values to write. Anything but null becomes text, as it stands: nothing is validated, so that odd data can be made. */
export type Values = Readonly<Record<string, string | number | boolean | null>>

/** When a write happens and when the search index learns of it. */
export interface WriteOptions {
  /** Time of the write; default the sandbox's now. Many records with one time are a tie. */
  at?: Time
  /** Search lag of this write, instead of the setting. */
  lag?: Span
}

/** One record to create. */
export interface NewRecord {
  /** Default: the next id. May lie below the newest; an id that was ever used is refused. */
  id?: RecordId
  properties?: Values
}

/** A property definition as HubSpot describes it; what is left out takes HubSpot's defaults. */
export interface PropertyInput {
  name: string
  label?: string
  /** string, number, bool, enumeration, date, datetime, phone_number, json, object_coordinates. Default string. */
  type?: string
  /** Default: the usual one of the type. */
  fieldType?: string
  description?: string
  groupName?: string
  options?: readonly (string | { value: string; label?: string; hidden?: boolean })[]
  hasUniqueValue?: boolean
  hidden?: boolean
  calculated?: boolean
  readOnlyValue?: boolean
  referencedObjectType?: string | null
  dataSensitivity?: 'non_sensitive' | 'sensitive' | 'highly_sensitive'
  /** Refuses every call that asks for it with 403, which names it or not. */ unreadable?: 'named' | 'unnamed' | null
  /** Whether generated records have values in it at once, without their modified dates moving (as calculated properties do). */
  filled?: boolean
}

/** A custom object's schema. */
export interface ObjectInput {
  name: string
  labels?: { singular: string; plural: string }
  /** The N of `2-N`; default the next free one. */
  typeNumber?: number
  properties?: readonly PropertyInput[]
  primaryDisplayProperty?: string
}

/** A pipeline of an object, with its stages in order. */
export interface PipelineInput {
  id: string
  label?: string
  stages: readonly { id: string; label?: string; metadata?: Readonly<Record<string, string>> }[]
}

/** An owner. */
export interface OwnerInput {
  id?: RecordId
  email: string
  firstName?: string
  lastName?: string
  type?: 'PERSON' | 'QUEUE'
}

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
  /** Of the records: each twice, the first left out, all without their properties; spaces between them, up to so many bytes. */
  | { type: 'duplicates' | 'missing' | 'incomplete' } | { type: 'padding'; bytes: number }
  /** A right answer under another Content-Type; null: under none. */
  | { type: 'content type'; value: string | null }
  /** A right answer whose Date header is off by so many ms. */ | { type: 'date'; ms: number }

/** Which calls a fault strikes. All given fields must fit. */
export interface FaultMatch {
  kind?: CallKind | readonly CallKind[]
  object?: ObjectName
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
  | 'list' | 'get' | 'search' | 'batch read'
  | 'properties' | 'property' | 'property groups' | 'schemas' | 'schema' | 'pipelines' | 'pipeline' | 'stages'
  | 'owners' | 'owner' | 'account' | 'usage' | 'enablement' | 'unknown'

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

/** A bearer token of this account. */
export interface TokenInput {
  token: string
  /** Default: every scope. */
  scopes?: readonly string[]
  /** When it ends, by the sandbox's clock; default never. */
  expiresAt?: Time
}

/** The sandbox's state and everything that can be done to it. Writes take effect in the store at once, in the search index after their lag. */
export interface Store {
  readonly portalId: number
  readonly settings: Readonly<Settings>
  configure(changes: Partial<Settings>): void

  /** The sandbox's now, epoch ms. */
  now(): number
  /** Sets the clock; it goes on from there unless frozen. */
  setClock(time: Time): void
  advance(ms: number): void
  freeze(frozen?: boolean): void

  /** Names of all object types. */
  objects(): string[]
  /** Adds generated records, at once in the index; returns the first and last id. */
  seed(object: ObjectName, options: number | SeedOptions): { count: number; firstId: string; lastId: string }
  /** Creates records; `fill` gives properties that are not named generated values. */
  create(object: ObjectName, records: readonly NewRecord[], options?: WriteOptions & { fill?: boolean }): SandboxRecord[]
  /** Changes properties of live records. `touch: false` leaves the modified date, as recalculations do. */
  edit(object: ObjectName, ids: RecordId | readonly RecordId[], properties: Values, options?: WriteOptions & { touch?: boolean }): SandboxRecord[]
  archive(object: ObjectName, ids: RecordId | readonly RecordId[], options?: WriteOptions): void
  restore(object: ObjectName, ids: RecordId | readonly RecordId[], options?: WriteOptions): void
  /** Removes records without a trace. */
  purge(object: ObjectName, ids: RecordId | readonly RecordId[], options?: WriteOptions): void

  /** Live records (or the archived ones) by id, with all properties that have a definition. */
  records(object: ObjectName, options?: { archived?: boolean }): Iterable<SandboxRecord>
  /** A record, archived or not. */
  record(object: ObjectName, id: RecordId): SandboxRecord | undefined
  /** How many records are live, or archived. */
  count(object: ObjectName, options?: { archived?: boolean }): number
  /** Writes that the search index has not learned of. */
  pending(object?: ObjectName): number
  /** Lets the index learn of everything now. */
  flushIndex(): void

  addProperty(object: ObjectName, property: PropertyInput): void
  /** Changes label, type, options, … of a property; values stay as they are. */
  changeProperty(object: ObjectName, name: string, changes: Partial<PropertyInput>): void
  archiveProperty(object: ObjectName, name: string): void
  /** Brings an archived property back, with its values. */
  restoreProperty(object: ObjectName, name: string): void

  /** Adds a custom object; returns its type id. */
  addObject(object: ObjectInput): string
  /** Replaces an object's pipelines. */
  setPipelines(object: ObjectName, pipelines: readonly PipelineInput[]): void
  /** Adds an owner; returns its id. */
  addOwner(owner: OwnerInput): string
  archiveOwner(id: RecordId): void

  addToken(token: TokenInput): void
  /** Calls with the token answer 401 from now on. */
  revokeToken(token: string): void

  /** Adds a fault; returns its number. */
  addFault(rule: FaultRule): number
  faults(): (FaultRule & { number: number; struck: number })[]
  /** Removes one fault, or all. */
  removeFaults(number?: number): void

  /** The latest calls, oldest first. */
  calls(match?: { kind?: CallKind; object?: ObjectName; status?: number }): readonly Call[]
  counts(): CallCount[]
  resetCalls(): void
  /** Resolves when a call fits and has been answered; looks at calls from now on. */
  nextCall(match?: { kind?: CallKind; object?: ObjectName; status?: number }): Promise<Call>
}
