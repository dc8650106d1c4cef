-- Not breaking. A record's associations are read to the last page, though one of them cannot be read.
-- squawk-ignore adding-field-with-default
alter table hubspot_private.association_reads add column is_broken boolean not null default false;
comment on column hubspot_private.association_reads.is_broken is
  'A page of it showed an association that cannot be read: it may be any of those that are here, and none of them goes.';
drop function if exists hubspot_private.association_states(jsonb, jsonb);
drop function if exists hubspot_private.associations_unsaid(integer, boolean, text, bigint[]);
