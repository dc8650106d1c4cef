import { randomBytes } from 'node:crypto'
import pg from 'pg'
import { expect, test, vi } from 'vitest'
import { refreshClaim, tokenGet } from '../src/db/account-calls.ts'
import { openDatabase } from '../src/db/database.ts'
import { runOnce } from '../src/worker.ts'
import { createLog } from '../src/lib/log.ts'
import { differences } from './support/compare.ts'
import { runCli } from './support/cli.ts'
import { at, query } from './support/global-setup.ts'
import { openHouse } from './support/house.ts'
import { startOauth } from './support/oauth.ts'
import { makeRoles } from './support/roles.ts'
import { spawnWorker } from './support/worker-process.ts'
import { startWorld, type World } from './support/sync.ts'
import { changeOf, idsOf, siteOf } from './support/webhooks.ts'

// A copy of the database does nothing in HubSpot beside the original until someone says what it is.

vi.setConfig({ testTimeout: 90_000 })

/** Makes a database what a restore on another server, or a clone, would be to itself. */
const move = ({ db }: Pick<World, 'db'>, what: 'database_name = \'elsewhere\'' | 'database_oid = 1' | 'system_identifier = 42') =>
  db.query(`update hubspot_private.installation set ${what}`)
const health = async ({ query: ask }: { query: World['db']['query'] }, name: string) =>
  (await ask<{ ok: boolean; message: string; hint: string | null }>('select ok, message, hint from hubspot.health() where name = $1', [name]))[0]!

/** Statements of one connection, and the notices that they gave. */
async function noticed(url: string, ...statements: string[]): Promise<string[]> {
  const client = new pg.Client(url)
  const notices: string[] = []
  client.on('notice', ({ message }) => notices.push(message ?? ''))
  await client.connect()
  try {
    for (const statement of statements) await client.query(statement)
  } finally {
    await client.end()
  }
  return notices
}

test('a clone by template stands still, says so everywhere, and reads on once it is adopted', async () => {
  await using house = await openHouse('original', { objects: { contacts: 60 } })
  const { db, store, sandbox } = house
  await db.query(`select hubspot.track('contacts', '{firstname}'), hubspot.schedule('contacts', 'poll', every => '1 second')`)
  const first = await house.worker()
  await house.loaded('contacts')
  await first.end('SIGTERM')
  const name = `clone_${randomBytes(4).toString('hex')}`
  await query(db.adminUrl.replace(db.name, 'postgres'), `select pg_terminate_backend(pid) from pg_stat_activity where datname = '${db.name}'`)
  await query(at(db.url, 'postgres'), `create database ${name} template ${db.name}`)
  const url = at(db.url, name)
  await using clone = openDatabase(url, { max: 2 })
  const ask = async <Row extends pg.QueryResultRow>(text: string, values?: unknown[]) => (await clone.pool.query<Row>(text, values)).rows
  store.resetCalls()
  const worker = await spawnWorker(url, sandbox.url)
  try {
    await expect.poll(() => ask('select code, property, hint from hubspot.problems where resolved_at is null')).toEqual([
      { code: 'SH005', property: 'database', hint: expect.stringContaining('select hubspot.adopt(read_only => true)') as string },
    ])
    expect(await health({ query: ask }, 'identity')).toEqual({
      ok: false, message: `this database is a copy: it was installed as ${db.name}, and is ${name}; its worker does nothing`, hint: expect.stringContaining('adopt') as string,
    })
    expect(await ask('select state, last_error from hubspot.status')).toEqual([{ state: 'parked', last_error: expect.stringContaining('is a copy') as string }])
    // Verbs answer; what they ask for waits.
    await ask(`select hubspot.sync('contacts'), hubspot.resync('contacts'), hubspot.track('companies'), hubspot.connect('pat-na1-another')`)
    await expect(clone.pool.query(`call hubspot.wait('companies')`)).rejects.toMatchObject({ code: 'SH005' })
    await expect.poll(() => ask<{ jobs: string }>(`select count(*) as jobs from graphile_worker._private_jobs where task_id in (select id from graphile_worker._private_tasks where identifier in ('hubspot:stream', 'hubspot:connect')) and run_at <= now()`), { timeout: 20_000 }).toEqual([{ jobs: '0' }])
    const once = await runCli(['worker', '--once'], { env: { DATABASE_URL: url, HUBSPOT_API_URL: sandbox.url, HUBSPOT_ACCESS_TOKEN: sandbox.token } })
    expect(once).toMatchObject({ code: 1, stderr: expect.stringMatching(/is a copy.*\(SH005\)\n {2}.*adopt/) as string })
    expect((await runCli(['status'], { env: { DATABASE_URL: url } })).stdout).toMatch(/! identity: this database is a copy.*adopt/)
    expect(worker.log()).toContain('is a copy')
    expect(store.calls()).toEqual([])

    await ask(`select hubspot.disconnect(), hubspot.connect('${sandbox.token}')`)
    expect(await noticed(url, 'select hubspot.adopt(read_only => true)')).toEqual([expect.stringMatching(/never writes.*set_quota_share/) as string])
    store.edit('contacts', '101', { firstname: 'afterwards' })
    await expect.poll(() => differences({ pool: clone.pool, query: ask }, sandbox, 'contacts'), { timeout: 30_000 }).toEqual([])
    expect(await ask('select code from hubspot.problems where resolved_at is null')).toEqual([])
    expect(await health({ query: ask }, 'identity')).toEqual({ ok: true, message: `${name}, its own; adopted to read only`, hint: null })
    expect(await health({ query: ask }, 'writes')).toMatchObject({ ok: true, message: 'off: this database was adopted to read only, or not at all' })
    expect(await ask('select hubspot_private.may_write() as may')).toEqual([{ may: false }])
    await ask('select hubspot.adopt(read_only => false)')
    expect(await ask('select hubspot_private.may_write() as may')).toEqual([{ may: true }])
  } finally {
    await worker.end('SIGKILL')
    await clone.close()
    await query(db.adminUrl, `drop database if exists ${name} with (force)`)
  }
  // The original never noticed.
  await using again = await house.worker()
  await house.same('contacts')
  expect(again.log()).not.toContain('is a copy')
})

test.for(["database_name = 'elsewhere'", 'database_oid = 1', 'system_identifier = 42'] as const)('another %s is another database: no permit, no claim, no renewal', async (what) => {
  await using world = await startOauth('moved', { sandbox: { objects: { contacts: 10 } } })
  await world.connect()
  expect(await world.check()).toBe('connected')
  await world.load('contacts', ['firstname'])
  const { id, renewed } = (await tokenGet(world.deps.db, false))!
  await move(world, what)
  world.store.resetCalls()
  await world.advance(3_600_000)
  expect(await world.run('contacts', 'poll')).toBe('idle')
  expect(await world.db.query('select * from hubspot_private.streams_due()')).toEqual([])
  expect(await world.check({ token: world.sandbox.token })).toBe('copied')
  await expect(world.ask(world.hubspot())).rejects.toMatchObject({ code: 'SH005' })
  await expect(refreshClaim(world.deps.db, { id, renewed, holder: 'x', isEarly: false })).rejects.toMatchObject({ code: 'SH005' })
  expect(await tokenGet(world.deps.db, false)).toBeUndefined()
  const log = createLog({ level: 'error', write: () => undefined })
  await expect(runOnce({ databaseUrl: world.db.url, hubspot: { baseUrl: world.sandbox.url, token: world.sandbox.token }, log, signal: AbortSignal.timeout(60_000) }))
    .rejects.toMatchObject({ code: 'SH005' })
  expect(world.store.calls()).toEqual([])
  await world.db.query('select hubspot.adopt(read_only => false)')
  expect(await world.check()).toBe('connected')
  await world.pass(120_000, 30_000)
  expect(await world.differences('contacts')).toEqual([])
})

test('a copy that only reads uses the token that came with it until that ends, and renews what it is given itself', async () => {
  await using world = await startOauth('borrowed')
  await world.connect()
  expect(await world.check()).toBe('connected')
  await move(world, 'database_oid = 1')
  expect(await noticed(world.db.url, 'select hubspot.adopt(read_only => true)')).toEqual([expect.any(String) as string, expect.stringContaining('does not renew it') as string])
  expect(await world.ask(world.hubspot())).toBe(world.sandbox.portalId)
  await world.advance(27 * 60_000)
  expect(await world.ask(world.hubspot())).toBe(world.sandbox.portalId)
  await world.advance(10 * 60_000)
  await expect(world.ask(world.hubspot())).rejects.toMatchObject({ code: 'SH013' })
  expect(world.renewals()).toEqual([200])
  expect(await health(world.db, 'token')).toMatchObject({ ok: false, message: expect.stringContaining('came with a copy') as string, hint: expect.stringContaining('of its own') as string })
  await world.connect()
  expect(await world.check()).toBe('connected')
  await world.advance(40 * 60_000)
  expect(await world.ask(world.hubspot())).toBe(world.sandbox.portalId)
  // Said once more, it keeps what is its own.
  await world.db.query('select hubspot.adopt(read_only => true)')
  await world.advance(40 * 60_000)
  expect(await world.ask(world.hubspot())).toBe(world.sandbox.portalId)
  expect(world.renewals()).toEqual([200, 200, 200, 200])
  // In the original's place it renews what it has; and a copy that passes for the original is told by the same words.
  await world.db.query('select hubspot.adopt(read_only => false)')
  expect(await noticed(world.db.url, 'select hubspot.adopt(read_only => true)')).toEqual([expect.stringContaining('does not renew it') as string])
  expect(await health(world.db, 'token')).toMatchObject({ ok: false })
  await world.db.query('select hubspot.adopt(read_only => false)')
  expect(await health(world.db, 'token')).toMatchObject({ ok: true })
})

test('on another server the change feed and transaction marks mean nothing, and go; on the same they stay', async () => {
  await using world = await startWorld('server', { sandbox: { objects: { contacts: 5 } } })
  await world.load('contacts', ['firstname'])
  const { db } = world
  await db.query(`create table noted (id bigint);
    create function note(change hubspot.changes) returns void language sql as 'insert into noted values ((change).record_id)'`)
  await db.query(`select hubspot.on_change('contacts', function_name => 'note')`)
  world.store.edit('contacts', '101', { firstname: 'before' })
  await world.pass(30_000, 10_000)
  const count = async () => (await db.query<{ n: number }>('select count(*)::integer as n from hubspot.changes'))[0]!.n
  const before = await count()
  expect(before).toBeGreaterThan(0)
  await move(world, 'database_oid = 1')
  // What the original delivers is not delivered here too.
  const deliver = () => db.query('select hubspot_private.deliver_step(s.id) from hubspot_private.subscriptions s')
  await deliver()
  expect(await db.query('select * from noted')).toEqual([])
  expect((await noticed(db.url, 'select hubspot.adopt(read_only => false)')).join()).not.toContain('change feed')
  expect(await count()).toBe(before)
  // Changes are final once every transaction of the server that began before them is over.
  await expect.poll(async () => {
    await deliver()
    return await db.query('select * from noted')
  }, { timeout: 20_000 }).toEqual([{ id: '101' }])
  await db.query('update hubspot_private.streams set writer = pg_current_xact_id()')
  await move(world, 'system_identifier = 42')
  expect((await noticed(db.url, 'select hubspot.adopt(read_only => false)')).join()).toContain('the change feed is emptied')
  expect(await count()).toBe(0)
  expect(await db.query('select count(*)::integer as marks from hubspot_private.streams where writer is not null')).toEqual([{ marks: 0 }])
})

test('a copy erases nothing and keeps what webhooks brought, until it is adopted', async () => {
  await using world = await startWorld('erases', { sandbox: { objects: { contacts: 2, deals: 2 } } })
  await world.load('contacts', ['firstname'])
  await world.load('deals', ['dealname'])
  const { db } = world
  const [contact = ''] = idsOf(world)
  const [deal = ''] = idsOf(world, 'deals')
  await using roles = await makeRoles(db, 'control')
  await db.query('select hubspot.grant_control($1)', [roles.names.control])
  await db.query("select hubspot.untrack('deals')")
  await roles.admin.query(`set session authorization ${pg.escapeIdentifier(roles.names.control)}`)
  await roles.admin.query("select hubspot.forget('contacts', $1)", [contact])
  await roles.admin.query('reset session authorization')
  await move(world, "database_name = 'elsewhere'")
  await using site = siteOf(world)
  const there = async () => [await world.row('contacts', contact), await world.row('deals', deal)].map((row) => row !== undefined)
  const waiting = () => db.query('select type from hubspot_private.inbox where applied_at is null')
  const act = async () => {
    await world.advance(60_000)
    await db.query('select hubspot_private.sweep()')
    site.inbox.wake()
    await site.inbox.idle()
  }
  await site.send([changeOf(world, Number(deal), { subscriptionType: 'deal.privacyDeletion' })])
  await act()
  expect(await there()).toEqual([true, true])
  expect(await waiting()).toEqual([{ type: 'deal.privacyDeletion' }])
  expect(await db.query('select op from hubspot.changes')).toEqual([])
  expect(await db.query('select attempts from hubspot_private.erasures')).toEqual([{ attempts: 0 }])
  await db.query('select hubspot.adopt(read_only => true)')
  await act()
  expect(await there()).toEqual([false, false])
  expect(await waiting()).toEqual([])
})

test('adopt wants to be told which, and may be run again', async () => {
  await using world = await startWorld('adopt')
  await expect(world.db.query('select hubspot.adopt(null)')).rejects.toMatchObject({ code: 'SH104', hint: expect.stringContaining('read_only => true') as string })
  for (const isReadOnly of [true, true, false]) {
    expect(await noticed(world.db.url, `select hubspot.adopt(read_only => ${isReadOnly})`)).toEqual([])
    expect(await world.db.query('select hubspot_private.may_write() as may, adopted_at from hubspot_private.installation')).toEqual([{ may: !isReadOnly, adopted_at: null }])
  }
})
