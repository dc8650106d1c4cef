import { createServer, type Socket } from 'node:net'
import { once } from 'node:events'
import pg from 'pg'

/** A transaction pooler between clients and a server. */
export type Pooler = AsyncDisposable & {
  /** Of the same database, through it. */
  url: string
}

/** A server's connection, and whom it serves until its transaction ends. */
type Backend = { socket: Socket; guest: Guest | undefined }
/** A client: what it has sent and nobody took yet, and how many answers it still waits for. */
type Guest = { socket: Socket; backend: Backend | undefined; waiting: Buffer[]; open: number }

/**
 * Gives each transaction of a client the next free connection of a few that it holds, as PgBouncer does with
 * pool_mode = transaction: what a session keeps (LISTEN, advisory locks, SET) stays with a connection that others use next.
 */
export async function startPooler(databaseUrl: string, size = 4): Promise<Pooler> {
  const clients = Array.from({ length: size }, () => new pg.Client(databaseUrl))
  const free: Backend[] = []
  const queue: Guest[] = []
  const guests = new Set<Socket>()
  for (const client of clients) free.push(await adopt(client, release))
  const server = createServer((socket) => {
    guests.add(socket.on('error', () => undefined).on('close', () => guests.delete(socket)))
    greet(socket, (guest) => {
      if (guest.backend !== undefined || queue.includes(guest)) return
      queue.push(guest)
      serve()
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const url = new URL(databaseUrl)
  url.port = String((server.address() as { port: number }).port)
  return {
    url: url.href,
    async [Symbol.asyncDispose]() {
      for (const socket of guests) socket.destroy()
      server.close()
      for (const { connection } of clients as unknown as { connection: { stream: Socket } }[]) connection.stream.destroy()
    },
  }

  function serve(): void {
    while (queue.length > 0 && free.length > 0) {
      const guest = queue.shift()!
      const backend = free.shift()!
      guest.backend = backend
      backend.guest = guest
      for (const bytes of guest.waiting.splice(0)) backend.socket.write(bytes)
    }
  }
  function release(backend: Backend): void {
    const { guest } = backend
    if (guest !== undefined) guest.backend = undefined
    backend.guest = undefined
    free.push(backend)
    if (guest !== undefined && guest.waiting.length > 0) queue.push(guest)
    serve()
  }
}

/** Takes over the socket of a connection once it is signed on. What comes while it serves nobody, as a notification, is lost. */
async function adopt(client: pg.Client, release: (backend: Backend) => void): Promise<Backend> {
  client.on('error', () => undefined)
  await client.connect()
  const { stream } = (client as unknown as { connection: { stream: Socket } }).connection
  const backend: Backend = { socket: stream, guest: undefined }
  stream.removeAllListeners('data')
  stream.on('data', messages((kind, bytes) => {
    const { guest } = backend
    guest?.socket.write(bytes)
    if (guest === undefined || kind !== 'Z') return
    guest.open -= 1
    if (guest.open === 0 && String.fromCharCode(bytes[5]!) === 'I') release(backend)
  }))
  return backend
}

/** Signs a client on, whoever it is, and takes what it sends. */
function greet(socket: Socket, wants: (guest: Guest) => void): void {
  const guest: Guest = { socket, backend: undefined, waiting: [], open: 0 }
  const parse = messages((kind, bytes) => {
    // Query and Sync are answered by ReadyForQuery.
    if (kind === 'Q' || kind === 'S') guest.open += 1
    if (kind === 'X') socket.end()
    else if (guest.backend !== undefined) guest.backend.socket.write(bytes)
    else {
      guest.waiting.push(bytes)
      wants(guest)
    }
  })
  // As PgBouncer does: whoever leaves in the middle of a transaction takes the connection along.
  socket.once('close', () => guest.backend?.socket.destroy())
  socket.once('data', () => {
    // AuthenticationOk, ReadyForQuery.
    socket.write(Buffer.from([0x52, 0, 0, 0, 8, 0, 0, 0, 0, 0x5a, 0, 0, 0, 5, 0x49]))
    socket.on('data', parse)
  })
}

/** Cuts a stream into messages: a letter, the length of the rest, the rest. */
function messages(each: (kind: string, bytes: Buffer) => void): (chunk: Buffer) => void {
  let rest = Buffer.alloc(0)
  return (chunk) => {
    rest = Buffer.concat([rest, chunk])
    while (rest.length >= 5 && rest.length > rest.readUInt32BE(1)) {
      const end = 1 + rest.readUInt32BE(1)
      each(String.fromCharCode(rest[0]!), rest.subarray(0, end))
      rest = rest.subarray(end)
    }
  }
}
