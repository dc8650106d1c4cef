-- Not breaking. What is known of a column besides its name: since when it is not kept, or may not be read, and who fills it.
alter table hubspot_private.properties
  add column deselected_at timestamptz,
  add column unreadable_at timestamptz,
  add column fill_run bigint;
comment on column hubspot_private.properties.deselected_at is 'When it was no longer chosen: its column holds what it held then.';
comment on column hubspot_private.properties.unreadable_at is
  'When HubSpot refused to show it: left out of every request, probed every 15 minutes.';
comment on column hubspot_private.properties.fill_run is
  'The full read that fills its column, since it was chosen or can be read again; until it is done there may be older values.';

alter table hubspot_private.apply_statements add column places jsonb not null default '{}';
comment on column hubspot_private.apply_statements.places is
  'Where the functions put each property: the number of its column, or -1 for _extra. What is put elsewhere later has to be read again.';
