import type { Settings, Span } from '../settings.ts'
import type { AssociationStore } from './associations.ts'
import type { Call, CallCount, CallKind, FaultRule } from './calls.ts'
import type { ObjectName, RecordId, Time } from './names.ts'
import type { OauthStore } from './oauth.ts'
import type { WebhookStore } from './webhooks.ts'
import type { NewRecord, ObjectInput, OwnerInput, PipelineChanges, PipelineInput, PropertyInput, SandboxRecord, SeedOptions, StageChanges, TokenChanges, TokenInput, Values, WriteOptions } from './records.ts'

/** The sandbox's state and everything that can be done to it. Writes take effect in the store at once, in the search index after their lag. */
export interface Store extends AssociationStore, OauthStore, WebhookStore {
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
  /** Removes records without a trace, and their associations. Archived ones go by themselves in `archivedDays`. */
  purge(object: ObjectName, ids: RecordId | readonly RecordId[], options?: WriteOptions): void
  /** Removes contacts for privacy's sake: as {@link purge}, and with the ids that they had before merges. */
  gdprDelete(ids: RecordId | readonly RecordId[], options?: WriteOptions): void
  /**
   * Merges the other record into the primary one; returns the survivor: the primary's values, filled from the other's
   * where empty, the associations of both, and all lost ids. `newId` says whether it gets a new id, or which.
   */
  merge(object: ObjectName, primaryId: RecordId, otherId: RecordId, options?: WriteOptions & { newId?: boolean | RecordId }): SandboxRecord

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
  /** Gives a property other values, of all records or the chosen ones, without moving a modified date. Generated values change in search at once. */
  recalculate(object: ObjectName, name: string, options?: { ids?: RecordId | readonly RecordId[]; lag?: Span }): void

  /** Adds a custom object; returns its type id. */
  addObject(object: ObjectInput): string
  /** Archives a custom object: every call to it is refused, its records and associations are not shown. */
  archiveObject(object: ObjectName): void
  restoreObject(object: ObjectName): void
  /** Deletes an archived custom object for good, with all that belongs to it; another may have its name then. */
  removeObject(object: ObjectName): void
  /** Replaces an object's pipelines. */
  setPipelines(object: ObjectName, pipelines: readonly PipelineInput[]): void
  changePipeline(object: ObjectName, id: string, changes: PipelineChanges): void
  changeStage(object: ObjectName, pipelineId: string, id: string, changes: StageChanges): void
  /** Adds an owner; returns its id. */
  addOwner(owner: OwnerInput): string
  changeOwner(id: RecordId, changes: Partial<Omit<OwnerInput, 'id'>>): void
  archiveOwner(id: RecordId): void
  restoreOwner(id: RecordId): void
  /** Removes an owner without a trace. */
  removeOwner(id: RecordId): void

  addToken(token: TokenInput): void
  /** Changes what a token may do; calls from now on see it. */
  changeToken(token: string, changes: TokenChanges): void
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
