-- The queue: jobs only wake streams. What is to be done, and by whom, is in hubspot_private.streams.
create or replace function hubspot_private.task_names()
returns text[]
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
  select array['hubspot:stream', 'hubspot:connect', 'hubspot:sweep', 'hubspot:vacuum', 'hubspot:inbox', 'hubspot:deliver'];
$$;
comment on function hubspot_private.task_names() is 'The graphile-worker tasks of this product: the keys of src/tasks.ts.';

create or replace function hubspot_private.enqueue(
  task text, payload json, job_key text default null, run_at timestamptz default null
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
    'select %I.add_job($1, $2, job_key => $3, run_at => $4, max_attempts => 1, priority => $5)',
    (select i.queue_schema from hubspot_private.installation i))
  using enqueue.task, enqueue.payload, 'hubspot:' || enqueue.job_key,
    coalesce(enqueue.run_at - (select i.clock_shift from hubspot_private.installation i), clock_timestamp()),
    -- The parts of a first load would take every place of a worker, and a poll wait for one of theirs.
    case when enqueue.payload ->> 'stream' in ('backfill', 'resync', 'fill') then 1 else 0 end;
end;
$$;
comment on function hubspot_private.enqueue(text, json, text, timestamptz) is
  'Adds a job in this transaction. The only way this product queues anything. Without a key it waits for nobody else''s job.';

create or replace function hubspot_private.stream_payload(object text, stream text, range integer)
returns json
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
  select json_build_object('object', stream_payload.object, 'stream', stream_payload.stream, 'range', stream_payload.range);
$$;
comment on function hubspot_private.stream_payload(text, text, integer) is 'The payload of a job that wakes a stream.';

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
    hubspot_private.stream_payload(stream_wake.object, stream_wake.stream, stream_wake.range),
    format('%s:%s:%s', stream_wake.object, stream_wake.stream, stream_wake.range),
    stream_wake.at);
$$;
comment on function hubspot_private.stream_wake(text, text, integer, timestamptz) is
  'Queues a look at a stream, now or at a time, in place of the one that is queued. Whoever queues work for a stream wakes it in the same transaction.';

create or replace function hubspot_private.stream_call(
  object text, stream text, range integer default 0, at timestamptz default null
)
returns void
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  -- A key would make the worker's own wake-ups wait for a caller who leaves his transaction open.
  select hubspot_private.enqueue(
    'hubspot:stream', hubspot_private.stream_payload(stream_call.object, stream_call.stream, stream_call.range), run_at => stream_call.at);
$$;
comment on function hubspot_private.stream_call(text, text, integer, timestamptz) is
  'Queues a look at a stream for a user, now or at a time: nobody waits for him.';
