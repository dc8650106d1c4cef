import type { Database } from '../../db/database.ts'
import type { Answer } from '../../hubspot/client.ts'
import { formatDuration } from '../../lib/time.ts'
import { advice, type Check, fine } from './check.ts'

/** How far each clock is ahead of HubSpot's, ms; null where HubSpot did not tell its time. Right to about a second. */
export type Clocks = { database: number; machine: number } | null

/** Beyond this a clock is not set by the network, ms. */
const SLACK_MS = 5_000
/** Signatures of webhooks are good for five minutes, and access tokens for half an hour, ms. */
const LIMIT_MS = 300_000

/** Reads all three at one moment. HubSpot tells seconds: in the middle of one it is right to half of it. */
export async function readClocks({ pool }: Database, { date, sentAt, firstByteMs }: Answer): Promise<Clocks> {
  if (date === undefined) return null
  // Its answer was on its way back for about half of the time that it took.
  const ago = performance.now() - sentAt - firstByteMs / 2
  const hubspot = Date.parse(date) + 500 + ago
  const before = performance.now()
  const machine = Date.now()
  const { rows } = await pool.query<{ ms: number }>('select extract(epoch from clock_timestamp())::double precision * 1000 as ms')
  const halfway = (performance.now() - before) / 2
  return { machine: machine - hubspot, database: rows[0]!.ms - halfway - hubspot }
}

/** Whether they agree. Nothing that is read depends on it; webhooks and tokens do. */
export function clockCheck(clocks: Clocks): Check {
  if (clocks === null) return advice('clock', 'HubSpot did not tell its time', 'Look for a proxy between here and HubSpot that takes the Date header out.')
  const all = [['the database', clocks.database], ['this machine', clocks.machine]] as const
  const worst = Math.max(...all.map(([, ahead]) => Math.abs(ahead)))
  if (worst <= SLACK_MS) return fine('clock', 'database, this machine and HubSpot agree')
  const message = all.map(([name, ahead]) => `${name} is ${Math.abs(ahead) <= SLACK_MS ? 'right' : `${formatDuration(Math.abs(ahead))} ${ahead > 0 ? 'ahead' : 'behind'}`}`).join(', ')
  const hint = 'Have the clock set by the network, as with timedatectl set-ntp true. Webhooks and tokens go by it; what is read does not.'
  return worst <= LIMIT_MS ? advice('clock', message, hint) : { name: 'clock', ok: false, message, hint }
}
