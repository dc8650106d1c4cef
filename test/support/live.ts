import pg from 'pg'
import { createLive } from '../../src/gateway/freshen.ts'
import { type Gateway, type GatewayOptions, startGateway } from '../../src/gateway/server.ts'
import { createLog } from '../../src/lib/log.ts'
import { createLiveReads } from '../../src/sync/live.ts'
import { query } from './global-setup.ts'
import { startWorld, type World, type WorldOptions } from './sync.ts'

/** A world whose mirror is read live too: through real foreign tables, a real gateway, and the sandbox. */
export type LiveWorld = World & {
  gateway: Gateway
  /** One session of the database's own, which reads foreign tables: postgres_fdw keeps its session at the gateway. */
  local: pg.Client
  /** Rows of one statement of that session's. */
  ask<Row extends pg.QueryResultRow = pg.QueryResultRow>(text: string, values?: unknown[]): Promise<Row[]>
  /** A client at the gateway itself, of the database's role or another, whose password is `secret`; ended with the world. */
  direct(user?: string): Promise<pg.Client>
  /** A client of the database itself, of another role, whose password is `secret` unless given; ended with the world. */
  as(user: string, password?: string): Promise<pg.Client>
  /** Calls of HubSpot since the last time this was asked: their kinds. */
  calls(): string[]
}

/** As the superuser does once: what the product's role may not do by itself. */
export async function allowForeignTables({ adminUrl, url }: World['db']): Promise<void> {
  await query(adminUrl, `create extension postgres_fdw; grant usage on foreign data wrapper postgres_fdw to "${new URL(url).username}"`)
}

export async function startLiveWorld(name: string, { gateway: options, ...worldOptions }: WorldOptions & { gateway?: Partial<GatewayOptions> } = {}): Promise<LiveWorld> {
  const world = await startWorld(name, worldOptions)
  const log = createLog({ level: 'debug', pretty: false, write: (line) => world.lines.push(line.trim()) })
  const live = createLive({ db: world.deps.db, reads: createLiveReads(world.deps), log })
  const gateway = await startGateway({ at: { host: '127.0.0.1', port: 0 }, ...options }, { databaseUrl: world.db.url, live, log })
  await allowForeignTables(world.db)
  const { host, port } = gateway.at
  await world.db.query('select hubspot.enable_live($1, $2, $3)', [host, port, new URL(world.db.url).password])
  const clients: pg.Client[] = []
  const connect = async (changes: { host?: string; port?: number; user?: string | undefined; password?: string | undefined } = {}) => {
    const url = new URL(world.db.url)
    if (changes.host !== undefined) [url.hostname, url.port] = [changes.host, String(changes.port)]
    if (changes.user !== undefined) [url.username, url.password] = [changes.user, changes.password ?? 'secret']
    const client = new pg.Client(url.href)
    client.on('error', () => undefined)
    clients.push(client)
    await client.connect()
    return client
  }
  const local = await connect()
  return {
    ...world,
    gateway,
    local,
    ask: async (text, values) => (await local.query(text, values)).rows,
    direct: (user) => connect({ host, port, user }),
    as: (user, password) => connect({ user, password }),
    calls() {
      const kinds = world.store.calls().map(({ kind }) => kind)
      world.store.resetCalls()
      return kinds
    },
    async [Symbol.asyncDispose]() {
      await Promise.all(clients.map((client) => client.end().catch(() => undefined)))
      await gateway.stop()
      await world[Symbol.asyncDispose]()
    },
  }
}
