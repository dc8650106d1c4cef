-- Not breaking. Whether an answer that leaves a property out says that it is empty is known of each object, and of each of its two ways.
alter table hubspot_private.objects
  add column is_empty_explicit boolean,
  add column is_list_explicit boolean,
  add column lacked_at timestamptz;
comment on column hubspot_private.objects.is_empty_explicit is
  'Reads by id write a property of it without a value as null: one that is left out says nothing. False: it was left out time and again, and no null was ever seen; null: nobody knows yet.';
comment on column hubspot_private.objects.is_list_explicit is 'The same of its list: the two need not do alike.';
comment on column hubspot_private.objects.lacked_at is
  'Since when records are taken that lack properties, because no null was seen yet: the first one asks for a full read.';
drop function if exists hubspot_private.page_silent(hubspot_private.objects, jsonb, bigint[], timestamptz);
