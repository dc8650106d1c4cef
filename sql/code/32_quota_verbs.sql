-- Budgets: what people set and see.
create or replace function hubspot_private.quota_change(budget text, max_requests integer, share numeric)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  update hubspot_private.quota_choices c
  set max_requests = case when quota_change.share is null then quota_change.max_requests else c.max_requests end,
    share = coalesce(quota_change.share, c.share), number = c.number + 1
  where c.budget = quota_change.budget;
  if not found then
    perform hubspot_private.fail('budget_unknown', coalesce(quota_change.budget, 'null'));
  end if;
  -- Whoever takes the next turn acts on it; the sweep, where all wait for midnight. Without a key nobody waits for this.
  perform hubspot_private.enqueue('hubspot:sweep', '{}');
end;
$$;
comment on function hubspot_private.quota_change(text, integer, numeric) is
  'Sets a budget''s requests (null: learned), or, where one is given, the share: once it is committed. SH111.';

create or replace function hubspot_private.quota_retry()
returns void
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  -- Written where nobody waits for it: whoever takes the next turn acts on it.
  update hubspot_private.quota_choices c set number = c.number + 1
  where c.budget = 'daily' and exists (select from hubspot_private.budgets b where b.name = 'daily' and b.refused_until is not null);
$$;
comment on function hubspot_private.quota_retry() is 'Someone says that the day is not spent: what a 429 said of it is forgotten.';

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
  perform hubspot_private.quota_change(set_quota.budget, set_quota.max_requests, null);
end;
$$;
comment on function hubspot.set_quota(text, integer) is
  'Sets the requests of a budget: burst (each 10 s), search (each second) or daily. Null: learned from HubSpot again. SH111 when there is no such budget.';

create or replace function hubspot.set_quota_share(share numeric, budget text default null)
returns void
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if set_quota_share.share is null or not (set_quota_share.share > 0 and set_quota_share.share <= 1) then
    perform hubspot_private.fail('argument_invalid', format('share cannot be %s', coalesce(set_quota_share.share::text, 'null')),
      'Give a part of the whole above 0 and up to 1: select hubspot.set_quota_share(0.33);');
  end if;
  -- In one order, or two who set it would wait for each other.
  perform hubspot_private.quota_change(b.name, null, set_quota_share.share)
  from (select unnest(case when set_quota_share.budget is null then '{burst,daily,search}'::text[] else array[set_quota_share.budget] end) as name) b;
end;
$$;
comment on function hubspot.set_quota_share(numeric, text) is
  'Caps this product''s part of a budget (burst, search or daily), or of all three, above 0 and up to 1: the rest is left to other apps. SH104, SH111.';

create or replace view hubspot.quota as
select b.name as budget, b.max_requests, b.period, b.share,
  case when u.is_over then 0 when b.refused_until is not null then greatest(b.used, b.max_requests) else b.used end as used,
  -- The share is of what this product takes, the limit of what all apps take.
  greatest(case when u.is_over then greatest(floor(b.max_requests * b.share), 1) when b.refused_until is not null then 0 else least(
    greatest(floor(b.max_requests * b.share), 1) - (b.used_by[1] + b.used_by[2] + b.used_by[3] + b.used_by[4]),
    b.max_requests - b.used) end, 0)::bigint as remaining,
  case when b.name <> 'daily' then round(hubspot_private.quota_spread(b)::numeric, 1) end as spread_ms,
  case when b.name <> 'daily' then greatest(b.free_at, hubspot_private.clock()) end as next_free_at,
  b.throttled_count,
  (select jsonb_object_agg(c.name, case when u.is_over then 0 else b.used_by[c.n] end)
   from (values (1, 'live'), (2, 'poll'), (3, 'settle'), (4, 'backfill')) c (n, name)) as used_by,
  array(
    select c.name from (values (1, 'live'), (2, 'poll'), (3, 'settle'), (4, 'backfill')) c (n, name)
    where b.waiting_until[c.n] > hubspot_private.clock()
    order by c.n) as waiting,
  case when b.name = 'daily' and not u.is_over then (
    select jsonb_object_agg(c.name, b.forecast[c.n]) from (values (1, 'live'), (2, 'poll'), (3, 'settle'), (4, 'backfill')) c (n, name)
  ) end as forecast
from hubspot_private.budgets_now() b
cross join lateral (
  select case
    when b.name = 'daily' then b.used_since <> hubspot_private.account_day(
      hubspot_private.clock() + (select a.hubspot_ahead from hubspot_private.account a))
    else b.used_since + b.period <= hubspot_private.clock()
  end as is_over
) u
order by b.name;
comment on view hubspot.quota is
  'HubSpot''s rate limits and what is used of them. Requests are of four classes, most urgent first: live (what people ask for), poll, settle (and sweeps), backfill (and resync).';
comment on column hubspot.quota.remaining is 'Requests that are left in it.';
comment on column hubspot.quota.used_by is 'Of used, what each class took; what is missing other apps took.';
comment on column hubspot.quota.waiting is 'Classes that were told to ask again later: they have more to ask than they may. daily: those that wait for midnight.';
comment on column hubspot.quota.forecast is 'daily: requests that each class is expected to make until midnight; lower classes leave them. backfill: what it still has to read.';
