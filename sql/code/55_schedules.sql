-- Schedules: rows that anyone may read, changed by two verbs.
create or replace function hubspot_private.schedule_tell(object text, stream text, before jsonb)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_pace hubspot_private.paces;
  v_slower bigint;
  v_all numeric;
begin
  select p.* into v_pace from hubspot_private.paces p
  where p.object = schedule_tell.object and p.stream = schedule_tell.stream;
  select count(*) filter (where p.stretched_every > 1.01 * (before ->> format('%s:%s', p.object, p.stream))::interval
      and (p.object, p.stream) <> (schedule_tell.object, schedule_tell.stream)),
    round(sum(p.calls * 86400 / extract(epoch from p.stretched_every)::double precision)::numeric)
  into v_slower, v_all
  from hubspot_private.paces p;
  if v_pace.limited_by is not null or v_slower > 0 then
    raise notice using
      errcode = 'SH120',
      message = case
        when v_pace.limited_by is null then format('%s of %s fits, and others run less often for it: %s', stream, object, v_slower)
        else format('%s of %s every %s does not fit into the %s budget: it runs every %s, about', stream, object, v_pace.every, v_pace.limited_by,
          date_trunc('second', v_pace.stretched_every) + interval '1 second') || case when v_slower > 0 then format(', and others less often too: %s', v_slower) else '' end
      end,
      detail = format('All schedules come to %s requests a day now, of %s.', v_all,
        (select greatest(floor(b.max_requests * b.share), 1) from hubspot_private.budgets_now() b where b.name = 'daily')),
      hint = (select e.hint from hubspot_private.errors e where e.code = 'SH120');
  end if;
end;
$$;
comment on function hubspot_private.schedule_tell(text, text, jsonb) is
  'Tells by a notice (SH120) what a changed schedule comes to, where it does not fit or others run less often for it; before: stretched intervals by "object:stream".';

create or replace function hubspot_private.schedule_set(object text, stream text, every interval, cron text, timezone text)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_object text := (hubspot_private.object_tracked(object)).name;
  v_streams constant text[] := '{poll,settle,archive,associations,schema,resync}';
  v_before jsonb;
  v_moved hubspot_private.streams;
begin
  if stream is null or stream <> all (v_streams) then
    perform hubspot_private.fail('stream_unknown', coalesce(stream, 'null'), array_to_string(v_streams, ', '));
  end if;
  if every is not null and (every < interval '1 second' or every > interval '1 year') then
    perform hubspot_private.fail('argument_invalid', format('every cannot be %s', every), 'Give an interval from 1 second to 1 year.');
  end if;
  if cron is not null then
    -- An expression that is wrong, or never true, fails here and not in the night.
    perform hubspot_private.cron_next(cron, timezone, hubspot_private.clock());
  end if;
  v_before := (
    select jsonb_object_agg(format('%s:%s', p.object, p.stream), p.stretched_every)
    from hubspot_private.forecast_plan() p
    where p.stretched_every is not null);
  delete from hubspot_private.schedules s where s.object = v_object and s.stream = schedule_set.stream;
  if num_nonnulls(every, cron) = 1 then
    insert into hubspot_private.schedules (object, stream, every, cron, timezone)
    values (v_object, stream, every, cron, case when cron is not null then timezone end);
  end if;
  perform hubspot_private.forecast_make();
  perform hubspot_private.schedule_tell(v_object, stream, v_before);
  -- A stream that has not begun yet begins when what it builds on is there.
  for v_moved in
    update hubspot_private.streams s
    set next_at = hubspot_private.schedule_next(v_object, s.stream, hubspot_private.clock())
    where s.object = v_object and s.stream = schedule_set.stream and s.next_at is not null
    returning s.*
  loop
    perform hubspot_private.stream_call(v_moved.object, v_moved.stream, v_moved.range, v_moved.next_at - hubspot_private.schedule_lead(v_moved.stream));
  end loop;
end;
$$;
comment on function hubspot_private.schedule_set(text, text, interval, text, text) is
  'Sets a stream''s schedule; neither every nor cron: the default.';

create or replace function hubspot.schedule(object text, stream text, every interval)
returns void
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if every is null then
    perform hubspot_private.fail('argument_invalid', 'every is null', 'Give an interval such as ''5 seconds''; hubspot.unschedule() goes back to the default.');
  end if;
  perform hubspot_private.schedule_set(object, stream, every, null, null);
end;
$$;
comment on function hubspot.schedule(text, text, interval) is
  'Runs a stream (poll, settle, archive, associations, schema, resync) of an object every so often. SH101, SH104, SH109.';

create or replace function hubspot.schedule(object text, stream text, cron text, timezone text default 'UTC')
returns void
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if cron is null or timezone is null then
    perform hubspot_private.fail('argument_invalid', 'cron or timezone is null', 'Give five fields such as ''0 3 * * sun'', or every => ''1 hour''.');
  end if;
  perform hubspot_private.schedule_set(object, stream, null, cron, timezone);
end;
$$;
comment on function hubspot.schedule(text, text, text, text) is
  'Runs a stream (poll, settle, archive, associations, schema, resync) of an object by cron, in a time zone. SH101, SH104, SH109.';

create or replace function hubspot.unschedule(object text, stream text)
returns void
language sql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
  select hubspot_private.schedule_set(unschedule.object, unschedule.stream, null, null, null);
$$;
comment on function hubspot.unschedule(text, text) is 'Goes back to a stream''s default schedule. SH101, SH109.';

create or replace view hubspot.schedules as
select s.object, s.stream,
  case when c.cron is null then hubspot_private.schedule_every(s.object, s.stream) end as every,
  c.cron, c.timezone, min(s.next_at) as next_run_at
from hubspot_private.streams s
left join hubspot_private.schedules c on c.object = s.object and c.stream = s.stream
where s.stream in ('poll', 'settle', 'archive', 'associations', 'schema', 'resync') and s.object <> '*'
group by s.object, s.stream, c.cron, c.timezone
order by s.object, s.stream;
comment on view hubspot.schedules is
  'When streams run by themselves. Change one: select hubspot.schedule(''deals'', ''poll'', every => ''5 seconds'');';
