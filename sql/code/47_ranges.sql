-- A full read of one object in parts, since one cursor reads no more than a page a round trip. Part 0 begins at the start of
-- the list; others are split off: the list is asked from an id in the middle of what a part has before it. Each has a lease and a
-- cursor of its own, all have one run.
--   Where a part ends: where it comes upon a record of another part's first page. That is sound as long as each page is what a
--   list in id order with an id as `after` shows: ids that rise from the one asked for to the `after` that follows, past no other
--   part's first page. The first page that is anything else, a stray or stale one included, ends the parts: part 0 reads on
--   alone to the end of the list, from its start again if it had ended before.
--   A part that comes to an end before ids that are known to be there asks on from its last one, and a page of part 0 that is a
-- stray is asked for again: what was asked is not what was answered.
--   The run is over when all parts are. All decisions are made holding the run's row, one part after another.
create or replace function hubspot_private.page_ids(answer jsonb, asked jsonb)
returns bigint[]
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
  select coalesce(array_agg(i.id::bigint order by i.n), '{}')
  from (
    select r.value ->> 'id', r.n from jsonb_array_elements(page_ids.answer -> 'results') with ordinality r (value, n)
    where page_ids.asked is null
    union all
    select a.value, a.n from jsonb_array_elements_text(page_ids.asked) with ordinality a (value, n)
  ) i (id, n)
  where length(i.id) between 1 and 18 and ltrim(i.id, '0123456789') = '';
$$;
comment on function hubspot_private.page_ids(jsonb, jsonb) is 'The ids on a page of a list, as it listed them: answered, or asked for by batch read.';

create or replace function hubspot_private.ids_ascend(ids bigint[], last bigint)
returns boolean
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
  select coalesce(ids_ascend.ids[1] >= ids_ascend.last, true)
    and not exists (select from generate_series(2, cardinality(ids_ascend.ids)) n where ids_ascend.ids[n] < ids_ascend.ids[n - 1]);
$$;
comment on function hubspot_private.ids_ascend(bigint[], bigint) is 'Whether a page goes on in id order from the last id before it.';

create or replace function hubspot_private.page_is_in_order(s hubspot_private.streams, ids bigint[], after text)
returns boolean
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_from constant text := s.cursor ->> 'after';
  v_last constant bigint := ids[cardinality(ids)];
begin
  if coalesce(v_from, '0') !~ '^[0-9]{1,18}$' or coalesce(page_is_in_order.after, '0') !~ '^[0-9]{1,18}$' then
    return false;
  end if;
  return hubspot_private.ids_ascend(ids, coalesce(v_from::bigint, 0)) and v_last <= coalesce(page_is_in_order.after::bigint, v_last)
    and not exists (
      select from hubspot_private.ranges r
      where (r.object, r.stream) = (s.object, s.stream) and r.range <> s.range
        and r.first_ids[1] > coalesce(v_from::bigint, 0) and r.first_ids[cardinality(r.first_ids)] < v_last
        and not r.first_ids && ids);
end;
$$;
comment on function hubspot_private.page_is_in_order(hubspot_private.streams, bigint[], text) is
  'Whether a page is what a list in id order shows from the id it was asked from, and passes over no other part''s first page.';

create or replace function hubspot_private.ranges_wanted()
returns integer
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  -- So many calls are on their way where the burst budget is used up: requests a second by seconds a round trip (50 ms of it for
  -- what follows the first byte). And their square root more: a turn is lost whenever all answers are late at once, which is the
  -- likelier the fewer they are (at 190 calls in 10 s and 250 ms, 6 parts used 96 to 99 % of them, 7 or 8 at least 98; at 20 to
  -- 150 ms, 4 parts 94 to 98). Shared by the objects that are read now.
  select greatest(1, least(
    (hubspot_private.setting('max_ranges') #>> '{}')::numeric,
    ceil((n.calls + sqrt(n.calls))
      / greatest(1, (
        select count(distinct s.object) from hubspot_private.streams s
        where s.stream in ('backfill', 'resync') and s.run_id is not null)))))::integer
  from hubspot_private.budgets b
  cross join lateral (
    select b.max_requests * b.share / extract(epoch from b.period) * (0.05 + coalesce((b.delay_low_ms + b.delay_high_ms) / 2, 0)::numeric / 1000)
  ) n (calls)
  where b.name = 'burst';
$$;
comment on function hubspot_private.ranges_wanted() is 'In how many parts one object should be read now.';

create or replace function hubspot_private.list_is_opaque(object text)
returns void
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  update hubspot_private.objects o set is_list_opaque = true where o.name = list_is_opaque.object and not o.is_list_opaque;
$$;
comment on function hubspot_private.list_is_opaque(text) is 'A page was not what a list in id order shows: until the next full read it is read in one part.';

create or replace function hubspot_private.range_look(s hubspot_private.streams, ids bigint[], after text, out is_over boolean, out seen bigint)
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
begin
  is_over := false;
  seen := 0;
  if cardinality(ids) > 0 and not hubspot_private.page_is_in_order(s, ids, after) then
    perform hubspot_private.list_is_opaque(s.object);
  end if;
  if (select o.is_list_opaque from hubspot_private.objects o where o.name = s.object) then
    is_over := s.range > 0;
    return;
  end if;
  select count(distinct i) into seen
  from hubspot_private.ranges r, unnest(r.first_ids) i
  where (r.object, r.stream) = (s.object, s.stream) and r.range <> s.range and r.first_ids && ids and i = any (ids);
  is_over := seen > 0;
  if not s.cursor ? 'is_first' or cardinality(ids) = 0 then
    return;
  end if;
  -- Another has read past this place before this part came to it, and reads on or is over: there is nothing left to divide.
  -- Ended without its page being noted, a part is as if it had never been.
  if exists (
    select from hubspot_private.streams p
    left join hubspot_private.ranges r on (r.object, r.stream, r.range) = (p.object, p.stream, p.range)
    where p.object = s.object and p.stream = s.stream and p.range <> s.range and (p.range = 0 or r.first_ids is not null)
      and coalesce(r.first_ids[1], 0) <= ids[1]
      and case when p.cursor ->> 'after' ~ '^[0-9]{1,18}$' then (p.cursor ->> 'after')::bigint > ids[1] else p.run_id is null end
  ) then
    seen := cardinality(ids);
    is_over := true;
    return;
  end if;
  -- Also where it came upon another at once: what lies between is read.
  update hubspot_private.ranges r set first_ids = ids
  where (r.object, r.stream, r.range) = (s.object, s.stream, s.range);
end;
$$;
comment on function hubspot_private.range_look(hubspot_private.streams, bigint[], text) is
  'Whether a part of a full read is over, and how many records of this page another has read; a first page is noted.';

create or replace function hubspot_private.range_split(s hubspot_private.streams, ids bigint[], after text)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_object hubspot_private.objects;
  v_low bigint := (select min(i) from unnest(ids) i);
  v_high bigint := (select max(i) from unnest(ids) i);
  v_read bigint := (select r.rows_read from hubspot_private.runs r where r.id = s.run_id);
  v_total bigint;
  v_highest bigint;
  v_end bigint;
  v_range integer;
  v_active bigint;
begin
  if v_high is null or after !~ '^[0-9]{1,18}$' then
    return;
  end if;
  select o.* into v_object from hubspot_private.objects o where o.name = s.object;
  select count(*) into v_active from hubspot_private.streams p
  where p.object = s.object and p.stream = s.stream and p.run_id = s.run_id;
  if v_object.is_list_opaque or v_active >= hubspot_private.ranges_wanted() then
    return;
  end if;
  if s.stream = 'backfill' then
    v_total := v_object.total;
    v_highest := v_object.highest_id;
  else
    v_total := (select sum(p.rows) from hubspot_private.streams p where p.object = s.object and p.stream <> 'associations');
    execute format('select max(t.id) from hubspot.%I t', v_object.table_name) into v_highest;
  end if;
  v_end := least(v_highest + 1, (
    select min(r.from_id) from hubspot_private.ranges r
    where (r.object, r.stream) = (s.object, s.stream) and r.from_id > v_high));
  -- Unknown without search: twice as far each time, until the list has nothing there.
  v_end := coalesce(v_end, 4 * v_high + 4000);
  v_range := 1 + coalesce((
    select max(r.range) from hubspot_private.ranges r where (r.object, r.stream) = (s.object, s.stream)), 0);
  -- Each part ends with a page that another has read too. Not worth it: little is left for each, or of this one by the density of
  -- its last page, or far too often the list was asked in vain.
  if (coalesce(v_total, 2 * v_read) - v_read) / v_active < (hubspot_private.setting('range_records') #>> '{}')::numeric
    or v_end - v_high < 2 * (v_high - v_low + 1)
    or v_range > 1000
  then
    return;
  end if;
  insert into hubspot_private.streams (object, stream, range, cursor, run_id)
  values (s.object, s.stream, v_range,
    jsonb_build_object('after', (v_high + (v_end - v_high) / 2)::text, 'is_first', true), s.run_id);
  insert into hubspot_private.ranges (object, stream, range, from_id)
  values (s.object, s.stream, v_range, v_high + (v_end - v_high) / 2);
  perform hubspot_private.stream_wake(s.object, s.stream, v_range);
end;
$$;
comment on function hubspot_private.range_split(hubspot_private.streams, bigint[], text) is
  'Gives the further half of what lies before a part to a new one, where more calls should be on their way.';

create or replace function hubspot_private.range_end(s hubspot_private.streams, ids bigint[])
returns text
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_object hubspot_private.objects;
  v_last bigint;
  v_highest bigint;
begin
  select o.* into strict v_object from hubspot_private.objects o where o.name = s.object;
  if v_object.is_list_opaque or s.cursor ? 'is_given_up' or (s.cursor ->> 'ends')::integer >= 2
    or coalesce(s.cursor ->> 'after', '0') !~ '^[0-9]{1,18}$'
  then
    return null;
  end if;
  v_last := coalesce((select max(i) from unnest(ids) i), (s.cursor ->> 'after')::bigint - 1, -1);
  execute 'select max(t.id) from ' || hubspot_private.live_rows(v_object) into v_highest;
  v_highest := greatest(v_highest, case when s.stream = 'backfill' then v_object.highest_id end, (
    select max(r.first_ids[1]) from hubspot_private.ranges r
    where (r.object, r.stream) = (s.object, s.stream) and r.range <> s.range));
  -- The last one itself: whether a list begins at its after or behind it, nothing is passed over.
  return case when v_highest > v_last then greatest(v_last, 0) end;
end;
$$;
comment on function hubspot_private.range_end(hubspot_private.streams, bigint[]) is
  'The list ends here, it says. Where ids are known beyond, the after to ask on from; null: it is believed, the third time too.';

create or replace function hubspot_private.range_advance(
  s hubspot_private.streams, ids bigint[], inout is_over boolean, inout place jsonb, out seen bigint
)
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_was_opaque boolean;
  v_after text;
begin
  if is_over then
    -- Asked on from its last one, a list shows that once more.
    seen := (select count(*) from unnest(ids) i where s.cursor ? 'ends' and i = (s.cursor ->> 'after')::bigint);
    v_after := hubspot_private.range_end(s, ids);
    is_over := v_after is null;
    place := place || case when is_over then '{}' else jsonb_build_object('after', v_after, 'ends', coalesce((s.cursor ->> 'ends')::integer, 0) + 1) end;
    return;
  end if;
  v_was_opaque := (select o.is_list_opaque from hubspot_private.objects o where o.name = s.object);
  v_after := place ->> 'after';
  select l.is_over, l.seen into is_over, seen from hubspot_private.range_look(s, ids, v_after) l;
  if is_over then
    place := place || '{"met": true}';
  elsif not v_was_opaque and s.cursor ->> 'after' is not null and (select o.is_list_opaque from hubspot_private.objects o where o.name = s.object) then
    place := s.cursor;
  else
    perform hubspot_private.range_split(s, ids, v_after);
  end if;
end;
$$;
comment on function hubspot_private.range_advance(hubspot_private.streams, bigint[], boolean, jsonb) is
  'A page of a part was taken in, and where it goes on: over where it came upon another, else split where that is of use; a stray page of the first part is asked for again. seen: how many of its records another part has read.';

create or replace function hubspot_private.ranges_end(s hubspot_private.streams)
returns void
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  with parts as (
    delete from hubspot_private.streams p
    where p.object = s.object and p.stream = s.stream and p.range > 0
    returning p.rows
  )
  update hubspot_private.streams t set rows = t.rows + p.rows
  from (select sum(parts.rows) as rows from parts having sum(parts.rows) is not null) p
  where (t.object, t.stream, t.range) = (s.object, s.stream, 0);
$$;
comment on function hubspot_private.ranges_end(hubspot_private.streams) is 'A full read is one stream again.';

create or replace function hubspot_private.range_is_last(s hubspot_private.streams)
returns boolean
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  select not exists (
    select from hubspot_private.streams p
    where p.object = s.object and p.stream = s.stream and p.range <> s.range and p.run_id = s.run_id);
$$;
comment on function hubspot_private.range_is_last(hubspot_private.streams) is
  'Whether no other part is in this run. Asked holding the run''s row, so that of two that end at once one is the last.';
