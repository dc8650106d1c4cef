import { randomBytes } from 'node:crypto'
import pg from 'pg'
import { describe, expect, test } from 'vitest'
import { freshDatabase } from './support/cluster.ts'
import { makeRoles } from './support/roles.ts'
import { startWorld, type World } from './support/sync.ts'

const HOUR = 3_600_000

async function worldOf(onDelete: 'delete' | 'mark' = 'delete'): Promise<World & { ids: string[]; deals: string[] }> {
  const world = await startWorld('forget', { sandbox: { objects: { contacts: 5, deals: 3 } } })
  await world.load('contacts', ['firstname', 'email'], onDelete)
  await world.load('deals', ['dealname'])
  await world.db.query("select hubspot.track_associations('deals', 'contacts')")
  await world.drain()
  const [ids, deals] = (['contacts', 'deals'] as const).map((object) => [...world.store.records(object)].map(({ id }) => id)) as [string[], string[]]
  return { ...world, ids, deals }
}

/** Where a record's id, or a text of it, is found in the product's tables, partitions left out. */
async function traces({ db }: World, text: string): Promise<string[]> {
  const tables = await db.query<{ name: string }>(
    `select c.oid::regclass::text as name from pg_class c
     where c.relnamespace in ('hubspot'::regnamespace, 'hubspot_private'::regnamespace) and c.relkind in ('r', 'p') and not c.relispartition order by 1`)
  const found = await Promise.all(tables.map(async ({ name }) => {
    const rows = await db.query(`select 1 from ${name} t where to_jsonb(t)::text ~ ('\\m' || $1 || '\\M') limit 1`, [text])
    return rows.length > 0 ? [name] : []
  }))
  return found.flat()
}
/** Erases what is due, as a worker does. */
const ERASE = 'select hubspot_private.erasures_forget(d.object, d.ids) from hubspot_private.erasures_take() d'
const forget = (world: World, id: string | number | null) => world.db.query('select hubspot.forget($1, $2)', ['contacts', id])
/** The code of the error that statements end with, undone; undefined where none does. */
async function refused({ db }: World, text: string): Promise<string | undefined> {
  const client = await db.pool.connect()
  try {
    return await client.query(text).then(() => undefined, ({ code }: { code: string }) => code)
  } finally {
    await client.query('rollback').finally(() => client.release())
  }
}
const rows = async (world: World) => (await world.db.query<{ rows: string }>("select rows from hubspot.status where object = 'contacts'"))[0]!.rows

describe('hubspot.forget', () => {
  test.for(['delete', 'mark'] as const)('leaves nothing of a record but its id and times (on_delete %s)', async (onDelete) => {
    await using world = await worldOf(onDelete)
    const { ids: [other = ''], deals: [deal = ''], store } = world
    const one = '770012399'
    store.create('contacts', [{ id: one }])
    store.edit('contacts', one, { firstname: 'Unmistakable', email: 'ada-unmistakable@example.com' })
    store.associate('deals', deal, 'contacts', one)
    store.associate('deals', deal, 'contacts', other)
    await world.db.query("select hubspot.refresh('contacts', $1)", [[one]])
    await world.pass(2 * HOUR, HOUR)
    expect(await world.db.query('select contact_id from hubspot.deals_contacts where contact_id = $1', [one])).not.toEqual([])
    // Whatever else may hold something of it.
    await world.db.query(
      `select hubspot_private.problem_report('SH209', 'contacts', 'Unmistakable is no number', null, $1, 'firstname'),
         hubspot_private.fetch_enqueue('contacts', array[$1]::bigint[], 'poll')`, [one])
    await world.db.query(`insert into hubspot_private.hints values ('contacts', $1, now(), now())`, [one])
    await world.db.query(`insert into hubspot_private.absences values ('contacts', $1)`, [one])
    const before = await rows(world)
    await forget(world, one)
    expect(await traces(world, 'Unmistakable')).toEqual([])
    expect(await traces(world, 'ada-unmistakable')).toEqual([])
    expect(await world.db.query('select object, id, purged_at from hubspot_private.tombstones')).toEqual([{ object: 'contacts', id: one, purged_at: null }])
    expect(await traces(world, one)).toEqual(['hubspot.changes', 'hubspot_private.tombstones'])
    // Whoever follows the feed hears that it is gone, and no more.
    expect(await world.db.query("select op, changed from hubspot.changes where record_id = $1 and op <> 'disassociate'", [one])).toEqual([{ op: 'delete', changed: {} }])
    expect(Number(await rows(world))).toBe(Number(before) - 1)
    expect(await world.db.query('select contact_id from hubspot.deals_contacts where deal_id = $1 and contact_id = any ($2)', [deal, [one, other]])).toMatchObject([{ contact_id: other }])
    // Again, and a record that never was.
    await forget(world, one)
    await forget(world, 999_999_999)
    expect(Number(await rows(world))).toBe(Number(before) - 1)
  })

  test('what was merged into it goes too, and the way there', async () => {
    await using world = await worldOf()
    const { ids: [one = '', two = ''], store } = world
    store.edit('contacts', one, { firstname: 'Unmistakable' })
    await world.pass(60_000)
    const { id } = store.merge('contacts', one, two)
    await world.pass(60_000)
    expect(await world.db.query('select lost_id from hubspot.merges')).toHaveLength(2)
    await world.db.query(`select hubspot_private.problem_report('SH209', 'contacts', 'Unmistakable', null, $1)`, [one])
    await forget(world, id)
    expect(await traces(world, 'Unmistakable')).toEqual([])
    expect(await world.db.query('select * from hubspot.merges')).toEqual([])
    expect(await world.db.query('select id from hubspot_private.tombstones where erased_at is not null order by id')).toEqual([one, two, id].map((each) => ({ id: each })))
  })

  test('a record that HubSpot still has comes back when it is read again, as a notice says; one that it has not stays away', async () => {
    await using world = await worldOf()
    const { ids: [kept = '', gone = ''], store } = world
    const client = await world.db.pool.connect()
    const notices: (string | undefined)[] = []
    client.on('notice', ({ message }) => notices.push(message))
    await client.query("select hubspot.forget('contacts', $1), hubspot.forget('contacts', $2)", [kept, gone])
    client.release()
    expect(notices).toEqual([kept, gone].map((id) => `contacts ${id} was in HubSpot when it was last read`))
    store.gdprDelete(gone)
    await world.pass(4 * HOUR, HOUR)
    expect(await world.row('contacts', kept)).toBeDefined()
    expect(await world.row('contacts', gone)).toBeUndefined()
    expect(await world.db.query('select id, purged_at is not null as is_purged from hubspot_private.tombstones')).toEqual([{ id: gone, is_purged: true }])
    expect(await world.differences('contacts')).toEqual([])
    expect(await rows(world)).toBe('4')
  })

  test("the user's own triggers run under the owner's search path, and see the row go", async () => {
    await using world = await worldOf()
    const [id = ''] = world.ids
    await world.db.query('create table forgotten (id bigint, at_path text)')
    await world.db.query(
      `create function note() returns trigger language plpgsql as $$ begin insert into forgotten values (old.id, current_setting('search_path')); return null; end $$`)
    await world.db.query('create trigger note after delete on hubspot.contacts for each row execute function note()')
    const client = await world.db.pool.connect()
    await client.query('set search_path = pg_temp, pg_catalog')
    await client.query("select hubspot.forget('contacts', $1)", [id])
    expect((await client.query<{ search_path: string }>('show search_path')).rows).toEqual([{ search_path: 'pg_temp, pg_catalog' }])
    await client.query('reset search_path')
    client.release()
    expect(await world.db.query('select * from forgotten')).toEqual([{ id, at_path: '"$user", public' }])
  })

  test('wrong names, ids and nulls say what to do; a table that is no longer tracked can be forgotten in', async () => {
    await using world = await worldOf()
    const [id = ''] = world.ids
    const failing = (text: string, values: unknown[] = []) => expect(world.db.query(text, values)).rejects
    await failing("select hubspot.forget('contact', 5)").toMatchObject({ code: 'SH101', hint: expect.stringContaining('contacts') })
    await failing('select hubspot.forget(null, 5)').toMatchObject({ code: 'SH104' })
    await failing("select hubspot.forget('contacts', null)").toMatchObject({ code: 'SH104', hint: expect.stringContaining("hubspot.forget('contacts', 42)") })
    await failing("select hubspot.forget('contacts', -1)").toMatchObject({ code: 'SH104' })
    await world.db.query("select hubspot.untrack('contacts')")
    await forget(world, id)
    expect(await world.row('contacts', id)).toBeUndefined()
    await using empty = await freshDatabase('forget')
    await expect(empty.query("select hubspot.forget('contacts', 5)")).rejects.toMatchObject({ code: 'SH101' })
  })

  test('touches nothing of a table that someone put in the place of the mirror\'s', async () => {
    await using world = await worldOf()
    const { db, ids: [id = ''], deals: [deal = ''], store } = world
    store.associate('deals', deal, 'contacts', id)
    await world.pass(2 * HOUR, HOUR)
    await db.query(`alter table hubspot.contacts set schema public; alter table hubspot.deals_contacts set schema public;
      create table hubspot.contacts as table public.contacts; create table hubspot.deals_contacts as table public.deals_contacts`)
    await forget(world, id)
    expect(await db.query('select id from hubspot.contacts where id = $1', [id])).toEqual([{ id }])
    expect(await db.query('select deal_id from hubspot.deals_contacts where contact_id = $1', [id])).toEqual([{ deal_id: deal }])
  })

  test('leaves the tables read-only for the rest of its transaction', async () => {
    await using world = await worldOf()
    const { db, ids: [one = '', other = ''], deals: [deal = ''], store } = world
    store.associate('deals', deal, 'contacts', other)
    await world.pass(2 * HOUR, HOUR)
    const after = (what: string, statement: string) => refused(world, `begin; ${what}; ${statement}`)
    for (const id of [one, 999_999_999]) {
      expect(await after(`select hubspot.forget('contacts', ${id})`, `update hubspot.contacts set firstname = 'mine' where id = ${other}`)).toBe('SH105')
      expect(await after(`select hubspot.forget('contacts', ${id})`, `delete from hubspot.deals_contacts where deal_id = ${deal}`)).toBe('SH105')
    }
    // The sweep's own, of what is no longer tracked.
    await db.query("select hubspot.untrack('contacts')")
    await db.query(`insert into hubspot_private.erasures (object, id, asked_at, next_at) select 'contacts', $1, now, now from hubspot_private.clock() now`, [one])
    expect(await after(ERASE, `update hubspot.contacts set firstname = 'mine' where id = ${other}`)).toBe('SH105')
    await db.query(ERASE)
    expect(await world.row('contacts', one)).toBeUndefined()
  })

  test.for(['repeatable read', 'serializable'])('wants to see what others have committed: not in a snapshot, as of %s', async (level) => {
    await using world = await worldOf()
    const [id = ''] = world.ids
    expect(await refused(world, `begin isolation level ${level}; select hubspot.forget('contacts', ${id})`)).toBe('SH104')
    expect(await world.row('contacts', id)).toBeDefined()
  })

  test('a page that is on its way does not bring it back', async () => {
    await using world = await worldOf()
    const [id = ''] = world.ids
    const client = await world.db.pool.connect()
    await client.query('begin')
    await client.query('select hubspot.forget($1, $2)', ['contacts', id])
    // Asked for before the transaction that forgets is over: it waits for it, or is overtaken.
    await world.db.query("select hubspot_private.fetch_enqueue('contacts', $1, 'poll')", [[world.ids[1]]])
    const run = world.run('contacts', 'fetch')
    await client.query('commit')
    client.release()
    await run
    await world.drain()
    expect(await world.row('contacts', id)).toBeUndefined()
  })
})

describe('what a role with control asks for, in a session of its own', () => {
  /** Signs on as a role that was granted control, with temporary tables that trap whoever writes into them. */
  async function attacker(world: World) {
    const roles = await makeRoles(world.db, 'control')
    const login = `login_${randomBytes(4).toString('hex')}`
    await world.db.query('select hubspot.grant_control($1)', [roles.names.control])
    await roles.admin.query(`create role ${login} login password 'x' in role ${pg.escapeIdentifier(roles.names.control)}`)
    const client = new pg.Client({ connectionString: Object.assign(new URL(world.db.url), { username: login, password: 'x' }).toString() })
    const notices: (string | undefined)[] = []
    client.on('notice', ({ message }) => notices.push(message))
    await client.connect()
    await client.query(`create temp table loot (who text); grant all on loot to public; create temp table scratch (id bigint); grant all on scratch to public;
      create function pg_temp.evil() returns trigger language plpgsql as $$ begin insert into pg_temp.loot values (current_user); return null; end $$;
      create trigger evil after insert on scratch for each row execute function pg_temp.evil()`)
    return {
      notices,
      /** One statement, in a transaction that defers all, under the attacker's path; its error's code, and who ran code of his. */
      async tries(text: string) {
        await client.query('begin; set constraints all deferred; set local search_path = pg_temp, public')
        const code = await client.query(text).then(() => undefined, (error: pg.DatabaseError) => error.code)
        await client.query('commit')
        return { code, loot: (await client.query('select * from pg_temp.loot')).rows }
      },
      async [Symbol.asyncDispose]() {
        await client.end()
        await roles.admin.query(`drop role ${login}`)
        await roles[Symbol.asyncDispose]()
      },
    }
  }
  const late = (table: string) => `create constraint trigger late after insert or delete on hubspot.${table}
    deferrable initially immediate for each row execute function public.note()`

  test('is erased by a worker: no trigger of the owner\'s runs there', async () => {
    await using world = await worldOf()
    const { db, ids: [one = '', two = ''] } = world
    await db.query(`create table public.scratch (id bigint); create function public.note() returns trigger language plpgsql as $$ begin
      create temp table if not exists mine (id bigint); insert into mine values (old.id); insert into scratch values (old.id); return null; end $$;
      create trigger note after delete on hubspot.contacts for each row execute function public.note(); ${late('contacts')}`)
    await using who = await attacker(world)
    expect(await who.tries(`select hubspot.forget('contacts', ${one})`)).toEqual({ code: undefined, loot: [] })
    expect(who.notices).toEqual([`contacts ${one} is erased by the worker, in a moment`])
    expect(await who.tries(`select hubspot.forget('contacts', -5)`)).toEqual({ code: 'SH104', loot: [] })
    expect(await db.query("select from graphile_worker.jobs where task_identifier = 'hubspot:inbox'")).toHaveLength(1)
    expect(await world.row('contacts', one)).toBeDefined()
    await db.query(ERASE)
    expect(await world.row('contacts', one)).toBeUndefined()
    expect(await db.query('select from hubspot_private.erasures')).toEqual([])
    expect(await world.row('contacts', two)).toBeDefined()
    expect(await db.query('select id from public.scratch')).toEqual([{ id: one }, { id: one }])
    expect((await who.tries('select')).loot).toEqual([])
  })

  test('is kept where a trigger keeps it, told of, and erased once that lets go', async () => {
    await using world = await worldOf()
    const { db, ids: [one = ''] } = world
    await db.query(`create function public.keep() returns trigger language plpgsql as $$ begin raise 'mine'; end $$;
      create trigger keep before delete on hubspot.contacts for each row execute function public.keep()`)
    await using who = await attacker(world)
    await who.tries(`select hubspot.forget('contacts', ${one})`)
    await db.query(ERASE)
    expect(await world.db.query('select code, record_id from hubspot.problems where resolved_at is null')).toEqual([{ code: 'SH213', record_id: one }])
    await world.pass(2 * HOUR, HOUR)
    expect(await world.row('contacts', one)).toBeDefined()
    await db.query('drop trigger keep on hubspot.contacts')
    await db.query(ERASE)
    expect(await world.row('contacts', one)).toBeUndefined()
    expect(await db.query('select from hubspot_private.erasures')).toEqual([])
  })

  test('is refused where triggers on audits or types of associations would run', async () => {
    await using world = await worldOf()
    await world.db.query(`create function public.note() returns trigger language plpgsql as $$ begin insert into scratch values (1); return null; end $$;
      create table public.scratch (id bigint); ${late('audits')}; ${late('association_types')}`)
    await using who = await attacker(world)
    expect(await who.tries("select hubspot.verify('contacts')")).toEqual({ code: 'SH119', loot: [] })
    expect(await who.tries("select hubspot.untrack_associations('deals', 'contacts')")).toEqual({ code: 'SH119', loot: [] })
    await world.db.query('drop trigger late on hubspot.audits; drop trigger late on hubspot.association_types')
    expect(await who.tries("select hubspot.verify('deals'), hubspot.untrack_associations('deals', 'contacts')")).toEqual({ code: undefined, loot: [] })
  })
})
