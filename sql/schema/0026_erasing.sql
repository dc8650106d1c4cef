-- Not breaking. Erasing: what is needed to be sure that a record was deleted for privacy, where no webhook said so; and jobs that
-- carry what was erased meanwhile.
alter table hubspot_private.tombstones
  add column missed_at timestamptz,
  add column not_found_at timestamptz,
  add column alive_at timestamptz,
  -- Of those that are there already nobody knows: they count as archived once.
  add column archived_at timestamptz default '-infinity';
alter table hubspot_private.tombstones alter column archived_at drop default;
comment on column hubspot_private.tombstones.missed is
  'Sweeps of the archived list in a row that did not list it, each but the first after a read by id that did not find it either.';
comment on column hubspot_private.tombstones.missed_at is 'When the last of them was.';
comment on column hubspot_private.tombstones.not_found_at is 'When the last read by id that did not find it was asked.';
comment on column hubspot_private.tombstones.alive_at is 'When the last full read began that was done, and so had found it, before it was seen gone; null: nobody knows.';
comment on column hubspot_private.tombstones.archived_at is
  'When it was archived, by HubSpot''s clock, as the archived list told; null: never listed, -infinity: not known.';

alter table hubspot_private.deliveries add column erased_job_id bigint;
create index deliveries_erased on hubspot_private.deliveries (subscription) where erased_job_id is not null;
comment on column hubspot_private.deliveries.erased_job_id is
  'A job that ran while what it carries was erased: should it fail, it is ended and queued again without.';

-- A new database does not have them yet.
drop function if exists hubspot_private.changes_forget(text, bigint);
drop function if exists hubspot_private.forget_untracked(text, bigint[]);
