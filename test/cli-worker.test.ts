import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { type Sandbox, startSandbox } from '../src/sandbox/index.ts'
import { runCli, startCli } from './support/cli.ts'
import { type FreshDatabase, freshDatabase } from './support/cluster.ts'
import { query } from './support/global-setup.ts'

// A process for each command: half a second when the machine is idle, several when it is not.
vi.setConfig({ testTimeout: 90_000 })

let sandbox: Sandbox
beforeAll(async () => {
  sandbox = await startSandbox({ objects: { contacts: 2_000, companies: 200 }, settings: { burst: 10_000, latency: 30, lag: 0 } })
})
afterAll(() => sandbox.close())
const envOf = (database: FreshDatabase) => ({ DATABASE_URL: database.url, HUBSPOT_API_URL: sandbox.url })

async function until(database: FreshDatabase, condition: string): Promise<void> {
  for (;;) {
    const [row] = await database.query<{ is_so: boolean }>(`select (${condition}) as is_so`)
    if (row?.is_so === true) return
    await sleep(50)
  }
}

test('SIGTERM in the middle of a first load: exit 0 within three seconds, leases given back, nothing on standard output', async () => {
  await using database = await freshDatabase('sigterm')
  await database.query('select hubspot.connect(access_token => $1), hubspot.track($2)', [sandbox.token, 'contacts'])
  await using worker = startCli(['worker'], { env: envOf(database) })
  await until(database, 'exists (select from hubspot.status where rows between 100 and 1500)')
  const asked = performance.now()
  worker.child.kill('SIGTERM')
  const { code, stdout, stderr } = await worker.ended
  expect(performance.now() - asked).toBeLessThan(3_000)
  expect(code).toBe(0)
  expect(stdout).toBe('')
  for (const line of stderr.trim().split('\n')) expect(JSON.parse(line)).toMatchObject({ time: expect.any(String) as string, level: expect.any(String) as string })
  expect(stderr).not.toContain(sandbox.token)
  expect(await database.query('select from hubspot_private.streams where lease_until > hubspot_private.clock()')).toEqual([])
  expect(await database.query('select from hubspot_private.workers')).toEqual([])
})

test('a second signal ends it at once, whatever the first waits for', async () => {
  await using database = await freshDatabase('twice')
  await using worker = startCli(['worker'], { env: envOf(database) })
  await worker.said(/worker started/)
  // Signing off waits for this lock.
  const client = await database.pool.connect()
  await client.query('begin; lock table hubspot_private.workers')
  worker.child.kill('SIGTERM')
  await worker.said(/once more to end at once/)
  await sleep(300)
  expect(worker.child.exitCode).toBeNull()
  worker.child.kill('SIGINT')
  expect((await worker.ended).code).toBe(130)
  await client.query('rollback')
  client.release()
})

test('two workers at once: connect, load and resync, each record once', async () => {
  await using database = await freshDatabase('two')
  const env = envOf(database)
  await using one = startCli(['worker', '--concurrency', '3'], { env })
  await using two = startCli(['worker', '--concurrency', '3'], { env })
  await Promise.all([one.said(/worker started/), two.said(/worker started/)])

  const refused = await runCli(['connect'], { env, input: 'pat-na1-00000000-0000' })
  expect(refused).toMatchObject({ code: 1, stdout: expect.stringContaining('SH201') as string })
  const connected = await runCli(['connect', '--json'], { env, input: sandbox.token })
  expect(JSON.parse(connected.stdout)).toMatchObject({ state: 'connected', message: expect.stringContaining(`portal ${sandbox.portalId}`) as string })

  await database.query(`select hubspot.track('contacts'), hubspot.track('companies')`)
  await database.query(`call hubspot.wait(timeout => '25 s')`)
  const { code, stdout } = await runCli(['status', '--json'], { env })
  expect(code).toBe(0)
  const { objects, health } = JSON.parse(stdout) as { objects: object[]; health: { name: string; ok: boolean; message: string }[] }
  expect(objects).toMatchObject([{ object: 'companies', state: 'live', rows: 200, progress: 1 }, { object: 'contacts', state: 'live', rows: 2_000 }])
  expect(health.find(({ name }) => name === 'worker')).toMatchObject({ ok: true, message: '2 running' })
  expect((await runCli(['status'], { env })).stdout).toMatch(/object +state +rows[^\n]*\ncompanies +live +200 +100 %/)

  const resync = await runCli(['resync', 'contacts', '--wait'], { env })
  expect(resync.stderr).toMatch(/contacts: 2,000 read in .*, 0 new, 0 changed, 2,000 as before/)
  expect(resync.code).toBe(0)
  const asJson = await runCli(['resync', 'companies', '--wait', '--json'], { env })
  expect(JSON.parse(asJson.stdout)).toMatchObject({ object: 'companies', state: 'done', rows_read: 200, unchanged: 200 })
  expect(await runCli(['resync', 'companies', '--json'], { env })).toMatchObject({ code: 0, stdout: expect.stringMatching(/^\{"id":\d+,/) as string })
  await database.query(`select hubspot.pause('companies')`)
  const paused = await runCli(['resync', 'companies', '--wait'], { env })
  expect(paused).toMatchObject({ code: 2, stderr: expect.stringMatching(/run \d+ waits: the object is paused\n {2}select hubspot\.resume\('companies'\);/) as string })
  const unknown = await runCli(['resync', 'contact5'], { env })
  expect(unknown).toMatchObject({ code: 1, stderr: expect.stringMatching(/contact5 is not tracked \(SH101\)\n {2}Did you mean contacts\?/) as string })
})

test('verify tells of rows too many that wait to be confirmed, of a pause and of nothing to compare, and does not say that nothing differs', async () => {
  await using many = await startSandbox({ objects: { deals: 260 }, settings: { limits: false, lag: 0 } })
  await using database = await freshDatabase('verify')
  const env = { DATABASE_URL: database.url, HUBSPOT_API_URL: many.url }
  expect(await runCli(['verify'], { env })).toMatchObject({ code: 2, stdout: '', stderr: expect.stringMatching(/no object is tracked\n {2}select hubspot\.track/) as string })
  await database.query('select hubspot.connect(access_token => $1), hubspot.track($2, $3)', [many.token, 'deals', ['dealname']])
  await using worker = startCli(['worker'], { env })
  await worker.said(/worker started/)
  await until(database, "exists (select from hubspot.status where state = 'live')")
  expect(await runCli(['verify', 'deals'], { env })).toMatchObject({ code: 0, stdout: 'deals: 260 compared, nothing differs\n' })
  await database.query("select hubspot.pause('deals')")
  expect(await runCli(['verify', 'deals'], { env })).toMatchObject({
    code: 2, stdout: 'deals: 0 compared so far; it is paused\n', stderr: expect.stringMatching(/select hubspot\.resume\('deals'\);/) as string,
  })
  await database.query("select hubspot.resume('deals')")
  await until(database, "not exists (select from hubspot.runs where stream = 'resync' and state in ('waiting', 'running'))")
  many.store.purge('deals', [...many.store.records('deals')].slice(0, 130).map(({ id }) => id))
  const held = await runCli(['verify', 'deals'], { env })
  expect(held).toMatchObject({
    code: 2,
    stdout: 'deals: 130 compared, 0 missing, 130 extra, 0 different; 0 repaired; the rest waits for hubspot.confirm_deletes()\n',
    stderr: expect.stringMatching(/select hubspot\.confirm_deletes\(\d+\);/) as string,
  })
})

describe('worker --once', () => {
  test('without an account it fails; else it loads and ends with 0; a parked object makes it 2', async () => {
    await using database = await freshDatabase('once')
    const env = envOf(database)
    const lone = await runCli(['worker', '--once'], { env })
    expect(lone).toMatchObject({ code: 1, stderr: expect.stringMatching(/no HubSpot account is connected \(SH003\)\n/) as string })

    // The environment's token serves, and is not stored.
    sandbox.store.addToken({ token: 'contacts-only-token', scopes: ['crm.objects.contacts.read', 'crm.schemas.contacts.read', 'oauth'] })
    const few = { ...env, HUBSPOT_ACCESS_TOKEN: 'contacts-only-token' }
    await database.query(`select hubspot.track('contacts')`)
    const loaded = await runCli(['worker', '--once'], { env: few })
    expect(loaded).toMatchObject({ code: 0 })
    expect(await database.query('select count(*)::integer as count from hubspot.contacts')).toEqual([{ count: 2_000 }])
    expect(await database.query('select from hubspot_private.credentials')).toEqual([])

    await database.query(`select hubspot.track('companies')`)
    const parked = await runCli(['worker', '--once'], { env: few })
    expect(parked).toMatchObject({ code: 2, stderr: expect.stringMatching(/companies is parked/) as string })
    const status = await runCli(['status'], { env: few })
    expect(status.stdout).toMatch(/companies +parked/)
    expect((await runCli(['resync', 'companies', '--wait'], { env: few })).code).toBe(2)
  })
})

test("graphile-worker's own command line runs the tasks, shows as a worker, and ends in order", async () => {
  await using database = await freshDatabase('graphile')
  await database.query('select hubspot.connect(access_token => $1), hubspot.track($2)', [sandbox.token, 'companies'])
  // What the cron item adds, with cron's own addition to the payload.
  await database.query(`select graphile_worker.add_job('hubspot:sweep', '{"_cron": {"ts": "2026-01-01T00:00:00Z", "backfilled": false}}')`)
  await using worker = startCli(['-c', database.url], { env: envOf(database), program: 'node_modules/graphile-worker/dist/cli.js' })
  await database.query(`call hubspot.wait('companies', '20 s')`)
  expect(await database.query('select count(*)::integer as count from hubspot.companies')).toEqual([{ count: 200 }])
  expect(await database.query(`select ok, message from hubspot.health() where name = 'worker'`)).toEqual([{ ok: true, message: '1 running' }])
  // Its cron knows the sweep.
  expect(await database.query('select identifier from graphile_worker._private_known_crontabs')).toEqual([{ identifier: 'hubspot_sweep' }])
  const asked = performance.now()
  worker.child.kill('SIGTERM')
  const { code, stdout, stderr } = await worker.ended
  expect(performance.now() - asked).toBeLessThan(3_000)
  expect(code).toBe(143)
  expect(stdout + stderr).not.toMatch(/hubspot:\w+ failed|ERROR/)
  expect(await database.query('select from hubspot_private.workers')).toEqual([])
})

test("graphile-worker's own command line outlives a connection that ends as a job of ours is signed off", async () => {
  await using database = await freshDatabase('graphile_away')
  await database.query('select hubspot.connect(access_token => $1), hubspot.track($2)', [sandbox.token, 'companies'])
  await using worker = startCli(['-c', database.url], { env: envOf(database), program: 'node_modules/graphile-worker/dist/cli.js' })
  await database.query(`call hubspot.wait('companies', '20 s')`)
  await database.query(`create function hold() returns trigger language plpgsql as $$ begin perform pg_advisory_xact_lock(42); return old; end $$`)
  await database.query('create trigger hold before delete on graphile_worker._private_jobs for each row execute function hold()')
  const holder = await database.pool.connect()
  await holder.query('begin; select pg_advisory_xact_lock(42)')
  await database.query(`select hubspot.sync('companies')`)
  const signingOff = `from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock' and query like 'delete from %_private_jobs%'`
  await until(database, `exists (select ${signingOff})`)
  await query(database.adminUrl, `select pg_terminate_backend(pid) ${signingOff}`)
  await worker.said(/a job could not be signed off/)
  await holder.query('rollback')
  holder.release()
  sandbox.store.edit('companies', [...sandbox.store.records('companies')][0]!.id, { name: 'afterwards' })
  await until(database, `exists (select from hubspot.companies where name = 'afterwards')`)
  expect(worker.child.exitCode).toBeNull()
})
