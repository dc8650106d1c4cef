-- Streams: due, held by lease and epoch, run, released. A job only wakes one; a step commits only with its epoch and its cursor.
-- Waking needs no counter: work is queued before its job can start, a claim waits for the row that a release holds, and a release
-- looks for work after it holds the row. So either the release sees the work or the claim finds the lease free.
create or replace function hubspot_private.run_request(object text, stream text, range integer default 0)
returns bigint
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_id bigint;
begin
  loop
    insert into hubspot_private.runs (object, stream, range, state, requested_at)
    values (object, stream, range, 'waiting', hubspot_private.clock())
    on conflict do nothing
    returning id into v_id;
    if v_id is null then
      select r.id into v_id from hubspot_private.runs r
      where r.object = run_request.object and r.stream = run_request.stream and r.range = run_request.range and r.state = 'waiting';
    end if;
    exit when v_id is not null;
  end loop;
  perform hubspot_private.stream_call(object, stream, range);
  return v_id;
end;
$$;
comment on function hubspot_private.run_request(text, text, integer) is
  'Asks for a run of a stream, besides its schedule, and returns its id. One that waits already serves both.';

create or replace function hubspot_private.run_begin(s hubspot_private.streams)
returns hubspot_private.streams
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_was_held constant boolean := hubspot_private.stream_is_held(s);
begin
  if s.stream = 'fetch' then
    perform hubspot_private.asks_take(s.object);
  end if;
  if s.run_id is not null and not v_was_held then
    return s;
  end if;
  if s.run_id is not null then
    -- It waited to be confirmed; the one that begins now looks anew.
    update hubspot_private.runs r set state = 'stopped', finished_at = hubspot_private.clock() where r.id = s.run_id;
    perform hubspot_private.problem_resolve('{SH216}', s.object);
    s.run_id := null;
  end if;
  update hubspot_private.runs r
  set state = 'running', started_at = hubspot_private.clock()
  where r.id = (
    select w.id from hubspot_private.runs w
    where (w.object, w.stream, w.range, w.state) = (s.object, s.stream, s.range, 'waiting') for no key update skip locked)
  returning r.id into s.run_id;
  if s.stream = 'associations' and (s.run_id is not null or s.next_at <= hubspot_private.clock()) then
    -- Its time has come, or it was asked for; else only what is dirty is read.
    s.cursor := hubspot_private.sweep_begin(s.cursor);
  end if;
  if s.stream = 'poll' and s.live_until > hubspot_private.clock() then
    s.cursor := hubspot_private.search_rewind(s.cursor, hubspot_private.setting_interval('live_overlap'));
  end if;
  if s.run_id is null then
    insert into hubspot_private.runs (object, stream, range, state, requested_at, started_at)
    values (s.object, s.stream, s.range, 'running', hubspot_private.clock(), hubspot_private.clock())
    returning id into s.run_id;
  end if;
  if s.stream = 'resync' then
    -- From here on, reads asked earlier overlap with this full read.
    update hubspot_private.objects o set resync_started_at = hubspot_private.clock(), is_list_opaque = false, is_list_unordered = false
    where o.name = s.object;
    -- What one counted that waited to be confirmed, stays on the list until it is found again.
    delete from hubspot_private.absences a where a.object = s.object and not (v_was_held and a.is_gone);
    delete from hubspot_private.listed l where l.object = s.object and l.stream = 'resync';
    perform hubspot_private.search_retry(s.object);
    -- Parts of one that was given up would end this one where they began.
    perform hubspot_private.ranges_end(s);
    s.cursor := '{}';
  end if;
  return s;
end;
$$;
comment on function hubspot_private.run_begin(hubspot_private.streams) is
  'The run that a stream is in: the one under way, else the one asked for, else a new one.';

create or replace function hubspot_private.stream_plan(object text)
returns jsonb
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  -- Asked for whatever the user chose: the modified date and what was merged in.
  select jsonb_build_object(
    'type', hubspot_private.object_path(o),
    'column_set', o.column_set,
    'has_pipelines', o.has_pipelines,
    'properties', (
      select coalesce(jsonb_agg(n.name order by n.name), '[]')
      from (
        select p.property as name from hubspot_private.properties p
        where p.object = o.name and p.is_selected and p.archived_at is null and p.unreadable_at is null
        union
        select o.modified_property
        union
        select 'hs_merged_object_ids'
      ) n))
  from hubspot_private.objects o
  where o.name = stream_plan.object;
$$;
comment on function hubspot_private.stream_plan(text) is
  'What does not change from step to step: the object''s path, the properties to ask for, the number of its column set.';

create or replace function hubspot_private.stream_claim(object text, stream text, range integer, worker text)
returns table (epoch bigint, cursor jsonb, request jsonb, plan jsonb, wait_ms double precision)
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set lock_timeout = '2s'
as $$
#variable_conflict use_column
declare
  v_stream hubspot_private.streams;
  v_wait_ms double precision;
begin
  select s.* into v_stream
  from hubspot_private.streams s
  where (s.object, s.stream, s.range) = (stream_claim.object, stream_claim.stream, stream_claim.range)
  for update;
  -- A copy stands still until it is adopted.
  if not found or not hubspot_private.is_home()
    or v_stream.lease_until > hubspot_private.clock()
    or v_stream.retry_at > hubspot_private.clock()
    or not hubspot_private.stream_is_open(v_stream)
    or not hubspot_private.stream_has_work(v_stream, hubspot_private.clock() + hubspot_private.schedule_lead(v_stream.stream))
  then
    return;
  end if;
  v_wait_ms := case
    when hubspot_private.stream_has_work(v_stream, hubspot_private.clock()) then 0
    else greatest(extract(epoch from v_stream.next_at - hubspot_private.clock()) * 1000, 0)
  end;
  v_stream := hubspot_private.run_begin(v_stream);
  update hubspot_private.streams s
  set epoch = s.epoch + 1, holder = worker, lease_until = hubspot_private.clock() + interval '30 seconds',
    run_id = v_stream.run_id, cursor = v_stream.cursor
  where (s.object, s.stream, s.range) = (v_stream.object, v_stream.stream, v_stream.range)
  returning s.* into v_stream;
  return query select v_stream.epoch, v_stream.cursor, hubspot_private.stream_request(v_stream),
    hubspot_private.stream_plan(v_stream.object), v_wait_ms;
end;
$$;
comment on function hubspot_private.stream_claim(text, text, integer, text) is
  'Takes the lease of a stream that is due: its epoch, cursor, what to ask first, the plan, and how long to wait for its time. No row: nothing to do, or held.';

create or replace function hubspot_private.stream_release(object text, stream text, range integer, epoch bigint)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  update hubspot_private.streams s set lease_until = null, holder = null
  where (s.object, s.stream, s.range, s.epoch) = (stream_release.object, stream_release.stream, stream_release.range, stream_release.epoch);
  if found then
    perform hubspot_private.stream_wake(object, stream, range);
  end if;
end;
$$;
comment on function hubspot_private.stream_release(text, text, integer, bigint) is
  'Gives a lease back in the middle of a run, when the time slice is over or the worker stops; the run goes on with the next claim.';

create or replace function hubspot_private.stream_fail(
  object text, stream text, range integer, epoch bigint, kind text, code text, message text, hint text,
  retry_after_ms double precision default null, request jsonb default null
)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_stream hubspot_private.streams;
  v_ceiling constant interval := case when kind = 'transient' then interval '1 hour' else interval '15 minutes' end;
  -- To wait for a budget is no failure.
  v_is_waiting constant boolean := code like 'SH3%';
begin
  if code in ('SH203', 'SH206', 'SH207', 'SH208', 'SH211') then
    select s.* into v_stream from hubspot_private.streams s
    where (s.object, s.stream, s.range, s.epoch) = (stream_fail.object, stream_fail.stream, stream_fail.range, stream_fail.epoch)
      and s.lease_until is not null
    for update;
    if found and hubspot_private.suspects_fail(v_stream, hubspot_private.request_ids(request), message) then
      perform hubspot_private.stream_release(object, stream, range, epoch);
      return;
    end if;
  end if;
  update hubspot_private.streams s
  set lease_until = null, holder = null, failures = s.failures + (not v_is_waiting)::integer,
    parked_at = case when v_is_waiting then s.parked_at when stream_fail.kind = 'refused' then coalesce(s.parked_at, hubspot_private.clock()) end,
    retry_at = hubspot_private.clock() + greatest(
      make_interval(secs => retry_after_ms / 1000),
      case when not v_is_waiting or retry_after_ms is null then
        least(v_ceiling, make_interval(secs => power(2, least(s.failures, 20)))) * (0.5 + random() / 2)
      end)
  where (s.object, s.stream, s.range, s.epoch) = (stream_fail.object, stream_fail.stream, stream_fail.range, stream_fail.epoch)
    -- Let go already: the run is over, and only the answer to its last commit was lost.
    and s.lease_until is not null
  returning s.* into v_stream;
  if not found then
    return;
  end if;
  -- For ten minutes: it is no accident.
  if stream in ('poll', 'settle') and code in ('SH203', 'SH211') and v_stream.parked_at < hubspot_private.clock() - interval '10 minutes'
    and hubspot_private.search_refuse(object)
  then
    return;
  end if;
  if stream = 'archive' and (stream_fail.kind = 'refused' or v_stream.failures >= 3) then
    -- The first load does not wait for it for ever.
    perform hubspot_private.load_begin(object);
  end if;
  if stream = 'associations' and code = 'SH203' then
    -- Where a record that is half read goes on may hold no more.
    perform hubspot_private.associations_restart(range);
  end if;
  if v_stream.cursor ? 'is_first' and (code = 'SH203' or v_stream.failures >= 3) then
    perform hubspot_private.range_give_up(v_stream, code = 'SH203');
    return;
  end if;
  -- At once, and then after four more refusals each time.
  if code in ('SH203', 'SH211') and request ->> 'kind' in ('list', 'archived') and request ->> 'after' is not null
    and v_stream.failures > 4 * v_stream.restarts
  then
    perform hubspot_private.list_restart(v_stream);
    return;
  end if;
  update hubspot_private.runs r
  set error_code = stream_fail.code, error = left(stream_fail.message, 2000)
  where r.id = v_stream.run_id;
  -- A hiccup is no problem; what HubSpot refuses, puts off for a minute or fails at three times in a row is, and a day that is spent.
  if code = 'SH302' or not v_is_waiting and (kind <> 'transient' or v_stream.failures >= 3 or retry_after_ms >= 60000) then
    perform hubspot_private.problem_report(code, object, left(message, 2000), hint, null, null);
  end if;
  if code = 'SH201' then
    perform hubspot_private.problem_report(code, '*', left(message, 2000), hint, null, 'token');
  end if;
  perform hubspot_private.stream_wake(object, stream, range, v_stream.retry_at);
end;
$$;
comment on function hubspot_private.stream_fail(text, text, integer, bigint, text, text, text, text, double precision, jsonb) is
  'A step failed (kind: transient, refused, bug): the lease goes, the run is tried again after a back-off that doubles from 1 s to 1 h, refusals every 15 min; a budget (SH3) when it said. request: what failed, by id or in a list that may begin again.';

create or replace function hubspot_private.stream_healed(s hubspot_private.streams)
returns void
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  select hubspot_private.problem_resolve('{SH201}', '*', null, 'token');
  select hubspot_private.problem_resolve('{SH009,SH011,SH012,SH013,SH020,SH201,SH202,SH203,SH205,SH206,SH207,SH208,SH211,SH226,SH227,SH901}', s.object)
  where not exists (
    select from hubspot_private.streams o
    where o.object = s.object and o.failures > 0 and (o.stream, o.range) <> (s.stream, s.range));
  -- To wait for a budget is no failure: it neither keeps those problems open nor is kept by them.
  select hubspot_private.problem_resolve('{SH301,SH302}', s.object)
  where not exists (
    select from hubspot_private.streams o
    join hubspot_private.runs r on r.id = o.run_id
    where o.object = s.object and o.retry_at > hubspot_private.clock() and r.error_code in ('SH301', 'SH302')
      and (o.stream, o.range) <> (s.stream, s.range));
$$;
comment on function hubspot_private.stream_healed(hubspot_private.streams) is
  'A step went through after failures: the object''s problems are over once no other stream of it fails.';
