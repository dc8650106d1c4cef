import type { SandboxRecord } from '../types.ts'
import type { Table } from './table.ts'
import type { Version } from './version.ts'

/** A version with all properties that have a definition, by name. */
export function snapshot(table: Table, version: Version): SandboxRecord {
  const names = [...table.properties.values()].filter((property) => property.archivedAt === null).map((property) => property.name).sort()
  return shape(table, version, names)
}

/** Versions with all properties that have a definition; the names are read once. */
export function* snapshots(table: Table, versions: Iterable<Version>): Generator<SandboxRecord, undefined> {
  const names = [...table.properties.values()].filter((property) => property.archivedAt === null).map((property) => property.name).sort()
  for (const version of versions) yield shape(table, version, names)
}

/** A version as every answer shows it, with these properties in this order. */
export function shape(table: Table, version: Version, names: readonly string[], absent = false): SandboxRecord {
  const properties: Record<string, string | null> = {}
  for (const name of names) {
    const value = table.value(version, name)
    if (value !== null || !absent) properties[name] = value
  }
  return {
    id: String(version.id),
    properties,
    createdAt: table.time(version.createdAt),
    updatedAt: table.time(version.updatedAt),
    archived: version.archivedAt !== null,
    ...(version.archivedAt !== null && { archivedAt: table.time(version.archivedAt) }),
  }
}
