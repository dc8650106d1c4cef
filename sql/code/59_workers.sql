-- Workers: they beat every 10 s and are dead after 30; a sweep wakes what nobody holds.
create or replace function hubspot_private.worker_beat(
  id text, host text, pid integer, queue_ids text[], held jsonb default '[]', is_present boolean default false, may_write boolean default true
)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_was timestamptz;
begin
  -- One beat at a time looks.
  select greatest(c.seen_at, (select max(w.beat_at) from hubspot_private.workers w)) into v_was
  from hubspot_private.clocks c for update skip locked;
  -- Beats are written by the clock: one in the future was written before the clock was set back.
  if v_was > hubspot_private.clock() + interval '5 seconds' then
    perform hubspot_private.clock_set_back(v_was);
  end if;
  update hubspot_private.clocks c set seen_at = hubspot_private.clock() where v_was is not null;
  perform hubspot_private.home_check();
  insert into hubspot_private.workers as w (id, host, pid, queue_ids, is_present, may_write, started_at, beat_at)
  values (id, host, pid, queue_ids, is_present, may_write, hubspot_private.clock(), hubspot_private.clock())
  on conflict on constraint workers_pkey do update set beat_at = excluded.beat_at, queue_ids = excluded.queue_ids;
  -- A call may take longer than a lease; a row that a commit holds is being renewed by it.
  update hubspot_private.streams s
  set lease_until = hubspot_private.clock() + interval '30 seconds'
  from (
    select t.object, t.stream, t.range
    from jsonb_to_recordset(held) as h (object text, stream text, range integer, epoch bigint)
    join hubspot_private.streams t
      on (t.object, t.stream, t.range, t.epoch) = (h.object, h.stream, h.range, h.epoch)
    where t.lease_until is not null
    order by t.object, t.stream, t.range
    for update of t skip locked
  ) l
  where (s.object, s.stream, s.range) = (l.object, l.stream, l.range);
end;
$$;
comment on function hubspot_private.worker_beat(text, text, integer, text[], jsonb, boolean, boolean) is
  'A worker is alive and still holds these streams: [{object, stream, range, epoch}].';

create or replace function hubspot_private.worker_stop(id text)
returns void
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  delete from hubspot_private.workers w where w.id = worker_stop.id;
$$;
comment on function hubspot_private.worker_stop(text) is 'A worker stopped in order.';

create or replace function hubspot_private.streams_due(started_at timestamptz default null)
returns table (object text, stream text, range integer, at timestamptz)
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  select s.object, s.stream, s.range, greatest(s.retry_at, s.lease_until)
  from hubspot_private.streams s
  where (select hubspot_private.is_home()) and hubspot_private.stream_is_open(s)
    and case
      when streams_due.started_at is null then
        coalesce(s.lease_until, '-infinity') < hubspot_private.clock() and coalesce(s.retry_at, '-infinity') <= hubspot_private.clock()
        and hubspot_private.stream_has_work(s, hubspot_private.clock())
      -- Since a time: no interval that began later, nothing parked, but what is queued for a little later.
      -- What is parked is probed once, if its time has come or someone said resume.
      else (s.parked_at is null or coalesce(s.retry_at, '-infinity') <= streams_due.started_at) and (
        s.next_at <= streams_due.started_at or s.run_id is not null and not hubspot_private.stream_is_held(s)
        or s.stream in ('poll', 'settle', 'archive', 'backfill') and s.next_at is not null and not exists (
          select from hubspot_private.runs r
          join hubspot_private.objects o on o.name = r.object
          where r.object = s.object and r.stream = s.stream and r.range = s.range and r.state = 'done' and r.started_at >= o.tracked_at)
        or hubspot_private.stream_has_work(s, '-infinity')
        or s.stream = 'fetch' and exists (select from hubspot_private.fetch_queue q where q.object = s.object)
        or s.stream = 'associations' and exists (select from hubspot_private.association_dirty d where d.pair = s.range and d.attempts < 5))
    end
  order by s.object, s.stream, s.range;
$$;
comment on function hubspot_private.streams_due(timestamptz) is
  'Streams that nobody holds and that have something to do; since a time: all that must still run for everything due then, and what it woke, to be over.';

create or replace function hubspot_private.jobs_sweep(dead text[])
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_queue text := (select i.queue_schema from hubspot_private.installation i);
  v_gone text[];
begin
  -- Besides those of dead workers: what a queue locked that has been given up since, its database having been away.
  execute format(
    'select array_agg(distinct j.locked_by) from %I.jobs j
     where j.task_identifier = any ($1) and j.locked_at < clock_timestamp() - interval ''1 minute''
       and not exists (select from hubspot_private.workers w where j.locked_by = any (w.queue_ids))', v_queue)
  into v_gone using hubspot_private.task_names();
  v_gone := dead || coalesce(v_gone, '{}');
  if v_gone <> '{}' then
    -- The queue itself would free them after four hours.
    execute format('select %I.force_unlock_workers($1)', v_queue) using v_gone;
  end if;
  -- A job of ours is tried once: left over, it would stay for good. What it was to wake is woken by the sweep.
  execute format(
    'select count(*) from %1$I.complete_jobs(array(
       select j.id from %1$I.jobs j
       where j.task_identifier = any ($1) and j.locked_at is null and j.attempts >= j.max_attempts))', v_queue)
  using hubspot_private.task_names();
end;
$$;
comment on function hubspot_private.jobs_sweep(text[]) is 'Clears our jobs that nobody will sign off: of dead workers, and of queues given up.';

create or replace function hubspot_private.due_wake(dead text[])
returns integer
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_due record;
  v_count integer := 0;
begin
  begin
    perform hubspot_private.jobs_sweep(dead);
  exception when lock_not_available or deadlock_detected then
    null;
  end;
  for v_due in select d.* from hubspot_private.streams_due() d loop
    begin
      perform hubspot_private.stream_wake(v_due.object, v_due.stream, v_due.range);
    exception when lock_not_available or deadlock_detected then
      perform hubspot_private.stream_call(v_due.object, v_due.stream, v_due.range);
    end;
    v_count := v_count + 1;
  end loop;
  return v_count;
end;
$$;
comment on function hubspot_private.due_wake(text[]) is
  'Clears the jobs of dead workers and wakes what is due, where someone''s open transaction has queued a look at it, with a job besides that.';

create or replace function hubspot_private.candidate_sweep()
returns void
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  select hubspot_private.enqueue('hubspot:connect', '{}', 'connect')
  where exists (
    select from hubspot_private.credentials c
    where c.state = 'candidate' and coalesce(c.retry_at, '-infinity') <= hubspot_private.clock());
$$;
comment on function hubspot_private.candidate_sweep() is 'Has a token looked at that waits to be checked.';

create or replace function hubspot_private.hints_tell()
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_object hubspot_private.objects;
  v_widest constant interval := (select max(w) from unnest(hubspot_private.settle_windows()) w);
begin
  update hubspot_private.problems p set resolved_at = hubspot_private.clock()
  where p.code = 'SH235' and p.resolved_at is null and (
    not exists (select from hubspot_private.hints h where (h.object, h.id) = (p.object, p.record_id))
    or exists (select from hubspot_private.tombstones g where (g.object, g.id) = (p.object, p.record_id) and g.archived_at is not null));
  -- What other reads than a fetch have found.
  for v_object in
    select o.* from hubspot_private.objects o
    where o.table_name is not null and exists (select from hubspot_private.problems p where p.object = o.name and p.code = 'SH235' and p.resolved_at is null)
  loop
    continue when hubspot_private.mirror_table(v_object.table_name) is null;
    execute format(
      'update hubspot_private.problems p set resolved_at = hubspot_private.clock()
       from %s and p.object = $1 and p.record_id = t.id and p.code = ''SH235'' and p.resolved_at is null and not exists (
         select from hubspot_private.hints h where h.object = $1 and h.id = t.id and h.version > t._updated_at and h.answered is null)',
      hubspot_private.live_rows(v_object))
    using v_object.name;
  end loop;
  -- The widest window has asked, and so have sweeps of the archived list. One that was here, is archived or merged, is gone.
  perform hubspot_private.problem_report('SH235', u.object, format('search shows record %s of %s, and no read by id finds it', u.id, u.object), null, u.id)
  from (
    select distinct h.object, h.id from hubspot_private.hints h
    join hubspot_private.tombstones g on (g.object, g.id) = (h.object, h.id) and g.archived_at is null and g.alive_at is null
    where h.settled >= v_widest
      and h.seen_at < hubspot_private.clock() - least(4 * v_widest, hubspot_private.setting_interval('hints_kept') / 2)
      and not exists (select from hubspot_private.fetch_queue q where (q.object, q.id) = (h.object, h.id))
      and not exists (select from hubspot.merges k where (k.object, k.lost_id) = (h.object, h.id))
      and not exists (
        select from hubspot_private.problems p where (p.object, p.record_id) = (h.object, h.id) and p.code = 'SH235' and p.resolved_at is null)
  ) u;
end;
$$;
comment on function hubspot_private.hints_tell() is
  'Tells of records that search has shown for hours and that no read found, and ends what was told where one did, the archived list shows it, or search has not for a day.';

create or replace function hubspot_private.history_sweep()
returns void
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  delete from hubspot_private.hints h
  where h.seen_at < hubspot_private.clock() - hubspot_private.setting_interval('hints_kept')
    -- Until it is read, complete_until rests on it.
    and not exists (select from hubspot_private.fetch_queue q where q.object = h.object and q.id = h.id);
  select hubspot_private.hints_tell();
  delete from hubspot_private.runs r
  where r.state in ('done', 'stopped') and r.finished_at < hubspot_private.clock() - case
    when r.inserted + r.updated + r.deleted + r.regressed > 0 or r.stream in ('backfill', 'resync')
    then hubspot_private.setting_interval('runs_kept') else interval '1 hour' end;
  -- A record without an id is nobody's to heal: not seen in the weekly full read, it is gone.
  update hubspot_private.problems p set resolved_at = hubspot_private.clock()
  where p.code = 'SH212' and p.record_id is null and p.resolved_at is null and p.last_seen_at < hubspot_private.clock() - interval '8 days';
  delete from hubspot_private.problems p
  where p.resolved_at < hubspot_private.clock() - hubspot_private.setting_interval('problems_kept');
$$;
comment on function hubspot_private.history_sweep() is 'Forgets hints, runs and problems that are old.';

create or replace function hubspot_private.sweep()
returns integer
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set lock_timeout = '100ms'
as $$
declare
  v_dead text[];
  v_part text;
  v_count integer;
begin
  -- One sweep at a time is enough.
  if not hubspot_private.turn_take('sweep') then
    return 0;
  end if;
  -- A worker holds an advisory lock while its process lives (src/db/presence.ts): free, it was killed. Frozen, or behind a
  -- connection that hangs, it still holds that; then its beats tell.
  with dead as (
    delete from hubspot_private.workers w
    where w.beat_at < hubspot_private.clock() - interval '30 seconds'
      or w.is_present and pg_try_advisory_xact_lock(hashtext('hubspot.worker'), hashtext(w.id))
    returning w.id, w.queue_ids
  ),
  freed as (
    update hubspot_private.streams s
    set lease_until = hubspot_private.clock() - interval '1 microsecond'
    from (
      select t.object, t.stream, t.range from hubspot_private.streams t
      where t.lease_until is not null and t.holder in (select d.id from dead d)
      for update skip locked
    ) l
    where (s.object, s.stream, s.range) = (l.object, l.stream, l.range)
  ),
  renewed as (
    update hubspot_private.oauth o set holder = null, lease_until = null
    from (
      select t.credential_id from hubspot_private.oauth t
      where t.holder in (select d.id from dead d)
      for update skip locked
    ) l
    where o.credential_id = l.credential_id
  )
  select array_agg(q) into v_dead from dead, unnest(dead.queue_ids) q;
  v_count := hubspot_private.due_wake(coalesce(v_dead, '{}'));
  -- Nobody waits for someone who leaves a transaction open: what he holds is left for the next time, and all else is done.
  foreach v_part in array '{quota_adopt,settle_rewind,subscriptions_sweep,forecast_make,streams_hasten,candidate_sweep,live_follow,inbox_sweep,history_sweep}'::text[] loop
    begin
      execute format('select hubspot_private.%I()', v_part);
    exception when lock_not_available or deadlock_detected then
      null;
    end;
  end loop;
  update hubspot_private.turns t set done_at = hubspot_private.clock() where t.name = 'sweep';
  return v_count;
end;
$$;
comment on function hubspot_private.sweep() is
  'Every 20 s: wakes due streams whose lease is dead or whose job was lost, and subscriptions, frees jobs of dead workers, stretches what does not fit into the budgets, forgets what is old. Returns the streams woken.';
