-- What a page would write, looked at once more for what it leaves out: of these records alone, as most pages write few.
create or replace function hubspot_private.page_disguised(o hubspot_private.objects, stream text, body jsonb, ids text[])
returns bigint[]
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select array_agg((r.value ->> 'id')::bigint)
  from jsonb_array_elements(page_disguised.body -> 'results') r
  where page_disguised.stream <> 'fetch' and (select hubspot_private.is_explicit(page_disguised.o)) and r.value ->> 'id' = any (page_disguised.ids)
    and not r.value -> 'properties' ?& (select hubspot_private.asked_properties((page_disguised.o).name));
$$;
comment on function hubspot_private.page_disguised(hubspot_private.objects, text, jsonb, text[]) is
  'Of these records those that lack a property, and have as many as the others by one that nobody asked for: they are read by id.';

create or replace function hubspot_private.page_losing(o hubspot_private.objects, body jsonb, ids bigint[])
returns jsonb
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_names text[] := array(
    select distinct n from jsonb_array_elements(body -> 'results') r, unnest(hubspot_private.asked_properties(o.name)) n
    where not r.value -> 'properties' ? n);
  v_losing jsonb;
begin
  if v_names <> '{}' then
    execute format(
      'select jsonb_object_agg(l.property, l.ids) from (
         select n.property, jsonb_agg(t.id) as ids from hubspot.%I t
         join jsonb_to_recordset($2 -> ''results'') r (id text, properties jsonb) on r.id = t.id::text
         cross join lateral (values %s) n (property, is_held)
         where t.id = any ($1) and n.is_held and not r.properties ? n.property
         group by 1) l', o.table_name, (
        select string_agg(format('(%L, %s t._extra ? %1$L)', p.property, case when p.column_name is not null then format('t.%I is not null or', p.column_name) end), ', ')
        from hubspot_private.properties p where p.object = o.name and p.property = any (v_names)))
    into v_losing using ids, body;
  end if;
  return v_losing;
end;
$$;
comment on function hubspot_private.page_losing(hubspot_private.objects, jsonb, bigint[]) is
  'What rows of these records have and a page leaves out: {property: [id]}; null: nothing.';

create or replace function hubspot_private.page_silent(o hubspot_private.objects, stream text, body jsonb, ids bigint[], asked_at timestamptz)
returns bigint[]
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_losing constant jsonb := hubspot_private.page_losing(o, body, ids);
  v_doubted text[];
  v_ids bigint[];
begin
  if v_losing is null then
    return '{}';
  end if;
  -- Archived, it is in the definitions no more.
  v_doubted := hubspot_private.definitions_doubt(o.name, array(select n from unnest(hubspot_private.page_unmentioned(o, body)) n where v_losing ? n), asked_at);
  -- Still defined, it is empty, where that is said four times.
  select array_agg(distinct i::bigint) into v_ids
  from jsonb_each(v_losing) l, jsonb_array_elements_text(l.value) i
  where l.key = any (v_doubted) or not exists (
    select from hubspot_private.fetch_queue q where stream = 'fetch' and q.object = o.name and q.id = i::bigint and (q.doubts ->> 'lacking')::integer >= 3);
  return coalesce(v_ids, '{}');
end;
$$;
comment on function hubspot_private.page_silent(hubspot_private.objects, text, jsonb, bigint[], timestamptz) is
  'Where HubSpot was never seen to write null: of these records those that a page would take a value from by leaving its property out, until it was left out four times, and the definitions still have it.';

create or replace function hubspot_private.ids_doubted(object text, ids bigint[])
returns bigint[]
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select array(select q.id from hubspot_private.fetch_queue q where q.object = ids_doubted.object and (ids_doubted.ids is null or q.id = any (ids_doubted.ids)));
$$;
comment on function hubspot_private.ids_doubted(text, bigint[]) is 'Of these ids (null: of all) those of the fetch queue, which may be in it for what they lack.';

create or replace function hubspot_private.lacking_is_general(o hubspot_private.objects, lacks jsonb, tried bigint[])
returns boolean
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_ids constant bigint[] := array(select k::bigint from jsonb_object_keys(lacks) k);
begin
  return cardinality(v_ids) - cardinality(hubspot_private.ids_doubted(o.name, v_ids)) >= 10
    or cardinality(v_ids) > 1 and v_ids <@ tried and hubspot_private.control_id(o.name, hubspot_private.ids_doubted(o.name, null)) is null;
end;
$$;
comment on function hubspot_private.lacking_is_general(hubspot_private.objects, jsonb, bigint[]) is
  'Whether what all records of a page lack (lacks; tried: those that lack it for the fourth time) can be no fault of theirs: ten that nobody doubted do, or all that there are.';

create or replace function hubspot_private.lacking_recall(object text)
returns void
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  update hubspot_private.fetch_queue q
  set doubts = q.doubts - 'lacking', attempts = 0, not_before = hubspot_private.clock(), turn_at = null
  where q.object = lacking_recall.object and q.id = any (array(
    -- What another step holds, it looks at itself.
    select x.id from hubspot_private.fetch_queue x where x.object = lacking_recall.object and x.doubts ? 'lacking' for no key update skip locked));
  select hubspot_private.stream_wake(lacking_recall.object, 'fetch');
$$;
comment on function hubspot_private.lacking_recall(text) is 'Has all that waits for its properties read at once, as if it had lacked nothing yet: they are believed in another way from now on.';

create or replace function hubspot_private.empty_doubt(o hubspot_private.objects, stream text, body jsonb, lacks jsonb, unmentioned text[])
returns boolean
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_is_list constant boolean := hubspot_private.is_listed();
  v_ids constant bigint[] := array(select k::bigint from jsonb_object_keys(lacks) k);
  v_losing bigint[];
  v_alike bigint[];
  v_is_absent boolean;
begin
  if jsonb_path_exists(body, '$.results[*].properties.* ? (@ == null)') then
    return false;
  end if;
  -- A cut answer leaves out what rows have, or writes null elsewhere. This one leaves out what they do not have, all of it.
  v_losing := array(
    select distinct i::bigint from jsonb_each(hubspot_private.page_losing(o, body, v_ids)) l, jsonb_array_elements_text(l.value) i);
  execute format('select array(select t.id from hubspot.%I t where t.id = any ($1))', o.table_name)
  into v_alike using array(
    select i from unnest(v_ids) i
    -- What no record shows, as one that HubSpot keeps back, tells nothing of that.
    where i <> all (v_losing) and exists (select from jsonb_array_elements_text(lacks -> i::text) n where n <> all (unmentioned)));
  v_is_absent := cardinality(v_alike) >= greatest(3, 3 * cardinality(v_losing));
  if v_is_absent and hubspot_private.absent_at(o) is null then
    update hubspot_private.objects x
    set list_absent_at = case when v_is_list then hubspot_private.clock() else x.list_absent_at end,
      empty_absent_at = case when v_is_list then x.empty_absent_at else hubspot_private.clock() end
    where x.name = o.name and hubspot_private.absent_at(x) is null;
  elsif v_is_absent and (
    -- Those that nobody doubted tell, where there are any.
    stream <> 'fetch' or cardinality(v_alike) - cardinality(hubspot_private.ids_doubted(o.name, v_alike)) >= 3
    or hubspot_private.control_id(o.name, hubspot_private.ids_doubted(o.name, null)) is null)
  then
    update hubspot_private.objects x
    set is_list_explicit = x.is_list_explicit and not v_is_list, is_empty_explicit = x.is_empty_explicit and v_is_list,
      list_absent_at = case when not v_is_list then x.list_absent_at end, empty_absent_at = case when v_is_list then x.empty_absent_at end,
      -- A null that comes after all has all of it read again.
      lacked_at = hubspot_private.clock()
    where x.name = o.name and hubspot_private.absent_at(x) <= hubspot_private.clock() - interval '15 minutes';
    if found then
      -- What they lose is left out four times from here on.
      perform hubspot_private.lacking_recall(o.name);
    end if;
  end if;
  return v_is_absent;
end;
$$;
comment on function hubspot_private.empty_doubt(hubspot_private.objects, text, jsonb, jsonb, text[]) is
  'Whether a page, of a HubSpot that wrote null, looks as if it left out what is empty: no null, three records and more that lack only what their rows do not have, and three times as many as lack something else. Seen again after 15 minutes, by records that were not in doubt, and no null since, it is believed.';
