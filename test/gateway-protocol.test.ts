import fc from 'fast-check'
import { expect, test } from 'vitest'
import { authenticationSasl, bind, close, errorResponse, execute, message, noticeResponse, parse, parseWith, query, readBind, readError, readMechanisms, readParse, readQuery, readRow, readTarget, SYNC, text } from '../src/gateway/wire/messages.ts'
import { Framer, Scanner, Violation } from '../src/gateway/wire/protocol.ts'
import { cancelPacket, isReplication, markLive, readStartup, startupPacket, utf8 } from '../src/gateway/wire/startup.ts'
import { isCommit, shown } from '../src/gateway/session/statements.ts'

const SENT = [query('select 1'), parse('a', 'select $1'), bind('', 'a', ['x', null]), execute(''), close('S', 'a'), SYNC, message('d', Buffer.alloc(300, 7)), message('c')]
const stream = Buffer.concat(SENT)

/** The same bytes, cut at these places. */
const cutAt = (bytes: Buffer, places: readonly number[]) => {
  const sorted = [0, ...places.map((place) => place % (bytes.length + 1)).toSorted((a, b) => a - b), bytes.length]
  return sorted.slice(1).map((place, at) => bytes.subarray(sorted[at], place))
}

test('a client\'s messages are the same wherever their bytes are cut', () => {
  for (let place = 0; place <= stream.length; place += 1) {
    const framer = new Framer(1_000)
    expect(cutAt(stream, [place]).flatMap((chunk) => framer.push(chunk)).map(({ bytes }) => bytes)).toEqual(SENT)
  }
  const framer = new Framer(1_000)
  expect([...stream].flatMap((byte) => framer.push(Buffer.from([byte]))).map(({ bytes }) => bytes)).toEqual(SENT)
})

test('a length above the limit, one that is none and a letter that no client sends are refused before anything is held', () => {
  expect(() => new Framer(100).push(Buffer.from([0x51, 0x7f, 0xff, 0xff, 0xff]))).toThrow(Violation)
  expect(() => new Framer(100).push(Buffer.from([0x51, 0, 0, 0, 3]))).toThrow(Violation)
  expect(() => new Framer(100).push(Buffer.from([0x51, 0xff, 0xff, 0xff, 0xff]))).toThrow(Violation)
  expect(() => new Framer(100).push(Buffer.from('z'))).toThrow(Violation)
  expect(new Framer(SYNC.length).push(SYNC)).toHaveLength(1)
})

const anyChunks = fc.array(fc.uint8Array({ maxLength: 60 }), { maxLength: 20 })

test('whatever bytes come, a framer gives messages of them in order, or a violation', () => {
  fc.assert(fc.property(anyChunks, (chunks) => {
    const framer = new Framer(64)
    const got: Buffer[] = []
    try {
      for (const chunk of chunks) got.push(...framer.push(Buffer.from(chunk)).map(({ bytes }) => bytes))
    } catch (error) {
      expect(error).toBeInstanceOf(Violation)
    }
    expect(Buffer.concat(chunks).subarray(0, Buffer.concat(got).length)).toEqual(Buffer.concat(got))
  }))
})

test('reading any body comes to its fields or to a violation', () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 40 }), fc.constantFrom(readQuery, readParse, readBind, readTarget, readRow, readError), (body, read) => {
    try {
      read(message('x', Buffer.from(body)), 'utf8')
    } catch (error) {
      expect(error).toBeInstanceOf(Violation)
    }
  }), { numRuns: 1_000 })
})

test('what a server sends goes on byte for byte wherever it is cut, and what is wanted is seen whole', () => {
  const answers = [message('T', Buffer.alloc(40, 1)), message('D', Buffer.alloc(200, 2)), message('1'), message('Z', Buffer.from('I')), message('E', Buffer.from('SERROR\0\0'))]
  const bytes = Buffer.concat(answers)
  fc.assert(fc.property(fc.array(fc.nat(), { maxLength: 8 }), fc.subarray(['T', 'D', '1', 'Z', 'E']), (places, wanted) => {
    const seen: string[] = []
    const scanner = new Scanner((kind) => wanted.includes(kind), ({ kind, bytes: whole }) => {
      expect(whole).toEqual(answers.find((answer) => answer[0] === kind.charCodeAt(0)))
      seen.push(kind)
      return 'pass'
    })
    expect(Buffer.concat(cutAt(bytes, places).flatMap((chunk) => scanner.push(chunk)))).toEqual(bytes)
    expect(seen).toEqual(['T', 'D', '1', 'Z', 'E'].filter((kind) => wanted.includes(kind)))
  }))
})

test('a message of the server\'s is dropped or replaced wherever it is cut', () => {
  const [row, own, ready] = [message('D', Buffer.alloc(20, 1)), message('E', Buffer.alloc(30, 2)), message('Z', Buffer.from('T'))]
  const bytes = Buffer.concat([row, own, ready, row])
  fc.assert(fc.property(fc.array(fc.nat(), { maxLength: 8 }), (places) => {
    const scanner = new Scanner((kind) => 'EZ'.includes(kind), ({ kind }) => (kind === 'E' ? Buffer.from('instead') : 'drop'))
    expect(Buffer.concat(cutAt(bytes, places).flatMap((chunk) => scanner.push(chunk)))).toEqual(Buffer.concat([row, Buffer.from('instead'), row]))
  }))
})

test('a Bind says its parameters with one format each', () => {
  expect(readBind(bind('p', 's', ['ä', null, '']), 'utf8')).toEqual({ statement: 's', params: [Buffer.from('ä'), null, Buffer.alloc(0)], formats: [0, 0, 0] })
  // One format for all of three.
  const one = message('B', text(''), text('s'), Buffer.from([0, 1, 0, 1]), Buffer.from([0, 2]), Buffer.from([0, 0, 0, 1, 9]), Buffer.from([255, 255, 255, 255]), Buffer.from([0, 0]))
  expect(readBind(one, 'utf8')).toEqual({ statement: 's', params: [Buffer.from([9]), null], formats: [1, 1] })
})

test('another text in a Parse leaves name and types as they are', () => {
  const types = Buffer.from([0, 1, 0, 0, 0, 20])
  expect(parseWith(parse('näme', 'select 1', 'utf8', types), 'select 2', 'utf8')).toEqual(parse('näme', 'select 2', 'utf8', types))
})

test('errors and notices say their fields, in ASCII where the client\'s encoding is another than UTF-8', () => {
  const error = { code: 'SH019', message: 'nö\0', detail: 'd', hint: 'h' }
  expect(readError(errorResponse('ERROR', error), 'utf8')).toEqual({ severity: 'ERROR', ...error, message: 'nö' })
  expect(readError(errorResponse('FATAL', { code: '08P01', message: 'nö' }, 'latin1'), 'latin1')).toEqual({ severity: 'FATAL', code: '08P01', message: 'n?' })
  expect(readError(noticeResponse({ severity: 'WARNING', code: '01000', message: 'old' }), 'utf8')).toEqual({ severity: 'WARNING', code: '01000', message: 'old' })
  expect(readMechanisms(authenticationSasl(['SCRAM-SHA-256', 'X']))).toEqual(['SCRAM-SHA-256', 'X'])
})

test('any start-up packet is read or unfit, and one of version 3 is written as it was read', () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 80 }), (body) => {
    expect(readStartup(Buffer.from(body)).kind).toBeTypeOf('string')
  }))
  const name = fc.string({ minLength: 1, maxLength: 9, unit: 'binary' }).map((value) => Buffer.from(value.replaceAll('\0', '.')).toString('latin1'))
  fc.assert(fc.property(fc.array(fc.tuple(name, name)), fc.constantFrom(196_608, 196_610), (pairs, version) => {
    const params = new Map(pairs)
    const packet = startupPacket(version, params)
    expect(packet.readInt32BE(0)).toBe(packet.length)
    expect(readStartup(packet.subarray(4))).toEqual({ kind: 'session', version, params })
  }))
  const params = readStartup(startupPacket(196_608, new Map([['user', Buffer.from('jürgen').toString('latin1')]])).subarray(4))
  expect(params.kind === 'session' && utf8(params.params.get('user')!)).toBe('jürgen')
})

test('keys of cancel requests are of any length', () => {
  for (const length of [4, 32, 256]) {
    const key = Buffer.alloc(length, 5)
    expect(readStartup(cancelPacket(77, key).subarray(4))).toEqual({ kind: 'cancel', pid: 77, key })
  }
  expect(readStartup(cancelPacket(77, Buffer.alloc(0)).subarray(4))).toEqual({ kind: 'unfit' })
})

test('the mark of a live session stands over a client\'s own', () => {
  const marked = markLive(new Map([['user', 'a'], ['options', '-c lock_timeout=9s -c hubspot.live=off'], ['hubspot.live', 'off']]))
  expect(marked).toEqual(new Map([['user', 'a'], ['options', '-c lock_timeout=9s -c hubspot.live=off -c hubspot.live=on']]))
  expect(['database', 'on', 'true', '1', 'yes', 'off', 'false', '0', 'no'].map((value) => isReplication(new Map([['replication', value]])))).toEqual([true, true, true, true, true, false, false, false, false])
})

test('a COMMIT is known by its text, and values do not show in the log', () => {
  expect(['commit', 'COMMIT TRANSACTION', ' end ;', '/* a */ -- b\n commit work', 'commit and no chain'].every(isCommit)).toBe(true)
  expect(['commit prepared \'a\'', 'commit; select 1', 'rollback', '/* commit */ select 1', 'ending'].some(isCommit)).toBe(false)
  expect(shown("select 'it''s' , $$a 'b' c$$, $x$ d $x$, n where e = 'f")).toBe("select '…' , '…', '…', n where e = '…'")
  expect(shown("alter role x password E'a\\'secret'")).toBe("alter role x password E'…'")
  expect(shown("select 1 -- it's\n, 'secret' /* 'a' /* b */ its */, \"it's\", 'secret', a$b, c$b")).toBe("select 1 /*…*/\n, '…' /*…*/, \"it's\", '…', a$b, c$b")
  expect(shown("select 'a'\n'secret', U&'d\\0061t\\+000061', e'\\\\', 'secret'")).toBe("select '…', U&'…', e'…', '…'")
  expect(shown("select 'a\\'secret'", true)).toBe("select '…'")
  expect(shown(`select '${'x'.repeat(2_000)}'`)).toBe("select '…'")
})
