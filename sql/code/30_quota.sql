-- Budgets. A request is sent at the time that quota_take() gives it, so any number of workers share one row.
insert into hubspot_private.budgets
  (name, max_requests, period, free_at, slow_at, used_since, postmaster_at)
select b.name, b.max_requests, b.period, hubspot_private.clock(), hubspot_private.clock(), hubspot_private.clock(),
  pg_postmaster_start_time()
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

create or replace function hubspot_private.quota_spread(b hubspot_private.budgets)
returns double precision
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  -- J, in ms: how much the delays of requests differ, which is how far two of them can close up on the way.
  -- It begins at 100, or at the spread known of other requests, and that falls by a tenth a minute once delays are seen: the
  -- first few say little. Timers alone make 20; beyond 300 only what refusals prove, by slow_factor.
  select least(300, greatest(
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

create or replace function hubspot_private.quota_spacing(b hubspot_private.budgets, at timestamptz)
returns interval
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  -- No limiter without feedback can promise no 429 above W / (W + J): spacing (W + J) / limit comes up to it.
  select make_interval(secs =>
    (extract(epoch from b.period) + hubspot_private.quota_spread(b) / 1000)
    / greatest(floor(b.max_requests * b.share), 1) * hubspot_private.quota_slowness(b, quota_spacing.at));
$$;
comment on function hubspot_private.quota_spacing(hubspot_private.budgets, timestamptz) is
  'Time between two requests of a budget.';

create or replace function hubspot_private.quota_observe(kind text, seen jsonb)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_now timestamptz := hubspot_private.clock();
  v_delay double precision := (quota_observe.seen ->> 'first_byte_ms')::double precision;
  v_max integer := (quota_observe.seen ->> 'burst_max')::integer;
  v_daily_max bigint := (quota_observe.seen ->> 'daily_max')::bigint;
  v_daily_left bigint := (quota_observe.seen ->> 'daily_remaining')::bigint;
  v_date timestamptz := (quota_observe.seen ->> 'date')::timestamptz;
begin
  if v_delay is not null then
    -- The band widens at once to what was seen and narrows by a tenth a minute from both ends.
    update hubspot_private.budgets b
    set delay_low_ms = least(v_delay, coalesce(b.delay_low_ms + k.narrower, v_delay)),
      delay_high_ms = greatest(v_delay, coalesce(b.delay_high_ms - k.narrower, v_delay)),
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
  'Takes in what an answer told: {first_byte_ms, burst_max, daily_max, daily_remaining, date}, all optional.';

create or replace function hubspot_private.quota_take(kind text, seen jsonb default null)
returns table (is_granted boolean, delay_ms double precision, asked_at timestamptz)
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_now timestamptz;
  v_day timestamptz;
  v_send timestamptz;
  v_daily hubspot_private.budgets;
  v_budget hubspot_private.budgets;
begin
  -- One order of locks: by name. What an answer told may change the limits of any budget.
  perform from hubspot_private.budgets b
  where b.name in ('daily', quota_take.kind) or quota_take.seen is not null
  order by b.name
  for update;
  if quota_take.seen is not null then
    perform hubspot_private.quota_observe(quota_take.kind, quota_take.seen);
  end if;
  select b.* into strict v_daily from hubspot_private.budgets b where b.name = 'daily';
  select b.* into strict v_budget from hubspot_private.budgets b where b.name = quota_take.kind;
  v_now := hubspot_private.clock();
  v_day := hubspot_private.account_day(v_now + (select a.hubspot_ahead from hubspot_private.account a));
  -- The days are HubSpot's: another one begins the count anew, earlier ones too, so that a wrong Date header does no lasting harm.
  if v_daily.used_since <> v_day then
    v_daily.used := 0;
  end if;
  if v_daily.used >= greatest(floor(v_daily.max_requests * v_daily.share), 1) then
    is_granted := false;
    asked_at := hubspot_private.account_day(v_day + interval '25 hours')
      - (select a.hubspot_ahead from hubspot_private.account a);
    delay_ms := extract(epoch from asked_at - v_now) * 1000;
    return next;
    return;
  end if;
  v_send := greatest(v_now, v_budget.free_at);
  if v_budget.postmaster_at <> pg_postmaster_start_time() then
    -- What was promised just before the restart may be lost: the window counts as full.
    v_send := greatest(v_send, v_now + v_budget.period);
  end if;
  update hubspot_private.budgets b
  set used = v_daily.used + 1, used_since = v_day
  where b.name = 'daily';
  update hubspot_private.budgets b
  set free_at = v_send + hubspot_private.quota_spacing(b, v_now),
    postmaster_at = pg_postmaster_start_time(),
    used = case when b.used_since + b.period <= v_send then 1 else b.used + 1 end,
    used_since = case when b.used_since + b.period <= v_send then v_send else b.used_since end
  where b.name = quota_take.kind;
  is_granted := true;
  asked_at := v_send;
  delay_ms := extract(epoch from v_send - v_now) * 1000;
  return next;
end;
$$;
comment on function hubspot_private.quota_take(text, jsonb) is
  'Takes one request of a budget (burst or search) and of the day, both or none: the caller waits delay_ms, then sends. Not granted: the day is spent until asked_at.';

create or replace function hubspot_private.quota_throttled(budget text, retry_after_ms double precision default null)
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
    used = case when b.name = 'daily' then greatest(b.used, b.max_requests) else b.used end,
    used_since = case
      when b.name = 'daily' then hubspot_private.account_day(hubspot_private.clock()
        + (select a.hubspot_ahead from hubspot_private.account a))
      else b.used_since
    end
  where b.name = quota_throttled.budget;
$$;
comment on function hubspot_private.quota_throttled(text, double precision) is
  'HubSpot answered 429: the budget pauses (a second, or what Retry-After said), its spacing doubles and recovers by a tenth a second. daily: spent until midnight.';

create or replace function hubspot.set_quota(budget text, max_requests integer)
returns void
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if set_quota.max_requests < 1 then
    perform hubspot_private.fail('argument_invalid', 'max_requests must be above zero', 'Give null to learn it from HubSpot again.');
  end if;
  update hubspot_private.budgets b
  set chosen_max = set_quota.max_requests,
    max_requests = coalesce(set_quota.max_requests, b.learned_max,
      case b.name when 'burst' then 100 when 'search' then 5 else 250000 end),
    free_at = least(b.free_at, hubspot_private.clock() + b.period)
  where b.name = set_quota.budget;
  if not found then
    perform hubspot_private.fail('budget_unknown', coalesce(set_quota.budget, 'null'));
  end if;
end;
$$;
comment on function hubspot.set_quota(text, integer) is
  'Sets the requests of a budget: burst (each 10 s), search (each second) or daily. Null: learned from HubSpot again. SH111 when there is no such budget.';

create or replace view hubspot.quota as
select b.name as budget, b.max_requests, b.period, b.share,
  case when u.is_over then 0 else b.used end as used,
  greatest(floor(b.max_requests * b.share) - case when u.is_over then 0 else b.used end, 0)::bigint as remaining,
  case when b.name <> 'daily' then round(hubspot_private.quota_spread(b)::numeric, 1) end as spread_ms,
  case when b.name <> 'daily' then greatest(b.free_at, hubspot_private.clock()) end as next_free_at,
  b.throttled_count
from hubspot_private.budgets b
cross join lateral (
  select case
    when b.name = 'daily' then b.used_since <> hubspot_private.account_day(
      hubspot_private.clock() + (select a.hubspot_ahead from hubspot_private.account a))
    else b.used_since + b.period <= hubspot_private.clock()
  end as is_over
) u
order by b.name;
comment on view hubspot.quota is
  'HubSpot''s rate limits and what is used of them. spread_ms is J: how much request delays differ, which every budget keeps free.';
