-- The change feed, read: positions in it, and what comes after one.
create or replace function hubspot_private.position_text(xid xid8, id bigint)
returns text
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select format('%s-%s-%s', f.era, position_text.xid, position_text.id) from hubspot_private.feed f;
$$;
comment on function hubspot_private.position_text(xid8, bigint) is 'A place in the feed as hubspot.changes_after() takes it.';

create or replace function hubspot_private.position_read(after text, out era bigint, out xid xid8, out id bigint)
returns record
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
begin
  if after is null then
    return;
  end if;
  if after !~ '^[0-9]{1,9}-[0-9]{1,18}-[0-9]{1,18}$' then
    perform hubspot_private.fail('argument_invalid', format('%s is no place in the feed', left(quote_literal(after), 100)),
      'Pass next_after of the last row that you had, as it is; null begins with the oldest change kept.');
  end if;
  era := split_part(after, '-', 1);
  xid := split_part(after, '-', 2)::xid8;
  id := split_part(after, '-', 3);
end;
$$;
comment on function hubspot_private.position_read(text) is 'Takes a place in the feed apart; nulls for null. SH104.';

create or replace function hubspot.changes_end()
returns text
language sql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
  -- What is committed later is of this transaction or a later one, or of one that runs now.
  select hubspot_private.position_text(pg_snapshot_xmin(pg_current_snapshot()), 0);
$$;
comment on function hubspot.changes_end() is
  'The present end of the feed, for hubspot.changes_after(): all that is committed from now on comes after it. Taken in one repeatable-read transaction with a copy of the tables, the copy and the changes after it miss nothing; a change may be in both.';

create or replace function hubspot.changes_after(after text default null, max_rows integer default 1000)
returns table (
  id bigint, xid xid8, at timestamptz, object text, record_id bigint, op text, changed jsonb, run_id bigint, next_after text
)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_after record;
  v_feed hubspot_private.feed;
begin
  if max_rows is null or max_rows < 1 then
    perform hubspot_private.fail('argument_invalid', format('max_rows cannot be %s', coalesce(max_rows::text, 'null')), 'Give a number from 1 on.');
  end if;
  select p.era, coalesce(p.xid, '0') as xid, coalesce(p.id, 0) as id into v_after from hubspot_private.position_read(changes_after.after) p;
  -- A transaction that runs still may write a change with a lower id, or a lower xid, than one that is here already: all of them
  -- below the oldest that runs are final.
  return query
  select c.id, c.xid, c.at, c.object, c.record_id, c.op, c.changed, c.run_id, hubspot_private.position_text(c.xid, c.id)
  from (
    select x.* from hubspot.changes x
    where (x.xid, x.id) > (v_after.xid, v_after.id) and x.xid < pg_snapshot_xmin(pg_current_snapshot())
    order by x.xid, x.id
    limit max_rows
  ) c
  order by c.xid, c.id;
  -- To a snapshot tables are dropped and emptied at once, and what else was done with that does not show.
  if v_after.era is not null and current_setting('transaction_isolation') in ('repeatable read', 'serializable') and exists (
    select from pg_inherits i
    join pg_class c on c.oid = i.inhrelid and c.relfilenode is distinct from pg_relation_filenode(c.oid)
    where i.inhparent = 'hubspot.changes'::regclass)
  then
    raise exception using errcode = '40001', message = 'a day of changes was dropped since this transaction took its snapshot',
      hint = 'Begin the transaction again: then it is known whether that was after the place given.';
  end if;
  -- Looked at afterwards: what was dropped meanwhile is known by now.
  select f.* into strict v_feed from hubspot_private.feed f;
  if v_after.era is not null and (
    v_after.era <> v_feed.era or (v_after.xid, v_after.id) < (v_feed.gone_xid, v_feed.gone_id)
    or v_after.xid > pg_snapshot_xmax(pg_current_snapshot()))
  then
    perform hubspot_private.fail('changes_gone', changes_after.after);
  end if;
end;
$$;
comment on function hubspot.changes_after(text, integer) is
  'The changes after a place in the feed, in order, none left out: pass next_after of the last row to go on, null to begin with the oldest kept. A change shows once every transaction that began before it is over. SH104; SH117 where changes after that place are no longer kept; 40001 where a repeatable-read transaction cannot tell: begin it again.';

create or replace function hubspot_private.changes_empty()
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  begin
    perform hubspot_private.ddl_run('{truncate hubspot.changes}', '{hubspot.changes}');
  exception when feature_not_supported then
    -- A user's key refers to it.
    delete from hubspot.changes;
  end;
  update hubspot_private.feed set era = era + 1, gone_xid = '0', gone_id = 0;
  update hubspot_private.subscriptions
  set at_xid = pg_snapshot_xmin(pg_current_snapshot()), at_id = 0, began = pg_current_snapshot();
end;
$$;
comment on function hubspot_private.changes_empty() is
  'Empties the feed: on another server its transaction ids mean nothing. Whoever reads on from a place of before gets SH117; subscriptions go on from here, with what they had taken out of it.';

create or replace function hubspot_private.deliveries_requeue(subscription bigint default null)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_made_at constant timestamptz := hubspot_private.queue_made_at();
begin
  update hubspot_private.deliveries d
  set job_id = null, job_until = null, erased_job_id = null, queue_made_at = null, not_before = hubspot_private.clock()
  where d.job_id is not null and d.queue_made_at is distinct from v_made_at and d.subscription = coalesce(subscription, d.subscription);
  if found then
    delete from hubspot_private.deliveries d
    where d.job_id is null and d.subscription = coalesce(subscription, d.subscription) and not exists (
      select from hubspot_private.delivery_changes c where (c.subscription, c.record_id) = (d.subscription, d.record_id));
  end if;
end;
$$;
comment on function hubspot_private.deliveries_requeue(bigint) is
  'Deliveries whose jobs were lost with the queue, of one subscription or of all, are to be queued again. Asked before a job is looked for by its id: another may have that now.';

create or replace function hubspot_private.delivery_jobs_end(subscription bigint default null)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_ended record;
begin
  if not exists (
    select from hubspot_private.deliveries d where d.subscription = coalesce(subscription, d.subscription) and d.erased_job_id is not null)
  then
    return;
  end if;
  perform hubspot_private.deliveries_requeue(subscription);
  -- What its task said of it goes with it.
  for v_ended in execute format(
    'with waiting as (
       select d.job_id from hubspot_private.deliveries d
       join %1$I.jobs j on j.id = d.job_id and j.locked_at is null
       where d.erased_job_id = d.job_id and d.subscription = coalesce($1, d.subscription)),
     ended as (select c.id from %1$I.complete_jobs(array(select w.job_id from waiting w)) c)
     update hubspot_private.deliveries d
     set job_id = null, job_until = null, erased_job_id = null, queue_made_at = null, error = null, not_before = hubspot_private.clock()
     from ended e
     where d.erased_job_id = e.id
     returning d.subscription, d.record_id', (select i.queue_schema from hubspot_private.installation i))
  using subscription
  loop
    delete from hubspot_private.problems p
    where p.code = 'SH224' and p.record_id = v_ended.record_id and p.property = hubspot_private.subscription_property(v_ended.subscription);
    delete from hubspot_private.deliveries d
    where (d.subscription, d.record_id) = (v_ended.subscription, v_ended.record_id) and not exists (
      select from hubspot_private.delivery_changes c where (c.subscription, c.record_id) = (d.subscription, d.record_id));
  end loop;
end;
$$;
comment on function hubspot_private.delivery_jobs_end(bigint) is
  'Ends jobs that carry what was erased, unless they run: what is left of their record''s changes is queued again.';

create or replace function hubspot_private.changes_forget(object text, ids bigint[])
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  -- Nobody copies any of it meanwhile: what he has not committed would not be seen here.
  perform from hubspot_private.subscriptions s
  where s.object = changes_forget.object or 'associate' = any (s.ops)
  order by s.id
  for share;
  -- All of them in one pass: the feed has no index by record.
  delete from hubspot.changes c
  where c.object = changes_forget.object and c.record_id = any (changes_forget.ids) and c.op in ('insert', 'update', 'associate')
    or c.op = 'associate' and c.changed ->> 'to_object' = changes_forget.object and (c.changed ->> 'to')::bigint = any (changes_forget.ids);
  -- Whoever follows the feed has to hear that it is gone, and hears no more than that.
  update hubspot.changes c set changed = '{}'
  where c.object = changes_forget.object and c.record_id = any (changes_forget.ids) and c.op = 'delete' and c.changed <> '{}';
  delete from hubspot_private.delivery_changes d
  using hubspot_private.subscriptions s
  where s.id = d.subscription and (
    s.object = changes_forget.object and d.record_id = any (changes_forget.ids) and d.change ->> 'op' in ('insert', 'update', 'associate')
    or d.change ->> 'op' = 'associate' and d.change #>> '{changed,to_object}' = changes_forget.object
      and (d.change #>> '{changed,to}')::bigint = any (changes_forget.ids));
  update hubspot_private.delivery_changes d set change = jsonb_set(d.change, '{changed}', '{}')
  from hubspot_private.subscriptions s
  where s.id = d.subscription and s.object = changes_forget.object and d.record_id = any (changes_forget.ids) and d.change ->> 'op' = 'delete';
  -- An error may quote what was delivered; a job that runs has it already, and is seen to when it does so no more.
  update hubspot_private.deliveries d set error = null, erased_job_id = d.job_id
  from hubspot_private.subscriptions s
  where s.id = d.subscription and s.object = changes_forget.object and d.record_id = any (changes_forget.ids);
  perform hubspot_private.delivery_jobs_end();
  delete from hubspot_private.deliveries d
  using hubspot_private.subscriptions s
  where s.id = d.subscription and s.object = changes_forget.object and d.record_id = any (changes_forget.ids) and d.job_id is null
    and not exists (
      select from hubspot_private.delivery_changes c where (c.subscription, c.record_id) = (d.subscription, d.record_id));
end;
$$;
comment on function hubspot_private.changes_forget(text, bigint[]) is
  'Erases what the feed and its subscriptions hold of records. That they were deleted stays, by their ids alone: who has a copy must hear of it.';
