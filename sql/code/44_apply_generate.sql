-- Each mirror table's functions, its change trigger's too, are generated when its columns change, and when this version generates other text than the last.
create or replace function hubspot_private.apply_fingerprint(object text)
returns text
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select md5(concat(o.table_name, o.modified_property, o.on_delete,
    (select string_agg(format('%s %s %s %s %s', p.property, p.column_name, p.column_type, p.next_column, p.next_type), e'\n' order by p.property)
     from hubspot_private.properties p
     where p.object = o.name and p.is_selected and p.archived_at is null and p.unreadable_at is null),
    hubspot_private.kept_properties(o.name)))
  from hubspot_private.objects o
  where o.name = apply_fingerprint.object;
$$;
comment on function hubspot_private.apply_fingerprint(text) is
  'The columns that the generated functions are made for; while it stays the same they are too.';

create or replace function hubspot_private.places(object text)
returns jsonb
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  -- By the column's number: one that someone dropped, and that was made anew, is another.
  select coalesce(jsonb_object_agg(p.property, case when p.column_name is null then -1 else a.attnum end), '{}')
  from hubspot_private.properties p
  join hubspot_private.objects o on o.name = p.object
  left join pg_attribute a on a.attrelid = to_regclass(format('hubspot.%I', o.table_name)) and a.attname = p.column_name and not a.attisdropped
  where p.object = places.object and p.is_selected and p.archived_at is null and p.unreadable_at is null;
$$;
comment on function hubspot_private.places(text) is
  'Where the values of what is asked for go: the number of a column, -1 for _extra, null for a column that is not there.';

create or replace function hubspot_private.apply_generator()
returns text
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select md5(string_agg(f.prosrc, e'\n' order by f.proname))
  from pg_proc f
  where f.pronamespace = 'hubspot_private'::regnamespace
    and f.proname in ('apply_source', 'apply_columns', 'kept_properties', 'unfilled_columns', 'judge_function', 'differing_function', 'write_function', 'cast_expression', 'widest', 'row_room',
      'change_function', 'change_insert', 'change_columns');
$$;
comment on function hubspot_private.apply_generator() is 'Which text the functions are generated from: an upgrade that changes it generates them anew.';

create or replace function hubspot_private.apply_generate(object text)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_object hubspot_private.objects;
  v_table text;
  v_marks boolean;
  v_emptied text[];
begin
  update hubspot_private.objects o set column_set = o.column_set + 1
  where o.name = apply_generate.object
  returning o.* into strict v_object;
  v_table := format('hubspot.%I', v_object.table_name);
  v_marks := exists (
    select from pg_attribute a
    where a.attrelid = v_table::regclass and a.attname = '_archived_at' and not a.attisdropped);
  -- In a table that can be too wide, columns that no page fills may be emptied to make room.
  v_emptied := array(
    select c.column_name::text from hubspot_private.unfilled_columns(v_object.name) c
    where hubspot_private.row_room() < (
      select sum(hubspot_private.widest(w.column_type))
      from (select a.column_type from hubspot_private.apply_columns(v_object.name) a union all select u.column_type from hubspot_private.unfilled_columns(v_object.name) u) w)
    order by c.column_name);
  execute hubspot_private.judge_function(v_object.number, v_table);
  execute hubspot_private.differing_function(v_object.name, v_object.number, v_table, v_marks);
  execute hubspot_private.write_function(v_object.name, v_object.number, v_table, v_marks);
  execute hubspot_private.change_function(v_object.number, v_table,
    array(select c.column_name::text from hubspot_private.apply_columns(v_object.name) c order by c.n) || '{_extra}' || v_emptied, v_marks);
  perform hubspot_private.change_triggers(v_table::regclass, format('hubspot_private.changes_%s()', v_object.number), v_object.has_changes);
  insert into hubspot_private.apply_statements as a (object, fingerprint, generator, places)
  values (v_object.name, hubspot_private.apply_fingerprint(v_object.name), hubspot_private.apply_generator(),
    hubspot_private.places(v_object.name))
  on conflict on constraint apply_statements_pkey
  do update set fingerprint = excluded.fingerprint, generator = excluded.generator, places = excluded.places;
end;
$$;
comment on function hubspot_private.apply_generate(text) is
  'Generates the functions that fill an object''s table and counts its column set up.';

create or replace function hubspot_private.apply_drop(object_number integer)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_function regprocedure;
begin
  for v_function in
    select f.oid from pg_proc f
    where f.pronamespace = 'hubspot_private'::regnamespace
      and f.proname in (format('judge_%s', object_number), format('differing_%s', object_number), format('write_%s', object_number),
        format('changes_%s', object_number))
      -- While the table is there, so is its trigger.
      and not exists (select from pg_trigger t where t.tgfoid = f.oid)
  loop
    execute format('drop function %s', v_function);
  end loop;
end;
$$;
comment on function hubspot_private.apply_drop(integer) is 'Drops the generated functions of a table.';

do $$
begin
  -- Dropped first: what an older version made may answer in another shape.
  perform hubspot_private.apply_drop(o.number), hubspot_private.apply_generate(o.name)
  from hubspot_private.apply_statements a
  join hubspot_private.objects o on o.name = a.object
  where a.generator <> hubspot_private.apply_generator();
end;
$$;
