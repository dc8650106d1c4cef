import { repeatedly } from '../db/database.ts'
import { erasuresForget, erasuresTake, inboxApply } from '../db/web-calls.ts'
import { runStream, type SyncDeps } from './step.ts'

/** Acts on the events that webhooks brought. */
export type Inbox = {
  /** Events were stored: they are acted on at once, or with those that come within the pause after the last ones. */
  wake(): void
  /** Resolves when none waits and what they named was read, as far as one time slice goes. */
  idle(): Promise<void>
}

/** After a failure, the database being away as a rule, ms. */
const AGAIN_MS = 1_000

/**
 * Events are acted on here, and the records that they name read, without the queue's turns: a long read may hold all of its
 * places. Those that come meanwhile are gathered (`inbox_pause`), so that a flood costs a call for each object now and then, and no
 * more than half of what HubSpot allows. Any number of these may run: each event is taken once, each stream held by one.
 */
export function createInbox(deps: SyncDeps): Inbox {
  const { log, signal, sleep } = deps
  const reads = new Set<Promise<unknown>>()
  let isWanted = false
  let loop: Promise<void> | undefined

  const read = (object: string) => {
    const slice = runStream(deps, { object, stream: 'fetch', range: 0 })
      .catch((error: unknown) => {
        if (!signal.aborted) log.warn(`${object}: what webhooks named is read later`, { object, error })
      })
      .finally(() => reads.delete(slice))
    reads.add(slice)
  }
  // Apart from events and each by itself, so that none waits for what users' triggers make of another.
  const erase = async () => {
    for (const due of await erasuresTake(deps.db)) {
      if (signal.aborted) return
      await repeatedly(() => erasuresForget(deps.db, due)).catch((error: unknown) => {
        if (!signal.aborted) log.warn(`${due.object}: records are erased later, each by itself`, { object: due.object, error })
      })
    }
  }
  const work = async () => {
    while (isWanted && !signal.aborted) {
      isWanted = false
      let pause = AGAIN_MS
      try {
        const { applied, objects, pause_ms: pauseMs } = await repeatedly(() => inboxApply(deps.db), 6)
        for (const object of objects ?? []) read(object)
        pause = pauseMs ?? AGAIN_MS
        // Where events never end, none of it would come with the last of them.
        await erase()
        if (applied === 0) continue
      } catch (error) {
        if (!signal.aborted) log.warn('webhook events wait: they could not be acted on', { error })
      }
      isWanted = true
      await sleep(pause, signal).catch(() => undefined)
    }
  }
  const wake = () => {
    isWanted = true
    loop ??= work().finally(() => {
      loop = undefined
      // Said between its last look and now.
      if (isWanted && !signal.aborted) wake()
    })
  }
  return {
    wake,
    async idle() {
      while (loop !== undefined || reads.size > 0) await Promise.all([loop, ...reads])
    },
  }
}
