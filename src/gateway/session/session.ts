import type { Log } from '../../lib/log.ts'
import { ClientSide } from './client-side.ts'
import { Consult } from './consult.ts'
import { Copying } from './copying.ts'
import { dial, sendCancel } from '../door/dial.ts'
import { Refusal } from '../live.ts'
import { authenticationSasl, errorResponse, noticeResponse, parse, query, readAuthentication, readError, readKey, readMechanisms, SYNC } from '../wire/messages.ts'
import type { Fate, Message, Violation } from '../wire/protocol.ts'
import type { SessionDeps, SessionParts } from './parts.ts'
import { asRefusal, CANCELED, GONE, STOPPING, UNCHALLENGED, unreachable, violates } from './refusals.ts'
import { Closed, ServerSide } from './server-side.ts'
import { markLive, startupPacket, utf8 } from '../wire/startup.ts'
import { limitTimes } from './times.ts'
import { isCommit, isParsing, isSingle, shown, Statements } from './statements.ts'

/** Of a password message no more than this; bytes. */
const LARGEST_PASSWORD = 65_536
/** How long what a client asked before it left may still take; ms. Of a COMMIT, longer. */
const GRACE_MS = 10_000
const COMMIT_GRACE_MS = 60_000

/** A client's session with the server, relayed: before a statement goes on, Live is asked. */
export class Session {
  readonly #deps: SessionDeps
  readonly #parts: SessionParts
  readonly #log: Log
  readonly #client: ClientSide
  readonly #statements = new Statements()
  readonly #dialing = new AbortController()
  #server: ServerSide | undefined
  #consult: Consult | undefined
  #key: { pid: number; key: Buffer } | undefined
  #phase: 'signing on' | 'serving' | 'over' = 'signing on'
  #isChallenged = false
  /** Why the session ends, for the client to know. */
  #lastWords: Refusal | undefined
  /** Between a Flush and its Sync: nothing of ours can be run. */
  #isOpen = false
  /** What comes up to the next Sync is dropped, as the server would after an error. */
  #isSkipping = false
  #copying: Copying | undefined
  #isSimple = true
  #grace: NodeJS.Timeout | undefined

  constructor(parts: SessionParts, deps: SessionDeps) {
    this.#deps = deps
    this.#parts = parts
    this.#log = deps.log.child({ session: parts.id })
    this.#client = new ClientSide(parts.socket, {
      limit: LARGEST_PASSWORD,
      stallMs: deps.stallMs,
      events: {
        take: (message) => this.#take(message),
        queued: () => this.#copying?.goOn(),
        full: () => this.#server?.pause(),
        drained: () => this.#server?.resume(),
        gone: (why) => this.#leave(why),
      },
    })
  }

  get user(): string {
    return utf8(this.#parts.params.get('user') ?? '')
  }

  /** Serves the client until either side is gone. Never throws. */
  async run(): Promise<void> {
    try {
      await this.#signOn()
      for (;;) {
        const part = this.#lastWords === undefined ? await this.#client.part() : undefined
        if (part === undefined || part.at(-1)?.kind === 'X') break
        await this.#serve(part)
      }
    } catch (error) {
      if (!(error instanceof Closed)) this.#lastWords ??= asRefusal(error, this.#log)
    }
    this.#phase = 'over'
    clearTimeout(this.#grace)
    this.#client.end(this.#lastWords && errorResponse('FATAL', this.#lastWords.error, this.#server?.encoding))
    this.#server?.end()
  }

  /** A cancel request: stops what Live does for it, or asks the server to stop. */
  async cancel(): Promise<void> {
    this.#consult?.abort(CANCELED)
    if (this.#key !== undefined && this.#isAtWork) await sendCancel(this.#deps.server, this.#key)
  }

  /** Ends the session as a server that shuts down does, or as one that does not let it in. */
  stop(why: Refusal = STOPPING): void {
    this.#lastWords ??= why
    this.#consult?.abort(why)
    this.#dialing.abort(why)
    this.#client.finish()
    if (this.#phase === 'signing on') this.#server?.destroy()
    else if (this.#isAtWork && this.#consult?.isCommitting !== true) this.#endBusy()
  }

  /** Its process at the server, once it has one. */
  get pid(): number | undefined {
    return this.#key?.pid
  }

  /** Ends it at once. */
  cut(): void {
    this.#server?.destroy()
    this.#parts.socket.destroy()
  }

  get #isAtWork(): boolean {
    return this.#isOpen || this.#server?.isBusy === true
  }

  async #signOn(): Promise<void> {
    const { server: address, live, times, largestMessage } = this.#deps
    const { id, version, params } = this.#parts
    const socket = await dial(address, this.#dialing.signal).catch((error: unknown) => {
      if (this.#dialing.signal.aborted) throw this.#dialing.signal.reason
      this.#log.warn('the database server cannot be reached', { error })
      throw unreachable()
    })
    this.#server = new ServerSide(socket, {
      answer: (chunks) => {
        // Whoever is not let in hears of nothing that the server said to us.
        if (this.#phase !== 'signing on' || this.#lastWords === undefined) this.#client.write(chunks)
      },
      done: () => this.#statements.done(),
      ready: (isOurs) => {
        this.#isOpen = false
        this.#copying?.end()
        if (!isOurs) this.#statements.settle()
      },
      seen: (message) => this.#see(message),
      full: () => this.#client.hold('server'),
      drained: () => this.#client.release('server'),
      closed: () => {
        this.#consult?.abort(GONE)
        this.#client.finish()
      },
    })
    this.#consult = new Consult(live, { id, user: this.user, database: address.database }, this.#server, this.#log)
    await this.#server.ask([startupPacket(version, markLive(params))])
    if (this.#lastWords !== undefined) throw this.#lastWords
    this.#phase = 'serving'
    this.#copying = new Copying(this.#client, this.#server)
    this.#client.allow(largestMessage)
    this.#parts.signedOn(true)
    await limitTimes(this.#server, times)
  }

  /** What goes past the queue: passwords. */
  #take({ kind, bytes }: Message): boolean {
    if (this.#phase !== 'signing on' || kind === 'X') return false
    if (kind !== 'p' || this.#server === undefined) this.#leave(violates(`expected password response, got message type "${kind}"`))
    else this.#server.send([bytes])
    return true
  }

  /** What the server says that is more to us than bytes. */
  #see(message: Message): Fate {
    const { kind, bytes } = message
    if (kind === 'G') this.#copying?.begin(this.#isSimple)
    if (kind === 'E') this.#copying?.fail()
    if (this.#phase !== 'signing on') return 'pass'
    if (this.#lastWords !== undefined) return 'drop'
    if (kind === 'K') {
      this.#key = readKey(bytes)
      this.#parts.begun(this.#key)
    }
    if (kind === 'E' && readError(bytes, 'utf8').code.startsWith('28')) this.#parts.signedOn(false)
    if (kind !== 'R') return 'pass'
    const what = readAuthentication(bytes)
    if (what !== 0) {
      this.#isChallenged = true
      // To a client without TLS they are a sign of somebody between, which we are.
      const names = what === 10 && !this.#parts.isTls ? readMechanisms(bytes) : []
      return names.some((name) => name.endsWith('-PLUS')) ? authenticationSasl(names.filter((name) => !name.endsWith('-PLUS'))) : 'pass'
    }
    if (this.#isChallenged) return 'pass'
    // The server takes us for who we are, by our address, and not the client for who it is.
    this.stop(UNCHALLENGED)
    return 'drop'
  }

  /** Sends a part on. */
  async #serve(part: readonly Message[]): Promise<void> {
    const server = this.#server!
    const copying = this.#copying!
    const end = part.at(-1)!.kind
    if (this.#isSkipping) {
      if (end !== 'S') return
      this.#isSkipping = false
      await server.ask([SYNC])
      return
    }
    copying.isHeld = true
    const out = await this.#prepareAll(part)
    this.#isSimple = end === 'Q'
    if ('QF'.includes(end) && (this.#isOpen || part.length > 1)) {
      // A statement that was refused is the last.
      const last = out.length === part.length ? out.pop() : undefined
      this.#isOpen = true
      // After an error the server passes over them, and is ready at the Sync alone.
      this.#isSkipping = (await server.pass(out)) || last === undefined
      out.splice(0, out.length, ...(last === undefined ? [] : [last]))
    }
    copying.isHeld = false
    if (this.#isSkipping) copying.goOn()
    else if ('QSF'.includes(end)) {
      await this.#ask(out)
      if (copying.hasSynced) {
        copying.hasSynced = false
        // Whatever it still answers comes before what is run next.
        await server.pass([])
        await server.ask([SYNC], { swallow: true })
      }
      this.#consult!.isCommitting = false
    } else if (!this.#isOpen && end === 'H' && part.every(isParsing)) {
      // Nothing runs yet. With a Sync of ours what runs next can still be prepared; the client hears nothing of it.
      this.#isSkipping = await this.#ask([...out.slice(0, -1), SYNC], { swallow: true })
    } else {
      this.#isOpen = true
      server.send(out)
      copying.goOn()
    }
  }

  /** Sends what is answered, and what is copied in for it. */
  async #ask(...what: Parameters<ServerSide['ask']>): Promise<boolean> {
    const answered = this.#server!.ask(...what)
    this.#copying?.goOn()
    return await answered
  }

  /** What goes to the server for a part, once Live has seen each statement. A refused one ends it: the server is made to fail there. */
  async #prepareAll(part: readonly Message[]): Promise<Buffer[]> {
    const server = this.#server!
    const consult = this.#consult!
    const end = part.at(-1)!
    const out: Buffer[] = []
    const isAlone = part.filter(({ kind }) => 'QBF'.includes(kind)).length === 1
    for (const message of part) {
      const statement = this.#statements.take(message, server, out)
      out.push(message.bytes)
      if (message.kind === 'F') server.unasked += 1
      // After an error the server runs nothing, but what ends the transaction and what comes after that.
      if (statement === undefined || server.hasFailed || (server.status === 'E' && isSingle(statement))) continue
      this.#log.debug('live statement', { sql: shown(statement.text, statement.escapes) })
      let verdict = await consult.prepare(statement, !this.#isOpen && server.status !== 'E')
      if (verdict.do === 'forward' && isAlone && isCommit(statement.text)) verdict = await consult.commit()
      if (verdict.do === 'refuse') {
        // Below 64 characters, or the server would say that it cuts it.
        const token = `refused_by_pg_hubspot_${this.#parts.id.replaceAll('-', '')}`
        server.plant(token, verdict.error)
        out[out.length - 1] = message.kind === 'Q' ? query(token) : parse('', token)
        if (end !== message && 'SH'.includes(end.kind)) out.push(end.bytes)
        return out
      }
      if (verdict.notices !== undefined) this.#client.write(verdict.notices.map((notice) => noticeResponse(notice, server.encoding)))
      if (verdict.text !== undefined) this.#statements.rewrite(message, verdict.text, server.encoding, out)
    }
    return out
  }

  /** The client is gone, or has to go: nobody waits for what is under way. */
  #leave(why: Violation | Refusal | undefined): void {
    if (why !== undefined) this.#lastWords ??= why instanceof Refusal ? why : violates(why.message)
    this.#dialing.abort(GONE)
    if (this.#phase === 'signing on') {
      this.#server?.destroy()
      return
    }
    this.#server?.resume()
    // What it asked before it said goodbye is done, as without us, but not for ever.
    if (this.#consult?.isCommitting === true) this.#grace = setTimeout(() => this.#endBusy(), COMMIT_GRACE_MS)
    else if (why === undefined && this.#client.isLeaving) this.#grace = setTimeout(() => this.#drop(), GRACE_MS)
    else this.#drop()
  }

  #drop(): void {
    this.#client.finish()
    this.#consult?.abort(GONE)
    if (this.#isAtWork) this.#endBusy()
  }

  /** Ends what the server does for us: it would notice that we are gone only once it had something to say. */
  #endBusy(): void {
    const server = this.#server
    if (server === undefined || this.#key === undefined) return
    sendCancel(this.#deps.server, this.#key).catch((error: unknown) => this.#log.debug('not canceled', { error })).finally(() => server.destroy())
  }
}
