import { expect, test } from 'vitest'
import { onLiving, openDatabase, unlessEnding } from '../src/db/database.ts'
import { freshDatabase } from './support/cluster.ts'
import { query } from './support/global-setup.ts'

test('what runs on a connection that is known to answer is not ended with others that nobody has noticed to be', async () => {
  await using fresh = await freshDatabase('living')
  await using db = openDatabase(fresh.url, { applicationName: 'living' })
  const sessions = await Promise.all(Array.from({ length: 3 }, () => db.pool.query<{ pid: number }>('select pg_backend_pid() as pid, pg_sleep(0.1)')))
  const pids = sessions.map(({ rows }) => rows[0]!.pid)
  expect(new Set(pids).size).toBe(3)
  for (const pid of pids) process.kill(pid, 'SIGSTOP')
  try {
    await query(fresh.adminUrl, `select pg_terminate_backend(pid) from unnest(array[${pids.join()}]) pid`)
    setTimeout(() => pids.forEach((pid) => process.kill(pid, 'SIGCONT')), 200)
    const pid = await onLiving(db, async (client) => (await client.query<{ pid: number }>('select pg_backend_pid() as pid')).rows[0]!.pid)
    expect(pids).not.toContain(pid)
  } finally {
    for (const pid of pids) try { process.kill(pid, 'SIGCONT') } catch { /* Ended. */ }
  }
})

test('what ends its session alone is told from what is ended with all others', async () => {
  await using fresh = await freshDatabase('living')
  await using db = openDatabase(fresh.url, { applicationName: 'ended' })
  const ending = (whose: string) => unlessEnding(db, async (client) => {
    await client.query(`select pg_terminate_backend(pid) from pg_stat_activity where ${whose}`)
    await client.query('select pg_sleep(10)')
  })
  expect(await ending('pid = pg_backend_pid()')).toBe(undefined)
  // Its own last, which ends at once.
  await expect(ending("datname = current_database() and application_name = 'ended' order by pid = pg_backend_pid()")).rejects.toMatchObject({ code: '57P01' })
  expect(await unlessEnding(db, async (client) => (await client.query<{ n: number }>('select 1 as n')).rows[0]!.n)).toBe(1)
})

test('what ends its session there says so, and is not tried again', async () => {
  await using fresh = await freshDatabase('living')
  await using db = openDatabase(fresh.url)
  let times = 0
  await expect(onLiving(db, (client) => {
    times += 1
    return client.query('select pg_terminate_backend(pg_backend_pid())')
  })).rejects.toMatchObject({ code: '57P01' })
  expect(times).toBe(1)
})
