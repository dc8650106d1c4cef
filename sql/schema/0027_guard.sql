-- Not breaking. Rows that a read of some properties did not find are counted before any of them is asked for; and rows that no read
-- fills are carried over to a column of another type before it takes the place of the old.
create table hubspot_private.fill_absences (
  object text not null references hubspot_private.objects on update cascade on delete cascade,
  id bigint not null,
  primary key (object, id)
);
comment on table hubspot_private.fill_absences is
  'Rows that the fill under way did not find: few are asked for by id at its end, many are left to a full read.';

alter table hubspot_private.properties add column carry_refusal text;
comment on column hubspot_private.properties.carry_refusal is
  'Why rows that no read filled could not be written when they were last to be carried over to the next column; null: not tried, or nothing was refused.';

-- It answers how many went now.
drop function if exists hubspot_private.orphans_delete(hubspot_private.streams, hubspot_private.pairs);
