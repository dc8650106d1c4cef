import { z } from 'zod'
import { sweep, vacuum } from './db/calls.ts'
import { checkCredentials, type HubSpotEnv } from './sync/credentials.ts'
import { deliverInTurn, type Turns } from './sync/deliver.ts'
import type { Inbox } from './sync/inbox.ts'
import { runStream, type SyncDeps } from './sync/step.ts'

/** What every task gets. */
export type TaskDeps = SyncDeps & { env: HubSpotEnv; inbox: Inbox; turns: Turns }

/** A task: its payload's shape and what it does. It may run any number of times, anywhere, at once. */
export type Task = { run(payload: unknown, deps: TaskDeps): Promise<void> }

/** Pairs a payload's schema with what is done with it. */
function task<Payload>(payload: z.ZodType<Payload>, run: (payload: Payload, deps: TaskDeps) => Promise<unknown>): Task {
  return {
    async run(raw, deps) {
      await run(payload.parse(raw), deps)
    },
  }
}

const Stream = z.strictObject({ object: z.string(), stream: z.string(), range: z.int() })
const Nothing = z.strictObject({})

/** All tasks of the queue, by name; `task_names()` in sql/code/20_queue.sql lists the same. */
export const tasks = {
  /** Takes steps of one stream until its run or a time slice is over. A stream that is not due, or held, is left alone. */
  'hubspot:stream': task(Stream, (key, deps) => runStream(deps, key)),
  /** Checks the token that `hubspot.connect` left. */
  'hubspot:connect': task(Nothing, (_, deps) => checkCredentials(deps)),
  /** Has webhook events acted on that were left lying. Waits for no end of it: there is none while webhooks go on. */
  'hubspot:inbox': task(Nothing, async (_, { inbox }) => inbox.wake()),
  /** Wakes due streams that nobody holds, frees what dead workers held, forgets what is old. */
  'hubspot:sweep': task(Nothing.nullish(), (_, { db }) => sweep(db)),
  /** Delivers changes of a subscription to a function, or queues them for a task of the user's, until none is due or a time slice is over. */
  'hubspot:deliver': task(z.strictObject({ subscription: z.int() }), ({ subscription }, deps) => deliverInTurn(deps, subscription)),
  /** Statistics for a table after its first load. */
  'hubspot:vacuum': task(z.strictObject({ object: z.string() }), ({ object }, { db }) => vacuum(db, object)),
} satisfies Record<string, Task>
