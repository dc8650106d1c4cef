import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { migrate } from '../src/db/migrate.ts'
import { openDatabase } from '../src/db/database.ts'
import { installed } from '../src/db/installed.ts'
import { runCli } from './support/cli.ts'
import { type FreshDatabase, freshDatabase } from './support/cluster.ts'
import { at, query } from './support/global-setup.ts'
import { type Pooler, startPooler } from './support/pooler.ts'

let db: FreshDatabase
let pooler: Pooler
beforeAll(async () => {
  db = await freshDatabase('pooler')
  pooler = await startPooler(db.url)
})
afterAll(async () => {
  await pooler[Symbol.asyncDispose]()
  await db[Symbol.asyncDispose]()
})

describe('through a pooler that refuses startup options', () => {
  test.each([
    ['PgBouncer before 1.20', '08P01', 'unsupported startup parameter: options'],
    ['PgBouncer', '08P01', 'unsupported startup parameter in options: search_path'],
    ['RDS Proxy', '0A000', "Feature not supported: RDS Proxy currently doesn't support command-line options."],
  ])('%s: worker and doctor say so, and what to do', async (_, state, message) => {
    await using refusing = await startRefusing(state, message)
    for (const { code, stdout, stderr } of await Promise.all([['worker'], ['doctor']].map((args) => runCli(args, { env: { DATABASE_URL: refusing.url } })))) {
      expect(stdout + stderr).toMatch(new RegExp(`${message.replaceAll(/[.:]/g, '.')} \\(${state}\\)\\n +A pooler refuses the settings .* give a direct connection`))
      expect(code).toBe(1)
    }
  })
})

/** Refuses whoever brings options. */
async function startRefusing(state: string, message: string): Promise<AsyncDisposable & { url: string }> {
  const server = createServer((socket) => socket.on('error', () => undefined).once('data', (startup) => {
    const text = Buffer.from(`SFATAL\0C${state}\0M${startup.includes('\0options\0') ? message : 'no options came'}\0\0`)
    const head = Buffer.from('E\0\0\0\0')
    head.writeUInt32BE(text.length + 4, 1)
    socket.end(Buffer.concat([head, text]))
  }))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `postgres://somebody@127.0.0.1:${(server.address() as AddressInfo).port}/postgres`,
    [Symbol.asyncDispose]: async () => void server.close(),
  }
}

describe('through a transaction pooler', () => {
  test('a session is not kept: this is one', async () => {
    const [first, second] = [new pg.Client(pooler.url), new pg.Client(pooler.url)]
    await Promise.all([first.connect(), second.connect()])
    const pid = async (client: pg.Client) => (await client.query<{ pid: number }>('select pg_backend_pid() as pid')).rows[0]!.pid
    const seen = new Set<number>()
    for (let i = 0; i < 4; i += 1) seen.add(await pid(first))
    expect(seen.size).toBe(4)
    await first.query('begin')
    const held = await pid(first)
    expect(await pid(second)).not.toBe(held)
    expect(await pid(first)).toBe(held)
    await first.query('commit')
    await Promise.all([first.end(), second.end()])
  })

  test.each([
    ['of many connections', 4],
    // Whoever asks twice gets the same one, as long as nobody else asks.
    ['of one connection', 1],
  ])('%s: the worker says so within seconds, and ends', { timeout: 40_000 }, async (_, size) => {
    await using narrow = await startPooler(db.url, size)
    const before = performance.now()
    const env = { DATABASE_URL: narrow.url, HUBSPOT_ACCESS_TOKEN: 'pat-na1-0123456789', HUBSPOT_API_URL: 'http://127.0.0.1:9' }
    for (const { code, stderr } of await Promise.all([['worker'], ['worker', '--once']].map((args) => runCli(args, { env })))) {
      expect(stderr).toMatch(/transaction pooler \(SH004\)\n {2}Give the worker a direct or session-pooled connection/)
      expect(code).toBe(1)
    }
    expect(performance.now() - before).toBeLessThan(20_000)
    expect(await db.query('select id from hubspot_private.workers')).toEqual([])
  })

  test('SQL verbs and the views work', { timeout: 40_000 }, async () => {
    const database = openDatabase(pooler.url)
    const { pool } = database
    await pool.query(`select hubspot.connect(access_token => $1)`, ['pat-na1-0123456789'])
    await pool.query(`select hubspot.track('contacts', '{email}'), hubspot.track('deals')`)
    await pool.query(`select hubspot.schedule('contacts', 'poll', every => '5 seconds'), hubspot.set_quota('burst', 150), hubspot.pause('deals')`)
    expect((await pool.query('select object, state from hubspot.status order by 1')).rows).toEqual([
      { object: 'contacts', state: 'waiting' }, { object: 'deals', state: 'paused' }])
    expect((await pool.query(`select name from hubspot.health() where name = 'worker'`)).rows).toEqual([{ name: 'worker' }])
    // A procedure that commits in between holds its connection to its end.
    await expect(pool.query(`call hubspot.wait('contacts', timeout => '1 second')`)).rejects.toMatchObject({ code: 'SH110' })
    const { stdout, code } = await runCli(['status', '--json'], { env: { DATABASE_URL: pooler.url } })
    expect(JSON.parse(stdout)).toMatchObject({ objects: [{ object: 'contacts' }, { object: 'deals' }] })
    expect(code).toBe(0)
    await database.close()
  })

  test('the install works, many at once, and leaves no lock behind', { timeout: 40_000 }, async () => {
    const { appUrl, adminUrl } = inject('server')
    const name = `pooled_${randomBytes(4).toString('hex')}`
    await query(appUrl, `create database ${name}`)
    {
      await using pooled = await startPooler(at(appUrl, name), 12)
      const all = await Promise.all(Array.from({ length: 4 }, () => migrate(pooled.url)))
      expect(all.filter(({ isCodeApplied }) => isCodeApplied)).toHaveLength(1)
      const database = openDatabase(pooled.url)
      expect(await installed(database)).toEqual({ queueSchema: 'graphile_worker' })
      await database.close()
      expect(await query(at(adminUrl, name), `select l.mode from pg_locks l join pg_database d on d.oid = l.database
        where l.locktype = 'advisory' and d.datname = current_database()`)).toEqual([])
    }
    await query(adminUrl, `drop database ${name} with (force)`)
  })
})
