import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'

/** How many connections a server has at once, all in all and from one address, behind which a proxy may stand. */
export type Bounds = { all: number; perAddress: number }

export const BOUNDS: Bounds = { all: 500, perAddress: 250 }

/**
 * Bounds the connections of a server so that a new one is always heard: it takes the place of the one that has let it wait
 * longest, for a request or for the rest of one. Whoever opens many and says little shuts the door on himself alone.
 */
export function boundConnections(server: Server, { all, perAddress }: Bounds = BOUNDS): void {
  /** Those that are open, the one that was heard of longest ago first; with the request that is being answered. */
  const open = new Map<Socket, IncomingMessage | undefined>()
  const ofAddress = new Map<string, number>()

  const waitedLongest = (address?: string) => {
    for (const [socket, request] of open) {
      if ((request === undefined || !request.complete) && (address === undefined || socket.remoteAddress === address)) return socket
    }
    return undefined
  }
  const close = (socket: Socket, address: string) => {
    if (!open.delete(socket)) return
    const left = (ofAddress.get(address) ?? 1) - 1
    if (left === 0) ofAddress.delete(address)
    else ofAddress.set(address, left)
  }

  server.on('connection', (socket) => {
    const address = socket.remoteAddress ?? ''
    const isTooMany = (ofAddress.get(address) ?? 0) >= perAddress
    if (isTooMany || open.size >= all) {
      const place = waitedLongest(isTooMany ? address : undefined)
      if (place === undefined) return void socket.destroy()
      place.destroy()
      close(place, place.remoteAddress ?? address)
    }
    open.set(socket, undefined)
    ofAddress.set(address, (ofAddress.get(address) ?? 0) + 1)
    socket.once('close', () => close(socket, address))
  })
  server.on('request', ({ socket }: IncomingMessage, response: ServerResponse) => {
    const request = response.req
    const heard = (what: IncomingMessage | undefined) => {
      if (!open.delete(socket)) return
      open.set(socket, what)
    }
    heard(request)
    response.once('close', () => {
      if (open.get(socket) === request) heard(undefined)
    })
  })
}
