import { expect, test } from 'vitest'
import { startSandbox } from '../src/sandbox/index.ts'
import { freshDatabase } from './support/cluster.ts'
import { spawnWorker } from './support/worker-process.ts'

test('four workers on a jittery network never get a 429 from strict windows', { timeout: 60_000 }, async () => {
  await using own = await freshDatabase('quota_real')
  await using sandbox = await startSandbox({
    objects: { contacts: 6_000, companies: 6_000, deals: 6_000 },
    settings: { latency: [20, 150], uplink: 0.5, callsKept: 100_000 },
  })
  await own.query('select hubspot.connect(access_token => $1)', [sandbox.token])
  await own.query(`select hubspot.track(o, properties => '{hs_object_id}') from unnest('{contacts,companies,deals}'::text[]) o`)
  await own.query(`select hubspot.schedule(o, 'poll', every => '1 second') from unnest('{contacts,companies,deals}'::text[]) o`)
  await using one = await spawnWorker(own.url, sandbox.url)
  await using two = await spawnWorker(own.url, sandbox.url)
  await using three = await spawnWorker(own.url, sandbox.url)
  await using four = await spawnWorker(own.url, sandbox.url)
  const until = performance.now() + 12_000
  while (performance.now() < until) await sandbox.store.nextCall()
  const calls = sandbox.store.calls()
  expect(calls.filter(({ status }) => status === 429)).toEqual([])
  // Of both budgets enough was asked for the windows to have bitten: 100 in 10 s, 5 in 1 s.
  expect(calls.filter(({ kind }) => kind !== 'search').length).toBeGreaterThan(100)
  expect(calls.filter(({ kind }) => kind === 'search').length).toBeGreaterThan(25)
  expect((await own.query('select id from hubspot_private.workers order by id')).map(({ id }) => id as string)).toEqual([one, two, three, four].map(({ id }) => id).sort())
})
