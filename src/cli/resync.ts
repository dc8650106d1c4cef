import { openDatabase } from '../db/database.ts'
import { command, duration, EXIT, flag, value } from './support/command.ts'
import { databaseUrl } from './support/environment.ts'
import { explain, follow } from './support/run.ts'

/** `pg-hubspot resync`. */
export const resync = command({
  name: 'resync',
  args: 'OBJECT',
  positionals: { least: 1, most: 1 },
  summary: 'Reads an object whole again, and writes what differs.',
  about: `
The same as select hubspot.resync('OBJECT'): a worker reads every record, compares values, and deletes what is gone. It begins when
the first load is over. With --wait it shows how far it is and returns when it is done: 0, 1 when it failed, 2 when the object is
parked or paused, or when so many rows are to be deleted that hubspot.confirm_deletes() has to say so.`,
  options: {
    wait: flag('Wait for its end.'),
    timeout: value('TIME', duration, 'With --wait: give up after this long; 1h by default. It goes on without you.'),
    json: flag('Print the run as JSON.'),
  },
  async run({ options: { wait, timeout = 3_600_000, json }, positionals: [object = ''], env }) {
    await using db = openDatabase(databaseUrl(env), { max: 2, applicationName: 'pg-hubspot resync' })
    const { rows } = await db.pool.query<{ id: string }>('select hubspot.resync($1) as id', [object])
    const { id } = rows[0]!
    if (!wait) {
      console.log(json ? JSON.stringify({ id: Number(id), object, state: 'queued' }) : `Run ${id} is queued: select * from hubspot.runs where id = ${id};`)
      return EXIT.ok
    }
    const run = await follow(db, id, timeout)
    const { obstacle: _, is_parked: __, is_paused: ___, held: ____, total: _____, ...figures } = run
    if (json) console.log(JSON.stringify({ ...figures, id: Number(run.id) }))
    return run.state === 'done' ? EXIT.ok : explain(run)
  },
})
