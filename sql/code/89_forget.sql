-- Erasing on demand: for a user, and for HubSpot where nobody reads an object any more.
create or replace function hubspot_private.forget_begin(o hubspot_private.objects)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  -- First of all, as in step_commit.
  perform hubspot_private.object_lock(o.number, true);
  insert into hubspot_private.streams (object, stream) values (o.name, 'forget') on conflict on constraint streams_pkey do nothing;
  perform from hubspot_private.streams s where (s.object, s.stream, s.range) = (o.name, 'forget', 0) for update;
end;
$$;
comment on function hubspot_private.forget_begin(hubspot_private.objects) is 'Nobody else writes the object''s rows until this transaction is over.';

create or replace function hubspot_private.forget_end(o hubspot_private.objects)
returns void
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  -- What the transaction goes on with is not the sync's.
  update hubspot_private.streams s set writer = null where (s.object, s.stream, s.range) = (o.name, 'forget', 0);
$$;
comment on function hubspot_private.forget_end(hubspot_private.objects) is 'From here on the tables are read-only to this transaction again.';

create or replace function hubspot_private.erasures_forget()
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_due record;
  v_object hubspot_private.objects;
  v_session constant text[] := hubspot_private.session_state();
begin
  if not hubspot_private.is_home() then
    return;
  end if;
  for v_due in
    with due as (
      update hubspot_private.erasures e
      set attempts = e.attempts + 1, next_at = hubspot_private.erasure_next(e.attempts)
      from hubspot_private.objects o
      where o.name = e.object and (not o.is_tracked or e.is_certain) and e.next_at <= hubspot_private.clock()
      returning e.object, e.id
    )
    select d.object, array_agg(d.id order by d.id) as ids from due d group by d.object order by d.object
  loop
    select o.* into strict v_object from hubspot_private.objects o where o.name = v_due.object;
    perform hubspot_private.forget_begin(v_object);
    perform hubspot_private.records_erase_each(v_due.object, 'forget', 0, v_due.ids);
    perform hubspot_private.forget_end(v_object);
  end loop;
  perform hubspot_private.session_end(v_session);
end;
$$;
comment on function hubspot_private.erasures_forget() is
  'Erases what hubspot.forget() left to a worker, and what HubSpot says was deleted for privacy, of objects that are no longer tracked: nobody reads them, its word is enough.';

create or replace function hubspot_private.erasures_tell()
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_now constant timestamptz := hubspot_private.clock();
  v_late record;
begin
  for v_late in
    select o.name, w.why, w.how, count(*) as count, min(e.id) as id, min(e.asked_at) as since
    from hubspot_private.erasures e
    join hubspot_private.objects o on o.name = e.object and o.is_tracked
    cross join hubspot_private.account a
    cross join hubspot_private.pauses p
    left join hubspot_private.streams s on (s.object, s.stream, s.range) = (o.name, 'fetch', 0)
    -- What reads them in time, and what HubSpot shows still, is none.
    cross join lateral (select
      case
        when p.is_paused then 'all reading is paused'
        when o.is_paused then format('%s is paused', o.name)
        when not a.is_connected then 'no account is connected'
        when o.archived_at is not null then 'HubSpot has the object no more'
        when s.parked_at is not null then format('HubSpot refuses to show %s', o.name)
      end as why,
      case
        when p.is_paused then 'Run select hubspot.resume();'
        when o.is_paused then format('Run select hubspot.resume(%L);', o.name)
        else 'See select * from hubspot.problems where resolved_at is null for what is to be done;'
      end as how) w
    where e.asked_at < v_now - interval '1 hour' and not e.is_certain and w.why is not null
    group by o.name, w.why, w.how
    order by o.name
  loop
    perform hubspot_private.problem_report('SH234', v_late.name,
      format('record %s of %s%s deleted for privacy, and not erased yet, since it cannot be read: %s; since %s', v_late.id, v_late.name,
        case when v_late.count > 1 then format(' and %s more were', v_late.count - 1) else ' was' end, v_late.why,
        to_char(v_late.since at time zone 'UTC', 'YYYY-MM-DD HH24:MI "UTC"')),
      format('%s then it is erased by itself. Or erase it without asking HubSpot: select hubspot.forget(%L, %s);', v_late.how, v_late.name, v_late.id));
  end loop;
  update hubspot_private.problems p set resolved_at = v_now where p.code = 'SH234' and p.resolved_at is null and p.last_seen_at < v_now;
end;
$$;
comment on function hubspot_private.erasures_tell() is
  'What was deleted for privacy an hour ago or longer, and cannot be looked at: a problem of its object, which is over when it can.';

create or replace function hubspot_private.record_await(object text, ids bigint[])
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_table record;
begin
  for v_table in
    select o.table_name as name, 't.id = any ($1)' as is_its
    from hubspot_private.objects o where o.name = record_await.object
    union all
    select p.table_name, array_to_string(array[
      case when p.from_object = record_await.object then format('t.%I = any ($1)', p.from_column) end,
      case when p.to_object = record_await.object then format('t.%I = any ($1)', p.to_column) end], ' or ')
    from hubspot_private.pairs p where record_await.object in (p.from_object, p.to_object)
  loop
    if hubspot_private.mirror_table(v_table.name) is not null then
      execute format('select from hubspot.%I t where %s for update', v_table.name, v_table.is_its) using record_await.ids;
    end if;
  end loop;
end;
$$;
comment on function hubspot_private.record_await(text, bigint[]) is 'Waits for whoever holds rows of records, or one of their associations.';

create or replace function hubspot_private.forget_later(o hubspot_private.objects, id bigint)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_now constant timestamptz := hubspot_private.clock();
begin
  insert into hubspot_private.erasures as e (object, id, asked_at, next_at, is_certain) values (o.name, id, v_now, v_now, true)
  on conflict on constraint erasures_pkey do update set next_at = v_now, is_certain = true;
  perform hubspot_private.enqueue('hubspot:inbox', '{}', 'inbox');
  raise notice '% % is erased by the worker, in a moment', o.name, id
    using hint = 'Only in a session of the owner''s own is it done at once, since triggers on the tables run with the owner''s rights.';
end;
$$;
comment on function hubspot_private.forget_later(hubspot_private.objects, bigint) is 'Has a worker erase a record.';

create or replace function hubspot.forget(object text, id bigint)
returns void
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_object hubspot_private.objects := hubspot_private.object_find(object);
  v_is_here boolean := false;
begin
  -- Of what was tracked once something may be kept: its table, associations of others, changes.
  if v_object.name is null or not hubspot_private.object_has_traces(v_object) then
    v_object := hubspot_private.object_tracked(object);
  end if;
  if id is null or id not between 0 and 999999999999999999 then
    perform hubspot_private.fail('argument_invalid', 'the id is null or out of range', format('Give HubSpot''s id: select hubspot.forget(%L, 42);', v_object.name));
  end if;
  if not hubspot_private.session_is_owners() then
    perform hubspot_private.forget_later(v_object, id);
    return;
  end if;
  -- Changes, and whatever else others committed since a snapshot was taken, would stay.
  if current_setting('transaction_isolation') in ('repeatable read', 'serializable') then
    perform hubspot_private.fail('argument_invalid', format('a %s transaction does not see all there is to erase', current_setting('transaction_isolation')),
      'Begin with: begin isolation level read committed;');
  end if;
  perform hubspot_private.forget_begin(v_object);
  if v_object.is_tracked and hubspot_private.mirror_table(v_object.table_name) is not null then
    execute format('select exists (select from %s and t.id = $1)', hubspot_private.live_rows(v_object)) into v_is_here using id;
  end if;
  perform hubspot_private.record_await(v_object.name, array(
    select id union select m.lost_id from hubspot.merges m where m.object = v_object.name and m.kept_id = id));
  perform hubspot_private.records_erase(v_object.name, 'forget', 0, array[id]);
  perform hubspot_private.forget_end(v_object);
  if v_is_here then
    raise notice '% % was in HubSpot when it was last read', v_object.name, id
      using hint = 'Delete it there as well, for privacy: while HubSpot has it, it comes back when it is read again.';
  end if;
end;
$$;
comment on function hubspot.forget(text, bigint) is
  'Erases a record, and what was merged into it: row, associations, changes, problems, all that waits. Its tombstone keeps id and times, the feed that it was deleted, by its id alone. What HubSpot still has comes back when it is read again: delete it there first. It waits for whoever holds the row or an association, and raises P0001 where a trigger of yours keeps them. Only in read committed transactions: a snapshot does not show all there is. Called by a role with grant_control(), a worker does it, in a moment. SH101, SH104.';
revoke all on function hubspot.forget(text, bigint) from public;
