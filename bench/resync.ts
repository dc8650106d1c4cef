import type { Figure } from './support/figure.ts'
import { median, openHouse, single } from './support/house.ts'
import { makePage, makeProperties } from './support/pages.ts'
import { continueStream, startLoad } from './support/tracked.ts'

const PAGES = 200
const ROUNDS = 3

/** A full read of 20,000 records that have not changed: what it writes, by hand right after a checkpoint too. */
export async function run(): Promise<Figure[]> {
  await using house = await openHouse()
  const properties = makeProperties(100)
  await using db = single(house)
  const bodies = Array.from({ length: PAGES }, (_, i) => makePage(properties, 1 + i * 100, i === PAGES - 1))
  const load = await startLoad(db, 'deals', properties)
  const loading = performance.now()
  for (const body of bodies) await load.commit(body)
  const loadMs = performance.now() - loading
  await house.client.query('vacuum (analyze) hubspot.deals')
  const fingerprint = async () => (await house.client.query<{ md5: string }>(`select md5(string_agg(xmin::text || ctid::text, ',' order by id)) from hubspot.deals`)).rows[0]!.md5
  const before = await fingerprint()
  const measure = async (isAfterCheckpoint: boolean) => {
    await db.pool.query(`select hubspot.resync('deals')`)
    if (isAfterCheckpoint) await house.client.query('checkpoint')
    const [wal, at] = [await house.wal(), performance.now()]
    const resync = await continueStream(db, { object: 'deals', stream: 'resync', range: 0 })
    for (const body of bodies) await resync.commit(body)
    return { wal: ((await house.wal()) - wal) / PAGES / 100, ms: performance.now() - at }
  }
  const [checkpointed, plain] = [[], []] as [{ wal: number; ms: number }[], { wal: number; ms: number }[]]
  for (let round = 0; round < ROUNDS; round += 1) {
    plain.push(await measure(false))
    checkpointed.push(await measure(true))
  }
  const { rows: runs } = await house.client.query<{ updated: string; inserted: string; unchanged: string }>(
    `select sum(updated) as updated, sum(inserted) as inserted, sum(unchanged) as unchanged from hubspot.runs where stream = 'resync'`)
  const written = Number(runs[0]!.updated) + Number(runs[0]!.inserted) + ((await fingerprint()) === before ? 0 : 1)
  const speed = `${Math.round((PAGES * 100_000) / median(plain.map(({ ms }) => ms)))} records/s; the load ${Math.round((PAGES * 100_000) / loadMs)}`
  return [
    { number: 6, name: 'unchanged resync: WAL a record', value: median(plain.map(({ wal }) => wal)), unit: 'B', goal: { most: 10 }, from: speed },
    { number: 6, name: 'unchanged resync right after a checkpoint', value: median(checkpointed.map(({ wal }) => wal)), unit: 'B', goal: { most: 10 },
      from: 'the table vacuumed since its load' },
    { number: 6, name: 'unchanged resync: rows written', value: written, unit: 'rows', goal: { most: 0 }, from: `${runs[0]!.unchanged} found unchanged` },
  ]
}
