import { describe, expect, test } from 'vitest'
import type pg from 'pg'
import { bind, execute, parse, query, SYNC } from '../src/gateway/wire/messages.ts'
import { type LiveWorld, startLiveWorld } from './support/live.ts'
import { openWire } from './support/wire.ts'

async function contacts(count: number): Promise<LiveWorld> {
  const world = await startLiveWorld('live', { sandbox: { objects: { contacts: count } } })
  await world.load('contacts', ['firstname', 'lastname', 'email'])
  await world.advance(1_000)
  world.calls()
  return world
}

const idsOf = (world: LiveWorld) => [...world.store.records('contacts')].map(({ id }) => id)

function noticesOf(client: pg.Client): string[] {
  const notices: string[] = []
  client.on('notice', ({ severity, code, message }) => notices.push(`${severity} ${code} ${message}`))
  return notices
}

const LEVELS = ['repeatable read', 'serializable', 'serializable read only'] as const

describe('a transaction that keeps one snapshot', () => {
  test('of a foreign table\'s session: its first query is fresh, by id and by filter, under a savepoint, and with estimates asked for', async () => {
    await using world = await contacts(3)
    const [id = ''] = idsOf(world)
    for (const [n, before] of ['begin isolation level serializable', 'begin isolation level serializable; savepoint a; savepoint b', 'begin isolation level serializable read only'].entries()) {
      for (const where of [`id = ${id}`, `firstname = 'new ${n}'`]) {
        await world.advance(1_000)
        world.store.edit('contacts', id, { firstname: `new ${n}`, lastname: where.slice(0, 2) })
        await world.ask(before)
        expect(await world.ask(`select firstname, lastname from hubspot_live.contacts where ${where}`), `${before} ${where}`)
          .toEqual([{ firstname: `new ${n}`, lastname: where.slice(0, 2) }])
        await world.ask(before.includes('savepoint') ? 'rollback to a; commit' : 'commit')
      }
    }
    await world.db.query(`alter foreign table hubspot_live.contacts options (add use_remote_estimate 'true')`)
    world.store.edit('contacts', id, { firstname: 'estimated' })
    await world.ask('begin isolation level serializable')
    expect(await world.ask(`select firstname from hubspot_live.contacts where id = ${id}`)).toEqual([{ firstname: 'estimated' }])
    await world.ask('commit')
  })

  test.for(LEVELS)('of a session of the gateway\'s own: %s', async (level) => {
    await using world = await contacts(3)
    const [id = ''] = idsOf(world)
    const client = await world.direct()
    const notices = noticesOf(client)
    const ask = async (text: string, values: unknown[] = []) => (await client.query(text, values)).rows as unknown[]
    let n = 0
    for (const before of [[], ['savepoint a'], ['savepoint a', 'rollback to a', 'release a'], [`set local hubspot.max_age = '0 s'`, `set local datestyle = 'iso, dmy'`], ['show transaction_isolation', 'explain select 1', 'reset work_mem', 'set local work_mem = 4096', ';']]) {
      n += 1
      world.store.edit('contacts', id, { firstname: `new ${n}` })
      await ask(`-- ours
      /* a */ begin isolation level ${level};`)
      for (const text of before) await ask(text)
      expect(await ask('select firstname from hubspot.contacts where id = $1', [id]), before.join()).toEqual([{ firstname: `new ${n}` }])
      expect(await ask('select current_setting($1) as level, current_setting($2) as access, current_setting($3) as style', ['transaction_isolation', 'transaction_read_only', 'datestyle'])).toEqual([{
        level: level.startsWith('serializable') ? 'serializable' : level, access: level.endsWith('only') ? 'on' : 'off', style: before.length === 2 ? 'ISO, DMY' : 'ISO, MDY',
      }])
      expect(notices).toEqual([])
      // What it took then is what it keeps: nobody is asked, and it is told so once.
      world.calls()
      world.store.edit('contacts', id, { firstname: 'later' })
      expect(await ask('select firstname from hubspot.contacts where id = $1', [id])).toEqual([{ firstname: `new ${n}` }])
      expect(await ask('select count(*)::integer as n from hubspot.contacts')).toEqual([{ n: 3 }])
      expect(world.calls()).toEqual([])
      expect(notices.splice(0)).toEqual([expect.stringContaining('WARNING SH232 HubSpot was not asked: this transaction keeps the snapshot')])
      // The next one begins at once.
      await ask('commit and chain')
      expect(await ask('select firstname from hubspot.contacts where id = $1', [id])).toEqual([{ firstname: 'later' }])
      expect(await ask('show transaction_isolation')).toEqual([{ transaction_isolation: level.startsWith('serializable') ? 'serializable' : level }])
      await ask('rollback')
      expect(notices).toEqual([])
    }
  })

  test('that has done something else before, or failed, answers from its snapshot with a warning', async () => {
    await using world = await contacts(3)
    const [id = ''] = idsOf(world)
    const client = await world.direct()
    const notices = noticesOf(client)
    await client.query('create table public.mine (id bigint)')
    for (const before of ['insert into public.mine values (1)', 'select 1', 'lock table public.mine', `select set_config('work_mem', '1MB', true)`, 'savepoint a; select 1', `set local work_mem = '1MB'; select 1`, 'explain analyze select 1', 'show work_mem; table public.mine', '/* /* */ savepoint a */ select 1']) {
      const was = await world.row<{ firstname: string }>('contacts', id)
      world.store.edit('contacts', id, { firstname: before.slice(0, 20) })
      await client.query('begin isolation level repeatable read')
      await client.query(before)
      expect((await client.query(`select firstname from hubspot.contacts where id = ${id}`)).rows, before).toEqual([{ firstname: was?.firstname }])
      expect(notices.splice(0), before).toEqual([expect.stringContaining('WARNING SH232 HubSpot was not asked')])
      await client.query('commit')
      await client.query(`select from hubspot.contacts where id = ${id}`)
    }
    expect((await client.query('select count(*)::integer as n from public.mine')).rows).toEqual([{ n: 1 }])
    // What a savepoint took back, nobody can tell.
    await client.query('begin isolation level serializable')
    await client.query('savepoint a')
    await client.query('release b').catch(() => undefined)
    await client.query('rollback to a')
    expect((await client.query(`select from hubspot.contacts where id = ${id}`)).rowCount).toBe(1)
    expect(notices.splice(0)).toEqual([expect.stringContaining('WARNING SH232 HubSpot was not asked')])
    await client.query('rollback')
    // Read committed takes a new snapshot each time.
    await client.query('begin')
    await client.query('select 1')
    world.store.edit('contacts', id, { firstname: 'committed' })
    expect((await client.query(`select firstname from hubspot.contacts where id = ${id}`)).rows).toEqual([{ firstname: 'committed' }])
    await client.query('rollback')
    expect(notices).toEqual([])
  })
})

test('in a pipeline nothing is taken back that has not been run yet: it is answered with a warning', async () => {
  await using world = await contacts(3)
  const [id = ''] = idsOf(world)
  const url = new URL(world.db.url)
  Object.assign(url, { hostname: world.gateway.at.host, port: String(world.gateway.at.port) })
  await using wire = await openWire(url.href)
  const run = (sql: string) => [parse('', sql), bind('', '', []), execute('')]
  wire.send(query('begin isolation level serializable'), query('savepoint a'))
  expect([await wire.answers(), await wire.answers()]).toEqual(['CZT', 'CZT'])
  wire.send(...run('release a'), ...run(`select id from hubspot.contacts where id = ${id}`), SYNC)
  expect(await wire.answers()).toBe('N12C12DCZT')
  wire.send(query('commit'))
  expect(await wire.answers()).toBe('CZI')
  wire.send(query('begin isolation level serializable'))
  await wire.answers()
  wire.send(...run(`select id from hubspot.contacts where id = ${id}`), SYNC)
  expect(await wire.answers()).toBe('12DCZT')
})

describe('many look-ups in one transaction', () => {
  test('are each asked of HubSpot, by id and by filter', async () => {
    await using world = await contacts(12)
    const [id = ''] = idsOf(world)
    await world.ask('begin')
    for (let n = 1; n <= 9; n += 1) {
      world.store.edit('contacts', id, { firstname: `n${n}` })
      expect(await world.ask(`select firstname from hubspot_live.contacts where id = ${id}`)).toEqual([{ firstname: `n${n}` }])
    }
    for (let n = 1; n <= 7; n += 1) {
      await world.advance(1_000)
      world.store.edit('contacts', id, { firstname: `f${n}` })
      expect(await world.ask(`select count(*)::integer as n from hubspot_live.contacts where firstname = 'f${n}'`)).toEqual([{ n: 1 }])
    }
    await world.ask('commit')
    world.calls()
    await world.ask('begin')
    await world.ask('create temp table wanted on commit drop as select id from hubspot.contacts order by id limit 10')
    await world.ask('set enable_hashjoin = off; set enable_mergejoin = off; set enable_material = off; analyze wanted')
    world.store.edit('contacts', idsOf(world), { firstname: 'looped' })
    const rows = await world.ask(`select firstname from wanted w, lateral (select c.firstname from hubspot_live.contacts c where c.id = w.id offset 0) c`)
    expect(rows).toEqual(Array.from({ length: 10 }, () => ({ firstname: 'looped' })))
    expect(world.calls()).toEqual(Array.from({ length: 10 }, () => 'batch read'))
    await world.ask('commit')
  })

  test('that the budget does not give in time fail, or warn', async () => {
    await using world = await contacts(3)
    const [id = ''] = idsOf(world)
    await world.ask('begin')
    for (let n = 1; n <= 6; n += 1) await world.ask(`select from hubspot_live.contacts where id = ${id}`)
    await world.db.query(`select hubspot.set_quota('daily', 1)`)
    await expect(world.ask(`select from hubspot_live.contacts where id = ${id}`)).rejects.toMatchObject({ code: 'SH232' })
    await world.ask('rollback')
  })
})

describe('a row that is locked', () => {
  test('by the very transaction that reads it answers as it is, with a warning', async () => {
    await using world = await contacts(3)
    const [id = '', other = ''] = idsOf(world)
    const client = await world.direct()
    const notices = noticesOf(client)
    await client.query('begin')
    const [before] = (await client.query<{ firstname: string }>(`select firstname from hubspot.contacts where id = ${id} for update`)).rows
    expect(notices).toEqual([])
    world.store.edit('contacts', [id, other], { firstname: 'edited' })
    expect((await client.query(`select firstname from hubspot.contacts where id in (${id}, ${other}) order by id = ${id}`)).rows).toEqual([{ firstname: 'edited' }, before])
    expect(notices.splice(0)).toEqual([`WARNING SH232 hubspot.contacts may be older than HubSpot for ${id}: what HubSpot has could not be written`])
    await world.advance(1_000)
    world.store.edit('contacts', id, { firstname: 'again' })
    expect((await client.query(`select from hubspot.contacts where firstname = 'again'`)).rowCount).toBe(0)
    expect(notices.splice(0)).toEqual([expect.stringContaining(`for ${id}: what HubSpot has could`)])
    world.store.archive('contacts', id)
    expect((await client.query(`select from hubspot.contacts where id = ${id}`)).rowCount).toBe(1)
    expect(notices.splice(0)).toEqual([expect.stringContaining(`for ${id}: what HubSpot has could not be written`)])
    await client.query('commit')
    expect((await client.query(`select from hubspot.contacts where id = ${id}`)).rowCount).toBe(0)
    expect(notices).toEqual([])
  })

  test('or that a trigger of the user\'s keeps as it is, the same', async () => {
    await using world = await contacts(3)
    const [id = ''] = idsOf(world)
    await world.db.query(`create function no() returns trigger language plpgsql as $$ begin raise exception 'not this one'; end $$`)
    await world.db.query(`create trigger no before update on hubspot.contacts for each row when (new.id = ${id}) execute function no()`)
    world.store.edit('contacts', id, { firstname: 'edited' })
    const client = await world.direct()
    const notices = noticesOf(client)
    expect((await client.query(`select from hubspot.contacts where id = ${id}`)).rowCount).toBe(1)
    expect(notices).toEqual([`WARNING SH232 hubspot.contacts may be older than HubSpot for ${id}: what HubSpot has could not be written`])
  })
})
