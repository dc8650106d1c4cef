import type { Settings } from './settings.ts'
import type { ObjectName, Time } from './types/names.ts'
import type { SeedOptions } from './types/records.ts'
import type { Store } from './types/store.ts'

export type * from './types/associations.ts'
export type * from './types/calls.ts'
export type * from './types/names.ts'
export type * from './types/oauth.ts'
export type * from './types/records.ts'
export type * from './types/store.ts'
export type * from './types/webhooks.ts'

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
