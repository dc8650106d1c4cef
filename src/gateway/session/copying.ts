import { message, text } from '../wire/messages.ts'
import type { Message } from '../wire/protocol.ts'
import type { ClientSide } from './client-side.ts'
import type { ServerSide } from './server-side.ts'

/** Does nothing where the server has failed by itself meanwhile. */
const FAIL = message('f', text('another message came in the midst of it'))

/** What a client copies in: it goes past what waits for an answer, since the server awaits it before it answers. */
export class Copying {
  readonly #client: ClientSide
  readonly #server: ServerSide
  /** By which protocol the server takes it; `ended` once the client has no more, by the extended one. */
  #state: 'no' | 'simple' | 'extended' | 'ended' = 'no'
  /** A Sync was sent on in the midst of a simple query's: where that has failed before, the server answers it too. */
  hasSynced = false
  /** What comes before it is not sent on yet. */
  isHeld = false

  constructor(client: ClientSide, server: ServerSide) {
    this.#client = client
    this.#server = server
  }

  begin(isSimple: boolean): void {
    this.#state = isSimple ? 'simple' : 'extended'
    this.goOn()
  }

  /** The server has failed: it awaits no more of it, but a Sync. */
  fail(): void {
    if (this.#isExtended) this.goOn()
  }

  end(): void {
    this.#state = 'no'
  }

  get #isExtended(): boolean {
    return this.#state === 'extended' || this.#state === 'ended'
  }

  /** Sends on what is next of it. Where the server copies nothing, it passes over it. */
  goOn(): void {
    if (this.isHeld) return
    const copied = this.#client.takeWhile((message) => this.#isOf(message))
    if (copied.length > 0) this.#server.send(copied.map(({ bytes }) => bytes))
    if (this.#state !== 'simple' || !this.#client.hasMore) return
    // Nobody would go on: the server awaits the end of it, and the client an answer to something else.
    this.#state = 'no'
    this.#server.send([FAIL])
  }

  #isOf({ kind }: Message): boolean {
    // After an error the server passes over whatever comes up to a Sync: the one before, it took for part of what was copied.
    if (this.#isExtended && this.#server.isBusy && this.#server.hasFailed) {
      if (kind === 'S') this.#state = 'no'
      return kind !== 'X'
    }
    if ('dcf'.includes(kind)) {
      if (kind !== 'd' && this.#state !== 'no') this.#state = this.#state === 'simple' ? 'no' : 'ended'
      return true
    }
    if (this.#state === 'simple') {
      // The server passes over both.
      this.hasSynced ||= kind === 'S'
      return 'SH'.includes(kind)
    }
    // In the extended protocol a Sync after it ends it; the server passes over one before.
    if (this.#state === 'no' || !this.#server.isBusy || !'SH'.includes(kind)) return false
    if (kind === 'S' && this.#state === 'ended') this.#state = 'no'
    return true
  }
}
