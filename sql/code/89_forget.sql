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

create or replace function hubspot_private.erasures_take()
returns table (object text, ids bigint[])
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  -- Of those tried before a hundred: events wait meanwhile, and the sweep asks for the others.
  with due as (
    select e.object, e.id, e.attempts > 0 as is_alone, row_number() over (partition by e.attempts > 0 order by e.next_at) as place
    from hubspot_private.erasures e
    join hubspot_private.objects o on o.name = e.object
    where (select hubspot_private.is_home()) and (not o.is_tracked or e.is_certain) and e.next_at <= hubspot_private.clock()
  ),
  taken as (
    update hubspot_private.erasures e
    set attempts = e.attempts + 1, next_at = hubspot_private.erasure_next(e.attempts)
    from due d
    where (e.object, e.id) = (d.object, d.id) and (not d.is_alone or d.place <= 100) and e.next_at <= hubspot_private.clock()
    returning e.object, e.id, d.is_alone
  )
  select t.object, array_agg(t.id order by t.id) from taken t group by t.object, case when t.is_alone then t.id end order by 1, 2;
$$;
comment on function hubspot_private.erasures_take() is
  'What is due of what hubspot.forget() left to a worker, and of what HubSpot says was deleted for privacy, of objects that are no longer tracked: nobody reads them, its word is enough. Counted as tried, whatever becomes of it; each row here is erased in a transaction of its own, where what was tried before is alone.';

create or replace function hubspot_private.erasures_forget(object text, ids bigint[])
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set lock_timeout = '2s'
as $$
#variable_conflict use_variable
declare
  v_object hubspot_private.objects;
  v_session constant text[] := hubspot_private.session_state();
begin
  select o.* into strict v_object from hubspot_private.objects o where o.name = object and hubspot_private.is_home();
  begin
    perform hubspot_private.forget_begin(v_object);
    perform hubspot_private.records_erase_each(object, 'forget', 0, hubspot_private.erasures_due(object, ids));
    perform hubspot_private.forget_end(v_object);
    -- What would fail at the end fails here, where it is known whose it is.
    perform hubspot_private.constraints_check();
    perform hubspot_private.session_settle(v_session, 'a trigger of yours');
  exception when others or query_canceled or assert_failure then
    if cardinality(ids) > 1 then
      raise;
    end if;
    perform hubspot_private.problem_report('SH213', object,
      format('record %s of %s was deleted for privacy and cannot be erased: %s (%s)', ids[1], object, sqlerrm, sqlstate),
      'It is tried again by itself. Where a trigger or a reference of yours keeps it, let it go.', ids[1]);
  end;
  perform hubspot_private.session_end(v_session);
end;
$$;
comment on function hubspot_private.erasures_forget(text, bigint[]) is
  'Erases what erasures_take() gave of an object. Where it was one record and cannot be, that has a problem; of more, the error is raised.';

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
    join hubspot_private.objects o on o.name = e.object
    cross join hubspot_private.account a
    cross join hubspot_private.pauses p
    left join hubspot_private.streams s on (s.object, s.stream, s.range) = (o.name, 'fetch', 0)
    -- What reads them in time, and what HubSpot shows still, is none.
    cross join lateral (select
      case
        -- Where no worker was there for an hour, it is done as soon as one is.
        when e.is_certain or not o.is_tracked then case when e.attempts > 1 then 'the worker could not so far' end
        else 'it cannot be read: ' || case
          when p.is_paused then 'all reading is paused'
          when o.is_paused then format('%s is paused', o.name)
          when not a.is_connected then 'no account is connected'
          when o.archived_at is not null then 'HubSpot has the object no more'
          when s.parked_at is not null then format('HubSpot refuses to show %s', o.name)
        end
      end as why,
      case
        when e.is_certain or not o.is_tracked then 'Problem SH213 of the record says what keeps it, or else the worker''s log: let it go,'
        when p.is_paused then 'Run select hubspot.resume();'
        when o.is_paused then format('Run select hubspot.resume(%L);', o.name)
        else 'See select * from hubspot.problems where resolved_at is null for what is to be done;'
      end as how) w
    where e.asked_at < v_now - interval '1 hour' and w.why is not null
    group by o.name, w.why, w.how
    order by o.name
  loop
    perform hubspot_private.problem_report('SH234', v_late.name,
      format('record %s of %s%s deleted for privacy, and not erased yet, since %s; since %s', v_late.id, v_late.name,
        case when v_late.count > 1 then format(' and %s more were', v_late.count - 1) else ' was' end, v_late.why,
        to_char(v_late.since at time zone 'UTC', 'YYYY-MM-DD HH24:MI "UTC"')),
      format('%s then it is erased by itself. Or erase it without asking HubSpot: select hubspot.forget(%L, %s);', v_late.how, v_late.name, v_late.id));
  end loop;
  update hubspot_private.problems p set resolved_at = v_now where p.code = 'SH234' and p.resolved_at is null and p.last_seen_at < v_now;
end;
$$;
comment on function hubspot_private.erasures_tell() is
  'What was deleted for privacy an hour ago or longer, and cannot be looked at, or erased: a problem of its object, which is over when it can.';

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
