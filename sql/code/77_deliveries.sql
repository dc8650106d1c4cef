-- Changes delivered: to a function in a transaction with the note that it was taken; to a task as a job of the queue, the next of a
-- record once the one before is gone from it.
create or replace function hubspot_private.deliver_calls(s hubspot_private.subscriptions, alone bigint)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_until constant timestamptz := pg_catalog.clock_timestamp() + interval '1 second';
  v_limit constant interval := hubspot_private.setting_interval('delivery_timeout');
  v_session constant text[] := hubspot_private.session_state();
  v_began timestamptz;
  v_delivery record;
  v_change record;
  v_error text;
  v_taken bigint;
begin
  for v_delivery in
    select d.record_id from hubspot_private.deliveries d
    where d.subscription = s.id and d.not_before <= hubspot_private.clock()
      and case when alone is null then not hubspot_private.is_session_ended(d.error) else d.record_id = alone end
    order by d.not_before, d.record_id
    limit 200
    for update skip locked
  loop
    v_error := null;
    v_taken := 0;
    for v_change in
      select c.seq, c.change from hubspot_private.delivery_changes c
      where c.subscription = s.id and c.record_id = v_delivery.record_id
      order by c.seq
      limit case when alone is null then 100 else 1 end
    loop
      v_began := pg_catalog.clock_timestamp();
      begin
        perform hubspot_private.function_require(s);
        perform hubspot_private.path_open();
        execute s.call using v_change.change;
        perform pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
        if alone is not null then
          -- What would fail at the end fails here, where it is known whose it is.
          perform hubspot_private.constraints_check();
        end if;
        if current_user <> v_session[1] then
          raise exception 'it went on as role %', current_user;
        end if;
        perform hubspot_private.session_settle(v_session, 'it');
        if pg_catalog.clock_timestamp() - pg_catalog.statement_timestamp() > v_limit + interval '0.9 seconds' then
          -- It caught that it was broken off, and went on. The limit is armed a moment before the statement's time.
          raise query_canceled using message = 'it went on when it was broken off';
        end if;
        v_taken := v_change.seq;
      exception when others or query_canceled or assert_failure then
        v_error := pg_catalog.format('%s (%s)', case
          when sqlstate = '57014' and pg_catalog.clock_timestamp() - v_began >= v_limit then 'it took longer than delivery_timeout, ' || v_limit
          else sqlerrm end, sqlstate);
      end;
      -- The time limit is armed once in a step: what begins late would have the less of it.
      exit when v_error is not null or pg_catalog.clock_timestamp() > v_until;
    end loop;
    delete from hubspot_private.delivery_changes c
    where c.subscription = s.id and c.record_id = v_delivery.record_id and c.seq <= v_taken;
    if v_error is null then
      perform hubspot_private.delivery_end(s, array[v_delivery.record_id]);
    else
      perform hubspot_private.delivery_fail(s, v_delivery.record_id, v_error);
    end if;
    exit when pg_catalog.clock_timestamp() > v_until;
  end loop;
end;
$$;
comment on function hubspot_private.deliver_calls(hubspot_private.subscriptions, bigint) is
  'Calls a subscription''s function with changes that are due, for about a second; one that raises is tried again later, from a second by doubling to an hour, and its record''s others wait. alone: one change, of this record.';

create or replace function hubspot_private.deliver_jobs(s hubspot_private.subscriptions)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_queue constant name := (select i.queue_schema from hubspot_private.installation i);
  v_made_at constant timestamptz := hubspot_private.queue_made_at();
  v_done bigint[];
  v_delivery record;
  v_job bigint;
begin
  perform hubspot_private.deliveries_requeue(s.id);
  -- What succeeded is gone from the queue; what failed, even for good, stays there.
  execute format(
    'select array_agg(d.record_id order by d.record_id) from hubspot_private.deliveries d
     where d.subscription = $1 and d.job_id is not null and not exists (select from %I.jobs j where j.id = d.job_id)', v_queue)
  into v_done using s.id;
  delete from hubspot_private.delivery_changes c
  using hubspot_private.deliveries d
  where d.subscription = s.id and d.record_id = any (v_done)
    and (c.subscription, c.record_id) = (d.subscription, d.record_id) and c.seq <= d.job_until;
  perform hubspot_private.delivery_end(s, v_done);
  execute format(
    'with failed as (
       update hubspot_private.deliveries d set attempts = j.attempts, error = j.last_error
       from %I.jobs j
       where d.subscription = $1.id and j.id = d.job_id and j.last_error is not null and j.attempts <> d.attempts
       returning d.record_id, d.attempts, d.error
     )
     select hubspot_private.delivery_failed($1, f.record_id, f.attempts, f.error) from failed f order by f.record_id', v_queue)
  using s;
  for v_delivery in
    select d.record_id, c.changes, c.last_seq
    from (
      select x.record_id from hubspot_private.deliveries x
      where x.subscription = s.id and x.job_id is null and x.not_before <= hubspot_private.clock()
      order by x.not_before, x.record_id
      limit 500
    ) d
    cross join lateral (
      select jsonb_agg(y.change order by y.seq) as changes, max(y.seq) as last_seq
      from (
        select z.seq, z.change from hubspot_private.delivery_changes z
        where z.subscription = s.id and z.record_id = d.record_id order by z.seq limit 100
      ) y
    ) c
  loop
    -- The queue's own back-off goes up to six hours; it gives up after 25 times, and a change is never given up.
    execute format('select (%I.add_job($1, $2, job_key => $3, max_attempts => 32767)).id', v_queue)
    into v_job
    using s.task,
      json_build_object('subscription', s.id, 'object', s.object, 'record_id', v_delivery.record_id::text, 'changes', v_delivery.changes),
      format('hubspot:on_change:%s:%s', s.id, v_delivery.record_id);
    update hubspot_private.deliveries d set job_id = v_job, job_until = v_delivery.last_seq, queue_made_at = v_made_at
    where d.subscription = s.id and d.record_id = v_delivery.record_id;
  end loop;
end;
$$;
comment on function hubspot_private.deliver_jobs(hubspot_private.subscriptions) is
  'Looks which jobs of a task are done, and queues one for each record that has changes and none under way.';

create or replace function hubspot_private.deliver_next(s hubspot_private.subscriptions, out is_due boolean, out at timestamptz)
returns record
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  select coalesce(n.at <= hubspot_private.clock(), false),
    least(n.at, case when exists (
        -- Not final yet: a transaction that began before them runs still.
        select from hubspot.changes c
        where (c.xid, c.id) > (u.at_xid, u.at_id) and c.object = s.object and c.op = any (s.ops))
      or exists (
        -- Changes came while the task had those before.
        select from hubspot_private.deliveries d
        where d.subscription = s.id and d.job_id is not null and exists (
          select from hubspot_private.delivery_changes c
          where c.subscription = s.id and c.record_id = d.record_id and c.seq > d.job_until))
      then hubspot_private.clock() + interval '1 second' end)
  from hubspot_private.subscriptions u
  cross join lateral (
    select min(d.not_before) as at from hubspot_private.deliveries d where d.subscription = s.id and d.job_id is null
  ) n
  where u.id = s.id;
$$;
comment on function hubspot_private.deliver_next(hubspot_private.subscriptions) is 'Whether a subscription has something to do at once, and when it must be looked at again.';

create or replace function hubspot_private.deliver_begin(
  subscription bigint, is_careful boolean,
  out pid integer, out limit_ms integer, out server_at timestamptz, out alone bigint, out has_ended boolean
)
returns record
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  pid := pg_backend_pid();
  server_at := pg_postmaster_start_time();
  select d.record_id, hubspot_private.is_session_ended(d.error) into alone, has_ended
  from hubspot_private.deliveries d
  where d.subscription = deliver_begin.subscription and d.job_id is null and d.not_before <= hubspot_private.clock()
  order by d.not_before, d.record_id
  limit 1;
  if not is_careful and not has_ended then
    alone := null;
  end if;
  -- A step begins no call after its first second.
  limit_ms := ceil(1000 * (1 + least(extract(epoch from hubspot_private.setting_interval('delivery_timeout')), 86400)));
  perform set_config('statement_timeout', limit_ms::text, true);
end;
$$;
comment on function hubspot_private.deliver_begin(bigint, boolean) is
  'Bounds the statements of this transaction so that no call in a step takes longer than delivery_timeout. Returns the session''s process, by which the step can be ended, and the record that the step tries alone: the next, where it is_careful or that one''s call has_ended its session before.';
revoke all on function hubspot_private.deliver_begin(bigint, boolean) from public;

create or replace function hubspot_private.delivery_ended(subscription bigint, record_id bigint, server_at timestamptz, error text)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set lock_timeout = '2s'
as $$
#variable_conflict use_variable
declare
  s hubspot_private.subscriptions;
begin
  -- A server that stops, or another one that took its place, ends all sessions.
  if server_at is distinct from pg_postmaster_start_time() then
    return;
  end if;
  select x.* into s from hubspot_private.subscriptions x where x.id = subscription for key share;
  perform hubspot_private.delivery_fail(s, record_id, error);
exception when lock_not_available then
  -- Another tries it already, and finds out itself. The session that ended may take a moment to let go.
  null;
end;
$$;
comment on function hubspot_private.delivery_ended(bigint, bigint, timestamptz, text) is
  'The call with this record''s change, alone, ended its session, while the server that was up since server_at is so still: it was not taken.';
revoke all on function hubspot_private.delivery_ended(bigint, bigint, timestamptz, text) from public;

create or replace function hubspot_private.deliver_step(subscription bigint, is_careful boolean default false, alone bigint default null)
returns boolean
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  s hubspot_private.subscriptions;
  v_is_more boolean;
  v_next record;
  v_session constant text[] := hubspot_private.session_state();
begin
  select x.* into s from hubspot_private.subscriptions x where x.id = subscription;
  -- A copy stands still until it is adopted: what the original delivers is delivered.
  if not found or not hubspot_private.is_home() then
    return false;
  end if;
  -- One at a time, so that slow functions do not take all of a worker; who comes second comes again.
  -- When it is careful: the step that was refused told so before it gave its turn back.
  if not hubspot_private.turn_take(hubspot_private.subscription_turn(s.id), is_careful) then
    perform hubspot_private.subscription_later(s.id);
    return false;
  end if;
  if s.function_name is not null and (alone is not null or not is_careful) then
    -- off_change() waits for the calls, and erasing does not: only while copies are made must nobody erase. So these come last, for
    -- the next step to deliver.
    perform from hubspot_private.subscriptions x where x.id = subscription for key share;
    if not found then
      return false;
    end if;
    perform hubspot_private.deliver_calls(s, alone);
    perform hubspot_private.session_end(v_session);
  end if;
  -- Read again: whoever held the lock moved it.
  select x.* into s from hubspot_private.subscriptions x where x.id = subscription for no key update skip locked;
  if not found then
    perform hubspot_private.subscription_later(subscription);
    return false;
  end if;
  v_is_more := hubspot_private.subscription_read(s);
  if s.task is not null then
    perform hubspot_private.deliver_jobs(s);
  end if;
  select n.is_due, n.at into v_next from hubspot_private.deliver_next(s) n;
  if v_is_more or v_next.is_due then
    return true;
  end if;
  if v_next.at is not null then
    perform hubspot_private.subscription_wake(s.id, 'next', v_next.at);
  end if;
  return false;
end;
$$;
comment on function hubspot_private.deliver_step(bigint, boolean, bigint) is
  'Delivers changes of a subscription, for about a second, and sees to it that it is looked at again; true where more is due now. is_careful: after a step was refused at its commit, or its session ended. alone: one change, of this record.';
revoke all on function hubspot_private.deliver_calls(hubspot_private.subscriptions, bigint) from public;
revoke all on function hubspot_private.deliver_step(bigint, boolean, bigint) from public;
