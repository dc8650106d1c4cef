-- What can be measured, in one statement a scrape. Names are Prometheus' own way: base units, _total for what only grows.
create or replace function hubspot_private.account_is_connected()
returns boolean
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select hubspot_private.account_is_sure();
$$;
comment on function hubspot_private.account_is_connected() is 'Whether a token is in use that HubSpot takes.';

create or replace function hubspot_private.jobs_count()
returns bigint
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_count bigint;
begin
  execute format(
    'select count(*) from %I.jobs j where j.task_identifier = any ($1) and j.locked_at is null and j.run_at <= clock_timestamp()',
    (select i.queue_schema from hubspot_private.installation i))
  into v_count using hubspot_private.task_names();
  return v_count;
end;
$$;
comment on function hubspot_private.jobs_count() is 'Jobs of this product that could run now and that no worker has taken.';

create or replace function hubspot_private.feed_lag()
returns table (lag interval, xid xid8)
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  -- Of this server, in whatever database, the oldest transaction that has a number: changes from it on are not final.
  select hubspot_private.clock() - c.at, h.xid
  from (select pg_snapshot_xmin(pg_current_snapshot()) as xid) h
  left join lateral (
    select x.at from hubspot.changes x where (x.xid, x.id) >= (h.xid, 0) order by x.xid, x.id limit 1
  ) c on true;
$$;
comment on function hubspot_private.feed_lag() is
  'For how long changes have waited for a transaction that began before them, and the number of that; null where none waits.';

create or replace function hubspot_private.metrics()
returns table (name text, labels jsonb, value double precision)
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  with status as materialized (
    select s.* from hubspot.status s
  ),
  tracked as (
    select jsonb_build_object('object', s.object) as labels, s.* from status s
  )
  select 'connected', '{}'::jsonb, hubspot_private.account_is_sure()::integer
  union all
  select 'workers', '{}', count(*) from hubspot.workers w
  union all
  select v.name, t.labels, v.value
  from tracked t
  cross join lateral (values
    ('rows', t.rows::double precision),
    ('progress_ratio', t.progress::double precision),
    ('lag_seconds', extract(epoch from t.lag)),
    ('complete_until_timestamp_seconds', extract(epoch from t.complete_until)),
    ('deletes_complete_until_timestamp_seconds', extract(epoch from t.deletes_complete_until)),
    ('associations_complete_until_timestamp_seconds', extract(epoch from t.associations_complete_until)),
    ('fetch_queue', (select count(*) from hubspot_private.fetch_queue q where q.object = t.object) + (
      select coalesce(sum(cardinality(a.ids)), 0)
      from hubspot_private.fetch_asks a join hubspot_private.objects o on o.number = a.object_number where o.name = t.object)),
    ('association_queue', (
      select count(*) from hubspot_private.pairs p join hubspot_private.association_dirty d on d.pair = p.number where p.from_object = t.object))
  ) v (name, value)
  where v.value is not null
  union all
  select 'object_state', t.labels || jsonb_build_object('state', n.state), (t.state = n.state)::integer
  from tracked t
  cross join unnest('{waiting,backfilling,live,list only,paused,parked}'::text[]) n (state)
  union all
  select v.name, jsonb_build_object('budget', q.budget), v.value
  from hubspot.quota q
  cross join lateral (values
    ('budget_max_requests', q.max_requests::double precision), ('budget_used_requests', q.used), ('budget_remaining_requests', q.remaining),
    ('budget_throttled_total', q.throttled_count)
  ) v (name, value)
  union all
  select 'problems', jsonb_build_object('object', coalesce(p.object, ''), 'code', p.code), count(*)
  from hubspot_private.problems p
  where p.resolved_at is null
  group by coalesce(p.object, ''), p.code
  union all
  select v.name, jsonb_build_object('object', r.object, 'stream', r.stream), v.value
  from (
    select distinct on (r.object, r.stream) r.object, r.stream, r.started_at, r.finished_at
    from hubspot_private.runs r
    where r.state = 'done'
    order by r.object, r.stream, r.id desc
  ) r
  cross join lateral (values
    ('run_duration_seconds', extract(epoch from r.finished_at - r.started_at)),
    ('run_finished_timestamp_seconds', extract(epoch from r.finished_at))
  ) v (name, value)
  union all
  select 'sweep_finished_timestamp_seconds', '{}', extract(epoch from t.done_at) from hubspot_private.turns t where t.name = 'sweep' and t.done_at is not null
  union all
  select 'feed_lag_seconds', '{}', coalesce(extract(epoch from f.lag), 0) from hubspot_private.feed_lag() f
  union all
  select v.name, jsonb_build_object('subscription', s.id, 'object', s.object), v.value
  from hubspot.change_subscriptions s
  cross join lateral (values
    ('subscription_lag_seconds', coalesce(extract(epoch from s.lag), 0)::double precision), ('subscription_records_failing', s.records_failing)
  ) v (name, value)
  union all
  select 'jobs_waiting', '{}', hubspot_private.jobs_count()
  union all
  select 'webhook_events_waiting', '{}', count(*) from hubspot_private.inbox i where i.applied_at is null
  union all
  select 'webhook_events_total', jsonb_build_object('type', w.type, 'object', coalesce(w.object, ''), 'outcome', v.outcome), v.value
  from hubspot.webhooks w
  cross join lateral (values ('acted on', w.acted_on), ('ignored', w.ignored)) v (outcome, value);
$$;
comment on function hubspot_private.metrics() is 'Everything that the database knows and /metrics shows, by name and labels.';
