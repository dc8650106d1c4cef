import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type FreshDatabase, freshDatabase } from './support/cluster.ts'

let db: FreshDatabase
beforeAll(async () => {
  db = await freshDatabase('names')
})
afterAll(async () => {
  await db[Symbol.asyncDispose]()
})

const candidates = [
  'company', 'contacts', 'dealname', 'dealstage', 'email', 'hs_lead_status', 'lifecyclestage', 'line_items', 'p_Fahrzeuge', 'zip',
]

async function near(name: string, among: string[] = candidates): Promise<string | null> {
  const [row] = await db.query<{ name: string | null }>('select hubspot_private.near_name($1, $2) as name', [name, among])
  return row?.name ?? null
}

async function short(name: string | null, taken: string[] = [], reserved: string[] = []): Promise<string> {
  const [row] = await db.query<{ name: string }>('select hubspot_private.short_name($1, $2, $3) as name', [name, taken, reserved])
  return row?.name ?? ''
}

const md5 = (text: string) => createHash('md5').update(text).digest('hex').slice(0, 6)
const bytes = (text: string) => Buffer.byteLength(text)

describe('near_name', () => {
  test.each([
    ['contcats', 'contacts'],
    ['contatcs', 'contacts'],
    ['Contact', 'contacts'],
    ['companies', 'company'],
    ['dealStage', 'dealstage'],
    ['deal_stage', 'dealstage'],
    ['lifecycle_stage', 'lifecyclestage'],
    ['lead_status', 'hs_lead_status'],
    ['leadStatus', 'hs_lead_status'],
    ['lineItem', 'line_items'],
    ['emial', 'email'],
    ['zpi', 'zip'],
    ['fahrzeug', 'p_Fahrzeuge'],
    ['p_fahrzeug', 'p_Fahrzeuge'],
    ['email', 'email'],
  ])('takes %s for %s', async (name, expected) => {
    expect(await near(name)).toBe(expected)
  })

  test('finds none where nothing is near', async () => {
    for (const name of ['', '_', 'x', 'ab', 'invoices', 'quotes', '💩', 'a'.repeat(10_000)]) expect(await near(name), name).toBeNull()
    expect(await near('contacts', [])).toBeNull()
    expect(await near('zz', ['zy'])).toBeNull()
  })

  test('prefers fewer wrong letters, then the length, then the alphabet, whatever the order', async () => {
    expect(await near('amounts', ['amounted', 'amount'])).toBe('amount')
    expect(await near('amonut', ['amount_b', 'amount_a', 'amount'])).toBe('amount')
    expect(await near('pricex', ['priceb', 'pricea'])).toBe('pricea')
  })

  test('finds any name again after one wrong letter', async () => {
    const word = fc.string({ unit: fc.constantFrom(...'abcdefghijklmnopqrtuvw'.split('')), minLength: 6, maxLength: 30 })
    await fc.assert(
      fc.asyncProperty(word, fc.nat(29), fc.constantFrom('drop', 'double', 'swap'), async (name, at, how) => {
        const i = at % (name.length - 1)
        const typo = {
          drop: name.slice(0, i) + name.slice(i + 1),
          double: name.slice(0, i + 1) + name.slice(i),
          swap: name.slice(0, i) + name.charAt(i + 1) + name.charAt(i) + name.slice(i + 2),
        }[how]
        expect(await near(typo, [name, '0'.repeat(name.length)])).toBe(name)
      }),
    )
  })

  test('finds one among two thousand', async () => {
    const many = Array.from({ length: 2000 }, (_, i) => `hs_property_${i}_of_many`)
    expect(await near('lifecyclestge', [...many, 'lifecyclestage'])).toBe('lifecyclestage')
  })
})

describe('short_name', () => {
  test('keeps a name that Postgres takes and nobody has', async () => {
    expect(await short('dealstage')).toBe('dealstage')
    expect(await short('Größe 💩 "quoted"')).toBe('Größe 💩 "quoted"')
    expect(await short('a'.repeat(63))).toBe('a'.repeat(63))
  })

  test('puts _ behind a reserved name, and six digits where that is taken', async () => {
    expect(await short('id', [], ['id'])).toBe('id_')
    expect(await short('id', ['id_'], ['id'])).toBe(`id_${md5('id')}`)
    expect(await short('a'.repeat(63), [], ['a'.repeat(63)])).toBe(`${'a'.repeat(56)}_${md5('a'.repeat(63))}`)
  })

  test('cuts a long name between characters', async () => {
    const euro = '€'.repeat(30)
    expect(await short(euro)).toBe(`${'€'.repeat(18)}_${md5(euro)}`)
    const beer = `a${'🍺'.repeat(20_000)}`
    expect(await short(beer)).toBe(`a${'🍺'.repeat(13)}_${md5(beer)}`)
  })

  test('tells clashes apart, over and over, and the same way every time', async () => {
    const taken = ['amount']
    while (taken.length < 6) taken.push(await short('amount', taken))
    expect(taken.slice(0, 3)).toEqual(['amount', `amount_${md5('amount')}`, `amount_${md5('amount#1')}`])
    expect(new Set(taken).size).toBe(taken.length)
    expect(await short('amount', taken.slice(0, 2))).toBe(taken[2])
  })

  test('is an identifier whatever the name', async () => {
    expect(await short('')).toBe(`_${md5('')}`)
    expect(await short(null)).toBe(`_${md5('')}`)
    const name = fc.string({ unit: 'binary', maxLength: 100 }).map((text) => text.replaceAll('\0', ''))
    await fc.assert(
      fc.asyncProperty(name, fc.array(name, { maxLength: 3 }), fc.boolean(), fc.boolean(), async (text, others, isTaken, isReserved) => {
        const taken = isTaken ? [...others, text] : others
        const reserved = isReserved ? [text, `${text}_`] : []
        const made = await short(text, taken, reserved)
        expect(bytes(made)).toBeGreaterThan(0)
        expect(bytes(made)).toBeLessThanOrEqual(63)
        expect([...taken, ...reserved]).not.toContain(made)
        expect(made.isWellFormed()).toBe(true)
        expect(await short(text, taken, reserved)).toBe(made)
      }),
    )
  })
})
