import pg from 'pg'
import { describe, expect, test } from 'vitest'
import { query } from './support/global-setup.ts'
import { type LiveWorld, startLiveWorld } from './support/live.ts'
import { hold } from './support/sync.ts'

async function contacts(count: number, options: Parameters<typeof startLiveWorld>[1] = {}): Promise<LiveWorld> {
  const world = await startLiveWorld('live', { ...options, sandbox: { ...options.sandbox, objects: { contacts: count, ...options.sandbox?.objects } } })
  await world.load('contacts', ['firstname', 'lastname', 'email'])
  await world.advance(1_000)
  world.calls()
  return world
}

/** Deals and the companies they are of; HubSpot's ids are the same here as there. */
async function deals(options: Parameters<typeof startLiveWorld>[1] = {}): Promise<LiveWorld> {
  const world = await startLiveWorld('live', { ...options, sandbox: { objects: { deals: 130, contacts: 20 }, ...options.sandbox } })
  await world.load('deals', ['dealname', 'amount', 'dealstage', 'closedate', 'hs_is_closed_won'])
  await world.load('contacts', ['firstname', 'lastname'])
  await world.advance(1_000)
  world.calls()
  return world
}

const idsOf = (world: LiveWorld, object = 'contacts') => [...world.store.records(object)].map(({ id }) => id)

describe('by id', () => {
  test('a record that was changed is seen by the next select, by a constant, a parameter and a list', async () => {
    await using world = await contacts(5)
    const [one = '', two = ''] = idsOf(world)
    world.store.edit('contacts', one, { firstname: 'first' })
    expect(await world.ask(`select firstname from hubspot_live.contacts where id = ${one}`)).toEqual([{ firstname: 'first' }])
    expect(world.calls()).toEqual(['batch read'])
    world.store.edit('contacts', one, { firstname: 'second' })
    expect(await world.ask('select firstname from hubspot_live.contacts where id = $1', [one])).toEqual([{ firstname: 'second' }])
    world.store.edit('contacts', [one, two], { firstname: 'third' })
    expect(await world.ask(`select firstname from hubspot_live.contacts where id in (${one}, ${two})`)).toEqual([{ firstname: 'third' }, { firstname: 'third' }])
    expect(world.calls()).toEqual(['batch read', 'batch read'])
    expect(await world.row('contacts', one)).toMatchObject({ firstname: 'third' })
  })

  test('in one transaction, each statement sees what HubSpot has by then; with estimates asked for too, and under savepoints', async () => {
    await using world = await contacts(3)
    const [id = ''] = idsOf(world)
    for (const estimate of ['false', 'true']) {
      await world.db.query(`alter foreign table hubspot_live.contacts options (${estimate === 'false' ? 'add' : 'set'} use_remote_estimate '${estimate}')`)
      await world.ask('begin')
      for (const name of ['first', 'second', 'third']) {
        world.store.edit('contacts', id, { firstname: `${name} ${estimate}` })
        await world.ask('savepoint s')
        expect(await world.ask(`select firstname from hubspot_live.contacts where id = ${id}`)).toEqual([{ firstname: `${name} ${estimate}` }])
        await world.ask('rollback to s')
      }
      await world.ask('commit')
    }
  })

  test('one that is gone from HubSpot leaves the mirror, and one that is new comes into it', async () => {
    await using world = await contacts(3)
    const [id = '', other = ''] = idsOf(world)
    world.store.archive('contacts', id)
    expect(await world.ask(`select from hubspot_live.contacts where id = ${id}`)).toEqual([])
    expect(await world.row('contacts', id)).toBeUndefined()
    world.store.create('contacts', [{ id: 777_777, properties: { firstname: 'new' } }])
    expect(await world.ask('select firstname from hubspot_live.contacts where id = 777777')).toEqual([{ firstname: 'new' }])
    expect(await world.ask('select from hubspot_live.contacts where id = 777778')).toEqual([])
    expect(await world.ask(`select from hubspot_live.contacts where id = any (array[${other}, 777778, -1, null])`)).toHaveLength(1)
    expect(await world.differences('contacts')).toEqual([])
    expect(await world.db.query(`select rows from hubspot.status where object = 'contacts'`)).toEqual([{ rows: '3' }])
  })

  test('a merged record is asked for by its old id: it is gone, and what it is part of is here', async () => {
    await using world = await contacts(3)
    const [kept = '', lost = ''] = idsOf(world)
    world.store.merge('contacts', kept, lost)
    expect(await world.ask(`select from hubspot_live.contacts where id = ${lost}`)).toEqual([])
    await world.pass(11_000)
    expect(await world.differences('contacts')).toEqual([])
  })

  test('a row that someone holds locked is not waited for: the committed one answers', async () => {
    await using world = await contacts(3)
    const [id = ''] = idsOf(world)
    const before = await world.row<{ firstname: string }>('contacts', id)
    world.store.edit('contacts', id, { firstname: 'edited' })
    await world.ask('begin')
    await world.ask(`select from hubspot.contacts where id = ${id} for update`)
    expect(await world.ask(`select firstname from hubspot_live.contacts where id = ${id}`)).toEqual([{ firstname: before?.firstname }])
    await world.ask('rollback')
    expect(await world.ask(`select firstname from hubspot_live.contacts where id = ${id}`)).toEqual([{ firstname: 'edited' }])
  })

  test('a row that this product is writing is waited for', async () => {
    await using world = await contacts(3)
    const [id = ''] = idsOf(world)
    await world.ask(`select from hubspot_live.contacts where id = ${id}`)
    world.store.edit('contacts', id, { firstname: 'edited' })
    const page = new pg.Client(world.db.url)
    await page.connect()
    await page.query('begin')
    await page.query(`select hubspot_private.object_lock(o.number, false) from hubspot_private.objects o where o.name = 'contacts'`)
    await page.query(`select from hubspot.contacts where id = ${id} for update`)
    const [answer] = await Promise.all([
      world.ask(`select firstname from hubspot_live.contacts where id = ${id}`),
      new Promise((resolve) => setTimeout(resolve, 200)).then(() => page.end()),
    ])
    expect(answer).toEqual([{ firstname: 'edited' }])
  })

  test('rows that other sessions write at the same moment are seen as they write them: none gets the older ones', async () => {
    await using world = await contacts(3)
    const [id = ''] = idsOf(world)
    // What is between a look at who else writes, and the locking of rows, takes a while.
    await world.db.query(`
      alter function hubspot_private.page_complete(hubspot_private.objects, jsonb) rename to page_complete_at_once;
      create function hubspot_private.page_complete(o hubspot_private.objects, body jsonb, out complete jsonb, out incomplete bigint[])
      language plpgsql as $$
      begin
        perform pg_sleep(0.03);
        select c.complete, c.incomplete into complete, incomplete from hubspot_private.page_complete_at_once(o, body) c;
      end $$`)
    const url = new URL(world.db.url)
    const sessions = await Promise.all(Array.from({ length: 4 }, () => world.as(url.username, url.password)))
    const wheres = [`id = ${id}`, `id = any ('{${idsOf(world).join()}}')`, `id = ${id}`, `firstname is not null`]
    for (let round = 0; round < 8; round += 1) {
      const firstname = `round ${round}`
      world.store.edit('contacts', id, { firstname })
      const seen = await Promise.all(sessions.map(async (session, at) => {
        await new Promise((resolve) => setTimeout(resolve, at * 2 * round))
        const { rows } = await session.query<{ id: string; firstname: string }>(`select id::text, firstname from hubspot_live.contacts where ${wheres[at]}`)
        return rows.find((row) => row.id === id)?.firstname
      }))
      expect(seen).toEqual(sessions.map(() => firstname))
      await world.advance(1_000)
    }
    expect(world.lines.filter((line) => line.includes('older rows'))).toEqual([])
  })

  test('a row that an earlier read is written into while this one is on its way is asked for again', async () => {
    let late: (() => Promise<unknown>) | undefined
    await using world = await contacts(3, {
      client: (client) => ({
        ...client,
        async request(request) {
          const answer = await client.request(request)
          if (request.path.endsWith('/batch/read')) await late?.().finally(() => (late = undefined))
          return answer
        },
      }),
    })
    const [id = ''] = idsOf(world)
    world.store.edit('contacts', id, { firstname: 'edited' })
    late = () => query(world.db.adminUrl, `
      set session_replication_role = replica;
      update hubspot.contacts set firstname = 'older', _synced_at = hubspot_private.clock() where id = ${id}`)
    expect(await world.ask(`select firstname from hubspot_live.contacts where id = ${id}`)).toEqual([{ firstname: 'edited' }])
    expect(world.calls()).toEqual(['batch read', 'batch read'])
  })

  test('what Postgres cannot hold, or a trigger of the user\'s refuses, goes the way of the queue', async () => {
    await using world = await contacts(3)
    const [odd = '', refused = ''] = idsOf(world)
    world.store.edit('contacts', odd, { firstname: 'a\u0000b' })
    expect(await world.ask(`select firstname from hubspot_live.contacts where id = ${odd}`)).toEqual([{ firstname: 'ab' }])
    await world.db.query(`create function no() returns trigger language plpgsql as $$ begin raise exception 'not this one'; end $$`)
    await world.db.query(`create trigger no before update on hubspot.contacts for each row when (new.id = ${refused}) execute function no()`)
    const before = await world.row<{ firstname: string }>('contacts', refused)
    world.store.edit('contacts', refused, { firstname: 'edited' })
    expect(await world.ask(`select firstname from hubspot_live.contacts where id = ${refused}`)).toEqual([{ firstname: before?.firstname }])
    expect(await world.db.query(`select code from hubspot.problems where resolved_at is null order by 1`)).toEqual([{ code: 'SH210' }, { code: 'SH213' }])
  })
})

describe('anything else', () => {
  test('is asked for again where the poll that it waits for is stopped', async () => {
    await using world = await contacts(3)
    const [id = ''] = idsOf(world)
    await world.advance(20_000)
    const polling = await hold(world, 'contacts', 'poll')
    expect(polling).toBeDefined()
    world.store.edit('contacts', id, { firstname: 'Zaphod' })
    await world.advance(1_000)
    const asked = world.ask(`select firstname from hubspot_live.contacts where firstname = 'Zaphod'`)
    await expect.poll(() => world.db.query(`select from hubspot_private.runs where stream = 'poll' and state = 'waiting'`), { timeout: 10_000 }).toHaveLength(1)
    await world.db.query(`select hubspot_private.search_refuse('contacts')`)
    expect(await asked).toEqual([{ firstname: 'Zaphod' }])
  })

  test('what search shows is seen by the next query, beyond a page too', async () => {
    await using world = await contacts(150)
    const [id = ''] = idsOf(world)
    world.store.edit('contacts', id, { firstname: 'Zaphod' })
    world.store.create('contacts', [{ id: 888_888, properties: { firstname: 'Zaphod' } }])
    expect(await world.ask(`select count(*)::integer as n from hubspot_live.contacts where firstname = 'Zaphod'`)).toEqual([{ n: 2 }])
    expect(world.calls()).toEqual(['search', 'batch read'])
    expect(await world.ask('select count(*)::integer as n from hubspot_live.contacts')).toEqual([{ n: 151 }])
    expect(world.calls()).toEqual(['search'])
  })

  test('a row that no longer matches is not in the answer', async () => {
    await using world = await deals()
    const [id = ''] = idsOf(world, 'deals')
    world.store.edit('deals', id, { dealstage: 'closedwon' })
    expect(await world.ask(`select id from hubspot_live.deals where dealstage = 'closedwon' and id = ${id}`)).toHaveLength(1)
    // In another millisecond of HubSpot's, since search tells versions apart by that.
    await world.advance(1)
    world.store.edit('deals', id, { dealstage: 'closedlost' })
    const won = await world.ask<{ id: string }>(`select id::text from hubspot_live.deals where dealstage = 'closedwon'`)
    expect(won.map((row) => row.id)).not.toContain(id)
  })

  test('what the index shows late and out of order is seen as soon as it shows it', async () => {
    await using world = await contacts(10)
    const [late = '', soon = ''] = idsOf(world)
    const count = async (name: string) => (await world.ask<{ n: number }>('select count(*)::integer as n from hubspot_live.contacts where lastname = $1', [name]))[0]?.n
    world.store.edit('contacts', late, { lastname: 'Late' }, { lag: 20_000 })
    await world.advance(1_000)
    world.store.edit('contacts', soon, { lastname: 'Soon' }, { lag: 0 })
    expect([await count('Soon'), await count('Late')]).toEqual([1, 0])
    await world.advance(20_000)
    expect(await count('Late')).toBe(1)
  })

  test('asked by many sessions at once, HubSpot is asked once for those that wait', async () => {
    await using world = await contacts(30)
    const sessions = await Promise.all(Array.from({ length: 25 }, () => world.direct()))
    await Promise.all(sessions.map((session) => session.query('select 1')))
    world.store.edit('contacts', idsOf(world), { lastname: 'All' })
    const counts = await Promise.all(sessions.map(async (session) => (await session.query<{ n: number }>(`select count(*)::integer as n from hubspot.contacts where lastname = 'All'`)).rows[0]?.n))
    expect(counts).toEqual(sessions.map(() => 30))
    expect(world.calls().filter((kind) => kind === 'search').length).toBeLessThanOrEqual(5)
    const read = await Promise.all(sessions.map(async (session, at) => (await session.query<{ lastname: string }>(`select lastname from hubspot.contacts where id = $1`, [idsOf(world)[at]])).rows[0]?.lastname))
    expect(read).toEqual(sessions.map(() => 'All'))
    expect(world.calls().length).toBeLessThan(20)
  })

  test('joins, aggregates, ordering and limits are Postgres\' own, on rows that are HubSpot\'s', async () => {
    await using world = await deals()
    const store = [...world.store.records('deals')].map(({ id, properties }) => ({ id, amount: properties['amount'] ?? null, won: properties['hs_is_closed_won'] ?? null }))
    const sum = Math.round(store.reduce((all, { amount }) => all + (amount === null || amount === '' ? 0 : Number(amount)), 0))
    expect(await world.ask('select count(*)::integer as n, round(sum(amount))::float8 as sum from hubspot_live.deals')).toEqual([{ n: 130, sum }])
    expect(await world.ask('select count(amount)::integer as n from hubspot_live.deals')).toEqual([{ n: store.filter(({ amount }) => amount !== null && amount !== '').length }])
    const wons = await world.ask<{ won: boolean | null; n: number }>('select hs_is_closed_won as won, count(*)::integer as n from hubspot_live.deals group by 1')
    expect(wons.find(({ won }) => won === true)?.n ?? 0).toBe(store.filter(({ won }) => won === 'true').length)
    expect(await world.ask('select id from hubspot_live.deals order by amount desc nulls last limit 3')).toHaveLength(3)
    expect(await world.ask('select id from hubspot_live.deals limit 101')).toHaveLength(101)
    const [deal = ''] = idsOf(world, 'deals')
    const [contact = ''] = idsOf(world)
    world.store.edit('deals', deal, { dealname: 'joined' })
    world.store.edit('contacts', contact, { firstname: 'joined' })
    expect(await world.ask(`select d.dealname, c.firstname from hubspot_live.deals d join hubspot_live.contacts c on c.firstname = d.dealname where d.id = ${deal}`)).toEqual([{ dealname: 'joined', firstname: 'joined' }])
    expect(await world.ask(`select d.dealname, c.firstname from hubspot_live.deals d left join hubspot_live.contacts c on c.id = ${contact} where d.id = ${deal}`)).toEqual([{ dealname: 'joined', firstname: 'joined' }])
    expect(await world.ask(`select from hubspot_live.deals d where d.id = ${deal} and exists (select from hubspot_live.contacts c where c.firstname = d.dealname)`)).toHaveLength(1)
    expect(await world.ask(`select c.firstname from hubspot.contacts m join hubspot_live.contacts c using (id) where m.id = ${contact}`)).toEqual([{ firstname: 'joined' }])
  })

  test('generic plans, functions, cursors, subtransactions and ANALYZE work', async () => {
    await using world = await contacts(12)
    const [id = ''] = idsOf(world)
    await world.ask('set plan_cache_mode = force_generic_plan')
    await world.ask('prepare by_id (bigint) as select firstname from hubspot_live.contacts where id = $1')
    world.store.edit('contacts', id, { firstname: 'generic' })
    expect(await world.ask(`execute by_id (${id})`)).toEqual([{ firstname: 'generic' }])
    await world.db.query(`create function look(wanted bigint) returns text language plpgsql as $$
      declare name text;
      begin
        begin
          select firstname into strict name from hubspot_live.contacts where id = wanted;
        exception when no_data_found then
          return 'none';
        end;
        return name;
      end $$`)
    world.store.edit('contacts', id, { firstname: 'function' })
    expect(await world.ask(`select look(${id}) as one, look(99) as none`)).toEqual([{ one: 'function', none: 'none' }])
    await world.ask('begin')
    await world.ask('declare c cursor for select id from hubspot_live.contacts order by id')
    expect(await world.ask('fetch 5 from c')).toHaveLength(5)
    expect(await world.ask('fetch 100 from c')).toHaveLength(7)
    await world.ask('commit')
    await world.ask('analyze hubspot_live.contacts')
    expect(await world.db.query(`select reltuples from pg_class where oid = 'hubspot_live.contacts'::regclass`)).toEqual([{ reltuples: 12 }])
    await world.ask('create schema imported; import foreign schema hubspot limit to (contacts) from server hubspot_live into imported')
    world.store.edit('contacts', id, { firstname: 'imported' })
    expect(await world.ask(`select firstname from imported.contacts where id = ${id}`)).toEqual([{ firstname: 'imported' }])
    await world.ask(`alter server hubspot_live options (set async_capable 'true')`)
    expect(await world.ask(`select firstname from hubspot_live.contacts where id = ${id} union all select firstname from imported.contacts`)).toHaveLength(13)
    expect(world.calls()).not.toContain('list')
    await world.ask('explain select * from hubspot_live.contacts')
    expect(world.calls()).toEqual([])
  })
})
