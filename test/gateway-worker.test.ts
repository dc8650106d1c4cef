import { once } from 'node:events'
import { createServer } from 'node:net'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { expect, test, vi } from 'vitest'
import { startSandbox } from '../src/sandbox/index.ts'
import { runCli, startCli } from './support/cli.ts'
import { freshDatabase } from './support/cluster.ts'
import { allowForeignTables } from './support/live.ts'

// A process for each command: half a second when the machine is idle, several when it is not.
vi.setConfig({ testTimeout: 90_000 })

test('a worker with a gateway answers live tables with what HubSpot holds now, and ends in order while one waits', async () => {
  await using database = await freshDatabase('gateway_worker')
  const sandbox = await startSandbox({ objects: { deals: 50 }, settings: { burst: 10_000, lag: 0 } })
  const env = { DATABASE_URL: database.url, HUBSPOT_API_URL: sandbox.url, PG_HUBSPOT_GATEWAY: '127.0.0.1:0' }
  await allowForeignTables(database)
  await database.query(`select hubspot.connect(access_token => $1), hubspot.track('deals', '{dealname,amount}')`, [sandbox.token])
  await using worker = startCli(['worker', '--log-level', 'debug'], { env })
  let log = ''
  worker.child.stderr?.on('data', (text: string) => (log += text))
  await worker.said(/the gateway listens.*\n/)
  const port = Number(/"the gateway listens".*"port":(\d+)/.exec(log)?.[1])
  await database.query(`call hubspot.wait('deals', '30 s')`)
  // Only what is asked for live is read.
  await database.query(`select hubspot.schedule('deals', s, every => '1 day') from unnest('{poll,settle}'::text[]) s`)
  await database.query('select hubspot.enable_live($1, $2, $3)', ['127.0.0.1', port, new URL(database.url).password])
  const [{ id }] = [...sandbox.store.records('deals')] as unknown as [{ id: string }]
  for (const name of ['one', 'two']) {
    sandbox.store.edit('deals', id, { dealname: name })
    expect(await database.query('select dealname from hubspot_live.deals where id = $1', [id])).toEqual([{ dealname: name }])
  }
  await expect(database.query(`update hubspot_live.deals set dealname = 'x' where id = $1`, [id])).rejects.toThrow()
  const direct = new pg.Client(Object.assign(new URL(database.url), { port: String(port) }).href)
  direct.on('error', () => undefined)
  await direct.connect()
  expect((await direct.query('select count(*)::int as n from hubspot.deals')).rows).toEqual([{ n: 50 }])
  sandbox.store.configure({ latency: 60_000 })
  const waiting = direct.query('select from hubspot.deals where id = $1', [id]).catch((error: unknown) => error)
  await new Promise((resolve) => setTimeout(resolve, 300))
  const asked = performance.now()
  worker.child.kill('SIGTERM')
  const { code } = await worker.ended
  expect(performance.now() - asked).toBeLessThan(5_000)
  expect(code).toBe(0)
  expect(await waiting).toMatchObject({ code: expect.stringMatching(/^57P01|57014$/) as string })
  await sandbox.close()
})

test('a gateway that cannot be is an error with its code before any work begins', async () => {
  await using database = await freshDatabase('gateway_none')
  const env = { DATABASE_URL: database.url }
  const taken = createServer().listen(0, '127.0.0.1')
  await once(taken, 'listening')
  const { port } = taken.address() as { port: number }
  const inUse = await runCli(['worker', '--gateway', `127.0.0.1:${port}`], { env })
  expect(inUse).toMatchObject({ code: 1, stderr: expect.stringMatching(/SH017\)\n {2}Something listens there/) as string })
  taken.close()
  expect(await database.query('select from hubspot_private.workers')).toEqual([])
  const directory = await mkdtemp(join(tmpdir(), 'gateway-'))
  const noTls = await runCli(['worker', '--gateway', '127.0.0.1:0', '--gateway-tls-cert', `${directory}/a`, '--gateway-tls-key', `${directory}/b`], { env })
  expect(noTls).toMatchObject({ code: 1, stderr: expect.stringContaining('SH017') as string })
  await rm(directory, { recursive: true })
  expect(await runCli(['worker', '--gateway', 'nowhere'], { env })).toMatchObject({ code: 64, stderr: expect.stringContaining('127.0.0.1:5433') as string })
  expect(await runCli(['worker', '--gateway', '127.0.0.1:0', '--gateway-tls-cert', 'a'], { env })).toMatchObject({ code: 64 })
  expect(await runCli(['worker', '--once', '--gateway', '127.0.0.1:0'], { env })).toMatchObject({ code: 64 })
  expect(await runCli(['worker'], { env: { ...env, PG_HUBSPOT_GATEWAY: 'nowhere' } })).toMatchObject({ code: 1, stderr: expect.stringContaining('PG_HUBSPOT_GATEWAY') as string })
})
