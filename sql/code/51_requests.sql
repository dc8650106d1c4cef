-- What each stream asks for where its cursor stands. The worker sends it as it is:
--   list {after, until, properties, is_apart}  ·  archived {after}  ·  read {ids, seqs, young}  ·  look {inputs}  ·  search {body, upto}  ·  count {body}  ·  schema  ·  probe {properties, silent, is_by_id}  ·  catalogue
--   labels {from, to}  ·  associations {from, to, inputs: [{id, after}]}
create or replace function hubspot_private.control_id(object text, suspects bigint[])
returns bigint
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_id bigint;
begin
  if suspects <> '{}' then
    execute (
      select format('select t.id from %s and t.id <> all ($1) order by t.id desc limit 1', hubspot_private.live_rows(o))
      from hubspot_private.objects o where o.name = control_id.object)
    into v_id using suspects;
  end if;
  return v_id;
end;
$$;
comment on function hubspot_private.control_id(text, bigint[]) is
  'A record to ask for where all that is left has failed alone: answered, it shows that it is theirs. Null: there is no suspect, or no other record.';

create or replace function hubspot_private.control_ids(object text, doubted bigint[])
returns bigint[]
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_ids bigint[];
begin
  execute (
    -- From both ends: what is at fault may be so together.
    select format('select array((select t.id from %1$s and t.id <> all ($1) order by t.id limit 5) union (select t.id from %1$s and t.id <> all ($1) order by t.id desc limit 5))',
      hubspot_private.live_rows(o))
    from hubspot_private.objects o where o.name = control_ids.object)
  into v_ids using doubted;
  return v_ids;
end;
$$;
comment on function hubspot_private.control_ids(text, bigint[]) is
  'Up to ten records to ask for beside those in doubt: what all of them lack too is no fault of these.';

create or replace function hubspot_private.list_apart(s hubspot_private.streams)
returns jsonb
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  -- Where ids are read in vain already, more of them would help nobody.
  select case when s.failures >= 3 and exists (
    select from hubspot_private.streams f where f.object = s.object and f.stream = 'fetch' and f.failures = 0 and f.ask_most is null)
  then '{"is_apart": true}' else '{}' end::jsonb;
$$;
comment on function hubspot_private.list_apart(hubspot_private.streams) is
  'Of a list whose values take a batch read: where that failed time and again its ids go to the fetch queue, which finds whose fault it is.';

create or replace function hubspot_private.list_request(s hubspot_private.streams)
returns jsonb
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  -- until: where another part began, as far as ids tell. What lies after it is hardly worth asking for ahead.
  select case
    when s.cursor ? 'is_given_up' then '{"kind": "read", "ids": [], "seqs": []}'
    else jsonb_strip_nulls(jsonb_build_object('until', (
      select min(r.first_ids[1])::text from hubspot_private.ranges r
      where (r.object, r.stream) = (s.object, s.stream) and r.range <> s.range
        and r.first_ids[1] > case when s.cursor ->> 'after' ~ '^[0-9]{1,18}$' then (s.cursor ->> 'after')::bigint end)))
      || jsonb_build_object('kind', 'list', 'after', s.cursor ->> 'after') || hubspot_private.list_apart(s)
    end;
$$;
comment on function hubspot_private.list_request(hubspot_private.streams) is 'The next page of a part of a full read.';

create or replace function hubspot_private.fetch_question(s hubspot_private.streams)
returns jsonb
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_control bigint;
  v_controls bigint[];
  v_doubted bigint[];
  v_question jsonb;
  v_is_silent constant boolean := exists (
    select from hubspot_private.properties p
    where p.object = s.object and p.unmentioned_at > hubspot_private.clock() - interval '1 day' and p.is_selected and p.archived_at is null and p.unreadable_at is null)
    or exists (select from hubspot_private.objects o where o.name = s.object and o.empty_absent_at is not null);
  v_is_alone constant boolean := coalesce((
    select f.reason = 'alone' or f.failures > 0 from hubspot_private.fetch_queue f
    where f.object = s.object and f.not_before <= (select hubspot_private.clock()) and f.id <> all (s.suspects)
    order by f.class, f.not_before, f.id
    limit 1), false);
begin
  -- The most urgent first, and the whole batch in their class.
  select jsonb_build_object('kind', 'read', 'ids', coalesce(jsonb_agg(q.id::text), '[]'), 'seqs', coalesce(jsonb_agg(q.seq), '[]'),
    'class', (hubspot_private.quota_classes())[coalesce(min(q.class), 3)])
  into v_question
  from (
    select f.id, f.seq, f.class from hubspot_private.fetch_queue f
    -- The clock asked once: asked for each row, no index would serve.
    where f.object = s.object and f.not_before <= (select hubspot_private.clock()) and (f.reason = 'alone' or f.failures > 0) = v_is_alone
      and f.id <> all (s.suspects)
    order by f.class, f.not_before, f.id
    limit case when v_is_alone then 1 when v_is_silent then least(hubspot_private.read_limit(s), 90) else hubspot_private.read_limit(s) end
  ) q;
  if not v_is_alone and jsonb_array_length(v_question -> 'ids') between 1 and 90 and (v_is_silent or exists (
    select from hubspot_private.fetch_queue f
    where f.object = s.object and f.id = any (array(select i::bigint from jsonb_array_elements_text(v_question -> 'ids') i)) and (f.doubts ->> 'lacking')::integer >= 3))
  then
    v_doubted := array(select f.id from hubspot_private.fetch_queue f where f.object = s.object and f.attempts > 0 order by f.id desc limit 1000);
    -- Some may have come without a property. Those that nobody doubts beside them show whether that is their fault or the property's.
    if to_jsonb(v_doubted::text[]) @> any (array(select i from jsonb_array_elements(v_question -> 'ids') i)) then
      v_controls := hubspot_private.control_ids(s.object, v_doubted || array(select i::bigint from jsonb_array_elements_text(v_question -> 'ids') i));
      return v_question || jsonb_build_object('ids', v_question -> 'ids' || to_jsonb(v_controls::text[]),
        'seqs', v_question -> 'seqs' || to_jsonb(array_fill(null::bigint, array[cardinality(v_controls)])));
    end if;
  end if;
  if v_question -> 'ids' <> '[]' or s.suspects = '{}' then
    return v_question;
  end if;
  v_control := hubspot_private.control_id(s.object, s.suspects);
  if v_control is not null then
    return v_question || jsonb_build_object('ids', jsonb_build_array(v_control::text), 'seqs', '[null]'::jsonb);
  end if;
  s.suspects := '{}';
  return hubspot_private.fetch_question(s);
end;
$$;
comment on function hubspot_private.fetch_question(hubspot_private.streams) is
  'The next ids of the fetch queue. Those that are to be asked alone, are.';

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
        -- Progress and the time left come from search's total, parts begin below its highest id; nothing else rests on it.
        return jsonb_build_object('kind', 'count', 'body',
          '{"limit": 1, "filterGroups": [], "properties": [], "sorts": [{"propertyName": "hs_object_id", "direction": "DESCENDING"}]}'::jsonb);
      end if;
      return hubspot_private.list_request(s);
    when 'resync' then
      return case when s.cursor ? 'absences' then hubspot_private.absences_request(s) else hubspot_private.list_request(s) end;
    when 'associations' then
      return hubspot_private.associations_question(s);
    when 'archive' then
      return jsonb_build_object('kind', 'archived', 'after', s.cursor ->> 'after');
    when 'fill' then
      return hubspot_private.fill_question(s);
    when 'build' then
      return '{"kind": "read", "ids": [], "seqs": []}';
    when 'poll' then
      if not v_object.has_search then
        return jsonb_build_object('kind', 'list', 'after', s.cursor ->> 'after') || hubspot_private.list_apart(s);
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
      return hubspot_private.read_question(s.object, hubspot_private.fetch_question(s));
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
  select jsonb_build_object('class', hubspot_private.quota_class(s.stream)) || hubspot_private.stream_question(s)
    || case when s.live_until > hubspot_private.clock() then '{"class": "live"}' else '{}' end::jsonb;
$$;
comment on function hubspot_private.stream_request(hubspot_private.streams) is
  'The request that a stream''s cursor stands at, and the class of the budgets that it is asked in.';
