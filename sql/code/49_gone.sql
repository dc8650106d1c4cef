-- What a store read did not find leaves the mirror.
create or replace function hubspot_private.gone_apply(
  object text, stream text, range integer, ids bigint[], asked_at timestamptz, reason text
)
returns bigint
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_object hubspot_private.objects;
  v_is_careful constant boolean := pg_catalog.current_setting('hubspot.careful', true) is not distinct from 'true';
  v_now timestamptz;
  v_held bigint[];
  v_free bigint[];
  v_busy bigint[];
  v_gone bigint[];
  v_deleted bigint[];
  v_private bigint[];
  v_kept bigint[];
  v_alive_at timestamptz;
  v_each bigint;
  v_one bigint[];
  v_refused bigint[];
  v_apart bigint[] := '{}';
  v_statement text;
  v_context text;
  v_session constant text[] := hubspot_private.session_state();
  v_triggers text;
begin
  select o.* into strict v_object from hubspot_private.objects o where o.name = object;
  execute pg_catalog.format('select array_agg(t.id) from %s and t.id = any ($1)', hubspot_private.live_rows(v_object))
  into v_held using ids;
  if asked_at > v_object.resync_started_at then
    execute pg_catalog.format(
      'select array_agg(l.id) from (
         select t.id from hubspot.%I t
         where t.id = any ($1) and (t._synced_at < $2 or hubspot_private.is_set_back(t._synced_at, $2)) order by t.id for update skip locked
       ) l', v_object.table_name)
    into v_free using v_held, asked_at;
    -- One of which someone holds an association stays, as one that is held itself.
    v_busy := hubspot_private.edges_held(object, v_free);
    v_free := array(select i from unnest(v_free) i where i <> all (v_busy) order by i);
  end if;
  if pg_catalog.current_setting('hubspot.careful', true) = 'apart' then
    if v_object.on_delete = 'mark' then
      -- To erase them may be what ended the session: that is done by itself, and the next read marks them.
      v_private := hubspot_private.erasures_leave(object, v_free || array(select i from unnest(ids) i where i <> all (coalesce(v_held, '{}'))));
    end if;
    v_apart := array(select i from unnest(v_free) i where i <> all (coalesce(v_private, '{}')));
    if v_apart <> '{}' then
      v_refused := hubspot_private.page_apart(v_object, v_apart);
    end if;
    v_free := '{}';
  end if;
  v_now := hubspot_private.clock();
  if v_is_careful then
    perform hubspot_private.constraints_check();
  end if;
  if pg_catalog.cardinality(v_free) > 0 then
    perform hubspot_private.stream_marks_writing(object, stream, range);
    v_triggers := hubspot_private.own_triggers(pg_catalog.format('hubspot.%I', v_object.table_name)::regclass);
    v_statement := pg_catalog.format(
      case v_object.on_delete
        when 'mark' then 'with d as (update hubspot.%I t set _archived_at = $2, _synced_at = $2 where t.id = any ($1) returning t.id)'
        else 'with d as (delete from hubspot.%I t where t.id = any ($1) returning t.id)'
      end || ' select array_agg(d.id) from d', v_object.table_name);
    if v_is_careful then
      foreach v_each in array v_free loop
        begin
          execute v_statement into v_one using array[v_each], v_now;
          perform pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
          if current_user <> v_session[1] then
            raise exception '% went on as role %', v_triggers, current_user;
          end if;
          perform hubspot_private.session_settle(v_session, v_triggers);
          perform hubspot_private.edges_forget(object, stream, range, v_one);
          v_deleted := v_deleted || v_one;
        exception when others or query_canceled or assert_failure then
          get stacked diagnostics v_context = pg_exception_context;
          if hubspot_private.refusal_note(object, v_each, sqlstate, sqlerrm, v_context) is null then
            raise;
          end if;
          v_refused := v_refused || v_each;
        end;
      end loop;
    else
      execute v_statement into v_deleted using v_free, v_now;
      perform pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
      if current_user <> v_session[1] then
        raise exception '% went on as role %', v_triggers, current_user;
      end if;
      perform hubspot_private.session_settle(v_session, v_triggers);
    end if;
    -- Many may be kept on purpose: that holds up no stream.
    if pg_catalog.cardinality(v_free) > coalesce(pg_catalog.cardinality(v_deleted), 0) + coalesce(pg_catalog.cardinality(v_refused), 0) then
      v_refused := v_refused || hubspot_private.skipped_note(v_object, array(
        select i from unnest(v_free) i where i <> all (coalesce(v_deleted, '{}')) and i <> all (coalesce(v_refused, '{}'))), asked_at, true);
    end if;
  end if;
  v_gone := array(select i from unnest(ids) i where i = any (v_deleted) or i <> all (coalesce(v_held, '{}')) order by i);
  if v_is_careful then
    -- What the mirror does not hold may be the other end of associations that someone does not let go.
    foreach v_each in array array(select i from unnest(v_gone) i where i <> all (coalesce(v_deleted, '{}'))) loop
      begin
        perform hubspot_private.edges_forget(object, stream, range, array[v_each]);
      exception when others or query_canceled or assert_failure then
        get stacked diagnostics v_context = pg_exception_context;
        if hubspot_private.refusal_note(object, v_each, sqlstate, sqlerrm, v_context) is null then
          raise;
        end if;
        v_refused := v_refused || v_each;
      end;
    end loop;
  else
    perform hubspot_private.edges_forget(object, stream, range, v_gone);
  end if;
  perform hubspot_private.fetch_enqueue(object, v_refused, 'refused', hubspot_private.clock() + interval '15 minutes');
  -- What was wrong with a record is over with it. That no read finds one which search shows is not.
  update hubspot_private.problems p set resolved_at = hubspot_private.clock()
  where p.object = v_object.name and p.record_id = any (v_gone) and p.record_id <> all (coalesce(v_refused, '{}')) and p.resolved_at is null
    and (p.code <> 'SH235' or p.record_id = any (v_deleted));
  -- Since when it has been there, as far as anybody knows, with a row that nobody keeps.
  v_kept := array(
    select p.record_id from hubspot_private.problems p where p.object = v_object.name and p.code = 'SH213' and p.record_id = any (v_deleted));
  v_alive_at := greatest(v_object.loaded_at, (
    select pg_catalog.max(r.started_at) from hubspot_private.runs r
    where r.object = v_object.name and r.stream in ('backfill', 'resync') and r.state = 'done'));
  -- All but the archived list asks by id.
  insert into hubspot_private.tombstones as g (object, id, seen_gone_at, not_found_at, alive_at)
  select v_object.name, i, v_now, case when stream <> 'archive' and asked_at > '-infinity' then asked_at end,
    case when i = any (v_deleted) and i <> all (v_kept) then v_alive_at end
  from unnest(v_gone) i
  on conflict on constraint tombstones_pkey do update
  set seen_gone_at = case when g.id = any (v_deleted) then excluded.seen_gone_at else g.seen_gone_at end,
    not_found_at = coalesce(excluded.not_found_at, g.not_found_at)
  where g.id = any (v_deleted) or excluded.not_found_at is not null;
  v_private := hubspot_private.erasures_due(object, v_gone, v_object.on_delete = 'mark');
  if v_private <> '{}' then
    perform hubspot_private.records_erase_each(object, stream, range, v_private);
  end if;
  -- A row that is locked, or was written after this was asked, is in doubt.
  perform hubspot_private.fetch_enqueue(v_object.name,
    array(select i from unnest(v_held) i where i <> all (coalesce(v_deleted, '{}') || coalesce(v_refused, '{}') || v_apart)), reason,
    hubspot_private.clock() + interval '1 second');
  return coalesce(pg_catalog.cardinality(v_deleted), 0);
end;
$$;
comment on function hubspot_private.gone_apply(text, text, integer, bigint[], timestamptz, text) is
  'Records that a store read did not find leave the mirror (or are marked) and get a tombstone. Returns how many left.';
revoke all on function hubspot_private.gone_apply(text, text, integer, bigint[], timestamptz, text) from public;

create or replace function hubspot_private.absences_held(o hubspot_private.objects, ids bigint[])
returns bigint[]
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_held bigint[];
begin
  execute format('select array_agg(t.id order by t.id) from %s and t.id = any ($1)', hubspot_private.live_rows(o)) into v_held using ids;
  return coalesce(v_held, '{}');
end;
$$;
comment on function hubspot_private.absences_held(hubspot_private.objects, bigint[]) is 'Of these ids those that the mirror holds.';

create or replace function hubspot_private.deletes_are_many(o hubspot_private.objects, count bigint)
returns boolean
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_rows bigint;
begin
  if deletes_are_many.count <= (hubspot_private.setting('held_deletes'))::bigint then
    return false;
  end if;
  execute 'select count(*) from ' || hubspot_private.live_rows(o) into v_rows;
  return deletes_are_many.count > v_rows * (hubspot_private.setting('held_deletes_percent'))::numeric / 100;
end;
$$;
comment on function hubspot_private.deletes_are_many(hubspot_private.objects, bigint) is
  'Whether these are more rows, and a larger part of all, than settings held_deletes and held_deletes_percent let go unasked.';
