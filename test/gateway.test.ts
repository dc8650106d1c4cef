import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { Refusal } from '../src/gateway/live.ts'
import { bind, close, execute, message, parse, query, SYNC, text } from '../src/gateway/wire/messages.ts'
import { type Gate, openGate } from './support/gateway.ts'
import { errorOf, openWire, rowsOf } from './support/wire.ts'

const FLUSH = message('H')
const describeStatement = (name: string) => message('D', Buffer.from('S'), text(name))
const describePortal = (name: string) => message('D', Buffer.from('P'), text(name))
const REFUSED = { code: 'SH203', message: 'HubSpot says nö', detail: 'HTTP 400', hint: 'Correct the value.' }

let gate: Gate
beforeAll(async () => {
  gate = await openGate('gateway')
  await gate.db.query('create table things (id bigint primary key, name text); insert into things select n, n::text from generate_series(1, 1000) n')
})
afterAll(() => gate[Symbol.asyncDispose]())
beforeEach(() => {
  gate.asked.length = 0
  gate.answer = () => ({ do: 'forward' })
})
const askedTexts = () => gate.asked.map(({ text: sql, params }) => [sql, params?.map(String)])

test('simple and extended queries, values and errors go through as they are, and Live is asked of each', async () => {
  const client = await gate.client()
  expect((await client.query('select name from things where id = 7')).rows).toEqual([{ name: '7' }])
  expect((await client.query('select name from things where id = $1', ['8'])).rows).toEqual([{ name: '8' }])
  await expect(client.query('select 1/0')).rejects.toMatchObject({ code: '22012' })
  await expect(client.query('selec')).rejects.toMatchObject({ code: '42601' })
  expect((await client.query('select 1 as a; select 2 as b')) as unknown).toMatchObject([{ rows: [{ a: 1 }] }, { rows: [{ b: 2 }] }])
  expect(askedTexts()).toEqual([
    ['select name from things where id = 7', undefined],
    ['select name from things where id = $1', ['8']],
    ['select 1/0', undefined],
    ['selec', undefined],
    ['select 1 as a; select 2 as b', undefined],
  ])
})

test('a statement prepared once is known by its name, one that SQL prepared as SQL would run it', async () => {
  const client = await gate.client()
  for (const id of ['1', '2']) expect((await client.query({ name: 'by id', text: 'select name from things where id = $1', values: [id] })).rows).toEqual([{ name: id }])
  await client.query('prepare "of sql" as select name from things where id = $1::bigint')
  await using wire = await openWire(gate.url)
  wire.send(query('prepare "a""b" as select $1::text'), bind('', 'a"b', ['x']), execute(''), SYNC)
  await wire.until('Z')
  expect(rowsOf(await wire.until('Z'))).toEqual([['x']])
  expect(askedTexts()).toEqual([
    ['select name from things where id = $1', ['1']],
    ['select name from things where id = $1', ['2']],
    ['prepare "of sql" as select name from things where id = $1::bigint', undefined],
    ['prepare "a""b" as select $1::text', undefined],
    ['execute "a""b"', ['x']],
  ])
})

test('a session has its mark, its own settings, and our limits where nobody set stricter ones', async () => {
  const limits = async (options?: string) => {
    const names = ['hubspot.live', 'lock_timeout', 'idle_session_timeout', 'idle_in_transaction_session_timeout']
    const { rows } = await (await gate.client({ options })).query<{ value: string }>('select current_setting(name) as value from unnest($1::text[]) name', [names])
    return rows.map(({ value }) => value)
  }
  expect(await limits()).toEqual(['on', '3s', '10min', '1h'])
  expect(await limits('-c lock_timeout=9s -c hubspot.live=off')).toEqual(['on', '9s', '10min', '1h'])
  expect(await limits('-c lock_timeout=0')).toEqual(['on', '0', '10min', '1h'])
  const stricter = { lock_timeout: '500ms', idle_in_transaction_session_timeout: '30s', idle_session_timeout: '2d' }
  for (const [name, value] of Object.entries(stricter)) await gate.db.query(`alter role current_user set ${name} = '${value}'`)
  expect(await limits()).toEqual(['on', '500ms', '10min', '30s'])
  await gate.db.query('alter role current_user reset all')
})

test('notifications reach a client that waits, and one that asks', async () => {
  const client = await gate.client()
  await client.query('listen news')
  const heard = new Promise((resolve) => client.once('notification', ({ payload }) => resolve(payload)))
  await gate.db.query(`notify news, 'now'`)
  expect(await heard).toBe('now')
})

test('Live is told which transaction a statement is of, however the one before ended', async () => {
  const told: [number, boolean][] = []
  gate.answer = (_, { transaction, isInTransaction }) => (told.push([transaction, isInTransaction]), { do: 'forward' })
  const client = await gate.client()
  for (const sql of ['begin', 'select 1', 'selec', 'rollback', 'select 2', 'begin', 'select 3', 'commit']) await client.query(sql).catch(() => undefined)
  const first = told[0]![0]
  // The rollback is not asked about.
  expect(told.map(([transaction, isIn]) => [transaction - first, isIn])).toEqual([[0, false], [0, true], [0, true], [1, false], [2, false], [2, true], [2, true]])
})

test('what is sent ahead is done in order, each after the one before', async () => {
  await using wire = await openWire(gate.url)
  const part = (sql: string) => [parse('', sql), bind('', '', []), execute(''), SYNC]
  wire.send(query('create temporary table t (n int)'), ...part('insert into t values (1)'), ...part('select 1/0'), ...part('select n from t'), query('select 2'))
  expect([await wire.answers(), await wire.answers(), await wire.answers(), await wire.answers(), await wire.answers()]).toEqual(['CZI', '12CZI', '1EZI', '12DCZI', 'TDCZI'])
})

describe('a statement that Live', () => {
  test('gives another text goes on with that one', async () => {
    gate.answer = ({ text: sql }) => ({ do: 'forward', text: sql.replace('repeatable read', 'read committed').replace('ex', 'ä') })
    const client = await gate.client()
    await client.query('begin isolation level repeatable read')
    expect((await client.query('show transaction_isolation')).rows).toEqual([{ transaction_isolation: 'read committed' }])
    expect((await client.query(`select 'x' as ex, $1::text as p`, ['p'])).rows).toEqual([{ ä: 'x', p: 'p' }])
    // In another encoding byte for byte, whatever the bytes mean.
    const text1 = Buffer.from(`select length('äö'), 'x'`)
    await using wire = await openWire(gate.url)
    wire.send(query(`set client_encoding = 'LATIN1'`))
    await wire.until('Z')
    wire.send(message('Q', text1, Buffer.alloc(1)))
    expect(rowsOf(await wire.until('Z'))).toEqual([['4', 'x']])
  })

  test('refuses gets its error, and leaves the session as it was', async () => {
    gate.answer = ({ text: sql }) => (sql.includes('things') ? { do: 'refuse', error: REFUSED } : { do: 'forward' })
    const client = await gate.client()
    await expect(client.query('update things set name = null')).rejects.toMatchObject({ ...REFUSED, severity: 'ERROR' })
    await expect(client.query('update things set name = $1', ['x'])).rejects.toMatchObject(REFUSED)
    expect((await client.query('select 1 as one')).rows).toEqual([{ one: 1 }])
  })

  test('refuses aborts the transaction, as the server says itself', async () => {
    gate.answer = ({ text: sql }) => (sql.includes('things') ? { do: 'refuse', error: REFUSED } : { do: 'forward' })
    const client = await gate.client()
    for (const values of [undefined, ['x']]) {
      await client.query('begin')
      await expect(client.query(`select name from things where ${values === undefined ? 'true' : 'name = $1'}`, values)).rejects.toMatchObject(REFUSED)
      await expect(client.query('select 1')).rejects.toMatchObject({ code: '25P02' })
      expect((await client.query('rollback')).command).toBe('ROLLBACK')
    }
    await client.query('begin; savepoint s')
    await expect(client.query('table things')).rejects.toMatchObject(REFUSED)
    await client.query('rollback to savepoint s')
    expect((await client.query('select 1 as one')).rows).toEqual([{ one: 1 }])
    await client.query('commit')
  })

  test('refuses in a pipeline undoes what came before it there, and what comes after is not run', async () => {
    gate.answer = ({ text: sql }) => (sql.includes('things') ? { do: 'refuse', error: REFUSED } : { do: 'forward' })
    await gate.db.query('create table written (n int)')
    await using wire = await openWire(gate.url)
    const run = (sql: string) => [parse('', sql), bind('', '', []), execute('')]
    wire.send(...run('insert into written values (1)'), ...run('table things'), ...run('insert into written values (2)'), SYNC, query('table written'))
    const messages = await wire.until('Z')
    expect(errorOf(messages)).toMatchObject(REFUSED)
    expect(messages.map(({ kind }) => kind).join('')).toBe('12C1EZ')
    expect(rowsOf(await wire.until('Z'))).toEqual([])
  })

  test('fails over gets what went wrong: an error of ours, of the database, or a fault', async () => {
    const client = await gate.client()
    gate.answer = () => Promise.reject(new Refusal(REFUSED))
    await expect(client.query('select 1')).rejects.toMatchObject(REFUSED)
    gate.answer = async () => (await gate.db.query('select 1/0'), { do: 'forward' })
    await expect(client.query('select 1')).rejects.toMatchObject({ code: '22012', message: 'division by zero' })
    gate.answer = () => {
      throw new TypeError('not so')
    }
    await expect(client.query('select 1')).rejects.toMatchObject({ code: 'SH901', message: 'not so' })
    expect(gate.lines.at(-1)).toContain('not so')
  })

  test('has something to say of tells the client so', async () => {
    gate.answer = () => ({ do: 'forward', notices: [{ severity: 'WARNING', code: '01000', message: 'as of 5 minutes ago', hint: 'Try later.' }] })
    const client = await gate.client()
    const heard = new Promise((resolve) => client.once('notice', resolve))
    await client.query('select 1')
    expect(await heard).toMatchObject({ severity: 'WARNING', message: 'as of 5 minutes ago', hint: 'Try later.' })
  })

  test('would be asked of in a failed transaction is not', async () => {
    const client = await gate.client()
    await client.query('begin')
    await client.query('select 1/0').catch(() => undefined)
    gate.asked.length = 0
    await client.query('select 1').catch(() => undefined)
    await client.query('rollback')
    expect(gate.asked).toEqual([])
  })
})

describe('what is injected', () => {
  test('runs in the client\'s transaction with its rights, and shows in nothing that the client sees', async () => {
    const client = await gate.client()
    await client.query('begin; create temporary table mine as select 1 as n')
    gate.answer = async (_, { inject }) => {
      const [row] = await inject('select n, null, $1::text || current_user from mine', ['I am '])
      return { do: 'refuse', error: { ...REFUSED, message: JSON.stringify(row) } }
    }
    const user = new URL(gate.url).username
    await expect(client.query('select 1')).rejects.toMatchObject({ message: JSON.stringify(['1', null, `I am ${user}`]) })
    gate.answer = async (_, { inject }) => (await Promise.all([inject('select 1'), inject(`set hubspot.max_age = '5s'`), inject('listen twice')]), { do: 'forward' })
    await client.query('rollback')
    expect((await client.query('show hubspot.max_age')).rows).toEqual([{ 'hubspot.max_age': '5s' }])
  })

  test('that fails aborts the client\'s transaction, and works again afterwards', async () => {
    const client = await gate.client()
    await client.query('begin')
    gate.answer = async (_, { inject }) => (await inject('select 1/0'), { do: 'forward' })
    await expect(client.query('select 1')).rejects.toMatchObject({ code: '22012' })
    await expect(client.query('select 1')).rejects.toMatchObject({ code: '25P02' })
    await client.query('rollback')
    gate.answer = async (_, { inject }) => (await inject('selec').catch(() => undefined), await inject('select 1'), { do: 'forward' })
    expect((await client.query('select 2 as two')).rows).toEqual([{ two: 2 }])
  })

  test('leaves the client\'s unnamed statement, described in one breath and run in the next, alone', async () => {
    gate.answer = async (_, { inject }) => (await inject('select 1'), { do: 'forward' })
    await using wire = await openWire(gate.url)
    for (const end of [SYNC, FLUSH]) {
      wire.send(parse('', 'select $1::text'), describeStatement(''), end)
      expect((await wire.until(end === SYNC ? 'Z' : 'T')).map(({ kind }) => kind).join('')).toBe(end === SYNC ? '1tTZ' : '1tT')
      wire.send(bind('', '', ['x']), execute(''), SYNC)
      const messages = await wire.until('Z')
      expect(messages.map(({ kind }) => kind).join('')).toBe('2DCZ')
      expect(rowsOf(messages)).toEqual([['x']])
    }
  })

  test('is injected before a cursor\'s portal is bound, which is then read on with Flush', async () => {
    gate.answer = async (_, { inject }) => (await inject('select 1'), { do: 'forward' })
    await using wire = await openWire(gate.url)
    const some = message('E', text('c'), Buffer.from([0, 0, 0, 2]))
    wire.send(parse('', 'select generate_series(1, 3)'), bind('c', '', []), describePortal('c'), FLUSH)
    await wire.until('T')
    wire.send(some, FLUSH)
    expect(rowsOf(await wire.until('s'))).toEqual([['1'], ['2']])
    wire.send(some, FLUSH)
    expect(rowsOf(await wire.until('C'))).toEqual([['3']])
    wire.send(SYNC)
    expect(await wire.answers()).toBe('ZI')
    expect(gate.asked).toHaveLength(1)
  })

  test('between a Flush and its Sync is refused, and the batch with it', async () => {
    gate.answer = async ({ text: sql }, { inject }) => (sql.includes('things') && (await inject('select 1')), { do: 'forward' })
    await using wire = await openWire(gate.url)
    wire.send(parse('', 'select 1'), bind('', '', []), execute(''), FLUSH)
    await wire.until('C')
    wire.send(parse('', 'table things'), bind('', '', []), execute(''), SYNC)
    const messages = await wire.until('Z')
    expect(errorOf(messages)).toMatchObject({ code: '0A000' })
    wire.send(query('select 1'))
    expect(await wire.answers()).toBe('TDCZI')
  })

  test('after an error in what was only parsed, the server\'s silence up to Sync is kept', async () => {
    await using wire = await openWire(gate.url)
    wire.send(parse('', 'selec'), FLUSH, parse('', 'select 1'), bind('', '', []), execute(''), FLUSH, query('select 2'), SYNC, query('select 3'))
    expect(await wire.answers()).toBe('EZI')
    expect(rowsOf(await wire.until('Z'))).toEqual([['3']])
    expect(gate.asked.map(({ text: sql }) => sql)).toEqual(['select 3'])
  })
})

describe('a Query, or a function called by its number, with no Sync before it', () => {
  const run = (sql: string) => [parse('', sql), bind('', '', []), execute('')]
  const call = message('F', Buffer.from([0, 0, 2, 203]), Buffer.alloc(2), Buffer.alloc(2), Buffer.alloc(2))
  const failing = parse('', 'selec')
  const sent: Buffer[][] = [
    [failing, query('select 1'), SYNC],
    [failing, FLUSH, query('select 1'), SYNC],
    [failing, query('select 1'), query('select 2'), ...run('select 3'), SYNC],
    [failing, call, FLUSH, SYNC],
    [...run('select 1'), query('select 2'), SYNC],
    [...run('select 1'), FLUSH, query('select 1/0'), SYNC],
    [...run('select 1/0'), query('select 2'), SYNC],
    [...run('select 1'), close('S', ''), close('P', ''), query('select 1/0'), SYNC],
    [query('begin'), ...run('select 1/0'), query('rollback'), SYNC, query('rollback')],
    [parse('s', 'select 1'), query('select 2'), bind('', 's', []), execute(''), SYNC],
  ]

  test('is answered as the server does', async () => {
    const answersOf = async (url: string) => {
      const all: string[] = []
      for (const part of sent) {
        await using wire = await openWire(url)
        // Twice: after such a Query some servers fail at what is next.
        wire.send(...part, query(`select 'the end'`), query(`select 'the end'`))
        let said = ''
        for (;;) {
          const messages = await wire.until('Z')
          if (rowsOf(messages)[0]?.[0] === 'the end') break
          said += `${messages.map(({ kind }) => kind).join('')} `
        }
        all.push(said)
      }
      return all
    }
    expect(await answersOf(gate.url)).toEqual(await answersOf(gate.db.url))
  })

  test('is passed over after a statement that Live refuses', async () => {
    gate.answer = ({ text: sql }) => (sql.includes('things') ? { do: 'refuse', error: REFUSED } : { do: 'forward' })
    await using wire = await openWire(gate.url)
    wire.send(...run('table things'), query('select 1'), SYNC, query('select 2'))
    expect(errorOf(await wire.until('Z'))).toMatchObject(REFUSED)
    expect(rowsOf(await wire.until('Z'))).toEqual([['2']])
  })
})
