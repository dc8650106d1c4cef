import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import { z } from 'zod'
import { tokenGet } from '../db/account-calls.ts'
import { type Database, openDatabase } from '../db/database.ts'
import { installed } from '../db/installed.ts'
import { createClient } from '../hubspot/client.ts'
import { authoriseUrl, exchangeCode } from '../hubspot/oauth.ts'
import { Misuse } from '../lib/errors.ts'
import { printable } from '../lib/printable.ts'
import * as time from '../lib/time.ts'
import { createCaller } from '../sync/call.ts'
import { createSecrets } from '../sync/secrets.ts'
import { addressOf } from '../sync/tokens.ts'
import { awaitCallback, openBrowser } from './support/authorise.ts'
import { type Call, command, EXIT, flag, type Options, Usage, value, values, whole } from './support/command.ts'
import { databaseUrl } from './support/environment.ts'
import { askHidden } from './support/hidden.ts'

/** How long a worker may take to check the token, ms: its job, one call to HubSpot, and a wait for a free slot. */
const PATIENCE_MS = 15_000
/** The redirect URL that an app must know has a port; this one is no common program's. */
const PORT = 8976
/** What reads the usual objects; an app may require others. */
const SCOPES = [
  'oauth', 'crm.objects.companies.read', 'crm.objects.contacts.read', 'crm.objects.deals.read', 'crm.objects.owners.read',
  'crm.schemas.companies.read', 'crm.schemas.contacts.read', 'crm.schemas.deals.read',
]

const options = {
  oauth: flag('Have an OAuth app authorised instead of reading a token.'),
  'client-id': value('ID', z.string().regex(/^[\x21-\x7e]{1,200}$/, 'has spaces'), "With --oauth: the app's client id; HUBSPOT_CLIENT_ID by default."),
  scope: values('SCOPE', z.array(z.string().regex(/^[\w.-]+$/, 'is no scope')), `With --oauth: a scope that the app requires; may be given many times. By default: ${SCOPES.join(' ')}.`),
  'optional-scope': values('SCOPE', z.array(z.string().regex(/^[\w.-]+$/, 'is no scope')), 'With --oauth: one that is asked for, and may be missing.'),
  port: value('N', whole(0, 65_535), `With --oauth: the port of the redirect URL; ${PORT} by default, 0 takes a free one.`),
  json: flag('Print what came of it as JSON: state, message, hint.'),
} satisfies Options

/** `pg-hubspot connect`. */
export const connect = command({
  name: 'connect',
  summary: 'Stores a HubSpot access token, or has an OAuth app authorised, and says what came of it.',
  about: `
The token is HUBSPOT_ACCESS_TOKEN where that is set; else it is asked for on a terminal, unseen; else read from standard input:

  pg-hubspot connect < token.txt

It is never an argument: arguments show in process lists and shell histories. A running worker checks it at once, and so does the
next one to start; a token that HubSpot refuses, or of another account, never replaces the one in use. With PG_HUBSPOT_KEY it is
sealed before it is stored.

--oauth prints the page where a person authorises the app, and opens it on a terminal; the code comes back to this machine, by
http://localhost:${PORT}/oauth/callback, which the app in HubSpot must have as a redirect URL. The client secret is HUBSPOT_CLIENT_SECRET
where that is set; else it is asked for, unseen, or read from standard input. Ten minutes; Ctrl-C ends it.`,
  options,
  // One argument is taken only to be refused in words that help.
  positionals: { least: 0, most: 1 },
  endsInOrder: true,
  async run(call: Call<typeof options>) {
    const { options: { oauth, json }, positionals, env, log } = call
    if (positionals.length > 0) {
      throw new Usage('a token is not given as an argument, where others can see it', 'Make a new one if this one was real. Then: pg-hubspot connect < token.txt')
    }
    const url = databaseUrl(env)
    const secrets = createSecrets(env.hubspot.key, log)
    // Before the database is asked: a terminal waits for its person, a database for nobody.
    const token = oauth ? undefined : (env.hubspot.token ?? (await read('access token', 'pg-hubspot connect < token.txt', 'HUBSPOT_ACCESS_TOKEN')))
    await using db = openDatabase(url, { max: 2, applicationName: 'pg-hubspot connect' })
    await installed(db)
    if (token === undefined) await authorise(db, call)
    else await db.pool.query('select hubspot.connect(access_token => $1)', [secrets.seal(token, 'access_token')])
    const outcome = await checked(db)
    if (json) console.log(JSON.stringify(outcome))
    else console.log([outcome.message, outcome.hint].filter((line) => line !== null).map(printable).join('\n'))
    return outcome.state === 'refused' ? EXIT.error : EXIT.ok
  },
})

/** Asks for a secret without showing it, or reads it from standard input. */
async function read(what: string, example: string, variable: string): Promise<string> {
  const given = process.stdin.isTTY ? await askHidden(`HubSpot ${what} (not shown): `) : await text(process.stdin)
  const secret = given.trim()
  const hint = `Pipe it in, as in ${example}, or set ${variable}.`
  if (secret === '') throw new Misuse('SH104', `no ${what} was given`.replace('access token', 'token'), { hint })
  // Sealed, nobody would see what it is before a worker does.
  if (!/^[\x21-\x7e]{8,4096}$/.test(secret)) throw new Misuse('SH104', `that is no ${what}`, { hint: `Copy it from HubSpot, whole and alone. ${hint}` })
  return secret
}

/** Has a person authorise the app, and stores what HubSpot gives for the code. */
async function authorise(db: Database, { options: given, env, log, signal }: Call<typeof options>): Promise<void> {
  const clientId = given['client-id'] ?? env.app.clientId
  if (clientId === undefined) throw new Usage('--client-id is missing', "Copy it from the app's Auth tab in HubSpot, or set HUBSPOT_CLIENT_ID.")
  const secrets = createSecrets(env.hubspot.key, log)
  const clientSecret = env.app.clientSecret ?? (await read('client secret', 'pg-hubspot connect --oauth < secret.txt', 'HUBSPOT_CLIENT_SECRET'))
  secrets.hide(clientSecret)
  await using callback = await awaitCallback(given.port ?? PORT)
  const { redirectUri, state } = callback
  const page = authoriseUrl({ clientId, redirectUri, state, scopes: given.scope ?? SCOPES, optionalScopes: given['optional-scope'] ?? [] }, env.hubspot.baseUrl)
  process.stderr.write(`Authorise the app here:\n\n  ${page}\n\nIts redirect URL in HubSpot must be ${redirectUri}\n`)
  if (process.stderr.isTTY) openBrowser(page)
  const code = await callback.code(signal)
  secrets.hide(code)
  await using client = createClient({ token: () => '', ...addressOf(env.hubspot) })
  const caller = createCaller({ db, signal, sleep: time.sleep })
  const tokens = await exchangeCode(client, async (kind, send) => (await caller.call(kind, send)).answer, { clientId, clientSecret }, { code, redirectUri })
  await db.pool.query('select hubspot.connect(client_id => $1, client_secret => $2, refresh_token => $3)', [
    clientId, secrets.seal(clientSecret, 'client_secret'), secrets.seal(tokens.refreshToken, 'refresh_token'),
  ])
}

type Outcome = { state: 'connected' | 'refused' | 'waiting'; message: string; hint: string | null }
type Check = { ok: boolean; message: string; hint: string | null }

/** Looks until a worker has checked the token; not long where none runs. */
async function checked(db: Database): Promise<Outcome> {
  for (const until = performance.now() + PATIENCE_MS; ; await sleep(100)) {
    // Checked or refused, it is no candidate any more.
    const isWaiting = (await tokenGet(db, true)) !== undefined
    const { account, worker, identity } = await health(db)
    if (identity?.ok === false) return { state: 'waiting', message: `The token is stored; ${identity.message}.`, hint: identity.hint }
    const problem = await tokenProblem(db)
    if (!isWaiting && problem !== undefined) return { state: 'refused', ...problem }
    if (!isWaiting && account?.ok === true) return { state: 'connected', message: account.message, hint: null }
    if (worker?.ok !== true) {
      return { state: 'waiting', message: 'The token is stored; no worker is running to check it.', hint: worker?.hint ?? null }
    }
    if (performance.now() < until) continue
    return {
      state: 'waiting',
      message: `The token is stored, and not checked yet${problem === undefined ? '' : `: ${problem.message}`}.`,
      hint: problem?.hint ?? 'See: pg-hubspot status',
    }
  }
}

async function health(db: Database): Promise<Record<string, Check | undefined>> {
  const { rows } = await db.pool.query<Check & { name: string }>('select * from hubspot.health()')
  return Object.fromEntries(rows.map((row) => [row.name, row]))
}

/** `hubspot.connect` closed the earlier ones. */
async function tokenProblem(db: Database): Promise<{ message: string; hint: string } | undefined> {
  const { rows } = await db.pool.query<{ message: string; hint: string }>(
    `select format('%s (%s)', message, code) as message, hint from hubspot.problems
     where object is null and property = 'new token' and resolved_at is null order by last_seen_at desc limit 1`,
  )
  return rows[0]
}
