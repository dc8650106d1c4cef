-- Not breaking. One object's full read in several parts at once.
create table hubspot_private.ranges (
  object text not null,
  stream text not null,
  range integer not null,
  probed_id bigint not null,
  first_ids bigint[],
  primary key (object, stream, range),
  foreign key (object, stream, range) references hubspot_private.streams on update cascade on delete cascade
);
comment on table hubspot_private.ranges is
  'Parts of a full read under way, besides the one from the start: where each was probed and what its first page showed.';
comment on column hubspot_private.ranges.probed_id is 'The list was asked from here: no record lies between this id and the first one shown.';
comment on column hubspot_private.ranges.first_ids is 'The ids of its first page. Whichever part comes upon one of them has read all that lies before.';

alter table hubspot_private.objects
  add column highest_id bigint,
  add column is_list_opaque boolean not null default false;
comment on column hubspot_private.objects.highest_id is 'The highest id that search showed when the first load began; parts are probed below it.';
comment on column hubspot_private.objects.is_list_opaque is 'A page of the list was not what id order shows: it is read in one part until the next full read.';

-- It takes the page's ids now.
drop function if exists hubspot_private.step_finish(hubspot_private.streams, hubspot_private.step, integer, jsonb);
