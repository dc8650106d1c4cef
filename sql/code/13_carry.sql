-- Rows that no read fills (marked ones, those that a trigger kept or refuses), before a column of another type takes the place of theirs: their values are cast from the old column.
-- Triggers of users' fire as for any other update of a row: nothing but a superuser keeps them from it.
create or replace function hubspot_private.raw_expression(column_type text, value text)
returns text
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
  select format(case raw_expression.column_type
    when 'date' then 'pg_catalog.to_char(%s, ''YYYY-MM-DD'')'
    when 'timestamptz' then 'pg_catalog.to_char(%s at time zone ''UTC'', ''YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'')'
    when 'text[]' then 'pg_catalog.array_to_string(%s, '';'')'
    else '%s::text' end, raw_expression.value);
$$;
comment on function hubspot_private.raw_expression(text, text) is 'SQL text of the text that HubSpot writes for a value of a column.';

create or replace function hubspot_private.carry_due(object text, behind text)
returns text
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  p hubspot_private.properties;
  v_is_due boolean;
begin
  for p in
    select q.* from hubspot_private.properties q
    where q.object = object and (q.property > behind) is not false and q.is_selected and q.archived_at is null and q.unreadable_at is null
      and hubspot_private.next_is_read(q)
    order by q.property
  loop
    execute format('select exists (select from %s)', (
      select hubspot_private.unfilled_rows(o.table_name, p) from hubspot_private.objects o where o.name = object)) into v_is_due;
    exit when v_is_due;
  end loop;
  return case when v_is_due then p.property end;
end;
$$;
comment on function hubspot_private.carry_due(text, text) is 'The next property, behind another, whose column waits for rows to be carried over.';

create or replace function hubspot_private.carry_rows(o hubspot_private.objects, p hubspot_private.properties, ids bigint[], out carried bigint[], out refusal text)
returns record
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  -- Neither the version nor _synced_at moves: nothing was read.
  v_statement constant text := pg_catalog.format(
    'with w as (
       update hubspot.%1$I t
       set %2$I = s.value, _extra = case when s.value is null then coalesce(t._extra, ''{}'') || pg_catalog.jsonb_build_object(%3$L, s.raw) else t._extra end
       from (select x.id, x.raw, %4$s as value from (select t.id, %5$s as raw from hubspot.%1$I t where t.id = any ($1)) x) s
       where t.id = s.id
       returning t.id, s.raw, s.value is null as is_misfit
     )
     select array_agg(w.id), jsonb_object_agg(w.id, jsonb_build_object(%3$L, w.raw)) filter (where w.is_misfit) from w',
    o.table_name, p.next_column, p.property, hubspot_private.cast_expression(p.next_type, 'x.raw'),
    hubspot_private.raw_expression(p.column_type, pg_catalog.format('t.%I', p.column_name)));
  v_extras jsonb;
  v_all jsonb := '{}';
  v_id bigint;
  v_one bigint[];
begin
  if pg_catalog.current_setting('hubspot.careful', true) is distinct from 'true' then
    execute v_statement into carried, v_all using ids;
    perform pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
  else
    perform hubspot_private.constraints_check();
    foreach v_id in array ids loop
      begin
        execute v_statement into v_one, v_extras using array[v_id];
        perform pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
        carried := carried || v_one;
        v_all := v_all || coalesce(v_extras, '{}');
      exception when others or assert_failure then
        if sqlstate ~ '^(08|40|53|57|58)' or sqlstate = '55P03' then
          raise;
        end if;
        refusal := pg_catalog.format('record %s: %s (%s)', v_id, sqlerrm, sqlstate);
      end;
    end loop;
  end if;
  v_id := (select min(i) from pg_catalog.unnest(ids) i where i <> all (coalesce(carried, '{}')));
  refusal := coalesce(refusal, pg_catalog.format('record %s: a trigger of yours returns null, which leaves the row out', v_id));
  if v_id is null then
    refusal := null;
  end if;
  -- A record that is gone has no problems.
  perform hubspot_private.values_report(o.name, (
    select pg_catalog.jsonb_object_agg(e.key, e.value) from pg_catalog.jsonb_each(v_all) e
    where e.key::bigint = any (hubspot_private.absences_held(o, carried))));
end;
$$;
comment on function hubspot_private.carry_rows(hubspot_private.objects, hubspot_private.properties, bigint[]) is
  'Casts what these rows have in a property''s old column into the next; what does not fit goes to _extra, raw. Which were written, and why another was not.';
revoke all on function hubspot_private.carry_rows(hubspot_private.objects, hubspot_private.properties, bigint[]) from public;

create or replace function hubspot_private.carry_step(s hubspot_private.streams)
returns jsonb
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_object hubspot_private.objects;
  p hubspot_private.properties;
  v_property constant text := coalesce(s.cursor ->> 'carry', hubspot_private.carry_due(s.object, s.cursor ->> 'carried'));
  v_ids bigint[];
  v_free bigint[];
  v_last bigint;
  v_refusal text;
begin
  if v_property is null then
    return null;
  end if;
  select o.* into strict v_object from hubspot_private.objects o where o.name = s.object;
  select q.* into strict p from hubspot_private.properties q where q.object = s.object and q.property = v_property;
  perform hubspot_private.object_lock(v_object.number, false);
  if p.next_seq is not null then
    execute pg_catalog.format('select array_agg(i.id) from (select t.id from %s and t.id > $1 order by t.id limit 500) i',
      hubspot_private.unfilled_rows(v_object.table_name, p))
    into v_ids using coalesce((s.cursor ->> 'id')::bigint, -1);
  end if;
  -- What was said of a record that was erased since, was erased with it.
  v_refusal := s.cursor ->> 'refusal';
  v_refusal := case when not exists (
    select from hubspot_private.tombstones g
    where g.object = s.object and g.erased_at is not null and g.id = substring(v_refusal from '^record (\d{1,18}): ')::bigint) then v_refusal end;
  if v_ids is null then
    -- Null where others are left, which someone held: those are tried again soon.
    update hubspot_private.properties q set carry_refusal = v_refusal where q.object = s.object and q.property = v_property and q.next_seq is not null;
    return pg_catalog.jsonb_build_object('carried', v_property);
  end if;
  v_last := v_ids[pg_catalog.cardinality(v_ids)];
  execute pg_catalog.format(
    'select array_agg(l.id) from (select t.id from hubspot.%I t where t.id = any ($1) order by t.id %s skip locked) l', v_object.table_name, hubspot_private.row_lock(v_object.table_name))
  into v_free using v_ids;
  if v_free is not null then
    perform hubspot_private.stream_marks_writing(s.object, s.stream, s.range);
    select coalesce(v_refusal, c.refusal) into v_refusal from hubspot_private.carry_rows(v_object, p, v_free) c;
  end if;
  return pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object('carry', v_property, 'id', v_last, 'refusal', v_refusal));
end;
$$;
comment on function hubspot_private.carry_step(hubspot_private.streams) is
  'Carries some rows over to columns that are to take the place of others, in id order, and returns where stream build goes on; null when no property is left.';
revoke all on function hubspot_private.carry_step(hubspot_private.streams) from public;

-- Columns that no page fills, and how a row that is too wide for what it is to have finds room in them.
create or replace function hubspot_private.unfilled_columns(object text)
returns table (property text, column_name name, column_type text, is_kept boolean)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select p.property, p.column_name, p.column_type, p.archived_at is not null or p.unreadable_at is not null
  from hubspot_private.objects o
  join hubspot_private.properties p on p.object = o.name
  join pg_attribute a on a.attrelid = to_regclass(format('hubspot.%I', o.table_name)) and a.attname = p.column_name and not a.attisdropped
  where o.name = unfilled_columns.object and (not p.is_selected or p.archived_at is not null or p.unreadable_at is not null);
$$;
comment on function hubspot_private.unfilled_columns(text) is
  'Columns that no page fills: of properties that are no longer chosen, and of those that keep what they have.';

create or replace function hubspot_private.room_statement(object text, is_last boolean)
returns text
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  -- What is no longer chosen is still to be had from HubSpot: it goes first.
  select case
    when count(*) = 0 then 'select $1'
    else format('update hubspot.%I t set %s%s where t.id = $1 and (%s)', min(o.table_name), string_agg(format('%I = null', c.column_name), ', '),
      case when bool_or(c.is_kept) then format(
        ', _extra = nullif(coalesce(t._extra, ''{}'') || pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_object(%L::text[], array[%s])), ''{}'')',
        array_agg(c.property order by c.property) filter (where c.is_kept),
        string_agg(hubspot_private.raw_expression(c.column_type, format('t.%I', c.column_name)), ', ' order by c.property) filter (where c.is_kept))
      end,
      string_agg(format('t.%I is not null', c.column_name), ' or '))
  end
  from hubspot_private.objects o
  join hubspot_private.unfilled_columns(o.name) c on room_statement.is_last or not c.is_kept
  where o.name = room_statement.object;
$$;
comment on function hubspot_private.room_statement(text, boolean) is
  'SQL text that makes room in the row of id $1: it empties the columns of what is no longer chosen and, where is_last, moves what properties keep from columns to _extra.';
