import pg from 'pg'
import { Session } from './session.ts'

/** A connection that says nothing is looked at after this long, and again; ms. */
export type Patience = {
  /** How long a query may go without its answer before its connection is looked into. */
  silenceMs: number
  /** How long another connection may take to tell whether the first is at work. */
  lookMs: number
}

/** Together within a minute: a lease lasts 30 s, after which another worker goes on. */
export const PATIENCE: Patience = { silenceMs: 20_000, lookMs: 10_000 }

/**
 * Cuts connections of a pool that are half-open: a proxy, a NAT or a peer that is gone without a word lets TCP believe in them
 * for a quarter of an hour while a query waits, or for ever. Time alone cannot tell them from a statement that is long: so
 * when one has had no answer for a while, the server is asked by another connection whether it is at work for it. If it is
 * not, or does not answer either, the connection is ended and its query fails as of a lost connection.
 */
export function cutSilent(pool: pg.Pool, connectionString: string, { silenceMs, lookMs }: Patience): void {
  pool.on('connect', (client) => watch(client, connectionString, { silenceMs, lookMs }))
}

/** The same for one connection. */
export function watch(client: pg.ClientBase, connectionString: string, { silenceMs, lookMs }: Patience): void {
  const look = () => isAtWork(client, connectionString, lookMs)
  const send = client.query.bind(client) as (...args: unknown[]) => unknown
  const watched = (...args: unknown[]): unknown => {
    let timer: NodeJS.Timeout | undefined
    let isOver = false
    const wait = () => {
      timer = setTimeout(() => {
        void look().then((isAtWork) => {
          if (isOver) return
          if (isAtWork) wait()
          // With a query under way this ends the socket and waits for nothing.
          else (client as pg.Client).end().catch(() => undefined)
        })
      }, silenceMs)
      timer.unref()
    }
    const done = () => {
      isOver = true
      clearTimeout(timer)
    }
    wait()
    const callback = args.at(-1)
    if (typeof callback === 'function') {
      args[args.length - 1] = (...answer: unknown[]) => {
        done()
        ;(callback as (...answer: unknown[]) => void)(...answer)
      }
      return send(...args)
    }
    const result = send(...args)
    if (result instanceof Promise) return result.finally(done)
    done()
    return result
  }
  client.query = watched as typeof client.query
}

/** Whether the server works for a connection. Behind a pooler nobody can tell: then it does. */
async function isAtWork(client: pg.ClientBase, connectionString: string, lookMs: number): Promise<boolean> {
  const other = new Session({ connectionString, application_name: 'pg-hubspot look', connectionTimeoutMillis: lookMs, query_timeout: lookMs })
  other.on('error', () => undefined)
  try {
    await other.connect()
    const { rows } = await other.query<{ is_at_work: boolean }>(
      `select pg_backend_pid() <> $2 or exists (
         select from pg_stat_activity a where a.pid = $1 and a.state is distinct from 'idle' and a.state is distinct from 'idle in transaction'
       ) as is_at_work`,
      [pidOf(client), pidOf(other)],
    )
    return rows[0]?.is_at_work === true
  } catch (error) {
    // A server that refuses, being full for example, is there, and cannot be asked.
    return error instanceof pg.DatabaseError
  } finally {
    other.end().catch(() => undefined)
  }
}

/** The process that serves a connection, as the server told when it began. */
export function pidOf(client: pg.ClientBase): number | null {
  return (client as { processID?: number | null }).processID ?? null
}
