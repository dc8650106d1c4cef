-- Not breaking. Subscriptions to changes: what on_change() asked for, and what of it is still to be delivered.
create table hubspot_private.subscriptions (
  id bigint generated always as identity primary key,
  object text not null,
  task text,
  function_name text,
  call text,
  ops text[] not null,
  columns text[],
  at_xid xid8 not null,
  at_id bigint not null,
  began pg_snapshot not null default pg_current_snapshot(),
  created_at timestamptz not null,
  check (num_nonnulls(task, function_name) = 1),
  check (num_nulls(function_name, call) in (0, 2))
);
comment on table hubspot_private.subscriptions is
  'Who gets changes: a task of the user''s in the queue, or a function. The feed was looked through up to (at_xid, at_id).';
comment on column hubspot_private.subscriptions.call is 'SQL text that calls the function with a change, jsonb, as $1.';
comment on column hubspot_private.subscriptions.columns is 'Only changes of these, named by property where that was known, else as they were given; null: of any.';
comment on column hubspot_private.subscriptions.began is
  'What was committed when it was made: changes that it does not get, though they come after (at_xid, at_id).';

create table hubspot_private.deliveries (
  subscription bigint not null references hubspot_private.subscriptions on delete cascade,
  record_id bigint not null,
  attempts integer not null default 0,
  not_before timestamptz not null,
  job_id bigint,
  job_until bigint,
  error text,
  primary key (subscription, record_id)
);
create index deliveries_due on hubspot_private.deliveries (subscription, not_before, record_id) where job_id is null;
comment on table hubspot_private.deliveries is
  'Records with changes that a subscription has still to get: one after another of a record, records side by side.';
comment on column hubspot_private.deliveries.job_id is
  'The job of the queue that carries its changes up to job_until. Gone from the queue, it was done: the queue keeps what failed.';

create table hubspot_private.delivery_changes (
  subscription bigint not null references hubspot_private.subscriptions on delete cascade,
  record_id bigint not null,
  change_id bigint not null,
  change jsonb not null,
  primary key (subscription, record_id, change_id)
);
comment on table hubspot_private.delivery_changes is
  'The changes of each delivery, as they are handed over; copies, so that one which fails for long does not hold the feed back.';
