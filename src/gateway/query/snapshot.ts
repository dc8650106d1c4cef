import type { LiveSession } from '../live.ts'

/** What postgres_fdw says first of all on a session, before anyone's query. */
const FIRST = 'SET search_path = pg_catalog'
/** What it begins with. Only that phrase is another's; newer servers may say more after it. */
const SNAPSHOT = /^(START TRANSACTION ISOLATION LEVEL )REPEATABLE READ\b/

/**
 * A transaction of postgres_fdw's that would keep one snapshot, with one for each statement instead: or what is freshened
 * would not be seen. Whoever else asks for one snapshot gets it. To be asked of each text of a session, from its first on.
 */
export function withoutSnapshot(text: string, { state }: Pick<LiveSession, 'state'>): string | undefined {
  if (!state.has('foreign')) state.set('foreign', text === FIRST)
  return state.get('foreign') === true && SNAPSHOT.test(text) ? text.replace(SNAPSHOT, '$1READ COMMITTED') : undefined
}
