import { z } from 'zod'
import type { ListenAt } from '../gateway/door/listen.ts'
import type { GatewayOptions } from '../gateway/server.ts'
import { keepMemoryFlat } from '../lib/memory.ts'
import { runOnce, startWorker } from '../worker.ts'
import type { Address } from '../web/server.ts'
import { command, EXIT, flag, Usage, value, whole } from './support/command.ts'
import { databaseUrl, type Environment, listenAt } from './support/environment.ts'

/** Where HTTP is served when nobody says. */
const PORT = 8470

/** HOST:PORT, a port alone, or off. */
const address = z.string().transform((text, context): Address | 'off' => {
  if (text === 'off') return 'off'
  const [, bracketed, host = bracketed, port = ''] = /^(?:(?:\[([0-9a-f:]+)\]|([^\s:[\]]+)):)?(\d{1,5})$/i.exec(text) ?? []
  if (port !== '' && Number(port) < 65_536) return { host: host ?? '127.0.0.1', port: Number(port), isSpare: false }
  context.addIssue('is neither HOST:PORT nor off')
  return z.NEVER
})

/** `pg-hubspot worker`. */
export const worker = command({
  name: 'worker',
  summary: 'Does the work: reads HubSpot and fills the tables, until it is stopped.',
  about: `
Run one, kept running by whatever keeps services running; more of them share the work and HubSpot's limits. Kill it at any
moment: nothing is lost. SIGTERM or SIGINT ends it in order within seconds, a second one at once. It logs to standard error,
one JSON object a line, or for people where that is a terminal.

--once runs what is due now and what that wakes to its end, waiting for HubSpot's limits, and exits: 0, or 2 when an object
is parked. For cron jobs and scripts.

--http says where it listens: POST /webhooks/hubspot for HubSpot's webhooks, checked by HUBSPOT_CLIENT_SECRET; /metrics for
Prometheus; /healthz and /readyz for probes. By default 127.0.0.1:${PORT}, which one worker of a machine serves, and another takes over
when that ends. Beyond loopback /metrics wants PG_HUBSPOT_HTTP_TOKEN. Put what ends TLS in front of the webhooks' path.

--gateway serves live tables: what a query of hubspot_live touches is asked of HubSpot before the database answers it. The
database connects to this address, as select hubspot.enable_live(host => '127.0.0.1', port => 5433); tells it to, and so may
psql or any client, with roles and passwords of the database. It listens for this machine alone unless told otherwise; for
others give it a certificate. Each session takes a connection of its own.`,
  options: {
    once: flag('Run what is due now to its end, then exit.'),
    concurrency: value('N', whole(1, 100), 'How much is read side by side; 16 by default. It takes 3/4 N + 4 connections, 3 for HTTP, and 8 for a gateway.'),
    http: value('HOST:PORT', address, `Where webhooks, metrics and probes are served; off: nowhere. 127.0.0.1:${PORT} by default.`),
    gateway: value('HOST:PORT', listenAt, 'Serve live tables there; or at /DIRECTORY:PORT, a Unix socket. Off by default.'),
    'gateway-tls-cert': value('FILE', z.string().min(1, 'is empty'), 'Certificate and chain, PEM. Then other machines have to encrypt.'),
    'gateway-tls-key': value('FILE', z.string().min(1, 'is empty'), 'Its key, PEM. Both are read again when they change.'),
    'gateway-sessions': value('N', whole(1, 10_000), 'Live sessions at once; 50 by default.'),
  },
  endsInOrder: true,
  async run({ options: { once, concurrency, http, ...rest }, env, log, signal }) {
    keepMemoryFlat()
    const gateway = gatewayOf(rest, env)
    const options = { databaseUrl: databaseUrl(env), hubspot: env.hubspot, log, ...(concurrency !== undefined && { concurrency }) }
    if (once) {
      if (rest.gateway !== undefined) throw new Usage('--once serves no live tables', 'Leave out --gateway, or run the worker without --once.')
      const { parked } = await runOnce({ ...options, signal })
      for (const { object, last_error } of parked) {
        log.warn(`${object} is parked: ${last_error ?? 'see hubspot.problems'}`, { object, hint: 'select * from hubspot.problems where resolved_at is null;' })
      }
      return parked.length > 0 ? EXIT.waits : EXIT.ok
    }
    const where = http ?? { host: '127.0.0.1', port: PORT, isSpare: true }
    const running = await startWorker({ ...options, gateway, ...(where !== 'off' && { web: { address: where, ...env.web } }) })
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

type GatewayFlags = { gateway: ListenAt | undefined; 'gateway-tls-cert': string | undefined; 'gateway-tls-key': string | undefined; 'gateway-sessions': number | undefined }

/** Where and how the gateway listens, by options and environment; undefined: nowhere. */
function gatewayOf(flags: GatewayFlags, { gateway: env }: Environment): GatewayOptions | undefined {
  const at = flags.gateway ?? env.at
  const cert = flags['gateway-tls-cert'] ?? env.cert
  const key = flags['gateway-tls-key'] ?? env.key
  if (at === undefined) return undefined
  if ((cert === undefined) !== (key === undefined)) throw new Usage('a certificate and its key go together', 'Give --gateway-tls-cert and --gateway-tls-key, or neither.')
  const maxSessions = flags['gateway-sessions']
  return { at, ...(cert !== undefined && key !== undefined && { tls: { cert, key } }), ...(maxSessions !== undefined && { maxSessions }) }
}
