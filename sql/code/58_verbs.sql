-- The verbs, continued: look now, read again, stop and go on, settings.
create or replace function hubspot_private.objects_named(object text)
returns setof hubspot_private.objects
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select o.* from hubspot_private.objects o
  where o.is_tracked and objects_named.object is null
  union all
  select (hubspot_private.object_tracked(objects_named.object)).*
  where objects_named.object is not null;
$$;
comment on function hubspot_private.objects_named(text) is 'One tracked object, or all for null. SH101.';

create or replace function hubspot_private.retry_now(object text)
returns void
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  update hubspot_private.streams s set retry_at = null
  where s.object = retry_now.object and s.retry_at > hubspot_private.clock();
$$;
comment on function hubspot_private.retry_now(text) is 'Ends the back-off of an object''s streams: someone says the cause is mended.';

create or replace function hubspot.sync(object text default null)
returns void
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
begin
  perform hubspot_private.retry_now(o.name),
    hubspot_private.run_request(o.name, case when o.column_set > 0 then 'poll' else 'schema' end)
  from hubspot_private.objects_named(object) o;
  if object is null and exists (select from hubspot_private.streams s where s.object = '*') then
    perform hubspot_private.retry_now('*'), hubspot_private.run_request('*', 'schema');
  end if;
end;
$$;
comment on function hubspot.sync(text) is
  'Polls an object now; null: all of them, and reads owners and custom objects again. SH101.';

create or replace function hubspot.resync(object text)
returns bigint
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_object text := (hubspot_private.object_tracked(object)).name;
begin
  perform hubspot_private.retry_now(v_object);
  return hubspot_private.run_request(v_object, 'resync');
end;
$$;
comment on function hubspot.resync(text) is
  'Reads an object whole again, writing what differs, and returns the run id; one that waits already serves both. It begins after the first load. SH101.';

create or replace function hubspot.resync()
returns setof bigint
language sql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
  select hubspot.resync(o.name) from hubspot_private.objects o where o.is_tracked order by o.name;
$$;
comment on function hubspot.resync() is 'Reads every tracked object whole again; returns the run ids.';

create or replace function hubspot.refresh(object text, ids bigint[])
returns integer
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_object hubspot_private.objects := hubspot_private.object_tracked(object);
  v_ids constant bigint[] := array(select distinct i from unnest(ids) i);
begin
  if ids is null or exists (select from unnest(ids) i where i is null or i not between 0 and 999999999999999999) then
    perform hubspot_private.fail('argument_invalid', 'ids are null or out of range', 'Give HubSpot''s ids: array[42, 43].');
  end if;
  if v_ids <> '{}' then
    insert into hubspot_private.fetch_asks (object_number, ids) values (v_object.number, v_ids);
    perform hubspot_private.stream_call(v_object.name, 'fetch');
  end if;
  return cardinality(v_ids);
end;
$$;
comment on function hubspot.refresh(text, bigint[]) is
  'Reads these records again soon, and returns how many were queued. One that HubSpot no longer has leaves the table. SH101, SH104.';

create or replace function hubspot.pause(object text default null)
returns void
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_object text;
begin
  if object is null then
    update hubspot_private.pauses p set is_paused = true;
  else
    v_object := (hubspot_private.object_tracked(object)).name;
    update hubspot_private.objects o set is_paused = true where o.name = v_object;
  end if;
end;
$$;
comment on function hubspot.pause(text) is
  'Stops reading an object after the step under way, or everything for null. Nothing is lost: hubspot.resume() goes on where it stood. SH101.';

create or replace function hubspot.resume(object text default null)
returns void
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
begin
  if object is null then
    update hubspot_private.pauses p set is_paused = false;
    update hubspot_private.objects o set is_paused = false where o.is_paused;
    perform hubspot_private.retry_now('*'), hubspot_private.refresh_retry(), hubspot_private.quota_retry();
  else
    update hubspot_private.objects o set is_paused = false
    where o.name = (hubspot_private.object_tracked(object)).name;
  end if;
  perform hubspot_private.retry_now(o.name) from hubspot_private.objects_named(object) o;
  perform hubspot_private.run_request(o.name, 'probe')
  from hubspot_private.objects_named(object) o
  where exists (select from hubspot_private.properties p where p.object = o.name and p.unreadable_at is not null);
  perform hubspot_private.stream_call(s.object, s.stream, s.range)
  from hubspot_private.streams s
  where (object is null or s.object in (select o.name from hubspot_private.objects_named(object) o))
    and hubspot_private.stream_has_work(s, hubspot_private.clock());
end;
$$;
comment on function hubspot.resume(text) is
  'Goes on after hubspot.pause(), and tries what is parked at once, properties too; null: everything. SH101.';

create or replace function hubspot_private.setting_set(name text, value jsonb)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_kind text;
  v_windows constant interval[] := hubspot_private.settle_windows();
begin
  select d.kind into v_kind from hubspot_private.setting_defaults d where d.name = name;
  if v_kind is null then
    perform hubspot_private.fail('setting_unknown', coalesce(name, 'null'),
      coalesce('Did you mean ' || hubspot_private.near_name(name, (select array_agg(d.name) from hubspot_private.setting_defaults d)) || '? ', '')
        || 'table hubspot.settings lists them.');
  end if;
  if value is null or value = 'null' then
    delete from hubspot_private.settings s where s.name = setting_set.name;
  else
    perform hubspot_private.setting_check(name, v_kind, value);
    insert into hubspot_private.settings (name, value, changed_at)
    values (name, value, hubspot_private.clock())
    on conflict on constraint settings_pkey do update set value = excluded.value, changed_at = excluded.changed_at;
  end if;
  if name = 'settle_windows' and hubspot_private.settle_windows() <> v_windows then
    perform hubspot_private.settle_restart(o.name), hubspot_private.streams_make(o.name) from hubspot_private.objects o where o.is_tracked;
  end if;
end;
$$;
comment on function hubspot_private.setting_set(text, jsonb) is 'Sets a setting; null goes back to its default.';

create or replace function hubspot.configure(name text, value text)
returns void
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_value jsonb;
begin
  begin
    v_value := value::jsonb;
  exception when invalid_text_representation or untranslatable_character then
    v_value := to_jsonb(value);
  end;
  perform hubspot_private.setting_set(name, v_value);
end;
$$;
comment on function hubspot.configure(text, text) is
  'Sets a setting to text that is read as JSON, else as a string; null goes back to the default. table hubspot.settings. SH107, SH112.';

create or replace function hubspot.configure(name text, value anyelement)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  -- Not with the owner's rights: to_jsonb() runs whatever cast the caller's type has.
  perform hubspot.configure(configure.name, to_jsonb(configure.value)::text);
end;
$$;
comment on function hubspot.configure(text, anyelement) is
  'Sets a setting: select hubspot.configure(''max_columns'', 500); null goes back to the default. SH107, SH112.';

create or replace function hubspot.confirm_deletes(run_id bigint)
returns void
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_stream hubspot_private.streams;
begin
  select s.* into v_stream from hubspot_private.streams s where s.run_id = confirm_deletes.run_id and s.stream = 'resync' and s.range = 0 for update;
  if not found or not hubspot_private.stream_is_held(v_stream) then
    perform hubspot_private.fail('argument_invalid', format('run %s waits for no confirmation', coalesce(run_id::text, 'null')),
      'select * from hubspot.problems where code = ''SH216'' and resolved_at is null; shows which does.');
  end if;
  -- They are read once more: what came back meanwhile stays.
  update hubspot_private.streams s set cursor = '{"absences": "delete"}'
  where (s.object, s.stream, s.range) = (v_stream.object, v_stream.stream, v_stream.range);
  perform hubspot_private.problem_resolve('{SH216}', v_stream.object);
  perform hubspot_private.stream_call(v_stream.object, v_stream.stream, v_stream.range);
end;
$$;
comment on function hubspot.confirm_deletes(bigint) is
  'Lets a full read delete the many rows whose records it found gone (problem SH216); each is read by id once more. SH104.';
