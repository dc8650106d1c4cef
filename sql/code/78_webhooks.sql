-- Webhooks: stored as they come, in one short transaction, and acted on a moment later, many at once. They are hints: a record is
-- read by id, and what that read says is what counts, so that a late, repeated or reordered event changes nothing by itself.
create or replace function hubspot_private.event_id(value text)
returns bigint
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
  select case when event_id.value ~ '^[0-9]{1,18}$' then event_id.value::bigint end;
$$;
comment on function hubspot_private.event_id(text) is 'A record''s id in an event, number or text; null where it is none.';

create or replace function hubspot_private.event_read(
  event jsonb,
  out type text, out object_type text, out ids bigint[], out to_type text, out to_ids bigint[], out occurred_at timestamptz
)
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
  -- Classic events name the object in their type (contact.creation), generic ones beside it (object.creation, objectTypeId).
  -- Associations: by the ends' type ids, else by a type such as CONTACT_TO_COMPANY.
  select e.type,
    left(coalesce(case when e.is_edge then coalesce(event ->> 'fromObjectTypeId', lower(e.ends[1])) end, event ->> 'objectTypeId',
      split_part(e.type, '.', 1)), 100),
    array(
      select distinct hubspot_private.event_id(i) from unnest(array[
        case when e.is_edge then event ->> 'fromObjectId' else event ->> 'objectId' end,
        event ->> 'primaryObjectId', event ->> 'newObjectId'] || array(
          select jsonb_array_elements_text(case jsonb_typeof(event -> 'mergedObjectIds') when 'array' then event -> 'mergedObjectIds' else '[]' end))) i
      where hubspot_private.event_id(i) is not null
      order by 1),
    case when e.is_edge then left(coalesce(event ->> 'toObjectTypeId', lower(e.ends[2])), 100) end,
    case when e.is_edge then array_remove(array[hubspot_private.event_id(event ->> 'toObjectId')], null) end,
    case when event ->> 'occurredAt' ~ '^[0-9]{1,14}$' then to_timestamp((event ->> 'occurredAt')::bigint / 1000.0) end
  from (
    select left(t.type, 100) as type, split_part(t.type, '.', 2) = 'associationChange' as is_edge,
      regexp_match(event ->> 'associationType', '^(.+?)_TO_(.+)$') as ends
    -- Older ones call it eventType.
    from (select coalesce(event ->> 'subscriptionType', event ->> 'eventType') as type) t
  ) e;
$$;
comment on function hubspot_private.event_read(jsonb) is 'What an event says: what happened, to which records, when. No value of a property is kept.';

create or replace function hubspot_private.inbox_receive(events jsonb)
returns table (stored integer, repeated integer, unreadable integer, other_portals integer)
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_portal text := (select a.portal_id::text from hubspot_private.account a);
  v_other text;
begin
  if jsonb_typeof(inbox_receive.events) is distinct from 'array' then
    perform hubspot_private.fail('webhook_refused', 'its body is no list of events', 'HubSpot sends lists. Look at what else calls this URL.');
  end if;
  with sent as (
    select case
        when jsonb_typeof(e.value) is distinct from 'object' then 'unreadable'
        when v_portal is null or e.value ->> 'portalId' <> v_portal then 'other'
        when r.type is null or cardinality(r.ids) = 0 then 'unreadable'
        else 'ours'
      end as verdict,
      e.value ->> 'portalId' as portal, r.*,
      md5((case jsonb_typeof(e.value) when 'object' then e.value - 'attemptNumber' else e.value end)::text)::uuid as digest
    from jsonb_array_elements(inbox_receive.events) e
    cross join lateral hubspot_private.event_read(e.value) r
  ),
  new as (
    insert into hubspot_private.inbox (digest, received_at, type, object_type, ids, to_type, to_ids, occurred_at)
    select distinct on (s.digest) s.digest, hubspot_private.clock(), s.type, s.object_type, s.ids, s.to_type, s.to_ids, s.occurred_at
    from sent s
    where s.verdict = 'ours'
    order by s.digest
    on conflict do nothing
    returning 1
  )
  select (select count(*) from new), count(*) filter (where s.verdict = 'ours') - (select count(*) from new),
    count(*) filter (where s.verdict = 'unreadable'), count(*) filter (where s.verdict = 'other'),
    min(s.portal) filter (where s.verdict = 'other')
  into stored, repeated, unreadable, other_portals, v_other
  from sent s;
  if other_portals > 0 then
    perform hubspot_private.problem_report('SH230', '*',
      format('webhooks of portal %s arrive, this database mirrors %s', coalesce(v_other, '?'), coalesce('portal ' || v_portal, 'none yet')), null, null, 'webhooks');
  end if;
  return next;
end;
$$;
comment on function hubspot_private.inbox_receive(jsonb) is
  'Stores the events of a request whose signature was right; those of another portal, and what cannot be read, are left out. SH229.';

create or replace function hubspot_private.webhook_object(type text)
returns text
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select o.name from hubspot_private.objects o
  where webhook_object.type in (o.object_type_id, o.name, o.fully_qualified_name)
    -- contact, company, line_item
    or o.name in (webhook_object.type || 's', regexp_replace(webhook_object.type, 'y$', 'ies'))
  order by webhook_object.type is distinct from o.object_type_id, webhook_object.type is distinct from o.name, o.name
  limit 1;
$$;
comment on function hubspot_private.webhook_object(text) is 'The object that a webhook names: by type id, name, or the singular of a standard one.';

create or replace function hubspot_private.webhooks_judge(code text default null, message text default null, hint text default null)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  if webhooks_judge.code is not null then
    perform hubspot_private.problem_report(code, '*', left(message, 2000), hint, null, 'webhooks');
  elsif exists (
    select from hubspot_private.problems p where p.object is null and p.property = 'webhooks' and p.code in ('SH015', 'SH229') and p.resolved_at is null)
  then
    perform hubspot_private.problem_resolve('{SH015,SH229}', '*', null, 'webhooks');
  end if;
end;
$$;
comment on function hubspot_private.webhooks_judge(text, text, text) is 'A request to the webhook URL was turned down, or, without a code, taken.';

create or replace view hubspot.webhooks as
select c.type, nullif(c.object, '') as object, c.acted_on, c.ignored, c.last_at
from hubspot_private.webhook_counts c
order by c.type, c.object;
comment on view hubspot.webhooks is
  'Events that HubSpot''s webhooks brought, by type. Requests that were turned down: select * from hubspot.problems where property = ''webhooks'';';
comment on column hubspot.webhooks.type is 'As HubSpot calls it: contact.creation, object.propertyChange; other: no kind that concerns a record.';
comment on column hubspot.webhooks.object is 'The object that it is about; null: none that is known.';
comment on column hubspot.webhooks.acted_on is 'Events whose records or associations were queued to be read, or had been read already.';
comment on column hubspot.webhooks.ignored is 'Events about what is not tracked.';
comment on column hubspot.webhooks.last_at is 'When the last one came.';
