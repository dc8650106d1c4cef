import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { gunzipSync } from 'node:zlib'
import { runMigrations } from 'graphile-worker'
import pg from 'pg'

const versions = new URL('../versions/', import.meta.url)
const schema = new URL('../../sql/schema/', import.meta.url)

/** A version that databases were installed by: its code, and the hashes of its schema files (scripts/keep-version.ts). */
export type OldVersion = { commit: string; version: string; schema: Record<string, string>; code: Record<string, string> }

/** All that are kept. */
export function oldVersions(): OldVersion[] {
  return readdirSync(versions)
    .filter((name) => name.endsWith('.json.gz'))
    .map((name) => JSON.parse(gunzipSync(readFileSync(new URL(name, versions))).toString()) as OldVersion)
}

/** The schema files that are here, by name, with their hash. */
export function schemaHashes(): Record<string, string> {
  const names = readdirSync(schema).filter((name) => name.endsWith('.sql')).sort()
  return Object.fromEntries(names.map((name) => [name, createHash('sha256').update(readFileSync(new URL(name, schema))).digest('hex')]))
}

/** Installs an old version into an empty database, as its own installer did. */
export async function installOld(url: string, old: OldVersion): Promise<void> {
  await runMigrations({ connectionString: url })
  const client = new pg.Client(url)
  await client.connect()
  const note = (name: string, hash: string) =>
    client.query('insert into hubspot_private.schema_files (name, hash, version) values ($1, $2, $3)', [name, hash, old.version])
  try {
    await client.query(`begin; create schema hubspot_private; create table hubspot_private.schema_files (
      name text primary key, hash text not null, version text not null, applied_at timestamptz not null default clock_timestamp())`)
    for (const [name, hash] of Object.entries(old.schema)) {
      await client.query(readFileSync(new URL(name, schema), 'utf8'))
      await note(name, hash)
    }
    await client.query(`insert into hubspot_private.installation (database_name, database_oid, system_identifier, queue_schema)
      select d.datname, d.oid, (select system_identifier from pg_control_system()), 'graphile_worker'
      from pg_database d where d.datname = current_database()`)
    for (const text of Object.values(old.code)) await client.query(text)
    await note('code', old.commit)
    await client.query('commit')
  } finally {
    await client.end()
  }
}
