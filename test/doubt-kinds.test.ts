import { describe, expect, test } from 'vitest'
import type { SandboxOptions } from '../src/sandbox/index.ts'
import { startWorld, type World } from './support/sync.ts'

// Records that were in doubt for one reason, of which an answer says something else that hardly can be: that is said once, not again and again.

const MINUTE = 60_000
const HOUR = 60 * MINUTE

type Read = { id: string; properties: Record<string, unknown> }
type Says = (results: Read[], asked: string[]) => object | Read[]

/** A world of thirty contacts, of which a test has batch reads say something else. */
async function doubted(settings: SandboxOptions['settings'] = {}) {
  const now: { says: Says | undefined; times: number } = { says: undefined, times: 0 }
  const world = await startWorld('doubt_kinds', {
    sandbox: { objects: { contacts: 30 }, settings },
    client: (client) => ({
      ...client,
      async request(request) {
        const answer = await client.request(request)
        if (now.says === undefined || now.times === 0 || !request.path.endsWith('/0-1/batch/read')) return answer
        now.times -= 1
        const { results } = JSON.parse(answer.body.toString()) as { results: Read[] }
        const said = now.says(results, (request.body as { inputs: { id: string }[] }).inputs.map(({ id }) => id))
        return { ...answer, body: Buffer.from(JSON.stringify(Array.isArray(said) ? { status: 'COMPLETE', results: said } : said)) }
      },
    }),
  })
  await world.load('contacts', ['email', 'firstname'])
  await world.pass(61 * MINUTE, 10 * MINUTE)
  const ids = [...world.store.records('contacts')].map(({ id }) => id)
  const say = (says?: Says, times = Infinity) => Object.assign(now, { says, times })
  /** Lets time pass until one answer has said it. */
  const once = async (says: Says) => {
    say(says, 1)
    for (let n = 0; now.times > 0 && n < 120; n += 1) await world.pass(MINUTE)
    expect(now.times).toBe(0)
  }
  return { world, ids, twelve: ids.slice(0, 12), say, once }
}

const count = async ({ db }: World, from: string) => (await db.query<{ n: number }>(`select count(*)::integer as n from ${from}`))[0]!.n
const problems = ({ db }: World) => db.query<{ code: string }>('select distinct code from hubspot.problems where resolved_at is null')
const lackEmail = (who: string[]): Says => (results) => {
  for (const { id, properties } of results) if (who.includes(id)) delete properties['email']
  return results
}
async function sound(world: World) {
  await world.pass(2 * HOUR, 5 * MINUTE)
  expect(await world.differences('contacts')).toEqual([])
  expect(await problems(world)).toEqual([])
  expect(await count(world, 'hubspot_private.fetch_queue')).toBe(0)
}

describe('rows that someone held for minutes', () => {
  async function held(settings: SandboxOptions['settings'] = {}) {
    const it = await doubted(settings)
    const old = JSON.stringify(it.twelve.map((id) => it.world.store.record('contacts', id)))
    const holder = await it.world.db.pool.connect()
    await holder.query('begin')
    await holder.query('select from hubspot.contacts where id = any ($1) for update', [it.twelve])
    it.world.store.edit('contacts', it.twelve, { firstname: 'Edited' })
    await it.world.pass(2 * MINUTE, 2_000)
    expect(await count(it.world, 'hubspot_private.fetch_queue where attempts >= 6')).toBe(12)
    await holder.query('rollback')
    holder.release()
    return { ...it, old }
  }

  test('stay when one answer has nothing', async () => {
    const { world, once, say } = await held()
    await using _ = world
    await once(() => [])
    expect(await count(world, 'hubspot.contacts')).toBe(30)
    expect(await count(world, "hubspot.changes where op = 'delete'")).toBe(0)
    say()
    await sound(world)
  })

  test('are not taken without a property that one answer lacks', async () => {
    const { world, once, twelve, say } = await held()
    await using _ = world
    await once(lackEmail(twelve))
    expect(await problems(world)).toEqual([])
    expect(await count(world, "hubspot.contacts where firstname = 'Edited'")).toBe(0)
    say()
    await sound(world)
  })

  test('keep a value that one answer leaves out, where HubSpot leaves an empty one out', async () => {
    const { world, once, twelve, say } = await held({ emptyKeys: 'absent' })
    await using _ = world
    const emails = await count(world, 'hubspot.contacts where email is not null')
    // One has it still: it is no property that was archived.
    await once(lackEmail(twelve.slice(1)))
    expect(await count(world, 'hubspot.contacts where email is not null')).toBe(emails)
    say()
    await sound(world)
  })

  test('are read again when one answer is older than what search has shown', async () => {
    const { world, once, old, say } = await held()
    await using _ = world
    await once(() => JSON.parse(old) as Read[])
    expect(await count(world, 'hubspot_private.fetch_queue')).toBe(12)
    say()
    await sound(world)
  })
})

test('records that lack a property for good stay when one answer has nothing, and go when that is said again and again', async () => {
  const { world, twelve, once, say } = await doubted()
  await using _ = world
  say(lackEmail(twelve))
  world.store.edit('contacts', twelve, { firstname: 'Edited' })
  await world.pass(5 * MINUTE, 2_000)
  expect(await problems(world)).toEqual([{ code: 'SH212' }])
  await once(() => [])
  expect(await count(world, 'hubspot.contacts')).toBe(30)
  // What shows them ends that.
  for (let n = 0; n < 4; n += 1) {
    say(lackEmail(twelve))
    await world.pass(70 * MINUTE, 5 * MINUTE)
    await once(() => [])
  }
  expect(await count(world, 'hubspot.contacts')).toBe(30)
  world.store.purge('contacts', twelve)
  say((results) => results)
  await world.pass(6 * HOUR, 5 * MINUTE)
  expect(await count(world, 'hubspot.contacts')).toBe(18)
  await sound(world)
})

test('a record that was merged away, and that errors kept back, stays away when one answer shows it', async () => {
  const { world, ids: [kept = '', lost = ''], say, once } = await doubted()
  await using _ = world
  const old = JSON.stringify(world.store.record('contacts', lost))
  world.store.merge('contacts', kept, lost, { newId: false })
  await world.pass(2 * MINUTE, 20_000)
  expect(await world.db.query('select lost_id from hubspot.merges')).toEqual([{ lost_id: lost }])
  say((_, asked) => ({ status: 'COMPLETE', results: [], errors: [{ status: 'error', category: 'RATE_LIMITS', context: { ids: asked } }] }))
  await world.db.query("select hubspot.refresh('contacts', $1)", [[lost]])
  await world.pass(2 * MINUTE, 2_000)
  expect(await count(world, 'hubspot_private.fetch_queue where attempts >= 6')).toBe(1)
  await once(() => [JSON.parse(old) as Read])
  expect(await count(world, `hubspot.contacts where id = ${lost}`)).toBe(0)
  expect(await world.db.query('select lost_id from hubspot.merges')).toEqual([{ lost_id: lost }])
  say()
  await sound(world)
})

test('records that answers pass over and show incomplete by turns come to have their other values, and cost few calls', async () => {
  const { world, twelve, say } = await doubted()
  await using _ = world
  let n = 0
  const lacking = lackEmail(twelve)
  say((results, asked) => {
    // One that nobody doubts is read beside them.
    if (!asked.some((id) => twelve.includes(id))) return results
    n += 1
    return n % 2 === 0 ? [] : lacking(results, asked)
  })
  world.store.edit('contacts', twelve, { firstname: 'Edited' })
  await world.pass(30 * MINUTE, 15_000)
  expect(await count(world, 'hubspot.contacts')).toBe(30)
  expect(await count(world, "hubspot.contacts where firstname = 'Edited'")).toBe(12)
  expect(await problems(world)).toEqual([{ code: 'SH212' }])
  world.store.resetCalls()
  await world.pass(6 * HOUR, 5 * MINUTE)
  expect(world.store.calls({ kind: 'batch read' }).length).toBeLessThan(14)
  expect(await count(world, 'hubspot.contacts')).toBe(30)
  say()
  await sound(world)
})

test('records that answers show older than search and incomplete by turns are asked again later each time', async () => {
  const { world, twelve, say } = await doubted()
  await using _ = world
  const old = JSON.stringify(twelve.map((id) => world.store.record('contacts', id)))
  let n = 0
  const lacking = lackEmail(twelve)
  say((results, asked) => {
    if (!asked.some((id) => twelve.includes(id))) return results
    n += 1
    return n % 2 === 0 ? (JSON.parse(old) as Read[]) : lacking(results, asked)
  })
  world.store.edit('contacts', twelve, { firstname: 'Edited' })
  world.store.resetCalls()
  await world.pass(10 * MINUTE, 10_000)
  await world.pass(3 * HOUR, 5 * MINUTE)
  expect(world.store.calls({ kind: 'batch read' }).length).toBeLessThan(30)
  say()
  await sound(world)
})
