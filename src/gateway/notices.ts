import type { LiveTable } from '../db/live-calls.ts'
import { isErrorCode, SyncError } from '../lib/errors.ts'
import type { Log } from '../lib/log.ts'
import { Refusal, type ServerNotice } from './live.ts'

/** What goes wrong for one statement, or is not as fresh as it might be, in a client's words. */

export const TOO_COMPLEX = new Refusal({
  code: '54001',
  message: 'the statement is too long, too deeply nested or names too much for the gateway',
  hint: "Give many ids as one array: id = any ('{1,2,3}'); what has nothing to do with live tables runs on a connection of the database itself.",
})

export const TOO_MANY = new Refusal({
  code: '54001',
  message: 'too many statements are sent at once for the gateway',
  hint: 'Send a Sync after each thousand of them.',
})

export const BUSY = new Refusal({
  code: 'SH232',
  message: 'HubSpot could not be asked in time: the gateway is busy with the statements of others',
  hint: 'Try again, or read the mirror in schema hubspot on a connection of the database itself.',
})

export const UNREADABLE = new Refusal({
  code: '0A000',
  message: 'the gateway cannot tell what this statement reads',
  hint: 'Send it by itself, in the words of PostgreSQL 18 and with standard_conforming_strings on, or on a connection of the database itself.',
})

export const UNSETTLED = new Refusal({
  code: '0A000',
  message: 'what this statement reads cannot be looked up before what it was sent along with has run',
  hint: 'Send it by itself, after what sets search_path or a role, ends a transaction, or defines, renames or drops something.',
})

export function readOnly(name: string, verb: string): Refusal {
  return new Refusal({
    code: 'SH105',
    message: `table hubspot.${name} is read-only: it cannot be ${verb}`,
    detail: 'What is written to a live table does not reach HubSpot.',
    hint: 'Change the record in HubSpot: the next query shows it. Keep your own columns in a table of your own.',
  })
}

export function stillLoading({ table_name: name, object, pair, keys }: LiveTable): Refusal {
  const wait = pair === null ? `Wait for it: call hubspot.wait('${object}');` : 'Wait until table hubspot.association_pairs says complete_until;'
  return new Refusal({ code: '55000', message: `table hubspot.${name} is still being loaded`, hint: `${wait} or ask for records by their ${keys[0]}.` })
}

export function stillFilling({ table_name: name, object }: LiveTable, columns: readonly string[]): Refusal {
  const said = columns.map((column) => `hubspot.${name}.${column}`).join(', ')
  return new Refusal({
    code: '55000',
    message: `${columns.length === 1 ? 'column' : 'columns'} ${said} ${columns.length === 1 ? 'is' : 'are'} still being filled`,
    hint: `Wait for it: call hubspot.wait('${object}'); or ask for records by their id, or leave it out.`,
  })
}

export function someEmpty({ table_name: name, filling }: LiveTable): ServerNotice {
  return {
    severity: 'WARNING',
    code: '55000',
    message: `hubspot.${name} has columns that are still being filled, and empty or old until then: ${filling.join(', ')}`,
  }
}

/** A warning that names these records, or none where some may be hidden from whoever asks. */
export function heldRows({ table_name: name }: LiveTable, ids: readonly string[]): ServerNotice {
  return {
    severity: 'WARNING',
    code: 'SH232',
    message: `hubspot.${name} may be older than HubSpot for ${ids.length === 0 ? 'some records' : some(ids)}: what HubSpot has could not be written`,
    hint: 'A transaction of yours or of someone else has these rows locked, as by select … for update; or a trigger or constraint keeps them as they are: table hubspot.problems says which; or HubSpot did not tell of them.',
  }
}

const some = (ids: readonly string[]) => `${ids.slice(0, 10).join(', ')}${ids.length > 10 ? ', …' : ''}`

/** When which record was last logged, by the log it was logged to. */
const logged = new WeakMap<Log, Map<string, number>>()

/** What postgres_fdw does not pass on is in the log: of each record once an hour. */
export function noteHeld({ table_name: name }: LiveTable, ids: readonly string[], log: Log): void {
  const at = logged.get(log) ?? new Map<string, number>()
  logged.set(log, at)
  const now = performance.now()
  const fresh = ids.filter((id) => (at.get(`${name} ${id}`) ?? -Infinity) < now - 3_600_000)
  if (fresh.length === 0) return
  if (at.size > 10_000) at.clear()
  for (const id of fresh) at.set(`${name} ${id}`, now)
  log.warn(`a query of live table ${name} may have shown older rows than HubSpot has, for ${some(fresh)}: they are locked, or are not let change`, { table: name, code: 'SH232' })
}

export const OLD_SNAPSHOT: ServerNotice = {
  severity: 'WARNING',
  code: 'SH232',
  message: 'HubSpot was not asked: this transaction keeps the snapshot that it took before, so it would not see what is new',
  hint: 'Ask for what must be fresh first, in a transaction of its own, or use isolation level read committed.',
}

/** HubSpot, or this installation, said no: waiting longer changes nothing. */
const SAID_NO = /^SH(0\d\d|20[1-4]|211|22[267])$/

/** What kept HubSpot from being asked, as the error that it is; a warning, where that is what was chosen. */
export function late({ table_name: name, on_late: onLate }: LiveTable, error: unknown, log: Log): ServerNotice {
  const why = error instanceof Error ? error.message : String(error)
  const { code, hint = '' } = error as { code?: string; hint?: string }
  log.warn(`a query of live table ${name} was not fresh in time: ${why}`, { table: name, ...(isErrorCode(code) && { code }) })
  const said = code !== undefined && SAID_NO.test(code)
    ? { code, message: `HubSpot could not be asked for hubspot.${name}: ${why}`, hint: `${hint} The mirror in schema hubspot answers meanwhile.`.trim() }
    : {
      code: 'SH232',
      message: `HubSpot could not be asked in time for hubspot.${name}: ${why}`,
      ...(error instanceof SyncError && hint !== '' && { detail: hint }),
      hint: "Try again, read the mirror in schema hubspot, or let answers be older: set hubspot.max_age = '1 minute'. Settings live_timeout and live_on_late say how long is waited and what then.",
    }
  if (onLate === 'error') throw new Refusal(said)
  return { ...said, severity: 'WARNING' }
}
