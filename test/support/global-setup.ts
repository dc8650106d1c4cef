import { randomBytes } from 'node:crypto'
import { inspect } from 'node:util'
import pg from 'pg'
import type { TestProject } from 'vitest/node'
import { startCluster } from '../../src/db/cluster.ts'
import { migrate } from '../../src/db/migrate.ts'

declare module 'vitest' {
  interface ProvidedContext {
    /** The server of this run; see `freshDatabase`. */
    server: TestServer
  }
}

/** What a test file needs to make databases of its own. */
export type TestServer = {
  /** The superuser; on a server of one's own perhaps an ordinary role. */
  adminUrl: string
  /** The role that owns every test database: no superuser, as the product has to work without. */
  appUrl: string
  /** A database with the product installed. */
  template: string
  /** Why the product could not be installed there; tests without a database run all the same. */
  failure: string | null
}

/** Roles of test servers; the databases are thrown away, so the password is no secret. */
const app = { role: 'hubspot_test', password: 'hubspot_test' }

/** One server and one migrated template for the whole run: `PG_VERSION` chooses, `TEST_DATABASE_URL` brings its own. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const template = `hubspot_template_${randomBytes(4).toString('hex')}`
  const { adminUrl, end } = await findServer(template)
  try {
    const appUrl = await makeRole(adminUrl)
    await query(appUrl, `create database ${template}`)
    const failure = await migrate(at(appUrl, template)).then(
      () => null,
      (error: unknown) => inspect(error),
    )
    project.provide('server', { adminUrl, appUrl, template, failure })
    return end
  } catch (error) {
    await end()
    throw error
  }
}

async function findServer(template: string): Promise<{ adminUrl: string; end(): Promise<void> }> {
  const { TEST_DATABASE_URL: url, PG_VERSION = '18' } = process.env
  if (url !== undefined) {
    return { adminUrl: url, end: async () => void (await query(url, `drop database if exists ${template}`)) }
  }
  if (PG_VERSION !== '15' && PG_VERSION !== '18') throw new Error(`PG_VERSION is 15 or 18, not ${PG_VERSION}`)
  const cluster = await startCluster({
    version: PG_VERSION === '15' ? 15 : 18,
    // A crash of the machine costs the run anyway. Commits stay synchronous: tests kill the server.
    settings: { fsync: 'off', full_page_writes: 'off', max_connections: '200' },
  })
  return { adminUrl: cluster.url(), end: () => cluster.stop() }
}

/** The same server and role, another database. */
export function at(url: string, database: string): string {
  const other = new URL(url)
  other.pathname = `/${encodeURIComponent(database)}`
  return other.href
}

/** Runs one statement on a connection of its own. */
export async function query<Row extends pg.QueryResultRow>(url: string, text: string): Promise<Row[]> {
  const client = new pg.Client(url)
  await client.connect()
  try {
    return (await client.query<Row>(text)).rows
  } finally {
    await client.end()
  }
}

async function makeRole(adminUrl: string): Promise<string> {
  const [self] = await query<{ rolsuper: boolean }>(
    adminUrl,
    'select rolsuper from pg_catalog.pg_roles where rolname = current_user',
  )
  if (self?.rolsuper !== true) return adminUrl
  await query(
    adminUrl,
    `do $$
    begin
      create role ${app.role};
    exception when duplicate_object then null;
    end;
    $$`,
  )
  await query(adminUrl, `alter role ${app.role} login createdb createrole password '${app.password}'`)
  // plpgsql binds late; this makes it say what it otherwise lets pass: shadowed variables, too many rows.
  await query(adminUrl, `alter role ${app.role} set plpgsql.extra_errors = 'all'`)
  const url = new URL(adminUrl)
  url.username = app.role
  url.password = app.password
  return url.href
}
