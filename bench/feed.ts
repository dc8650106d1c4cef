import type { Figure } from './support/figure.ts'
import { median, openHouse, single } from './support/house.ts'
import { type MadeProperty, makePage, makeProperties } from './support/pages.ts'
import { continueStream, startLoad } from './support/tracked.ts'

const PAGES = 40
const ROUNDS = 5
/** How many columns of a changed record differ: a stage, a form, everything. */
const DIFFERING = [1, 10, 100]

/** A full read in which every record has changed, with the change feed and without, turn by turn on one table of 100 columns. */
export async function run(): Promise<Figure[]> {
  await using house = await openHouse()
  const properties = makeProperties(100)
  await using db = single(house)
  const load = await startLoad(db, 'deals', properties)
  for (let i = 0; i < PAGES; i += 1) await load.commit(makePage(properties, 1 + i * 100, i === PAGES - 1))
  await house.client.query('vacuum (analyze) hubspot.deals')
  await house.client.query('select hubspot_private.changes_keep()')
  let version = 0
  const measure = async (differing: number, isOn: boolean) => {
    version += 1
    await db.pool.query(`select hubspot.${isOn ? 'enable' : 'disable'}_changes('deals'), hubspot.resync('deals')`)
    const bodies = Array.from({ length: PAGES }, (_, i) => changedPage(properties, 1 + i * 100, { version, differing, isLast: i === PAGES - 1 }))
    const resync = await continueStream(db, { object: 'deals', stream: 'resync', range: 0 })
    // Else the first rows of a page after it are written whole, whoever's turn it is.
    await house.client.query('checkpoint')
    const [wal, at] = [await house.wal(), performance.now()]
    for (const body of bodies) await resync.commit(body)
    return { ms: performance.now() - at, wal: ((await house.wal()) - wal) / PAGES / 100 }
  }
  const figures: Figure[] = []
  for (const differing of DIFFERING) {
    const rounds: { on: { ms: number; wal: number }; off: { ms: number; wal: number } }[] = []
    // The first round warms up.
    for (let round = 0; round <= ROUNDS; round += 1) {
      const [off, on] = round % 2 === 0 ? [await measure(differing, false), await measure(differing, true)]
        : [await measure(differing, true), await measure(differing, false)].toReversed()
      if (round > 0) rounds.push({ off: off!, on: on! })
    }
    const { rows } = await house.client.query<{ changes: string; columns: string }>(
      `select count(*) as changes, avg((select count(*) from jsonb_object_keys(changed))) as columns from hubspot.changes`)
    if (Number(rows[0]!.changes) !== (ROUNDS + 1) * PAGES * 100) throw new Error(`${rows[0]!.changes} changes were written`)
    await house.client.query('truncate hubspot.changes')
    const each = (of: (one: (typeof rounds)[0]) => number) => median(rounds.map(of))
    const us = (ms: number) => Math.round((ms * 10) / PAGES)
    const name = `change feed, ${differing} of 100 columns changed`
    figures.push(
      { number: 7, name: `${name}: time of none`, value: each(({ on, off }) => on.ms / off.ms), unit: '×', goal: { most: 1.35 },
        from: `${us(each(({ on }) => on.ms))} µs a row, none ${us(each(({ off }) => off.ms))}; ${Number(rows[0]!.columns).toFixed(0)} columns a change` },
      { number: 7, name: `${name}: WAL a changed row over none`, value: each(({ on, off }) => on.wal - off.wal), unit: 'B', goal: { most: 1_400 },
        from: `${Math.round(each(({ on }) => on.wal))} B, none ${Math.round(each(({ off }) => off.wal))}` },
    )
  }
  return figures
}

/** The page of these ids with other values in so many columns. */
function changedPage(
  properties: readonly MadeProperty[], firstId: number,
  { version, differing, isLast }: { version: number; differing: number; isLast: boolean },
): Buffer {
  type Page = { results: { id: string; updatedAt: string; properties: Record<string, string | null> }[] }
  const parse = (body: Buffer) => JSON.parse(body.toString()) as Page
  const page = parse(makePage(properties, firstId, isLast))
  const others = parse(makePage(properties, firstId + version * 1_000_000)).results
  const names = properties.slice(0, differing).map(({ name }) => name)
  for (const [i, record] of page.results.entries()) {
    record.updatedAt = new Date(Date.parse(record.updatedAt) + version * 1_000).toISOString()
    for (const name of names) record.properties[name] = others[i]!.properties[name]!
    // At least one, and of a form's columns all.
    if (differing < properties.length) for (const name of names) record.properties[name] = valueAt(properties, name, version)
  }
  return Buffer.from(JSON.stringify(page))
}

function valueAt(properties: readonly MadeProperty[], name: string, version: number): string {
  const { type } = properties.find((property) => property.name === name)!
  switch (type) {
    case 'number':
      return String(version)
    case 'datetime':
      return new Date(1_600_000_000_000 + version * 60_000).toISOString()
    case 'bool':
      return version % 2 === 0 ? 'true' : 'false'
    default:
      return `value ${version}`
  }
}
