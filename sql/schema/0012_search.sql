-- Not breaking. Objects whose search HubSpot turns out to refuse are polled by list until the next full read.
alter table hubspot_private.objects add column search_refused_at timestamptz;
comment on column hubspot_private.objects.search_refused_at is
  'When HubSpot refused to search it, though it answers lists: has_search is false until the next full read tries again.';
