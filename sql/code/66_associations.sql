-- Associations: the table of each tracked pair of objects, what has to be read again, and what goes with a record.
--   A type_id counts within its category: a label of the account's own may have the number of one of HubSpot's. So the key of a
--   row holds both, or one of two types of one association would be lost.
create or replace function hubspot_private.refuse_edge_write()
returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  -- Written by the pair's own stream, and by whichever stream finds that a record at either end is gone. What comes from deeper,
  -- refuse_row() looks at.
  if tg_op <> 'TRUNCATE' and exists (
    select from hubspot_private.streams s where s.writer = pg_current_xact_id_if_assigned())
  then
    return null;
  end if;
  perform hubspot_private.fail('table_read_only', tg_table_name);
  return null;
end;
$$;
comment on function hubspot_private.refuse_edge_write() is 'Trigger: only the sync writes associations. SH105 for anyone else.';
revoke all on function hubspot_private.refuse_edge_write() from public;

create or replace function hubspot_private.end_column(o hubspot_private.objects)
returns text
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
  -- HubSpot's own names are plurals; a custom object is named as its makers liked.
  select case
    when o.is_custom then o.table_name::text
    else regexp_replace(regexp_replace(regexp_replace(o.name, 'ies$', 'y'), '(x|ss|sh|ch)es$', '\1'), '([^s])s$', '\1')
  end || '_id';
$$;
comment on function hubspot_private.end_column(hubspot_private.objects) is 'The column of an object''s ids in association tables.';

create or replace function hubspot_private.pair_build(pair integer)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_pair hubspot_private.pairs;
  v_from hubspot_private.objects;
  v_to hubspot_private.objects;
  v_name text;
begin
  select p.* into strict v_pair from hubspot_private.pairs p where p.number = pair;
  select o.* into strict v_from from hubspot_private.objects o where o.name = v_pair.from_object;
  select o.* into strict v_to from hubspot_private.objects o where o.name = v_pair.to_object;
  if v_from.table_name is null or v_to.table_name is null then
    return;
  end if;
  if v_pair.table_name is null then
    v_name := hubspot_private.short_name(v_from.table_name || '_' || v_to.table_name, '{}', '{}');
    while hubspot_private.table_taken(v_name) or exists (select from hubspot_private.pairs p where p.table_name = v_name) loop
      v_name := hubspot_private.short_name(v_name || '_', '{}', '{}');
    end loop;
    v_pair.from_column := hubspot_private.short_name(hubspot_private.end_column(v_from), '{type_id,category,label}', '{}');
    v_pair.to_column := hubspot_private.short_name(
      case when v_from.name = v_to.name then 'to_' else '' end || hubspot_private.end_column(v_to),
      array['type_id', 'category', 'label', v_pair.from_column::text], '{}');
    update hubspot_private.pairs p set table_name = v_name, from_column = v_pair.from_column, to_column = v_pair.to_column
    where p.number = pair
    returning p.* into v_pair;
  end if;
  perform hubspot_private.name_free(v_pair.table_name);
  if hubspot_private.mirror_table(v_pair.table_name) is not null then
    return;
  end if;
  execute format(
    'create table hubspot.%1$I (%2$I bigint not null, %3$I bigint not null, type_id bigint not null, category text not null, label text,
       primary key (%2$I, %3$I, type_id, category));
     create index on hubspot.%1$I (%3$I, %2$I);
     create trigger _000_read_only before insert or update or delete on hubspot.%1$I for each statement execute function hubspot_private.refuse_edge_write();
     create trigger _000_no_truncate before truncate on hubspot.%1$I for each statement execute function hubspot_private.refuse_edge_write();
     comment on table hubspot.%1$I is %4$L;
     comment on column hubspot.%1$I.%2$I is %5$L;
     comment on column hubspot.%1$I.%3$I is %6$L;
     comment on column hubspot.%1$I.type_id is ''The type of the association, within its category: hubspot.association_types.'';
     comment on column hubspot.%1$I.category is ''Who made the type: HUBSPOT_DEFINED, USER_DEFINED, INTEGRATOR_DEFINED, WORK.'';
     comment on column hubspot.%1$I.label is ''Its label; null: the unlabelled type, which every association has.''',
    v_pair.table_name, v_pair.from_column, v_pair.to_column,
    format('Associations of %s with %s in HubSpot, a row for each type. Rows follow HubSpot; status: select * from hubspot.association_pairs;',
      coalesce(v_from.label, v_from.name), coalesce(v_to.label, v_to.name)),
    format('HubSpot''s id of the record of %s.', v_from.name), format('HubSpot''s id of the record of %s.', v_to.name));
  perform hubspot_private.refuse_row_hang(format('hubspot.%I', v_pair.table_name)::regclass);
  perform hubspot_private.users_path_hang(format('hubspot.%I', v_pair.table_name)::regclass);
  perform hubspot_private.change_triggers(format('hubspot.%I', v_pair.table_name)::regclass,
    format('hubspot_private.changes_pair(%L)', v_pair.number), v_from.has_changes);
  perform hubspot_private.grants_apply(v_pair.table_name);
  perform hubspot_private.live_follow(v_pair.table_name);
end;
$$;
comment on function hubspot_private.pair_build(integer) is
  'Makes the table of a pair, once both objects are known; names and columns stay once given.';

create or replace function hubspot_private.labels_apply(p hubspot_private.pairs, answer jsonb)
returns void
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  with now_there as (
    select distinct on (4, 3) p.from_object, p.to_object, (t ->> 'typeId')::bigint as type_id, coalesce(t ->> 'category', 'HUBSPOT_DEFINED') as category, t ->> 'label' as label
    from jsonb_array_elements(labels_apply.answer -> 'results') t
    where t ->> 'typeId' ~ '^[0-9]{1,18}$'
    order by 4, 3, 5
  )
  select hubspot_private.definitions_follow('association_types', '{from_object,to_object,type_id,category}',
    format('t.from_object = %L and t.to_object = %L', p.from_object, p.to_object), coalesce(jsonb_agg(n), '[]'),
    p.from_object, format('association_types %s %s', p.from_object, p.to_object))
  from now_there n;
$$;
comment on function hubspot_private.labels_apply(hubspot_private.pairs, jsonb) is 'Takes in the types that a pair''s associations may have.';

create or replace function hubspot_private.pairs_resolve()
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_pair record;
begin
  for v_pair in
    select p.number, p.from_object, p.to_object, o.is_tracked, o.table_name is null as is_unknown
    from hubspot_private.pairs p
    join hubspot_private.objects o on o.name = p.to_object
    where p.is_tracked and (p.table_name is null or exists (
      select from hubspot_private.problems q where q.object = p.to_object and q.code = 'SH102' and q.resolved_at is null))
    order by p.number
  loop
    if not v_pair.is_unknown then
      perform hubspot_private.pair_build(v_pair.number);
      perform hubspot_private.problem_resolve('{SH102}', v_pair.to_object);
      perform hubspot_private.stream_wake(v_pair.from_object, 'associations', v_pair.number);
    elsif not v_pair.is_tracked then
      -- Of a tracked one it is said already.
      perform hubspot_private.problem_report('SH102', v_pair.to_object, format('HubSpot has no object %s', v_pair.to_object),
        hubspot_private.object_hint(v_pair.to_object));
    end if;
  end loop;
end;
$$;
comment on function hubspot_private.pairs_resolve() is
  'Pairs that waited for the catalogue to name their objects: found now, or a problem with the near name.';

create or replace function hubspot_private.pair_clear(pair integer)
returns void
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  delete from hubspot_private.association_dirty d where d.pair = pair_clear.pair;
  delete from hubspot_private.association_reads r where r.pair = pair_clear.pair;
  delete from hubspot_private.association_pages e where e.pair = pair_clear.pair;
$$;
comment on function hubspot_private.pair_clear(integer) is 'Forgets what of a pair was to be read, or is half read.';

create or replace function hubspot_private.pairs_restart(to_objects text[])
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_pair hubspot_private.pairs;
begin
  for v_pair in select p.* from hubspot_private.pairs p where p.is_tracked and p.to_object = any (to_objects) order by p.number loop
    perform hubspot_private.pair_clear(v_pair.number);
    -- A sweep under way has read what is no more.
    update hubspot_private.runs r set state = 'stopped', finished_at = hubspot_private.clock()
    where (r.object, r.stream, r.range) = (v_pair.from_object, 'associations', v_pair.number) and r.state = 'running';
    update hubspot_private.streams s
    set cursor = '{}', run_id = null, epoch = s.epoch + 1, lease_until = null, holder = null, next_at = hubspot_private.clock()
    where (s.object, s.stream, s.range) = (v_pair.from_object, 'associations', v_pair.number);
    perform hubspot_private.stream_wake(v_pair.from_object, 'associations', v_pair.number);
  end loop;
end;
$$;
comment on function hubspot_private.pairs_restart(text[]) is 'The other end of these pairs is another object now: they are read from the start.';

create or replace function hubspot_private.associations_dirty(object text, ids bigint[], is_both boolean default false)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_object hubspot_private.objects;
  v_ids bigint[];
begin
  if coalesce(cardinality(ids), 0) = 0 or not exists (
    select from hubspot_private.pairs p where p.is_tracked and object in (p.from_object, p.to_object))
  then
    return;
  end if;
  select o.* into strict v_object from hubspot_private.objects o where o.name = object;
  -- What the mirror lacks is read when it is inserted.
  execute format('select array_agg(t.id) from %s and t.id = any ($1)', hubspot_private.live_rows(v_object)) into v_ids using ids;
  with queued as (
    insert into hubspot_private.association_dirty as d (pair, is_reverse, from_id, not_before)
    select p.number, w.is_reverse, w.id, hubspot_private.clock()
    from hubspot_private.pairs p
    cross join lateral (
      select false as is_reverse, i as id from unnest(v_ids) i where p.from_object = object
      union
      select true, i from unnest(ids) i where is_both and p.to_object = object and i is not null
    ) w
    where p.is_tracked and object in (p.from_object, p.to_object)
    order by p.number, w.is_reverse, w.id
    on conflict on constraint association_dirty_pkey do update
    set seq = excluded.seq, not_before = case when d.attempts = 0 then least(d.not_before, excluded.not_before) else d.not_before end
    returning d.pair
  )
  select array_agg(distinct q.pair) into v_ids from queued q;
  perform hubspot_private.stream_wake(p.from_object, 'associations', p.number)
  from hubspot_private.pairs p where p.number = any (v_ids);
end;
$$;
comment on function hubspot_private.associations_dirty(text, bigint[], boolean) is
  'The associations of these records are read soon, in every pair from their object; is_both: in the pairs to it too, which their other ends lead to.';

create or replace function hubspot_private.edges_forget(object text, stream text, range integer, ids bigint[])
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_pair hubspot_private.pairs;
  v_edges hubspot_private.edge[];
  v_free hubspot_private.edge[];
begin
  if coalesce(pg_catalog.cardinality(ids), 0) = 0 then
    return;
  end if;
  for v_pair in
    select p.* from hubspot_private.pairs p where p.is_tracked and object in (p.from_object, p.to_object) order by p.number
  loop
    v_edges := hubspot_private.edges_of(v_pair, ids, v_pair.from_object = object, v_pair.to_object = object);
    if v_edges is not null then
      v_free := hubspot_private.edges_free(v_pair, v_edges);
      if v_free is not null then
        perform hubspot_private.stream_marks_writing(object, stream, range);
        perform hubspot_private.edges_delete(v_pair, v_free);
      end if;
      perform hubspot_private.edges_later(v_pair, v_edges, v_free, null);
    end if;
    delete from hubspot_private.association_pages e
    where e.pair = v_pair.number
      and (v_pair.from_object = object and e.from_id = any (ids) or v_pair.to_object = object and e.to_id = any (ids));
    delete from hubspot_private.association_reads r
    where r.pair = v_pair.number and r.from_id = any (ids) and object = case when r.is_reverse then v_pair.to_object else v_pair.from_object end;
    delete from hubspot_private.association_dirty d
    where d.pair = v_pair.number and d.from_id = any (ids) and object = case when d.is_reverse then v_pair.to_object else v_pair.from_object end;
  end loop;
end;
$$;
comment on function hubspot_private.edges_forget(text, text, integer, bigint[]) is
  'Records are gone, or marked as archived: their associations go with them, at both ends, those that are half read too.';
revoke all on function hubspot_private.edges_forget(text, text, integer, bigint[]) from public;
