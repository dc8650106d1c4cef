-- Not breaking. What is in doubt for one reason is not believed sooner for having been in doubt for another: each is counted by itself.
alter table hubspot_private.fetch_queue add column doubts jsonb not null default '{}';
comment on column hubspot_private.fetch_queue.doubts is
  'How often reads said what hardly can be, of each kind, since one last said otherwise: missing, merged, lacking, behind. Attempts are all reads that settled nothing.';
-- What comes incomplete time and again holds up nothing, as before.
update hubspot_private.fetch_queue q set doubts = jsonb_build_object('lacking', q.attempts)
where exists (
  select from hubspot_private.problems p
  where p.object = q.object and p.record_id = q.id and p.code = 'SH212' and p.resolved_at is null);
