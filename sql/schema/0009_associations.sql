-- Not breaking. Associations: which pairs of objects are mirrored, what of them has to be read, and what is half read.
create table hubspot_private.pairs (
  number integer generated always as identity primary key,
  from_object text not null references hubspot_private.objects on update cascade on delete cascade,
  to_object text not null references hubspot_private.objects on update cascade on delete cascade,
  is_tracked boolean not null default true,
  tracked_at timestamptz,
  table_name name unique,
  from_column name,
  to_column name,
  unique (from_object, to_object)
);
create index pairs_to_idx on hubspot_private.pairs (to_object);
comment on table hubspot_private.pairs is
  'Pairs of objects whose associations are mirrored, in one direction. The stream of each is (from_object, associations, number).';
comment on column hubspot_private.pairs.table_name is 'Null until both objects are known.';

create sequence hubspot_private.association_seq;
create table hubspot_private.association_dirty (
  pair integer not null references hubspot_private.pairs on delete cascade,
  is_reverse boolean not null default false,
  from_id bigint not null,
  seq bigint not null default nextval('hubspot_private.association_seq'),
  attempts integer not null default 0,
  not_before timestamptz not null,
  primary key (pair, is_reverse, from_id)
);
create index association_dirty_due on hubspot_private.association_dirty (pair, is_reverse, not_before);
comment on table hubspot_private.association_dirty is
  'Records whose associations are to be read before their turn. A row goes only if its seq is the one that was read, or with its record.';
comment on column hubspot_private.association_dirty.is_reverse is
  'The id is one of to_object: its associations are read from its side, to learn which records of from_object to read.';
comment on column hubspot_private.association_dirty.attempts is 'How often HubSpot said nothing of it, neither associations nor that it has none: then it is asked alone, later each time.';

create table hubspot_private.association_reads (
  pair integer not null references hubspot_private.pairs on delete cascade,
  is_reverse boolean not null default false,
  from_id bigint not null,
  after text not null,
  seq bigint,
  primary key (pair, is_reverse, from_id)
);
comment on table hubspot_private.association_reads is
  'Records with more associations than one answer holds: where each is read on, and the seq of the dirty row that it was read for.';

create table hubspot_private.association_pages (
  pair integer not null references hubspot_private.pairs on delete cascade,
  from_id bigint not null,
  to_id bigint not null,
  type_id bigint not null,
  category text not null,
  label text,
  primary key (pair, from_id, to_id, type_id, category)
);
create index association_pages_to_idx on hubspot_private.association_pages (pair, to_id);
comment on table hubspot_private.association_pages is
  'Associations of records that are half read; they take the place of the rows that there are after the last page.';

create table hubspot.association_types (
  from_object text not null,
  to_object text not null,
  type_id bigint not null,
  category text not null,
  label text,
  primary key (from_object, to_object, type_id, category)
);
comment on table hubspot.association_types is
  'The types that associations of tracked pairs may have, in this direction. A type_id counts within its category.';
