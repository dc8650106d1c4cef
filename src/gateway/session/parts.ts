import type { Socket } from 'node:net'
import type { ServerAddress } from '../../db/server-address.ts'
import type { Log } from '../../lib/log.ts'
import type { Live } from '../live.ts'
import type { SessionTimes } from './times.ts'

/** What sessions have in common. */
export type SessionDeps = {
  server: ServerAddress
  live: Live
  log: Log
  times: SessionTimes
  /** The longest message of a client; bytes. */
  largestMessage: number
  /** How long a client may read nothing of what is there for it; ms. */
  stallMs: number
}

/** One session: who, and what is to be known of it. */
export type SessionParts = {
  id: string
  socket: Socket
  isTls: boolean
  version: number
  params: ReadonlyMap<string, string>
  /** It has a process at the server, which a cancel request names. */
  begun(key: { pid: number; key: Buffer }): void
  /** Signed on, or refused by the server for who it is. */
  signedOn(isIn: boolean): void
}
