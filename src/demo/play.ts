import { EXIT } from '../cli/support/command.ts'
import { count, paint } from '../cli/support/screen.ts'
import { formatDuration, sleep } from '../lib/time.ts'
import { compareAll } from './compare.ts'
import { type Arrival, arrivals, createControl, makeEdits } from './edits.ts'
import { connect, watchLoad } from './load.ts'
import type { Stage } from './stage.ts'

const OBJECTS = ['contacts', 'companies', 'deals', 'vehicle']
/** Edits, creations included, of the unattended demo. */
const EDITS = 48
/** How long the last edit may take to arrive before the comparison says what is missing, ms. */
const PATIENCE_MS = 25_000

/** The demo with the sandbox: load, then edits that arrive; with `isOnce` a comparison at the end. */
export async function play(stage: Stage): Promise<number> {
  const { sandbox, isOnce, did, sql } = stage
  if (sandbox === undefined) throw new TypeError('the demo has a sandbox')
  await connect(stage, sandbox.token)
  // The sandbox's search is late by seconds; HubSpot's by minutes at times, hence 10 and 60 minutes by default.
  await sql(`select hubspot.configure('settle_windows', '["5 seconds"]')`)
  for (const object of OBJECTS) await sql('select hubspot.track($1)', [object], `select hubspot.track('${object}')`)
  did('connected')
  await watchLoad(stage)
  for (const object of OBJECTS) {
    await stage.db.pool.query(`select hubspot.schedule($1, 'poll', every => '2 seconds'), hubspot.schedule($1, 'settle', every => '3 seconds')`, [object])
  }
  stage.picture.above(`  ${paint('cyan', "select hubspot.schedule('contacts', 'poll', every => '2 seconds');")}  ${paint('gray', '-- and so on; 10 seconds by default')}`)
  const control = createControl(sandbox.controlUrl)
  if (isOnce) return await check(stage, control)
  invite(stage)
  await forever(stage, control)
  return EXIT.ok
}

async function check(stage: Stage, control: ReturnType<typeof createControl>): Promise<number> {
  const { picture, signal, db, did } = stage
  const edits = await makeEdits(stage, control, OBJECTS, EDITS)
  picture.above(`  ${count(edits.length)} records changed or created in HubSpot`)
  const arrived: Arrival[] = []
  const until = performance.now() + PATIENCE_MS
  for await (const one of arrivals(stage, edits, until)) arrived.push(one)
  const late = arrived.map(({ ms }) => ms).toSorted((a, b) => a - b)
  if (late.length > 0) {
    did(`${arrived.length} of ${edits.length} arrived, half within ${formatDuration(late[late.length >> 1]!)}, the last ${formatDuration(late.at(-1)!)} after its change`)
  }
  signal.throwIfAborted()
  const isEqual = await compareAll(db, control, OBJECTS, (line) => picture.above(line))
  did(isEqual ? 'the tables equal the sandbox, to the last value' : 'the tables differ from the sandbox')
  return isEqual && arrived.length === edits.length ? EXIT.ok : EXIT.error
}

async function forever(stage: Stage, control: ReturnType<typeof createControl>): Promise<void> {
  const { picture, signal, worker } = stage
  // A worker that gives up ends the demo with its error.
  const failed = worker.done.then(() => signal.throwIfAborted())
  failed.catch(() => undefined)
  while (!signal.aborted) {
    const edits = await makeEdits(stage, control, OBJECTS, 1 + Math.floor(Math.random() * 2))
    for await (const arrival of arrivals(stage, edits, performance.now() + 120_000)) picture.above(lineOf(arrival))
    await Promise.race([sleep(1_500 + Math.random() * 1_500, signal), failed])
  }
  signal.throwIfAborted()
}

function lineOf({ edit, ms }: Arrival): string {
  const { object, id, property, from, to } = edit
  const what = property === undefined ? paint('green', 'created') : `${property} ${paint('gray', from ?? 'null')} → ${paint('bold', to ?? 'null')}`
  return `  ${new Date().toTimeString().slice(0, 8)}  ${object} ${id}  ${what}  ${paint('gray', `arrived ${formatDuration(ms)} after it changed in HubSpot`)}`
}

function invite({ picture, databaseUrl, env }: Stage): void {
  // A password of the user's own is not shown; that of the demo's server dies with it.
  const target = env.DATABASE_URL === undefined ? `"${databaseUrl}"` : '"$DATABASE_URL"'
  picture.above(`
Try it, in another terminal:
  ${paint('bold', `psql ${target}`)}
  select dealname, amount, dealstage, _synced_at from hubspot.deals order by _synced_at desc limit 5;
  table hubspot.status;
or  ${paint('bold', `DATABASE_URL=${target} npx pg-hubspot status --watch`)}

Now records change in HubSpot every few seconds; Ctrl-C ends it.`)
}

