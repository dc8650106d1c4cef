import { once } from 'node:events'
import { createServer, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, describe, expect, inject, test, vi } from 'vitest'
import { clockCheck } from '../src/cli/doctor/clock.ts'
import { type Check, isWell } from '../src/cli/doctor/check.ts'
import { examine } from '../src/cli/doctor/examine.ts'
import { lookAtEnvironment } from '../src/cli/support/environment.ts'
import { type Sandbox, startSandbox } from '../src/sandbox/index.ts'
import { startWorker } from '../src/worker.ts'
import { callCli } from './support/cli.ts'
import { createLog } from '../src/lib/log.ts'
import { type FreshDatabase, freshDatabase } from './support/cluster.ts'
import { at, query } from './support/global-setup.ts'
import { startPooler } from './support/pooler.ts'

vi.setConfig({ testTimeout: 60_000 })

let sandbox: Sandbox
let db: FreshDatabase
beforeAll(async () => {
  sandbox = await startSandbox({ objects: { contacts: 3, deals: 2 }, settings: { lag: 0 } })
  db = await freshDatabase('doctor')
})
afterAll(async () => {
  await db[Symbol.asyncDispose]()
  await sandbox.close()
})

const env = () => ({ DATABASE_URL: db.url, HUBSPOT_API_URL: sandbox.url, HUBSPOT_ACCESS_TOKEN: sandbox.token })

/** What the doctor says, by name. */
async function look(given: NodeJS.ProcessEnv) {
  const log = createLog({ write: () => undefined })
  const { environment, wrong } = lookAtEnvironment(given)
  return said(await examine({ env: environment, wrong, log, signal: AbortSignal.timeout(50_000) }))
}

function said(checks: Check[]) {
  const text = JSON.stringify(checks)
  expect(text).not.toMatch(/sesame|pat-na1-never/)
  expect(text).not.toContain(sandbox.token)
  // Whatever is wrong says what to do.
  for (const check of checks) expect(check.ok || (check.hint ?? '') !== '', JSON.stringify(check)).toBe(true)
  return { isWell: isWell(checks), by: Object.fromEntries(checks.map((check) => [check.name, check])), names: checks.map(({ name }) => name) }
}

describe('when all is well', () => {
  test('every line is ok, objects are named, and a token that is stored counts for nothing', async () => {
    await db.query(`select hubspot.track('contacts'), hubspot.connect($1)`, [sandbox.token])
    await using _ = await startWorker({ databaseUrl: db.url, hubspot: { baseUrl: sandbox.url }, log: createLog({ write: () => undefined }) })
    await db.query(`call hubspot.wait('contacts', '30 seconds')`)
    await db.query(`select hubspot.pause()`)
    const json = await callCli(['doctor', '--json'], env())
    expect(json.code, json.stdout).toBe(0)
    const { by, names } = said(JSON.parse(json.stdout) as Check[])
    expect(names.slice(0, 9)).toEqual(['database', 'postgres', 'privileges', 'session', 'postgres_fdw', 'installed', 'hubspot', 'scopes', 'clock'])
    expect(names).toEqual(expect.arrayContaining(['account', 'worker', 'secrets', 'objects', 'budgets', 'problems']))
    expect(by['hubspot']?.message).toBe(`it takes the token, of portal ${sandbox.portalId}`)
    expect(by['scopes']).toMatchObject({ ok: true, message: 'may read: contacts, companies, deals, tickets', objects: { contacts: true, companies: true, deals: true, tickets: true } })
    expect(by['clock']).toMatchObject({ ok: true })
    // That a token is stored is told, and counts for nothing.
    expect(by['secrets']).toMatchObject({ ok: false, is_advice: true })
    const { stdout } = await callCli(['doctor'], env())
    expect(stdout).toMatch(/^✓ database {5}connected to .* at .*:\d+ as .*\n✓ postgres {5}PostgreSQL 1\d/)
    expect(stdout).toMatch(/\n! secrets .*\n {15}\S/)
    await db.query(`select hubspot.resume()`)
    expect((await callCli(['doctor'])).code).toBe(1)
  })

  test('scopes that the token lacks are named: that of a tracked object counts, another does not', async () => {
    try {
      sandbox.store.changeToken(sandbox.token, { without: ['companies'] })
      const used = async () => Number((await db.query<{ used: string }>(`select used from hubspot.quota where budget = 'daily'`))[0]!.used)
      const before = await used()
      const one = await look(env())
      // The account, and what was not read within the hour, within the budget.
      expect((await used()) - before).toBeGreaterThan(1)
      expect((await used()) - before).toBeLessThanOrEqual(6)
      expect(one.by['scopes']?.message).toBe('may read: contacts, deals, tickets; may not: companies')
      expect(one.by['scopes']).toMatchObject({ ok: false, isAdvice: true, hint: expect.stringContaining('companies: Add one of crm.objects.companies.read') as string, objects: { companies: false, contacts: true } })
      await db.query(`select hubspot.track('companies'), hubspot.pause('companies')`)
      const other = await look(env())
      expect(other.by['scopes']?.isAdvice).toBeUndefined()
      expect(other.by['scopes']).toMatchObject({ ok: false, message: 'may read: contacts, deals, tickets; may not: companies' })
    } finally {
      sandbox.store.changeToken(sandbox.token, { without: [] })
      await db.query(`select hubspot.untrack('companies', drop_table => true)`)
    }
  })
})

describe('when something is wrong, it says so and what to do', () => {
  test('with the environment and the connection', async () => {
    const url = new URL(db.url)
    const to = (changes: Partial<URL>) => Object.assign(new URL(url), changes).href
    const tries: [NodeJS.ProcessEnv, string, RegExp, RegExp][] = [
      [{}, 'database', /DATABASE_URL is not set/, /Set it, as in DATABASE_URL=postgres:/],
      [{ DATABASE_URL: 'mysql://here' }, 'environment', /DATABASE_URL is not a postgres/, /Set or unset it/],
      [{ DATABASE_URL: 'postgres://u:sesame#open@127.0.0.1:1/x' }, 'environment', /DATABASE_URL cannot be read: .*%23/, /Set or unset it/],
      [{ DATABASE_URL: 'postgres://u:1#sesame@127.0.0.1:1/x' }, 'environment', /DATABASE_URL cannot be read/, /Set or unset it/],
      [{ DATABASE_URL: 'postgres://u:sesame@127.0.0.1:543210/x' }, 'environment', /a port is a number up to 65535/, /Set or unset it/],
      [{ DATABASE_URL: 'postgres://u:sesame-open@127.0.0.1:1/x' }, 'database', /nothing listens there/, /Is the server running/],
      [{ DATABASE_URL: 'postgres://u:sesame-open@no-such-host.invalid/x' }, 'database', /no such host|could not be looked up/, /host and port in DATABASE_URL/],
      [{ DATABASE_URL: to({ username: 'nobody_there', password: 'sesame' }) }, 'database', /28/, /Check user and password/],
      [{ DATABASE_URL: to({ pathname: '/no_such_database' }) }, 'database', /3D000/, /Create the database/],
      [{ DATABASE_URL: await emptyDatabase() }, 'installed', /not installed/, /npx pg-hubspot install/],
    ]
    await Promise.all(tries.map(async ([given, name, message, hint]) => {
      const { isWell: isAll, by, names } = await look(given)
      expect(isAll).toBe(false)
      expect(by[name], names.join()).toMatchObject({ ok: false, message: expect.stringMatching(message) as string, hint: expect.stringMatching(hint) as string })
      expect(names).not.toContain('hubspot')
    }))
  })

  test('with the installation, the role, the pooler', async () => {
    await using newer = await freshDatabase('doctor_newer')
    await newer.query(`update hubspot_private.schema_files set version = '99.0.0' where name = 'code'`)
    expect((await look({ DATABASE_URL: newer.url })).by['installed']).toMatchObject({ ok: false, hint: expect.stringContaining('Upgrade the package') as string })
    await using queueless = await freshDatabase('doctor_queue')
    await queueless.query('drop schema graphile_worker cascade')
    expect((await look({ DATABASE_URL: queueless.url })).by['installed']).toEqual({
      name: 'installed', ok: false, message: 'its queue is gone: there is no graphile-worker in schema graphile_worker (SH016)', hint: 'Run: npx pg-hubspot install',
    })
    expect(await callCli(['install'], { DATABASE_URL: queueless.url })).toMatchObject({ code: 0 })
    expect((await look({ DATABASE_URL: queueless.url })).by['installed']).toMatchObject({ ok: true })
    await using pooler = await startPooler(db.url)
    const pooled = await look({ ...env(), DATABASE_URL: pooler.url })
    expect(pooled.isWell).toBe(false)
    expect(pooled.by['session']).toMatchObject({ ok: false, message: expect.stringContaining('SH004') as string })

    const { adminUrl } = inject('server')
    const role = `doctor_${db.name}`.slice(0, 60)
    await query(adminUrl, `create role ${role} login password 'sesame'`)
    try {
      const as = Object.assign(new URL(db.url), { username: role, password: 'sesame' }).href
      const stranger = await look({ ...env(), DATABASE_URL: as })
      expect(stranger.by['privileges']).toMatchObject({ ok: false, hint: expect.stringContaining('Connect as the role that installed it') as string })
      expect(stranger.names).not.toContain('account')
      await db.query('select hubspot.grant_read($1)', [role])
      // A reader is told what hubspot.health() knows; the token and the budgets are not his.
      const reader = await look({ ...env(), DATABASE_URL: as })
      expect(reader).toMatchObject({ isWell: false, by: { installed: { ok: true }, account: { ok: true } } })
      expect(reader.names).not.toContain('hubspot')
    } finally {
      await query(db.adminUrl, `drop owned by ${role}; drop role ${role}`)
    }
  })

  test('with HubSpot: no token, a bad one, another address, no network, another account, a spent day', async () => {
    const page = await serve((response) => response.end('<html>'))
    const answers = await serve((response) => {
      response.statusCode = 404
      response.end('{"status":"error"}')
    })
    await using fresh = await freshDatabase('doctor_bare')
    const bare = { DATABASE_URL: fresh.url, HUBSPOT_API_URL: sandbox.url }
    const tries: [NodeJS.ProcessEnv, string, RegExp, RegExp][] = [
      [bare, 'hubspot', /no HubSpot account is connected/, /hubspot\.connect/],
      [{ ...bare, HUBSPOT_ACCESS_TOKEN: 'pat-na1-never-shown' }, 'hubspot', /SH201/, /Make a new token/],
      [{ ...env(), HUBSPOT_API_URL: 'not a url' }, 'environment', /HUBSPOT_API_URL/, /sandbox/],
      [{ ...env(), HUBSPOT_API_URL: 'http://api.hubapi.com' }, 'hubspot', /must be https/, /Set HUBSPOT_API_URL/],
      [{ ...env(), HUBSPOT_API_URL: 'http://127.0.0.1:1' }, 'hubspot', /could not be reached.*SH206/, /\S/],
      [{ ...env(), HUBSPOT_API_URL: page.url }, 'hubspot', /SH20\d/, /\S/],
      [{ ...env(), HUBSPOT_API_URL: answers.url }, 'hubspot', /SH20\d/, /\S/],
      [{ ...env(), HUBSPOT_ACCESS_TOKEN: 'two words sesame' }, 'environment', /HUBSPOT_ACCESS_TOKEN is no access token/, /Set or unset/],
    ]
    try {
      await Promise.all(tries.map(async ([given, name, message, hint]) => {
        const { isWell: isAll, by } = await look(given)
        expect(isAll).toBe(false)
        expect(by[name]).toMatchObject({ ok: false, message: expect.stringMatching(message) as string, hint: expect.stringMatching(hint) as string })
        expect(by['database']?.ok).toBe(true)
      }))
    } finally {
      page.server.close()
      answers.server.close()
    }
    // In the environment of the worker, and not in this one.
    await fresh.query('update hubspot_private.account set is_connected = true, portal_id = 7')
    expect((await look(bare)).by['hubspot']).toMatchObject({ ok: false, isAdvice: true, message: expect.stringContaining('no token is stored') as string })
    expect((await look({ ...bare, HUBSPOT_ACCESS_TOKEN: sandbox.token })).by['hubspot']).toMatchObject({ ok: false, message: expect.stringContaining('this database mirrors portal 7') as string })
    await fresh.query(`select hubspot.set_quota('daily', 1)`)
    await look({ ...bare, HUBSPOT_ACCESS_TOKEN: sandbox.token })
    expect((await look({ ...bare, HUBSPOT_ACCESS_TOKEN: sandbox.token })).by['hubspot']).toMatchObject({ ok: false, message: expect.stringContaining('SH302') as string })
  })
})

test('clocks: a little is told, much is wrong', () => {
  expect(clockCheck({ database: 900, machine: -1_500 })).toMatchObject({ ok: true })
  expect(clockCheck({ database: -20_000, machine: 300 })).toMatchObject({ ok: false, isAdvice: true, message: 'the database is 20 s behind, this machine is right' })
  const wrong = clockCheck({ database: 100, machine: 7_200_000 })
  expect(wrong).toMatchObject({ ok: false, message: expect.stringMatching(/^the database is right, this machine is 2 h.* ahead$/) as string })
  expect(wrong.isAdvice).toBeUndefined()
  expect(clockCheck(null)).toMatchObject({ ok: false, isAdvice: true })
})

async function emptyDatabase(): Promise<string> {
  const { appUrl } = inject('server')
  const name = `${db.name}_empty`
  await query(appUrl, `create database ${name}`)
  return at(appUrl, name)
}

/** A server that is no HubSpot. */
async function serve(answer: (response: ServerResponse) => void): Promise<{ url: string; server: Server }> {
  const server = createServer((_, response) => answer(response)).listen(0, '127.0.0.1')
  await once(server, 'listening')
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, server }
}
