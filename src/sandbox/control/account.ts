import type { Store, Time, TokenInput } from '../types.ts'
import type { Body, ControlRoutes } from './route.ts'

/** The account, its clock, its settings and its tokens. */
export const accountRoutes: ControlRoutes = {
  'GET /': { about: 'The account: clock, live and archived records by object, writes that search has not learned of.', run: overview },
  'GET /clock': { about: 'The clock: {now}.', run: clock },
  'POST /clock': { about: 'Sets, advances, stops or starts the clock: {now?, advance? (ms), frozen?}.', run: moveClock },
  'GET /settings': { about: 'All settings.', run: (store) => store.settings },
  'PATCH /settings': {
    about: 'Changes settings: {lag: [500, 3000], …}.',
    run(store, _, body) {
      store.configure(body)
      return store.settings
    },
  },
  'POST /tokens': {
    about: 'Adds a token: {token, scopes?, expiresAt?}.',
    needs: ['token'],
    run: (store, _, body) => store.addToken(body as unknown as TokenInput),
  },
  'PATCH /tokens': {
    about: "Changes a token: {token, scopes?, without?, expiresAt?}; without: objects whose scopes are withdrawn, [] gives them back.",
    needs: ['token'],
    run: (store, _, { token, ...changes }) => store.changeToken(String(token), changes),
  },
  'DELETE /tokens': { about: 'Revokes a token: {token}.', needs: ['token'], run: (store, _, { token }) => store.revokeToken(String(token)) },
}

function overview(store: Store): unknown {
  const counts = store.objects().map((name) => [name, { live: store.count(name), archived: store.count(name, { archived: true }) }])
  return { portalId: store.portalId, ...clock(store), pending: store.pending(), objects: Object.fromEntries(counts) }
}

function clock(store: Store): { now: string } {
  return { now: new Date(store.now()).toISOString() }
}

function moveClock(store: Store, _: string, { now, advance, frozen }: Body): unknown {
  if (now !== undefined) store.setClock(now as Time)
  if (advance !== undefined) store.advance(Number(advance))
  if (frozen !== undefined) store.freeze(frozen === true)
  return clock(store)
}
