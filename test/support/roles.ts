import pg from 'pg'
import type { FreshDatabase } from './cluster.ts'

/** Roles of one test's own, and a superuser's connection that can be any of them. */
export type Roles<Name extends string> = AsyncDisposable & {
  /** The roles' names in the cluster; quotes, spaces and umlauts in them are meant. */
  names: Record<Name, string>
  admin: pg.Client
  /** One statement as that role. */
  as<Row extends pg.QueryResultRow = pg.QueryResultRow>(role: Name, text: string, values?: unknown[]): Promise<Row[]>
  /** The SQLSTATE of a statement as that role, its effects undone; undefined where it went through. */
  tries(role: Name, text: string): Promise<string | undefined>
}

/** Makes roles, which are the cluster's and not the database's; they go again with it. */
export async function makeRoles<Name extends string>(db: FreshDatabase, ...wanted: Name[]): Promise<Roles<Name>> {
  const names = Object.fromEntries(wanted.map((name) => [name, `${name} "rôle"; ${db.name}`])) as Record<Name, string>
  const admin = new pg.Client(db.adminUrl)
  await admin.connect()
  for (const role of Object.values<string>(names)) await admin.query(`create role ${pg.escapeIdentifier(role)}`)
  const become = (role: Name) => admin.query(`set role ${pg.escapeIdentifier(names[role])}`)
  return {
    names,
    admin,
    async as<Row extends pg.QueryResultRow>(role: Name, text: string, values?: unknown[]) {
      await become(role)
      try {
        return (await admin.query<Row>(text, values)).rows
      } finally {
        await admin.query('reset role')
      }
    },
    async tries(role, text) {
      // What cannot run in a transaction says so, which is an answer too.
      await admin.query('begin')
      try {
        await become(role)
        await admin.query(text)
        return undefined
      } catch (error) {
        return (error as pg.DatabaseError).code
      } finally {
        await admin.query('rollback')
        await admin.query('reset role')
      }
    },
    async [Symbol.asyncDispose]() {
      await admin.query('reset role')
      for (const role of Object.values<string>(names)) {
        const quoted = pg.escapeIdentifier(role)
        const { rowCount } = await admin.query('select from pg_roles where rolname = $1', [role])
        if (rowCount === 1) await admin.query(`drop owned by ${quoted} cascade; drop role ${quoted}`)
      }
      await admin.end()
    },
  }
}
