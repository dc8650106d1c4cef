import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'

/** A sandbox in a process of its own, so that its CPU time and memory are not counted. */
export type SandboxProcess = AsyncDisposable & {
  url: string
  token: string
  /** A call of the control API. */
  control<Answer = unknown>(method: string, path: string, body?: object): Promise<Answer>
}

/** Starts a HubSpot without limits, latency or search lag; `args` as of `pg-hubspot sandbox`. */
export async function spawnSandbox(args: readonly string[] = []): Promise<SandboxProcess> {
  const cli = new URL('../../src/cli.ts', import.meta.url).pathname
  const child = spawn(process.execPath, [cli, 'sandbox', ...args], { stdio: ['ignore', 'pipe', 'inherit'] })
  const ended = once(child, 'exit')
  const [line] = await once(createInterface(child.stdout), 'line')
  const { url, controlUrl, token } = JSON.parse(String(line)) as { url: string; controlUrl: string; token: string }
  const control = async <Answer>(method: string, path: string, body?: object) => {
    const answer = await fetch(controlUrl + path, { method, ...(body !== undefined && { body: JSON.stringify(body) }) })
    if (!answer.ok) throw new Error(`${method} ${path}: ${await answer.text()}`)
    return (await answer.json()) as Answer
  }
  await control('PATCH', '/settings', { limits: false, latency: 0, lag: 0, gzip: false, callsKept: 100_000 })
  return {
    url, token, control,
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL')
      await ended
    },
  }
}
