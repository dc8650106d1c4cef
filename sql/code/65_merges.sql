-- Merges: records that are part of another now. The survivor tells in hs_merged_object_ids, or a read by id answers another id.
-- What is lost leaves the mirror with the page that told; hubspot.merges leads from each to the record that there is now.
create or replace function hubspot_private.merges_found(
  object text, answer jsonb, asked jsonb, missing bigint[], out merged jsonb, out doubtful bigint[], out back bigint[]
)
returns record
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_others text[];
  v_known bigint[];
  v_new jsonb;
begin
  -- Next to no page tells of any: that is seen without taking it apart.
  if jsonb_path_exists(answer, '$.results[*].properties.hs_merged_object_ids ? (@ != "" && @ != null)') then
    select jsonb_object_agg(m.lost, m.kept) into merged
    from (
      select distinct on (l.id) l.id as lost, r.value ->> 'id' as kept
      from jsonb_array_elements(answer -> 'results') r
      cross join lateral (select btrim(i) as id from unnest(string_to_array(r.value #>> '{properties,hs_merged_object_ids}', ';')) i) l
      where r.value ->> 'id' ~ '^[0-9]{1,18}$'
        and l.id ~ '^[0-9]{1,18}$' and l.id <> r.value ->> 'id'
      order by l.id, (r.value ->> 'id')::bigint desc
    ) m
    -- Told by an answer that is older than what is known.
    where not exists (
      select from hubspot.merges k
      where k.object = merges_found.object and k.lost_id = m.kept::bigint and k.kept_id = m.lost::bigint);
    select array_agg(k.lost_id), merged - array_agg(k.lost_id::text) into v_known, v_new
    from hubspot.merges k
    where k.object = merges_found.object and k.lost_id = any (array(select l::bigint from jsonb_object_keys(merged) l));
    if v_known is not null then
      merged := nullif(v_new, '{}');
      back := hubspot_private.absences_held((select o from hubspot_private.objects o where o.name = merges_found.object), v_known);
    end if;
  end if;
  if coalesce(cardinality(missing), 0) = 0 then
    return;
  end if;
  v_others := array(
    select distinct r.value ->> 'id' from jsonb_array_elements(answer -> 'results') r
    where r.value ->> 'id' ~ '^[0-9]{1,18}$' and not asked ? (r.value ->> 'id')
      and not exists (select from jsonb_each_text(merged) f where f.value = r.value ->> 'id')
      and not exists (
        select from hubspot.merges k
        where k.object = merges_found.object and k.lost_id = any (missing) and k.kept_id = (r.value ->> 'id')::bigint));
  if cardinality(v_others) = 0 then
    return;
  end if;
  -- Other ids answered than were asked for. Whose they are is clear where one was asked; else each is asked alone.
  doubtful := array(
    select i from unnest(missing) i
    where not coalesce(merged ? i::text, false)
      and not exists (select from jsonb_array_elements(
        case when jsonb_typeof(answer -> 'errors') = 'array' then answer -> 'errors' else '[]' end) e where e.value #> '{context,ids}' ? i::text)
      and not exists (select from hubspot.merges k where k.object = merges_found.object and k.lost_id = i));
  if cardinality(doubtful) = 1 and cardinality(v_others) = 1 then
    merged := coalesce(merged, '{}') || jsonb_build_object(doubtful[1], v_others[1]);
    doubtful := '{}';
  end if;
end;
$$;
comment on function hubspot_private.merges_found(text, jsonb, jsonb, bigint[]) is
  'Merges that a page tells of and that are not known yet: {lost id: kept id}, null when there are none; ids that another answered for, nobody knows which; and what was merged away and is here all the same (back).';

create or replace function hubspot_private.merges_missing(missing bigint[], merged jsonb, back bigint[])
returns bigint[]
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
  select case
    when merges_missing.merged is null and coalesce(merges_missing.back, '{}') = '{}' then merges_missing.missing
    else array(
      select i from unnest(merges_missing.missing) i
      union
      select l::bigint from jsonb_object_keys(merges_missing.merged) l
      union
      select b from unnest(merges_missing.back) b
      order by 1)
  end;
$$;
comment on function hubspot_private.merges_missing(bigint[], jsonb, bigint[]) is 'What is gone: not found, or merged away.';

create or replace function hubspot_private.merges_note(object text, merged jsonb)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_is_careful constant boolean := current_setting('hubspot.careful', true) is not distinct from 'true';
  v_merge record;
  v_kept bigint;
  v_context text;
  v_refused jsonb := '{}';
begin
  if v_is_careful then
    perform hubspot_private.constraints_check();
  end if;
  for v_merge in select m.key::bigint as lost, m.value::bigint as kept from jsonb_each_text(merged) m order by m.key::bigint loop
    -- To the end of the chain, and what led here leads there now.
    v_kept := coalesce((
      select k.kept_id from hubspot.merges k where k.object = merges_note.object and k.lost_id = v_merge.kept), v_merge.kept);
    continue when v_kept = v_merge.lost;
    begin
      insert into hubspot.merges (object, lost_id, kept_id, merged_at)
      values (object, v_merge.lost, v_kept, hubspot_private.clock())
      on conflict on constraint merges_pkey do nothing;
      if not found and not exists (select from hubspot.merges k where k.object = merges_note.object and k.lost_id = v_merge.lost) then
        -- It would be news with every read of the survivor.
        raise exception 'a trigger of yours returns null, which leaves the row out';
      end if;
      update hubspot.merges k set kept_id = v_kept
      where k.object = merges_note.object and k.kept_id = v_merge.lost;
    exception when others or query_canceled or assert_failure then
      get stacked diagnostics v_context = pg_exception_context;
      if not v_is_careful then
        raise;
      end if;
      -- That its record is gone has just ended what was said of this before.
      update hubspot_private.problems p set resolved_at = null
      where p.resolved_at > hubspot_private.clock() - interval '1 minute' and p.id = (
        select max(l.id) from hubspot_private.problems l where l.object = merges_note.object and l.record_id = v_merge.lost and l.code = 'SH213');
      if hubspot_private.refusal_note(object, v_merge.lost, sqlstate, sqlerrm, v_context) is null then
        raise;
      end if;
      v_refused := v_refused || jsonb_build_object(v_merge.lost, v_merge.kept);
    end;
  end loop;
  -- What the others had may have come to the survivors since they were read.
  perform hubspot_private.fetch_enqueue(object, array(
    select distinct m.value::bigint from jsonb_each_text(merged) m where not v_refused ? m.key), 'merge');
  perform hubspot_private.associations_dirty(object, array(select distinct m.value::bigint from jsonb_each_text(merged) m), true);
  -- Either may be the one that tells.
  perform hubspot_private.fetch_enqueue(object, array(
    select unnest(array[r.key, r.value])::bigint from jsonb_each_text(v_refused) r), 'refused', hubspot_private.clock() + interval '15 minutes')
  where v_refused <> '{}';
end;
$$;
comment on function hubspot_private.merges_note(text, jsonb) is
  'Writes merges down, chains to their end, and reads the survivors again. One that cannot be written is a problem of the record that is lost.';

create or replace function hubspot_private.step_alone(
  object text, request jsonb, inout answer jsonb, inout missing bigint[], inout merged jsonb, out others bigint[]
)
returns record
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_id bigint;
begin
  select q.id into v_id from hubspot_private.fetch_queue q
  where q.object = object and q.id = (request #>> '{ids,0}')::bigint and q.reason = 'alone';
  if not found or jsonb_typeof(answer -> 'results') is distinct from 'array' then
    return;
  end if;
  others := array(
    select i from unnest(missing) i
    where i <> v_id and not exists (select from hubspot_private.fetch_queue q where q.object = object and q.id = i));
  missing := array(select i from unnest(missing) i where i = v_id);
  merged := case when merged ? v_id::text then jsonb_build_object(v_id, merged -> v_id::text) end;
  -- The survivor comes along, but where it is to be read itself.
  answer := answer || jsonb_build_object('results', (
    select coalesce(jsonb_agg(r), '[]') from jsonb_array_elements(answer -> 'results') r
    where r ->> 'id' = v_id::text or not exists (
      select from hubspot_private.fetch_queue q
      where q.object = object and q.id::text = r ->> 'id')));
end;
$$;
comment on function hubspot_private.step_alone(text, jsonb, jsonb, bigint[], jsonb) is
  'Where a record was asked alone: what is done with this answer, and others that it says are gone and nobody asks for yet. One of a merge''s records may end the session.';
