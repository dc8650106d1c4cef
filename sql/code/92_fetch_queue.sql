-- What is to be read by id: put on the list by whoever finds it in doubt, taken off by the read that settles it.
create or replace function hubspot_private.fetch_enqueue(
  object text, ids bigint[], reason text, not_before timestamptz default null
)
returns bigint
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_count bigint;
begin
  insert into hubspot_private.fetch_queue as q (object, id, reason, not_before)
  select fetch_enqueue.object, i, fetch_enqueue.reason, coalesce(fetch_enqueue.not_before, hubspot_private.clock())
  from (select distinct i from unnest(fetch_enqueue.ids) i where i is not null order by i) ids (i)
  on conflict on constraint fetch_queue_pkey do update
  set seq = excluded.seq,
    -- Read and still in doubt, as a row that someone keeps locked: later each time, up to an hour.
    attempts = q.attempts + (excluded.reason = 'fetch' and coalesce(q.turn_at <= excluded.not_before, true))::integer,
    not_before = case
      when excluded.reason = 'refused' then excluded.not_before
      when excluded.reason = 'fetch' and q.turn_at > excluded.not_before then q.turn_at
      when excluded.reason = 'fetch' then excluded.not_before + make_interval(secs => least(power(2, least(q.attempts, 12)), 3600) - 1)
      else least(q.not_before, excluded.not_before)
    end,
    -- Before its turn, since someone asks for it: that settles no doubt sooner.
    turn_at = case when excluded.reason not in ('fetch', 'refused') and q.attempts > 0 and q.not_before > excluded.not_before then q.not_before else q.turn_at end,
    -- Named twice, it is read in the class of the more urgent.
    reason = case when excluded.reason = 'fetch' or q.class < excluded.class then q.reason else excluded.reason end;
  get diagnostics v_count = row_count;
  if v_count > 0 and fetch_enqueue.reason = 'refresh' then
    perform hubspot_private.stream_call(fetch_enqueue.object, 'fetch');
  elsif v_count > 0 then
    perform hubspot_private.stream_wake(fetch_enqueue.object, 'fetch', 0, fetch_enqueue.not_before);
  end if;
  return v_count;
end;
$$;
comment on function hubspot_private.fetch_enqueue(text, bigint[], text, timestamptz) is
  'Puts ids on the list to batch-read; an id that is there gets a new seq, so that a read under way does not take it off.';

create or replace function hubspot_private.asks_take(object text)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_ids bigint[];
begin
  with taken as (
    delete from hubspot_private.fetch_asks a
    where a.id = any (array(
      select x.id from hubspot_private.fetch_asks x
      join hubspot_private.objects o on o.number = x.object_number and o.name = asks_take.object
      for update of x skip locked))
    returning a.ids
  )
  select array_agg(distinct i) into v_ids from taken t, unnest(t.ids) i;
  if v_ids is not null then
    perform hubspot_private.fetch_enqueue(object, v_ids, 'refresh');
  end if;
end;
$$;
comment on function hubspot_private.asks_take(text) is
  'Moves what people asked to have read again, as far as they have committed, to the list to batch-read. Called holding the fetch stream.';

create or replace function hubspot_private.live_queue(object text, ids bigint[], most_ms double precision)
returns timestamptz
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_since constant timestamptz := hubspot_private.clock();
  v_apart bigint[] := hubspot_private.apart_ids(object, ids);
begin
  -- As live_hasten has it: ten that are refused, those asked longest ago first. The others wait for their turn.
  ids := array(
    select i from unnest(ids) i
    where i <> all (array(
      select q.id from hubspot_private.fetch_queue q
      where q.object = object and q.id = any (ids) and q.id <> all (v_apart) and exists (
        select from hubspot_private.problems p
        where coalesce(p.object, '') = q.object and coalesce(p.record_id, 0) = q.id and p.code = 'SH213' and p.resolved_at is null)
      order by q.asked_at nulls first, q.id offset 10)));
  perform hubspot_private.live_wanted(object, 'fetch', 0, most_ms);
  perform hubspot_private.fetch_enqueue(object, array(select i from unnest(ids) i where i <> all (v_apart)), 'refresh', v_since);
  -- Once a second at most: each time a session may end.
  v_apart := array(
    select i from unnest(v_apart) i
    where not exists (
      select from hubspot_private.fetch_queue q where q.object = object and q.id = i and q.asked_at > v_since - interval '1 second'));
  perform hubspot_private.fetch_enqueue(object, v_apart, 'alone', v_since);
  update hubspot_private.fetch_queue q set reason = 'alone' where q.object = object and q.id = any (v_apart);
  return v_since;
end;
$$;
comment on function hubspot_private.live_queue(text, bigint[], double precision) is
  'Puts ids that a query waits for on the list of those to read: the slower way, which gets round whatever refuses a page.';
