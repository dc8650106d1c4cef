import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { chmod, chown, mkdir, open, readFile, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { Misuse, Transient } from '../lib/errors.ts'
import {
  type ClusterFiles,
  type ClusterUser,
  type ClusterVersion,
  clusterUser,
  prepareFiles,
  writeSecret,
} from './cluster-files.ts'
import { Watchdog } from './cluster-watchdog.ts'

/** How a cluster is started; everything has a default. */
export type ClusterOptions = {
  /** 18 by default. */
  version?: ClusterVersion
  /** A free one by default; kept over restarts. */
  port?: number
  /** Kept by `stop` when given, and used again when it holds a cluster; a temporary folder by default. */
  dataDir?: string
  /** Server settings, as in postgresql.conf. */
  settings?: Record<string, string>
  /** Random by default; has to be given to use a `dataDir` again. */
  superuserPassword?: string
}

/** A PostgreSQL server of one's own, on loopback, with the superuser `postgres`. */
export type Cluster = AsyncDisposable & {
  readonly port: number
  /** The postmaster's process id; another one after `restart`. */
  readonly pid: number
  /** A connection URL of the superuser; of the database `postgres` by default. */
  url(database?: string): string
  /** Shuts down in order, and removes what is temporary. Harmless when repeated. */
  stop(): Promise<void>
  /** Kills the postmaster with SIGKILL, as a power cut would; only `restart` or `stop` may follow. */
  kill(): Promise<void>
  /** Starts again on the same data and port; stops first where it still runs. */
  restart(): Promise<void>
}

/** How long PostgreSQL may take to start or to stop, in milliseconds; measured: 0.1 s, crash recovery a few. */
const PATIENCE_MS = 60_000
/** How often its state is looked at while waiting, in milliseconds. */
const LOOK_MS = 20

/**
 * Starts a PostgreSQL server on 127.0.0.1, as root or not, and returns when it takes connections.
 *
 * The server never outlives this process, however it ends. SH007 when its package is not installed or it will not
 * start; the message ends with its log.
 */
export async function startCluster(options: ClusterOptions = {}): Promise<Cluster> {
  const { version = 18, dataDir, settings = {} } = options
  const user = clusterUser()
  const files = await prepareFiles(version, user)
  const data = dataDir ?? join(files.root, 'data')
  const watchdog = new Watchdog(files.root, data)
  const password = options.superuserPassword ?? randomBytes(16).toString('hex')
  try {
    if (!existsSync(join(data, 'PG_VERSION'))) await initialise(files, data, password, user)
    else if (options.superuserPassword === undefined) {
      throw new Misuse('SH104', `${data} holds a cluster already, and its password is not known`, {
        hint: 'Pass superuserPassword, or another dataDir.',
      })
    }
    const server = new Server({ files, data, port: options.port, settings, user, watchdog })
    await server.start()
    const { port } = server
    return {
      port,
      get pid() {
        return server.pid
      },
      url: (database = 'postgres') =>
        `postgres://postgres:${encodeURIComponent(password)}@127.0.0.1:${port}/${encodeURIComponent(database)}`,
      kill: () => server.end('SIGKILL'),
      async restart() {
        await server.end('SIGINT')
        await server.start()
      },
      stop,
      [Symbol.asyncDispose]: stop,
    }
    async function stop(): Promise<void> {
      await server.end('SIGINT')
      await rm(files.root, { recursive: true, force: true })
      watchdog.dismiss()
    }
  } catch (error) {
    await rm(files.root, { recursive: true, force: true })
    watchdog.dismiss()
    throw error
  }
}

type ServerParts = {
  files: ClusterFiles
  data: string
  /** `undefined`: a free one, found at the first start. */
  port: number | undefined
  settings: Record<string, string>
  user: ClusterUser
  watchdog: Watchdog
}

/** One postmaster after another on the same data. */
class Server {
  readonly #parts: ServerParts
  #port: number | undefined
  #process: ChildProcess | undefined

  constructor(parts: ServerParts) {
    this.#parts = parts
    this.#port = parts.port
  }

  get pid(): number {
    return this.#process?.pid ?? 0
  }

  get port(): number {
    return this.#port ?? 0
  }

  async start(): Promise<void> {
    const deadline = performance.now() + PATIENCE_MS
    const { log } = this.#parts.files
    for (;;) {
      const from = (await readFile(log).catch(() => '')).length
      const port = this.#port ?? (await freePort())
      if (await this.#spawn(port, deadline)) {
        this.#port = port
        return
      }
      const text = (await readFile(log)).subarray(from).toString()
      if (performance.now() < deadline && this.#mayStartLater(text)) {
        await sleep(LOOK_MS)
        continue
      }
      throw new Transient('SH007', `PostgreSQL did not start:\n${text.trim()}`, {
        hint: 'The lines above are its log; a port in use or a full disk is the usual reason.',
      })
    }
  }

  /** Sends the signal and returns when the process has ended; SIGINT turns into SIGKILL when it takes too long. */
  async end(signal: 'SIGINT' | 'SIGKILL'): Promise<void> {
    const child = this.#process
    if (child === undefined || hasEnded(child)) return
    child.ref()
    const ended = once(child, 'exit')
    child.kill(signal)
    const timer = setTimeout(() => child.kill('SIGKILL'), PATIENCE_MS)
    await ended
    clearTimeout(timer)
  }

  #mayStartLater(log: string): boolean {
    // After a SIGKILL the old backends hold the shared memory until each has noticed, within a second or so.
    if (/pre-existing shared memory block|lock file "postmaster.pid"/.test(log)) return true
    // A port that was free a moment ago: the kernel may have given it to somebody's outgoing connection.
    return this.#port === undefined && log.includes('could not bind')
  }

  /** `true` when it is ready, `false` when it ended instead. */
  async #spawn(port: number, deadline: number): Promise<boolean> {
    const { files, data, settings, user, watchdog } = this.#parts
    // In its own folder, where a killed server's segments go with the rest; /dev/shm would keep them, and is 64 MB in a container.
    const memory = process.platform === 'win32' ? {} : { dynamic_shared_memory_type: 'mmap' }
    const all = { listen_addresses: '127.0.0.1', unix_socket_directories: '', ...memory, ...settings }
    const args = Object.entries(all).flatMap(([name, value]) => ['-c', `${name}=${value}`])
    const log = await open(files.log, 'a')
    // In a session of its own: a Ctrl-C is for us, and we stop it when we no longer need it.
    const child = spawn(files.postgres, ['-D', data, '-p', String(port), ...args], {
      ...user,
      cwd: files.root,
      env: environment(data),
      stdio: ['ignore', log.fd, log.fd],
      detached: true,
    })
    await log.close()
    this.#process = child
    const failed = new Promise<never>((_, reject) => child.once('error', reject))
    child.once('exit', () => watchdog.watch(null))
    if (child.pid !== undefined) watchdog.watch(child.pid)
    // It ends with us by the watchdog; a program that forgets to stop it must be able to end.
    child.unref()
    return await Promise.race([failed, this.#ready(child, data, deadline)])
  }

  async #ready(child: ChildProcess, data: string, deadline: number): Promise<boolean> {
    while (!hasEnded(child)) {
      const lines = (await readFile(join(data, 'postmaster.pid'), 'utf8').catch(() => '')).split('\n')
      // pg_ctl waits for the same: the first line says whose file it is, the eighth how far it has come.
      if (lines[0] === String(child.pid) && lines[7]?.trim() === 'ready') return true
      if (performance.now() > deadline) await this.end('SIGKILL')
      else await sleep(LOOK_MS)
    }
    return false
  }
}

async function initialise(files: ClusterFiles, data: string, password: string, user: ClusterUser): Promise<void> {
  await mkdir(data, { recursive: true })
  await chmod(data, 0o700)
  if (user !== null) await chown(data, user.uid, user.gid)
  const passwordFile = await writeSecret(files.root, password, user)
  const args = ['-D', data, '-U', 'postgres', '--auth=scram-sha-256', `--pwfile=${passwordFile}`]
  // The C locale is on every system; nothing of the product depends on a collation.
  args.push('--encoding=UTF8', '--locale=C', '--no-sync')
  try {
    await promisify(execFile)(files.initdb, args, { ...user, cwd: files.root, env: environment(data) })
  } catch (cause) {
    const output = cause instanceof Error && 'stderr' in cause ? String(cause.stderr).trim() : String(cause)
    throw new Misuse('SH007', `PostgreSQL could not be set up in ${data}:\n${output}`, {
      hint: 'The lines above are from initdb; under root, the user nobody has to reach the folder.',
      cause,
    })
  } finally {
    await rm(passwordFile, { force: true })
  }
}

function hasEnded(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null
}

/**
 * The user's own PGPORT, PGDATA and the like are meant for another server. At home it is in its data: where it connects elsewhere
 * it looks there for certificates.
 */
function environment(home: string): NodeJS.ProcessEnv {
  return { ...Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(PG|LC_|LANG)/.test(name))), HOME: home }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  if (address === null || typeof address === 'string') throw new TypeError('a listening socket has a port')
  return address.port
}
