import type { Version } from '../store/version.ts'
import { type Columns, columnsOf } from '../store/records.ts'
import type { Table } from '../store/table.ts'
import { missingScopes, unreadable } from './answers.ts'
import type { Request } from './request.ts'

/** What a call wants to know of each record. */
export interface Wanted {
  /** In the order of the answer: alphabetical. */
  readonly columns: Columns
  readonly history: readonly string[]
}

/**
 * The properties an answer holds: those asked for that exist, or the usual ones if none was asked for, and always id and
 * dates. Unknown names are passed over; a sensitive one without its scope, or one that may not be read, refuses the call.
 */
export function wanted(request: Request, asked: readonly string[], history: readonly string[] = []): Wanted {
  const table = request.table!
  const { created, modified, usual } = table.type
  const known = (name: string) => {
    const property = table.property(name)
    if (property?.unreadable) throw unreadable(property.unreadable === 'named' ? name : null)
    if (property && property.dataSensitivity !== 'non_sensitive') needSensitive(request, property.dataSensitivity)
    return property !== undefined
  }
  const chosen = asked.length > 0 ? asked : usual
  const names = new Set([...chosen.filter(known), created, modified, 'hs_object_id'])
  return { columns: columnsOf(table, [...names].sort()), history: [...new Set(history.filter(known))].sort() }
}

function needSensitive(request: Request, sensitivity: string): void {
  const { scopes, table } = request
  const object = table!.type.custom ? 'custom' : table!.type.name
  const needed = ['', '.v2'].map((version) => `crm.objects.${object}.${sensitivity}.read${version}`)
  if (scopes && !needed.some((scope) => scopes.has(scope))) throw missingScopes(needed)
}

/**
 * A record as lists, reads and searches answer it, as JSON text. Pages are most of what is answered, and written so
 * they take two thirds of what objects and JSON.stringify take.
 */
export function recordText(request: Request, version: Version, { columns, history }: Wanted): string {
  const { table, account } = request
  const { portalId, settings } = account
  const { id, createdAt, updatedAt, archivedAt } = version
  let values = ''
  for (const [name, read] of columns) {
    const value = read(version)
    if (value === null && settings.emptyKeys === 'absent') continue
    values += `${values === '' ? '' : ','}"${name}":${value === null ? 'null' : quote(value)}`
  }
  const versions = history.length === 0 ? ''
    : `,"propertiesWithHistory":${JSON.stringify(Object.fromEntries(history.map((name) => [name, historyOf(table!, version, name)])))}`
  const archived = archivedAt === null ? 'false' : `true,"archivedAt":"${table!.time(archivedAt)}"`
  const host = settings.hosting === 'eu1' ? 'app-eu1' : 'app'
  return `{"id":"${id}","properties":{${values}}${versions},"createdAt":"${table!.time(createdAt)}","updatedAt":"${table!.time(updatedAt)}",` +
    `"archived":${archived},"url":"https://${host}.hubspot.com/contacts/${portalId}/record/${table!.type.typeId}/${id}"}`
}

// Quotes, backslashes, control characters and halves of surrogate pairs need JSON's own care.
// oxlint-disable-next-line no-control-regex -- \p{Cc} takes twice the time
const plain = /^[^"\\\u0000-\u001f\ud800-\udfff]*$/

function quote(value: string): string {
  return plain.test(value) ? `"${value}"` : JSON.stringify(value)
}

/** The values a property has had, newest first. */
function historyOf(table: Table, newest: Version, name: string): Record<string, unknown>[] {
  const entries: Record<string, unknown>[] = []
  for (let version: Version | null = newest; version; version = version.before) {
    const value = table.value(version, name)
    const before: string | null = version.before ? table.value(version.before, name) : null
    if (value === before) continue
    const generated = version.seq === 0
    entries.push({
      value: value ?? '',
      timestamp: table.time(generated ? version.createdAt : version.updatedAt),
      sourceType: generated ? 'IMPORT' : 'API',
      ...(generated && { sourceId: 'generated' }),
    })
  }
  return entries
}

/** Puts items into another order. */
export function shuffle<T>(items: T[], random: () => number): void {
  for (let at = items.length - 1; at > 0; at--) {
    const other = Math.floor(random() * (at + 1))
    ;[items[at], items[other]] = [items[other]!, items[at]!]
  }
}
