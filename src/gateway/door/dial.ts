import { once } from 'node:events'
import { connect, isIP, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import type { ServerAddress } from '../../db/server-address.ts'
import { cancelPacket, TLS_REQUEST } from '../wire/startup.ts'

/** How long a server may take to be reached, and to take a cancel request; ms. */
const DIAL_MS = 10_000

/** Connects to the server, over TLS where its address says so. Ends with the signal, or after ten seconds. */
export async function dial({ to, tls, isDirect }: ServerAddress, signal?: AbortSignal): Promise<Socket> {
  const limit = AbortSignal.any([AbortSignal.timeout(DIAL_MS), ...(signal === undefined ? [] : [signal])])
  const socket = connect({ ...to, noDelay: true, keepAlive: true, keepAliveInitialDelay: 10_000 })
  // Whoever waits hears of it; what breaks between two waits must not end the process.
  socket.on('error', () => undefined)
  try {
    await once(socket, 'connect', { signal: limit })
    if (tls === false) return socket
    if (!isDirect) {
      socket.write(TLS_REQUEST)
      const [answer] = (await once(socket, 'data', { signal: limit })) as [Buffer]
      // More than the one byte was sent before it was encrypted, and by whom nobody knows.
      if (answer.toString('latin1') !== 'S') throw new Error('the server does not support TLS')
    }
    const { host } = tls
    const secure = connectTls({
      ...tls,
      socket,
      ...(isDirect && { ALPNProtocols: ['postgresql'] }),
      ...(host !== undefined && isIP(host) === 0 && { servername: host }),
    })
    secure.on('error', () => undefined)
    await once(secure, 'secureConnect', { signal: limit })
    return secure
  } catch (error) {
    socket.destroy()
    throw error
  }
}

/** Asks the server to end what a session's process does; returns when it took that in. What comes of it nobody tells. */
export async function sendCancel(server: ServerAddress, { pid, key }: { pid: number; key: Buffer }): Promise<void> {
  const socket = await dial(server)
  socket.end(cancelPacket(pid, key))
  socket.resume()
  if (!socket.closed) await once(socket, 'close', { signal: AbortSignal.timeout(DIAL_MS) }).finally(() => socket.destroy())
}
