/** One message as it came: its kind, a letter, and all of its bytes, header included. */
export type Message = { kind: string; bytes: Buffer }

/** Bytes that are no protocol. */
export class Violation extends Error {}

/** A letter and the length of what follows it, itself included. */
const HEADER = 5

/** Everything a client may send once it has signed on. */
const FROM_CLIENT = new Set('QPBEDCSHFXpdcf')

/**
 * Cuts a client's bytes into messages, however they arrive. Throws a Violation for a letter that no client sends, and for a
 * length that is none or above `limit`, before anything of that length is held.
 */
export class Framer {
  /** Bytes of the longest message. */
  limit: number
  #held = Buffer.alloc(0)
  #length = 0

  constructor(limit: number) {
    this.limit = limit
  }

  push(chunk: Buffer): Message[] {
    const messages: Message[] = []
    let at = 0
    while (at < chunk.length) {
      if (this.#length === 0) {
        const size = chunk.length - at < HEADER ? undefined : this.#sizeOf(chunk, at)
        if (size !== undefined && size <= chunk.length - at) {
          messages.push({ kind: String.fromCharCode(chunk[at]!), bytes: chunk.subarray(at, at + size) })
          at += size
          continue
        }
      }
      at += this.#hold(chunk, at)
      if (this.#length < HEADER) continue
      const size = this.#sizeOf(this.#held, 0)
      if (this.#length < size) continue
      messages.push({ kind: String.fromCharCode(this.#held[0]!), bytes: this.#held.subarray(0, size) })
      this.#held = Buffer.alloc(0)
      this.#length = 0
    }
    return messages
  }

  /** Takes what the message begun still lacks: its header first, then the rest. Returns how many bytes it took. */
  #hold(chunk: Buffer, at: number): number {
    const wanted = this.#length < HEADER ? HEADER : this.#sizeOf(this.#held, 0)
    const count = Math.min(wanted - this.#length, chunk.length - at)
    if (this.#length + count > this.#held.length) {
      // Grown as bytes arrive, so that a length alone costs nothing.
      const larger = Buffer.allocUnsafe(Math.min(wanted, Math.max(64, 2 * (this.#length + count))))
      this.#held.copy(larger, 0, 0, this.#length)
      this.#held = larger
    }
    chunk.copy(this.#held, this.#length, at, at + count)
    this.#length += count
    if (this.#length === 1 && !FROM_CLIENT.has(String.fromCharCode(this.#held[0]!))) throw unknown(this.#held[0]!)
    return count
  }

  #sizeOf(bytes: Buffer, at: number): number {
    if (!FROM_CLIENT.has(String.fromCharCode(bytes[at]!))) throw unknown(bytes[at]!)
    const length = bytes.readInt32BE(at + 1)
    if (length < 4) throw new Violation('invalid message length')
    if (length >= this.limit) throw new Violation(`message of ${length} bytes, the gateway takes ${this.limit}`)
    return 1 + length
  }
}

const unknown = (byte: number) => new Violation(`invalid frontend message type ${byte}`)

/** What becomes of a message of the server's: it goes on as it is, or not, or something else in its place. */
export type Fate = 'pass' | 'drop' | Buffer

/**
 * Follows a server's bytes by the headers of their messages. What is not `wanted` goes on as it comes, in parts of any size;
 * what is, whole, to `handle`, which decides.
 */
export class Scanner {
  readonly #wanted: (kind: string) => boolean
  readonly #handle: (message: Message) => Fate
  /** Bytes that still pass of the message under way. */
  #left = 0
  /** A message, or a header, that is not complete. */
  #held: Buffer[] = []
  #length = 0

  constructor(wanted: (kind: string) => boolean, handle: (message: Message) => Fate) {
    this.#wanted = wanted
    this.#handle = handle
  }

  /** What goes on to the client of these bytes, in order. */
  push(chunk: Buffer): Buffer[] {
    const out: Buffer[] = []
    // Of this chunk, what passes and is not in `out` yet begins here.
    let from = 0
    let at = 0
    const cut = (to: number, next: number, ...instead: Buffer[]) => {
      if (to > from) out.push(chunk.subarray(from, to))
      out.push(...instead)
      from = next
      at = next
    }
    while (at < chunk.length) {
      if (this.#left > 0) {
        const step = Math.min(this.#left, chunk.length - at)
        this.#left -= step
        at += step
      } else if (this.#length > 0) {
        const end = at + this.#complete(chunk, at)
        cut(at, end, ...this.#release())
      } else {
        const size = chunk.length - at < HEADER ? undefined : sizeOf(chunk, at)
        const kind = String.fromCharCode(chunk[at]!)
        if (size !== undefined && !this.#wanted(kind)) this.#left = size
        else if (size === undefined || size > chunk.length - at) {
          // A copy: the rest of the chunk is not to be kept by what is held.
          this.#held.push(Buffer.from(chunk.subarray(at)))
          this.#length = chunk.length - at
          cut(at, chunk.length)
        } else {
          const fate = this.#handle({ kind, bytes: chunk.subarray(at, at + size) })
          if (fate === 'pass') at += size
          else cut(at, at + size, ...(fate === 'drop' ? [] : [fate]))
        }
      }
    }
    cut(chunk.length, chunk.length)
    return out
  }

  /** Takes what the message held lacks: its header first, then the rest. Returns how many bytes it took. */
  #complete(chunk: Buffer, at: number): number {
    const size = this.#length < HEADER ? HEADER : sizeOf(this.#whole(), 0)
    const count = Math.min(size - this.#length, chunk.length - at)
    if (count > 0) this.#held.push(Buffer.from(chunk.subarray(at, at + count)))
    this.#length += count
    return count
  }

  /** What goes on of the message held, if it is known yet. */
  #release(): Buffer[] {
    if (this.#length < HEADER) return []
    const header = this.#length === HEADER ? this.#whole() : this.#held[0]!
    const kind = String.fromCharCode(header[0]!)
    const size = sizeOf(header, 0)
    if (this.#wanted(kind) && this.#length < size) return []
    const bytes = this.#whole()
    this.#held = []
    this.#length = 0
    if (!this.#wanted(kind)) {
      this.#left = size - bytes.length
      return [bytes]
    }
    const fate = this.#handle({ kind, bytes })
    return fate === 'pass' ? [bytes] : fate === 'drop' ? [] : [fate]
  }

  #whole(): Buffer {
    if (this.#held.length > 1) this.#held = [Buffer.concat(this.#held)]
    return this.#held[0]!
  }
}

function sizeOf(bytes: Buffer, at: number): number {
  const length = bytes.readInt32BE(at + 1)
  if (length < 4) throw new Violation('the server sent a message of no length')
  return 1 + length
}
