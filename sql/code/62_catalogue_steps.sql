-- How the account's definitions, and an object's, are taken in.
create or replace function hubspot_private.catalogue_step(answer jsonb)
returns hubspot_private.step
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_step hubspot_private.step;
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
  where p.object is null and p.resolved_at is null and p.property in ('owners', 'schemas') and not v_refused ? p.property;
  if jsonb_typeof(answer -> 'owners') = 'array' then
    perform hubspot_private.owners_apply(answer -> 'owners');
  end if;
  if jsonb_typeof(answer -> 'schemas') = 'object' then
    perform hubspot_private.schemas_apply(answer -> 'schemas');
  end if;
  update hubspot_private.account a set catalogue_at = hubspot_private.clock();
  perform hubspot_private.pending_resolve();
  v_step.cursor := '{}';
  v_step.is_over := true;
  return v_step;
end;
$$;
comment on function hubspot_private.catalogue_step(jsonb) is
  'Takes in {schemas, owners: [pages], refused: {part: {code, message, hint}}}.';

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
    select o.* from hubspot_private.objects o where o.is_tracked and o.column_set = 0
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

create or replace function hubspot_private.schema_step(object text, answer jsonb)
returns hubspot_private.step
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_step hubspot_private.step;
begin
  perform hubspot_private.properties_apply(object, answer -> 'properties');
  perform hubspot_private.options_apply(object, answer -> 'properties');
  if jsonb_typeof(answer -> 'pipelines' -> 'results') = 'array' then
    perform hubspot_private.pipelines_apply(object, answer -> 'pipelines');
  end if;
  perform hubspot_private.selection_apply(object);
  v_step.cursor := '{}';
  v_step.is_over := true;
  return v_step;
end;
$$;
comment on function hubspot_private.schema_step(text, jsonb) is 'Takes in {properties, pipelines} of an object: definitions, then columns.';
