import type { LiveSession } from '../live.ts'

/** What a transaction has done so far, as far as what comes before its first query goes. */
export type Beginning = {
  transaction: number
  /** Savepoints and settings since BEGIN, to be said again; undefined once anything else was done, or where nobody saw it begin. */
  texts: string[] | undefined
  /** That it keeps an old snapshot was said. */
  isTold: boolean
}

/** Statements after which a transaction has no snapshot yet, and which do the same when they are said again. */
const AGAIN = /^(savepoint|release|rollback\s+to|set(?!\s+transaction\s+snapshot)|reset)\b/i
const BEGINS = /^(begin|start\s+transaction)\b/i
const CHAINS = /^(commit|end|rollback|abort)(\s+(work|transaction))?\s+and\s+chain$/i
const LEAVES_NOTHING = /^(explain(?!.*analy[sz]e)|show)\b/is
/** A comment that holds no other, which would end elsewhere. */
const COMMENTS = /^(\s|--[^\n]*(\n|$)|\/\*((?!\/\*|\*\/).)*\*\/)+/s

/** Takes note of a statement that goes to the server. */
export function note(beginning: Beginning, text: string, { transaction, isInTransaction, wasAborted }: LiveSession): void {
  if (beginning.transaction !== transaction) Object.assign(beginning, { transaction, texts: undefined, isTold: false })
  if (wasAborted) beginning.texts = undefined
  for (const part of partsOf(text)) {
    if (isInTransaction ? CHAINS.test(part) : BEGINS.test(part)) Object.assign(beginning, { texts: [], isTold: false })
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

/** What has to be said again so that a transaction stands where it stood; undefined where that is not known. */
export function saidSince({ transaction, texts }: Beginning, session: LiveSession): string[] | undefined {
  return session.isInTransaction && transaction === session.transaction && !session.wasAborted ? texts : undefined
}

/** Begins the transaction again, so that its next query takes a new snapshot: level and access stay. */
export async function beginAgain(said: readonly string[], { inject }: LiveSession): Promise<void> {
  await inject('rollback and chain')
  for (const text of said) await inject(text)
}
