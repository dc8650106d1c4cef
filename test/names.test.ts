import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type FreshDatabase, freshDatabase } from './support/cluster.ts'

let db: FreshDatabase
beforeAll(async () => {
  db = await freshDatabase('names')
})
afterAll(async () => {
  await db[Symbol.asyncDispose]()
})

const near = async (name: string, candidates: string[]) =>
  (await db.query<{ near: string | null }>('select hubspot_private.near_name($1, $2) as near', [name, candidates]))[0]?.near
const short = async (name: string, taken: string[] = [], reserved: string[] = []) =>
  (await db.query<{ short: string }>('select hubspot_private.short_name($1, $2, $3) as short', [name, taken, reserved]))[0]?.short ?? ''

describe('near_name', () => {
  it.each([
    ['deal', 'deals'],
    ['Contacts', 'contacts'],
    ['conatcts', 'contacts'],
    ['lineItems', 'line_items'],
    ['company', 'companies'],
  ])('%s was meant as %s', async (name, meant) => {
    expect(await near(name, ['companies', 'contacts', 'deals', 'line_items', 'tickets', 'vehicle'])).toBe(meant)
  })

  it('says nothing when nothing is alike', async () => {
    expect(await near('zzz', ['contacts', 'deals'])).toBeNull()
    expect(await near('', ['contacts'])).toBeNull()
    expect(await near('contacts', [])).toBeNull()
  })
})

describe('short_name', () => {
  it('keeps what Postgres takes, and moves out of the way of what is reserved', async () => {
    expect(await short('select')).toBe('select')
    expect(await short('Größe 日本')).toBe('Größe 日本')
    expect(await short('id', [], ['id', 'xmin'])).toBe('id_')
  })

  it('cuts long and clashing names the same way every time', async () => {
    const long = 'hs_'.padEnd(80, 'x')
    expect(await short(long)).toBe(await short(long))
    expect(await short(long)).not.toBe(await short(`${long}y`))
    const first = await short('amount', ['amount'])
    expect(first).toMatch(/^amount_[0-9a-f]{6}$/)
    expect(await short('amount', ['amount', first])).not.toBe(first)
  })

  it('is always an identifier that nobody has', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.string({ unit: 'binary', maxLength: 120 }).filter((name) => !name.includes('\0') && name.isWellFormed()),
        async (name) => {
          const taken = [name, await short(name)]
          const found = await short(name, taken, ['id'])
          expect(Buffer.byteLength(found)).toBeGreaterThan(0)
          expect(Buffer.byteLength(found)).toBeLessThanOrEqual(63)
          expect([...taken, 'id']).not.toContain(found)
        },
      ),
      { numRuns: 60 },
    )
  })
})
