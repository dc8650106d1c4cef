import pg from 'pg'
import { expect, test } from 'vitest'
import { migrate } from '../src/db/migrate.ts'
import { freshDatabase } from './support/cluster.ts'
import { makeRoles } from './support/roles.ts'
import { startWorld } from './support/sync.ts'

// Grants are rows: what is made later gets them too. Which role may do what to which object: rights.test.ts.

const quoted = (role: string) => pg.escapeIdentifier(role)

test('a role whose name needs quotes reads what is there and what comes later; one that is dropped is forgotten', async () => {
  await using world = await startWorld('grants', { sandbox: { objects: { contacts: 3, vehicle: 2 } } })
  const { db } = world
  await using roles = await makeRoles(db, 'odd', 'gone', 'parent')
  const { as, admin, names: { odd, gone, parent } } = roles
  await db.query('select hubspot.grant_read($1), hubspot.grant_read($2)', [odd, gone])
  await db.query('select hubspot.grant_read($1)', [odd])
  await world.load('contacts', ['firstname'])
  for (const role of ['odd', 'gone'] as const) {
    expect(await as(role, 'select firstname from hubspot.contacts')).toHaveLength(3)
  }
  // A column made later is the table's.
  await db.query("select hubspot.track('contacts')")
  await world.drain()
  expect(await as('odd', 'select email from hubspot.contacts')).toHaveLength(3)
  await admin.query(`drop owned by ${quoted(gone)}; drop role ${quoted(gone)}`)
  const [owner] = await db.query<{ name: string }>('select current_user as name')
  // What a role has through another may be taken from it: it is granted its own.
  await admin.query(`grant select on all tables in schema hubspot to ${quoted(parent)}; alter default privileges for role ${quoted(owner!.name)} in schema hubspot grant select on tables to ${quoted(parent)}`)
  await admin.query(`grant ${quoted(parent)} to ${quoted(odd)}`)
  await world.load('vehicle')
  await admin.query(`revoke ${quoted(parent)} from ${quoted(odd)}`)
  expect(await as('odd', 'select id from hubspot.vehicle')).toHaveLength(2)
  expect(await db.query('select role_name from hubspot_private.role_grants')).toEqual([{ role_name: odd }])
  await expect(db.query('select hubspot.grant_read($1)', [gone])).rejects.toMatchObject({ code: 'SH106', hint: `Create it first: create role ${quoted(gone)};` })
  // The same name, another role.
  await admin.query(`create role ${quoted(gone)}`)
  await db.query('select hubspot_private.grants_apply()')
  await expect(as('gone', 'select id from hubspot.contacts')).rejects.toMatchObject({ code: '42501' })
})

test('a role that is renamed keeps what it was granted, in tables made later too; two that swap their names keep their own', async () => {
  await using world = await startWorld('renamed', { sandbox: { objects: { contacts: 1 } } })
  const { db } = world
  await using roles = await makeRoles(db, 'one', 'two')
  const { as, admin, names: { one, two } } = roles
  await db.query('select hubspot.grant_read($1), hubspot.grant_control($2)', [one, two])
  for (const [from, to] of [[one, 'between'], [two, one], ['between', two]]) await admin.query(`alter role ${quoted(from!)} rename to ${quoted(to!)}`)
  await world.load('contacts', ['firstname'])
  expect(await db.query('select role_name, kind from hubspot_private.role_grants order by kind')).toEqual([{ role_name: one, kind: 'control' }, { role_name: two, kind: 'read' }])
  // What is called two now was one.
  expect(await as('two', 'select id from hubspot.contacts')).toHaveLength(1)
  await as('one', `select hubspot.pause('contacts')`)
  await expect(as('two', `select hubspot.resume('contacts')`)).rejects.toMatchObject({ code: '42501' })
})

test('a database restored in another cluster, without its privileges, finds its roles by name at the next install', async () => {
  await using db = await freshDatabase('restored')
  await using roles = await makeRoles(db, 'reader', 'writer', 'missing')
  const { names: { reader, writer, missing } } = roles
  await db.query('select hubspot.grant_read($1), hubspot.grant_write($2), hubspot.grant_read($3)', [reader, writer, missing])
  await roles.admin.query(`drop owned by ${quoted(reader)}, ${quoted(writer)}, ${quoted(missing)}; drop role ${quoted(missing)}`)
  // Oids of that cluster: one of them is another role's here.
  await db.query(
    `update hubspot_private.role_grants g set system_identifier = 1,
       role_oid = case g.role_name when $1 then (select oid from pg_roles where rolname = $2) else (g.role_oid::bigint + 100000)::oid end`, [reader, writer])
  await expect(roles.as('reader', 'table hubspot.status')).rejects.toMatchObject({ code: '42501' })
  await migrate(db.url)
  expect(await roles.as('reader', 'table hubspot.status')).toEqual([])
  expect(await db.query('select role_name, kind, role_oid = (select oid from pg_roles where rolname = role_name) as is_its from hubspot_private.role_grants order by kind'))
    .toEqual([{ role_name: reader, kind: 'read', is_its: true }, { role_name: writer, kind: 'write', is_its: true }])
})

test('revoke_all takes back what was granted by functions, by hand, on columns, by default and onwards; again is the same', async () => {
  await using world = await startWorld('revoked', { sandbox: { objects: { contacts: 1, vehicle: 1 } } })
  const { db } = world
  await world.load('contacts', ['firstname', 'email'])
  await using roles = await makeRoles(db, 'one', 'friend', 'parent')
  const { as, admin, names: { one, friend, parent } } = roles
  for (const grant of ['grant_read', 'grant_write', 'grant_control']) await db.query(`select hubspot.${grant}($1)`, [one])
  await db.query(`grant all on hubspot.contacts to ${quoted(one)} with grant option; grant select (email) on hubspot.contacts to ${quoted(one)};
    grant usage on schema hubspot to ${quoted(friend)}; grant usage on schema hubspot_private to ${quoted(one)}; grant select on hubspot_private.runs to ${quoted(one)};
    alter default privileges in schema hubspot grant select on tables to ${quoted(one)}; alter default privileges in schema hubspot grant execute on functions to ${quoted(one)}`)
  await as('one', `grant select on hubspot.contacts to ${quoted(friend)}`)
  expect(await as('friend', 'select id from hubspot.contacts')).toHaveLength(1)
  for (let times = 0; times < 2; times += 1) await db.query('select hubspot.revoke_all($1)', [one])
  const left = await db.query('select hubspot_private.rights_of(oid) from pg_roles where rolname = $1', [one])
  expect(left).toEqual([])
  await world.load('vehicle')
  await db.query('select hubspot_private.grants_apply()')
  for (const text of ['select id from hubspot.contacts', 'select email from hubspot.contacts', 'select id from hubspot.vehicle', `select hubspot.pause()`]) {
    await expect(as('one', text), text).rejects.toMatchObject({ code: '42501' })
  }
  await expect(as('friend', 'select id from hubspot.contacts')).rejects.toMatchObject({ code: '42501' })

  // What it has through another role is told, not taken.
  await db.query('select hubspot.grant_read($1)', [parent])
  await admin.query(`grant ${quoted(parent)} to ${quoted(one)}`)
  await db.query(`alter default privileges grant select on tables to ${quoted(one)}`)
  const client = await db.pool.connect()
  const notices: { message?: string | undefined; hint?: string | undefined }[] = []
  client.on('notice', (notice) => notices.push(notice))
  await client.query('select hubspot.revoke_all($1)', [one])
  client.release()
  expect(notices.map(({ message }) => message)).toEqual([expect.stringContaining('in all schemas'), expect.stringContaining('may still use schema hubspot')])
  await db.query(notices[0]!.hint!)
  expect(await as('one', 'select id from hubspot.contacts')).toHaveLength(1)
})

test('roles that there are not, null, and the owner are told apart', async () => {
  await using db = await freshDatabase('roles')
  for (const verb of ['grant_read', 'grant_write', 'grant_control', 'revoke_all']) {
    for (const role of ['no such role', 'public', '', null]) {
      await expect(db.query(`select hubspot.${verb}($1)`, [role]), `${verb} ${role}`).rejects.toMatchObject({ code: 'SH106' })
    }
  }
  await db.query('select hubspot.grant_read(current_user), hubspot.grant_control(current_user)')
  expect(await db.query('select * from hubspot_private.role_grants')).toEqual([])
  await expect(db.query('select hubspot.revoke_all(current_user)')).rejects.toMatchObject({ code: 'SH123' })
  expect(await db.query('table hubspot.status')).toEqual([])
})

test('a table that is being made while a role is granted, or revoked, is not missed', async () => {
  await using db = await freshDatabase('meanwhile')
  await using roles = await makeRoles(db, 'coming', 'going')
  const { coming, going } = roles.names
  await db.query('select hubspot.grant_read($1)', [going])
  const builder = await db.pool.connect()
  await builder.query(`begin; create table hubspot.made (id bigint); select hubspot_private.grants_apply('made')`)
  const both = Promise.all([db.query('select hubspot.grant_read($1)', [coming]), db.query('select hubspot.revoke_all($1)', [going])])
  await expect.poll(() => db.query(`select count(*)::integer as n from pg_locks where not granted and relation = 'hubspot_private.role_grants'::regclass`)).toEqual([{ n: 2 }])
  await builder.query('commit')
  builder.release()
  await both
  expect(await roles.as('coming', 'select * from hubspot.made')).toEqual([])
  await expect(roles.as('going', 'select * from hubspot.made')).rejects.toMatchObject({ code: '42501' })
})
