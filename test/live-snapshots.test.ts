import type pg from 'pg'
import { describe, expect, test } from 'vitest'
import { bind, execute, int32, message, parse, query, SYNC } from '../src/gateway/wire/messages.ts'
import { type LiveWorld, startLiveWorld } from './support/live.ts'
import { errorOf, openWire, rowsOf } from './support/wire.ts'

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

function urlOf({ db, gateway: { at } }: LiveWorld): string {
  const url = new URL(db.url)
  Object.assign(url, { hostname: at.host, port: String(at.port) })
  return url.href
}

const OLD = expect.stringContaining('WARNING SH232 HubSpot was not asked: this transaction keeps the snapshot') as string

describe('what a transaction did before its first query is not taken back', () => {
  const none = Buffer.alloc(2)
  const one = Buffer.from([0, 1])
  const run = (sql: string) => [parse('', sql), bind('', '', []), execute('')]
  const insert = `insert into public.mine values (1)`
  const begin = 'begin isolation level repeatable read'
  const isDefault = `set default_transaction_isolation = 'repeatable read'`
  const FLUSH = message('H')
  type Parts = (put: number) => Buffer[][]

  test.for<[string, Parts]>([
    ['a function called by its number', (put) => [[query(begin)], [message('F', int32(put), none, none, none)]]],
    ['one of the server\'s own', () => [[query(begin)], [message('F', int32(715), none, one, int32(4), Buffer.from('4242'), none)]]],
    ['an insert in one text with the BEGIN after it', () => [[query(isDefault)], [query('insert into public.mine select n from public.source; begin')]]],
    ['an insert in one pipeline with the BEGIN after it', () => [[query(isDefault)], [...run(insert), ...run('begin'), SYNC]]],
    ['the same, asked to answer between', () => [[query(isDefault)], [...run(insert), FLUSH, ...run('begin'), SYNC]]],
    ['an insert after a comment that ends with a carriage return', () => [[query(begin)], [query(`-- ours\r${insert}`)]]],
    ['an insert by a name that could not be given again', () => [[parse('s', insert), SYNC], [parse('s', 'show timezone'), SYNC], [query(begin)], [bind('', 's', []), execute(''), SYNC]]],
    ['a function that explain runs', () => [[query(begin)], [query('explain select public.put_at_once()')]]],
  ])('%s', async ([, parts]) => {
    await using world = await contacts(3)
    const [id = ''] = idsOf(world)
    await world.db.query(`create table public.mine (id bigint); create table public.source as select 1 as n;
      create function public.put() returns void language sql as 'insert into public.mine values (1)';
      create function public.put_at_once() returns int language plpgsql immutable as 'begin perform public.put(); return 1; end'`)
    const [{ put } = { put: 0 }] = await world.db.query<{ put: number }>(`select 'public.put()'::regprocedure::oid::int as put`)
    await using wire = await openWire(urlOf(world))
    for (const part of parts(put)) {
      wire.send(...part)
      await wire.until('Z')
    }
    const was = await world.row<{ firstname: string }>('contacts', id)
    world.store.edit('contacts', id, { firstname: 'new' })
    wire.send(query(`select firstname from hubspot.contacts where id = ${id}`))
    const read = await wire.until('Z')
    expect(rowsOf(read)).toEqual([[was?.firstname]])
    expect(read.map(({ kind }) => kind).join('')).toBe('NTDCZ')
    wire.send(query('commit'))
    expect(errorOf(await wire.until('Z'))).toBeUndefined()
    const [done] = await world.db.query<{ n: number }>('select ((select count(*) from public.mine) + (select count(*) from pg_largeobject_metadata))::int as n')
    expect(done).toEqual({ n: 1 })
  })

  test('nor a cursor that it opened on something that is no query', async () => {
    await using world = await contacts(3)
    await using wire = await openWire(urlOf(world))
    wire.send(query(begin), parse('', 'show timezone'), bind('c', '', []), SYNC, query('select count(*) from hubspot.contacts'), execute('c'), SYNC)
    expect([await wire.answers(), await wire.answers(), await wire.answers(), await wire.answers()]).toEqual(['CZT', '12ZT', 'NTDCZT', 'DCZT'])
  })
})

describe('the transaction after one that was told of its snapshot', () => {
  const begin = 'begin isolation level repeatable read'
  test.for<[string, string[], boolean]>([
    ['begun in one text with the COMMIT', [`commit; ${begin}`], true],
    ['begun in one text with the ROLLBACK of a failed one', ['select 1/0', `rollback; ${begin}`], true],
    ['begun in one text with the COMMIT, after something else', [`select 1; commit; ${begin}`], true],
    ['begun where the text cannot be cut', [`select ';'; commit; ${begin}`], false],
    ['chained to a failed one', ['select 1/0', 'rollback and chain'], false],
    ['chained to one that is chained to a failed one', ['select 1/0', 'rollback and chain', 'commit and chain'], true],
  ])('is fresh, or told of its own: %s', async ([, ends, isFresh]) => {
    await using world = await contacts(3)
    const [id = ''] = idsOf(world)
    const client = await world.direct()
    const notices = noticesOf(client)
    const read = async (name: string) => {
      world.store.edit('contacts', id, { firstname: name })
      return (await client.query(`select firstname from hubspot.contacts where id = ${id}`)).rows as unknown[]
    }
    await client.query(begin)
    expect(await read('first')).toEqual([{ firstname: 'first' }])
    expect(await read('second')).toEqual([{ firstname: 'first' }])
    expect(notices.splice(0)).toEqual([OLD])
    for (const text of ends) await client.query(text).catch(() => undefined)
    expect(await read('third')).toEqual([{ firstname: isFresh ? 'third' : 'first' }])
    expect(notices.splice(0)).toEqual(isFresh ? [] : [OLD])
    await read('fourth')
    expect(notices).toEqual(isFresh ? [OLD] : [])
  })

  test('keeps a snapshot that it was given, whichever way that is said', async () => {
    await using world = await contacts(3)
    const [id = ''] = idsOf(world)
    const [client, holder] = [await world.direct(), await world.direct()]
    const notices = noticesOf(client)
    await holder.query(begin)
    const [{ given } = { given: '' }] = (await holder.query<{ given: string }>('select pg_export_snapshot() as given')).rows
    const was = await world.row<{ firstname: string }>('contacts', id)
    for (const set of ['set transaction snapshot', 'set /* x */ transaction snapshot', 'set transaction -- x\n snapshot']) {
      await client.query(begin)
      await client.query(`${set} '${given}'`)
      world.store.edit('contacts', id, { firstname: set.slice(0, 20) })
      expect((await client.query(`select firstname from hubspot.contacts where id = ${id}`)).rows).toEqual([{ firstname: was?.firstname }])
      expect(notices.splice(0)).toEqual([OLD])
      await client.query('rollback')
    }
  })
})
