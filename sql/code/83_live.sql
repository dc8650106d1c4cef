-- Live tables: foreign tables in schema hubspot_live, one for each tracked object and pair, which postgres_fdw reads through the
-- worker's gateway. The catalogue is their state: they are there while server hubspot_live is, and follow their tables.
create or replace function hubspot_private.live_is_on()
returns boolean
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select exists (select from pg_foreign_server s where s.srvname = 'hubspot_live');
$$;
comment on function hubspot_private.live_is_on() is 'Whether live tables are enabled.';

create or replace function hubspot_private.live_names()
returns table (table_name name, object text, pair integer, keys text[])
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select o.table_name, o.name, null::integer, '{id}'::text[]
  from hubspot_private.objects o
  where o.is_tracked and o.column_set > 0 and to_regclass(format('hubspot.%I', o.table_name)) is not null
  union all
  select p.table_name, p.from_object, p.number, array[p.from_column, p.to_column]::text[]
  from hubspot_private.pairs p
  join hubspot_private.objects o on o.name = p.from_object and o.is_tracked
  where p.is_tracked and to_regclass(format('hubspot.%I', p.table_name)) is not null;
$$;
comment on function hubspot_private.live_names() is
  'Tables of the mirror that have a live one: of tracked objects, with their key, and of tracked pairs (the object is the one they are read from), with both ends.';

create or replace function hubspot_private.live_made()
returns table (table_name name)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  -- Whoever imports something under a name of his own, or a view of schema hubspot's, keeps it.
  select c.relname
  from pg_foreign_table f
  join pg_foreign_server s on s.oid = f.ftserver and s.srvname = 'hubspot_live'
  join pg_class c on c.oid = f.ftrelid
  join pg_namespace n on n.oid = c.relnamespace and n.nspname = 'hubspot_live'
  where f.ftoptions @> array['schema_name=hubspot', 'table_name=' || c.relname]
    and (to_regclass(format('hubspot.%I', c.relname)) is null
      or exists (select from hubspot_private.objects o where o.table_name = c.relname)
      or exists (select from hubspot_private.pairs p where p.table_name = c.relname));
$$;
comment on function hubspot_private.live_made() is 'The live tables that are there, of tables that are tracked or were.';

create or replace function hubspot_private.live_columns(schema_name text, table_name name)
returns table (name name, type text, comment text)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select a.attname, format_type(a.atttypid, a.atttypmod), col_description(a.attrelid, a.attnum)
  from pg_attribute a
  where a.attrelid = to_regclass(format('%I.%I', live_columns.schema_name, live_columns.table_name)) and a.attnum > 0 and not a.attisdropped
  order by a.attnum;
$$;
comment on function hubspot_private.live_columns(text, name) is 'The columns of a table, in order.';

create or replace function hubspot_private.live_changes(table_name name)
returns table (statement text)
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_live constant text := format('hubspot_live.%I', table_name);
begin
  if to_regclass(v_live) is null then
    return query
    select format('create foreign table %s (%s) server hubspot_live options (schema_name ''hubspot'', table_name %L)',
      v_live, string_agg(format('%I %s', c.name, c.type), ', '), table_name)
    from hubspot_private.live_columns('hubspot', table_name) c;
    return query
    -- Whoever may use the schema was given it by grant_live().
    select format('grant select on %s to %s', v_live, a.grantee::regrole)
    from pg_namespace n
    cross join lateral aclexplode(n.nspacl) a
    where n.nspname = 'hubspot_live' and a.privilege_type = 'USAGE' and a.grantee not in (0, n.nspowner);
  else
    return query
    select format('alter foreign table %s drop column %I', v_live, l.name)
    from hubspot_private.live_columns('hubspot_live', table_name) l
    where not exists (select from hubspot_private.live_columns('hubspot', table_name) c where c.name = l.name);
    return query
    select format('alter foreign table %s alter column %I type %s', v_live, c.name, c.type)
    from hubspot_private.live_columns('hubspot', table_name) c
    join hubspot_private.live_columns('hubspot_live', table_name) l on l.name = c.name and l.type <> c.type;
    return query
    select format('alter foreign table %s %s', v_live, string_agg(format('add column %I %s', c.name, c.type), ', '))
    from hubspot_private.live_columns('hubspot', table_name) c
    where not exists (select from hubspot_private.live_columns('hubspot_live', table_name) l where l.name = c.name)
    having count(*) > 0;
  end if;
  return query
  select format('comment on column %s.%I is %L', v_live, c.name, c.comment)
  from hubspot_private.live_columns('hubspot', table_name) c
  left join hubspot_private.live_columns('hubspot_live', table_name) l on l.name = c.name
  where c.comment is distinct from l.comment
  union all
  select format('comment on foreign table %s is %L', v_live, d.comment)
  from (select format('hubspot.%I as HubSpot has it now: it is asked before each query. Read through the worker''s gateway.', table_name)) d (comment)
  where d.comment is distinct from obj_description(to_regclass(v_live), 'pg_class');
end;
$$;
comment on function hubspot_private.live_changes(name) is 'What makes a live table as its table is; nothing when it is so.';

create or replace function hubspot_private.live_follow(table_name name default null)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_timeout constant text := current_setting('lock_timeout');
  v_table record;
  v_statement text;
  v_failed text;
begin
  if not hubspot_private.live_is_on() then
    return;
  end if;
  -- Nobody waits long for someone who reads a live table: it is tried again by the sweep, and no step fails for it.
  perform set_config('lock_timeout', '100ms', true);
  for v_table in
    select n.table_name as name, n.object, true as is_there from hubspot_private.live_names() n
    where table_name is null or n.table_name = table_name
    union all
    select m.table_name, coalesce(o.name, p.from_object), false
    from hubspot_private.live_made() m
    left join hubspot_private.objects o on o.table_name = m.table_name
    left join hubspot_private.pairs p on p.table_name = m.table_name
    where (table_name is null or m.table_name = table_name)
      and not exists (select from hubspot_private.live_names() n where n.table_name = m.table_name)
  loop
    v_failed := null;
    for v_statement in
      select c.statement from hubspot_private.live_changes(v_table.name) c where v_table.is_there
      union all
      select format('drop foreign table hubspot_live.%I', v_table.name) where not v_table.is_there
    loop
      begin
        execute v_statement;
      exception when others or assert_failure then
        v_failed := concat_ws('; ', v_failed, sqlerrm);
      end;
    end loop;
    if v_failed is null then
      update hubspot_private.problems q set resolved_at = hubspot_private.clock()
      where q.code = 'SH231' and q.property = v_table.name and q.resolved_at is null;
    else
      perform hubspot_private.problem_report('SH231', v_table.object,
        format('live table hubspot_live.%I is not as its table is: %s', v_table.name, left(v_failed, 1500)), null, null, v_table.name);
    end if;
  end loop;
  perform set_config('lock_timeout', v_timeout, true);
end;
$$;
comment on function hubspot_private.live_follow(name) is
  'Makes a live table, or all of them, as their tables are: new, changed, renamed by the verb, or gone. What cannot be done is a problem and tried again. Does nothing while live tables are off.';

create or replace function hubspot_private.live_rename_statement(table_name name, was name, now name)
returns text
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select format('alter foreign table hubspot_live.%I rename column %I to %I', live_rename_statement.table_name, l.name, live_rename_statement.now)
  from hubspot_private.live_columns('hubspot_live', live_rename_statement.table_name) l
  where l.name = live_rename_statement.was and hubspot_private.live_is_on();
$$;
comment on function hubspot_private.live_rename_statement(name, name, name) is
  'Renames a column of a live table with its table''s, so that views on it go on; null where there is none.';

create or replace function hubspot_private.live_options(was text[], wanted jsonb, kept jsonb)
returns text
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
  -- How a reader tunes the server is his: what is there already of kept stays.
  with had as (
    select split_part(o, '=', 1) as name, substr(o, strpos(o, '=') + 1) as value from unnest(live_options.was) o
  ),
  asked as (
    select w.key as name, w.value, true as is_ours from jsonb_each_text(live_options.wanted) w
    union all
    select k.key, k.value, false from jsonb_each_text(live_options.kept) k
  )
  select string_agg(case
      when a.value is null then format('drop %I', a.name)
      when live_options.was is null then format('%I %L', a.name, a.value)
      when h.name is null then format('add %I %L', a.name, a.value)
      else format('set %I %L', a.name, a.value) end, ', ' order by a.name)
  from asked a
  left join had h on h.name = a.name
  where case when h.name is null then a.value is not null else a.is_ours and a.value is distinct from h.value end;
$$;
comment on function hubspot_private.live_options(text[], jsonb, jsonb) is
  'SQL text of OPTIONS: of a server that is new (was is null), or that has some already.';

create or replace function hubspot_private.live_mapping(role_name name, password text)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
begin
  if not exists (select from pg_user_mappings m where m.srvname = 'hubspot_live' and m.usename = role_name) then
    execute format('create user mapping for %I server hubspot_live options (%s)', role_name,
      hubspot_private.live_options(null, jsonb_build_object('user', role_name, 'password', password), '{}'));
    if password is null and current_setting('server_version_num')::integer < 180000 then
      raise notice 'the user mapping of % has no password: before PostgreSQL 18 postgres_fdw asks for one', role_name
        using hint = format('select hubspot.grant_live(%L, password => ''…'');', role_name);
    end if;
  elsif password is not null then
    -- What another's mapping holds is not shown, to the server's owner either.
    begin
      execute format('alter user mapping for %I server hubspot_live options (add password %L)', role_name, password);
    exception when duplicate_object then
      execute format('alter user mapping for %I server hubspot_live options (set password %L)', role_name, password);
    end;
  end if;
end;
$$;
comment on function hubspot_private.live_mapping(name, text) is
  'The user mapping of a role: it signs on to the gateway as itself, so that its grants hold.';
