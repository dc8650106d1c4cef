-- The statements that fill one mirror table, generated when its columns change. Of thirteen ways measured, one binary jsonb
-- parameter taken apart by jsonb_to_recordset with ->> and tolerant casts per column is the fastest.
create or replace function hubspot_private.is_castable(object text, property text, value text)
returns boolean
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select hubspot_private.is_castable(p.column_type, is_castable.value)
  from hubspot_private.properties p
  where p.object = is_castable.object and p.property = is_castable.property;
$$;
comment on function hubspot_private.is_castable(text, text, text) is 'Whether a value fits its property''s column.';

create or replace function hubspot_private.extra(object text, properties jsonb)
returns jsonb
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select jsonb_object_agg(p.property, extra.properties -> p.property)
  from hubspot_private.properties p
  where p.object = extra.object and p.is_selected and p.archived_at is null
    and extra.properties ->> p.property <> ''
    and (p.column_name is null or not hubspot_private.is_castable(p.column_type, extra.properties ->> p.property));
$$;
comment on function hubspot_private.extra(text, jsonb) is
  'The raw values of a record that have no place of their own; null when all have.';

create or replace function hubspot_private.apply_source(object text)
returns text
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_object hubspot_private.objects;
  v_casts text;
  v_extra text;
begin
  select o.* into strict v_object from hubspot_private.objects o where o.name = apply_source.object;
  select string_agg(', ' || hubspot_private.cast_expression(p.column_type, format('r.p ->> %L', p.property))
      || format(' as c%s', c.n), '' order by c.n)
  into v_casts
  from hubspot_private.properties p
  join hubspot_private.apply_columns(v_object.name) c on c.property = p.property
  where p.object = v_object.name;
  -- What does not cast is rare: count what came and what was kept (a function takes at most 100 arguments), look closer if they differ.
  select string_agg(format('num_nonnulls(%s) <> num_nonnulls(%s)', g.kept, g.came), ' or ')
  into v_extra
  from (
    select string_agg(format('s.c%s', c.n), ', ') as kept,
      string_agg(format('nullif(s.p ->> %L, '''')', c.property), ', ') as came
    from hubspot_private.apply_columns(v_object.name) c
    where c.column_type not in ('text', 'text[]')
    group by c.n / 90
  ) g;
  if exists (
    select from hubspot_private.properties p
    where p.object = v_object.name and p.is_selected and p.column_name is null and p.archived_at is null
  ) then
    v_extra := 'true';
  end if;
  return format($source$
    select s.*, %4$s as extra
    from (
      select r.id, r.created_at, r.updated_at, r.p%1$s
      from (
        select distinct on (x.id::bigint) x.id::bigint as id, x.properties as p,
          coalesce(hubspot_private.cast_timestamptz(x."createdAt"),
            hubspot_private.cast_timestamptz(x.properties ->> 'createdate'),
            hubspot_private.cast_timestamptz(x.properties ->> 'hs_createdate')) as created_at,
          coalesce(hubspot_private.cast_timestamptz(x."updatedAt"),
            hubspot_private.cast_timestamptz(x.properties ->> %2$L)) as updated_at
        from jsonb_to_recordset($1 -> 'results') as x (id text, "createdAt" text, "updatedAt" text, properties jsonb)
        where x.id = any ($2)
        order by x.id::bigint, 4 desc nulls last
      ) r
      offset 0
    ) s$source$,
    v_casts, v_object.modified_property, v_object.name,
    case when v_extra is null then 'null::jsonb'
      else format('case when %s then hubspot_private.extra(%L, s.p) end', v_extra, v_object.name) end);
end;
$$;
comment on function hubspot_private.apply_source(text) is
  'SQL text that takes a page ($1) apart into typed rows, only the records of $2 (ids as text), each id once.';

create or replace function hubspot_private.apply_columns(object text)
returns table (property text, column_name name, column_type text, n bigint)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select p.property, p.column_name, p.column_type, row_number() over (order by p.column_name)
  from hubspot_private.properties p
  where p.object = apply_columns.object and p.is_selected and p.column_name is not null and p.archived_at is null;
$$;
comment on function hubspot_private.apply_columns(text) is 'The columns that a page fills, numbered.';

create or replace function hubspot_private.apply_fingerprint(object text)
returns text
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select md5(concat(o.table_name, o.modified_property, o.on_delete,
    (select string_agg(format('%s %s %s', p.property, p.column_name, p.column_type), e'\n' order by p.property)
     from hubspot_private.properties p
     where p.object = o.name and p.is_selected and p.archived_at is null)))
  from hubspot_private.objects o
  where o.name = apply_fingerprint.object;
$$;
comment on function hubspot_private.apply_fingerprint(text) is
  'What the generated statements depend on; while it stays the same they do too.';

create or replace function hubspot_private.apply_generate(object text)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_object hubspot_private.objects;
  v_source text := hubspot_private.apply_source(object);
  v_table text;
  v_columns text;
  v_values text;
  v_sets text;
  v_here text;
  v_there text;
  v_marks boolean;
begin
  update hubspot_private.objects o set column_set = o.column_set + 1
  where o.name = apply_generate.object
  returning o.* into strict v_object;
  v_table := format('hubspot.%I', v_object.table_name);
  select coalesce(string_agg(format(', %I', c.column_name), '' order by c.n), ''),
    coalesce(string_agg(format(', s.c%s', c.n), '' order by c.n), ''),
    coalesce(string_agg(format(', %1$I = excluded.%1$I', c.column_name), '' order by c.n), ''),
    coalesce(string_agg(format(', t.%I', c.column_name), '' order by c.n), '')
  into v_columns, v_values, v_sets, v_here
  from hubspot_private.apply_columns(v_object.name) c;
  v_there := v_values;
  v_marks := exists (
    select from pg_attribute a
    where a.attrelid = v_table::regclass and a.attname = '_archived_at' and not a.attisdropped);
  -- plpgsql keeps this statement's plan for the session: it reads no table, so no plan of it can grow old. An upsert probes
  -- the key whatever the plan. No SET here: users' triggers run under it and see the database's own settings.
  execute format($function$
    create or replace function hubspot_private.write_%1$s(body jsonb, ids text[], asked_at timestamptz, synced_at timestamptz)
    returns table (written_id bigint, written_extra jsonb, is_inserted boolean)
    language plpgsql
    volatile
    as $write$
    #variable_conflict use_column
    begin
      return query
      insert into %2$s as t (id, _created_at, _updated_at, _synced_at, _extra%3$s)
      select s.id, s.created_at, s.updated_at, $4, s.extra%4$s
      from (%5$s) s
      on conflict (id) do update set
        _created_at = excluded._created_at, _updated_at = excluded._updated_at,
        _synced_at = excluded._synced_at, _extra = excluded._extra%6$s%7$s
      where t._synced_at < $3
      returning t.id, t._extra, t.xmax = 0;
    end;
    $write$;
    comment on function hubspot_private.write_%1$s(jsonb, text[], timestamptz, timestamptz) is %8$L;
    revoke all on function hubspot_private.write_%1$s(jsonb, text[], timestamptz, timestamptz) from public$function$,
    v_object.number, v_table, v_columns, v_values, v_source, v_sets,
    case when v_marks then ', _archived_at = null' end,
    format('Writes the records of a page that were found to differ into %s.', v_table));
  -- This one joins the table: a plan made while that was nearly empty, by hash or scan, was 39 times slower at 30,000 rows, and
  -- planning it anew for every page took as long as writing the page. So its join is pinned to the key, record by record,
  -- whatever the table's size, and planned once a session. It only reads: no trigger of a user's sees what is set here.
  execute format($function$
    create or replace function hubspot_private.differing_%1$s(body jsonb, ids text[])
    returns table (differing_id bigint, is_older boolean)
    language plpgsql
    stable
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
      where (t._created_at, t._updated_at, t._extra%4$s%5$s)
        is distinct from (s.created_at, s.updated_at, s.extra%6$s%7$s);
    end;
    $differing$;
    comment on function hubspot_private.differing_%1$s(jsonb, text[]) is %8$L;
    revoke all on function hubspot_private.differing_%1$s(jsonb, text[]) from public$function$,
    v_object.number, v_source, v_table, v_here, case when v_marks then ', t._archived_at' end,
    v_there, case when v_marks then ', null::timestamptz' end,
    format('Which of these records differ from their rows in %s.', v_table));
  insert into hubspot_private.apply_statements as a (object, fingerprint, differs)
  values (v_object.name, hubspot_private.apply_fingerprint(v_object.name),
    format('select * from hubspot_private.differing_%s($1, $2)', v_object.number))
  on conflict on constraint apply_statements_pkey
  do update set fingerprint = excluded.fingerprint, differs = excluded.differs;
end;
$$;
comment on function hubspot_private.apply_generate(text) is
  'Generates the statements that fill an object''s table and counts its column set up.';
