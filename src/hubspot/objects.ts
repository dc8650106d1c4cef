import { Bug } from '../lib/errors.ts'
import type { Answer, Client } from './client.ts'

/** The most records one list or batch read may carry. */
export const PAGE_LIMIT = 100

/**
 * Bytes of property names that one URL takes. HubSpot answers 414 from about 16 KB of URL on;
 * 5 KB is what connectors have used for years without one.
 */
export const NAMES_LIMIT = 5 * 1024

/** Whether a list can name these properties in its URL; if not, list ids and batch-read the values. */
export function fitsInUrl(properties: readonly string[]): boolean {
  const bytes = properties.reduce((sum, name) => sum + encodeURIComponent(name).length + 1, 0)
  return bytes <= NAMES_LIMIT
}

// Asked for nothing, HubSpot sends its own choice of properties; asked for the id, little else.
const ID_ALONE = ['hs_object_id']

/**
 * One page of the object's list, in id order: the store itself, not an index. The body holds
 * `results` and, unless it is the last, `paging.next.after`. `properties` may be empty, for ids and
 * dates alone. `archived` lists the archived records and no others. Budget: burst.
 * @see https://developers.hubspot.com/docs/api-reference/latest/crm/using-object-apis
 */
export function listPage(
  client: Client,
  {
    type,
    after,
    limit = PAGE_LIMIT,
    properties,
    archived = false,
    signal,
  }: {
    /** A type id such as `0-1` or `2-123`, or a standard object's name. */
    type: string
    /** `paging.next.after` of the page before; absent for the first page. Good for weeks. */
    after?: string | undefined
    /** 1 to 100. */
    limit?: number
    properties: readonly string[]
    archived?: boolean
    signal?: AbortSignal | undefined
  },
): Promise<Answer> {
  if (!fitsInUrl(properties)) throw new Bug(`${properties.length} property names do not fit into a URL`)
  const query = { limit, after, archived, properties: properties.length === 0 ? ID_ALONE : properties }
  return client.request({ path: client.paths.objects(type), query, type, signal })
}

/**
 * Up to 100 records by id, in any order, with any number of properties. What does not exist, or not
 * any more, is left out (207 with `errors`); a merged id may answer as another. Budget: burst.
 */
export function batchRead(
  client: Client,
  {
    type,
    ids,
    properties,
    archived = false,
    signal,
  }: {
    type: string
    ids: readonly string[]
    properties: readonly string[]
    archived?: boolean
    signal?: AbortSignal | undefined
  },
): Promise<Answer> {
  if (ids.length === 0 || ids.length > PAGE_LIMIT) throw new Bug(`a batch read of ${ids.length} ids`)
  const body = {
    inputs: ids.map((id) => ({ id })),
    properties: properties.length === 0 ? ID_ALONE : properties,
  }
  return client.request({ path: client.paths.batchRead(type), query: { archived }, body, type, signal })
}
