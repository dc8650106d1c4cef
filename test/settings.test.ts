import pg from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type FreshDatabase, freshDatabase } from './support/cluster.ts'

// What may become of a setting's value besides being the one that was meant.
let db: FreshDatabase

beforeAll(async () => {
  db = await freshDatabase('settings')
})
afterAll(async () => {
  await db[Symbol.asyncDispose]()
})

const one = async (text: string, values?: unknown[]) => (await db.query(text, values))[0]

describe('settings', () => {
  it('that an earlier version let through stop neither sweep nor worker', async () => {
    for (const value of ['10000 years', 'infinity', '-5 days', 'soon']) {
      await db.query(`insert into hubspot_private.settings (name, value, changed_at) values ('runs_kept', to_jsonb($1::text), now())
        on conflict (name) do update set value = excluded.value`, [value])
      await db.query('select hubspot_private.sweep()')
      expect(await one(`select hubspot_private.setting_interval('runs_kept') = '14 days' as is_default`)).toEqual({ is_default: true })
    }
    await db.query(`select hubspot.configure('runs_kept', null)`)
  })

  it('are converted with the rights of who gives them, not the owner\'s', async () => {
    const admin = new pg.Client({ connectionString: db.adminUrl })
    await admin.connect()
    try {
      for (const statement of [
        'create role guest', 'grant usage on schema hubspot to guest', 'grant execute on all functions in schema hubspot to guest',
        'create schema theirs authorization guest', 'set role guest',
        `create type theirs.odd as enum ('one')`, 'create table theirs.who (name text)',
        `create function theirs.as_json(theirs.odd) returns json language plpgsql as
          $$ begin insert into theirs.who values (current_user); return '300'; end $$`,
        'reset role', 'create cast (theirs.odd as json) with function theirs.as_json(theirs.odd)', 'set role guest',
        `select hubspot.configure('max_columns', 'one'::theirs.odd)`,
      ]) await admin.query(statement)
      expect((await admin.query('select distinct name from theirs.who')).rows).toEqual([{ name: 'guest' }])
      expect(await one(`select value from hubspot.settings where name = 'max_columns'`)).toEqual({ value: 300 })
    } finally {
      await admin.query('reset role; drop schema if exists theirs cascade; drop owned by guest; drop role guest')
      await admin.end()
      await db.query(`select hubspot.configure('max_columns', null)`)
    }
  })

  it.each([
    ['held_deletes', 0, 50_000, -1, 1_000_000_001], ['held_deletes_percent', 0, 100, -1, 101], ['max_columns', 1, 1500, 0, 1501],
  ] as const)('that are numbers have ranges of their own: %s', async (name, least, most, below, above) => {
    for (const value of [least, most]) {
      await db.query('select hubspot.configure($1, $2::integer)', [name, value])
      expect(await one('select value from hubspot.settings where name = $1', [name])).toEqual({ value })
    }
    for (const value of [below, above, '1.5']) {
      await expect(db.query('select hubspot.configure($1, $2::text)', [name, String(value)])).rejects.toMatchObject({ code: 'SH112', hint: expect.stringContaining(`from ${least} to `) as string })
    }
    await db.query('select hubspot.configure($1, null)', [name])
  })
})
