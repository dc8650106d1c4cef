import type { Settings } from '../settings.ts'
import type { Clock } from '../store/clock.ts'
import { drawUuid, type Random } from '../store/random.ts'
import type { App, GrantedTokens, OauthStore } from '../types.ts'
import type { Tokens } from '../http/tokens.ts'

/** What a person allowed an app, and the refresh token that stands for it. */
export interface Grant {
  readonly app: App
  /** Empty: every scope. */
  readonly scopes: readonly string[]
  readonly userId: number
  refreshToken: string
  /** Access tokens that it gave, and that may still be good. */
  accessTokens: string[]
}

interface Code {
  readonly app: App
  readonly scopes: readonly string[]
  readonly redirectUri: string
  readonly expiresAt: number
}

/** The account's apps, what people allowed them, and the codes on their way. */
export interface Apps extends OauthStore {
  find(clientId: string): App | undefined
  /** A code for the app, as the authorise page sends it back. */
  code(app: App, scopes: readonly string[], redirectUri: string): string
  /** Takes a code, which is good once. */
  redeem(code: string): Code | undefined
  install(app: App, scopes: readonly string[]): GrantedTokens
  /** A new access token of a grant, and by `refreshRotation` a new refresh token. */
  refresh(grant: Grant): GrantedTokens
  /** The grant that a refresh token stands for. */
  grantOf(refreshToken: string): Grant | undefined
  /** The grant that gave an access token. */
  giverOf(accessToken: string): Grant | undefined
}

/** How long a code is good, ms; HubSpot does not say. */
const CODE_MS = 600_000

/** Apps by the sandbox's clock, with texts drawn by the seed. */
export function createApps({ settings, clock, tokens, random }: { settings: Readonly<Settings>; clock: Clock; tokens: Tokens; random: Random }): Apps {
  const apps = new Map<string, App>()
  const codes = new Map<string, Code>()
  const grants = new Map<string, Grant>()

  const known = (clientId: string): App => {
    const app = apps.get(clientId)
    if (!app) throw new Error(`no app ${clientId}`)
    return app
  }
  const end = (grant: Grant) => {
    for (const token of grant.accessTokens) tokens.revoke(token)
    grant.accessTokens = []
  }
  const forget = (grant: Grant) => {
    for (const [token, one] of grants) if (one === grant) grants.delete(token)
  }
  const give = (grant: Grant): GrantedTokens => {
    const accessToken = `C${drawUuid(random).replaceAll('-', '')}${drawUuid(random).replaceAll('-', '').toUpperCase()}`
    const expiresIn = settings.accessTokenSeconds
    tokens.add({
      token: accessToken,
      expiresAt: clock.now() + expiresIn * 1_000,
      name: `app ${grant.app.appId}`,
      ...(grant.scopes.length > 0 && { scopes: grant.scopes }),
    })
    grant.accessTokens = [...grant.accessTokens.filter((token) => tokens.check(token).status === 'valid'), accessToken]
    return { refreshToken: grant.refreshToken, accessToken, expiresIn }
  }
  const install = (app: App, scopes: readonly string[]) => {
    const grant: Grant = { app, scopes, userId: 901, refreshToken: `${settings.hosting}-${drawUuid(random)}`, accessTokens: [] }
    grants.set(grant.refreshToken, grant)
    return give(grant)
  }

  return {
    addApp({ clientId = drawUuid(random), clientSecret = drawUuid(random), redirectUris = [], scopes = [] } = {}) {
      if (apps.has(clientId)) throw new Error(`there is an app ${clientId}`)
      const app: App = { appId: 1_000_001 + apps.size, clientId, clientSecret, redirectUris, scopes }
      apps.set(clientId, app)
      return app
    },
    apps: () => [...apps.values()],
    find: (clientId) => apps.get(clientId),
    installApp: (clientId, { scopes } = {}) => install(known(clientId), scopes ?? known(clientId).scopes),
    install,
    uninstallApp(clientId) {
      const app = known(clientId)
      for (const grant of new Set(grants.values())) {
        if (grant.app !== app) continue
        end(grant)
        forget(grant)
      }
    },
    revokeRefreshToken(token) {
      const grant = grants.get(token)
      if (!grant) throw new Error(`no refresh token ${token}`)
      if (settings.revokeCascades) end(grant)
      forget(grant)
    },
    endAccessTokens(clientId) {
      const ending = [...new Set(grants.values())].filter(({ app }) => clientId === undefined || app === known(clientId))
      const count = ending.reduce((sum, { accessTokens }) => sum + accessTokens.length, 0)
      // Ended, and known: HubSpot says so of tokens past their time.
      for (const { accessTokens } of ending) for (const token of accessTokens) tokens.change(token, { expiresAt: clock.now() })
      for (const grant of ending) grant.accessTokens = []
      return count
    },
    code(app, scopes, redirectUri) {
      const code = `${settings.hosting}-${drawUuid(random)}`
      codes.set(code, { app, scopes, redirectUri, expiresAt: clock.now() + CODE_MS })
      return code
    },
    redeem(code) {
      const found = codes.get(code)
      codes.delete(code)
      return found !== undefined && found.expiresAt > clock.now() ? found : undefined
    },
    refresh(grant) {
      if (settings.refreshRotation !== 'never') {
        // With grace the one before is good until this one is used.
        for (const [token, one] of grants) if (one === grant && (settings.refreshRotation === 'strict' || token !== grant.refreshToken)) grants.delete(token)
        grant.refreshToken = `${settings.hosting}-${drawUuid(random)}`
        grants.set(grant.refreshToken, grant)
      }
      return give(grant)
    },
    grantOf: (refreshToken) => grants.get(refreshToken),
    giverOf: (accessToken) => [...grants.values()].find(({ accessTokens }) => accessTokens.includes(accessToken)),
  }
}
