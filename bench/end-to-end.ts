import { Client } from '@hubspot/api-client'
import type { Figure } from './support/figure.ts'
import { type House, median, openHouse } from './support/house.ts'
import { type SandboxProcess, spawnSandbox } from './support/sandbox.ts'
import { connect, loadWhole, workerHere } from './support/worker.ts'

const RECORDS = 10_000
const ROUNDS = 3
const OBJECT = 'machine'

/** A first load over HTTP of 100 properties, no latency, beside the sync that one writes first: getPage, row inserts. */
export async function run(): Promise<Figure[]> {
  await using house = await openHouse()
  await using sandbox = await spawnSandbox()
  const { objectTypeId } = await sandbox.control<{ objectTypeId: string }>('POST', '/objects', { name: OBJECT })
  const { results: base } = await properties(sandbox, objectTypeId)
  await sandbox.control('POST', `/seed/${OBJECT}`, { count: RECORDS, properties: 100 - base.length })
  await connect(house, sandbox)
  await using _ = await workerHere(house, sandbox)
  const ours: Measured[] = []
  const naives: Measured[] = []
  for (let round = 0; round <= ROUNDS; round += 1) {
    const cpu = process.cpuUsage()
    const seconds = await loadWhole(house, OBJECT)
    const used = process.cpuUsage(cpu)
    const { rows } = await house.client.query<{ n: number }>(`select count(*)::integer as n from hubspot.${OBJECT}`)
    if (rows[0]!.n !== RECORDS) throw new Error(`${rows[0]!.n} records were loaded`)
    const naive = await naiveSync(house, sandbox, objectTypeId)
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

type Measured = { rate: number; cpu: number }
type Definitions = { results: { name: string; type: string }[] }

async function properties(sandbox: SandboxProcess, type: string): Promise<Definitions> {
  const answer = await fetch(`${sandbox.url}/crm/properties/2026-09/${type}`, { headers: { authorization: `Bearer ${sandbox.token}` } })
  return (await answer.json()) as Definitions
}

/** The SDK's typed pages, and a prepared insert for each row, a transaction a page. */
async function naiveSync(house: House, sandbox: SandboxProcess, type: string): Promise<Measured> {
  const { results } = await properties(sandbox, type)
  const names = results.map(({ name }) => name)
  const types: Record<string, string> = { number: 'numeric', bool: 'boolean', date: 'date', datetime: 'timestamptz' }
  await house.client.query('drop table if exists public.naive')
  await house.client.query(`create table public.naive (id bigint primary key, created_at timestamptz, updated_at timestamptz,
    ${results.map(({ name, type }) => `"${name}" ${types[type] ?? 'text'}`).join(', ')})`)
  const insert = {
    name: `naive ${Math.random()}`,
    text: `insert into public.naive values (${['id', 'created', 'updated', ...names].map((_, i) => `$${i + 1}`).join(', ')})`,
  }
  const client = new Client({ accessToken: sandbox.token, basePath: sandbox.url })
  const [cpu, at] = [process.cpuUsage(), performance.now()]
  for (let after: string | undefined = ''; after !== undefined; ) {
    const page = await client.crm.objects.basicApi.getPage(type, 100, after === '' ? undefined : after, names)
    await house.client.query('begin')
    for (const { id, createdAt, updatedAt, properties: values } of page.results) {
      await house.client.query({ ...insert, values: [id, createdAt, updatedAt, ...names.map((name) => values[name] || null)] })
    }
    await house.client.query('commit')
    after = page.paging?.next?.after
  }
  const used = process.cpuUsage(cpu)
  return { rate: (RECORDS * 1_000) / (performance.now() - at), cpu: (used.user + used.system) / RECORDS }
}
