import { beforeAll, describe, expect, test } from 'vitest'
import { type LiveSession, Refusal, type Statement } from '../src/gateway/live.ts'
import { wantedOf, type Wanted } from '../src/gateway/query/order.ts'
import { acts, loadParser } from '../src/gateway/query.ts'
import { shown } from './support/touched.ts'

beforeAll(loadParser)

const session = (): LiveSession => ({
  id: '', user: '', database: '', inject: async () => [], transaction: 0, isInTransaction: false, unasked: 0, hasFailed: false, version: 18,
  signal: new AbortController().signal, state: new Map(),
})
const look = async (text: string) => acts(text) ?? 'unreadable'
const ask = async (text: string, more: Partial<Statement> = {}) => (await wantedOf({ text, params: undefined, ...more }, session(), look)) ?? []
const ids = (n: number) => Array.from({ length: n }, (_, i) => i).join()
/** The code that a text is refused with; else undefined. */
const codeOf = (text: string) => ask(text).then(() => undefined, (error: unknown) => (error instanceof Refusal ? error.error.code : error))
const sizeOf = (wanted: readonly Wanted[]) => wanted.reduce((sum, { touches }) => sum + touches.length, 0)
const lastOf = (wanted: readonly Wanted[]) => [...new Set(shown(wanted.at(-1)!.touches, []))].toSorted()

describe('views of one text', () => {
  const doubled = (n: number) => `create view v0 as select from hubspot.deals; ${Array.from({ length: n }, (_, i) => `create view v${i + 1} as select from v${i} a, v${i} b;`).join('')} select from v${n}`

  test('over each other are each looked through once, however often they are named', async () => {
    expect(lastOf(await ask(doubled(3)))).toEqual(['?.v0 *', '?.v1 *', '?.v2 *', '?.v3 *', 'deals *'])
    const sizes = await Promise.all([200, 400, 800].map(async (n) => sizeOf(await ask(doubled(n)))))
    expect(sizes[2]! - sizes[1]!).toBe(2 * (sizes[1]! - sizes[0]!))
  })

  test('that are too much to be looked through again and again are refused, and those that are not are not', async () => {
    const names = (n: number) => Array.from({ length: n }, (_, i) => `t${i}`).join()
    const many = (read: string, n: number) => `${read}; ${'table v;'.repeat(n)}`
    expect(sizeOf(await ask(many(`create view v as select from ${names(100)}`, 100)))).toBe(100 * 101)
    expect(sizeOf(await ask(many(`create view v as select from ${'t,'.repeat(5_000)}t`, 5_000)))).toBe(5_000 * 2)
    expect(await codeOf(many(`create view v as select from ${names(5_000)}`, 5_000))).toBe('54001')
  })

  test('are read by id where they are defined by one, and those that are so too often are refused', async () => {
    const view = (n: number) => `create view v as select from hubspot.deals where id in (${ids(n)}); ${'table v;'.repeat(1_000)}`
    expect(lastOf(await ask(view(3)))).toEqual(['?.v *', 'deals id=0,1,2'])
    expect(await codeOf(view(3_000))).toBe('54001')
  })

  test('of one name in two schemas are both read, and one that reads itself once', async () => {
    expect(lastOf(await ask('create view a.v as select from hubspot.deals; create view b.v as select 1; select from a.v'))).toEqual(['a.v *', 'deals *'])
    expect(lastOf(await ask('create recursive view v (n) as select 1 union all select n from v, hubspot.deals; select from v'))).toEqual(['?.v *', 'deals *'])
    expect(lastOf(await ask('create view v as select from w; create view w as select from v, hubspot.deals; select from v'))).toEqual(['?.v *', '?.w *', 'deals *'])
  })
})

describe('a statement prepared in one text', () => {
  test('that is too much to be executed again and again is refused, and one that is not is not', async () => {
    const many = (read: string, n: number) => `prepare p as ${read}; ${'execute p;'.repeat(n)}`
    expect(sizeOf(await ask(many('select from hubspot.deals where id = 7', 5_000)))).toBe(5_000)
    expect(await codeOf(many(`select from hubspot.deals where id in (${ids(10_000)})`, 4_000))).toBe('54001')
    expect(await codeOf(many(`select from ${'t,'.repeat(20_000)}t`, 4_000))).toBe('54001')
  })
})

test('what names too many relations is refused, and one relation may be named as often as fits into a text', async () => {
  const names = (n: number) => Array.from({ length: n }, (_, i) => `a${i}`).join()
  expect(sizeOf(await ask(`select from ${names(1_000)}`))).toBe(1_000)
  expect(await codeOf(`select from ${names(1_001)}`)).toBe('54001')
  expect(await codeOf(Array.from({ length: 1_001 }, (_, i) => `delete from a${i}`).join(';'))).toBe('54001')
  expect(sizeOf(await ask(`select from ${'a,'.repeat(30_000)}a`))).toBe(30_001)
})
