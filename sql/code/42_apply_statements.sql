-- The statements that fill one mirror table, generated when its columns change. Of thirteen ways measured, one binary jsonb
-- parameter taken apart by jsonb_to_recordset with ->> and tolerant casts per column is the fastest. Each text is taken out once, below an
-- offset 0: casts name it up to four times, and each time is a search for its key.
create or replace function hubspot_private.apply_source(object text, chosen text[] default null)
returns text
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_object hubspot_private.objects;
  v_texts text;
  v_casts text;
  v_came text;
  v_extra text;
  v_width text;
  v_kept text;
begin
  select o.* into strict v_object from hubspot_private.objects o where o.name = apply_source.object;
  select string_agg(format(', d.p ->> %L as t%s', c.property, c.n), '' order by c.n),
    string_agg(format(', %s as c%s', hubspot_private.cast_expression(c.column_type, format('r.t%s', c.n)), c.n), '' order by c.n)
  into v_texts, v_casts
  from hubspot_private.apply_columns(v_object.name) c
  where chosen is null or c.property = any (chosen);
  -- What does not cast is rare: count what came and what was kept (a function takes at most 100 arguments), look closer if they differ.
  select string_agg(format(', num_nonnulls(%s) as n%s', g.came, g.n), '' order by g.n),
    string_agg(format('num_nonnulls(%s) <> s.n%s', g.kept, g.n), ' or ' order by g.n)
  into v_came, v_extra
  from (
    select c.n / 90 as n, string_agg(format('s.c%s', c.n), ', ') as kept, string_agg(format('nullif(r.t%s, '''')', c.n), ', ') as came
    from hubspot_private.apply_columns(v_object.name) c
    where c.column_type <> 'text' and (chosen is null or c.property = any (chosen))
    group by c.n / 90
  ) g;
  if exists (
    select from hubspot_private.properties p
    where p.object = v_object.name and p.is_selected and p.column_name is null and p.archived_at is null and p.unreadable_at is null
  ) then
    v_extra := 'true';
  end if;
  v_extra := case when v_extra is null then 'null::jsonb'
    else format('case when %s then hubspot_private.extra(%L, s.p) end', v_extra, v_object.name) end;
  -- Rows of most tables are never too wide. Where one can be, its values are counted, and only a row with very many is looked at.
  select string_agg(format('%s * num_nonnulls(%s)', hubspot_private.widest(g.column_type), g.counted), ' + '),
    (select string_agg(format(case c.column_type when 'text' then ', case when s.spilled ? %2$L then null else s.c%1$s end as c%1$s'
      else ', s.c%1$s' end, c.n, c.property), '' order by c.n) from hubspot_private.apply_columns(v_object.name) c)
  into v_width, v_kept
  from (
    select c.column_type, string_agg(format('v.c%s', c.n), ', ') as counted
    from hubspot_private.apply_columns(v_object.name) c
    where chosen is null
    group by c.column_type, c.n / 90
  ) g
  having (select sum(hubspot_private.widest(c.column_type)) from hubspot_private.apply_columns(v_object.name) c) > hubspot_private.row_room();
  return format(case when v_width is null then 'select s.*, %4$s as extra from (%1$s) s'
    else $wide$
    select s.id, s.created_at, s.updated_at%3$s,
      case when s.spilled is null then %4$s else coalesce(%4$s, '{}') || s.spilled end as extra
    from (
      select v.*, case when %2$s then hubspot_private.spill(%5$L, v.p) end as spilled
      from (%1$s) v
      offset 0
    ) s$wide$ end,
    format($source$
      select r.id, r.created_at, r.updated_at, r.p%1$s
      from (
        select d.*%3$s
        from (
          select distinct on (x.id::bigint) x.id::bigint as id, x.properties as p,
            coalesce(hubspot_private.cast_timestamptz(x."createdAt"),
              hubspot_private.cast_timestamptz(x.properties ->> 'createdate'),
              hubspot_private.cast_timestamptz(x.properties ->> 'hs_createdate')) as created_at,
            coalesce(hubspot_private.cast_timestamptz(x."updatedAt"),
              hubspot_private.cast_timestamptz(x.properties ->> %2$L)) as updated_at
          from jsonb_to_recordset($1 -> 'results') as x (id text, "createdAt" text, "updatedAt" text, properties jsonb)
          where $2 is null or x.id = any ($2)
          order by x.id::bigint, 4 desc nulls last
        ) d
        offset 0
      ) r
      offset 0$source$, concat(v_casts, v_came), v_object.modified_property, v_texts),
    v_width || ' > ' || hubspot_private.row_room(), v_kept, v_extra, v_object.name);
end;
$$;
comment on function hubspot_private.apply_source(text, text[]) is
  'SQL text that takes a page ($1) apart into typed rows, only the records of $2 (ids as text; null: all), each id once: all columns, or those of chosen properties, which are not looked at for width then.';

create or replace function hubspot_private.apply_columns(object text)
returns table (property text, column_name name, column_type text, n bigint)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  -- Those that the table has by now: a change of columns may wait for someone who holds it.
  select c.property, c.column_name, c.column_type, row_number() over (order by c.column_name)
  from hubspot_private.columns c
  join hubspot_private.objects o on o.name = c.object
  join pg_attribute a on a.attrelid = to_regclass(format('hubspot.%I', o.table_name)) and a.attname = c.column_name and not a.attisdropped
  where c.object = apply_columns.object;
$$;
comment on function hubspot_private.apply_columns(text) is 'The columns that a page fills, numbered.';

create or replace function hubspot_private.kept_properties(object text)
returns text[]
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  -- Of these nobody else may have a value any more, or HubSpot does not show it.
  select array_agg(p.property order by p.property)
  from hubspot_private.properties p
  where p.object = kept_properties.object and (p.archived_at is not null or p.unreadable_at is not null);
$$;
comment on function hubspot_private.kept_properties(text) is
  'Properties that no page fills and that keep what they have, in a column or in _extra: archived, or refused; null when there are none.';

-- The three functions of a mirror table. plpgsql keeps the plans of their statements for the session, where text run by
-- execute is parsed and planned for every page: with a table's columns to look up, that took a fifth of a page's time.
create or replace function hubspot_private.judge_function(object_number integer, table_name text)
returns text
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  -- Which of a page's records the mirror lacks, and which this read may change. A plan made while the tables were nearly empty,
  -- by hash or scan, was 39 times slower at 30,000 rows: so the joins of this one and the next are pinned to the keys, record by
  -- record, whatever the tables' size. They only read: no trigger of a user's sees what is set here.
  select format($function$
    create or replace function hubspot_private.judge_%1$s(
      body jsonb, object text, asked_at timestamptz, resync_started_at timestamptz,
      out rows_read bigint, out unreadable bigint, out fresh text[], out known text[], out behind text[], out hidden bigint[]
    )
    language plpgsql
    stable
    set search_path = pg_catalog, pg_temp
    set plan_cache_mode = force_generic_plan
    set enable_hashjoin = off
    set enable_mergejoin = off
    set enable_seqscan = off
    as $judge$
    #variable_conflict use_column
    begin
      select count(*), count(*) filter (where x.id is null),
        array_agg(x.id) filter (where x.is_new and x.is_true),
        array_agg(x.id) filter (where not x.is_new),
        array_agg(x.id) filter (where not x.is_new and not x.is_true),
        array_agg(x.id::bigint) filter (where x.is_new and not x.is_true)
      into rows_read, unreadable, fresh, known, behind, hidden
      from (
        select r.id, t.id is null as is_new,
          $3 > greatest(t._synced_at, g.seen_gone_at, $4)
            or $3 > greatest(g.seen_gone_at, $4) and hubspot_private.is_set_back(t._synced_at, $3) as is_true
        from (
          select distinct case when length(j.id) between 1 and 18 and ltrim(j.id, '0123456789') = '' then j.id end as id
          from jsonb_to_recordset($1 -> 'results') as j (id text, archived text)
          where j.archived is distinct from 'true'
        ) r
        left join lateral (select m.id, m._synced_at from %2$s m where m.id = r.id::bigint offset 0) t on true
        left join lateral (
          select d.seen_gone_at from hubspot_private.tombstones d where d.object = $2 and d.id = r.id::bigint offset 0
        ) g on true
      ) x;
    end;
    $judge$;
    comment on function hubspot_private.judge_%1$s(jsonb, text, timestamptz, timestamptz) is %3$L;
    revoke all on function hubspot_private.judge_%1$s(jsonb, text, timestamptz, timestamptz) from public$function$,
    judge_function.object_number, judge_function.table_name,
    format('Sorts a page''s records into those that %s lacks, has, and may not take from this read.', judge_function.table_name));
$$;
comment on function hubspot_private.judge_function(integer, text) is 'SQL text that makes judge_N, which sorts a page''s records.';

create or replace function hubspot_private.differing_function(object text, object_number integer, table_name text, marks boolean)
returns text
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select format($function$
    create or replace function hubspot_private.differing_%1$s(body jsonb, ids text[])
    returns table (differing_id bigint, is_older boolean)
    language plpgsql
    stable
    set search_path = pg_catalog, pg_temp
    set plan_cache_mode = force_generic_plan
    set enable_hashjoin = off
    set enable_mergejoin = off
    set enable_seqscan = off
    as $differing$
    begin
      return query
      select t.id, s.updated_at < t._updated_at
      from (%2$s) s
      cross join lateral (select x.* from %3$s x where x.id = s.id offset 0) t
      where (t._created_at, t._updated_at, %9$s%4$s%5$s)
        is distinct from (s.created_at, s.updated_at, s.extra%6$s%7$s);
    end;
    $differing$;
    comment on function hubspot_private.differing_%1$s(jsonb, text[]) is %8$L;
    revoke all on function hubspot_private.differing_%1$s(jsonb, text[]) from public$function$,
    differing_function.object_number, hubspot_private.apply_source(differing_function.object), differing_function.table_name,
    string_agg(format(', t.%I', c.column_name), '' order by c.n), case when marks then ', t._archived_at' end,
    string_agg(format(', s.c%s', c.n), '' order by c.n), case when marks then ', null::timestamptz' end,
    format('Which of these records differ from their rows in %s.', differing_function.table_name),
    coalesce('nullif(t._extra - ' || quote_literal(hubspot_private.kept_properties(differing_function.object)) || '::text[], ''{}'')', 't._extra'))
  from hubspot_private.apply_columns(differing_function.object) c;
$$;
comment on function hubspot_private.differing_function(text, integer, text, boolean) is
  'SQL text that makes differing_N, which compares records with their rows.';

create or replace function hubspot_private.write_function(object text, object_number integer, table_name text, marks boolean)
returns text
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  -- An upsert inserts each row twice, so to speak: speculatively, then confirmed, 40 B of WAL and a seventh of its time. Where
  -- the mirror lacks every record, a plain insert is tried first; what came between is found by the upsert. These
  -- statements read no table, so no plan of them can grow old.
  select format($function$
    create or replace function hubspot_private.write_%1$s(
      body jsonb, ids text[], asked_at timestamptz, synced_at timestamptz, is_fresh boolean,
      out written bigint[], out extras jsonb, out inserted bigint
    )
    language plpgsql
    volatile
    set search_path = pg_catalog, pg_temp
    as $write$
    #variable_conflict use_column
    begin
      if $5 then
        begin
          with w as (
            insert into %2$s as t (id, _created_at, _updated_at, _synced_at, _extra%3$s)
            select s.id, s.created_at, s.updated_at, $4, s.extra%4$s
            from (%5$s) s
            returning t.id, t._extra
          )
          select array_agg(w.id), jsonb_object_agg(w.id, w._extra) filter (where w._extra is not null), count(*)
          into written, extras, inserted
          from w;
          return;
        exception when unique_violation then
          null;
        end;
      end if;
      with w as (
        insert into %2$s as t (id, _created_at, _updated_at, _synced_at, _extra%3$s)
        select s.id, s.created_at, s.updated_at, $4, s.extra%4$s
        from (%5$s) s
        on conflict (id) do update set
          _created_at = excluded._created_at, _updated_at = excluded._updated_at,
          _synced_at = excluded._synced_at, _extra = %9$s%6$s%7$s
        where t._synced_at < $3 or hubspot_private.is_set_back(t._synced_at, $3)
        returning t.id, t._extra, t.xmax = 0 as is_inserted
      )
      select array_agg(w.id), jsonb_object_agg(w.id, w._extra) filter (where w._extra is not null), count(*) filter (where w.is_inserted)
      into written, extras, inserted
      from w;
    end;
    $write$;
    comment on function hubspot_private.write_%1$s(jsonb, text[], timestamptz, timestamptz, boolean) is %8$L;
    revoke all on function hubspot_private.write_%1$s(jsonb, text[], timestamptz, timestamptz, boolean) from public$function$,
    write_function.object_number, write_function.table_name,
    string_agg(format(', %I', c.column_name), '' order by c.n), string_agg(format(', s.c%s', c.n), '' order by c.n),
    hubspot_private.apply_source(write_function.object),
    string_agg(format(', %1$I = excluded.%1$I', c.column_name), '' order by c.n),
    case when marks then ', _archived_at = null' end,
    format('Writes the records of a page that were found to differ, or be new, into %s.', write_function.table_name),
    coalesce('case when t._extra is null then excluded._extra else hubspot_private.extra_kept(t._extra, '
      || quote_literal(hubspot_private.kept_properties(write_function.object)) || ', excluded._extra) end', 'excluded._extra'))
  from hubspot_private.apply_columns(write_function.object) c;
$$;
comment on function hubspot_private.write_function(text, integer, text, boolean) is 'SQL text that makes write_N, which writes records.';
