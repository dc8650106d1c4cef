import type { Plan, StreamKey } from '../../src/db/calls.ts'
import { stepCommit, streamClaim } from '../../src/db/calls.ts'
import { asJsonb, type Database } from '../../src/db/database.ts'
import { type MadeProperty, propertiesAnswer } from './pages.ts'

const NONE = Buffer.from('{"total": 0}')

/** A first load under way, with no HubSpot: pages are committed as a worker commits them. */
export type Load = { columnSet: number; commit(body: Buffer): Promise<void> }

/** Tracks an object with made-up properties, makes its table, and claims its first load. */
export async function startLoad(db: Database, object: string, properties: readonly MadeProperty[]): Promise<Load> {
  await db.pool.query(`update hubspot_private.account set is_connected = true, portal_id = 1`)
  // In one part: who commits here is one.
  await db.pool.query(`select hubspot.configure('max_ranges', 1)`)
  await db.pool.query('select hubspot.track($1)', [object])
  await db.pool.query('select hubspot_private.properties_apply($1, $2), hubspot_private.selection_apply($1), hubspot_private.load_begin($1)', [
    object, asJsonb(propertiesAnswer(properties)),
  ])
  // The archived list comes first; there is nothing on it.
  await (await continueStream(db, { object, stream: 'archive', range: 0 })).commit(Buffer.from('{"results": []}'))
  return continueStream(db, { object, stream: 'backfill', range: 0 })
}

/** Claims a stream and commits what it is handed as the answer to whatever it asks next. */
export async function continueStream(db: Database, key: StreamKey): Promise<Load> {
  const claim = await streamClaim(db, key, 'bench')
  if (claim === undefined) throw new Error(`${key.stream} of ${key.object} is not due`)
  let { cursor, request } = claim
  const { epoch } = claim
  const columnSet = (claim.plan as Plan).column_set
  const step = async (body: Buffer) => {
    const { rows } = await db.pool.query<{ now: string }>('select hubspot_private.clock() as now')
    const outcome = await stepCommit(db.pool, key, {
      epoch, cursor, request, columnSet, askedAt: rows[0]!.now, answeredAt: undefined, body: asJsonb(body), after: undefined, asked: undefined, requests: 1,
    })
    if (outcome.outcome !== 'more' && outcome.outcome !== 'done') throw new Error(`a page was not committed: ${outcome.outcome}`)
    cursor = outcome.next_cursor
    if (outcome.next_request !== null) request = outcome.next_request
    // Behind its last page a load counts again.
    if (outcome.outcome === 'more' && request.kind === 'count') await step(NONE)
  }
  if (request.kind === 'count') await step(NONE)
  return { columnSet, commit: step }
}
