import type { Database } from '../../db/database.ts'
import type { Answer, Call, Client } from '../../hubspot/client.ts'
import { readAccount } from '../../hubspot/metadata.ts'
import { Misuse, Refused, SyncError } from '../../lib/errors.ts'
import type { Log } from '../../lib/log.ts'
import { sleep } from '../../lib/time.ts'
import { createCaller } from '../../sync/call.ts'
import { createHubSpot, type HubSpotEnv } from '../../sync/credentials.ts'
import { advice, type Check, failed, fine } from './check.ts'
import { clockCheck, readClocks } from './clock.ts'

/** Objects that are asked for one record each, at most, to see whether the token may read them. */
const MOST_ASKED = 5
/** Most accounts use them: asked for where fewer are tracked. */
const USUAL = ['contacts', 'companies', 'deals', 'tickets']

/** Asks HubSpot as the worker does, by its token and its budgets: whose account it is, what it may read, how late it is. At most six calls. */
export async function examineHubSpot(db: Database, env: HubSpotEnv, log: Log, signal: AbortSignal): Promise<Check[]> {
  let hubspot: Client
  try {
    hubspot = createHubSpot({ db, env, log, worker: 'doctor', sleep })
  } catch (error) {
    return [failed('hubspot', error)]
  }
  await using client = hubspot
  const caller = createCaller({ db, signal, sleep })
  const call: Call = async (kind, send) => (await caller.call(kind, send)).answer
  const [account] = (await db.pool.query<{ portal_id: string | null; is_connected: boolean }>('select portal_id, is_connected from hubspot_private.account')).rows
  try {
    const { value, answer } = await readAccount(client, call, { signal })
    const clock = clockCheck(await readClocks(db, answer))
    if (account?.portal_id != null && account.portal_id !== String(value.portalId)) {
      const differs = new Misuse('SH204', `the token belongs to portal ${value.portalId}, this database mirrors portal ${account.portal_id}`, {
        hint: `Use a token of portal ${account.portal_id}, or another database for portal ${value.portalId}.`,
      })
      return [failed('hubspot', differs), clock]
    }
    return [fine('hubspot', `it takes the token, of portal ${value.portalId}`), await examineScopes(db, client, call, signal), clock]
  } catch (error) {
    if (!(error instanceof SyncError)) throw error
    if (error.code === 'SH003' && account?.is_connected === true) {
      return [advice('hubspot', 'not asked: no token is stored, and HUBSPOT_ACCESS_TOKEN is not set here', 'Set it as for the worker, to have the token tried from here.')]
    }
    return [failed('hubspot', error)]
  }
}

type Known = { object: string; path: string; is_tracked: boolean; is_read: boolean }

/** Which objects the token may read: those that were read within the hour may be, some others are asked. */
async function examineScopes(db: Database, client: Client, call: Call, signal: AbortSignal): Promise<Check> {
  const { rows } = await db.pool.query<Known>(
    `select t.object, coalesce(t.object_type_id, t.object) as path, t.is_tracked,
       s.state in ('live', 'list only', 'backfilling') and s.last_run_at > hubspot_private.clock() - interval '1 hour' as is_read
     from hubspot.object_types t
     left join hubspot.status s on s.object = t.object
     where t.is_tracked or t.object = any ($1)
     order by t.is_tracked desc, array_position($1, t.object), t.object`,
    [USUAL],
  )
  const readable = rows.filter(({ is_read }) => is_read).map(({ object }) => object)
  const refused: { object: string; isTracked: boolean; why: Refused }[] = []
  const asked = rows.filter(({ is_read }) => !is_read).slice(0, MOST_ASKED)
  for (const { object, path, is_tracked } of asked) {
    const error = await refusalOf(() => call('burst', () => client.request({ path: client.paths.objects(path), query: { limit: 1 }, type: path, signal })))
    if (error === undefined) readable.push(object)
    else refused.push({ object, isTracked: is_tracked, why: error })
  }
  const rest = rows.length - readable.length - refused.length
  const objects = Object.fromEntries([...readable.map((object) => [object, true] as const), ...refused.map(({ object }) => [object, false] as const)])
  const message = [
    `may read: ${readable.length === 0 ? 'nothing' : readable.join(', ')}`,
    ...(refused.length === 0 ? [] : [`may not: ${refused.map(({ object }) => object).join(', ')}`]),
    ...(rest > 0 ? [`${rest} more were not asked`] : []),
  ].join('; ')
  // That an object nobody tracks cannot be read is how a token should be.
  const wanted = refused.filter(({ isTracked }) => isTracked)
  const hint = (wanted.length > 0 ? wanted : refused).map(({ object, why }) => `${object}: ${why.hint}`).join(' ')
  if (refused.length === 0) return { ...fine('scopes', message), objects }
  return { ...(wanted.length > 0 ? { name: 'scopes', ok: false, message, hint } : advice('scopes', message, hint)), objects }
}

async function refusalOf(ask: () => Promise<Answer>): Promise<Refused | undefined> {
  try {
    await ask()
    return undefined
  } catch (error) {
    if (error instanceof Refused && error.status !== 401) return error
    throw error
  }
}
