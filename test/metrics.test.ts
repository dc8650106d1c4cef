import { describe, expect, test } from 'vitest'
import { openDatabase } from '../src/db/database.ts'
import { createLog } from '../src/lib/log.ts'
import { counted, createMetrics } from '../src/web/metrics.ts'
import { type Address, serve } from '../src/web/server.ts'
import { createSite } from '../src/web/site.ts'
import { startWorker } from '../src/worker.ts'
import { runCli, startCli } from './support/cli.ts'
import { freshDatabase } from './support/cluster.ts'
import { sandboxInHand } from './support/sandbox.ts'
import { startWorld } from './support/sync.ts'
import { siteOf } from './support/webhooks.ts'

const silent = createLog({ level: 'error' })
const TOKEN = 'a-token-of-some-length'

/** The value of a sample, NaN where there is none. */
function sample(page: string, name: string): number {
  const line = page.split('\n').find((each) => each.startsWith(`${name} `))
  return line === undefined ? NaN : Number(line.slice(name.length + 1))
}

describe('/metrics', () => {
  test('tells lag, rows, budgets, queues, problems, runs and webhooks, as SQL has them', async () => {
    await using world = await startWorld('metrics', { sandbox: { objects: { contacts: 30, deals: 10 } } })
    await world.load('contacts', ['firstname'])
    await world.load('deals', ['dealname'])
    await world.db.query("select hubspot.track_associations('deals', 'contacts')")
    await world.drain()
    await world.pass(20_000, 10_000)
    await using site = siteOf(world)
    const { portalId } = world.store
    const [id] = [...world.store.records('contacts')].map((record) => Number(record.id))
    const events = [['contact.propertyChange', id], ['company.creation', 9]].map(([subscriptionType, objectId]) => ({ portalId, occurredAt: world.store.now(), subscriptionType, objectId }))
    await site.send([...events, 5])
    await site.caughtUp()
    await world.db.query("select hubspot.pause('deals'), hubspot.refresh('deals', '{1,2,3}')")
    await world.db.query("select hubspot_private.problem_report('SH209', 'contacts', null, null, 5, 'firstname')")
    const page = await (await site.metrics.page()).text()
    const [quota] = await world.db.query<{ used: string; remaining: string }>("select used, remaining from hubspot.quota where budget = 'daily'")
    const expected: Record<string, number> = {
      'pg_hubspot_connected': 1,
      'pg_hubspot_rows{object="contacts"}': 30,
      'pg_hubspot_lag_seconds{object="contacts"}': expect.closeTo(5, -1) as number,
      'pg_hubspot_object_state{object="contacts",state="live"}': 1,
      'pg_hubspot_object_state{object="contacts",state="paused"}': 0,
      'pg_hubspot_object_state{object="deals",state="paused"}': 1,
      'pg_hubspot_budget_used_requests{budget="daily"}': Number(quota!.used),
      'pg_hubspot_budget_remaining_requests{budget="daily"}': Number(quota!.remaining),
      'pg_hubspot_budget_throttled_total{budget="burst"}': 0,
      'pg_hubspot_fetch_queue{object="deals"}': 3,
      'pg_hubspot_fetch_queue{object="contacts"}': 0,
      'pg_hubspot_problems{object="contacts",code="SH209"}': 1,
      'pg_hubspot_webhook_events_waiting': 0,
      'pg_hubspot_webhook_events_total{type="contact.propertyChange",object="contacts",outcome="acted on"}': 1,
      'pg_hubspot_webhook_events_total{type="company.creation",object="companies",outcome="ignored"}': 1,
      'pg_hubspot_webhook_received_total{outcome="stored"}': 2,
      'pg_hubspot_webhook_received_total{outcome="unreadable"}': 1,
    }
    expect(Object.fromEntries(Object.keys(expected).map((name) => [name, sample(page, name)]))).toEqual(expected)
    expect(sample(page, 'pg_hubspot_run_duration_seconds{object="contacts",stream="poll"}')).toBeGreaterThanOrEqual(0)
    expect(sample(page, 'pg_hubspot_jobs_waiting')).toBeGreaterThan(0)
    expect(sample(page, 'process_resident_memory_bytes')).toBeGreaterThan(1e6)
    // Every measure is known by name: none is dropped on the way.
    const names = await world.db.query<{ name: string }>('select distinct name from hubspot_private.metrics()')
    for (const { name } of names) expect(page).toContain(`# HELP pg_hubspot_${name} `)
  })

  test('is one statement for all who ask within a second, and what is gone is no longer told', async () => {
    await using world = await startWorld('metrics', { sandbox: { objects: { contacts: 3 } } })
    await world.load('contacts', ['firstname'])
    await using db = openDatabase(world.db.url)
    let asked = 0
    const query = db.pool.query.bind(db.pool) as (...args: unknown[]) => unknown
    db.pool.query = ((...args: unknown[]) => {
      asked += 1
      return query(...args)
    }) as typeof db.pool.query
    const { page } = createMetrics(db)
    const pages = await Promise.all(Array.from({ length: 20 }, async () => (await page()).text()))
    expect(asked).toBe(1)
    expect(pages[0]).toContain('pg_hubspot_rows{object="contacts"} 3')
    await world.db.query("select hubspot.untrack('contacts')")
    await expect.poll(async () => (await page()).text(), { timeout: 5_000 }).not.toContain('pg_hubspot_rows{object="contacts"}')
  })

  test('counts calls of HubSpot by status', async () => {
    await using db = openDatabase('postgres://nobody@127.0.0.1:1/none')
    await using world = await startWorld('metrics', { sandbox: { objects: { contacts: 3 } } })
    const metrics = createMetrics(world.deps.db)
    const deps = world.worker('counting', { hubspot: metrics.counting(world.deps.hubspot) })
    await world.load('contacts', ['firstname'])
    world.store.addFault({ fault: { type: '500' }, times: 1 })
    await world.advance(11_000)
    await world.run('contacts', 'poll', 0, deps)
    await world.advance(11_000)
    await world.run('contacts', 'poll', 0, deps)
    const page = await (await metrics.page()).text()
    expect(sample(page, 'pg_hubspot_hubspot_calls_total{status="500"}')).toBe(1)
    expect(sample(page, 'pg_hubspot_hubspot_calls_total{status="200"}')).toBeGreaterThan(0)
    expect((await createMetrics(db).page()).status).toBe(503)
  })
})

describe('who may ask', () => {
  const pages = {
    webhooks: () => Promise.resolve(new Response('hook')),
    metrics: () => Promise.resolve(new Response('metrics')),
    ready: () => Promise.resolve(new Response('ready')),
  }
  const ask = async (access: { token: string | undefined; isLoopback: boolean }, path: string, authorization?: string) =>
    (await createSite(pages, access)(new Request(`http://x${path}`, { headers: authorization === undefined ? {} : { authorization } }), path)).status

  test('metrics want the token where there is one; beyond loopback without one nobody gets them', async () => {
    for (const isLoopback of [true, false]) {
      expect(await ask({ token: TOKEN, isLoopback }, '/metrics')).toBe(401)
      expect(await ask({ token: TOKEN, isLoopback }, '/metrics', `Bearer ${TOKEN}`)).toBe(200)
      expect(await ask({ token: TOKEN, isLoopback }, '/metrics', `bearer ${TOKEN}`)).toBe(200)
      for (const wrong of [`Bearer ${TOKEN}x`, 'Bearer ', TOKEN, `Basic ${TOKEN}`, 'Bearer wrong']) expect(await ask({ token: TOKEN, isLoopback }, '/metrics', wrong), wrong).toBe(401)
    }
    expect(await ask({ token: undefined, isLoopback: true }, '/metrics')).toBe(200)
    expect(await ask({ token: undefined, isLoopback: false }, '/metrics')).toBe(401)
    expect(await ask({ token: undefined, isLoopback: false }, '/metrics', 'Bearer undefined')).toBe(401)
  })

  test('probes are for everyone, and tell no more than that', async () => {
    expect(await ask({ token: TOKEN, isLoopback: false }, '/healthz')).toBe(200)
    expect(await ask({ token: TOKEN, isLoopback: false }, '/readyz')).toBe(200)
    await using away = openDatabase('postgres://somebody:secret@127.0.0.1:1/hidden')
    const answer = await createMetrics(away).ready()
    expect([answer.status, await answer.json()]).toEqual([503, { status: 'the database does not answer: ECONNREFUSED' }])
  })

  test('unknown paths are one in the counts', async () => {
    await using world = await startWorld('metrics')
    const metrics = createMetrics(world.deps.db)
    const site = counted(createSite(pages, { token: undefined, isLoopback: true }), metrics)
    for (const path of ['/a', '/b', '/__proto__', '/constructor', '/healthz']) await site(new Request(`http://x${path}`), path)
    const page = await (await metrics.page()).text()
    expect(sample(page, 'pg_hubspot_http_requests_total{path="other",status="404"}')).toBe(4)
    expect(sample(page, 'pg_hubspot_http_requests_total{path="/healthz",status="200"}')).toBe(1)
  })
})

describe('a worker', () => {
  const web = (address: Partial<Address>, token?: string) => ({ address: { host: '127.0.0.1', port: 0, isSpare: false, ...address }, token, clientSecret: 'client-secret-of-the-app' })

  test('serves probes, metrics and webhooks; ready once an account is connected; nothing when it has stopped', async () => {
    await using db = await freshDatabase('metrics')
    await using sandbox = await sandboxInHand()
    await using worker = await startWorker({ databaseUrl: db.url, hubspot: { baseUrl: sandbox.url }, log: silent, web: web({}, TOKEN) })
    const url = worker.url()!
    const status = async (path: string, init: RequestInit = {}) => (await fetch(url + path, init)).status
    expect(await status('/healthz')).toBe(200)
    expect(await status('/healthz', { method: 'HEAD' })).toBe(200)
    expect(await status('/readyz')).toBe(503)
    expect(await status('/metrics')).toBe(401)
    expect(await status('/webhooks/hubspot', { method: 'POST', body: '[]' })).toBe(401)
    await db.query('select hubspot.connect($1)', [sandbox.token])
    await expect.poll(() => status('/readyz'), { timeout: 20_000 }).toBe(200)
    const page = await (await fetch(`${url}/metrics`, { headers: { authorization: `Bearer ${TOKEN}` } })).text()
    expect(sample(page, 'pg_hubspot_workers')).toBe(1)
    expect(sample(page, 'pg_hubspot_hubspot_calls_total{status="200"}')).toBeGreaterThan(0)
    await worker.stop()
    await expect(fetch(`${url}/healthz`)).rejects.toThrow()
  })

  test('says that a port is taken; the port that nobody asked for is waited for instead', async () => {
    await using db = await freshDatabase('metrics')
    await using first = await serve({ host: '127.0.0.1', port: 0, isSpare: false }, () => Promise.resolve(new Response()), silent)
    const port = Number(new URL(first.url()!).port)
    const options = { databaseUrl: db.url, hubspot: {}, log: silent }
    await expect(startWorker({ ...options, web: web({ port }) })).rejects.toMatchObject({ code: 'SH014', hint: expect.stringContaining('--http') })
    await using second = await startWorker({ ...options, web: web({ port, isSpare: true }) })
    expect(second.url()).toBeUndefined()
  })

  test('takes a port over when whoever had it ends', async () => {
    const first = await serve({ host: '127.0.0.1', port: 0, isSpare: false }, () => Promise.resolve(new Response('first')), silent)
    const port = Number(new URL(first.url()!).port)
    const lines: string[] = []
    const log = createLog({ pretty: false, write: (line) => lines.push(line) })
    await using second = await serve({ host: '127.0.0.1', port, isSpare: true }, () => Promise.resolve(new Response('second')), log, 20)
    expect(await (await fetch(first.url()!, { headers: { connection: 'close' } })).text()).toBe('first')
    await first[Symbol.asyncDispose]()
    await expect.poll(() => second.url()).toBeDefined()
    expect(await (await fetch(second.url()!)).text()).toBe('second')
    expect(lines.filter((line) => line.includes('http is served"'))).toHaveLength(1)
  })

  test('is told where by --http, and nothing by what is no address', async () => {
    await using db = await freshDatabase('metrics')
    for (const odd of ['here', '127.0.0.1:99999']) {
      expect(await runCli(['worker', '--http', odd], { env: { DATABASE_URL: db.url } }), odd).toMatchObject({ code: 64, stderr: expect.stringContaining('HOST:PORT') })
    }
    await using running = startCli(['worker', '--http', '127.0.0.1:0'], { env: { DATABASE_URL: db.url } })
    await running.said(/http is served/)
    running.child.kill('SIGTERM')
    const { stderr, code } = await running.ended
    expect(code).toBe(0)
    expect(stderr).toMatch(/http:\/\/127\.0\.0\.1:\d+/)
  })
})
