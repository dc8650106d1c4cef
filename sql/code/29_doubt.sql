-- What a read says and hardly can be. It is no news yet: these ids are read again, later each time, and only what is said again and
-- again is believed.
--   Nothing of ids that the list has just shown: they go to the absences of a resync, or to the fetch queue.
--   Nothing of many ids, and no word that they were not found: a HubSpot that answers {"results": []} for a while. Where HubSpot is
--   known to say it with an error, nothing of a single one.
--   Nothing of a record that search has just shown, and of which the mirror has no row; nor, for some minutes, of one that is here and younger
--   than copies of HubSpot's may be behind. Where such a copy does not know it, that it is archived tells: a second read asks for that.
--   A record that was merged away: nothing brings one back, but a copy that is behind shows it.
create or replace function hubspot_private.missing_silent(missing bigint[], answer jsonb)
returns bigint[]
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select case
    when cardinality(missing_silent.missing) < 10 and not (select a.is_missing_explicit from hubspot_private.account a)
      or missing_silent.answer ->> 'numErrors' ~ '[1-9]' or jsonb_path_exists(missing_silent.answer, '$.errors[*]') then '{}'
    else missing_silent.missing
  end;
$$;
comment on function hubspot_private.missing_silent(bigint[], jsonb) is
  'Of ids not answered those that say little: ten and more, or any where HubSpot is known to name what it does not find, and no word that they were not found.';

create or replace function hubspot_private.doubt_young(object text, ids bigint[], answer jsonb default '{}')
returns bigint[]
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_ids bigint[];
begin
  -- One that is dated in the future would be young for long.
  execute format('select array_agg(t.id order by t.id) from %s and t.id = any ($1) and t._created_at between $2 - $3 and $2 + $3', (
    select hubspot_private.live_rows(o) from hubspot_private.objects o where o.name = doubt_young.object))
  into v_ids using ids, hubspot_private.hubspot_now(), (select max(w) from unnest(hubspot_private.settle_windows()) w);
  return array(
    select i from unnest(v_ids) i
    where not coalesce(answer -> 'archived_ids' ? i::text, false)
      and not coalesce(answer -> 'results' @> jsonb_build_array(jsonb_build_object('id', i::text, 'archived', true)), false)
      -- A webhook has said so.
      and not exists (select from hubspot_private.erasures e where (e.object, e.id) = (doubt_young.object, i))
    order by i);
end;
$$;
comment on function hubspot_private.doubt_young(text, bigint[], jsonb) is
  'Of these ids those whose rows are of records made within the widest settle window, which a copy that is behind may not know yet; not those that an answer shows archived.';

create or replace function hubspot_private.read_question(object text, question jsonb)
returns jsonb
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_young constant bigint[] := hubspot_private.doubt_young(object, hubspot_private.request_ids(question));
begin
  return question || case when v_young = '{}' then '{}' else jsonb_build_object('young', to_jsonb(v_young::text[])) end;
end;
$$;
comment on function hubspot_private.read_question(text, jsonb) is
  'A read by id, with those of its ids (young) of which more is to be asked where they are not found: whether they are archived.';

create or replace function hubspot_private.doubt_unborn(object text, ids bigint[])
returns bigint[]
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_ids bigint[];
begin
  execute format(
    'select array_agg(distinct h.id order by h.id) from hubspot_private.hints h
     where h.object = $1 and h.id = any ($2) and not exists (select from hubspot.%I t where t.id = h.id)
       -- What is known to be gone says nothing new.
       and not exists (select from hubspot_private.tombstones g where (g.object, g.id) = (h.object, h.id))',
    (select o.table_name from hubspot_private.objects o where o.name = doubt_unborn.object))
  into v_ids using object, ids;
  return coalesce(v_ids, '{}');
end;
$$;
comment on function hubspot_private.doubt_unborn(text, bigint[]) is
  'Of these ids, of which no row is here, those that search has shown and that a copy which is behind may not know yet.';

create or replace function hubspot_private.doubt_count(object text, ids bigint[], ended text[], kind text, not_before timestamptz)
returns void
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  update hubspot_private.fetch_queue q
  set doubts = (q.doubts - doubt_count.ended) || case
    -- Read before its turn, since someone waits, it counts no more than as an attempt.
    when doubt_count.kind is not null and coalesce(q.turn_at <= doubt_count.not_before, true)
    then jsonb_build_object(doubt_count.kind, coalesce((q.doubts ->> doubt_count.kind)::integer, 0) + 1)
    else '{}'
  end
  where q.object = doubt_count.object and q.id = any (doubt_count.ids) and (doubt_count.kind is not null or q.doubts ?| doubt_count.ended);
$$;
comment on function hubspot_private.doubt_count(text, bigint[], text[], text, timestamptz) is
  'Counts, for ids of the fetch queue that are to be read again at a time, one more answer of a kind (null: none), and what that answer ends from nothing.';

create or replace function hubspot_private.doubt_shown(object text, shown text[], lacking bigint[], merged bigint[])
returns void
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  select
    hubspot_private.doubt_count(doubt_shown.object, array(
      select i::bigint from unnest(doubt_shown.shown) i where i::bigint <> all (coalesce(doubt_shown.lacking, '{}'))), '{missing,lacking}', null, null),
    hubspot_private.doubt_count(doubt_shown.object, doubt_shown.lacking, '{missing}', 'lacking', hubspot_private.clock() + interval '1 second'),
    hubspot_private.doubt_count(doubt_shown.object, doubt_shown.merged, '{missing}', 'merged', hubspot_private.clock() + interval '1 second');
$$;
comment on function hubspot_private.doubt_shown(text, text[], bigint[], bigint[]) is
  'Counts what a fetch leaves in doubt of the records that it shows: some lack properties, some were merged away. None is missing.';

create or replace function hubspot_private.doubt_enqueue(object text, stream text, ids bigint[])
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_unborn constant bigint[] := case
    when stream = 'fetch' then hubspot_private.doubt_unborn(object, ids) || hubspot_private.doubt_young(object, ids) else ids end;
  v_others constant bigint[] := array(select i from unnest(ids) i where i <> all (v_unborn));
begin
  if stream = 'fetch' then
    perform hubspot_private.doubt_count(object, v_unborn, '{merged}', 'missing', hubspot_private.clock() + interval '1 second');
    perform hubspot_private.doubt_count(object, v_others, '{merged}', 'missing', hubspot_private.clock() + interval '1 minute');
  end if;
  perform hubspot_private.fetch_enqueue(object, v_unborn, stream, hubspot_private.clock() + interval '1 second');
  perform hubspot_private.fetch_enqueue(object, v_others, stream, hubspot_private.clock() + interval '1 minute');
end;
$$;
comment on function hubspot_private.doubt_enqueue(text, text, bigint[]) is
  'Has ids read again that an answer did not tell of and that are not taken for gone: in a minute, by a read by id; in a second, all others.';

create or replace function hubspot_private.doubt_missing(
  object text, stream text, request jsonb, missing bigint[], merged jsonb, answer jsonb
)
returns bigint[]
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_silent bigint[];
  v_unborn bigint[];
  v_young bigint[];
  v_unheard bigint[] := array(
    select i from unnest(missing) i
    where not coalesce(merged ? i::text, false) order by i);
begin
  if v_unheard = '{}' or request ->> 'kind' = 'list' and stream <> 'fill' then
    return v_unheard;
  elsif stream not in ('fetch', 'live') then
    return '{}';
  end if;
  v_unborn := hubspot_private.doubt_unborn(object, v_unheard);
  v_young := hubspot_private.doubt_young(object, v_unheard, answer);
  -- What is known to be gone says nothing new.
  v_silent := hubspot_private.missing_silent(array(
    select i from unnest(v_unheard) i
    where not exists (select from hubspot_private.tombstones g where g.object = doubt_missing.object and g.id = i) order by i), answer);
  return array(
    select i from unnest(v_unheard) i
    where (i = any (v_silent) or i = any (v_unborn) or i = any (v_young)) and not exists (
      select from hubspot_private.fetch_queue q
      where q.object = doubt_missing.object and q.id = i
        and (q.doubts ->> 'missing')::integer >= case when i = any (v_young) then 8 when i = any (v_unborn) then 6 else 3 end)
    order by i);
end;
$$;
comment on function hubspot_private.doubt_missing(text, text, jsonb, bigint[], jsonb, jsonb) is
  'Of the ids not answered, those that are not taken for gone yet: the list has just shown them, or a read by id passed over ten and more, or any where HubSpot is known to name what it does not find, in silence, up to three times; or search has just shown them, for a minute; or they are young, for four.';

create or replace function hubspot_private.doubt_merged(object text, ids text[])
returns bigint[]
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
begin
  return (
    select array_agg(k.lost_id order by k.lost_id)
    from hubspot.merges k
    where k.object = doubt_merged.object and k.lost_id = any (ids::bigint[])
      -- Shown for a minute, it is there after all.
      and not exists (select from hubspot_private.fetch_queue q where q.object = k.object and q.id = k.lost_id and (q.doubts ->> 'merged')::integer >= 6));
end;
$$;
comment on function hubspot_private.doubt_merged(text, text[]) is 'Of these ids those that were merged away, unless they have been shown again and again since.';

create or replace function hubspot_private.step_found(
  object text, stream text, request jsonb, answer jsonb, asked jsonb,
  out missing bigint[], out unsure bigint[], out merged jsonb, out doubtful bigint[], out doubted bigint[], out back bigint[]
)
returns record
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
begin
  missing := '{}';
  if asked is not null or request ? 'ids' then
    missing := hubspot_private.step_missing(request, asked, answer);
    unsure := hubspot_private.step_unsure(missing, answer);
    missing := array(select m from unnest(missing) m where m <> all (unsure));
  end if;
  if request ->> 'kind' in ('list', 'read') then
    -- What was merged away is gone too, and known to be so in the transaction that learned of it.
    select m.merged, m.doubtful, m.back into merged, doubtful, back
    from hubspot_private.merges_found(object, answer, coalesce(asked, request -> 'ids'), missing) m;
    doubted := hubspot_private.doubt_missing(object, stream, request, missing, merged, answer);
    missing := hubspot_private.merges_missing(array(select m from unnest(missing) m where m <> all (doubted)), merged, back);
  end if;
end;
$$;
comment on function hubspot_private.step_found(text, text, jsonb, jsonb, jsonb) is
  'What an answer says of ids besides what it answers for: missing (gone), unsure (asked again), merged ({lost id: kept id}), doubtful (asked alone), doubted (not believed yet), back (merged away and here all the same).';

create or replace function hubspot_private.step_missing(request jsonb, asked jsonb, answer jsonb)
returns bigint[]
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  -- What was asked for by id and not answered under that id, or answered as archived.
  select array(
    select i::bigint
    from jsonb_array_elements_text(coalesce(step_missing.asked, step_missing.request -> 'ids')) i
    where i ~ '^[0-9]{1,18}$' and not exists (
      select from jsonb_to_recordset(step_missing.answer -> 'results') as r (id text, archived text)
      where r.id = i and r.archived is distinct from 'true')
    order by 1);
$$;
comment on function hubspot_private.step_missing(jsonb, jsonb, jsonb) is 'Ids that were asked for and not answered.';

create or replace function hubspot_private.step_unsure(missing bigint[], answer jsonb)
returns bigint[]
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  -- An answer may lack records for another reason than that they are gone: then only those that an error names as not found
  -- are, and the others are asked for again.
  with errors as (
    select e.value as error, e.value ->> 'category' is not distinct from 'OBJECT_NOT_FOUND' as is_not_found
    from jsonb_array_elements(case when jsonb_typeof(step_unsure.answer -> 'errors') = 'array' then step_unsure.answer -> 'errors' else '[]' end) e
  )
  select case
    when (select bool_and(e.is_not_found) from errors e) is not false then '{}'
    else array(
      select m from unnest(step_unsure.missing) m
      where not exists (
        select from errors e
        where e.is_not_found and e.error #> '{context,ids}' ? m::text)
      order by m)
  end;
$$;
comment on function hubspot_private.step_unsure(bigint[], jsonb) is
  'Of the ids not answered, those that an error of another kind than OBJECT_NOT_FOUND kept back.';
