import { schemaScope, writeScopes } from '../data/object-types.ts'
import type { Table } from '../store/table.ts'
import type { Tables } from '../store/tables.ts'
import type { CallKind } from '../types.ts'
import { accountDetails, dailyUsage, enablement, getOwner, getPipeline, listOwners, listPipelines, listStages } from './account.ts'
import { type Answer, refuse } from './answers.ts'
import { batchReadAssociations, listAssociations, listLabels } from './associations.ts'
import { archive, batchArchive, gdprDelete, merge } from './changes.ts'
import { accessTokenInfo, introspect, privateAppInfo, refreshTokenInfo, revoke, token } from '../oauth/endpoints.ts'
import { authorise, authorisePage } from '../oauth/page.ts'
import { batchRead, get, list } from './objects.ts'
import { getProperty, getSchema, listGroups, listProperties, listSchemas } from './properties.ts'
import type { Request, Route } from './request.ts'
import { search } from './search.ts'

/** The dated versions this account answers, besides v3. */
const dates = '2025-09|2026-03|2026-09'

/** Paths of one API in all the forms HubSpot has had for it: version first or last, with or without the prefix. */
const prefixes: readonly [api: string, path: RegExp][] = [
  ['objects', new RegExp(`^/crm/(?:(v3|v4)/objects|objects/(v3|v4|${dates}))(?=/)`)],
  ['associations', new RegExp(`^/crm/(?:(v4)/associations|associations/(v4|${dates}))(?=/)`)],
  ['properties', new RegExp(`^/crm/(?:(v3)/properties|properties/(v3|${dates}))(?=/)`)],
  ['pipelines', new RegExp(`^/crm/(?:(v3)/pipelines|pipelines/(v3|${dates}))(?=/)`)],
  ['owners', new RegExp(`^/crm/(?:(v3)/owners|owners/(v3|${dates}))(?=/|$)`)],
  ['schemas', new RegExp(`^/(?:crm-object-schemas/(v3|${dates})|crm/(v3))/schemas(?=/|$)`)],
  ['account', new RegExp(`^/account-info/(v3|${dates})(?=/)`)],
  ['oauth', /^\/oauth(?=\/)/],
  ['library', new RegExp(`^/crm/object-library/(${dates})(?=/)`)],
]

interface Endpoint {
  readonly kind: CallKind
  readonly handle: (request: Request) => Answer
  /** Whether it needs the scope to write. */
  readonly writes?: boolean
  /** Whether it is asked without a token. */
  readonly isOpen?: boolean
}

/** The route of a method and a path without its query. Nothing is refused here: unknown paths get a route that answers 404. */
export function route(tables: Tables, method: string, pathname: string): Route {
  const path = pathname.replace(/\/+$/, '')
  for (const [api, prefix] of prefixes) {
    const match = prefix.exec(path)
    if (!match) continue
    const version = match[1] ?? match[2] ?? ''
    const parts = path.slice(match[0].length).split('/').slice(1).map(decode)
    return { version, ...endpoint(tables, { api, version, method, parts }) }
  }
  return { version: '', ...unknown(404) }
}

function endpoint(tables: Tables, call: { api: string; version: string; method: string; parts: readonly string[] }): Omit<Route, 'version'> {
  const { api, version, method, parts } = call
  const named = namedIn(api, parts)
  const path = parts.filter((_, place) => !named.includes(place))
  const found = shapes[api]!(method, path, named.length > 0)
  // The fourth version of the API has associations alone, the third has none of this form.
  const isPair = named.length === 2
  if (typeof found === 'number') return unknown(found)
  if (api === 'objects' && (isPair ? version === 'v3' : version === 'v4')) return unknown(404)
  const asked = named.map((place) => parts[place]!)
  const [table = null, to = null] = asked.map((name) => tables.find(name) ?? null)
  const scopes = [table, ...(to ? [to] : [])]
    .map((one) => (found.writes && one ? writeScopes(one.type) : scopesOf(api, one)))
    .filter((needed) => needed.length > 0)
  return { ...found, table, to, asked, path, scopes }
}

/** Where the names of objects stand in a path. */
function namedIn(api: string, parts: readonly string[]): number[] {
  if (api === 'associations') return [0, 1].slice(0, parts.length)
  if (api === 'objects' && parts.length === 4 && parts[2] === 'associations') return [0, 3]
  return api === 'objects' || api === 'properties' || api === 'pipelines' || (api === 'schemas' && parts.length > 0) ? [0] : []
}

/** The endpoint behind each API's prefix, by what is left of the path without the names of objects; or the status of there being none. */
const shapes: Readonly<Record<string, (method: string, rest: readonly string[], named: boolean) => Endpoint | number>> = {
  objects(method, rest) {
    const path = rest.join('/')
    if (path === 'search') return method === 'POST' ? { kind: 'search', handle: search } : 405
    if (path === 'batch/read') return method === 'POST' ? { kind: 'batch read', handle: batchRead } : 405
    if (path === 'batch/archive') return method === 'POST' ? { kind: 'batch archive', handle: batchArchive, writes: true } : 405
    if (path === 'merge' && method === 'POST') return { kind: 'merge', handle: merge, writes: true }
    if (path === 'gdpr-delete' && method === 'POST') return { kind: 'gdpr delete', handle: gdprDelete, writes: true }
    if (rest.length === 2 && rest[1] === 'associations') return method === 'GET' ? { kind: 'record associations', handle: listAssociations } : 405
    if (rest.length > 1) return 404
    if (method === 'DELETE' && rest.length === 1) return { kind: 'archive', handle: archive, writes: true }
    if (method !== 'GET') return 405
    return rest.length === 0 ? { kind: 'list', handle: list } : { kind: 'get', handle: get }
  },
  associations(method, rest) {
    const path = rest.join('/')
    if (path === 'batch/read') return method === 'POST' ? { kind: 'associations', handle: batchReadAssociations } : 405
    if (path === 'labels') return method === 'GET' ? { kind: 'association labels', handle: listLabels } : 405
    return 404
  },
  properties(method, rest) {
    if (rest.length > 1) return 404
    if (method !== 'GET') return 405
    if (rest.length === 0) return { kind: 'properties', handle: listProperties }
    return rest[0] === 'groups' ? { kind: 'property groups', handle: listGroups } : { kind: 'property', handle: getProperty }
  },
  pipelines(method, rest) {
    if (rest.length > 2 || (rest.length === 2 && rest[1] !== 'stages')) return 404
    if (method !== 'GET') return 405
    if (rest.length === 0) return { kind: 'pipelines', handle: listPipelines }
    return rest.length === 1 ? { kind: 'pipeline', handle: getPipeline } : { kind: 'stages', handle: listStages }
  },
  owners(method, rest) {
    if (rest.length > 1) return 404
    if (method !== 'GET') return 405
    return rest.length === 0 ? { kind: 'owners', handle: listOwners } : { kind: 'owner', handle: getOwner }
  },
  schemas(method, rest, named) {
    if (rest.length > 0) return 404
    if (method !== 'GET') return 405
    return named ? { kind: 'schema', handle: getSchema } : { kind: 'schemas', handle: listSchemas }
  },
  account(method, rest) {
    const path = rest.join('/')
    if (path === 'details') return method === 'GET' ? { kind: 'account', handle: accountDetails } : 405
    if (path === 'api-usage/daily/private-apps') return method === 'GET' ? { kind: 'usage', handle: dailyUsage } : 405
    return 404
  },
  oauth(method, rest) {
    const [version = '', ...parts] = rest
    const path = parts.join('/')
    const isToken = new RegExp(`^(v1|v3|${dates})$`).test(version)
    if (rest.join('/') === 'authorize' || (/^\d+$/.test(version) && path === 'authorize')) {
      return { kind: 'authorise', isOpen: true, handle: method === 'POST' ? authorise : authorisePage }
    }
    if (isToken && path === 'token') return method === 'POST' ? { kind: 'token', isOpen: true, handle: token } : 405
    if (isToken && path === 'token/introspect') return method === 'POST' ? { kind: 'token info', isOpen: true, handle: introspect } : 405
    if (isToken && path === 'token/revoke') return method === 'POST' ? { kind: 'token revoke', isOpen: true, handle: revoke } : 405
    if (version === 'v1' && parts[0] === 'access-tokens' && parts.length === 2) return method === 'GET' ? { kind: 'token info', isOpen: true, handle: accessTokenInfo } : 405
    if (version === 'v1' && parts[0] === 'refresh-tokens' && parts.length === 2) {
      if (method === 'DELETE') return { kind: 'token revoke', isOpen: true, handle: refreshTokenInfo }
      return method === 'GET' ? { kind: 'token info', isOpen: true, handle: refreshTokenInfo } : 405
    }
    if (version === 'v2' && path === 'private-apps/get/access-token-info') return method === 'POST' ? { kind: 'token info', isOpen: true, handle: privateAppInfo } : 405
    return 404
  },
  library: (method, rest) => {
    if (rest.join('/') !== 'enablement') return 404
    return method === 'GET' ? { kind: 'enablement', handle: enablement } : 405
  },
}

function scopesOf(api: string, table: Table | null): string[] {
  if (api === 'owners') return ['crm.objects.owners.read']
  if (api === 'schemas') return ['crm.schemas.custom.read']
  if (!table) return []
  if (api === 'objects' || api === 'associations') return [...table.type.scopes]
  return [...table.type.scopes, schemaScope(table.type)]
}

function unknown(status: number): Omit<Route, 'version'> {
  return {
    kind: 'unknown',
    handle: () => {
      throw status === 404 ? refuse(404, 'Unable to find resource', { category: 'OBJECT_NOT_FOUND' }) : refuse(405, 'HTTP 405 Method Not Allowed')
    },
    scopes: [],
    table: null,
    to: null,
    asked: [],
    path: [],
  }
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part)
  } catch {
    return part
  }
}
