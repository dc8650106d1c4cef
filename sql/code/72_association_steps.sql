-- One step of a pair's stream. Before it writes it shares the locks of both objects, in their order: a step that finds records gone
-- holds one alone, so that neither misses the rows that the other has not committed yet.
create or replace function hubspot_private.sweep_begin(cursor jsonb)
returns jsonb
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
  select sweep_begin.cursor - '{swept,began}'::text[] || '{"labels": true, "last": -1, "read": 0}';
$$;
comment on function hubspot_private.sweep_begin(jsonb) is 'The cursor of a pair from which all of its records are read.';

create or replace function hubspot_private.reverse_step(
  p hubspot_private.pairs, request jsonb, answer jsonb, states jsonb
)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_from hubspot_private.objects;
  v_ids bigint[];
  v_new bigint[];
  v_apart bigint[];
begin
  select o.* into strict v_from from hubspot_private.objects o where o.name = p.from_object;
  -- Asked from the other side, an answer names records of ours: each of them is read from this one. So is each that it names no
  -- longer: by its last page, since what the pages before have named is not read until then.
  select array_agg(n.id) into v_ids
  from (
    select e.to_id as id
    from unnest(hubspot_private.association_edges(answer, array(select i::bigint from jsonb_object_keys(states) i))) e
    union
    select e.from_id
    from unnest(hubspot_private.edges_of(p, array(select i.key::bigint from jsonb_each(states) i where i.value ->> 'state' in ('whole', 'empty')), false, true)) e
  ) n;
  -- Where someone waits, what is read alone is tried too, once a second.
  v_apart := hubspot_private.apart_ids(p.from_object, v_ids)
  from hubspot_private.streams s
  where (s.object, s.stream, s.range) = (p.from_object, 'associations', p.number) and s.live_until > hubspot_private.clock();
  execute format(
    'insert into hubspot_private.association_dirty as d (pair, from_id, not_before)
     select $1, t.id, hubspot_private.clock() from %s and t.id = any ($2) order by t.id
     on conflict on constraint association_dirty_pkey do update set seq = excluded.seq,
       not_before = case
         when d.attempts = 0 or d.from_id = any ($3) and coalesce(d.asked_at, ''-infinity'') < excluded.not_before - interval ''1 second''
         then least(d.not_before, excluded.not_before) else d.not_before end',
    hubspot_private.live_rows(v_from))
  using p.number, v_ids, v_apart;
  -- One that is new comes with its associations when it is read; during the first load all come.
  execute format(
    'select array_agg(i) from unnest($1) i
     where not exists (select from hubspot.%I t where t.id = i)
       and not exists (select from hubspot_private.tombstones g where g.object = $2 and g.id = i)', v_from.table_name)
  into v_new using v_ids, v_from.name;
  perform hubspot_private.fetch_enqueue(v_from.name, v_new, 'refresh') where v_new is not null and v_from.loaded_at is not null;
end;
$$;
comment on function hubspot_private.reverse_step(hubspot_private.pairs, jsonb, jsonb, jsonb) is
  'What records of the other object are associated with is dirty, and what they were; what of it is not here yet, is read.';

create or replace function hubspot_private.pair_lock(number integer)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  perform hubspot_private.object_lock(o.number, false)
  from (
    select x.number
    from hubspot_private.pairs p
    join hubspot_private.objects x on x.name in (p.from_object, p.to_object)
    where p.number = pair_lock.number
    order by x.number
  ) o;
end;
$$;
comment on function hubspot_private.pair_lock(integer) is 'object_lock of both objects of a pair, for a step that inserts associations.';

create or replace function hubspot_private.associations_step(s hubspot_private.streams, request jsonb, answer jsonb, asked_at timestamptz)
returns hubspot_private.step
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_step hubspot_private.step;
  v_pair hubspot_private.pairs;
  v_from hubspot_private.objects;
  v_is_reverse constant boolean := coalesce((request ->> 'is_reverse')::boolean, false);
  v_states jsonb;
  v_live bigint[];
  v_part bigint[];
  v_done bigint[];
  v_unsaid bigint[];
  v_broken bigint[];
  v_refused bigint[];
  v_apart bigint[] := '{}';
  v_wide bigint[];
  v_edges hubspot_private.edge[];
  v_ids bigint[];
  v_result hubspot_private.page_result := (0, 0, 0, 0, 0, 0, 0);
begin
  select p.* into strict v_pair from hubspot_private.pairs p where p.number = s.range;
  select o.* into strict v_from from hubspot_private.objects o where o.name = v_pair.from_object;
  v_step.is_over := false;
  v_step.result := v_result;
  if request ->> 'kind' = 'labels' then
    perform hubspot_private.pair_build(v_pair.number);
    v_step.cursor := s.cursor - '{labels,no_labels}'::text[];
    if answer is not null and pg_catalog.jsonb_typeof(answer -> 'results') is distinct from 'array' then
      perform hubspot_private.fail('answer_unreadable', 'the labels have no results');
    end if;
    -- None at all is believed when it is said again. Whether there were some is not looked at: someone may hold the table.
    if answer -> 'results' = '[]' and not s.cursor ? 'no_labels' then
      v_step.cursor := v_step.cursor || '{"no_labels": true}';
    elsif answer is not null then
      perform hubspot_private.labels_apply(v_pair, answer);
    end if;
    v_step.cursor := v_step.cursor || pg_catalog.jsonb_build_object('began', hubspot_private.as_ms(
      case when asked_at > '-infinity' then asked_at else hubspot_private.clock() end + (select a.hubspot_ahead from hubspot_private.account a)));
    return v_step;
  end if;
  select pg_catalog.jsonb_object_agg(a.id, pg_catalog.jsonb_build_object(
      -- Pages in a circle say nothing.
      'state', case when r.page_rounds >= 8 and r.page_mark = a.next_after then 'unsaid' else a.state end, 'after', a.next_after, 'seq', a.seq,
      'is_broken', a.is_broken or coalesce(r.is_broken, false)))
      -- A record that went while it was half read: the page that was on its way is of no use.
      filter (where a.asked_after is null or r.after is not null)
  into v_states
  from hubspot_private.association_states(request, answer) a
  left join hubspot_private.association_reads r
    on r.pair = v_pair.number and r.is_reverse = v_is_reverse and r.from_id = a.id and r.after = a.asked_after;
  v_states := coalesce(v_states, '{}');
  if exists (
    select from pg_catalog.jsonb_each(v_states) i
    join pg_catalog.jsonb_array_elements(request -> 'inputs') q on q.value ->> 'id' = i.key and q.value ->> 'after' = i.value ->> 'after')
  then
    perform hubspot_private.fail('answer_unreadable', 'a page names itself as the next one');
  end if;
  if (select count(*) > 1 and bool_and(i.value ->> 'state' = 'unsaid') from pg_catalog.jsonb_each(v_states) i) then
    perform hubspot_private.fail('answer_unreadable', 'it says nothing of any record');
  end if;
  v_states := hubspot_private.blanks_judge(v_pair, v_is_reverse, v_states);
  if pg_catalog.jsonb_path_exists(v_states, '$.* ? (@.is_broken == true && @.state == "whole")') then
    -- By its last page, of one whose pages before were not all readable.
    select pg_catalog.jsonb_object_agg(i.key, case
      when i.value @> '{"is_broken": true, "state": "whole"}' then i.value || '{"state": "unsaid"}' else i.value end)
    into v_states
    from pg_catalog.jsonb_each(v_states) i;
  end if;
  select array_agg(i.key::bigint) filter (where i.value ->> 'state' = 'part'),
    array_agg(i.key::bigint) filter (where i.value ->> 'state' in ('whole', 'empty')),
    array_agg(i.key::bigint) filter (where i.value ->> 'state' = 'unsaid'),
    array_agg(i.key::bigint) filter (where (i.value -> 'is_broken')::boolean)
  into v_part, v_done, v_unsaid, v_broken
  from pg_catalog.jsonb_each(v_states) i;
  if v_is_reverse then
    perform hubspot_private.reverse_step(v_pair, request, answer, v_states);
  else
    execute pg_catalog.format('select array_agg(t.id) from %s and t.id = any ($1)', hubspot_private.live_rows(v_from))
    into v_live using array(select i::bigint from pg_catalog.jsonb_object_keys(v_states) i);
    -- Of one that is not here, or not any more, nothing is kept, whatever was said of it.
    v_done := v_done || array(select i from pg_catalog.unnest(v_part || v_unsaid) i where i <> all (coalesce(v_live, '{}')));
    v_part := array(select i from pg_catalog.unnest(v_part) i where i = any (v_live));
    v_unsaid := array(select i from pg_catalog.unnest(v_unsaid) i where i = any (v_live));
    v_wide := array(select (q ->> 'id')::bigint from pg_catalog.jsonb_array_elements(request -> 'inputs') q where q ? 'after');
    v_ids := array(select i from pg_catalog.unnest(v_done) i where i = any (v_live)) || v_unsaid;
    v_edges := hubspot_private.association_edges(answer, v_part || v_done || v_unsaid);
    insert into hubspot_private.association_pages as e (pair, from_id, to_id, type_id, category, label)
    select v_pair.number, w.from_id, w.to_id, w.type_id, w.category, w.label
    from pg_catalog.unnest(v_edges) w
    where w.from_id = any (v_part) and not exists (
      select from hubspot_private.tombstones g where g.object = v_pair.to_object and g.id = w.to_id and g.seen_gone_at >= asked_at)
    order by w.from_id, w.to_id, w.type_id, w.category
    on conflict on constraint association_pages_pkey do update set label = excluded.label;
    -- Of one that came unreadable in part, the rest is taken in, and all that is here stays.
    v_edges := v_edges || hubspot_private.edges_of(v_pair, v_unsaid, true, false);
    if pg_catalog.current_setting('hubspot.careful', true) = 'true' then
      select (a.result).*, a.refused into v_result.rows_read, v_result.inserted, v_result.updated, v_result.unchanged, v_result.stale, v_result.regressed, v_result.deleted, v_refused
      from hubspot_private.edges_apply_careful(s, v_pair, v_ids, v_edges, asked_at, v_states, v_wide) a;
    elsif pg_catalog.current_setting('hubspot.careful', true) = 'apart' then
      select a.refused, a.others into v_refused, v_apart from hubspot_private.edges_apart(s, v_pair, v_ids, v_edges, asked_at) a;
    else
      v_result := hubspot_private.edges_apply(s, v_pair, v_ids, v_edges, asked_at, v_states, v_wide);
    end if;
    delete from hubspot_private.association_pages e where e.pair = v_pair.number and e.from_id = any (v_done);
  end if;
  insert into hubspot_private.association_reads as r (pair, is_reverse, from_id, after, seq, is_broken)
  select v_pair.number, v_is_reverse, i, v_states -> i::text ->> 'after', (v_states -> i::text ->> 'seq')::bigint, i = any (coalesce(v_broken, '{}'))
  from pg_catalog.unnest(v_part) i
  order by i
  on conflict on constraint association_reads_pkey do update
  set after = excluded.after, is_broken = excluded.is_broken, pages = r.pages + 1,
    page_mark = case when (r.pages + 1) & r.pages = 0 then excluded.after else r.page_mark end,
    page_rounds = case when (r.pages + 1) & r.pages = 0 then 0 when excluded.after = r.page_mark then r.page_rounds + 1 else r.page_rounds end;
  delete from hubspot_private.association_reads r
  where r.pair = v_pair.number and r.is_reverse = v_is_reverse and r.from_id = any (v_done);
  -- A row goes only if its seq is the one that was read.
  delete from hubspot_private.association_dirty d
  where d.pair = v_pair.number and d.is_reverse = v_is_reverse and d.from_id = any (v_done)
    and d.seq = (v_states -> d.from_id::text ->> 'seq')::bigint;
  -- Those that are to be asked alone from now on, have not been yet.
  update hubspot_private.association_dirty d set asked_at = associations_step.asked_at
  where d.pair = v_pair.number and d.is_reverse = v_is_reverse and d.from_id = any (v_done) and d.from_id <> all (v_apart);
  if v_refused <> '{}' then
    perform hubspot_private.associations_dirty(s.object, v_refused);
    update hubspot_private.association_dirty d set not_before = hubspot_private.clock() + interval '15 minutes'
    where d.pair = v_pair.number and not d.is_reverse and d.from_id = any (v_refused);
  end if;
  if pg_catalog.cardinality(v_unsaid) > 0 then
    perform hubspot_private.associations_unsaid(v_pair.number, v_is_reverse,
      case when v_is_reverse then v_pair.to_object else v_pair.from_object end, v_unsaid, v_broken);
  end if;
  update hubspot_private.problems q set resolved_at = hubspot_private.clock()
  where q.object = case when v_is_reverse then v_pair.to_object else v_pair.from_object end and q.resolved_at is null
    and q.record_id = any (v_done) and q.record_id <> all (coalesce(v_refused, '{}') || v_apart)
    and (q.code = 'SH217' and q.property = v_pair.table_name
      -- Where the record itself is refused, it is still to be fetched; what finds it well then ends this too.
      or q.code = 'SH213' and not v_is_reverse and not exists (
        select from hubspot_private.fetch_queue f where f.object = q.object and f.id = q.record_id));
  v_result.rows_read := pg_catalog.jsonb_array_length(request -> 'inputs');
  v_step.cursor := hubspot_private.associations_advance(s, request, coalesce(pg_catalog.cardinality(v_edges), 0));
  v_step.is_over := (not s.cursor ? 'last' or v_step.cursor ? 'swept') and not hubspot_private.associations_due(v_pair.number);
  if v_step.is_over and s.cursor ? 'last' then
    -- A table that someone dropped is filled by a full read first.
    -- Nor where it may be another of these records that ended the session.
    if v_apart || v_refused <> '{}' then
      null;
    elsif not s.cursor ? 'until' or not exists (
      select from hubspot_private.streams t
      where t.object = s.object and t.stream = 'resync' and t.run_id is not null and not hubspot_private.stream_is_held(t)
      union all
      select from hubspot_private.runs r where r.object = s.object and r.stream = 'resync' and r.state = 'waiting')
    then
      v_result.deleted := v_result.deleted + hubspot_private.orphans_delete(s, v_pair);
    end if;
    v_step.cursor := pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object('batch', v_step.cursor -> 'batch', 'step', v_step.cursor -> 'step', 'no_labels', s.cursor -> 'no_labels',
      -- What HubSpot has still to tell, holds this up until it is a problem of its own.
      'until', case when exists (
        select from hubspot_private.association_dirty d where d.pair = v_pair.number and (d.attempts between 1 and 4 or d.held > 0))
      then s.cursor -> 'until' else v_step.cursor -> 'began' end));
  end if;
  v_step.result := v_result;
  return v_step;
end;
$$;
comment on function hubspot_private.associations_step(hubspot_private.streams, jsonb, jsonb, timestamptz) is
  'An answer about a pair''s types, or about the associations of up to 1,000 records.';
revoke all on function hubspot_private.associations_step(hubspot_private.streams, jsonb, jsonb, timestamptz) from public;

create or replace function hubspot_private.associations_due(pair integer)
returns boolean
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  select exists (select from hubspot_private.association_reads r where r.pair = associations_due.pair)
    or exists (
      select from hubspot_private.association_dirty d
      where d.pair = associations_due.pair and d.not_before <= (select hubspot_private.clock()));
$$;
comment on function hubspot_private.associations_due(integer) is 'Whether a pair has records to read now, besides the sweep.';

create or replace function hubspot_private.associations_advance(s hubspot_private.streams, request jsonb, edges bigint)
returns jsonb
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
  -- Answers of 20,000 associations at most or so, that is 2 MB: companies may have hundreds each.
  select jsonb_strip_nulls(s.cursor
    || jsonb_build_object('step', coalesce((s.cursor ->> 'step')::bigint, 0) + 1, 'batch', case
      when associations_advance.edges > 20000
        then greatest(jsonb_array_length(associations_advance.request -> 'inputs') * 20000 / associations_advance.edges, 10)
      when associations_advance.edges < 5000 and (s.cursor ->> 'batch')::integer < 500 then (s.cursor ->> 'batch')::integer * 2
      when associations_advance.edges >= 5000 then (s.cursor ->> 'batch')::integer
    end)
    || case when associations_advance.request ? 'is_swept' then jsonb_build_object(
      'last', coalesce((associations_advance.request ->> 'last')::bigint, (s.cursor ->> 'last')::bigint),
      'read', coalesce((s.cursor ->> 'read')::bigint, 0) + (associations_advance.request ->> 'read')::bigint,
      'swept', case when (associations_advance.request ->> 'is_swept')::boolean then true end)
    else '{}' end);
$$;
comment on function hubspot_private.associations_advance(hubspot_private.streams, jsonb, bigint) is
  'Where a pair''s cursor stands after an answer of so many associations, and how many records the next may be of.';
