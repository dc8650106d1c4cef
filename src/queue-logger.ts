import { Logger } from 'graphile-worker'
import { isConnectionLost } from './db/database.ts'
import type { Log } from './lib/log.ts'

/** The queue's own log as ours. */
export function queueLogger(log: Log): Logger {
  return new Logger(() => (level, message, meta) => {
    // What a database that is away does to the queue is told once, by whoever starts it again.
    const isAway = isConnectionLost(meta?.['error'] ?? meta?.['fatalError'])
    const to = isAway ? 'debug' : level === 'error' ? 'error' : level === 'warning' ? 'warn' : 'debug'
    log[to](`queue: ${message}`, meta)
  })
}
