import type { SandboxRecord } from '../types.ts'
import type { Reader, Table } from './table.ts'
import type { Version } from './version.ts'

/** Properties to read, in the order of the answer. */
export type Columns = readonly (readonly [name: string, read: Reader])[]

/** Columns by name, to be made once for many records. */
export function columnsOf(table: Table, names: Iterable<string>): Columns {
  return [...names].map((name) => [name, table.reader(name)])
}

/** Every property that has a definition, by name. */
export function allColumns(table: Table): Columns {
  return columnsOf(table, table.properties().filter(({ archivedAt }) => archivedAt === null).map(({ name }) => name).sort())
}

/** A record for those who hold the store: its values are read when they are looked at. */
export function snapshot(table: Table, version: Version, columns = allColumns(table)): SandboxRecord {
  let properties: SandboxRecord['properties'] | undefined
  return {
    ...heading(table, version),
    get properties() {
      properties ??= values(version, columns)
      return properties
    },
  }
}

/** Values by name; `absent` leaves the keys of empty ones out. */
export function values(version: Version, columns: Columns, absent = false): Record<string, string | null> {
  const result: Record<string, string | null> = {}
  for (const [name, read] of columns) {
    const value = read(version)
    if (value !== null || !absent) result[name] = value
  }
  return result
}

/** What every answer says of a record besides its values. */
export function heading(table: Table, version: Version): Omit<SandboxRecord, 'properties'> {
  const { id, createdAt, updatedAt, archivedAt } = version
  return {
    id: String(id),
    createdAt: table.time(createdAt),
    updatedAt: table.time(updatedAt),
    archived: archivedAt !== null,
    ...(archivedAt !== null && { archivedAt: table.time(archivedAt) }),
  }
}
