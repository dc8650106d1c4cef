import { type ChildProcess, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { describe, expect, test } from 'vitest'
import { startCluster } from '../src/db/cluster.ts'
import { freshDatabase } from './support/cluster.ts'
import { query } from './support/global-setup.ts'

const settings = { fsync: 'off' }

describe('a cluster', () => {
  test('takes connections by password on loopback only, with the settings it was given', async () => {
    await using cluster = await startCluster({ settings: { ...settings, work_mem: '5MB' } })
    const show = async (name: string) => Object.values((await query(cluster.url(), `show ${name}`))[0] ?? {})[0]
    expect(await show('work_mem')).toBe('5MB')
    expect(await show('listen_addresses')).toBe('127.0.0.1')
    expect(await show('port')).toBe(String(cluster.port))
    const wrong = new URL(cluster.url())
    wrong.password = 'wrong'
    await expect(query(wrong.href, 'select')).rejects.toMatchObject({ code: '28P01' })
  })

  test('keeps what was committed over SIGKILL, and its port over restarts', async () => {
    await using cluster = await startCluster()
    const { pid } = cluster
    await query(cluster.url(), 'create table kept as select 42 as answer')
    // A backend in the middle of something has to notice the postmaster's death before a new one may start.
    const busy = new pg.Client(cluster.url())
    busy.on('error', () => undefined)
    await busy.connect()
    const asleep = expect(busy.query('select pg_sleep(600)')).rejects.toThrow()
    await cluster.kill()
    await cluster.restart()
    await asleep
    expect(cluster.pid).not.toBe(pid)
    expect(await query(cluster.url(), 'table kept')).toEqual([{ answer: 42 }])
    await cluster.restart()
    expect(await query(cluster.url(), 'table kept')).toEqual([{ answer: 42 }])
  })

  test('removes its folder when it stops, however often it is told', async () => {
    const cluster = await startCluster({ settings })
    const data = await dataDirectory(cluster.url())
    expect(existsSync(data)).toBe(true)
    await cluster.stop()
    await cluster.stop()
    expect(existsSync(dirname(data))).toBe(false)
    await expect(query(cluster.url(), 'select')).rejects.toMatchObject({ code: 'ECONNREFUSED' })
  })

  test('keeps a folder that it was given, and takes it up again', async () => {
    const dataDir = join(tmpdir(), `pg-hubspot-kept-${randomUUID()}`)
    try {
      const first = await startCluster({ dataDir, superuserPassword: 'known', settings })
      await query(first.url(), 'create table kept as select 42 as answer')
      await first.stop()
      await expect(startCluster({ dataDir, settings })).rejects.toMatchObject({ code: 'SH104' })
      await using second = await startCluster({ dataDir, superuserPassword: 'known', settings })
      expect(await query(second.url(), 'table kept')).toEqual([{ answer: 42 }])
    } finally {
      await rm(dataDir, { recursive: true, force: true })
    }
  })

  test('says why it does not start', async () => {
    await using cluster = await startCluster({ settings })
    await expect(startCluster({ port: cluster.port })).rejects.toThrow(/could not bind/)
    await expect(startCluster({ settings: { nonsense: '1' } })).rejects.toThrow(/nonsense/)
  })

  for (const signal of ['SIGINT', 'SIGTERM', 'SIGKILL'] as const) {
    test(`does not outlive a process that ends by ${signal}`, async () => {
      const child = startProgram('await new Promise((resolve) => setTimeout(resolve, 600_000))')
      const { url, data } = await child.printed
      expect(existsSync(data)).toBe(true)
      child.process.kill(signal)
      await gone(dirname(data))
      await expect(query(url, 'select')).rejects.toMatchObject({ code: 'ECONNREFUSED' })
    })
  }

  test('does not keep a program alive that forgot to stop it, nor outlives it', async () => {
    // Long enough to be asked where its data is, with nothing left to wait for after that.
    const child = startProgram('await new Promise((resolve) => setTimeout(resolve, 1_000))')
    const { data } = await child.printed
    expect(child.process.exitCode ?? (await once(child.process, 'exit'))[0]).toBe(0)
    await gone(dirname(data))
  })
})

describe('a fresh database', () => {
  test('belongs to a role that is no superuser', async () => {
    await using db = await freshDatabase('cluster')
    expect(
      await db.query(`
        select r.rolsuper, d.datdba = r.oid as owns
          from pg_database d, pg_roles r
         where d.datname = current_database() and r.rolname = current_user`),
    ).toEqual([{ rolsuper: false, owns: true }])
  })

  test('has the product installed, which takes it for its own and not for a clone', async () => {
    await using db = await freshDatabase('cluster')
    expect(
      await db.query(`
        select i.database_name, i.database_oid = d.oid as is_own
          from hubspot_private.installation i, pg_database d
         where d.datname = current_database()`),
    ).toEqual([{ database_name: db.name, is_own: true }])
  })

  test('is not shared, and its times come back as text', async () => {
    await using one = await freshDatabase('cluster')
    await using two = await freshDatabase('cluster')
    await one.query('create table only_here (at timestamptz)')
    await one.query(`insert into only_here values ('2026-01-02T03:04:05.123456Z')`)
    const [row] = await one.query(`select at at time zone 'UTC' as at from only_here`)
    expect(row).toEqual({ at: '2026-01-02 03:04:05.123456' })
    await expect(two.query('table only_here')).rejects.toMatchObject({ code: '42P01' })
  })
})

type Program = { process: ChildProcess; printed: Promise<{ url: string; data: string }> }

/** Another process with a cluster, which prints where it is and then does `rest`. */
function startProgram(rest: string): Program {
  const module = JSON.stringify(join(import.meta.dirname, '../src/db/cluster.ts'))
  const program = `
    const { startCluster } = await import(${module})
    const cluster = await startCluster({ settings: { fsync: 'off' } })
    console.log(cluster.url())
    ${rest}`
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], { stdio: ['ignore', 'pipe', 'inherit'] })
  const printed = once(createInterface(child.stdout), 'line').then(async ([line]) => {
    const url = String(line)
    return { url, data: await dataDirectory(url) }
  })
  return { process: child, printed }
}

async function dataDirectory(url: string): Promise<string> {
  const [row] = await query<{ data_directory: string }>(url, 'show data_directory')
  return row?.data_directory ?? ''
}

async function gone(path: string): Promise<void> {
  while (existsSync(path)) await sleep(20)
}
