import { EXIT } from '../cli/support/command.ts'
import { paint } from '../cli/support/screen.ts'
import { printable } from '../lib/printable.ts'
import { formatDuration, sleep } from '../lib/time.ts'
import { connect, watchLoad } from './load.ts'
import type { Stage } from './stage.ts'

/** Standard objects that most accounts use; custom ones come from the account's catalogue. */
const STANDARD = ['contacts', 'companies', 'deals', 'tickets', 'products', 'line_items', 'quotes']

/** The demo with a real account: what the token may read, then what changes there. Reads only. */
export async function explore(stage: Stage): Promise<number> {
  const { env, isOnce, did, sql, picture } = stage
  did(await connect(stage, env.hubspot.token ?? ''))
  const objects = [...STANDARD, ...(await customObjects(stage))]
  for (const object of objects) await sql('select hubspot.track($1)', [object], `select hubspot.track('${object}')`)
  await leaveUnreadable(stage)
  const loaded = await watchLoad(stage)
  const isParked = loaded.some(({ state }) => state === 'parked')
  if (isOnce) return isParked ? EXIT.waits : EXIT.ok
  picture.above(`
Try it, in another terminal:
  ${paint('bold', `psql ${env.DATABASE_URL === undefined ? `"${stage.databaseUrl}"` : '"$DATABASE_URL"'}`)}
  table hubspot.status;

What changes in HubSpot shows here; Ctrl-C ends it.`)
  await watchChanges(stage)
  return EXIT.ok
}

/** Names of the account's custom objects, once its catalogue was read. */
async function customObjects({ db, signal }: Stage): Promise<string[]> {
  for (;;) {
    const { rows } = await db.pool.query<{ is_read: boolean; names: string[] }>(
      `select exists (select from hubspot.runs where object is null and stream = 'schema' and state = 'done') as is_read,
         (select coalesce(array_agg(object order by object), '{}') from hubspot.object_types where is_custom and archived_at is null) as names`,
    )
    if (rows[0]?.is_read === true) return rows[0].names
    await sleep(100, signal)
  }
}

/** What the token may not read, or the account does not have, is left out, and said. */
async function leaveUnreadable({ db, picture, signal }: Stage): Promise<void> {
  for (;;) {
    const { rows } = await db.pool.query<{ object: string; state: string; code: string | null; message: string | null }>(
      `select s.object, s.state, p.code, p.message from hubspot.status s
       left join hubspot.problems p on p.object = s.object and p.resolved_at is null and p.code in ('SH102', 'SH202', 'SH203', 'SH211')
       order by s.object`,
    )
    for (const { object, state, message } of rows.filter(({ code }) => code !== null)) {
      if (state !== 'parked') continue
      picture.above(`${paint('yellow', '!')} ${object} is left out: ${printable(message ?? '')}`)
      await db.pool.query('select hubspot.untrack($1, drop_table => true)', [object])
    }
    // Each has shown its first answer once it is past its definitions.
    if (rows.every(({ state }) => state !== 'waiting')) return
    await sleep(200, signal)
  }
}

/** Shows rows as they are written, object by object, when a run wrote any. */
async function watchChanges({ db, picture, signal, worker }: Stage): Promise<void> {
  const failed = worker.done.then(() => signal.throwIfAborted())
  failed.catch(() => undefined)
  const { rows: begin } = await db.pool.query<{ now: string }>('select clock_timestamp() as now')
  let since = begin[0]!.now
  for (;;) {
    await Promise.race([sleep(1_000, signal), failed])
    const { rows: wrote } = await db.pool.query<{ object: string; table_name: string; until: string }>(
      `select distinct r.object, t.table_name, clock_timestamp() as until
       from hubspot.runs r join hubspot.object_types t on t.object = r.object
       where r.inserted + r.updated > 0 and coalesce(r.finished_at, 'infinity') > $1::timestamptz - interval '2 seconds' and t.table_name is not null`,
      [since],
    )
    for (const { object, table_name } of wrote) {
      const { rows } = await db.pool.query<{ id: string; is_new: boolean; ms: number; at: string }>(
        `select id, _created_at = _updated_at as is_new, _synced_at::text as at,
           extract(epoch from _synced_at - _updated_at)::double precision * 1000 as ms
         from hubspot.${quote(table_name)} where _synced_at > $1::timestamptz order by _synced_at limit 20`,
        [since],
      )
      for (const { id, is_new, ms, at } of rows) {
        const late = ms >= 0 ? `${formatDuration(ms)} after HubSpot's date` : 'at once'
        picture.above(`  ${at.slice(11, 19)}  ${object} ${id}  ${paint('green', is_new ? 'created' : 'changed')}  ${paint('gray', late)}`)
      }
    }
    if (wrote[0] !== undefined) since = wrote[0].until
  }
}

const quote = (name: string) => `"${name.replaceAll('"', '""')}"`
