import pg from 'pg'
import { createLive } from '../src/gateway/freshen.ts'
import { startGateway } from '../src/gateway/server.ts'
import { createClient } from '../src/hubspot/client.ts'
import { batchRead } from '../src/hubspot/objects.ts'
import { createLog } from '../src/lib/log.ts'
import { createLiveReads } from '../src/sync/live.ts'
import { compose } from '../src/worker.ts'
import type { Figure } from './support/figure.ts'
import { median, openHouse } from './support/house.ts'
import { spawnSandbox } from './support/sandbox.ts'
import { connect, loadWhole, workerHere } from './support/worker.ts'

const RECORDS = Number(process.env['BENCH_RECORDS'] ?? 100_000)
const SELECTS = 400
const SESSIONS = 20
/** What 1 ms over the direct table was of postgres_fdw straight to the database, where the goal comes from: 0.045 and 0.21 ms. */
const STUDY = 5

/** What a live table costs over the mirror's own, besides HubSpot's call. */
export async function run(): Promise<Figure[]> {
  await using house = await openHouse({ max_connections: '150' })
  await using sandbox = await spawnSandbox()
  await sandbox.control('POST', '/seed/contacts', { count: RECORDS })
  await connect(house, sandbox)
  await using _worker = await workerHere(house, sandbox)
  await loadWhole(house, 'contacts')
  const { pool } = house.db
  await pool.query(`select hubspot.schedule('contacts', s, every => '1 day') from unnest('{poll,settle,schema,archive}'::text[]) s`)
  await pool.query('vacuum analyze hubspot.contacts')
  const log = createLog({ level: 'error' })
  const stopping = new AbortController()
  const { db, deps } = await compose({ databaseUrl: house.url, hubspot: { baseUrl: sandbox.url }, log }, stopping.signal)
  const live = createLive({ db, reads: createLiveReads(deps), log })
  const gateway = await startGateway({ at: { host: '127.0.0.1', port: 0 } }, { databaseUrl: house.url, live, log })
  const hubspot = createClient({ baseUrl: sandbox.url, token: () => sandbox.token })
  await pool.query('select hubspot.enable_live($1, $2, $3)', [gateway.at.host, gateway.at.port, decodeURIComponent(new URL(house.url).password)])
  // The same table by postgres_fdw without us.
  const { hostname, port, pathname, username, password } = new URL(house.url)
  const options = (of: Record<string, string>) => Object.entries(of).map(([name, value]) => `${name} ${pg.escapeLiteral(value)}`).join()
  await pool.query(`create server straight foreign data wrapper postgres_fdw options (${options({ host: hostname, port, dbname: pathname.slice(1), fetch_size: '1000' })})`)
  await pool.query(`create user mapping for current_user server straight options (${options({ user: username, password: decodeURIComponent(password) })})`)
  await pool.query('create schema straight; import foreign schema hubspot limit to (contacts) from server straight into straight')
  const { rows: ids } = await pool.query<{ id: string }>('select id from hubspot.contacts order by random() limit $1', [SELECTS * 4])
  const { rows: [plan] } = await pool.query<{ plan: { type: string; properties: string[] } }>(`select hubspot_private.stream_plan('contacts') as plan`)
  const sessions = await Promise.all(Array.from({ length: SESSIONS }, async () => {
    const client = new pg.Client({ connectionString: house.url })
    client.on('error', () => undefined)
    await client.connect()
    await client.query('select from hubspot_live.contacts where id = $1', [ids[0]!.id])
    return client
  }))
  try {
    const one = sessions[0]!
    const ways: Record<string, (id: string) => Promise<unknown>> = {
      direct: (id) => one.query('select * from hubspot.contacts where id = $1', [id]),
      straight: (id) => one.query('select * from straight.contacts where id = $1', [id]),
      call: (id) => batchRead(hubspot, { type: plan!.plan.type, ids: [id], properties: plan!.plan.properties }),
      live: (id) => one.query('select * from hubspot_live.contacts where id = $1', [id]),
    }
    const took: Record<string, number[]> = { direct: [], straight: [], call: [], live: [], aged: [] }
    for (const { id } of ids.slice(0, SELECTS)) {
      for (const [name, way] of Object.entries(ways)) took[name]!.push(await timed(() => way(id)))
    }
    await pool.query(`select hubspot.set_max_age('contacts', '1 hour')`)
    for (const { id } of ids.slice(0, SELECTS)) took['aged']!.push(await timed(() => ways['live']!(id)))
    await pool.query(`select hubspot.set_max_age('contacts', null)`)
    const [direct, straight, call, fresh, aged] = ['direct', 'straight', 'call', 'live', 'aged'].map((name) => median(took[name]!)) as [number, number, number, number, number]
    const scans = { direct: [] as number[], live: [] as number[] }
    for (let i = 0; i < 5; i += 1) {
      scans.direct.push(await timed(() => one.query('select id, firstname, lastname, email, _updated_at from hubspot.contacts')))
      scans.live.push(await timed(() => one.query('select id, firstname, lastname, email, _updated_at from hubspot_live.contacts')))
    }
    let next = SELECTS
    const all = await timed(() => Promise.all(sessions.map(async (session) => {
      while (next < ids.length) await session.query('select * from hubspot_live.contacts where id = $1', [ids[next++]!.id])
    })))
    const from = `${fresh.toFixed(2)} ms live, ${direct.toFixed(2)} direct, ${call.toFixed(2)} the call alone; ${plan!.plan.properties.length} properties`
    return [
      { number: 15, name: 'live select by id over the direct table and the HubSpot call', value: fresh - direct - call, unit: 'ms', goal: { most: 1 }, from },
      { number: 15, name: 'the same with an answer that may be an hour old, over the direct table', value: aged - direct, unit: 'ms', goal: { most: 1 }, from: `${aged.toFixed(2)} ms` },
      { number: 15, name: 'the same, of postgres_fdw straight to the database', value: aged / straight, unit: '×', goal: { most: STUDY }, from: `${straight.toFixed(2)} ms straight` },
      { number: 15, name: 'the first without the HubSpot call, of postgres_fdw straight to the database', value: (fresh - call) / straight, unit: '×', goal: { most: STUDY }, from: `${(fresh - call).toFixed(2)} ms` },
      { number: 15, name: `live scan of ${RECORDS.toLocaleString('en')} rows, of the direct table's`, value: median(scans.live) / median(scans.direct), unit: '×', goal: null,
        from: `${median(scans.live).toFixed(0)} ms, a search included; direct ${median(scans.direct).toFixed(0)}` },
      { number: 15, name: `live selects by id, ${SESSIONS} sessions`, value: ((ids.length - SELECTS) / all) * 1_000, unit: 'rows/s', goal: null, from: `${ids.length - SELECTS} selects` },
    ]
  } finally {
    await Promise.all(sessions.map((session) => session.end()))
    await gateway.stop()
    stopping.abort()
    await hubspot.close()
    await deps.hubspot.close()
    await db.close()
  }
}

async function timed(what: () => Promise<unknown>): Promise<number> {
  const begun = performance.now()
  await what()
  return performance.now() - begun
}
