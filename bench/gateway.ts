import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import type { Figure } from './support/figure.ts'
import { median, openHouse } from './support/house.ts'
import { workerAlone } from './support/worker.ts'

const ROWS = 100_000
const SELECTS = 2_000
const SESSIONS = 2_000
const AT_ONCE = 20

/** Without a table nothing is asked of HubSpot or looked up: what is left is the relay. */
const ONE = `select $1::bigint as id, 'thing' as name`
const ALL = `select n as id, 'thing ' || n as name, n * 1.5 as amount from generate_series(1, ${ROWS}) n`

/** What the gateway costs as a relay. */
export async function run(): Promise<Figure[]> {
  await using house = await openHouse()
  await using worker = await workerAlone(house, { url: 'http://127.0.0.1:9', token: '' }, { PG_HUBSPOT_GATEWAY: '127.0.0.1:0' })
  const port = /"the gateway listens".*?"port":(\d+)/.exec(worker.log())![1]!
  const through = Object.assign(new URL(house.url), { port }).href
  const rss = () => Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${worker.pid}/status`, 'utf8'))![1]) / 1024

  const [straight, gateway] = await Promise.all([connect(house.url), connect(through)])
  const took = { straight: [] as number[], gateway: [] as number[], scanStraight: [] as number[], scanGateway: [] as number[] }
  for (let n = 0; n < SELECTS; n += 1) {
    const select = (client: pg.Client) => client.query(ONE, [n])
    took.straight.push(await timed(() => select(straight)))
    took.gateway.push(await timed(() => select(gateway)))
  }
  for (let n = 0; n < 7; n += 1) {
    took.scanStraight.push(await timed(() => straight.query(ALL)))
    took.scanGateway.push(await timed(() => gateway.query(ALL)))
  }
  await Promise.all([straight.end(), gateway.end()])

  const perSecond = async (url: string) => {
    const clients = await Promise.all(Array.from({ length: AT_ONCE }, () => connect(url)))
    let left = 10_000
    const ms = await timed(() => Promise.all(clients.map(async (client) => {
      while (left-- > 0) await client.query(ONE, [left])
    })))
    await Promise.all(clients.map((client) => client.end()))
    return 10_000_000 / ms
  }
  const [manyStraight, manyGateway] = [await perSecond(house.url), await perSecond(through)]

  const sizes: number[] = []
  for (let n = 0; n < SESSIONS; n += AT_ONCE) {
    await Promise.all(Array.from({ length: AT_ONCE }, async () => {
      const client = await connect(through)
      await client.query(`${ALL} limit 100`)
      await client.end()
    }))
    sizes.push(rss())
  }
  // The last ones have said goodbye, and take a moment to go.
  await sleep(1_000)
  const { rows } = await house.client.query<{ n: number }>(`select count(*)::int as n from pg_stat_activity where application_name = 'bench'`)
  const quarter = sizes.length / 4
  const [early, late] = [Math.max(...sizes.slice(quarter, 2 * quarter)), Math.max(...sizes.slice(-quarter))]
  const [one, other] = [median(took.straight), median(took.gateway)]
  const [scan, scanThrough] = [median(took.scanStraight), median(took.scanGateway)]
  return [
    { number: 15, name: 'select of one row through the gateway, over straight', value: other - one, unit: 'ms', goal: { most: 1 }, from: `${other.toFixed(2)} and ${one.toFixed(2)} ms, median of ${SELECTS}` },
    { number: 15, name: `scan of ${ROWS.toLocaleString('en')} rows through the gateway, of straight`, value: scanThrough / scan, unit: '×', goal: null, from: `${scanThrough.toFixed(0)} and ${scan.toFixed(0)} ms` },
    { number: 15, name: `selects of one row a second, ${AT_ONCE} sessions`, value: manyGateway, unit: 'rows/s', goal: null, from: `straight ${Math.round(manyStraight).toLocaleString('en')}` },
    { number: 15, name: `RSS of the worker at the end of ${SESSIONS.toLocaleString('en')} sessions, of their second quarter`, value: late / early, unit: '×', goal: { most: 1.05 },
      from: `${late.toFixed(0)} and ${early.toFixed(0)} MB; ${rows[0]!.n} processes left behind` },
  ]
}

async function connect(connectionString: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString, application_name: 'bench' })
  await client.connect()
  return client
}

async function timed(what: () => Promise<unknown>): Promise<number> {
  const begun = performance.now()
  await what()
  return performance.now() - begun
}
