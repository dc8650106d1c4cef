import type { RecordId, Store } from '../types.ts'

/** The body of a call, a JSON object. */
export type Body = Readonly<Record<string, unknown>>
/** Ids in a body. */
export type Ids = readonly RecordId[]

/** One call of the control API. */
export interface ControlRoute {
  /** What it does, in a line. */
  readonly about: string
  /** Fields that its body must have. */
  readonly needs?: readonly string[]
  readonly run: (store: Store, object: string, body: Body, query: URLSearchParams) => unknown
}

/** Calls by method and path, where `:object` stands for an object's name. */
export type ControlRoutes = Readonly<Record<string, ControlRoute>>
