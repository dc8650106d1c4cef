import type { ControlRoutes } from './route.ts'

/** OAuth apps of the account. */
export const oauthRoutes: ControlRoutes = {
  'GET /apps': { about: 'OAuth apps, with their secrets.', run: (store) => ({ apps: store.apps() }) },
  'POST /apps': {
    about: 'Adds an OAuth app: {clientId?, clientSecret?, redirectUris?, scopes?}; answers it.',
    run: (store, _, body) => store.addApp(body),
  },
  'POST /apps/install': {
    about: 'As if a person had authorised it: {clientId, scopes?}; answers {refreshToken, accessToken, expiresIn}.',
    needs: ['clientId'],
    run: (store, _, { clientId, scopes }) => store.installApp(String(clientId), { ...(Array.isArray(scopes) && { scopes: scopes.map(String) }) }),
  },
  'POST /apps/uninstall': {
    about: 'As if a person had uninstalled it, so that all of its tokens end: {clientId}.',
    needs: ['clientId'],
    run: (store, _, { clientId }) => store.uninstallApp(String(clientId)),
  },
  'POST /apps/revoke': {
    about: 'Ends a refresh token: {refreshToken}.',
    needs: ['refreshToken'],
    run: (store, _, { refreshToken }) => store.revokeRefreshToken(String(refreshToken)),
  },
  'POST /apps/end-access': {
    about: 'Access tokens end before their time: {clientId?}; answers {count}.',
    run: (store, _, { clientId }) => ({ count: store.endAccessTokens(typeof clientId === 'string' ? clientId : undefined) }),
  },
}
