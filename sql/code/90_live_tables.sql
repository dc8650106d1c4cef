-- What the gateway has to know of a table before it asks HubSpot for it.
create or replace function hubspot_private.live_unasked(o hubspot_private.objects)
returns table (code text, why text)
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  select case
      when not hubspot_private.is_home() then 'SH005'
      when not a.is_connected then 'SH003'
      when p.is_paused or o.is_paused then 'SH232'
      else 'SH222'
    end,
    case
      when not hubspot_private.is_home() then hubspot_private.home_differs()
      when not a.is_connected then 'no HubSpot account is connected'
      when p.is_paused or o.is_paused then 'reading is paused: select hubspot.resume();'
      else format('object %s is archived in HubSpot', o.name)
    end
  from hubspot_private.account a
  cross join hubspot_private.pauses p
  where not hubspot_private.is_home() or not a.is_connected or p.is_paused or o.is_paused or o.archived_at is not null;
$$;
comment on function hubspot_private.live_unasked(hubspot_private.objects) is
  'Why HubSpot is not asked for an object at all, however long someone waits; no row: it is.';

create or replace function hubspot_private.live_filling(object text)
returns text[]
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_runs constant bigint[] := array(
    select r.id from hubspot_private.runs r where r.object = live_filling.object and r.stream in ('fill', 'resync') and r.state in ('waiting', 'running'));
begin
  -- Mostly there is none, and an object has hundreds of properties.
  if v_runs = '{}' then
    return '{}';
  end if;
  -- A property that changes its type keeps its column meanwhile: the next one is filled.
  return array(
    select coalesce(p.next_column, p.column_name)::text
    from hubspot_private.properties p
    where p.object = live_filling.object and p.fill_run = any (v_runs) and p.is_selected and p.column_name is not null
    order by p.property);
end;
$$;
comment on function hubspot_private.live_filling(text) is 'Columns that some rows lack or have an older value in, until a run has read them of all records.';

create or replace function hubspot_private.live_tables(names text[])
returns table (
  table_name name, object text, column_set integer, pair integer, keys text[], is_loaded boolean, filling text[],
  unasked_code text, unasked text, unasked_hint text, max_age_ms double precision, timeout_ms double precision, on_late text
)
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
  v_timeout double precision;
  v_on_late text;
begin
  -- Each query waits for this one: its plan is kept, which takes twice as long to make as to run.
  v_timeout := extract(epoch from hubspot_private.setting_interval('live_timeout')) * 1000;
  v_on_late := hubspot_private.setting('live_on_late') #>> '{}';
  return query
  select n.table_name, n.object, o.column_set, n.pair, n.keys, o.loaded_at is not null and n.is_swept,
    case when n.pair is null then hubspot_private.live_filling(o.name) else '{}' end,
    u.code, u.why, e.hint,
    extract(epoch from coalesce(m.max_age, '0')) * 1000::double precision, v_timeout, v_on_late
  from (
    select x.table_name, x.name as object, null::integer as pair, '{id}'::text[] as keys, true as is_swept
    from hubspot_private.objects x where x.table_name = any (live_tables.names::name[]) and x.column_set > 0
    union all
    select p.table_name, p.from_object, p.number, array[p.from_column, p.to_column]::text[],
      -- The first sweep is done, and nothing of it is left to ask again.
      exists (
        select from hubspot_private.streams s
        where (s.object, s.stream, s.range) = (p.from_object, 'associations', p.number) and s.cursor ->> 'until' is not null)
    from hubspot_private.pairs p where p.table_name = any (live_tables.names::name[]) and p.is_tracked
  ) n
  join hubspot_private.objects o on o.name = n.object and o.is_tracked
  left join lateral hubspot_private.live_unasked(o) u on true
  left join hubspot_private.errors e on e.code = u.code and u.code <> 'SH232'
  left join hubspot_private.max_ages m on m.table_name = n.table_name;
end;
$$;
comment on function hubspot_private.live_tables(text[]) is 'What the gateway has to know of tables of the mirror, and how long a query waits. Others are left out.';
