-- Not breaking. Live tables: how old their rows may be, and when what is waited for was last asked.
create table hubspot_private.max_ages (
  table_name name primary key,
  max_age interval not null check (max_age >= '0')
);
comment on table hubspot_private.max_ages is
  'How old the answer may be that a live table is read from. A table that is not here: HubSpot is asked each time.';

alter table hubspot_private.streams add column live_until timestamptz, add column live_tried_at timestamptz;
comment on column hubspot_private.streams.live_until is
  'Until then someone waits for what the stream reads: it asks in class live, and a poll begins as far back as search may be late.';
comment on column hubspot_private.streams.live_tried_at is 'When someone who waits last had it tried though it was failing.';
alter table hubspot_private.fetch_queue add column asked_at timestamptz;
comment on column hubspot_private.fetch_queue.asked_at is 'When the last read of this id was asked that did not take it off: it was queued again meanwhile, or is in doubt.';
alter table hubspot_private.association_dirty add column asked_at timestamptz;
comment on column hubspot_private.association_dirty.asked_at is 'When its associations were last asked for and read to the end; it was dirtied again meanwhile.';
