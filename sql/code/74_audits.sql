-- verify: a full read that also counts what it finds different before it puts it right.
create or replace function hubspot.verify(object text)
returns bigint
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_run bigint := hubspot.resync(object);
begin
  insert into hubspot.audits (object, run_id, at)
  select r.object, r.id, hubspot_private.clock() from hubspot_private.runs r where r.id = v_run
  on conflict on constraint audits_run_id_key do nothing;
  return v_run;
end;
$$;
comment on function hubspot.verify(text) is
  'Compares an object with HubSpot, record by record and value by value, at low priority, and repairs what differs; returns the run id. What it found: select * from hubspot.audits where run_id = …; SH101.';

create or replace function hubspot_private.audit_page(o hubspot_private.objects, run_id bigint, body jsonb, asked_at timestamptz)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_audit hubspot.audits;
  v_fresh text[];
  v_known text[];
  v_behind text[];
  v_missing bigint[];
  v_different bigint[];
begin
  select a.* into v_audit from hubspot.audits a where a.run_id = run_id for update;
  if not found then
    return;
  end if;
  if v_audit.compared = 0 then
    v_audit.known_until := coalesce(v_audit.known_until, (select c.complete_until from hubspot_private.completeness c where c.object = o.name));
  end if;
  execute format('select j.fresh, j.known, j.behind from hubspot_private.judge_%s($1, $2, $3, $4) j', o.number)
  into v_fresh, v_known, v_behind using body, o.name, asked_at, o.resync_started_at;
  execute format('select array_agg(d.differing_id order by d.differing_id) from hubspot_private.differing_%s($1, $2) d', o.number)
  into v_different using body, v_known;
  -- What changed since the table was complete is on its way; what another has read since says nothing of it.
  select array_agg(i.id order by i.id) filter (where i.id::text = any (v_fresh)),
    array_agg(i.id order by i.id) filter (where i.id = any (v_different) and i.id::text <> all (coalesce(v_behind, '{}')))
  into v_missing, v_different
  from (
    select (r.value ->> 'id')::bigint as id
    from jsonb_array_elements(body -> 'results') r
    where r.value ->> 'id' ~ '^[0-9]{1,18}$' and coalesce(
      hubspot_private.cast_timestamptz(r.value -> 'properties' ->> o.modified_property), hubspot_private.cast_timestamptz(r.value ->> 'updatedAt'))
      <= v_audit.known_until is not false
  ) i;
  update hubspot.audits a
  set compared = a.compared + jsonb_array_length(body -> 'results'), known_until = v_audit.known_until,
    missing = a.missing + coalesce(cardinality(v_missing), 0),
    different = a.different + coalesce(cardinality(v_different), 0),
    examples = case when v_missing is null and v_different is null then a.examples else jsonb_build_object(
      'missing', hubspot_private.examples_add(a.examples -> 'missing', v_missing),
      'different', hubspot_private.examples_add(a.examples -> 'different', v_different)) end
  where a.id = v_audit.id;
end;
$$;
comment on function hubspot_private.audit_page(hubspot_private.objects, bigint, jsonb, timestamptz) is
  'Counts what a page of a full read finds different, before it is applied; nothing where the run is no audit.';

create or replace function hubspot_private.examples_add(examples jsonb, ids bigint[])
returns jsonb
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
  select examples_add.examples || coalesce((
    select jsonb_agg(i.id) from unnest(examples_add.ids) with ordinality i (id, n)
    where i.n <= 100 - jsonb_array_length(examples_add.examples)), '[]');
$$;
comment on function hubspot_private.examples_add(jsonb, bigint[]) is 'Examples and further ones, a hundred at most.';

create or replace function hubspot_private.audit_end(run_id bigint)
returns void
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  update hubspot.audits a
  -- Pages that two parts of the read have taken in were compared twice, and count once.
  set at = hubspot_private.clock(), compared = r.rows_read, extra = r.deleted,
    -- What is locked, or refused by a trigger or constraint, is not right yet: it waits in the fetch queue.
    repaired = greatest(a.missing + a.different + r.deleted - (
      select count(*) from hubspot_private.fetch_queue q
      where q.object = a.object and (a.examples -> 'missing' @> to_jsonb(q.id) or a.examples -> 'different' @> to_jsonb(q.id))), 0)
  from hubspot_private.runs r
  where a.run_id = audit_end.run_id and r.id = a.run_id;
$$;
comment on function hubspot_private.audit_end(bigint) is 'An audit is over: what was gone, and how much is right now.';
