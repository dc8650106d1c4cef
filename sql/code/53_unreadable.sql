-- Properties that HubSpot refuses to show: a request that names one is refused as a whole, or its records come without it. They
-- are left out of every request, one by one, and tried again every 15 minutes.
create or replace function hubspot_private.properties_park(object text, properties text[], message text, hint text)
returns integer
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_modified text := (select o.modified_property from hubspot_private.objects o where o.name = object);
  v_parked text[];
begin
  -- Without these two nothing is right: what refuses them refuses the object.
  if v_modified = any (properties) or 'hs_merged_object_ids' = any (properties) then
    return 0;
  end if;
  with parked as (
    update hubspot_private.properties p
    set unreadable_at = hubspot_private.clock(), unmentioned_at = null
    where p.object = properties_park.object and p.property = any (properties) and p.is_selected and p.unreadable_at is null
    returning p.property
  )
  select array_agg(p.property order by p.property) into v_parked from parked p;
  if v_parked is not null then
    perform hubspot_private.problem_report('SH215', object,
      format('HubSpot refuses to show property %s of %s: %s', p, object, left(message, 1000)), hint, null, p)
    from unnest(v_parked) p;
    perform hubspot_private.apply_generate(object);
    insert into hubspot_private.streams (object, stream, next_at)
    values (object, 'probe', hubspot_private.clock() + interval '15 minutes')
    on conflict on constraint streams_pkey do update set next_at = coalesce(streams.next_at, excluded.next_at);
    perform hubspot_private.stream_wake(object, 'probe', 0, hubspot_private.clock() + interval '15 minutes');
  end if;
  -- Another worker may have found the same at the same time.
  return (
    select count(*) from hubspot_private.properties p
    where p.object = properties_park.object and p.property = any (properties) and p.unreadable_at is not null);
end;
$$;
comment on function hubspot_private.properties_park(text, text[], text, text) is
  'Leaves properties that HubSpot refuses to show out of what is asked for, each with a problem; how many of these are left out now.';

create or replace function hubspot_private.page_unmentioned(o hubspot_private.objects, body jsonb)
returns text[]
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_names text[] := array(
    select p.property from hubspot_private.properties p
    where p.object = o.name and p.is_selected and p.archived_at is null and p.unreadable_at is null
      and not coalesce(body #> '{results,0,properties}' ? p.property, false)
    order by p.property);
  v_properties jsonb;
begin
  -- Mostly the first record has all of them.
  for v_properties in select r.value -> 'properties' from jsonb_array_elements(body -> 'results') r loop
    exit when v_names = '{}';
    v_names := array(select n from unnest(v_names) n where not coalesce(v_properties ? n, false));
  end loop;
  return v_names;
end;
$$;
comment on function hubspot_private.page_unmentioned(hubspot_private.objects, jsonb) is 'Properties that were asked for and that no record of a page has, not even empty.';

create or replace function hubspot_private.page_silent(o hubspot_private.objects, body jsonb, ids bigint[], asked_at timestamptz)
returns bigint[]
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_names text[] := hubspot_private.page_unmentioned(o, body);
  v_losing jsonb;
  v_doubted text[];
  v_ids bigint[];
begin
  if v_names = '{}' then
    return '{}';
  end if;
  execute format(
    'select jsonb_object_agg(l.property, l.ids) from (
       select n.property, jsonb_agg(t.id) as ids from hubspot.%I t
       cross join lateral (values %s) n (property, is_held)
       where t.id = any ($1) and n.is_held
       group by 1) l', o.table_name, (
      select string_agg(format('(%L, %s t._extra ? %1$L)', p.property, case when p.column_name is not null then format('t.%I is not null or', p.column_name) end), ', ')
      from hubspot_private.properties p where p.object = o.name and p.property = any (v_names)))
  into v_losing using ids;
  if v_losing is null then
    return '{}';
  end if;
  -- Archived, it is in the definitions no more: they are read first, and are believed for some minutes.
  select array_agg(p.property) into v_doubted
  from hubspot_private.properties p
  where p.object = o.name and v_losing ? p.property and not exists (
    select from hubspot_private.runs d
    where d.object = o.name and d.stream = 'schema' and d.state = 'done' and d.started_at > greatest(p.unmentioned_at, asked_at - interval '5 minutes')
      and p.unmentioned_at is not null);
  if v_doubted is not null then
    update hubspot_private.properties p set unmentioned_at = hubspot_private.clock()
    where p.object = o.name and p.property = any (v_doubted) and coalesce(p.unmentioned_at, '-infinity') < hubspot_private.clock() - interval '5 minutes';
    perform hubspot_private.run_request(o.name, 'schema');
  end if;
  -- Still defined: in an account that writes nothing as null, it is empty; in one that writes null it is kept back.
  if jsonb_path_exists(body, '$.results[*].properties.* ? (@ == null)') then
    v_names := array(select n from jsonb_object_keys(v_losing) n where n <> all (coalesce(v_doubted, '{}')));
    perform hubspot_private.properties_park(o.name, v_names, 'its answers leave it out',
      'The app may lack a scope that this property needs, such as one for sensitive data. The column keeps what it has; it is tried every 15 minutes.')
    where v_names <> '{}';
    -- To be readable again it has to show.
    update hubspot_private.properties p set unmentioned_at = hubspot_private.clock()
    where p.object = o.name and p.property = any (v_names) and p.unreadable_at is not null;
    v_doubted := v_doubted || v_names;
  end if;
  select array_agg(distinct i::bigint) into v_ids from unnest(v_doubted) d, jsonb_array_elements_text(v_losing -> d) i;
  return coalesce(v_ids, '{}');
end;
$$;
comment on function hubspot_private.page_silent(hubspot_private.objects, jsonb, bigint[], timestamptz) is
  'Of these records those that a page would take a value from by not naming its property at all: they are read again once the definitions are. A property that is still defined, and left out where others are written as null, is unreadable (SH215).';

create or replace function hubspot_private.probe_request(object text)
returns jsonb
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select jsonb_build_object('kind', 'probe', 'properties', coalesce(jsonb_agg(p.property order by p.property), '[]'),
    'silent', coalesce(jsonb_agg(p.property order by p.property) filter (where p.unmentioned_at is not null), '[]'))
  from hubspot_private.properties p
  where p.object = probe_request.object and p.unreadable_at is not null;
$$;
comment on function hubspot_private.probe_request(text) is 'What is tried again: each property that HubSpot refused, alone; silent: those that it left out without a word.';

create or replace function hubspot_private.probe_step(object text, answer jsonb)
returns hubspot_private.step
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_step hubspot_private.step := row ('{}'::jsonb, true, null, null);
  v_readable text[] := array(select r from jsonb_array_elements_text(answer -> 'readable') r);
begin
  update hubspot_private.properties p
  set unreadable_at = null, unmentioned_at = null
  where p.object = probe_step.object and p.property = any (v_readable) and p.unreadable_at is not null;
  if found then
    perform hubspot_private.problem_resolve('{SH215}', object, null, r) from unnest(v_readable) r;
    perform hubspot_private.apply_generate(object);
    -- Rows hold what they held when it was refused, or nothing.
    perform hubspot_private.fill_request(object, v_readable);
    -- Its column may be of another type than it by now.
    perform hubspot_private.run_request(object, 'build');
  end if;
  return v_step;
end;
$$;
comment on function hubspot_private.probe_step(text, jsonb) is 'Takes in {readable: [property]}: these are asked for again, and read for all records.';
