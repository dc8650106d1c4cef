import { count } from '../cli/support/screen.ts'
import type { Database } from '../db/database.ts'
import type { Control, DumpedRecord } from './edits.ts'
import { valueOf } from './values.ts'

type Column = { property: string; column_name: string; column_type: string }
/** A row: its columns as text in their order, after id, _created_at, _updated_at, _extra. */
type Row = (string | string[] | null)[]

/** How many differences of one object are shown. */
const SHOWN = 10

/**
 * Compares each object's table with the sandbox: ids, dates, every property, in both directions. Says how much was equal, or what
 * differs. What a value should be is worked out here from HubSpot's text, not by the product's own casts.
 */
export async function compareAll(db: Database, control: Control, objects: readonly string[], say: (line: string) => void): Promise<boolean> {
  let isEqual = true
  for (const object of objects) {
    const { records, columns, values, differences } = await compare(db, control, object)
    for (const line of differences.slice(0, SHOWN)) say(`  ≠ ${line}`)
    if (differences.length > SHOWN) say(`  ≠ ${count(differences.length - SHOWN)} more`)
    say(`  ${object}: ${count(records)} records × ${columns} columns, ${count(values)} values compared, ${count(differences.length)} differ`)
    isEqual &&= differences.length === 0
  }
  return isEqual
}

async function compare(db: Database, control: Control, object: string) {
  const { rows: columns } = await db.pool.query<Column>(
    `select property, column_name, column_type from hubspot.properties
     where object = $1 and is_selected and archived_at is null and column_name is not null order by property`,
    [object],
  )
  const rows = await readTable(db, object, columns)
  const differences: string[] = []
  let [records, values] = [0, 0]
  for await (const record of control.dump(object)) {
    records += 1
    const row = rows.get(record.id)
    rows.delete(record.id)
    if (row === undefined) differences.push(`${object} ${record.id} is missing in Postgres`)
    else {
      differences.push(...differencesOf(object, columns, record, row))
      values += columns.length + 3
    }
  }
  for (const id of rows.keys()) differences.push(`${object} ${id} is in Postgres alone`)
  return { records, columns: columns.length, values, differences }
}

function differencesOf(object: string, columns: Column[], record: DumpedRecord, row: Row): string[] {
  const [created, updated, extraText, ...cells] = row
  const extra = (extraText == null ? {} : JSON.parse(extraText as string)) as Record<string, string>
  const found: string[] = []
  const check = (name: string, wanted: unknown, got: unknown) => {
    if (JSON.stringify(wanted) !== JSON.stringify(got)) found.push(`${object} ${record.id} ${name}: ${JSON.stringify(wanted)} in HubSpot, ${JSON.stringify(got)} in Postgres`)
  }
  check('_created_at', valueOf('timestamptz', record.createdAt).value, Number(created))
  check('_updated_at', valueOf('timestamptz', record.updatedAt).value, Number(updated))
  for (const [at, { property, column_type }] of columns.entries()) {
    const raw = record.properties[property] ?? ''
    const wanted = raw === '' ? { value: null } : valueOf(column_type, raw)
    const cell = cells[at] ?? null
    check(property, wanted.value, cell === null || typeof cell !== 'string' ? cell : valueOf(column_type, cell).value)
    // A value that its column cannot hold is kept as it came.
    if ('isOdd' in wanted) check(`_extra ${property}`, raw, extra[property])
  }
  const asked = new Set(columns.map(({ property }) => property))
  for (const property of Object.keys(record.properties)) {
    if (!asked.has(property)) found.push(`${object} ${record.id} ${property}: no column in Postgres`)
  }
  return found
}

async function readTable(db: Database, object: string, columns: Column[]): Promise<Map<string, Row>> {
  const cell = ({ column_name, column_type }: Column) => {
    const name = `"${column_name.replaceAll('"', '""')}"`
    if (column_type === 'text[]') return name
    return column_type === 'timestamptz' ? epoch(name) : `${name}::text`
  }
  const list = [epoch('_created_at'), epoch('_updated_at'), '_extra::text', ...columns.map(cell)].join(', ')
  const { rows } = await db.pool.query<Row>({ text: `select id::text, ${list} from hubspot."${object}"`, rowMode: 'array' })
  return new Map(rows.map(([id, ...row]) => [id as string, row]))
}

const epoch = (name: string) => `trunc(extract(epoch from ${name}) * 1000)::text`
