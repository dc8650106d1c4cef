import { once } from 'node:events'
import { existsSync, readFileSync, statSync } from 'node:fs'
import { chmod, unlink } from 'node:fs/promises'
import { connect, type Server } from 'node:net'
import { createSecureContext, type SecureContext } from 'node:tls'
import { Misuse } from '../../lib/errors.ts'

/** Where the gateway is reached. `directory`: of a Unix socket, named by the port as libpq does. */
export type ListenAt = { host: string; port: number } | { directory: string; port: number }

/** The files of a TLS certificate, with its chain, and of its key; PEM. */
export type TlsFiles = { cert: string; key: string }

/** Reads `127.0.0.1:5433`, `[::1]:5433`, `/var/run/hubspot:5433`, or a port alone, on loopback. Undefined: it is none of these. */
export function parseListenAt(text: string): ListenAt | undefined {
  const [, where = '', digits = ''] = /^(?:(\/.*|\[[\da-f:.]+\]|[^\s/:[\]]+):)?(\d{1,5})$/i.exec(text) ?? []
  const port = Number(digits)
  if (digits === '' || port > 65_535) return undefined
  if (where.startsWith('/')) return port === 0 ? undefined : { directory: where, port }
  return { host: where === '' ? '127.0.0.1' : where.replaceAll(/[[\]]/g, ''), port }
}

/** The place as libpq's `host` and `port` name it. */
export const placeOf = (at: ListenAt): { host: string; port: number } => ('directory' in at ? { host: at.directory, port: at.port } : at)

/** Whether an address is this machine's own, where nobody listens in. */
export const isLoopback = (address: string): boolean => /^(127\.|::1$|::ffff:127\.|localhost$)/.test(address)

/** Listens, and returns where: with the port that a 0 came to. Misuse SH017 where it cannot. */
export async function listen(server: Server, at: ListenAt): Promise<ListenAt> {
  const path = 'directory' in at ? `${at.directory}/.s.PGSQL.${at.port}` : undefined
  try {
    if (path !== undefined) await clear(path)
    server.listen('directory' in at ? { path } : at)
    await once(server, 'listening')
    // Who may connect is for the directory's mode to say; the server asks everyone's password.
    if (path !== undefined) await chmod(path, 0o777)
  } catch (cause) {
    server.close()
    const { host, port } = placeOf(at)
    const { code } = cause as NodeJS.ErrnoException
    const hint = code === 'EADDRINUSE' ? 'Something listens there, perhaps another worker. Give another port.' : 'Give an address of this machine and a port that this user may use.'
    throw new Misuse('SH017', `the gateway cannot listen at ${host}:${port} (${code ?? String(cause)})`, { hint, cause })
  }
  const address = server.address()
  return 'host' in at && address !== null && typeof address === 'object' ? { host: at.host, port: address.port } : at
}

/** A socket's file outlives a process that was killed; one that nobody answers at is removed. */
async function clear(path: string): Promise<void> {
  if (!existsSync(path)) return
  const socket = connect(path)
  try {
    await once(socket, 'connect')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ECONNREFUSED') await unlink(path)
    return
  } finally {
    socket.destroy()
  }
}

/** Reads certificate and key, and again whenever their files have changed. Misuse SH017 where they do not fit at the start. */
export function openTls({ cert, key }: TlsFiles): () => SecureContext {
  const read = () => createSecureContext({ cert: readFileSync(cert), key: readFileSync(key), minVersion: 'TLSv1.2' })
  const stamp = () => [cert, key].map((file) => statSync(file).mtimeMs).join(' ')
  try {
    let context = read()
    let last = stamp()
    return () => {
      try {
        const now = stamp()
        if (now === last) return context
        // One file may be new while the other is not yet: until both fit, the old ones serve.
        context = read()
        last = now
      } catch {}
      return context
    }
  } catch (cause) {
    throw new Misuse('SH017', `the gateway cannot use the certificate ${cert} with the key ${key}: ${(cause as Error).message}`, {
      hint: 'Give --gateway-tls-cert a PEM file with the certificate and its chain, and --gateway-tls-key the PEM file of its key, unencrypted.',
      cause,
    })
  }
}
