import { once } from 'node:events'
import { connect } from 'node:net'
import { expect, test } from 'vitest'
import { openDatabase } from '../src/db/database.ts'
import { startWorld, type World } from './support/sync.ts'
import { changeOf, idsOf, older, siteOf, v3 } from './support/webhooks.ts'

const warnings = ({ lines }: World) => lines.filter((line) => line.includes('"warn"') && line.includes('webhook'))

test('bodies that break off, which anyone can send, are no warning', async () => {
  await using world = await startWorld('strangers')
  await using site = siteOf(world)
  await site.listen()
  const { port } = new URL(world.store.webhooks().target!.url)
  for (let sent = 0; sent < 5; sent += 1) {
    const socket = connect(Number(port), '127.0.0.1')
    await once(socket, 'connect')
    const headers = Object.entries({ ...v3('[]', { secret: 'another' }), host: 'x', 'content-length': 100 }).map(([name, value]) => `${name}: ${value}\r\n`)
    socket.write(`POST /webhooks/hubspot HTTP/1.1\r\n${headers.join('')}\r\n[{`, () => socket.destroy())
    await once(socket, 'close')
  }
  await expect.poll(() => world.lines.filter((line) => /broke off|sends it again/.test(line))).toHaveLength(5)
  expect(warnings(world)).toEqual([])
})

test('a database that is away is told of once a minute, however many requests come', async () => {
  await using world = await startWorld('strangers')
  await using away = openDatabase('postgres://nobody@127.0.0.1:1/none')
  await using site = siteOf(world, { db: away })
  for (let sent = 0; sent < 5; sent += 1) expect((await site.send([])).status).toBe(503)
  expect(warnings(world)).toHaveLength(1)
})

test('an event that HubSpot tells of weeks late is taken, whatever version signed it', async () => {
  await using world = await startWorld('strangers', { sandbox: { objects: { contacts: 3 } } })
  await using site = siteOf(world)
  const ids = idsOf(world).map(Number)
  const signs = [(body: string) => v3(body), (body: string) => older('v1', body), (body: string) => older('v2', body)]
  for (const [i, sign] of signs.entries()) {
    const event = changeOf(world, ids[i], { occurredAt: Date.now() - 30 * 86_400_000 })
    expect(await (await site.send([event], { sign })).json()).toMatchObject({ stored: 1 })
    // With the other headers taken off, as whoever captured the request may: known for ten minutes.
    expect(await (await site.send([event], { sign: (body) => older('v1', body) })).json()).toMatchObject({ stored: 0, repeated: 1 })
  }
})
