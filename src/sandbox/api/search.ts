import { type Filter, FilterProblem } from '../store/filters.ts'
import { runSearch, type Search } from '../store/search.ts'
import { isLive } from '../store/version.ts'
import { type Answer, invalid, refuse } from './answers.ts'
import { jsonBody, type Request, textList } from './request.ts'
import { recordText, wanted } from './shapes.ts'

const mostGroups = 5
const mostFiltersInGroup = 6
const mostFilters = 18
const mostResults = 200

const unfilterable: Readonly<Record<string, readonly string[]>> = {
  emails: ['hs_body_preview_html', 'hs_email_html', 'hs_body_preview'],
}

/** POST /crm/objects/{version}/{type}/search: what the index finds, shown as it stands in the store, or in the index. */
export function search(request: Request): Answer {
  const { account } = request
  const table = request.table!
  const body = jsonBody(request)
  const asked = readSearch(request, body)
  const wants = wanted(request, textList(body, 'properties'))
  table.index.settle(account.clock.now())
  let found: ReturnType<typeof runSearch>
  try {
    found = runSearch(table, asked)
  } catch (error) {
    if (error instanceof FilterProblem) throw problem(error.message)
    throw error
  }
  const shown = account.settings.searchValues === 'index' ? found.page : found.page.map(({ id }) => table.newest(id)!).filter(isLive)
  const results = shown.map((version) => recordText(request, version, wants))
  const end = asked.offset + found.page.length
  const next = end < found.total && found.page.length > 0 ? { paging: { next: { after: String(end) } } } : {}
  return { status: 200, body: { total: found.total, ...next }, results, ids: shown.map(({ id }) => String(id)) }
}

function readSearch(request: Request, body: Record<string, unknown>): Search {
  const { settings } = request.account
  const query = typeof body['query'] === 'string' ? body['query'] : ''
  const counted = settings.searchBodyCounts === 'body' ? request.body : query
  if (counted.length > settings.searchBodyMax) throw problem(`The request body exceeds the maximum of ${settings.searchBodyMax} characters`)
  const groups = readGroups(request, body)
  const limit = whole(body['limit'], 10, 'limit')
  if (limit < 1 || limit > mostResults) throw problem(`limit must be between 1 and ${mostResults}`)
  const offset = whole(body['after'], 0, 'after')
  if (offset + limit > settings.searchCap && offset > 0) {
    throw problem(`The search results can be paged up to ${settings.searchCap}; narrow the filters instead of paging on`)
  }
  return { groups, query, sort: readSort(request, body['sorts']), offset, limit }
}

function readGroups(request: Request, body: Record<string, unknown>): Filter[][] {
  const given = body['filterGroups'] ?? (body['filters'] ? [{ filters: body['filters'] }] : [])
  if (!Array.isArray(given)) throw problem('filterGroups must be a list')
  const groups = given.map((group: unknown) => {
    const filters = (group as { filters?: unknown } | null)?.filters ?? []
    if (!Array.isArray(filters)) throw problem('filters must be a list')
    return filters.map((filter: unknown) => readFilter(request, filter))
  }).filter((filters) => filters.length > 0)
  if (groups.length > mostGroups) throw problem(`too many filterGroups: ${groups.length} of at most ${mostGroups}`)
  const longest = Math.max(0, ...groups.map((filters) => filters.length))
  if (longest > mostFiltersInGroup) throw problem(`too many filters in a group: ${longest} of at most ${mostFiltersInGroup}`)
  const total = groups.flat().length
  if (total > mostFilters) throw problem(`too many filters: ${total} of at most ${mostFilters}`)
  return groups
}

function readFilter(request: Request, given: unknown): Filter {
  const { propertyName, operator, value, highValue, values } = (given ?? {}) as Record<string, unknown>
  const table = request.table!
  if (typeof propertyName !== 'string' || !table.property(propertyName)) {
    throw problem(`${request.account.tables.fullName(table.type)} does not have property ${String(propertyName)}`, 'PROPERTY_DOESNT_EXIST')
  }
  const barred = unfilterable[table.type.name] ?? ['hs_body_preview_html']
  if (barred.includes(propertyName)) throw problem(`${propertyName} cannot be filtered`)
  if (typeof operator !== 'string') throw problem(`a filter of ${propertyName} has no operator`)
  // Seen on live accounts: searching from the beginning of time fails.
  if (propertyName === table.type.modified && operator.startsWith('G') && isEpoch(value)) throw refuse(500, 'internal error')
  const scalar = (what: unknown) => (what === undefined || what === null ? undefined : typeof what === 'string' ? what : JSON.stringify(what))
  const [first, high] = [scalar(value), scalar(highValue)]
  return {
    propertyName,
    operator,
    ...(first !== undefined && { value: first }),
    ...(high !== undefined && { highValue: high }),
    ...(Array.isArray(values) && { values: values.map(String) }),
  }
}

function isEpoch(value: unknown): boolean {
  return value === 0 || value === '0' || (typeof value === 'string' && !/^\d+$/.test(value) && Date.parse(value) === 0)
}

/** One rule: `{propertyName, direction}`, or a name alone, with `-` before it for descending. */
function readSort(request: Request, given: unknown): Search['sort'] {
  if (given === undefined || given === null) return null
  if (!Array.isArray(given)) throw problem('sorts must be a list')
  if (given.length === 0) return null
  if (given.length > 1) throw problem('only one sort is allowed')
  const rule: unknown = given[0]
  const property = typeof rule === 'string' ? rule.replace(/^-/, '') : (rule as { propertyName?: unknown } | null)?.propertyName
  const direction = typeof rule === 'string' ? (rule.startsWith('-') ? 'DESCENDING' : 'ASCENDING') : (rule as { direction?: unknown }).direction ?? 'ASCENDING'
  if (typeof property !== 'string' || !request.table!.property(property)) {
    throw problem(`cannot sort by ${String(property)}: no such property`, 'PROPERTY_DOESNT_EXIST')
  }
  if (direction !== 'ASCENDING' && direction !== 'DESCENDING') throw problem(`no direction ${JSON.stringify(direction)}`)
  return { property, descending: direction === 'DESCENDING' }
}

function whole(value: unknown, usual: number, name: string): number {
  if (value === undefined || value === null || value === '') return usual
  const number = Number(value)
  if (!Number.isInteger(number) || number < 0) throw problem(`${name} must be a whole number, not ${JSON.stringify(value)}`)
  return number
}

function problem(message: string, code = 'INVALID_SEARCH') {
  return invalid(`There was a problem with the request: ${message}`, code)
}
