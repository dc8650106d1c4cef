import { randomUUID } from 'node:crypto'
import { hostname } from 'node:os'
import type { TaskList } from 'graphile-worker'
import { clock, type Held, type StreamKey, streamsDue, sweep, vacuum, workerBeat, workerStop } from './db/calls.ts'
import { type Database, isConnectionLost, openDatabase } from './db/database.ts'
import { installed } from './db/installed.ts'
import { showPresence } from './db/presence.ts'
import { PATIENCE, type Patience } from './db/silence.ts'
import { openGateway } from './gateway/open.ts'
import type { Gateway, GatewayOptions } from './gateway/server.ts'
import { Misuse } from './lib/errors.ts'
import type { Log } from './lib/log.ts'
import { sleep } from './lib/time.ts'
import { startQueue } from './queue.ts'
import { checkCredentials, createHubSpot, type HubSpotEnv } from './sync/credentials.ts'
import { createTurns, deliver } from './sync/deliver.ts'
import { createInbox } from './sync/inbox.ts'
import { COPIED, keepChecking } from './sync/keep-checking.ts'
import { runStream } from './sync/step.ts'
import { type TaskDeps, tasks } from './tasks.ts'
import { createWeb, type Web, type WebOptions } from './web/web.ts'

/** Where the database and HubSpot are, and how much to do at once. */
export type WorkerOptions = {
  databaseUrl: string | undefined
  hubspot: HubSpotEnv
  log: Log
  /** Streams read side by side. */
  concurrency?: number
  /** How long the database may be silent. */
  patience?: Patience
  /** Webhooks, metrics and probes; nothing: no port is opened. */
  web?: WebOptions | undefined
  /** Where live sessions are served; nowhere by default. */
  gateway?: GatewayOptions | undefined
}

/** A running worker. */
export type RunningWorker = AsyncDisposable & {
  id: string
  /** Where it serves HTTP; undefined where it does not. */
  url(): string | undefined
  /** Ends calls and waits, gives leases back, and closes; within seconds. */
  stop(): Promise<void>
  /** Resolves when it stopped; rejects when it cannot go on. */
  done: Promise<void>
}

/** Heartbeats: a worker is dead after 30 s without one (hubspot_private.sweep). */
const BEAT_MS = 10_000
const SWEEP_MS = 20_000
/** Connections for what live sessions ask, beside one of each session's own. */
const LIVE_CONNECTIONS = 8

/** Starts a worker: jobs from the queue until it is stopped. */
export async function startWorker(options: WorkerOptions): Promise<RunningWorker> {
  const { databaseUrl, log, concurrency = 16 } = options
  const stopping = new AbortController()
  const { db, queueSchema, deps, web } = await compose(options, stopping.signal)
  let gateway: Gateway | undefined
  try {
    gateway = options.gateway && (await openGateway(deps, databaseUrl ?? '', options.gateway))
    const queueIds = new Set<string>()
    const leave = await attend(deps, databaseUrl ?? '', queueIds, options.patience)
    const queue = startQueue(deps, { schema: queueSchema, concurrency, queueIds, taskList: taskList(deps) })
    const timer = every(SWEEP_MS, () => sweep(db), log)
    let stopped: Promise<void> | undefined
    const stop = () => (stopped ??= (async () => {
      // What was stored and not yet acted on is left to the next worker.
      await web?.[Symbol.asyncDispose]()
      // Before the signal, so that sessions hear of the end and not of reads that were broken off.
      const served = gateway?.stop()
      stopping.abort(new Error('the worker stops'))
      clearInterval(timer)
      await served
      await deps.inbox.idle()
      await queue
      await leave()
      log.info('worker stopped')
    })())
    log.info('worker started', { worker: deps.worker, concurrency })
    try {
      await web?.open(deps.inbox)
    } catch (error) {
      await stop()
      throw error
    }
    return { id: deps.worker, url: () => web?.url(), stop, done: queue.then(stop), [Symbol.asyncDispose]: stop }
  } catch (error) {
    await gateway?.stop()
    await web?.[Symbol.asyncDispose]()
    await deps.hubspot.close()
    await db.close()
    throw error
  }
}

/**
 * Makes a worker known and keeps it so, frees what a killed one held, and checks the token. Returns how to sign off, which
 * closes HubSpot and the database too. `queueIds`: the names under which the queue locks its jobs.
 */
export async function attend(
  deps: TaskDeps, databaseUrl: string, queueIds: ReadonlySet<string>, patience: Patience = PATIENCE,
): Promise<() => Promise<void>> {
  const { db, log } = deps
  const presence = await showPresence(databaseUrl, deps.worker, log, patience)
  const beat = () => beatOf(deps, queueIds)
  try {
    await beat()
    // What a killed worker held is free for us at once.
    await sweep(db)
  } catch (error) {
    await presence[Symbol.asyncDispose]()
    throw error
  }
  const timer = every(BEAT_MS, beat, log)
  void keepChecking(deps)
  return async () => {
    clearInterval(timer)
    await workerStop(db, deps.worker).catch((error: unknown) => log.debug('not signed off', { error }))
    await presence[Symbol.asyncDispose]()
    await deps.hubspot.close()
    await db.close()
  }
}

const beatOf = ({ db, worker, held, env }: TaskDeps, queueIds: ReadonlySet<string> = new Set()) =>
  workerBeat(db, {
    id: worker, host: hostname(), pid: process.pid, queueIds: [...queueIds], held: [...held], isPresent: true,
    mayWrite: env.mayWrite ?? true,
  })

/**
 * Runs every stream that is due now, and what these wake, to its end, waiting for budgets and back-offs; begins no new
 * interval. Returns the objects that are parked, with what was wrong.
 */
export async function runOnce(
  options: WorkerOptions & { signal: AbortSignal },
): Promise<{ parked: { object: string; last_error: string | null }[] }> {
  const { concurrency = 16, signal, log } = options
  const { db, deps } = await compose(options, signal)
  try {
    await using _ = await showPresence(options.databaseUrl ?? '', deps.worker, log)
    const checked = await checkCredentials(deps)
    if (checked === 'copied') throw new Misuse('SH005', 'this database is a copy of the one that was installed', { hint: COPIED })
    if (checked !== 'connected') {
      throw new Misuse('SH003', checked === 'none' ? 'no HubSpot account is connected' : 'the HubSpot account could not be confirmed', {
        hint: 'See select * from hubspot.health(); then select hubspot.connect(…), or set HUBSPOT_ACCESS_TOKEN.',
      })
    }
    const startedAt = await clock(db)
    const beat = () => beatOf(deps)
    await beat()
    await sweep(db)
    deps.inbox.wake()
    await deps.inbox.idle()
    const timer = every(BEAT_MS, beat, log)
    try {
      await drain(deps, { startedAt, concurrency })
      const subscriptions = await db.views.selectFrom('change_subscriptions').select('id').execute()
      for (const { id } of subscriptions) await deliver(deps, Number(id), Infinity)
    } finally {
      clearInterval(timer)
    }
    await db.views.selectFrom('status').select('object').where('loaded_at', '>=', startedAt).execute()
      .then((rows) => Promise.all(rows.map(({ object }) => vacuum(db, object!))))
    const parked = await db.views.selectFrom('status').select(['object', 'last_error']).where('state', '=', 'parked').execute()
    return { parked: parked.map(({ object, last_error }) => ({ object: object!, last_error })) }
  } finally {
    await workerStop(db, deps.worker).catch((error: unknown) => log.debug('not signed off', { error }))
    await deps.hubspot.close()
    await db.close()
  }
}

/** Runs what is due since a time until nothing is, several streams at once. */
export async function drain(deps: TaskDeps, { startedAt, concurrency }: { startedAt: string; concurrency: number }): Promise<void> {
  const running = new Map<string, Promise<unknown>>()
  const nameOf = ({ object, stream, range }: StreamKey) => `${object} ${stream} ${range}`
  while (!deps.signal.aborted) {
    const due = await streamsDue(deps.db, startedAt)
    if (due.length === 0 && running.size === 0) return
    let isNew = false
    for (const key of due) {
      const name = nameOf(key)
      if (running.has(name) || running.size >= concurrency) continue
      const slice = runStream(deps, key).then((outcome) => (isNew ||= outcome !== 'idle')).finally(() => running.delete(name))
      running.set(name, slice)
    }
    await Promise.race([...running.values(), deps.sleep(200, deps.signal)])
    // All that is left waits: for a back-off, a lease or a time.
    if (!isNew) await deps.sleep(50, deps.signal)
  }
  await Promise.allSettled(running.values())
  deps.signal.throwIfAborted()
}

/** Builds what tasks need. The only place, with graphile-tasks.ts, where dependencies come together. */
export async function compose(
  { databaseUrl, hubspot: env, log, concurrency = 16, patience = PATIENCE, web: webOptions, gateway }: WorkerOptions,
  signal: AbortSignal,
): Promise<{ db: Database; queueSchema: string; deps: TaskDeps; web: Web | undefined }> {
  const db = openDatabase(databaseUrl, {
    // A stream holds a connection while it commits, and none while it waits for HubSpot; the queue, heartbeat and sweep need theirs, and
    // live sessions share some. Four workers leave room for others on a server that takes a hundred.
    max: Math.ceil(concurrency * 0.75) + 4 + (gateway === undefined ? 0 : LIVE_CONNECTIONS),
    applicationName: 'pg-hubspot worker',
    isPatient: true,
    patience,
    onError: (error) => log.debug('an idle connection was lost', { error }),
  })
  try {
    const { queueSchema } = await installed(db)
    const web = webOptions && createWeb(webOptions, { databaseUrl: databaseUrl ?? '', log, patience, key: env.key })
    const worker = randomUUID()
    const hubspot = createHubSpot({ db, env, log, worker, sleep })
    const parts = {
      db, env, log, signal, sleep, worker,
      hubspot: web?.metrics.counting(hubspot) ?? hubspot,
      held: new Set<Held>(),
      turns: createTurns(concurrency),
    }
    return { db, queueSchema, deps: { ...parts, inbox: createInbox(parts) }, web }
  } catch (error) {
    await db.close()
    throw error
  }
}

/** The tasks as the queue wants them. A job that fails is not tried again: the sweep wakes what still has work. */
export function taskList(deps: TaskDeps): TaskList {
  return Object.fromEntries(
    Object.entries(tasks).map(([name, task]) => [
      name,
      async (payload: unknown) => {
        try {
          await task.run(payload, deps)
        } catch (error) {
          if (deps.signal.aborted) return
          const level = isConnectionLost(error) ? 'warn' : 'error'
          deps.log[level](`${name} failed`, { payload, error })
        }
      },
    ]),
  )
}

function every(ms: number, action: () => Promise<unknown>, log: Log): NodeJS.Timeout {
  return setInterval(() => {
    action().catch((error: unknown) => log.warn('heartbeat or sweep failed', { error }))
  }, ms)
}
