-- What a list or an answer may leave out without a word: pages that lead in a circle, an end that is none, ids passed over in silence.
alter table hubspot_private.streams
  add column pages integer not null default 0,
  add column page_mark text,
  add column page_rounds integer not null default 0;
comment on column hubspot_private.streams.pages is 'How many pages of the list have been read since it began.';
comment on column hubspot_private.streams.page_mark is
  'The after of one of them, a later one each time the count is a power of two: pages in a circle lead there again.';
comment on column hubspot_private.streams.page_rounds is 'How often pages have led to the mark since it was set: a stray page leads back too, but not for ever.';

alter table hubspot_private.association_reads
  add column pages integer not null default 0,
  add column page_mark text,
  add column page_rounds integer not null default 0;
comment on column hubspot_private.association_reads.pages is 'How many pages of the record have been read.';
comment on column hubspot_private.association_reads.page_mark is 'The after of one of them, as of a stream.';

comment on column hubspot_private.association_reads.page_rounds is 'How often pages have led to the mark since it was set.';

alter table hubspot_private.account add column is_missing_explicit boolean not null default false;
comment on column hubspot_private.account.is_missing_explicit is
  'HubSpot has said of an id that it was not found, by an error that names it: here silence says nothing.';
