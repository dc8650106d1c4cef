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
  searches_from timestamptz,
  resync_started_at timestamptz not null default '-infinity',
  total bigint,
  archived_at timestamptz
);
comment on table hubspot_private.objects is
  'Object types: the standard ones from the start, custom ones once seen, and names tracked before either is known (object_type_id null).';
comment on column hubspot_private.objects.wanted is 'Properties chosen by track(); null means all.';
comment on column hubspot_private.objects.column_set is
  'Counts up whenever the table''s columns change; a page read for another number is asked again.';
comment on column hubspot_private.objects.searches_from is
  'HubSpot''s time from which poll and settle search: the earliest that an answer of the first load gave.';
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

insert into hubspot_private.account default values;
