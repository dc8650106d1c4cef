import type { Database } from '../../db/database.ts'
import { installed } from '../../db/installed.ts'
import { checkServer } from '../../db/migrate.ts'
import { checkSession } from '../../db/presence.ts'
import { Misuse } from '../../lib/errors.ts'
import { VERSION } from '../../lib/version.ts'
import { advice, type Check, failed, fine, isWell, looked } from './check.ts'

/** What the database came to; `isOurs`: a worker could run: in this version, by this role, in sessions. */
export type Found = { checks: Check[]; isThere: boolean; isOurs: boolean }

/** Looks at the connection, the server, the role and the installation; goes as far as it can. */
export async function examineDatabase(db: Database, url: string): Promise<Found> {
  const connection = await looked('database', () => examineConnection(db, url), url)
  if (!isWell(connection)) return { checks: connection, isThere: false, isOurs: false }
  const server = await looked('postgres', () => examineServer(db))
  const session = await looked('session', () => examineSession(url), url)
  const extension = await looked('postgres_fdw', () => examineExtension(db))
  const installation = await looked('installed', () => examineInstallation(db, isWell(server)))
  return {
    checks: [...connection, ...server, ...session, ...extension, ...installation],
    isThere: await isInstalled(db),
    isOurs: isWell([...server, ...session, ...installation]),
  }
}

async function examineConnection({ pool }: Database, url: string): Promise<Check> {
  const { rows } = await pool.query<{ database: string; role: string }>('select current_database() as database, current_user as role')
  const place = URL.parse(url)
  return fine('database', `connected to ${rows[0]!.database} at ${place?.hostname || 'localhost'}:${place?.port || '5432'} as ${rows[0]!.role}`)
}

async function examineServer({ pool }: Database): Promise<Check[]> {
  const { rows } = await pool.query<{ version: string; role: string; is_there: boolean }>(
    `select split_part(current_setting('server_version'), ' ', 1) as version, current_user as role, to_regnamespace('hubspot') is not null as is_there`,
  )
  const { version, role, is_there } = rows[0]!
  const postgres = fine('postgres', `PostgreSQL ${version}`)
  try {
    await checkServer(pool)
    return [postgres, fine('privileges', `role ${role} ${is_there ? 'owns it' : 'may install it'}`)]
  } catch (error) {
    if (!(error instanceof Misuse)) throw error
    return error.code === 'SH002' ? [postgres, failed('privileges', error)] : [failed('postgres', error)]
  }
}

async function examineSession(url: string): Promise<Check> {
  await checkSession(url)
  return fine('session', 'connections are sessions: notifications come back')
}

async function examineExtension({ pool }: Database): Promise<Check> {
  const { rows } = await pool.query<{ installed_version: string | null; default_version: string }>(
    `select installed_version, default_version from pg_available_extensions where name = 'postgres_fdw'`,
  )
  const [extension] = rows
  if (extension === undefined) {
    return advice('postgres_fdw', 'this server does not have it: live tables cannot be made here, all else works', 'If you want them: install the contrib package of PostgreSQL on the server.')
  }
  const { installed_version, default_version } = extension
  return fine('postgres_fdw', installed_version === null ? `${default_version} is available, for live tables` : `${installed_version} is installed`)
}

/** A role that is not the owner sees the public views, and not of which version they are. */
async function examineInstallation(db: Database, isOwner: boolean): Promise<Check> {
  if (!isOwner && (await isInstalled(db))) return fine('installed', 'pg-hubspot is installed')
  const { queueSchema } = await installed(db)
  const { rows } = await db.pool.query<{ is_there: boolean }>(`select to_regclass(format('%I.jobs', $1::text)) is not null as is_there`, [queueSchema])
  if (rows[0]?.is_there !== true) {
    return failed('installed', new Misuse('SH016', `its queue is gone: there is no graphile-worker in schema ${queueSchema}`, { hint: 'Run: npx pg-hubspot install' }))
  }
  return fine('installed', `pg-hubspot ${VERSION}, its queue in schema ${queueSchema}`)
}

async function isInstalled({ pool }: Database): Promise<boolean> {
  const { rows } = await pool.query<{ is_there: boolean }>(`select exists (
    select from pg_proc p join pg_namespace n on n.oid = p.pronamespace where n.nspname = 'hubspot' and p.proname = 'health') as is_there`)
  return rows[0]?.is_there === true
}

/** Whether secrets are stored is a matter of taste; that is told, and counts for nothing. */
const TASTE = ['secrets']

/** What hubspot.health() knows; nothing where the role may not ask it. */
export async function examineHealth({ pool }: Database): Promise<Check[]> {
  const { rows: may } = await pool.query<{ is_allowed: boolean }>(
    `select has_schema_privilege(n.oid, 'usage') and has_function_privilege(p.oid, 'execute') as is_allowed
     from pg_proc p join pg_namespace n on n.oid = p.pronamespace where n.nspname = 'hubspot' and p.proname = 'health'`,
  )
  if (may[0]?.is_allowed !== true) return []
  const { rows } = await pool.query<Check>('select name, ok, message, hint from hubspot.health()')
  return rows.map((check) => (!check.ok && TASTE.includes(check.name) ? { ...check, isAdvice: true } : check))
}
