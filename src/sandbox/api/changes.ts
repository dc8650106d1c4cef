import { TooManyMerges } from '../store/merge.ts'
import { isLive } from '../store/version.ts'
import { type Answer, invalid, notFound, recordNotFound, refuse } from './answers.ts'
import { find, inputIds } from './objects.ts'
import { jsonBody, type Request } from './request.ts'
import { recordText, wanted } from './shapes.ts'

/** Objects whose records can be merged, besides custom ones. */
const mergeable: readonly string[] = ['contacts', 'companies', 'deals', 'tickets', 'appointments']

/** DELETE /crm/objects/{version}/{type}/{id}: to the recycle bin; what is there or never was is accepted. */
export function archive(request: Request): Answer {
  return archiveAll(request, request.path.slice(0, 1))
}

/** POST /crm/objects/{version}/{type}/batch/archive: up to 100 records to the recycle bin. */
export function batchArchive(request: Request): Answer {
  const ids = inputIds(jsonBody(request))
  if (ids.length > 100) throw invalid('The maximum number of inputs supported in a batch is 100. Please reduce the number of items and try again')
  return archiveAll(request, ids)
}

function archiveAll(request: Request, ids: readonly string[]): Answer {
  const table = request.table!
  const live = [...find(request, ids, null, false).values()].filter(isLive).map(({ id }) => id)
  request.account.store.archive(table.type.name, [...new Set(live)])
  return { status: 204 }
}

/** POST /crm/objects/{version}/{type}/merge: answers the survivor. Ids lost to earlier merges stand for their survivors. */
export function merge(request: Request): Answer {
  const { account } = request
  const table = request.table!
  if (!table.type.custom && !mergeable.includes(table.type.name)) throw notFound('Unable to find resource')
  const body = jsonBody(request)
  const [primary, other] = ['primaryObjectId', 'objectIdToMerge'].map((field) => {
    const id = body[field]
    if (typeof id !== 'string' && typeof id !== 'number') throw invalid(`Invalid input JSON: some required fields were not set: [${field}]`)
    const version = find(request, [String(id)], null, true).get(String(id))
    if (!version || !isLive(version)) throw recordNotFound(String(id))
    return version.id
  })
  if (primary === other) throw invalid('A record cannot be merged with itself')
  try {
    const { id } = account.store.merge(table.type.name, primary!, other!)
    return { status: 200, body: recordText(request, table.newest(Number(id))!, wanted(request, [])), ids: [id] }
  } catch (error) {
    if (error instanceof TooManyMerges) throw refuse(414, error.message, { category: 'VALIDATION_ERROR' })
    throw error
  }
}

/** POST /crm/objects/{version}/contacts/gdpr-delete: for good, archived contacts too. */
export function gdprDelete(request: Request): Answer {
  if (request.table!.type.name !== 'contacts') throw notFound('Unable to find resource')
  const { objectId, idProperty } = jsonBody(request)
  if (typeof objectId !== 'string' && typeof objectId !== 'number') throw invalid('Invalid input JSON: some required fields were not set: [objectId]')
  const version = find(request, [String(objectId)], typeof idProperty === 'string' ? idProperty : null, true).get(String(objectId))
  if (!version) throw recordNotFound(String(objectId))
  request.account.store.gdprDelete(version.id)
  return { status: 204 }
}
