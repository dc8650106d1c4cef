import type { Socket } from 'node:net'
import { hangUp } from '../door/hang-up.ts'
import { Framer, type Message, Violation } from '../wire/protocol.ts'

/** How much a session holds of what its client sends ahead, before it stops reading; bytes. */
const MOST_QUEUED = 4 * 2 ** 20
/** Of messages without an end to their batch so much is collected, and then sent on; bytes. */
const LARGEST_PART = 2 ** 20

/** What a client's side tells its session. */
export type ClientEvents = {
  /** A message as it comes; true: it was seen to, and is no part of what follows. */
  take(message: Message): boolean
  /** There is more in the queue. */
  queued(): void
  /** The client cannot take more; `drained` follows. */
  full(): void
  drained(): void
  /** It went away, or sent what is no protocol; once. */
  gone(why: Violation | undefined): void
}

/** A client's socket: its messages in parts that end where an answer is asked for, and what it is sent. */
export class ClientSide {
  readonly #socket: Socket
  readonly #framer: Framer
  readonly #events: ClientEvents
  readonly #stallMs: number
  readonly #holds = new Set<'queue' | 'server'>()
  #stall: NodeJS.Timeout | undefined
  #queue: Message[] = []
  #queued = 0
  /** No more parts: the client is gone, or the session wants none. */
  #isOver = false
  #isGone = false
  #wake: () => void = () => undefined
  /** The client said that it leaves. */
  isLeaving = false

  /** `stallMs`: how long a client may read nothing while there is something for it. */
  constructor(socket: Socket, { limit, stallMs, events }: { limit: number; stallMs: number; events: ClientEvents }) {
    this.#socket = socket
    this.#framer = new Framer(limit)
    this.#events = events
    this.#stallMs = stallMs
    socket.on('data', (chunk: Buffer) => this.#read(chunk))
    socket.on('drain', () => this.#drained())
    for (const event of ['error', 'end', 'close'] as const) socket.on(event, () => this.#goes())
    socket.resume()
  }

  /** From now on messages may be as long as this; bytes. */
  allow(limit: number): void {
    this.#framer.limit = limit
  }

  /**
   * The next messages up to one that asks for an answer: Query, FunctionCall, Sync, Flush, Terminate; or, of a long batch, as
   * many as are held at most. Undefined once there are none any more.
   */
  async part(): Promise<Message[] | undefined> {
    for (;;) {
      const end = this.#queue.findIndex(({ kind }) => 'QFSHX'.includes(kind))
      if (end >= 0 || this.#queued > LARGEST_PART) return this.#shift(end < 0 ? this.#queue.length : end + 1)
      if (this.#isOver) return undefined
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
  }

  /** Something that it sent is not taken yet. */
  get hasMore(): boolean {
    return this.#queue.length > 0
  }

  /** Takes what is next, as long as it is such. */
  takeWhile(isSuch: (message: Message) => boolean): Message[] {
    const end = this.#queue.findIndex((message) => !isSuch(message))
    return this.#shift(end < 0 ? this.#queue.length : end)
  }

  /** Ends `part`; what is queued is dropped. */
  finish(): void {
    this.#isOver = true
    this.#queue = []
    this.#queued = 0
    this.#wake()
  }

  write(chunks: readonly Buffer[]): void {
    if (this.#isGone || chunks.length === 0) return
    this.#socket.cork()
    let isFull = false
    for (const chunk of chunks) isFull = !this.#socket.write(chunk)
    this.#socket.uncork()
    if (!isFull || this.#stall !== undefined) return
    this.#stall = setTimeout(() => this.#goes(), this.#stallMs)
    this.#events.full()
  }

  /** Stops reading, until no reason is left. */
  hold(why: 'queue' | 'server'): void {
    this.#holds.add(why)
    this.#socket.pause()
  }

  release(why: 'queue' | 'server'): void {
    if (this.#holds.delete(why) && this.#holds.size === 0) this.#socket.resume()
  }

  /** Says the last and hangs up; a client that does not read it is cut off a second later. */
  end(lastWords?: Buffer): void {
    clearTimeout(this.#stall)
    this.#isGone = true
    this.finish()
    hangUp(this.#socket, lastWords)
  }

  #read(chunk: Buffer): void {
    if (this.#isOver) return
    try {
      for (const message of this.#framer.push(chunk)) {
        if (this.#events.take(message)) continue
        if (message.kind === 'X') this.isLeaving = true
        this.#queue.push(message)
        this.#queued += message.bytes.length
      }
    } catch (error) {
      if (!(error instanceof Violation)) throw error
      this.#goes(error)
      return
    }
    this.#events.queued()
    if (this.#queued > MOST_QUEUED) this.hold('queue')
    this.#wake()
  }

  #shift(count: number): Message[] {
    const part = this.#queue.splice(0, count)
    this.#queued -= part.reduce((sum, { bytes }) => sum + bytes.length, 0)
    if (this.#queued <= MOST_QUEUED) this.release('queue')
    return part
  }

  #drained(): void {
    clearTimeout(this.#stall)
    this.#stall = undefined
    this.#events.drained()
  }

  #goes(why?: Violation): void {
    if (this.#isGone) return
    clearTimeout(this.#stall)
    // One that sent nonsense is still told so.
    this.#isGone = why === undefined
    if (this.#isGone) this.#socket.destroy()
    const isFirst = !this.#isOver
    // What it asked before it left is still done: part() ends after it.
    this.#isOver = true
    this.#wake()
    if (isFirst) this.#events.gone(why)
  }
}
