import { once } from 'node:events'
import type { Socket } from 'node:net'
import { type SecureContext, TLSSocket } from 'node:tls'
import { hangUp } from './hang-up.ts'
import { errorResponse } from './messages.ts'
import { refused, violates } from './refusals.ts'
import { LARGEST_STARTUP, readStartup, type Startup } from './startup.ts'

/** What a connection turned out to be for. `socket`: to go on with. */
export type Greeted = Exclude<Startup, { kind: 'tls' | 'gss' | 'unfit' }> & { socket: Socket; isTls: boolean }

/**
 * Reads what a client sends first, and takes TLS up where it asks. Undefined: it went away, or spoke something else, and is
 * hung up on. What it sends afterwards is still to be read.
 */
export async function greet(plain: Socket, { tls, needsTls }: { tls: (() => SecureContext) | undefined; needsTls: boolean }): Promise<Greeted | undefined> {
  let socket = plain
  let isTls = false
  // A client may ask for both encryptions before it signs on, and for none twice.
  for (let asks = 0; asks < 3; asks += 1) {
    const size = (await take(socket, 4))?.readInt32BE(0)
    if (size === undefined || size < 8 || size > LARGEST_STARTUP) break
    const body = await take(socket, size - 4)
    if (body === undefined) break
    const startup = readStartup(body)
    if (startup.kind === 'cancel') return { ...startup, socket, isTls }
    if (startup.kind === 'session') {
      if (!needsTls || isTls) return { ...startup, socket, isTls }
      hangUp(socket, errorResponse('FATAL', refused('it is not encrypted', 'Connect with sslmode=require or better.').error))
      return undefined
    }
    if (startup.kind === 'unfit') {
      if (startup.message === undefined) break
      hangUp(socket, errorResponse('FATAL', violates(startup.message).error))
      return undefined
    }
    if (startup.kind === 'gss' || tls === undefined || isTls) {
      socket.write('N')
      continue
    }
    // Sent before it was encrypted, and by whom nobody knows.
    if (socket.readableLength > 0) break
    const secure = await upgrade(socket, tls())
    if (secure === undefined) break
    socket = secure
    isTls = true
  }
  socket.destroy()
  return undefined
}

async function upgrade(plain: Socket, secureContext: SecureContext): Promise<Socket | undefined> {
  plain.write('S')
  const secure = new TLSSocket(plain, { isServer: true, secureContext, ALPNProtocols: ['postgresql'] })
  secure.on('error', () => undefined)
  plain.once('close', () => secure.destroy())
  await Promise.race([once(secure, 'secure'), once(secure, 'close')]).catch(() => undefined)
  return secure.destroyed ? undefined : secure
}

/** So many bytes, and not one more; undefined where they do not come. */
async function take(socket: Socket, count: number): Promise<Buffer | undefined> {
  for (;;) {
    const bytes = socket.read(count) as Buffer | null
    if (bytes !== null) return bytes.length === count ? bytes : undefined
    if (socket.readableEnded || socket.destroyed) return undefined
    await new Promise<void>((resolve) => {
      const events = ['readable', 'end', 'close'] as const
      const on = () => {
        for (const event of events) socket.off(event, on)
        resolve()
      }
      for (const event of events) socket.on(event, on)
    })
  }
}
