-- Not breaking. A batch read may be answered by a copy that is minutes behind the search: settle asks again, once for each window.
alter table hubspot_private.hints add column settled interval not null default '0';
comment on column hubspot_private.hints.settled is
  'The widest settle window that has passed it, and had it read then: it is asked for again by a wider one alone.';
drop function if exists hubspot_private.hints_apply(text, jsonb, text);
comment on table hubspot_private.hints is
  'What search said changed and was asked for: once for each version, and once more by each settle window that still shows it newer than the row.';
