-- When streams run by themselves: as scheduled (55_schedules.sql), else by default.
create or replace function hubspot_private.schedule_every(object text, stream text)
returns interval
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  select case
    when s.cron is not null then null
    else coalesce(s.every, d.every)
  end
  from (values
    ('poll', interval '10 seconds'), ('settle', interval '2 minutes'), ('archive', interval '1 hour'), ('associations', interval '1 hour'), ('schema', interval '10 minutes'),
    ('resync', interval '7 days'),
    ('probe', case when exists (
      select from hubspot_private.properties p where p.object = schedule_every.object and p.unreadable_at is not null
    ) then interval '15 minutes' end),
    -- While a table waits for another look at its columns (69_build.sql).
    ('build', case when exists (
      select from hubspot_private.objects o where o.name = schedule_every.object and o.held_since is not null
    ) or exists (
      select from hubspot_private.properties p
      where p.object = schedule_every.object and p.next_seq is not null and p.carry_refusal is null
    ) then interval '10 seconds' when exists (
      select from hubspot_private.properties p where p.object = schedule_every.object and p.next_seq is not null
    ) then interval '15 minutes' end)
  ) as d (stream, every)
  left join hubspot_private.schedules s on s.object = schedule_every.object and s.stream = d.stream
  where d.stream = schedule_every.stream;
$$;
comment on function hubspot_private.schedule_every(text, text) is 'The interval of a stream: as scheduled, else the default.';

create or replace function hubspot_private.quiet_hour_next(object text, started_at timestamptz)
returns timestamptz
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  -- Sunday night where the account is, each object at a time of its own; not within three days of the last.
  select case when n.at >= l.at then n.at else n.at + interval '7 days' end at time zone a.time_zone
  from hubspot_private.account a
  join hubspot_private.objects o on o.name = quiet_hour_next.object
  cross join lateral (select (quiet_hour_next.started_at + interval '3 days') at time zone a.time_zone as at) l
  cross join lateral (
    select date_trunc('week', l.at) + interval '6 days 2 hours' + make_interval(mins => o.number * 47 % 180) as at
  ) n;
$$;
comment on function hubspot_private.quiet_hour_next(text, timestamptz) is
  'When an object is next read whole where nothing else is scheduled: early on a Sunday, by the account''s time zone.';

create or replace function hubspot_private.schedule_pace(object text, stream text)
returns interval
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  -- What was made for another interval says nothing of this one.
  select coalesce((
      select p.stretched_every from hubspot_private.paces p
      where p.object = schedule_pace.object and p.stream = schedule_pace.stream and p.every = e.every
    ), e.every)
  from hubspot_private.schedule_every(schedule_pace.object, schedule_pace.stream) e (every);
$$;
comment on function hubspot_private.schedule_pace(text, text) is
  'The interval of a stream, stretched where the budgets are short (54_forecast.sql).';

create or replace function hubspot_private.schedule_lead(stream text)
returns interval
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
  -- Workers look for jobs each half second.
  select case when schedule_lead.stream in ('poll', 'settle') then interval '0.5 seconds' else interval '0' end;
$$;
comment on function hubspot_private.schedule_lead(text) is
  'How long before its time a stream may be claimed: who claims it waits for that, so that it is not late by what it takes to begin.';

create or replace function hubspot_private.schedule_slack(object text, stream text)
returns interval
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  -- Where there are not turns for all, one that nobody stands in line for is lost: 3 %, or more where beginning takes a larger
  -- part of the interval (half of 2.5 s, 12 % of 5 s), but no sooner than as scheduled.
  select coalesce((
    select least(p.stretched_every - p.every,
      p.stretched_every * greatest(0.03, least(0.5, 3 / power(extract(epoch from p.stretched_every)::double precision, 2))))
    from hubspot_private.paces p
    where p.object = schedule_slack.object and p.stream = schedule_slack.stream and p.limited_by = 'search'), '0');
$$;
comment on function hubspot_private.schedule_slack(text, text) is 'How much sooner than its stretched interval a stream asks for a turn.';

create or replace function hubspot_private.schedule_next(object text, stream text, started_at timestamptz)
returns timestamptz
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  select coalesce(
    (select hubspot_private.cron_next(s.cron, s.timezone, hubspot_private.clock())
     from hubspot_private.schedules s
     where s.object = schedule_next.object and s.stream = schedule_next.stream and s.cron is not null),
    (select greatest(hubspot_private.quiet_hour_next(schedule_next.object,
        schedule_next.started_at + p.pace - hubspot_private.schedule_every(schedule_next.object, 'resync')), hubspot_private.clock())
     where schedule_next.stream = 'resync' and not exists (
       select from hubspot_private.schedules s where s.object = schedule_next.object and s.stream = 'resync')),
    -- greatest() alone would make a time of null.
    case when p.pace is not null then
      greatest(schedule_next.started_at + p.pace - hubspot_private.schedule_slack(schedule_next.object, schedule_next.stream),
        hubspot_private.clock())
    end)
  from hubspot_private.schedule_pace(schedule_next.object, schedule_next.stream) p (pace);
$$;
comment on function hubspot_private.schedule_next(text, text, timestamptz) is
  'When a stream''s next run begins by itself, stretched where the budgets are short; null for streams without a schedule.';
