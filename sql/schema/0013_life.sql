-- Not breaking. Associations whose rows someone holds, how an account says that there are none, and what an audit knows of deletions.
alter table hubspot_private.association_dirty add column held integer not null default 0;
comment on column hubspot_private.association_dirty.held is
  'How often in a row someone held rows of it that were to be changed: it is read again later each time.';

alter table hubspot_private.pairs add column is_empty_explicit boolean;
comment on column hubspot_private.pairs.is_empty_explicit is
  'How HubSpot says that a record has none: true by an error that names it, false by an empty list; null: not seen yet.';

alter table hubspot_private.objects add column is_kept boolean not null default false;
comment on column hubspot_private.objects.is_kept is
  'Its table has rows of an earlier time: the first load is followed by a full read, which finds what is gone.';

alter table hubspot_private.absences add column is_recent boolean not null default false;
comment on column hubspot_private.absences.is_recent is
  'Archived since the last whole sweep of the archived list began: what an audit does not count.';

alter table hubspot.audits alter column examples set default '{"missing": [], "extra": [], "different": []}';
alter table hubspot.audits add column deletes_known_until timestamptz;
comment on column hubspot.audits.examples is 'Ids of the first hundred missing, of the first hundred extra, and of the first hundred different ones.';
comment on column hubspot.audits.deletes_known_until is
  'HubSpot''s time up to which deletions were known when it began: what was archived later is on its way and counts as no difference.';
