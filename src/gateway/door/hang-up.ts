import type { Socket } from 'node:net'

/** How long a peer may take to hear the last; ms. */
const LAST_MS = 1_000

/** Says the last to a peer and closes; one that does not hang up as well is cut off a second later. */
export function hangUp(socket: Socket, lastWords?: Buffer): void {
  if (socket.destroyed) return
  const timer = setTimeout(() => socket.destroy(), LAST_MS)
  socket.once('close', () => clearTimeout(timer))
  // Read on: a peer that still sends would be told by a reset, before it has read why.
  socket.removeAllListeners('data').removeAllListeners('readable').on('data', () => undefined).resume()
  if (lastWords === undefined) socket.end()
  else socket.end(lastWords)
}
