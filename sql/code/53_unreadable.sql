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

create or replace function hubspot_private.probe_request(object text)
returns jsonb
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select jsonb_build_object('kind', 'probe', 'properties', coalesce(jsonb_agg(p.property order by p.property), '[]'),
    'silent', coalesce(jsonb_agg(p.property order by p.property) filter (where p.unmentioned_at is not null), '[]'),
    -- A list that leaves out what is empty shows nothing: then it was reads by id that did not have them.
    'is_by_id', (select o.is_list_explicit is not true from hubspot_private.objects o where o.name = probe_request.object))
  from hubspot_private.properties p
  where p.object = probe_request.object and p.unreadable_at is not null;
$$;
comment on function hubspot_private.probe_request(text) is 'What is tried again: each property that HubSpot refused, alone; silent: those that it left out without a word, which a list or (is_by_id) a read by id has to show.';

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
