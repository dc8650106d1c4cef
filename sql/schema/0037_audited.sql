-- Not breaking. An audit knows what it could not put right by more than its hundred examples.
alter table hubspot_private.fetch_queue add column audited_by bigint;
comment on column hubspot_private.fetch_queue.audited_by is
  'The run of the audit that found its row wrong, or missing, or there too much, and could not put it right: not repaired, as long as it waits here.';
drop function if exists hubspot_private.audit_page(hubspot_private.objects, bigint, jsonb, timestamptz);
drop function if exists hubspot_private.audit_gone(hubspot_private.objects, bigint, bigint[], jsonb);
