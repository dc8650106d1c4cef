-- Not breaking. Changes are delivered in the order in which they were taken out of the feed: their ids are not that of transactions.
alter table hubspot_private.delivery_changes add column seq bigint;
-- First those that a job surely carries: with an id up to its last one's, and of no later transaction. What may have come after it
-- stays, and is delivered, if need be twice.
with placed as (
  select c.subscription, c.record_id, c.change_id, l.change_id is not null as is_carried,
    row_number() over (order by c.subscription, c.record_id, l.change_id is null, c.change_id) as seq
  from hubspot_private.delivery_changes c
  left join hubspot_private.deliveries d on (d.subscription, d.record_id) = (c.subscription, c.record_id) and d.job_id is not null
  left join hubspot_private.delivery_changes l on (l.subscription, l.record_id, l.change_id) = (d.subscription, d.record_id, d.job_until)
    and l.change_id >= c.change_id and (l.change ->> 'xid')::xid8 >= (c.change ->> 'xid')::xid8
),
moved as (
  update hubspot_private.deliveries d
  set job_until = coalesce((
    select max(p.seq) from placed p where p.is_carried and (p.subscription, p.record_id) = (d.subscription, d.record_id)), 0)
  where d.job_id is not null
)
update hubspot_private.delivery_changes c set seq = p.seq
from placed p
where (p.subscription, p.record_id, p.change_id) = (c.subscription, c.record_id, c.change_id);

-- What waits is little.
alter table hubspot_private.delivery_changes
  -- squawk-ignore adding-not-nullable-field
  alter column seq set not null,
  alter column seq add generated always as identity,
  drop constraint delivery_changes_pkey,
  -- squawk-ignore constraint-missing-not-valid, adding-serial-primary-key-field
  add primary key (subscription, record_id, seq);
select setval(pg_get_serial_sequence('hubspot_private.delivery_changes', 'seq'), coalesce(max(c.seq), 0) + 1, false)
from hubspot_private.delivery_changes c;
comment on column hubspot_private.delivery_changes.seq is
  'Their order, which is that of the feed: each was taken out of it after those before. Ids of changes may go back.';
comment on column hubspot_private.deliveries.job_id is
  'The job of the queue that carries its changes up to seq job_until. Gone from the queue, it was done: the queue keeps what failed.';
