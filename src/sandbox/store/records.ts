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
  const { id, createdAt, updatedAt, archivedAt } = version
  let properties: SandboxRecord['properties'] | undefined
  return {
    id: String(id),
    get properties() {
      properties ??= Object.fromEntries(columns.map(([name, read]) => [name, read(version)]))
      return properties
    },
    createdAt: table.time(createdAt),
    updatedAt: table.time(updatedAt),
    archived: archivedAt !== null,
    ...(archivedAt !== null && { archivedAt: table.time(archivedAt) }),
  }
}
