-- Rows of the tables of associations: which there are, which an answer tells of, which someone holds, and how they go.
do $$
begin
  if to_regtype('hubspot_private.edge') is null then
    create type hubspot_private.edge as (from_id bigint, to_id bigint, type_id bigint, category text, label text);
  end if;
end;
$$;
comment on type hubspot_private.edge is 'One type of one association.';

create or replace function hubspot_private.edges_of(p hubspot_private.pairs, ids bigint[], is_from boolean, is_to boolean)
returns hubspot_private.edge[]
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_edges hubspot_private.edge[];
begin
  if hubspot_private.mirror_table(p.table_name) is null then
    return null;
  end if;
  execute format(
    'select array_agg(row (l.*)::hubspot_private.edge) from (
       select t.%2$I, t.%3$I, t.type_id, t.category, t.label from hubspot.%1$I t where %4$s order by 1, 2, 3, 4) l',
    p.table_name, p.from_column, p.to_column, array_to_string(array_remove(array[
      case when is_from then format('t.%I = any ($1)', p.from_column) end,
      case when is_to then format('t.%I = any ($1)', p.to_column) end], null), ' or '))
  into v_edges using ids;
  return v_edges;
end;
$$;
comment on function hubspot_private.edges_of(hubspot_private.pairs, bigint[], boolean, boolean) is
  'The associations in a pair''s table that come from these records, or lead to them; null: none.';

create or replace function hubspot_private.edges_free(p hubspot_private.pairs, edges hubspot_private.edge[])
returns hubspot_private.edge[]
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_free hubspot_private.edge[];
begin
  if edges is null then
    return null;
  end if;
  -- In the order of their keys, and past those that someone holds, so that a user's lock never stops a step.
  execute format(
    'select array_agg(l.edge) from (
       select e::hubspot_private.edge as edge from unnest($1) e
       join hubspot.%1$I t on (t.%2$I, t.%3$I, t.type_id, t.category) = (e.from_id, e.to_id, e.type_id, e.category)
       order by e.from_id, e.to_id, e.type_id, e.category
       for update of t skip locked) l', p.table_name, p.from_column, p.to_column)
  into v_free using edges;
  return v_free;
end;
$$;
comment on function hubspot_private.edges_free(hubspot_private.pairs, hubspot_private.edge[]) is
  'Locks the rows of these associations, and returns those that nobody else holds.';

create or replace function hubspot_private.edges_held(object text, ids bigint[])
returns bigint[]
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_pair hubspot_private.pairs;
  v_edges hubspot_private.edge[];
  v_free hubspot_private.edge[];
  v_held bigint[] := '{}';
begin
  if coalesce(cardinality(ids), 0) > 0 then
    for v_pair in
      select p.* from hubspot_private.pairs p where p.is_tracked and object in (p.from_object, p.to_object) order by p.number
    loop
      v_edges := hubspot_private.edges_of(v_pair, ids, v_pair.from_object = object, v_pair.to_object = object);
      v_free := hubspot_private.edges_free(v_pair, v_edges);
      if cardinality(v_edges) > coalesce(cardinality(v_free), 0) then
        v_held := v_held || array(
          select i
          from (select * from unnest(v_edges) except select * from unnest(v_free)) e
          cross join lateral (values (v_pair.from_object, e.from_id), (v_pair.to_object, e.to_id)) x (o, i)
          where x.o = object and i = any (ids));
      end if;
    end loop;
  end if;
  return v_held;
end;
$$;
comment on function hubspot_private.edges_held(text, bigint[]) is
  'Locks the associations of these records, and returns the records that someone else holds one of.';

create or replace function hubspot_private.edges_kept(wanted bigint)
returns void
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
begin
  if wanted > 0 then
    raise exception using errcode = 'P0001', message = 'a trigger of yours returns null, which leaves the row as it was';
  end if;
end;
$$;
comment on function hubspot_private.edges_kept(bigint) is 'So many rows were to be written and were not: nothing but a user''s trigger keeps a statement from them.';

create or replace function hubspot_private.edges_delete(p hubspot_private.pairs, edges hubspot_private.edge[])
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_session constant text[] := hubspot_private.session_state();
  v_count bigint;
begin
  execute pg_catalog.format(
    'delete from hubspot.%1$I t using pg_catalog.unnest($1) e
     where (t.%2$I, t.%3$I, t.type_id, t.category) = (e.from_id, e.to_id, e.type_id, e.category)',
    p.table_name, p.from_column, p.to_column)
  using edges;
  get diagnostics v_count = row_count;
  perform pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
  if current_user <> v_session[1] then
    raise exception 'a trigger of yours went on as role %', current_user;
  end if;
  perform hubspot_private.session_settle(v_session, 'a trigger of yours');
  perform hubspot_private.edges_kept(pg_catalog.cardinality(edges) - v_count);
end;
$$;
comment on function hubspot_private.edges_delete(hubspot_private.pairs, hubspot_private.edge[]) is 'Deletes rows of a pair''s table that are there and held, by their keys.';
revoke all on function hubspot_private.edges_delete(hubspot_private.pairs, hubspot_private.edge[]) from public;

create or replace function hubspot_private.edges_later(
  p hubspot_private.pairs, edges hubspot_private.edge[], free hubspot_private.edge[], seqs jsonb
)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  if coalesce(cardinality(edges), 0) = coalesce(cardinality(free), 0) then
    return;
  end if;
  -- Dirtied anew since it was asked for, it has a time of its own.
  insert into hubspot_private.association_dirty as d (pair, from_id, held, not_before)
  select p.number, h.id, 1, hubspot_private.clock() + interval '1 second'
  from (select distinct e.from_id as id from (select * from unnest(edges) except select * from unnest(free)) e) h
  order by h.id
  on conflict on constraint association_dirty_pkey do update
  set seq = excluded.seq, held = d.held + 1, not_before = case
    when seqs is not null and (seqs -> d.from_id::text ->> 'seq')::bigint is distinct from d.seq then d.not_before
    else hubspot_private.clock() + make_interval(secs => least(power(2, least(d.held, 12)), 3600))
  end;
  perform hubspot_private.stream_wake(p.from_object, 'associations', p.number, hubspot_private.clock() + interval '1 second');
end;
$$;
comment on function hubspot_private.edges_later(hubspot_private.pairs, hubspot_private.edge[], hubspot_private.edge[], jsonb) is
  'These rows could not be made what they are to be, but for those that are free, or it is not sure: what they come from is read again, later each time.';

create or replace function hubspot_private.edges_are_told(entries jsonb)
returns boolean
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
  select not exists (
    select from jsonb_array_elements(edges_are_told.entries) t
    where t.value ->> 'toObjectId' ~ '^[0-9]{1,18}$' is not true
      or jsonb_path_exists(t.value, '$.associationTypes[0]') is not true
      or exists (
        select from jsonb_array_elements(case when jsonb_typeof(t.value -> 'associationTypes') = 'array' then t.value -> 'associationTypes' else '[null]' end) a
        where a.value ->> 'typeId' ~ '^[0-9]{1,18}$' is not true or jsonb_typeof(a.value -> 'category') <> 'string'));
$$;
comment on function hubspot_private.edges_are_told(jsonb) is
  'Whether all associations of a record in an answer can be read: what each leads to, and its types, one at least.';

create or replace function hubspot_private.association_edges(answer jsonb, ids bigint[])
returns hubspot_private.edge[]
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select array_agg(row (e.from_id, e.to_id, e.type_id, e.category, e.label)::hubspot_private.edge)
  from (
    select distinct on (1, 2, 3, 4) (r.value #>> '{from,id}')::bigint as from_id, (t.value ->> 'toObjectId')::bigint as to_id,
      (a.value ->> 'typeId')::bigint as type_id, coalesce(a.value ->> 'category', 'HUBSPOT_DEFINED') as category, a.value ->> 'label' as label
    from jsonb_array_elements(association_edges.answer -> 'results') r
    cross join lateral jsonb_array_elements(case when jsonb_typeof(r.value -> 'to') = 'array' then r.value -> 'to' else '[]' end) t
    cross join lateral jsonb_array_elements(
      case when jsonb_typeof(t.value -> 'associationTypes') = 'array' then t.value -> 'associationTypes' else '[]' end) a
    where r.value #>> '{from,id}' = any (association_edges.ids::text[])
      and t.value ->> 'toObjectId' ~ '^[0-9]{1,18}$' and a.value ->> 'typeId' ~ '^[0-9]{1,18}$'
      and coalesce(jsonb_typeof(a.value -> 'category'), 'string') = 'string'
    order by 1, 2, 3, 4, 5
  ) e;
$$;
comment on function hubspot_private.association_edges(jsonb, bigint[]) is 'The associations of these records in an answer, each type once.';

create or replace function hubspot_private.refuse_row()
returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_end record;
  v_is_there boolean := true;
begin
  -- A foreign key of a user's that takes along the associations of a record that is gone: they would go next.
  for v_end in
    select o.table_name, (to_jsonb(old) ->> e.column_name)::bigint as id
    from hubspot_private.pairs p
    cross join lateral (values (p.from_object, p.from_column), (p.to_object, p.to_column)) e (object, column_name)
    join hubspot_private.objects o on o.name = e.object
    join pg_attribute a on a.attrelid = tg_relid and a.attname = e.column_name
    join pg_constraint k on k.conrelid = tg_relid and k.contype = 'f' and k.confdeltype = 'c'
      and k.conkey = array[a.attnum] and k.confrelid = to_regclass(format('hubspot.%I', o.table_name))
    where tg_op = 'DELETE' and p.table_name = tg_table_name
  loop
    execute format('select exists (select from hubspot.%I t where t.id = $1)', v_end.table_name) into v_is_there using v_end.id;
    exit when not v_is_there;
  end loop;
  if v_is_there then
    perform hubspot_private.fail('table_read_only', tg_table_name);
  end if;
  return null;
end;
$$;
comment on function hubspot_private.refuse_row() is
  'Trigger: what a trigger within a write of the sync''s writes of the mirror is refused, SH105, but for associations of a record that is gone, where a foreign key deletes them.';
revoke all on function hubspot_private.refuse_row() from public;

create or replace function hubspot_private.refuse_row_hang(relation regclass)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  if not exists (select from pg_trigger t where t.tgrelid = relation and t.tgname = '_000_read_only_within') then
    -- Looked at as the row is written: what a foreign key does fires its triggers later, in the statement around it.
    execute format(
      'create trigger _000_read_only_within after insert or update or delete on %s for each row
       when (pg_trigger_depth() > 0) execute function hubspot_private.refuse_row()', relation);
  end if;
end;
$$;
comment on function hubspot_private.refuse_row_hang(regclass) is 'Gives a table of the mirror the trigger that looks at rows which are written from within triggers.';
revoke all on function hubspot_private.refuse_row_hang(regclass) from public;
