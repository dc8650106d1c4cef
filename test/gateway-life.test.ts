import { once } from 'node:events'
import { connect } from 'node:net'
import fc from 'fast-check'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { LiveSession, Verdict } from '../src/gateway/live.ts'
import { bind, execute, message, parse, query, SYNC } from '../src/gateway/wire/messages.ts'
import { startupPacket } from '../src/gateway/wire/startup.ts'
import { type Gate, NO_BACKENDS, openGate } from './support/gateway.ts'
import { query as run } from './support/global-setup.ts'
import { errorOf, openWire } from './support/wire.ts'
import { startProxy } from './support/proxy.ts'

let gate: Gate
beforeAll(async () => {
  gate = await openGate('life')
})
afterAll(() => gate[Symbol.asyncDispose]())
beforeEach(() => {
  gate.answer = () => ({ do: 'forward' })
})

afterEach(() => gate.leave())

/** Live waits for HubSpot until the session's signal; resolves once it does. */
function holdUp(own: Gate, text: string): Promise<LiveSession> {
  return new Promise((resolve) => {
    own.answer = (statement, session) => {
      if (!statement.text.includes(text)) return { do: 'forward' }
      return new Promise<Verdict>((_, reject) => {
        session.signal.addEventListener('abort', () => reject(session.signal.reason as Error))
        resolve(session)
      })
    }
  })
}
const cancel = (client: pg.Client) => {
  const { processID, secretKey } = client as unknown as { processID: number; secretKey: number }
  const { host, port } = gate.gateway.at
  const socket = connect(port, host)
  const packet = Buffer.alloc(16)
  ;[16, 80_877_102, processID, secretKey].forEach((value, at) => packet.writeInt32BE(value, 4 * at))
  socket.end(packet)
  return once(socket.resume(), 'close')
}
const asleep = (pid: number) => `exists (select from pg_stat_activity where pid = ${pid} and state = 'active' and query like '%pg_sleep%')`

describe('a cancel request', () => {
  test('ends what Live waits for, and the session goes on; in a transaction it aborts it', async () => {
    const client = await gate.client()
    for (const [begin, after] of [['select', 'one'], ['begin', '25P02']] as const) {
      await client.query(begin)
      const waits = holdUp(gate, 'slow')
      const refused = expect(client.query(`select 'slow'`)).rejects.toMatchObject({ code: '57014' })
      const { signal } = await waits
      await cancel(client)
      await refused
      expect(signal.aborted).toBe(true)
      const next = client.query('select 1 as one').then(({ fields }) => fields[0]!.name, (error: pg.DatabaseError) => error.code)
      expect(await next).toBe(after)
    }
    await client.query('rollback')
  })

  test('ends what the server does, and what is injected', async () => {
    const client = await gate.client()
    const { processID: pid } = client as unknown as { processID: number }
    const refused = expect(client.query('select pg_sleep(600)')).rejects.toMatchObject({ code: '57014' })
    await gate.until(asleep(pid))
    await cancel(client)
    await refused
    // The error is told of before the process is seen awake.
    await client.query('select')
    gate.answer = async ({ text }, { inject }) => (text.includes('inject') && (await inject('select pg_sleep(600)')), { do: 'forward' })
    const injected = expect(client.query(`select 'inject'`)).rejects.toMatchObject({ code: '57014' })
    await gate.until(asleep(pid))
    await cancel(client)
    await injected
    expect((await client.query('select 1 as one')).rows).toEqual([{ one: 1 }])
    // To a session that does nothing it says nothing.
    await cancel(client)
    expect((await client.query('select 1 as one')).rows).toEqual([{ one: 1 }])
  })
})

describe('a client that goes away', () => {
  test('while Live waits ends that, and takes its process along', async () => {
    const waits = holdUp(gate, 'slow')
    const wire = await openWire(gate.url)
    wire.send(query(`select 'slow'`))
    const { signal } = await waits
    await wire[Symbol.asyncDispose]()
    if (!signal.aborted) await once(signal, 'abort')
    await gate.until(NO_BACKENDS)
  })

  test('while the server works for it ends that too, which the server would notice only at the end', async () => {
    for (const part of [query('select pg_sleep(600)'), Buffer.concat([parse('', 'select pg_sleep(600)'), bind('', '', []), execute(''), message('H')])]) {
      const wire = await openWire(gate.url)
      wire.send(part)
      await gate.until(asleep(wire.pid))
      await wire[Symbol.asyncDispose]()
      await gate.until(NO_BACKENDS)
    }
  })

  test('after it said goodbye has what it asked before done', async () => {
    await gate.db.query('create table asked (n int)')
    const wire = await openWire(gate.url)
    wire.send(query('insert into asked select 1 from pg_sleep(0.3)'), query('insert into asked values (2)'), message('X'))
    wire.socket.end()
    await gate.until('(select count(*) = 2 from asked)')
    await gate.until(NO_BACKENDS)
  })

  test('without a word is given up when it has been silent for long: idle, in a transaction, or reading nothing', async () => {
    await using own = await openGate('silent', { limits: { idle: '300ms', idleInTransaction: '600ms', stallMs: 500 } })
    await using proxy = await startProxy(own.url)
    const clients = await Promise.all(['select', 'begin'].map(async (text) => {
      const client = new pg.Client(proxy.url)
      client.on('error', () => undefined)
      await client.connect()
      await client.query(text)
      return client
    }))
    const wire = await openWire(own.url)
    wire.socket.pause()
    wire.send(query(`select repeat('x', 1000) from generate_series(1, 1000000)`))
    proxy.freeze()
    await own.until(NO_BACKENDS)
    for (const client of clients) client.end().catch(() => undefined)
    wire.socket.resume()
    await wire[Symbol.asyncDispose]()
    await expect.poll(() => own.gateway.count()).toBe(0)
  })

  test('and one that reads slowly is not: what it was sent comes whole', async () => {
    const wire = await openWire(gate.url)
    wire.send(query(`select repeat('x', 1000) from generate_series(1, 20000)`))
    wire.socket.pause()
    for (let round = 0; round < 20; round += 1) {
      await new Promise((resolve) => setTimeout(resolve, 10))
      wire.socket.resume()
      await new Promise((resolve) => setTimeout(resolve, 1))
      wire.socket.pause()
    }
    wire.socket.resume()
    expect((await wire.until('Z')).filter(({ kind }) => kind === 'D')).toHaveLength(20_000)
    await wire[Symbol.asyncDispose]()
  })
})

test('a client that sends one byte at a time is served as any other', async () => {
  await using wire = await openWire(gate.url)
  for (const byte of Buffer.concat([query('select 1'), parse('', 'select 2'), bind('', '', []), execute(''), SYNC])) {
    wire.send(Buffer.from([byte]))
    await new Promise((resolve) => setImmediate(resolve))
  }
  expect([await wire.answers(), await wire.answers()]).toEqual(['TDCZI', '12DCZI'])
})

test('a client that sends far ahead and reads nothing is not read further, and gets all its answers in the end', async () => {
  const wire = await openWire(gate.url)
  wire.socket.pause()
  const ahead = Buffer.concat([query(`select repeat('x', 10000)`), query(`select /* ${'y'.repeat(100_000)} */ 1`)])
  for (let n = 0; n < 300; n += 1) wire.send(ahead)
  wire.socket.resume()
  for (let n = 0; n < 600; n += 1) expect(await wire.answers()).toBe('TDCZI')
  await wire[Symbol.asyncDispose]()
})

test('what is longer than the gateway takes ends the session with a word, and the gateway takes long queries', async () => {
  await using own = await openGate('long', { limits: { largestMessage: 200_000 } })
  const client = await own.client()
  expect((await client.query(`select ${'1 + '.repeat(1_000)} 1 as n, length('${'x'.repeat(150_000)}') as l`)).rows).toEqual([{ n: 1_001, l: 150_000 }])
  await using wire = await openWire(own.url)
  wire.send(query(`select '${'x'.repeat(300_000)}'`))
  expect(errorOf(await wire.until(''))).toMatchObject({ severity: 'FATAL', code: '08P01' })
})

test('any bytes after sign-on, or instead of it, harm nobody else and leave nothing behind', async () => {
  const other = await gate.client()
  const kinds = fc.constantFrom(...Array.from('QPBEDCSHFXpdcfz\0'))
  const messages = fc.tuple(kinds, fc.uint8Array({ maxLength: 30 })).map(([kind, body]) => message(kind, Buffer.from(body)))
  const anything = fc.array(fc.oneof(messages, fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes))), { maxLength: 6 })
  await fc.assert(fc.asyncProperty(anything, fc.boolean(), async (chunks, isSignedOn) => {
    if (isSignedOn) {
      const wire = await openWire(gate.url)
      for (const chunk of chunks) wire.send(chunk)
      await new Promise((resolve) => setImmediate(resolve))
      await wire[Symbol.asyncDispose]()
    } else {
      const socket = connect(gate.gateway.at.port, gate.gateway.at.host).on('error', () => undefined).resume()
      socket.write(Buffer.concat([...(chunks.length % 2 === 0 ? [startupPacket(196_608, new Map([['user', 'nobody'], ['database', gate.db.name]]))] : []), ...chunks]))
      await new Promise((resolve) => setTimeout(resolve, 2))
      socket.destroy()
    }
  }), { numRuns: 150 })
  expect((await other.query('select 1 as one')).rows).toEqual([{ one: 1 }])
  await other.end()
  await gate.until(NO_BACKENDS)
  expect(gate.gateway.count()).toBe(0)
  expect(gate.lines.filter((line) => line.includes('"level":"error"'))).toEqual([])
})

test('a process that is ended takes its session along, with the server\'s own words', async () => {
  const client = await gate.client()
  const { processID: pid } = client as unknown as { processID: number }
  const lost = new Promise((resolve) => client.once('error', resolve))
  await run(gate.db.adminUrl, `select pg_terminate_backend(${pid})`)
  expect(await lost).toMatchObject({ code: '57P01', severity: 'FATAL' })
  const waits = holdUp(gate, 'slow')
  const waiting = await gate.client()
  const failed = expect(waiting.query(`select 'slow'`)).rejects.toMatchObject({ code: '57P01' })
  const { signal } = await waits
  await run(gate.db.adminUrl, `select pg_terminate_backend(${(waiting as unknown as { processID: number }).processID})`)
  await failed
  // The words come before the end of the connection.
  if (!signal.aborted) await once(signal, 'abort')
})

test('a gateway that stops tells everyone so and ends what they wait for, within seconds', async () => {
  const own = await openGate('stop')
  const [idle, waits, works] = [await own.client(), await own.client(), await own.client()]
  const half = connect(own.gateway.at.port, own.gateway.at.host)
  await once(half, 'connect')
  const held = holdUp(own, 'slow')
  const ends = [
    new Promise((resolve) => idle.once('error', resolve)),
    waits.query(`select 'slow'`).catch((error: unknown) => error),
    works.query('select pg_sleep(600)').catch((error: unknown) => error),
  ]
  await held
  await own.until(asleep((works as unknown as { processID: number }).processID))
  const asked = performance.now()
  await own.gateway.stop()
  expect(performance.now() - asked).toBeLessThan(3_000)
  for (const error of await Promise.all(ends)) expect(error).toMatchObject({ code: expect.stringMatching(/^57P01|57014$/) as string })
  await own.until(NO_BACKENDS)
  if (!half.closed) await once(half.resume(), 'close')
  await expect(own.client()).rejects.toMatchObject({ code: 'ECONNREFUSED' })
  await own[Symbol.asyncDispose]()
})

test('two hundred sessions, twenty at a time, leave nothing behind', async () => {
  await Promise.all(Array.from({ length: 20 }, async () => {
    for (let n = 0; n < 10; n += 1) {
      const client = new pg.Client(gate.url).on('error', () => undefined)
      await client.connect()
      expect((await client.query('select $1::int as n', [n])).rows).toEqual([{ n }])
      if (n % 2 === 0) await client.end()
      else (client as unknown as { connection: { stream: { destroy(): void } } }).connection.stream.destroy()
    }
  }))
  await gate.until(NO_BACKENDS)
  expect(gate.gateway.count()).toBe(0)
})
