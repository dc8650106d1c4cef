import type { Span } from '../settings.ts'
import type { ObjectName, RecordId, Time } from './names.ts'

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

/** What can be changed of a pipeline; archived ones are shown nowhere. */
export interface PipelineChanges {
  label?: string
  displayOrder?: number
  archived?: boolean
}

/** What can be changed of a stage. */
export interface StageChanges extends PipelineChanges {
  metadata?: Readonly<Record<string, string>>
}

/** What can be changed of a token. */
export interface TokenChanges {
  /** Null: every scope. */
  scopes?: readonly string[] | null
  /** Objects whose scopes, to read, to write and of the schema, are withdrawn; replaces what was withdrawn before. Others that share a scope go with them. */
  without?: readonly ObjectName[]
  /** Null: never. */
  expiresAt?: Time | null
}

/** A bearer token of this account. */
export interface TokenInput {
  token: string
  /** Default: every scope. */
  scopes?: readonly string[]
  /** When it ends, by the sandbox's clock; default never. */
  expiresAt?: Time
  /** Whose burst window its calls count in; default its own. */
  name?: string
}
