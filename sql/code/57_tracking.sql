-- The verbs: what to mirror, and when to look.
create or replace function hubspot_private.object_hint(object text)
returns text
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select coalesce('Did you mean ' || hubspot_private.near_name(object_hint.object, array_agg(n.name)) || '? ', '')
    || 'table hubspot.object_types lists them; select hubspot.sync(); reads them again.'
  from (
    select o.name from hubspot_private.objects o where o.object_type_id is not null or o.label is not null
    union
    select o.fully_qualified_name from hubspot_private.objects o where o.fully_qualified_name is not null
  ) n;
$$;
comment on function hubspot_private.object_hint(text) is 'What to do about an object''s name that HubSpot does not know.';

create or replace function hubspot_private.streams_make(object text)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  insert into hubspot_private.streams (object, stream, next_at) values
    (object, 'schema', hubspot_private.clock()), (object, 'archive', null), (object, 'backfill', null), (object, 'poll', null),
    (object, 'fetch', null), (object, 'resync', null), (object, 'fill', null), (object, 'build', null)
  on conflict on constraint streams_pkey do nothing;
  perform hubspot_private.pair_streams_make(object);
  delete from hubspot_private.streams s
  where s.object = streams_make.object and s.stream = 'settle' and s.range >= cardinality(hubspot_private.settle_windows());
  -- A window added while the object is live begins where the widest one stands.
  insert into hubspot_private.streams (object, stream, range, next_at, cursor)
  select object, 'settle', w.ordinality - 1, o.next_at, coalesce(o.cursor, '{}')
  from unnest(hubspot_private.settle_windows()) with ordinality w
  left join lateral (
    select hubspot_private.clock() as next_at, jsonb_build_object('date', s.cursor -> 'date') as cursor
    from hubspot_private.streams s
    where s.object = streams_make.object and s.stream = 'settle' and s.cursor ? 'date'
    order by (s.cursor ->> 'date')::bigint
    limit 1
  ) o on true
  on conflict on constraint streams_pkey do nothing;
end;
$$;
comment on function hubspot_private.streams_make(text) is 'Makes the streams that an object lacks, one settle stream for each window.';

create or replace function hubspot.track(object text, properties text[] default null, on_delete text default 'delete')
returns void
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_object hubspot_private.objects := hubspot_private.object_find(object);
  v_unknown text;
  v_rows bigint := 0;
  v_is_marked boolean;
begin
  if object is null or v_object.name is null and object !~ '^[A-Za-z0-9_\-]{1,200}$' then
    perform hubspot_private.fail('object_unknown', coalesce(object, 'null'), hubspot_private.object_hint(coalesce(object, '')));
  end if;
  if on_delete is null or on_delete not in ('delete', 'mark') then
    perform hubspot_private.fail('argument_invalid', format('on_delete cannot be %s', coalesce(on_delete, 'null')), 'Give ''delete'' or ''mark''.');
  end if;
  if array_ndims(properties) > 1 then
    perform hubspot_private.fail('argument_invalid', 'properties are an array of arrays', 'Give their names alone: array[''email'', ''phone''].');
  end if;
  if array_position(properties, null) is not null or '' = any (properties) then
    perform hubspot_private.fail('argument_invalid', 'a property''s name is null or empty', 'Leave properties out to get all of them.');
  end if;
  if v_object.name is null and (select a.catalogue_at from hubspot_private.account a) is not null then
    perform hubspot_private.fail('object_unknown', object, hubspot_private.object_hint(object));
  end if;
  if v_object.archived_at is not null then
    perform hubspot_private.fail('object_unknown', object, hubspot_private.archived_hint(v_object));
  end if;
  select w into v_unknown
  from unnest(properties) w
  where exists (select from hubspot_private.properties p where p.object = v_object.name)
    and not exists (
      select from hubspot_private.properties p where p.object = v_object.name and p.property = w and p.archived_at is null)
  limit 1;
  if v_unknown is not null then
    perform hubspot_private.fail('property_unknown', v_object.name, v_unknown, coalesce(
      'Did you mean ' || hubspot_private.near_name(v_unknown, (
        select array_agg(p.property) from hubspot_private.properties p where p.object = v_object.name and p.archived_at is null)) || '?',
      format('select property from hubspot.properties where object = %L lists them.', v_object.name)));
  end if;
  if (v_object.is_tracked or v_object.column_set > 0) and v_object.on_delete = 'mark' and on_delete = 'delete' then
    -- The default of a call that only changes the properties; and rows that are marked are not to be taken for live ones.
    raise notice 'on_delete of % stays mark', v_object.name
      using hint = format('Make the table anew to change that: select hubspot.untrack(%L, drop_table => true); then track it.', v_object.name);
    on_delete := 'mark';
  end if;
  perform hubspot_private.name_free(v_object.table_name);
  if v_object.name is null then
    -- Its name is looked up once the catalogue is known.
    insert into hubspot_private.objects (name) values (object) on conflict (name) do nothing;
    v_object.name := object;
  end if;
  if v_object.column_set > 0 and not v_object.is_tracked and hubspot_private.mirror_table(v_object.table_name) is not null then
    execute format('select count(*) from hubspot.%I', v_object.table_name) into v_rows;
  end if;
  v_is_marked := v_object.column_set > 0 and v_object.on_delete <> on_delete and hubspot_private.mirror_table(v_object.table_name) is not null;
  if v_is_marked then
    perform hubspot_private.table_take(v_object.name);
    perform hubspot_private.marks_build(v_object.table_name);
  end if;
  update hubspot_private.objects o
  set is_tracked = true, wanted = properties, on_delete = track.on_delete,
    tracked_at = case when o.is_tracked then o.tracked_at else hubspot_private.clock() end
  where o.name = v_object.name;
  if v_is_marked then
    perform hubspot_private.apply_generate(v_object.name);
    perform hubspot_private.live_follow(v_object.table_name);
  end if;
  perform hubspot_private.streams_make(v_object.name);
  if v_object.is_tracked then
    perform hubspot_private.run_request(v_object.name, 'schema');
  else
    update hubspot_private.streams s
    set rows = v_rows
    where s.object = v_object.name and s.stream = 'backfill';
    update hubspot_private.objects o set is_kept = v_rows > 0 where o.name = v_object.name;
    perform hubspot_private.stream_call(v_object.name, 'schema');
    perform hubspot_private.live_follow();
  end if;
end;
$$;
comment on function hubspot.track(text, text[], text) is
  'Mirrors an object into table hubspot.<object>: a standard one by name, a custom one by name, fully qualified name or type id. properties: null for all. on_delete: delete rows, or mark them in _archived_at, from now on. Again with other properties: changes the choice. SH020, SH102, SH103, SH104, SH220.';

create or replace function hubspot.untrack(object text, drop_table boolean default false)
returns void
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_object hubspot_private.objects := hubspot_private.object_find(object);
  v_tables text[];
begin
  -- What is no longer tracked may still have its table.
  if v_object.name is null or not (v_object.is_tracked or drop_table and v_object.column_set > 0) then
    v_object := hubspot_private.object_tracked(object);
  end if;
  if drop_table then
    select array_agg(t.name) into v_tables
    from (
      select hubspot_private.mirror_table(v_object.table_name)
      union all
      select hubspot_private.mirror_table(p.table_name) from hubspot_private.pairs p where p.from_object = v_object.name
    ) t (name)
    where t.name is not null;
    perform hubspot_private.object_lock(v_object.number, true);
    perform hubspot_private.ddl_run(array(select format('lock table %s in access exclusive mode', t) from unnest(v_tables) t), v_tables);
  end if;
  delete from hubspot_private.streams s where s.object = v_object.name;
  delete from hubspot_private.schedules s where s.object = v_object.name;
  delete from hubspot_private.fetch_queue q where q.object = v_object.name;
  delete from hubspot_private.fetch_asks a where a.object_number = v_object.number;
  delete from hubspot_private.hints h where h.object = v_object.name;
  delete from hubspot_private.absences a where a.object = v_object.name;
  delete from hubspot_private.listed l where l.object = v_object.name;
  delete from hubspot_private.completeness c where c.object = v_object.name;
  update hubspot_private.properties p set unreadable_at = null, fill_run = null, next_seq = null where p.object = v_object.name;
  perform hubspot_private.pairs_stop(v_object.name, drop_table);
  update hubspot_private.runs r set state = 'stopped', finished_at = hubspot_private.clock()
  where r.object = v_object.name and r.state in ('waiting', 'running');
  update hubspot_private.problems p set resolved_at = hubspot_private.clock()
  where p.object = v_object.name and p.resolved_at is null;
  update hubspot_private.objects o
  set is_tracked = false, is_paused = false, wanted = null, loaded_at = null, total = null, tracked_at = null, searches_from = null,
    held_since = null
  where o.name = v_object.name;
  if drop_table and v_object.column_set > 0 then
    perform hubspot_private.table_drop(v_object.table_name);
    perform hubspot_private.apply_drop(v_object.number);
    delete from hubspot_private.apply_statements a where a.object = v_object.name;
    delete from hubspot_private.tombstones g where g.object = v_object.name;
    update hubspot_private.properties p
    set is_selected = false, column_name = null, column_type = null, locked_at = null, deselected_at = null, made_for = null,
      chosen_type = null, next_column = null, next_type = null, is_untidy = false
    where p.object = v_object.name;
    update hubspot_private.objects o set column_set = 0, on_delete = 'delete', resync_started_at = '-infinity'
    where o.name = v_object.name;
  end if;
  delete from hubspot_private.objects o where o.name = v_object.name and o.object_type_id is null and o.label is null;
  perform hubspot_private.live_follow();
end;
$$;
comment on function hubspot.untrack(text, boolean) is
  'Stops mirroring an object; its table stays as it is, or goes with drop_table => true. So do the tables of its records'' associations, which are read again once it is tracked again; those of other objects with it go on. SH101, SH127, SH220.';

create or replace function hubspot_private.property_placed(o hubspot_private.objects, property text)
returns hubspot_private.properties
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_property hubspot_private.properties;
begin
  select p.* into v_property from hubspot_private.properties p where p.object = o.name and p.property = property_placed.property for update;
  if not found then
    perform hubspot_private.fail('property_unknown', o.name, coalesce(property, 'null'), coalesce(
      'Did you mean ' || hubspot_private.near_name(property, (
        select array_agg(p.property) from hubspot_private.properties p where p.object = o.name)) || '?',
      format('select property, column_name from hubspot.properties where object = %L lists them.', o.name)));
  end if;
  if v_property.column_name is null or not exists (
    select from pg_attribute a where a.attrelid = to_regclass(format('hubspot.%I', o.table_name)) and a.attname = v_property.column_name and not a.attisdropped
  ) then
    perform hubspot_private.fail('argument_invalid', format('property %s of %s has no column', property, o.name),
      case when v_property.is_selected then 'Beyond the ceiling values are in _extra: select * from hubspot.settings where name = ''max_columns'';'
        else format('Choose it first: select hubspot.track(%L, properties => …);', o.name) end);
  end if;
  return v_property;
end;
$$;
comment on function hubspot_private.property_placed(hubspot_private.objects, text) is 'A property that has a column, its row held; or SH103, SH104.';

create or replace function hubspot_private.table_take(object text)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_object hubspot_private.objects;
  v_table text;
begin
  select o.* into strict v_object from hubspot_private.objects o where o.name = table_take.object;
  -- Pages of our own are waited for: they are over in a moment.
  perform hubspot_private.object_lock(v_object.number, true);
  v_table := format('hubspot.%I', v_object.table_name);
  perform hubspot_private.ddl_run(array[format('lock table %s in access exclusive mode', v_table)], array[v_table]);
end;
$$;
comment on function hubspot_private.table_take(text) is
  'Takes a mirror table for a verb that changes its columns; SH220 where others hold it.';

create or replace function hubspot.rename_column(object text, property text, column_name text)
returns void
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_object hubspot_private.objects := hubspot_private.object_tracked(object);
  v_property hubspot_private.properties;
  v_table regclass := to_regclass(format('hubspot.%I', v_object.table_name));
  v_why text;
begin
  v_property := hubspot_private.property_placed(v_object, property);
  v_why := case
    when column_name is null then 'a column''s name cannot be null'
    when column_name = '' then 'a column''s name cannot be empty'
    when octet_length(column_name) > 63 then format('column name %s has %s bytes', column_name, octet_length(column_name))
    when column_name = any (hubspot_private.reserved_names()) then format('column name %s is reserved', column_name)
    when column_name <> v_property.column_name and exists (
      select from pg_attribute a where a.attrelid = v_table and a.attname = column_name and not a.attisdropped)
      or exists (
        select from hubspot_private.properties p
        where p.object = v_object.name and p.column_name = rename_column.column_name and p.property <> v_property.property)
      then format('table hubspot.%I has a column %s', v_object.table_name, column_name)
  end;
  if v_why is not null then
    perform hubspot_private.fail('argument_invalid', v_why, format(
      'Give a name of 1 to 63 bytes that table hubspot.%I does not have; reserved: %s.',
      v_object.table_name, array_to_string(hubspot_private.reserved_names(), ', ')));
  end if;
  if column_name <> v_property.column_name then
    perform hubspot_private.object_lock(v_object.number, true);
    -- The live table first: who reads it may read this one through it next, a deadlock that nobody would see.
    perform hubspot_private.ddl_run(
      array[hubspot_private.live_rename_statement(v_object.table_name, v_property.column_name, column_name),
        format('alter table %s rename column %I to %I', v_table, v_property.column_name, column_name)],
      array[format('hubspot_live.%I', v_object.table_name), format('hubspot.%I', v_object.table_name)]);
    update hubspot_private.properties p
    set column_name = rename_column.column_name, locked_at = hubspot_private.clock()
    where p.object = v_object.name and p.property = v_property.property;
    perform hubspot_private.apply_generate(v_object.name);
  end if;
end;
$$;
comment on function hubspot.rename_column(text, text, text) is
  'Gives the column of a property another name, for good. Views and indexes go on; queries must name it anew. Where others hold the table it gives up within seconds. SH101, SH103, SH104, SH220.';
