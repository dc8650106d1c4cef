import type { ObjectName, RecordId } from './names.ts'

/** Who made a type. */
export type AssociationCategory = 'HUBSPOT_DEFINED' | 'USER_DEFINED' | 'INTEGRATOR_DEFINED'

/** A type of association in one direction. Ids count by category: one id may stand for two types of a pair. */
export interface AssociationType {
  readonly category: AssociationCategory
  readonly typeId: number
  /** Null: the unlabelled type, which every association has. */
  readonly label: string | null
}

/** A type by its label, by its id where no other category has it, or by category and id. */
export type AssociationTypeName = string | number | { readonly category: AssociationCategory; readonly typeId: number }

/** A label for a pair of objects. */
export interface LabelInput {
  /** What the first object's records call the other; `name` may stand for it. */
  label?: string
  name?: string
  /** What the others call it, as child to parent; default: the same label both ways. */
  inverseLabel?: string
  /** Default USER_DEFINED. */
  category?: Exclude<AssociationCategory, 'HUBSPOT_DEFINED'>
  /** Ids of one's choice; default the next free ones. */
  typeId?: number
  inverseTypeId?: number
}

/** An association to make or to end. */
export interface EdgeInput {
  fromId: RecordId
  toId: RecordId
  /** Labels. To make: besides the unlabelled type, which is always there. To end: these alone; without them all of it. */
  types?: readonly AssociationTypeName[]
}

/** One type of one association, as HubSpot answers it. */
export interface Edge extends AssociationType {
  readonly fromId: string
  readonly toId: string
}

/** What can be done about associations. Each edge is there from both ends, with the inverse types. */
export interface AssociationStore {
  /** The types of a pair in one direction. */
  associationTypes(from: ObjectName, to: ObjectName): AssociationType[]
  /** Adds a label; returns its ids in both directions. */
  defineLabel(from: ObjectName, to: ObjectName, label: LabelInput): { typeId: number; inverseTypeId: number }
  /** Renames a label in this direction; one label both ways is renamed in both. */
  changeLabel(from: ObjectName, to: ObjectName, type: AssociationTypeName, label: string): void
  /** Removes a label from the account and from all associations, in both directions. */
  removeLabel(from: ObjectName, to: ObjectName, type: AssociationTypeName): void

  /** Associates two live records, or adds labels. A record has one Primary at most: a new one takes it from the old. */
  associate(from: ObjectName, fromId: RecordId, to: ObjectName, toId: RecordId, types?: readonly AssociationTypeName[]): void
  /** Takes labels away, or, without any or with the unlabelled type, the whole association. */
  dissociate(from: ObjectName, fromId: RecordId, to: ObjectName, toId: RecordId, types?: readonly AssociationTypeName[]): void
  /** Makes many associations; refuses all before the first where one does not fit. */
  associateAll(from: ObjectName, to: ObjectName, edges: readonly EdgeInput[]): void
  /** Ends many associations. */
  dissociateAll(from: ObjectName, to: ObjectName, edges: readonly EdgeInput[]): void
  /** What live records show, by from, to and type; of one record alone where `fromId` is given. */
  edges(from: ObjectName, to: ObjectName, options?: { fromId?: RecordId }): Iterable<Edge>
}
