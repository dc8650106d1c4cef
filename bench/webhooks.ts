import { setTimeout as sleep } from 'node:timers/promises'
import { createLog } from '../src/lib/log.ts'
import { startWorker } from '../src/worker.ts'
import type { Figure } from './support/figure.ts'
import { openHouse } from './support/house.ts'
import { spawnSandbox } from './support/sandbox.ts'
import { loadWhole } from './support/worker.ts'

/** What a busy account sends, and a flood: events a second, for so many seconds. */
const BUSY = { rate: 100, seconds: 30 }
const FLOOD = { rate: 10_000 / 60, seconds: 60 }
const SECRET = 'client-secret-of-the-app'
/** A Professional account's own limits, and a HubSpot that is as far away as one is. */
const ACCOUNT = { limits: true, burst: 190, daily: 650_000, latency: [80, 160] }

/** From an edit in HubSpot to the row, by webhooks alone: polls are put off. */
export async function run(): Promise<Figure[]> {
  await using house = await openHouse()
  await using sandbox = await spawnSandbox()
  // Besides the thousand that it has.
  await sandbox.control('POST', '/seed/contacts', { count: FLOOD.rate * FLOOD.seconds - 1_000 })
  await house.db.pool.query('select hubspot.connect($1)', [sandbox.token])
  await using worker = await startWorker({
    databaseUrl: house.url, hubspot: { baseUrl: sandbox.url }, log: createLog({ level: 'error' }),
    web: { address: { host: '127.0.0.1', port: 0, isSpare: false }, clientSecret: SECRET },
  })
  await loadWhole(house, 'contacts')
  await house.db.pool.query(`select hubspot.schedule('contacts', s, every => '1 day') from unnest('{poll,settle,schema,archive}'::text[]) s`)
  await sleep(5_000)
  await sandbox.control('PATCH', '/settings', ACCOUNT)
  await house.db.pool.query(`select hubspot.set_quota('burst', 190), hubspot.set_quota('daily', 650000)`)
  const { rows: contacts } = await house.db.pool.query<{ id: string }>('select id from hubspot.contacts order by id')
  const ids = contacts.map(({ id }) => id)
  return [...(await paced(BUSY)), ...(await paced(FLOOD))]

  async function paced({ rate, seconds }: typeof BUSY): Promise<Figure[]> {
    const count = Math.round(rate * seconds)
    await sandbox.control('PUT', '/webhooks', { url: `${worker.url()}/webhooks/hubspot`, clientSecret: SECRET })
    await sandbox.control('DELETE', '/calls')
    // One event a request, at an even pace: the most requests that so many events can be.
    const begun = performance.now()
    const since = Date.now()
    const edits = ids.slice(0, count).map(async (id, at) => {
      await sleep(Math.max(begun + (at * 1_000) / rate - performance.now(), 0))
      await sandbox.control('PATCH', '/records/contacts', { ids: [id], properties: { firstname: String(Date.now()) } })
    })
    await Promise.all(edits)
    const arrived = async () =>
      (await house.db.pool.query<{ ms: number }>(
        `select extract(epoch from _synced_at)::float8 * 1000 - firstname::float8 as ms from hubspot.contacts
         where firstname ~ '^[0-9]{13}$' and firstname::float8 >= $1 order by 1`, [since])).rows.map(({ ms }) => ms)
    for (const until = performance.now() + 60_000; (await arrived()).length < count; ) {
      if (performance.now() > until) throw new Error('not every event came to a row')
      await sleep(100)
    }
    const late = await arrived()
    const { counts } = await sandbox.control<{ counts: { kind: string; status: number; count: number }[] }>('GET', '/calls')
    const sent = await sandbox.control<{ events: number; requests: number }>('GET', '/webhooks')
    const calls = counts.map(({ kind, status, count: n }) => `${n} ${kind}${status < 300 ? '' : ` (${status})`}`).join(', ')
    const pace = `${Math.round(rate)} events a second`
    const from = `${sent.events} events in ${sent.requests} requests; HubSpot 80 to 160 ms away, 190 calls a 10 s; ${calls}`
    return [
      { number: 13, name: `webhook to row, p50, ${pace}`, value: late[Math.floor(count / 2)]!, unit: 'ms', goal: null, from },
      { number: 13, name: `webhook to row, p99, ${pace}`, value: late[Math.floor(count * 0.99)]!, unit: 'ms', goal: { most: 1_000 }, from: `the slowest ${Math.round(late.at(-1)!)} ms` },
    ]
  }
}
