-- What each stream asks for where its cursor stands. The worker sends it as it is:
--   list {after, until, properties}  ·  archived {after}  ·  read {ids, seqs}  ·  look {inputs}  ·  search {body, upto}  ·  count {body}  ·  schema  ·  probe {properties}  ·  catalogue
--   labels {from, to}  ·  associations {from, to, inputs: [{id, after}]}
create or replace function hubspot_private.stream_question(s hubspot_private.streams)
returns jsonb
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_object hubspot_private.objects;
  v_window interval;
  v_is_alone boolean;
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
      v_is_alone := coalesce((
        select f.reason = 'alone' from hubspot_private.fetch_queue f
        where f.object = s.object and f.not_before <= (select hubspot_private.clock())
        order by f.class, f.not_before, f.id
        limit 1), false);
      return (
        -- The most urgent first, and the whole batch in their class.
        select jsonb_build_object('kind', 'read', 'ids', coalesce(jsonb_agg(q.id::text), '[]'), 'seqs', coalesce(jsonb_agg(q.seq), '[]'),
          'class', (hubspot_private.quota_classes())[coalesce(min(q.class), 3)])
        from (
          select f.id, f.seq, f.class from hubspot_private.fetch_queue f
          -- The clock asked once: asked for each row, no index would serve.
          where f.object = s.object and f.not_before <= (select hubspot_private.clock()) and (f.reason = 'alone') = v_is_alone
          order by f.class, f.not_before, f.id
          limit case when v_is_alone then 1 else hubspot_private.read_limit(s) end
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
  select jsonb_build_object('class', hubspot_private.quota_class(s.stream)) || hubspot_private.stream_question(s)
    || case when s.live_until > hubspot_private.clock() then '{"class": "live"}' else '{}' end::jsonb;
$$;
comment on function hubspot_private.stream_request(hubspot_private.streams) is
  'The request that a stream''s cursor stands at, and the class of the budgets that it is asked in.';
