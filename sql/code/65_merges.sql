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
  v_merge record;
  v_kept bigint;
begin
  for v_merge in select m.key::bigint as lost, m.value::bigint as kept from jsonb_each_text(merged) m order by m.key::bigint loop
    -- To the end of the chain, and what led here leads there now.
    v_kept := coalesce((
      select k.kept_id from hubspot.merges k where k.object = merges_note.object and k.lost_id = v_merge.kept), v_merge.kept);
    continue when v_kept = v_merge.lost;
    insert into hubspot.merges (object, lost_id, kept_id, merged_at)
    values (object, v_merge.lost, v_kept, hubspot_private.clock())
    on conflict on constraint merges_pkey do nothing;
    update hubspot.merges k set kept_id = v_kept
    where k.object = merges_note.object and k.kept_id = v_merge.lost;
  end loop;
  -- What the others had may have come to the survivors since they were read.
  perform hubspot_private.fetch_enqueue(object, array(select distinct m.value::bigint from jsonb_each_text(merged) m), 'merge');
  perform hubspot_private.associations_dirty(object, array(select distinct m.value::bigint from jsonb_each_text(merged) m), true);
end;
$$;
comment on function hubspot_private.merges_note(text, jsonb) is
  'Writes merges down, chains to their end, and reads the survivors again.';
