-- Some properties of all records, read for them alone: what a column that is new, or chosen, restored or readable again, lacks,
-- and what one of another type is filled with before it takes its place. A list names only these and the modified date. Its
-- answer is partial: it writes only where it is of the version that the row has, and moves neither that nor _synced_at. Any
-- doubt sends the id to the fetch queue, where the record is read whole; rows that it does not find, at its end and if they are few.
create or replace function hubspot_private.fill_request(object text, properties text[])
returns bigint
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_run bigint;
begin
  insert into hubspot_private.streams (object, stream) values (object, 'fill') on conflict on constraint streams_pkey do nothing;
  v_run := hubspot_private.run_request(object, 'fill');
  update hubspot_private.properties p set fill_run = v_run, next_seq = null
  where p.object = fill_request.object and p.property = any (properties);
  return v_run;
end;
$$;
comment on function hubspot_private.fill_request(text, text[]) is 'Asks for these properties of all records, and returns the run.';

create or replace function hubspot_private.fill_properties(s hubspot_private.streams)
returns text[]
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select array_agg(p.property order by p.property)
  from hubspot_private.properties p
  where p.object = s.object and p.fill_run = s.run_id and p.is_selected and p.archived_at is null and p.unreadable_at is null;
$$;
comment on function hubspot_private.fill_properties(hubspot_private.streams) is 'What a run of stream fill still reads; null when nothing.';

create or replace function hubspot_private.fill_question(s hubspot_private.streams)
returns jsonb
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select case when hubspot_private.fill_properties(s) is null then '{"kind": "read", "ids": [], "seqs": []}'::jsonb
    else jsonb_build_object('kind', 'list', 'after', s.cursor ->> 'after', 'properties', (
      select jsonb_agg(distinct n) from unnest(hubspot_private.fill_properties(s) || o.modified_property) n)) || hubspot_private.list_apart(s)
    end
  from hubspot_private.objects o
  where o.name = s.object;
$$;
comment on function hubspot_private.fill_question(hubspot_private.streams) is 'The next page of a fill.';

create or replace function hubspot_private.fill_end(s hubspot_private.streams)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  -- Ids that are in the fetch queue by now are read before a column takes the place of another.
  update hubspot_private.properties p
  set unmentioned_at = case when p.unreadable_at is not null then p.unmentioned_at end, carry_refusal = null, next_seq = case when p.next_column is not null and p.is_selected and p.archived_at is null and p.unreadable_at is null
    then nextval('hubspot_private.fetch_seq') end
  where p.object = s.object and p.fill_run = s.run_id;
  if found then
    perform hubspot_private.run_request(s.object, 'build');
  end if;
end;
$$;
comment on function hubspot_private.fill_end(hubspot_private.streams) is 'A run that filled columns is over: their table is looked at.';

create or replace function hubspot_private.fill_give_up(s hubspot_private.streams)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_run bigint := hubspot_private.run_request(s.object, 'resync');
begin
  update hubspot_private.properties p set fill_run = v_run where p.object = s.object and p.fill_run = s.run_id;
  delete from hubspot_private.fill_absences a where a.object = s.object;
end;
$$;
comment on function hubspot_private.fill_give_up(hubspot_private.streams) is
  'The list is not what a list in id order shows, or lacks more records than may be deleted unasked: a full read, which has its ways with both, fills the columns.';

create or replace function hubspot_private.fill_note(s hubspot_private.streams, o hubspot_private.objects, ids bigint[], last bigint, until bigint, missing bigint[])
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_held constant bigint[] := hubspot_private.absences_held(o, missing);
begin
  if not s.cursor ? 'last' then
    delete from hubspot_private.fill_absences a where a.object = s.object;
  end if;
  execute format(
    'insert into hubspot_private.fill_absences (object, id)
     select $1, t.id from %s and t.id > $2 and t.id <= coalesce($3, t.id) and t.id <> all ($4)
     union
     select $1, i from unnest($5) i
     on conflict do nothing', hubspot_private.live_rows(o))
  using s.object, last, until, ids, v_held;
  -- What the mirror does not hold, it cannot lose.
  perform hubspot_private.fetch_enqueue(s.object, array(select i from unnest(missing) i where i <> all (v_held)), 'fill');
end;
$$;
comment on function hubspot_private.fill_note(hubspot_private.streams, hubspot_private.objects, bigint[], bigint, bigint, bigint[]) is
  'Notes which rows a page of a fill (ids, after last) should have listed and did not, or listed and a read by id did not find (missing).';

create or replace function hubspot_private.fill_list_end(s hubspot_private.streams, o hubspot_private.objects)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  if exists (select from hubspot_private.streams r where r.object = s.object and r.stream = 'resync' and hubspot_private.stream_is_held(r)) then
    -- They wait with those of the full read: none is asked for, nor is that read taken away from who is to confirm it.
    delete from hubspot_private.fill_absences a where a.object = s.object;
  elsif hubspot_private.deletes_are_many(o, (select count(*) from hubspot_private.fill_absences a where a.object = s.object)) then
    perform hubspot_private.fill_give_up(s);
    return;
  end if;
  perform hubspot_private.fetch_enqueue(s.object, array(select a.id from hubspot_private.fill_absences a where a.object = s.object), 'fill');
  delete from hubspot_private.fill_absences a where a.object = s.object;
  perform hubspot_private.fill_end(s);
end;
$$;
comment on function hubspot_private.fill_list_end(hubspot_private.streams, hubspot_private.objects) is
  'The list of a fill is over: rows that it did not find are read whole, where they are no more than may be deleted unasked.';

create or replace function hubspot_private.fill_judge_statement(o hubspot_private.objects, properties text[])
returns text
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  -- $1 the page, $2 null, $3 when it was asked for, $4 the properties. A row that might be too wide with these values is read
  -- whole: what is spilled then, is said by all of its values.
  select format($fill$
    select array_agg(j.id::text) filter (where j.fate = 'write'), array_agg(j.id) filter (where j.fate = 'fetch'), count(*)
    from (
      select s.id, case
        when t.id is null or t._updated_at is distinct from s.updated_at%1$s then 'fetch'
        when row(hubspot_private.extra_of(t._extra, $4)%2$s) is not distinct from row(s.extra%3$s) then 'same'
        when $3 <= greatest(t._synced_at, %4$L::timestamptz)%5$s then 'fetch'
        else 'write' end as fate
      from (%6$s) s
      left join lateral (select x.* from hubspot.%7$I x where x.id = s.id offset 0) t on true
    ) j$fill$,
    case when o.on_delete = 'mark' then ' or t._archived_at is not null' end,
    string_agg(format(', t.%I', c.column_name), '' order by c.n) filter (where c.property = any (properties)),
    string_agg(format(', s.c%s', c.n), '' order by c.n) filter (where c.property = any (properties)),
    o.resync_started_at,
    case when sum(hubspot_private.widest(c.column_type)) > hubspot_private.row_room() then
      ' or ' || string_agg(format('%s * (%s is not null)::integer', hubspot_private.widest(c.column_type),
        case when c.property = any (properties) then format('s.c%s', c.n) else format('t.%I', c.column_name) end), ' + ')
        || ' > ' || hubspot_private.row_room()
    end,
    hubspot_private.apply_source(o.name, properties), o.table_name)
  from hubspot_private.apply_columns(o.name) c;
$$;
comment on function hubspot_private.fill_judge_statement(hubspot_private.objects, text[]) is
  'SQL text that tells which records of a partial page are written, and which are read whole.';

create or replace function hubspot_private.fill_apply(s hubspot_private.streams, body jsonb, properties text[], asked_at timestamptz)
returns hubspot_private.page_result
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_object hubspot_private.objects;
  v_result hubspot_private.page_result := (0, 0, 0, 0, 0, 0, 0);
  v_write text[];
  v_fetch bigint[];
  v_incomplete bigint[];
  v_free bigint[];
  v_written bigint[];
  v_extras jsonb;
  v_lost text[];
begin
  select o.* into strict v_object from hubspot_private.objects o where o.name = s.object;
  select c.complete, c.incomplete into body, v_incomplete from hubspot_private.page_complete(v_object, body) c;
  -- A property that is not in the answer at all is empty in all of its records, or gone from HubSpot: the definitions are read, and
  -- if they still have it, it is asked for again, and empty.
  v_lost := array(
    select p from unnest(properties) p
    where body -> 'results' <> '[]'
      and not exists (
        select from hubspot_private.properties q
        join hubspot_private.runs d on d.object = q.object and d.stream = 'schema' and d.state = 'done' and d.started_at > q.unmentioned_at
        where q.object = v_object.name and q.property = p)
      and not exists (select from pg_catalog.jsonb_array_elements(body -> 'results') r where r -> 'properties' ? p));
  if v_lost <> '{}' then
    update hubspot_private.properties p set fill_run = null, unmentioned_at = hubspot_private.clock()
    where p.object = v_object.name and p.property = any (v_lost);
    update hubspot_private.apply_statements a set places = a.places - v_lost where a.object = v_object.name;
    properties := array(select p from unnest(properties) p where p <> all (v_lost));
    perform hubspot_private.run_request(v_object.name, 'schema');
  end if;
  if properties <> '{}' then
    select l.complete, v_incomplete || l.lacking into body, v_incomplete
    from hubspot_private.page_lacking(v_object, s.stream, body, asked_at, properties) l;
    -- Without what turned out to be kept back.
    properties := array(select p from unnest(properties) p where p = any (hubspot_private.asked_properties(v_object.name)));
  end if;
  if body -> 'results' <> '[]' and properties <> '{}' then
    execute hubspot_private.fill_judge_statement(v_object, properties)
    into v_write, v_fetch, v_result.rows_read using body, null::text[], asked_at, properties;
  end if;
  if v_write is not null and coalesce(pg_catalog.current_setting('hubspot.careful', true), '') not in ('true', 'apart') then
    execute pg_catalog.format(
      'select array_agg(l.id) from (
         select t.id from hubspot.%I t where t.id = any ($1) and t._synced_at < $2 order by t.id %s skip locked
       ) l', v_object.table_name, hubspot_private.row_lock(v_object.table_name))
    into v_free using v_write::bigint[], asked_at;
  end if;
  if v_free is not null then
    perform hubspot_private.stream_marks_writing(s.object, s.stream, s.range);
    execute (
      select pg_catalog.format($fill$
        with w as (
          update hubspot.%I t
          set _extra = nullif((coalesce(t._extra, '{}') - $3) || coalesce(s.extra, '{}'), '{}')%s
          from (%s) s
          where t.id = s.id
          returning t.id, s.extra
        )
        select array_agg(w.id), jsonb_object_agg(w.id, w.extra) filter (where w.extra is not null) from w$fill$,
        v_object.table_name,
        pg_catalog.string_agg(pg_catalog.format(', %I = s.c%s', c.column_name, c.n), '') filter (where c.property = any (properties)),
        hubspot_private.apply_source(v_object.name, properties))
      from hubspot_private.apply_columns(v_object.name) c)
    into v_written, v_extras using body, v_free::text[], properties;
    perform pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
    update hubspot_private.problems q set resolved_at = hubspot_private.clock()
    where q.object = v_object.name and q.code = 'SH209' and q.resolved_at is null and q.record_id = any (v_written) and q.property = any (properties)
      and v_extras -> q.record_id::text -> q.property is null;
    perform hubspot_private.values_report(v_object.name, v_extras);
  end if;
  v_result.updated := coalesce(pg_catalog.cardinality(v_written), 0);
  v_result.unchanged := v_result.rows_read - v_result.updated;
  perform hubspot_private.fetch_enqueue(v_object.name,
    v_fetch || v_incomplete || array(select i::bigint from unnest(v_write) i where i::bigint <> all (coalesce(v_written, '{}'))), 'fill');
  return v_result;
end;
$$;
comment on function hubspot_private.fill_apply(hubspot_private.streams, jsonb, text[], timestamptz) is
  'Applies a page that has these properties alone to the rows of its versions, and queues the other records.';
revoke all on function hubspot_private.fill_apply(hubspot_private.streams, jsonb, text[], timestamptz) from public;

create or replace function hubspot_private.fill_step(
  s hubspot_private.streams, request jsonb, answer jsonb, after text, asked jsonb, missing bigint[], asked_at timestamptz
)
returns hubspot_private.step
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_step hubspot_private.step := row ('{}'::jsonb, true, null, null);
  v_object hubspot_private.objects;
  v_ids bigint[];
  v_last constant bigint := coalesce((s.cursor ->> 'last')::bigint, -1);
  v_end bigint;
  v_properties text[] := array(
    select p from unnest(hubspot_private.fill_properties(s)) p where request -> 'properties' ? p);
begin
  if v_properties = '{}' then
    perform hubspot_private.fill_end(s);
    return v_step;
  end if;
  select o.* into strict v_object from hubspot_private.objects o where o.name = s.object;
  v_ids := hubspot_private.page_ids(answer, asked);
  v_end := case when after is not null then coalesce(v_ids[pg_catalog.cardinality(v_ids)], v_last) end;
  if v_ids[1] <= v_last or exists (select from generate_series(2, pg_catalog.cardinality(v_ids)) n where v_ids[n] <= v_ids[n - 1]) then
    perform hubspot_private.fill_give_up(s);
    return v_step;
  end if;
  perform hubspot_private.fill_note(s, v_object, v_ids, v_last, v_end, missing);
  v_step.result := hubspot_private.fill_apply(s, answer, v_properties, asked_at);
  if after is null then
    perform hubspot_private.fill_list_end(s, v_object);
  else
    v_step.cursor := pg_catalog.jsonb_build_object('after', after, 'last', v_end);
    v_step.is_over := false;
  end if;
  return v_step;
end;
$$;
comment on function hubspot_private.fill_step(hubspot_private.streams, jsonb, jsonb, text, jsonb, bigint[], timestamptz) is
  'A page of some properties alone, and the rows that it should have listed.';
revoke all on function hubspot_private.fill_step(hubspot_private.streams, jsonb, jsonb, text, jsonb, bigint[], timestamptz) from public;
