import { describe, expect, test } from 'vitest'
import { hold, startWorld, type World } from './support/sync.ts'

const FIELDS = ['firstname', 'lastname', 'hs_email_open', 'hs_email_optout', 'hs_latest_source_timestamp'] as const

async function contacts(count = 3, properties: readonly string[] = FIELDS): Promise<World> {
  const world = await startWorld('apply', { sandbox: { objects: { contacts: count } } })
  await world.load('contacts', properties)
  return world
}

const idsOf = (world: World) => [...world.store.records('contacts')].map(({ id }) => id)
const queue = async (world: World) => (await world.db.query<{ id: string }>('select id from hubspot_private.fetch_queue order by id')).map(({ id }) => id)
const run = async (world: World, stream: string) =>
  (await world.db.query('select rows_read, inserted, updated, unchanged, stale, regressed, deleted from hubspot.runs where stream = $1 order by id desc limit 1', [stream]))[0]
const problems = (world: World) =>
  world.db.query("select code, object, record_id, property from hubspot.problems where resolved_at is null order by code, record_id")

/** Reads a record again, at once. */
async function refresh(world: World, ...ids: string[]): Promise<void> {
  await world.db.query("select hubspot.refresh('contacts', $1)", [ids])
  await world.drain()
}

/** A full read of contacts that is held by hand. */
async function resync(world: World) {
  await world.db.query("select hubspot.resync('contacts')")
  return (await hold(world, 'contacts', 'resync'))!
}

describe('which read counts', () => {
  test('of two edits in one millisecond with a read between, the second is seen by the next full read', async () => {
    await using world = await contacts()
    const [id = ''] = idsOf(world)
    await world.advance(1_000)
    world.store.edit('contacts', id, { firstname: 'first' })
    await world.pass(11_000)
    world.store.edit('contacts', id, { firstname: 'second' }, { at: world.store.record('contacts', id)!.updatedAt })
    await world.pass(2 * 3_600_000, 1_200_000)
    expect(await world.row('contacts', id)).toMatchObject({ firstname: 'first' })
    await world.db.query("select hubspot.resync('contacts')")
    await world.drain()
    expect(await world.differences('contacts')).toEqual([])
  })

  test('rows that come between the look and the plain insert are found by the upsert, and nothing is written twice', async () => {
    await using world = await contacts(0)
    const [object] = await world.db.query<{ number: number }>("select number from hubspot_private.objects where name = 'contacts'")
    const page = (name: string, ...ids: number[]) => JSON.stringify({ results: ids.map((id) => ({ id: String(id), properties: { firstname: name } })) })
    const write = async (body: string, askedAt: string) => {
      const client = await world.db.pool.connect()
      try {
        await client.query('begin')
        await client.query("select hubspot_private.stream_marks_writing('contacts', 'poll', 0)")
        const { rows } = await client.query(`select written, inserted from hubspot_private.write_${object!.number}($1, null, $2, '2026-01-02', true)`, [body, askedAt])
        await client.query('commit')
        return rows[0] as unknown
      } finally {
        client.release()
      }
    }
    expect(await write(page('a', 1, 2, 3), '2026-01-01')).toEqual({ written: ['1', '2', '3'], inserted: '3' })
    // Asked before those rows were written: only what is new.
    expect(await write(page('b', 2, 3, 4), '2026-01-01')).toEqual({ written: ['4'], inserted: '1' })
    expect(await write(page('c', 3, 4, 5), '2026-01-03')).toEqual({ written: ['3', '4', '5'], inserted: '1' })
    expect(await world.db.query('select id, firstname from hubspot.contacts order by id')).toEqual(
      ['a', 'a', 'c', 'c', 'c'].map((firstname, i) => ({ id: String(i + 1), firstname })))
  })

  test('a read that was asked before the row was written writes nothing, and what differs is read again', async () => {
    await using world = await contacts()
    const [one = '', two = '', three = ''] = idsOf(world)
    await world.db.query("select hubspot.refresh('contacts', $1)", [[one, two, three]])
    const fetch = (await hold(world, 'contacts', 'fetch'))!
    const early = await fetch.ask()
    // Later reads bring the first of them further; the early one then says old things of it, and nothing new of the others.
    world.store.advance(1)
    world.store.edit('contacts', one, { firstname: 'later' })
    const other = await resync(world)
    await other.commit(await other.ask())
    expect(await world.row('contacts', one)).toMatchObject({ firstname: 'later' })
    await world.db.query('delete from hubspot_private.fetch_queue where id <> $1', [one])
    await fetch.commit(early)
    expect(await world.row('contacts', one)).toMatchObject({ firstname: 'later' })
    expect(await queue(world)).toEqual([one])
    expect(await run(world, 'fetch')).toMatchObject({ rows_read: '3', updated: '0', stale: '3' })
    await world.pass(2_000)
    expect(await queue(world)).toEqual([])
    expect(await world.differences('contacts')).toEqual([])
  })

  test('a read asked before the last full read began overlaps with it', async () => {
    await using world = await contacts()
    const [id = ''] = idsOf(world)
    await world.db.query("select hubspot.refresh('contacts', $1)", [[id]])
    const fetch = (await hold(world, 'contacts', 'fetch'))!
    world.store.advance(1)
    world.store.edit('contacts', id, { firstname: 'edited' })
    const got = await fetch.ask()
    await resync(world)
    await fetch.commit(got)
    expect(await world.row('contacts', id)).not.toMatchObject({ firstname: 'edited' })
    expect(await queue(world)).toEqual([id])
  })

  test('a version that goes back is the truth when it was asked later, and counts as regressed', async () => {
    await using world = await contacts()
    const [id = ''] = idsOf(world)
    const before = world.store.record('contacts', id)!.updatedAt
    world.store.edit('contacts', id, { firstname: 'from a backup' }, { at: Date.parse(before) - 86_400_000 })
    await refresh(world, id)
    expect(await world.row('contacts', id)).toMatchObject({ firstname: 'from a backup' })
    expect(await run(world, 'fetch')).toMatchObject({ updated: '1', regressed: '1' })
    expect(await world.differences('contacts')).toEqual([])
  })

  test('a page that was asked for other columns is asked again', async () => {
    await using world = await contacts()
    const holder = await resync(world)
    const page = await holder.ask()
    await world.db.query("select hubspot.track('contacts', '{firstname,jobtitle}')")
    await world.run('contacts', 'schema')
    await world.run('contacts', 'archive')
    expect(await holder.commit(page)).toMatchObject({ outcome: 'again' })
    expect(await world.row('contacts', idsOf(world)[0]!)).toMatchObject({ jobtitle: null })
    await world.pass(31_000)
    expect(await world.differences('contacts')).toEqual([])
    expect((await world.db.query('select count(jobtitle)::int as count from hubspot.contacts'))[0]!['count']).toBeGreaterThan(0)
  })

  test('a page that was read ahead does not bring back what was found gone since', async () => {
    await using world = await contacts()
    const [one = '', two = ''] = idsOf(world)
    // Before the full read, which would be the fence otherwise: this page and the finding are of the same one.
    const holder = await resync(world)
    const page = await holder.ask()
    world.store.archive('contacts', [one, two])
    await world.db.query("select hubspot.refresh('contacts', $1)", [[one, two]])
    await world.run('contacts', 'fetch')
    expect(await world.row('contacts', one)).toBeUndefined()
    expect(await world.db.query('select id from hubspot_private.tombstones order by id')).toEqual([{ id: one }, { id: two }])
    await holder.commit(page)
    await world.pass(5_000)
    expect(await world.row('contacts', one)).toBeUndefined()
    expect(await world.differences('contacts')).toEqual([])
  })

  test('a record that is in a page twice counts once, the newer one', async () => {
    await using world = await contacts(1)
    const [id = ''] = idsOf(world)
    const holder = await resync(world)
    const got = await holder.ask()
    const page = JSON.parse(got.body!.toString()) as { results: { id: string; updatedAt: string; properties: Record<string, string> }[] }
    const [record] = page.results
    const newer = { ...record!, updatedAt: '2031-01-01T00:00:00.000Z', properties: { ...record!.properties, firstname: 'newer' } }
    await holder.commit({ ...got, body: Buffer.from(JSON.stringify({ results: [record, newer, record] })) })
    expect(await world.row('contacts', id)).toMatchObject({ firstname: 'newer' })
    expect(await run(world, 'resync')).toMatchObject({ rows_read: '1', updated: '1' })
  })
})

test('a row that someone holds locked is left, and read again once it is free', async () => {
  await using world = await contacts()
  const [one = '', two = ''] = idsOf(world)
  world.store.advance(1)
  world.store.edit('contacts', [one, two], { firstname: 'edited' })
  const client = await world.db.pool.connect()
  await client.query('begin')
  await client.query('select from hubspot.contacts where id = $1 for update', [one])
  await refresh(world, one, two)
  expect(await world.row('contacts', one)).not.toMatchObject({ firstname: 'edited' })
  expect(await world.row('contacts', two)).toMatchObject({ firstname: 'edited' })
  const waits: number[] = []
  for (let i = 0; i < 4; i += 1) {
    const [left] = await world.db.query<{ ms: number }>('select extract(epoch from not_before - hubspot_private.clock())::float8 * 1000 as ms from hubspot_private.fetch_queue where id = $1', [one])
    waits.push(left!.ms)
    await world.advance(left!.ms + 5)
    await world.run('contacts', 'fetch')
  }
  expect(waits.map((ms, i) => ms > waits[i - 1]! || i === 0), `ever later: ${waits}`).not.toContain(false)
  await client.query('commit')
  client.release()
  await world.pass(120_000)
  expect(await queue(world)).toEqual([])
  expect(await world.differences('contacts')).toEqual([])
})

test('a row that an open transaction refers to by a foreign key is written; one whose unique column may be referred to is left', async () => {
  await using world = await contacts()
  const [one = ''] = idsOf(world)
  await world.db.query('create table public.orders (contact_id bigint references hubspot.contacts)')
  const client = await world.db.pool.connect()
  const refer = async () => {
    await client.query('begin')
    await client.query('insert into public.orders values ($1)', [one])
    world.store.advance(1)
  }
  await refer()
  world.store.edit('contacts', one, { firstname: 'edited' })
  await refresh(world, one)
  expect(await world.row('contacts', one)).toMatchObject({ firstname: 'edited' })
  await client.query('commit')
  await world.db.query('create unique index on hubspot.contacts (lastname)')
  await refer()
  world.store.edit('contacts', one, { lastname: 'of nobody else' })
  await refresh(world, one)
  expect(await world.row('contacts', one)).not.toMatchObject({ lastname: 'of nobody else' })
  expect(await queue(world)).toEqual([one])
  await client.query('rollback')
  client.release()
  await world.pass(120_000)
  expect(await world.differences('contacts')).toEqual([])
})

test('a full read writes only what differs', async () => {
  await using world = await contacts(250)
  const xmin = async () => new Map((await world.db.query<{ id: string; xmin: string }>('select id, xmin::text from hubspot.contacts')).map((row) => [row.id, row.xmin]))
  const before = await xmin()
  const [first = '', second = '', third = ''] = idsOf(world)
  world.store.edit('contacts', [first, second], { lastname: 'recalculated' }, { touch: false })
  world.store.edit('contacts', third, { fax: 'of no column' }, { touch: false })
  await world.db.query("select hubspot.resync('contacts')")
  await world.drain()
  const after = await xmin()
  expect([...after].filter(([id, version]) => before.get(id) !== version).map(([id]) => id).sort()).toEqual([first, second].sort())
  expect(await run(world, 'resync')).toEqual({ rows_read: '250', inserted: '0', updated: '2', unchanged: '248', stale: '0', regressed: '0', deleted: '0' })
  expect(await world.differences('contacts')).toEqual([])
})

test('what was wrong with a record is over when the record is', async () => {
  await using world = await contacts()
  const [id = ''] = idsOf(world)
  world.store.edit('contacts', id, { hs_email_open: 'many' }, { touch: false })
  await refresh(world, id)
  expect(await problems(world)).toEqual([{ code: 'SH209', object: 'contacts', record_id: id, property: 'hs_email_open' }])
  world.store.archive('contacts', id)
  await refresh(world, id)
  expect(await problems(world)).toEqual([])
})

test('on_delete => mark keeps the row and says since when, and takes that back', async () => {
  await using world = await startWorld('apply', { sandbox: { objects: { contacts: 2 } } })
  await world.load('contacts', ['firstname'], 'mark')
  const [id = ''] = idsOf(world)
  world.store.archive('contacts', id)
  await refresh(world, id)
  const marked = await world.row<{ _archived_at: string; _synced_at: string }>('contacts', id)
  expect(marked!._archived_at).toBe(marked!._synced_at)
  expect((await world.db.query("select rows from hubspot.status where object = 'contacts'"))[0]).toEqual({ rows: '2' })
  await world.advance(1_000)
  await refresh(world, id)
  expect(await world.row('contacts', id)).toEqual(marked)
  world.store.restore('contacts', id)
  await refresh(world, id)
  expect(await world.row('contacts', id)).toMatchObject({ _archived_at: null })
  expect(await problems(world)).toEqual([])
  expect(await world.db.query('select * from hubspot_private.tombstones')).toEqual([])
})
