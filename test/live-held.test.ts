import { describe, expect, test } from 'vitest'
import { type LiveWorld, startLiveWorld } from './support/live.ts'

// What HubSpot has and cannot be written is told of as long as it is so, and seen as soon as it no longer is.

const REFUSE = `create function no() returns trigger language plpgsql as $$ begin raise exception 'not this one'; end $$`

async function contacts(count: number): Promise<LiveWorld> {
  const world = await startLiveWorld('live', { sandbox: { objects: { contacts: count } } })
  await world.load('contacts', ['firstname'])
  await world.advance(1_000)
  world.calls()
  return world
}

const idsOf = (world: LiveWorld) => [...world.store.records('contacts')].map(({ id }) => id)

/** Scans for what was edited, at the gateway itself: how many, and what the warnings name. */
async function scanner(world: LiveWorld) {
  const client = await world.direct()
  const told: string[] = []
  client.on('notice', ({ message }) => told.push(/ for (.*): /.exec(message ?? '')?.[1] ?? String(message)))
  return async () => {
    const { rowCount } = await client.query(`select from hubspot.contacts where firstname = 'edited'`)
    return { rows: rowCount, told: told.splice(0) }
  }
}

describe.for(['0', '1 hour'])('with an age of %s', (age) => {
  test('a row that someone holds: each scan tells of it, and sees it once it is free', async () => {
    await using world = await contacts(3)
    const [id = ''] = idsOf(world)
    const scan = await scanner(world)
    world.store.edit('contacts', id, { firstname: 'edited' })
    await world.advance(1_000)
    await world.ask('begin')
    await world.ask(`select from hubspot.contacts where id = ${id} for update`)
    await scan()
    await world.db.query(`select hubspot.set_max_age('contacts', $1)`, [age])
    for (const ms of [10, 10, 1_001, 10, 30_000, 10, 500]) {
      await world.advance(ms)
      expect(await scan(), `${ms} ms later`).toEqual({ rows: 0, told: [id] })
    }
    await world.ask('rollback')
    await world.advance(1_001)
    expect(await scan()).toEqual({ rows: 1, told: [] })
    // It takes up no call from then on.
    world.calls()
    expect(await scan()).toEqual({ rows: 1, told: [] })
    expect(world.calls()).toEqual(age === '0' ? ['search'] : [])
  })

  test('a row that a trigger refuses: likewise', async () => {
    await using world = await contacts(3)
    const [id = ''] = idsOf(world)
    const scan = await scanner(world)
    await world.db.query(REFUSE)
    await world.db.query(`create trigger no before update on hubspot.contacts for each row when (new.id = ${id}) execute function no()`)
    world.store.edit('contacts', id, { firstname: 'edited' })
    await world.advance(1_000)
    await scan()
    await world.db.query(`select hubspot.set_max_age('contacts', $1)`, [age])
    for (const ms of [10, 2_000, 10, 60_000]) {
      await world.advance(ms)
      expect(await scan(), `${ms} ms later`).toEqual({ rows: 0, told: [id] })
    }
    await world.db.query('drop trigger no on hubspot.contacts')
    await world.advance(1_001)
    expect(await scan()).toEqual({ rows: 1, told: [] })
  })
})

test('many rows that a trigger refuses are told of, and do not fail the scans', async () => {
  await using world = await contacts(40)
  const ids = idsOf(world)
  const scan = await scanner(world)
  await world.db.query(REFUSE)
  await world.db.query(`create trigger no before update on hubspot.contacts for each row when (new.id <> ${ids[0]}) execute function no()`)
  world.store.edit('contacts', ids, { firstname: 'edited' })
  await world.advance(1_000)
  for (const ms of [0, 2_000, 2_000]) {
    await world.advance(ms)
    expect(await scan()).toEqual({ rows: 1, told: [expect.stringContaining('…')] })
  }
  await world.db.query('drop trigger no on hubspot.contacts')
  // A few at a time.
  for (let left = 40; left > 0; left -= 10) {
    await world.advance(1_001)
    await scan()
  }
  expect(await scan()).toEqual({ rows: 40, told: [] })
})

test('a row that the list was to write, where HubSpot does not search an object, and a trigger refuses, is told of', async () => {
  await using world = await contacts(3)
  const [id = ''] = idsOf(world)
  const scan = await scanner(world)
  await world.db.query(`select hubspot_private.search_refuse('contacts')`)
  await world.db.query(REFUSE)
  await world.db.query(`create trigger no before update on hubspot.contacts for each row when (new.id = ${id}) execute function no()`)
  world.store.edit('contacts', id, { firstname: 'edited' })
  for (const ms of [1_000, 2_000, 10]) {
    await world.advance(ms)
    expect(await scan()).toEqual({ rows: 0, told: [id] })
  }
  await world.db.query('drop trigger no on hubspot.contacts')
  await world.advance(1_001)
  expect(await scan()).toEqual({ rows: 1, told: [] })
})

test.for(['settle', 'resync'])('a row that another stream found, %s, and someone holds, is told of too, and seen once it is free', async (reason) => {
  await using world = await contacts(3)
  const [id = ''] = idsOf(world)
  const scan = await scanner(world)
  world.store.edit('contacts', id, { firstname: 'edited' })
  await world.advance(1_000)
  await world.ask('begin')
  await world.ask(`select from hubspot.contacts where id = ${id} for update`)
  await scan()
  const found = await world.db.query('update hubspot_private.fetch_queue set reason = $1, not_before = hubspot_private.clock() + $2 returning attempts', [reason, '1 hour'])
  expect(found).toHaveLength(1)
  await world.advance(1_001)
  expect(await scan()).toEqual({ rows: 0, told: [id] })
  // That it was read before its turn is no attempt, and its turn comes all the same.
  expect(await world.db.query(`select attempts, not_before > hubspot_private.clock() + interval '59 minutes' as is_later from hubspot_private.fetch_queue`))
    .toEqual(found.map((row) => ({ ...row, is_later: true })))
  await world.ask('rollback')
  await world.advance(1_001)
  expect(await scan()).toEqual({ rows: 1, told: [] })
})
