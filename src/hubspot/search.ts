import type { Answer, Client } from './client.ts'

/** What HubSpot's search takes. One sort, at most 200 a page, dates as milliseconds or ISO text. */
export type SearchBody = {
  filterGroups?: readonly { filters: readonly SearchFilter[] }[]
  sorts?: readonly { propertyName: string; direction: 'ASCENDING' | 'DESCENDING' }[]
  query?: string
  properties?: readonly string[]
  /** 1 to 200. */
  limit?: number
  /** An offset, below 10,000. */
  after?: string
}

/** One condition; `IN` takes `values`, `BETWEEN` takes `value` and `highValue`. */
export type SearchFilter = {
  propertyName: string
  operator: string
  value?: string
  values?: readonly string[]
  highValue?: string
}

/**
 * One page of a search: an index that lags behind the store by seconds to minutes, so its hits are
 * hints. The body holds `total` and `results`. Budget: search.
 * @see https://developers.hubspot.com/docs/api-reference/latest/crm/search-the-crm
 */
export function search(
  client: Client,
  {
    type,
    body,
    signal,
  }: {
    type: string
    /** Or the same as JSON text, where SQL wrote it. */
    body: SearchBody | string
    signal?: AbortSignal | undefined
  },
): Promise<Answer> {
  return client.request({ path: client.paths.search(type), body, type, signal })
}
