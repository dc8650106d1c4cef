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
  -- One that was written since this was asked is as good, where it is the same.
  if v_judged.fresh is not null or v_judged.hidden is not null or not to_jsonb(v_judged.known) @> ids
  then
    return false;
  end if;
  execute format('select not exists (select from hubspot_private.differing_%s($1, null))', o.number) into v_is_same using answer;
  return v_is_same;
end;
$$;
comment on function hubspot_private.live_is_same(hubspot_private.objects, jsonb, timestamptz, jsonb) is
  'Whether a batch read of these ids shows each of them, as the mirror has it.';

create or replace function hubspot_private.live_apart(object text, ids jsonb, missing bigint[])
returns bigint[]
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select array(
    select i
    from (
      select a::bigint as i from jsonb_array_elements_text(live_apart.ids) a where a ~ '^[0-9]{1,18}$'
      union
      select m from unnest(live_apart.missing) m
    ) asked
    where exists (
        select from hubspot_private.fetch_queue q
        where q.object = live_apart.object and q.id = asked.i and q.reason in ('alone', 'refused'))
      or exists (
        select from hubspot_private.problems p
        where coalesce(p.object, '') = live_apart.object and coalesce(p.record_id, 0) = asked.i and p.code = 'SH213' and p.resolved_at is null));
$$;
comment on function hubspot_private.live_apart(text, jsonb, bigint[]) is
  'Of these ids those that could not be written, or end sessions: with the others they would hold up all.';

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
  v_apart bigint[];
  v_is_older boolean := false;
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
  v_apart := hubspot_private.live_apart(object, ids, v_missing);
  if v_apart <> '{}' and pg_catalog.jsonb_typeof(answer -> 'results') = 'array' then
    ids := ids - v_apart::text[];
    v_missing := array(select m from pg_catalog.unnest(v_missing) m where m <> all (v_apart));
    v_merged := nullif(v_merged - v_apart::text[], '{}');
    answer := pg_catalog.jsonb_set(answer, '{results}', (
      select coalesce(pg_catalog.jsonb_agg(r.value order by r.ordinality), '[]')
      from pg_catalog.jsonb_array_elements(answer -> 'results') with ordinality r
      where (r.value ->> 'id' = any (v_apart::text[])) is not true));
  end if;
  -- Before anything is locked or written, as in step_commit: whoever waits here for a step comes after it in the change feed. Alone:
  -- what another read or page of ours is writing is done by then, so that whoever still holds a row is not one of us.
  perform hubspot_private.object_lock(v_object.number, true);
  if not exists (select from hubspot_private.streams s where (s.object, s.stream, s.range) = (object, 'live', 0)) then
    -- The row by which the read-only triggers know who writes. It is never claimed.
    insert into hubspot_private.streams (object, stream) values (object, 'live') on conflict on constraint streams_pkey do nothing;
  end if;
  v_result := hubspot_private.page_apply(object, 'live', 0, answer, asked_at, 'refresh');
  if pg_catalog.cardinality(v_missing) > 0 then
    execute pg_catalog.format(
      'select exists (select from %s and t.id = any ($1) and t._synced_at >= $2 and not hubspot_private.is_set_back(t._synced_at, $2))',
      hubspot_private.live_rows(v_object))
    into v_is_older using v_missing, asked_at;
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
  outcome := case
    when pg_catalog.cardinality(v_unsure) > 0 then 'unsure'
    when v_is_older or v_result.stale > 0 and not hubspot_private.live_is_same(v_object, ids, asked_at, answer) then 'again'
    when v_apart <> '{}' then 'apart'
    else 'done'
  end;
  execute pg_catalog.format('select pg_catalog.array_agg(d.differing_id) from hubspot_private.differing_%s($1, null) d', v_object.number)
  into held using answer;
  if pg_catalog.cardinality(v_missing) > 0 then
    execute pg_catalog.format('select $1 || pg_catalog.array_agg(t.id) from %s and t.id = any ($2)', hubspot_private.live_rows(v_object))
    into held using held, v_missing;
  end if;
  held := held || v_apart;
  perform hubspot_private.session_end(v_session);
  return next;
end;
$$;
comment on function hubspot_private.live_apply(text, integer, jsonb, timestamptz, jsonb) is
  'Takes in a batch read of these ids that a query waits for. done; apart: likewise, and of those held some have to be read in the way of the queue; unsure: HubSpot did not tell of all of them; again: the columns changed, ask with another plan, or a row was written since this read was asked. held: those whose rows are not as HubSpot has them all the same, as a row that someone holds locked.';
revoke all on function hubspot_private.live_apply(text, integer, jsonb, timestamptz, jsonb) from public;

create or replace function hubspot_private.live_free(object text, ids bigint[])
returns bigint[]
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set lock_timeout = '2s'
as $$
#variable_conflict use_variable
declare
  v_object hubspot_private.objects;
  v_free bigint[];
begin
  select o.* into v_object from hubspot_private.objects o where o.name = object and o.is_tracked;
  if hubspot_private.mirror_table(v_object.table_name) is null then
    return null;
  end if;
  -- Once what we ourselves are writing is done, a row that is held is a user's.
  perform hubspot_private.object_lock(v_object.number, true);
  execute format('select array_agg(l.id) from (select t.id from hubspot.%I t where t.id = any ($1) order by t.id limit 100 %s skip locked) l',
    v_object.table_name, hubspot_private.row_lock(v_object.table_name))
  into v_free using array(
    select q.id from hubspot_private.fetch_queue q
    where q.object = object and q.id = any (ids) and q.reason not in ('alone', 'refused') and not exists (
      select from hubspot_private.problems p
      where coalesce(p.object, '') = q.object and coalesce(p.record_id, 0) = q.id and p.code = 'SH213' and p.resolved_at is null)
    order by q.id);
  return v_free;
exception when lock_not_available then
  return null;
end;
$$;
comment on function hubspot_private.live_free(text, bigint[]) is
  'Of these ids, which could not be written when they were last read, up to a hundred that can be now: what was in the way is over, as another read of the same. Null: none.';
