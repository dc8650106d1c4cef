-- One step, one transaction: the page is applied, the cursor advanced, what follows queued and the run counted, together or not at all.
do $$
begin
  if to_regtype('hubspot_private.step') is null then
    create type hubspot_private.step as (cursor jsonb, is_over boolean, result hubspot_private.page_result, hinted bigint);
  end if;
end;
$$;
comment on type hubspot_private.step is 'What an answer came to: the cursor after it, whether the run is over, the page''s result, ids queued.';

create or replace function hubspot_private.step_finish(
  s hubspot_private.streams, step hubspot_private.step, requests integer, ids bigint[], absent bigint[], asked_at timestamptz,
  inout cursor jsonb, out outcome text, out request jsonb
)
returns record
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_stream hubspot_private.streams;
  v_result hubspot_private.page_result := step.result;
  v_started_at timestamptz;
  v_has_parts constant boolean := s.stream in ('backfill', 'resync');
  v_is_last boolean;
  v_next jsonb;
  v_seen bigint;
begin
  if v_has_parts then  -- Held to the end: the parts of a full read pass here one after another.
    perform from hubspot_private.runs r where r.id = s.run_id for update;
    if ids is not null then
      select a.is_over, a.place, a.seen into step.is_over, step.cursor, v_seen
      from hubspot_private.range_advance(s, ids, step.is_over, step.cursor) a;
      -- A record that two parts read counts once.
      v_result.rows_read := v_result.rows_read - v_seen;
      v_result.unchanged := v_result.unchanged - least(v_seen, v_result.unchanged);
    end if;
    if s.stream = 'resync' and ids is not null then
      step := hubspot_private.absences_note(s, step, ids, absent);
    end if;
  end if;
  v_is_last := step.is_over and hubspot_private.range_is_last(s);
  if v_is_last and v_has_parts then
    v_next := hubspot_private.full_read_next(s, step.cursor);
    v_is_last := v_next is null;
    if s.range = 0 then
      step.is_over := v_is_last;
      step.cursor := coalesce(v_next, step.cursor);
    elsif not v_is_last then
      update hubspot_private.streams t set cursor = v_next, run_id = s.run_id
      where (t.object, t.stream, t.range) = (s.object, s.stream, 0);
      perform hubspot_private.stream_wake(s.object, s.stream);
    end if;
  end if;
  update hubspot_private.runs r
  set requests = r.requests + step_finish.requests,
    rows_read = r.rows_read + coalesce(v_result.rows_read, 0),
    inserted = r.inserted + coalesce(v_result.inserted, 0), updated = r.updated + coalesce(v_result.updated, 0),
    unchanged = r.unchanged + coalesce(v_result.unchanged, 0), stale = r.stale + coalesce(v_result.stale, 0),
    regressed = r.regressed + coalesce(v_result.regressed, 0), deleted = r.deleted + coalesce(v_result.deleted, 0),
    hinted = r.hinted + coalesce(step.hinted, 0),
    error_code = null, error = null,
    -- A search begins when its turn comes: counted from there, those that waited for one another do so once and not each time.
    started_at = case when s.stream in ('poll', 'settle') and r.requests = 0 then step_finish.asked_at else r.started_at end,
    state = case when v_is_last then 'done' else r.state end,
    finished_at = case when v_is_last then hubspot_private.clock() end
  where r.id = s.run_id
  -- Begun before the clock was set back, it is not long ago.
  returning least(r.started_at, hubspot_private.clock()) into v_started_at;
  update hubspot_private.streams t
  set cursor = case when step.is_over and t.stream in ('poll', 'settle') and not step.cursor ? 'date' then '{}' else step.cursor end,
    rows = t.rows + coalesce(v_result.inserted, 0)
      - case when o.on_delete = 'mark' then 0 else coalesce(v_result.deleted, 0) end,
    lease_until = hubspot_private.clock() + interval '30 seconds', failures = 0, retry_at = null, parked_at = null,
    restarts = case when step.is_over then 0 else t.restarts end,
    pages = n.pages,
    page_mark = case when n.is_mark then n.after else t.page_mark end,
    page_rounds = case when n.is_mark then 0 when n.after = t.page_mark then t.page_rounds + 1 else t.page_rounds end,
    run_id = case when not step.is_over then t.run_id end,
    next_at = case
      -- One that waits for a confirmation gives way to the next.
      when step.cursor ->> 'absences' = 'held' then hubspot_private.schedule_next(t.object, t.stream, v_started_at)
      -- Only what was dirty: the sweep has its own time.
      when not step.is_over or s.stream = 'associations' and not s.cursor ? 'last' then t.next_at
      -- An object that is archived is refused until this is known.
      when step.cursor ? 'no_schemas' then hubspot_private.clock() + interval '1 minute'
      -- Until the other parts are over, nothing begins anew.
      when not v_is_last or v_has_parts and s.range > 0 then null
      else greatest(
        hubspot_private.schedule_next(t.object, t.stream, v_started_at),
        -- Without search a poll is a whole list: it rests nine times as long as it took, so as not to eat the budget.
        case when t.stream = 'poll' and not o.has_search then hubspot_private.clock() + 9 * (hubspot_private.clock() - v_started_at) end)
    end
  -- Powers of two have no bit in common with the number before.
  from (select a.after, a.pages, a.pages & (a.pages - 1) = 0 as is_mark from (
    select step.cursor ->> 'after' as after, case when step.cursor ->> 'after' is null then 0 else s.pages + 1 end as pages) a) n
  left join hubspot_private.objects o on o.name = s.object
  where (t.object, t.stream, t.range) = (s.object, s.stream, s.range)
  returning t.* into v_stream;
  -- Who met a refused token may never ask again, as an object that is given up.
  if s.failures > 0 or exists (
    select from hubspot_private.problems p
    where p.resolved_at is null and (p.code = 'SH302' and coalesce(p.object, '') = replace(s.object, '*', '') or p.code = 'SH201' and p.object is null))
  then
    perform hubspot_private.stream_healed(v_stream);
  end if;
  if v_is_last and v_has_parts then
    perform hubspot_private.full_read_end(s, v_started_at);
  end if;
  if v_is_last and s.stream in ('settle', 'fetch', 'backfill') then
    perform hubspot_private.complete_advance(s.object);
  end if;
  if hubspot_private.stream_is_open(v_stream) and hubspot_private.stream_has_work(v_stream, hubspot_private.clock()) then
    -- The row is held, so this look sees all that was queued before a job could find the lease live.
    if v_stream.run_id is null or hubspot_private.stream_is_held(v_stream) then
      v_stream := hubspot_private.run_begin(v_stream);
      update hubspot_private.streams t set run_id = v_stream.run_id, cursor = v_stream.cursor
      where (t.object, t.stream, t.range) = (s.object, s.stream, s.range);
    end if;
    outcome := 'more';
    cursor := v_stream.cursor;
    request := hubspot_private.stream_request(v_stream);
    return;
  end if;
  update hubspot_private.streams t set lease_until = null, holder = null
  where (t.object, t.stream, t.range) = (s.object, s.stream, s.range);
  if v_stream.next_at is not null then
    perform hubspot_private.stream_wake(s.object, s.stream, s.range, v_stream.next_at - hubspot_private.schedule_lead(s.stream));
  end if;
  outcome := 'done';
  cursor := v_stream.cursor;
end;
$$;
comment on function hubspot_private.step_finish(hubspot_private.streams, hubspot_private.step, integer, bigint[], bigint[], timestamptz, jsonb) is
  'Counts the run, moves the cursor, and either goes on (more) or releases the lease until the next run is due (done).';

create or replace function hubspot_private.step_commit(
  object text, stream text, range integer, epoch bigint, cursor jsonb, request jsonb, column_set integer,
  asked_at timestamptz, answered_at timestamptz, answer jsonb, after text default null, asked jsonb default null, requests integer default 1,
  is_careful boolean default false, repaired bigint[] default null, is_apart boolean default false
)
returns table (outcome text, next_cursor jsonb, next_request jsonb)
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_stream hubspot_private.streams;
  v_object hubspot_private.objects;
  v_step hubspot_private.step;
  v_found record;
  v_absent bigint[];
  v_known_at constant timestamptz := hubspot_private.asked_known(asked_at);
  v_after constant text := coalesce(after, answer #>> '{paging,next,after}');
  v_session text[];
  v_told jsonb;
  v_others bigint[];
begin
  perform pg_catalog.set_config('lock_timeout', '2s', true);
  -- Record by record, after a page as a whole was refused, or none, after it ended its session: page_apply looks at it.
  perform pg_catalog.set_config('hubspot.careful', case when is_apart then 'apart' else is_careful::text end, true);
  -- A list's own values, not those of a batch read beside it: the two may write what is empty in different ways.
  perform pg_catalog.set_config('hubspot.is_list', (request ->> 'kind' = 'list' and asked is null)::text, true);
  v_session := hubspot_private.session_state();
  answer := hubspot_private.answer_objects(object, answer);
  -- Before the first row is locked, which gives the transaction its number: the change feed is read in the order of these, so that
  -- whoever waits here for another step has to get the later one.
  if stream = 'associations' then
    perform hubspot_private.pair_lock(range) where request ->> 'kind' is distinct from 'labels';
  elsif object <> '*' and stream not in ('schema', 'probe', 'build') then
    select g.* into v_found from hubspot_private.step_found(object, stream, request, answer, asked) g;
    v_told := v_found.merged;
    if stream = 'fetch' and pg_catalog.jsonb_array_length(request -> 'ids') = 1 then
      select a.answer, a.missing, a.merged, a.others into answer, v_found.missing, v_found.merged, v_others
      from hubspot_private.step_alone(object, request, answer, v_found.missing, v_found.merged) a;
    end if;
    perform hubspot_private.object_lock(o.number, pg_catalog.cardinality(v_found.missing) > 0
      or stream = 'archive' and (v_after is null or hubspot_private.archive_has_news(object, answer)))
    from hubspot_private.objects o
    where o.name = object;
  end if;
  select s.* into v_stream from hubspot_private.streams s
  where (s.object, s.stream, s.range) = (object, stream, range)
  for update;
  -- Another holder, or another place: each alone was seen to fail. One that waits to be confirmed asks nothing.
  if not found or v_stream.epoch <> epoch or v_stream.cursor <> cursor or hubspot_private.stream_is_held(v_stream) then
    return query select 'lost', null::jsonb, null::jsonb;
    return;
  end if;
  -- What passes by itself is a record's fault when it does not: refusal_note looks at it.
  perform pg_catalog.set_config('hubspot.failures', v_stream.failures::text, true);
  perform hubspot_private.suspects_settle(v_stream, hubspot_private.request_ids(request));
  answered_at := hubspot_private.date_heard(answered_at);
  if pg_catalog.jsonb_path_exists(answer, '$.errors[*] ? (@.category == "OBJECT_NOT_FOUND").context.ids[*]') then
    update hubspot_private.account a set is_missing_explicit = true where not a.is_missing_explicit;
  end if;
  if stream = 'fetch' then
    perform hubspot_private.asks_take(object);
  end if;
  if object = '*' then
    v_step := hubspot_private.catalogue_step(answer);
  elsif stream = 'schema' then
    v_step := hubspot_private.schema_step(object, answer);
  elsif stream = 'probe' then
    v_step := hubspot_private.probe_step(object, answer);
  elsif stream = 'build' then
    v_step := hubspot_private.build_step(v_stream);
  elsif stream = 'associations' then
    v_step := hubspot_private.associations_step(v_stream, request, answer, v_known_at);
  else
    select o.* into v_object from hubspot_private.objects o where o.name = object;
    if v_object.column_set <> column_set then
      return query select 'again', null::jsonb, null::jsonb;
      return;
    end if;
    if v_after = v_stream.cursor ->> 'after' or v_after = v_stream.page_mark and v_stream.page_rounds >= 8 then
      -- Pages that lead in a circle would be read for ever.
      perform hubspot_private.fail('answer_unreadable', case
        when v_after = v_stream.cursor ->> 'after' then 'a page names itself as the next one' else 'its pages lead in a circle' end);
    end if;
    -- To count what is gone, only what is sure counts.
    if pg_catalog.cardinality(v_found.unsure) > 0 and v_stream.cursor ->> 'absences' is distinct from 'check' then
      perform hubspot_private.fetch_enqueue(object, v_found.unsure, stream, hubspot_private.clock() + interval '1 second');
    end if;
    if pg_catalog.cardinality(v_found.doubted) > 0 then
      -- A resync looks at its end, with all else that it misses and no more than it may delete.
      v_absent := case when stream = 'resync' then hubspot_private.absences_held(v_object, v_found.doubted) else '{}' end;
      perform hubspot_private.doubt_enqueue(object, stream, array(select d from unnest(v_found.doubted) d where d <> all (v_absent)));
    end if;
    case
      when stream = 'fetch' then
        v_step := hubspot_private.fetch_step(v_stream, request, answer, v_found.missing, v_known_at);
      when stream = 'fill' then
        v_step := hubspot_private.fill_step(v_stream, request, answer, v_after, asked, v_found.missing, v_known_at);
      when stream = 'backfill' then
        v_step := hubspot_private.backfill_step(v_stream, request, answer, v_after, v_found.missing, v_known_at, answered_at);
      when v_stream.cursor ? 'absences' then
        v_step := hubspot_private.absences_step(v_stream, request, answer, v_found.missing, v_known_at);
      when stream = 'resync' or request ->> 'kind' = 'list' then
        v_step := hubspot_private.list_step(v_stream, answer, v_after, v_found.missing, v_known_at);
      when stream = 'archive' then
        v_step := hubspot_private.archive_step(v_stream, answer, v_after, v_known_at, answered_at);
      else
        v_step := hubspot_private.search_step(v_stream, request, answer, answered_at);
    end case;
    -- A merge is known when its record is gone, which is tried alone first where that may end the session.
    v_told := v_told - array(select pg_catalog.jsonb_object_keys(v_found.merged) where not is_apart);
    if v_found.merged is not null and not is_apart then
      perform hubspot_private.merges_note(object, v_found.merged);
    end if;
    if pg_catalog.cardinality(v_others) > 0 then
      perform hubspot_private.fetch_enqueue(object, v_others, 'alone', hubspot_private.clock() + interval '1 second');
    end if;
    if v_told <> '{}' then
      -- Which may be all that tells of it.
      perform hubspot_private.fetch_enqueue(object, array(
        select t.value::bigint from pg_catalog.jsonb_each_text(v_told) t
        where not exists (select from hubspot_private.fetch_queue q where q.object = object and q.id = t.value::bigint)),
        'refused', hubspot_private.clock() + interval '15 minutes');
    end if;
    if pg_catalog.cardinality(v_found.doubtful) > 0 then
      perform hubspot_private.fetch_enqueue(object, v_found.doubtful, 'alone', hubspot_private.clock() + interval '1 second');
    end if;
  end if;
  return query
  select f.outcome, f.cursor, f.request
  from hubspot_private.step_finish(v_stream, v_step, requests,
    case when stream in ('backfill', 'resync') and request ->> 'kind' = 'list' then hubspot_private.page_ids(answer, asked) end, v_absent,
    least(asked_at, hubspot_private.clock()), null) f;
  if v_object.name is not null and v_object.loaded_at is null and stream <> 'backfill'
    and (v_step.result).inserted + (v_step.result).updated + (v_step.result).deleted > 0
  then
    perform hubspot_private.load_watch(object);
  end if;
  -- After the page, the writing of which ends what was open.
  perform hubspot_private.problem_report('SH210', object, null, null, i) from unnest(repaired) i;
  perform hubspot_private.session_end(v_session);
end;
$$;
comment on function hubspot_private.step_commit(
  text, text, integer, bigint, jsonb, jsonb, integer, timestamptz, timestamptz, jsonb, text, jsonb, integer, boolean, bigint[], boolean) is
  'Takes in the answer of one step. outcome: more (ask next_request), done (released), lost (another holds the stream: nothing was applied), again (the columns changed: claim anew).';
revoke all on function hubspot_private.step_commit(
  text, text, integer, bigint, jsonb, jsonb, integer, timestamptz, timestamptz, jsonb, text, jsonb, integer, boolean, bigint[], boolean) from public;
