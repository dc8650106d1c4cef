-- What each stream asks for where its cursor stands. The worker sends it as it is:
--   list {after, until}  ·  read {ids, seqs}  ·  search {body, upto}  ·  count {body}  ·  schema  ·  probe {properties}  ·  catalogue
create or replace function hubspot_private.stream_question(s hubspot_private.streams)
returns jsonb
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_object hubspot_private.objects;
  v_window interval;
begin
  if s.object = '*' then
    return '{"kind": "catalogue"}';
  end if;
  select o.* into strict v_object from hubspot_private.objects o where o.name = s.object;
  case s.stream
    when 'schema' then
      return '{"kind": "schema"}';
    when 'probe' then
      return hubspot_private.probe_request(s.object);
    when 'backfill' then
      if v_object.has_search and not s.cursor ? 'after' then
        -- Progress and the time left come from search's total, parts are probed below its highest id; nothing else rests on it.
        return jsonb_build_object('kind', 'count', 'body',
          '{"limit": 1, "filterGroups": [], "properties": [], "sorts": [{"propertyName": "hs_object_id", "direction": "DESCENDING"}]}'::jsonb);
      end if;
      return hubspot_private.list_request(s);
    when 'resync' then
      return hubspot_private.list_request(s);
    when 'poll' then
      if not v_object.has_search then
        return jsonb_build_object('kind', 'list', 'after', s.cursor ->> 'after');
      end if;
      return hubspot_private.search_request(s.object, s.cursor);
    when 'settle' then
      if s.cursor -> 'on' is not null then
        return hubspot_private.search_request(s.object, s.cursor -> 'on');
      end if;
      v_window := (hubspot_private.settle_windows())[s.range + 1];
      return hubspot_private.search_request(s.object, s.cursor,
        coalesce((s.cursor ->> 'upto')::bigint, hubspot_private.as_ms(hubspot_private.hubspot_now() - v_window)));
    when 'fetch' then
      return (
        -- The most urgent first, and the whole batch in their class.
        select jsonb_build_object('kind', 'read', 'ids', coalesce(jsonb_agg(q.id::text), '[]'), 'seqs', coalesce(jsonb_agg(q.seq), '[]'),
          'class', (hubspot_private.quota_classes())[coalesce(min(q.class), 3)])
        from (
          select f.id, f.seq, f.class from hubspot_private.fetch_queue f
          -- The clock asked once: asked for each row, no index would serve.
          where f.object = s.object and f.not_before <= (select hubspot_private.clock())
          order by f.class, f.not_before, f.id
          limit hubspot_private.read_limit(s)
        ) q);
  end case;
end;
$$;
comment on function hubspot_private.stream_question(hubspot_private.streams) is 'What a stream asks where its cursor stands.';

create or replace function hubspot_private.stream_request(s hubspot_private.streams)
returns jsonb
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  select jsonb_build_object('class', hubspot_private.quota_class(s.stream)) || hubspot_private.stream_question(s);
$$;
comment on function hubspot_private.stream_request(hubspot_private.streams) is
  'The request that a stream''s cursor stands at, and the class of the budgets that it is asked in.';

-- How each stream takes in an answer: what changed, the cursor after it, and whether the run is over. They run inside
-- step_commit, invoker and without SET where they write the mirror.
do $$
begin
  if to_regtype('hubspot_private.step') is null then
    create type hubspot_private.step as (cursor jsonb, is_over boolean, result hubspot_private.page_result, hinted bigint);
  end if;
end;
$$;
comment on type hubspot_private.step is 'What an answer came to: the cursor after it, whether the run is over, the page''s result, ids queued.';

create or replace function hubspot_private.list_step(s hubspot_private.streams, answer jsonb, after text, missing bigint[], asked_at timestamptz)
returns hubspot_private.step
language plpgsql
volatile
as $$
#variable_conflict use_variable
declare
  v_step hubspot_private.step;
begin
  v_step.result := hubspot_private.page_apply(s.object, s.stream, s.range, answer, asked_at, s.stream);
  if pg_catalog.cardinality(missing) > 0 then
    v_step.result.deleted := hubspot_private.gone_apply(s.object, s.stream, s.range, missing, asked_at, s.stream);
  end if;
  if after is not null and after = s.cursor ->> 'after' then
    -- A page that names itself as the next one would be read for ever.
    perform hubspot_private.fail('answer_unreadable', 'a page names itself as the next one');
  end if;
  v_step.cursor := pg_catalog.jsonb_build_object('after', after)
    -- A part's first page is the first that shows anything.
    || case when s.cursor ? 'is_first' and pg_catalog.jsonb_array_length(answer -> 'results') = 0 then '{"is_first": true}' else '{}' end::jsonb;
  v_step.is_over := after is null;
  return v_step;
end;
$$;
comment on function hubspot_private.list_step(hubspot_private.streams, jsonb, text, bigint[], timestamptz) is
  'A page of a list, and the ids it named that a read did not find.';

create or replace function hubspot_private.backfill_step(
  s hubspot_private.streams, request jsonb, answer jsonb, after text, missing bigint[], asked_at timestamptz, answered_at timestamptz
)
returns hubspot_private.step
language plpgsql
volatile
as $$
#variable_conflict use_variable
declare
  v_step hubspot_private.step;
begin
  -- Poll and settle start with the first answer, from HubSpot's time of it less the longest settle window.
  perform hubspot_private.searches_start(s.object, answered_at);
  if request ->> 'kind' = 'count' then
    update hubspot_private.objects o
    set total = case when answer ->> 'total' ~ '^[0-9]{1,12}$' then (answer ->> 'total')::bigint end,
      highest_id = case when answer #>> '{results,0,id}' ~ '^[0-9]{1,18}$' then (answer #>> '{results,0,id}')::bigint end
    where o.name = s.object;
    v_step.cursor := '{"after": null}';
    v_step.is_over := false;
    return v_step;
  end if;
  return hubspot_private.list_step(s, answer, after, missing, asked_at);
end;
$$;
comment on function hubspot_private.backfill_step(hubspot_private.streams, jsonb, jsonb, text, bigint[], timestamptz, timestamptz) is
  'A page of the first load; its first answer starts poll and settle.';

create or replace function hubspot_private.searches_start(object text, answered_at timestamptz)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_from timestamptz := coalesce(answered_at, hubspot_private.hubspot_now()) - (select max(w) from unnest(hubspot_private.settle_windows()) w);
  v_has_search boolean;
  v_started hubspot_private.streams;
begin
  -- One wrong Date header must not start them in the future: the earliest of the whole first load counts.
  update hubspot_private.objects o set searches_from = v_from
  where o.name = object and (o.searches_from is null or v_from < o.searches_from)
  returning o.has_search into v_has_search;
  if not found then
    return;
  end if;
  for v_started in
    update hubspot_private.streams t
    set next_at = coalesce(t.next_at, hubspot_private.clock()),
      cursor = case when v_has_search then jsonb_build_object('date', hubspot_private.as_ms(v_from)) else '{}' end
    where t.object = object and (t.stream = 'poll' or t.stream = 'settle' and v_has_search)
      and (t.next_at is null or (t.cursor ->> 'date')::bigint > hubspot_private.as_ms(v_from))
    returning t.*
  loop
    perform hubspot_private.stream_wake(v_started.object, v_started.stream, v_started.range);
  end loop;
end;
$$;
comment on function hubspot_private.searches_start(text, timestamptz) is
  'Starts poll and settle with the first answer of the first load, or earlier where a later answer is dated before it.';

create or replace function hubspot_private.search_step(s hubspot_private.streams, request jsonb, answer jsonb, answered_at timestamptz)
returns hubspot_private.step
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_step hubspot_private.step;
  v_next record;
  v_now bigint := hubspot_private.as_ms(coalesce(answered_at, hubspot_private.hubspot_now()));
  v_window bigint := extract(epoch from (hubspot_private.settle_windows())[s.range + 1]) * 1000;
  v_upto bigint := (request ->> 'upto')::bigint;
begin
  v_step.result.rows_read := jsonb_array_length(answer -> 'results');
  if s.stream = 'settle' and v_upto > v_now - v_window + 2000 then
    -- Our idea of HubSpot's clock was ahead of it: what lies between is not settled yet, so this answer moves nothing.
    v_step.cursor := s.cursor - 'upto';
    v_step.is_over := false;
    return v_step;
  end if;
  v_step.hinted := hubspot_private.hints_apply(s.object, answer, s.stream);
  if s.stream = 'poll' then
    select a.* into v_next from hubspot_private.search_advance(s.object, s.cursor, answer) a;
    -- A record dated in the future must not take the cursor there: all that is dated before it would go unseen.
    v_step.cursor := case
      when v_next.is_over and (v_next.next ->> 'date')::bigint > v_now then jsonb_build_object('date', v_now)
      else v_next.next
    end;
    v_step.is_over := v_next.is_over;
  elsif s.cursor -> 'on' is not null then
    select a.* into v_next from hubspot_private.search_advance(s.object, s.cursor -> 'on', answer) a;
    v_step.cursor := case when v_next.is_over then s.cursor - 'on' else jsonb_set(s.cursor, '{on}', v_next.next) end;
    v_step.is_over := v_next.is_over;
  else
    select a.* into v_next from hubspot_private.search_advance(s.object, s.cursor - '{upto,on_at,until,found}'::text[], answer, v_upto) a;
    v_step.cursor := jsonb_strip_nulls(v_next.next || jsonb_build_object(
      'on_at', s.cursor -> 'on_at', 'until', s.cursor -> 'until', 'upto', v_upto,
      'found', coalesce((s.cursor ->> 'found')::bigint, 0) + v_step.hinted));
    v_step.is_over := v_next.is_over;
    if v_next.is_stuck then
      v_step.cursor := v_step.cursor - 'upto';
    elsif v_next.is_over then
      v_step.cursor := v_step.cursor - 'upto' || jsonb_build_object('until', v_upto);
      if v_now - coalesce((s.cursor ->> 'on_at')::bigint, 0) >= v_window then
        -- Once per window a pass runs on to the end: a record edited more often than the window never stands still in it.
        v_step.cursor := v_step.cursor || jsonb_build_object('on_at', v_now, 'on', v_next.next);
        v_step.is_over := false;
      end if;
    end if;
  end if;
  return v_step;
end;
$$;
comment on function hubspot_private.search_step(hubspot_private.streams, jsonb, jsonb, timestamptz) is
  'A page of search, for poll and settle.';

create or replace function hubspot_private.fetch_step(
  s hubspot_private.streams, request jsonb, answer jsonb, missing bigint[], asked_at timestamptz
)
returns hubspot_private.step
language plpgsql
volatile
as $$
#variable_conflict use_variable
declare
  v_step hubspot_private.step;
begin
  v_step.result := hubspot_private.page_apply(s.object, s.stream, s.range, answer, asked_at, s.stream);
  if pg_catalog.cardinality(missing) > 0 then
    v_step.result.deleted := hubspot_private.gone_apply(s.object, s.stream, s.range, missing, asked_at, s.stream);
  end if;
  -- An id goes only if it was not queued again, by another stream or just now as in doubt, since this read was asked.
  delete from hubspot_private.fetch_queue q
  using pg_catalog.jsonb_array_elements_text(request -> 'ids') with ordinality i (id, n),
    pg_catalog.jsonb_array_elements_text(request -> 'seqs') with ordinality k (seq, n)
  where i.n = k.n and q.object = s.object and q.id = i.id::bigint and q.seq = k.seq::bigint;
  execute pg_catalog.format(
    'delete from hubspot_private.hints h using hubspot.%I t
     where h.object = $1 and h.id = any ($2) and t.id = h.id and h.version <= t._updated_at',
    (select o.table_name from hubspot_private.objects o where o.name = s.object))
  using s.object, array(select i::bigint from pg_catalog.jsonb_array_elements_text(request -> 'ids') i);
  v_step.cursor := pg_catalog.jsonb_build_object('read', coalesce((s.cursor ->> 'read')::bigint, 0) + 1);
  v_step.is_over := not exists (
    select from hubspot_private.fetch_queue q where q.object = s.object and q.not_before <= (select hubspot_private.clock()));
  return v_step;
end;
$$;
comment on function hubspot_private.fetch_step(hubspot_private.streams, jsonb, jsonb, bigint[], timestamptz) is
  'A batch read of queued ids: values applied, ids not answered are gone.';

create or replace function hubspot_private.object_loaded(object text)
returns void
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  update hubspot_private.objects o set loaded_at = coalesce(o.loaded_at, hubspot_private.clock()) where o.name = object_loaded.object;
  update hubspot_private.streams s
  set next_at = hubspot_private.schedule_next(s.object, 'resync', hubspot_private.clock())
  where s.object = object_loaded.object and s.stream = 'resync';
  select hubspot_private.stream_wake(object_loaded.object, 'resync');
  select hubspot_private.enqueue('hubspot:vacuum', json_build_object('object', object_loaded.object), 'vacuum:' || object_loaded.object);
$$;
comment on function hubspot_private.object_loaded(text) is 'The first load is done: statistics are made, full reads may begin.';

create or replace function hubspot_private.full_read_end(s hubspot_private.streams, started_at timestamptz)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_next_at timestamptz := hubspot_private.schedule_next(s.object, s.stream, started_at);
begin
  if s.stream = 'backfill' then
    perform hubspot_private.object_loaded(s.object);
  end if;
  perform hubspot_private.ranges_end(s);
  update hubspot_private.problems p set resolved_at = hubspot_private.clock()
  where p.object = s.object and p.code = 'SH212' and p.record_id is null and p.resolved_at is null and p.last_seen_at < started_at;
  if s.range > 0 then
    update hubspot_private.streams t set next_at = v_next_at where (t.object, t.stream, t.range) = (s.object, s.stream, 0);
    -- Now, for what was asked for meanwhile; then it waits for its time.
    perform hubspot_private.stream_wake(s.object, s.stream);
  end if;
end;
$$;
comment on function hubspot_private.full_read_end(hubspot_private.streams, timestamptz) is
  'The last part of a full read is over, and so is the whole.';
