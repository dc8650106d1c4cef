import { constants } from 'node:os'
import type { Task, TaskList } from 'graphile-worker'
import { readEnvironment } from './cli/support/environment.ts'
import { isConnectionLost } from './db/database.ts'
import { createLog } from './lib/log.ts'
import { attend, compose, taskList } from './worker.ts'

// The tasks for graphile-worker's own command line, which reads graphile.config.ts: it runs the queue, with tasks of yours beside
// ours if you like. What pg-hubspot's worker does besides is done here, from the moment graphile-worker loads this file: heartbeat,
// presence, the token's check. The sweep is a cron item, in the file crontab.

const env = readEnvironment(process.env)
const stopping = new AbortController()
const log = createLog()
const { deps } = await compose({ databaseUrl: env.DATABASE_URL, hubspot: env.hubspot, log }, stopping.signal)
const queueIds = new Set<string>()
const leave = await attend(deps, env.DATABASE_URL ?? '', queueIds)
log.info('tasks of pg-hubspot are ready', { worker: deps.worker })

// graphile-worker signs a finished job off without looking at what becomes of it: a database that is away then would end the
// process. The job's row is left for the sweep. Every other error goes its way.
process.on('unhandledRejection', (reason) => {
  if (isConnectionLost(reason) && reason instanceof Error && /graphile-worker\S*\/(complete|fail)Jobs\.js/.test(reason.stack ?? '')) {
    log.warn('a job could not be signed off: the database is away', { error: reason })
  } else if (process.listenerCount('unhandledRejection') === 1) {
    throw reason
  }
})

const running = new Set<Promise<unknown>>()
let left: Promise<void> | undefined
for (const name of ['SIGINT', 'SIGTERM'] as const) {
  // The first time it comes from outside, and again from graphile-worker once its jobs are over, which are over at once.
  process.on(name, () => {
    if (left !== undefined) void left.finally(() => process.exit(128 + constants.signals[name]))
    stopping.abort(new Error('the worker stops'))
    left ??= Promise.allSettled([...running, deps.inbox.idle()]).then(leave)
  })
}

/** All tasks of pg-hubspot, for graphile-worker's `taskDirectory`. */
const tasks: TaskList = Object.fromEntries(Object.entries(taskList(deps)).map(([name, task]) => [name, adapted(task as Task)]))
export default tasks

function adapted(task: Task): Task {
  return async (payload, helpers) => {
    if (helpers.job.locked_by !== null) queueIds.add(helpers.job.locked_by)
    const job = Promise.resolve(task(withoutCron(payload), helpers))
    running.add(job)
    await job.finally(() => running.delete(job))
  }
}

/** What cron adds to a payload is no part of it. */
function withoutCron(payload: unknown): unknown {
  if (typeof payload !== 'object' || payload === null || !('_cron' in payload)) return payload
  const { _cron, ...rest } = payload
  return rest
}
