import type { Message } from '../wire/protocol.ts'
import type { ClientSide } from './client-side.ts'
import type { ServerSide } from './server-side.ts'

/** What a client copies in: it goes past what waits for an answer, since the server awaits it before it answers. */
export class Copying {
  readonly #client: ClientSide
  readonly #server: ServerSide
  /** The server takes it by the extended protocol; `ended` once the client has no more. */
  #state: 'no' | 'extended' | 'ended' = 'no'
  /** What comes before it is not sent on yet. */
  isHeld = false

  constructor(client: ClientSide, server: ServerSide) {
    this.#client = client
    this.#server = server
  }

  begin(isSimple: boolean): void {
    this.#state = isSimple ? 'no' : 'extended'
    this.goOn()
  }

  end(): void {
    this.#state = 'no'
  }

  /** Sends on what is next of it. Where the server copies nothing, it passes over it. */
  goOn(): void {
    if (this.isHeld) return
    const copied = this.#client.takeWhile((message) => this.#isOf(message))
    if (copied.length > 0) this.#server.send(copied.map(({ bytes }) => bytes))
  }

  #isOf({ kind }: Message): boolean {
    if ('dcf'.includes(kind)) {
      if (kind !== 'd' && this.#state === 'extended') this.#state = 'ended'
      return true
    }
    // In the extended protocol a Sync after it ends it; the server passes over one before.
    if (this.#state === 'no' || !this.#server.isBusy || !'SH'.includes(kind)) return false
    if (kind === 'S' && (this.#state === 'ended' || this.#server.hasFailed)) this.#state = 'no'
    return true
  }
}
