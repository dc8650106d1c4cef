-- Not breaking. What adopt() decided, and whether a worker may write to HubSpot.
alter table hubspot_private.installation
  add column is_read_only boolean not null default false,
  add column adopted_at timestamptz;
comment on column hubspot_private.installation.is_read_only is
  'This database never writes to HubSpot: hubspot.adopt(read_only => true).';
comment on column hubspot_private.installation.adopted_at is 'When this copy became a database of its own; null: it is none.';

alter table hubspot_private.workers add column may_write boolean not null default true;
comment on column hubspot_private.workers.may_write is 'False: it was started with HUBSPOT_WRITES=off, so it writes nothing to HubSpot and renews no token.';
