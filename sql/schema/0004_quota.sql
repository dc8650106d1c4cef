-- Not breaking. Budgets know the classes of those who ask; ids to read know in whose class they are asked for.
alter table hubspot_private.budgets
  add column used_by bigint[] not null default '{0,0,0,0}',
  add column waiting_until timestamptz[] not null default '{-infinity,-infinity,-infinity,-infinity}',
  add column floor_at timestamptz[] not null default '{-infinity,-infinity,-infinity,-infinity}',
  add column forecast bigint[] not null default '{0,0,0,0}',
  add column forecast_at timestamptz not null default '-infinity';
comment on column hubspot_private.budgets.used_by is
  'Of used, what each class took (live, poll, settle, backfill); the rest is other apps''.';
comment on column hubspot_private.budgets.waiting_until is 'By class: when the last one that was told to ask again will.';
comment on column hubspot_private.budgets.floor_at is
  'By class: from when on it gets a turn whatever the higher ones want. Settle and backfill have such a floor.';
comment on column hubspot_private.budgets.forecast is 'By class: calls that it will make before the day is over. The daily budget''s alone.';

-- What asks for an id decides how urgent its read is; the batches take the most urgent first. The queue is short: it is rewritten.
-- squawk-ignore adding-field-with-default
alter table hubspot_private.fetch_queue add column class integer not null generated always as (
  case reason
    when 'refresh' then 1
    when 'poll' then 2 when 'webhook' then 2
    when 'backfill' then 4 when 'resync' then 4
    else 3
  end) stored;
comment on column hubspot_private.fetch_queue.class is 'The budget class that the read asks in, by its reason: 1 live, 2 poll, 3 settle, 4 backfill.';
create index fetch_queue_class_idx on hubspot_private.fetch_queue (object, class, not_before, id);

drop function if exists hubspot_private.quota_take(text, jsonb);
