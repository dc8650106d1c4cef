import { Misuse } from '../lib/errors.ts'
import { VERSION } from '../lib/version.ts'
import type { Database } from './database.ts'
import { isNewer } from './migrate.ts'

/** Where the queue lives in a database that has this product, in this version. Misuse SH001 or SH016 else. */
export async function installed(db: Database): Promise<{ queueSchema: string }> {
  const { rows } = await db.pool.query<{ is_there: boolean }>(
    `select to_regclass('hubspot_private.installation') is not null as is_there`,
  )
  const hint = 'Run: npx pg-hubspot install'
  if (rows[0]?.is_there !== true) throw new Misuse('SH016', 'pg-hubspot is not installed in this database', { hint })
  const { rows: found } = await db.pool.query<{ version: string; queue_schema: string }>(
    `select f.version, i.queue_schema
     from hubspot_private.installation i
     join hubspot_private.schema_files f on f.name = 'code'`,
  )
  const [row] = found
  if (row === undefined || isNewer(VERSION, row.version)) {
    throw new Misuse('SH016', `this database is of pg-hubspot ${row?.version ?? 'unknown'}, this is ${VERSION}`, { hint })
  }
  if (isNewer(row.version, VERSION)) {
    throw new Misuse('SH001', `this database was installed by pg-hubspot ${row.version}, this is ${VERSION}`, {
      hint: 'Upgrade the package: npm install pg-hubspot@latest',
    })
  }
  return { queueSchema: row.queue_schema }
}
