import { execFile } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { bind, execute, message, parse, query, SYNC, text } from '../src/gateway/wire/messages.ts'
import { type Gate, NO_BACKENDS, openGate } from './support/gateway.ts'
import { errorOf, openWire, rowsOf } from './support/wire.ts'

const REFUSED = { code: 'SH203', message: 'HubSpot says nö', detail: 'HTTP 400', hint: 'Correct the value.' }

let gate: Gate
beforeAll(async () => {
  gate = await openGate('copy')
})
afterAll(() => gate[Symbol.asyncDispose]())
beforeEach(() => {
  gate.answer = () => ({ do: 'forward' })
})

describe('copying', () => {
  const data = (line: string) => message('d', Buffer.from(`${line}\n`))

  test('in, out and failing, by simple and extended queries', async () => {
    await using wire = await openWire(gate.url)
    wire.send(query('create temporary table copied (n int); copy copied from stdin'))
    expect((await wire.until('G')).map(({ kind }) => kind).join('')).toBe('CG')
    wire.send(data('1'), data('2'), message('c'), query('select 9'))
    expect(await wire.answers()).toBe('CZI')
    expect(await wire.answers()).toBe('TDCZI')
    // As libpq does: a Sync with the statement, which the server passes over, and one after the end.
    wire.send(parse('', 'copy copied from stdin'), bind('', '', []), execute(''), SYNC)
    await wire.until('G')
    wire.send(data('3'), message('c'), SYNC)
    expect(await wire.answers()).toBe('CZI')
    wire.send(query('copy copied from stdin'))
    await wire.until('G')
    wire.send(data('4'), message('f', text('no more')))
    expect(errorOf(await wire.until('Z'))).toMatchObject({ code: '57014' })
    wire.send(parse('', 'copy copied from stdin'), bind('', '', []), execute(''), SYNC)
    await wire.until('G')
    wire.send(data('x'), data('5'), message('c'), SYNC)
    expect(errorOf(await wire.until('Z'))).toMatchObject({ code: '22P02' })
    wire.send(query('copy copied to stdout'))
    expect((await wire.until('Z')).filter(({ kind }) => kind === 'd').map(({ bytes }) => bytes.toString('utf8', 5).trim())).toEqual(['1', '2', '3'])
  })

  test('what is sent along with its COPY, or after one that fails or is refused, as the server would', async () => {
    await gate.db.query('create table ahead (n int)')
    gate.answer = ({ text: sql }) => (sql.includes('refused') ? { do: 'refuse', error: REFUSED } : { do: 'forward' })
    const rows = [data('1'), data('2'), message('c')]
    const extended = [parse('', 'copy ahead from stdin'), bind('', '', []), execute('')]
    for (const url of [gate.db.url, gate.url]) {
      await using wire = await openWire(url)
      const said: string[] = []
      for (const parts of [
        [query('copy ahead from stdin'), ...rows], [...extended, ...rows, SYNC], [...extended, SYNC, ...rows, SYNC], [...extended, message('H'), ...rows, SYNC],
        [query('copy nothing from stdin'), ...rows], [query('copy ahead from stdin; copy ahead from stdin'), ...rows, ...rows],
        [parse('', 'copy nothing from stdin'), bind('', '', []), execute(''), ...rows, SYNC], [query('copy ahead from stdin'), data('x'), ...rows],
        [...extended, SYNC, data('x'), ...rows, SYNC], [...rows, query('select 1')],
      ]) {
        wire.send(...parts)
        said.push(await wire.answers())
      }
      expect(said).toEqual([
        'GCZI', '12GCZI', '12GCZI', '12GCZI', 'EZI', 'GCGCZI', '12EZI', 'GEZI', '12GEZI', 'TDCZI',
      ])
      if (url === gate.db.url) continue
      wire.send(query('copy refused from stdin'), ...rows, query('select 1'))
      expect(errorOf(await wire.until('Z'))).toMatchObject(REFUSED)
      expect(await wire.answers()).toBe('TDCZI')
    }
    expect(await gate.db.query('select count(*)::int as n from ahead')).toEqual([{ n: 24 }])
  })

  test('in by the extended protocol, which failed, passes over what comes up to the next Sync', async () => {
    await gate.db.query('create table failed (n int)')
    const begin = [parse('', 'copy failed from stdin'), bind('', '', []), execute(''), SYNC]
    const fail = message('f', text('no'))
    const said: string[][] = []
    for (const url of [gate.db.url, gate.url]) {
      const answers: string[] = []
      for (const isSlow of [false, true]) {
        for (const parts of [
          [...begin, fail, query('select 1')], [...begin, data('x'), query('select 1')], [...begin, data('x'), query('select 1'), message('c'), query('copy failed from stdin'), message('d')],
          [...begin, fail, ...begin.slice(0, 3), message('H'), query('select 1'), message('f', text('again'))],
        ]) {
          await using wire = await openWire(url)
          for (const part of parts) {
            wire.send(part)
            if (isSlow) await sleep(10)
          }
          wire.send(SYNC, query('select 1'))
          answers.push(`${await wire.answers()} ${await wire.answers()}`)
        }
      }
      said.push(answers)
    }
    expect(said[1]).toEqual(said[0])
    expect(said[0]).toEqual(Array.from({ length: 8 }, () => '12GEZI TDCZI'))
  })

  test('in by a simple query goes past Sync and Flush between, and fails at anything else', async () => {
    await gate.db.query('create table between (n int)')
    const [begin, flush, end] = [query('copy between from stdin'), message('H'), message('c')]
    /** The kinds of what is answered up to the row that is asked for last. */
    const said = async (url: string, parts: Buffer[], isSlow: boolean) => {
      await using wire = await openWire(url)
      for (const part of [...parts, query("select 'the last'")]) {
        wire.send(part)
        if (isSlow) await sleep(20)
      }
      const kinds: string[] = []
      const listen = async () => {
        for (;;) {
          const messages = await wire.until('Z')
          kinds.push(...messages.map(({ kind }) => kind))
          if (rowsOf(messages).some(([one]) => one === 'the last')) return kinds.join('')
        }
      }
      return await Promise.race([listen(), sleep(20_000, undefined, { ref: false }).then(() => `${kinds.join('')} and no more`)])
    }
    for (const [parts, answer] of [
      [[begin, SYNC, data('1'), end], 'GCZ'],
      [[begin, data('1'), flush, data('1'), end], 'GCZ'],
      [[begin, data('1'), SYNC, flush, data('1'), SYNC, end], 'GCZ'],
      [[begin, flush, message('f', text('no'))], 'GEZ'],
      // What comes after it failed is answered again.
      [[begin, SYNC, data('x'), SYNC, data('1'), end, SYNC], 'GEZZZ'],
      [[query('copy between from stdin; copy between from stdin; select 1'), data('1'), SYNC, end, flush, data('1'), end], 'GCGCTDCZ'],
      [[query('begin'), begin, SYNC, data('1'), end, query('rollback')], 'CZGCZCZ'],
    ] as const) {
      for (const isSlow of [false, true]) {
        const seen = await Promise.all([gate.db.url, gate.url].map((url) => said(url, [...parts], isSlow)))
        expect.soft(seen, String(Buffer.concat(parts))).toEqual([`${answer}TDCZ`, `${answer}TDCZ`])
      }
    }
    // There the server ends the session; here the client may go on.
    for (const stray of [query('select 1'), message('C', Buffer.from('S'), text('none'))]) {
      for (const isSlow of [false, true]) expect.soft(await said(gate.url, [begin, data('1'), stray, SYNC], isSlow)).toMatch(/^GEZ(TDCZZ|3Z)TDCZ$/)
    }
    expect(await gate.db.query('select count(*)::int as n from between')).toEqual([{ n: 28 }])
  })

  test('rows sent ahead, more than are held at once', async () => {
    await using wire = await openWire(gate.url)
    const rows = Buffer.concat(Array.from({ length: 1_000_000 }, () => data('1')))
    wire.send(query('create temporary table ahead_many (n int); copy ahead_many from stdin'), rows, message('c'))
    expect(await wire.answers()).toBe('CGCZI')
  })

  test('a hundred thousand rows, both ways', async () => {
    await using wire = await openWire(gate.url)
    wire.send(query('create temporary table many (n int, t text); copy many from stdin'))
    await wire.until('G')
    const lines = Array.from({ length: 1_000 }, (_, n) => `${n}\t${'x'.repeat(100)}\n`).join('')
    for (let part = 0; part < 100; part += 1) wire.send(message('d', Buffer.from(lines)))
    wire.send(message('c'))
    await wire.until('Z')
    wire.send(query('table many'))
    expect(rowsOf(await wire.until('Z'))).toHaveLength(100_000)
  })
})

const hasPsql = await promisify(execFile)('psql', ['--version']).then(() => true, () => false)

test.runIf(hasPsql)('psql copies both ways, describes, and reads by cursor', async () => {
  const commands = [
    'create temporary table copied (n int)', `\\copy copied from program 'seq 3'`, '\\copy copied to stdout', '\\set FETCH_COUNT 2', 'table copied', '\\d copied', 'begin', 'selec', 'rollback',
    'select 4', '\\copy copied from program \'echo x\'', 'select 5',
  ]
  const { stdout, stderr } = await promisify(execFile)('psql', ['-X', '-A', '-t', '-q', '-d', gate.url, ...commands.flatMap((command) => ['-c', command])])
  expect(stdout.trim().split('\n')).toEqual(['1', '2', '3', '1', '2', '3', 'n|integer|||', '4', '5'])
  expect(stderr).toMatch(/syntax error at or near "selec"[^]*invalid input syntax for type integer: "x"/)
})

describe('COMMIT', () => {
  test('is refused where Live says so, and then the transaction is over and nothing was written', async () => {
    await using own = await openGate('commit', { commit: async ({ inject }) => ({ do: 'refuse', error: { ...REFUSED, detail: `${(await inject('select count(*) from kept'))[0]![0]} rows` } }) })
    await own.db.query('create table kept (n int)')
    const client = await own.client()
    await client.query('begin; insert into kept values (1)')
    await expect(client.query('commit')).rejects.toMatchObject({ ...REFUSED, detail: '1 rows' })
    expect((await client.query('select count(*)::int as n from kept')).rows).toEqual([{ n: 0 }])
    await client.query('begin')
    await expect(client.query({ text: 'commit', values: [] })).rejects.toMatchObject({ ...REFUSED, detail: '0 rows' })
    await client.query('vacuum kept')
  })

  test('whose client goes away or cancels while Live is at it is done all the same', async () => {
    let [enter, leave] = [() => undefined as void, () => undefined as void]
    const entered = new Promise<void>((resolve) => (enter = resolve))
    const left = new Promise<void>((resolve) => (leave = resolve))
    await using own = await openGate('commit_gone', { commit: async ({ signal }) => {
      enter()
      await left
      return signal.aborted ? { do: 'refuse', error: REFUSED } : { do: 'forward' }
    } })
    await own.db.query('create table kept (n int)')
    const wire = await openWire(own.url)
    wire.send(query('begin; insert into kept values (1)'), query('commit'))
    await entered
    wire.send(message('X'))
    await wire[Symbol.asyncDispose]()
    leave()
    await own.until('exists (select from kept)')
    await own.until(NO_BACKENDS)
  })
})
