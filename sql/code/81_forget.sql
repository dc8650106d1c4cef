-- Privacy: a record leaves everything that holds it, and its tombstone keeps the id and times. Like gone_apply invoker, no SET,
-- everything qualified, since users' triggers run under it.
create or replace function hubspot_private.record_erase(object text, stream text, range integer, ids bigint[])
returns bigint
language plpgsql
volatile
as $$
#variable_conflict use_variable
declare
  v_object hubspot_private.objects;
  v_ids bigint[];
  v_deleted bigint := 0;
begin
  select o.* into strict v_object from hubspot_private.objects o where o.name = object;
  -- What was merged into it was the same person's.
  v_ids := array(
    select i from pg_catalog.unnest(ids) i
    union
    select m.lost_id from hubspot.merges m where m.object = v_object.name and m.kept_id = any (ids)
    order by 1);
  if pg_catalog.to_regclass(pg_catalog.format('hubspot.%I', v_object.table_name)) is not null then
    perform hubspot_private.stream_marks_writing(object, stream, range);
    execute pg_catalog.format(
      'with d as (delete from hubspot.%I t where t.id = any ($1) returning 1) select count(*) from d', v_object.table_name)
    into v_deleted using v_ids;
  end if;
  perform hubspot_private.edges_forget(object, stream, range, v_ids);
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
  delete from hubspot_private.problems p where p.object = v_object.name and p.record_id = any (v_ids);
  delete from hubspot_private.inbox i
  where i.ids <@ v_ids and i.object_type = any (array(
    select t from (select distinct n.object_type as t from hubspot_private.inbox n) n
    where hubspot_private.webhook_object(t) = v_object.name));
  delete from hubspot.merges m where m.object = v_object.name and (m.kept_id = any (v_ids) or m.lost_id = any (v_ids));
  delete from hubspot_private.erasures e where e.object = v_object.name and e.id = any (v_ids);
  -- The row above left a change just now.
  perform hubspot_private.changes_forget(v_object.name, i) from pg_catalog.unnest(v_ids) i;
  return v_deleted;
end;
$$;
comment on function hubspot_private.record_erase(text, text, integer, bigint[]) is
  'Erases records, and what was merged into them, from the mirror and from all that is remembered; tombstones keep ids and times. Returns the rows deleted.';
revoke all on function hubspot_private.record_erase(text, text, integer, bigint[]) from public;

create or replace function hubspot_private.records_erase_each(object text, stream text, range integer, ids bigint[])
returns void
language plpgsql
volatile
as $$
#variable_conflict use_variable
declare
  v_id bigint;
  v_deleted bigint;
begin
  foreach v_id in array ids loop
    begin
      v_deleted := hubspot_private.record_erase(object, stream, range, array[v_id]);
      update hubspot_private.streams s set rows = s.rows - v_deleted
      where (s.object, s.stream, s.range) = (object, stream, range) and v_deleted > 0;
    exception when others then
      -- A trigger of the user's, on a row that was kept as archived: the next look tries again, and no page waits for it.
      if sqlstate ~ '^(08|40|53|55|57)' then
        raise;
      end if;
      perform hubspot_private.problem_report('SH213', object, pg_catalog.format('a record that was deleted for privacy cannot be erased: %s', sqlerrm), null, v_id);
    end;
  end loop;
end;
$$;
comment on function hubspot_private.records_erase_each(text, text, integer, bigint[]) is
  'Erases records within a step, one by one; one that the user''s own triggers do not let go has a problem.';
revoke all on function hubspot_private.records_erase_each(text, text, integer, bigint[]) from public;

create or replace function hubspot_private.erasures_due(object text, ids bigint[])
returns bigint[]
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select array(
    select e.id from hubspot_private.erasures e
    where e.object = erasures_due.object and e.id = any (erasures_due.ids)
    order by e.id);
$$;
comment on function hubspot_private.erasures_due(text, bigint[]) is 'Of records that were just seen gone, those that a webhook said were deleted for privacy.';

create or replace function hubspot_private.erasures_found(object text)
returns bigint[]
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  -- Without a webhook a privacy deletion shows only by what it lacks: a contact is gone, and was not in the recycle bin, long
  -- before the 90 days after which that gives anything up.
  select array(
    select g.id from hubspot_private.tombstones g
    where g.object = erasures_found.object and g.erased_at is null and g.purged_at < g.seen_gone_at + interval '80 days'
      and exists (select from hubspot_private.objects o where o.name = g.object and o.object_type_id = '0-1')
      and not exists (select from hubspot.merges m where m.object = g.object and m.lost_id = g.id)
    order by g.id);
$$;
comment on function hubspot_private.erasures_found(text) is 'Contacts that went without a trace: HubSpot deletes for privacy so.';

create or replace function hubspot_private.usual_search_path()
returns text
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  -- Never the caller's: what runs under it has the owner's rights.
  select coalesce((
    select substr(c.setting, length('search_path=') + 1)
    from pg_db_role_setting r
    cross join unnest(r.setconfig) c (setting)
    where c.setting like 'search\_path=%' and r.setdatabase in (0, (select d.oid from pg_database d where d.datname = current_database()))
      and r.setrole in (0, (select o.oid from pg_roles o where o.rolname = current_user))
    order by r.setrole = 0, r.setdatabase = 0
    limit 1), '"$user", public');
$$;
comment on function hubspot_private.usual_search_path() is 'The search path of the owner''s sessions, which a worker''s have.';

create or replace function hubspot.forget(object text, id bigint)
returns void
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_object hubspot_private.objects := hubspot_private.object_find(object);
  v_is_here boolean := false;
  v_deleted bigint;
begin
  -- What is no longer tracked may still have its table.
  if v_object.name is null or not (v_object.is_tracked or v_object.column_set > 0) then
    v_object := hubspot_private.object_tracked(object);
  end if;
  if id is null or id not between 0 and 999999999999999999 then
    perform hubspot_private.fail('argument_invalid', 'the id is null or out of range', format('Give HubSpot''s id: select hubspot.forget(%L, 42);', v_object.name));
  end if;
  -- First of all, as in step_commit.
  perform hubspot_private.object_lock(v_object.number, true);
  insert into hubspot_private.streams (object, stream) values (v_object.name, 'forget') on conflict on constraint streams_pkey do nothing;
  perform from hubspot_private.streams s where (s.object, s.stream, s.range) = (v_object.name, 'forget', 0) for update;
  if v_object.is_tracked and to_regclass(format('hubspot.%I', v_object.table_name)) is not null then
    execute format('select exists (select from %s and t.id = $1)', hubspot_private.live_rows(v_object)) into v_is_here using id;
  end if;
  -- Users' triggers find what they find when a worker deletes a row; what is called below names everything in full.
  perform set_config('search_path', hubspot_private.usual_search_path(), true);
  v_deleted := hubspot_private.record_erase(v_object.name, 'forget', 0, array[id]);
  update hubspot_private.streams s set rows = s.rows - v_deleted
  where (s.object, s.stream, s.range) = (v_object.name, 'forget', 0);
  if v_is_here then
    raise notice '% % was in HubSpot when it was last read', v_object.name, id
      using hint = 'Delete it there as well, for privacy: while HubSpot has it, it comes back when it is read again.';
  end if;
end;
$$;
comment on function hubspot.forget(text, bigint) is
  'Erases a record, and what was merged into it: row, associations, changes, problems, all that waits. Its tombstone keeps id and times, the feed that it was deleted, by its id alone. What HubSpot still has comes back when it is read again: delete it there first. SH101, SH104.';
revoke all on function hubspot.forget(text, bigint) from public;
