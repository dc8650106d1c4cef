import { type ChildProcess, spawn } from 'node:child_process'
import type { Writable } from 'node:stream'

/**
 * Reads process ids, one a line, and keeps the last; an empty line means none. Its input ends when the process that
 * holds the other end does, in whatever way, SIGKILL included: then the last one is stopped and the folder removed.
 * SIGINT is PostgreSQL's fast shutdown, SIGQUIT its immediate one, for when that takes longer than 10 s. Its pid file
 * says when it is done: the process itself may stay as a zombie where process 1 of a container reaps nobody.
 */
const script = `
trap '' INT TERM HUP
pid=
while read -r line; do pid=$line; done
[ "$pid" = done ] && exit
if [ -n "$pid" ]; then
  kill -INT "$pid"
  tries=0
  while kill -0 "$pid" && [ -e "$2/postmaster.pid" ]; do
    tries=$((tries + 1))
    [ $tries -eq 100 ] && kill -QUIT "$pid"
    [ $tries -eq 150 ] && kill -KILL "$pid"
    [ $tries -eq 200 ] && break
    sleep 0.1
  done
fi
rm -rf "$1"
`

/**
 * A shell of 1 MB that outlives this process just long enough to end a server and to remove its folder.
 *
 * Signal handlers would do less: they miss SIGKILL, cannot wait, and get in the way of the program's own.
 * Windows has no such shell; there a server ends by `stop` alone.
 */
export class Watchdog {
  readonly #process: ChildProcess | undefined
  readonly #input: Writable | undefined

  /** `folder` is removed at the end; `data` is the server's. */
  constructor(folder: string, data: string) {
    if (process.platform === 'win32') return
    this.#process = spawn('/bin/sh', ['-c', script, 'sh', folder, data], {
      cwd: '/',
      stdio: ['pipe', 'ignore', 'ignore'],
      detached: true,
    })
    this.#input = this.#process.stdin ?? undefined
    // It has to let us go, or nobody would ever end.
    this.#process.unref()
    if (this.#input !== undefined && 'unref' in this.#input && typeof this.#input.unref === 'function') {
      this.#input.unref()
    }
  }

  /** Names the process to end with us; `null` when there is none. */
  watch(pid: number | null): void {
    this.#input?.write(`${pid ?? ''}\n`)
  }

  /** Ends the watch: everything is in order. */
  dismiss(): void {
    this.#input?.end('done\n')
  }
}
