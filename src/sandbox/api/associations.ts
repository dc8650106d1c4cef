import type { Direction } from '../graph/direction.ts'
import type { StoredEdge } from '../graph/edge-list.ts'
import { type Answer, invalid } from './answers.ts'
import { jsonBody, limitParam, type Request } from './request.ts'
import { shuffle } from './shapes.ts'

const mostInputs = 1_000

/**
 * POST /crm/associations/{version}/{from}/{to}/batch/read: what many records are associated with, a page for each; those
 * with nothing, whether they exist or not, are missing from the results and have an error each (or, as a setting says, an empty list).
 */
export function batchReadAssociations(request: Request): Answer {
  const { account } = request
  const { settings, clock, tables } = account
  const startedAt = clock.now()
  const direction = directionOf(request)
  const { from, to } = direction
  const asked = inputsOf(request)
  const errors: unknown[] = []
  const pages = asked.flatMap(({ id, after }) => {
    const page = /^\d{1,15}$/.test(id) ? pageOf(request, direction, Number(id), after, settings.associationPage) : null
    if (page && (page.edges.length > 0 || (after === null ? settings.noAssociations : settings.pastLastEdge) === 'empty')) return [{ id, ...page }]
    const [one, other] = [from, to].map(({ type }) => (type.custom ? tables.fullName(type) : type.singular))
    errors.push({
      status: 'error',
      category: 'OBJECT_NOT_FOUND',
      subCategory: 'crm.associations.NO_ASSOCIATIONS_FOUND',
      message: `No ${other} is associated with ${one} ${id}.`,
      context: { fromObjectId: [id], fromObjectType: [one], toObjectType: [other] },
    })
    return []
  })
  if (settings.shuffleAssociations) shuffle(pages, account.random)
  return {
    status: errors.length > 0 ? settings.missingStatus : 200,
    results: pages.map(({ id, edges, next }) => JSON.stringify({
      from: { id },
      to: edges.map((edge) => associated(request, direction, edge)),
      ...(next !== null && { paging: nextPage(request, next) }),
    })),
    body: {
      status: 'COMPLETE',
      ...(errors.length > 0 && { numErrors: errors.length, errors }),
      startedAt: from.time(startedAt),
      completedAt: from.time(clock.now()),
    },
    ids: pages.map(({ id }) => id),
  }
}

/** GET /crm/objects/{version}/{from}/{id}/associations/{to}: what one record is associated with. */
export function listAssociations(request: Request): Answer {
  const { account, query, path } = request
  const direction = directionOf(request)
  const limit = limitParam(query, account.settings.associationPage, account.settings.associationPage)
  const [id = ''] = path
  const after = query.get('after')
  if (!/^\d{1,15}$/.test(id)) throw invalid(`${id} is not a valid id`)
  const { edges, next } = pageOf(request, direction, Number(id), after, limit)
  return {
    status: 200,
    results: edges.map((edge) => JSON.stringify(associated(request, direction, edge))),
    body: next === null ? {} : { paging: nextPage(request, next) },
    ids: edges.map(({ to }) => String(to)),
  }
}

/** GET /crm/associations/{version}/{from}/{to}/labels: the types of a pair in this direction; never paged. */
export function listLabels(request: Request): Answer {
  const types = directionOf(request).types()
  return { status: 200, body: { results: types.map(({ category, typeId, label }) => ({ category, typeId, label })) } }
}

function directionOf({ account, table, to }: Request): Direction {
  return account.tables.graph.direction(table!, to!)
}

/** The edges of a record in one page, and where the next one starts: at an id, or behind so many. */
function pageOf(request: Request, direction: Direction, id: number, after: string | null, length: number): { edges: StoredEdge[]; next: number | null } {
  const { account } = request
  const start = after === null || after === '' ? 0 : Number(after)
  if (!Number.isSafeInteger(start)) throw invalid(`Request URI param 'after' with value of '${after}' is not valid`)
  const isCount = account.settings.associationAfter === 'count'
  const shown = account.tables.graph.shownOf(direction, id, isCount ? 0 : start)
  const edges = [...(isCount ? shown.drop(start) : shown).take(length + 1)]
  const beyond = edges.length > length ? edges.pop()! : null
  const next = beyond && (isCount ? start + length : beyond.to)
  if (account.settings.shuffleAssociations) shuffle(edges, account.random)
  return { edges, next }
}

/** The id of the other record is a number here, the only place where HubSpot writes one so. */
function associated({ account }: Request, direction: Direction, { to, mask }: StoredEdge): Record<string, unknown> {
  const associationTypes = direction.inMask(mask).map(({ category, typeId, label }) => ({ category, typeId, label }))
  if (account.settings.shuffleAssociations) shuffle(associationTypes, account.random)
  return { toObjectId: to, associationTypes }
}

function nextPage({ host, url }: Request, after: number): unknown {
  const [path, query] = url.split('?')
  const parameters = new URLSearchParams(query)
  parameters.set('after', String(after))
  return { next: { after: String(after), link: `http://${host}${path}?${parameters}` } }
}

/** What a batch asks for, without what it asks for twice. */
function inputsOf(request: Request): { id: string; after: string | null }[] {
  const { inputs } = jsonBody(request)
  if (!Array.isArray(inputs)) throw invalid('Invalid input JSON: some required fields were not set: [inputs]')
  if (inputs.length > mostInputs) {
    throw invalid(`The maximum number of inputs supported in a batch is ${mostInputs}. Please reduce the number of items and try again`)
  }
  const asked = inputs.map((input: unknown) => {
    const { id, after } = (input ?? {}) as { id?: unknown; after?: unknown }
    if (typeof id !== 'string' && typeof id !== 'number') throw invalid('Invalid input JSON: some required fields were not set: [id]')
    return { id: String(id), after: typeof after === 'string' || typeof after === 'number' ? String(after) : null }
  })
  return [...new Map(asked.map((input) => [`${input.id} ${input.after}`, input])).values()]
}
