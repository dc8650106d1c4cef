import { copyIn } from './support/copy.ts'
import type { Figure } from './support/figure.ts'
import { type House, median, openHouse, single } from './support/house.ts'
import { makePage, makeProperties } from './support/pages.ts'
import { startLoad } from './support/tracked.ts'

const PAGES = 40
const ROUNDS = 5
const GOALS = new Map([[30, 50], [100, 65], [300, 50]])

/**
 * Page bytes to commit, beside one COPY of the same rows: speed, Postgres CPU and WAL a row.
 *
 * COPY is measured twice. With the documents beside the columns it reads what a page holds, JSON included, as the table of
 * the first measurements did, on which the goals rest. Without them it is handed the finished columns, and Postgres reads
 * no JSON at all: a bound that nothing which is given JSON can come near.
 */
export async function run(): Promise<Figure[]> {
  const figures: Figure[] = []
  for (const [columns, goal] of GOALS) {
    await using house = await openHouse()
    figures.push(...(await compare(house, columns, goal)))
  }
  return figures
}

type Measured = { rate: number; cpu: number; wal: number }

async function compare(house: House, columns: number, goal: number): Promise<Figure[]> {
  const properties = makeProperties(columns)
  await using db = single(house)
  const load = await startLoad(db, 'deals', properties)
  const loader = await db.pool.connect()
  const [loaderPid, copierPid] = [await house.pid(loader), await house.pid(house.client)]
  loader.release()
  await house.client.query(`create table public.columns (like hubspot.deals including all);
    create table public.documents (like hubspot.deals including all); alter table public.documents add column document jsonb`)
  const measure = async (pid: number, work: () => Promise<void>): Promise<Measured> => {
    const [wal, cpu, at] = [await house.wal(), house.cpu(pid), performance.now()]
    await work()
    const ms = performance.now() - at
    return { rate: (PAGES * 100_000) / ms, cpu: (house.cpu(pid) - cpu) / PAGES / 100, wal: ((await house.wal()) - wal) / PAGES / 100 }
  }
  const rounds: { load: Measured; documents: Measured; columns: Measured }[] = []
  let bytes = 0
  // The first round warms them up: catalogue caches, plans, files.
  for (let round = 0; round <= ROUNDS; round += 1) {
    const first = 1 + round * PAGES * 100
    const bodies = Array.from({ length: PAGES }, (_, i) => makePage(properties, first + i * 100))
    bytes = bodies[0]!.length
    const loaded = await measure(loaderPid, async () => {
      for (const body of bodies) await load.commit(body)
    })
    const lines = await copyLines(house, first)
    const values = bodies.flatMap((body) => (JSON.parse(body.toString()) as { results: { properties: object }[] }).results)
    const withDocuments = lines.map((line, i) => `${line}\t${JSON.stringify(values[i]!.properties).replaceAll('\\', '\\\\')}`)
    const asBuffer = (list: string[]) => Buffer.from(list.map((line) => `${line}\n`).join(''))
    const [plain, full] = [asBuffer(lines), asBuffer(withDocuments)]
    const documents = await measure(copierPid, () => copyIn(house.client, 'copy public.documents from stdin', full))
    const finished = await measure(copierPid, () => copyIn(house.client, 'copy public.columns from stdin', plain))
    if (round > 0) rounds.push({ load: loaded, documents, columns: finished })
  }
  const { rows: same } = await house.client.query<{ differ: string }>(
    'select count(*) as differ from (table hubspot.deals except table public.columns) x')
  if (same[0]!.differ !== '0') throw new Error('the tables differ')
  const of = (who: keyof (typeof rounds)[0], what: keyof Measured) => median(rounds.map((round) => round[who][what]))
  const ratio = (who: 'documents' | 'columns', what: keyof Measured) => median(rounds.map((round) => round.load[what] / round[who][what]))
  const from = (what: keyof Measured, unit: string) =>
    `${Math.round(of('load', what))} ${unit}; COPY ${Math.round(of('documents', what))}, of finished columns ${Math.round(of('columns', what))}`
  return [
    { number: 1, name: `load of COPY, ${columns} columns`, value: 100 * ratio('documents', 'rate'), unit: '%', goal: { least: goal },
      from: `${from('rate', 'rows/s')}: ${Math.round(100 * ratio('columns', 'rate'))} %; ${Math.round(bytes / 1024)} KiB a page` },
    { number: 2, name: `Postgres CPU of COPY's, ${columns} columns`, value: of('load', 'cpu') / of('documents', 'cpu'), unit: '×',
      goal: columns === 100 ? { most: 1.6 } : null, from: from('cpu', 'µs a row') },
    { number: 5, name: `WAL of finished columns' COPY, ${columns} columns`, value: ratio('columns', 'wal'), unit: '×', goal: { most: 1.1 },
      from: from('wal', 'B a row') },
  ]
}

/** The rows of a round as lines for COPY, in the table's order of columns. */
async function copyLines(house: House, first: number): Promise<string[]> {
  const { rows: columns } = await house.client.query<{ sql: string }>(
    `select string_agg(format(
       '(replace(replace(replace(t.%I::text, e''\\\\'', e''\\\\\\\\''), e''\\t'', ''\\t''), e''\\n'', ''\\n''), %s)', attname, attnum), ', ' order by attnum) as sql
     from pg_attribute where attrelid = 'hubspot.deals'::regclass and attnum > 0 and not attisdropped`)
  const { rows } = await house.client.query<{ line: string }>(
    `select string_agg(coalesce(v, '\\N'), e'\\t' order by n) as line
     from hubspot.deals t, lateral (values ${columns[0]!.sql}) x (v, n) where t.id >= $1 group by t.id order by t.id`, [first])
  return rows.map(({ line }) => line)
}
