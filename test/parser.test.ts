import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Parser } from '../src/gateway/query/parser.ts'
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

test('whatever becomes of it, this process ends as it would', async () => {
  await parser.acts(`select ${'1+'.repeat(30_000)}1`)
  expect(process.exitCode).toBeUndefined()
})
