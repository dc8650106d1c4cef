import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'

/** A worker in a process of its own: the command line's. */
export type WorkerProcess = AsyncDisposable & {
  /** Its id in hubspot_private.workers. */
  id: string
  pid: number
  /** What it wrote on standard error: one JSON object a line. */
  log(): string
  /** Whether the process has ended. */
  hasEnded(): boolean
  /** Sends a signal; SIGSTOP and SIGCONT take effect at once. */
  signal(name: NodeJS.Signals): void
  /** Sends a signal and returns when the process has ended: its exit code, or the signal that ended it. */
  end(name: NodeJS.Signals): Promise<number | NodeJS.Signals | null>
}

/** Starts a worker and returns when it takes jobs. It never outlives the test that disposes of it. */
export async function spawnWorker(databaseUrl: string, hubspotUrl: string, env: NodeJS.ProcessEnv = {}, args: string[] = []): Promise<WorkerProcess> {
  const cli = new URL('../../src/cli.ts', import.meta.url).pathname
  const child = spawn(process.execPath, [cli, 'worker', ...args], {
    env: { ...process.env, DATABASE_URL: databaseUrl, HUBSPOT_API_URL: hubspotUrl, ...env },
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  const ended = once(child, 'exit')
  let log = ''
  const id = await new Promise<string>((resolve, reject) => {
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      log += text
      const [, started] = /"message":"worker started","worker":"([^"]+)"/.exec(log) ?? []
      if (started !== undefined) resolve(started)
    })
    child.once('exit', () => reject(new Error(`the worker did not start:\n${log}`)))
  })
  const end = async (name: NodeJS.Signals) => {
    if (!isOver(child)) child.kill(name)
    await ended
    return child.exitCode ?? child.signalCode
  }
  return {
    id,
    pid: child.pid!,
    log: () => log,
    hasEnded: () => isOver(child),
    signal: (name) => void child.kill(name),
    end,
    [Symbol.asyncDispose]: async () => void (await end('SIGKILL')),
  }
}

const isOver = (child: ChildProcess) => child.exitCode !== null || child.signalCode !== null
