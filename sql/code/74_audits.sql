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
  v_run bigint;
begin
  perform hubspot_private.session_require('hubspot.audits');
  loop
    -- Held until this is committed: one that began before would pass pages by that nobody compares.
    v_run := hubspot.resync(object);
    perform from hubspot_private.runs r where r.id = v_run and r.state = 'waiting' for update;
    exit when found;
  end loop;
  insert into hubspot.audits (object, run_id, at)
  select r.object, r.id, hubspot_private.clock() from hubspot_private.runs r where r.id = v_run
  on conflict on constraint audits_run_id_key do nothing;
  return v_run;
end;
$$;
comment on function hubspot.verify(text) is
  'Compares an object with HubSpot, record by record and value by value, at low priority, and repairs what differs; returns the run id. What it found: select * from hubspot.audits where run_id = …; SH101, SH119.';

create or replace function hubspot_private.record_version(o hubspot_private.objects, record jsonb)
returns timestamptz
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select coalesce(
    hubspot_private.cast_timestamptz(record_version.record -> 'properties' ->> (record_version.o).modified_property),
    hubspot_private.cast_timestamptz(record_version.record ->> 'updatedAt'));
$$;
comment on function hubspot_private.record_version(hubspot_private.objects, jsonb) is 'When HubSpot changed a record, by its own answer.';

create or replace function hubspot_private.audit_page(o hubspot_private.objects, run_id bigint, body jsonb, asked_at timestamptz)
returns bigint[]
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
  v_hidden bigint[];
  v_missing bigint[];
  v_different bigint[];
begin
  select a.* into v_audit from hubspot.audits a where a.run_id = run_id for update;
  if not found then
    return '{}';
  end if;
  if v_audit.compared = 0 then
    v_audit.known_until := coalesce(v_audit.known_until, (select c.complete_until from hubspot_private.completeness c where c.object = o.name));
    v_audit.deletes_known_until := coalesce(v_audit.deletes_known_until, (
      select to_timestamp((t.cursor ->> 'until')::bigint / 1000.0) from hubspot_private.streams t where t.object = o.name and t.stream = 'archive'));
  end if;
  execute format('select j.fresh, j.known, j.behind, j.hidden from hubspot_private.judge_%s($1, $2, $3, $4) j', o.number)
  into v_fresh, v_known, v_behind, v_hidden using body, o.name, asked_at, o.resync_started_at;
  execute format('select array_agg(d.differing_id order by d.differing_id) from hubspot_private.differing_%s($1, $2) d', o.number)
  into v_different using body, v_known;
  -- What changed since the table was complete is on its way; what another has read since says nothing of it.
  select array_agg(i.id order by i.id) filter (where i.id::text = any (v_fresh)),
    array_agg(i.id order by i.id) filter (where i.id = any (v_different) and i.id::text <> all (coalesce(v_behind, '{}')))
  into v_missing, v_different
  from (
    select (r.value ->> 'id')::bigint as id
    from jsonb_array_elements(body -> 'results') r
    where r.value ->> 'id' ~ '^[0-9]{1,18}$' and hubspot_private.record_version(o, r.value) <= v_audit.known_until is not false
      -- One that came incomplete tells nothing.
      and (hubspot_private.is_explicit(o) is not true or r.value -> 'properties' ?& hubspot_private.asked_properties(o.name))
      -- Restored since the archived list was read: the next sweep finds it, whatever its date.
      and (v_audit.deletes_known_until is null or not exists (
        select from hubspot_private.tombstones g where g.object = o.name and g.id = (r.value ->> 'id')::bigint and g.purged_at is null))
  ) i;
  update hubspot.audits a
  set compared = a.compared + jsonb_array_length(body -> 'results') - coalesce(cardinality(v_behind), 0) - coalesce(cardinality(v_hidden), 0),
    known_until = v_audit.known_until,
    deletes_known_until = v_audit.deletes_known_until,
    missing = a.missing + coalesce(cardinality(v_missing), 0),
    different = a.different + coalesce(cardinality(v_different), 0),
    examples = case when v_missing is null and v_different is null then a.examples else a.examples || jsonb_build_object(
      'missing', hubspot_private.examples_add(a.examples -> 'missing', v_missing),
      'different', hubspot_private.examples_add(a.examples -> 'different', v_different)) end
  where a.id = v_audit.id;
  return v_missing || v_different;
end;
$$;
comment on function hubspot_private.audit_page(hubspot_private.objects, bigint, jsonb, timestamptz) is
  'Counts what a page of a full read finds different, before it is applied, and returns its id; nothing where the run is no audit.';

create or replace function hubspot_private.audit_gone(o hubspot_private.objects, run_id bigint, ids bigint[], answer jsonb)
returns bigint[]
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_audit hubspot.audits;
  v_extra bigint[];
begin
  select a.* into v_audit from hubspot.audits a where a.run_id = run_id for update;
  if not found or coalesce(cardinality(ids), 0) = 0 then
    return '{}';
  end if;
  execute format('select array_agg(t.id order by t.id) from %s and t.id = any ($1)', hubspot_private.live_rows(o)) into v_extra using ids;
  -- Archived a moment ago, or merged into a record that was changed then, it is on its way.
  v_extra := array(
    select i from unnest(v_extra) i
    where not exists (select from hubspot_private.absences a where a.object = o.name and a.id = i and a.is_recent)
      and not exists (
        select from jsonb_array_elements(answer -> 'results') r
        where hubspot_private.record_version(o, r.value) > v_audit.known_until
          and i::text = any (string_to_array(replace(r.value #>> '{properties,hs_merged_object_ids}', ' ', ''), ';')))
    order by i);
  update hubspot.audits a
  set extra = a.extra + cardinality(v_extra),
    examples = a.examples || jsonb_build_object('extra', hubspot_private.examples_add(a.examples -> 'extra', v_extra))
  where a.id = v_audit.id;
  return v_extra;
end;
$$;
comment on function hubspot_private.audit_gone(hubspot_private.objects, bigint, bigint[], jsonb) is
  'Counts the rows that are here of records that a full read found gone, before they go, and returns their ids; nothing where the run is no audit.';

create or replace function hubspot_private.audit_left(object text, run_id bigint, ids bigint[])
returns void
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  -- What this step has put there: others may wait there for another reason, or for one that is over.
  update hubspot_private.fetch_queue q set audited_by = audit_left.run_id
  where q.object = audit_left.object and q.id = any (audit_left.ids) and q.xmin = pg_current_xact_id()::xid;
$$;
comment on function hubspot_private.audit_left(text, bigint, bigint[]) is
  'Of what an audit found different, once it is applied: what is locked, or refused by a trigger or constraint, and so waits in the fetch queue.';

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
  -- Pages that two parts of the read have taken in, or that were read again from the start, were compared twice, and count once.
  set at = hubspot_private.clock(), compared = least(a.compared, r.rows_read),
    repaired = greatest(a.missing + a.different + a.extra
      - (select count(*) from hubspot_private.fetch_queue q where q.object = a.object and q.audited_by = a.run_id)
      -- Found gone, and here until someone says that it is right.
      - (select count(*) from hubspot_private.absences b where b.object = a.object and b.is_gone and not b.is_recent), 0)
  from hubspot_private.runs r
  where a.run_id = audit_end.run_id and r.id = a.run_id;
$$;
comment on function hubspot_private.audit_end(bigint) is 'An audit is over, or waits for hubspot.confirm_deletes(): how much of what it found is right now.';
