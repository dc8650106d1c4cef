-- The mirror's tables: made and widened as properties become known, read-only, commented; and the statements that fill them.
create or replace function hubspot_private.column_type_for(type text, field_type text)
returns text
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
  select case column_type_for.type
    when 'number' then 'numeric'
    when 'bool' then 'boolean'
    when 'date' then 'date'
    when 'datetime' then 'timestamptz'
    when 'enumeration' then case when column_type_for.field_type = 'checkbox' then 'text[]' else 'text' end
    else 'text'
  end;
$$;
comment on function hubspot_private.column_type_for(text, text) is 'The type of a property''s column, by the property''s type.';

create or replace function hubspot_private.cast_expression(column_type text, raw text)
returns text
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
  select format('hubspot_private.cast_%s(%s)',
    case cast_expression.column_type when 'text[]' then 'text_array' else cast_expression.column_type end,
    cast_expression.raw);
$$;
comment on function hubspot_private.cast_expression(text, text) is 'SQL text that casts raw text tolerantly.';

create or replace function hubspot_private.refuse_write()
returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  -- The sync's own writes are known by a private row that marks this transaction. Writes from users' triggers are deeper, and so is
  -- what a foreign key of theirs does, of no row as a rule: refuse_row() looks at those.
  if tg_op <> 'TRUNCATE' and exists (
    select from hubspot_private.streams s
    join hubspot_private.objects o on o.name = s.object
    where s.writer = pg_current_xact_id_if_assigned() and (pg_trigger_depth() > 1 or o.number = tg_argv[0]::integer)
  ) then
    return null;
  end if;
  perform hubspot_private.fail('table_read_only', tg_table_name);
  return null;
end;
$$;
comment on function hubspot_private.refuse_write() is 'Trigger: only the sync writes the mirror. SH105 for anyone else.';
revoke all on function hubspot_private.refuse_write() from public;

create or replace function hubspot_private.comment_set(target text, was text, now text)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  if was is distinct from now then
    execute format('comment on %s is %L', target, now);
  end if;
end;
$$;
comment on function hubspot_private.comment_set(text, text, text) is 'Comments on something, if that changes what it says.';

create or replace function hubspot_private.reserved_names()
returns text[]
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
  select '{id,_created_at,_updated_at,_archived_at,_synced_at,_extra,tableoid,xmin,cmin,xmax,cmax,ctid}'::text[];
$$;
comment on function hubspot_private.reserved_names() is 'Names that no property''s column can have: Postgres'' own, and ours.';

create or replace function hubspot_private.has_room(table_name name)
returns boolean
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  -- Postgres allows 1,600 columns, and one that was dropped counts for good: from 1,500 ever made none is added.
  select max(a.attnum) < 1500 from pg_attribute a where a.attrelid = format('hubspot.%I', has_room.table_name)::regclass;
$$;
comment on function hubspot_private.has_room(name) is 'Whether a table can be given another column.';

create or replace function hubspot_private.columns_name(object text)
returns boolean
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_property record;
  v_taken text[];
  v_table regclass := to_regclass(format('hubspot.%I', (select o.table_name from hubspot_private.objects o where o.name = columns_name.object)));
  v_left integer := 1500 - (select max(a.attnum) from pg_attribute a where a.attrelid = v_table);
  v_room integer;
  v_name name;
  v_any boolean := false;
begin
  if v_left is not null then
    -- Someone dropped columns of ours: they are made anew while there is room.
    select v_left - count(*) into v_left
    from hubspot_private.properties p
    where p.object = columns_name.object and p.column_name is not null
      and not exists (select from pg_attribute a where a.attrelid = v_table and a.attname = p.column_name and not a.attisdropped);
    update hubspot_private.properties p
    set column_name = null, column_type = null, locked_at = null, made_for = null, next_type = null
    where v_left < 0 and p.object = columns_name.object and p.column_name is not null
      and not exists (select from pg_attribute a where a.attrelid = v_table and a.attname = p.column_name and not a.attisdropped);
  end if;
  select coalesce(array_agg(p.column_name::text), '{}'), least((hubspot_private.setting('max_columns'))::integer - count(*), v_left)
  into v_taken, v_room
  from hubspot_private.properties p
  where p.object = columns_name.object and p.column_name is not null;
  -- A column that someone else gave the table is his.
  v_taken := v_taken || array(select a.attname::text from pg_attribute a where a.attrelid = v_table and a.attnum > 0 and not a.attisdropped);
  -- Under a ceiling the account's own and the visible properties come first.
  for v_property in
    select p.property, p.type, p.field_type
    from hubspot_private.properties p
    where p.object = columns_name.object and p.is_selected and p.column_name is null and p.archived_at is null
    order by p.is_hidden, p.property like 'hs\_%', p.property
  loop
    exit when v_room <= 0;
    v_name := hubspot_private.short_name(v_property.property, v_taken, hubspot_private.reserved_names());
    update hubspot_private.properties p
    set column_name = v_name, column_type = coalesce(p.chosen_type, hubspot_private.column_type_for(p.type, p.field_type)),
      made_for = p.type, locked_at = hubspot_private.clock()
    where p.object = columns_name.object and p.property = v_property.property;
    v_taken := v_taken || v_name::text;
    v_room := v_room - 1;
    v_any := true;
  end loop;
  return v_any;
end;
$$;
comment on function hubspot_private.columns_name(text) is
  'Gives selected properties their column names and types, for good; true when there were any.';

create or replace function hubspot_private.marks_build(table_name name)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  if not exists (
    select from pg_attribute a
    where a.attrelid = format('hubspot.%I', table_name)::regclass and a.attname = '_archived_at' and not a.attisdropped
  ) then
    execute format('alter table hubspot.%I add column _archived_at timestamptz', table_name);
  end if;
  perform hubspot_private.comment_set(format('column hubspot.%I._archived_at', table_name), col_description(a.attrelid, a.attnum),
    'When the record was seen gone from HubSpot; null while it is there.')
  from pg_attribute a
  where a.attrelid = format('hubspot.%I', table_name)::regclass and a.attname = '_archived_at';
end;
$$;
comment on function hubspot_private.marks_build(name) is 'Gives a table, which is held for it, the column that on_delete => ''mark'' needs.';

create or replace function hubspot_private.table_lock(object text)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_object hubspot_private.objects;
  v_timeout constant text := current_setting('lock_timeout');
begin
  select o.* into strict v_object from hubspot_private.objects o where o.name = table_lock.object;
  -- Pages of our own are waited for: they are over in a moment, and one or another is always being applied.
  perform hubspot_private.object_lock(v_object.number, true);
  -- Whoever waits for this lock holds up every query that comes after: so nobody does, or for a tenth of a second.
  if v_object.held_since < hubspot_private.clock() - interval '10 minutes' then
    perform set_config('lock_timeout', '100ms', true);
    execute format('lock table hubspot.%I in access exclusive mode', v_object.table_name);
    perform set_config('lock_timeout', v_timeout, true);
  else
    execute format('lock table hubspot.%I in access exclusive mode nowait', v_object.table_name);
  end if;
end;
$$;
comment on function hubspot_private.table_lock(text) is 'Takes a mirror table for a change of columns, or raises 55P03 at once.';

create or replace function hubspot_private.table_build(object text)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_object hubspot_private.objects;
  v_table text;
  v_new text;
begin
  select o.* into strict v_object from hubspot_private.objects o where o.name = table_build.object;
  perform hubspot_private.name_free(v_object.table_name);
  v_table := format('hubspot.%I', v_object.table_name);
  if to_regclass(v_table) is null then
    execute format(
      'create table %s (id bigint primary key, _created_at timestamptz, _updated_at timestamptz, %s_synced_at timestamptz not null, _extra jsonb)',
      v_table, case when v_object.on_delete = 'mark' then '_archived_at timestamptz, ' end);
    execute format(
      'create trigger _000_read_only before insert or update or delete on %s for each statement execute function hubspot_private.refuse_write(%L)',
      v_table, v_object.number);
    perform hubspot_private.refuse_row_hang(v_table::regclass);
    perform hubspot_private.users_path_hang(v_table::regclass);
    execute format(
      'create trigger _000_no_truncate before truncate on %s for each statement execute function hubspot_private.refuse_write(%L)',
      v_table, v_object.number);
    perform hubspot_private.grants_apply(v_object.table_name);
  end if;
  if v_object.on_delete = 'mark' then
    perform hubspot_private.table_lock(object)
    where not exists (select from pg_attribute a where a.attrelid = v_table::regclass and a.attname = '_archived_at' and not a.attisdropped);
    perform hubspot_private.marks_build(v_object.table_name);
  end if;
  select string_agg(format('add column %I %s', p.column_name, p.column_type), ', '
    order by p.property like 'hs\_%', p.column_name)
  into v_new
  from hubspot_private.properties p
  where p.object = table_build.object and p.column_name is not null
    and not exists (
      select from pg_attribute a
      where a.attrelid = v_table::regclass and a.attname = p.column_name and not a.attisdropped);
  if v_new is not null then
    perform hubspot_private.table_lock(object);
    execute format('alter table %s %s', v_table, v_new);
  end if;
end;
$$;
comment on function hubspot_private.table_build(text) is
  'Makes or widens the table of an object, with its triggers and grants. Changes nothing when it is as it should be.';

create or replace function hubspot_private.table_comment(object text)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_object hubspot_private.objects;
  v_table text;
  v_column record;
begin
  select o.* into strict v_object from hubspot_private.objects o where o.name = table_comment.object;
  v_table := format('hubspot.%I', v_object.table_name);
  perform hubspot_private.comment_set('table ' || v_table, obj_description(v_table::regclass, 'pg_class'),
    format('%s of HubSpot (%s). Rows follow HubSpot; status: select * from hubspot.status where object = %L;',
      coalesce(v_object.label, v_object.name), coalesce(v_object.object_type_id, v_object.name), v_object.name));
  perform hubspot_private.comment_set('column ' || v_table || '.' || c.name, col_description(a.attrelid, a.attnum), c.comment)
  from (values
    ('id', 'HubSpot''s id'), ('_created_at', 'When HubSpot created the record.'),
    ('_updated_at', 'When HubSpot last changed the record: its version.'),
    ('_synced_at', 'When the answer that last changed this row was applied, by this database''s clock.'),
    ('_extra', 'Raw values without a column of their own: not castable, beyond the ceiling, or of a row that would be too wide; null as a rule.')
  ) as c (name, comment)
  join pg_attribute a on a.attrelid = v_table::regclass and a.attname = c.name;
  for v_column in
    select p.column_name, a.attnum,
      concat_ws(': ', nullif(p.label, ''), nullif(p.description, '')) || case
        when p.archived_at is not null then ' (archived in HubSpot)'
        when not p.is_selected then ' (no longer chosen'
          || coalesce(to_char(p.deselected_at at time zone 'UTC', '" since "YYYY-MM-DD HH24:MI "UTC"'), '') || ': not kept up to date)'
        when p.unreadable_at is not null then ' (HubSpot refuses to show it'
          || to_char(p.unreadable_at at time zone 'UTC', '" since "YYYY-MM-DD HH24:MI "UTC"') || ': not kept up to date)'
        when p.next_type is not null then format(' (changes to type %s: until its next column is filled, values that are no %s are in _extra)', p.next_type, p.column_type)
        when r.id is not null then ' (being filled, run ' || r.id || ': until it is done, some rows lack it or hold an older value)'
        else '' end as comment
    from hubspot_private.properties p
    join pg_attribute a on a.attrelid = v_table::regclass and a.attname = p.column_name and not a.attisdropped
    left join hubspot_private.runs r on r.id = p.fill_run and r.state in ('waiting', 'running')
    where p.object = table_comment.object
    union all
    select p.next_column, a.attnum, format('What becomes column %I, of type %s: being filled.', p.column_name, p.next_type)
    from hubspot_private.properties p
    join pg_attribute a on a.attrelid = v_table::regclass and a.attname = p.next_column and not a.attisdropped
    where p.object = table_comment.object
  loop
    perform hubspot_private.comment_set(format('column %s.%I', v_table, v_column.column_name),
      col_description(v_table::regclass, v_column.attnum), v_column.comment);
  end loop;
end;
$$;
comment on function hubspot_private.table_comment(text) is
  'Says in the comments of a table and its columns what they are and how fresh. Changes nothing when it is as it should be.';
