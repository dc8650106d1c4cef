-- What ends its session: nothing in that transaction can tell which record it is, so each is read and written alone.
create or replace function hubspot_private.apart_message()
returns text
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
  select 'the session in which that was tried ended each time, as by a trigger of yours';
$$;
comment on function hubspot_private.apart_message() is 'Why a record is refused whose writing ends the session.';

create or replace function hubspot_private.apart_ids(object text, ids bigint[])
returns bigint[]
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select array(
    select i from unnest(apart_ids.ids) i
    where exists (
        select from hubspot_private.fetch_queue q where q.object = apart_ids.object and q.id = i and q.reason = 'alone')
      or exists (
        select from hubspot_private.problems p
        where coalesce(p.object, '') = apart_ids.object and coalesce(p.record_id, 0) = i and p.code = 'SH213' and p.resolved_at is null
          and right(p.message, length(hubspot_private.apart_message())) = hubspot_private.apart_message()));
$$;
comment on function hubspot_private.apart_ids(text, bigint[]) is
  'Of these records those that have ended a session, or may have: each is read and written alone.';

create or replace function hubspot_private.page_apart(o hubspot_private.objects, ids bigint[])
returns bigint[]
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_since timestamptz;
  v_is_any_written boolean;
begin
  if cardinality(ids) = 1
    and exists (select from hubspot_private.fetch_queue q where q.object = o.name and q.id = ids[1] and q.reason = 'alone')
  then
    perform hubspot_private.problem_report('SH213', o.name,
      format('record %s of %s cannot be written: %s', ids[1], o.name, hubspot_private.apart_message()), null, ids[1]);
    return ids;
  end if;
  -- One that was refused is tried at its time, whatever else is asked meanwhile.
  ids := array(
    select i from unnest(ids) i
    where not exists (
      select from hubspot_private.fetch_queue q
      where q.object = o.name and q.id = i and q.reason = 'refused' and q.not_before > hubspot_private.clock()));
  -- Twenty at once, and none let through: it is no record's fault, and to ask for each alone would be for nothing.
  select p.first_seen_at into v_since from hubspot_private.problems p
  where p.object = o.name and p.code = 'SH213' and p.resolved_at is null and p.record_id <> all (ids)
    and right(p.message, length(hubspot_private.apart_message())) = hubspot_private.apart_message()
  order by p.first_seen_at
  offset 19 limit 1;
  if found then
    execute format('select exists (select from hubspot.%I t where t._synced_at >= $1)', o.table_name) into v_is_any_written using v_since;
    if not v_is_any_written then
      -- As the session's own end, after which nothing else is tried.
      raise admin_shutdown using message = 'records cannot be written: ' || hubspot_private.apart_message();
    end if;
  end if;
  perform hubspot_private.fetch_enqueue(o.name, ids, 'alone', hubspot_private.clock() + interval '1 second');
  update hubspot_private.fetch_queue q set reason = 'alone' where q.object = o.name and q.id = any (ids);
  return null;
end;
$$;
comment on function hubspot_private.page_apart(hubspot_private.objects, bigint[]) is
  'A step ended its session, and would write or delete these: they are read again one by one. The ids of what was alone already: it is refused.';
revoke all on function hubspot_private.page_apart(hubspot_private.objects, bigint[]) from public;
