import { beforeAll, describe, expect, test, vi } from 'vitest'
import type { LiveTable } from '../src/db/live-calls.ts'
import type { Param } from '../src/gateway/query/ids.ts'
import { needsOf } from '../src/gateway/query/needs.ts'
import type { Meant } from '../src/gateway/query/relations.ts'
import { Words } from '../src/gateway/query/words.ts'
import { acts, loadParser } from '../src/gateway/query.ts'

beforeAll(loadParser)

const filling = ['jobtitle', 'phone']
const table = { table_name: 'contacts', oid: '1', keys: ['id'], pair: null, filling } as unknown as LiveTable
const columns = new Set(['id', 'firstname', ...filling].map((column) => `1.${column}`))
const itself: Meant['relations'][number] = { name: '"hubspot"."contacts"', itself: 'contacts', isFiltered: false, isStored: false, mayRead: true, tables: ['contacts'], columns: [] }

function needs(text: string, params: readonly Param[] = []) {
  const words = new Words()
  words.add(text)
  const among = vi.spyOn(words, 'among')
  const wanted = acts(text)!.map(({ touches, targets }) => ({ touches, targets, params }))
  const [need] = needsOf(wanted, { words, known: new Map([[itself.name, itself]]), hasPlainTypes: true, tables: new Map([['contacts', table]]), columns })
  return { ...need!, asked: among.mock.calls.length }
}

describe('a relation that is named thousands of times', () => {
  test('has its columns searched for once', () => {
    const many = (n: number) => needs(`select from ${Array.from({ length: n }, (_, i) => `hubspot.contacts c${i}`).join()}`)
    for (const n of [1, 2, 3_000]) expect(many(n)).toMatchObject({ all: true, asked: 1, filling: new Set() })
  })

  test('is read by all of the ids, and the columns, that it is asked for by', () => {
    const union = needs(Array.from({ length: 1_000 }, (_, i) => `select id from hubspot.contacts where id = ${i}`).join(' union '))
    expect(union).toMatchObject({ all: false })
    expect(union.ids.get('id')?.size).toBe(1_000)
    expect(needs('select from hubspot.contacts c, hubspot.contacts d where d.phone is null').filling).toEqual(new Set(['phone']))
    expect(needs('select c.firstname, to_jsonb(d) from hubspot.contacts c, hubspot.contacts d').filling).toEqual(new Set(filling))
  })

  test('takes a parameter apart once, however often it is asked for by it', () => {
    const value = Buffer.from(`{${Array.from({ length: 4_000 }, (_, i) => i).join()}}`)
    const read = vi.spyOn(value, 'toString')
    const text = `select from hubspot.contacts c, hubspot.contacts d where ${Array.from({ length: 300 }, () => 'c.id = any ($1) and d.id = any ($1)').join(' and ')}`
    expect(needs(text, [{ value, isBinary: false, type: 1016 }]).ids.get('id')?.size).toBe(4_000)
    expect(read).toHaveBeenCalledTimes(1)
  })
})
