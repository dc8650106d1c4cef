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
  where d ->> 'name' <> ''
  order by d ->> 'name'
  on conflict on constraint properties_pkey do update set
    label = excluded.label, description = excluded.description, type = excluded.type, field_type = excluded.field_type,
    is_calculated = excluded.is_calculated, is_read_only = excluded.is_read_only, is_hidden = excluded.is_hidden,
    archived_at = excluded.archived_at
  where (p.label, p.description, p.type, p.field_type, p.is_calculated, p.is_read_only, p.is_hidden, p.archived_at)
    is distinct from (excluded.label, excluded.description, excluded.type, excluded.field_type,
      excluded.is_calculated, excluded.is_read_only, excluded.is_hidden, excluded.archived_at);
  -- The list holds every property that is not archived: what it lacks is archived, its column kept.
  update hubspot_private.properties p
  set archived_at = hubspot_private.clock()
  where p.object = properties_apply.object and p.archived_at is null
    and not exists (select from jsonb_array_elements(answer -> 'results') d where d ->> 'name' = p.property);
end;
$$;
comment on function hubspot_private.properties_apply(text, jsonb) is 'Takes in an object''s property definitions.';

create or replace function hubspot_private.options_apply(object text, answer jsonb)
returns void
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  with now_there as (
    select distinct on (d ->> 'name', o ->> 'value')
      d ->> 'name' as property, o ->> 'value' as value, o ->> 'label' as label,
      hubspot_private.whole_number(o ->> 'displayOrder')::integer as display_order, coalesce(hubspot_private.cast_boolean(o ->> 'hidden'), false) as is_hidden
    from jsonb_array_elements(answer -> 'results') d
    cross join lateral jsonb_array_elements(case when jsonb_typeof(d -> 'options') = 'array' then d -> 'options' else '[]' end) o
    where d ->> 'name' <> '' and o ->> 'value' is not null
    order by d ->> 'name', o ->> 'value'
  ),
  gone as (
    delete from hubspot.property_options p
    where p.object = options_apply.object
      and not exists (select from now_there n where n.property = p.property and n.value = p.value)
  )
  insert into hubspot.property_options as p (object, property, value, label, display_order, is_hidden)
  select options_apply.object, n.property, n.value, n.label, n.display_order, n.is_hidden
  from now_there n
  on conflict (object, property, value) do update
  set label = excluded.label, display_order = excluded.display_order, is_hidden = excluded.is_hidden
  where (p.label, p.display_order, p.is_hidden) is distinct from (excluded.label, excluded.display_order, excluded.is_hidden);
$$;
comment on function hubspot_private.options_apply(text, jsonb) is 'Takes in the options of an object''s enumeration properties.';

create or replace function hubspot_private.pipelines_apply(object text, answer jsonb)
returns void
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  with p_now as (
    select distinct on (p ->> 'id') p ->> 'id' as id, p ->> 'label' as label, hubspot_private.whole_number(p ->> 'displayOrder')::integer as display_order,
      coalesce(hubspot_private.cast_boolean(p ->> 'archived'), false) as is_archived, p as body,
      hubspot_private.cast_timestamptz(p ->> 'createdAt') as created_at, hubspot_private.cast_timestamptz(p ->> 'updatedAt') as updated_at
    from jsonb_array_elements(answer -> 'results') p
    where p ->> 'id' is not null
  ),
  s_now as (
    select distinct on (p.id, s ->> 'id') p.id as pipeline_id, s ->> 'id' as id, s ->> 'label' as label,
      hubspot_private.whole_number(s ->> 'displayOrder')::integer as display_order, s -> 'metadata' as metadata,
      coalesce(hubspot_private.cast_boolean(s ->> 'archived'), false) as is_archived,
      hubspot_private.cast_timestamptz(s ->> 'createdAt') as created_at, hubspot_private.cast_timestamptz(s ->> 'updatedAt') as updated_at
    from p_now p
    cross join lateral jsonb_array_elements(case when jsonb_typeof(p.body -> 'stages') = 'array' then p.body -> 'stages' else '[]' end) s
    where s ->> 'id' is not null
  ),
  s_gone as (
    delete from hubspot.pipeline_stages t
    where t.object = pipelines_apply.object and not exists (select from s_now n where n.pipeline_id = t.pipeline_id and n.id = t.id)
  ),
  p_gone as (
    delete from hubspot.pipelines t
    where t.object = pipelines_apply.object and not exists (select from p_now n where n.id = t.id)
  ),
  p_new as (
    insert into hubspot.pipelines as t (object, id, label, display_order, is_archived, created_at, updated_at)
    select pipelines_apply.object, n.id, n.label, n.display_order, n.is_archived, n.created_at, n.updated_at from p_now n
    on conflict (object, id) do update set label = excluded.label, display_order = excluded.display_order,
      is_archived = excluded.is_archived, created_at = excluded.created_at, updated_at = excluded.updated_at
    where t is distinct from excluded
  )
  insert into hubspot.pipeline_stages as t (object, pipeline_id, id, label, display_order, metadata, is_archived, created_at, updated_at)
  select pipelines_apply.object, n.pipeline_id, n.id, n.label, n.display_order, n.metadata, n.is_archived, n.created_at, n.updated_at
  from s_now n
  on conflict (object, pipeline_id, id) do update set label = excluded.label, display_order = excluded.display_order,
    metadata = excluded.metadata, is_archived = excluded.is_archived, created_at = excluded.created_at, updated_at = excluded.updated_at
  where t is distinct from excluded;
$$;
comment on function hubspot_private.pipelines_apply(text, jsonb) is 'Takes in an object''s pipelines and stages; what is gone there goes here.';

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
  ),
  gone as (
    delete from hubspot.owners t where not exists (select from now_there n where n.id = t.id)
  )
  insert into hubspot.owners as t (id, email, first_name, last_name, type, user_id, teams, is_archived, created_at, updated_at)
  select n.* from now_there n
  on conflict (id) do update set email = excluded.email, first_name = excluded.first_name, last_name = excluded.last_name,
    type = excluded.type, user_id = excluded.user_id, teams = excluded.teams, is_archived = excluded.is_archived,
    created_at = excluded.created_at, updated_at = excluded.updated_at
  where t is distinct from excluded;
$$;
comment on function hubspot_private.owners_apply(jsonb) is
  'Takes in all pages of owners, active and archived. The columns are in the order of hubspot.owners.';

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
