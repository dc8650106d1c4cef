import { randomUUID } from 'node:crypto'
import type pg from 'pg'
import { Misuse } from '../lib/errors.ts'
import { sleep } from '../lib/time.ts'
import type { Log } from '../lib/log.ts'
import { Session } from './session.ts'
import { PATIENCE, type Patience, pidOf, watch } from './silence.ts'

/** A connection that a worker keeps for as long as it lives. */
export type Presence = AsyncDisposable

/** How long a notification may take to come back before the connection is held to be a transaction pooler's, ms. */
const PATIENCE_MS = 5_000

/**
 * Holds an advisory lock in the worker's name: when its process is killed the server frees the lock at once, so that a
 * sweep knows without waiting for a lease to run out (hubspot_private.sweep). A lost connection is made again.
 * Misuse SH004 where notifications do not come back: LISTEN, locks and leases fail through a transaction pooler.
 */
export async function showPresence(databaseUrl: string, worker: string, log: Log, patience: Patience = PATIENCE): Promise<Presence> {
  const over = new AbortController()
  let client: pg.Client | undefined
  let last: number | null = null
  const connect = async (): Promise<pg.Client> => {
    const next = new Session({ connectionString: databaseUrl, application_name: 'pg-hubspot presence', keepAlive: true, connectionTimeoutMillis: 15_000 })
    // Emitted when the server goes away; 'end' follows.
    next.on('error', (error) => log.debug('the presence connection was lost', { error }))
    await next.connect()
    watch(next, databaseUrl, patience)
    try {
      await checkNotifications(next, databaseUrl)
      // The server may hold on to the connection before, half-open, and the lock with it.
      if (last !== null) {
        await next.query(`select pg_terminate_backend(pid) from pg_stat_activity where pid = $1 and application_name = 'pg-hubspot presence'`, [last])
      }
      await next.query(`select pg_advisory_lock(hashtext('hubspot.worker'), hashtext($1))`, [worker])
    } catch (error) {
      await next.end()
      throw error
    }
    last = pidOf(next)
    // A query now and then, so that a connection that leads nowhere is noticed.
    const timer = setInterval(() => void next.query('select 1').catch(() => undefined), patience.silenceMs)
    timer.unref()
    next.once('end', () => {
      clearInterval(timer)
      void reconnect()
    })
    return next
  }
  const reconnect = async (): Promise<void> => {
    for (let wait = 250; !over.signal.aborted; wait = Math.min(wait * 2, 10_000)) {
      try {
        client = await connect()
        if (over.signal.aborted) await client.end()
        return
      } catch (error) {
        log.debug('not present yet', { error })
        await sleep(wait, over.signal).catch(() => undefined)
      }
    }
  }
  client = await connect()
  return {
    async [Symbol.asyncDispose]() {
      over.abort()
      await client?.end()
    },
  }
}

/** Whether connections of this URL are sessions, and no transaction pooler's. Misuse SH004. */
export async function checkSession(databaseUrl: string): Promise<void> {
  const client = new Session({ connectionString: databaseUrl, application_name: 'pg-hubspot presence', connectionTimeoutMillis: 15_000 })
  client.on('error', () => undefined)
  await client.connect()
  try {
    await checkNotifications(client, databaseUrl)
  } finally {
    await client.end()
  }
}

/**
 * Another connection notifies: a pooler that gave both transactions of one client the same connection would else pass for a
 * session, until there are more of them.
 */
async function checkNotifications(client: pg.Client, databaseUrl: string): Promise<void> {
  const channel = `hubspot_check_${randomUUID().replaceAll('-', '')}`
  const heard = new Promise<boolean>((resolve) => client.once('notification', () => resolve(true)))
  const other = new Session({ connectionString: databaseUrl, application_name: 'pg-hubspot presence', connectionTimeoutMillis: 15_000 })
  other.on('error', () => undefined)
  await other.connect()
  try {
    await client.query(`listen ${channel}`)
    await other.query('select pg_notify($1, $2)', [channel, ''])
    if (!(await Promise.race([heard, sleep(PATIENCE_MS).then(() => false)]))) {
      throw new Misuse('SH004', 'a notification did not come back: the connection goes through a transaction pooler', {
        hint: 'Give the worker a direct or session-pooled connection in DATABASE_URL; SQL verbs work through any pooler.',
      })
    }
    await client.query(`unlisten ${channel}`)
  } finally {
    await other.end()
  }
}
