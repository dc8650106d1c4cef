import { setTimeout as sleep } from 'node:timers/promises'
import type { Figure } from './support/figure.ts'
import { type House, openHouse } from './support/house.ts'
import { naiveSync } from './support/naive.ts'
import { makeProperties } from './support/pages.ts'
import { OBJECT, type Replay, spawnReplay } from './support/replay.ts'
import { workerAlone } from './support/worker.ts'

const PROPERTIES = makeProperties(100)
const RECORDS = 110_000
/** An account's burst limit: 190 calls in any 10 s, of 100 records each. */
const [LIMIT, PERIOD_MS] = [190, 10_000]
const CEILING = (LIMIT * 100 * 1_000) / PERIOD_MS
/** ms from request to answer. */
const LATENCY = [150, 350] as const
const MEAN_LATENCY = (LATENCY[0] + LATENCY[1]) / 2
/** What is counted, seconds, after so many from the first page. */
const [FROM, FOR] = [10, 30]
const NAIVE_PAGES = 40

/**
 * One object's first load alone, at the pace that the account allows. A call takes a quarter of a second, so that one after
 * another, as the sync that one writes first asks them, is a fifth of that pace.
 */
export async function run(): Promise<Figure[]> {
  await using house = await openHouse()
  await using hubspot = await spawnReplay({
    records: RECORDS, properties: PROPERTIES.length, latency: LATENCY, limit: { burst: LIMIT, period: PERIOD_MS }, gzip: true,
  })
  const { rate, whole, share, calls, spread, parts, refused } = await measure(house, hubspot)
  const naive = await naiveSync(house, { ...hubspot, properties: PROPERTIES, mostPages: NAIVE_PAGES })
  const reachable = PERIOD_MS / (PERIOD_MS + spread)
  return [
    { number: 9, name: 'one object alone, 250 ms a call: use of W/(W+J)', value: rate / CEILING / reachable, unit: '×', goal: { least: 0.98 },
      from: `${Math.round(rate)} records/s of ${CEILING}, ${Math.round(whole)} from track to done; J ${spread.toFixed(0)} ms: ${(reachable * 100).toFixed(1)} % can be had; of calls ${(calls * PERIOD_MS / 1_000 / LIMIT / reachable).toFixed(3)}; ${parts.toFixed(1)} parts, ${((calls * MEAN_LATENCY) / 1_000).toFixed(1)} calls on their way` },
    { number: 9, name: 'the same, of a naive sync', value: rate / naive.rate, unit: '×', goal: null, from: `naive ${Math.round(naive.rate)} records/s` },
    { number: 9, name: 'Node CPU meanwhile', value: share, unit: 'cores', goal: { most: 0.3 },
      from: `${Math.round((share / rate) * 1e6)} µs a record, naive ${Math.round(naive.cpu)}` },
    { number: 9, name: '429s', value: refused, unit: 'calls', goal: { most: 0 }, from: `${LIMIT} in any ${PERIOD_MS / 1_000} s` },
  ]
}

/** `rate` in the middle of the load, `whole` from end to end, records/s; `share`: of a core; `calls`: a second; `spread`: J, ms; `parts`: read side by side. */
type Load = { rate: number; whole: number; share: number; calls: number; spread: number; parts: number; refused: number }

async function measure(house: House, hubspot: Replay): Promise<Load> {
  const { pool } = house.db
  await pool.query('select hubspot.connect(access_token => $1)', [hubspot.token])
  await using worker = await workerAlone(house, hubspot)
  await pool.query('select hubspot.track($1)', [OBJECT])
  const loadOf = async () =>
    (await pool.query<{ seconds: number | null; rows_read: string }>(
      `select extract(epoch from finished_at - started_at)::float8 as seconds, rows_read from hubspot.runs where object = $1 and stream = 'backfill'`, [OBJECT])).rows[0]
  while (Number((await loadOf())?.rows_read ?? 0) === 0) await sleep(50)
  await sleep(FROM * 1_000)
  const [cpu, at, { answered }] = [house.cpu(worker.pid), performance.now(), await hubspot.counts()]
  const looks: { parts: number; spread: number }[] = []
  for (let second = 0; second < FOR; second += 1, await sleep(Math.max(at + second * 1_000 - performance.now(), 0))) {
    const { rows } = await pool.query<{ parts: number; spread: number }>(
      `select (select count(*)::integer from hubspot_private.streams where object = $1 and stream = 'backfill' and run_id is not null) as parts,
         (select spread_ms::float8 from hubspot.quota where budget = 'burst') as spread`, [OBJECT])
    looks.push(rows[0]!)
  }
  const ms = performance.now() - at
  const share = (house.cpu(worker.pid) - cpu) / 1_000 / ms
  const calls = (((await hubspot.counts()).answered - answered) * 1_000) / ms
  let seconds: number | null = null
  for (; seconds === null; await sleep(200)) seconds = (await loadOf())!.seconds
  const { rows: counted } = await pool.query<{ records: number }>(
    `select count(*) filter (where t._synced_at > s.at and t._synced_at <= s.at + make_interval(secs => $2))::integer as records
     from hubspot.${OBJECT} t, (select min(_synced_at) + make_interval(secs => $1) as at from hubspot.${OBJECT}) s`, [FROM, FOR])
  return {
    rate: counted[0]!.records / FOR, whole: RECORDS / seconds, share, calls,
    spread: mean(looks.map((look) => look.spread)), parts: mean(looks.map((look) => look.parts)),
    refused: (await hubspot.counts()).refused,
  }
}

const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length
