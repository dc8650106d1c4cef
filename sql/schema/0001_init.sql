-- The tables of the product's own state. The mirror's tables are made by code (40_mirror.sql) when an object's properties are known.
create schema if not exists hubspot;
create schema if not exists hubspot_private;
revoke all on schema hubspot_private from public;

-- ── set-up ──────────────────────────────────────────────────────────────────
create table hubspot_private.errors (
  code text primary key check (code ~ '^SH[0-9A-Z]{3}$'),
  name text not null unique,
  message text not null,
  hint text not null
);
comment on table hubspot_private.errors is
  'Every error this product raises: SQLSTATE, name in code, message and hint (format() patterns, filled from the left).';

create table hubspot_private.installation (
  is_only boolean primary key default true check (is_only),
  database_name name not null,
  database_oid oid not null,
  system_identifier bigint not null,
  queue_schema name not null,
  clock_shift interval not null default '0',
  installed_at timestamptz not null default clock_timestamp()
);
comment on table hubspot_private.installation is
  'One row: which database this is, where the queue lives, and how far tests have moved the clock.';

create table hubspot_private.settings (
  name text primary key,
  value jsonb not null,
  changed_at timestamptz not null
);
comment on table hubspot_private.settings is 'Settings that differ from their default. Read hubspot.settings.';

create table hubspot_private.account (
  is_only boolean primary key default true check (is_only),
  is_connected boolean not null default false,
  is_paused boolean not null default false,
  portal_id bigint,
  time_zone text not null default 'UTC',
  details jsonb,
  hubspot_ahead interval not null default '0',
  catalogue_at timestamptz,
  checked_at timestamptz
);
comment on table hubspot_private.account is
  'One row: the HubSpot account this database mirrors. hubspot_ahead is HubSpot''s clock (its Date header) minus ours.';

create table hubspot_private.credentials (
  id bigint generated always as identity primary key,
  kind text not null check (kind in ('token')),
  secret text not null,
  state text not null check (state in ('candidate', 'active')),
  created_at timestamptz not null,
  retry_at timestamptz,
  failures integer not null default 0
);
create unique index credentials_state_key on hubspot_private.credentials (state);
comment on table hubspot_private.credentials is
  'At most one active credential and one candidate that the worker has still to check.';

create table hubspot_private.workers (
  id text primary key,
  host text not null,
  pid integer not null,
  queue_ids text[] not null default '{}',
  is_present boolean not null default false,
  started_at timestamptz not null,
  beat_at timestamptz not null
);
comment on table hubspot_private.workers is
  'Worker processes. Dead: no beat for 30 s, or the advisory lock that it said it holds (is_present) is free.';

create table hubspot_private.grants (
  role_name name not null,
  kind text not null check (kind in ('read')),
  primary key (role_name, kind)
);
comment on table hubspot_private.grants is 'What was granted to whom, so that tables made later get it too.';

-- ── the catalogue ───────────────────────────────────────────────────────────
create table hubspot_private.objects (
  name text primary key,
  number integer generated always as identity unique,
  object_type_id text unique,
  fully_qualified_name text unique,
  label text,
  is_custom boolean not null default false,
  modified_property text not null default 'hs_lastmodifieddate',
  has_search boolean not null default true,
  has_pipelines boolean not null default false,
  is_tracked boolean not null default false,
  wanted text[],
  on_delete text not null default 'delete' check (on_delete in ('delete', 'mark')),
  table_name name unique,
  column_set integer not null default 0,
  is_paused boolean not null default false,
  tracked_at timestamptz,
  loaded_at timestamptz,
  resync_started_at timestamptz not null default '-infinity',
  total bigint,
  archived_at timestamptz
);
comment on table hubspot_private.objects is
  'Object types: the standard ones from the start, custom ones once seen, and names tracked before either is known (object_type_id null).';
comment on column hubspot_private.objects.wanted is 'Properties chosen by track(); null means all.';
comment on column hubspot_private.objects.column_set is
  'Counts up whenever the table''s columns change; a page read for another number is asked again.';
comment on column hubspot_private.objects.resync_started_at is
  'Reads asked before this overlap with the resync: they write nothing.';

create table hubspot_private.properties (
  object text not null references hubspot_private.objects on update cascade on delete cascade,
  property text not null,
  label text,
  description text,
  type text not null,
  field_type text,
  is_calculated boolean not null default false,
  is_read_only boolean not null default false,
  is_hidden boolean not null default false,
  is_selected boolean not null default false,
  column_name name,
  column_type text,
  locked_at timestamptz,
  archived_at timestamptz,
  primary key (object, property),
  unique (object, column_name)
);
comment on table hubspot_private.properties is
  'Properties as HubSpot defines them and the column each has here; names and types are locked once a column exists.';

create table hubspot_private.apply_statements (
  object text primary key references hubspot_private.objects on update cascade on delete cascade,
  fingerprint text not null,
  differs text not null
);
comment on table hubspot_private.apply_statements is
  'Generated text for each mirror table: which of these records differ from their rows.';

create table hubspot.owners (
  id bigint primary key,
  email text,
  first_name text,
  last_name text,
  type text,
  user_id bigint,
  teams jsonb,
  is_archived boolean not null,
  created_at timestamptz,
  updated_at timestamptz
);
comment on table hubspot.owners is
  'HubSpot''s owners, archived ones too. A record''s hubspot_owner_id is owners.id as text.';
comment on column hubspot.owners.user_id is 'The user behind the owner; kept for archived owners too.';

create table hubspot.pipelines (
  object text not null,
  id text not null,
  label text,
  display_order integer,
  is_archived boolean not null,
  created_at timestamptz,
  updated_at timestamptz,
  primary key (object, id)
);
comment on table hubspot.pipelines is 'Pipelines by object; a record''s pipeline column holds pipelines.id.';

create table hubspot.pipeline_stages (
  object text not null,
  pipeline_id text not null,
  id text not null,
  label text,
  display_order integer,
  metadata jsonb,
  is_archived boolean not null,
  created_at timestamptz,
  updated_at timestamptz,
  primary key (object, pipeline_id, id)
);
comment on table hubspot.pipeline_stages is
  'Stages by pipeline; metadata as HubSpot gives it (values are strings: {"probability": "1.0", "isClosed": "true"}).';

create table hubspot.property_options (
  object text not null,
  property text not null,
  value text not null,
  label text,
  display_order integer,
  is_hidden boolean not null,
  primary key (object, property, value)
);
comment on table hubspot.property_options is
  'The options of enumeration properties. Records may hold values that are no longer options.';

create table hubspot.merges (
  object text not null,
  lost_id bigint not null,
  kept_id bigint not null,
  merged_at timestamptz not null,
  primary key (object, lost_id)
);
comment on table hubspot.merges is 'Records that were merged away, and the record that they are part of now.';

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

insert into hubspot_private.account default values;
