import type pg from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { bind, close, execute, parse, query, SYNC } from '../src/gateway/wire/messages.ts'
import { type LiveWorld, startLiveWorld } from './support/live.ts'
import { errorOf, openWire, rowsOf } from './support/wire.ts'

// Sessions of the gateway itself: what clients other than postgres_fdw may send.
let world: LiveWorld
let client: pg.Client
let id: string
let read: string
let edits = 0

beforeAll(async () => {
  world = await startLiveWorld('direct', { sandbox: { objects: { contacts: 5 } } })
  await world.load('contacts', ['firstname', 'lastname'])
  await world.advance(1_000)
  id = [...world.store.records('contacts')][0]!.id
  read = `select firstname from hubspot.contacts where id = ${id}`
})
afterAll(() => world[Symbol.asyncDispose]())
beforeEach(async () => {
  client = await world.direct()
})

/** A name that HubSpot has from now on, and the mirror does not. */
function edit(): string {
  edits += 1
  world.store.edit('contacts', id, { firstname: `edit ${edits}` })
  return `edit ${edits}`
}

/** The name in the answer to the last statement of a text. */
async function last(text: string | pg.QueryConfig): Promise<string | undefined> {
  const results = [await client.query<{ firstname: string }>(text)].flat()
  return results.at(-1)?.rows[0]?.firstname
}

function urlOf(): string {
  const url = new URL(world.db.url)
  ;[url.hostname, url.port] = [world.gateway.at.host, String(world.gateway.at.port)]
  return url.href
}

const unsettled = { code: '0A000', message: expect.stringContaining('cannot be looked up') as string }

describe('several statements in one text', () => {
  test.for<[string, (text: string) => string]>([
    ['set search_path', () => `set search_path = hubspot; select firstname from contacts where id = ${id}`],
    ['set_config', () => `select set_config('search_path', 'hubspot', false); select firstname from contacts where id = ${id}`],
    ['the role', (text) => `set role none; ${text}`],
    ['the age', (text) => `set hubspot.max_age = 0; ${text}`],
    ['a rollback', (text) => `begin; set local search_path = hubspot; rollback; ${text}`],
    ['drop', (text) => `drop table if exists nothing; ${text}`],
    ['a block of code', (text) => `do $$ begin set search_path = hubspot; end $$; ${text}`],
    ['an unknown name executed', () => 'reset all; execute nothing'],
  ])('are refused where one changes what a later one reads: %s', async ([, text]) => {
    await expect(client.query(text(read))).rejects.toMatchObject(unsettled)
    const name = edit()
    expect(await last(read)).toBe(name)
  })

  test('and go on where none does', async () => {
    for (const before of ['begin', 'begin; set local statement_timeout = 10000', 'select 1', 'show search_path', 'create temp table mine (n int); insert into mine values (1)']) {
      const name = edit()
      expect(await last(`${before}; ${read}`)).toBe(name)
      await client.query('rollback')
    }
  })

  test('see a view that one of them makes as HubSpot has it, under whatever name', async () => {
    let name = edit()
    expect(await last(`create temp view v as ${read}; select firstname from v`)).toBe(name)
    name = edit()
    expect(await last(`create or replace temp view v as select firstname from hubspot.contacts where id = ${id}; create temp view w as select * from v; select firstname from pg_temp.w`)).toBe(name)
  })

  test('that read nothing, or only what they made themselves, may change anything', async () => {
    await client.query('set search_path = public; drop table if exists mine; create temp table mine (n int); insert into mine values (1); select * from mine')
    await client.query('begin; set local search_path = hubspot; commit; select 1')
  })

  test('hold a prepare anywhere: what it reads is known when it is executed', async () => {
    await client.query(`select 1; prepare p (bigint) as select firstname from hubspot.contacts where id = $1; prepare other as select 2`)
    const name = edit()
    expect(await last(`execute p (${id})`)).toBe(name)
  })
})

test('what update and delete read by id is as HubSpot has it', async () => {
  await client.query(`create temp table mine (id bigint, firstname text); insert into mine values (${id}, 'old')`)
  world.calls()
  const name = edit()
  expect(await last(`update mine m set firstname = c.firstname from hubspot.contacts c where c.id = ${id} and m.id = c.id returning m.firstname`)).toBe(name)
  edit()
  expect(await last(`delete from mine m using hubspot.contacts c where c.id = ${id} and m.firstname = c.firstname returning m.firstname`)).toBeUndefined()
  expect(world.calls()).toEqual(['batch read', 'batch read'])
})

describe('after an error', () => {
  const failed = async (begin: string) => {
    await client.query(begin)
    await expect(client.query('select 1 / 0')).rejects.toMatchObject({ code: '22012' })
  }

  test('a read in one text with what ends the transaction is refused, and each by itself is answered', async () => {
    await failed('begin; savepoint s')
    await expect(client.query(`rollback to s; ${read}`)).rejects.toMatchObject(unsettled)
    await expect(client.query(`rollback; ${read}`)).rejects.toMatchObject(unsettled)
    await expect(client.query(read)).rejects.toMatchObject({ code: '25P02' })
    await client.query('rollback to savepoint s; release savepoint s')
    const name = edit()
    expect(await last(read)).toBe(name)
    await client.query('rollback; begin; select 1; commit')
    await failed('begin')
    expect(await last(`rollback; create temp table own (firstname text); insert into own values ('own'); select firstname from own`)).toBe('own')
    await failed('begin')
    await expect(client.query(`rollback; delete from hubspot.contacts`)).rejects.toMatchObject({ code: 'SH105' })
  })
})

describe('a pipeline', () => {
  const run = (sql: string) => [parse('', sql), bind('', '', []), execute('')]
  const wire = () => openWire(urlOf())

  test('is as one text: refused where what it reads is not sure, and done where it is', async () => {
    await using at = await wire()
    at.send(...run('set search_path = hubspot'), ...run(`select firstname from contacts where id = ${id}`), SYNC)
    expect(errorOf(await at.until('Z'))).toMatchObject(unsettled)
    const name = edit()
    at.send(...run('begin'), ...run(read), ...run(`prepare piped as ${read}`), ...run('execute piped'), ...run('commit'), SYNC)
    expect(rowsOf(await at.until('Z'))).toEqual([[name], [name]])
  })

  test('that ends a transaction that failed reads nothing after it', async () => {
    await using at = await wire()
    at.send(query('begin; select 1 / 0'))
    await at.until('Z')
    at.send(...run('rollback'), ...run(read), SYNC)
    expect(errorOf(await at.until('Z'))).toMatchObject(unsettled)
    at.send(...run('rollback'), ...run('begin'), ...run('select 1'), ...run('commit'), SYNC)
    expect(rowsOf(await at.until('Z'))).toEqual([['1']])
  })
})

describe('by id', () => {
  test('are thousands of ids too, a hundred a call', async () => {
    world.calls()
    const ids = [id, ...Array.from({ length: 1_499 }, (_, i) => String(i + 10_000_000))]
    const name = edit()
    const { rows } = await client.query(`select firstname from hubspot.contacts where id = any ($1)`, [ids])
    expect(rows).toEqual([{ firstname: name }])
    expect(world.calls()).toEqual(Array.from({ length: 15 }, () => 'batch read'))
    await client.query(`select from hubspot.contacts where id = any ($1)`, [Array.from({ length: 5_001 }, (_, i) => i + 10_000_000)])
    expect(world.calls()).not.toContain('batch read')
  })

  test('is whatever is surely equal to one, as it was written or as postgres_fdw writes it', async () => {
    for (const where of [`id = ${id}.0`, `id = ${id}::numeric`, `id is not distinct from ${id}`, `not (id is distinct from ${id})`, `id = '${id}'::oid`, `id in ('${id}')`]) {
      const name = edit()
      expect(await world.ask(`select firstname from hubspot_live.contacts where ${where}`), where).toEqual([{ firstname: name }])
      const next = edit()
      expect(await last(`select firstname from hubspot.contacts where ${where}`), where).toBe(next)
    }
    const collected = edit()
    expect(await world.ask(`select firstname from hubspot_live.contacts where id = any (array(select id from hubspot.contacts where id = ${id}))`)).toEqual([{ firstname: collected }])
    // That one stays with the database.
    const name = edit()
    expect(await last(`select firstname from hubspot.contacts where id::text = '${id}'`)).toBe(name)
  })
})

describe('a name', () => {
  test('that SQL gave to another statement means that one', async () => {
    const known = { name: 's', text: 'select 1 as firstname' }
    for (const go of ['deallocate s', 'DEALLOCATE PREPARE "s";', 'select 1; deallocate all', 'discard all']) {
      client = await world.direct()
      await client.query(known)
      await client.query(go)
      await client.query(`prepare s as ${read}`)
      const name = edit()
      expect(await last(known)).toBe(name)
    }
  })

  test('that a long text seems to let go of ends nothing', async () => {
    await expect(client.query(`deallocate "${'x'.repeat(9_000_000)}`)).rejects.toMatchObject({ code: '42601' })
    await client.query(`select 1;${' '.repeat(9_000_000)}`)
  })

  test('that could not be given again means what it meant, as does the one that is none', async () => {
    await using at = await openWire(urlOf())
    const ask = async (name: string) => {
      const now = edit()
      at.send(bind('', name, []), execute(''), SYNC)
      return rowsOf(await at.until('Z')).flat().map((value) => (value === now ? 'now' : value))
    }
    at.send(parse('s', read), parse('', read), SYNC)
    await at.until('Z')
    at.send(parse('s', 'select 1'), SYNC)
    expect(errorOf(await at.until('Z'))).toMatchObject({ code: '42P05' })
    expect(await ask('s')).toEqual(['now'])
    // What comes after the error is passed over.
    at.send(parse('x', 'selec'), parse('', 'select 1'), close('S', 's'), SYNC)
    expect(errorOf(await at.until('Z'))).toMatchObject({ code: '42601' })
    expect(await ask('')).toEqual(['now'])
    expect(await ask('s')).toEqual(['now'])
    // What came before it is done.
    at.send(parse('', 'select 1'), close('S', 's'), parse('s', `prepare x as ${read}`), parse('x', 'selec'), SYNC)
    await at.until('Z')
    expect(await ask('')).toEqual(['1'])
    await ask('s')
    expect(await ask('x')).toEqual(['now'])
  })

  test('that is none is kept whatever else is let go of', async () => {
    await using at = await openWire(urlOf())
    at.send(parse('', read), parse('all', 'deallocate all'), bind('', 'all', []), execute(''), SYNC)
    await at.until('Z')
    const name = edit()
    at.send(bind('', '', []), execute(''), SYNC)
    expect(rowsOf(await at.until('Z'))).toEqual([[name]])
  })

  test('may still mean a table that another of its name has come before since', async () => {
    await client.query('create temp table other (n int); set search_path = hubspot, public')
    await client.query(`prepare p as select firstname from contacts where id = ${id}`)
    const known = { name: 'known', text: `select firstname from contacts where id = ${id}` }
    await client.query(known)
    await client.query('create temp table contacts (id bigint, firstname text)')
    let name = edit()
    expect(await last('execute p')).toBe(name)
    name = edit()
    expect(await last(known)).toBe(name)
    world.calls()
    expect(await last(`select firstname from contacts where id = ${id}`)).toBeUndefined()
    expect(world.calls()).toEqual([])
  })

  test('of another is not forgotten', async () => {
    await client.query({ name: 's', text: read })
    await client.query('prepare other as select 1')
    await client.query('deallocate other')
    const name = edit()
    expect(await last({ name: 's', text: read })).toBe(name)
  })
})

test('an isolation level that a client asks for is what it gets', async () => {
  for (const more of ['', ' READ ONLY']) {
    await client.query(`START TRANSACTION ISOLATION LEVEL REPEATABLE READ${more}`)
    expect((await client.query('show transaction_isolation')).rows).toEqual([{ transaction_isolation: 'repeatable read' }])
    await client.query('rollback')
  }
})

describe('a long text', () => {
  test('is answered where it is long by its literals, or reads nothing', async () => {
    expect((await client.query(`select length('${'x'.repeat(9_000_000)}') as n`)).rows).toEqual([{ n: 9_000_000 }])
    await client.query('create temp table mine (n int, t text)')
    await client.query(`insert into mine values ${Array.from({ length: 50_000 }, (_, i) => `(${i}, 'from ${i}')`).join()}`)
    expect((await client.query('select count(*)::int as n from mine')).rows).toEqual([{ n: 50_000 }])
    await expect(client.query(`insert into hubspot.contacts (id) values ${Array.from({ length: 50_000 }, (_, i) => `(${i})`).join()}`)).rejects.toMatchObject({ code: 'SH105' })
  })

  test('and one nested deeply harms no other session, however often it comes', async () => {
    for (let i = 0; i < 3; i += 1) await expect(client.query(`select ${i}${'+1'.repeat(30_000)}`)).rejects.toMatchObject({ code: '54001' })
    await expect(client.query(`select $$'$$, ${'1,'.repeat(1_500_000)} 1 from hubspot.contacts`)).rejects.toMatchObject({ code: '54001' })
    const name = edit()
    expect(await world.ask(`select firstname from hubspot_live.contacts where id = ${id}`)).toEqual([{ firstname: name }])
    expect(await last(read)).toBe(name)
  })
})
