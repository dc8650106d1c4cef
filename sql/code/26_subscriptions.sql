-- Subscriptions to changes: woken by whoever writes some, looked through the feed for.
create or replace function hubspot_private.subscription_wake(id bigint, key text default null, at timestamptz default null)
returns void
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  select hubspot_private.enqueue('hubspot:deliver', json_build_object('subscription', subscription_wake.id),
    format('deliver:%s:', subscription_wake.id) || subscription_wake.key, subscription_wake.at);
$$;
comment on function hubspot_private.subscription_wake(bigint, text, timestamptz) is
  'Queues a look at a subscription. Without a key nobody waits for another''s transaction.';

create or replace function hubspot_private.subscriptions_wake(object text, op text)
returns void
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  select hubspot_private.subscription_wake(s.id) from hubspot_private.subscriptions s
  where s.object = subscriptions_wake.object and subscriptions_wake.op = any (s.ops);
$$;
comment on function hubspot_private.subscriptions_wake(text, text) is 'Wakes those who asked for such changes, when they are committed.';

create or replace function hubspot_private.subscription_turn(id bigint)
returns text
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
  select format('deliver %s', subscription_turn.id);
$$;
comment on function hubspot_private.subscription_turn(bigint) is 'What a turn to deliver to a subscription is named.';

create or replace function hubspot_private.subscription_later(id bigint)
returns void
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  select hubspot_private.subscription_wake(subscription_later.id, 'again', hubspot_private.clock() + interval '1 second');
$$;
comment on function hubspot_private.subscription_later(bigint) is 'Queues a look at a subscription in a second: whoever should have looked had no turn.';

create or replace function hubspot_private.column_left()
returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  insert into hubspot_private.former_columns as f (object, property, column_name, until_at)
  values (old.object, old.property, old.column_name, hubspot_private.clock())
  on conflict on constraint former_columns_pkey do update set until_at = excluded.until_at;
  -- No change of then is left.
  delete from hubspot_private.former_columns f
  where f.until_at < hubspot_private.clock() - 3 * hubspot_private.setting_interval('changes_kept');
  return null;
end;
$$;
comment on function hubspot_private.column_left() is 'Trigger: keeps the name that a property''s column had.';
revoke all on function hubspot_private.column_left() from public;

do $$
begin
  -- Made once: its lock waits for whoever writes the table.
  if not exists (select from pg_trigger t where t.tgrelid = 'hubspot_private.properties'::regclass and t.tgname = 'column_left') then
    create trigger column_left after update of column_name on hubspot_private.properties
      for each row when (old.column_name is distinct from new.column_name and old.column_name is not null)
      execute function hubspot_private.column_left();
  end if;
end;
$$;

create or replace function hubspot_private.change_concerns(c hubspot.changes, columns text[])
returns boolean
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select exists (
      -- Its name then, which a later column may have now.
      select from hubspot_private.former_columns n
      where n.object = c.object and n.property = any (change_concerns.columns) and c.at <= n.until_at and c.changed ? n.column_name)
    or c.changed ? '_extra' and exists (
      -- Values that have no column, or no room in theirs, by property: old and new, or the whole of a row that is gone.
      select from unnest(change_concerns.columns) p
      where case jsonb_typeof(c.changed -> '_extra')
        when 'array' then c.changed #> array['_extra', '0', p] is distinct from c.changed #> array['_extra', '1', p]
        else c.changed -> '_extra' ? p
      end);
$$;
comment on function hubspot_private.change_concerns(hubspot.changes, text[]) is
  'Whether a change is of one of these properties by a name that its column had, or in _extra.';

create or replace function hubspot_private.subscription_columns(s hubspot_private.subscriptions)
returns text[]
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select s.columns || array(
    select p.column_name::text from hubspot_private.properties p
    where p.object = s.object and p.property = any (s.columns) and p.column_name is not null);
$$;
comment on function hubspot_private.subscription_columns(hubspot_private.subscriptions) is
  'The columns that a subscription looks at, by the names that they have now; null: all.';

create or replace function hubspot_private.subscription_property(id bigint)
returns text
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
  select format('on_change %s', subscription_property.id);
$$;
comment on function hubspot_private.subscription_property(bigint) is 'How problems name a subscription.';

create or replace function hubspot_private.subscription_read(s hubspot_private.subscriptions, is_all boolean default false)
returns boolean
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
as $$
#variable_conflict use_column
declare
  v_horizon constant xid8 := case when is_all then '18446744073709551615' else pg_snapshot_xmin(pg_current_snapshot()) end;
  v_columns constant text[] := hubspot_private.subscription_columns(s);
  v_last record;
  v_count bigint;
begin
  perform hubspot_private.delivery_jobs_end(s.id);
  with found as materialized (
    select c.* from hubspot.changes c
    where (c.xid, c.id) > (s.at_xid, s.at_id) and c.xid < v_horizon and c.object = s.object and c.op = any (s.ops)
    order by c.xid, c.id
    limit 1000
  ),
  wanted as (
    select f.* from found f
    where not pg_visible_in_snapshot(f.xid, s.began)
      and (s.columns is null or f.op in ('associate', 'disassociate') or f.changed ?| v_columns
        or hubspot_private.change_concerns(f, s.columns)
        -- Erased: who has a copy of a column must hear of it.
        or f.op = 'delete' and f.changed = '{}')
  ),
  copied as (
    insert into hubspot_private.delivery_changes (subscription, record_id, change_id, change)
    select s.id, w.record_id, w.id, to_jsonb(w) || jsonb_build_object('id', w.id::text, 'record_id', w.record_id::text)
    from wanted w
    order by w.xid, w.id
  ),
  opened as (
    insert into hubspot_private.deliveries (subscription, record_id, not_before)
    select distinct s.id, w.record_id, hubspot_private.clock() from wanted w order by w.record_id
    on conflict on constraint deliveries_pkey do nothing
  )
  select l.xid, l.id, n.count into v_last
  from (select count(*) as count from found) n
  left join lateral (select f.xid, f.id from found f order by f.xid desc, f.id desc limit 1) l on true;
  v_count := v_last.count;
  if exists (select from hubspot_private.feed f where (s.at_xid, s.at_id) < (f.gone_xid, f.gone_id)) then
    perform hubspot_private.problem_report('SH225', s.object,
      format('subscription %s of %s was further behind than changes are kept: it did not get those before %s', s.id, s.object,
        to_char(hubspot_private.clock() - 2 * hubspot_private.setting_interval('changes_kept'), 'YYYY-MM-DD')),
      'Look at the table for what it missed. Keep a worker running, or select hubspot.configure(''changes_kept'', ''30 days'');',
      null, hubspot_private.subscription_property(s.id));
  end if;
  -- Nothing more below the horizon: go on from there.
  update hubspot_private.subscriptions u
  set at_xid = case when v_count = 1000 then v_last.xid else v_horizon end, at_id = case when v_count = 1000 then v_last.id else 0 end
  where u.id = s.id;
  return v_count = 1000;
end;
$$;
comment on function hubspot_private.subscription_read(hubspot_private.subscriptions, boolean) is
  'Takes what a subscription wants out of the feed, from where it stands; true where there may be more. is_all: what nobody writes to any more is final to its end.';

create or replace function hubspot_private.subscriptions_read_all()
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_id bigint;
  s hubspot_private.subscriptions;
begin
  for v_id in select x.id from hubspot_private.subscriptions x order by x.id for no key update loop
    loop
      select x.* into strict s from hubspot_private.subscriptions x where x.id = v_id;
      exit when not hubspot_private.subscription_read(s, true);
    end loop;
  end loop;
end;
$$;
comment on function hubspot_private.subscriptions_read_all() is 'Takes what all subscriptions want out of a feed that ends here.';

create or replace function hubspot_private.is_function_wrong(error text)
returns boolean
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
  -- Names that are not there, rights that are missing: 42883, 42P01, 42501, 3F000.
  select is_function_wrong.error ~ '\((42|3F)[0-9A-Z]{3}\)$';
$$;
comment on function hubspot_private.is_function_wrong(text) is
  'Whether what a function raised, which ends in its SQLSTATE, says that the function is wrong, and no record.';

create or replace function hubspot_private.delivery_failed(s hubspot_private.subscriptions, record_id bigint, attempts integer, error text)
returns void
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  select hubspot_private.problem_report('SH224', s.object,
    format('%s not taken by %s: %s',
      case when w.is_function then format('changes of %s are', s.object)
        else format('a change of record %s of %s was', delivery_failed.record_id, s.object) end,
      coalesce('task ' || s.task, 'function ' || s.function_name), left(delivery_failed.error, 1500)),
    format('Mend it; it is tried again by itself, later each time. %sTo give up all of it: select hubspot.off_change(%s);',
      case when not w.is_function then 'Changes of other records go on. ' end, s.id),
    case when not w.is_function then delivery_failed.record_id end, hubspot_private.subscription_property(s.id))
  from (select s.function_name is not null and hubspot_private.is_function_wrong(delivery_failed.error) as is_function) w
  where delivery_failed.attempts > 0;
$$;
comment on function hubspot_private.delivery_failed(hubspot_private.subscriptions, bigint, integer, text) is
  'A record''s changes were not taken: a problem of it, or one of all where the function is what is wrong.';

create or replace function hubspot_private.is_session_ended(error text)
returns boolean
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
  select coalesce(is_session_ended.error ~ '\((57P01|25P04)\)$', false);
$$;
comment on function hubspot_private.is_session_ended(text) is 'Whether a call failed in that its session ended: it is tried alone.';

create or replace function hubspot_private.delivery_fail(s hubspot_private.subscriptions, record_id bigint, error text)
returns void
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  with failed as (
    update hubspot_private.deliveries d
    set attempts = d.attempts + 1, error = delivery_fail.error, not_before = hubspot_private.clock()
      + make_interval(secs => least(power(2, least(d.attempts, 12)), 3600) * (0.5 + random() / 2))
    where d.subscription = s.id and d.record_id = delivery_fail.record_id
    returning d.attempts
  )
  select hubspot_private.delivery_failed(s, delivery_fail.record_id, f.attempts, delivery_fail.error) from failed f;
$$;
comment on function hubspot_private.delivery_fail(hubspot_private.subscriptions, bigint, text) is
  'A function did not take a record''s change: it gets it again later.';

create or replace function hubspot_private.delivery_end(s hubspot_private.subscriptions, ids bigint[])
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
begin
  update hubspot_private.problems p set resolved_at = hubspot_private.clock()
  where p.resolved_at is null and p.object = s.object and p.code = 'SH224' and p.property = hubspot_private.subscription_property(s.id)
    and p.record_id = any (ids);
  update hubspot_private.deliveries d
  set attempts = 0, not_before = hubspot_private.clock(), job_id = null, job_until = null, queue_made_at = null, error = null
  where d.subscription = s.id and d.record_id = any (ids);
  delete from hubspot_private.deliveries d
  where d.subscription = s.id and d.record_id = any (ids) and not exists (
    select from hubspot_private.delivery_changes c where c.subscription = s.id and c.record_id = d.record_id);
  if ids <> '{}' and s.function_name is not null and not exists (
    select from hubspot_private.deliveries d where d.subscription = s.id and hubspot_private.is_function_wrong(d.error))
  then
    update hubspot_private.problems p set resolved_at = hubspot_private.clock()
    where p.resolved_at is null and p.object = s.object and p.code = 'SH224' and p.property = hubspot_private.subscription_property(s.id)
      and p.record_id is null;
  end if;
end;
$$;
comment on function hubspot_private.delivery_end(hubspot_private.subscriptions, bigint[]) is
  'These records'' changes so far were taken: their problems are over, and they go on with what came since.';
