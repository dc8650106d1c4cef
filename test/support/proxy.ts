import { createServer, connect, type AddressInfo, type Socket } from 'node:net'
import { once } from 'node:events'

/** A way to a server that can stop to lead there without a word. */
export type Proxy = AsyncDisposable & {
  /** The same URL, through the proxy. */
  url: string
  /** What is connected now, and whoever connects until `thaw`, is neither served nor closed: TCP sees nothing wrong. */
  freeze(): void
  /** New connections are served again; the old ones never. */
  thaw(): void
  /** Connections open at the client's side. */
  count(): number
}

/** Starts a proxy before the server of a URL. */
export async function startProxy(target: string): Promise<Proxy> {
  const { hostname, port } = new URL(target)
  const pairs = new Set<{ near: Socket; far?: Socket }>()
  let isFrozen = false
  const server = createServer((near) => {
    const pair: { near: Socket; far?: Socket } = { near }
    pairs.add(pair)
    near.on('error', () => undefined).once('close', () => {
      pairs.delete(pair)
      // Half-open means: the server is not told either.
      if (!stopped.has(near)) pair.far?.destroy()
    })
    if (isFrozen) {
      stop(near)
      return
    }
    const far = connect(Number(port), hostname)
    pair.far = far
    far.on('error', () => near.destroy()).once('close', () => near.destroy())
    near.pipe(far)
    far.pipe(near)
  })
  const stopped = new Set<Socket>()
  const orphans = new Set<Socket>()
  const stop = (near: Socket, far?: Socket) => {
    stopped.add(near)
    near.unpipe().resume()
    if (far === undefined) return
    orphans.add(far)
    far.unpipe().removeAllListeners('close').resume()
  }
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const url = new URL(target)
  url.hostname = '127.0.0.1'
  url.port = String((server.address() as AddressInfo).port)
  return {
    url: url.href,
    freeze() {
      isFrozen = true
      for (const { near, far } of pairs) stop(near, far)
    },
    thaw() {
      isFrozen = false
    },
    count: () => pairs.size,
    async [Symbol.asyncDispose]() {
      for (const { near, far } of pairs) [near, far].forEach((socket) => socket?.destroy())
      for (const far of orphans) far.destroy()
      server.close()
    },
  }
}
