import { beforeAll, describe, expect, test, vi } from 'vitest'
import { type LiveSession, Refusal, type Statement } from '../src/gateway/live.ts'
import { MOST_PIPED, orderOf, type Wanted } from '../src/gateway/query/order.ts'
import { acts, loadParser } from '../src/gateway/query.ts'
import { shown } from './support/touched.ts'

beforeAll(loadParser)

const session = (): LiveSession => ({
  id: '', user: '', database: '', inject: async () => [], transaction: 0, isInTransaction: false, unasked: 0, hasFailed: false, version: 18,
  signal: new AbortController().signal, state: new Map(),
})
const look = async (text: string) => acts(text) ?? 'unreadable'
const ask = async (text: string) => await orderOf({ text, params: undefined }, session()).next({ text, params: undefined }, { session: session(), look })
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

describe('a part of many statements', () => {
  /** Comes with one after another, as a session does, and counts what is looked into. */
  async function pipe(texts: readonly string[], by = session(), more: Partial<Statement> = {}, each = () => 0) {
    const part: string[] = []
    const wanted: Wanted[][] = []
    let looked = 0
    for (const text of texts) {
      part.push(text)
      const statement = { text, params: undefined, part, ...more }
      wanted.push(await orderOf(statement, by).next(statement, { session: by, look: (one) => { looked += 1; each(); return look(one) } }))
    }
    return { wanted, looked }
  }
  const reads = (n: number) => Array.from({ length: n }, (_, i) => `select from t where id = ${i}`)

  test('has each looked into once', async () => {
    for (const n of [100, 2_000]) expect(await pipe(reads(n))).toMatchObject({ looked: n, wanted: { length: n } })
  })

  test('lets others have their turn meanwhile, and ends when its client is gone', async () => {
    let turns = 0
    const gone = new AbortController()
    const count = () => {
      turns += 1
      if (turns === 20) gone.abort(new Error('gone'))
      else setImmediate(count)
    }
    setImmediate(count)
    let looked = 0
    await expect(pipe(reads(5_000), { ...session(), signal: gone.signal }, {}, () => (looked += 1))).rejects.toThrow('gone')
    expect(looked).toBeLessThan(2_000)
  })

  test('is refused where it is too long', async () => {
    const part = Array.from({ length: MOST_PIPED + 1 }, () => 'select 1')
    const statement = { text: 'select 1', params: undefined, part }
    await expect(orderOf(statement, session()).next(statement, { session: session(), look })).rejects.toThrow('too many statements')
  })

  test('may execute what it prepared as often as it is long', async () => {
    expect((await pipe(['prepare p as select from t where id in (1, 2, 3)', ...Array.from({ length: 3_000 }, () => 'execute p')])).wanted.at(-1)).toHaveLength(2)
    const values = ids(15_000)
    await expect(pipe([`prepare p as select from t where id in (${values})`, ...Array.from({ length: 3_000 }, () => 'execute p')])).rejects.toThrow('names too much')
  })

  test('may not keep more than a limit of what it defines and prepares', async () => {
    const view = `create view v as select from ${'t,'.repeat(15_000)}t where t.id = 1`
    expect((await pipe([view, view, view])).wanted).toHaveLength(3)
    await expect(pipe([view, view, view, view])).rejects.toThrow('names too much')
    const prepared = (name: string) => `prepare ${name} as select from ${'t,'.repeat(30_000)}t`
    expect((await pipe(Array.from({ length: 10 }, () => prepared('p')))).wanted).toHaveLength(10)
    await expect(pipe(['p', 'q', 'r', 's'].map(prepared))).rejects.toThrow('names too much')
  })

  test('asks once where on the search path a name is that was read before', async () => {
    const inject = vi.fn<LiveSession['inject']>(async () => [['hubspot', 't'], ['mine', 't']])
    const { wanted } = await pipe(reads(100), { ...session(), inject }, { isKept: true })
    expect(inject).toHaveBeenCalledTimes(1)
    expect(lastOf(wanted.at(-1)!)).toEqual(['?.t id=99', 'mine.t id=99', 't id=99'])
  })

  test('is as one text, with what Live was not asked of', async () => {
    const by = { ...session(), hasFailed: true }
    const rolledBack = { text: 'select from t', params: undefined, part: ['rollback', 'select from t'] }
    await expect(orderOf(rolledBack, by).next(rolledBack, { session: by, look })).rejects.toMatchObject({ error: { code: '0A000' } })
    for (const first of ['set search_path = hubspot', 'set client_encoding = latin1', 'selec']) await expect(pipe([first, 'select from t']), first).rejects.toMatchObject({ error: { code: '0A000' } })
    await expect(pipe(['set names latin1', 'selec'])).rejects.toMatchObject({ error: { message: expect.stringContaining('cannot tell') as string } })
    expect((await pipe(['create view v as select from hubspot.deals', 'select from v'])).wanted.at(-1)!.flatMap(({ touches }) => shown(touches, []))).toEqual(['?.v *', 'deals *'])
    // The next part is another.
    const one = session()
    await pipe(['set search_path = hubspot'], one)
    expect((await pipe(['select from t'], one)).wanted).toHaveLength(1)
  })
})
