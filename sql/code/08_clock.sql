-- Our clock, and what is known of it once it was set back.
create or replace function hubspot_private.clock()
returns timestamptz
language sql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
  select clock_timestamp() + coalesce((select i.clock_shift from hubspot_private.installation i), '0');
$$;
comment on function hubspot_private.clock() is
  'The only clock that this product''s SQL asks: real time, plus a shift that only tests set.';

create or replace function hubspot_private.asked_known(asked_at timestamptz)
returns timestamptz
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  -- Times of before and after a clock is set back do not compare. One that is still to come is of before; where it was set back by
  -- less than a read may take (five minutes), or nobody has noticed yet, others may be so too.
  select case
    when asked_known.asked_at > hubspot_private.clock() or c.seen_at > hubspot_private.clock()
      or asked_known.asked_at between c.set_back_at - interval '15 seconds' and c.doubted_until
    then '-infinity'
    else asked_known.asked_at
  end
  from hubspot_private.clocks c;
$$;
comment on function hubspot_private.asked_known(timestamptz) is
  'When a read was asked, for comparison with what was written: -infinity where our clock was set back since, or may have been.';

create or replace function hubspot_private.is_set_back(synced_at timestamptz, asked_at timestamptz)
returns boolean
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  select exists (
    select from hubspot_private.clocks c
    where is_set_back.synced_at > hubspot_private.clock() and is_set_back.asked_at > c.set_back_at and c.seen_at <= hubspot_private.clock());
$$;
comment on function hubspot_private.is_set_back(timestamptz, timestamptz) is
  'Whether a row''s _synced_at, which is later than a read of asked_known(), is of before our clock was set back, and the read of after it.';

create or replace function hubspot_private.clock_set_back(was timestamptz)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_now constant timestamptz := hubspot_private.clock();
  v_by constant interval := clock_set_back.was - v_now;
  v_column text;
begin
  -- Rows written in what is the future again keep their _synced_at: is_set_back() tells them by it.
  update hubspot_private.clocks c
  set set_back_at = v_now,
    doubted_until = case when v_by < interval '5 minutes' then clock_set_back.was + interval '15 seconds' else '-infinity' end;
  -- Each time kept for later moves back with the clock, and so does what is a moment ago now.
  update hubspot_private.workers w set beat_at = v_now where w.beat_at > v_now;
  update hubspot_private.streams s
  set next_at = case when s.next_at > v_now then s.next_at - v_by else s.next_at end,
    retry_at = case when s.retry_at > v_now then s.retry_at - v_by else s.retry_at end,
    lease_until = case when s.lease_until > v_now then s.lease_until - v_by else s.lease_until end,
    live_until = least(s.live_until, v_now), live_tried_at = least(s.live_tried_at, v_now), parked_at = least(s.parked_at, v_now)
  from (
    select t.object, t.stream, t.range from hubspot_private.streams t
    where greatest(t.next_at, t.retry_at, t.lease_until, t.live_until, t.live_tried_at, t.parked_at) > v_now
    order by t.object, t.stream, t.range
    -- What someone's open transaction holds, the sweep hastens.
    for no key update skip locked
  ) f
  where (s.object, s.stream, s.range) = (f.object, f.stream, f.range);
  perform from hubspot_private.account a for no key update skip locked;
  if found then
    update hubspot_private.account a set hubspot_ahead = a.hubspot_ahead + v_by;
  end if;
  update hubspot_private.oauth o
  set expires_at = o.expires_at - v_by, issued_at = o.issued_at - v_by,
    retry_at = o.retry_at - v_by, lease_until = o.lease_until - v_by, early_at = least(o.early_at, v_now)
  where greatest(o.expires_at, o.retry_at, o.lease_until) > v_now;
  update hubspot_private.fetch_queue q
  set not_before = case when q.not_before > v_now then q.not_before - v_by else q.not_before end,
    turn_at = case when q.turn_at > v_now then q.turn_at - v_by else q.turn_at end, asked_at = least(q.asked_at, v_now)
  where greatest(q.not_before, q.turn_at, q.asked_at) > v_now;
  update hubspot_private.association_dirty d
  set not_before = case when d.not_before > v_now then d.not_before - v_by else d.not_before end, asked_at = least(d.asked_at, v_now)
  where greatest(d.not_before, d.asked_at) > v_now;
  foreach v_column in array '{
    credentials.retry_at, deliveries.not_before, erasures.next_at, erasures.asked_at, objects.held_since, objects.tracked_at,
    objects.search_refused_at, objects.list_absent_at, objects.empty_absent_at, properties.unmentioned_at, problems.last_seen_at, runs.requested_at, runs.started_at, runs.finished_at
  }'::text[] loop
    -- Of what people write too: none of it is waited for.
    execute format(
      'update hubspot_private.%1$I t set %2$I = t.%2$I - $1
       where t.ctid = any (array(select x.ctid from hubspot_private.%1$I x where x.%2$I > $2 for no key update skip locked))',
      split_part(v_column, '.', 1), split_part(v_column, '.', 2))
    using v_by, v_now;
  end loop;
  update hubspot_private.objects o set resync_started_at = v_now where o.resync_started_at > v_now;
  update hubspot_private.tombstones g set seen_gone_at = v_now where g.seen_gone_at > v_now;
  update hubspot_private.budgets b
  set free_at = least(b.free_at, v_now + b.period), slow_at = least(b.slow_at, v_now),
    delay_seen_at = least(b.delay_seen_at, v_now), delay_since = least(b.delay_since, v_now),
    refused_until = case when b.refused_until > v_now then b.refused_until - v_by else b.refused_until end,
    waiting_until = '{-infinity,-infinity,-infinity,-infinity}', floor_at = '{-infinity,-infinity,-infinity,-infinity}'
  where greatest(b.free_at, b.slow_at, b.delay_seen_at, b.refused_until) > v_now or v_now < any (b.waiting_until) or v_now < any (b.floor_at);
end;
$$;
comment on function hubspot_private.clock_set_back(timestamptz) is
  'The database''s clock was set back, from that time or later: what waits for a time must not wait for the old one.';
