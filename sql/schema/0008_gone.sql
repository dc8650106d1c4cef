-- Not breaking. Deletions: what the archived list and a full read tell, and what is remembered of each.
alter table hubspot_private.tombstones
  add column missed integer not null default 0,
  add column purged_at timestamptz;
comment on column hubspot_private.tombstones.missed is 'Sweeps of the archived list in a row that did not list it.';
comment on column hubspot_private.tombstones.purged_at is
  'When it was given up: not listed as archived and not found, twice in a row. It is not asked for again.';

create table hubspot_private.absences (
  object text not null references hubspot_private.objects on update cascade on delete cascade,
  id bigint not null,
  is_gone boolean not null default false,
  primary key (object, id)
);
comment on table hubspot_private.absences is
  'Rows that the full read under way did not list. Only those that a read by id does not find either are deleted.';
comment on column hubspot_private.absences.is_gone is 'A read by id did not find it: counted, before so many are deleted that someone has to confirm it.';

create table hubspot_private.listed (
  object text not null references hubspot_private.objects on update cascade on delete cascade,
  stream text not null,
  id bigint not null,
  primary key (object, stream, id)
);
comment on table hubspot_private.listed is
  'The ids that a read of a list which is not in id order has shown: only at its end is known what is absent.';

alter table hubspot_private.objects add column is_list_unordered boolean not null default false;
comment on column hubspot_private.objects.is_list_unordered is 'Ids of the list went down: what a full read did not list is known at its end alone.';

-- Only this product's functions read it, and they change with it.
-- squawk-ignore renaming-column
alter table hubspot_private.ranges rename column probed_id to from_id;
comment on table hubspot_private.ranges is
  'Parts of a full read under way, besides the one from the start: the id that each was asked from and what its first page showed.';

-- Objects that are tracked already have a stream for their archived list from now on.
insert into hubspot_private.streams (object, stream, next_at)
select o.name, 'archive', clock_timestamp()
from hubspot_private.objects o
where o.is_tracked
on conflict (object, stream, range) do nothing;
