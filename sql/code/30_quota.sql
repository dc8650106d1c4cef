-- Budgets: what they are and how they learn. 31 gives turns away, 32 is what people see and set.
insert into hubspot_private.budgets
  (name, max_requests, period, free_at, slow_at, used_since, postmaster_at, life)
select b.name, b.max_requests, b.period, hubspot_private.clock(), hubspot_private.clock(), hubspot_private.clock(),
  pg_postmaster_start_time(), (select l.id from hubspot_private.server_life l)
from (values
  ('burst', 100, interval '10 seconds'),
  ('search', 5, interval '1 second'),
  ('daily', 250000, interval '1 day')
) as b (name, max_requests, period)
on conflict (name) do nothing;

create or replace function hubspot_private.account_day(at timestamptz)
returns timestamptz
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  select date_trunc('day', account_day.at, a.time_zone) from hubspot_private.account a;
$$;
comment on function hubspot_private.account_day(timestamptz) is
  'The midnight that began the day in the account''s time zone: the daily budget resets there.';

create or replace function hubspot_private.account_tomorrow(at timestamptz)
returns timestamptz
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  -- Days have 22 to 26 hours (Antarctica/Troll).
  select (date_trunc('day', account_tomorrow.at at time zone a.time_zone) + interval '1 day') at time zone a.time_zone
  from hubspot_private.account a;
$$;
comment on function hubspot_private.account_tomorrow(timestamptz) is 'The midnight that ends the day in the account''s time zone.';

insert into hubspot_private.quota_choices (budget)
select b.name from hubspot_private.budgets b
on conflict (budget) do nothing;

create or replace function hubspot_private.budgets_now()
returns setof hubspot_private.budgets
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  b hubspot_private.budgets;
  v_choice hubspot_private.quota_choices;
begin
  for b in select x.* from hubspot_private.budgets x order by x.name loop
    select c.* into v_choice from hubspot_private.quota_choices c where c.budget = b.name and c.number <> b.choice;
    if found then
      b.choice := v_choice.number;
      b.chosen_max := v_choice.max_requests;
      b.max_requests := coalesce(v_choice.max_requests, b.learned_max,
        case b.name when 'burst' then 100 when 'search' then 5 else 250000 end);
      b.share := v_choice.share;
      -- What HubSpot said of another limit, or what someone says is over, is asked again.
      b.refused_until := null;
      b.free_at := least(b.free_at, hubspot_private.clock() + b.period);
      b.waiting_until := '{-infinity,-infinity,-infinity,-infinity}';
      b.floor_at := '{-infinity,-infinity,-infinity,-infinity}';
    end if;
    return next b;
  end loop;
end;
$$;
comment on function hubspot_private.budgets_now() is 'The budgets as they are to be: what someone set is in them, whether or not it was acted on yet.';

create or replace function hubspot_private.quota_spread(b hubspot_private.budgets)
returns double precision
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  -- J, in ms: how much the delays of requests differ, which is how far two of them can close up on the way.
  -- It begins at 100, or at the spread known of other requests, and that falls by a tenth a minute once delays are seen: the
  -- first few say little. Timers alone make 20. A slow answer is mostly a slow server: beyond 300 it counts only where refusals
  -- prove that requests do close up so far, and as long as that is remembered (a tenth less a minute).
  select least(
    300 * greatest(1, b.slow_factor * power(0.9,
      least(greatest(extract(epoch from hubspot_private.clock() - b.slow_at), 0) / 60, 100))),
    greatest(
    coalesce(b.delay_high_ms - b.delay_low_ms, 0) + 20,
    greatest(100, (select max(o.delay_high_ms - o.delay_low_ms) + 20 from hubspot_private.budgets o where o.name <> b.name))
      * power(0.9, least(greatest(extract(epoch from coalesce(b.delay_seen_at - b.delay_since, '0')), 0) / 60, 100))));
$$;
comment on function hubspot_private.quota_spread(hubspot_private.budgets) is 'J: learned spread of request delays, ms.';

create or replace function hubspot_private.quota_slowness(b hubspot_private.budgets, at timestamptz)
returns double precision
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
  -- A refusal doubled the spacing; it recovers by a tenth a second. A clock that was set back must not make it grow.
  select greatest(1, b.slow_factor * power(0.9, least(greatest(extract(epoch from quota_slowness.at - b.slow_at), 0), 100)));
$$;
comment on function hubspot_private.quota_slowness(hubspot_private.budgets, timestamptz) is
  'By how much the spacing is stretched after refusals, 1 when not.';

create or replace function hubspot_private.quota_own(b hubspot_private.budgets)
returns double precision
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
  -- Whole requests a period, or less than one.
  select case when b.max_requests * b.share < 1 then b.max_requests * b.share else floor(b.max_requests * b.share) end::double precision;
$$;
comment on function hubspot_private.quota_own(hubspot_private.budgets) is 'Requests a period that this product may make by its share.';

create or replace function hubspot_private.quota_spacing(b hubspot_private.budgets, at timestamptz)
returns interval
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  -- No limiter without feedback can promise no 429 above W / (W + J): spacing (W + J) / limit comes up to it.
  select make_interval(secs =>
    (extract(epoch from b.period) + hubspot_private.quota_spread(b) / 1000)
    / hubspot_private.quota_own(b) * hubspot_private.quota_slowness(b, quota_spacing.at));
$$;
comment on function hubspot_private.quota_spacing(hubspot_private.budgets, timestamptz) is
  'Time between two requests of a budget.';

create or replace function hubspot_private.quota_wake()
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_count integer;
begin
  -- A row that a step holds is not waiting.
  with woken as (
    update hubspot_private.streams s
    set retry_at = null
    from (
      select t.object, t.stream, t.range
      from hubspot_private.streams t
      join hubspot_private.runs r on r.id = t.run_id
      where t.retry_at > hubspot_private.clock() and r.error_code in ('SH301', 'SH302')
      for update of t skip locked
    ) w
    where (s.object, s.stream, s.range) = (w.object, w.stream, w.range)
    returning s.object, s.stream, s.range
  )
  select count(hubspot_private.stream_call(w.object, w.stream, w.range)) into v_count from woken w;
end;
$$;
comment on function hubspot_private.quota_wake() is 'Streams that wait for a budget ask again now: it has grown.';

create or replace function hubspot_private.quota_adopt()
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  if not exists (
    select from hubspot_private.budgets b join hubspot_private.quota_choices c on c.budget = b.name where c.number <> b.choice)
  then
    return;
  end if;
  -- In one order, which is that of quota_take().
  perform from hubspot_private.budgets b order by b.name for update;
  update hubspot_private.budgets b
  set choice = n.choice, chosen_max = n.chosen_max, max_requests = n.max_requests, share = n.share,
    free_at = n.free_at, refused_until = n.refused_until, waiting_until = n.waiting_until, floor_at = n.floor_at
  from hubspot_private.budgets_now() n
  where n.name = b.name and n.choice <> b.choice;
  if found then
    perform hubspot_private.quota_wake();
  end if;
end;
$$;
comment on function hubspot_private.quota_adopt() is 'Acts on what someone set of the budgets since.';

create or replace function hubspot_private.quota_observe(kind text, seen jsonb)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_now timestamptz := hubspot_private.clock();
  v_delay double precision := (quota_observe.seen ->> 'first_byte_ms')::double precision;
  v_slowest double precision := coalesce((quota_observe.seen ->> 'slowest_ms')::double precision, v_delay);
  v_max integer := (quota_observe.seen ->> 'burst_max')::integer;
  v_daily_max bigint := (quota_observe.seen ->> 'daily_max')::bigint;
  v_daily_left bigint := (quota_observe.seen ->> 'daily_remaining')::bigint;
  v_date timestamptz := (quota_observe.seen ->> 'date')::timestamptz;
begin
  if v_delay is not null then
    -- The band widens at once to what was seen and narrows by a tenth a minute from both ends.
    update hubspot_private.budgets b
    set delay_low_ms = least(v_delay, coalesce(b.delay_low_ms + k.narrower, v_delay)),
      delay_high_ms = greatest(v_slowest, coalesce(b.delay_high_ms - k.narrower, v_slowest)),
      delay_seen_at = v_now, delay_since = coalesce(b.delay_since, v_now)
    from (
      select o.name, (o.delay_high_ms - o.delay_low_ms) / 2
        * (1 - power(0.9, least(greatest(extract(epoch from v_now - o.delay_seen_at), 0) / 60, 100))) as narrower
      from hubspot_private.budgets o
    ) k
    where k.name = b.name and b.name = quota_observe.kind;
  end if;
  -- Headers set limits only where nobody chose one.
  if v_max between 1 and 100000 then
    update hubspot_private.budgets b
    set learned_max = v_max, max_requests = coalesce(b.chosen_max, v_max)
    where b.name = 'burst' and b.learned_max is distinct from v_max;
  end if;
  if v_daily_max between 1 and 1000000000 then
    update hubspot_private.budgets b
    set learned_max = v_daily_max, max_requests = coalesce(b.chosen_max, v_daily_max)
    where b.name = 'daily' and b.learned_max is distinct from v_daily_max;
    if found then
      perform hubspot_private.quota_wake();
    end if;
    -- Other apps use the account's day too; an answer of yesterday says nothing of today.
    if v_daily_left >= 0
      and hubspot_private.account_day(v_date) = hubspot_private.account_day(v_now + (select a.hubspot_ahead from hubspot_private.account a))
    then
      update hubspot_private.budgets b
      set used = v_daily_max - v_daily_left
      where b.name = 'daily' and b.used < v_daily_max - v_daily_left;
    end if;
  end if;
end;
$$;
comment on function hubspot_private.quota_observe(text, jsonb) is
  'Takes in what answers told: {first_byte_ms, slowest_ms, burst_max, daily_max, daily_remaining, date}, all optional.';

create or replace function hubspot_private.quota_throttled(
  budget text, retry_after_ms double precision default null, answered_at timestamptz default null
)
returns void
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  update hubspot_private.budgets b
  set throttled_count = b.throttled_count + 1,
    slow_factor = least(16, 2 * hubspot_private.quota_slowness(b, hubspot_private.clock())),
    slow_at = hubspot_private.clock(),
    free_at = greatest(b.free_at, hubspot_private.clock()
      + make_interval(secs => least(greatest(coalesce(quota_throttled.retry_after_ms, 1000), 100), 60000) / 1000)),
    refused_until = case when d.is_today then hubspot_private.clock() + interval '15 minutes' else b.refused_until end,
    is_tried = b.is_tried and not d.is_today,
    used_since = case when d.is_today then d.day else b.used_since end,
    used = case when d.is_today and b.used_since <> d.day then 0 else b.used end,
    used_by = case when d.is_today and b.used_since <> d.day then '{0,0,0,0}' else b.used_by end
  from (
    -- One of yesterday, heard today, says nothing of today.
    select n.day, quota_throttled.budget = 'daily'
      and coalesce(hubspot_private.account_day(quota_throttled.answered_at) = n.day, true) as is_today
    from hubspot_private.account a
    cross join lateral (select hubspot_private.account_day(hubspot_private.clock() + a.hubspot_ahead) as day) n
  ) d
  where b.name = quota_throttled.budget;
$$;
comment on function hubspot_private.quota_throttled(text, double precision, timestamptz) is
  'HubSpot answered 429: the budget pauses (a second, or what Retry-After said), its spacing doubles and recovers by a tenth a second. daily: spent until midnight, as far as one request every 15 minutes shows; nothing where the answer is of another day than today.';
