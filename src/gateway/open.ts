import { createLiveReads } from '../sync/live.ts'
import type { SyncDeps } from '../sync/step.ts'
import { createLive } from './freshen.ts'
import { type Gateway, type GatewayOptions, startGateway } from './server.ts'

/** A worker's gateway: HubSpot is asked for what a query touches, with the worker's own token and budget. Misuse SH017. */
export async function openGateway(deps: SyncDeps, databaseUrl: string, options: GatewayOptions): Promise<Gateway> {
  const { db, log } = deps
  const live = createLive({ db, reads: createLiveReads(deps), log })
  return await startGateway(options, { databaseUrl, live, log })
}
