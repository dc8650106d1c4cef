-- Not breaking. Webhooks: what HubSpot said, until it was acted on and a little longer; and which records it deleted for privacy.
create table hubspot_private.inbox (
  digest uuid primary key,
  received_at timestamptz not null,
  type text not null,
  object_type text not null,
  ids bigint[] not null,
  to_type text,
  to_ids bigint[],
  occurred_at timestamptz,
  applied_at timestamptz
);
create index inbox_waiting_idx on hubspot_private.inbox (received_at) where applied_at is null;
create index inbox_applied_idx on hubspot_private.inbox (applied_at) where applied_at is not null;
comment on table hubspot_private.inbox is
  'Events of webhooks: what happened to which record, never a value. Kept for a while after they were acted on, so that a repeated one is known.';
comment on column hubspot_private.inbox.digest is 'Of the whole event but its attempt number: eventId alone is not unique.';
comment on column hubspot_private.inbox.object_type is 'As HubSpot named it: contact, 0-1, 2-123.';

create table hubspot_private.webhook_counts (
  type text not null,
  object text not null,
  acted_on bigint not null default 0,
  ignored bigint not null default 0,
  last_at timestamptz not null,
  primary key (type, object)
);
comment on table hubspot_private.webhook_counts is 'Events of webhooks by type and object. Read hubspot.webhooks.';

create table hubspot_private.erasures (
  object text not null references hubspot_private.objects on update cascade on delete cascade,
  id bigint not null,
  asked_at timestamptz not null,
  attempts integer not null default 0,
  next_at timestamptz not null,
  primary key (object, id)
);
comment on table hubspot_private.erasures is
  'Records that a webhook said were deleted for privacy: erased by the read that does not find them, asked for until then.';

alter table hubspot_private.tombstones add column erased_at timestamptz;
comment on column hubspot_private.tombstones.erased_at is 'When all else that was known of the record was erased, for privacy.';
