-- Webhook events that wait: all that came together is acted on at once, and what it names is queued to be read.
create or replace function hubspot_private.inbox_pause(objects integer)
returns double precision
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  -- What comes together is read together: a call for each object, and never more than half of what burst allows. Where the day's
  -- calls run out faster than the day, half of what is left is spread over the rest of it: polls find all of it every 10 s anyway.
  select least(10000, greatest(100,
    max(2000 * n.objects * extract(epoch from q.period) / greatest(q.max_requests * q.share, 1)) filter (where q.budget = 'burst'),
    max(2000 * n.objects * d.seconds_left / greatest(q.remaining, 1)) filter (
      where q.budget = 'daily' and q.remaining < q.max_requests * q.share / 2 * (d.seconds_left / 86400))))::double precision
  from hubspot.quota q
  cross join (select greatest(inbox_pause.objects, 1) as objects) n
  cross join (
    select extract(epoch from hubspot_private.account_tomorrow(t.at) - t.at) as seconds_left
    from (select hubspot_private.hubspot_now() as at) t
  ) d;
$$;
comment on function hubspot_private.inbox_pause(integer) is 'How long to gather events, ms, before the next are acted on, where these named so many objects.';

create or replace function hubspot_private.inbox_edges(taken uuid[])
returns jsonb
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  -- A pair is read from its own side; where the other object is not known, every pair of this one, and from the other side too.
  select coalesce(jsonb_agg(jsonb_build_object('pair', p.number, 'reverse', w.is_reverse, 'id', w.id)), '[]')
  from (
    select hubspot_private.webhook_object(i.object_type) as one, i.ids, hubspot_private.webhook_object(i.to_type) as other, i.to_ids
    from hubspot_private.inbox i
    where i.digest = any (inbox_edges.taken) and split_part(i.type, '.', 2) = 'associationChange'
  ) e
  join hubspot_private.pairs p on p.is_tracked
  cross join lateral (
    select false as is_reverse, i as id from unnest(e.ids) i where p.from_object = e.one and (e.other is null or p.to_object = e.other)
    union
    select false, i from unnest(e.to_ids) i where p.from_object = e.other and (e.one is null or p.to_object = e.one)
    union
    select true, i from unnest(e.ids) i where p.to_object = e.one and e.other is null
  ) w;
$$;
comment on function hubspot_private.inbox_edges(uuid[]) is 'The associations that events say changed: pair, side and record.';

create or replace function hubspot_private.inbox_count(taken uuid[])
returns void
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  insert into hubspot_private.webhook_counts as c (type, object, acted_on, ignored, last_at)
  select e.type, e.object, count(*) filter (where e.is_ours), count(*) filter (where not e.is_ours), max(e.received_at)
  from (
    select case when v.verb = 'other' then v.verb else i.type end as type, coalesce(o.name, '') as object, i.received_at,
      case v.verb
        when 'other' then false
        when 'associationChange' then exists (
          select from hubspot_private.pairs p
          where p.is_tracked and (o.name in (p.from_object, p.to_object) or hubspot_private.webhook_object(i.to_type) in (p.from_object, p.to_object)))
        else coalesce(o.is_tracked, false)
          or v.verb = 'privacyDeletion' and exists (select from hubspot_private.erasures e where e.object = o.name and e.id = any (i.ids))
      end as is_ours
    from hubspot_private.inbox i
    cross join lateral (
      select case when b.verb = any ('{creation,propertyChange,deletion,restore,merge,privacyDeletion,associationChange}') then b.verb else 'other' end as verb
      from (select split_part(i.type, '.', 2) as verb) b
    ) v
    left join hubspot_private.objects o on o.name = hubspot_private.webhook_object(i.object_type)
    where i.digest = any (inbox_count.taken)
  ) e
  group by e.type, e.object
  order by e.type, e.object
  on conflict on constraint webhook_counts_pkey do update
  set acted_on = c.acted_on + excluded.acted_on, ignored = c.ignored + excluded.ignored, last_at = excluded.last_at;
$$;
comment on function hubspot_private.inbox_count(uuid[]) is 'Counts events by type and object: acted on, or ignored since nobody tracks what they are about.';

create or replace function hubspot_private.object_has_traces(o hubspot_private.objects)
returns boolean
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select case
    when object_has_traces.o.is_tracked or object_has_traces.o.column_set > 0 then true
    when exists (
      select from hubspot_private.pairs p
      where object_has_traces.o.name in (p.from_object, p.to_object) and hubspot_private.mirror_table(p.table_name) is not null)
      or exists (select from hubspot_private.subscriptions s where s.object = object_has_traces.o.name)
      or exists (select from hubspot_private.problems p where p.object = object_has_traces.o.name and p.record_id is not null) then true
    else exists (select from hubspot.changes c where c.object = object_has_traces.o.name)
  end;
$$;
comment on function hubspot_private.object_has_traces(hubspot_private.objects) is
  'Whether anything of an object''s records is kept here: it is tracked, or was, and left its table, associations of others, problems, or changes.';

create or replace function hubspot_private.erasure_next(attempts integer)
returns timestamptz
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  select hubspot_private.clock() + least(make_interval(mins => power(2, least(erasure_next.attempts, 10))::integer), '6 hours');
$$;
comment on function hubspot_private.erasure_next(integer) is 'When to try again to erase a record: a minute later, then later each time.';

create or replace function hubspot_private.inbox_unread(o hubspot_private.objects, ids bigint[], changed_at timestamptz[])
returns bigint[]
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set lock_timeout = '100ms'
as $$
#variable_conflict use_variable
declare
  v_ids bigint[] := ids;
begin
  if hubspot_private.mirror_table(o.table_name) is not null then
    -- Read since, by a poll as a rule. A calculated value moves no date, and may be seen a moment after it is dated: hence the minute.
    execute format(
      'select array_agg(c.id order by c.id) from unnest($1, $2) c (id, at)
       where not exists (select from %s and t.id = c.id and t._updated_at >= c.at + interval ''1 minute'')', hubspot_private.live_rows(o))
    into v_ids using ids, changed_at;
  end if;
  return v_ids;
exception when lock_not_available then
  -- That saves calls and no more: events of other objects, and of what was deleted, do not wait for whoever holds the table.
  return ids;
end;
$$;
comment on function hubspot_private.inbox_unread(hubspot_private.objects, bigint[], timestamptz[]) is
  'Of records that changed, those that were not read since; all of them, where the table is locked.';

create or replace function hubspot_private.inbox_apply(max_events integer default 2000)
returns table (applied integer, objects text[], pause_ms double precision)
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set lock_timeout = '2s'
as $$
#variable_conflict use_variable
declare
  v_now constant timestamptz := hubspot_private.clock();
  v_taken uuid[];
  v_object hubspot_private.objects;
  v_events record;
  v_changed bigint[];
  v_fetch jsonb := '{}';
  v_edges jsonb := '[]';
  v_pairs integer[];
begin
  -- A copy keeps them for whoever adopts it.
  v_taken := array(
    select i.digest from hubspot_private.inbox i
    where i.applied_at is null and (select hubspot_private.is_home())
    order by i.received_at limit max_events for update skip locked);
  applied := cardinality(v_taken);
  if applied = 0 then
    return next;
    return;
  end if;
  for v_events in
    with named as (
      select t.object_type, hubspot_private.webhook_object(t.object_type) as object
      from (select distinct i.object_type from hubspot_private.inbox i where i.digest = any (v_taken)) t
    ),
    records as (
      select n.object, d.id, max(coalesce(i.occurred_at, 'infinity')) as at,
        bool_or(v.verb in ('deletion', 'restore', 'merge', 'privacyDeletion')) as is_sure, bool_or(v.verb = 'privacyDeletion') as is_private
      from hubspot_private.inbox i
      join named n on n.object_type = i.object_type
      cross join lateral (select split_part(i.type, '.', 2) as verb) v
      cross join unnest(i.ids) d (id)
      where i.digest = any (v_taken)
        and v.verb = any ('{creation,propertyChange,deletion,restore,merge,privacyDeletion}')
      group by n.object, d.id
    )
    select r.object, array_agg(r.id order by r.id) filter (where not r.is_sure) as changed,
      array_agg(r.at order by r.id) filter (where not r.is_sure) as changed_at,
      array_agg(r.id order by r.id) filter (where r.is_sure) as sure, array_agg(r.id order by r.id) filter (where r.is_private) as private
    from records r
    group by r.object
    order by r.object
  loop
    select o.* into v_object from hubspot_private.objects o where o.name = v_events.object;
    continue when not found or not v_object.is_tracked and (v_events.private is null or not hubspot_private.object_has_traces(v_object));
    insert into hubspot_private.erasures (object, id, asked_at, next_at)
    select v_object.name, i, v_now, v_now + case when v_object.is_tracked then interval '1 minute' else '0' end from unnest(v_events.private) i
    on conflict on constraint erasures_pkey do nothing;
    continue when not v_object.is_tracked;
    v_changed := hubspot_private.inbox_unread(v_object, v_events.changed, v_events.changed_at);
    v_fetch := v_fetch || jsonb_build_object(v_object.name, coalesce(v_changed, '{}') || coalesce(v_events.sure, '{}'));
    -- Whoever changed a record may have changed its associations: as for what a poll finds.
    v_edges := v_edges || coalesce((
      select jsonb_agg(jsonb_build_object('pair', p.number, 'reverse', false, 'id', i))
      from hubspot_private.pairs p cross join unnest(v_changed) i
      where p.is_tracked and p.from_object = v_object.name), '[]');
  end loop;
  v_edges := v_edges || hubspot_private.inbox_edges(v_taken);
  -- One statement, in order: two that do this at once do not wait for each other in a circle.
  with dirty as (
    insert into hubspot_private.association_dirty as d (pair, is_reverse, from_id, not_before)
    select distinct e.pair, e.reverse, e.id, v_now
    from jsonb_to_recordset(v_edges) e (pair integer, reverse boolean, id bigint)
    order by 1, 2, 3
    on conflict on constraint association_dirty_pkey do update
    set seq = excluded.seq, not_before = case when d.attempts = 0 then least(d.not_before, excluded.not_before) else d.not_before end
    returning d.pair
  )
  select array_agg(distinct d.pair) into v_pairs from dirty d;
  perform hubspot_private.stream_wake(p.from_object, 'associations', p.number)
  from (select p.* from hubspot_private.pairs p where p.number = any (v_pairs) order by p.number) p;
  perform hubspot_private.fetch_enqueue(f.key, array(select jsonb_array_elements_text(f.value)::bigint), 'webhook')
  from (select f.* from jsonb_each(v_fetch) f order by f.key) f;
  objects := array(select f.key from jsonb_each(v_fetch) f where f.value <> '[]' order by f.key);
  perform hubspot_private.inbox_count(v_taken);
  update hubspot_private.inbox i set applied_at = v_now where i.digest = any (v_taken);
  pause_ms := hubspot_private.inbox_pause(cardinality(objects) + coalesce(cardinality(v_pairs), 0));
  return next;
end;
$$;
comment on function hubspot_private.inbox_apply(integer) is
  'Acts on events that wait: queues reads of records and associations. Returns how many there were, the objects to read, and how long to gather before the next.';

create or replace function hubspot_private.inbox_sweep()
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_due record;
  -- As long as events of all that is tracked may be gathered, and a moment.
  v_patience constant interval := make_interval(secs => 2 + hubspot_private.inbox_pause((
    select count(*) from (
      select from hubspot_private.objects o where o.is_tracked
      union all
      select from hubspot_private.pairs p where p.is_tracked
    ) t)::integer) / 1000);
begin
  if not hubspot_private.is_home() then
    return;
  end if;
  -- Whoever stored them died, or has no database to say so: any worker goes on.
  if exists (select from hubspot_private.inbox i where i.applied_at is null and i.received_at < hubspot_private.clock() - v_patience)
    or exists (
      select from hubspot_private.erasures e join hubspot_private.objects o on o.name = e.object
      where (not o.is_tracked or e.is_certain) and e.next_at <= hubspot_private.clock())
  then
    perform hubspot_private.enqueue('hubspot:inbox', '{}', 'inbox');
  end if;
  delete from hubspot_private.inbox i where i.applied_at < hubspot_private.clock() - hubspot_private.setting_interval('webhooks_kept');
  -- HubSpot said that it deleted them, and shows them still: asked for until it does not.
  for v_due in
    with due as (
      update hubspot_private.erasures e
      set attempts = e.attempts + 1, next_at = hubspot_private.erasure_next(e.attempts)
      from hubspot_private.objects o
      where o.name = e.object and o.is_tracked and not e.is_certain and e.next_at <= hubspot_private.clock()
      returning e.object, e.id
    )
    select d.object, array_agg(d.id order by d.id) as ids from due d group by d.object order by d.object
  loop
    perform hubspot_private.fetch_enqueue(v_due.object, v_due.ids, 'webhook');
  end loop;
  -- Read all that time, and still there: it was not deleted, or is there again.
  delete from hubspot_private.erasures e
  using hubspot_private.objects o
  where e.asked_at < hubspot_private.clock() - interval '35 days' and o.name = e.object and o.is_tracked and not e.is_certain
    and not exists (select from hubspot_private.fetch_queue q where (q.object, q.id) = (e.object, e.id))
    and not exists (select from hubspot_private.tombstones g where (g.object, g.id) = (e.object, e.id));
  perform hubspot_private.erasures_tell();
  -- Other portals' webhooks come or they do not: nothing tells that it is over but time.
  update hubspot_private.problems p set resolved_at = hubspot_private.clock()
  where p.code in ('SH229', 'SH230') and p.resolved_at is null and p.last_seen_at < hubspot_private.clock() - interval '1 day';
end;
$$;
comment on function hubspot_private.inbox_sweep() is
  'Wakes whoever acts on events that were left lying, forgets old ones, and asks again for records that are to be erased.';
