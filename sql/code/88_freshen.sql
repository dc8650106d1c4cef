-- Freshening: what the gateway does before it forwards a query. By id: a batch read, applied by the rule of 43_apply.sql as any
-- store read, so nothing is lost by doing it beside the streams. Anything else: a run of the poll, and the reads that it asks for.
create or replace function hubspot_private.live_wanted(object text, stream text, range integer, most_ms double precision)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set lock_timeout = '2s'
as $$
#variable_conflict use_variable
begin
  -- One that fails is tried now, once a second at most, whatever its back-off: HubSpot may be back. So that the back-off of an
  -- hour, which many such tries would lead to, is not what remains when nobody waits any more, it stays below a minute or so.
  update hubspot_private.streams s
  set live_until = hubspot_private.clock() + make_interval(secs => most_ms / 1000),
    live_tried_at = case when f.is_tried then hubspot_private.clock() else s.live_tried_at end,
    retry_at = case when f.is_tried then null else s.retry_at end,
    failures = case when f.is_tried then least(s.failures, 6) else s.failures end
  from (
    select t.object, t.stream, t.range,
      t.retry_at > hubspot_private.clock() and coalesce(t.live_tried_at, '-infinity') < hubspot_private.clock() - interval '1 second' as is_tried
    from hubspot_private.streams t
    where (t.object, t.stream, t.range) = (live_wanted.object, live_wanted.stream, live_wanted.range)
    for update
  ) f
  where (s.object, s.stream, s.range) = (f.object, f.stream, f.range)
    and (f.is_tried or coalesce(s.live_until, '-infinity') < hubspot_private.clock() + make_interval(secs => most_ms / 2000));
end;
$$;
comment on function hubspot_private.live_wanted(text, text, integer, double precision) is
  'Someone waits for what a stream reads: for so long it asks in class live.';

create or replace function hubspot_private.live_poll(object text, most_ms double precision)
returns bigint
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  run_id bigint;
begin
  perform hubspot_private.live_wanted(object, s, 0, most_ms) from unnest('{poll,fetch}'::text[]) s;
  loop
    insert into hubspot_private.runs (object, stream, range, state, requested_at)
    values (object, 'poll', 0, 'waiting', hubspot_private.clock())
    on conflict do nothing
    returning id into run_id;
    if run_id is null then
      select r.id into run_id from hubspot_private.runs r
      where r.object = live_poll.object and r.stream = 'poll' and r.range = 0 and r.state = 'waiting';
    end if;
    exit when run_id is not null;
  end loop;
  return run_id;
end;
$$;
comment on function hubspot_private.live_poll(text, double precision) is
  'Asks for a poll that begins from now on, and returns its run: the same for all who ask before it begins. Whoever asks runs it; should it die, the sweep does.';

create or replace function hubspot_private.live_age(object text)
returns double precision
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  select extract(epoch from hubspot_private.clock() - max(r.started_at)) * 1000
  from hubspot_private.runs r
  where r.object = live_age.object and r.stream = 'poll' and r.state = 'done' and r.finished_at > hubspot_private.clock() - interval '1 hour'
    and not exists (
      select from hubspot_private.fetch_queue q
      where q.object = r.object and q.class <= 2 and q.attempts = 0 and q.reason <> 'refused' and coalesce(q.asked_at, '-infinity') < r.started_at);
$$;
comment on function hubspot_private.live_age(text) is
  'How long ago the last poll began whose finds have been read, in ms; null: not within the hour.';

create or replace function hubspot_private.live_look(object text, stream text, range integer, run_id bigint, since timestamptz)
returns table (is_done boolean, started_at timestamptz, retry_ms double precision, code text, message text, hint text)
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  select case
      when live_look.stream = 'poll' then a.state is distinct from 'waiting' and a.state is distinct from 'running'
      -- What is as urgent as what a poll finds: read since, or in doubt, is done.
      when live_look.stream = 'fetch' then not exists (
        select from hubspot_private.fetch_queue q
        where q.object = live_look.object and q.class <= 2 and q.not_before <= (select hubspot_private.clock())
          and coalesce(q.asked_at, '-infinity') < live_look.since)
      else not exists (
        select from hubspot_private.association_dirty d
        where d.pair = live_look.range and d.attempts = 0 and d.not_before <= (select hubspot_private.clock())
          and coalesce(d.asked_at, '-infinity') < live_look.since)
    end,
    a.started_at, extract(epoch from s.retry_at - hubspot_private.clock()) * 1000, r.error_code, r.error, e.hint
  from (select 1) one
  left join hubspot_private.runs a on a.id = live_look.run_id
  left join hubspot_private.streams s
    on (s.object, s.stream, s.range) = (live_look.object, live_look.stream, live_look.range) and s.retry_at > hubspot_private.clock()
  left join hubspot_private.runs r on r.id = s.run_id
  left join hubspot_private.errors e on e.code = r.error_code and e.hint not like '%\%%';
$$;
comment on function hubspot_private.live_look(text, text, integer, bigint, timestamptz) is
  'Whether what someone waits for has been read: a run of the poll, ids queued, or associations, asked since then. Where the stream failed, when it is next tried, why, and what to do.';

create or replace function hubspot_private.live_queue(object text, ids bigint[], most_ms double precision)
returns timestamptz
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_since constant timestamptz := hubspot_private.clock();
begin
  perform hubspot_private.live_wanted(object, 'fetch', 0, most_ms);
  perform hubspot_private.fetch_enqueue(object, ids, 'refresh', v_since);
  return v_since;
end;
$$;
comment on function hubspot_private.live_queue(text, bigint[], double precision) is
  'Puts ids that a query waits for on the list of those to read: the slower way, which gets round whatever refuses a page.';

create or replace function hubspot_private.live_doubtful(object text, ids bigint[], since timestamptz)
returns bigint[]
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select array_agg(q.id order by q.id)
  from hubspot_private.fetch_queue q
  where q.object = live_doubtful.object and q.class <= 2
    and case when live_doubtful.ids is null then q.asked_at >= live_doubtful.since else q.id = any (live_doubtful.ids) end;
$$;
comment on function hubspot_private.live_doubtful(text, bigint[], timestamptz) is
  'Those of these ids, or of all that were asked for since then, that are still to be read: what HubSpot has of them could not be written, or it did not tell; null when none.';

create or replace function hubspot_private.live_edges(pair integer, from_ids bigint[], to_ids bigint[], most_ms double precision)
returns table (since timestamptz, lacking bigint[])
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_from hubspot_private.objects;
begin
  select o.* into strict v_from from hubspot_private.pairs p join hubspot_private.objects o on o.name = p.from_object where p.number = pair;
  perform hubspot_private.live_wanted(v_from.name, 'associations', pair, most_ms);
  since := hubspot_private.clock();
  execute format('select array_agg(i) from unnest($1) i where not exists (select from %s and t.id = i)', hubspot_private.live_rows(v_from))
  into lacking using from_ids;
  insert into hubspot_private.association_dirty as d (pair, is_reverse, from_id, not_before)
  select pair, w.is_reverse, w.id, since
  from (
    select false as is_reverse, i as id from unnest(from_ids) i where i <> all (coalesce(lacking, '{}'))
    union
    select true, i from unnest(to_ids) i
  ) w
  order by w.is_reverse, w.id
  on conflict on constraint association_dirty_pkey do update
  set seq = excluded.seq, attempts = 0, not_before = least(d.not_before, excluded.not_before);
  return next;
end;
$$;
comment on function hubspot_private.live_edges(integer, bigint[], bigint[], double precision) is
  'Has the associations of these records read, from their own side or, for to_ids, from the other; lacking: those of from_ids that the mirror does not have.';
