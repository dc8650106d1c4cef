import { EventEmitter } from 'node:events'
import { Logger, run, type TaskList, type WorkerEvents } from 'graphile-worker'
import { isConnectionLost } from './db/database.ts'
import type { Log } from './lib/log.ts'
import type { SyncDeps } from './sync/step.ts'

/** A database that is away is tried again this often in the end. */
const LONGEST_PAUSE_MS = 10_000
/** How late a job due in the future may start: the queue looks that often; polls are due that early (hubspot_private.schedule_lead). */
const POLL_MS = 500
/** How long a queue that has shut down may take to say so. */
const LAST_MS = 2_000

/**
 * Batched, a job that cannot be signed off stops the queue with an error, and it is started anew. Alone, each would reject a
 * promise that graphile-worker does not look at, and a database that goes away as a job ends would end the process.
 */
const QUEUE_PRESET: GraphileConfig.Preset = { worker: { completeJobBatchDelay: 0, failJobBatchDelay: 0 } }

/** Takes jobs until the signal; a queue that gave up, as it does when the database goes away under a job, is started anew. */
export async function startQueue({ db, log, signal, sleep }: SyncDeps, { schema, concurrency, queueIds, taskList }: {
  schema: string
  concurrency: number
  /** The names under which the queue locks jobs, for whoever must free them. */
  queueIds: Set<string>
  taskList: TaskList
}): Promise<void> {
  for (let wait = 1_000; !signal.aborted; ) {
    const events: WorkerEvents = new EventEmitter()
    events.on('pool:create', ({ workerPool }) => queueIds.add(workerPool.id))
    const over = ending(events)
    try {
      const runner = await run({
        pgPool: db.pool, schema, concurrency, events,
        preset: QUEUE_PRESET,
        noHandleSignals: true,
        pollInterval: POLL_MS,
        taskList,
        parsedCronItems: [],
        logger: queueLogger(log),
      })
      const stop = () => void runner.stop().catch((error: unknown) => log.debug('the queue was stopping', { error }))
      signal.addEventListener('abort', stop, { once: true })
      if (signal.aborted) stop()
      wait = 1_000
      await Promise.race([runner.promise, over]).finally(() => signal.removeEventListener('abort', stop))
    } catch (error) {
      log.debug('the queue stopped', { error })
    }
    queueIds.clear()
    if (signal.aborted) return
    log.warn('the queue stopped, as it does when the database goes away; it is started again', { in_ms: wait })
    await sleep(wait, signal).catch(() => undefined)
    wait = Math.min(wait * 2, LONGEST_PAUSE_MS)
  }
}

/** A while after a queue has shut down: of one that the database left under a job, the promise may never be kept. */
function ending(events: WorkerEvents): Promise<void> {
  return new Promise((resolve) => {
    const soon = () => void setTimeout(resolve, LAST_MS).unref()
    for (const name of ['pool:gracefulShutdown:complete', 'pool:forcefulShutdown:complete', 'pool:forcefulShutdown:error'] as const) events.once(name, soon)
  })
}

function queueLogger(log: Log): Logger {
  return new Logger(() => (level, message, meta) => {
    // What a database that is away does to the queue is told once, by whoever starts it again.
    const isAway = isConnectionLost(meta?.['error'] ?? meta?.['fatalError'])
    const to = isAway ? 'debug' : level === 'error' ? 'error' : level === 'warning' ? 'warn' : 'debug'
    log[to](`queue: ${message}`, meta)
  })
}
