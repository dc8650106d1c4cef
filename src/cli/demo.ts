import { runDemo } from '../demo.ts'
import { command, flag } from './support/command.ts'

/** `pg-hubspot demo`. */
export const demo = command({
  name: 'demo',
  logLevel: 'error',
  summary: 'Shows all of it: a PostgreSQL and a HubSpot that run here, a first load, edits arriving live.',
  about: `
Starts a PostgreSQL server of its own (or uses DATABASE_URL), a sandbox that stands for HubSpot, and a worker; tracks contacts,
companies, deals and the custom object vehicle; then changes records in the sandbox and shows when each arrives. Goes on until
Ctrl-C, and removes what it made.

--once does the same unattended and smaller, compares the tables with the sandbox to the last value, and exits 0 when they are equal.

With HUBSPOT_ACCESS_TOKEN set it reads that account in place of the sandbox: the objects that the token may read, then what changes. It
writes nothing to HubSpot. What it loads stays where DATABASE_URL is set, and goes with the server where not.`,
  options: { once: flag('Load, compare, exit.') },
  endsInOrder: true,
  run: ({ options: { once }, env, log, signal }) => runDemo({ isOnce: once, env, log, signal }),
})
