import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type FreshDatabase, freshDatabase } from './support/cluster.ts'

// Where a search cursor stands after a page: what may move it, and what ends a pass.
let db: FreshDatabase
beforeAll(async () => {
  db = await freshDatabase('search')
})
afterAll(async () => {
  await db[Symbol.asyncDispose]()
})

type Cursor = { date: number; walked?: boolean; id?: number }
type Next = { next: Cursor; is_over: boolean; is_stuck: boolean }

/** A page of deals: hits as [id, ms since 1970], and whether HubSpot says that more follow. */
const page = (hits: [id: number, ms: number][], more = false) => ({
  results: hits.map(([id, ms]) => ({
    id: String(id),
    properties: { hs_lastmodifieddate: new Date(ms).toISOString() },
    updatedAt: new Date(ms).toISOString(),
  })),
  ...(more && { paging: { next: { after: '200' } } }),
})

async function advance(cursor: Cursor, answer: object, upto: number | null = null): Promise<Next | undefined> {
  const rows = await db.query<Next>(`select * from hubspot_private.search_advance('deals', $1, $2, $3)`, [cursor, answer, upto])
  return rows[0]
}

const T = Date.parse('2026-03-10T12:00:00Z')

describe('a search cursor', () => {
  it('goes to the last hit, and the pass is over when nothing follows', async () => {
    expect(await advance({ date: T }, page([[1, T], [2, T + 5]]))).toEqual({ next: { date: T + 5 }, is_over: true, is_stuck: false })
    expect(await advance({ date: T }, page([[1, T], [2, T + 5]], true))).toEqual({ next: { date: T + 5 }, is_over: false, is_stuck: false })
    expect(await advance({ date: T, walked: true }, page([]))).toEqual({ next: { date: T, walked: true }, is_over: true, is_stuck: false })
  })

  it('walks a millisecond by id when a page does not lead out of it, and then begins after it', async () => {
    expect((await advance({ date: T }, page([[1, T], [9, T]], true)))?.next).toEqual({ date: T, id: 0 })
    expect((await advance({ date: T, id: 0 }, page([[1, T], [9, T]], true)))?.next).toEqual({ date: T, id: 9 })
    expect(await advance({ date: T, id: 9 }, page([[10, T]]))).toEqual({ next: { date: T, walked: true }, is_over: false, is_stuck: false })
  })

  it('is not moved past its bound by a hit that was edited since it was indexed', async () => {
    // Found under a date at or before the bound, shown with the store's: all between them is still to be read.
    const edited = T + 3_600_000
    expect(await advance({ date: T }, page([[1, T + 1], [2, edited]], true), T + 10)).toEqual({
      next: { date: T + 1 }, is_over: false, is_stuck: false,
    })
    expect(await advance({ date: T }, page([[1, T + 1], [2, edited]]), T + 10)).toEqual({
      next: { date: T + 1 }, is_over: true, is_stuck: false,
    })
  })

  it('stays, and calls nothing settled, when a whole page shows no place to go on from', async () => {
    const edited = T + 3_600_000
    expect(await advance({ date: T }, page([[1, edited], [2, edited]], true), T + 10)).toEqual({
      next: { date: T }, is_over: true, is_stuck: true,
    })
    // Everything on the page was archived a moment ago: counted, not shown.
    expect(await advance({ date: T }, page([], true))).toEqual({ next: { date: T }, is_over: true, is_stuck: true })
    expect(await advance({ date: T, id: 7 }, page([], true))).toEqual({ next: { date: T, id: 7 }, is_over: true, is_stuck: true })
    expect(await advance({ date: T, walked: true }, page([[1, T]], true))).toEqual({
      next: { date: T, walked: true }, is_over: true, is_stuck: true,
    })
  })

  it('takes a total beyond the page for a sign that more follows', async () => {
    expect((await advance({ date: T }, { ...page([[1, T + 1]]), total: 201 }))?.is_over).toBe(false)
    expect((await advance({ date: T }, { ...page([[1, T + 1]]), total: 2 }))?.is_over).toBe(false)
    expect((await advance({ date: T }, { ...page([[1, T + 1]]), total: 1 }))?.is_over).toBe(true)
  })

  it('waits for nothing that is counted and not shown: it may have been archived a moment ago', async () => {
    expect((await advance({ date: T }, { ...page([[1, T]]), total: 2 }))?.next).toEqual({ date: T, id: 0 })
    expect((await advance({ date: T, id: 0 }, { ...page([[1, T]]), total: 2 }))?.next).toEqual({ date: T, id: 1 })
    expect((await advance({ date: T, id: 1 }, { ...page([]), total: 1 }))?.next).toEqual({ date: T, walked: true })
    expect(await advance({ date: T, walked: true }, { ...page([]), total: 1 })).toEqual({ next: { date: T, walked: true }, is_over: true, is_stuck: false })
  })

  it('goes on where an index contradicts its own order', async () => {
    expect((await advance({ date: T, walked: true }, page([[1, T + 9], [2, T - 4]], true)))?.next).toEqual({ date: T + 9 })
  })
})
