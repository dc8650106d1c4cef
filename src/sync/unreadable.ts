import { propertiesPark, type Plan } from '../db/calls.ts'
import type { Database } from '../db/database.ts'
import type { Client } from '../hubspot/client.ts'
import { idsOf } from '../hubspot/body.ts'
import { batchRead, fitsInUrl, listPage } from '../hubspot/objects.ts'
import { Refused } from '../lib/errors.ts'
import type { Caller } from './call.ts'

type Way = { hubspot: Client; caller: Caller; signal: AbortSignal }

/** As many as are looked for at once: what is found is left out, and the next request shows whether there are more. */
const MOST_AT_ONCE = 20

/** The properties among these that HubSpot refuses to show, at most twenty. None: the refusal is about something else. */
async function unreadable(way: Way, type: string, properties: readonly string[], said: string): Promise<string[]> {
  // One list that asks for nothing tells whether it is the properties at all.
  if (!(await isReadable(way, type, []))) return []
  const named = properties.filter((name) => new RegExp(`(?<![a-z0-9_])${name}(?![a-z0-9_])`, 'i').test(said)).slice(0, MOST_AT_ONCE)
  const found = new Set<string>()
  // A message may hold a property's name and mean something else.
  for (const name of named) if (!(await isReadable(way, type, [name]))) found.add(name)
  if (found.size === 0) await search(properties)
  return [...found]

  async function search(some: readonly string[]): Promise<void> {
    if (found.size >= MOST_AT_ONCE || (fitsInUrl(some) && (await isReadable(way, type, some)))) return
    if (some.length === 1) {
      found.add(some[0]!)
      return
    }
    const half = Math.ceil(some.length / 2)
    await search(some.slice(0, half))
    await search(some.slice(half))
  }
}

/** Whether a list of one record that names these properties is answered, and shows `shown`, or, `isById`, a read of that record does. */
async function isReadable(
  { hubspot, caller, signal }: Way,
  type: string,
  properties: readonly string[],
  { shown, isById = false }: { shown?: string; isById?: boolean } = {},
): Promise<boolean> {
  try {
    let { answer } = await caller.call('burst', () => listPage(hubspot, { type, limit: 1, properties, signal }))
    if (shown === undefined) return true
    const ids = isById ? idsOf(answer.body) : []
    if (ids.length > 0) ({ answer } = await caller.call('burst', () => batchRead(hubspot, { type, ids, properties, signal })))
    const { results = [] } = JSON.parse(answer.body.toString()) as { results?: { properties?: Record<string, unknown> }[] }
    return results.every((record) => Object.hasOwn(record.properties ?? {}, shown))
  } catch (error) {
    if (error instanceof Refused && error.status === 403) return false
    throw error
  }
}

/** Which of these properties, each asked for alone, HubSpot shows again, and how many calls that took; `silent` ones have to be in the answer. */
export async function probe(
  way: Way,
  type: string,
  { properties, silent, is_by_id: isById }: { properties: readonly string[]; silent: readonly string[]; is_by_id: boolean },
): Promise<{ readable: string[]; requests: number }> {
  const readable: string[] = []
  for (const name of properties) if (await isReadable(way, type, [name], silent.includes(name) ? { shown: name, isById } : {})) readable.push(name)
  return { readable, requests: properties.length + (isById ? silent.length : 0) }
}

/**
 * A request that was refused with 403 may have been so for one property: that one is found, by the error's words or by
 * halving, and left out from then on. True where the request is worth asking anew.
 */
export async function parkUnreadable(
  way: Way & { db: Database },
  object: string,
  plan: Plan | null,
  error: unknown,
): Promise<boolean> {
  if (!(error instanceof Refused) || error.status !== 403 || plan === null || plan.properties.length === 0) return false
  const properties = await unreadable(way, plan.type, plan.properties, JSON.stringify([error.message, error.detail['errors']]))
  if (properties.length === 0) return false
  return (await propertiesPark(way.db, { object, properties, message: error.message, hint: error.hint })) > 0
}
