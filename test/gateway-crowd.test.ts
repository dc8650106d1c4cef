import { once } from 'node:events'
import { connect } from 'node:net'
import { expect, test } from 'vitest'
import { Waiting } from '../src/gateway/door/waiting.ts'
import { startupPacket } from '../src/gateway/wire/startup.ts'
import { freshDatabase } from './support/cluster.ts'
import { openGate } from './support/gateway.ts'

test('whoever signs on is let in though many others only begin to, and those who do not go on make room', async () => {
  await using db = await freshDatabase('crowd')
  await using own = await openGate('login_crowd', { db, maxSessions: 4, limits: { signOnMs: 60_000 } })
  const { host, port } = own.gateway.at
  const signOn = startupPacket(196_608, new Map([['user', new URL(own.url).username], ['database', db.name]]))
  const open = (bytes?: Buffer) => {
    const socket = connect({ host, port })
    socket.on('error', () => undefined)
    if (bytes !== undefined) socket.write(bytes)
    return socket
  }
  const first = await own.client()
  const idle = [...Array.from({ length: 8 }, () => open(signOn)), ...Array.from({ length: 150 }, () => open())]
  await Promise.all(idle.slice(0, 8).map(async (socket) => await once(socket, 'data')))
  const others = [await own.client(), await own.client(), await own.client()]
  for (const client of [first, ...others]) expect((await client.query('select 1 as one')).rows).toEqual([{ one: 1 }])
  // Those who are in stay.
  await expect(own.client()).rejects.toMatchObject({ code: 'SH019', hint: expect.stringContaining('--gateway-sessions') as string })
  expect(own.gateway.count()).toBe(4)
  for (const socket of idle) socket.destroy()
})

test('who goes first waits longest, where most wait', () => {
  const waiting = new Waiting<number>()
  for (const [guest, address] of [[1, 'a'], [2, 'b'], [3, 'b'], [4, 'a'], [5, 'b']] as const) waiting.add(guest, address)
  waiting.delete(3)
  waiting.add(6, 'b')
  expect([waiting.takeOldest(), waiting.takeOldest(), waiting.size]).toEqual([2, 1, 3])
  for (let left = 3; left > 0; left -= 1) waiting.takeOldest()
  expect(waiting.takeOldest()).toBeUndefined()
})
