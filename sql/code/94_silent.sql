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

create or replace function hubspot_private.page_silent(o hubspot_private.objects, stream text, body jsonb, ids bigint[], asked_at timestamptz)
returns bigint[]
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_names text[] := array(
    select distinct n from jsonb_array_elements(body -> 'results') r, unnest(hubspot_private.asked_properties(o.name)) n
    where not r.value -> 'properties' ? n);
  v_losing jsonb;
  v_doubted text[];
  v_ids bigint[];
begin
  if v_names = '{}' then
    return '{}';
  end if;
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
  if v_losing is null then
    return '{}';
  end if;
  -- Archived, it is in the definitions no more.
  v_doubted := hubspot_private.definitions_doubt(o.name, array(select n from unnest(hubspot_private.page_unmentioned(o, body)) n where v_losing ? n), asked_at);
  -- Still defined, it is empty, where that is said four times.
  select array_agg(distinct i::bigint) into v_ids
  from jsonb_each(v_losing) l, jsonb_array_elements_text(l.value) i
  where l.key = any (v_doubted) or not exists (
    select from hubspot_private.fetch_queue q where stream = 'fetch' and q.object = o.name and q.id = i::bigint and q.attempts >= 3);
  return coalesce(v_ids, '{}');
end;
$$;
comment on function hubspot_private.page_silent(hubspot_private.objects, text, jsonb, bigint[], timestamptz) is
  'Where HubSpot was never seen to write null: of these records those that a page would take a value from by leaving its property out, until it was left out four times, and the definitions still have it.';
