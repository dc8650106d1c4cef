import { spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, inject, test, vi } from 'vitest'
import { allCommands } from '../src/cli/main.ts'
import { type Sandbox, startSandbox } from '../src/sandbox/index.ts'
import { VERSION } from '../src/lib/version.ts'
import { callCli, runCli, startCli } from './support/cli.ts'
import { type FreshDatabase, freshDatabase } from './support/cluster.ts'
import { at, query } from './support/global-setup.ts'

const root = join(import.meta.dirname, '..')
// A process for each command: half a second when the machine is idle, several when it is not.
vi.setConfig({ testTimeout: 90_000 })

let sandbox: Sandbox
let database: FreshDatabase
beforeAll(async () => {
  sandbox = await startSandbox({ objects: { contacts: 250 }, settings: { limits: false, lag: 0 } })
  database = await freshDatabase('cli')
})
afterAll(async () => {
  await database[Symbol.asyncDispose]()
  await sandbox.close()
})
const env = () => ({ DATABASE_URL: database.url, HUBSPOT_API_URL: sandbox.url })

/** An empty database of the test role's. */
async function emptyDatabase(): Promise<string> {
  const { appUrl } = inject('server')
  const name = `cli_${randomBytes(4).toString('hex')}`
  await query(appUrl, `create database ${name}`)
  return at(appUrl, name)
}

describe('the command line', () => {
  test('help names every command, and every command has its own help', async () => {
    const { code, stdout } = await callCli(['help'])
    expect(code).toBe(0)
    for (const { name, summary } of await allCommands()) {
      expect(stdout).toMatch(new RegExp(`^  ${name}\\b.*  ${summary.slice(0, 20)}`, 'm'))
      for (const args of [[name, '--help'], ['help', name], [name, '--nonsense', '-h']]) {
        expect(await callCli(args)).toMatchObject({ code: 0, stderr: '', stdout: expect.stringContaining(`Usage: pg-hubspot ${name}`) as string })
      }
    }
  })

  test.each([
    [['--version'], 0, new RegExp(`^${VERSION}\n$`)],
    [[], 64, /Usage: pg-hubspot COMMAND/],
    [['stauts'], 64, /unknown command stauts\n {2}Did you mean: pg-hubspot status\n/],
    [['adopt'], 64, /unknown command adopt\n {2}See: pg-hubspot help\n/],
    [['--once', 'worker'], 64, /--once comes after a command/],
    [['status', '--jsno'], 64, /unknown option --jsno\n {2}Did you mean --json\?/],
    [['status', '--json=yes'], 64, /--json takes no value/],
    [['worker', '--concurrency'], 64, /--concurrency wants N/],
    [['worker', '--concurrency', '0'], 64, /--concurrency is below 1/],
    [['worker', '--concurrency', 'many'], 64, /--concurrency is not a number/],
    [['resync'], 64, /OBJECT is missing/],
    [['resync', 'deals', '--wait', '--timeout', 'soon'], 64, /--timeout "soon" is not a duration/],
    [['install', '--queue-schema', 'Jobs'], 64, /--queue-schema is no plain schema name/],
    [['install', '--queue-schema', 'hubspot_private'], 64, /--queue-schema cannot be hubspot_private/],
    [['install', '--queue-schema', 'pg_jobs'], 64, /--queue-schema cannot be pg_jobs/],
    [['sandbox', '--contacts', 'few'], 64, /--contacts is not a number/],
    [['sandbox', '--Vehicle', '3'], 64, /--Vehicle is no name of an object: small letters, digits and _/],
    [['sandbox', '--a-b', '3'], 64, /--a-b is no name of an object/],
    [['sandbox', '--set', 'lag=late'], 64, /--set lag: milliseconds/],
    [['status', '--log-level', 'loud'], 64, /--log-level one of debug, info, warn, error/],
  ])('%j ends with %i', async (args, code, text) => {
    const ended = await callCli(args)
    expect(ended.stdout + ended.stderr).toMatch(text)
    expect(ended.code).toBe(code)
  })

  test('a token is no argument, and is not repeated', async () => {
    const { code, stdout, stderr } = await runCli(['connect', 'pat-na1-very-secret'], { env: env() })
    expect(code).toBe(64)
    expect(stdout + stderr).not.toContain('very-secret')
  })

  test.each([
    [undefined, /^pg-hubspot: DATABASE_URL is not set \(SH104\)\n {2}Set it/],
    ['postgres://u:sec#ret@there/x', /^pg-hubspot: DATABASE_URL cannot be read: (?!.*ret@).*%23.*\(SH104\)/],
    ['mysql://there', /^pg-hubspot: DATABASE_URL is not a postgres:\/\/ URL \(SH104\)/],
    ['postgres://u:sesame-open@127.0.0.1:1/x', /cannot reach PostgreSQL at 127\.0\.0\.1:1: nothing listens there \(ECONNREFUSED\)\n {2}Is the server running/],
  ])('DATABASE_URL %s: one line says what is wrong, one what to do', async (url, text) => {
    const commands = ['status', 'worker', 'install']
    for (const { code, stdout, stderr } of await Promise.all(commands.map((name) => runCli([name], { env: { DATABASE_URL: url } })))) {
      expect(stderr).toMatch(text)
      expect(stderr.trim().split('\n')).toHaveLength(2)
      expect(stderr + stdout).not.toContain('sesame')
      expect(code).toBe(1)
    }
  })

  test('errors of Postgres keep their code; a stack is for --log-level debug', async () => {
    const missing = { DATABASE_URL: at(database.url, 'no_such_database') }
    const plain = await runCli(['status'], { env: missing })
    expect(plain.stderr).toMatch(/database "no_such_database" does not exist \(3D000\)\n {2}Create the database first/)
    expect(plain.stderr).not.toContain('    at ')
    const { stderr } = await runCli(['status', '--log-level', 'debug'], { env: missing })
    expect(stderr).toContain('    at ')
  })

  test.each([
    ['HUBSPOT_ACCESS_TOKEN', 'two sesame words', /HUBSPOT_ACCESS_TOKEN is no access token: it has spaces/],
    ['HUBSPOT_ACCESS_TOKEN', 'sesame', /HUBSPOT_ACCESS_TOKEN is no access token: it is shorter than 8 characters/],
    ['HUBSPOT_ACCESS_TOKEN', 'sesame'.repeat(1000), /HUBSPOT_ACCESS_TOKEN is no access token: it is longer than 4096 characters/],
    ['HUBSPOT_CLIENT_SECRET', 'sesame', /HUBSPOT_CLIENT_SECRET is no client secret: it is shorter than 8 characters/],
    ['HUBSPOT_CLIENT_SECRET', 'two sesame words', /HUBSPOT_CLIENT_SECRET is no client secret: it has spaces/],
    ['PG_HUBSPOT_HTTP_TOKEN', 'sesame', /PG_HUBSPOT_HTTP_TOKEN is no token: it is shorter than 8 characters/],
  ])('a wrong variable is named, not shown: %s', async (name, value, text) => {
    const { code, stderr } = await callCli(['status'], { ...env(), [name]: value })
    expect(stderr).toMatch(text)
    expect(stderr).not.toContain('sesame')
    expect(code).toBe(1)
  })

  test('the built command runs, and finds its SQL', async () => {
    const built = spawnSync(join(root, 'node_modules/.bin/tsc'), ['-p', 'tsconfig.build.json'], { cwd: root })
    expect(built.status).toBe(0)
    const { code, stdout } = await runCli(['install', '--json'], { env: { DATABASE_URL: await emptyDatabase() }, program: 'dist/cli.js' })
    expect(JSON.parse(stdout)).toMatchObject({ from: null, to: VERSION, changed: true })
    expect(code).toBe(0)
  })
})

describe('install and uninstall', () => {
  test('nothing works before install; install may run again and at once; uninstall asks, removes, and is content with nothing', async () => {
    const url = { DATABASE_URL: await emptyDatabase() }
    for (const command of ['status', 'worker', 'connect']) {
      const { code, stderr } = await runCli([command], { env: url, input: 'pat-na1-0123456789' })
      expect(stderr).toMatch(/not installed in this database \(SH016\)\n {2}Run: npx pg-hubspot install/)
      expect(code).toBe(1)
    }
    const three = await Promise.all([1, 2, 3].map(() => runCli(['install', '--queue-schema', 'jobs', '--json'], { env: url })))
    expect(three.map(({ code }) => code)).toEqual([0, 0, 0])
    const results = three.map(({ stdout }) => JSON.parse(stdout) as { changed: boolean; queue_schema: string })
    expect(results.filter(({ changed }) => changed)).toHaveLength(1)
    expect(results.map((one) => one.queue_schema)).toEqual(['jobs', 'jobs', 'jobs'])
    expect(await runCli(['install'], { env: url })).toMatchObject({ code: 0, stdout: `pg-hubspot ${VERSION} is installed and up to date.\n` })
    expect((await runCli(['install', '--queue-schema', 'other'], { env: url })).stderr).toContain('the queue lives in schema jobs')

    expect(await runCli(['uninstall'], { env: url })).toMatchObject({ code: 1, stderr: expect.stringContaining('--yes') as string })
    expect((await runCli(['status'], { env: url })).code).toBe(0)
    expect(await runCli(['uninstall', '--yes'], { env: url })).toMatchObject({ code: 0 })
    expect((await runCli(['uninstall', '--json'], { env: url })).stdout).toContain('"removed":false')
    expect(await query(url.DATABASE_URL, "select from pg_namespace where nspname like 'hubspot%'")).toEqual([])
  })

  test('uninstall leaves nothing of others to be lost unseen', async () => {
    const url = { DATABASE_URL: await emptyDatabase() }
    expect((await runCli(['install'], { env: url })).code).toBe(0)
    await query(url.DATABASE_URL, 'create table hubspot.mine as select 1 as one')
    const { code, stderr } = await runCli(['uninstall', '--yes'], { env: url })
    expect(stderr).toMatch(/schema hubspot holds what is not pg-hubspot's: table hubspot\.mine \(SH104\)\n {2}.*alter table hubspot\.mine set schema public;.*--with-others/)
    expect(code).toBe(1)
    expect(await query(url.DATABASE_URL, 'table hubspot.mine')).toEqual([{ one: 1 }])
    expect(await runCli(['uninstall', '--yes', '--with-others'], { env: url })).toMatchObject({ code: 0 })
    expect(await query(url.DATABASE_URL, "select from pg_namespace where nspname like 'hubspot%'")).toEqual([])
  })

  test('a newer database is refused by install and by the worker (SH001)', async () => {
    await using newer = await freshDatabase('newer')
    await newer.query(`update hubspot_private.schema_files set version = '99.0.0' where name = 'code'`)
    for (const command of ['install', 'worker']) {
      const { code, stderr } = await runCli([command], { env: { DATABASE_URL: newer.url } })
      expect(stderr).toMatch(/installed by pg-hubspot 99\.0\.0, this is .* \(SH001\)\n {2}Upgrade the package/)
      expect(code).toBe(1)
    }
  })

  test('a role that may not create schemas is told what to run (SH002)', async () => {
    const { adminUrl } = inject('server')
    const role = `cli_${randomBytes(4).toString('hex')}`
    await query(adminUrl, `create role ${role} login password 'pw'`)
    const url = new URL(await emptyDatabase())
    Object.assign(url, { username: role, password: 'pw' })
    const { code, stderr } = await runCli(['install'], { env: { DATABASE_URL: url.href } })
    expect(stderr).toMatch(new RegExp(`may not create schemas .* \\(SH002\\)\n {2}As its owner run: grant create on database .* to "?${role}`))
    expect(code).toBe(1)
    await query(adminUrl, `drop role ${role}`)
  })
})

describe('with a database', () => {
  test('connect takes the token from standard input or the environment, and says that no worker checks it', async () => {
    for (const given of [{ env: env(), input: `${sandbox.token}\n` }, { env: { ...env(), HUBSPOT_ACCESS_TOKEN: sandbox.token } }]) {
      const { code, stdout, stderr } = await runCli(['connect', '--json'], given)
      expect(JSON.parse(stdout)).toMatchObject({ state: 'waiting', hint: expect.stringContaining('pg-hubspot worker') as string })
      expect(stderr).toBe('')
      expect(code).toBe(0)
    }
    expect(await runCli(['connect'], { env: env() })).toMatchObject({ code: 1, stderr: expect.stringContaining('no token was given') as string })
    expect((await runCli(['connect'], { env: env(), input: 'no token' })).stderr).toContain('SH104')
  })

  test('a reader sees the status, with what is wrong; others are told how to be let in', async () => {
    const { adminUrl } = inject('server')
    const role = `reader_${randomBytes(4).toString('hex')}`
    await query(adminUrl, `create role ${role} login password 'pw'`)
    const url = new URL(database.url)
    Object.assign(url, { username: role, password: 'pw' })
    const as = { DATABASE_URL: url.href }
    expect((await runCli(['status'], { env: as })).stderr).toMatch(/permission denied .* \(42501\)\n {2}.*grant_read/)
    await database.query('select hubspot.grant_read($1)', [role])
    expect((await runCli(['status'], { env: as })).stdout).toMatch(/! worker: 0 running\. Start one with: npx pg-hubspot worker/)
    await query(database.adminUrl, `drop owned by ${role}; drop role ${role}`)
  })

  test('status --watch shows again and again; a closed pipe is no failure', async () => {
    await using watching = startCli(['status', '--watch', '--interval', '100ms', '--json'], { env: env() })
    await watching.said(/\n.*\n.*\n/)
    watching.child.stdout?.destroy()
    expect((await watching.ended).code).toBe(0)
  })
})

test('the sandbox prints where it is, makes what it is told to, and ends in order', async () => {
  await using running = startCli(['sandbox', '--contacts', '12', '--ship', '3', '--token', 'made-up-token', '--set', 'lag=0', '--set', 'hosting=eu1'])
  const started = JSON.parse(await running.said(/\n/)) as { url: string; controlUrl: string; token: string; portalId: number }
  expect(started).toMatchObject({ token: 'made-up-token', portalId: 8_675_309 })
  const control = await (await fetch(started.controlUrl)).json() as { objects: Record<string, { live: number }> }
  expect(control.objects).toMatchObject({ contacts: { live: 12 }, deals: { live: 0 }, ship: { live: 3 } })
  const settings = await (await fetch(`${started.controlUrl}/settings`)).json()
  expect(settings).toMatchObject({ lag: 0, hosting: 'eu1' })
  running.child.kill('SIGTERM')
  expect(await running.ended).toMatchObject({ code: 0, stderr: '' })
})
