import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Refusal } from '../src/gateway/live.ts'
import { type Gate, NO_BACKENDS, openGate } from './support/gateway.ts'

let gate: Gate
beforeAll(async () => {
  gate = await openGate('gateway')
  await gate.db.query('create table things (id bigint primary key, name text); insert into things select n, n::text from generate_series(1, 1000) n')
})
afterAll(() => gate[Symbol.asyncDispose]())

test('simple and extended queries, values and errors go through as they are', async () => {
  const client = await gate.client()
  gate.asked.length = 0
  expect((await client.query('select name from things where id = 7')).rows).toEqual([{ name: '7' }])
  expect((await client.query('select name from things where id = $1', ['8'])).rows).toEqual([{ name: '8' }])
  await expect(client.query('select 1/0')).rejects.toMatchObject({ code: '22012' })
  await expect(client.query('selec')).rejects.toMatchObject({ code: '42601' })
  expect((await client.query('select 1 as a; select 2 as b')) as unknown).toMatchObject([{ rows: [{ a: 1 }] }, { rows: [{ b: 2 }] }])
  expect(gate.asked.map(({ text, params }) => [text, params?.map(String)])).toEqual([
    ['select name from things where id = 7', undefined],
    ['select name from things where id = $1', ['8']],
    ['select 1/0', undefined],
    ['selec', undefined],
    ['select 1 as a; select 2 as b', undefined],
  ])
  await client.end()
})
