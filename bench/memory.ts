import type { Figure } from './support/figure.ts'
import { openHouse } from './support/house.ts'
import { spawnSandbox } from './support/sandbox.ts'
import { connect, loadWhole, workerAlone } from './support/worker.ts'

/** BENCH_RECORDS=1000000 takes minutes. */
const MOST = Number(process.env['BENCH_RECORDS'] ?? 100_000)

/** A worker's peak memory over a first load of 100,000 records, and of more where asked for. */
export async function run(): Promise<Figure[]> {
  const peaks = new Map<number, { mb: number; pace: number }>()
  for (const records of new Set([100_000, MOST])) peaks.set(records, await peak(records))
  const { mb, pace } = peaks.get(MOST)!
  const figures: Figure[] = [
    { number: 10, name: `peak RSS of the worker over ${MOST.toLocaleString('en')} records`, value: mb, unit: 'MB', goal: { most: 200 }, from: '30 properties' },
  ]
  if (MOST > 100_000) {
    figures.push(
      { number: 10, name: 'the same, of that over 100,000', value: mb / peaks.get(100_000)!.mb, unit: '×', goal: { most: 1.15 }, from: `${Math.round(peaks.get(100_000)!.mb)} MB` },
      { number: 11, name: 'rows/s over the last 100,000, of the first', value: pace, unit: '×', goal: { least: 0.8 }, from: 'one run' },
    )
  }
  return figures
}

async function peak(records: number): Promise<{ mb: number; pace: number }> {
  await using house = await openHouse()
  await using sandbox = await spawnSandbox()
  await sandbox.control('POST', '/objects', { name: 'machine' })
  await sandbox.control('POST', '/seed/machine', { count: records, properties: 10 })
  await connect(house, sandbox)
  await using worker = await workerAlone(house, sandbox)
  await loadWhole(house, 'machine')
  const mb = worker.peakMb()
  // When each row was written tells the pace at both ends.
  const { rows } = await house.client.query<{ pace: number }>(
    `with s as (select extract(epoch from _synced_at)::float8 as at, row_number() over (order by _synced_at) as n from hubspot.machine)
     select (max(at) filter (where n <= 100000) - min(at)) / (max(at) - min(at) filter (where n > $1::bigint - 100000)) as pace from s`, [records])
  return { mb, pace: rows[0]!.pace }
}
