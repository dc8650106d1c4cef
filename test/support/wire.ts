import type { Socket } from 'node:net'
import pg from 'pg'
import { readError, readRow } from '../../src/gateway/wire/messages.ts'
import { type Message, Scanner } from '../../src/gateway/wire/protocol.ts'

/** A session spoken by hand, message by message. */
export type Wire = AsyncDisposable & {
  socket: Socket
  pid: number
  send(...bytes: Buffer[]): void
  /** What came, up to and with a message of this kind; '' once the connection is closed. */
  until(kind: string): Promise<Message[]>
  /** The kinds of what came up to ReadyForQuery, and its state: `12DCZI`. */
  answers(): Promise<string>
}

/** Signs on as node-postgres does, and takes its socket over. */
export async function openWire(url: string): Promise<Wire> {
  const client = new pg.Client(url)
  client.on('error', () => undefined)
  await client.connect()
  const { stream: socket } = (client as unknown as { connection: { stream: Socket } }).connection
  const came: Message[] = []
  let isClosed = false
  let wake = () => undefined as void
  const scanner = new Scanner(() => true, (message) => {
    // A copy: what is kept must not change with the chunk.
    came.push({ kind: message.kind, bytes: Buffer.from(message.bytes) })
    return 'drop'
  })
  socket.removeAllListeners('data').on('data', (chunk: Buffer) => {
    scanner.push(chunk)
    wake()
  })
  socket.on('close', () => {
    isClosed = true
    wake()
  })
  const until = async (kind: string) => {
    for (;;) {
      const at = came.findIndex((message) => message.kind === kind)
      if (at >= 0) return came.splice(0, at + 1)
      if (isClosed) {
        if (kind === '') return came.splice(0)
        throw new Error(`closed before ${kind}: ${came.map((message) => message.kind).join('')}`)
      }
      await new Promise<void>((resolve) => {
        wake = resolve
      })
    }
  }
  return {
    socket, until,
    pid: (client as unknown as { processID: number }).processID,
    send: (...bytes) => void socket.write(Buffer.concat(bytes)),
    async answers() {
      const messages = await until('Z')
      return messages.map(({ kind }) => kind).join('') + String.fromCharCode(messages.at(-1)!.bytes[5]!)
    },
    async [Symbol.asyncDispose]() {
      socket.destroy()
      await until('')
    },
  }
}

/** The rows among these messages. */
export const rowsOf = (messages: readonly Message[]): (string | null)[][] => messages.filter(({ kind }) => kind === 'D').map(({ bytes }) => readRow(bytes, 'utf8'))

/** The error among these messages. */
export const errorOf = (messages: readonly Message[]): ReturnType<typeof readError> | undefined => {
  const error = messages.find(({ kind }) => kind === 'E')
  return error && readError(error.bytes, 'utf8')
}
