import { randomUUID, timingSafeEqual } from 'node:crypto'
import { createServer, type Socket } from 'node:net'
import type { SecureContext } from 'node:tls'
import { type ServerAddress, serverAddress } from '../db/server-address.ts'
import type { Log } from '../lib/log.ts'
import { sleep } from '../lib/time.ts'
import { greet, type Greeted } from './door/greet.ts'
import { hangUp } from './door/hang-up.ts'
import { isLoopback, listen, type ListenAt, openTls, placeOf, type TlsFiles } from './door/listen.ts'
import type { Live } from './live.ts'
import { Logins } from './door/logins.ts'
import { Waiting } from './door/waiting.ts'
import { errorResponse } from './wire/messages.ts'
import { refused } from './session/refusals.ts'
import type { SessionDeps } from './session/parts.ts'
import { Session } from './session/session.ts'
import type { SessionTimes } from './session/times.ts'
import { isReplication, utf8 } from './wire/startup.ts'

/** Where a gateway listens and how much it takes. */
export type GatewayOptions = {
  at: ListenAt
  /** Without, nothing is encrypted. */
  tls?: TlsFiles
  /** Sign-on without TLS is refused; by default, where there is TLS, to all but this machine. */
  requireTls?: boolean
  /** Sessions at once, each with a process at the server. */
  maxSessions?: number
  limits?: Partial<Limits>
}

/** The rest of a gateway's limits. */
export type Limits = SessionTimes & {
  /** From connecting to being signed on; ms. */
  signOnMs: number
  /** Bytes of a client's longest message. */
  largestMessage: number
  /** How long a client may read nothing of what is there for it; ms. */
  stallMs: number
}

/** A running gateway. */
export type Gateway = AsyncDisposable & {
  /** As libpq's `host` and `port` name it. */
  at: { host: string; port: number }
  /** Sessions now. */
  count(): number
  /** Ends all sessions, cancels what they wait for, and closes; within seconds. */
  stop(): Promise<void>
}

const MAX_SESSIONS = 50
/** Connections that have not said what they are for. */
const MOST_AT_THE_DOOR = 100
const LIMITS: Limits = {
  idle: '10min', idleInTransaction: '1h', lock: '3s', signOnMs: 10_000, largestMessage: 16 * 2 ** 20, stallMs: 600_000,
}
/** How long sessions may take to end when the gateway stops; ms. */
const STOP_MS = 3_000

/**
 * Listens for sessions, and relays each to the server of this database. Misuse SH017 where it cannot listen, or its
 * certificate cannot be used.
 */
export async function startGateway(options: GatewayOptions, { databaseUrl, live, log }: { databaseUrl: string; live: Live; log: Log }): Promise<Gateway> {
  const server = createServer({ noDelay: true, keepAlive: true, keepAliveInitialDelay: 10_000 })
  const house = new House(options, { server: serverAddress(databaseUrl), live, log })
  const at = placeOf(await listen(server, options.at))
  // Whoever is above it finds the door shut: sessions, those on their way out, and those who have not said yet what for they come.
  server.maxConnections = 2 * house.maxSessions + MOST_AT_THE_DOOR + 50
  server.on('error', (error) => log.error('the gateway could not take a connection', { error }))
  server.on('connection', (socket) => house.welcome(socket))
  if (options.tls === undefined && 'host' in options.at && !isLoopback(at.host)) {
    log.warn('the gateway is open to other machines, unencrypted', { ...at, hint: 'Give --gateway-tls-cert and --gateway-tls-key, or listen on 127.0.0.1.' })
  }
  log.info('the gateway listens', at)
  let stopped: Promise<void> | undefined
  const stop = () => (stopped ??= (async () => {
    server.close()
    await house.empty()
    live.end?.()
  })())
  return { at, count: () => house.count(), stop, [Symbol.asyncDispose]: stop }
}

/** Everyone who is in. */
class House {
  readonly maxSessions: number
  readonly #tls: (() => SecureContext) | undefined
  readonly #requireTls: boolean | undefined
  readonly #limits: Limits
  readonly #deps: SessionDeps
  readonly #logins = new Logins()
  readonly #sockets = new Set<Socket>()
  /** Who has not said yet what for it comes, and who has not signed on. */
  readonly #atTheDoor = new Waiting<Socket>()
  readonly #signingOn = new Waiting<Session>()
  readonly #leaving = new Set<Session>()
  readonly #sessions = new Map<Session, Promise<void>>()
  /** By the number of their process, as cancel requests name them. */
  readonly #keys = new Map<number, { key: Buffer; session: Session }>()

  constructor({ tls, requireTls, maxSessions = MAX_SESSIONS, limits }: GatewayOptions, { server, live, log }: { server: ServerAddress; live: Live; log: Log }) {
    this.maxSessions = maxSessions
    this.#tls = tls && openTls(tls)
    this.#requireTls = requireTls
    this.#limits = { ...LIMITS, ...limits }
    const { idle, idleInTransaction, lock, largestMessage, stallMs } = this.#limits
    this.#deps = { server, live, log, times: { idle, idleInTransaction, lock }, largestMessage, stallMs }
  }

  count(): number {
    return this.#sessions.size
  }

  /** Finds out what a connection is for, and does it. */
  welcome(plain: Socket): void {
    this.#sockets.add(plain)
    plain.on('error', () => undefined).once('close', () => this.#sockets.delete(plain))
    const deadline = new Deadline(this.#limits.signOnMs, () => plain.destroy())
    const address = plain.remoteAddress ?? 'local'
    if (this.#atTheDoor.size >= MOST_AT_THE_DOOR) this.#atTheDoor.takeOldest()?.destroy()
    this.#atTheDoor.add(plain, address)
    const needsTls = this.#requireTls ?? (this.#tls !== undefined && plain.remoteAddress !== undefined && !isLoopback(address))
    void (async () => {
      try {
        const greeted = await greet(plain, { tls: this.#tls, needsTls }).finally(() => this.#atTheDoor.delete(plain))
        if (greeted?.kind === 'cancel') await this.#cancel(greeted)
        if (greeted?.kind === 'session') await this.#serve(greeted, address, deadline)
      } catch (error) {
        this.#deps.log.warn('a connection to the gateway failed', { error })
        plain.destroy()
      } finally {
        deadline.clear()
      }
    })()
  }

  /** Ends everyone's session; who is not out in time is cut off. */
  async empty(): Promise<void> {
    for (const session of this.#sessions.keys()) session.stop()
    const inTime = new AbortController()
    await Promise.race([Promise.all(this.#sessions.values()), sleep(STOP_MS, inTime.signal).catch(() => undefined)])
    inTime.abort()
    for (const session of this.#sessions.keys()) session.cut()
    for (const socket of this.#sockets) socket.destroySoon()
  }

  async #serve(greeted: Greeted & { kind: 'session' }, address: string, deadline: Deadline): Promise<void> {
    const { socket, isTls, version, params } = greeted
    const user = utf8(params.get('user') ?? '')
    const { log } = this.#deps
    const why = this.#unwelcome(params, address, user)
    if (why !== undefined) {
      // Whoever guesses passwords is not to fill the log as well: each failed login is there already.
      log[this.#logins.isRefused(address, user) ? 'debug' : 'warn']('the gateway refused a connection', { address, user, why: why.message })
      hangUp(socket, errorResponse('FATAL', why.error))
      return
    }
    const session = new Session({
      id: randomUUID(), socket, isTls, version, params,
      begun: ({ pid, key }) => this.#keys.set(pid, { key, session }),
      signedOn: (isIn) => {
        this.#signingOn.delete(session)
        if (isIn) {
          deadline.clear()
          return
        }
        this.#logins.failed(address, user)
        log.warn('a login failed at the gateway', { address, user })
      },
    }, this.#deps)
    deadline.instead(() => session.stop(refused(`signing on took more than ${this.#limits.signOnMs / 1_000} s`, 'Connect again.')))
    const served = session.run()
    this.#sessions.set(session, served)
    this.#signingOn.add(session, address)
    await served
    this.#sessions.delete(session)
    this.#signingOn.delete(session)
    this.#leaving.delete(session)
    if (session.pid !== undefined && this.#keys.get(session.pid)?.session === session) this.#keys.delete(session.pid)
  }

  #unwelcome(params: ReadonlyMap<string, string>, address: string, user: string): ReturnType<typeof refused> | undefined {
    const database = utf8(params.get('database') ?? params.get('user') ?? '')
    if (user === '') return refused('it names no user', 'Give the user option.')
    if (isReplication(params)) return refused('it asks for replication', 'Connect to the database server itself.')
    if (database !== this.#deps.server.database) return refused(`it asks for database ${database}`, `The gateway serves ${this.#deps.server.database} alone.`)
    if (this.#logins.isRefused(address, user)) return refused('too many logins failed', 'Correct the password and wait a minute.')
    if (!this.#makeRoom()) return refused(`it serves ${this.maxSessions} sessions already`, 'End some, or start the worker with a higher --gateway-sessions.')
    return undefined
  }

  /** Whether one more can be served: whoever has not signed on goes, where there is no room else. */
  #makeRoom(): boolean {
    if (this.#sessions.size - this.#leaving.size < this.maxSessions) return true
    const oldest = this.#signingOn.takeOldest()
    if (oldest === undefined) return false
    this.#leaving.add(oldest)
    oldest.stop(refused('others wait to sign on', 'Connect again.'))
    return true
  }

  /** Passes a cancel request on to whom it means, if it knows the key. It is answered by hanging up, once it is on its way. */
  async #cancel({ socket, pid, key }: Greeted & { kind: 'cancel' }): Promise<void> {
    const known = this.#keys.get(pid)
    if (known !== undefined && known.key.length === key.length && timingSafeEqual(known.key, key)) await known.session.cancel()
    hangUp(socket)
  }
}

/** What happens unless it is cleared in time. */
class Deadline {
  #act: () => void
  readonly #timer: NodeJS.Timeout

  constructor(ms: number, act: () => void) {
    this.#act = act
    this.#timer = setTimeout(() => this.#act(), ms)
  }

  instead(act: () => void): void {
    this.#act = act
  }

  clear(): void {
    clearTimeout(this.#timer)
  }
}
