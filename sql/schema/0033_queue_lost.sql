-- Not breaking. A queue that was lost and made anew is told from one in which a job was done.
alter table hubspot_private.deliveries add column queue_made_at timestamptz;
comment on column hubspot_private.deliveries.queue_made_at is 'When the queue was made that has, or had, the job job_id.';
do $$
declare
  v_queue name;
begin
  for v_queue in select i.queue_schema from hubspot_private.installation i loop
    -- Made after a delivery was due, as just now by this install, it does not have its job.
    execute format(
      'update hubspot_private.deliveries d set queue_made_at = q.made_at
       from (select min(m.ts) as made_at from %I.migrations m) q
       where d.job_id is not null and d.not_before >= q.made_at', v_queue);
  end loop;
end;
$$;
