import { Client } from '@hubspot/api-client'
import type { House } from './house.ts'

/** What a sync came to: records a second, and Node's CPU a record, µs. */
export type Measured = { rate: number; cpu: number }

/** What is read: of one object, these properties; no more than so many pages where that is said. */
export type NaiveRead = {
  url: string
  token: string
  objectTypeId: string
  properties: readonly { name: string; type: string }[]
  mostPages?: number
}

const TYPES: Record<string, string> = { number: 'numeric', bool: 'boolean', datetime: 'timestamptz' }

/** The sync that one writes first: the SDK's typed pages, one after another, and a prepared insert a row, a transaction a page. */
export async function naiveSync(house: House, { url, token, objectTypeId, properties, mostPages = Infinity }: NaiveRead): Promise<Measured> {
  const names = properties.map(({ name }) => name)
  await house.client.query('drop table if exists public.naive')
  const columns = ['id bigint primary key', '_created_at timestamptz', '_updated_at timestamptz',
    ...properties.map(({ name, type }) => `${name} ${TYPES[type] ?? 'text'}`)]
  await house.client.query(`create table public.naive (${columns.join(', ')})`)
  const insert = {
    name: `naive ${Math.random()}`,
    text: `insert into public.naive values (${['id', 'created', 'updated', ...names].map((_, i) => `$${i + 1}`).join(', ')})`,
  }
  const client = new Client({ accessToken: token, basePath: url })
  const [cpu, at] = [process.cpuUsage(), performance.now()]
  let records = 0
  for (let after: string | undefined = '', pages = 0; after !== undefined && pages < mostPages; pages += 1) {
    const page = await client.crm.objects.basicApi.getPage(objectTypeId, 100, after === '' ? undefined : after, names)
    await house.client.query('begin')
    for (const { id, createdAt, updatedAt, properties: values } of page.results) {
      await house.client.query({ ...insert, values: [id, createdAt, updatedAt, ...names.map((name) => values[name] || null)] })
    }
    await house.client.query('commit')
    records += page.results.length
    after = page.paging?.next?.after
  }
  const used = process.cpuUsage(cpu)
  return { rate: (records * 1_000) / (performance.now() - at), cpu: (used.user + used.system) / records }
}
