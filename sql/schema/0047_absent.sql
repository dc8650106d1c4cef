-- Not breaking. A HubSpot that wrote null, and leaves out what is empty from now on, is known by its answers.
alter table hubspot_private.objects
  add column list_absent_at timestamptz,
  add column empty_absent_at timestamptz;
comment on column hubspot_private.objects.list_absent_at is
  'Since when its lists, which wrote null, look as if they left out what is empty: no null came since. Null: they do not.';
comment on column hubspot_private.objects.empty_absent_at is 'The same of reads by id.';
