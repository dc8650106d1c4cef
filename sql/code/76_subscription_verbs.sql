-- The verbs of subscriptions.
create or replace function hubspot_private.function_require(s hubspot_private.subscriptions)
returns void
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_other record;
begin
  -- All that a call with one argument may come to.
  select p.oid::regprocedure as name, r.rolname into v_other
  from pg_proc p
  join pg_namespace n on n.oid = p.pronamespace
  join pg_roles r on r.oid = p.proowner
  where n.nspname = (parse_ident(s.function_name))[1] and p.proname = (parse_ident(s.function_name))[2]
    and (p.pronargs > 0 or p.provariadic <> 0) and p.pronargs - p.pronargdefaults <= 1
    and not r.rolsuper and r.rolname <> current_user and p.proowner is distinct from s.function_owner_oid
  limit 1;
  if found then
    raise exception using errcode = '42501', message = format('%s is role %s''s, and it was %s''s that was subscribed: drop it, or subscribe anew',
      v_other.name, quote_ident(v_other.rolname), coalesce(
        (select quote_ident(r.rolname) from pg_roles r where r.oid = s.function_owner_oid), 'a former ' || quote_ident(s.function_owner)));
  end if;
end;
$$;
comment on function hubspot_private.function_require(hubspot_private.subscriptions) is
  'Refuses a function that someone else has put in the place of the one that was subscribed, or beside it under its name: it would run with the worker''s rights. 42501.';

create or replace function hubspot_private.subscriptions_sweep()
returns void
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  -- A dump takes the name along.
  update hubspot_private.subscriptions s set function_owner = r.rolname
  from pg_roles r
  where r.oid = s.function_owner_oid and r.rolname <> s.function_owner and hubspot_private.is_home();
  -- A job may have been lost with its worker, and the queue tells nobody when it has done the user's.
  select hubspot_private.subscription_wake(s.id, 'sweep') from hubspot_private.subscriptions s order by s.id;
$$;
comment on function hubspot_private.subscriptions_sweep() is 'Every 20 s: looks at each subscription, and follows a role that was renamed.';

create or replace function hubspot_private.subscription_make(
  object text, task text, function_name text, call text, ops text[], columns text[], function_owner oid default null
)
returns bigint
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_object hubspot_private.objects := hubspot_private.object_tracked(object);
  v_all constant text[] := '{insert,update,delete,associate,disassociate}';
  v_known text[] := array(
    select x from hubspot_private.properties p cross join lateral unnest(array[p.column_name::text, p.property]) x
    where p.object = v_object.name and (p.column_name is not null or p.is_selected) and x is not null);
  v_unknown text;
  v_id bigint;
begin
  if array_ndims(ops) > 1 or array_ndims(columns) > 1 then
    perform hubspot_private.fail('argument_invalid', format('%s are an array of arrays', case when array_ndims(ops) > 1 then 'ops' else 'columns' end),
      'Give their names alone: array[''update'', ''delete''].');
  end if;
  if coalesce(cardinality(ops), 0) = 0 or array_position(ops, null) is not null or not ops <@ v_all then
    perform hubspot_private.fail('argument_invalid', format('ops cannot be %s', coalesce(ops::text, 'null')),
      format('Give some of: %s.', array_to_string(v_all, ', ')));
  end if;
  if not v_object.has_changes then
    perform hubspot_private.fail('argument_invalid', format('changes of %s are not written', v_object.name),
      format('Run select hubspot.enable_changes(%L);', v_object.name));
  end if;
  if cardinality(columns) = 0 or array_position(columns, null) is not null then
    perform hubspot_private.fail('argument_invalid', 'columns are empty, or one is null', 'Leave columns out for changes of any of them.');
  end if;
  -- Not known yet, they are looked at as they are named.
  select c into v_unknown from unnest(columns) c where v_known <> '{}' and c <> all (v_known) and c <> '_extra' limit 1;
  if v_unknown is not null then
    perform hubspot_private.fail('property_unknown', v_object.name, v_unknown, coalesce(
      'Did you mean ' || hubspot_private.near_name(v_unknown, v_known) || '?',
      format('select column_name from hubspot.properties where object = %L lists those that have a column.', v_object.name)));
  end if;
  insert into hubspot_private.subscriptions (object, task, function_name, function_owner, function_owner_oid, call, ops, columns, at_xid, at_id, created_at)
  values (v_object.name, task, function_name, pg_get_userbyid(function_owner), function_owner, call, ops,
    case when columns is not null then array(
      select coalesce((select p.property from hubspot_private.properties p where p.object = v_object.name and p.column_name = c), c)
      from unnest(columns) c)
    end,
    pg_snapshot_xmin(pg_current_snapshot()), 0, hubspot_private.clock())
  returning id into v_id;
  insert into hubspot_private.turns (name) values (hubspot_private.subscription_turn(v_id));
  perform hubspot_private.subscription_wake(v_id);
  return v_id;
end;
$$;
comment on function hubspot_private.subscription_make(text, text, text, text, text[], text[], oid) is 'Makes a subscription, from now on. SH101, SH103, SH104.';

create or replace function hubspot.on_change(
  object text, task text, ops text[] default '{insert,update,delete}', columns text[] default null
)
returns bigint
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if task is null or task = '' or octet_length(task) > 128 or task like 'hubspot:%' then
    perform hubspot_private.fail('argument_invalid', format('task cannot be %s', coalesce(quote_literal(left(task, 200)), 'null')),
      'Give the name of a graphile-worker task of yours, of 1 to 128 bytes; those that begin with hubspot: are not.');
  end if;
  return hubspot_private.subscription_make(on_change.object, on_change.task, null, null, on_change.ops, on_change.columns);
end;
$$;
comment on function hubspot.on_change(text, text, text[], text[]) is
  'From now on queues a job of this graphile-worker task of yours whenever a record changes: payload {subscription, object, record_id, changes: […]}, one job of a record at a time, its changes in order, each at least once. ops: some of insert, update, delete, associate, disassociate. columns: only where one of these changed. Returns the subscription''s id. SH101, SH103, SH104.';

create or replace function hubspot.on_change(
  object text, function_name regproc, ops text[] default '{insert,update,delete}', columns text[] default null
)
returns bigint
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_function record;
begin
  -- It runs with the worker's rights: so this is the owner's alone, who may use the private schema.
  select format('%I.%I', n.nspname, p.proname) as name, p.proowner as owner,
    case
      when p.proargtypes[0] = 'jsonb'::regtype then '$1'
      when p.proargtypes[0] = 'json'::regtype then '$1::pg_catalog.json'
      when p.proargtypes[0] = 'hubspot.changes'::regtype then 'pg_catalog.jsonb_populate_record(null::hubspot.changes, $1)'
    end as argument,
    p.prokind = 'f' and not p.proretset and p.prorettype <> 'trigger'::regtype
      and p.pronargs > 0 and p.pronargs - p.pronargdefaults <= 1 as is_fit
  into v_function
  from pg_proc p
  join pg_namespace n on n.oid = p.pronamespace
  where p.oid = function_name;
  if v_function.name is null or not v_function.is_fit or v_function.argument is null then
    perform hubspot_private.fail('argument_invalid',
      format('function %s does not take a change', coalesce(v_function.name, function_name::text, 'null')),
      'Give one that takes a change alone: create function my_app.fulfil(change hubspot.changes) returns void …; or (change jsonb).');
  end if;
  return hubspot_private.subscription_make(on_change.object, null, v_function.name,
    format('select %s(%s)', v_function.name, v_function.argument), on_change.ops, on_change.columns, v_function.owner);
end;
$$;
comment on function hubspot.on_change(text, regproc, text[], text[]) is
  'From now on a worker calls this function of yours with each change of a record, a hubspot.changes or jsonb, in order, each at least once, in a transaction with the note that it was taken. It runs with the worker''s rights, so only the owner may do this; another role''s function by its name is never called. Returns the subscription''s id. SH101, SH103, SH104.';

create or replace function hubspot.off_change(id bigint)
returns void
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_object text;
begin
  -- A step that runs ends first: what it queues goes too.
  perform hubspot_private.turn_take(hubspot_private.subscription_turn(off_change.id), true);
  perform from hubspot_private.subscriptions s where s.id = off_change.id for update;
  perform hubspot_private.deliveries_requeue(id);
  -- Before the row goes: jobs that wait in the queue go too, one under way ends.
  execute format(
    'select count(*) from %1$I.complete_jobs(array(
       select j.id from hubspot_private.deliveries d join %1$I.jobs j on j.id = d.job_id where d.subscription = $1 and j.locked_at is null))',
    (select i.queue_schema from hubspot_private.installation i))
  using id;
  delete from hubspot_private.subscriptions s where s.id = off_change.id returning s.object into v_object;
  if not found then
    perform hubspot_private.fail('subscription_unknown', coalesce(id::text, 'null'));
  end if;
  delete from hubspot_private.turns t where t.name = hubspot_private.subscription_turn(id);
  update hubspot_private.problems p set resolved_at = hubspot_private.clock()
  where p.object = v_object and p.property = hubspot_private.subscription_property(id) and p.resolved_at is null;
end;
$$;
comment on function hubspot.off_change(bigint) is
  'Ends a subscription of hubspot.on_change(); what it has still to get is forgotten. SH118.';

create or replace view hubspot.change_subscriptions as
select s.id, s.object, s.task, s.function_name, s.ops,
  case when s.columns is not null then array(
    select coalesce((
      select p.column_name::text from hubspot_private.properties p where p.object = s.object and p.property = c), c)
    from unnest(s.columns) c)
  end as columns,
  format('%s-%s-%s', f.era, s.at_xid, s.at_id) as position,
  hubspot_private.clock() - least(n.since, d.since) as lag,
  d.records_waiting, d.records_failing, d.last_error, s.created_at
from hubspot_private.subscriptions s
cross join hubspot_private.feed f
left join lateral (
  select min(c.at) as since from hubspot.changes c
  where (c.xid, c.id) > (s.at_xid, s.at_id) and c.object = s.object and c.op = any (s.ops)
) n on true
left join lateral (
  select count(*) as records_waiting, count(*) filter (where d.error is not null) as records_failing,
    (array_agg(d.error order by d.not_before desc) filter (where d.error is not null))[1] as last_error,
    (select min((c.change ->> 'at')::timestamptz) from hubspot_private.delivery_changes c where c.subscription = s.id) as since
  from hubspot_private.deliveries d
  where d.subscription = s.id
) d on true
order by s.id;
comment on view hubspot.change_subscriptions is
  'Who gets changes, how late, and what of them fails: hubspot.on_change(), hubspot.off_change().';
