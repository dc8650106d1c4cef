import { keepMemoryFlat } from '../lib/memory.ts'
import { runOnce, startWorker } from '../worker.ts'
import { command, EXIT, flag, value, whole } from './support/command.ts'
import { databaseUrl } from './support/environment.ts'

/** `pg-hubspot worker`. */
export const worker = command({
  name: 'worker',
  summary: 'Does the work: reads HubSpot and fills the tables, until it is stopped.',
  about: `
Run one, kept running by whatever keeps services running; more of them share the work and HubSpot's limits. Kill it at any
moment: nothing is lost. SIGTERM or SIGINT ends it in order within seconds, a second one at once. It logs to standard error,
one JSON object a line, or for people where that is a terminal.

--once runs what is due now and what that wakes to its end, waiting for HubSpot's limits, and exits: 0, or 2 when an object
is parked. For cron jobs and scripts.`,
  options: {
    once: flag('Run what is due now to its end, then exit.'),
    concurrency: value('N', whole(1, 100), 'How much is read side by side; 12 by default. It takes N + 4 connections.'),
  },
  endsInOrder: true,
  async run({ options: { once, concurrency }, env, log, signal }) {
    keepMemoryFlat()
    const options = { databaseUrl: databaseUrl(env), hubspot: env.hubspot, log, ...(concurrency !== undefined && { concurrency }) }
    if (once) {
      const { parked } = await runOnce({ ...options, signal })
      for (const { object, last_error } of parked) {
        log.warn(`${object} is parked: ${last_error ?? 'see hubspot.problems'}`, { object, hint: 'select * from hubspot.problems where resolved_at is null;' })
      }
      return parked.length > 0 ? EXIT.waits : EXIT.ok
    }
    const running = await startWorker(options)
    const stop = () => {
      log.info('stopping; once more to end at once', { signal: (signal.reason as Error).message })
      // What goes wrong here also rejects `done`.
      running.stop().catch(() => undefined)
    }
    if (signal.aborted) stop()
    else signal.addEventListener('abort', stop, { once: true })
    await running.done
    await running.stop()
    return signal.aborted ? EXIT.ok : EXIT.error
  },
})
