-- A record with more associations than one answer holds: what may have slipped between two of its pages is seen by a second read.
alter table hubspot_private.association_dirty add column absent bigint[];
comment on column hubspot_private.association_dirty.absent is
  'Ends that the last read of several pages passed over: they go if the next one passes over them too.';
comment on column hubspot_private.association_dirty.held is
  'How often in a row it is to be read again, later each time: someone held rows that were to be changed, or a read of several pages differed.';
