/** Someone who does things one after another and may be stopped at any of them: a worker. */
export type Actor = { readonly name: string; isDead: boolean; isFrozen: boolean }

/** Makes an actor. */
export function actor(name: string): Actor {
  return { name, isDead: false, isFrozen: false }
}

/** What a killed actor's dependencies throw from then on. */
export class Killed extends Error {}

/** A place where an actor waits: before it calls out (`?`), or before it hears what came of it (`!`). */
export type Point = {
  readonly actor: Actor
  readonly what: string
  /** Lets it go on; resolves when the call is over, or the answer is told. */
  open(): Promise<void>
  /** Ends the wait with an error: of a call that was not made, or of one that was and whose answer is lost. */
  fail(error: Error): void
}

/** Gates around every call out. With one point opened at a time a run is a matter of the order of points alone. */
export type Gates = {
  readonly points: readonly Point[]
  /** Waits, calls, waits, tells. */
  pass<T>(actor: Actor, what: string, call: () => Promise<T>): Promise<T>
  /** SIGKILL: whatever it waits for never comes, and whatever it tries next fails. A call under way is over all the same. */
  kill(actor: Actor): void
}

/** Makes gates. */
export function createGates(): Gates {
  let points: Point[] = []
  const leave = (point: Point) => (points = points.filter((other) => other !== point))
  const wait = (at: Omit<Point, 'fail'> & { reject(error: Error): void }) => {
    const point: Point = {
      actor: at.actor,
      what: at.what,
      async open() {
        leave(point)
        await at.open()
      },
      fail(error) {
        leave(point)
        at.reject(error)
      },
    }
    points.push(point)
  }
  return {
    get points() {
      return points
    },
    pass: (who, what, call) =>
      new Promise((resolve, reject) => {
        const refuseDead = () => who.isDead && (reject(new Killed(`${who.name} is dead`)), true)
        if (refuseDead()) return
        wait({
          actor: who,
          what: `${what}?`,
          reject,
          async open() {
            const tell = await call().then((value) => () => resolve(value), (error: Error) => () => reject(error))
            if (refuseDead()) return
            wait({ actor: who, what: `${what}!`, reject, open: async () => tell() })
          },
        })
      }),
    kill(who) {
      who.isDead = true
      for (const point of points.filter(({ actor: other }) => other === who)) point.fail(new Killed(`${who.name} is dead`))
    },
  }
}

/** Lets everything that was just told come to its next call. All I/O is behind gates, so that one turn is enough. */
export function settled(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve)
  })
}

/**
 * Runs the steps of some sessions in one order, such as `'a1 b1 a2 b2'`. A step marked `~` is begun and not waited for: it
 * is expected to wait for something that a later step gives.
 */
export async function interleave(
  sessions: Readonly<Record<string, readonly (() => Promise<unknown>)[]>>,
  order: string,
): Promise<void> {
  const begun: Promise<unknown>[] = []
  for (const word of order.split(/\s+/)) {
    const [, name = '', number, mark] = /^([a-z]+)(\d+)(~?)$/.exec(word) ?? []
    const step = sessions[name]?.[Number(number) - 1]
    if (step === undefined) throw new Error(`no step ${word}`)
    const done = step()
    if (mark === '~') {
      begun.push(done)
      done.catch(() => undefined)
    } else await done
  }
  await Promise.all(begun)
}

/** Even draws from a seed. */
export function prng(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}
