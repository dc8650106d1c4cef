import { afterAll, beforeAll, expect, test } from 'vitest'
import { asJsonb, type Database, openDatabase, sqlState } from '../src/db/database.ts'
import { bindMessage, queryWithBody } from '../src/db/jsonb.ts'
import { release } from '../src/lib/memory.ts'
import { type FreshDatabase, freshDatabase } from './support/cluster.ts'

let database: FreshDatabase
let db: Database
beforeAll(async () => {
  database = await freshDatabase('jsonb')
  db = openDatabase(database.url, { max: 1 })
})
afterAll(async () => {
  await db.close()
  await database[Symbol.asyncDispose]()
})

const text = `{"text":"Müller 明日 \\"x\\"","list":[1.10,null,true],"long":"${'ä'.repeat(300_000)}"}`

test('a body arrives beside parameters of every other kind, first, last and twice', async () => {
  const body = asJsonb(Buffer.from(text))
  const values = [body, 'Köln', null, Buffer.from([0, 1, 255]), 42, true, '', body]
  const statement = {
    name: 'all kinds',
    text: `select $1::jsonb = $9::jsonb as is_same, $2::text as town, $3::text as nothing, $4::bytea as bytes, $5::integer as number,
      $6::boolean as truth, $7::text as empty, $8::jsonb ->> 'text' as text`,
    values: [...values, text],
  }
  const expected = { is_same: true, town: 'Köln', nothing: null, bytes: Buffer.from([0, 1, 255]), number: 42, truth: true, empty: '', text: 'Müller 明日 "x"' }
  // The second time it is prepared already.
  for (let i = 0; i < 2; i += 1) expect(await queryWithBody(db.pool, statement)).toEqual([expected])
  expect((await db.pool.query(statement)).rows).toEqual([expected])
})

test('a body that is no JSON is refused with its state, and the connection goes on', async () => {
  const ask = (body: string) =>
    queryWithBody(db.pool, { name: 'refused', text: 'select $1::jsonb as body', values: [asJsonb(Buffer.from(body))] })
  const error = await ask(`${text.slice(0, -1)},`).catch((refused: unknown) => refused)
  expect(sqlState(error)).toBe('22P02')
  expect(sqlState(await ask('{"a":"\\u0000"}').catch((refused: unknown) => refused))).toBe('22P05')
  expect(await ask('{"a":[]}')).toEqual([{ body: { a: [] } }])
})

test('a body is sent as the memory that it is', () => {
  const body = Buffer.from(text)
  const parts = bindMessage('', 'name', ['1', asJsonb(body), null])
  expect(parts.filter((part) => part === body)).toHaveLength(1)
  const message = Buffer.concat(parts)
  expect(message.toString('latin1', 0, 1)).toBe('B')
  expect(message.readInt32BE(1)).toBe(message.length - 1)
})

test('memory is given back where it is nobody else\'s', () => {
  const whole = Buffer.allocUnsafeSlow(100_000).fill(1)
  const part = whole.subarray(1)
  release(part)
  expect(part).toHaveLength(99_999)
  const shared = Buffer.from('cut from a pool')
  release(shared)
  expect(shared.toString()).toBe('cut from a pool')
  release(whole)
  expect(whole).toHaveLength(0)
})
