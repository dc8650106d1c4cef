-- One record that HubSpot will not answer for fails every call that names it. So a call by id that failed is asked for fewer, down
-- to one id. What fails alone is a suspect, not asked for again until another call of the stream has been answered: if none
-- is, HubSpot fails and not the record. Then it is left aside: asked alone, later each time, up to an hour.
create or replace function hubspot_private.request_ids(request jsonb)
returns bigint[]
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
  select case request_ids.request ->> 'kind'
    when 'read' then array(select i::bigint from jsonb_array_elements_text(request_ids.request -> 'ids') i)
    when 'associations' then array(
      select (i ->> 'id')::bigint * case when (request_ids.request ->> 'is_reverse')::boolean then -1 else 1 end
      from jsonb_array_elements(request_ids.request -> 'inputs') i)
    else '{}'
  end;
$$;
comment on function hubspot_private.request_ids(jsonb) is 'The ids that a request names; negative: of the other object of a pair.';

create or replace function hubspot_private.record_is_aside(s hubspot_private.streams, id bigint)
returns boolean
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select case s.stream
    when 'fetch' then exists (
      select from hubspot_private.fetch_queue f where f.object = s.object and f.id = record_is_aside.id and f.failures > 0)
    when 'associations' then exists (
      select from hubspot_private.association_dirty d
      where d.pair = s.range and d.is_reverse = (record_is_aside.id < 0) and d.from_id = abs(record_is_aside.id) and d.attempts > 0)
    else false
  end;
$$;
comment on function hubspot_private.record_is_aside(hubspot_private.streams, bigint) is 'Whether a record is asked alone, since calls that named it failed.';

create or replace function hubspot_private.fetch_aside(object text, ids bigint[], message text)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_record record;
begin
  for v_record in
    update hubspot_private.fetch_queue f
    set failures = f.failures + 1,
      not_before = hubspot_private.clock() + make_interval(secs => least(power(2, least(f.failures, 12)), 3600))
    where f.object = fetch_aside.object and f.id = any (ids)
    returning f.id, f.failures, f.not_before
  loop
    if v_record.failures > 1 then
      perform hubspot_private.problem_report('SH212', object,
        format('HubSpot does not answer for record %s of %s: %s', v_record.id, object, message),
        'It is asked alone, each hour at the latest, and read when HubSpot answers. Look at the record in HubSpot; if it stays so, tell HubSpot''s support its id.',
        v_record.id);
    end if;
    perform hubspot_private.stream_wake(object, 'fetch', 0, v_record.not_before);
  end loop;
end;
$$;
comment on function hubspot_private.fetch_aside(text, bigint[], text) is
  'HubSpot failed at these ids and answered for others: each waits, longer each time; from the second time on it is a problem.';

create or replace function hubspot_private.associations_aside(s hubspot_private.streams, ids bigint[], message text)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_pair hubspot_private.pairs;
  v_record record;
begin
  select p.* into strict v_pair from hubspot_private.pairs p where p.number = s.range;
  for v_record in
    -- Half read, they begin anew.
    with half as (
      delete from hubspot_private.association_reads r
      where r.pair = s.range and r.from_id * case when r.is_reverse then -1 else 1 end = any (ids)
    ), pages as (
      delete from hubspot_private.association_pages e where e.pair = s.range and e.from_id = any (ids)
    )
    insert into hubspot_private.association_dirty as d (pair, is_reverse, from_id, attempts, not_before)
    select s.range, i < 0, abs(i), 1, hubspot_private.clock() + interval '1 second' from unnest(ids) i order by i < 0, abs(i)
    on conflict on constraint association_dirty_pkey do update
    -- Up to the fifth it would hold up the sweep: it is a problem before.
    set attempts = case when d.attempts = 0 then 1 else greatest(d.attempts + 1, 5) end,
      not_before = hubspot_private.clock() + make_interval(secs => least(power(2, least(d.attempts, 12)), 3600))
    returning d.is_reverse, d.from_id, d.attempts, d.not_before
  loop
    if v_record.attempts > 1 then
      perform hubspot_private.problem_report('SH217',
        case when v_record.is_reverse then v_pair.to_object else v_pair.from_object end,
        format('HubSpot does not answer for the associations of record %s of %s: %s', v_record.from_id,
          case when v_record.is_reverse then v_pair.to_object else v_pair.from_object end, message),
        null, v_record.from_id, v_pair.table_name);
    end if;
    perform hubspot_private.stream_wake(s.object, s.stream, s.range, v_record.not_before);
  end loop;
end;
$$;
comment on function hubspot_private.associations_aside(hubspot_private.streams, bigint[], text) is
  'HubSpot failed at these records'' associations and answered for others'': each is asked alone, later each time.';

create or replace function hubspot_private.suspects_fail(s hubspot_private.streams, ids bigint[], message text)
returns boolean
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_count constant integer := cardinality(ids);
begin
  if v_count = 0 then
    return false;
  elsif v_count = 1 and s.failures = 0 and hubspot_private.record_is_aside(s, ids[1]) then
    -- It was so before, and the call before this one was answered.
    if s.stream = 'fetch' then
      perform hubspot_private.fetch_aside(s.object, ids, left(message, 1000));
    else
      perform hubspot_private.associations_aside(s, ids, left(message, 1000));
    end if;
    return true;
  end if;
  update hubspot_private.streams t
  set ask_most = (v_count + 1) / 2, ask_left = v_count,
    -- A hiccup is no suspicion.
    suspects = case when v_count = 1 and s.failures > 0 and ids[1] <> all (t.suspects) then t.suspects || ids else t.suspects end
  where (t.object, t.stream, t.range) = (s.object, s.stream, s.range);
  return false;
end;
$$;
comment on function hubspot_private.suspects_fail(hubspot_private.streams, bigint[], text) is
  'A call that named these ids failed: fewer are asked for next. True where one that was aside failed alone: the stream goes on.';

create or replace function hubspot_private.suspects_settle(s hubspot_private.streams, ids bigint[])
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_left constant integer := s.ask_left - cardinality(ids);
  v_suspects bigint[] := array(select i from unnest(s.suspects) i where i <> all (ids));
  v_message text := (select left(r.error, 1000) from hubspot_private.runs r where r.id = s.run_id);
begin
  if s.ask_most is null or cardinality(ids) = 0 then
    return;
  end if;
  update hubspot_private.streams t
  set suspects = '{}', ask_left = case when v_left > 0 then v_left end, ask_most = case when v_left > 0 then least(t.ask_most, v_left) end
  where (t.object, t.stream, t.range) = (s.object, s.stream, s.range);
  if v_suspects = '{}' then
    return;
  elsif s.stream = 'associations' then
    perform hubspot_private.associations_aside(s, v_suspects, v_message);
    return;
  elsif s.stream = 'resync' then
    -- What is not known to be gone stays; the queue finds out.
    with absent as (
      delete from hubspot_private.absences a where a.object = s.object and a.id = any (v_suspects) returning a.id
    )
    insert into hubspot_private.fetch_queue (object, id, reason, not_before)
    select s.object, a.id, s.stream, hubspot_private.clock() from absent a order by a.id
    on conflict on constraint fetch_queue_pkey do nothing;
  end if;
  perform hubspot_private.fetch_aside(s.object, v_suspects, v_message);
end;
$$;
comment on function hubspot_private.suspects_settle(hubspot_private.streams, bigint[]) is
  'A call that named these ids was answered: those that failed alone before it are left aside, and what failed among many is looked for on.';
