-- Up to when the mirror is complete: where the slowest settle window stands, less what search named and nobody has read yet. What
-- rested on a Date of HubSpot's that was wrong is taken back.
create or replace function hubspot_private.complete_advance(object text)
returns void
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  insert into hubspot_private.completeness as c (object, complete_until)
  select complete_advance.object, least(to_timestamp(least(s.until, q.before) / 1000.0), n.told_at)
  from (
    select min((t.cursor ->> 'until')::bigint) as until
    from hubspot_private.streams t
    where t.object = complete_advance.object and t.stream = 'settle'
    having bool_and(t.cursor ? 'until')
  ) s
  cross join hubspot_private.clocks n
  cross join lateral (
    select min(hubspot_private.as_ms(h.version)) filter (where h.answered is null) - 1 as before,
      -- What the first load has still to read again, nothing else names.
      bool_or(h.version is null) as is_loading
    from hubspot_private.fetch_queue f
    left join hubspot_private.hints h on h.object = f.object and h.id = f.id
    where f.object = complete_advance.object
      -- A record that cannot be written, that HubSpot does not answer for, or that comes incomplete time and again, has a problem of its own, and holds up no other.
      and f.failures < 2 and not exists (
        select from hubspot_private.problems p
        where p.object = f.object and p.record_id = f.id and p.resolved_at is null
          and (p.code = 'SH213' or p.code = 'SH212' and (f.doubts ->> 'lacking')::integer > 3))
  ) q
  where exists (select from hubspot_private.objects o where o.name = complete_advance.object and o.loaded_at is not null)
    and (q.is_loading is not true or exists (
      select from hubspot_private.completeness k where k.object = complete_advance.object))
  on conflict on constraint completeness_pkey do update set complete_until = excluded.complete_until
  where c.complete_until < excluded.complete_until
    or c.complete_until > (
      select hubspot_private.clock() + a.hubspot_ahead from hubspot_private.account a) and c.complete_until <> excluded.complete_until;
$$;
comment on function hubspot_private.complete_advance(text) is
  'Notes up to when the mirror is complete now, in the transaction of a step that may have moved it; back only where it was later than HubSpot''s time.';

create or replace function hubspot_private.settle_restart(object text)
returns void
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  -- What was settled by another window says nothing of this one. All begin where the slowest stands: an hour's search or so.
  update hubspot_private.streams s
  set cursor = jsonb_strip_nulls(jsonb_build_object('date', w.date, 'found', s.cursor -> 'found'))
  from (
    select min((t.cursor ->> 'date')::bigint) as date
    from hubspot_private.streams t
    where t.object = settle_restart.object and t.stream = 'settle'
  ) w
  where s.object = settle_restart.object and s.stream = 'settle' and w.date is not null;
  update hubspot_private.runs r
  set state = 'stopped', finished_at = hubspot_private.clock()
  where r.object = settle_restart.object and r.stream = 'settle' and r.state in ('waiting', 'running')
    and r.range >= cardinality(hubspot_private.settle_windows());
$$;
comment on function hubspot_private.settle_restart(text) is 'The settle windows are others now: their passes begin anew, from the earliest place that one of them stands at.';

create or replace function hubspot_private.settle_rewind()
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_now constant timestamptz := hubspot_private.hubspot_now();
  v_object text;
begin
  for v_object in
    with ahead as (
      select s.object, s.stream, s.range from hubspot_private.streams s
      where s.stream = 'settle' and (s.cursor ->> 'until')::bigint > hubspot_private.as_ms(v_now - (hubspot_private.settle_windows())[s.range + 1]) + 5000
      order by s.object, s.range
      for update skip locked
    )
    -- A day and the widest window: what was searched meanwhile is known by its version, and read once.
    update hubspot_private.streams s
    set cursor = jsonb_build_object('date', hubspot_private.as_ms(v_now - interval '1 day' - (select max(w) from unnest(hubspot_private.settle_windows()) w)))
    from ahead a
    where (s.object, s.stream, s.range) = (a.object, a.stream, a.range)
    returning s.object
  loop
    perform hubspot_private.stream_wake(v_object, 'settle');
    update hubspot_private.completeness c set complete_until = least(c.complete_until, v_now - interval '1 day') where c.object = v_object;
  end loop;
end;
$$;
comment on function hubspot_private.settle_rewind() is
  'Settle windows that stand later than HubSpot''s time allows rested on a Date that was wrong: they begin a day before it, and what was claimed is taken back.';

create or replace function hubspot_private.load_watch(object text)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  -- Held until this transaction is over, which it is at once: the step that ends the first load waits for it, or it for that.
  if not exists (
    select from hubspot_private.objects o where o.name = load_watch.object and o.loaded_at is null for share nowait)
  then
    raise serialization_failure using message = format('the first load of %s ended meanwhile', object);
  end if;
end;
$$;
comment on function hubspot_private.load_watch(text) is
  'Called last by a step that wrote rows during the first load, and no changes of them: it must be over before the load is, from which on the feed tells of everything. 40001, 55P03 where it may not be: the step is taken again.';
