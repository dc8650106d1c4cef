-- Budgets: turns. A request is sent at the time that quota_take() gives it, so any number of workers share one row. Who asks is in
-- one of four classes; a lower one may reserve less far ahead, so that what is more urgent finds its turn free.
create or replace function hubspot_private.quota_classes()
returns text[]
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
  select '{live,poll,settle,backfill}'::text[];
$$;
comment on function hubspot_private.quota_classes() is 'The classes of requests, most urgent first.';

create or replace function hubspot_private.quota_class(stream text)
returns text
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
  -- Definitions are few calls, and everything else is read by them. A fetch asks in the class of what queued its ids.
  select case
    when quota_class.stream in ('poll', 'schema') then 'poll'
    when quota_class.stream in ('backfill', 'resync', 'fill') then 'backfill'
    else 'settle'
  end;
$$;
comment on function hubspot_private.quota_class(text) is 'The class that a stream asks in.';

create or replace function hubspot_private.quota_turn(
  b hubspot_private.budgets, class integer, at timestamptz, spacing interval, out send_at timestamptz, out ask_at timestamptz
)
returns record
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_most constant interval := '10 seconds';
  v_free constant timestamptz := greatest(quota_turn.at, b.free_at);
  -- From when on the class may reserve, and from when on it may by its floor, whatever the others want.
  v_open timestamptz;
  v_floor timestamptz;
begin
  v_open := v_free - case quota_turn.class
    when 1 then v_most
    when 2 then greatest(interval '1 second', least(quota_turn.spacing, v_most))
    else least(quota_turn.spacing, v_most)
  end;
  if quota_turn.class = 4 and greatest(b.waiting_until[1], b.waiting_until[2], b.waiting_until[3]) > quota_turn.at then
    v_open := greatest(v_open, greatest(b.waiting_until[1], b.waiting_until[2], b.waiting_until[3]) + quota_turn.spacing);
  end if;
  if quota_turn.class > 2 then
    -- Beyond the longest horizon, or live requests that fill it would leave none.
    v_floor := greatest(b.floor_at[quota_turn.class], v_free - v_most - least(quota_turn.spacing, interval '5 seconds'));
  end if;
  if least(v_open, v_floor) <= quota_turn.at then
    send_at := v_free;
  else
    -- Those who wait are told times a turn apart, or all of them would ask at once for each. One who does not come back loses
    -- the others nothing: the next one comes while that turn can still be taken. Nobody is sent far away: things change.
    ask_at := least(
      greatest(v_open, case when b.waiting_until[quota_turn.class] > quota_turn.at then b.waiting_until[quota_turn.class] + quota_turn.spacing end),
      v_floor,
      quota_turn.at + interval '5 seconds');
  end if;
end;
$$;
comment on function hubspot_private.quota_turn(hubspot_private.budgets, integer, timestamptz, interval) is
  'When a request of a class may be sent, or, where it may not reserve that far ahead, when to ask again. Horizons: live 10 s; poll 1 s; settle one turn; backfill one turn, and not while a higher class waits. Settle and backfill get at least every twentieth turn.';

create or replace function hubspot_private.quota_day_left(b hubspot_private.budgets, class integer)
returns bigint
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_share constant bigint := greatest(floor(b.max_requests * b.share), 1);
  v_own constant bigint := b.used_by[1] + b.used_by[2] + b.used_by[3] + b.used_by[4];
  -- The share is of what this product takes; what all apps take may not exceed the whole.
  v_left bigint := least(v_share - v_own, b.max_requests - b.used);
  v_floor constant bigint := v_share / 20;
  v_higher bigint := 0;
begin
  for c in 1..4 loop
    if c < quota_day_left.class then
      v_higher := v_higher + b.forecast[c];
    end if;
    if c > 2 and c <> quota_day_left.class then
      -- What the floor of another still holds, as far as it has work for it.
      v_left := v_left - greatest(least(v_floor, b.forecast[c]) - b.used_by[c], 0);
      if c < quota_day_left.class then
        v_higher := greatest(v_higher - greatest(least(v_floor, b.forecast[c]) - b.used_by[c], 0), 0);
      end if;
    end if;
  end loop;
  if quota_day_left.class > 2 then
    return greatest(v_left - v_higher, least(v_left, v_floor - b.used_by[quota_day_left.class]));
  end if;
  return v_left - v_higher;
end;
$$;
comment on function hubspot_private.quota_day_left(hubspot_private.budgets, integer) is
  'How many requests of the day a class may still take: not what the higher ones are forecast to need until midnight, nor the floors (a twentieth) of settle and backfill; its own floor always.';

create or replace function hubspot_private.quota_take(kind text, seen jsonb default null, class text default 'live')
returns table (is_granted boolean, delay_ms double precision, asked_at timestamptz, refused_by text, clock_ms double precision)
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_class constant integer := array_position(hubspot_private.quota_classes(), quota_take.class);
  v_ahead constant interval := (select a.hubspot_ahead from hubspot_private.account a);
  v_now timestamptz := hubspot_private.clock();
  v_day timestamptz := hubspot_private.account_day(v_now + v_ahead);
  v_forecast bigint[];
  v_spacing interval;
  v_turn record;
  v_daily hubspot_private.budgets;
  v_budget hubspot_private.budgets;
  v_life uuid;
  v_tomorrow timestamptz;
  v_until timestamptz;
begin
  if v_class is null then
    perform hubspot_private.fail('bug', format('there is no class %s of requests', coalesce(quota_take.class, 'null')));
  end if;
  -- Whatever calls HubSpot comes by here.
  perform hubspot_private.home_require();
  -- What a crash of the server loses of this, the full window after a restart makes good: nobody waits for the disk.
  perform set_config('synchronous_commit', 'off', true);
  perform hubspot_private.quota_adopt();
  if not exists (
    select from hubspot_private.budgets b
    where b.name = 'daily' and b.forecast_at between v_now - interval '1 minute' and v_now and b.forecast_at > v_day - v_ahead
  ) then
    v_forecast := hubspot_private.quota_forecast(v_now, hubspot_private.account_tomorrow(v_day) - v_ahead);
  end if;
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
  v_day := hubspot_private.account_day(v_now + v_ahead);
  -- The days are HubSpot's: another one begins the count anew, earlier ones too, so that a wrong Date header does no lasting harm.
  if v_daily.used_since <> v_day then
    v_daily.used := 0;
    v_daily.used_by := '{0,0,0,0}';
    v_daily.used_since := v_day;
    v_daily.refused_until := null;
  end if;
  -- Tried once, and not refused again: it is over.
  if v_daily.is_tried and v_daily.refused_until <= v_now then
    v_daily.refused_until := null;
  end if;
  v_daily.is_tried := v_daily.is_tried and v_daily.refused_until is not null;
  if v_forecast is not null then
    v_daily.forecast := v_forecast;
    v_daily.forecast_at := v_now;
  end if;
  v_life := (select l.id from hubspot_private.server_life l);
  if v_life is null then
    insert into hubspot_private.server_life default values on conflict do nothing;
    v_life := (select l.id from hubspot_private.server_life l);
  end if;
  if v_budget.postmaster_at <> pg_postmaster_start_time() or v_budget.life is distinct from v_life then
    -- What was promised just before the restart, or crash, may be lost: the window counts as full.
    v_budget.free_at := greatest(v_budget.free_at, v_now + v_budget.period);
  end if;
  v_spacing := hubspot_private.quota_spacing(v_budget, v_now);
  v_tomorrow := hubspot_private.account_tomorrow(v_day) - v_ahead;
  v_until := case
    when hubspot_private.quota_day_left(v_daily, v_class) <= 0 then v_tomorrow
    when v_daily.refused_until is not null then least(v_daily.refused_until, v_tomorrow)
  end;
  if v_until > v_now then
    refused_by := 'daily';
    asked_at := v_until;
    v_daily.waiting_until[v_class] := asked_at;
  else
    v_turn := hubspot_private.quota_turn(v_budget, v_class, v_now, v_spacing);
    if v_turn.send_at is null then
      refused_by := quota_take.kind;
      asked_at := v_turn.ask_at;
      v_budget.waiting_until[v_class] := greatest(v_budget.waiting_until[v_class], asked_at);
    else
      asked_at := v_turn.send_at;
      if v_daily.refused_until is not null then
        -- A 429 alone says that the day is spent. The others wait for what this one is answered.
        v_daily.refused_until := asked_at + interval '10 seconds';
        v_daily.is_tried := true;
      end if;
      v_daily.used := v_daily.used + 1;
      v_daily.used_by[v_class] := v_daily.used_by[v_class] + 1;
      if v_budget.used_since + v_budget.period <= asked_at then
        v_budget.used := 0;
        v_budget.used_by := '{0,0,0,0}';
        v_budget.used_since := asked_at;
      end if;
      v_budget.used := v_budget.used + 1;
      v_budget.used_by[v_class] := v_budget.used_by[v_class] + 1;
      v_budget.free_at := asked_at + v_spacing;
      -- Every twentieth turn is the class's; one that it missed is made up for, no more.
      v_budget.floor_at[v_class] := least(v_now, greatest(v_budget.floor_at[v_class], v_now - 20 * v_spacing)) + 20 * v_spacing;
    end if;
  end if;
  update hubspot_private.budgets b
  set used = v_daily.used, used_by = v_daily.used_by, used_since = v_daily.used_since,
    refused_until = v_daily.refused_until, is_tried = v_daily.is_tried,
    waiting_until = v_daily.waiting_until, forecast = v_daily.forecast, forecast_at = v_daily.forecast_at
  where b.name = 'daily' and (refused_by is distinct from quota_take.kind or v_forecast is not null);
  update hubspot_private.budgets b
  set free_at = v_budget.free_at, used = v_budget.used, used_by = v_budget.used_by, used_since = v_budget.used_since,
    waiting_until = v_budget.waiting_until, floor_at = v_budget.floor_at, postmaster_at = pg_postmaster_start_time(),
    life = v_life
  where b.name = quota_take.kind and refused_by is distinct from 'daily';
  is_granted := refused_by is null;
  delay_ms := extract(epoch from asked_at - v_now) * 1000;
  clock_ms := extract(epoch from v_now) * 1000;
  return next;
end;
$$;
comment on function hubspot_private.quota_take(text, jsonb, text) is
  'Takes one request of a budget (burst or search) and of the day, both or none: the caller waits delay_ms, then sends. Not granted: nothing is reserved, ask again at asked_at; refused_by daily: the class has none left today, or HubSpot says so. clock_ms is when delay_ms was counted from.';
