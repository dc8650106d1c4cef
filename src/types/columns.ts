import { byCode, literal } from './text.ts'

/** How the file is to be. */
export type Style = {
  /** As node-postgres returns times unless told otherwise, or as text. */
  dates: 'date' | 'string'
  /** Enumerations are their options and nothing else. */
  isClosed: boolean
  hasZod: boolean
}

/** A column as Postgres has it; `options`: the values that HubSpot offers, where it offers some. */
export type Column = { dataType: string; isArray: boolean; isNullable: boolean; options: readonly string[]; isExtra: boolean }

/** A column's type, and the schema that takes what has this type. */
export type ColumnType = { type: string; zod: string }

const STRING = { type: 'string', zod: 'z.string()' }
const NUMBER = { type: 'number', zod: 'z.number()' }
const BOOLEAN = { type: 'boolean', zod: 'z.boolean()' }
const DATE = { type: 'Date', zod: 'z.date()' }
const UNKNOWN = { type: 'unknown', zod: 'z.unknown()' }
const INTERVAL = { type: 'PostgresInterval', zod: 'postgresIntervalSchema' }
const EXTRA = { type: 'Record<string, unknown>', zod: 'z.record(z.string(), z.unknown())' }

/** As node-postgres gives them: 64-bit integers and numerics as text, since numbers in JavaScript lose digits. */
const SCALARS: Record<string, ColumnType> = {
  bool: BOOLEAN,
  int2: NUMBER, int4: NUMBER, oid: NUMBER, float4: NUMBER, float8: NUMBER,
  int8: STRING, numeric: STRING, text: STRING, varchar: STRING, bpchar: STRING, name: STRING, uuid: STRING, xid: STRING, xid8: STRING,
  json: UNKNOWN, jsonb: UNKNOWN,
}
/** In arrays it makes numbers of numerics. */
const ELEMENTS: Record<string, ColumnType> = {
  bool: BOOLEAN,
  int2: NUMBER, int4: NUMBER, float4: NUMBER, float8: NUMBER, numeric: NUMBER,
  int8: STRING, text: STRING, varchar: STRING, uuid: STRING,
}
const TIMES = ['date', 'timestamp', 'timestamptz']

/** The type of a column, null included. */
export function columnType(column: Column, style: Style): ColumnType {
  const plain = column.isExtra ? EXTRA : column.isArray ? arrayOf(element(column, style)) : scalar(column, style)
  if (!column.isNullable || plain === UNKNOWN) return plain
  const members = plain.type.startsWith('\n') ? `${plain.type}\n    | null` : `${plain.type} | null`
  return { type: members, zod: `${plain.zod}.nullable()` }
}

function scalar(column: Column, style: Style): ColumnType {
  if (isEnumeration(column)) return enumeration(column, style)
  if (TIMES.includes(column.dataType)) return style.dates === 'date' ? DATE : STRING
  if (column.dataType === 'interval') return style.dates === 'date' ? INTERVAL : STRING
  return SCALARS[column.dataType] ?? UNKNOWN
}

function element(column: Column, style: Style): ColumnType {
  if (isEnumeration(column)) return enumeration(column, style)
  if (TIMES.includes(column.dataType) && style.dates === 'date') return DATE
  return ELEMENTS[column.dataType] ?? UNKNOWN
}

const isEnumeration = ({ dataType, options }: Column) => dataType === 'text' && options.length > 0

function enumeration({ options }: Column, { isClosed }: Style): ColumnType {
  const values = options.toSorted(byCode).map(literal)
  return {
    type: union(isClosed ? values : [...values, '(string & {})']),
    zod: isClosed ? `z.enum([${values.join(', ')}])` : 'z.string()',
  }
}

/** One a line where they are many, so that a new option is a line of a diff. */
function union(members: readonly string[]): string {
  const line = members.join(' | ')
  return line.length <= 80 ? line : members.map((member) => `\n    | ${member}`).join('')
}

function arrayOf({ type, zod }: ColumnType): ColumnType {
  return { type: type.includes('|') ? `(${type})[]` : `${type}[]`, zod: `z.array(${zod})` }
}
