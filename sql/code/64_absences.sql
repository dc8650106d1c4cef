-- A full read finds what is gone. Rows in a page's place that it does not list, or lists and does not tell of, are noted; after the last page they are read by
-- id, and only what is not found then is deleted. Where that would be many rows, someone has to say that it is right: what is counted
-- then is kept until he does, or until another full read lists it.
--   The cursor's absences: look (an audit asks which were archived a moment ago), check (read them to count), delete (read them and delete), held (wait for hubspot.confirm_deletes()).
create or replace function hubspot_private.absences_note(
  s hubspot_private.streams, step hubspot_private.step, ids bigint[], silent bigint[]
)
returns hubspot_private.step
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_object hubspot_private.objects;
  -- A cursor of a version that kept no last id goes on from its page.
  v_last bigint := coalesce((s.cursor ->> 'last')::bigint,
    case when s.range = 0 and s.cursor ->> 'after' ~ '^[0-9]{1,18}$' then (s.cursor ->> 'after')::bigint - 1 end, (
    select r.from_id - 1 from hubspot_private.ranges r where (r.object, r.stream, r.range) = (s.object, s.stream, s.range)), -1);
begin
  -- Counted by a run that waited to be confirmed, and back.
  delete from hubspot_private.absences a where a.object = s.object and a.is_gone and a.id = any (ids);
  insert into hubspot_private.absences (object, id) select s.object, i from unnest(silent) i on conflict do nothing;
  if s.cursor ? 'is_listed' then
    insert into hubspot_private.listed (object, stream, id)
    select s.object, s.stream, i from (select distinct i from unnest(ids) i order by i) d (i)
    on conflict on constraint listed_pkey do nothing;
    step.cursor := step.cursor || '{"is_listed": true}';
    return step;
  end if;
  if not hubspot_private.ids_ascend(ids, v_last) then
    update hubspot_private.objects o set is_list_opaque = true, is_list_unordered = true where o.name = s.object;
  end if;
  select o.* into strict v_object from hubspot_private.objects o where o.name = s.object;
  if v_object.is_list_unordered then
    -- The first part reads on alone, from the start.
    step.is_over := s.range > 0;
    step.cursor := case when s.range = 0 then hubspot_private.absences_relist(s) else step.cursor end;
    return step;
  end if;
  execute format(
    'insert into hubspot_private.absences (object, id)
     select $1, t.id from %s and t.id > $2 and t.id <= $3 and t.id <> all ($4)
     on conflict do nothing', hubspot_private.live_rows(v_object))
  using s.object, v_last, case when step.cursor ->> 'after' is null then 9223372036854775807 else ids[cardinality(ids)] end, ids;
  step.cursor := step.cursor || jsonb_build_object('last', coalesce(ids[cardinality(ids)], v_last));
  return step;
end;
$$;
comment on function hubspot_private.absences_note(hubspot_private.streams, hubspot_private.step, bigint[], bigint[]) is
  'Notes which rows a page of a full read should have listed and did not, or listed and did not tell of (silent). Where its ids are in no order the list is read again, and all its ids kept.';

create or replace function hubspot_private.absences_relist(s hubspot_private.streams)
returns jsonb
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  delete from hubspot_private.absences a where a.object = s.object and not a.is_gone;
  delete from hubspot_private.listed l where l.object = s.object and l.stream = s.stream;
  select '{"after": null, "is_listed": true}'::jsonb;
$$;
comment on function hubspot_private.absences_relist(hubspot_private.streams) is
  'The cursor from which a list that is not in id order is read again.';

create or replace function hubspot_private.absences_are_many(o hubspot_private.objects)
returns boolean
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  select hubspot_private.deletes_are_many(absences_are_many.o, (
    select count(*) from hubspot_private.absences a where a.object = (absences_are_many.o).name));
$$;
comment on function hubspot_private.absences_are_many(hubspot_private.objects) is 'Whether what a full read found absent is to be confirmed.';

create or replace function hubspot_private.absences_begin(o hubspot_private.objects)
returns jsonb
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  select case when hubspot_private.absences_are_many(absences_begin.o) then '{"absences": "check"}' else '{"absences": "delete"}' end::jsonb;
$$;
comment on function hubspot_private.absences_begin(hubspot_private.objects) is 'The cursor from which rows that a full read did not list are read by id.';

create or replace function hubspot_private.absences_rejoin(o hubspot_private.objects)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_gone constant bigint[] := array(select a.id from hubspot_private.absences a where a.object = o.name and a.is_gone);
  v_here constant bigint[] := hubspot_private.absences_held(o, v_gone);
begin
  -- What is here is read by id again. What left meanwhile counts on, or many would go unasked in two halves; it is no difference.
  update hubspot_private.absences a set is_gone = a.id <> all (v_here), is_recent = a.id <> all (v_here)
  where a.object = o.name and a.id = any (v_gone);
  delete from hubspot_private.absences a
  where a.object = o.name and not exists (select from hubspot_private.absences b where b.object = o.name and not b.is_gone);
end;
$$;
comment on function hubspot_private.absences_rejoin(hubspot_private.objects) is
  'What the run before counted, waiting to be confirmed, and this one did not list either, joins what this one did not list.';

create or replace function hubspot_private.full_read_next(s hubspot_private.streams, cursor jsonb)
returns jsonb
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_object hubspot_private.objects;
  v_first jsonb := case s.range when 0 then cursor else (
    select t.cursor from hubspot_private.streams t where (t.object, t.stream, t.range) = (s.object, s.stream, 0)) end;
begin
  select o.* into strict v_object from hubspot_private.objects o where o.name = s.object;
  if s.stream = 'resync' and v_object.is_list_unordered and not v_first ?| '{is_listed,absences}' then
    return hubspot_private.absences_relist(s);
  end if;
  if s.range > 0 and v_object.is_list_opaque and v_first ? 'met' then
    -- Where parts ended was a mistake, then, if the first ended so: all is read again, in one.
    return '{"after": null}';
  end if;
  if s.stream = 'backfill' and v_object.has_search and not v_first ? 'is_counted' then
    -- Search knows how many there are: the first load is over when it has them.
    return '{"is_counted": true}';
  end if;
  if s.stream <> 'resync' or v_first ? 'absences' then
    return null;
  end if;
  if v_first ? 'is_listed' then
    execute format(
      'insert into hubspot_private.absences (object, id)
       select $1, t.id from %s and not exists (
         select from hubspot_private.listed l where (l.object, l.stream, l.id) = ($1, $2, t.id))
       on conflict do nothing', hubspot_private.live_rows(v_object))
    using s.object, s.stream;
    update hubspot.audits a set compared = (select count(*) from hubspot_private.listed l where l.object = s.object and l.stream = s.stream)
    where a.run_id = s.run_id;
    delete from hubspot_private.listed l where l.object = s.object and l.stream = s.stream;
  end if;
  perform hubspot_private.absences_rejoin(v_object);
  return case
    when not exists (select from hubspot_private.absences a where a.object = s.object) then null
    when exists (select from hubspot.audits a where a.run_id = s.run_id and a.deletes_known_until is not null) then '{"absences": "look"}'
    else hubspot_private.absences_begin(v_object)
  end;
end;
$$;
comment on function hubspot_private.full_read_next(hubspot_private.streams, jsonb) is
  'Where the first part of a full read goes on once all parts are over: from the start again, where the list turned out not to be in id order, or with what it lacked. Null: it is done.';

create or replace function hubspot_private.absences_request(s hubspot_private.streams)
returns jsonb
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_control bigint;
  v_question jsonb;
begin
  select case s.cursor ->> 'absences'
    when 'look' then jsonb_build_object('kind', 'look', 'inputs', coalesce(jsonb_agg(q.id::text), '[]'))
    else jsonb_build_object('kind', 'read', 'ids', coalesce(jsonb_agg(q.id::text), '[]'), 'seqs', '[]'::jsonb)
  end
  into v_question
  from (
    select a.id from hubspot_private.absences a
    where a.object = s.object and (s.cursor ->> 'absences' <> 'check' or not a.is_gone)
      and a.id > coalesce((s.cursor ->> 'looked')::bigint, -1) and a.id <> all (s.suspects)
    order by a.id
    -- It only tells what is no difference: where it fails time and again, all counts.
    limit case when s.cursor ->> 'absences' = 'look' and s.failures >= 3 then 0 else hubspot_private.read_limit(s) end
  ) q;
  if v_question -> 'ids' = '[]' and s.suspects <> '{}' then
    v_control := hubspot_private.control_id(s.object, s.suspects);
    if v_control is not null then
      return v_question || jsonb_build_object('ids', jsonb_build_array(v_control::text));
    end if;
    s.suspects := '{}';
    return hubspot_private.absences_request(s);
  end if;
  return v_question;
end;
$$;
comment on function hubspot_private.absences_request(hubspot_private.streams) is 'The next of the rows that a full read did not list, by id.';

create or replace function hubspot_private.absences_look(s hubspot_private.streams, request jsonb, answer jsonb)
returns hubspot_private.step
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_step hubspot_private.step;
  v_object hubspot_private.objects;
  v_last bigint := (select max(i::bigint) from jsonb_array_elements_text(request -> 'inputs') i);
begin
  select o.* into strict v_object from hubspot_private.objects o where o.name = s.object;
  update hubspot_private.absences a set is_recent = true
  from hubspot.audits u, jsonb_array_elements(case when jsonb_typeof(answer -> 'results') = 'array' then answer -> 'results' else '[]' end) r
  where u.run_id = s.run_id and a.object = s.object and a.id::text = r.value ->> 'id' and (r.value -> 'archived')::text = 'true'
    and hubspot_private.cast_timestamptz(r.value ->> 'archivedAt') > u.deletes_known_until;
  v_step.is_over := false;
  v_step.cursor := case
    -- Not every object can be asked so.
    when answer is null or not exists (select from hubspot_private.absences a where a.object = s.object and a.id > v_last)
      then hubspot_private.absences_begin(v_object)
    else s.cursor || jsonb_build_object('looked', v_last)
  end;
  return v_step;
end;
$$;
comment on function hubspot_private.absences_look(hubspot_private.streams, jsonb, jsonb) is
  'An audit asked when rows that it did not find listed were archived: what HubSpot changed a moment ago is no difference.';

create or replace function hubspot_private.absences_step(
  s hubspot_private.streams, request jsonb, answer jsonb, missing bigint[], asked_at timestamptz
)
returns hubspot_private.step
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_step hubspot_private.step;
  v_object hubspot_private.objects;
  v_asked bigint[] := array(select i::bigint from pg_catalog.jsonb_array_elements_text(request -> 'ids') i);
  v_silent bigint[];
  v_here bigint[];
begin
  if s.cursor ->> 'absences' = 'look' then
    return hubspot_private.absences_look(s, request, answer);
  end if;
  select o.* into strict v_object from hubspot_private.objects o where o.name = s.object;
  v_step.result := hubspot_private.page_apply(s.object, s.stream, s.range, answer, asked_at, s.stream);
  v_step.cursor := s.cursor || pg_catalog.jsonb_build_object('read', coalesce((s.cursor ->> 'read')::bigint, 0) + 1);
  v_step.is_over := false;
  if s.cursor ->> 'absences' = 'delete' then
    if pg_catalog.cardinality(missing) > 0 then
      -- What was counted before it was confirmed counts once.
      v_here := array(
        select a.id from hubspot_private.absences a where a.object = s.object and a.id = any (missing) and a.is_gone and not a.is_recent);
      v_here := v_here || hubspot_private.audit_gone(v_object, s.run_id, array(
        select m from unnest(missing) m
        where not exists (select from hubspot_private.absences a where a.object = s.object and a.id = m and a.is_gone)), answer);
      -- They may go by now: the fetch queue asks for them time and again before it believes it.
      v_silent := hubspot_private.missing_silent(missing, answer);
      perform hubspot_private.fetch_enqueue(s.object, v_silent, s.stream, hubspot_private.clock() + interval '1 minute');
      v_step.result.deleted := hubspot_private.gone_apply(s.object, s.stream, s.range,
        array(select m from unnest(missing) m where m <> all (v_silent)), asked_at, s.stream);
      perform hubspot_private.audit_left(s.object, s.run_id, v_here);
    end if;
    delete from hubspot_private.absences a where a.object = s.object and a.id = any (v_asked);
    v_step.is_over := not exists (select from hubspot_private.absences a where a.object = s.object);
    return v_step;
  end if;
  -- What is there after all is none; what HubSpot did not answer about stays until the next full read.
  delete from hubspot_private.absences a where a.object = s.object and a.id = any (v_asked) and a.id <> all (missing);
  perform hubspot_private.audit_gone(v_object, s.run_id, missing, answer);
  update hubspot_private.absences a set is_gone = true where a.object = s.object and a.id = any (missing);
  if not exists (select from hubspot_private.absences a where a.object = s.object and not a.is_gone) then
    v_here := hubspot_private.absences_held(v_object, array(select a.id from hubspot_private.absences a where a.object = s.object));
    if v_here <> '{}' and hubspot_private.absences_are_many(v_object) then
      v_step.cursor := '{"absences": "held"}';
      perform hubspot_private.audit_end(s.run_id);
      -- All that is there was read: columns that it filled are filled.
      perform hubspot_private.fill_end(s);
      update hubspot_private.properties p set fill_run = null where p.object = s.object and p.fill_run = s.run_id;
      perform hubspot_private.problem_report('SH216', s.object,
        pg_catalog.format('a full read of %s found %s rows whose records are gone from HubSpot', s.object, pg_catalog.cardinality(v_here)),
        pg_catalog.format('So many are deleted only if you say that it is right: select hubspot.confirm_deletes(%s); until then they stay.', s.run_id));
    else
      v_step.cursor := '{"absences": "delete"}';
      delete from hubspot_private.absences a where a.object = s.object and a.id <> all (v_here);
      v_step.is_over := v_here = '{}';
    end if;
  end if;
  return v_step;
end;
$$;
comment on function hubspot_private.absences_step(hubspot_private.streams, jsonb, jsonb, bigint[], timestamptz) is
  'A batch read of rows that a full read did not list: found, they are applied; not found, counted or deleted.';
revoke all on function hubspot_private.absences_step(hubspot_private.streams, jsonb, jsonb, bigint[], timestamptz) from public;
