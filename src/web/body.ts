/** Room for the bodies that are held at once. */
export type Room = { enter(): Place }
/** What one body takes of it, until it is left. */
export type Place = Disposable & {
  /** Bytes that came; false when this body has to give way. */
  take(bytes: number): boolean
  /** The body is whole: it does not give way any more. */
  keep(): void
  /** Resolves when this body has to give way to others. */
  lost: Promise<'no room'>
}

/**
 * Makes room for so many bytes. What counts is what came, not what a head declares; and where there is too much, the longest
 * body that is not whole gives way, so that whoever sends long ones slowly keeps nobody else's short one out.
 */
export function createRoom(limit: number): Room {
  let held = 0
  const reading = new Map<object, { size: number; leave: () => void }>()
  return {
    enter() {
      const { promise: lost, resolve } = Promise.withResolvers<'no room'>()
      const mine = { size: 0, leave: () => resolve('no room') }
      const free = (body: typeof mine) => {
        reading.delete(body)
        held -= body.size
        body.size = 0
      }
      reading.set(mine, mine)
      return {
        lost,
        take(bytes) {
          if (!reading.has(mine)) return false
          mine.size += bytes
          held += bytes
          while (held > limit) {
            const longest = [...reading.values()].reduce((a, b) => (b.size > a.size ? b : a), mine)
            free(longest)
            longest.leave()
            if (longest === mine) return false
          }
          return true
        },
        keep: () => void reading.delete(mine),
        [Symbol.dispose]: () => free(mine),
      }
    },
  }
}

/** Reads a body whole, up to a limit in bytes by its head or in truth, where there is room for it, and if its sender stays. */
export async function readBody(request: Request, limit: number, place: Place): Promise<Buffer | 'too long' | 'no room' | 'broken off'> {
  if (Number(request.headers.get('content-length') ?? 0) > limit) return 'too long'
  const parts: Uint8Array[] = []
  let length = 0
  const reader = request.body?.getReader()
  while (reader !== undefined) {
    const next = await Promise.race([reader.read().catch(() => 'broken off' as const), place.lost])
    if (typeof next === 'string') return next
    if (next.done) break
    length += next.value.length
    if (length > limit) return 'too long'
    if (!place.take(next.value.length)) return 'no room'
    parts.push(next.value)
  }
  place.keep()
  return Buffer.concat(parts, length)
}
