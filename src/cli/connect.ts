import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import { tokenGet } from '../db/account-calls.ts'
import { type Database, openDatabase } from '../db/database.ts'
import { installed } from '../db/installed.ts'
import { Misuse } from '../lib/errors.ts'
import { command, EXIT, flag, Usage } from './support/command.ts'
import { databaseUrl } from './support/environment.ts'
import { askHidden } from './support/hidden.ts'

/** How long a worker may take to check the token, ms: its job, one call to HubSpot, and a wait for a free slot. */
const PATIENCE_MS = 15_000

/** `pg-hubspot connect`. */
export const connect = command({
  name: 'connect',
  summary: 'Stores a HubSpot access token, and says what came of its check.',
  about: `
The token is HUBSPOT_ACCESS_TOKEN where that is set; else it is asked for on a terminal, unseen; else read from standard input:

  pg-hubspot connect < token.txt

It is never an argument: arguments show in process lists and shell histories. A running worker checks it at once, and so does the
next one to start; a token that HubSpot refuses, or of another account, never replaces the one in use.`,
  options: { json: flag('Print what came of it as JSON: state, message, hint.') },
  // One argument is taken only to be refused in words that help.
  positionals: { least: 0, most: 1 },
  async run({ options: { json }, positionals, env, log }) {
    if (positionals.length > 0) {
      throw new Usage('a token is not given as an argument, where others can see it', 'Make a new one if this one was real. Then: pg-hubspot connect < token.txt')
    }
    const url = databaseUrl(env)
    const token = env.hubspot.token ?? (await readToken())
    log.hide(token)
    await using db = openDatabase(url, { max: 2, applicationName: 'pg-hubspot connect' })
    await installed(db)
    await db.pool.query('select hubspot.connect(access_token => $1)', [token])
    const outcome = await checked(db)
    if (json) console.log(JSON.stringify(outcome))
    else console.log([outcome.message, outcome.hint].filter((line) => line !== null).join('\n'))
    return outcome.state === 'refused' ? EXIT.error : EXIT.ok
  },
})

async function readToken(): Promise<string> {
  const given = process.stdin.isTTY ? await askHidden('HubSpot access token (not shown): ') : await text(process.stdin)
  const token = given.trim()
  if (token !== '') return token
  throw new Misuse('SH104', 'no token was given', { hint: 'Pipe it in, as in pg-hubspot connect < token.txt, or set HUBSPOT_ACCESS_TOKEN.' })
}

type Outcome = { state: 'connected' | 'refused' | 'waiting'; message: string; hint: string | null }
type Check = { name: string; ok: boolean; message: string; hint: string | null }

/** Looks until a worker has checked the token; not long where none runs. */
async function checked(db: Database): Promise<Outcome> {
  for (const until = performance.now() + PATIENCE_MS; ; await sleep(100)) {
    // Checked or refused, it is no candidate any more.
    const isWaiting = (await tokenGet(db, true)) !== undefined
    const [account, worker] = await health(db, ['account', 'worker'])
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

async function health(db: Database, names: string[]): Promise<Check[]> {
  const { rows } = await db.pool.query<Check>('select * from hubspot.health() where name = any ($1) order by name', [names])
  return rows
}

/** `hubspot.connect` closed the earlier ones. */
async function tokenProblem(db: Database): Promise<{ message: string; hint: string } | undefined> {
  const { rows } = await db.pool.query<{ message: string; hint: string }>(
    `select format('%s (%s)', message, code) as message, hint from hubspot.problems
     where object is null and property = 'new token' and resolved_at is null order by last_seen_at desc limit 1`,
  )
  return rows[0]
}
