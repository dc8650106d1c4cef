import { streamsDue } from '../src/db/calls.ts'
import { createClient } from '../src/hubspot/client.ts'
import { createLog } from '../src/lib/log.ts'
import { startSandbox } from '../src/sandbox/index.ts'
import { checkCredentials } from '../src/sync/credentials.ts'
import { runStream, type SyncDeps } from '../src/sync/step.ts'
import type { Figure } from './support/figure.ts'
import { openHouse } from './support/house.ts'
import { connect } from './support/worker.ts'

const MINUTE = 60_000
const OBJECTS = ['contacts', 'deals']
const CHANGES = 1_000

/** Calls an object makes in an hour when nothing changes, and what 1,000 changes add; by clocks that are moved, not waited for. */
export async function run(): Promise<Figure[]> {
  await using house = await openHouse()
  await using sandbox = await startSandbox({ frozen: true, objects: { contacts: 2_000, deals: 500 }, settings: { limits: false, lag: [500, 3_000] } })
  await using hubspot = createClient({ baseUrl: sandbox.url, token: () => sandbox.token })
  const { store } = sandbox
  const { pool } = house.db
  const shift = (ms: number) =>
    pool.query('update hubspot_private.installation set clock_shift = clock_shift + make_interval(secs => $1::float8 / 1000)', [ms])
  const deps: SyncDeps = {
    db: house.db, hubspot, log: createLog({ level: 'error' }), signal: new AbortController().signal, worker: 'bench', held: new Set(),
    sleep: async (ms) => void (await shift(ms)),
  }
  const pass = async (ms: number, stride: number) => {
    for (let left = ms; left > 0; left -= stride) {
      store.advance(stride)
      await shift(stride)
      for (let due = await streamsDue(house.db); due.length > 0; due = await streamsDue(house.db)) for (const key of due) await runStream(deps, key)
    }
  }
  await connect(house, sandbox)
  await checkCredentials({ ...deps, env: { baseUrl: sandbox.url } })
  for (const object of OBJECTS) await pool.query('select hubspot.track($1)', [object])
  await pool.query(`select hubspot.track_associations('deals', 'contacts')`)
  await pass(3 * 60 * MINUTE, MINUTE)

  const counted = async (what: () => Promise<void>) => {
    store.resetCalls()
    await what()
    const kinds = new Map<string, number>()
    for (const { kind } of store.calls()) kinds.set(kind, (kinds.get(kind) ?? 0) + 1)
    const all = [...kinds.values()].reduce((sum, n) => sum + n, 0)
    return { all, kinds: [...kinds].map(([kind, n]) => `${n} ${kind}`).join(', ') }
  }
  const quiet = await counted(() => pass(60 * MINUTE, 10_000))
  const changed = await counted(async () => {
    const ids = [...store.records('contacts')].slice(0, CHANGES).map(({ id }) => id)
    for (const [i, id] of ids.entries()) store.edit('contacts', id, { firstname: 'changed' }, { at: store.now() + i })
    await pass(60 * MINUTE, 10_000)
  })
  const polls = 60 * 60 / 10
  const least = CHANGES / 100 + CHANGES / 200
  return [
    { number: 12, name: 'calls of an object in a quiet hour', value: quiet.all / OBJECTS.length, unit: 'calls', goal: null,
      from: `least possible ${polls}, a poll every 10 s; of ${OBJECTS.length} objects and a pair: ${quiet.kinds}` },
    { number: 12, name: `further calls for ${CHANGES.toLocaleString('en')} changes`, value: changed.all - quiet.all, unit: 'calls', goal: null,
      from: `least possible ${least}, by pages of 200 and reads of 100; that hour: ${changed.kinds}` },
  ]
}
