-- What a person looks at first.
create or replace view hubspot.runs as
select r.id, nullif(r.object, '*') as object, r.stream,
  case
    when r.state = 'running' and (s.is_waiting or s.is_held or o.is_paused) then 'waiting'
    when r.state = 'running' and s.is_interrupted then 'interrupted'
    else r.state
  end as state,
  r.started_at, r.finished_at, r.requests, r.rows_read, r.inserted, r.updated, r.unchanged, r.stale, r.regressed, r.deleted,
  r.error_code, r.error, r.requested_at, r.range, r.hinted
from hubspot_private.runs r
-- A full read may be in parts: it waits when all of them do.
left join lateral (
  select bool_and(coalesce(t.retry_at > hubspot_private.clock(), false)) as is_waiting,
    bool_or(hubspot_private.stream_is_held(t)) as is_held,
    bool_and(coalesce(t.lease_until < hubspot_private.clock(), false)) as is_interrupted
  from hubspot_private.streams t
  where t.object = r.object and t.stream = r.stream and t.run_id = r.id
) s on r.state = 'running'
left join hubspot_private.objects o on o.name = r.object
order by r.id;
comment on view hubspot.runs is
  'Every reading of an object from start to end, and what it came to. interrupted: its worker died, the next claim goes on.';

create or replace view hubspot.properties as
select p.object, p.property, p.column_name, coalesce(p.column_type, hubspot_private.column_type_for(p.type, p.field_type)) as column_type,
  p.type, p.field_type, p.label, p.description, p.is_selected, p.is_calculated, p.is_read_only, p.archived_at, p.locked_at,
  p.deselected_at, p.unreadable_at, r.id as filling_run, p.next_type
from hubspot_private.properties p
left join hubspot_private.runs r on r.id = p.fill_run and r.state in ('waiting', 'running')
order by p.object, p.property;
comment on view hubspot.properties is
  'HubSpot''s properties of tracked objects and the column that each has; names and types of columns stay once given.';

create or replace view hubspot.problems as
select p.id, p.object, p.record_id, p.property, p.code, p.message, p.hint, p.first_seen_at, p.last_seen_at, p.count, p.resolved_at
from hubspot_private.problems p
order by p.resolved_at is not null, p.last_seen_at desc;
comment on view hubspot.problems is
  'What went wrong in the background and what to do; resolved_at is set by itself when it heals. Open ones: where resolved_at is null.';

create or replace view hubspot.status as
select o.name as object,
  case
    when o.is_paused or (select p.is_paused from hubspot_private.pauses p) then 'paused'
    when h.differs is not null or t.is_parked or k.is_unknown or o.archived_at is not null then 'parked'
    when o.loaded_at is null and o.column_set = 0 then 'waiting'
    when o.loaded_at is null then 'backfilling'
    when not o.has_search then 'list only'
    else 'live'
  end as state,
  t.rows,
  case
    when o.loaded_at is not null then 1
    when o.total > 0 then least(round(t.read::numeric / o.total, 4), 0.9999)
    else 0
  end as progress,
  case when o.loaded_at is null and o.total > t.read and t.read > 0 and t.backfill_started_at is not null
    and not t.is_waiting then
    date_trunc('second', (hubspot_private.clock() - t.backfill_started_at) * ((o.total - t.read)::double precision / t.read))
  end as eta,
  hubspot_private.clock() - t.polled_at as lag,
  (select c.complete_until from hubspot_private.completeness c where c.object = o.name) as complete_until,
  t.deletes_complete_until,
  t.associations_complete_until,
  t.last_run_at,
  t.next_run_at,
  t.found_by_settle,
  k.problems,
  coalesce(h.differs, k.last_error) as last_error,
  o.table_name,
  o.tracked_at,
  o.loaded_at
from hubspot_private.objects o
cross join hubspot_private.account a
cross join (select hubspot_private.home_differs() as differs) h
cross join lateral (
  select coalesce(sum(s.rows) filter (where s.stream <> 'associations'), 0)::bigint as rows,
    -- A pair that is refused is the pair's matter.
    coalesce(bool_or(s.parked_at is not null) filter (where s.stream <> 'associations'), false) as is_parked,
    max(b.started_at) as backfill_started_at,
    -- For more than moments, as when the day's budget is spent: then nobody knows.
    coalesce(bool_and(s.retry_at > hubspot_private.clock() + interval '1 minute') filter (where b.id is not null), false) as is_waiting,
    coalesce(max(b.rows_read), 0) as read,
    max(l.started_at) filter (where s.stream = 'poll') as polled_at,
    max(l.finished_at) as last_run_at,
    min(s.next_at) filter (where s.stream = 'poll') as next_run_at,
    greatest(
      max(to_timestamp((s.cursor ->> 'until')::bigint / 1000.0)) filter (where s.stream = 'archive'),
      max(l.started_at) filter (where s.stream = 'resync') + (select h.hubspot_ahead from hubspot_private.account h)) as deletes_complete_until,
    -- Of all its pairs: null until each was read whole.
    case when bool_and(s.cursor ? 'until') filter (where s.stream = 'associations') then
      min(to_timestamp((s.cursor ->> 'until')::bigint / 1000.0)) filter (where s.stream = 'associations')
    end as associations_complete_until,
    coalesce(sum((s.cursor ->> 'found')::bigint) filter (where s.stream = 'settle'), 0)::bigint as found_by_settle
  from hubspot_private.streams s
  left join hubspot_private.runs b on s.stream = 'backfill' and b.id = s.run_id
  left join lateral (
    select r.started_at, r.finished_at from hubspot_private.runs r
    where r.object = s.object and r.stream = s.stream and r.range = s.range and r.state = 'done'
    order by r.id desc
    limit 1
  ) l on s.stream in ('poll', 'backfill', 'resync')
  where s.object = o.name
) t
cross join lateral (
  select count(*) as problems, (array_agg(p.message order by p.last_seen_at desc))[1] as last_error,
    coalesce(bool_or(p.code = 'SH102'), false) as is_unknown
  from hubspot_private.problems p
  where p.object = o.name and p.resolved_at is null
) k
where o.is_tracked
order by o.name;
comment on view hubspot.status is
  'One row per tracked object: state, rows, progress of the first load, how late the mirror is (lag: since the last poll began; complete_until: HubSpot''s time up to which every change of a record is here, those that its index shows late too).';

create or replace view hubspot.workers as
select w.id, w.host, w.pid, w.started_at, w.beat_at,
  (select count(*) from hubspot_private.streams s where s.holder = w.id and s.lease_until > hubspot_private.clock()) as streams,
  w.may_write
from hubspot_private.workers w
where w.beat_at > hubspot_private.clock() - interval '30 seconds'
order by w.started_at, w.id;
comment on view hubspot.workers is 'Worker processes that live, by their heartbeats.';
comment on column hubspot.workers.id is 'As in its log.';
comment on column hubspot.workers.host is 'The machine that it runs on.';
comment on column hubspot.workers.pid is 'Its process id there.';
comment on column hubspot.workers.started_at is 'When it started.';
comment on column hubspot.workers.beat_at is 'Its last heartbeat; dead 30 s after it.';
comment on column hubspot.workers.streams is 'How many streams it reads just now.';
comment on column hubspot.workers.may_write is 'False: started with HUBSPOT_WRITES=off, it writes nothing to HubSpot and renews no token.';
