import type { Sandbox, SandboxRecord } from '../../src/sandbox/index.ts'
import type { FreshDatabase } from './cluster.ts'

/** A mirrored property: where it is and as what. */
type Column = { property: string; column_name: string | null; column_type: string }

/** Most lines a comparison prints: more say nothing new. */
const LINES = 12

/**
 * How a mirror differs from the sandbox, a line for each record; none when they are equal to the last value. Values are
 * cast here, by rules of this file's own: the product's casts are what is tested.
 */
export async function differences(
  db: Pick<FreshDatabase, 'query' | 'pool'>,
  sandbox: Sandbox,
  object: string,
  { ignore = () => false }: { ignore?: (id: string) => boolean } = {},
): Promise<string[]> {
  const columns = await db.query<Column>(
    'select property, column_name, column_type from hubspot.properties where object = $1 and is_selected and archived_at is null',
    [object],
  )
  const [first] = sandbox.store.records(object)
  const unknown = columns.filter(({ property }) => first !== undefined && !(property in first.properties))
  if (columns.length === 0 || unknown.length > 0) {
    return [`${object}: columns of no property: ${unknown.map(({ property }) => property).join(', ') || 'none at all'}`]
  }
  // As their columns do, what they had in _extra stays.
  const archived = await db.query<{ property: string }>('select property from hubspot.properties where object = $1 and archived_at is not null', [object])
  const mirror = await readMirror(db, object, columns, archived.map(({ property }) => property))
  const found: string[] = []
  for (const record of sandbox.store.records(object)) {
    if (ignore(record.id)) continue
    const row = mirror.get(record.id)
    mirror.delete(record.id)
    if (row === undefined) {
      found.push(`${object} ${record.id} of ${record.updatedAt} is missing here`)
      continue
    }
    const wanted = wantedRow(record, columns)
    const names = Object.keys(wanted).filter((name) => wanted[name] !== row[name])
    if (names.length > 0) {
      const each = names.map((name) => `${name} is ${show(row[name])}, there ${show(wanted[name])}`)
      found.push(`${object} ${record.id}: ${each.join('; ')}`)
    }
  }
  for (const id of mirror.keys()) {
    if (!ignore(id)) found.push(`${object} ${id} is here and not there (there ${JSON.stringify(sandbox.store.record(object, id)?.archived) ?? 'unknown'} archived)`)
  }
  return found.length > LINES ? [...found.slice(0, LINES), `… ${found.length - LINES} more`] : found
}

/**
 * How a pair's association table, and what is known of its types, differ from the sandbox, a line for each row; none when
 * they are equal.
 */
export async function edgeDifferences(db: Pick<FreshDatabase, 'query'>, sandbox: Sandbox, from: string, to: string): Promise<string[]> {
  const [pair] = await db.query<{ table_name: string | null }>(
    'select table_name from hubspot.association_pairs where from_object = $1 and to_object = $2', [from, to])
  if (!pair?.table_name) return [`${from} ${to}: has no table`]
  // The first two columns hold the ids, whatever they are called.
  const rows = await db.query<{ edge: string }>(
    `select format('%s %s %s %s %s', t.a, t.b, t.type_id, t.category, coalesce(t.label, 'null')) as edge from hubspot."${pair.table_name}" t (a, b)`)
  const types = await db.query<{ type: string }>(
    "select format('type %s %s %s', type_id, category, coalesce(label, 'null')) as type from hubspot.association_types where from_object = $1 and to_object = $2", [from, to])
  const here = new Set([...rows.map(({ edge }) => edge), ...types.map(({ type }) => type)])
  const there = new Set(sandbox.store.associationTypes(from, to).map(({ typeId, category, label }) => `type ${typeId} ${category} ${label}`))
  for (const { fromId, toId, typeId, category, label } of sandbox.store.edges(from, to)) there.add(`${fromId} ${toId} ${typeId} ${category} ${label}`)
  const found = [
    ...[...there].filter((edge) => !here.has(edge)).map((edge) => `${from} ${to}: ${edge} is missing here`),
    ...[...here].filter((edge) => !there.has(edge)).map((edge) => `${from} ${to}: ${edge} is here and not there`),
  ]
  return found.length > LINES ? [...found.slice(0, LINES), `… ${found.length - LINES} more`] : found
}

/** A row as text: `_created_at` and `_updated_at` in ms, `_extra` with its keys in order, a property by its name. */
type Row = Record<string, string | null>

async function readMirror(db: Pick<FreshDatabase, 'query' | 'pool'>, object: string, columns: readonly Column[], archived: string[]): Promise<Map<string, Row>> {
  const [type] = await db.query<{ table_name: string }>('select table_name from hubspot.object_types where object = $1', [object])
  const placed = columns.filter((column) => column.column_name !== null)
  const list = placed.map(({ column_name, column_type }) => asText(`t."${column_name!.replaceAll('"', '""')}"`, column_type))
  const { rows } = await db.pool.query<(string | null)[]>({
    rowMode: 'array',
    values: [archived],
    text: `select ${[
      't.id::text', asText('t._created_at', 'timestamptz'), asText('t._updated_at', 'timestamptz'), "nullif(t._extra - $1::text[], '{}')::text", ...list,
    ].join(', ')} from hubspot."${type!.table_name}" t where to_jsonb(t) ->> '_archived_at' is null`,
  })
  return new Map(
    rows.map(([id, created, updated, extra, ...values]) => {
      const row: Row = {
        _created_at: decimal(created!),
        _updated_at: decimal(updated!),
        _extra: extra ? sorted(JSON.parse(extra) as Record<string, unknown>) : null,
      }
      for (const [i, { property, column_type }] of placed.entries()) {
        const value = values[i]!
        row[property] = value !== null && /numeric|timestamptz/.test(column_type) ? decimal(value) : value
      }
      return [id!, row]
    }),
  )
}

function asText(column: string, type: string): string {
  if (type === 'timestamptz') return `(extract(epoch from ${column}) * 1000)::text`
  if (type === 'date') return `to_char(${column}, 'YYYY-MM-DD')`
  if (type === 'text[]') return `array_to_json(${column})::text`
  return `${column}::text`
}

function wantedRow(record: SandboxRecord, columns: readonly Column[]): Row {
  const row: Row = {
    _created_at: String(Date.parse(record.createdAt)),
    _updated_at: String(Date.parse(record.updatedAt)),
  }
  const extra: Record<string, string> = {}
  for (const { property, column_name, column_type } of columns) {
    const raw = record.properties[property] ?? null
    const value = raw === null || raw === '' ? null : cast(raw, column_type)
    if (raw !== null && raw !== '' && (value === undefined || column_name === null)) extra[property] = raw
    if (column_name !== null) row[property] = value ?? null
  }
  row['_extra'] = Object.keys(extra).length === 0 ? null : sorted(extra)
  return row
}

/** What a value reads as in a column of this type; undefined when it does not fit. */
function cast(raw: string, type: string): string | undefined {
  switch (type) {
    case 'numeric':
      return /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(raw) ? decimal(raw) : undefined
    case 'boolean':
      return /^(true|false)$/i.test(raw) ? raw.toLowerCase() : undefined
    case 'date':
      return instant(raw)?.slice(0, 10)
    case 'timestamptz': {
      const at = instant(raw)
      return at === undefined ? undefined : String(Date.parse(at))
    }
    case 'text[]':
      return JSON.stringify(raw.split(';'))
    default:
      // What Postgres cannot hold is repaired: NUL goes, half a surrogate pair becomes U+FFFD.
      return raw.replaceAll('\0', '').toWellFormed()
  }
}

/** Milliseconds since 1970, or an ISO date or time that exists, as JavaScript writes it. */
function instant(raw: string): string | undefined {
  if (/^-?\d+$/.test(raw)) return new Date(Number(raw)).toISOString()
  const [, day] = /^\d{4}-\d\d-(\d\d)($|T)/.exec(raw) ?? []
  const date = new Date(raw)
  // JavaScript takes the 30th of February for the first of March.
  const exists = day !== undefined && !Number.isNaN(date.getTime()) && Number(day) <= daysIn(raw)
  return exists ? date.toISOString() : undefined
}

/** Days in the month of an ISO date. */
function daysIn(date: string): number {
  return new Date(Date.UTC(Number(date.slice(0, 4)), Number(date.slice(5, 7)), 0)).getUTCDate()
}

/** A decimal number's one shortest form: no exponent, no spare zeros. */
function decimal(text: string): string {
  const [, sign, whole = '', part = '', exponent = '0'] = /^([+-]?)(\d*)\.?(\d*)(?:e([+-]?\d+))?$/i.exec(text) ?? []
  if (sign === undefined) throw new Error(`not a decimal number: ${text}`)
  const shift = Number(exponent)
  const digits = whole + part
  const point = whole.length + shift
  const before = (point > 0 ? digits.slice(0, point).padEnd(point, '0') : '').replace(/^0+/, '') || '0'
  const after = (point < 0 ? digits.padStart(digits.length - point, '0') : digits.slice(point)).replace(/0+$/, '')
  const number = after === '' ? before : `${before}.${after}`
  return sign === '-' && number !== '0' ? `-${number}` : number
}

function sorted(extra: Record<string, unknown>): string {
  return JSON.stringify(Object.fromEntries(Object.entries(extra).sort(([a], [b]) => (a < b ? -1 : 1))))
}

function show(value: string | null | undefined): string {
  return value === null || value === undefined ? 'null' : JSON.stringify(value.length > 80 ? `${value.slice(0, 80)}…` : value)
}
