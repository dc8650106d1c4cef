import { randomBytes } from 'node:crypto'
import pg from 'pg'
import { describe, expect, test } from 'vitest'
import { startWorld, type World } from './support/sync.ts'

/** Operators for just these types, and functions for just these arguments, which go before Postgres' own general ones. */
const TRAPS = [
  ['||', 'bigint[]', 'bigint[]', 'bigint[]', '$1'], ['||', 'text[]', 'text[]', 'text[]', '$1'], ['||', 'text[]', 'text', 'text[]', '$1'],
  ['||', 'bigint[]', 'bigint', 'bigint[]', '$1'], ['<>', 'bigint[]', 'bigint[]', 'boolean', 'true'], ['<>', 'text[]', 'text[]', 'boolean', 'true'],
  ['=', 'bigint[]', 'bigint[]', 'boolean', 'true'], ['=', 'text[]', 'text[]', 'boolean', 'true'], ['=', 'jsonb', 'text', 'boolean', 'true'],
  ['->>', 'jsonb', 'varchar', 'text', '$2::text'], ['#>>', 'jsonb', 'text', 'text', '$2'], ['<>', 'bigint', 'numeric', 'boolean', 'true'],
  ['=', 'name', 'varchar', 'boolean', 'true'], ['&&', 'bigint[]', 'bigint[]', 'boolean', 'true'], ['@>', 'bigint[]', 'bigint[]', 'boolean', 'true'],
] as const
const FUNCTIONS = [
  ['cardinality(bigint[])', 'integer', '1'], ['cardinality(text[])', 'integer', '1'], ['unnest(bigint[])', 'setof bigint', '1::bigint'], ['unnest(text[])', 'setof text', "'1'"],
  ['array_remove(bigint[], bigint)', 'bigint[]', '$1'], ['num_nonnulls(text)', 'integer', '1'], ['num_nonnulls(numeric)', 'integer', '1'],
  ['jsonb_build_object(text, jsonb)', 'jsonb', '$2'], ['jsonb_build_object(text, text)', 'jsonb', "'{}'"], ['format(text, text)', 'text', '$1'],
  ['concat_ws(text, text, text)', 'text', '$1'], ['to_jsonb(bigint[])', 'jsonb', "'[]'"],
] as const

/** Lays all of them in a schema as a role that may do that and no more; whoever runs one is noted. */
async function lay(world: World, schema: string, role: string): Promise<void> {
  const admin = new pg.Client(world.db.adminUrl)
  await admin.connect()
  await admin.query(`create role ${role}; grant create on database ${pg.escapeIdentifier(new URL(world.db.adminUrl).pathname.slice(1))} to ${role};
    create schema if not exists ${schema}; grant create, usage on schema ${schema} to ${role}; grant create, usage on schema ${schema} to public;
    create table public.caught (what text, who text); grant insert, select on public.caught to public; set role ${role}`)
  const trap = (what: string, args: string, returns: string, value: string) =>
    `create function ${schema}.${what}${args} returns ${returns} language plpgsql as $t$ begin insert into public.caught values ('${what} ${args}', current_user);
     ${returns.startsWith('setof') ? `return query select ${value}` : `return ${value}`}; end $t$`
  for (const [index, [operator, left, right, returns, value]] of TRAPS.entries()) {
    await admin.query(trap(`trap_${index}`, `(${left}, ${right})`, returns, value))
    await admin.query(`create operator ${schema}.${operator} (function = ${schema}.trap_${index}, leftarg = ${left}, rightarg = ${right})`)
  }
  for (const [signature, returns, value] of FUNCTIONS) await admin.query(trap(signature.split('(')[0]!, signature.slice(signature.indexOf('(')), returns, value))
  await admin.end()
}

describe.each([['public', 'public'], ["a schema named like the owner's role", undefined]])('operators and functions that someone lays in %s', (_, named) => {
  test('are not run by the sync, nor by a verb; users\' triggers find what they always find there', { timeout: 120_000 }, async () => {
    await using world = await startWorld('traps', { sandbox: { objects: { contacts: { count: 20, properties: 10 }, deals: { count: 5, properties: 5 } } } })
    const { db, store } = world
    const [{ owner }] = (await db.query<{ owner: string }>('select current_user as owner')) as [{ owner: string }]
    const schema = named ?? owner
    const role = `layer_${randomBytes(4).toString('hex')}`
    await lay(world, schema, role)
    await db.query(`create table ${schema}.seen (id bigint); create function ${schema}.note() returns trigger language plpgsql as $$
      begin insert into seen values (coalesce(new.id, old.id)); return null; end $$`)
    await world.load('contacts', ['email', 'firstname', 'lastname'])
    await world.load('deals', ['dealname'])
    await db.query("select hubspot.track_associations('deals', 'contacts')")
    const [one = '', two = '', three = ''] = [...store.records('contacts')].map(({ id }) => id)
    const [deal = ''] = [...store.records('deals')].map(({ id }) => id)
    await db.query(`create trigger "noted at once" after insert or update or delete on hubspot.contacts for each row execute function ${schema}.note()`)
    await db.query(`create constraint trigger noted_late after insert or update or delete on hubspot.contacts
      deferrable initially deferred for each row execute function ${schema}.note()`)
    store.associate('deals', deal, 'contacts', one)
    store.edit('contacts', one, { firstname: 'One' })
    store.edit('contacts', two, { firstname: 'Two' })
    store.archive('contacts', three)
    store.addProperty('contacts', { name: 'colour', type: 'string', label: 'Colour' })
    await world.pass(2 * 3_600_000, 600_000)
    await db.query("select hubspot.resync('contacts'), hubspot.verify('deals')")
    await world.drain()
    await db.query('select hubspot.forget($1, $2)', ['contacts', two])
    expect(await db.query('select distinct what, who from public.caught')).toEqual([])
    const seen = await db.query<{ id: string; n: number }>(`select id, count(*)::integer as n from ${schema}.seen group by id order by id`)
    expect(seen.map(({ id }) => id)).toEqual([one, two, three].toSorted((a, b) => Number(a) - Number(b)))
    expect(seen.every(({ n }) => n >= 2)).toBe(true)
    expect((await world.row('contacts', one))?.['firstname']).toBe('One')
    expect(await db.query('select deal_id, contact_id from hubspot.deals_contacts')).toEqual([{ deal_id: deal, contact_id: one }])
    await db.query(`drop owned by ${role} cascade`).catch(() => undefined)
  })
})
