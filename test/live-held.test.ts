import { setTimeout as sleep } from 'node:timers/promises'
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

test('many rows that a trigger refuses do not fail queries by id, nor keep those asked for with them old', async () => {
  await using world = await contacts(60)
  const ids = idsOf(world)
  const refused = ids.slice(0, 25)
  await world.db.query(REFUSE)
  await world.db.query(`create trigger no before update on hubspot.contacts for each row when (new.id = any ('{${refused.join()}}')) execute function no()`)
  const client = await world.direct()
  const told: string[] = []
  client.on('notice', ({ message }) => told.push(message ?? ''))
  const byId = async (those: readonly string[], firstname: string) => (await client.query(`select from hubspot.contacts where firstname = '${firstname}' and id in (${those.join()})`)).rowCount
  for (const firstname of ['edited', 'twice', 'a third time']) {
    world.store.edit('contacts', ids, { firstname })
    await world.advance(2_000)
    expect(await byId(ids, firstname)).toBe(35)
    expect(told.splice(0)).toEqual([expect.stringContaining(`for ${refused.slice(0, 10).join(', ')}, …:`)])
  }
  expect(await byId(refused, 'a third time')).toBe(0)
  world.store.edit('contacts', ids[30]!, { firstname: 'fourth' })
  await world.advance(2_000)
  expect((await client.query(`select from hubspot.contacts where firstname = 'fourth'`)).rowCount).toBe(1)
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

const KILL = 'perform pg_terminate_backend(pg_backend_pid());'

/** By id, at the gateway itself: what the records are called, and what the warnings name. */
async function asker(world: LiveWorld) {
  const client = await world.direct()
  const told: string[] = []
  client.on('notice', ({ message }) => told.push(/ for (.*): /.exec(message ?? '')?.[1] ?? String(message)))
  return async (...ids: string[]) => {
    const { rows } = await client.query<{ firstname: string }>(`select firstname from hubspot.contacts where id in (${ids.join()}) order by id`)
    return { names: rows.map(({ firstname }) => firstname), told: told.splice(0) }
  }
}

describe.for([
  ['ends its session', KILL],
  ['raises what a server that stops does', "raise exception 'away' using errcode = '57P01';"],
  ['is refused a verb', "perform hubspot.set_max_age('nope', '1s');"],
  ['writes to a table of the mirror', "update hubspot.contacts set firstname = 'x' where id <> new.id;"],
  ['raises', "raise exception 'no';"],
])('a row of which a trigger %s', ([, what]) => {
  test('is answered by id as it is, with a warning, and those asked for with it are fresh', async () => {
    await using world = await contacts(4)
    const [bad = '', good = '', other = ''] = idsOf(world)
    const before = await world.row<{ firstname: string }>('contacts', bad)
    await world.db.query(`create sequence public.tries; create function no() returns trigger language plpgsql as $$ begin
      if new.id = ${bad} then perform nextval('public.tries'); ${what} end if; return new; end $$;
      create trigger no before update on hubspot.contacts for each row execute function no()`)
    const [one, another] = [await asker(world), await asker(world)]
    world.store.edit('contacts', [bad, good, other], { firstname: 'first' })
    expect(await one(bad, good)).toEqual({ names: [before!.firstname, 'first'], told: [bad] })
    expect(await one(good)).toEqual({ names: ['first'], told: [] })
    // By several at once, which share a call; what is known of it is not tried more than once a second, where it ends sessions.
    const tries = () => world.db.query('select last_value from public.tries')
    const tried = await tries()
    world.store.edit('contacts', good, { firstname: 'second' })
    expect(await Promise.all([one(bad), another(good, other)])).toEqual([{ names: [before!.firstname], told: [bad] }, { names: ['second', 'first'], told: [] }])
    if (what === KILL) expect(await tries()).toEqual(tried)
    const scan = await scanner(world)
    await world.advance(1_000)
    world.store.edit('contacts', [bad, good], { firstname: 'edited' })
    await world.advance(1_000)
    expect(await scan()).toEqual({ rows: 1, told: [bad] })
    expect(await one(bad, good)).toEqual({ names: [before!.firstname, 'edited'], told: [bad] })
    expect(await world.db.query(`select code, record_id from hubspot.problems where resolved_at is null`)).toEqual([{ code: 'SH213', record_id: bad }])
    await world.db.query('drop trigger no on hubspot.contacts')
    await world.advance(1_001)
    expect(await one(bad, good)).toEqual({ names: ['edited', 'edited'], told: [] })
    expect(await world.db.query(`select code from hubspot.problems where resolved_at is null`)).toEqual([])
  })
})

test('a session that someone else ends while a query waits for its record is nobody\'s fault: the answer is fresh', async () => {
  await using world = await contacts(3)
  const [id = '', other = ''] = idsOf(world)
  await world.db.query(`create sequence public.tries; create function slow() returns trigger language plpgsql as $$ begin
    if nextval('public.tries') = 1 then perform pg_sleep(60); end if; return new; end $$;
    create trigger slow before update on hubspot.contacts for each row execute function slow()`)
  const ask = await asker(world)
  world.store.edit('contacts', [id, other], { firstname: 'edited' })
  const answer = ask(id, other)
  const asleep = "from pg_stat_activity where datname = current_database() and wait_event = 'PgSleep'"
  while ((await world.db.query(`select pg_terminate_backend(pid) ${asleep}`)).length === 0) await sleep(10)
  expect(await answer).toEqual({ names: ['edited', 'edited'], told: [] })
  expect(await world.db.query('select from hubspot.problems')).toEqual([])
})
