-- A column's type is never changed in place: that would rewrite the table under a lock. Another column is added, filled, and takes
-- the old one's name. Where something of a user's hangs on the old one, it stays. Rows that no read fills, of records that are gone
-- or that a trigger refuses, are carried over from the old column first; while one cannot be written, the old one stays.
create or replace function hubspot_private.column_uses(table_name name, column_name name)
returns text[]
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  with a as (
    select a.attrelid, a.attnum, a.attnotnull, a.attacl
    from pg_attribute a
    where a.attrelid = format('hubspot.%I', column_uses.table_name)::regclass
      and a.attname = column_uses.column_name and not a.attisdropped
  )
  select coalesce(array_agg(distinct u.what order by u.what), '{}')
  from (
    -- A view hangs on it by its rule.
    select pg_describe_object(
      case when r.oid is null then d.classid else 'pg_class'::regclass end, coalesce(r.ev_class, d.objid),
      case when r.oid is null then d.objsubid else 0 end)
    from a
    join pg_depend d on d.refclassid = 'pg_class'::regclass and d.refobjid = a.attrelid and d.refobjsubid = a.attnum
    left join pg_rewrite r on d.classid = 'pg_rewrite'::regclass and r.oid = d.objid
    union all
    select 'a not-null constraint' from a where a.attnotnull
    union all
    select 'privileges on the column' from a where a.attacl is not null
  ) u (what);
$$;
comment on function hubspot_private.column_uses(name, name) is
  'What would be lost with a column: views, indexes, constraints, triggers, policies, publications, functions that name it.';

create or replace function hubspot_private.column_type_wanted(p hubspot_private.properties)
returns text
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  -- As chosen; else as it was made, while HubSpot's type is still the one it was made for.
  select coalesce(p.chosen_type,
    case when p.made_for = p.type then p.column_type else hubspot_private.column_type_for(p.type, p.field_type) end);
$$;
comment on function hubspot_private.column_type_wanted(hubspot_private.properties) is 'The type that a property''s column should have.';

create or replace function hubspot_private.next_drop(table_name name, p hubspot_private.properties)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  if exists (
    select from pg_attribute a
    where a.attrelid = format('hubspot.%I', table_name)::regclass and a.attname = p.next_column and not a.attisdropped
  ) then
    perform hubspot_private.table_lock(p.object);
    execute format('alter table hubspot.%I drop column %I', table_name, p.next_column);
  end if;
  update hubspot_private.properties q
  set next_column = null, next_type = null, next_seq = null, carry_refusal = null
  where q.object = p.object and q.property = p.property;
end;
$$;
comment on function hubspot_private.next_drop(name, hubspot_private.properties) is 'Gives up the column that was to take the place of a property''s.';

create or replace function hubspot_private.next_add(table_name name, p hubspot_private.properties, type text)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_name name := hubspot_private.short_name('_' || p.column_name || '_next', array(
    select a.attname::text from pg_attribute a where a.attrelid = format('hubspot.%I', table_name)::regclass
    union all
    select q.column_name::text from hubspot_private.properties q where q.object = p.object), hubspot_private.reserved_names());
begin
  perform hubspot_private.table_lock(p.object);
  execute format('alter table hubspot.%I add column %I %s', table_name, v_name, type);
  update hubspot_private.properties q
  set next_column = v_name, next_type = next_add.type, next_seq = null, fill_run = null, carry_refusal = null
  where q.object = p.object and q.property = p.property;
end;
$$;
comment on function hubspot_private.next_add(name, hubspot_private.properties, text) is 'Adds the column that is to take the place of a property''s.';

create or replace function hubspot_private.next_swap(table_name name, p hubspot_private.properties)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  perform hubspot_private.table_lock(p.object);
  execute format('alter table hubspot.%I drop column %I', table_name, p.column_name);
  execute format('alter table hubspot.%I rename column %I to %I', table_name, p.next_column, p.column_name);
  update hubspot_private.properties q
  set column_type = p.next_type, made_for = p.type, locked_at = hubspot_private.clock(), next_column = null, next_type = null, next_seq = null,
    carry_refusal = null, is_untidy = true
  where q.object = p.object and q.property = p.property;
  -- It is filled: what stands in another place than before is read again otherwise.
  update hubspot_private.apply_statements s
  set places = s.places || jsonb_build_object(p.property, (
    select a.attnum from pg_attribute a
    where a.attrelid = format('hubspot.%I', table_name)::regclass and a.attname = p.column_name and not a.attisdropped))
  where s.object = p.object;
end;
$$;
comment on function hubspot_private.next_swap(name, hubspot_private.properties) is 'Puts the column that was filled in the place of the old one.';

create or replace function hubspot_private.next_is_read(p hubspot_private.properties)
returns boolean
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  -- Ids in the queue are read whole, with both columns.
  select (next_is_read.p).next_seq is not null and not exists (
    select from hubspot_private.fetch_queue f
    where f.object = (next_is_read.p).object and f.seq < (next_is_read.p).next_seq and f.reason <> 'refused');
$$;
comment on function hubspot_private.next_is_read(hubspot_private.properties) is
  'Whether the column that is to take the place of a property''s has all that reads fill it with.';

create or replace function hubspot_private.unfilled_rows(table_name name, p hubspot_private.properties)
returns text
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
  -- A read keeps in _extra what does not fit both.
  select format('hubspot.%I t where t.%I is not null and t.%I is null and t._extra ? %L is not true',
    unfilled_rows.table_name, (unfilled_rows.p).column_name, (unfilled_rows.p).next_column, (unfilled_rows.p).property);
$$;
comment on function hubspot_private.unfilled_rows(name, hubspot_private.properties) is
  'SQL text after from: the rows t whose values are in a property''s old column alone.';

create or replace function hubspot_private.retypes_build(object text)
returns boolean
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_object hubspot_private.objects;
  p hubspot_private.properties;
  v_wanted text;
  v_uses text[];
  v_why text;
  v_kept text[] := '{}';
  v_is_waiting boolean := false;
  v_is_unfilled boolean;
begin
  select o.* into strict v_object from hubspot_private.objects o where o.name = object;
  for p in
    select q.* from hubspot_private.properties q
    where q.object = v_object.name and q.column_name is not null
      and (q.next_column is not null or q.made_for is distinct from q.type or hubspot_private.column_type_wanted(q) <> q.column_type)
    order by q.property
  loop
    v_wanted := hubspot_private.column_type_wanted(p);
    v_uses := hubspot_private.column_uses(v_object.table_name, p.column_name);
    if p.next_column is not null and (
      p.next_type is distinct from v_wanted or v_wanted = p.column_type or v_uses <> '{}'
      or not p.is_selected or p.archived_at is not null or p.unreadable_at is not null
      or not exists (
        select from pg_attribute a
        where a.attrelid = format('hubspot.%I', v_object.table_name)::regclass and a.attname = p.next_column and not a.attisdropped))
    then
      perform hubspot_private.next_drop(v_object.table_name, p);
      p.next_column := null;
    end if;
    if v_wanted = p.column_type then
      update hubspot_private.properties q set made_for = p.type where q.object = p.object and q.property = p.property;
    elsif p.is_selected and p.archived_at is null and p.unreadable_at is null then
      v_why := case
        when v_uses <> '{}' then 'on it depends ' || array_to_string(v_uses, ', ')
        when p.next_column is null and not hubspot_private.has_room(v_object.table_name) then 'the table can be given no more columns'
      end;
      if v_why is not null then
        v_kept := v_kept || p.property;
        perform hubspot_private.problem_report('SH221', object,
          format('column hubspot.%I.%I stays %s, though property %s is a %s now: %s',
            v_object.table_name, p.column_name, p.column_type, p.property, p.type, left(v_why, 1500)),
          format('Values that are no %s are in _extra. Drop what depends on it and run select hubspot.retype_column(%L, %L, %L); or keep its type: select hubspot.retype_column(%2$L, %3$L, %1$L);',
            p.column_type, object, p.property, v_wanted), null, p.property);
      elsif p.next_column is null then
        perform hubspot_private.next_add(v_object.table_name, p, v_wanted);
      elsif not hubspot_private.next_is_read(p) then
        v_is_waiting := v_is_waiting or p.next_seq is not null;
      else
        execute format('select exists (select from %s)', hubspot_private.unfilled_rows(v_object.table_name, p)) into v_is_unfilled;
        if not v_is_unfilled then
          perform hubspot_private.next_swap(v_object.table_name, p);
        elsif p.carry_refusal is null then
          v_is_waiting := true;
        else
          v_kept := v_kept || p.property;
          perform hubspot_private.problem_report('SH221', object,
            format('column hubspot.%I.%I stays %s, though property %s is a %s now: not all rows can be written: %s',
              v_object.table_name, p.column_name, p.column_type, p.property, p.type, left(p.carry_refusal, 1500)),
            format('Values that are no %s are in _extra. Let your trigger or constraint pass these rows: they are tried every 15 minutes, and by select hubspot.retype_column(%L, %L, %L); or keep its type: select hubspot.retype_column(%2$L, %3$L, %1$L);',
              p.column_type, object, p.property, v_wanted), null, p.property);
        end if;
      end if;
    end if;
  end loop;
  update hubspot_private.problems q set resolved_at = hubspot_private.clock()
  where q.object = v_object.name and q.code = 'SH221' and q.resolved_at is null and q.property <> all (v_kept);
  return v_is_waiting;
end;
$$;
comment on function hubspot_private.retypes_build(text) is
  'Takes each property whose type is another than its column''s a step further; true where one waits for the fetch queue, or for rows to be carried over.';

create or replace function hubspot_private.tidy_case(object text, property text)
returns text
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  -- It goes where its column has it, and where it is no longer kept at all.
  select case when p.is_selected
    then format('case when t.%I is not null and hubspot_private.is_castable(%L, t._extra ->> %3$L)%4$s then %3$L end', p.column_name, p.column_type, p.property,
      case when p.next_type is not null then format(' and hubspot_private.is_castable(%L, t._extra ->> %L)', p.next_type, p.property) end)
    else quote_literal(p.property)
  end
  from hubspot_private.properties p
  where p.object = tidy_case.object and p.property = tidy_case.property
    and p.archived_at is null and (not p.is_selected or p.column_name is not null);
$$;
comment on function hubspot_private.tidy_case(text, text) is
  'SQL text: the property''s name where a row t need not keep a raw value of it in _extra, else null. Null where every row does.';

create or replace function hubspot.retype_column(object text, property text, type text)
returns void
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_object hubspot_private.objects := hubspot_private.object_tracked(object);
  p hubspot_private.properties := hubspot_private.property_placed(v_object, property);
  v_type text;
  v_uses text[];
begin
  select t.name into v_type
  from (values
    ('text', 'text'), ('varchar', 'text'), ('character varying', 'text'), ('numeric', 'numeric'), ('decimal', 'numeric'),
    ('boolean', 'boolean'), ('bool', 'boolean'), ('date', 'date'), ('timestamptz', 'timestamptz'),
    ('timestamp with time zone', 'timestamptz'), ('text[]', 'text[]')
  ) as t (given, name)
  where t.given = lower(btrim(type));
  if v_type is null and type is not null then
    perform hubspot_private.fail('argument_invalid', format('a property''s column cannot be of type %s', type),
      'Give text, numeric, boolean, date, timestamptz or text[]; or null for the type that HubSpot''s asks for.');
  end if;
  if not p.is_selected or p.archived_at is not null then
    perform hubspot_private.fail('argument_invalid',
      format('property %s of %s is %s', property, v_object.name, case when p.archived_at is null then 'not chosen' else 'archived in HubSpot' end),
      'A column that is not kept up to date cannot be filled anew.');
  end if;
  p.chosen_type := v_type;
  p.made_for := case when v_type is not null then p.made_for end;
  if hubspot_private.column_type_wanted(p) <> p.column_type then
    v_uses := hubspot_private.column_uses(v_object.table_name, p.column_name);
    if v_uses <> '{}' then
      perform hubspot_private.fail('column_in_use', format('%I.%I', v_object.table_name, p.column_name), array_to_string(v_uses, ', '));
    end if;
    if p.next_column is null and not hubspot_private.has_room(v_object.table_name) then
      perform hubspot_private.fail('argument_invalid', format('table hubspot.%I can be given no more columns', v_object.table_name),
        format('It has had 1,500. Make it anew: select hubspot.untrack(%L, drop_table => true); then track it.', v_object.name));
    end if;
  end if;
  update hubspot_private.properties q set chosen_type = v_type, made_for = p.made_for
  where q.object = p.object and q.property = p.property;
  -- The worker changes the table: nothing of it is locked until this transaction ends.
  insert into hubspot_private.streams (object, stream) values (v_object.name, 'build') on conflict on constraint streams_pkey do nothing;
  perform hubspot_private.run_request(v_object.name, 'build');
end;
$$;
comment on function hubspot.retype_column(text, text, text) is
  'Gives the column of a property a type for good: text, numeric, boolean, date, timestamptz, text[]; null: the one that HubSpot''s type asks for. A new column is filled and takes the old one''s place soon after. SH101, SH103, SH104, SH114.';
