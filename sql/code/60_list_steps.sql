-- How a full read takes in an answer. Steps run inside step_commit (52).
create or replace function hubspot_private.list_step(s hubspot_private.streams, answer jsonb, after text, missing bigint[], asked_at timestamptz)
returns hubspot_private.step
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_step hubspot_private.step;
  v_object hubspot_private.objects;
  v_audited bigint[] := '{}';
begin
  if s.stream = 'resync' and exists (select from hubspot.audits a where a.run_id = s.run_id) then
    select o.* into strict v_object from hubspot_private.objects o where o.name = s.object;
    v_audited := hubspot_private.audit_page(v_object, s.run_id, answer, asked_at) || hubspot_private.audit_gone(v_object, s.run_id, missing, answer);
  end if;
  v_step.result := hubspot_private.page_apply(s.object, s.stream, s.range, answer, asked_at, s.stream);
  if pg_catalog.cardinality(missing) > 0 then
    v_step.result.deleted := hubspot_private.gone_apply(s.object, s.stream, s.range, missing, asked_at, s.stream);
  end if;
  if v_audited <> '{}' then
    perform hubspot_private.audit_left(s.object, s.run_id, v_audited);
  end if;
  v_step.cursor := pg_catalog.jsonb_build_object('after', after)
    -- A part's first page is the first that shows anything.
    || case when s.cursor ? 'is_first' and pg_catalog.jsonb_array_length(answer -> 'results') = 0 then '{"is_first": true}' else '{}' end::jsonb;
  v_step.is_over := after is null;
  return v_step;
end;
$$;
comment on function hubspot_private.list_step(hubspot_private.streams, jsonb, text, bigint[], timestamptz) is
  'A page of a list, and the ids it named that a read did not find.';

create or replace function hubspot_private.backfill_step(
  s hubspot_private.streams, request jsonb, answer jsonb, after text, missing bigint[], asked_at timestamptz, answered_at timestamptz
)
returns hubspot_private.step
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_step hubspot_private.step;
begin
  -- Poll and settle start with the first answer, from HubSpot's time of it less the longest settle window.
  perform hubspot_private.searches_start(s.object, answered_at);
  if request ->> 'kind' = 'count' then
    update hubspot_private.objects o
    set total = case when answer ->> 'total' ~ '^[0-9]{1,12}$' then (answer ->> 'total')::bigint end,
      highest_id = case when answer #>> '{results,0,id}' ~ '^[0-9]{1,18}$' then (answer #>> '{results,0,id}')::bigint end
    where o.name = s.object;
    if not s.cursor ? 'is_counted' then
      v_step.cursor := '{"after": null}';
      v_step.is_over := false;
    elsif s.restarts = 0 and hubspot_private.load_is_short(s) then
      perform hubspot_private.load_again(s);
      v_step.cursor := '{"after": null}';
      v_step.is_over := false;
    else
      v_step.cursor := s.cursor;
      v_step.is_over := true;
    end if;
    return v_step;
  end if;
  return hubspot_private.list_step(s, answer, after, missing, asked_at);
end;
$$;
comment on function hubspot_private.backfill_step(hubspot_private.streams, jsonb, jsonb, text, bigint[], timestamptz, timestamptz) is
  'A page of the first load; its first answer starts poll and settle.';

create or replace function hubspot_private.load_is_short(s hubspot_private.streams)
returns boolean
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_object hubspot_private.objects;
  v_rows bigint;
begin
  select o.* into strict v_object from hubspot_private.objects o where o.name = s.object;
  -- Search goes on counting for a while what was archived meanwhile; what cannot be written, or is still to be read, is known.
  execute format(
    'select (select count(*) from %s)
       + (select count(*) from hubspot_private.fetch_queue f where f.object = $1 and not exists (select from hubspot.%I t where t.id = f.id))',
    hubspot_private.live_rows(v_object), v_object.table_name)
  into v_rows using s.object;
  v_rows := v_rows
    + (select count(*) from hubspot_private.tombstones g where g.object = s.object and g.seen_gone_at > hubspot_private.clock() - interval '1 day');
  return v_object.total - v_rows > v_object.total / 50000;
end;
$$;
comment on function hubspot_private.load_is_short(hubspot_private.streams) is
  'Whether search counts more records than the first load has brought, a few of a hundred thousand aside.';

create or replace function hubspot_private.load_again(s hubspot_private.streams)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  perform hubspot_private.ranges_end(s);
  update hubspot_private.streams t set restarts = t.restarts + 1
  where (t.object, t.stream, t.range) = (s.object, s.stream, 0);
end;
$$;
comment on function hubspot_private.load_again(hubspot_private.streams) is
  'The list passed over records: it is read once more from the start. What was applied is applied again, which changes nothing.';

create or replace function hubspot_private.searches_start(object text, answered_at timestamptz)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_from timestamptz := coalesce(answered_at, hubspot_private.hubspot_now()) - (select max(w) from unnest(hubspot_private.settle_windows()) w);
  v_has_search boolean;
  v_started hubspot_private.streams;
begin
  -- One wrong Date header must not start them in the future: the earliest of the whole first load counts.
  update hubspot_private.objects o set searches_from = v_from
  where o.name = object and (o.searches_from is null or v_from < o.searches_from)
  returning o.has_search into v_has_search;
  if not found then
    return;
  end if;
  for v_started in
    update hubspot_private.streams t
    set next_at = coalesce(t.next_at, hubspot_private.clock()),
      cursor = case when v_has_search then jsonb_build_object('date', hubspot_private.as_ms(v_from)) else '{}' end
    where t.object = object and (t.stream = 'poll' or t.stream = 'settle' and v_has_search)
      and (t.next_at is null or (t.cursor ->> 'date')::bigint > hubspot_private.as_ms(v_from))
    returning t.*
  loop
    perform hubspot_private.stream_wake(v_started.object, v_started.stream, v_started.range);
  end loop;
end;
$$;
comment on function hubspot_private.searches_start(text, timestamptz) is
  'Starts poll and settle with the first answer of the first load, or earlier where a later answer is dated before it.';

create or replace function hubspot_private.object_loaded(object text)
returns void
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  update hubspot_private.objects o set loaded_at = coalesce(o.loaded_at, hubspot_private.clock()) where o.name = object_loaded.object;
  update hubspot_private.streams s
  -- Rows of an earlier time may have lost their records without a trace: a full read finds out.
  set next_at = case when o.is_kept then hubspot_private.clock() else hubspot_private.schedule_next(s.object, 'resync', hubspot_private.clock()) end
  from hubspot_private.objects o
  where s.object = object_loaded.object and s.stream = 'resync' and o.name = s.object;
  select hubspot_private.values_again(o) from hubspot_private.objects o where o.name = object_loaded.object and o.is_kept;
  update hubspot_private.objects o set is_kept = false where o.name = object_loaded.object and o.is_kept;
  select hubspot_private.stream_wake(object_loaded.object, 'resync');
  select hubspot_private.stream_wake(p.from_object, 'associations', p.number) from hubspot_private.pairs p where p.from_object = object_loaded.object;
  select hubspot_private.enqueue('hubspot:vacuum', json_build_object('object', object_loaded.object), 'vacuum:' || object_loaded.object);
$$;
comment on function hubspot_private.object_loaded(text) is 'The first load is done: statistics are made, full reads may begin.';

create or replace function hubspot_private.full_read_end(s hubspot_private.streams, started_at timestamptz)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_next_at timestamptz := hubspot_private.schedule_next(s.object, s.stream, started_at);
begin
  if s.stream = 'backfill' then
    perform hubspot_private.object_loaded(s.object);
  end if;
  perform hubspot_private.ranges_end(s);
  perform hubspot_private.audit_end(s.run_id);
  perform hubspot_private.fill_end(s);
  update hubspot_private.problems p set resolved_at = hubspot_private.clock()
  where p.object = s.object and p.code = 'SH212' and p.record_id is null and p.resolved_at is null and p.last_seen_at < started_at;
  if s.range > 0 then
    update hubspot_private.streams t set next_at = v_next_at where (t.object, t.stream, t.range) = (s.object, s.stream, 0);
    -- Now, for what was asked for meanwhile; then it waits for its time.
    perform hubspot_private.stream_wake(s.object, s.stream);
  end if;
end;
$$;
comment on function hubspot_private.full_read_end(hubspot_private.streams, timestamptz) is
  'The last part of a full read is over, and so is the whole.';

create or replace function hubspot_private.list_restart(s hubspot_private.streams)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  if s.range > 0 then
    perform hubspot_private.list_is_opaque(s.object);
  end if;
  if s.stream in ('backfill', 'resync') then
    perform hubspot_private.ranges_end(s);
  end if;
  if s.stream = 'resync' then
    delete from hubspot_private.absences a where a.object = s.object;
    update hubspot.audits a set compared = 0 where a.run_id = s.run_id;
  end if;
  delete from hubspot_private.listed l where l.object = s.object and l.stream = s.stream;
  update hubspot_private.streams t
  set cursor = case
      when s.stream = 'archive' then jsonb_strip_nulls(jsonb_build_object('until', s.cursor -> 'until'))
      when s.stream = 'resync' and o.is_list_unordered then '{"after": null, "is_listed": true}'
      else '{"after": null}'
    end,
    run_id = s.run_id, restarts = t.restarts + 1, failures = 0, retry_at = null, parked_at = null,
    epoch = t.epoch + 1, lease_until = null, holder = null
  from hubspot_private.objects o
  where (t.object, t.stream, t.range) = (s.object, s.stream, 0) and o.name = s.object;
  perform hubspot_private.stream_wake(s.object, s.stream);
end;
$$;
comment on function hubspot_private.list_restart(hubspot_private.streams) is
  'HubSpot refuses the place that a list stands at: the same run reads it from the start, as one part. What was applied is applied again, which changes nothing; what was noted as absent is noted anew.';

create or replace function hubspot_private.range_give_up(s hubspot_private.streams, is_refused boolean)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  -- It has shown nothing yet, so the part that it was split from reads on through what was to be its own.
  if is_refused then
    perform hubspot_private.list_is_opaque(s.object);
  end if;
  update hubspot_private.streams p
  set cursor = '{"after": null, "is_given_up": true}', failures = 0, retry_at = null, parked_at = null
  where (p.object, p.stream, p.range) = (s.object, s.stream, s.range);
  perform hubspot_private.stream_wake(s.object, s.stream, s.range);
end;
$$;
comment on function hubspot_private.range_give_up(hubspot_private.streams, boolean) is
  'HubSpot does not answer a list asked from the middle: the part ends with its next step.';
