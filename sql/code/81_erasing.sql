-- Privacy: a record leaves everything that holds it, and its tombstone keeps the id and times.
create or replace function hubspot_private.erasing_waits(held bigint)
returns void
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
begin
  if held > 0 then
    raise exception using errcode = '55P03', message = 'someone holds its row, or an association of it';
  end if;
end;
$$;
comment on function hubspot_private.erasing_waits(bigint) is 'So many rows are to be erased, and others hold them: 55P03.';

create or replace function hubspot_private.edges_erase(object text, stream text, range integer, ids bigint[])
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
  -- Of pairs that are no longer tracked, too, as long as they have their tables.
  for v_pair in select p.* from hubspot_private.pairs p where object in (p.from_object, p.to_object) order by p.number loop
    v_edges := hubspot_private.edges_of(v_pair, ids, v_pair.from_object = object, v_pair.to_object = object);
    continue when v_edges is null;
    v_free := hubspot_private.edges_free(v_pair, v_edges);
    perform hubspot_private.erasing_waits(pg_catalog.cardinality(v_edges) - coalesce(pg_catalog.cardinality(v_free), 0));
    perform hubspot_private.stream_marks_writing(object, stream, range);
    perform hubspot_private.edges_delete(v_pair, v_edges);
  end loop;
  perform hubspot_private.edges_forget(object, stream, range, ids);
end;
$$;
comment on function hubspot_private.edges_erase(text, text, integer, bigint[]) is
  'Deletes all associations of records, and what of them is half read. 55P03 where someone holds one.';
revoke all on function hubspot_private.edges_erase(text, text, integer, bigint[]) from public;

create or replace function hubspot_private.is_named(ids bigint[], words text)
returns boolean
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
  select exists (select from regexp_matches(is_named.words, '\m\d{1,18}\M', 'g') m where m[1]::bigint = any (is_named.ids));
$$;
comment on function hubspot_private.is_named(bigint[], text) is 'Whether a text names one of these ids.';

create or replace function hubspot_private.words_erase(o hubspot_private.objects, ids bigint[])
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_others constant text[] := array(
    select case when p.from_object = o.name then p.to_object else p.from_object end
    from hubspot_private.pairs p where o.name in (p.from_object, p.to_object));
begin
  delete from hubspot_private.problems p where p.object = o.name and p.record_id = any (ids);
  -- What the database, or a function of the user's, said of all of an object may quote any of its records; what names a record of
  -- this one, one of its associations among others, quotes that.
  update hubspot_private.problems p
  set message = 'what it said was erased, with a record that it may have named', hint = case when not hubspot_private.is_named(ids, p.hint) then p.hint end
  where p.object = o.name and (p.record_id is null and p.code in ('SH009', 'SH224', 'SH901') or p.code = 'SH221' and p.message ~ ': record \d+: ')
    -- A record of another object may have its id.
    or p.object = any (o.name || v_others) and (p.record_id = any (ids)) is not true
      and (hubspot_private.is_named(ids, p.message) or hubspot_private.is_named(ids, p.hint));
  update hubspot_private.runs r set error = null
  where r.error is not null and (
    r.object = o.name and r.error_code in ('SH009', 'SH901') or r.object = any (o.name || v_others) and hubspot_private.is_named(ids, r.error));
  update hubspot_private.deliveries d set error = null
  from hubspot_private.subscriptions s
  where s.id = d.subscription and s.object = any (o.name || v_others) and hubspot_private.is_named(ids, d.error);
  update hubspot_private.properties p set carry_refusal = 'a record that was erased'
  where p.object = o.name and p.carry_refusal is not null;
end;
$$;
comment on function hubspot_private.words_erase(hubspot_private.objects, bigint[]) is
  'Erases problems of records, and what others said that may quote them.';

create or replace function hubspot_private.record_erase(object text, stream text, range integer, ids bigint[])
returns bigint
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_object hubspot_private.objects;
  v_ids bigint[];
  v_count bigint;
  v_free bigint;
  v_deleted bigint := 0;
begin
  select o.* into strict v_object from hubspot_private.objects o where o.name = object;
  -- What was merged into it was the same person's.
  v_ids := array(
    select i from pg_catalog.unnest(ids) i
    union
    select m.lost_id from hubspot.merges m where m.object = v_object.name and m.kept_id = any (ids)
    order by 1);
  if hubspot_private.mirror_table(v_object.table_name) is not null then
    execute pg_catalog.format(
      'select count(*), (select count(*) from (select from hubspot.%1$I l where l.id = any ($1) order by l.id for update skip locked) f)
       from hubspot.%1$I t where t.id = any ($1)', v_object.table_name)
    into v_count, v_free using v_ids;
    perform hubspot_private.erasing_waits(v_count - v_free);
    perform hubspot_private.stream_marks_writing(object, stream, range);
    execute pg_catalog.format(
      'with d as (delete from hubspot.%I t where t.id = any ($1) returning 1) select count(*) from d', v_object.table_name)
    into v_deleted using v_ids;
    perform pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
    perform hubspot_private.edges_kept(v_count - v_deleted);
  end if;
  perform hubspot_private.edges_erase(object, stream, range, v_ids);
  insert into hubspot_private.tombstones as g (object, id, seen_gone_at, erased_at)
  select v_object.name, i, hubspot_private.clock(), hubspot_private.clock() from pg_catalog.unnest(v_ids) i order by i
  on conflict on constraint tombstones_pkey do update
  set seen_gone_at = case when g.id = any (ids) then excluded.seen_gone_at else g.seen_gone_at end, erased_at = excluded.erased_at;
  delete from hubspot_private.absences a where a.object = v_object.name and a.id = any (v_ids);
  delete from hubspot_private.listed l where l.object = v_object.name and l.id = any (v_ids);
  delete from hubspot_private.fetch_queue q where q.object = v_object.name and q.id = any (v_ids);
  update hubspot_private.fetch_asks a
  set ids = array(select i from pg_catalog.unnest(a.ids) i where i <> all (v_ids))
  where a.object_number = v_object.number and a.ids && v_ids;
  delete from hubspot_private.hints h where h.object = v_object.name and h.id = any (v_ids);
  -- The row above left a change just now. A delivery that is waited for may leave a problem.
  perform hubspot_private.changes_forget(v_object.name, v_ids);
  perform hubspot_private.words_erase(v_object, v_ids);
  delete from hubspot_private.inbox i
  where i.ids <@ v_ids and i.object_type = any (array(
    select t from (select distinct n.object_type as t from hubspot_private.inbox n) n
    where hubspot_private.webhook_object(t) = v_object.name));
  -- What it was merged into itself tells of it as long as that is there, and would not be read again for this.
  delete from hubspot.merges m where m.object = v_object.name and m.kept_id = any (v_ids);
  delete from hubspot_private.erasures e where e.object = v_object.name and e.id = any (v_ids);
  return v_deleted;
end;
$$;
comment on function hubspot_private.record_erase(text, text, integer, bigint[]) is
  'Erases records, and what was merged into them, from the mirror and from all that is remembered; tombstones keep ids and times. Returns the rows deleted. 55P03 where someone holds one, P0001 where a trigger keeps it.';
revoke all on function hubspot_private.record_erase(text, text, integer, bigint[]) from public;

create or replace function hubspot_private.records_erase(object text, stream text, range integer, ids bigint[])
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_deleted bigint;
begin
  v_deleted := hubspot_private.record_erase(records_erase.object, records_erase.stream, records_erase.range, ids);
  update hubspot_private.streams s set rows = s.rows - v_deleted
  where (s.object, s.stream, s.range) = (records_erase.object, records_erase.stream, records_erase.range) and v_deleted > 0;
end;
$$;
comment on function hubspot_private.records_erase(text, text, integer, bigint[]) is 'record_erase, and the stream''s rows counted.';
revoke all on function hubspot_private.records_erase(text, text, integer, bigint[]) from public;

create or replace function hubspot_private.records_erase_each(object text, stream text, range integer, ids bigint[])
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_id bigint;
begin
  if pg_catalog.cardinality(ids) > 1 then
    -- All at once, which looks through the feed once.
    begin
      perform hubspot_private.records_erase(object, stream, range, ids);
      return;
    exception when others or assert_failure then
      if sqlstate ~ '^(08|53|57|58)' then
        raise;
      end if;
    end;
  end if;
  foreach v_id in array ids loop
    begin
      perform hubspot_private.records_erase(object, stream, range, array[v_id]);
    exception when others or assert_failure then
      -- A trigger of the user's, or someone holds a row: it is tried again, and neither a page nor another record waits for it.
      if sqlstate ~ '^(08|53|57|58)' then
        raise;
      end if;
      perform hubspot_private.problem_report('SH213', object,
        pg_catalog.format('record %s of %s was deleted for privacy and cannot be erased: %s (%s)', v_id, object, sqlerrm, sqlstate),
        'It is tried again by itself. Where a trigger or a reference of yours keeps it, let it go.', v_id);
    end;
  end loop;
end;
$$;
comment on function hubspot_private.records_erase_each(text, text, integer, bigint[]) is
  'Erases records within a step; one that someone holds, or the user''s own triggers do not let go, has a problem, and the others are erased.';
revoke all on function hubspot_private.records_erase_each(text, text, integer, bigint[]) from public;

create or replace function hubspot_private.erasures_due(object text, ids bigint[], is_open boolean default false)
returns bigint[]
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select array(
    select e.id from hubspot_private.erasures e
    where e.object = erasures_due.object and e.id = any (erasures_due.ids) and not (erasures_due.is_open and e.is_certain)
    order by e.id);
$$;
comment on function hubspot_private.erasures_due(text, bigint[], boolean) is
  'Of these records those that are to be erased; is_open: without those that are erased whatever a read finds.';

create or replace function hubspot_private.erasures_leave(object text, ids bigint[])
returns bigint[]
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  with certain as (
    -- Tried, and so alone from now on.
    update hubspot_private.erasures e
    set is_certain = true, attempts = greatest(e.attempts, 1), next_at = hubspot_private.clock()
    where e.object = erasures_leave.object and e.id = any (erasures_leave.ids) and not e.is_certain
    returning e.id
  )
  select coalesce(array_agg(c.id), '{}') from certain c;
$$;
comment on function hubspot_private.erasures_leave(text, bigint[]) is
  'Leaves the erasing of records that a read did not find to erasures_take(), each by itself. Returns those that were to be erased.';

create or replace function hubspot_private.erasures_found(object text)
returns bigint[]
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  -- Without a webhook a privacy deletion shows only by what it lacks, and to erase cannot be undone. So all of it has to hold: a
  -- contact that a full read found went, was given up within the 80 days after that (the recycle bin keeps 90), and was never listed
  -- as archived; days later another full read does not know it, nor into whom it could have been merged; and nobody is to read it.
  select array(
    select g.id from hubspot_private.tombstones g
    where g.object = erasures_found.object and g.erased_at is null and g.archived_at is null
      and g.purged_at < g.alive_at + interval '80 days' and g.seen_gone_at < hubspot_private.clock() - interval '3 days'
      and exists (select from hubspot_private.objects o where o.name = g.object and o.object_type_id = '0-1')
      and exists (
        select from hubspot_private.runs r
        where r.object = g.object and r.stream = 'resync' and r.state = 'done' and r.started_at > g.seen_gone_at)
      and not exists (select from hubspot.merges m where m.object = g.object and m.lost_id = g.id)
      and not exists (select from hubspot_private.fetch_queue q where (q.object, q.id) = (g.object, g.id))
    order by g.id);
$$;
comment on function hubspot_private.erasures_found(text) is 'Contacts that surely went without a trace: HubSpot deletes for privacy so.';

create or replace function hubspot_private.erasures_believed(o hubspot_private.objects)
returns bigint[]
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_ids constant bigint[] := hubspot_private.erasures_found(o.name);
  v_rows bigint;
begin
  if cardinality(v_ids) > (hubspot_private.setting('held_deletes'))::bigint then
    execute format('select count(*) from hubspot.%I', o.table_name) into v_rows;
    if cardinality(v_ids) > v_rows * (hubspot_private.setting('held_deletes_percent'))::numeric / 100 then
      perform hubspot_private.problem_report('SH216', o.name,
        format('%s records of %s are gone without a trace, as if they were deleted for privacy', cardinality(v_ids), o.name),
        format('So many are erased only if you say that it is right: select hubspot.forget(%L, i) from unnest(hubspot_private.erasures_found(%1$L)) i;', o.name),
        null, 'erasing');
      return '{}';
    end if;
  end if;
  perform hubspot_private.problem_resolve('{SH216}', o.name, null, 'erasing');
  return v_ids;
end;
$$;
comment on function hubspot_private.erasures_believed(hubspot_private.objects) is
  'Of contacts that went without a trace all, or none: as many as settings held_deletes and held_deletes_percent hold back have a problem.';
