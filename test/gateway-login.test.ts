import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { chmod, chown, copyFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect as connectTls } from 'node:tls'
import { promisify } from 'node:util'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startCluster } from '../src/db/cluster.ts'
import { clusterUser } from '../src/db/cluster-files.ts'
import { parseListenAt } from '../src/gateway/door/listen.ts'
import { Logins } from '../src/gateway/door/logins.ts'
import { int32, query, readError } from '../src/gateway/wire/messages.ts'
import { startGateway } from '../src/gateway/server.ts'
import { cancelPacket, startupPacket, TLS_REQUEST } from '../src/gateway/wire/startup.ts'
import { createLog } from '../src/lib/log.ts'
import { type FreshDatabase, freshDatabase } from './support/cluster.ts'
import { type Gate, NO_BACKENDS, openGate } from './support/gateway.ts'
import { query as run } from './support/global-setup.ts'
import { openWire } from './support/wire.ts'

const TLS = { cert: join(import.meta.dirname, 'support/localhost.pem'), key: join(import.meta.dirname, 'support/localhost-key.pem') }
const silent = createLog({ write: () => undefined })
const relay = { prepare: () => Promise.resolve({ do: 'forward' as const }) }

let db: FreshDatabase
let gate: Gate
beforeAll(async () => {
  db = await freshDatabase('login')
  gate = await openGate('login', { db })
})
afterAll(async () => {
  await gate[Symbol.asyncDispose]()
  await db[Symbol.asyncDispose]()
})

const hasPsql = await promisify(execFile)('psql', ['--version']).then(() => true, () => false)
const psql = (url: string, ...args: string[]) => promisify(execFile)('psql', ['-X', '-A', '-t', '-q', '-d', url, ...args])

/** Connects, sends, and returns everything up to the end. */
async function say(own: Gate, ...bytes: Buffer[]): Promise<Buffer> {
  const socket = await dialTo(own)
  socket.write(Buffer.concat(bytes))
  return await toEnd(socket)
}
async function dialTo(own: Gate): Promise<Socket> {
  const socket = connect(own.gateway.at.port, own.gateway.at.host).on('error', () => undefined)
  await once(socket, 'connect')
  return socket
}
async function toEnd(socket: Socket): Promise<Buffer> {
  const chunks: Buffer[] = []
  socket.on('data', (chunk: Buffer) => chunks.push(chunk))
  if (!socket.closed) await once(socket, 'close')
  return Buffer.concat(chunks)
}
const signOn = (changes: Record<string, string> = {}, version = 196_608) =>
  startupPacket(version, new Map(Object.entries({ user: new URL(gate.url).username, database: db.name, ...changes })))

describe('who signs on', () => {
  test('with the right password is in as himself, and with a wrong one is told what the server says', async () => {
    const client = await gate.client()
    const { rows } = await client.query('select session_user as who, current_database() as where')
    expect(rows).toEqual([{ who: new URL(db.url).username, where: db.name }])
    await expect(run(gate.urlOf({ password: 'wrong' }), 'select')).rejects.toMatchObject({ code: '28P01', severity: 'FATAL' })
    await client.end()
    await gate.until(NO_BACKENDS)
    expect(gate.gateway.count()).toBe(0)
  })

  test('has the rights of his role and no more', async () => {
    await db.query(`create role bob_${db.name} login password 'bobs'; create table secrets (n int)`)
    const url = gate.urlOf({ user: `bob_${db.name}`, password: 'bobs' })
    await expect(run(url, 'table secrets')).rejects.toMatchObject({ code: '42501' })
    await db.query(`drop role bob_${db.name}`)
  })

  test('to another database, for replication, without a name or in another version is refused before the server hears of it', async () => {
    await expect(run(gate.urlOf({ database: 'postgres' }), 'select')).rejects.toMatchObject({ code: 'SH019', severity: 'FATAL', hint: expect.stringContaining(db.name) as string })
    for (const [bytes, code] of [[signOn({ replication: 'database' }), 'SH019'], [signOn({ user: '' }), 'SH019'], [signOn({}, 131_072), '08P01']] as const) {
      expect(readError(await say(gate, bytes), 'utf8')).toMatchObject({ severity: 'FATAL', code })
    }
    expect(readError(await say(gate, int32(9), int32(196_608), Buffer.from('u')), 'utf8')).toMatchObject({ severity: 'FATAL', code: '08P01' })
    expect(readError(await say(gate, signOn(), query('select 1')), 'utf8')).toMatchObject({ code: '08P01', message: expect.stringContaining('password') as string })
  })

  test('too often with a wrong password waits a minute, and others of the same address do not', async () => {
    await using own = await openGate('login_rate', { db })
    for (let time = 0; time < 10; time += 1) await expect(run(own.urlOf({ user: 'mallory', password: 'guess' }), 'select')).rejects.toMatchObject({ code: '28P01' })
    await expect(run(own.urlOf({ user: 'mallory', password: 'guess' }), 'select')).rejects.toMatchObject({ code: 'SH019', message: expect.stringContaining('too many logins') as string })
    for (let time = 0; time < 62; time += 1) await run(own.urlOf({ user: `mallory${time}`, password: 'guess' }), 'select').catch(() => undefined)
    await run(own.url, 'select')
    // Of all users of one address there may be far more.
    let now = 0
    const logins = new Logins(() => now)
    for (let time = 0; time < 599; time += 1) logins.failed('there', `mallory${time}`)
    expect([logins.isRefused('there', 'alice'), logins.isRefused('there', 'mallory1')]).toEqual([false, false])
    logins.failed('there', 'mallory1')
    expect([logins.isRefused('there', 'alice'), logins.isRefused('elsewhere', 'alice')]).toEqual([true, false])
    now = 60_001
    expect(logins.isRefused('there', 'alice')).toBe(false)
  })

  test('above the number of sessions is refused, until one ends', async () => {
    await using own = await openGate('login_many', { db, maxSessions: 2 })
    const first = await own.client()
    await own.client()
    await expect(own.client()).rejects.toMatchObject({ code: 'SH019', hint: expect.stringContaining('--gateway-sessions') as string })
    await first.end()
    await own.until(`(select count(*) = 1 from pg_stat_activity where datname = current_database() and application_name = 'through the gateway')`)
    await own.client()
  })

  test('with a Unix socket is served there, where a socket left behind is no hindrance', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'gateway-'))
    try {
      const at = { directory, port: 5433 }
      const left = await openGate('login_unix', { db, at })
      await expect(openGate('login_unix', { db, at })).rejects.toMatchObject({ code: 'SH017' })
      await left[Symbol.asyncDispose]()
      await promisify(execFile)(process.execPath, ['-e', `const s = require('net').createServer().listen('${directory}/.s.PGSQL.5433', () => process.kill(process.pid, 'SIGKILL'))`]).catch(() => undefined)
      await using own = await openGate('login_unix', { db, at })
      const client = await own.client({ host: directory, port: 5433 })
      expect((await client.query('select 1 as one')).rows).toEqual([{ one: 1 }])
    } finally {
      await rm(directory, { recursive: true })
    }
  })
})

describe('what is no session', () => {
  test('is hung up on: garbage, a web browser, a start-up that is too long or does not come', async () => {
    await using own = await openGate('login_slow', { db, limits: { signOnMs: 300 } })
    expect(await say(own, Buffer.from('GET / HTTP/1.1\r\n\r\n'))).toEqual(Buffer.alloc(0))
    expect(await say(own, int32(10_001), Buffer.alloc(20_000))).toEqual(Buffer.alloc(0))
    expect(await say(own, int32(-1))).toEqual(Buffer.alloc(0))
    expect(await say(own, Buffer.from([0, 0]))).toEqual(Buffer.alloc(0))
    expect(await say(own)).toEqual(Buffer.alloc(0))
    // Signed on by half: the server waits for a password that does not come.
    const answers = await say(own, signOn())
    expect(answers.toString('latin1')).toContain('SCRAM-SHA-256')
    expect(answers.toString('latin1')).toContain('signing on took more than 0.3 s')
    await own.until(NO_BACKENDS)
  })

  test('is answered as by a server that has neither: TLS and GSS', async () => {
    const socket = await dialTo(gate)
    for (const request of [TLS_REQUEST, Buffer.concat([int32(8), int32(80_877_104)])]) {
      socket.write(request)
      expect(((await once(socket, 'data')) as [Buffer])[0].toString()).toBe('N')
    }
    socket.write(signOn())
    expect(((await once(socket, 'data')) as [Buffer])[0].toString('latin1')).toContain('SCRAM-SHA-256')
    socket.destroy()
    expect((await say(gate, TLS_REQUEST, TLS_REQUEST, TLS_REQUEST, signOn())).toString('latin1')).toBe('NNN')
  })

  test('is a cancel request: with the right key alone it ends anything', async () => {
    await using wire = await openWire(gate.url)
    wire.send(query('select pg_sleep(600)'))
    await gate.until(`exists (select from pg_stat_activity where pid = ${wire.pid} and query like '%pg_sleep%')`)
    await say(gate, cancelPacket(wire.pid, Buffer.alloc(4, 1)))
    await say(gate, cancelPacket(wire.pid, Buffer.alloc(256, 1)))
    await say(gate, cancelPacket(wire.pid + 1, Buffer.alloc(4, 1)))
    expect(await db.query(`select state from pg_stat_activity where pid = $1`, [wire.pid])).toEqual([{ state: 'active' }])
  })
})

describe('TLS', () => {
  test('is spoken where there is a certificate, which may be renewed, and asked of whom it is asked of', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'gateway-'))
    const files = { cert: join(directory, 'cert.pem'), key: join(directory, 'key.pem') }
    await copyFile(TLS.cert, files.cert)
    await copyFile(TLS.key, files.key)
    await using own = await openGate('login_tls', { db, tls: files, requireTls: true })
    await expect(run(own.url, 'select')).rejects.toMatchObject({ code: 'SH019', hint: expect.stringContaining('sslmode') as string })
    const ca = await readFile(TLS.cert, 'utf8')
    const client = await own.client({ host: 'localhost', ssl: { ca } })
    expect((await client.query('select count(*)::int as n from generate_series(1, 100000)')).rows).toEqual([{ n: 100_000 }])
    // Half of a renewal: what was good goes on.
    await writeFile(files.cert, 'not yet')
    await (await own.client({ host: 'localhost', ssl: { ca } })).end()
    await copyFile(TLS.cert, files.cert)
    await (await own.client({ host: 'localhost', ssl: { ca } })).end()
    // Bytes in plain text behind the request: not taken for the client's.
    expect((await say(own, TLS_REQUEST, signOn())).toString('latin1')).not.toContain('SCRAM')
    await rm(directory, { recursive: true })
  })

  test('is not asked of this machine unless wanted, and a broken handshake harms nobody', async () => {
    await using own = await openGate('login_tls', { db, tls: TLS })
    await run(own.url, 'select')
    const socket = await dialTo(own)
    socket.write(TLS_REQUEST)
    await once(socket, 'data')
    socket.write('this is no handshake')
    await toEnd(socket)
    const started = await dialTo(own)
    started.write(TLS_REQUEST)
    await once(started, 'data')
    const secure = connectTls({ socket: started, rejectUnauthorized: false, ALPNProtocols: ['postgresql'] })
    await once(secure, 'secureConnect')
    expect(secure.alpnProtocol).toBe('postgresql')
    secure.destroy()
    await run(own.url, 'select')
  })

  test('needs files that are a certificate and its key', async () => {
    await expect(openGate('login_tls', { db, tls: { cert: TLS.cert, key: TLS.cert } })).rejects.toMatchObject({ code: 'SH017' })
    await expect(openGate('login_tls', { db, tls: { ...TLS, cert: '/nowhere.pem' } })).rejects.toMatchObject({ code: 'SH017' })
  })

  test('to the server is spoken as DATABASE_URL says, also for clients without it, whom a channel that is not theirs would turn away', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'gateway-'))
    await chmod(directory, 0o711)
    const key = join(directory, 'key.pem')
    await copyFile(TLS.key, key)
    await chmod(key, 0o600)
    const user = clusterUser()
    if (user !== null) await chown(key, user.uid, user.gid)
    await copyFile(TLS.cert, join(directory, 'cert.pem'))
    await chmod(join(directory, 'cert.pem'), 0o644)
    const hba = join(directory, 'hba.conf')
    await writeFile(hba, 'hostssl all all 127.0.0.1/32 scram-sha-256\n')
    await chmod(hba, 0o644)
    await using cluster = await startCluster({ settings: { fsync: 'off', ssl: 'on', ssl_cert_file: join(directory, 'cert.pem'), ssl_key_file: key, hba_file: hba } })
    await using plain = await startGateway({ at: { host: '127.0.0.1', port: 0 } }, { databaseUrl: `${cluster.url()}?sslmode=no-verify`, live: relay, log: silent })
    await using both = await startGateway({ at: { host: '127.0.0.1', port: 0 }, tls: TLS }, { databaseUrl: `${cluster.url()}?sslmode=verify-full&sslrootcert=${TLS.cert}`, live: relay, log: silent })
    const through = ({ at }: typeof plain) => Object.assign(new URL(cluster.url()), { port: String(at.port) }).href
    const encrypted = 'select ssl from pg_stat_ssl where pid = pg_backend_pid()'
    expect(await run(through(plain), encrypted)).toEqual([{ ssl: true }])
    expect(await run(`${through(both)}?sslmode=no-verify`, encrypted)).toEqual([{ ssl: true }])
    if (hasPsql) {
      // libpq turns away whoever offers it channel binding without TLS.
      expect((await psql(through(plain), '-c', encrypted)).stdout).toBe('t\n')
      expect((await psql(`${through(both)}?sslmode=require&channel_binding=disable`, '-c', encrypted)).stdout).toBe('t\n')
    }
    await rm(directory, { recursive: true })
  })
})

test('a server that asks no password lets nobody in', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'gateway-'))
  await chmod(directory, 0o711)
  const hba = join(directory, 'hba.conf')
  await writeFile(hba, 'host all trusted 127.0.0.1/32 trust\nhost all md5 127.0.0.1/32 md5\nhost all plain 127.0.0.1/32 password\nhost all all 127.0.0.1/32 scram-sha-256\n')
  await chmod(hba, 0o644)
  await using cluster = await startCluster({ settings: { fsync: 'off', hba_file: hba } })
  await run(cluster.url(), `create role trusted login superuser; create role plain login password 'a'; set password_encryption = md5; create role md5 login password 'a'`)
  await run(Object.assign(new URL(cluster.url()), { username: 'trusted', password: '' }).href, 'select')
  await using gateway = await startGateway({ at: { host: '127.0.0.1', port: 0 } }, { databaseUrl: cluster.url(), live: relay, log: silent })
  const as = (username: string, password: string) => Object.assign(new URL(cluster.url()), { username, password, port: String(gateway.at.port) }).href
  await expect(run(as('trusted', 'any'), 'select')).rejects.toMatchObject({ code: 'SH018', severity: 'FATAL', hint: expect.stringContaining('scram-sha-256') as string })
  // Nothing that the server said to us reached the client.
  const socket = connect(gateway.at.port, '127.0.0.1')
  socket.write(startupPacket(196_608, new Map([['user', 'trusted'], ['database', 'postgres']])))
  const answers = await toEnd(socket)
  expect(String.fromCharCode(answers[0]!)).toBe('E')
  expect(answers.length).toBe(1 + answers.readInt32BE(1))
  for (const user of ['md5', 'plain']) expect(await run(as(user, 'a'), 'select current_user as who')).toEqual([{ who: user }])
  await expect(run(as('md5', 'b'), 'select')).rejects.toMatchObject({ code: '28P01' })
  await rm(directory, { recursive: true })
})

test('a server that is away is said to be, and is found again', async () => {
  await using cluster = await startCluster({ settings: { fsync: 'off' } })
  await using gateway = await startGateway({ at: { host: '127.0.0.1', port: 0 } }, { databaseUrl: cluster.url(), live: relay, log: silent })
  const url = Object.assign(new URL(cluster.url()), { port: String(gateway.at.port) }).href
  const client = new pg.Client(url)
  const lost = new Promise((resolve) => client.on('error', resolve))
  await client.connect()
  await cluster.kill()
  await lost
  await expect(run(url, 'select')).rejects.toMatchObject({ code: '08001', severity: 'FATAL' })
  await cluster.restart()
  await run(url, 'select')
})

test('places to listen at are read, and what is none is not', () => {
  expect(['5433', '127.0.0.1:0', '[::1]:5433', '/run/hubspot:5433', 'db.example.com:1'].map(parseListenAt)).toEqual([
    { host: '127.0.0.1', port: 5433 }, { host: '127.0.0.1', port: 0 }, { host: '::1', port: 5433 }, { directory: '/run/hubspot', port: 5433 }, { host: 'db.example.com', port: 1 },
  ])
  expect(['', 'host', ':5433', '::1:5433', '127.0.0.1:65536', '/run/hubspot', '/run:0', '127.0.0.1:-1', 'a b:1'].map(parseListenAt)).toEqual(Array.from({ length: 9 }))
})
