import type { Database } from '../../db/database.ts'
import { Misuse } from '../../lib/errors.ts'

/** Misuse SH016 where the product is not installed. A reader cannot see hubspot_private, so that it is known by a view. */
export async function checkInstalled({ pool }: Database): Promise<void> {
  const { rows } = await pool.query<{ is_there: boolean }>(
    `select exists (select from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname = 'hubspot' and c.relname = 'status') as is_there`,
  )
  if (rows[0]?.is_there !== true) throw new Misuse('SH016', 'pg-hubspot is not installed in this database', { hint: 'Run: npx pg-hubspot install' })
}
