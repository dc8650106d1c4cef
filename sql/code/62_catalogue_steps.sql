-- How the account's definitions, and an object's, are taken in.
create or replace function hubspot_private.doubt_few(was jsonb, part text, count integer)
returns jsonb
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
  select case
    when doubt_few.count < w.count and doubt_few.count * 2 <= w.count and not was ? ('no_' || part)
      then jsonb_strip_nulls(jsonb_build_object(part, was -> part, 'no_' || part, true))
    else jsonb_build_object(part, doubt_few.count)
  end
  from (select coalesce((was ->> part)::integer, 1) as count) w;
$$;
comment on function hubspot_private.doubt_few(jsonb, text, integer) is
  'What a cursor keeps of a list: how many it showed. None at all, or half as many or fewer, is believed when it is said again: {no_PART: true} until then. Whether some are here is not looked at: someone may hold the table.';

create or replace function hubspot_private.stages_doubt(was jsonb, pipelines jsonb, out told jsonb, out filled jsonb)
returns record
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
  select jsonb_agg(case when coalesce(p.value -> 'stages' = '[]' and was ? (p.value ->> 'id'), false) then p.value - 'stages' else p.value end order by p.n),
    jsonb_agg(p.value ->> 'id' order by p.n) filter (where jsonb_typeof(p.value -> 'stages') = 'array' and p.value -> 'stages' <> '[]')
  from jsonb_array_elements(pipelines) with ordinality p (value, n);
$$;
comment on function hubspot_private.stages_doubt(jsonb, jsonb) is
  'Pipelines, without stages where they say that there are none and said otherwise the time before, as if they told nothing of them; filled: ids of those that have some now, for the cursor.';

create or replace function hubspot_private.catalogue_step(answer jsonb)
returns hubspot_private.step
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_step hubspot_private.step;
  v_was constant jsonb := (select s.cursor from hubspot_private.streams s where (s.object, s.stream, s.range) = ('*', 'schema', 0));
  v_refused jsonb := coalesce(answer -> 'refused', '{}');
begin
  -- A part that HubSpot refused is null: what it told before stays. An account without custom objects refuses their schemas: no
  -- problem unless one is wanted.
  if not exists (
    select from hubspot_private.objects o where o.is_tracked and (o.is_custom or o.object_type_id is null and o.label is null))
  then
    v_refused := v_refused - 'schemas';
  end if;
  perform hubspot_private.problem_report(r.value ->> 'code', '*',
    format('%s: %s', r.key, r.value ->> 'message'), r.value ->> 'hint', null, r.key)
  from jsonb_each(v_refused) r;
  update hubspot_private.problems p set resolved_at = hubspot_private.clock()
  where p.object is null and p.resolved_at is null and p.property in ('owners', 'schemas') and p.code <> 'SH218' and not v_refused ? p.property;
  v_step.cursor := jsonb_strip_nulls(jsonb_build_object('owners', v_was -> 'owners'));
  if jsonb_typeof(answer -> 'owners') = 'array' then
    -- What schemas are asked for again so soon is no second word on owners.
    v_step.cursor := v_step.cursor || hubspot_private.doubt_few(case when v_was ? 'no_schemas' then v_was - 'no_owners' else v_was end, 'owners', jsonb_array_length(jsonb_path_query_array(answer, '$.owners[*].results[*]')));
    if not v_step.cursor ? 'no_owners' then
      perform hubspot_private.owners_apply(answer -> 'owners');
    end if;
  end if;
  if jsonb_typeof(answer -> 'schemas' -> 'results') = 'array' then
    -- How many there are is known. One that cannot be read may be any of them. They are asked for again in a minute.
    v_step.cursor := v_step.cursor || hubspot_private.doubt_few(v_was || jsonb_build_object('schemas', (
      select count(*) from hubspot_private.objects o where o.is_custom and o.object_type_id is not null and o.archived_at is null)), 'schemas', case
      when not jsonb_path_exists(answer, '$.schemas.results[*] ? (!(@.objectTypeId.type() == "string"))') then jsonb_array_length(answer #> '{schemas,results}')
      else 0 end);
    if not v_step.cursor ? 'no_schemas' then
      perform hubspot_private.schemas_apply(answer -> 'schemas');
      perform hubspot_private.schemas_compare(answer -> 'schemas');
    end if;
  end if;
  -- Someone who disconnects and has not committed is not waited for: the next one notes it.
  perform from hubspot_private.account a for no key update skip locked;
  if found then
    update hubspot_private.account a set catalogue_at = hubspot_private.clock();
  end if;
  perform hubspot_private.pending_resolve();
  v_step.is_over := true;
  return v_step;
end;
$$;
comment on function hubspot_private.catalogue_step(jsonb) is
  'Takes in {schemas, owners: [pages], refused: {part: {code, message, hint}}}.';

create or replace function hubspot_private.schemas_compare(schemas jsonb)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  -- Archived, an object is not listed, and every request that names it is refused: nothing is asked until it is listed again.
  update hubspot_private.objects o set archived_at = hubspot_private.clock()
  where o.is_custom and o.object_type_id is not null and o.archived_at is null and not exists (
    select from jsonb_array_elements(schemas -> 'results') s where s ->> 'objectTypeId' = o.object_type_id);
  update hubspot_private.problems p set resolved_at = hubspot_private.clock()
  from hubspot_private.objects o
  where o.is_tracked and o.archived_at is not null and p.object = o.name and p.resolved_at is null
    and p.code in ('SH202', 'SH203', 'SH207', 'SH208', 'SH211');
  perform hubspot_private.problem_report('SH222', o.name, null, format('Nothing is read until it is restored. To give it up: select hubspot.untrack(%L);', o.name))
  from hubspot_private.objects o
  where o.is_tracked and o.archived_at is not null;
  -- One that is but the other end of a pair is a problem of the pair's.
  perform hubspot_private.problem_report('SH222', o.name, null, (
    select string_agg(format('Associations with it are not read until it is restored. To give them up: select hubspot.untrack_associations(%L, %L);', p.from_object, o.name), e'\n')
    from hubspot_private.pairs p where p.is_tracked and p.to_object = o.name))
  from hubspot_private.objects o
  where not o.is_tracked and o.archived_at is not null and exists (select from hubspot_private.pairs p where p.is_tracked and p.to_object = o.name);
  update hubspot_private.problems q set resolved_at = hubspot_private.clock()
  from hubspot_private.objects o
  where q.object = o.name and q.code = 'SH222' and q.resolved_at is null and not o.is_tracked
    and (o.archived_at is null or not exists (select from hubspot_private.pairs p where p.is_tracked and p.to_object = o.name));
  perform hubspot_private.object_return(o.name)
  from hubspot_private.objects o
  where o.is_tracked and o.archived_at is null and exists (
    select from hubspot_private.problems p where p.object = o.name and p.code = 'SH222' and p.resolved_at is null);
end;
$$;
comment on function hubspot_private.schemas_compare(jsonb) is 'What follows where a custom object is archived, or restored.';

create or replace function hubspot_private.object_return(object text)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  perform hubspot_private.problem_resolve('{SH222}', object);
  update hubspot_private.streams s set retry_at = null, parked_at = null, failures = 0
  where s.object = object_return.object and s.lease_until is null;
  -- Its records, too, may have gone and come back: no date tells.
  perform hubspot_private.run_request(object, 'schema'), hubspot_private.run_request(object, 'resync');
end;
$$;
comment on function hubspot_private.object_return(text) is 'An archived object was restored: it is read whole again.';

create or replace function hubspot_private.pending_resolve()
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_object hubspot_private.objects;
begin
  for v_object in
    select o.* from hubspot_private.objects o where o.is_tracked and o.column_set = 0 order by o.name
  loop
    if v_object.object_type_id is null and v_object.label is null then
      perform hubspot_private.problem_report('SH102', v_object.name, format('HubSpot has no object %s', v_object.name),
        hubspot_private.object_hint(v_object.name));
    else
      perform hubspot_private.problem_resolve('{SH102}', v_object.name);
      perform hubspot_private.stream_wake(v_object.name, 'schema');
    end if;
  end loop;
  perform hubspot_private.pairs_resolve();
end;
$$;
comment on function hubspot_private.pending_resolve() is
  'Names tracked before the catalogue was known: found now, or a problem with the near name.';

create or replace function hubspot_private.properties_doubt(object text, answer jsonb)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_count record;
begin
  -- One without a name may be any: then none is archived.
  if jsonb_typeof(answer -> 'results') is distinct from 'array' or jsonb_path_exists(answer, '$.results[*] ? (!(@.name.type() == "string"))') then
    return;
  end if;
  select count(*) as known, count(*) filter (where n.name is null) as lost into v_count
  from hubspot_private.properties p
  left join (select distinct d ->> 'name' as name from jsonb_array_elements(answer -> 'results') d) n on n.name = p.property
  where p.object = properties_doubt.object and p.archived_at is null;
  -- One alone is archived at once.
  if v_count.lost > 1 and v_count.lost * 2 >= v_count.known and not exists (
    select from hubspot_private.streams s
    join hubspot_private.runs r on r.id = s.run_id
    where (s.object, s.stream, s.range) = (properties_doubt.object, 'schema', 0) and r.error like '%properties that it had are not in it%')
  then
    -- The run is not done by that: to a page that lacks a property, a run that is done and did not archive it says that it is empty.
    perform hubspot_private.fail('answer_unreadable', format('%s of the %s properties that it had are not in it', v_count.lost, v_count.known));
  end if;
end;
$$;
comment on function hubspot_private.properties_doubt(text, jsonb) is
  'Refuses an answer that would archive half of an object''s properties, or more, unless the one before in the same run was refused for that: the list may be cut short. SH208.';

create or replace function hubspot_private.schema_step(object text, answer jsonb)
returns hubspot_private.step
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_step hubspot_private.step;
  v_was constant jsonb := (
    select s.cursor from hubspot_private.streams s where (s.object, s.stream, s.range) = (schema_step.object, 'schema', 0));
  v_doubt record;
begin
  perform hubspot_private.properties_doubt(object, answer -> 'properties');
  perform hubspot_private.properties_apply(object, answer -> 'properties');
  -- A property may have no options any more, as one that became a text. A pipeline has stages.
  perform hubspot_private.options_apply(object, answer -> 'properties');
  v_step.cursor := jsonb_strip_nulls(jsonb_build_object('stages', v_was -> 'stages'));
  -- Null: it has none, or they were not asked for.
  if jsonb_typeof(answer -> 'pipelines') <> 'null' then
    if jsonb_typeof(answer -> 'pipelines' -> 'results') is distinct from 'array' then
      perform hubspot_private.fail('answer_unreadable', 'the pipelines have no results');
    end if;
    -- As with owners.
    if not v_was ? 'no_pipelines' and answer #> '{pipelines,results}' = '[]' then
      v_step.cursor := v_step.cursor || '{"no_pipelines": true}';
    else
      select d.* into v_doubt from hubspot_private.stages_doubt(v_was -> 'stages', answer #> '{pipelines,results}') d;
      perform hubspot_private.pipelines_apply(object, jsonb_build_object('results', coalesce(v_doubt.told, '[]')));
      v_step.cursor := v_step.cursor || jsonb_build_object('stages', coalesce(v_doubt.filled, '[]'));
    end if;
  end if;
  perform hubspot_private.selection_apply(object);
  v_step.is_over := true;
  return v_step;
end;
$$;
comment on function hubspot_private.schema_step(text, jsonb) is 'Takes in {properties, pipelines} of an object: definitions, then columns.';
