import pg from 'pg'
import { describe, expect, test } from 'vitest'
import { startCluster } from '../src/db/cluster.ts'
import { migrate } from '../src/db/migrate.ts'
import { query } from './support/global-setup.ts'
import { startWorld, type World } from './support/sync.ts'

// What users hang on the tables: their triggers, and publications. Those of triggers that raise: refused.test.ts.

const idsOf = (world: World) => [...world.store.records('contacts')].map(({ id }) => id)

async function refresh(world: World, ids: readonly string[]): Promise<void> {
  await world.advance(1)
  await world.db.query('select hubspot.refresh($1, $2)', ['contacts', ids])
  await world.pass(3_000, 1_000)
}

describe("users' triggers", () => {
  test('of every kind see the right old and new rows, and the database\'s own settings', async () => {
    await using world = await startWorld('triggers', { sandbox: { objects: { contacts: 12 } } })
    const { db, store } = world
    await world.load('contacts', ['firstname', 'lastname'])
    await db.query(`
      create schema my_app;
      create table my_app.seen (n serial, kind text, op text, id bigint, was text, name text, settings text);
      create function my_app.settings() returns text language sql as $$
        select concat_ws(' ', current_setting('search_path'), current_setting('timezone'), current_setting('enable_nestloop'), current_setting('plan_cache_mode')) $$;
      create function my_app.each() returns trigger language plpgsql as $$
      begin
        insert into my_app.seen (kind, op, id, was, name, settings)
        values (tg_argv[0], lower(tg_op), coalesce(new.id, old.id), case when tg_op <> 'INSERT' then old.firstname end, case when tg_op <> 'DELETE' then new.firstname end, my_app.settings());
        return coalesce(new, old);
      end $$;
      create function my_app.before_all() returns trigger language plpgsql as $$
      begin
        insert into my_app.seen (kind, op, settings) values ('before all', lower(tg_op), my_app.settings()); return null;
      end $$;
      create function my_app.all_new() returns trigger language plpgsql as $$
      begin
        insert into my_app.seen (kind, op, id, name, settings) select 'statement', lower(tg_op), id, firstname, my_app.settings() from mine_new; return null;
      end $$;
      create function my_app.both() returns trigger language plpgsql as $$
      begin
        insert into my_app.seen (kind, op, id, was, name, settings)
        select 'statement', lower(tg_op), o.id, o.firstname, n.firstname, my_app.settings() from mine_old o join mine_new n using (id); return null;
      end $$;
      create function my_app.all_old() returns trigger language plpgsql as $$
      begin
        insert into my_app.seen (kind, op, id, was, settings) select 'statement', lower(tg_op), id, firstname, my_app.settings() from mine_old; return null;
      end $$;
      create trigger "0 before all" before insert or update or delete on hubspot.contacts for each statement execute function my_app.before_all();
      create trigger "B before" before insert or update or delete on hubspot.contacts for each row execute function my_app.each('before');
      create trigger after_row after insert or update or delete on hubspot.contacts for each row execute function my_app.each('row');
      create trigger renamed after update on hubspot.contacts for each row when (old.firstname is distinct from new.firstname) execute function my_app.each('when');
      create constraint trigger deferred after insert or update or delete on hubspot.contacts deferrable initially deferred for each row execute function my_app.each('deferred');
      create trigger inserted after insert on hubspot.contacts referencing new table as mine_new for each statement execute function my_app.all_new();
      create trigger updated after update on hubspot.contacts referencing old table as mine_old new table as mine_new for each statement execute function my_app.both();
      create trigger deleted after delete on hubspot.contacts referencing old table as mine_old for each statement execute function my_app.all_old()`)
    const [a = '', b = '', gone = '', other = ''] = idsOf(world)
    const name = async (id: string) => (await world.row<{ firstname: string }>('contacts', id))!.firstname
    const [wasA, wasB, wasGone, wasOther] = await Promise.all([name(a), name(b), name(gone), name(other)])
    store.edit('contacts', a, { firstname: 'Ada' })
    store.edit('contacts', b, { firstname: 'Bob' })
    store.edit('contacts', other, { lastname: 'Other' })
    store.archive('contacts', gone)
    const [made] = store.create('contacts', [{ properties: { firstname: 'New' } }])
    await refresh(world, [a, b, other, gone, made!.id])
    const seen = await db.query<{ kind: string; op: string; id: string; was: string | null; name: string | null; settings: string }>('select kind, op, id, was, name, settings from my_app.seen')
    for (const kind of ['row', 'deferred', 'statement']) {
      const of = seen.filter((one) => one.kind === kind).map(({ op, id, was, name: is }) => ({ op, id, was, is }))
      expect(of, kind).toHaveLength(5)
      expect(of, kind).toEqual(expect.arrayContaining([
        { op: 'update', id: a, was: wasA, is: 'Ada' }, { op: 'update', id: b, was: wasB, is: 'Bob' }, { op: 'update', id: other, was: wasOther, is: wasOther },
        { op: 'insert', id: made!.id, was: null, is: 'New' }, { op: 'delete', id: gone, was: wasGone, is: null },
      ]))
    }
    expect(seen.filter(({ kind }) => kind === 'when').map(({ id }) => id).toSorted()).toEqual([a, b].toSorted())
    expect(new Set(seen.filter(({ kind }) => kind === 'before all').map(({ op }) => op))).toEqual(new Set(['insert', 'update', 'delete']))
    const [own] = await db.query<{ settings: string }>('select my_app.settings() as settings')
    expect(new Set(seen.map(({ settings }) => settings))).toEqual(new Set([own!.settings]))
    // And what a trigger that comes before makes of a row is what the feed tells.
    await db.query(`create function my_app.shout() returns trigger language plpgsql as $$ begin new.firstname := upper(new.firstname); return new; end $$;
      create trigger shout before insert or update on hubspot.contacts for each row execute function my_app.shout()`)
    store.edit('contacts', a, { firstname: 'Grace' })
    await refresh(world, [a])
    expect(await db.query('select changed from hubspot.changes where record_id = $1 order by id desc limit 1', [a])).toEqual([{ changed: { firstname: ['Ada', 'GRACE'] } }])
  })
})

describe('a publication', () => {
  test('of a table and of the feed is followed by another database, through upserts, deletes and new days', { timeout: 60_000 }, async () => {
    await using cluster = await startCluster({ settings: { fsync: 'off', wal_level: 'logical' } })
    const source = cluster.url()
    await migrate(source)
    await query(source, 'create database follower')
    const follower = cluster.url('follower')
    await query(source, `update hubspot_private.account set is_connected = true, portal_id = 1;
      select hubspot.track('contacts');
      select hubspot_private.properties_apply('contacts', '{"results": [{"name": "firstname", "label": "", "type": "string", "fieldType": "text"}]}'), hubspot_private.selection_apply('contacts');
      update hubspot_private.objects set loaded_at = now() where name = 'contacts';
      create publication to_follow for table hubspot.contacts, hubspot.changes with (publish_via_partition_root = true)`)
    await query(source, "select pg_create_logical_replication_slot('follower', 'pgoutput')")
    await query(follower, `create schema hubspot;
      create table hubspot.contacts (id bigint primary key, _created_at timestamptz, _updated_at timestamptz, _synced_at timestamptz, _extra jsonb, firstname text);
      create table hubspot.changes (id bigint, xid xid8, at timestamptz, object text, record_id bigint, op text, changed jsonb, run_id bigint, primary key (xid, id, at))`)
    // One server cannot wait for itself to make the slot.
    await query(follower, `create subscription follows connection '${source}' publication to_follow with (create_slot = false, slot_name = 'follower', copy_data = false)`)
    const client = new pg.Client({ connectionString: source })
    await client.connect()
    const page = (records: [number, string][]) => JSON.stringify({ results: records.map(([id, firstname]) => ({ id: String(id), properties: { firstname, lastmodifieddate: '2026-01-01T00:00:00Z' }, createdAt: '2026-01-01T00:00:00Z', updatedAt: '2026-01-01T00:00:00Z' })) })
    const apply = (records: [number, string][]) => client.query(`select hubspot_private.page_apply('contacts', 'fetch', 0, $1, hubspot_private.clock(), 'fetch')`, [page(records)])
    await apply([[1, 'Ada'], [2, 'Bob']])
    await client.query('select hubspot_private.changes_keep()')
    await apply([[1, 'Grace'], [2, 'Bob'], [3, 'Cyd']])
    await client.query(`select hubspot_private.gone_apply('contacts', 'fetch', 0, '{2}', hubspot_private.clock(), 'fetch')`)
    const everything = (url: string) => query(url, `select (select json_agg(c order by id) from (select id, firstname, _synced_at from hubspot.contacts) c) as contacts,
      (select json_agg(c order by xid, id) from hubspot.changes c) as changes`)
    const [wanted] = await everything(source)
    expect((wanted!['changes'] as { op: string }[]).map(({ op }) => op).toSorted()).toEqual(['delete', 'insert', 'insert', 'insert', 'update'])
    await expect.poll(async () => (await everything(follower))[0], { timeout: 30_000 }).toEqual(wanted)
    await client.end()
    await query(follower, 'alter subscription follows disable; alter subscription follows set (slot_name = none); drop subscription follows')
  })
})
