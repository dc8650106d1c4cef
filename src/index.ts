/** pg-hubspot as a library: what the command line does, for programs that embed it. The product itself is used from SQL. */
export { type Migrated, migrate, uninstall } from './db/migrate.ts'
export {
  Bug, type ErrorCode, ERRORS, Misuse, Refused, SyncError, Throttled, Transient,
} from './lib/errors.ts'
export { createLog, type Log, type LogLevel, type LogOptions } from './lib/log.ts'
export { VERSION } from './lib/version.ts'
export { startSandbox } from './sandbox/index.ts'
export type * from './sandbox/index.ts'
export { type HubSpotEnv } from './sync/credentials.ts'
export { type RunningWorker, runOnce, startWorker, type WorkerOptions } from './worker.ts'
