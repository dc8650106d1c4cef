import type { Figure } from './support/figure.ts'
import { type House, median, openHouse } from './support/house.ts'
import { type Measured, naiveSync } from './support/naive.ts'
import { makeProperties } from './support/pages.ts'
import { OBJECT, spawnReplay } from './support/replay.ts'
import { connect, loadWhole, workerHere } from './support/worker.ts'

const RECORDS = 20_000
const ROUNDS = 5
const PROPERTIES = makeProperties(100)

/**
 * A first load over HTTP of 100 properties, no latency, beside the sync that one writes first: getPage, row inserts. Both read a
 * server that has its answers ready, so that the two cores are the worker's and Postgres' own.
 */
export async function run(): Promise<Figure[]> {
  await using house = await openHouse()
  await using hubspot = await spawnReplay({ records: RECORDS, properties: PROPERTIES.length })
  await connect(house, hubspot)
  await using _ = await workerHere(house, hubspot)
  const ours: Measured[] = []
  const naives: Measured[] = []
  // The first round warms them up.
  for (let round = 0; round <= ROUNDS; round += 1) {
    const cpu = process.cpuUsage()
    const seconds = await loadWhole(house, OBJECT)
    const used = process.cpuUsage(cpu)
    const naive = await naiveSync(house, { ...hubspot, properties: PROPERTIES })
    await compare(house)
    await house.db.pool.query('select hubspot.pause($1), hubspot.untrack($1, drop_table => true)', [OBJECT])
    await house.db.pool.query(`delete from hubspot_private.runs where object = $1`, [OBJECT])
    if (round === 0) continue
    ours.push({ rate: RECORDS / seconds, cpu: (used.user + used.system) / RECORDS })
    naives.push(naive)
  }
  const of = (list: Measured[], key: 'rate' | 'cpu') => median(list.map((one) => one[key]))
  return [
    { number: 3, name: 'Node CPU a record, of a naive sync', value: median(ours.map((one, i) => one.cpu / naives[i]!.cpu)), unit: '×', goal: { most: 0.2 },
      from: `${of(ours, 'cpu').toFixed(1)} µs, naive ${of(naives, 'cpu').toFixed(1)}` },
    { number: 4, name: 'end to end, no latency, 100 properties', value: of(ours, 'rate'), unit: 'rows/s', goal: { least: 10_000 },
      from: `naive ${Math.round(of(naives, 'rate'))}; client, server and Postgres on ${navigator.hardwareConcurrency} cores` },
  ]
}

/** Both must have come to the same rows. */
async function compare(house: House): Promise<void> {
  const columns = ['id', '_created_at', '_updated_at', ...PROPERTIES.map(({ name }) => name)].join(', ')
  const { rows } = await house.client.query<{ n: number; differ: number }>(
    `select count(*)::integer as n, (select count(*)::integer from (select ${columns} from hubspot.${OBJECT} except select ${columns} from public.naive) x) as differ
     from hubspot.${OBJECT}`)
  if (rows[0]!.n !== RECORDS || rows[0]!.differ !== 0) throw new Error(`${rows[0]!.n} records were loaded, ${rows[0]!.differ} of them otherwise`)
}
