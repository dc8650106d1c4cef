-- The archived list, read from start to end each time, ids only: what it lists is gone from the mirror; a tombstone in a page's
-- place that it does not list belongs to a record that was restored, or purged, and is asked for by id.
--   The cursor: last, the highest id read; began, HubSpot's time of the sweep's first answer; until, that of the last whole sweep;
--   is_shown: it has listed some; is_short: one of these still has its row.
--   A list that is not in id order is read again with the ids it shows kept (is_listed): only its end tells what it lacks.
create or replace function hubspot_private.load_begin(object text)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  update hubspot_private.streams s set next_at = hubspot_private.clock()
  where s.object = load_begin.object and s.stream = 'backfill' and s.range = 0 and s.next_at is null and s.run_id is null
    and exists (select from hubspot_private.objects o where o.name = load_begin.object and o.loaded_at is null);
  if found then
    perform hubspot_private.stream_wake(object, 'backfill');
  end if;
end;
$$;
comment on function hubspot_private.load_begin(text) is
  'Begins the first load, where it has not: once the archived list is read, so that no record is taken for one that never was.';

create or replace function hubspot_private.tombstones_look(object text, low bigint, high bigint, ids bigint[], asked_at timestamptz)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_missed bigint[];
begin
  -- Without ids: all between that the list, which was kept, did not show. What waits to be read is neither here nor there yet, and
  -- to be missed again says something only of what was read meanwhile and not found.
  with looked as (
    select g.id, g.missed = 0 or coalesce(g.not_found_at > case when g.missed_at < hubspot_private.clock() then g.missed_at else '-infinity' end, false) as is_news
    from hubspot_private.tombstones g
    where g.object = tombstones_look.object and g.id > low and g.id <= high and g.purged_at is null
      -- What was seen gone while this page was on its way may not be on it.
      and g.seen_gone_at < asked_at
      and case
        when ids is not null then g.id <> all (ids)
        else not exists (
          select from hubspot_private.listed l where (l.object, l.stream, l.id) = (g.object, 'archive', g.id))
      end
      and not exists (select from hubspot_private.fetch_queue q where (q.object, q.id) = (g.object, g.id))
  ),
  missed as (
    update hubspot_private.tombstones g
    set missed = g.missed + 1, missed_at = hubspot_private.clock(), purged_at = case when g.missed >= 2 then hubspot_private.clock() end
    from looked l
    where g.object = tombstones_look.object and g.id = l.id and l.is_news
    returning g.id, g.purged_at
  )
  select array_agg(l.id) into v_missed
  from looked l where not exists (select from missed m where m.id = l.id and m.purged_at is not null);
  perform hubspot_private.fetch_enqueue(object, v_missed, 'archive');
end;
$$;
comment on function hubspot_private.tombstones_look(text, bigint, bigint, bigint[], timestamptz) is
  'Asks for records that were seen gone and are not listed as archived: found, they were restored; not found twice, each time after another sweep, they are purged.';

create or replace function hubspot_private.archive_has_news(object text, answer jsonb)
returns boolean
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
begin
  return exists (
    select from unnest(hubspot_private.page_ids(answer, null)) i
    where not exists (select from hubspot_private.tombstones g where g.object = archive_has_news.object and g.id = i));
end;
$$;
comment on function hubspot_private.archive_has_news(text, jsonb) is 'Whether a page of the archived list shows ids that are not known to be gone.';

create or replace function hubspot_private.archive_step(
  s hubspot_private.streams, answer jsonb, after text, asked_at timestamptz, answered_at timestamptz
)
returns hubspot_private.step
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_step hubspot_private.step;
  v_object hubspot_private.objects;
  v_ids bigint[];
  v_new bigint[];
  v_back bigint[];
  v_merged jsonb;
  v_low bigint := coalesce((s.cursor ->> 'last')::bigint, -1);
  v_is_short boolean;
  v_most constant bigint := 9223372036854775807;
begin
  select o.* into strict v_object from hubspot_private.objects o where o.name = s.object;
  v_step.is_over := after is null;
  if answer is null then
    -- HubSpot keeps no such list of this object: a full read finds what is gone.
    perform hubspot_private.load_begin(s.object);
    -- It may have been read before: what is known since then stands still.
    v_step.cursor := pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object('until', s.cursor -> 'until'));
    return v_step;
  end if;
  if pg_catalog.jsonb_typeof(answer -> 'results') is distinct from 'array' then
    perform hubspot_private.fail('answer_unreadable', 'it has no results');
  end if;
  -- Whatever else the list shows: what does not say that it is archived is not.
  v_ids := hubspot_private.page_ids(pg_catalog.jsonb_build_object('results', coalesce((
    select pg_catalog.jsonb_agg(r.value order by r.n) from pg_catalog.jsonb_array_elements(answer -> 'results') with ordinality r (value, n)
    where (r.value -> 'archived')::text is not distinct from 'true'), '[]')), null);
  v_step.result.rows_read := pg_catalog.cardinality(v_ids);
  v_step.cursor := pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object('after', after, 'until', s.cursor -> 'until',
    'began', coalesce(s.cursor -> 'began', pg_catalog.to_jsonb(hubspot_private.as_ms(coalesce(answered_at, hubspot_private.hubspot_now())))),
    'is_listed', s.cursor -> 'is_listed', 'is_short', s.cursor -> 'is_short', 'is_shown', coalesce(s.cursor -> 'is_shown', case when v_ids <> '{}' then 'true'::jsonb end)));
  if not s.cursor ? 'is_listed' and not hubspot_private.ids_ascend(v_ids, v_low) then
    delete from hubspot_private.listed l where l.object = s.object and l.stream = 'archive';
    v_step.cursor := v_step.cursor - 'after' || '{"is_listed": true}';
    v_step.is_over := false;
    return v_step;
  end if;
  -- What an archived record took in before is gone with it.
  select m.merged, m.back into v_merged, v_back from hubspot_private.merges_found(s.object, answer, null, null) m;
  -- Most of it was known before.
  execute pg_catalog.format(
    'select array_agg(i order by i) from unnest($1) i
     where not exists (select from hubspot_private.tombstones g where g.object = $2 and g.id = i)
       or exists (select from %s and t.id = i)', hubspot_private.live_rows(v_object))
  into v_new using v_ids, s.object;
  v_new := hubspot_private.merges_missing(v_new, v_merged, v_back);
  if pg_catalog.cardinality(v_new) > 0 then
    perform hubspot_private.object_lock(v_object.number, true);
    v_step.result.deleted := hubspot_private.gone_apply(s.object, s.stream, s.range, v_new, asked_at, s.stream);
    -- In doubt, and read again; what a trigger keeps has a problem of its own.
    execute pg_catalog.format(
      'select exists (
         select from %s and t.id = any ($1) and not exists (
           select from hubspot_private.problems p
           where p.object = $2 and p.record_id = t.id and p.code = ''SH213'' and p.resolved_at is null))', hubspot_private.live_rows(v_object))
    into v_is_short using v_new, s.object;
    if v_is_short then
      v_step.cursor := v_step.cursor || '{"is_short": true}';
    end if;
  end if;
  if v_merged is not null then
    perform hubspot_private.merges_note(s.object, v_merged);
  end if;
  update hubspot_private.tombstones g
  set missed = 0, missed_at = null, purged_at = null, archived_at = coalesce(r.archived_at, g.archived_at, '-infinity')
  from (
    select r.value ->> 'id' as id, hubspot_private.cast_timestamptz(r.value ->> 'archivedAt') as archived_at
    from pg_catalog.jsonb_array_elements(answer -> 'results') r (value)
  ) r
  where g.object = s.object and g.id = any (v_ids) and r.id = g.id::text
    and (g.missed > 0 or g.purged_at is not null or g.archived_at is null);
  if s.cursor ? 'is_listed' then
    insert into hubspot_private.listed (object, stream, id)
    select s.object, 'archive', i from (select distinct i from unnest(v_ids) i order by i) d (i)
    on conflict on constraint listed_pkey do nothing;
    if after is null then
      perform hubspot_private.tombstones_look(s.object, -1, v_most, null, (select r.started_at from hubspot_private.runs r where r.id = s.run_id));
    end if;
  else
    perform hubspot_private.tombstones_look(s.object, v_low,
      case when after is null then v_most else v_ids[pg_catalog.cardinality(v_ids)] end, v_ids, asked_at);
    v_step.cursor := v_step.cursor || pg_catalog.jsonb_build_object('last', coalesce(v_ids[pg_catalog.cardinality(v_ids)], v_low));
  end if;
  if after is null then
    delete from hubspot_private.listed l where l.object = s.object and l.stream = 'archive';
    -- Nothing is claimed that is not so: the next sweep tells.
    v_step.cursor := pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
      'until', v_step.cursor -> case when v_step.cursor ? 'is_short' then 'until' else 'began' end));
    -- A list that shows nothing at all is no evidence.
    v_new := case when s.cursor ? 'is_shown' or v_ids <> '{}' then hubspot_private.erasures_believed(v_object) end;
    if pg_catalog.cardinality(v_new) > 0 then
      perform hubspot_private.object_lock(v_object.number, true);
      perform hubspot_private.records_erase_each(s.object, s.stream, s.range, v_new);
    end if;
    perform hubspot_private.load_begin(s.object);
    if v_object.search_refused_at < hubspot_private.clock() - interval '1 day' then
      perform hubspot_private.search_retry(s.object);
    end if;
  end if;
  return v_step;
end;
$$;
comment on function hubspot_private.archive_step(hubspot_private.streams, jsonb, text, timestamptz, timestamptz) is
  'A page of the archived list; null: HubSpot has none of this object. Its end begins the first load.';
revoke all on function hubspot_private.archive_step(hubspot_private.streams, jsonb, text, timestamptz, timestamptz) from public;
