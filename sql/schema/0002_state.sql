-- What streams, budgets and schedules stand at. Every change of it is a function's, in the transaction of what it records.
-- ── the mirror's state ──────────────────────────────────────────────────────
create table hubspot_private.tombstones (
  object text not null references hubspot_private.objects on update cascade on delete cascade,
  id bigint not null,
  seen_gone_at timestamptz not null,
  primary key (object, id)
);
comment on table hubspot_private.tombstones is
  'The memory that a record was seen gone, and when by our clock: a read asked earlier cannot bring it back.';

create sequence hubspot_private.fetch_seq;
create table hubspot_private.fetch_queue (
  object text not null references hubspot_private.objects on update cascade on delete cascade,
  id bigint not null,
  seq bigint not null default nextval('hubspot_private.fetch_seq'),
  reason text not null,
  attempts integer not null default 0,
  not_before timestamptz not null,
  primary key (object, id)
);
create index fetch_queue_due on hubspot_private.fetch_queue (object, not_before);
comment on table hubspot_private.fetch_queue is
  'The one durable list of ids to batch-read. A row goes only if its seq is the one that was read.';

create table hubspot_private.hints (
  object text not null references hubspot_private.objects on update cascade on delete cascade,
  id bigint not null,
  version timestamptz not null,
  seen_at timestamptz not null,
  primary key (object, id, version)
);
comment on table hubspot_private.hints is
  'What search said changed and was asked for: no hint is asked twice for one version.';

create table hubspot_private.streams (
  object text not null,
  stream text not null,
  range integer not null default 0,
  epoch bigint not null default (extract(epoch from clock_timestamp()) * 1000)::bigint,
  holder text,
  lease_until timestamptz,
  cursor jsonb not null default '{}',
  run_id bigint,
  next_at timestamptz,
  retry_at timestamptz,
  failures integer not null default 0,
  parked_at timestamptz,
  rows bigint not null default 0,
  writer xid8,
  primary key (object, stream, range)
);
comment on table hubspot_private.streams is
  'One way of reading one object (range: part of it, or settle window). Held by lease and epoch; object ''*'' is the account.';
comment on column hubspot_private.streams.epoch is
  'Counts claims; begins at the time, so that a stream made anew never meets an old claim''s number.';
comment on column hubspot_private.streams.cursor is 'Where the stream stands; a step commits only against the cursor it read.';
comment on column hubspot_private.streams.next_at is 'When a run begins by itself; null: never.';
comment on column hubspot_private.streams.retry_at is 'Nothing is tried before this: the last step failed.';
comment on column hubspot_private.streams.parked_at is 'HubSpot refused: probed every 15 minutes until it does not.';
comment on column hubspot_private.streams.rows is 'Rows inserted less rows deleted by this stream; summed for hubspot.status.';
comment on column hubspot_private.streams.writer is 'The transaction in which this stream writes the mirror: how the read-only trigger knows it.';

create table hubspot_private.runs (
  id bigint generated always as identity primary key,
  object text not null,
  stream text not null,
  range integer not null default 0,
  state text not null check (state in ('waiting', 'running', 'done', 'failed', 'stopped')),
  requested_at timestamptz not null,
  started_at timestamptz,
  finished_at timestamptz,
  requests bigint not null default 0,
  rows_read bigint not null default 0,
  inserted bigint not null default 0,
  updated bigint not null default 0,
  unchanged bigint not null default 0,
  stale bigint not null default 0,
  regressed bigint not null default 0,
  deleted bigint not null default 0,
  hinted bigint not null default 0,
  error_code text,
  error text
);
create unique index runs_waiting_key on hubspot_private.runs (object, stream, range) where state = 'waiting';
create index runs_object_idx on hubspot_private.runs (object, stream, id);
create index runs_finished_idx on hubspot_private.runs (finished_at);
comment on table hubspot_private.runs is
  'Runs: asked for (waiting), under way, over. Asking for work is inserting a waiting run, so it never waits for a lock.';
comment on column hubspot_private.runs.hinted is 'Ids that search named and that were queued for a read.';

create table hubspot_private.problems (
  id bigint generated always as identity primary key,
  object text,
  record_id bigint,
  property text,
  code text not null references hubspot_private.errors on update cascade,
  message text not null,
  hint text,
  first_seen_at timestamptz not null,
  last_seen_at timestamptz not null,
  count bigint not null default 1,
  resolved_at timestamptz
);
create unique index problems_open_key on hubspot_private.problems
  (coalesce(object, ''), coalesce(record_id, 0), coalesce(property, ''), code) where resolved_at is null;
comment on table hubspot_private.problems is 'What went wrong in the background; resolved by itself when it heals.';

-- ── budgets and schedules ───────────────────────────────────────────────────
create table hubspot_private.budgets (
  name text primary key check (name in ('burst', 'search', 'daily')),
  max_requests integer not null check (max_requests > 0),
  learned_max integer,
  chosen_max integer check (chosen_max > 0),
  period interval not null,
  share numeric not null default 1 check (share > 0 and share <= 1),
  free_at timestamptz not null,
  delay_low_ms double precision,
  delay_high_ms double precision,
  delay_seen_at timestamptz,
  delay_since timestamptz,
  slow_factor double precision not null default 1 check (slow_factor >= 1),
  slow_at timestamptz not null,
  used bigint not null default 0,
  used_since timestamptz not null,
  throttled_count bigint not null default 0,
  postmaster_at timestamptz not null
) with (fillfactor = 50);
comment on table hubspot_private.budgets is
  'Rate limits as rows, shared by all workers. burst and search: GCRA, free_at is when the next request may be sent. daily: counted.';

create table hubspot_private.schedules (
  object text not null,
  stream text not null,
  every interval check (every > '0'),
  cron text,
  timezone text,
  primary key (object, stream),
  check (num_nonnulls(every, cron) = 1),
  check ((cron is null) = (timezone is null))
);
comment on table hubspot_private.schedules is 'Schedules that differ from the default. Read hubspot.schedules.';
