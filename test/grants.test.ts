import pg from 'pg'
import { expect, test } from 'vitest'
import { startWorld } from './support/sync.ts'

// Grants are rows: what is made later gets them too.

test('a role whose name needs quotes reads what is there and what comes later; one that is dropped is forgotten', async () => {
  await using world = await startWorld('grants', { sandbox: { objects: { contacts: 3, vehicle: 2 } } })
  const { db } = world
  // Roles are the cluster's: names of this database's own.
  const [odd, gone, parent] = [`We"ird rôle; ${db.name}`, `gone ${db.name}`, `parent ${db.name}`]
  const quoted = (role: string) => pg.escapeIdentifier(role)
  const admin = new pg.Client(db.adminUrl)
  await admin.connect()
  try {
    for (const role of [odd, gone, parent]) await admin.query(`create role ${quoted(role)}`)
    await db.query('select hubspot.grant_read($1), hubspot.grant_read($2)', [odd, gone])
    await db.query('select hubspot.grant_read($1)', [odd])
    await world.load('contacts', ['firstname'])
    const reads = async (role: string, text: string) => {
      await admin.query(`set role ${quoted(role)}`)
      try {
        return (await admin.query<Record<string, unknown>>(text)).rows
      } finally {
        await admin.query('reset role')
      }
    }
    for (const role of [odd, gone]) {
      expect(await reads(role, 'select firstname from hubspot.contacts')).toHaveLength(3)
      const { rows } = await admin.query<{ name: string }>("select c.relname as name from pg_class c where c.relnamespace = 'hubspot'::regnamespace and c.relkind in ('r', 'v') order by 1")
      for (const { name } of rows) await reads(role, `select * from hubspot.${quoted(name)} limit 1`)
    }
    // A column made later is the table's.
    await db.query("select hubspot.track('contacts')")
    await world.drain()
    expect(await reads(odd, 'select email from hubspot.contacts')).toHaveLength(3)
    await admin.query(`drop owned by ${quoted(gone)}; drop role ${quoted(gone)}`)
    const [owner] = await db.query<{ name: string }>('select current_user as name')
    // What a role has through another may be taken from it: it is granted its own.
    await admin.query(`grant select on all tables in schema hubspot to ${quoted(parent)}; alter default privileges for role ${quoted(owner!.name)} in schema hubspot grant select on tables to ${quoted(parent)}`)
    await admin.query(`grant ${quoted(parent)} to ${quoted(odd)}`)
    await world.load('vehicle')
    await admin.query(`revoke ${quoted(parent)} from ${quoted(odd)}`)
    expect(await reads(odd, 'select id from hubspot.vehicle')).toHaveLength(2)
    expect(await db.query('select role_name from hubspot_private.grants')).toEqual([{ role_name: odd }])
    await expect(reads(odd, "select hubspot.track('deals')")).rejects.toMatchObject({ code: '42501' })
    await expect(reads(odd, 'delete from hubspot.vehicle')).rejects.toMatchObject({ code: '42501' })
    await expect(db.query('select hubspot.grant_read($1)', [gone])).rejects.toMatchObject({ code: 'SH106', hint: `Create it first: create role ${quoted(gone)};` })
  } finally {
    await admin.query('reset role')
    for (const role of [odd, gone, parent]) {
      await admin.query(`do $$ begin if exists (select from pg_roles where rolname = ${pg.escapeLiteral(role)}) then drop owned by ${quoted(role)} cascade; drop role ${quoted(role)}; end if; end $$`)
    }
    await admin.end()
  }
})
