-- Not breaking. The change feed: what changed in the mirror's tables, written in the transaction of their rows.
create sequence hubspot_private.change_ids;

-- The key is the order in which it is read. A table of each day is made and dropped by changes_keep(); what falls on no day's table
-- goes to the rest.
create table hubspot.changes (
  id bigint not null default nextval('hubspot_private.change_ids'),
  xid xid8 not null default pg_current_xact_id(),
  at timestamptz not null,
  object text not null,
  record_id bigint not null,
  op text not null check (op in ('insert', 'update', 'delete', 'associate', 'disassociate')),
  changed jsonb not null,
  run_id bigint,
  primary key (xid, id, at)
) partition by range (at);
comment on table hubspot.changes is
  'The change feed: each change of a record or an association since its first load. Ids are not commit order: read it with hubspot.changes_after().';
comment on column hubspot.changes.id is 'Counts up.';
comment on column hubspot.changes.xid is 'The transaction that wrote the change.';
comment on column hubspot.changes.at is 'When it was written, by this database''s clock.';
comment on column hubspot.changes.object is 'The object; of an association the one that it is from.';
comment on column hubspot.changes.record_id is 'HubSpot''s id of the record; of an association the one that it is from.';
comment on column hubspot.changes.op is 'insert, update, delete; associate, disassociate. A row that is marked as archived is deleted here, and inserted when it is unmarked.';
comment on column hubspot.changes.changed is
  'By column, [old, new]: those that changed; of an insert those that have a value. Of a delete the whole old row, nulls left out. Of an association {to_object, to, type_id, category, label}.';
comment on column hubspot.changes.run_id is 'The run that wrote it: hubspot.runs.id.';

create table hubspot_private.changes_rest partition of hubspot.changes default;
comment on table hubspot_private.changes_rest is 'Changes of days that have no table: while no worker made one, or after a clock was set.';

create table hubspot_private.feed (
  is_only boolean primary key default true check (is_only),
  era integer not null default 1,
  gone_xid xid8 not null default '0',
  gone_id bigint not null default 0
);
insert into hubspot_private.feed default values;
comment on table hubspot_private.feed is
  'One row: which changes are no longer kept. Whoever stands before (gone_xid, gone_id), or in another era, missed some.';
comment on column hubspot_private.feed.era is 'Counts up whenever the feed is emptied: positions of another era mean nothing.';

alter table hubspot_private.objects add column has_changes boolean not null default true;
comment on column hubspot_private.objects.has_changes is 'Whether changes of it are written to the feed.';
