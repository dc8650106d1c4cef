-- Not breaking. One record that HubSpot will not answer for: a stream asks fewer at once until it is alone, and leaves it aside.
alter table hubspot_private.streams
  add column ask_most integer, add column ask_left integer, add column suspects bigint[] not null default '{}',
  add column restarts integer not null default 0;
comment on column hubspot_private.streams.ask_most is 'Asking by id failed: so many are asked for at once until what failed is found; null: as many as an answer holds.';
comment on column hubspot_private.streams.ask_left is 'How many of the ids among which one failed are still to be asked.';
comment on column hubspot_private.streams.suspects is
  'Ids that failed alone since the stream last had an answer by id (negative: of a pair''s other object). With the next answer they are left aside: it was they that failed.';
comment on column hubspot_private.streams.restarts is 'How often the run''s list has begun again, since HubSpot refused the place it stood at.';
alter table hubspot_private.fetch_queue add column failures integer not null default 0;
comment on column hubspot_private.fetch_queue.failures is 'How often HubSpot failed at this id while it answered for others: it is asked alone, later each time.';

-- A new database does not have it yet.
drop function if exists hubspot_private.stream_fail(text, text, integer, bigint, text, text, text, text, double precision);
