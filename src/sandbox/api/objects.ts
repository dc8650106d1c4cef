import { type Version, versionAt } from '../store/version.ts'
import { type Answer, invalid, recordNotFound } from './answers.ts'
import { flagParam, jsonBody, limitParam, listParam, type Request, textList } from './request.ts'
import { recordText, shuffle, wanted } from './shapes.ts'

/** GET /crm/objects/{version}/{type}: records by ascending id, live or archived. */
export function list(request: Request): Answer {
  const { account, query } = request
  const { settings } = account
  const table = request.table!
  const wants = wanted(request, listParam(query, 'properties'), listParam(query, 'propertiesWithHistory'))
  const archived = flagParam(query, 'archived')
  if (archived && settings.archivedList.includes(table.type.name)) throw invalid(`Archived ${table.type.name} cannot be listed`)
  const limit = limitParam(query, 10, wants.history.length > 0 ? 50 : 100)
  const after = query.get('after') ?? ''
  const from = after === '' ? 0 : idOfAfter(after)
  const short = settings.shortPages > 0 && account.random() < settings.shortPages
  const length = short ? 1 + Math.floor(account.random() * limit) : limit
  const page: Version[] = []
  let more = false
  for (const version of archived ? table.archived(from) : table.live(from)) {
    more = page.length === length
    if (more) break
    page.push(version)
  }
  const results = page.map((version) => recordText(request, version, wants))
  const next = more ? { paging: { next: nextPage(request, page.at(-1)!.id + 1) } } : {}
  return { status: 200, body: next, results, ids: page.map(({ id }) => String(id)) }
}

/** GET /crm/objects/{version}/{type}/{id}: one record, by id or by a unique property; an id lost to a merge answers the survivor. */
export function get(request: Request): Answer {
  const { query, path, account } = request
  const wants = wanted(request, listParam(query, 'properties'), listParam(query, 'propertiesWithHistory'))
  const [asked = ''] = path
  const version = find(request, [asked], query.get('idProperty'), true).get(asked)
  const archived = flagParam(query, 'archived')
  const shown = version && (archived ? version.archivedAt !== null : version.archivedAt === null || account.settings.archivedGet === 'found')
  if (!shown) throw recordNotFound(asked)
  return { status: 200, body: recordText(request, version, wants), ids: [String(version.id)] }
}

/** POST /crm/objects/{version}/{type}/batch/read: records by id; all that are missing are named in one error. */
export function batchRead(request: Request): Answer {
  const { account, query } = request
  const startedAt = account.clock.now()
  const table = request.table!
  const body = jsonBody(request)
  const asked = inputIds(body)
  const wants = wanted(request, textList(body, 'properties'), textList(body, 'propertiesWithHistory'))
  const most = wants.history.length > 0 ? 50 : 100
  if (asked.length > most) {
    const what = wants.history.length > 0 ? 'a batch request for property histories' : 'a batch'
    throw invalid(`The maximum number of inputs supported in ${what} is ${most}. Please reduce the number of items and try again`)
  }
  const archived = flagParam(query, 'archived')
  const found = find(request, asked, typeof body['idProperty'] === 'string' ? body['idProperty'] : null, account.settings.mergedRead === 'survivor')
  const versions = new Map<number, Version>()
  const missing: string[] = []
  for (const id of new Set(asked)) {
    const version = found.get(id)
    if (version && (version.archivedAt !== null) === archived) versions.set(version.id, version)
    else missing.push(id)
  }
  const results = [...versions.values()].map((version) => recordText(request, version, wants))
  if (account.settings.shuffleBatch) shuffle(results, account.random)
  const errors = missing.length > 0 ? {
    numErrors: 1,
    errors: [{
      status: 'error',
      category: 'OBJECT_NOT_FOUND',
      message: `Could not get some ${account.tables.fullName(table.type)} objects, they may be deleted or not exist. Check that ids are valid.`,
      context: { ids: missing },
    }],
  } : {}
  return {
    status: missing.length > 0 ? account.settings.missingStatus : 200,
    results,
    body: { status: 'COMPLETE', ...errors, startedAt: table.time(startedAt), completedAt: table.time(account.clock.now()) },
    ids: [...versions.keys()].map(String),
  }
}

/** The ids a batch asks for, as text, in order. */
export function inputIds(body: Record<string, unknown>): string[] {
  const inputs = body['inputs']
  if (!Array.isArray(inputs)) throw invalid("Invalid input JSON: some required fields were not set: [inputs]")
  return inputs.map((input: unknown) => {
    const id = (input as { id?: unknown } | null)?.id
    if (typeof id !== 'string' && typeof id !== 'number') throw invalid('Invalid input JSON: some required fields were not set: [id]')
    return String(id)
  })
}

/** The newest versions of records, live or archived, by what they were asked by; `merged`: also by ids that were lost. */
export function find(request: Request, asked: readonly string[], idProperty: string | null, merged: boolean): Map<string, Version> {
  const table = request.table!
  const found = new Map<string, Version>()
  if (idProperty === null || idProperty === 'hs_object_id') {
    for (const text of asked) {
      const at = request.asOf ?? Infinity
      const version = !/^\d{1,15}$/.test(text) ? undefined : merged ? table.survivor(Number(text), at) : versionAt(table.newest(Number(text)), at)
      if (version && !version.gone) found.set(text, version)
    }
    return found
  }
  const property = table.property(idProperty)
  if (!property?.hasUniqueValue) throw invalid(`The property ${idProperty} is not a unique property of ${table.type.name}`)
  const wants = new Map(asked.map((text) => [text.toLowerCase(), text]))
  for (const versions of [table.live(0), table.archived(0)]) {
    for (const version of versions) {
      const text = wants.get(table.value(version, idProperty)?.toLowerCase() ?? '')
      if (text !== undefined && !found.has(text)) found.set(text, version)
      if (found.size === wants.size) return found
    }
  }
  return found
}

/** Where a list goes on: the id itself, or base64 of it. */
function idOfAfter(after: string): number {
  const text = /^\d+$/.test(after) ? after : Buffer.from(after, 'base64').toString()
  if (!/^\d{1,16}$/.test(text)) throw invalid(`Request URI param 'after' with value of '${after}' is not valid`)
  return Number(text)
}

function nextPage(request: Request, id: number): { after: string; link: string } {
  const { account, query, host, table } = request
  const after = account.settings.after === 'base64' ? Buffer.from(String(id)).toString('base64') : String(id)
  const parameters = new URLSearchParams(query)
  parameters.set('after', after)
  return { after, link: `http://${host}/crm/v3/objects/${table!.type.name}?${parameters}` }
}
