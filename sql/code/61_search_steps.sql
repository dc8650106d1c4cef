-- How poll, settle and fetch take in an answer.
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
  v_settled interval := case when s.stream = 'settle' then (hubspot_private.settle_windows())[s.range + 1] end;
  v_window bigint := extract(epoch from v_settled) * 1000;
  v_upto bigint := (request ->> 'upto')::bigint;
begin
  if jsonb_typeof(answer -> 'results') is distinct from 'array' then
    perform hubspot_private.fail('answer_unreadable', 'a search has no results');
  end if;
  v_step.result.rows_read := jsonb_array_length(answer -> 'results');
  if s.stream = 'settle' and v_upto > v_now - v_window + 2000 then
    -- Our idea of HubSpot's clock was ahead of it: what lies between is not settled yet, so this answer moves nothing.
    v_step.cursor := s.cursor - 'upto';
    v_step.is_over := false;
    return v_step;
  end if;
  v_step.hinted := hubspot_private.hints_apply(s.object, answer, s.stream, v_settled, v_upto);
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
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_step hubspot_private.step;
begin
  v_step.result := hubspot_private.page_apply(s.object, s.stream, s.range, answer, asked_at, s.stream);
  if pg_catalog.cardinality(missing) > 0 then
    v_step.result.deleted := hubspot_private.gone_apply(s.object, s.stream, s.range, missing, asked_at, s.stream);
  end if;
  perform hubspot_private.hints_behind(s.object, answer, asked_at);
  -- An id goes only if it was not queued again, by another stream or just now as in doubt, since this read was asked.
  delete from hubspot_private.fetch_queue q
  using pg_catalog.jsonb_array_elements_text(request -> 'ids') with ordinality i (id, n),
    pg_catalog.jsonb_array_elements_text(request -> 'seqs') with ordinality k (seq, n)
  where i.n = k.n and q.object = s.object and q.id = i.id::bigint and q.seq = k.seq::bigint;
  update hubspot_private.fetch_queue q set asked_at = fetch_step.asked_at
  where q.object = s.object and q.id = any (array(select i::bigint from pg_catalog.jsonb_array_elements_text(request -> 'ids') i))
    -- What is to be asked alone from now on, has not been yet.
    and (q.reason <> 'alone' or pg_catalog.jsonb_array_length(request -> 'ids') = 1);
  perform hubspot_private.hints_answered(s.object, hubspot_private.request_ids(request), answer);
  v_step.cursor := pg_catalog.jsonb_build_object('read', coalesce((s.cursor ->> 'read')::bigint, 0) + 1);
  v_step.is_over := not exists (
    select from hubspot_private.fetch_queue q where q.object = s.object and q.not_before <= (select hubspot_private.clock()));
  return v_step;
end;
$$;
comment on function hubspot_private.fetch_step(hubspot_private.streams, jsonb, jsonb, bigint[], timestamptz) is
  'A batch read of queued ids: values applied, ids not answered are gone.';

create or replace function hubspot_private.hints_answered(object text, ids bigint[], answer jsonb)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_table constant name := (select o.table_name from hubspot_private.objects o where o.name = hints_answered.object);
begin
  execute format(
    'delete from hubspot_private.hints h using hubspot.%I t
     where h.object = $1 and h.id = any ($2) and t.id = h.id and h.version <= t._updated_at', v_table)
  using object, ids;
  if exists (select from hubspot_private.hints h where h.object = hints_answered.object and h.id = any (hints_answered.ids)) then
    -- Nobody promises that updatedAt is the modified date. What is still queued was not taken in, or is read anew.
    execute format(
      'update hubspot_private.hints h set answered = t._updated_at
       from hubspot_private.search_hits($1, $3) a join hubspot.%I t on t.id = a.id
       where h.object = $1 and h.id = any ($2) and h.id = a.id and h.version <= a.version
         and not exists (select from hubspot_private.fetch_queue q where (q.object, q.id) = (h.object, h.id))', v_table)
    using object, ids, answer;
  end if;
end;
$$;
comment on function hubspot_private.hints_answered(text, bigint[], jsonb) is
  'What search said of these records and this read has shown: forgotten, or, where the date that was shown is later than the row''s, remembered as answered.';

create or replace function hubspot_private.hints_behind(object text, answer jsonb, asked_at timestamptz)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_ids constant bigint[] := hubspot_private.page_ids(answer, null);
  v_again bigint[];
  v_left bigint[];
  v_behind bigint[];
begin
  -- Unless the row was just written: a date that differs from the one that search shows is no doubt where the record did change.
  execute format(
    'select array_agg(h.id) filter (where h.times < 6), array_agg(h.id) filter (where h.times >= 6 and h.settled >= $5), array_agg(h.id) from (
       select h.id, coalesce(max((q.doubts ->> ''behind'')::integer), 0) as times, max(h.settled) as settled
       from hubspot_private.hints h
       join hubspot_private.fetch_queue q on (q.object, q.id) = (h.object, h.id)
       join hubspot.%I t on t.id = h.id
       join hubspot_private.search_hits($1, $6) a on a.id = h.id
       where h.object = $1 and h.id = any ($2) and h.version > greatest(t._updated_at, a.version) and h.version <= $4
         -- It was read, and what is older now has changed nothing.
         and coalesce(t._updated_at < h.answered, true)
         and (t._synced_at < $3 or hubspot_private.is_set_back(t._synced_at, $3))
         -- It cannot be written.
         and not exists (
           select from hubspot_private.problems p
           where p.object = $1 and p.record_id = h.id and p.code = ''SH213'' and p.resolved_at is null)
       group by h.id
     ) h', (select o.table_name from hubspot_private.objects o where o.name = hints_behind.object))
  into v_again, v_left, v_behind
  using object, v_ids, asked_at, hubspot_private.hubspot_now() + interval '1 minute',
    (select max(w) from unnest(hubspot_private.settle_windows()) w), answer;
  update hubspot_private.hints h set answered = null
  where h.object = hints_behind.object and h.id = any (v_behind) and h.answered is not null;
  perform hubspot_private.doubt_count(object, v_again, '{}', 'behind', hubspot_private.clock() + interval '1 second');
  perform hubspot_private.doubt_count(object, array(select i from unnest(v_ids) i where i <> all (coalesce(v_behind, '{}'))), '{behind}', null, null);
  perform hubspot_private.fetch_enqueue(object, v_again, 'fetch', hubspot_private.clock() + interval '1 second');
  -- No window is left that would ask again.
  perform hubspot_private.problem_report('SH235', object, null, null, i) from unnest(v_left) i;
  update hubspot_private.problems p set resolved_at = hubspot_private.clock()
  where p.code = 'SH235' and p.object = hints_behind.object and p.resolved_at is null
    and p.record_id = any (v_ids) and p.record_id <> all (v_again || v_left || '{}');
end;
$$;
comment on function hubspot_private.hints_behind(text, jsonb, timestamptz) is
  'Search has shown later versions of these records than this read: it was answered by a copy that is behind. They are read again for a minute, later each time, and when a settle window passes them; behind the widest one they are a problem.';

create or replace function hubspot_private.search_refuse(object text)
returns boolean
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  update hubspot_private.objects o set has_search = false, search_refused_at = hubspot_private.clock()
  where o.name = search_refuse.object and o.has_search;
  if not found then
    return false;
  end if;
  update hubspot_private.runs r set state = 'stopped', finished_at = hubspot_private.clock()
  where r.object = search_refuse.object and r.stream in ('poll', 'settle') and r.state in ('waiting', 'running');
  update hubspot_private.streams s
  set lease_until = null, holder = null, epoch = s.epoch + 1, failures = 0, retry_at = null, parked_at = null,
    cursor = '{}', run_id = null, next_at = case s.stream when 'poll' then hubspot_private.clock() end
  where s.object = search_refuse.object and s.stream in ('poll', 'settle');
  perform hubspot_private.stream_wake(object, 'poll');
  perform hubspot_private.stream_healed(s)
  from hubspot_private.streams s where s.object = search_refuse.object and s.stream = 'poll';
  return true;
end;
$$;
comment on function hubspot_private.search_refuse(text) is
  'HubSpot does not search an object: it is polled by listing it, and comparing values. True where that is new.';

create or replace function hubspot_private.search_retry(object text)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_from constant bigint := hubspot_private.as_ms(hubspot_private.hubspot_now() - (select max(w) from unnest(hubspot_private.settle_windows()) w));
begin
  update hubspot_private.objects o set has_search = true, search_refused_at = null
  where o.name = search_retry.object and o.search_refused_at is not null;
  if found then
    -- The full read that begins now finds what came before.
    update hubspot_private.streams s
    set cursor = jsonb_build_object('date', v_from), next_at = hubspot_private.clock(), run_id = null, epoch = s.epoch + 1, lease_until = null, holder = null
    where s.object = search_retry.object and s.stream in ('poll', 'settle');
    update hubspot_private.runs r set state = 'stopped', finished_at = hubspot_private.clock()
    where r.object = search_retry.object and r.stream = 'poll' and r.state = 'running';
    perform hubspot_private.stream_wake(s.object, s.stream, s.range)
    from hubspot_private.streams s where s.object = search_retry.object and s.stream in ('poll', 'settle');
  end if;
end;
$$;
comment on function hubspot_private.search_retry(text) is 'Searches an object again that HubSpot refused to search: it may do so by now.';
