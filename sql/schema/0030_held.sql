-- Not breaking. Ids whose turn is later are read as soon as someone waits; live tables know which columns a record was read with.
alter table hubspot_private.fetch_queue add column turn_at timestamptz;
comment on column hubspot_private.fetch_queue.turn_at is
  'When its turn would have been: it is read before, since someone waits. Where that changes nothing, it comes all the same, and is no attempt.';
drop function if exists hubspot_private.live_doubtful(text, bigint[], timestamptz);
drop function if exists hubspot_private.live_tables(text[]);
