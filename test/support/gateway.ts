import pg from 'pg'
import type { Live, LiveSession, Statement, Verdict } from '../../src/gateway/live.ts'
import { type Gateway, type GatewayOptions, startGateway } from '../../src/gateway/server.ts'
import { createLog } from '../../src/lib/log.ts'
import { type FreshDatabase, freshDatabase } from './cluster.ts'

/** A gateway before a database of its own. */
export type Gate = AsyncDisposable & {
  db: FreshDatabase
  gateway: Gateway
  /** Of the database's owner, through the gateway. */
  url: string
  /** The same for another role, or another way. */
  urlOf(changes: { user?: string; password?: string; database?: string }): string
  /** A client through the gateway; ended with the gate. */
  client(config?: pg.ClientConfig): Promise<pg.Client>
  /** Ends all of these clients. */
  leave(): Promise<void>
  /** What Live was asked, in order. */
  asked: Statement[]
  /** What Live answers; forward by default. */
  answer: (statement: Statement, session: LiveSession) => Promise<Verdict> | Verdict
  /** Called before COMMIT, where it is set before the gate opens. */
  lines: string[]
  /** How many processes of the server serve the gateway's sessions. */
  backends(): Promise<number>
  /** Returns when the condition, a boolean in SQL, is true. */
  until(condition: string): Promise<void>
}

/** What the gateway's own processes at the server are known by: the mark that it gives them. */
const APPLICATION = 'through the gateway'

export async function openGate(
  name: string,
  { commit, at = { host: '127.0.0.1', port: 0 }, db: given, databaseUrl, ...options }: Partial<GatewayOptions> & { commit?: Live['commit']; db?: FreshDatabase; databaseUrl?: string } = {},
): Promise<Gate> {
  const db = given ?? (await freshDatabase(name))
  const lines: string[] = []
  const log = createLog({ level: 'debug', pretty: false, write: (line) => lines.push(line.trim()) })
  const clients: pg.Client[] = []
  const live: Live = {
    prepare: async (statement, session) => {
      gate.asked.push(statement)
      return await gate.answer(statement, session)
    },
    ...(commit !== undefined && { commit }),
  }
  const gateway = await startGateway({ at, ...options }, { databaseUrl: databaseUrl ?? db.url, live, log })
  const urlOf: Gate['urlOf'] = ({ user, password, database }) => {
    const url = new URL(db.url)
    const { host, port } = gateway.at
    url.hostname = host.startsWith('/') ? '' : host
    url.port = String(port)
    if (host.startsWith('/')) url.searchParams.set('host', host)
    url.searchParams.set('application_name', APPLICATION)
    if (user !== undefined) url.username = user
    if (password !== undefined) url.password = password
    if (database !== undefined) url.pathname = `/${database}`
    return url.href
  }
  const until = async (condition: string) => {
    for (;;) {
      const [row] = await db.query<{ is_so: boolean | null }>(`select (${condition}) as is_so`)
      if (row?.is_so === true) return
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }
  const gate: Gate = {
    db, gateway, lines, urlOf, until,
    url: urlOf({}),
    asked: [],
    answer: () => ({ do: 'forward' }),
    async client(config = {}) {
      const client = new pg.Client({ connectionString: urlOf({}), ...config })
      client.on('error', () => undefined)
      clients.push(client)
      await client.connect()
      return client
    },
    async leave() {
      await Promise.all(clients.splice(0).map((client) => client.end().catch(() => undefined)))
    },
    async backends() {
      const [row] = await db.query<{ count: number }>(
        `select count(*)::integer as count from pg_stat_activity where datname = current_database() and application_name = '${APPLICATION}'`)
      return row!.count
    },
    async [Symbol.asyncDispose]() {
      await gateway.stop()
      await gate.leave()
      if (given === undefined) await db[Symbol.asyncDispose]()
    },
  }
  return gate
}

/** None of the gateway's sessions has a process at the server any more. */
export const NO_BACKENDS = `not exists (select from pg_stat_activity where datname = current_database() and application_name = '${APPLICATION}')`
