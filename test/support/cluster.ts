import { randomBytes } from 'node:crypto'
import pg from 'pg'
import { inject } from 'vitest'
import { at, query } from './global-setup.ts'

/** A database of one test's or one file's own, with the product installed. */
export type FreshDatabase = AsyncDisposable & {
  name: string
  /** Of the role that owns it, which is no superuser. */
  url: string
  /** Of the superuser, for what the product never does: ending connections, moving the server. */
  adminUrl: string
  /** As `url`; times, dates and 64-bit integers come back as text. */
  pool: pg.Pool
  /** The rows of one statement. */
  query<Row extends pg.QueryResultRow = pg.QueryResultRow>(text: string, values?: unknown[]): Promise<Row[]>
}

/**
 * Copies the template: 20 to 50 ms. Dispose of it with `await using`, or in `afterAll`.
 *
 * `name` only makes it easier to find in the server's log.
 */
export async function freshDatabase(name = 'test'): Promise<FreshDatabase> {
  const { adminUrl, appUrl, template, failure } = inject('server')
  if (failure !== null) throw new Error(`the product could not be installed: ${failure}`)
  const database = `${name.toLowerCase().replaceAll(/[^a-z0-9]+/g, '_').slice(0, 40)}_${randomBytes(4).toString('hex')}`
  await query(appUrl, `create database ${database} template ${template}`)
  const url = at(appUrl, database)
  await settleIn(url)
  const pool = new pg.Pool({ connectionString: url, max: 5, types: { getTypeParser } })
  // A test may end connections under it; the next query says so.
  pool.on('error', () => undefined)
  return {
    name: database,
    url,
    adminUrl: at(adminUrl, database),
    pool,
    query: async (text, values) => (await pool.query(text, values)).rows,
    async [Symbol.asyncDispose]() {
      await pool.end()
      await query(adminUrl, `drop database if exists ${database} with (force)`)
    },
  }
}

/** To the product a copy is a clone that must not touch HubSpot until it is adopted; this one is meant. */
async function settleIn(url: string): Promise<void> {
  await query(
    url,
    `do $$
    begin
      if to_regclass('hubspot_private.installation') is not null then
        update hubspot_private.installation
          set database_name = current_database(),
              database_oid = (select oid from pg_catalog.pg_database where datname = current_database());
      end if;
    end;
    $$`,
  )
}

const { builtins } = pg.types
const textual = new Set<number>([builtins.DATE, builtins.TIMESTAMP, builtins.TIMESTAMPTZ, builtins.INTERVAL, builtins.INT8])

function getTypeParser(oid: number, format?: 'text' | 'binary') {
  if (textual.has(oid)) return (value: string) => value
  return format === 'binary' ? pg.types.getTypeParser(oid, 'binary') : pg.types.getTypeParser(oid, 'text')
}
