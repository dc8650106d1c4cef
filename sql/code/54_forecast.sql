-- What is expected: of the rest of the day, which the lower classes leave to the higher ones (31_quota_take.sql); of any day, by
-- which schedules are stretched (28_stretch.sql) and people see what they cost.
create or replace function hubspot_private.quota_forecast(at timestamptz, until timestamptz)
returns bigint[]
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  with streams as (
    select s.object, s.stream, s.range, s.next_at, s.run_id, o.has_search, o.total,
      array_position(hubspot_private.quota_classes(), hubspot_private.quota_class(s.stream)) as class,
      hubspot_private.schedule_pace(s.object, s.stream) as every
    from hubspot_private.streams s
    left join hubspot_private.objects o on o.name = s.object
    where hubspot_private.stream_is_open(s) and s.parked_at is null and s.stream not in ('fetch', 'build')
  ),
  calls as (
    -- Live requests: as many an hour as there were today, by HubSpot's days.
    select 1 as class, ceil(b.used_by[1] * extract(epoch from quota_forecast.until - quota_forecast.at)
      / greatest(extract(epoch from quota_forecast.at + a.hubspot_ahead - b.used_since), 3600)) as calls
    from hubspot_private.budgets b
    cross join hubspot_private.account a
    where b.name = 'daily' and b.used_since = hubspot_private.account_day(quota_forecast.at + a.hubspot_ahead)
    union all
    -- What runs by the clock: how often until then, and how many calls a run of it made lately.
    select s.class, case
        when s.every is null then (s.next_at < quota_forecast.until)::integer
        else ceil(extract(epoch from quota_forecast.until - quota_forecast.at) / extract(epoch from greatest(s.every,
          -- Without search a poll is a whole list, and rests nine times as long as that took.
          case when s.stream = 'poll' and not s.has_search then 10 * l.took end)))
      end * greatest(coalesce(l.calls, 1), 1)
    from streams s
    cross join lateral (
      select avg(r.requests) as calls, avg(r.finished_at - r.started_at) as took
      from (
        select t.requests, t.finished_at, t.started_at from hubspot_private.runs t
        where t.object = s.object and t.stream = s.stream and t.range = s.range and t.state = 'done'
        order by t.id desc
        limit 20
      ) r
    ) l
    where s.class < 4 and s.next_at is not null
    union all
    -- Reads of what polls and the like named: as yesterday.
    select 2, ceil(sum(r.requests) * extract(epoch from quota_forecast.until - quota_forecast.at) / 86400)
    from hubspot_private.runs r
    where r.stream = 'fetch' and r.finished_at > quota_forecast.at - interval '1 day'
    union all
    -- First loads and full reads have no hour; their floor needs to know that there is work, and about how much.
    select 4, greatest(1, ceil(coalesce(max(s.total), 0) / 100.0))
    from streams s
    where s.class = 4 and s.run_id is not null
    group by s.object
  )
  select array_agg(coalesce(c.calls, 0) order by k.class)
  from generate_series(1, 4) k (class)
  left join (select a.class, sum(a.calls)::bigint as calls from calls a group by a.class) c on c.class = k.class;
$$;
comment on function hubspot_private.quota_forecast(timestamptz, timestamptz) is
  'Calls that each class (live, poll, settle, backfill) will make from now to a time: open streams by their intervals and what a run of them took lately.';

create or replace function hubspot_private.forecast_rates(
  out search double precision, out burst double precision, out daily double precision, out aside double precision
)
returns record
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  with day as (
    select b.max_requests::double precision as most, greatest(floor(b.max_requests * b.share), 1) as own, b.used_by,
      b.used - b.used_by[1] - b.used_by[2] - b.used_by[3] - b.used_by[4] as others,
      -- A night's import says little of the day.
      greatest(extract(epoch from hubspot_private.clock() + a.hubspot_ahead - b.used_since) / 86400, 0.25) as part,
      b.used_since = hubspot_private.account_day(hubspot_private.clock() + a.hubspot_ahead) as is_today
    from hubspot_private.budgets_now() b
    cross join hubspot_private.account a
    where b.name = 'daily'
  ),
  turns as (
    select b.name, hubspot_private.quota_own(b)
      / (extract(epoch from b.period) + hubspot_private.quota_spread(b) / 1000) as rate
    from hubspot_private.budgets_now() b
    where b.name <> 'daily'
  )
  select
    (select t.rate from turns t where t.name = 'search'),
    -- First loads want turns too, and part of the day.
    (select 0.9 * t.rate from turns t where t.name = 'burst'),
    0.9 * least(d.own, greatest(d.most - case when d.is_today then greatest(d.others, 0) / d.part else 0 end, d.own / 5)) / 86400,
    case when d.is_today then d.used_by[1] / d.part else 0 end / 86400
  from day d;
$$;
comment on function hubspot_private.forecast_rates() is
  'Calls a second that streams may plan with, by budget: of the day nine tenths of this product''s share, less what other apps take; aside: what live requests take of it.';

create or replace function hubspot_private.forecast_demands()
returns setof hubspot_private.demand
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  with busy as materialized (
    select distinct r.object from hubspot_private.runs r
    where r.stream in ('poll', 'settle', 'fetch') and coalesce(r.finished_at, hubspot_private.clock()) > hubspot_private.clock() - interval '1 hour'
      and r.hinted + r.inserted + r.updated + r.deleted > 0
  ),
  streams as (
    select s.object, s.stream, s.range, o.has_search, o.total,
      coalesce(hubspot_private.schedule_every(s.object, s.stream), hubspot_private.cron_every(c.cron)) as every, c.cron
    from hubspot_private.streams s
    left join hubspot_private.objects o on o.name = s.object
    left join hubspot_private.schedules c on c.object = s.object and c.stream = s.stream
    where s.stream in ('poll', 'settle', 'archive', 'associations', 'schema', 'resync', 'probe')
      and (s.object = '*' or o.is_tracked and not o.is_paused and o.archived_at is null)
      and (s.stream <> 'settle' or o.has_search)
      -- Parts of a full read are one run.
      and (s.stream <> 'resync' or s.range = 0)
      and (s.stream <> 'associations' or exists (select from hubspot_private.pairs p where p.number = s.range and p.is_tracked))
  ),
  costs as (
    select s.*, l.took,
      coalesce(case
        -- Between sweeps a pair's runs read what is dirty.
        when s.stream = 'associations' then ceil(s.total / 1000.0)
        when s.stream = 'probe' then (select count(*) from hubspot_private.properties p where p.object = s.object and p.unreadable_at is not null)
        when s.stream = 'resync' then (
          select r.requests from hubspot_private.runs r
          where r.object = s.object and r.stream in ('resync', 'backfill') and r.state = 'done'
          order by r.id desc limit 1)
        else l.calls
      end, case s.stream when 'resync' then ceil(s.total / 100.0) when 'schema' then 4 when 'settle' then 1.1 else 1 end) as calls,
      l.calls is not null or s.stream in ('associations', 'resync', 'probe') as is_known
    from streams s
    cross join lateral (
      -- The middle of them: a rush that took one poll a thousand calls is no measure of the next. Some settle passes run on.
      select case
          when s.stream = 'settle' then least(avg(r.requests), 2 * percentile_disc(0.5) within group (order by r.requests))
          else percentile_disc(0.5) within group (order by r.requests)
        end as calls,
        avg(r.finished_at - r.started_at) as took
      from (
        select t.requests, t.finished_at, t.started_at from hubspot_private.runs t
        where t.object = s.object and t.stream = s.stream and t.range = s.range and t.state = 'done'
        order by t.id desc
        limit 20
      ) r
    ) l
    -- One that nothing calls for has no interval, as a probe of nothing.
    where s.every is not null
  )
  select c.object, c.stream,
    case when c.stream = 'settle' or c.stream = 'poll' and bool_and(c.has_search) then 'search' else 'burst' end,
    extract(epoch from min(c.every))::double precision,
    greatest(case when bool_and(c.is_known) then sum(c.calls) else coalesce(max(p.calls), sum(c.calls)) end, 0.01)::double precision,
    -- Cron means these times and no others.
    case
      when min(c.cron) is not null then 0
      when c.stream = 'settle' then 1.7
      when c.stream = 'poll' and not exists (select from busy b where b.object = c.object) then 1.15
      else 1
    end::double precision,
    -- Without search a poll is a whole list, and rests nine times as long as that took.
    coalesce(case when c.stream = 'poll' and not bool_and(c.has_search) then extract(epoch from 10 * max(c.took)) end, 0)::double precision,
    extract(epoch from case c.stream when 'resync' then interval '28 days' else interval '1 day' end)::double precision,
    1::double precision
  from costs c
  left join hubspot_private.paces p on p.object = c.object and p.stream = c.stream
  where c.every is not null
  group by c.object, c.stream;
$$;
comment on function hubspot_private.forecast_demands() is
  'What each stream that runs by the clock asks for: its interval, and what a run of it took lately, its ranges together.';

create or replace function hubspot_private.forecast_plan()
returns table (
  object text, stream text, every interval, stretched_every interval, calls double precision, requests_per_day double precision,
  wanted_per_day double precision, share_of_daily double precision, limited_by text
)
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_demands constant hubspot_private.demand[] := array(select d from hubspot_private.forecast_demands() d);
  v_rates constant record := hubspot_private.forecast_rates();
  v_day constant double precision := (select b.max_requests from hubspot_private.budgets_now() b where b.name = 'daily');
begin
  return query
  with fetches as (
    -- Reads of what polls and the like named: as within the last day.
    select r.object, sum(r.requests)::double precision as calls
    from hubspot_private.runs r
    join hubspot_private.objects o on o.name = r.object and o.is_tracked and not o.is_paused
    where r.stream = 'fetch' and r.finished_at > hubspot_private.clock() - interval '1 day'
    group by r.object
    having sum(r.requests) > 0
  )
  select d.object, d.stream, justify_hours(make_interval(secs => d.every)), justify_hours(make_interval(secs => s.stretched_every)), d.calls,
    d.calls * 86400 / s.stretched_every, d.calls * 86400 / greatest(d.every, d.rest),
    d.calls * 86400 / s.stretched_every / v_day, s.limited_by
  from unnest(v_demands) d
  join hubspot_private.stretch_solve(v_demands, v_rates.search, v_rates.burst,
    -- What has no schedule takes of the day too, but not all of it.
    greatest(v_rates.daily - v_rates.aside - coalesce((select sum(f.calls) from fetches f), 0) / 86400, v_rates.daily / 4)) s
    on s.object = d.object and s.stream = d.stream
  union all
  select f.object, 'fetch', null, null, null, f.calls, f.calls, f.calls / v_day, null from fetches f;
end;
$$;
comment on function hubspot_private.forecast_plan() is 'How often each stream runs from now on, and what that takes of a day.';

create or replace view hubspot.forecast as
select nullif(p.object, '*') as object, p.stream, p.every, p.stretched_every, round(p.requests_per_day::numeric, 1) as requests_per_day,
  round(p.share_of_daily::numeric, 6) as share_of_daily, round(p.wanted_per_day::numeric, 1) as wanted_per_day, p.limited_by
from hubspot_private.forecast_plan() p
order by p.object, p.stream;
comment on view hubspot.forecast is
  'Requests a day by object and stream, and how far schedules are stretched so that they fit into the budgets. What has no hour, first loads and what people ask for, is not in it.';

create or replace function hubspot_private.forecast_make()
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_requests double precision;
  v_most double precision := (select greatest(floor(b.max_requests * b.share), 1) from hubspot_private.budgets_now() b where b.name = 'daily');
begin
  -- One at a time is enough, and nobody waits for someone who leaves his transaction open: the next sweep makes it again.
  if not hubspot_private.turn_take('forecast') then
    return;
  end if;
  with plan as materialized (select p.* from hubspot_private.forecast_plan() p),
  gone as (
    delete from hubspot_private.paces o
    where not exists (select from plan p where p.object = o.object and p.stream = o.stream)
  ),
  made as (
    insert into hubspot_private.paces as o (object, stream, every, stretched_every, calls, limited_by)
    select p.object, p.stream, p.every, greatest(p.stretched_every, p.every), p.calls, p.limited_by
    from plan p
    where p.every is not null
    order by p.object, p.stream
    on conflict (object, stream) do update
    set every = excluded.every, stretched_every = excluded.stretched_every, calls = excluded.calls, limited_by = excluded.limited_by
    where (o.every, o.stretched_every, o.calls, o.limited_by)
      is distinct from (excluded.every, excluded.stretched_every, excluded.calls, excluded.limited_by)
  )
  select sum(p.requests_per_day) into v_requests from plan p;
  if v_requests > v_most then
    if not exists (select from hubspot_private.problems p where p.code = 'SH121' and p.resolved_at is null) then
      perform hubspot_private.problem_report('SH121', '*', format('schedules need %s requests a day, %s may be made', ceil(v_requests), v_most));
    end if;
  else
    perform hubspot_private.problem_resolve('{SH121}', '*');
  end if;
end;
$$;
comment on function hubspot_private.forecast_make() is
  'Keeps how far streams are stretched from now on. SH121 is open while they do not fit even at their slowest.';

create or replace function hubspot_private.streams_hasten()
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_count integer;
begin
  with late as (
    select s.object, s.stream, s.range, p.stretched_every
    from hubspot_private.streams s
    join hubspot_private.paces p on p.object = s.object and p.stream = s.stream
    -- A little sooner is not worth it.
    where s.next_at > hubspot_private.clock() + 1.25 * p.stretched_every and s.lease_until is null
      and not exists (
        select from hubspot_private.schedules c where c.object = s.object and c.stream = s.stream and c.cron is not null)
      -- It has its hour.
      and (s.stream <> 'resync' or exists (select from hubspot_private.schedules c where c.object = s.object and c.stream = s.stream))
    order by s.object, s.stream, s.range
    for update of s skip locked
  ),
  moved as (
    update hubspot_private.streams s
    -- Not all at once.
    set next_at = hubspot_private.clock() + random() * l.stretched_every
    from late l
    where (s.object, s.stream, s.range) = (l.object, l.stream, l.range)
    returning s.object, s.stream, s.range, s.next_at
  )
  select count(hubspot_private.stream_wake(m.object, m.stream, m.range, m.next_at - hubspot_private.schedule_lead(m.stream))) into v_count from moved m;
end;
$$;
comment on function hubspot_private.streams_hasten() is
  'Streams that were stretched more when their next time was set come sooner.';
