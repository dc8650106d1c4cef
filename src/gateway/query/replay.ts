import type { LiveSession } from '../live.ts'
import { pinned } from './pinned.ts'

/** What a transaction has done so far, as far as what comes before its first query goes. */
export type Beginning = {
  transaction: number
  unasked: number
  /** Savepoints and settings since it began, to be said again; undefined once anything else was done. */
  texts: string[] | undefined
  /** When the transaction began that was told that it keeps an old snapshot. */
  told: string | undefined
}

/** Statements after which a transaction has no snapshot yet, and which do the same when they are said again. */
const AGAIN = /^(savepoint|release|rollback\s+to|set(?!.*\bsnapshot\b)|reset)\b/is
const ENDS = /^(commit|end|rollback|abort)(\s+(work|transaction))?(\s+and\s+(no\s+)?chain)?$/i
/** What BEGIN says of the transaction stays with it. */
const LEAVES_NOTHING = /^(begin|start\s+transaction|explain(?!.*analy[sz]e)|show)\b/is
/** A comment that holds no other, which would end elsewhere. */
const COMMENTS = /^(\s|--[^\n\r]*([\n\r]|$)|\/\*((?!\/\*|\*\/).)*\*\/)+/s

/**
 * Takes note of a statement that goes to the server. What comes before a BEGIN in one message or batch is done in the
 * transaction that it begins.
 */
export function note(beginning: Beginning, text: string, { transaction, isInTransaction, unasked }: LiveSession): void {
  if (beginning.transaction !== transaction) Object.assign(beginning, { transaction, unasked, texts: isInTransaction ? undefined : [] })
  if (beginning.unasked !== unasked) Object.assign(beginning, { unasked, texts: undefined })
  for (const part of partsOf(text)) {
    if (ENDS.test(part)) beginning.texts = []
    else if (AGAIN.test(part)) beginning.texts?.push(part)
    else if (!LEAVES_NOTHING.test(part)) beginning.texts = undefined
  }
}

/** Longer is nothing that only begins or sets something; characters. */
const LONGEST = 10_000

/** The statements of a text, where that can be told without its grammar; else something that is none of them. */
function partsOf(text: string): string[] {
  if (text.length > LONGEST) return ['…']
  const said = text.replace(COMMENTS, '')
  const parts = (/^[\w\s;,.=]*$/.test(said) ? said.split(';') : [said.replace(/;\s*$/, '')]).map((part) => part.trim())
  return parts.some((part) => part.includes(';')) ? ['…'] : parts.filter((part) => part !== '')
}

// What a text does not say, such as a write by a function, the server knows; a cursor on what is no query has no snapshot either.
const STANDS = pinned(`
  select extract(epoch from pg_catalog.transaction_timestamp()), pg_catalog.pg_current_xact_id_if_assigned() is null
    and not exists (select from pg_catalog.pg_cursors c where not c.is_holdable and c.name <> all ('{"",_hubspot_live}'))`)

/**
 * Where a transaction stands that keeps one snapshot: when it began, and what has to be said again so that it stands there
 * once more; undefined where that is not known, or something would be lost.
 */
export async function standOf({ transaction, unasked, texts }: Beginning, session: LiveSession): Promise<{ began: string; said: string[] | undefined }> {
  const [[began = '', isUntouched] = []] = await session.inject(STANDS)
  const isKnown = transaction === session.transaction && unasked === session.unasked && isUntouched === 't'
  return { began: began ?? '', said: isKnown ? texts : undefined }
}

/** Begins the transaction again, so that its next query takes a new snapshot: level and access stay. */
export async function beginAgain(said: readonly string[], { inject }: LiveSession): Promise<void> {
  await inject('rollback and chain')
  for (const text of said) await inject(text)
}
