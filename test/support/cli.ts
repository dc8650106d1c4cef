import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { vi } from 'vitest'
import { main } from '../../src/cli/main.ts'

const root = join(import.meta.dirname, '..', '..')
/** The variables that a developer's own shell may have set, and that must not reach a test. */
const OURS = [
  'DATABASE_URL', 'HUBSPOT_ACCESS_TOKEN', 'HUBSPOT_API_URL', 'HUBSPOT_API_VERSION', 'HUBSPOT_WRITES', 'HUBSPOT_CLIENT_ID', 'HUBSPOT_CLIENT_SECRET',
  'HUBSPOT_WEBHOOK_URL', 'PG_HUBSPOT_KEY', 'PG_HUBSPOT_HTTP_TOKEN', 'GRAPHILE_WORKER_SCHEMA',
  'PG_HUBSPOT_GATEWAY', 'PG_HUBSPOT_GATEWAY_TLS_CERT', 'PG_HUBSPOT_GATEWAY_TLS_KEY',
]

/** What a command came to. */
export type Ended = { code: number | null; signal: NodeJS.Signals | null; stdout: string; stderr: string }

/** A command that runs. */
export type Running = AsyncDisposable & {
  child: ChildProcess
  /** Resolves once its output, both streams together, fits; fails when it ends before. */
  said(pattern: RegExp): Promise<string>
  ended: Promise<Ended>
}

/** Starts the command line, or another program of the repository, as a child process. Never outlives who disposes of it. */
export function startCli(args: string[], { env = {}, program = 'src/cli.ts', cwd = root }: { env?: NodeJS.ProcessEnv; program?: string; cwd?: string } = {}): Running {
  const clean = Object.fromEntries(Object.entries(process.env).filter(([name]) => !OURS.includes(name)))
  const child = spawn(process.execPath, [join(root, program), ...args], { cwd, env: { ...clean, ...env }, stdio: 'pipe' })
  let [stdout, stderr] = ['', '']
  const listeners = new Set<() => void>()
  const heard = () => {
    for (const listener of listeners) listener()
  }
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text
    heard()
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text
    heard()
  })
  const ended = once(child, 'close').then(([code, signal]) => ({ code: code as number | null, signal: signal as NodeJS.Signals | null, stdout, stderr }))
  return {
    child,
    ended,
    said: (pattern) =>
      new Promise((resolve, reject) => {
        const look = () => {
          if (!pattern.test(stdout + stderr)) return
          listeners.delete(look)
          resolve(stdout)
        }
        listeners.add(look)
        void ended.then(() => reject(new Error(`it ended without ${pattern}:\n${stdout}${stderr}`)))
        look()
      }),
    async [Symbol.asyncDispose]() {
      if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL')
      await ended
    },
  }
}

/** Runs a command to its end, with a text on its standard input. */
export async function runCli(args: string[], { input = '', ...options }: { env?: NodeJS.ProcessEnv; program?: string; cwd?: string; input?: string } = {}): Promise<Ended> {
  await using running = startCli(args, options)
  running.child.stdin?.end(input)
  return await running.ended
}

/** Runs a command in this process, where nothing of a process is tried: in a tenth of the time. One at a time. */
export async function callCli(args: string[], env: NodeJS.ProcessEnv = {}): Promise<Omit<Ended, 'signal'>> {
  const written = { stdout: '', stderr: '' }
  const spies = [
    ...(['stdout', 'stderr'] as const).map((name) => vi.spyOn(process[name], 'write').mockImplementation((text) => {
      written[name] += String(text)
      return true
    })),
    vi.spyOn(console, 'log').mockImplementation((text: string) => void (written.stdout += `${text}\n`)),
  ]
  for (const name of OURS) vi.stubEnv(name, env[name])
  try {
    return { code: await main(args), ...written }
  } finally {
    vi.unstubAllEnvs()
    for (const spy of spies) spy.mockRestore()
  }
}
