-- A batch read that a query waits for, taken in.
create or replace function hubspot_private.live_is_same(o hubspot_private.objects, ids jsonb, asked_at timestamptz, answer jsonb)
returns boolean
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_judged record;
  v_is_same boolean;
begin
  -- Most of what is asked for again is as it was: a fifth of the time, and nothing is written, not even a transaction's number.
  if jsonb_typeof(answer -> 'results') is distinct from 'array' or answer ? 'errors'
    or jsonb_path_exists(answer, '$.results[*].properties.hs_merged_object_ids ? (@ != null && @ != "")')
  then
    return false;
  end if;
  execute format('select j.* from hubspot_private.judge_%s($1, $2, $3, $4) j', o.number) into v_judged
  using answer, o.name, asked_at, o.resync_started_at;
  if v_judged.fresh is not null or v_judged.behind is not null or v_judged.hidden is not null
    or not to_jsonb(v_judged.known) @> ids
  then
    return false;
  end if;
  execute format('select not exists (select from hubspot_private.differing_%s($1, null))', o.number) into v_is_same using answer;
  return v_is_same;
end;
$$;
comment on function hubspot_private.live_is_same(hubspot_private.objects, jsonb, timestamptz, jsonb) is
  'Whether a batch read of these ids shows each of them, as the mirror has it.';

create or replace function hubspot_private.live_wait(o hubspot_private.objects, answer jsonb)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set lock_timeout = '500ms'
as $$
begin
  -- A page of ours that writes these rows is done in a moment, and may have asked before this one. A user's lock is not waited for.
  if exists (
    select from pg_locks l
    where l.locktype = 'relation' and l.relation = to_regclass(format('hubspot_private.lock_%s', o.number % 32))
      and l.database = (select d.oid from pg_database d where d.datname = current_database()) and l.granted and l.pid <> pg_backend_pid())
  then
    execute format('select from hubspot.%I t where t.id in (select d.differing_id from hubspot_private.differing_%s($1, null) d) order by t.id for update',
      o.table_name, o.number) using answer;
  end if;
exception when lock_not_available then
  null;
end;
$$;
comment on function hubspot_private.live_wait(hubspot_private.objects, jsonb) is
  'Waits for what this product itself is writing into the rows that a batch read differs from; half a second at most.';

create or replace function hubspot_private.live_apply(object text, column_set integer, ids jsonb, asked_at timestamptz, answer jsonb)
returns table (outcome text, held bigint[])
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_object hubspot_private.objects;
  v_missing bigint[];
  v_unsure bigint[] := '{}';
  v_back bigint[];
  v_merged jsonb;
  v_doubtful bigint[];
  v_result hubspot_private.page_result;
  v_session text[];
begin
  perform pg_catalog.set_config('lock_timeout', '2s', true);
  perform pg_catalog.set_config('hubspot.careful', 'false', true);
  -- What a crash of the server loses of it, the poll finds again: whatever it has recorded since is lost with it.
  perform pg_catalog.set_config('synchronous_commit', 'off', true);
  v_session := hubspot_private.session_state();
  asked_at := hubspot_private.asked_known(asked_at);
  select o.* into v_object from hubspot_private.objects o where o.name = object and o.is_tracked;
  if not found or v_object.column_set <> column_set then
    outcome := 'again';
    return next;
    return;
  end if;
  if hubspot_private.live_is_same(v_object, ids, asked_at, answer) then
    outcome := 'done';
    return next;
    return;
  end if;
  v_missing := hubspot_private.step_missing('{}', ids, answer);
  if v_missing <> '{}' then
    v_unsure := hubspot_private.step_unsure(v_missing, answer);
    v_missing := array(select m from pg_catalog.unnest(v_missing) m where m <> all (v_unsure));
  end if;
  select m.merged, m.doubtful, m.back into v_merged, v_doubtful, v_back from hubspot_private.merges_found(object, answer, ids, v_missing) m;
  v_unsure := v_unsure || hubspot_private.doubt_missing(object, 'live', '{}', v_missing, v_merged, answer);
  v_missing := hubspot_private.merges_missing(array(select m from pg_catalog.unnest(v_missing) m where m <> all (v_unsure)), v_merged, v_back);
  -- Before anything is locked or written, as in step_commit: whoever waits here for a step comes after it in the change feed.
  perform hubspot_private.object_lock(v_object.number, coalesce(pg_catalog.cardinality(v_missing) > 0, false));
  if not exists (select from hubspot_private.streams s where (s.object, s.stream, s.range) = (object, 'live', 0)) then
    -- The row by which the read-only triggers know who writes. It is never claimed.
    insert into hubspot_private.streams (object, stream) values (object, 'live') on conflict on constraint streams_pkey do nothing;
  end if;
  perform hubspot_private.live_wait(v_object, answer);
  v_result := hubspot_private.page_apply(object, 'live', 0, answer, asked_at, 'refresh');
  if pg_catalog.cardinality(v_missing) > 0 then
    v_result.deleted := hubspot_private.gone_apply(object, 'live', 0, v_missing, asked_at, 'refresh');
  end if;
  if v_merged is not null then
    perform hubspot_private.merges_note(object, v_merged);
  end if;
  perform hubspot_private.fetch_enqueue(object, v_doubtful, 'alone', hubspot_private.clock() + interval '1 second')
  where pg_catalog.cardinality(v_doubtful) > 0;
  perform hubspot_private.fetch_enqueue(object, v_unsure, 'refresh', hubspot_private.clock() + interval '1 second')
  where pg_catalog.cardinality(v_unsure) > 0;
  if v_result.inserted > 0 or v_result.deleted > 0 and v_object.on_delete = 'delete' then
    update hubspot_private.streams s
    set rows = s.rows + v_result.inserted - case when v_object.on_delete = 'mark' then 0 else v_result.deleted end
    where (s.object, s.stream, s.range) = (object, 'live', 0);
  end if;
  if v_object.loaded_at is null and v_result.inserted + v_result.updated + v_result.deleted > 0 then
    perform hubspot_private.load_watch(object);
  end if;
  -- Whoever wrote a row since then may have asked before this read: only one that is asked after it can tell.
  outcome := case when pg_catalog.cardinality(v_unsure) > 0 then 'unsure' when v_result.stale > 0 then 'again' else 'done' end;
  execute pg_catalog.format('select pg_catalog.array_agg(d.differing_id) from hubspot_private.differing_%s($1, null) d', v_object.number)
  into held using answer;
  if pg_catalog.cardinality(v_missing) > 0 then
    execute pg_catalog.format('select $1 || pg_catalog.array_agg(t.id) from %s and t.id = any ($2)', hubspot_private.live_rows(v_object))
    into held using held, v_missing;
  end if;
  perform hubspot_private.session_end(v_session);
  return next;
end;
$$;
comment on function hubspot_private.live_apply(text, integer, jsonb, timestamptz, jsonb) is
  'Takes in a batch read of these ids that a query waits for. done; unsure: HubSpot did not tell of all of them; again: the columns changed, ask with another plan, or a row was written since this read was asked. held: those whose rows are not as HubSpot has them all the same, as a row that someone holds locked.';
revoke all on function hubspot_private.live_apply(text, integer, jsonb, timestamptz, jsonb) from public;
