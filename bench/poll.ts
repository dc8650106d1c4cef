import { setTimeout as sleep } from 'node:timers/promises'
import type { Figure } from './support/figure.ts'
import { openHouse } from './support/house.ts'
import { naiveSync } from './support/naive.ts'
import { spawnSandbox } from './support/sandbox.ts'
import { connect, loadWhole, workerHere } from './support/worker.ts'

const OBJECTS = ['contacts', 'companies', 'deals']
const POLLS = 5

/** Calls that a poll makes when nothing has changed. */
export async function run(): Promise<Figure[]> {
  await using house = await openHouse()
  await using sandbox = await spawnSandbox()
  for (const object of OBJECTS) await sandbox.control('POST', `/seed/${object}`, { count: 500 })
  await connect(house, sandbox)
  await using _ = await workerHere(house, sandbox)
  for (const object of OBJECTS) {
    await loadWhole(house, object)
    await house.db.pool.query(`select hubspot.schedule($1, s, every => '1 day') from unnest('{poll,settle,schema}'::text[]) s`, [object])
  }
  const done = async () =>
    (await house.db.pool.query<{ n: number }>(
      `select count(*)::integer as n from hubspot.runs where stream = 'poll' and state = 'done'`)).rows[0]!.n
  const idle = async () =>
    (await house.db.pool.query(`select from hubspot_private.streams where lease_until is not null or run_id is not null
       union all select from hubspot_private.fetch_queue union all select from hubspot_private.runs where state = 'waiting'`)).rowCount === 0
  while (!(await idle())) await sleep(100)
  await sandbox.control('DELETE', '/calls')
  for (let poll = 0; poll < POLLS; poll += 1) {
    const before = await done()
    await house.db.pool.query('select hubspot.sync(o) from unnest($1::text[]) o', [OBJECTS])
    while ((await done()) < before + OBJECTS.length || !(await idle())) await sleep(50)
  }
  const asked = async () => (await sandbox.control<{ counts: { kind: string; count: number }[] }>('GET', '/calls')).counts
  const counts = await asked()
  const calls = sum(counts)
  // Without a cursor it reads all of them again, to find the same.
  await sandbox.control('DELETE', '/calls')
  for (const object of OBJECTS) await naiveSync(house, { ...sandbox, objectTypeId: object, properties: [] })
  const naive = sum(await asked()) / OBJECTS.length
  return [
    { number: 12, name: 'no-change poll', value: calls / POLLS / OBJECTS.length, unit: 'calls', goal: { most: 1 },
      from: `${calls} calls for ${POLLS} polls of ${OBJECTS.length} objects: ${counts.map(({ kind, count }) => `${count} ${kind}`).join(', ')}; naive ${naive.toFixed(1)}, every page again` },
  ]
}

const sum = (counts: readonly { count: number }[]) => counts.reduce((all, { count }) => all + count, 0)
