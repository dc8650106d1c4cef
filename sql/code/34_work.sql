-- Whether a stream may run, and whether it has something to do: asked by claims, releases, sweeps and views alike.
create or replace function hubspot_private.pair_is_open(pair integer)
returns boolean
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
begin
  return exists (
    select from hubspot_private.pairs p
    join hubspot_private.objects t on t.name = p.to_object and t.archived_at is null
    where p.number = pair and p.is_tracked and p.table_name is not null);
end;
$$;
comment on function hubspot_private.pair_is_open(integer) is 'Whether a pair''s associations may be read now: tracked, with a table, its other object not archived.';

create or replace function hubspot_private.stream_is_open(s hubspot_private.streams)
returns boolean
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
  o hubspot_private.objects;
begin
  -- Open: connected, not paused, and what the stream builds on is there. A question at a time: one query for all would be
  -- planned anew for every stream, as its plan differs with the stream (67 µs, 20 this way).
  if not (select a.is_connected from hubspot_private.account a) or (select p.is_paused from hubspot_private.pauses p) then
    return false;
  elsif s.object = '*' then
    return true;
  end if;
  select x.* into o from hubspot_private.objects x where x.name = s.object;
  return found and o.is_tracked and not o.is_paused and o.archived_at is null
    and (o.object_type_id is not null or o.label is not null)
    and (s.stream = 'schema' or o.column_set > 0)
    -- Polls begin where the first load's first answer says.
    and (s.stream not in ('poll', 'settle') or o.searches_from is not null)
    and (s.stream not in ('resync', 'fill', 'associations') or o.loaded_at is not null)
    and (s.stream <> 'associations' or hubspot_private.pair_is_open(s.range));
end;
$$;
comment on function hubspot_private.stream_is_open(hubspot_private.streams) is 'Whether a stream may run at all now.';

create or replace function hubspot_private.stream_is_held(s hubspot_private.streams)
returns boolean
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
  select s.run_id is not null and s.cursor ->> 'absences' is not distinct from 'held';
$$;
comment on function hubspot_private.stream_is_held(hubspot_private.streams) is 'Whether a full read waits for hubspot.confirm_deletes().';

create or replace function hubspot_private.stream_has_work(s hubspot_private.streams, horizon timestamptz)
returns boolean
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  -- Never null: to a claim an unknown would be a yes.
  if s.run_id is not null and not hubspot_private.stream_is_held(s) then
    return true;
  end if;
  if s.stream in ('backfill', 'resync') then
    -- While parts of a full read are under way, none begins.
    if exists (
      select from hubspot_private.streams p
      where p.object = s.object and p.stream = s.stream and p.range <> s.range and p.run_id is not null)
    then
      return false;
    end if;
  elsif s.stream = 'fetch' then
    if exists (select from hubspot_private.fetch_queue q where q.object = s.object and q.not_before <= horizon)
      or exists (select from hubspot_private.fetch_asks a join hubspot_private.objects o on o.number = a.object_number where o.name = s.object)
    then
      return true;
    end if;
  elsif s.stream = 'associations' then
    if exists (select from hubspot_private.association_dirty d where d.pair = s.range and d.not_before <= horizon) then
      return true;
    end if;
  end if;
  if s.next_at <= horizon then
    return true;
  end if;
  return exists (
    select from hubspot_private.runs r
    where r.object = s.object and r.stream = s.stream and r.range = s.range and r.state = 'waiting'
    -- One that is held is about to be asked for, by hubspot.verify(): it begins when that is committed.
    for key share skip locked);
end;
$$;
comment on function hubspot_private.stream_has_work(hubspot_private.streams, timestamptz) is
  'Whether a stream has something to do by then: a run under way or asked for, its time come, or ids to fetch.';
