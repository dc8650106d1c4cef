import type { Time } from '../types.ts'

/** The sandbox's clock: the machine's pace from a start of one's choice, or standing still. */
export interface Clock {
  /** Epoch ms, whole. */
  now(): number
  set(time: Time): void
  advance(ms: number): void
  freeze(frozen: boolean): void
}

/** A clock that shows `start` now. It runs by the monotonic clock, so that changes of the machine's time do not reach it. */
export function createClock(start: Time = Date.now(), frozen = false): Clock {
  let offset = epoch(start) - performance.now()
  let stoppedAt = frozen ? epoch(start) : null
  const now = () => stoppedAt ?? Math.floor(performance.now() + offset)
  const set = (ms: number) => {
    offset = ms - performance.now()
    if (stoppedAt !== null) stoppedAt = ms
  }
  return {
    now,
    set: (time) => set(epoch(time)),
    advance(ms) {
      if (!Number.isFinite(ms) || ms < 0) throw new Error(`the clock cannot advance by ${ms} ms; setClock turns it back`)
      set(now() + Math.floor(ms))
    },
    freeze(frozen) {
      const shown = now()
      stoppedAt = frozen ? shown : null
      set(shown)
    },
  }
}

/** Epoch ms of a time; throws where it is none. */
export function epoch(time: Time): number {
  const ms = typeof time === 'number' ? time : new Date(time).getTime()
  if (!Number.isFinite(ms)) throw new Error(`not a time: ${String(time)}`)
  return Math.floor(ms)
}
