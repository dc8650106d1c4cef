import { Worker } from 'node:worker_threads'
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest'
import { Parser } from '../src/gateway/query/parser.ts'
import { Turns } from '../src/gateway/query/turns.ts'
import { createLog } from '../src/lib/log.ts'

const lines: string[] = []
let parser: Parser
beforeAll(() => {
  parser = new Parser(createLog({ level: 'debug', pretty: false, write: (line) => lines.push(line) }))
})
afterAll(() => parser.end())

const alive = async () => expect(await parser.acts(`select * from hubspot.deals where id = ${Math.random()}`)).toHaveLength(1)

/** The longest that this process did nothing else while something was asked; ms. */
async function stall(ask: () => Promise<unknown>): Promise<number> {
  let longest = 0
  let last = performance.now()
  const look = () => {
    const now = performance.now()
    longest = Math.max(longest, now - last)
    last = now
  }
  const clock = setInterval(look, 5)
  await ask()
  look()
  clearInterval(clock)
  return longest
}

describe('a text that Postgres\' parser', () => {
  test('nests deeper than it can is of no use, every time, and those after it are read as ever', async () => {
    for (let i = 0; i < 3; i += 1) {
      expect(await parser.acts(`select ${i}${'+1'.repeat(30_000)}`)).toBe('too complex')
      await alive()
    }
    expect(lines.filter((line) => line.includes('a text could not be looked into'))).toHaveLength(3)
  })

  test('does not read is left to the server, a thousand times', async () => {
    for (let i = 0; i < 1_000; i += 1) expect(await parser.acts(`select ${'1,'.repeat(200)} from from ${i}`)).toBe('unreadable')
    expect(await parser.acts(`select ${'('.repeat(20_000)}1${')'.repeat(20_000)}`)).toBe('unreadable')
    await alive()
  })

  test('would take long at does not keep this process from anything else', async () => {
    const long = `select $$'$$, ${'1,'.repeat(1_500_000)} $$'$$ from hubspot.deals`
    await alive()
    expect(await stall(async () => expect(await parser.acts(long)).toBe('too complex'))).toBeLessThan(500)
    expect(await stall(() => parser.acts(`insert into mine values ${'(1, 2, 3),'.repeat(9_000)} (1, 2, 3)`))).toBeLessThan(500)
    await alive()
  })
})

test('many at once are each answered, those too that come while one fails', async () => {
  const asked = Array.from({ length: 50 }, (_, i) => parser.acts(i % 20 === 3 ? `select ${i}${'*1'.repeat(30_000)}` : `select ${i} from hubspot.deals where id = ${i}`))
  const found = await Promise.all(asked)
  for (const [i, one] of found.entries()) {
    if (i % 20 === 3) expect(one).toBe('too complex')
    else expect(one).toMatchObject([{ touches: [{ relation: { name: 'deals' }, keys: new Map([['id', [[{ text: String(i) }]]]]) }] }])
  }
})

test.each([[1, 'is of no matter'], [2, 'again is of no matter the next time']])('a thread that ends %d times for whatever reason of its own %s', async (times) => {
  const post = vi.spyOn(Worker.prototype, 'postMessage')
  onTestFinished(() => post.mockRestore())
  for (let time = 0; time < times; time += 1) post.mockImplementationOnce(function end(this: Worker) {
    void this.terminate()
  })
  const text = `select ${times} from hubspot.deals`
  if (times > 1) expect(await parser.acts(text)).toBe('too complex')
  expect(await parser.acts(text)).toHaveLength(1)
  await alive()
})

describe('whoever asks', () => {
  const long = (n: number) => `select ${n}, ${"'x',".repeat(20_000)} 1`

  test('for what is long keeps nobody from what is short', async () => {
    await Promise.all([parser.acts(long(0)), alive()])
    const order: string[] = []
    const asked = [1, 2, 3].map((n) => parser.acts(long(n)).then(() => order.push('long')))
    await alive()
    order.push('short')
    await Promise.all(asked)
    expect(order[0]).toBe('short')
  })

  test('for much comes after whoever asks for little', async () => {
    const order: string[] = []
    const [much, little] = [{ spentMs: 0, at: 0 }, { spentMs: 0, at: 0 }]
    await parser.acts(long(10), much)
    expect(much.spentMs).toBeGreaterThan(0)
    const asked = [11, 12, 13].map((n) => parser.acts(long(n), much).then(() => order.push('much')))
    asked.push(parser.acts(long(14), little).then(() => order.push('little')))
    await Promise.all(asked)
    expect(order).toEqual(['much', 'little', 'much', 'much'])
  })

  test('waits no longer than so long, and not after he has gone', async () => {
    const turns = new Turns(20)
    const gone = new AbortController()
    const { promise, resolve } = Promise.withResolvers<void>()
    const by = () => ({ spentMs: 0, at: 0 })
    const first = turns.take(by(), () => promise)
    const left = turns.take({ ...by(), signal: gone.signal }, () => Promise.resolve())
    gone.abort(new Error('gone'))
    await expect(left).rejects.toThrow('gone')
    await expect(turns.take(by(), () => Promise.resolve())).rejects.toMatchObject({ error: { code: 'SH232' } })
    resolve()
    await first
    expect(await turns.take(by(), () => Promise.resolve('done'))).toBe('done')
  })
})

test('whatever becomes of it, this process ends as it would', async () => {
  await parser.acts(`select ${'1+'.repeat(30_000)}1`)
  expect(process.exitCode).toBeUndefined()
})

describe('texts that differ in their ids alone', () => {
  const keys = async (text: string) => {
    const found = await parser.acts(text)
    return typeof found === 'string' ? found : found.flatMap(({ touches }) => touches.map((touch) => [...touch.keys].map(([column, lists]) => [column, ...lists])))
  }
  const ofOne = (id: string) => [[['id', [{ text: id }]]]]

  test('are each read with their own', async () => {
    for (const id of ['7', '123456789012345678', '8']) {
      expect(await keys(`DECLARE c1 CURSOR FOR\nSELECT id, name FROM hubspot.deals WHERE ((id = ${id}::bigint))`)).toEqual(ofOne(id))
      expect(await keys(`select * from (select * from hubspot.deals where (id = ${id})) d`)).toEqual(ofOne(id))
    }
    expect(await keys('select * from hubspot.deals d where ((d.id = 1)) and ((d.amount = 2)) and (d.id = 3::bigint)'))
      .toEqual([[['id', [{ text: '1' }], [{ text: '3' }]], ['amount', [{ text: '2' }]]]])
  })

  test('and those that only look so', async () => {
    // A literal, a name, a comment, a parameter; a number that another type makes another; where no parameter may stand.
    expect(await keys(`select 'x = 5)' from hubspot.deals where (id = 6)`)).toEqual(ofOne('6'))
    expect(await keys('select "a = 5)" from hubspot.deals where (id = 6)')).toEqual(ofOne('6'))
    expect(await keys('select 1 /* = 5) */ from hubspot.deals where (id = 6)')).toEqual(ofOne('6'))
    expect(await keys('select * from hubspot.deals where (id = $1) and (id = 5)')).toEqual([[['id', [{ param: 1, isArray: false }], [{ text: '5' }]]]])
    expect(await keys('select * from hubspot.deals where (id = 5)::boolean')).toEqual(await keys('select * from hubspot.deals where (id = 5)::boolean /**/'))
    expect(await keys('select * from hubspot.deals where (id = 5.5)')).toEqual(await keys('select * from hubspot.deals where (id = 5.5) /**/'))
    expect(await keys('prepare p as select * from hubspot.deals where (id = 5)')).toEqual([])
    expect(await keys('select * from hubspot.deals where (id = 12345678901234567890)')).toEqual(ofOne('12345678901234567890'))
    expect(await keys('select from from hubspot.deals where (id = 5)')).toBe('unreadable')
  })
})
