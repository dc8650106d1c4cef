import { expect } from 'vitest'
import { createHubSpot, checkCredentials, type Checked, type HubSpotEnv } from '../../src/sync/credentials.ts'
import type { Client } from '../../src/hubspot/client.ts'
import { createCaller } from '../../src/sync/call.ts'
import { readAccount } from '../../src/hubspot/metadata.ts'
import type { GrantedTokens } from '../../src/sandbox/index.ts'
import { startWorld, type World, type WorldOptions } from './sync.ts'

/** The app of every test. */
export const app = { clientId: 'app-of-the-test', clientSecret: 'client-secret-of-the-app' }

/** A world whose sandbox has an app that is installed. */
export type OauthWorld = World & {
  granted: GrantedTokens
  /** Gives the app's refresh token, or another, to the database. */
  connect(changes?: { secret?: string; refreshToken?: string }): Promise<void>
  check(env?: HubSpotEnv): Promise<Checked>
  /** A worker's way to HubSpot, closed with the world: as one that has just started, so that it remembers no token. */
  hubspot(worker?: string, env?: HubSpotEnv): Client
  /** One call, as a step makes it, with its permit. */
  ask(client: Client): Promise<unknown>
  /** One call while the token is due: returns when what was asked for beside it is stored. */
  askDue(worker?: string): Promise<unknown>
  /** How often HubSpot was asked for tokens, by status. */
  renewals(): number[]
}

/** The clocks stand still; nothing runs unless a test runs it. */
export async function startOauth(name: string, options: WorldOptions = {}): Promise<OauthWorld> {
  const world = await startWorld(name, options)
  const { store, sandbox, deps, db } = world
  store.addApp(app)
  const granted = store.installApp(app.clientId)
  const clients: Client[] = []
  const dispose = world[Symbol.asyncDispose].bind(world)
  const hubspot: OauthWorld['hubspot'] = (worker = 'worker', env = {}) => {
    const client = createHubSpot({ ...deps, worker, env: { baseUrl: sandbox.url, ...env } })
    clients.push(client)
    return client
  }
  const ask: OauthWorld['ask'] = (client) => {
    const caller = createCaller(deps)
    return readAccount(client, async (kind, send) => (await caller.call(kind, send)).answer).then(({ value }) => value.portalId)
  }
  return {
    ...world, granted, hubspot, ask,
    async connect({ secret = app.clientSecret, refreshToken = granted.refreshToken } = {}) {
      await db.query('select hubspot.connect(client_id => $1, client_secret => $2, refresh_token => $3)', [app.clientId, secret, refreshToken])
    },
    check: (env = {}) => checkCredentials({ ...deps, env: { baseUrl: sandbox.url, ...env } }),
    async askDue(worker) {
      const renewed = store.nextCall({ kind: 'token' })
      const client = hubspot(worker)
      const portal = await ask(client)
      await renewed
      await expect.poll(() => db.query('select lease_until from hubspot_private.oauth')).toEqual([{ lease_until: null }])
      await client.close()
      return portal
    },
    renewals: () => store.calls({ kind: 'token' }).map(({ status }) => status),
    async [Symbol.asyncDispose]() {
      for (const client of clients) await client.close()
      await dispose()
    },
  }
}

/** One of the checks of hubspot.health(). */
export const health = async ({ db }: Pick<World, 'db'>, name: string) =>
  (await db.query<{ ok: boolean; message: string; hint: string | null }>('select ok, message, hint from hubspot.health() where name = $1', [name]))[0]!
/** Open problems of the account. */
export const open = ({ db }: OauthWorld) => db.query<{ property: string; code: string }>('select property, code from hubspot.problems where object is null and resolved_at is null order by id')
/** The tokens that the database holds. */
export const stored = async ({ db }: OauthWorld) =>
  (await db.query<{ refresh_token: string; former_refresh_token: string | null; secret: string; failures: number }>(
    'select o.refresh_token, o.former_refresh_token, c.secret, o.failures from hubspot_private.oauth o join hubspot_private.credentials c on c.id = o.credential_id'))[0]!

/** Connected, and its first token just asked for. */
export async function connected(name: string, settings: NonNullable<Parameters<typeof startOauth>[1]>['sandbox'] = {}): Promise<OauthWorld> {
  const world = await startOauth(name, { sandbox: settings })
  await world.connect()
  expect(await world.check()).toBe('connected')
  expect(world.renewals()).toEqual([200])
  return world
}
