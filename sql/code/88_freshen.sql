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

create or replace function hubspot_private.live_hasten(object text)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
begin
  -- Once a second at most; and past those that are just being read.
  with late as (
    select q.id, q.asked_at
    from hubspot_private.fetch_queue q
    where q.object = object and q.failures = 0
      and (q.not_before > (select hubspot_private.clock())
        and coalesce(q.asked_at, '-infinity') < (select hubspot_private.clock()) - interval '1 second'
        -- Search showed it, only later than to a poll.
        or q.reason = 'settle' and q.asked_at is null)
    for update skip locked
  ),
  ordered as (
    select l.id, r.is_refused, row_number() over (partition by r.is_refused order by l.asked_at nulls first, l.id) as n
    from late l
    cross join lateral (
      select exists (
        select from hubspot_private.problems p
        where coalesce(p.object, '') = object and coalesce(p.record_id, 0) = l.id and p.code = 'SH213' and p.resolved_at is null) as is_refused) r
  )
  update hubspot_private.fetch_queue q
  set not_before = least(q.not_before, hubspot_private.clock()), turn_at = q.not_before,
    reason = case when hubspot_private.apart_ids(object, array[q.id]) <> '{}' then 'alone' when q.class > 2 then 'poll' else q.reason end
  from ordered o
  -- Twenty that are refused alike fail the stream. Of others no more than a query can wait for, those asked longest ago first.
  where q.object = object and q.id = o.id and o.n <= case when o.is_refused then 10 else 500 end;
end;
$$;
comment on function hubspot_private.live_hasten(text) is
  'What could not be written, or is in doubt, is read now, though its turn is later: someone waits. Five hundred a time; of what triggers refuse, ten.';

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
  if not exists (select from hubspot_private.objects o where o.name = object and o.is_tracked) then
    perform hubspot_private.fail('object_not_tracked', object);
  end if;
  perform hubspot_private.live_wanted(object, s, 0, most_ms) from unnest('{poll,fetch}'::text[]) s;
  perform hubspot_private.live_hasten(object);
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
      where q.object = r.object
        and (q.class <= 2 or q.attempts > 0 or q.not_before > (select hubspot_private.clock()) or q.reason in ('settle', 'alone', 'refused')));
$$;
comment on function hubspot_private.live_age(text) is
  'How long ago the last poll began, in ms; null: not within the hour, or what it found has not been read, or could not be written.';

create or replace function hubspot_private.live_look(object text, stream text, range integer, run_id bigint, since timestamptz)
returns table (is_done boolean, started_at timestamptz, retry_ms double precision, code text, message text, hint text)
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  select case
      -- Null: it was stopped, as when HubSpot turns out not to search the object.
      when live_look.stream = 'poll' then case when a.state = 'done' then true when a.state in ('waiting', 'running') then false end
      -- What is as urgent as what a poll finds, or is to be read alone: read since, or in doubt, is done.
      when live_look.stream = 'fetch' then not exists (
        select from hubspot_private.fetch_queue q
        where q.object = live_look.object and (q.class <= 2 or q.reason = 'alone') and q.not_before <= (select hubspot_private.clock())
          and coalesce(q.asked_at, '-infinity') < live_look.since)
      else not exists (
        select from hubspot_private.association_dirty d
        where d.pair = live_look.range and d.not_before <= (select hubspot_private.clock())
          -- Or to be read a second time at once, to make sure.
          and (coalesce(d.asked_at, '-infinity') < live_look.since or d.held = 1))
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
  'Whether what someone waits for has been read: a run of the poll (null: it was stopped), ids queued, or associations, asked since then. Where the stream failed, when it is next tried, why, and what to do.';

create or replace function hubspot_private.live_doubtful(object text, ids bigint[])
returns bigint[]
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select array_agg(q.id order by q.id)
  from hubspot_private.fetch_queue q
  where q.object = live_doubtful.object
    and (q.attempts > 0 or q.not_before > (select hubspot_private.clock()) or q.reason in ('alone', 'refused'))
    and (live_doubtful.ids is null or q.id = any (live_doubtful.ids));
$$;
comment on function hubspot_private.live_doubtful(text, bigint[]) is
  'Those of these ids, or of all (null), of which what HubSpot has could not be written when it was last read, or it did not tell; null when none.';

create or replace function hubspot_private.live_hasten_edges(pair integer, object text)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
begin
  -- As live_hasten does.
  with late as (
    select d.is_reverse, d.from_id, d.asked_at
    from hubspot_private.association_dirty d
    where d.pair = pair and d.not_before > (select hubspot_private.clock())
      and (d.attempts = 0 or not d.is_reverse and hubspot_private.apart_ids(object, array[d.from_id]) <> '{}')
      and coalesce(d.asked_at, '-infinity') < (select hubspot_private.clock()) - interval '1 second'
    for update skip locked
  ),
  ordered as (
    select l.is_reverse, l.from_id, r.is_refused, row_number() over (partition by r.is_refused order by l.asked_at nulls first, l.from_id) as n
    from late l
    cross join lateral (
      select exists (
        select from hubspot_private.problems p
        where coalesce(p.object, '') = object and coalesce(p.record_id, 0) = l.from_id and p.code = 'SH213' and p.resolved_at is null) as is_refused) r
  )
  update hubspot_private.association_dirty d set not_before = hubspot_private.clock(), held = least(d.held, 6)
  from ordered o
  where d.pair = pair and d.is_reverse = o.is_reverse and d.from_id = o.from_id and o.n <= case when o.is_refused then 10 else 500 end;
end;
$$;
comment on function hubspot_private.live_hasten_edges(integer, text) is
  'Associations of a pair that could not be written are read now, though their turn is later: someone waits. As many as live_hasten.';

create or replace function hubspot_private.live_edges(pair integer, from_ids bigint[], to_ids bigint[], most_ms double precision)
returns table (since timestamptz, lacking bigint[])
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_from hubspot_private.objects;
  v_apart bigint[];
begin
  select o.* into strict v_from from hubspot_private.pairs p join hubspot_private.objects o on o.name = p.from_object where p.number = pair;
  perform hubspot_private.live_wanted(v_from.name, 'associations', pair, most_ms);
  since := hubspot_private.clock();
  v_apart := hubspot_private.apart_ids(v_from.name, from_ids);
  if from_ids = '{}' and to_ids = '{}' then
    perform hubspot_private.live_hasten_edges(pair, v_from.name);
  end if;
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
  set seq = excluded.seq, held = least(d.held, 6),
    attempts = case when d.is_reverse or d.from_id <> all (v_apart) then 0 else d.attempts end,
    -- As live_queue has it.
    not_before = case
      when d.is_reverse or d.from_id <> all (v_apart) or coalesce(d.asked_at, '-infinity') < since - interval '1 second'
      then least(d.not_before, excluded.not_before) else d.not_before
    end;
  return next;
end;
$$;
comment on function hubspot_private.live_edges(integer, bigint[], bigint[], double precision) is
  'Has the associations of these records read, from their own side or, for to_ids, from the other; lacking: those of from_ids that the mirror does not have. Of none: what waits for a later turn.';

create or replace function hubspot_private.live_edges_doubtful(
  pair integer, from_ids bigint[], to_ids bigint[], since timestamptz, out from_held bigint[], out to_held bigint[]
)
returns record
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_is_all constant boolean := from_ids = '{}' and to_ids = '{}';
  v_ends bigint[] := '{}';
begin
  if to_ids <> '{}' then
    v_ends := array(
      select e.from_id from hubspot_private.pairs p, unnest(hubspot_private.edges_of(p, to_ids, false, true)) e where p.number = pair)
      -- Which records these would have, nobody knows who was not just told.
      || (select hubspot_private.apart_ids(p.from_object, array(
          select d.from_id from hubspot_private.association_dirty d where d.pair = p.number and not d.is_reverse and d.attempts > 0))
        from hubspot_private.pairs p where p.number = pair);
  end if;
  select array_agg(d.from_id order by d.from_id) filter (where not d.is_reverse), array_agg(d.from_id order by d.from_id) filter (where d.is_reverse)
  into from_held, to_held
  from hubspot_private.association_dirty d
  where d.pair = pair and (d.held > 0 or d.attempts > 0 or d.not_before > (select hubspot_private.clock()))
    and (v_is_all
      or d.is_reverse and d.from_id = any (to_ids)
      -- What the other end told of and the mirror does not have is among what was read for it.
      or not d.is_reverse and (d.from_id = any (from_ids || v_ends) or to_ids <> '{}' and d.asked_at >= since));
end;
$$;
comment on function hubspot_private.live_edges_doubtful(integer, bigint[], bigint[], timestamptz) is
  'Records, of these or (both empty) of all, whose associations could not be made what HubSpot has when they were last read, or of which it did not tell: of the pair''s own side, and of the other.';
