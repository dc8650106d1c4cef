import { Misuse } from '../lib/errors.ts'

/**
 * The version segment of every path. v4 is unsupported after 2027-03-30, v1 to v3 after September 2027.
 * @see https://developers.hubspot.com/docs/developer-tooling/platform/versioning
 */
export const API_VERSION = '2026-09'

/** Paths of one version, as {@link pathsOf} makes them. Types and ids are encoded here, once. */
export type Paths = ReturnType<typeof pathsOf>

/**
 * HubSpot's paths for a version: a dated one such as `2026-09` or `2027-03-beta`, or `v3`, which
 * means `/crm/v3` with v4 associations. Bodies are the same in both. Misuse SH104 for anything else.
 */
export function pathsOf(version: string) {
  if (version !== 'v3' && !/^20\d\d-(0[1-9]|1[0-2])(-beta)?$/.test(version)) {
    throw new Misuse('SH104', `"${version}" is not a version of HubSpot's API`, {
      hint: `Set HUBSPOT_API_VERSION to ${API_VERSION} or to v3, or leave it out.`,
    })
  }
  const dated = version !== 'v3'
  const crm = (family: string) => (dated ? `/crm/${family}/${version}` : `/crm/v3/${family}`)
  const associations = dated ? `/crm/associations/${version}` : '/crm/v4/associations'
  const objects = crm('objects')

  return {
    version,
    /** List, and create by POST. */
    objects: (type: string) => `${objects}/${segment(type)}`,
    object: (type: string, id: string) => `${objects}/${segment(type)}/${segment(id)}`,
    batchRead: (type: string) => `${objects}/${segment(type)}/batch/read`,
    search: (type: string) => `${objects}/${segment(type)}/search`,
    associationsBatchRead: (from: string, to: string) =>
      `${associations}/${segment(from)}/${segment(to)}/batch/read`,
    associationLabels: (from: string, to: string) => `${associations}/${segment(from)}/${segment(to)}/labels`,
    properties: (type: string) => `${crm('properties')}/${segment(type)}`,
    pipelines: (type: string) => `${crm('pipelines')}/${segment(type)}`,
    owners: () => crm('owners'),
    schemas: () => `/crm-object-schemas/${version}/schemas`,
    account: () => `/account-info/${version}/details`,
    oauthToken: () => (dated ? `/oauth/${version}/token` : '/oauth/v1/token'),
  }
}

/** Whether a path counts towards the search budget, which only this one route uses. */
export function isSearch(path: string): boolean {
  return /^\/crm\/(v3\/objects|objects\/[^/]+)\/[^/]+\/search\/?$/.test(path)
}

// `.` and `..` survive percent-encoding and would be resolved away by a server or proxy on the way.
function segment(part: string): string {
  if (part === '' || part === '.' || part === '..' || !part.isWellFormed()) {
    throw new Misuse('SH104', `"${part}" cannot be part of a HubSpot path`, {
      hint: 'Name an object type as HubSpot does: contacts, vehicle, p123_vehicle or 2-12345.',
    })
  }
  return encodeURIComponent(part)
}
