import { once } from 'node:events'
import type { Socket } from 'node:net'
import { type SecureContext, TLSSocket } from 'node:tls'
import { hangUp } from './hang-up.ts'
import { errorResponse } from '../wire/messages.ts'
import { refused, violates } from '../session/refusals.ts'
import { LARGEST_STARTUP, readStartup, type Startup } from '../wire/startup.ts'

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
    const opening = new Opening(socket)
    const startup = await opening.read()
    const isMore = opening.leave()
    if (startup === undefined) break
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
    if (isMore) break
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

/** Reads one start-up packet from a socket, and leaves what follows it there. */
class Opening {
  readonly #socket: Socket
  #bytes: Buffer = Buffer.alloc(0)
  #isOver = false
  #wake: () => void = () => undefined

  constructor(socket: Socket) {
    this.#socket = socket
    socket.on('data', this.#more).on('end', this.#ends).on('close', this.#ends).resume()
    this.#isOver = socket.destroyed
  }

  /** Undefined: it is none, or does not come. */
  async read(): Promise<Startup | undefined> {
    const size = (await this.#take(4))?.readInt32BE(0)
    if (size === undefined || size < 8 || size > LARGEST_STARTUP) return undefined
    const body = await this.#take(size - 4)
    return body && readStartup(body)
  }

  /** Gives the socket back; whether something is there to be read already. */
  leave(): boolean {
    this.#socket.off('data', this.#more).off('end', this.#ends).off('close', this.#ends).pause()
    if (this.#bytes.length > 0) this.#socket.unshift(this.#bytes)
    return this.#bytes.length > 0
  }

  readonly #more = (chunk: Buffer) => {
    this.#bytes = Buffer.concat([this.#bytes, chunk])
    this.#wake()
  }

  readonly #ends = () => {
    this.#isOver = true
    this.#wake()
  }

  async #take(count: number): Promise<Buffer | undefined> {
    while (this.#bytes.length < count) {
      if (this.#isOver) return undefined
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
    const taken = this.#bytes.subarray(0, count)
    this.#bytes = this.#bytes.subarray(count)
    return taken
  }
}
