import { spawnSync } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test, vi } from 'vitest'
import { type Cluster, startCluster } from '../src/db/cluster.ts'
import { openDatabase } from '../src/db/database.ts'
import { migrate } from '../src/db/migrate.ts'
import { createLog } from '../src/lib/log.ts'
import { type Sandbox, startSandbox } from '../src/sandbox/index.ts'
import { runOnce } from '../src/worker.ts'
import { differences } from './support/compare.ts'
import { query } from './support/global-setup.ts'

// A dump that is restored, beside the original and on another server, by a role that is no superuser.

vi.setConfig({ testTimeout: 120_000 })

const [, major = '0'] = /(\d+)/.exec(spawnSync('pg_dump', ['--version'], { encoding: 'utf8' }).stdout ?? '') ?? []
/** The server whose dumps this machine's pg_dump writes, and that reads them. */
const version = ({ 15: 15, 16: 15, 18: 18 } as const)[Number(major)]

function run(program: string, args: string[]): void {
  const { status, stderr } = spawnSync(program, args, { encoding: 'utf8' })
  if (status !== 0) throw new Error(`${program} ended with ${status}:\n${stderr}`)
}

async function emptyDatabase(cluster: Cluster, name: string): Promise<string> {
  await query(cluster.url(), `do $$ begin create role app login password 'app'; exception when duplicate_object then null; end $$`)
  await query(cluster.url(), `create database ${name} owner app`)
  const url = new URL(cluster.url(name))
  ;[url.username, url.password] = ['app', 'app']
  return url.href
}

async function temporary(): Promise<AsyncDisposable & { path: string }> {
  const path = await mkdtemp(join(tmpdir(), 'pg-hubspot-dump-'))
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true }) }
}

async function read(url: string, sandbox: Sandbox, options: { token?: string } = {}): Promise<unknown> {
  const log = createLog({ level: 'error', write: () => undefined })
  return await runOnce({ databaseUrl: url, hubspot: { baseUrl: sandbox.url, ...options }, log, signal: AbortSignal.timeout(60_000) }).catch((error: unknown) => error)
}

test.skipIf(version === undefined)('what is restored stands still, loses nothing, and goes on where it stood once it is adopted', async () => {
  await using sandbox = await startSandbox({ objects: { contacts: 250, deals: 40 }, settings: { limits: false, lag: 0 } })
  await using here = await startCluster({ version: version!, settings: { fsync: 'off' } })
  await using there = await startCluster({ version: version!, settings: { fsync: 'off' } })
  const original = await emptyDatabase(here, 'original')
  await migrate(original)
  await query(original, `select hubspot.connect('${sandbox.token}'), hubspot.track('contacts', '{firstname,email}'), hubspot.track('deals', '{dealname}'), hubspot.track_associations('deals', 'contacts')`)
  expect(await read(original, sandbox)).toEqual({ parked: [] })
  await using folder = await temporary()
  const dump = join(folder.path, 'dump')
  run('pg_dump', ['-Fc', '-f', dump, original])
  for (const [cluster, text] of [[here, /installed as original, and is copy/], [there, /on another server/]] as const) {
    const url = await emptyDatabase(cluster, 'copy')
    run('pg_restore', ['--no-owner', '--exit-on-error', '-d', url, dump])
    await using copy = openDatabase(url, { max: 2 })
    const ask = async (statement: string, values?: unknown[]) => (await copy.pool.query<Record<string, unknown>>(statement, values)).rows
    sandbox.store.resetCalls()
    // An install there, as an upgrade would be, changes nothing of it.
    expect(await migrate(url)).toMatchObject({ isCodeApplied: false })
    expect(await read(url, sandbox, { token: sandbox.token })).toMatchObject({ code: 'SH005' })
    expect(await ask(`select ok, message from hubspot.health() where name = 'identity'`)).toEqual([{ ok: false, message: expect.stringMatching(text) as string }])
    expect(sandbox.store.calls()).toEqual([])
    sandbox.store.edit('contacts', '101', { firstname: `after ${cluster.port}` })
    await ask('select hubspot.adopt(read_only => true)')
    await ask(`update hubspot_private.streams set next_at = hubspot_private.clock() where stream in ('poll', 'settle')`)
    expect(await read(url, sandbox)).toEqual({ parked: [] })
    expect(await differences({ pool: copy.pool, query: ask as never }, sandbox, 'contacts')).toEqual([])
    // Not one page of the first load was read again.
    expect(sandbox.store.calls({ kind: 'list' }).filter(({ archived }) => archived !== true)).toEqual([])
    expect(await ask('select count(*)::integer as open from hubspot.problems where resolved_at is null')).toEqual([{ open: 0 }])
  }
  expect(await query(original, `select ok from hubspot.health() where name = 'identity'`)).toEqual([{ ok: true }])
})
