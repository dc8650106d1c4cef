import type { Figure } from './support/figure.ts'
import { openHouse } from './support/house.ts'
import { makeProperties } from './support/pages.ts'
import { OBJECT, spawnReplay } from './support/replay.ts'
import { connect, loadWhole, workerAlone } from './support/worker.ts'

/** BENCH_RECORDS=1000000 takes minutes. */
const MOST = Number(process.env['BENCH_RECORDS'] ?? 100_000)
const FEW = 100_000
/** Of a wide object, fewer: what matters is how large a page is. */
const WIDE = { properties: 400, records: 20_000 }
const PROPERTIES = 30

/** A worker's peak memory over a first load, in as many parts as one is read in at most and no budget in the way. */
export async function run(): Promise<Figure[]> {
  const few = await peak(FEW, PROPERTIES)
  const wide = await peak(WIDE.records, WIDE.properties)
  const figures: Figure[] = [
    { number: 10, name: `peak RSS of the worker over ${FEW.toLocaleString('en')} records`, value: few.mb, unit: 'MB', goal: { most: 200 },
      from: `${PROPERTIES} properties, up to ${few.parts} parts` },
    { number: 10, name: `the same at ${WIDE.properties} properties`, value: wide.mb, unit: 'MB', goal: { most: 200 },
      from: `${WIDE.records.toLocaleString('en')} records, pages of ${(wide.page / 1_048_576).toFixed(1)} MB` },
  ]
  if (MOST > FEW) {
    const many = await peak(MOST, PROPERTIES)
    figures.push(
      { number: 10, name: `peak RSS of the worker over ${MOST.toLocaleString('en')}`, value: many.mb, unit: 'MB', goal: { most: 200 }, from: `up to ${many.parts} parts` },
      { number: 10, name: `the same, of that over ${FEW.toLocaleString('en')}`, value: many.mb / few.mb, unit: '×', goal: { most: 1.15 }, from: `${Math.round(few.mb)} MB` },
      { number: 11, name: 'rows/s over the last 100,000, of the first', value: many.pace, unit: '×', goal: { least: 0.8 },
        from: `one run of ${Math.round(many.seconds)} s, ${Math.round(MOST / many.seconds).toLocaleString('en')} rows/s in all` },
    )
  }
  return figures
}

/** `mb`: the peak; `pace`: of the last 100,000 rows to that of the first; `page`: bytes of a page; `parts`: read side by side, at most. */
type Peak = { mb: number; pace: number; seconds: number; page: number; parts: number }

async function peak(records: number, properties: number): Promise<Peak> {
  await using house = await openHouse()
  await using hubspot = await spawnReplay({ records, properties, gzip: true })
  await connect(house, hubspot)
  await using worker = await workerAlone(house, hubspot)
  const seconds = await loadWhole(house, OBJECT)
  const mb = worker.peakMb()
  const names = makeProperties(properties).map(({ name }) => name)
  const page = (await (await fetch(`${hubspot.url}/crm/v3/objects/${hubspot.objectTypeId}?properties=${names.join(',')}`)).arrayBuffer()).byteLength
  const { rows: parts } = await house.client.query<{ parts: number }>(`select value::integer as parts from hubspot.settings where name = 'max_ranges'`)
  // When each row was written tells the pace at both ends.
  const { rows } = await house.client.query<{ pace: number }>(
    `with s as (select extract(epoch from _synced_at)::float8 as at, row_number() over (order by _synced_at) as n from hubspot.${OBJECT})
     select (max(at) filter (where n <= 100000) - min(at)) / (max(at) - min(at) filter (where n > $1::bigint - 100000)) as pace from s`, [records])
  return { mb, pace: rows[0]!.pace, seconds, page, parts: parts[0]!.parts }
}
