-- What the day still needs: the lower classes leave it to the higher ones (31_quota_take.sql).
create or replace function hubspot_private.quota_forecast(at timestamptz, until timestamptz)
returns bigint[]
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  with streams as (
    select s.object, s.stream, s.range, s.next_at, s.run_id, o.has_search, o.total,
      array_position(hubspot_private.quota_classes(), hubspot_private.quota_class(s.stream)) as class,
      hubspot_private.schedule_every(s.object, s.stream) as every
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
