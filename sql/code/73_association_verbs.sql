-- The verbs: which pairs of objects to mirror the associations of.
create or replace function hubspot_private.pair_streams_make(object text)
returns void
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  insert into hubspot_private.streams (object, stream, range, next_at)
  select p.from_object, 'associations', p.number, hubspot_private.clock()
  from hubspot_private.pairs p
  join hubspot_private.objects o on o.name = p.from_object and o.is_tracked
  where p.from_object = pair_streams_make.object and p.is_tracked
  on conflict on constraint streams_pkey do nothing;
$$;
comment on function hubspot_private.pair_streams_make(text) is 'Makes the streams that an object''s pairs lack. They begin once the object is loaded.';

create or replace function hubspot_private.pair_drop(p hubspot_private.pairs)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  if p.table_name is not null then
    perform hubspot_private.table_drop(p.table_name);
  end if;
  perform hubspot_private.session_require('hubspot.association_types');
  delete from hubspot.association_types a where a.from_object = p.from_object and a.to_object = p.to_object;
  delete from hubspot_private.pairs x where x.number = p.number;
end;
$$;
comment on function hubspot_private.pair_drop(hubspot_private.pairs) is 'Drops the table of a pair and forgets the pair.';

create or replace function hubspot_private.pairs_stop(object text, drop_table boolean)
returns void
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  -- From its side nothing is read any more, and its gone records are no longer seen; pairs to it are read from the other.
  select hubspot_private.pair_clear(p.number) from hubspot_private.pairs p where p.from_object = pairs_stop.object;
  delete from hubspot_private.association_dirty d using hubspot_private.pairs p
  where p.number = d.pair and p.to_object = pairs_stop.object and d.is_reverse;
  delete from hubspot_private.association_reads r using hubspot_private.pairs p
  where p.number = r.pair and p.to_object = pairs_stop.object and r.is_reverse;
  select hubspot_private.pair_drop(p) from hubspot_private.pairs p where p.from_object = pairs_stop.object and pairs_stop.drop_table;
$$;
comment on function hubspot_private.pairs_stop(text, boolean) is
  'An object is no longer mirrored: the associations of its records stay as they are until it is tracked again, or go with its table.';

create or replace function hubspot.track_associations(from_object text, to_object text)
returns void
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_from hubspot_private.objects := hubspot_private.object_tracked(from_object);
  v_to hubspot_private.objects := hubspot_private.object_find(to_object);
  v_pair hubspot_private.pairs;
begin
  if to_object is null or v_to.name is null
    and (to_object !~ '^[A-Za-z0-9_\-]{1,200}$' or (select a.catalogue_at from hubspot_private.account a) is not null)
  then
    perform hubspot_private.fail('object_unknown', coalesce(to_object, 'null'), hubspot_private.object_hint(coalesce(to_object, '')));
  end if;
  if v_to.archived_at is not null then
    perform hubspot_private.fail('object_unknown', to_object, hubspot_private.archived_hint(v_to));
  end if;
  if v_to.name is null then
    -- Its name is looked up once the catalogue is known.
    insert into hubspot_private.objects (name) values (to_object) on conflict (name) do nothing;
    v_to.name := to_object;
  end if;
  insert into hubspot_private.pairs as p (from_object, to_object, tracked_at)
  values (v_from.name, v_to.name, hubspot_private.clock())
  on conflict on constraint pairs_from_object_to_object_key do update
  set is_tracked = true, tracked_at = case when p.is_tracked then p.tracked_at else excluded.tracked_at end
  returning p.* into v_pair;
  perform hubspot_private.pair_build(v_pair.number);
  perform hubspot_private.live_follow(v_pair.table_name);
  perform hubspot_private.pair_streams_make(v_from.name);
  perform hubspot_private.stream_call(v_from.name, 'associations', v_pair.number);
end;
$$;
comment on function hubspot.track_associations(text, text) is
  'Mirrors the associations of a tracked object''s records with another object''s into table hubspot.<from>_<to>, a row for each type; the other one need not be tracked. Read once the object is loaded, then every hour and whenever a record changes. SH020, SH101, SH102.';

create or replace function hubspot.untrack_associations(from_object text, to_object text, drop_table boolean default false)
returns void
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  -- A pair that is kept by a name which another object has by now goes first.
  v_from text := coalesce((select p.from_object from hubspot_private.pairs p where p.from_object = untrack_associations.from_object limit 1),
    (hubspot_private.object_find(from_object)).name, from_object);
  v_to text := coalesce((select p.to_object from hubspot_private.pairs p where p.to_object = untrack_associations.to_object limit 1),
    (hubspot_private.object_find(to_object)).name, to_object);
  v_pair hubspot_private.pairs;
begin
  select p.* into v_pair from hubspot_private.pairs p where p.from_object = v_from and p.to_object = v_to;
  -- What is no longer tracked may still have its table.
  if not found or not (v_pair.is_tracked or drop_table) then
    perform hubspot_private.fail('associations_not_tracked', coalesce(from_object, 'null'), coalesce(to_object, 'null'),
      quote_nullable(from_object), quote_nullable(to_object));
  end if;
  delete from hubspot_private.streams s where s.object = v_from and s.stream = 'associations' and s.range = v_pair.number;
  update hubspot_private.runs r set state = 'stopped', finished_at = hubspot_private.clock()
  where r.object = v_from and r.stream = 'associations' and r.range = v_pair.number and r.state in ('waiting', 'running');
  update hubspot_private.problems q set resolved_at = hubspot_private.clock()
  where q.object in (v_from, v_to) and q.resolved_at is null
    and (q.property = v_pair.table_name and q.code = 'SH217' or q.property = format('association_types %s %s', v_from, v_to) and q.code = 'SH218');
  perform hubspot_private.pair_clear(v_pair.number);
  perform hubspot_private.session_require('hubspot.association_types');
  delete from hubspot.association_types a where a.from_object = v_from and a.to_object = v_to;
  update hubspot_private.pairs p set is_tracked = false where p.number = v_pair.number;
  if drop_table or v_pair.table_name is null then
    perform hubspot_private.pair_drop(v_pair);
  end if;
  perform hubspot_private.live_follow(v_pair.table_name);
  -- Named here alone, and not known.
  if not exists (select from hubspot_private.pairs p where v_to in (p.from_object, p.to_object) and p.is_tracked) then
    perform hubspot_private.problem_resolve('{SH102}', o.name)
    from hubspot_private.objects o where o.name = v_to and not o.is_tracked;
    delete from hubspot_private.objects o where o.name = v_to and not o.is_tracked and o.object_type_id is null and o.label is null;
  end if;
end;
$$;
comment on function hubspot.untrack_associations(text, text, boolean) is
  'Stops mirroring the associations of a pair; their table stays as it is, or goes with drop_table => true. SH115, SH119, SH127, SH220.';

create or replace view hubspot.association_pairs as
select p.from_object, p.to_object, p.table_name, p.is_tracked,
  to_timestamp((s.cursor ->> 'until')::bigint / 1000.0) as complete_until,
  case when s.cursor ? 'last' and s.run_id is not null then
    round(least((s.cursor ->> 'read')::numeric / greatest(n.rows, 1), 1), 4)
  end as sweep_progress,
  (select count(*) from hubspot_private.association_dirty d where d.pair = p.number) as waiting,
  s.next_at as next_run_at
from hubspot_private.pairs p
left join hubspot_private.streams s on s.object = p.from_object and s.stream = 'associations' and s.range = p.number
left join lateral (
  select sum(t.rows) as rows from hubspot_private.streams t where t.object = p.from_object and t.stream <> 'associations'
) n on true
order by p.from_object, p.to_object;
comment on view hubspot.association_pairs is
  'Pairs of objects whose associations are mirrored, and how far: select hubspot.track_associations(''deals'', ''contacts'');';

create or replace function hubspot_private.pairs_mend(object text)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_pair integer;
begin
  for v_pair in
    select p.number from hubspot_private.pairs p
    where p.from_object = pairs_mend.object and p.is_tracked and p.table_name is not null
      and hubspot_private.mirror_table(p.table_name) is null
  loop
    perform hubspot_private.pair_build(v_pair);
    update hubspot_private.streams s set next_at = hubspot_private.clock()
    where (s.object, s.stream, s.range) = (pairs_mend.object, 'associations', v_pair);
  end loop;
end;
$$;
comment on function hubspot_private.pairs_mend(text) is 'Makes association tables anew that someone dropped; a sweep fills them.';
