-- Definitions: what HubSpot says of an object's properties and pipelines, and the columns that follow from it.
create or replace function hubspot_private.properties_apply(object text, answer jsonb)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  if jsonb_typeof(answer -> 'results') is distinct from 'array' then
    perform hubspot_private.fail('answer_unreadable', 'the properties have no results');
  end if;
  if answer -> 'results' = '[]' then
    -- Every object has some: taken at its word, this would archive them all.
    perform hubspot_private.fail('answer_unreadable', 'there are no properties in it');
  end if;
  insert into hubspot_private.properties as p
    (object, property, label, description, type, field_type, is_calculated, is_read_only, is_hidden, archived_at)
  select distinct on (d ->> 'name')
    properties_apply.object, d ->> 'name', d ->> 'label', d ->> 'description', coalesce(d ->> 'type', 'string'), d ->> 'fieldType',
    coalesce(hubspot_private.cast_boolean(d ->> 'calculated'), false),
    coalesce(hubspot_private.cast_boolean(d #>> '{modificationMetadata,readOnlyValue}'), false),
    coalesce(hubspot_private.cast_boolean(d ->> 'hidden'), false),
    case when hubspot_private.cast_boolean(d ->> 'archived') then coalesce(hubspot_private.cast_timestamptz(d ->> 'archivedAt'), hubspot_private.clock()) end
  from jsonb_array_elements(answer -> 'results') d
  -- Only text is a name.
  where jsonb_typeof(d -> 'name') = 'string' and d ->> 'name' <> ''
  order by d ->> 'name'
  on conflict on constraint properties_pkey do update set
    label = excluded.label, description = excluded.description, type = excluded.type, field_type = excluded.field_type,
    is_calculated = excluded.is_calculated, is_read_only = excluded.is_read_only, is_hidden = excluded.is_hidden,
    archived_at = excluded.archived_at
  where (p.label, p.description, p.type, p.field_type, p.is_calculated, p.is_read_only, p.is_hidden, p.archived_at)
    is distinct from (excluded.label, excluded.description, excluded.type, excluded.field_type,
      excluded.is_calculated, excluded.is_read_only, excluded.is_hidden, excluded.archived_at);
  -- The list holds every property that is not archived: what it lacks is archived, its column kept. One without a name may be any.
  update hubspot_private.properties p
  set archived_at = hubspot_private.clock()
  where p.object = properties_apply.object and p.archived_at is null
    and not exists (
      select from jsonb_array_elements(answer -> 'results') d where d ->> 'name' = p.property or jsonb_typeof(d -> 'name') is distinct from 'string');
end;
$$;
comment on function hubspot_private.properties_apply(text, jsonb) is 'Takes in an object''s property definitions.';

create or replace function hubspot_private.definitions_write(statement text, rows jsonb, out refused integer, out why text)
returns record
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_half constant integer := jsonb_array_length(rows) / 2;
  v_detail text;
  v_part record;
begin
  refused := 0;
  begin
    execute statement using rows;
    set constraints all immediate;
    return;
  exception when others or assert_failure then
    -- A server that stops or is full, a bug: no row's fault.
    if sqlstate ~ '^(08|53|57|58|XX)' then
      raise;
    end if;
    get stacked diagnostics v_detail = pg_exception_detail;
    why := concat_ws(': ', sqlerrm, nullif(v_detail, ''));
  end;
  if v_half = 0 then
    refused := 1;
    return;
  end if;
  -- By halves: few rows are refused, and a block for each of thousands costs more than the rows.
  why := null;
  for v_part in
    select w.refused, w.why
    from (
      select jsonb_agg(r.value order by r.ordinality) as rows
      from jsonb_array_elements(rows) with ordinality r
      group by r.ordinality > v_half
    ) h
    cross join lateral hubspot_private.definitions_write(statement, h.rows) w
  loop
    refused := refused + v_part.refused;
    why := coalesce(why, v_part.why);
  end loop;
end;
$$;
comment on function hubspot_private.definitions_write(text, jsonb) is
  'Runs a statement over rows ($1); where something refuses it, over those that nothing refuses. How many were, and by what.';

create or replace function hubspot_private.definitions_follow(table_name name, keys text[], scope text, rows jsonb, object text, property text)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
-- Nobody holds up the rest of an answer for longer.
set lock_timeout = '100ms'
as $$
#variable_conflict use_variable
declare
  v_table constant text := format('hubspot.%I', table_name);
  v_now constant text := format('jsonb_populate_recordset(null::%s, $1) n', v_table);
  v_key constant text := (select string_agg(format('t.%1$I = n.%1$I', k), ' and ') from unnest(keys) k);
  -- Columns that someone else gave the table are his.
  v_columns constant text[] := coalesce(nullif(array(select jsonb_object_keys(rows -> 0)), '{}'), keys);
  v_names text;
  v_set text;
  v_write record;
  v_rows jsonb;
  v_part record;
  v_left integer := 0;
  v_why text;
begin
  select string_agg(quote_ident(c), ', '), string_agg(format('%1$I = n.%1$I', c), ', ') filter (where c <> all (keys)) into v_names, v_set from unnest(v_columns) c;
  begin
    execute format('lock table %s in row exclusive mode', v_table);
  exception when lock_not_available then
    perform hubspot_private.problem_report('SH218', object,
      format('%s stays as it is: another transaction holds the table', v_table), null, null, property);
    return;
  end;
  for v_write in execute format(
    'select d.op, jsonb_agg(d.row) as rows, case d.op when ''insert'' then %1$L when ''update'' then %2$L else %3$L end as statement
     from (
       select case when t.%4$I is null then ''insert'' when n.%4$I is null then ''delete'' else ''update'' end as op,
         case when n.%4$I is null then to_jsonb(t) else to_jsonb(n) end as row
       from (select %5$s from %6$s t where %7$s) t
       full join (select %5$s from %8$s) n on %9$s
       where t is distinct from n
     ) d
     group by d.op
     order by d.op desc',
    format('insert into %s (%s) select %2$s from %3$s', v_table, v_names, v_now),
    format('update %s t set %s from %s where %s', v_table, v_set, v_now, v_key),
    format('delete from %s t using %s where %s', v_table, v_now, v_key),
    keys[1], v_names, v_table, scope, v_now, v_key) using rows
  loop
    v_rows := v_write.rows;
    if v_write.op <> 'insert' then
      execute format(
        'select coalesce(jsonb_agg(to_jsonb(l)), ''[]'') from (select %s from %s join %s t on %s order by t.%s for %s of t skip locked) l',
        (select string_agg('n.' || quote_ident(c), ', ') from unnest(v_columns) c), v_now, v_table, v_key, array_to_string(keys, ', t.'),
        case v_write.op when 'update' then 'no key update' else 'update' end)
      into v_rows using v_write.rows;
      v_left := v_left + jsonb_array_length(v_write.rows) - jsonb_array_length(v_rows);
    end if;
    continue when v_rows = '[]';
    select w.* into v_part from hubspot_private.definitions_write(v_write.statement, v_rows) w;
    v_left := v_left + v_part.refused;
    v_why := coalesce(v_why, v_part.why);
  end loop;
  if v_left = 0 then
    perform hubspot_private.problem_resolve('{SH218}', object, null, property);
  else
    perform hubspot_private.problem_report('SH218', object,
      format('%s: %s %s as before: %s', v_table, v_left, case v_left when 1 then 'row stays' else 'rows stay' end,
        left(coalesce(v_why, 'another transaction holds them'), 1500)), null, null, property);
  end if;
end;
$$;
comment on function hubspot_private.definitions_follow(name, text[], text, jsonb, text, text) is
  'Makes the rows of a table of definitions, those t that scope names, what HubSpot says. What something of a user''s refuses or holds stays as it was until the next read, with a problem, SH218.';

create or replace function hubspot_private.options_apply(object text, answer jsonb)
returns void
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  with now_there as (
    select distinct on (d ->> 'name', o ->> 'value')
      options_apply.object, d ->> 'name' as property, o ->> 'value' as value, o ->> 'label' as label,
      hubspot_private.whole_number(o ->> 'displayOrder')::integer as display_order, coalesce(hubspot_private.cast_boolean(o ->> 'hidden'), false) as is_hidden
    from jsonb_array_elements(answer -> 'results') d
    cross join lateral jsonb_array_elements(case when jsonb_typeof(d -> 'options') = 'array' then d -> 'options' else '[]' end) o
    where jsonb_typeof(d -> 'name') = 'string' and d ->> 'name' <> '' and jsonb_typeof(o -> 'value') in ('string', 'number')
    order by d ->> 'name', o ->> 'value'
  )
  select hubspot_private.definitions_follow('property_options', '{object,property,value}',
    -- A property that says nothing of its options keeps them.
    format('t.object = %L and t.property <> all (%L::text[])', options_apply.object, array(
      select d ->> 'name' from jsonb_array_elements(answer -> 'results') d where jsonb_typeof(d -> 'options') is distinct from 'array')),
    coalesce(jsonb_agg(n), '[]'), options_apply.object, 'property_options')
  from now_there n;
$$;
comment on function hubspot_private.options_apply(text, jsonb) is 'Takes in the options of an object''s enumeration properties; one of which none are told keeps its own.';

create or replace function hubspot_private.pipelines_apply(object text, answer jsonb)
returns void
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  with p_now as (
    select distinct on (p ->> 'id') pipelines_apply.object, p ->> 'id' as id, p ->> 'label' as label, hubspot_private.whole_number(p ->> 'displayOrder')::integer as display_order,
      coalesce(hubspot_private.cast_boolean(p ->> 'archived'), false) as is_archived, p as body,
      hubspot_private.cast_timestamptz(p ->> 'createdAt') as created_at, hubspot_private.cast_timestamptz(p ->> 'updatedAt') as updated_at
    from jsonb_array_elements(answer -> 'results') p
    where jsonb_typeof(p -> 'id') in ('string', 'number')
  ),
  s_now as (
    select distinct on (p.id, s ->> 'id') pipelines_apply.object, p.id as pipeline_id, s ->> 'id' as id, s ->> 'label' as label,
      hubspot_private.whole_number(s ->> 'displayOrder')::integer as display_order, s -> 'metadata' as metadata,
      coalesce(hubspot_private.cast_boolean(s ->> 'archived'), false) as is_archived,
      hubspot_private.cast_timestamptz(s ->> 'createdAt') as created_at, hubspot_private.cast_timestamptz(s ->> 'updatedAt') as updated_at
    from p_now p
    cross join lateral jsonb_array_elements(case when jsonb_typeof(p.body -> 'stages') = 'array' then p.body -> 'stages' else '[]' end) s
    where jsonb_typeof(s -> 'id') in ('string', 'number')
  )
  select hubspot_private.definitions_follow('pipelines', '{object,id}', format('t.object = %L', pipelines_apply.object),
      (select coalesce(jsonb_agg(to_jsonb(n) - 'body'), '[]') from p_now n), pipelines_apply.object, 'pipelines'),
    hubspot_private.definitions_follow('pipeline_stages', '{object,pipeline_id,id}',
      format('t.object = %L and t.pipeline_id <> all (%L::text[])', pipelines_apply.object,
        array(select p.id from p_now p where jsonb_typeof(p.body -> 'stages') is distinct from 'array')),
      (select coalesce(jsonb_agg(n), '[]') from s_now n), pipelines_apply.object, 'pipeline_stages');
$$;
comment on function hubspot_private.pipelines_apply(text, jsonb) is 'Takes in an object''s pipelines and stages; what is gone there goes here. One of which no stages are told keeps its own.';

create or replace function hubspot_private.owners_apply(pages jsonb)
returns void
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  with now_there as (
    -- Someone deactivated and taken back may be listed on both sides: the active one counts.
    select distinct on ((o ->> 'id')::bigint) (o ->> 'id')::bigint as id, o ->> 'email' as email,
      o ->> 'firstName' as first_name, o ->> 'lastName' as last_name, o ->> 'type' as type,
      hubspot_private.whole_number(coalesce(o ->> 'userId', o ->> 'userIdIncludingInactive'), 999999999999999999)::bigint as user_id, o -> 'teams' as teams,
      coalesce(hubspot_private.cast_boolean(o ->> 'archived'), false) as is_archived,
      hubspot_private.cast_timestamptz(o ->> 'createdAt') as created_at, hubspot_private.cast_timestamptz(o ->> 'updatedAt') as updated_at
    from jsonb_array_elements(pages) p
    cross join lateral jsonb_array_elements(case when jsonb_typeof(p -> 'results') = 'array' then p -> 'results' else '[]' end) o
    where o ->> 'id' ~ '^[0-9]{1,18}$'
    order by (o ->> 'id')::bigint, coalesce(hubspot_private.cast_boolean(o ->> 'archived'), false)
  )
  select hubspot_private.definitions_follow('owners', '{id}', 'true', coalesce(jsonb_agg(n), '[]'), '*', 'owners')
  from now_there n;
$$;
comment on function hubspot_private.owners_apply(jsonb) is 'Takes in all pages of owners, active and archived.';

create or replace function hubspot_private.selection_mark(object text, wanted text[])
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_unknown text;
begin
  update hubspot_private.properties p
  set is_selected = not p.is_selected, deselected_at = case when p.is_selected then hubspot_private.clock() end
  where p.object = selection_mark.object
    and p.is_selected is distinct from (wanted is null or p.property = any (wanted));
  -- What is no longer asked for is no longer refused.
  update hubspot_private.properties p
  set unreadable_at = null, is_untidy = p.is_untidy or p.archived_at is null
  where p.object = selection_mark.object and p.unreadable_at is not null and (not p.is_selected or p.archived_at is not null);
  update hubspot_private.problems q
  set resolved_at = hubspot_private.clock()
  where q.object = selection_mark.object and q.resolved_at is null
    and (q.code = 'SH103' and (q.property <> all (wanted) or exists (
        select from hubspot_private.properties k
        where k.object = q.object and k.property = q.property and k.archived_at is null))
      or q.code = 'SH209' and exists (
        select from hubspot_private.properties k
        where k.object = q.object and k.property = q.property and k.archived_at is not null)
      or q.code = 'SH215' and not exists (
        select from hubspot_private.properties k
        where k.object = q.object and k.property = q.property and k.unreadable_at is not null));
  foreach v_unknown in array array(
    select w from unnest(wanted) w
    where not exists (
      select from hubspot_private.properties p where p.object = selection_mark.object and p.property = w and p.archived_at is null)
  ) loop
    perform hubspot_private.problem_report('SH103', object,
      format('object %s has no property %s', object, v_unknown),
      coalesce('Did you mean ' || hubspot_private.near_name(v_unknown, (
        select array_agg(p.property) from hubspot_private.properties p where p.object = selection_mark.object and p.archived_at is null)) || '? ', '')
        || format('Run select hubspot.track(%L, properties => …) with the names in hubspot.properties.', object),
      null, v_unknown);
  end loop;
end;
$$;
comment on function hubspot_private.selection_mark(text, text[]) is
  'Notes which properties are chosen (null: all), closes the problems that this ends, and names what does not exist.';
