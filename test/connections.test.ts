import { once } from 'node:events'
import { request } from 'node:http'
import { connect, type Socket } from 'node:net'
import { text } from 'node:stream/consumers'
import { describe, expect, test } from 'vitest'
import { createLog } from '../src/lib/log.ts'
import { type Handler, serve } from '../src/web/server.ts'
import { createWebhooks } from '../src/web/webhooks.ts'
import { startWorld } from './support/sync.ts'
import { changeOf, idsOf, SECRET, siteOf, v3 } from './support/webhooks.ts'

// What others do to the port: many connections, bodies that do not end. Events that are signed must come through.

const log = createLog({ level: 'error' })
const PATH = '/webhooks/hubspot'

async function serving(handler: Handler) {
  const server = await serve({ host: '127.0.0.1', port: 0, isSpare: false }, handler, log)
  const { port } = new URL(server.url()!)
  const sockets: Socket[] = []
  return {
    port: Number(port),
    /** A connection that says this, and waits. */
    async say(head: string): Promise<Socket> {
      const socket = connect(Number(port), '127.0.0.1').on('error', () => undefined)
      sockets.push(socket)
      await once(socket, 'connect')
      if (head !== '') socket.write(head)
      return socket
    },
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy()
      await server[Symbol.asyncDispose]()
    },
  }
}

/** The head of an event that nobody signed. */
const unsigned = (length: number) =>
  `POST ${PATH} HTTP/1.1\r\nHost: x\r\nX-HubSpot-Signature-v3: AAAA\r\nX-HubSpot-Request-Timestamp: ${Date.now()}\r\nContent-Length: ${length}\r\n\r\n`

async function post(port: number, body: string, headers: Record<string, string>): Promise<string> {
  const sent = request({ port, host: '127.0.0.1', method: 'POST', path: PATH, headers: { ...v3(body, { url: `http://127.0.0.1:${port}${PATH}` }), ...headers }, agent: false })
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  sent.on('response', (response) => resolve(text(response).then((said) => `${response.statusCode} ${said}`))).on('error', reject)
  sent.end(body)
  return await promise
}

describe('the port', () => {
  test('answers a probe though hundreds of connections say nothing, or never end what they say', async () => {
    await using it = await serving(() => Promise.resolve(new Response('fine')))
    const probe = () => fetch(`http://127.0.0.1:${it.port}/healthz`, { signal: AbortSignal.timeout(2_000), headers: { connection: 'close' } }).then((response) => response.text())
    for (let i = 0; i < 520; i += 1) await it.say(i % 2 === 0 ? '' : 'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n[')
    expect(await probe()).toBe('fine')
    for (let i = 0; i < 20; i += 1) await it.say('')
    expect(await probe()).toBe('fine')
  })

  test('ends a connection that says nothing within seconds', async () => {
    await using it = await serving(() => Promise.resolve(new Response('fine')))
    const socket = await it.say('GET / HTTP/1.1\r\n')
    const began = performance.now()
    socket.resume()
    await once(socket, 'close')
    expect(performance.now() - began).toBeLessThan(9_000)
  }, 20_000)

  test('takes no place of a request that is being answered', async () => {
    const under = Promise.withResolvers<Response>()
    await using it = await serving((asked) => (asked.url.endsWith('/slow') ? under.promise : Promise.resolve(new Response('fine'))))
    const slow = fetch(`http://127.0.0.1:${it.port}/slow`)
    for (let i = 0; i < 520; i += 1) await it.say('')
    under.resolve(new Response('there it is'))
    expect(await (await slow).text()).toBe('there it is')
  })
})

describe('signed events', () => {
  test('are taken, twenty at once, with a length or in chunks', async () => {
    await using world = await startWorld('together', { sandbox: { objects: { contacts: 3 } } })
    await world.load('contacts', ['firstname'])
    await using site = siteOf(world)
    await using it = await serving(site.handle)
    let n = 0
    const event = () => JSON.stringify([{ ...changeOf(world, Number(idsOf(world)[0])), eventId: (n += 1) }])
    for (const headers of [{}, { 'transfer-encoding': 'chunked' }]) {
      const answers = await Promise.all(Array.from({ length: 20 }, () => post(it.port, event(), headers)))
      expect(new Set(answers)).toEqual(new Set(['200 {"stored":1,"repeated":0,"unreadable":0,"other_portals":0}']))
    }
    const answers = await Promise.all(Array.from({ length: 20 }, () => post(it.port, event(), {})))
    expect(answers.filter((answer) => !answer.startsWith('200'))).toEqual([])
  })

  test('are taken while others declare long bodies and do not send them, and while they send them', async () => {
    await using world = await startWorld('others', { sandbox: { objects: { contacts: 3 } } })
    await world.load('contacts', ['firstname'])
    await using site = siteOf(world)
    await using it = await serving(site.handle)
    const event = (eventId: number) => JSON.stringify([{ ...changeOf(world, Number(idsOf(world)[0])), eventId }])
    for (let i = 0; i < 6; i += 1) await it.say(`${unsigned(10 * 1024 * 1024)}[`)
    await it.say(`${unsigned(4 * 1024 * 1024 - 4)}[`)
    expect(await post(it.port, event(1), {})).toContain('200 ')
    const long = await Promise.all(Array.from({ length: 9 }, () => it.say(unsigned(10 * 1024 * 1024))))
    // One too many for the room there is: it is told.
    const told = Promise.any(long.map(async (socket) => String((await once(socket, 'data'))[0])))
    for (const socket of long) socket.write(' '.repeat(9 * 1024 * 1024))
    expect(await told).toContain('503 ')
    expect(await post(it.port, event(2), {})).toContain('200 ')
  })

  test('of which one too long for the room that is left gives way as a whole, and the room is free again', async () => {
    const db = { pool: { query: () => Promise.resolve({ rows: [{ stored: 0, repeated: 0, unreadable: 0, other_portals: 0 }] }) } } as never
    const handle = createWebhooks({ db, inbox: { wake: () => undefined }, log, secrets: () => Promise.resolve([SECRET]) })
    await using it = await serving(handle)
    const body = `[${' '.repeat(9 * 1024 * 1024)}]`
    for (let round = 0; round < 2; round += 1) {
      for (const answer of await Promise.all(Array.from({ length: 4 }, () => post(it.port, body, {})))) expect(answer).toContain('200 ')
    }
  }, 30_000)
})
