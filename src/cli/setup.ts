import { createInterface } from 'node:readline/promises'
import { z } from 'zod'
import { openDatabase } from '../db/database.ts'
import { migrate, uninstall as remove } from '../db/migrate.ts'
import { queueSchemaFault } from '../db/others.ts'
import { Misuse } from '../lib/errors.ts'
import { command, flag, value } from './support/command.ts'
import { databaseUrl } from './support/environment.ts'
import { count } from './support/screen.ts'

const queueName = z.string().regex(/^[a-z_][a-z0-9_]{0,62}$/, 'is no plain schema name').superRefine((name, context) => {
  const fault = queueSchemaFault(name)
  if (fault !== undefined) context.addIssue(fault)
})

/** `pg-hubspot install`. */
export const install = command({
  name: 'install',
  summary: 'Installs pg-hubspot in the database, or brings it up to date.',
  about: `
Makes the schemas hubspot and hubspot_private, and graphile_worker where it is missing, in one transaction. Run it again after
each upgrade of the package; many at once do no harm. The role in DATABASE_URL has to be allowed to create schemas in the
database, and needs no more: no superuser, no extension. PostgreSQL 15 to 18.`,
  options: {
    'queue-schema': value('NAME', queueName, 'Where the queue lives; graphile_worker by default. Chosen once.'),
    json: flag('Print what was done as JSON.'),
  },
  async run({ options: { 'queue-schema': queueSchema, json }, env }) {
    const done = await migrate(databaseUrl(env), { ...(queueSchema !== undefined && { queueSchema }) })
    const { from, to, isCodeApplied } = done
    if (queueSchema !== undefined && done.queueSchema !== queueSchema) {
      throw new Misuse('SH104', `the queue lives in schema ${done.queueSchema} since the first install`, {
        hint: 'Leave --queue-schema out; to move it: pg-hubspot uninstall --yes, then install.',
      })
    }
    if (json) {
      print({ from, to, files: done.files, changed: isCodeApplied, queue_schema: done.queueSchema })
    } else if (from === null) {
      console.log(`Installed pg-hubspot ${to}; the queue is in schema ${done.queueSchema}.
Next:  npx pg-hubspot connect    gives it a token
       npx pg-hubspot worker     and keep that running
       select hubspot.track('contacts');`)
    } else {
      const news = from === to ? `Brought the functions of pg-hubspot ${to} up to date.` : `Brought pg-hubspot from ${from} to ${to}.`
      console.log(isCodeApplied ? news : `pg-hubspot ${to} is installed and up to date.`)
    }
  },
})

/** `pg-hubspot uninstall`. */
export const uninstall = command({
  name: 'uninstall',
  summary: 'Removes pg-hubspot and all of its tables from the database.',
  about: `
Drops the schemas hubspot and hubspot_private with everything in them, mirror tables too. The queue's schema stays, since others
may use it; our jobs leave it. HubSpot is not touched. Where others made something in schema hubspot, or a view or foreign key that
rests on it, it says what and removes nothing, unless told to. Asks on a terminal; elsewhere it needs --yes.`,
  options: {
    yes: flag('Do not ask.'),
    'with-others': flag('Drop what others made in these schemas, or upon them, too.'),
    json: flag('Print what was done as JSON.'),
  },
  async run({ options: { yes, 'with-others': withOthers, json }, env }) {
    const url = databaseUrl(env)
    const found = await look(url)
    if (!found.is_installed) {
      if (json) print({ removed: false, database: found.database })
      else console.log(`pg-hubspot is not installed in database ${found.database}.`)
      return
    }
    if (!yes) await confirm(found)
    await remove(url, { withOthers })
    if (json) print({ removed: true, database: found.database, tables: found.tables })
    else console.log(`Removed pg-hubspot and ${count(found.tables)} mirrored ${found.tables === 1 ? 'table' : 'tables'} from database ${found.database}.`)
  },
})

type Found = { database: string; is_installed: boolean; tables: number }

async function look(url: string): Promise<Found> {
  await using db = openDatabase(url, { max: 1, applicationName: 'pg-hubspot uninstall' })
  const { rows } = await db.pool.query<Found>(
    `select current_database() as database, count(n.oid) > 0 as is_installed,
       (select count(*)::integer from pg_class c join pg_namespace m on m.oid = c.relnamespace
        where m.nspname = 'hubspot' and c.relkind = 'r'
          and exists (select from pg_attribute a where a.attrelid = c.oid and a.attname = '_synced_at')) as tables
     from pg_namespace n where n.nspname in ('hubspot', 'hubspot_private')`,
  )
  return rows[0]!
}

async function confirm({ database, tables }: Found): Promise<void> {
  const refused = new Misuse('SH104', 'nothing was removed', { hint: 'Say --yes to remove pg-hubspot and its tables.' })
  if (!process.stdin.isTTY) throw refused
  const ask = createInterface({ input: process.stdin, output: process.stderr })
  const answer = await ask.question(`Remove pg-hubspot and ${tables} mirrored tables from database ${database}? Type its name: `)
  ask.close()
  if (answer.trim() !== database) throw refused
}

function print(result: unknown): void {
  console.log(JSON.stringify(result))
}
