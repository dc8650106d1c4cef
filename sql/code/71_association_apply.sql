-- How an answer about associations is taken in: only differences are written.
create or replace function hubspot_private.edges_differing(
  p hubspot_private.pairs, ids bigint[], edges hubspot_private.edge[], asked_at timestamptz,
  out gone hubspot_private.edge[], out new hubspot_private.edge[], out changed hubspot_private.edge[], out unchanged bigint
)
returns record
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
begin
  execute format($diff$
    with wanted as materialized (
      select w.from_id, w.to_id, w.type_id, w.category, w.label from unnest($2) w
      where w.from_id = any ($1)
        -- Seen gone since this was asked.
        and not exists (
          select from hubspot_private.tombstones g where g.object = $4 and g.id = w.to_id and g.seen_gone_at >= $5)
      union
      select e.from_id, e.to_id, e.type_id, e.category, e.label from hubspot_private.association_pages e
      where e.pair = $3 and e.from_id = any ($1)
    ),
    -- Read twice, in two pages, with two labels: either is right.
    single as (
      select distinct on (w.from_id, w.to_id, w.type_id, w.category) w.* from wanted w order by w.from_id, w.to_id, w.type_id, w.category, w.label
    ),
    held as (
      select t.%2$I as from_id, t.%3$I as to_id, t.type_id, t.category, t.label from hubspot.%1$I t where t.%2$I = any ($1)
    ),
    differing as (
      select row (coalesce(w.from_id, h.from_id), coalesce(w.to_id, h.to_id), coalesce(w.type_id, h.type_id),
          coalesce(w.category, h.category), w.label)::hubspot_private.edge as edge,
        h.from_id is null as is_new, w.from_id is null as is_gone, w.label is distinct from h.label as is_changed
      from single w
      full join held h on h.from_id = w.from_id and h.to_id = w.to_id and h.type_id = w.type_id and h.category = w.category
    )
    select array_agg(d.edge order by d.edge) filter (where d.is_gone),
      array_agg(d.edge order by d.edge) filter (where d.is_new),
      array_agg(d.edge order by d.edge) filter (where not d.is_gone and not d.is_new and d.is_changed),
      count(*) filter (where not d.is_gone and not d.is_new and not d.is_changed)
    from differing d$diff$, p.table_name, p.from_column, p.to_column)
  into gone, new, changed, unchanged
  using ids, edges, p.number, p.to_object, asked_at;
end;
$$;
comment on function hubspot_private.edges_differing(hubspot_private.pairs, bigint[], hubspot_private.edge[], timestamptz) is
  'How the rows of these records differ from what was read: these associations, and those of their pages before.';

create or replace function hubspot_private.edges_apply(
  s hubspot_private.streams, p hubspot_private.pairs, ids bigint[], edges hubspot_private.edge[], asked_at timestamptz, seqs jsonb, wide bigint[]
)
returns hubspot_private.page_result
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_result hubspot_private.page_result := (0, 0, 0, 0, 0, 0, 0);
  v_gone hubspot_private.edge[];
  v_new hubspot_private.edge[];
  v_changed hubspot_private.edge[];
  v_stale hubspot_private.edge[];
  v_unsure hubspot_private.edge[];
  v_found hubspot_private.edge[];
  v_free hubspot_private.edge[];
  v_count bigint;
  v_session constant text[] := hubspot_private.session_state();
begin
  select d.gone, d.new, d.changed, d.unchanged into v_gone, v_new, v_changed, v_result.unchanged
  from hubspot_private.edges_differing(p, ids, edges, asked_at) d;
  -- Where pages are counted, an association that ends between two of them moves another past both: what a read of several pages
  -- passes over goes when the next one does so too, and what it finds may not be all.
  v_unsure := (
    select array_agg(e) from pg_catalog.unnest(v_gone) e
    where e.from_id = any (wide) and not exists (
      select from hubspot_private.association_dirty d
      where d.pair = p.number and not d.is_reverse and d.from_id = e.from_id and e.to_id = any (d.absent)));
  v_found := (select array_agg(e) from pg_catalog.unnest(v_new) e where e.from_id = any (wide));
  v_gone := (select array_agg(e) from pg_catalog.unnest(v_gone) e where e <> all (coalesce(v_unsure, '{}')));
  v_stale := v_gone || v_changed;
  v_free := hubspot_private.edges_free(p, v_stale);
  if pg_catalog.cardinality(v_stale) > coalesce(pg_catalog.cardinality(v_free), 0) then
    v_gone := (select array_agg(e) from pg_catalog.unnest(v_gone) e where e = any (v_free));
    v_changed := (select array_agg(e) from pg_catalog.unnest(v_changed) e where e = any (v_free));
  end if;
  perform hubspot_private.edges_later(p, v_stale || v_unsure || v_found, v_free, seqs);
  update hubspot_private.association_dirty d
  set absent = (select array_agg(e.to_id) from pg_catalog.unnest(v_unsure) e where e.from_id = d.from_id),
    -- The second read follows the first.
    not_before = case when d.held = 1 then hubspot_private.clock() else d.not_before end
  where d.pair = p.number and not d.is_reverse and d.from_id = any (wide) and d.from_id = any (ids);
  if coalesce(v_gone, v_new, v_changed) is not null then
    perform hubspot_private.stream_marks_writing(s.object, s.stream, s.range);
  end if;
  if v_gone is not null then
    perform hubspot_private.edges_delete(p, v_gone);
  end if;
  if v_changed is not null then
    execute pg_catalog.format(
      'update hubspot.%1$I t set label = e.label from pg_catalog.unnest($1) e
       where (t.%2$I, t.%3$I, t.type_id, t.category) = (e.from_id, e.to_id, e.type_id, e.category)', p.table_name, p.from_column, p.to_column)
    using v_changed;
    get diagnostics v_count = row_count;
    perform pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
    if current_user <> v_session[1] then
      raise exception 'a trigger of yours went on as role %', current_user;
    end if;
    perform hubspot_private.edges_kept(pg_catalog.cardinality(v_changed) - v_count);
  end if;
  if v_new is not null then
    execute pg_catalog.format(
      'insert into hubspot.%1$I (%2$I, %3$I, type_id, category, label)
       select e.from_id, e.to_id, e.type_id, e.category, e.label from pg_catalog.unnest($1) e', p.table_name, p.from_column, p.to_column)
    using v_new;
    get diagnostics v_count = row_count;
    perform pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
    if current_user <> v_session[1] then
      raise exception 'a trigger of yours went on as role %', current_user;
    end if;
    perform hubspot_private.edges_kept(pg_catalog.cardinality(v_new) - v_count);
  end if;
  if coalesce(v_changed, v_new) is not null then
    perform hubspot_private.session_settle(v_session, 'a trigger of yours');
  end if;
  v_result.inserted := coalesce(pg_catalog.cardinality(v_new), 0);
  v_result.updated := coalesce(pg_catalog.cardinality(v_changed), 0);
  v_result.deleted := coalesce(pg_catalog.cardinality(v_gone), 0);
  return v_result;
end;
$$;
comment on function hubspot_private.edges_apply(hubspot_private.streams, hubspot_private.pairs, bigint[], hubspot_private.edge[], timestamptz, jsonb, bigint[]) is
  'Makes the rows of these records what was read: these associations, and those of their pages before. Writes differences alone.';
revoke all on function hubspot_private.edges_apply(hubspot_private.streams, hubspot_private.pairs, bigint[], hubspot_private.edge[], timestamptz, jsonb, bigint[]) from public;

create or replace function hubspot_private.edges_apply_careful(
  s hubspot_private.streams, p hubspot_private.pairs, ids bigint[], edges hubspot_private.edge[], asked_at timestamptz, seqs jsonb,
  wide bigint[],
  out result hubspot_private.page_result, out refused bigint[]
)
returns record
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_one hubspot_private.page_result;
  v_id bigint;
  v_context text;
  v_sign text;
  v_signs text[];
  v_error text;
  v_is_any boolean := false;
begin
  result := (0, 0, 0, 0, 0, 0, 0);
  refused := '{}';
  perform hubspot_private.constraints_check();
  foreach v_id in array ids loop
    begin
      v_one := hubspot_private.edges_apply(s, p, array[v_id], edges, asked_at, seqs, wide);
      result.inserted := result.inserted + v_one.inserted;
      result.updated := result.updated + v_one.updated;
      result.deleted := result.deleted + v_one.deleted;
      result.unchanged := result.unchanged + v_one.unchanged;
      v_is_any := v_is_any or v_one.inserted + v_one.updated + v_one.deleted > 0;
    exception when others or query_canceled or assert_failure then
      get stacked diagnostics v_context = pg_exception_context;
      v_sign := hubspot_private.refusal_note(s.object, v_id, sqlstate, sqlerrm, v_context);
      if v_sign is null then
        raise;
      end if;
      v_error := sqlerrm;
      v_signs := v_signs || v_sign;
      refused := refused || v_id;
    end;
  end loop;
  perform hubspot_private.refusals_judge(v_signs, v_is_any, v_error);
end;
$$;
comment on function hubspot_private.edges_apply_careful(hubspot_private.streams, hubspot_private.pairs, bigint[], hubspot_private.edge[], timestamptz, jsonb, bigint[]) is
  'The same record by record: those whose rows cannot be written are left as they were, with a problem.';
revoke all on function hubspot_private.edges_apply_careful(hubspot_private.streams, hubspot_private.pairs, bigint[], hubspot_private.edge[], timestamptz, jsonb, bigint[]) from public;

create or replace function hubspot_private.edges_apart(
  s hubspot_private.streams, p hubspot_private.pairs, ids bigint[], edges hubspot_private.edge[], asked_at timestamptz,
  out refused bigint[], out others bigint[]
)
returns record
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_since timestamptz;
  -- At once where someone waits.
  v_at constant timestamptz := hubspot_private.clock() + case when s.live_until > hubspot_private.clock() then '0' else '1 second' end::interval;
begin
  others := (
    select array_agg(distinct e.from_id) from hubspot_private.edges_differing(p, ids, edges, asked_at) d, unnest(d.gone || d.new || d.changed) e);
  select q.first_seen_at into v_since from hubspot_private.problems q
  where q.object = s.object and q.code = 'SH213' and q.resolved_at is null and q.record_id <> all (others)
    and right(q.message, length(hubspot_private.apart_message())) = hubspot_private.apart_message()
  order by q.first_seen_at
  offset 19 limit 1;
  if found and not exists (
    select from hubspot_private.runs r
    where (r.object, r.stream, r.range) = (s.object, s.stream, s.range) and r.inserted + r.updated + r.deleted > 0
      and coalesce(r.finished_at, 'infinity') >= v_since)
  then
    -- As where records are written: none is let through, and it is no record's fault.
    raise admin_shutdown using message = 'associations cannot be written: ' || hubspot_private.apart_message();
  end if;
  with queued as (
    insert into hubspot_private.association_dirty as d (pair, from_id, attempts, not_before)
    select p.number, i, 1, v_at from unnest(others) i order by i
    on conflict on constraint association_dirty_pkey do update
    -- The only one, asked alone before, is the one; so is, after five times, one whose last pages come with other records. It is asked
    -- alone from then on, and the sweep passes it over.
    set seq = excluded.seq, not_before = excluded.not_before,
      attempts = case when d.attempts > 3 or d.attempts > 0 and cardinality(others) = 1 then 5 else d.attempts + 1 end
    returning d.from_id, d.attempts
  )
  select coalesce(array_agg(q.from_id order by q.from_id) filter (where q.attempts = 5), '{}'),
    coalesce(array_agg(q.from_id order by q.from_id) filter (where q.attempts < 5), '{}')
  into refused, others
  from queued q;
  perform hubspot_private.problem_report('SH213', s.object,
    format('associations of record %s of %s cannot be written: %s', i, s.object, hubspot_private.apart_message()), null, i)
  from unnest(refused) i;
  perform hubspot_private.stream_wake(s.object, s.stream, s.range, v_at);
end;
$$;
comment on function hubspot_private.edges_apart(hubspot_private.streams, hubspot_private.pairs, bigint[], hubspot_private.edge[], timestamptz) is
  'A step ended its session: nothing is written, and those whose rows would be are asked again one by one (others). What was alone already is refused.';
revoke all on function hubspot_private.edges_apart(hubspot_private.streams, hubspot_private.pairs, bigint[], hubspot_private.edge[], timestamptz) from public;

create or replace function hubspot_private.orphans_delete(s hubspot_private.streams, p hubspot_private.pairs)
returns bigint
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_edges hubspot_private.edge[];
  v_deleted bigint[];
  v_each hubspot_private.edge;
  v_context text;
begin
  -- From before: a table that was kept while nobody read it, what someone held or a trigger kept. A sweep asks for records that are
  -- here alone, so it looks each time: 0.6 s with 1,000,000 associations.
  execute pg_catalog.format(
    'select array_agg(row (e.%2$I, e.%3$I, e.type_id, e.category, e.label)::hubspot_private.edge) from hubspot.%1$I e
     where not exists (select from %4$s and t.id = e.%2$I)', p.table_name, p.from_column, p.to_column,
    (select hubspot_private.live_rows(o) from hubspot_private.objects o where o.name = p.from_object))
  into v_edges;
  v_edges := hubspot_private.edges_free(p, v_edges);
  if v_edges is null then
    return 0;
  end if;
  if pg_catalog.current_setting('hubspot.careful', true) = 'apart' then
    perform hubspot_private.problem_report('SH213', s.object,
      pg_catalog.format('record %s of %s is gone, and its associations cannot be deleted: %s', i, s.object, hubspot_private.apart_message()), null, i)
    from (select distinct e.from_id as i from pg_catalog.unnest(v_edges) e order by 1 limit 20) e;
    return 0;
  end if;
  perform hubspot_private.stream_marks_writing(s.object, s.stream, s.range);
  if pg_catalog.current_setting('hubspot.careful', true) is distinct from 'true' then
    perform hubspot_private.edges_delete(p, v_edges);
    v_deleted := array(select e.from_id from pg_catalog.unnest(v_edges) e);
  else
    foreach v_each in array v_edges loop
      begin
        perform hubspot_private.edges_delete(p, array[v_each]);
        v_deleted := v_deleted || (v_each).from_id;
      exception when others or query_canceled or assert_failure then
        get stacked diagnostics v_context = pg_exception_context;
        if hubspot_private.refusal_note(s.object, (v_each).from_id, sqlstate, sqlerrm, v_context) is null then
          raise;
        end if;
      end;
    end loop;
  end if;
  update hubspot_private.problems q set resolved_at = hubspot_private.clock()
  where q.object = s.object and q.code = 'SH213' and q.record_id = any (v_deleted) and q.resolved_at is null;
  return coalesce(pg_catalog.cardinality(v_deleted), 0);
end;
$$;
comment on function hubspot_private.orphans_delete(hubspot_private.streams, hubspot_private.pairs) is
  'Deletes the associations of records that the mirror does not have, and returns how many went; what cannot go now goes with a later sweep.';
revoke all on function hubspot_private.orphans_delete(hubspot_private.streams, hubspot_private.pairs) from public;
