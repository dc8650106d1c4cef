import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { afterOf, idsOf, repairBody } from '../src/hubspot/body.ts'
import { Transient } from '../src/lib/errors.ts'

const page = (body: unknown) => Buffer.from(typeof body === 'string' ? body : JSON.stringify(body))
const record = (value: string, id = '1') => ({ id, properties: { note: value } })
const next = (after: unknown) => ({ next: { after, link: 'https://api.hubapi.com/crm?after=77' } })

describe('the next page is found without parsing this one', () => {
  test.each<[string, unknown, string | undefined]>([
    ['as HubSpot writes it', { results: [record('x')], paging: next('513881705058') }, '513881705058'],
    ['with white space', '{ "results" : [ ] ,\n "paging" : { "next" : { "after" : "5" } }\n}\n', '5'],
    ['with other members behind it', { results: [], paging: next('5'), total: 3, more: [{}] }, '5'],
    ['before the records', { paging: next('5'), results: [record('x')] }, '5'],
    ['as a number', { results: [], paging: next(200) }, '200'],
    ['in base64, escaped', '{"results":[],"paging":{"next":{"after":"MTU5\\u003d\\/"}}}', 'MTU5=/'],
    ['with a link of 16 KB', { results: [], paging: { next: { after: '5', link: 'p'.repeat(16_000) } } }, '5'],
    ['twice, as jsonb reads it', '{"paging":{"next":{"after":"1"}},"paging":{"next":{"after":"2"}}}', '2'],
    ['not on the last page', { results: [record('x')] }, undefined],
    ['not where paging is null', { results: [], paging: null }, undefined],
    ['not where there is no next', { results: [], paging: { prev: { before: '1' } } }, undefined],
    ['not where after is null', { results: [], paging: next(null) }, undefined],
    ['not where after is empty', { results: [], paging: next('') }, undefined],
    ['not as a number that a double would change', '{"paging":{"next":{"after":12345678901234567890}}}', undefined],
    ['not in the paging of a record', { results: [{ id: '1', associations: { deals: { results: [], paging: next('9') } } }] }, undefined],
    ['beside the paging of a record', { results: [{ id: '1', associations: { deals: { paging: next('9') } } }], paging: next('5') }, '5'],
    ['before the paging of a record', { paging: next('5'), results: [{ id: '1', associations: { deals: { paging: next('9') } } }] }, '5'],
    ['not in text that looks like it', { results: [record('x","paging":{"next":{"after":"9"}}}')] }, undefined],
    ['not in text that ends like a body', { results: [record('"paging":{"next":{"after":"9"}}}]}')] }, undefined],
    ['not in a key that ends like it', '{"results":[],"x\\"paging":{"next":{"after":"9"}}}', undefined],
    ['not in a property of that name', { results: [{ id: '1', properties: { paging: '5', after: '9' } }] }, undefined],
    ['not in a list', [{ paging: next('5') }], undefined],
    ['not in a torn body', '{"results":[],"paging":{"next":{"after":"5"', undefined],
    ['not in nothing', '', undefined],
    ['not in a fragment', '"paging":{"next":{"after":"5"}}}', undefined],
  ])('%s', (_, body, after) => {
    expect(afterOf(page(body))).toBe(after)
  })

  test('never another than a parser finds, wherever user text puts it', () => {
    const bait = fc.constantFrom('"paging":', '{"next":{"after":"9"}}}', ',"paging":{"next":{"after":"9"}}}', '\\"', '"', '\\', '}', ']')
    const text = fc.array(fc.oneof(bait, fc.string()), { maxLength: 6 }).map((parts) => parts.join(''))
    const paging = fc.option(fc.record({ next: fc.record({ after: text }) }), { nil: undefined })
    const inner = fc.record({ id: text, properties: fc.dictionary(text, text), paging }, { requiredKeys: ['id'] })
    const body = fc.record({ results: fc.array(inner, { maxLength: 4 }), paging, total: fc.nat() }, { requiredKeys: [] })
    fc.assert(
      fc.property(body, (value) => {
        const truth = value.paging?.next.after || undefined
        const found = afterOf(page(value))
        // undefined is "not found" at worst; after the records it must be found
        if (found !== undefined || Object.keys(value).at(-1) === 'paging') expect(found).toBe(truth)
      }),
      { numRuns: 500 },
    )
  })

  test('in a moment, however large the page', () => {
    const body = page({ results: Array.from({ length: 20_000 }, (_, i) => record('"paging":'.repeat(20), `${i}`)), paging: next('5') })
    expect(body.length).toBeGreaterThan(4_000_000)
    expect(afterOf(body)).toBe('5')
    // past the tail nothing is read: a page whose paging lies before it goes without a hint
    expect(afterOf(page(`{"paging":{"next":{"after":"5"}},"results":[${' '.repeat(30_000)}]}`))).toBeUndefined()
  })
})

describe('a body that Postgres refuses', () => {
  const repaired = (body: Buffer) => {
    const repair = repairBody(body)
    return repair && { text: repair.body.toString(), ids: repair.repaired }
  }

  test('loses its NULs and its halves of characters, and tells whose they were', () => {
    const body = page(
      '{"results":[{"id":"1","properties":{"a":"x\\u0000y"}},{"id":"2","properties":{"a":"\\ud83d\\ude00"}},' +
        '{"id":"3","properties":{"a":"\\ud83d!"}},{"id":"4","properties":{"a\\u0000":"\\udc00"}}]}',
    )
    expect(repaired(body)).toEqual({
      text:
        '{"results":[{"id":"1","properties":{"a":"xy"}},{"id":"2","properties":{"a":"😀"}},' +
        '{"id":"3","properties":{"a":"\ufffd!"}},{"id":"4","properties":{"a":"\ufffd"}}]}',
      ids: ['1', '3', '4'],
    })
  })

  test('keeps the digits of its numbers', () => {
    const numbers = '{"results":[{"id":"1","n":[12345678901234567890,1.10,-0,1e400,0.1,7,1e21]}],"total":9007199254740993}'
    expect(repaired(page(numbers))).toEqual({ text: numbers, ids: [] })
  })

  test('has numbers beyond Postgres\' own range made text', () => {
    const wide = '9'.repeat(20_000)
    const deep = `0.${'1'.repeat(8_000)}e-15000`
    const body = `{"results":[{"id":"1","n":1e999999},{"id":"2","n":1E-20000},{"id":"3","n":${wide}},{"id":"4","n":${deep}},{"id":"5","n":1}]}`
    expect(repaired(page(body))).toEqual({
      text: `{"results":[{"id":"1","n":"1e999999"},{"id":"2","n":"1E-20000"},{"id":"3","n":"${wide}"},{"id":"4","n":"${deep}"},{"id":"5","n":1}]}`,
      ids: ['1', '2', '3', '4'],
    })
  })

  test('has bytes that are no UTF-8 replaced', () => {
    const body = Buffer.concat([page('{"results":[{"id":"1","a":"ü"},{"id":"2","a":"'), Buffer.from([0xff, 0xc3]), page('"}]}')])
    expect(repaired(body)).toEqual({ text: '{"results":[{"id":"1","a":"ü"},{"id":"2","a":"\ufffd\ufffd"}]}', ids: ['2'] })
  })

  test('keeps keys that mean something to JavaScript', () => {
    const body = '{"results":[{"id":"1","properties":{"__proto__":"a","constructor":"b"}}]}'
    expect(repaired(page(body))).toEqual({ text: body, ids: [] })
  })

  test.each(['', '{"results":[', '<html>', '{"a":01}', '\u0000', `${'['.repeat(200_000)}${']'.repeat(200_000)}`])(
    'is given up where it is no JSON that one can read (case %#)',
    (body) => {
      expect(repairBody(page(body))).toBeUndefined()
    },
  )

  test('comes out as it went in where nothing is wrong with it', () => {
    fc.assert(
      fc.property(fc.json({ stringUnit: 'binary' }), (json) => {
        const { body, repaired: ids } = repairBody(page(json))!
        const clean = JSON.stringify(JSON.parse(json)).replaceAll('\\u0000', '')
        expect(JSON.parse(body.toString())).toEqual(JSON.parse(clean))
        expect(ids).toEqual([])
        expect(repairBody(body)!.body.equals(body)).toBe(true)
      }),
    )
  })
})

test('a page\'s ids come in its order, and a body without records is no page', () => {
  expect(idsOf(page({ results: [record('a', '9'), record('b', '10')], total: 2 }))).toEqual(['9', '10'])
  expect(idsOf(page({ results: [] }))).toEqual([])
  for (const body of ['{"results":[', '{}', '[]', '{"results":[{"properties":{}}]}', '{"results":{"id":"1"}}']) {
    expect(() => idsOf(page(body))).toThrow(Transient)
  }
})
