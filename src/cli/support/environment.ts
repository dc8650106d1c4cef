import { z } from 'zod'
import { databaseUrlFault } from '../../db/database.ts'
import { type ListenAt, parseListenAt } from '../../gateway/door/listen.ts'
import { Misuse } from '../../lib/errors.ts'
import type { HubSpotEnv } from '../../sync/credentials.ts'

/** What the environment says. */
export type Environment = {
  /** Undefined where it is not set; `databaseUrl()` insists. */
  DATABASE_URL?: string | undefined
  hubspot: HubSpotEnv
  /** As the options of `worker` have them, which go before. */
  gateway: { at?: ListenAt | undefined; cert?: string | undefined; key?: string | undefined }
  /** What the worker's HTTP server is told. */
  web: { token: string | undefined; clientSecret: string | undefined; webhookUrl: string | undefined }
  /** The app that connect --oauth has authorised. */
  app: { clientId?: string | undefined; clientSecret?: string | undefined }
}

const set = z.string().trim().min(1, 'is empty')

/** A text without spaces, of 8 to 4,096 characters. Says what is wrong with one, not what it is. */
const secret = (what: string) => set.superRefine((text, context) => {
  const why = text.length < 8 ? 'is shorter than 8 characters'
    : text.length > 4096 ? 'is longer than 4096 characters'
    : /\s/.test(text) ? 'has spaces'
    : /[^\x21-\x7e]/.test(text) ? 'has characters that are not ASCII' : undefined
  if (why !== undefined) context.addIssue(`is no ${what}: it ${why}`)
})

/** Where a gateway listens. */
export const listenAt = z.string().transform((text, context) => {
  const at = parseListenAt(text)
  if (at !== undefined) return at
  context.addIssue('is no HOST:PORT, such as 127.0.0.1:5433, and no /DIRECTORY:PORT of a Unix socket')
  return z.NEVER
})

/** The variables that are read, and what each is for; anything else in the environment is left alone. */
export const VARIABLES = {
  DATABASE_URL: {
    schema: set.superRefine((text, context) => {
      const fault = databaseUrlFault(text)
      if (fault !== undefined) context.addIssue(fault)
    }),
    help: 'The database, as postgres://user:password@host:5432/database.',
  },
  HUBSPOT_ACCESS_TOKEN: {
    schema: secret('access token'),
    help: 'A private app token or service key. connect stores it; a worker that has it serves without one stored.',
  },
  HUBSPOT_API_URL: {
    schema: set.pipe(z.url({ protocol: /^https?$/, error: 'is not an http:// or https:// URL' })),
    help: "Another address than HubSpot's: a sandbox.",
  },
  HUBSPOT_API_VERSION: {
    schema: set.regex(/^(v3|\d{4}-\d{2})$/, 'is neither v3 nor a date such as 2026-09'),
    help: "The version in HubSpot's paths: 2026-09 by default; v3 for the one before.",
  },
  HUBSPOT_CLIENT_ID: {
    schema: set.regex(/^[\x21-\x7e]{1,200}$/, 'is no client id'),
    help: 'The OAuth app, for connect --oauth.',
  },
  HUBSPOT_CLIENT_SECRET: {
    schema: secret('client secret'),
    help: "That app's secret, for connect --oauth; what webhooks are signed with.",
  },
  PG_HUBSPOT_KEY: {
    schema: set.regex(/^[A-Za-z0-9+/]{43}=$/, 'is not 32 bytes in base64'),
    help: 'Seals the secrets that are stored; the same for every worker. Make one: openssl rand -base64 32',
  },
  HUBSPOT_WRITES: {
    schema: z.enum(['on', 'off'], 'is neither on nor off'),
    help: 'off: HubSpot is never written to, and no OAuth token renewed.',
  },
  HUBSPOT_WEBHOOK_URL: {
    schema: set.pipe(z.url({ protocol: /^https?$/, error: 'is not an http:// or https:// URL' })),
    help: "The webhooks' target URL as HubSpot has it, where a proxy makes another of it.",
  },
  PG_HUBSPOT_HTTP_TOKEN: {
    schema: secret('token'),
    help: 'The token that /metrics asks for, as Authorization: Bearer.',
  },
  PG_HUBSPOT_GATEWAY: { schema: set.pipe(listenAt), help: "The worker's --gateway." },
  PG_HUBSPOT_GATEWAY_TLS_CERT: { schema: set, help: "The worker's --gateway-tls-cert." },
  PG_HUBSPOT_GATEWAY_TLS_KEY: { schema: set, help: "The worker's --gateway-tls-key." },
} as const satisfies Record<string, { schema: z.ZodType; help: string }>

/** Reads the environment. Misuse SH104 names the variable that is wrong, never its value. */
export function readEnvironment(env: NodeJS.ProcessEnv): Environment {
  const { environment, wrong } = lookAtEnvironment(env)
  if (wrong[0] !== undefined) throw wrong[0]
  return environment
}

/** Reads what can be read of the environment. `wrong`: Misuse SH104 for each variable that cannot be used, by its name, never its value. */
export function lookAtEnvironment(env: NodeJS.ProcessEnv): { environment: Environment; wrong: Misuse[] } {
  const wrong: Misuse[] = []
  const read = <Name extends keyof typeof VARIABLES>(name: Name): z.infer<(typeof VARIABLES)[Name]['schema']> | undefined => {
    // Set to nothing is how compose files and shells say "not set".
    if (env[name] === undefined || env[name] === '') return undefined
    const result = VARIABLES[name].schema.safeParse(env[name])
    if (result.success) return result.data as z.infer<(typeof VARIABLES)[Name]['schema']>
    wrong.push(new Misuse('SH104', `${name} ${result.error.issues[0]?.message}`, { hint: `Set or unset it. ${VARIABLES[name].help}` }))
    return undefined
  }
  const [baseUrl, version, token] = [read('HUBSPOT_API_URL'), read('HUBSPOT_API_VERSION'), read('HUBSPOT_ACCESS_TOKEN')]
  const environment = {
    DATABASE_URL: read('DATABASE_URL'),
    hubspot: {
      ...(baseUrl !== undefined && { baseUrl: baseUrl.replace(/\/$/, '') }),
      ...(version !== undefined && { version }),
      token,
      key: read('PG_HUBSPOT_KEY'),
      mayWrite: read('HUBSPOT_WRITES') !== 'off',
    },
    gateway: { at: read('PG_HUBSPOT_GATEWAY'), cert: read('PG_HUBSPOT_GATEWAY_TLS_CERT'), key: read('PG_HUBSPOT_GATEWAY_TLS_KEY') },
    web: { token: read('PG_HUBSPOT_HTTP_TOKEN'), clientSecret: read('HUBSPOT_CLIENT_SECRET'), webhookUrl: read('HUBSPOT_WEBHOOK_URL') },
    app: { clientId: read('HUBSPOT_CLIENT_ID'), clientSecret: read('HUBSPOT_CLIENT_SECRET') },
  }
  return { environment, wrong }
}

/** Where the database is. Misuse SH104 when nobody said. */
export function databaseUrl({ DATABASE_URL }: Environment): string {
  if (DATABASE_URL !== undefined) return DATABASE_URL
  throw new Misuse('SH104', 'DATABASE_URL is not set', { hint: VARIABLES.DATABASE_URL.help.replace('The database, as', 'Set it, as in DATABASE_URL=').replace('= ', '=') })
}
