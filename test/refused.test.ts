import { describe, expect, test } from 'vitest'
import type { Client } from '../src/hubspot/client.ts'
import { startWorld, type World } from './support/sync.ts'

// One record that cannot be written, or an answer that keeps some back, and what becomes of the others.

const idsOf = (world: World) => [...world.store.records('contacts')].map(({ id }) => id)
const problems = (world: World) =>
  world.db.query("select record_id, code, resolved_at is null as is_open from hubspot.problems where object = 'contacts' order by id")

/** Lets a test write over the answers of batch reads. */
function answering(): { wrap: (client: Client) => Client; body: { next: object | undefined } } {
  const body: { next: object | undefined } = { next: undefined }
  const wrap = (client: Client): Client => ({
    ...client,
    async request(request) {
      const answer = await client.request(request)
      const other = request.path.endsWith('/batch/read') ? body.next : undefined
      if (other === undefined) return answer
      body.next = undefined
      return { ...answer, status: 207, body: Buffer.from(JSON.stringify(other)) }
    },
  })
  return { wrap, body }
}

describe('a record that Postgres refuses', () => {
  test('is left out with a problem, and the rest of its page arrives; it heals when the cause goes', async () => {
    await using world = await startWorld('refused', { sandbox: { objects: { contacts: 30 } } })
    await world.load('contacts', ['email', 'firstname'])
    await world.db.query('create unique index one_name on hubspot.contacts (firstname) where firstname like $q$same%$q$')
    const [a, b, c] = idsOf(world)
    for (const id of [a, b, c]) world.store.edit('contacts', id!, { firstname: id === c ? 'other' : 'same' })
    await world.pass(15_000)
    expect(await world.row('contacts', c!)).toMatchObject({ firstname: 'other' })
    const open = (await problems(world)).filter(({ is_open }) => is_open)
    expect(open).toMatchObject([{ code: 'SH213' }])
    expect([a, b]).toContain(open[0]?.record_id)
    await world.db.query('drop index hubspot.one_name')
    await world.pass(16 * 60_000, 4 * 60_000)
    expect((await problems(world)).filter(({ is_open }) => is_open)).toEqual([])
    expect(await world.differences('contacts')).toEqual([])
  })
})

describe('a batch read that lacks records', () => {
  test('deletes only what an error names as not found, and asks for the others again', async () => {
    const { wrap, body } = answering()
    await using world = await startWorld('lacks', { sandbox: { objects: { contacts: 6 } }, client: wrap })
    await world.load('contacts', ['firstname'])
    const ids = idsOf(world)
    world.store.archive('contacts', ids[0]!)
    for (const id of ids.slice(1)) world.store.edit('contacts', id, { firstname: 'Ada' })
    body.next = {
      status: 'COMPLETE', results: [], numErrors: 2,
      errors: [
        { status: 'error', category: 'OBJECT_NOT_FOUND', message: 'gone', context: { ids: [ids[0]] } },
        { status: 'error', category: 'INTERNAL_ERROR', message: 'internal error', context: { ids: ids.slice(1) } },
      ],
    }
    await world.db.query("select hubspot.refresh('contacts', $1)", [ids])
    await world.run('contacts', 'fetch')
    expect(await world.db.query('select id from hubspot.contacts order by id')).toEqual(ids.slice(1).map((id) => ({ id })))
    await world.pass(30_000, 2_000)
    expect(await world.differences('contacts')).toEqual([])
    expect(await world.row('contacts', ids[1]!)).toMatchObject({ firstname: 'Ada' })
  })
})

describe('the first load', () => {
  test('does not wait for a search that fails', async () => {
    await using world = await startWorld('searchless', { sandbox: { objects: { contacts: 150 } } })
    world.store.addFault({ match: { kind: 'search' }, fault: '502' })
    await world.db.query("select hubspot.track('contacts', '{firstname}')")
    await world.run('contacts', 'schema')
    expect(await world.run('contacts', 'backfill')).toBe('done')
    expect((await world.db.query("select rows, progress from hubspot.status"))[0]).toEqual({ rows: '150', progress: '1' })
  })
})
