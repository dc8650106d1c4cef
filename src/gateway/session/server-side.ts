import type { Socket } from 'node:net'
import { hangUp } from '../door/hang-up.ts'
import { Refusal, type ServerError } from '../live.ts'
import {
  bind, close, type Encoding, encodingOf, errorResponse, execute, parse, readError, readParameter, readRow, readStatus, FLUSH, SYNC, TERMINATE,
} from '../wire/messages.ts'
import { type Fate, type Message, Scanner } from '../wire/protocol.ts'

/** What a server's side tells its session. */
export type ServerEvents = {
  /** What is for the client. */
  answer(chunks: readonly Buffer[]): void
  /** An Authentication message, BackendKeyData, CopyInResponse or ErrorResponse that the client is to get. */
  seen(message: Message): Fate
  /** ParseComplete or CloseComplete; false: the client asked for none. */
  done(): boolean
  /** It waits for the client, after something of ours alone or of the client's. */
  ready(isOurs: boolean): void
  full(): void
  drained(): void
  /** The connection is over, in whatever way; once. */
  closed(): void
}

/** The name of our own statements and portals, beside the client's. */
const OWN = '_hubspot_live'
const WANTED = new Set('RKSEGZ13')

/** The connection is gone. */
export class Closed extends Error {}

type Rows = (string | null)[][]

/** A session's own connection to the server: follows where it stands, relays, and runs statements of ours between. */
export class ServerSide {
  readonly #socket: Socket
  readonly #events: ServerEvents
  readonly #scanner: Scanner
  /** ReadyForQuery that are still to come. */
  #awaited = 0
  #injection: { rows: Rows; error: ServerError | undefined } | undefined
  #planted: { token: string; error: ServerError } | undefined
  #isSwallowed = false
  #isClosed = false
  #passing: { resolve(hasFailed: boolean): void; reject(error: Error): void } | undefined
  #waiters: { resolve(hasFailed: boolean): void; reject(error: Error): void }[] = []
  /** Where its transaction stands: I, T, E. */
  status = 'I'
  /** How many transactions ended so far. */
  transaction = 0
  /** How often something was done that nobody was asked of: what an error took back, and what a function's call did. */
  unasked = 0
  /** An error was answered since the last ReadyForQuery: the server skips what comes, up to the next Sync. */
  hasFailed = false
  encoding: Encoding = 'utf8'
  /** A backslash in any literal takes what follows it along. */
  escapes = false
  /** Its major version. */
  version = Number.NaN

  constructor(socket: Socket, events: ServerEvents) {
    this.#socket = socket
    this.#events = events
    this.#scanner = new Scanner((kind) => WANTED.has(kind) || this.#injection !== undefined, (message) => this.#see(message))
    socket.on('data', (chunk: Buffer) => this.#read(chunk))
    socket.on('drain', () => this.#events.drained())
    for (const event of ['end', 'error', 'close'] as const) socket.on(event, () => this.#closes())
    socket.resume()
    if (socket.destroyed) this.#closes()
  }

  /** Whether it has something to do. */
  get isBusy(): boolean {
    return this.#awaited > 0
  }

  send(chunks: readonly Buffer[]): void {
    if (this.#isClosed) return
    this.#socket.cork()
    let isFull = false
    for (const chunk of chunks) isFull = !this.#socket.write(chunk)
    this.#socket.uncork()
    if (isFull) this.#events.full()
  }

  /**
   * Sends what is answered by a ReadyForQuery, and returns when that came: whether there was an error. `swallow`: the client
   * did not ask for that ReadyForQuery. Throws Closed.
   */
  async ask(chunks: readonly Buffer[], { swallow = false }: { swallow?: boolean } = {}): Promise<boolean> {
    this.#awaited += 1
    this.#isSwallowed = swallow
    this.send(chunks)
    return await this.ready()
  }

  /** Returns at the next ReadyForQuery: whether there was an error before it. Throws Closed. */
  async ready(): Promise<boolean> {
    if (this.#isClosed) throw new Closed()
    return await new Promise<boolean>((resolve, reject) => this.#waiters.push({ resolve, reject }))
  }

  /** Sends what is not to end with a ReadyForQuery, and returns when it is done: whether there was an error. Throws Closed. */
  async pass(chunks: readonly Buffer[]): Promise<boolean> {
    if (this.#isClosed) throw new Closed()
    if (this.hasFailed) return true
    const passed = new Promise<boolean>((resolve, reject) => (this.#passing = { resolve, reject }))
    // A Close of what is not there does nothing, and answers once all before it is done.
    this.send([...chunks, close('S', OWN), FLUSH])
    return await passed.finally(() => (this.#passing = undefined))
  }

  /** The client gets this error in the place of the one that names the token, up to the next ReadyForQuery. */
  plant(token: string, error: ServerError): void {
    this.#planted = { token, error }
  }

  /**
   * Runs one statement of ours. By a name of its own and not as a simple query, which would take the client's unnamed
   * statement away. Only where nothing is awaited.
   */
  async inject(sql: string, params: readonly (string | null)[]): Promise<Rows> {
    const injection = { rows: [] as Rows, error: undefined as ServerError | undefined }
    this.#injection = injection
    const own = [
      // One whose run failed is still there.
      close('S', OWN), parse(OWN, sql, this.encoding), bind(OWN, OWN, params, this.encoding), execute(OWN), close('P', OWN), close('S', OWN), SYNC,
    ]
    await this.ask([Buffer.concat(own)], { swallow: true }).finally(() => {
      this.#injection = undefined
    })
    if (injection.error !== undefined) throw new Refusal(injection.error)
    return injection.rows
  }

  pause(): void {
    this.#socket.pause()
  }

  resume(): void {
    this.#socket.resume()
  }

  /** Says goodbye where it is idle; else cuts it off. */
  end(): void {
    if (this.#isClosed) return
    if (this.isBusy) this.#socket.destroy()
    else hangUp(this.#socket, TERMINATE)
  }

  destroy(): void {
    this.#socket.destroy()
  }

  #read(chunk: Buffer): void {
    let answer: Buffer[]
    try {
      answer = this.#scanner.push(chunk)
    } catch {
      // Not a PostgreSQL server, or not any more.
      this.#socket.destroy()
      return
    }
    this.#events.answer(answer)
  }

  #see(message: Message): Fate {
    const { kind, bytes } = message
    if (kind === 'Z') return this.#isReady(bytes)
    if (kind === 'S') {
      const [name, value] = readParameter(bytes)
      if (name === 'client_encoding') this.encoding = encodingOf(value)
      if (name === 'standard_conforming_strings') this.escapes = value === 'off'
      if (name === 'server_version') this.version = Number.parseInt(value, 10)
      return 'pass'
    }
    const injection = this.#injection
    if (injection !== undefined) {
      if (kind === 'D') injection.rows.push(readRow(bytes, this.encoding))
      if (kind !== 'E') return kind === 'A' ? 'pass' : 'drop'
      const { severity, ...error } = readError(bytes, this.encoding)
      injection.error ??= error
      // The session is over, and the client is to know.
      return severity === 'ERROR' ? 'drop' : 'pass'
    }
    if (kind === '1' || kind === '3') {
      if (this.#events.done() || this.#passing === undefined) return 'pass'
      this.#passing.resolve(false)
      return 'drop'
    }
    if (kind === 'E') {
      this.hasFailed = true
      this.#passing?.resolve(true)
      const planted = this.#planted
      if (planted !== undefined && bytes.includes(planted.token)) return errorResponse('ERROR', planted.error, this.encoding)
    }
    return this.#events.seen(message)
  }

  #isReady(bytes: Buffer): Fate {
    const was = this.status
    const isOurs = this.#injection !== undefined
    this.status = readStatus(bytes)
    // What we run outside of one is in none of the client's.
    if (this.status === 'I' && !(isOurs && was === 'I')) this.transaction += 1
    if (this.status === 'E') this.unasked += 1
    const { hasFailed } = this
    this.hasFailed = false
    this.#planted = undefined
    this.#awaited = Math.max(0, this.#awaited - 1)
    for (const { resolve } of this.#waiters.splice(0)) resolve(hasFailed)
    const isSwallowed = this.#isSwallowed
    this.#isSwallowed = false
    this.#events.ready(isOurs)
    return isSwallowed ? 'drop' : 'pass'
  }

  #closes(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#awaited = 0
    this.#socket.destroy()
    this.#passing?.reject(new Closed())
    for (const { reject } of this.#waiters.splice(0)) reject(new Closed())
    this.#events.closed()
  }
}
