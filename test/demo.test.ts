import { describe, expect, inject, test, vi } from 'vitest'
import { compareAll } from '../src/demo/compare.ts'
import type { Control } from '../src/demo/edits.ts'
import { valueOf } from '../src/demo/values.ts'
import { openDatabase } from '../src/db/database.ts'
import { startSandbox } from '../src/sandbox/index.ts'
import { runCli, startCli } from './support/cli.ts'
import { freshDatabase } from './support/cluster.ts'
import { at, query } from './support/global-setup.ts'

// The demo keeps to its minute where it has two cores to itself; beside other test files it may take longer.
vi.setConfig({ testTimeout: 120_000 })

async function emptyDatabase(name: string): Promise<string> {
  const { appUrl } = inject('server')
  await query(appUrl, `drop database if exists ${name} with (force)`)
  await query(appUrl, `create database ${name}`)
  return at(appUrl, name)
}

test('demo --once loads, edits, compares, leaves nothing behind, and exits 0', async () => {
  const url = await emptyDatabase('demo_once')
  const { code, stdout, stderr } = await runCli(['demo', '--once'], { env: { DATABASE_URL: url } })
  expect(stdout + stderr).toMatch(/3,900 records loaded/)
  expect(stdout).toMatch(/contacts: 2,\d{3} records × \d+ columns, \d{3},\d{3} values compared, 0 differ/)
  expect(stdout).toContain('the tables equal the sandbox, to the last value')
  expect(code).toBe(0)
  expect(await query(url, "select from pg_namespace where nspname like 'hubspot%'")).toEqual([])
})

test('with a token it reads that account: what may be read, and no more', async () => {
  await using sandbox = await startSandbox({ objects: { contacts: 300, companies: 120, truck: 20 }, settings: { burst: 10_000, lag: 0 } })
  const scopes = ['oauth', 'crm.objects.contacts.read', 'crm.objects.companies.read', 'crm.schemas.custom.read', 'crm.objects.custom.read']
  sandbox.store.addToken({ token: 'a-real-account', scopes })
  const url = await emptyDatabase('demo_real')
  const { code, stdout, stderr } = await runCli(['demo', '--once'], {
    env: { DATABASE_URL: url, HUBSPOT_API_URL: sandbox.url, HUBSPOT_ACCESS_TOKEN: 'a-real-account' },
  })
  expect(stdout + stderr).toMatch(/deals is left out: .*/)
  expect(stdout + stderr).not.toContain('a-real-account')
  expect(stdout).toMatch(/440 records loaded/)
  expect(code).toBe(0)
  // What was loaded stays, and nothing was written there.
  expect(await query(url, 'select count(*)::integer as count from hubspot.truck')).toEqual([{ count: 20 }])
  expect(new Set(sandbox.store.counts().map(({ kind }) => kind))).not.toContain('unknown')
  expect(stdout).not.toMatch(/changed or created in HubSpot/)
})

test('a database that has the product is left alone', async () => {
  await using database = await freshDatabase('demo_taken')
  const { code, stderr } = await runCli(['demo', '--once'], { env: { DATABASE_URL: database.url } })
  expect(stderr).toMatch(/installed in the database of DATABASE_URL/)
  expect(code).toBe(1)
})

test('a signal ends it with what it began', async () => {
  const url = await emptyDatabase('demo_ended')
  await using demo = startCli(['demo'], { env: { DATABASE_URL: url } })
  await demo.said(/backfilling| left/)
  demo.child.kill('SIGINT')
  expect(await demo.ended).toMatchObject({ code: 0, stderr: '' })
  expect(await query(url, "select from pg_namespace where nspname like 'hubspot%'")).toEqual([])
})

describe('the comparison', () => {
  test('finds a missing, a surplus and a different record, in values and in dates', async () => {
    await using sandbox = await startSandbox({ objects: { companies: 30 }, settings: { limits: false, lag: 0 } })
    await using database = await freshDatabase('compare')
    await database.query(`select hubspot.track('companies')`)
    const env = { DATABASE_URL: database.url, HUBSPOT_API_URL: sandbox.url, HUBSPOT_ACCESS_TOKEN: sandbox.token }
    expect((await runCli(['worker', '--once'], { env })).code).toBe(0)
    await using db = openDatabase(database.url)
    const told = async (change: (record: ReturnType<typeof copy>, at: number) => ReturnType<typeof copy> | undefined) => {
      const lines: string[] = []
      const records = [...sandbox.store.records('companies')].map(copy).map(change).filter((record) => record !== undefined)
      const control = { async *dump() { yield* await Promise.resolve(records) } } as unknown as Control
      const isEqual = await compareAll(db, control, ['companies'], (line) => lines.push(line))
      return { isEqual, text: lines.join('\n') }
    }
    const copy = (record: { id: string; properties: Readonly<Record<string, string | null>>; createdAt: string; updatedAt: string }) => ({
      id: record.id, properties: { ...record.properties }, createdAt: record.createdAt, updatedAt: record.updatedAt,
    })
    expect(await told((record) => record)).toMatchObject({ isEqual: true, text: expect.stringContaining('30 records') as string })
    expect(await told((record, n) => (n === 3 ? undefined : record))).toMatchObject({ isEqual: false, text: expect.stringContaining('is in Postgres alone') as string })
    expect(await told((record, n) => (n === 3 ? { ...record, id: '1' } : record))).toMatchObject({ isEqual: false, text: expect.stringContaining('companies 1 is missing') as string })
    expect(await told((record, n) => (n === 3 ? { ...record, updatedAt: '2020-01-01T00:00:00.001Z' } : record)).then(({ text }) => text)).toMatch(/_updated_at: 1577836800001 in HubSpot/)
    expect(await told((record, n) => (n === 3 ? { ...record, properties: { ...record.properties, name: 'Other' } } : record)).then(({ text }) => text)).toMatch(/name: "Other" in HubSpot, ".*" in Postgres/)
    expect(await told((record) => ({ ...record, properties: { ...record.properties, new_one: '1' } })).then(({ text }) => text)).toMatch(/new_one: no column in Postgres/)
  })

  test.each([
    ['numeric', '007.50', '75e-1'], ['numeric', '750e-2', '75e-1'], ['numeric', '-0.0', '0'], ['numeric', '12000', '12e3'],
    ['numeric', '123456789012345678901234567890.1', '1234567890123456789012345678901e-1'],
    ['timestamptz', '1700000000000', 1_700_000_000_000], ['timestamptz', '2023-11-14T22:13:20Z', 1_700_000_000_000],
    ['date', '1700000000000', '2023-11-14'], ['text[]', 'a;b', ['a', 'b']], ['boolean', 'true', 'true'],
  ])('%s %s', (type, text, value) => expect(valueOf(type, text)).toEqual({ value }))

  test.each([['numeric', '1_000'], ['boolean', 'yes'], ['timestamptz', 'soon'], ['date', 'today']])('%s cannot be %s', (type, text) => {
    expect(valueOf(type, text)).toEqual({ value: null, isOdd: true })
  })
})
