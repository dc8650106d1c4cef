-- What is done to a mirror table besides its rows' values: columns made, put in the place of others, and tidied up after. It is
-- done in the step that learned of a change where nobody holds the table; else stream build does it, without a call of HubSpot.
create or replace function hubspot_private.build_hold(object text)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  -- One after another: the row of the stream that does nothing else.
  insert into hubspot_private.streams (object, stream) values (object, 'build') on conflict on constraint streams_pkey do nothing;
  perform from hubspot_private.streams s where (s.object, s.stream, s.range) = (build_hold.object, 'build', 0) for update;
end;
$$;
comment on function hubspot_private.build_hold(text) is 'Held to the end of a transaction that changes a table''s columns.';

create or replace function hubspot_private.build_later(object text)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_at constant timestamptz := hubspot_private.clock() + interval '10 seconds';
begin
  update hubspot_private.streams s set next_at = v_at where (s.object, s.stream, s.range) = (build_later.object, 'build', 0);
  perform hubspot_private.stream_wake(object, 'build', 0, v_at);
end;
$$;
comment on function hubspot_private.build_later(text) is 'Looks at a table''s columns again in 10 s. Called holding build_hold.';

create or replace function hubspot_private.held_note(object text)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_object hubspot_private.objects;
  v_holders text;
  v_pids text;
begin
  update hubspot_private.objects o set held_since = coalesce(o.held_since, hubspot_private.clock())
  where o.name = object
  returning o.* into v_object;
  perform hubspot_private.build_later(object);
  if v_object.held_since < hubspot_private.clock() - interval '10 minutes' then
    select string_agg(distinct h.who, ', '), min(h.pid)::text into v_holders, v_pids
    from (
      select l.pid, concat_ws(' ', l.pid, '(' || nullif(concat_ws(', ', a.usename, nullif(a.application_name, '')), '') || ')')
      from pg_locks l
      left join pg_stat_activity a on a.pid = l.pid
      where l.locktype = 'relation' and l.relation = to_regclass(format('hubspot.%I', v_object.table_name))
        and l.database = (select d.oid from pg_database d where d.datname = current_database())
        and l.granted and l.pid <> pg_backend_pid()
        -- A page that came just now is no holder.
        and coalesce(a.application_name, '') not like 'pg-hubspot%'
    ) h (pid, who);
    if v_holders is not null then
      perform hubspot_private.problem_report('SH220', object,
        format('table hubspot.%I waits for columns to be changed since %s: it is held by process %s', v_object.table_name,
          to_char(v_object.held_since at time zone 'UTC', 'YYYY-MM-DD HH24:MI "UTC"'), v_holders),
        format('End what holds it: its transaction, or select pg_terminate_backend(%s); Rows are kept up to date meanwhile, but for the columns to come.', v_pids));
    end if;
  end if;
end;
$$;
comment on function hubspot_private.held_note(text) is
  'A table''s columns could not be changed, as someone holds it: tried again in 10 s, and named in a problem after 10 minutes.';

create or replace function hubspot_private.table_try(object text)
returns boolean
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
begin
  begin
    perform hubspot_private.table_build(object);
    if hubspot_private.retypes_build(object) then
      perform hubspot_private.build_later(object);
    end if;
  exception when lock_not_available or deadlock_detected then
    perform hubspot_private.held_note(object);
    return false;
  end;
  update hubspot_private.objects o set held_since = null where o.name = object and o.held_since is not null;
  perform hubspot_private.problem_resolve('{SH220}', object);
  return true;
end;
$$;
comment on function hubspot_private.table_try(text) is
  'Makes a table as it should be by what is known of its properties; false where someone holds it: nothing is changed then, and it is tried again.';

create or replace function hubspot_private.selection_apply(object text)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_object hubspot_private.objects;
  v_made hubspot_private.apply_statements;
  v_places jsonb;
  v_filled text[];
  v_gone text[];
  v_is_new boolean;
  v_had_table boolean;
begin
  perform hubspot_private.build_hold(object);
  select o.* into strict v_object from hubspot_private.objects o where o.name = selection_apply.object;
  select a.* into v_made from hubspot_private.apply_statements a where a.object = v_object.name;
  perform hubspot_private.selection_mark(v_object.name, v_object.wanted);
  perform hubspot_private.columns_name(v_object.name);
  -- Once there are columns, new or as an untracked table kept them, the archived list is read, and then the first load begins.
  update hubspot_private.streams s set next_at = hubspot_private.clock()
  where s.object = v_object.name and s.stream = 'archive' and v_object.loaded_at is null and s.next_at is null and s.run_id is null;
  v_is_new := found;
  if v_is_new then
    perform hubspot_private.stream_wake(v_object.name, 'archive');
  end if;
  v_had_table := v_object.column_set = 0 or to_regclass(format('hubspot.%I', v_object.table_name)) is not null;
  perform hubspot_private.table_try(v_object.name);
  select a.* into v_made from hubspot_private.apply_statements a where a.object = v_object.name;
  v_places := hubspot_private.places(v_object.name);
  -- A column that is not there yet is filled once it is.
  v_filled := array(
    select p.key from jsonb_each(v_places) p
    -- A table that is new has its columns where the old one had them.
    where p.value <> 'null' and (v_made.places -> p.key is distinct from p.value or not v_had_table) and not v_is_new
    union
    select p.property from hubspot_private.properties p
    where p.object = v_object.name and p.next_column is not null and p.next_seq is null and not exists (
      select from hubspot_private.runs r where r.id = p.fill_run and r.state in ('waiting', 'running')));
  v_gone := array(select p.key from jsonb_each(v_made.places) p where not v_places ? p.key);
  if cardinality(v_filled) > 0 or hubspot_private.apply_fingerprint(v_object.name) is distinct from v_made.fingerprint
    or v_places is distinct from v_made.places or not v_had_table
  then
    if v_object.column_set > 0 then
      perform hubspot_private.places_follow(v_object.name, v_filled, v_gone, v_had_table);
    end if;
    perform hubspot_private.apply_generate(v_object.name);
  end if;
  begin
    perform hubspot_private.table_comment(v_object.name);
  exception when lock_not_available then
    -- A vacuum, or an index being made: comments can wait.
    null;
  end;
  perform hubspot_private.live_follow(v_object.table_name);
end;
$$;
comment on function hubspot_private.selection_apply(text) is
  'Makes columns of the chosen properties, and what follows: the table, its statements, the first load, reads of what is new.';

create or replace function hubspot_private.places_follow(object text, filled text[], gone text[], had_table boolean)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_run bigint;
begin
  -- What _extra kept of a property that is no longer chosen, it need not keep: HubSpot has it.
  update hubspot_private.properties p
  set is_untidy = true
  where p.object = places_follow.object and p.property = any (gone) and not p.is_selected and p.archived_at is null
    and (p.column_name is null or exists (
      select from hubspot_private.problems q
      where q.object = p.object and q.property = p.property and q.code = 'SH209' and q.resolved_at is null));
  if exists (select from hubspot_private.properties p where p.object = places_follow.object and p.is_untidy) then
    perform hubspot_private.run_request(object, 'build');
  end if;
  if not had_table then
    -- Someone dropped it.
    update hubspot_private.streams s set rows = 0 where s.object = places_follow.object;
  end if;
  -- Rows that were too wide may fit now: only a full read tells.
  if not had_table or cardinality(gone) > 0 and hubspot_private.rows_may_fit(object) then
    v_run := hubspot_private.run_request(object, 'resync');
    update hubspot_private.properties p set fill_run = v_run where p.object = places_follow.object and p.property = any (filled);
  elsif cardinality(filled) > 0 then
    perform hubspot_private.fill_request(object, filled);
  end if;
end;
$$;
comment on function hubspot_private.places_follow(text, text[], text[], boolean) is
  'What follows where values have another place than before: what is new is read for it alone, what went is tidied away.';

create or replace function hubspot_private.table_mend(object text)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set lock_timeout = '2s'
as $$
#variable_conflict use_variable
begin
  if exists (select from hubspot_private.objects o where o.name = object and o.is_tracked and o.column_set > 0) then
    perform hubspot_private.selection_apply(object);
  end if;
  perform hubspot_private.pairs_mend(object);
end;
$$;
comment on function hubspot_private.table_mend(text) is
  'Reads the catalogue again: a column or table that someone dropped, of associations too, is made anew, and filled.';

create or replace function hubspot_private.build_step(s hubspot_private.streams)
returns hubspot_private.step
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_step hubspot_private.step := row ('{}'::jsonb, true, null, null);
  v_object hubspot_private.objects;
  v_properties text[];
  v_drop text;
  v_ids bigint[];
  v_free bigint[];
begin
  if not s.cursor ? 'tidy' then
    v_step.cursor := hubspot_private.carry_step(s);
    if v_step.cursor is not null then
      v_step.is_over := false;
      return v_step;
    end if;
    v_step.cursor := '{}';
    perform hubspot_private.selection_apply(s.object);
    with u as (
      update hubspot_private.properties p set is_untidy = false where p.object = s.object and p.is_untidy returning p.property
    )
    select array_agg(u.property order by u.property) into v_properties from u;
    if v_properties is not null then
      v_step.cursor := pg_catalog.jsonb_build_object('tidy', v_properties, 'id', 0);
      v_step.is_over := false;
    end if;
    return v_step;
  end if;
  select o.* into strict v_object from hubspot_private.objects o where o.name = s.object;
  perform hubspot_private.object_lock(v_object.number, false);
  v_properties := array(select p from pg_catalog.jsonb_array_elements_text(s.cursor -> 'tidy') p);
  v_drop := (select pg_catalog.string_agg(hubspot_private.tidy_case(s.object, p), ', ') from unnest(v_properties) p);
  execute pg_catalog.format(
    'select array_agg(i.id) from (select t.id from hubspot.%I t where t.id > $1 and t._extra ?| $2 order by t.id limit 500) i', v_object.table_name)
  into v_ids using (s.cursor ->> 'id')::bigint, v_properties;
  if v_ids is null or v_drop is null then
    execute pg_catalog.format(
      'update hubspot_private.problems q set resolved_at = hubspot_private.clock()
       where q.object = $1 and q.code = ''SH209'' and q.resolved_at is null and q.property = any ($2)
         and not exists (select from hubspot.%I t where t.id = q.record_id and t._extra ? q.property)', v_object.table_name)
    using s.object, v_properties;
    return v_step;
  end if;
  -- Rows that someone holds locked, or that cannot be written for another reason, are read and written one by one.
  if pg_catalog.current_setting('hubspot.careful', true) is distinct from 'true' then
    execute pg_catalog.format(
      'select array_agg(l.id) from (select t.id from hubspot.%I t where t.id = any ($1) order by t.id %s skip locked) l', v_object.table_name, hubspot_private.row_lock(v_object.table_name))
    into v_free using v_ids;
    perform hubspot_private.stream_marks_writing(s.object, s.stream, s.range);
    execute pg_catalog.format(
      'update hubspot.%I t set _extra = nullif(t._extra - array_remove(array[%s], null), ''{}'')
       where t.id = any ($1) and t._extra ?| array_remove(array[%2$s], null)', v_object.table_name, v_drop)
    using v_free;
    perform pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
  end if;
  perform hubspot_private.fetch_enqueue(s.object, array(select i from unnest(v_ids) i where i <> all (coalesce(v_free, '{}'))), 'fill');
  v_step.cursor := s.cursor || pg_catalog.jsonb_build_object('id', v_ids[pg_catalog.cardinality(v_ids)]);
  v_step.is_over := false;
  return v_step;
end;
$$;
comment on function hubspot_private.build_step(hubspot_private.streams) is
  'Carries rows over to columns that are to change, changes a table''s columns, where something waits for that, then takes out of _extra what has its place now, some rows a step.';
revoke all on function hubspot_private.build_step(hubspot_private.streams) from public;
