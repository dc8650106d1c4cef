-- The queue: jobs only wake streams. What is to be done, and by whom, is in hubspot_private.streams.
create or replace function hubspot_private.task_names()
returns text[]
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
  select array['hubspot:stream', 'hubspot:connect', 'hubspot:sweep', 'hubspot:vacuum'];
$$;
comment on function hubspot_private.task_names() is 'The graphile-worker tasks of this product: the keys of src/tasks.ts.';

create or replace function hubspot_private.enqueue(
  task text, payload json, job_key text, run_at timestamptz default null
)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  -- Correctness never rests on the key: it only keeps a thousand wake-ups of one stream from being a thousand jobs.
  -- run_at is by our clock; the queue's is the server's.
  execute format(
    'select %I.add_job($1, $2, job_key => $3, run_at => $4, max_attempts => 1)',
    (select i.queue_schema from hubspot_private.installation i))
  using enqueue.task, enqueue.payload, 'hubspot:' || enqueue.job_key,
    coalesce(enqueue.run_at - (select i.clock_shift from hubspot_private.installation i), clock_timestamp());
end;
$$;
comment on function hubspot_private.enqueue(text, json, text, timestamptz) is
  'Adds a job in this transaction. The only way this product queues anything.';

create or replace function hubspot_private.stream_wake(
  object text, stream text, range integer default 0, at timestamptz default null
)
returns void
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  select hubspot_private.enqueue(
    'hubspot:stream',
    json_build_object('object', stream_wake.object, 'stream', stream_wake.stream, 'range', stream_wake.range),
    format('%s:%s:%s', stream_wake.object, stream_wake.stream, stream_wake.range),
    stream_wake.at);
$$;
comment on function hubspot_private.stream_wake(text, text, integer, timestamptz) is
  'Queues a look at a stream, now or at a time. Whoever queues work for a stream calls it in the same transaction.';
