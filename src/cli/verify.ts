import { openDatabase } from '../db/database.ts'
import { printable } from '../lib/printable.ts'
import { command, duration, EXIT, flag, value } from './support/command.ts'
import { databaseUrl } from './support/environment.ts'
import { explain, follow, type Run } from './support/run.ts'
import { count } from './support/screen.ts'

type Audit = { object: string; run_id: number; compared: number; missing: number; extra: number; different: number; repaired: number | null; examples: unknown }

/** `pg-hubspot verify`. */
export const verify = command({
  name: 'verify',
  args: '[OBJECT]',
  positionals: { least: 0, most: 1 },
  summary: 'Compares tables with HubSpot, record by record, and repairs what differs.',
  about: `
The same as select hubspot.verify('OBJECT'), for one object or for all that are tracked: a worker reads every record at low priority
and compares ids, modified dates and values. What HubSpot changed after the table was last complete is on its way and counts as
no difference. Returns 0 when nothing differed, 1 when something did, or failed, and 2 when no object is tracked, the object is parked
or paused, or so many rows are to be deleted that hubspot.confirm_deletes() has to say so. The results stay in hubspot.audits.`,
  options: {
    timeout: value('TIME', duration, 'Give up after this long; 1h by default. It goes on without you.'),
    json: flag('Print the audits as JSON, one object a line.'),
  },
  async run({ options: { timeout = 3_600_000, json }, positionals: [object], env }) {
    await using db = openDatabase(databaseUrl(env), { max: 2, applicationName: 'pg-hubspot verify' })
    const { rows: runs } = await db.pool.query<{ id: string }>(
      object === undefined
        ? 'select hubspot.verify(o.object) as id from hubspot.object_types o where o.is_tracked order by o.object'
        : 'select hubspot.verify($1) as id',
      object === undefined ? [] : [object],
    )
    if (runs.length === 0) {
      process.stderr.write("pg-hubspot: nothing was compared: no object is tracked\n  select hubspot.track('contacts');\n")
      return EXIT.waits
    }
    let code: number = EXIT.ok
    for (const { id } of runs) {
      const run = await follow(db, id, timeout)
      if (run.state !== 'done') code = Math.max(code, explain(run))
      const { rows } = await db.pool.query<Audit>(
        `select object, run_id::integer, compared::integer, missing::integer, extra::integer, different::integer, repaired::integer, examples
         from hubspot.audits where run_id = $1`, [id])
      for (const audit of rows) {
        console.log(json ? JSON.stringify(audit) : printable(line(audit, run)))
        if (audit.missing + audit.extra + audit.different > 0) code = Math.max(code, EXIT.error)
      }
    }
    return code
  },
})

function line({ object, compared, missing, extra, different, repaired }: Audit, { state, held, is_paused, is_parked }: Run): string {
  const found = missing + extra + different
  const isOver = state === 'done' || held !== null
  const soFar = isOver ? '' : ` so far; it is ${is_paused ? 'paused' : is_parked ? 'parked' : state}`
  if (found === 0) return `${object}: ${count(compared)} compared${isOver ? ', nothing differs' : soFar}`
  const waits = held === null ? '' : '; the rest waits for hubspot.confirm_deletes()'
  return `${object}: ${count(compared)} compared, ${count(missing)} missing, ${count(extra)} extra, ${count(different)} different${isOver ? `; ${count(repaired ?? 0)} repaired` : soFar}${waits}`
}
