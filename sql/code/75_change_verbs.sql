-- The verbs of the change feed: on and off for an object.
create or replace function hubspot_private.changes_switch(object text, is_on boolean)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_object hubspot_private.objects := hubspot_private.object_tracked(object);
  v_pair hubspot_private.pairs;
  v_tables text[];
begin
  -- Pages of our own are waited for: after this all changes are written, or none.
  perform hubspot_private.object_lock(v_object.number, true);
  select array_agg(t.name) into v_tables
  from (
    select hubspot_private.mirror_table(v_object.table_name)
    union all
    select hubspot_private.mirror_table(p.table_name) from hubspot_private.pairs p where p.from_object = v_object.name
  ) t (name)
  where (select count(*) from pg_trigger g where g.tgrelid = t.name and g.tgname ~ '^_100_changes_(insert|update|delete)$')
    <> case when is_on then 3 else 0 end;
  -- Triggers are made beside readers, and taken without any.
  perform hubspot_private.ddl_run(array(
    select format('lock table %s in %s mode', t, case when is_on then 'share row exclusive' else 'access exclusive' end) from unnest(v_tables) t), v_tables);
  if hubspot_private.mirror_table(v_object.table_name) is not null then
    perform hubspot_private.change_triggers(hubspot_private.mirror_table(v_object.table_name),
      format('hubspot_private.changes_%s()', v_object.number), is_on);
  end if;
  for v_pair in select p.* from hubspot_private.pairs p where p.from_object = v_object.name order by p.number loop
    if hubspot_private.mirror_table(v_pair.table_name) is not null then
      perform hubspot_private.change_triggers(hubspot_private.mirror_table(v_pair.table_name),
        format('hubspot_private.changes_pair(%L)', v_pair.number), is_on);
    end if;
  end loop;
  update hubspot_private.objects o set has_changes = is_on where o.name = v_object.name and o.has_changes <> is_on;
end;
$$;
comment on function hubspot_private.changes_switch(text, boolean) is 'Gives an object''s table, and those of its associations, their change triggers, or takes them.';

create or replace function hubspot.enable_changes(object text)
returns void
language sql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
  select hubspot_private.changes_switch(enable_changes.object, true);
$$;
comment on function hubspot.enable_changes(text) is
  'Writes an object''s changes, and those of its associations, to hubspot.changes again from now on, after hubspot.disable_changes(). SH101, SH220.';

create or replace function hubspot.disable_changes(object text)
returns void
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_ids text;
begin
  perform hubspot_private.changes_switch(disable_changes.object, false);
  select string_agg(s.id::text, ', ' order by s.id) into v_ids
  from hubspot_private.subscriptions s
  where s.object = (hubspot_private.object_tracked(disable_changes.object)).name;
  if v_ids is not null then
    raise notice 'subscriptions of % get no more changes until hubspot.enable_changes(): %', disable_changes.object, v_ids;
  end if;
end;
$$;
comment on function hubspot.disable_changes(text) is
  'No longer writes an object''s changes, nor tells of them, at no cost to its table: for objects that change much and whose changes nobody reads. What was written stays. Where others hold a table it gives up within seconds. SH101, SH220.';

do $$
begin
  -- Tables that an earlier version made.
  perform hubspot_private.refuse_row_hang(m.relation), hubspot_private.users_path_hang(m.relation)
  from (
    select hubspot_private.mirror_table(o.table_name) as relation from hubspot_private.objects o
    union all select hubspot_private.mirror_table(p.table_name) from hubspot_private.pairs p) m
  where m.relation is not null;
  perform hubspot_private.change_triggers(hubspot_private.mirror_table(p.table_name),
    format('hubspot_private.changes_pair(%L)', p.number), o.has_changes)
  from hubspot_private.pairs p
  join hubspot_private.objects o on o.name = p.from_object
  where hubspot_private.mirror_table(p.table_name) is not null;
end;
$$;
