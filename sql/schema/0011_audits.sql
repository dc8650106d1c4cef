-- Not breaking. What full reads that were asked for by hubspot.verify() found to differ.
create table hubspot.audits (
  id bigint generated always as identity primary key,
  object text not null,
  run_id bigint not null unique,
  at timestamptz not null,
  compared bigint not null default 0,
  missing bigint not null default 0,
  extra bigint not null default 0,
  different bigint not null default 0,
  repaired bigint,
  examples jsonb not null default '{"missing": [], "different": []}',
  known_until timestamptz
);
comment on table hubspot.audits is
  'Comparisons of a table with HubSpot, record by record, by hubspot.verify(); a finished one has repaired.';
comment on column hubspot.audits.id is 'Counts up.';
comment on column hubspot.audits.object is 'The object that was compared.';
comment on column hubspot.audits.run_id is 'The full read that compares: hubspot.runs.id.';
comment on column hubspot.audits.at is 'When it was asked for; once it is over, when it ended.';
comment on column hubspot.audits.compared is 'Records that HubSpot listed.';
comment on column hubspot.audits.missing is 'Records that HubSpot has and the table lacked.';
comment on column hubspot.audits.extra is 'Rows whose record HubSpot did not have any more.';
comment on column hubspot.audits.different is 'Rows with another value, or another modified date, than HubSpot has.';
comment on column hubspot.audits.repaired is 'How many of these are right now; null while it goes on, or if it was stopped.';
comment on column hubspot.audits.examples is 'Ids of the first hundred missing, and of the first hundred different ones.';
comment on column hubspot.audits.known_until is
  'HubSpot''s time up to which the table was complete when it began: what changed later is on its way and counts as no difference.';
