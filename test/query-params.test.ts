import { beforeAll, describe, expect, test } from 'vitest'
import { idsOf, type Param } from '../src/gateway/query/ids.ts'
import { acts, loadParser } from '../src/gateway/query.ts'
import { binary, text, touched } from './support/touched.ts'

beforeAll(loadParser)

describe('parameters', () => {
  const ids = (param: Param, isArray = false) => idsOf([{ param: 1, isArray }], [param])
  test.for<[string, Param, string[] | undefined]>([
    ['text', text('42'), ['42']],
    ['text with spaces and a sign', text(' +0042 '), ['42']],
    ['text of no whole number', text('4e2'), undefined],
    ['int8', binary(0, 0, 0, 0, 0, 0, 1, 0), ['256']],
    ['int4', binary(0, 0, 1, 0), ['256']],
    ['int2', binary(1, 0), ['256']],
    ['a negative int4', binary(255, 255, 255, 255), []],
    ['a double', binary(0x40, 0x1c, 0, 0, 0, 0, 0, 0), undefined],
    ['null', { value: null, isBinary: false }, []],
    ['one that is not known', undefined, undefined],
  ])('%s', ([, param, expected]) => {
    expect(ids(param)).toEqual(expected)
  })

  test.for<[string, number, Param, string[] | undefined]>([
    ['int8', 20, binary(0, 0, 0, 0, 0, 0, 1, 0), ['256']],
    ['unknown', 705, text('42'), ['42']],
    ['numeric, as text', 1700, text('42'), ['42']],
    ['numeric, as bytes', 1700, binary(0, 0, 0, 0, 0, 0, 0, 7), undefined],
    ['float4, as bytes', 700, binary(0x42, 0xca, 0, 0), undefined],
    ['float4, as text', 700, text('16777217'), undefined],
    ['float8', 701, binary(0, 0, 0, 0, 0, 0, 1, 0), undefined],
    ['oid', 26, text('-1294967296'), undefined],
    ['one of a user\'s', 16_400, text('42'), undefined],
    ['an array', 1016, text('42'), undefined],
    ['NULL of any', 700, { value: null, isBinary: true }, []],
  ])('that are said to be %s', ([, type, param, expected]) => {
    expect(ids({ ...param!, type })).toEqual(expected)
  })

  test('that are said to be arrays', () => {
    expect(ids({ ...text('{42}'), type: 1016 }, true)).toEqual(['42'])
    expect(ids({ ...text('{42}'), type: 1021 }, true)).toBeUndefined()
    expect(ids({ ...text('{42}'), type: 20 }, true)).toBeUndefined()
  })

  test('whose type the statement tells, have the one of their first use: where that may be another\'s than the id\'s, nothing is sure', () => {
    const touches = (statement: string) => touched(statement, [text('7')])
    expect(touches('select from hubspot.deals where id = $1')).toEqual(['deals id=7'])
    expect(touches('select from hubspot.deals where id = $1::int4 and amount > $1::bigint')).toEqual(['deals id=7'])
    expect(touches('select from hubspot.deals d join hubspot.deals_contacts x on x.deal_id = $1 where d.id = $1')).toEqual(['deals id=7', 'deals_contacts deal_id=7'])
    expect(touches('select $1::float4 from hubspot.deals where id = $1')).toEqual(['deals *'])
    expect(touches('select f($1) from hubspot.deals where id = $1::int8')).toEqual(['deals *'])
    expect(touches('select from mine m, hubspot.deals d where m.score = $1 and d.id = $1')).toEqual(['?.mine *', 'deals *'])
    expect(touched('select from mine m, hubspot.deals d where m.score = $1 and d.id = $1', [{ ...text('7'), type: 20 }])).toEqual(['?.mine score=7', 'deals id=7'])
  })

  test('have the types that PREPARE gives them', () => {
    const [act] = acts('prepare p (int8, float4, text[], mine.int4, varchar(3), "int2", unknown) as select 1') ?? []
    expect(act?.prepares?.types).toEqual([20, -1, 1009, -1, -1, 21, -1])
  })

  test('arrays, as text and as bytes', () => {
    expect(ids(text('{1,"2",NULL}'), true)).toEqual(['1', '2'])
    expect(ids(text('{}'), true)).toEqual([])
    expect(ids(text('[0:1]={1,2}'), true)).toBeUndefined()
    const head = [0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 20, 0, 0, 0, 2, 0, 0, 0, 1]
    expect(ids(binary(...head, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 7, 255, 255, 255, 255), true)).toEqual(['7'])
    expect(ids(binary(...head, 0, 0, 0, 8, 0, 0), true)).toBeUndefined()
    expect(ids(binary(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 20), true)).toEqual([])
    expect(ids(binary(0, 0, 0, 1), true)).toBeUndefined()
  })
})
