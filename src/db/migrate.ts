import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { runMigrations } from 'graphile-worker'
import pg from 'pg'
import { Bug, Misuse } from '../lib/errors.ts'
import { VERSION } from '../lib/version.ts'
import { repeatedly, unlimited } from './database.ts'
import { dropLeftovers, madeNow } from './leftovers.ts'
import { checkNames, checkOthers, checkQueueSchema, queueSchemaFault } from './others.ts'
import { unhurried } from './unhurried.ts'

/** What `migrate` found and did. */
export type Migrated = { from: string | null; to: string; files: string[]; isCodeApplied: boolean; queueSchema: string }

/**
 * Installs the product or brings it up to date: pending `sql/schema` files once, in order; all of `sql/code` anew when any of
 * it changed; one transaction. Safe to run again, and by many at once. Misuse SH001, SH002, SH006, SH007, SH010, SH020, SH104, SH220.
 */
export async function migrate(
  databaseUrl: string,
  { queueSchema = 'graphile_worker' }: { queueSchema?: string } = {},
): Promise<Migrated> {
  const fault = queueSchemaFault(queueSchema)
  if (fault !== undefined) throw new Misuse('SH104', `the queue's schema ${fault}`, { hint: 'Name another, such as hubspot_queue, or none.' })
  await using _ = await alone(databaseUrl)
  const client = new pg.Client({ connectionString: databaseUrl, application_name: 'pg-hubspot install' })
  await client.connect()
  try {
    await client.query(PINNED)
    await checkServer(client)
    const schema = await installedQueueSchema(client) ?? queueSchema
    const before = await checkVersion(client)
    const code = await files('code')
    const all = await files('schema')
    const pending = all.filter((file) => !before.applied.has(file.name))
    const applied = all.filter((file) => before.applied.has(file.name))
    await checkNames(client, { applied: texts(applied), pending: texts(pending), code: texts(code) })
    await checkQueueSchema(client, schema)
    await migrateQueue(client, databaseUrl, schema)
    const hash = digest(code.map((file) => file.name + file.text).join('\n'))
    const isCodeApplied = pending.length > 0 || before.codeHash !== hash
    if (isCodeApplied) await unhurried(client, 'install', () => apply(client, { pending, code, hash, schema }))
    // A restore may have left out privileges; grants are rows, and rows it brought.
    else await repeatedly(() => client.query('select hubspot_private.grants_apply()'), 5)
    return { from: before.version, to: VERSION, files: pending.map((file) => file.name), isCodeApplied, queueSchema: schema }
  } finally {
    await client.end()
  }
}

/**
 * One installer at a time; the queue's own migrations are within. Held by a transaction, so that a pooler which gives every
 * transaction another connection keeps it and lets it go.
 */
async function alone(databaseUrl: string): Promise<AsyncDisposable> {
  const client = new pg.Client({ connectionString: databaseUrl, application_name: 'pg-hubspot install' })
  await client.connect()
  // It only waits: what goes wrong with it goes wrong with the others too, and is told there.
  client.on('error', () => undefined)
  try {
    await client.query(`begin; set local search_path = pg_catalog, pg_temp; ${PATIENT}; set local lock_timeout = 0; set local idle_in_transaction_session_timeout = 0`)
    await client.query(`select pg_advisory_xact_lock(hashtext('hubspot.install'))`)
  } catch (error) {
    await client.end()
    throw error
  }
  return {
    async [Symbol.asyncDispose]() {
      await client.query('commit').catch(() => undefined)
      await client.end()
    },
  }
}

/** No operator that someone put on the usual path is taken, and names are written out whole. No startup option: poolers refuse it, and installing works through them. */
const PINNED = 'set search_path = pg_catalog, pg_temp'

/** Whatever the role's or the database's own settings are. */
const PATIENT = `set local statement_timeout = 0; set local client_min_messages = warning; ${unlimited(true)}`

/**
 * Removes everything but the queue's schema, which others may use; its jobs of ours go. Misuse SH104 where our schemas hold what
 * others made, unless that may go too.
 */
export async function uninstall(databaseUrl: string, { withOthers = false }: { withOthers?: boolean } = {}): Promise<void> {
  const client = new pg.Client({ connectionString: databaseUrl, application_name: 'pg-hubspot uninstall' })
  await client.connect()
  try {
    await client.query(PINNED)
    const schema = await installedQueueSchema(client)
    await unhurried(client, 'uninstall', () => remove(client, schema, withOthers))
  } finally {
    await client.end()
  }
}

async function remove(client: pg.Client, schema: string | undefined, withOthers: boolean): Promise<void> {
  if (!withOthers) await checkOthers(client, texts([...await files('schema'), ...await files('code')]))
  if (schema !== undefined) {
    const jobs = `${pg.escapeIdentifier(schema)}.jobs`
    const { rows } = await client.query<{ ids: string[] }>(
      `select coalesce(array_agg(id), '{}') as ids from ${jobs} where task_identifier like 'hubspot:%'`,
    )
    await client.query(`select ${pg.escapeIdentifier(schema)}.complete_jobs($1)`, [rows[0]?.ids ?? []])
  }
  await client.query('drop schema if exists hubspot, hubspot_private, hubspot_live cascade')
  await client.query('drop server if exists hubspot_live cascade')
}

type SqlFile = { name: string; text: string; hash: string }

async function files(folder: 'schema' | 'code'): Promise<SqlFile[]> {
  // The same place from src/db and from dist/db.
  const directory = new URL(`../../sql/${folder}/`, import.meta.url)
  const names = (await readdir(directory)).filter((name) => name.endsWith('.sql')).sort()
  return Promise.all(
    names.map(async (name) => {
      const text = await readFile(new URL(name, directory), 'utf8')
      return { name, text, hash: digest(text) }
    }),
  )
}

const texts = (some: SqlFile[]) => some.map((file) => file.text)

const digest = (text: string) => createHash('sha256').update(text).digest('hex')

/** Whether the product can live there, for this role. Misuse SH002, SH007, SH010. */
export async function checkServer(client: pg.Client | pg.Pool): Promise<void> {
  const { rows } = await client.query<{ version: number; encoding: string; is_read_only: boolean; owner: string; database: string; may_create: boolean; not_ours: string | null; role: string }>(
    `select current_setting('server_version_num')::integer / 10000 as version, current_setting('server_encoding') as encoding,
       current_setting('transaction_read_only')::boolean as is_read_only, current_database() as database, current_user as role,
       has_database_privilege(current_database(), 'create') as may_create,
       (select nspname from pg_namespace
        where nspname in ('hubspot', 'hubspot_private') and not pg_has_role(nspowner, 'usage') limit 1) as not_ours`,
  )
  const server = rows[0]!
  if (server.version < 15 || server.version > 18) {
    throw new Misuse('SH007', `PostgreSQL ${server.version} is not supported`, { hint: 'Use PostgreSQL 15 to 18.' })
  }
  if (server.encoding !== 'UTF8' && server.encoding !== 'SQL_ASCII') {
    throw new Misuse('SH010', `database ${server.database} has encoding ${server.encoding}, which cannot hold every text of HubSpot's`, {
      hint: "Install into one of UTF8: create database … encoding 'UTF8' template template0;",
    })
  }
  if (server.is_read_only) {
    throw new Misuse('SH010', `database ${server.database} is read-only here`, {
      hint: 'Connect to the primary server, or set default_transaction_read_only to off for this role or database.',
    })
  }
  if (server.not_ours !== null) {
    throw new Misuse('SH002', `schema ${server.not_ours} belongs to another role`, {
      hint: 'Connect as the role that installed it; \\dn in psql names the owner.',
    })
  }
  if (!server.may_create) {
    throw new Misuse('SH002', `role ${server.role} may not create schemas in database ${server.database}`, {
      hint: `As its owner run: grant create on database ${pg.escapeIdentifier(server.database)} to ${pg.escapeIdentifier(server.role)};`,
    })
  }
}

async function installedQueueSchema(client: pg.Client): Promise<string | undefined> {
  const { rows } = await client.query<{ is_there: boolean }>(
    `select to_regclass('hubspot_private.installation') is not null as is_there`,
  )
  if (rows[0]?.is_there !== true) return undefined
  const { rows: found } = await client.query<{ queue_schema: string }>('select queue_schema from hubspot_private.installation')
  return found[0]?.queue_schema
}

async function checkVersion(client: pg.Client) {
  const { rows: there } = await client.query<{ is_there: boolean }>(
    `select to_regclass('hubspot_private.schema_files') is not null as is_there`,
  )
  const { rows } = there[0]?.is_there === true
    ? await client.query<{ name: string; hash: string; version: string }>(
      'select name, hash, version from hubspot_private.schema_files order by name',
    )
    : { rows: [] }
  const known = new Map((await files('schema')).map((file) => [file.name, file.hash]))
  const code = rows.find((row) => row.name === 'code')
  for (const row of rows) {
    if (row === code) continue
    if (!known.has(row.name) || (code !== undefined && isNewer(code.version, VERSION))) {
      throw new Misuse('SH001', `this database was installed by pg-hubspot ${code?.version ?? row.version}, this is ${VERSION}`, {
        hint: 'Upgrade the package: npm install pg-hubspot@latest',
      })
    }
    if (known.get(row.name) !== row.hash) {
      throw new Bug(`sql/schema/${row.name} is not the file that was installed`, {
        hint: 'Files in sql/schema are frozen once applied. In development: pg-hubspot uninstall --yes, then install.',
      })
    }
  }
  return {
    applied: new Set(rows.map((row) => row.name)),
    version: code?.version ?? null,
    codeHash: code?.hash,
  }
}

/** Whether version `a` comes after `b`. */
export function isNewer(a: string, b: string): boolean {
  const [left, right] = [a, b].map((version) => version.split(/[.-]/).slice(0, 3).map(Number))
  for (let i = 0; i < 3; i += 1) {
    const difference = (left?.[i] ?? 0) - (right?.[i] ?? 0)
    if (difference !== 0) return difference > 0
  }
  return false
}

/** Migrations of the queue that workers of an older version do not survive, as graphile-worker 0.18 marks them. */
const QUEUE_BREAKING = [1, 3, 11, 13, 14, 16, 19]
const QUEUE_LATEST = 20

async function migrateQueue(client: pg.Client, databaseUrl: string, schema: string): Promise<void> {
  const { rows: there } = await client.query<{ is_there: boolean }>(
    `select to_regclass(format('%I.migrations', $1::text)) is not null as is_there`,
    [schema],
  )
  if (there[0]?.is_there === true) {
    const { rows } = await client.query<{ latest: number | null }>(
      `select max(id) as latest from ${pg.escapeIdentifier(schema)}.migrations`,
    )
    const latest = rows[0]?.latest ?? 0
    const broken = QUEUE_BREAKING.filter((id) => id > latest)
    if (latest > 0 && broken.length > 0) {
      throw new Misuse('SH006', `queue schema ${schema} is at migration ${latest}; bringing it to ${QUEUE_LATEST} would break its workers`, {
        hint: `Upgrade graphile-worker to 0.18 everywhere it runs and run its own --schema-only, or install with --queue-schema hubspot_queue.`,
      })
    }
    if (latest >= QUEUE_LATEST) return
  }
  const pool = new pg.Pool({ connectionString: databaseUrl, verify: (one, done) => one.query(PINNED, done) })
  pool.on('error', () => undefined).on('connect', (one) => one.on('error', () => undefined))
  try {
    await runMigrations({ pgPool: pool, schema })
  } finally {
    await pool.end()
  }
}

async function apply(
  client: pg.Client,
  { pending, code, hash, schema }: { pending: SqlFile[]; code: SqlFile[]; hash: string; schema: string },
): Promise<void> {
  await client.query(PATIENT)
  const before = await madeNow(client)
  await client.query(`
    create schema if not exists hubspot_private;
    create table if not exists hubspot_private.schema_files (
      name text primary key,
      hash text not null,
      version text not null,
      applied_at timestamptz not null default clock_timestamp()
    )`)
  for (const file of pending) {
    await run(client, 'schema', file)
    await record(client, file.name, file.hash)
  }
  await client.query(
    `insert into hubspot_private.installation (database_name, database_oid, system_identifier, queue_schema)
     select d.datname, d.oid, (select system_identifier from pg_control_system()), $1
     from pg_database d where d.datname = current_database()
     on conflict (is_only) do nothing`,
    [schema],
  )
  for (const file of code) {
    // The last one sets privileges, which writes everything that is there.
    if (file === code.at(-1)) await dropLeftovers(client, before)
    await run(client, 'code', file)
  }
  await client.query(
    `select hubspot_private.table_comment(o.name), hubspot_private.apply_generate(o.name)
     from hubspot_private.objects o where o.column_set > 0 and to_regclass(format('hubspot.%I', o.table_name)) is not null
       and hubspot_private.name_holder(o.table_name) is null`,
  )
  await record(client, 'code', hash)
}

async function run(client: pg.Client, folder: string, file: SqlFile): Promise<void> {
  try {
    await client.query(file.text)
  } catch (error) {
    if (error instanceof pg.DatabaseError) {
      const line = file.text.slice(0, Number(error.position ?? 0)).split('\n').length
      error.message = `sql/${folder}/${file.name}:${line}: ${error.message}`
    }
    throw error
  }
}

async function record(client: pg.Client, name: string, hash: string): Promise<void> {
  await client.query(
    `insert into hubspot_private.schema_files (name, hash, version) values ($1, $2, $3)
     on conflict (name) do update set hash = excluded.hash, version = excluded.version, applied_at = clock_timestamp()`,
    [name, hash, VERSION],
  )
}
