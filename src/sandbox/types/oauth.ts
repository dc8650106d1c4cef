/** An app to be made. */
export interface AppInput {
  /** Default: drawn by the seed. */
  clientId?: string
  /** Default: drawn by the seed. */
  clientSecret?: string
  /** Where the authorise page may send people back to; none: any loopback address. */
  redirectUris?: readonly string[]
  /** Scopes that every install grants; the authorise page refuses a request that leaves one out. None: every scope. */
  scopes?: readonly string[]
}

/** An OAuth app. */
export interface App {
  readonly appId: number
  readonly clientId: string
  readonly clientSecret: string
  readonly redirectUris: readonly string[]
  readonly scopes: readonly string[]
}

/** What an install, or a renewal, gives. */
export interface GrantedTokens {
  readonly refreshToken: string
  readonly accessToken: string
  /** Seconds. */
  readonly expiresIn: number
}

/** OAuth apps of the account. */
export interface OauthStore {
  addApp(app?: AppInput): App
  apps(): App[]
  /** As if a person had authorised the app and it had exchanged the code. */
  installApp(clientId: string, options?: { scopes?: readonly string[] }): GrantedTokens
  /** As if a person had uninstalled it: all of its tokens end. */
  uninstallApp(clientId: string): void
  /** A refresh token is good no more; its access tokens end too where `revokeCascades` says so. */
  revokeRefreshToken(token: string): void
  /** Access tokens, of one app or all, end before their time; refresh tokens stay. Returns how many. */
  endAccessTokens(clientId?: string): number
}
