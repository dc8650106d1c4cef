-- Object types: the standard ones of HubSpot's documentation, custom ones from its schemas, and how a name is resolved.
insert into hubspot_private.objects as o (name, object_type_id, label, modified_property, has_search, has_pipelines, table_name)
select s.name, s.object_type_id, s.label,
  case s.name when 'contacts' then 'lastmodifieddate' else 'hs_lastmodifieddate' end,
  s.name <> 'contracts',
  s.name in ('deals', 'tickets', 'appointments', 'courses', 'listings', 'orders', 'services', 'leads'),
  s.name
from (values
  ('contacts', '0-1', 'Contacts'), ('companies', '0-2', 'Companies'), ('deals', '0-3', 'Deals'),
  ('tickets', '0-5', 'Tickets'), ('products', '0-7', 'Products'), ('line_items', '0-8', 'Line items'),
  ('quotes', '0-14', 'Quotes'), ('communications', '0-18', 'Communications'),
  ('feedback_submissions', '0-19', 'Feedback submissions'), ('tasks', '0-27', 'Tasks'),
  ('notes', '0-46', 'Notes'), ('meetings', '0-47', 'Meetings'), ('calls', '0-48', 'Calls'), ('emails', '0-49', 'Emails'),
  ('invoices', '0-53', 'Invoices'), ('subscriptions', '0-69', 'Subscriptions'), ('goal_targets', '0-74', 'Goals'),
  ('discounts', '0-84', 'Discounts'), ('fees', '0-85', 'Fees'), ('taxes', '0-86', 'Taxes'),
  ('commerce_payments', '0-101', 'Payments'), ('users', '0-115', 'Users'), ('postal_mail', '0-116', 'Postal mail'),
  ('orders', '0-123', 'Orders'), ('leads', '0-136', 'Leads'), ('carts', '0-142', 'Carts'),
  ('services', '0-162', 'Services'), ('courses', '0-410', 'Courses'), ('listings', '0-420', 'Listings'),
  ('appointments', '0-421', 'Appointments'), ('projects', '0-970', 'Projects'), ('contracts', null, 'Contracts'),
  ('marketing_events', '0-54', 'Marketing events'), ('partner_clients', null, 'Partner clients'),
  ('partner_services', null, 'Partner services')
) as s (name, object_type_id, label)
on conflict (name) do nothing;

create or replace function hubspot_private.object_path(o hubspot_private.objects)
returns text
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
  -- The type id is the only form that always works in a path.
  select coalesce(o.object_type_id, o.name);
$$;
comment on function hubspot_private.object_path(hubspot_private.objects) is 'The path segment that names an object to HubSpot.';

create or replace function hubspot_private.live_rows(o hubspot_private.objects)
returns text
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
  select format('hubspot.%I t where %s', o.table_name, case o.on_delete when 'mark' then 't._archived_at is null' else 'true' end);
$$;
comment on function hubspot_private.live_rows(hubspot_private.objects) is 'SQL text: the rows t of an object that are not marked as archived.';

create or replace function hubspot_private.schema_name(o hubspot_private.objects)
returns text
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
  -- p123_thing is thing; with the portal's number in front no two have the same.
  select case when o.is_custom then regexp_replace(o.fully_qualified_name, '^p[0-9]+_', '') end;
$$;
comment on function hubspot_private.schema_name(hubspot_private.objects) is
  'The name that a custom object has in its schema. It goes by its fully qualified one where that name was taken.';

create or replace function hubspot_private.object_find(object text)
returns hubspot_private.objects
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select o
  from hubspot_private.objects o
  where object_find.object in (o.name, o.object_type_id, o.fully_qualified_name, hubspot_private.schema_name(o))
  -- One that is archived and has nothing here any more leaves its name to another that was made by it since.
  order by o.archived_at is null or o.is_tracked or o.column_set > 0 desc, o.name = object_find.object desc,
    object_find.object in (o.object_type_id, o.fully_qualified_name) desc
  limit 1;
$$;
comment on function hubspot_private.object_find(text) is
  'An object by name, fully qualified name or type id, or by the name in its schema; null when there is none.';

create or replace function hubspot_private.archived_hint(o hubspot_private.objects)
returns text
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select 'It is archived in HubSpot.' || coalesce((
    select format(' Another of that name is there: select hubspot.track(%L);', x.name)
    from hubspot_private.objects x
    where hubspot_private.schema_name(x) = archived_hint.o.name and x.archived_at is null
    limit 1), '');
$$;
comment on function hubspot_private.archived_hint(hubspot_private.objects) is
  'What to do about an object that is archived: the one that was made since by its name.';

create or replace function hubspot_private.object_tracked(object text)
returns hubspot_private.objects
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_object hubspot_private.objects := hubspot_private.object_find(object);
  v_near text;
begin
  if v_object.is_tracked then
    return v_object;
  end if;
  if object is null then
    perform hubspot_private.fail('argument_invalid', 'the object is null', 'Name one: table hubspot.object_types lists them.');
  end if;
  if v_object.name is null then
    v_near := hubspot_private.near_name(object, (select array_agg(o.name) from hubspot_private.objects o where o.is_tracked));
  end if;
  perform hubspot_private.fail('object_not_tracked', object, case
    when v_near is not null then format('Did you mean %s?', v_near)
    else format('Run select hubspot.track(%L);', coalesce(v_object.name,
      hubspot_private.near_name(object, (select array_agg(o.name) from hubspot_private.objects o)), object))
  end);
end;
$$;
comment on function hubspot_private.object_tracked(text) is 'A tracked object, or SH101.';

create or replace function hubspot_private.table_taken(name text)
returns boolean
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  -- Our own relations' names, those of later versions too, and tables that are here already.
  select table_taken.name = any (array[
      'status', 'runs', 'quota', 'properties', 'object_types', 'problems', 'changes', 'outbox', 'forecast', 'owners', 'pipelines',
      'pipeline_stages', 'property_options', 'association_types', 'association_pairs', 'change_subscriptions', 'schedules', 'audits', 'merges', 'settings',
      'webhooks'])
    or exists (select from hubspot_private.objects o where o.table_name = table_taken.name)
    or exists (
      select from pg_class c
      where c.relnamespace = 'hubspot'::regnamespace and c.relname = table_taken.name);
$$;
comment on function hubspot_private.table_taken(text) is 'Whether a relation of that name cannot be made in schema hubspot.';

create or replace function hubspot_private.table_name_for(object text)
returns name
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_name text := object;
begin
  if octet_length(v_name) > 56 then
    v_name := hubspot_private.short_name(v_name, '{}', '{}');
  end if;
  if hubspot_private.table_taken(v_name) then
    v_name := hubspot_private.short_name(v_name || '_object', '{}', '{}');
  end if;
  while hubspot_private.table_taken(v_name) loop
    v_name := hubspot_private.short_name(v_name || '_', '{}', '{}');
  end loop;
  return v_name;
end;
$$;
comment on function hubspot_private.table_name_for(text) is
  'The table of a custom object: its name, with _object where that name is taken.';

create or replace function hubspot_private.table_drop(name name)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_detail text;
begin
  if hubspot_private.name_holder(name) is null then
    perform hubspot_private.ddl_run(array[format('drop table if exists hubspot.%I', name)], array[format('hubspot.%I', name)]);
  end if;
exception when dependent_objects_still_exist then
  get stacked diagnostics v_detail = pg_exception_detail;
  perform hubspot_private.fail('table_in_use', quote_ident(name), replace(v_detail, e'\n', ', '));
end;
$$;
comment on function hubspot_private.table_drop(name) is
  'Drops a table of ours, if it is there; SH127 with what depends on it, where something of a user''s does; SH220.';

create or replace function hubspot_private.schemas_apply(schemas jsonb)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_schema record;
  v_ends text[];
  v_name text;
begin
  -- One that was deleted for good may have left its name to another. Where it is but the other end of a pair, which names it so,
  -- the pair is with the other now.
  with other as (
    update hubspot_private.objects o
    set object_type_id = s.value ->> 'objectTypeId', archived_at = null
    from jsonb_array_elements(schemas -> 'results') s
    where o.is_custom and not o.is_tracked and o.column_set = 0 and s.value ->> 'fullyQualifiedName' = o.fully_qualified_name
      and not exists (select from jsonb_array_elements(schemas -> 'results') t where t ->> 'objectTypeId' = o.object_type_id)
      and exists (select from hubspot_private.pairs p where p.is_tracked and p.to_object = o.name)
    returning o.name
  )
  select array_agg(o.name) into v_ends from other o;
  perform hubspot_private.pairs_restart(v_ends);
  -- Else what is kept of it gives the name up.
  delete from hubspot_private.objects o
  where o.is_custom and not o.is_tracked and o.column_set = 0 and exists (
      select from jsonb_array_elements(schemas -> 'results') s where s ->> 'fullyQualifiedName' = o.fully_qualified_name)
    and not exists (select from jsonb_array_elements(schemas -> 'results') s where s ->> 'objectTypeId' = o.object_type_id);
  update hubspot_private.objects o set fully_qualified_name = null
  where o.is_custom and exists (
      select from jsonb_array_elements(schemas -> 'results') s where s ->> 'fullyQualifiedName' = o.fully_qualified_name)
    and not exists (select from jsonb_array_elements(schemas -> 'results') s where s ->> 'objectTypeId' = o.object_type_id);
  for v_schema in
    select s ->> 'objectTypeId' as object_type_id, s ->> 'name' as name, s ->> 'fullyQualifiedName' as qualified,
      coalesce(s #>> '{labels,plural}', s #>> '{labels,singular}', s ->> 'name') as label,
      coalesce(hubspot_private.cast_boolean(s ->> 'archived'), false) as is_archived
    from jsonb_array_elements(schemas -> 'results') s
    where jsonb_typeof(s -> 'objectTypeId') = 'string' and jsonb_typeof(s -> 'name') = 'string'
      and coalesce(jsonb_typeof(s -> 'fullyQualifiedName') in ('string', 'null'), true)
    order by s ->> 'objectTypeId'
  loop
    update hubspot_private.objects o
    set label = v_schema.label, fully_qualified_name = v_schema.qualified,
      archived_at = case when v_schema.is_archived then coalesce(o.archived_at, hubspot_private.clock()) end
    where o.object_type_id = v_schema.object_type_id;
    continue when found or v_schema.is_archived;
    -- A name may have been tracked before it was known here, in any of its forms.
    update hubspot_private.objects o
    set object_type_id = v_schema.object_type_id, fully_qualified_name = v_schema.qualified, label = v_schema.label,
      is_custom = true, has_pipelines = true, table_name = hubspot_private.table_name_for(v_schema.name),
      name = case
        when exists (select from hubspot_private.objects x where x.name = v_schema.name) then o.name
        else v_schema.name
      end
    where o.name = (
      -- Tracked under two of its forms it stays under one; the other has a problem of its own.
      select x.name from hubspot_private.objects x
      where x.object_type_id is null and x.label is null
        and x.name in (v_schema.name, v_schema.qualified, v_schema.object_type_id)
      order by x.name = v_schema.name desc, x.name
      limit 1);
    if found then
      perform hubspot_private.object_renamed(v_schema.object_type_id);
      continue;
    end if;
    -- A custom object may be called as a standard one is: then its qualified name is its name here.
    v_name := case
      when exists (select from hubspot_private.objects x where x.name = v_schema.name) then v_schema.qualified
      else v_schema.name
    end;
    insert into hubspot_private.objects (name, object_type_id, fully_qualified_name, label, is_custom, has_pipelines, table_name)
    values (v_name, v_schema.object_type_id, v_schema.qualified, v_schema.label, true, true,
      hubspot_private.table_name_for(v_schema.name));
  end loop;
end;
$$;
comment on function hubspot_private.schemas_apply(jsonb) is 'Takes in the answer of HubSpot''s schemas: custom objects, new and known.';

create or replace function hubspot_private.object_renamed(object_type_id text)
returns void
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  -- Tracked under another form of its name: streams, runs and problems go by the name that it has now.
  with o as (
    select x.name, x.fully_qualified_name, x.object_type_id from hubspot_private.objects x
    where x.object_type_id = object_renamed.object_type_id
  ),
  s as (
    update hubspot_private.streams s set object = o.name from o
    where s.object in (o.fully_qualified_name, o.object_type_id)
  ),
  c as (
    update hubspot_private.schedules s set object = o.name from o
    where s.object in (o.fully_qualified_name, o.object_type_id)
  ),
  p as (
    update hubspot_private.problems p set object = o.name from o
    where p.object in (o.fully_qualified_name, o.object_type_id) and p.resolved_at is null
  )
  update hubspot_private.runs r set object = o.name from o
  where r.object in (o.fully_qualified_name, o.object_type_id);
$$;
comment on function hubspot_private.object_renamed(text) is 'Moves what was kept under another form of an object''s name.';

create or replace view hubspot.object_types as
select o.name as object, o.object_type_id, o.table_name, o.label, o.is_custom, o.is_tracked, o.on_delete,
  o.fully_qualified_name, o.has_search, o.archived_at, o.has_changes
from hubspot_private.objects o
where o.object_type_id is not null or o.is_tracked or not o.is_custom
order by o.is_custom, o.name;
comment on view hubspot.object_types is
  'Every object type: HubSpot''s standard ones and this account''s custom ones. Track one: select hubspot.track(''deals'');';
