-- What of a page cannot be taken: records that came incomplete, and, where it is written record by record, whose fault an error is.
create or replace function hubspot_private.page_complete(
  o hubspot_private.objects, body jsonb, out complete jsonb, out incomplete bigint[]
)
returns record
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  -- Every record has its modified date, where HubSpot says that such records have one: it is always asked for.
  v_wanted jsonb := jsonb_build_object('name', (
    select p.property from hubspot_private.properties p
    where p.object = o.name and p.property = o.modified_property and p.archived_at is null));
  v_id bigint;
begin
  complete := body;
  if not jsonb_path_exists(body, '$.results[*] ? (@.archived != true) ? (!exists(@.properties ? (@.type() == "object")))')
    and (v_wanted ->> 'name' is null or not jsonb_path_exists(
      body, format('$.results[*] ? (@.archived != true) ? (!exists(@.properties.%s))', v_wanted -> 'name')::jsonpath))
  then
    return;
  end if;
  select jsonb_build_object('results', coalesce(jsonb_agg(r.value order by r.ordinality) filter (where r.is_complete), '[]')),
    array_agg(distinct r.id::bigint) filter (where not r.is_complete and r.id ~ '^[0-9]{1,18}$')
  into complete, incomplete
  from (
    select e.value, e.ordinality, e.value ->> 'id' as id,
      (e.value -> 'archived')::text is not distinct from 'true' or jsonb_typeof(e.value -> 'properties') is not distinct from 'object'
        and (v_wanted ->> 'name' is null or e.value -> 'properties' ? (v_wanted ->> 'name')) as is_complete
    from jsonb_array_elements(body -> 'results') with ordinality e
  ) r;
  if complete = '{"results": []}' and cardinality(incomplete) > 1 then
    perform hubspot_private.fail('answer_unreadable', 'its records lack their properties');
  end if;
  foreach v_id in array coalesce(incomplete, '{}') loop
    perform hubspot_private.problem_report('SH212', o.name,
      format('record %s of %s came without its properties', v_id, o.name), 'Its row stays as it was; it is read again by itself.', v_id);
  end loop;
end;
$$;
comment on function hubspot_private.page_complete(hubspot_private.objects, jsonb) is
  'A page without the records that lack their properties, or the modified date that was asked for, and the ids of these: nothing can be said of them. SH208 where all do.';
revoke all on function hubspot_private.page_complete(hubspot_private.objects, jsonb) from public;

create or replace function hubspot_private.answer_objects(object text, answer jsonb)
returns jsonb
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  if jsonb_typeof(answer -> 'results') is distinct from 'array' or not jsonb_path_exists(answer, 'strict $.results[*] ? (@.type() != "object")') then
    return answer;
  end if;
  perform hubspot_private.problem_report('SH212', object, 'a result of HubSpot''s is no record', 'The others are taken; it is left out.');
  -- Whose place it has in a read by id, nobody knows: what is not answered there is not gone.
  return answer || jsonb_build_object(
    'results', (select coalesce(jsonb_agg(r.value order by r.ordinality) filter (where jsonb_typeof(r.value) = 'object'), '[]')
      from jsonb_array_elements(answer -> 'results') with ordinality r),
    'errors', case when jsonb_typeof(answer -> 'errors') = 'array' then answer -> 'errors' else '[]' end || '[{"category": "UNREADABLE"}]');
end;
$$;
comment on function hubspot_private.answer_objects(text, jsonb) is 'An answer without what is no record among its results: that has a problem, and what is not answered counts as not told of.';
revoke all on function hubspot_private.answer_objects(text, jsonb) from public;

create or replace function hubspot_private.refusal_note(object text, record_id bigint, state text, message text, context text)
returns text
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  -- What was under way inside our own statement: in any language of messages a line that names a function has PL/ in it.
  v_inner text := regexp_replace(context, 'hubspot_private\.(write_\d+|gone_apply)\(.*', '');
  v_line text := (
    select l from regexp_split_to_table(v_inner, '\n') with ordinality x (l, n)
    where l ~ 'PL/[A-Za-z]' and l !~ 'hubspot_private\.' order by n limit 1);
begin
  if state ~ '^(57P01|53[12]00)' then
    -- A server that stops or is full: over in a moment.
    return null;
  elsif (state ~ '^(08|40|53|57|58)' or state = '55P03') and (v_line is null
    -- Locks, deadlocks, another server that is away: these pass too. Not what a trigger of the user's raises each time, unless it takes
    -- so long that record by record is no way.
    or clock_timestamp() > statement_timestamp() + interval '30 seconds'
    or coalesce(nullif(current_setting('hubspot.failures', true), ''), '0')::integer < 3 and not exists (
      select from hubspot_private.problems p
      where p.object = refusal_note.object and p.record_id = refusal_note.record_id and p.code = 'SH213' and p.resolved_at is null))
  then
    return null;
  elsif v_line is null and state !~ '^(22|23|54|P0)' then
    -- Neither a value, a constraint nor a trigger of a user's: a column that is gone, a bug.
    return null;
  end if;
  perform hubspot_private.problem_report('SH213', object,
    format('record %s of %s cannot be written: %s (%s)', record_id, object, message, state),
    case when state = '23505' then 'Another row has the value. It is tried again every 15 minutes, and when it changes. Records that exchange values are each in the other''s way: a constraint of yours that is unique (…) deferrable initially deferred lets both pass, an index does not.' end,
    record_id);
  return concat_ws(' ', state, v_line);
end;
$$;
comment on function hubspot_private.refusal_note(text, bigint, text, text, text) is
  'One record could not be written: SH213, and the error''s signature; null where the error is not the record''s.';

create or replace function hubspot_private.refusals_judge(signatures text[], is_any_written boolean, message text)
returns void
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
begin
  if not is_any_written and cardinality(signatures) >= 20 and signatures[1] !~ '^54'
    and signatures[1] = all (signatures)
  then
    -- Twenty at once, all by the same line and none let through: it is no record's fault.
    raise exception using errcode = left(signatures[1], 5), message = refusals_judge.message;
  end if;
end;
$$;
comment on function hubspot_private.refusals_judge(text[], boolean, text) is
  'Raises the error again where all records of a page were refused alike, twenty at least: then a trigger or constraint is wrong, and nothing is left out.';

create or replace function hubspot_private.skipped_note(
  o hubspot_private.objects, ids bigint[], asked_at timestamptz, is_any_written boolean
)
returns bigint[]
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_message constant text := 'a trigger of yours returns null, which leaves the row out';
  v_skipped bigint[];
begin
  -- A row that another read wrote meanwhile is there and later. Of the others nothing but a trigger keeps a statement away.
  execute format(
    'select array_agg(i order by i) from unnest($1) i
     where i is not null and not exists (select from hubspot.%I t where t.id = i and t._synced_at >= $2 and not hubspot_private.is_set_back(t._synced_at, $2))', o.table_name)
  into v_skipped using ids, asked_at;
  perform hubspot_private.refusals_judge(array_fill('P0001'::text, array[coalesce(cardinality(v_skipped), 0)]), is_any_written, v_message);
  perform hubspot_private.problem_report('SH213', o.name, format('record %s of %s cannot be written: %s', i, o.name, v_message), null, i)
  from unnest(v_skipped) i;
  return v_skipped;
end;
$$;
comment on function hubspot_private.skipped_note(hubspot_private.objects, bigint[], timestamptz, boolean) is
  'Records that were written, and are not: those that a trigger left out by returning null, each with SH213. Raises where that is all of a page, twenty at least.';

create or replace function hubspot_private.refusals_end(object text, ids bigint[], differing bigint[], asked_at timestamptz)
returns void
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  -- Looked up by the key of open problems: next to none.
  update hubspot_private.problems p set resolved_at = hubspot_private.clock()
  where coalesce(p.object, '') = refusals_end.object and coalesce(p.record_id, 0) = any (refusals_end.ids)
    -- Text that was repaired to what the mirror has, and comes unspoilt now, is as it has it too.
    and p.code in ('SH210', 'SH212', 'SH213') and p.resolved_at is null and p.last_seen_at < refusals_end.asked_at
    and p.record_id <> all (coalesce(refusals_end.differing, '{}'))
    -- Where it is its associations that are refused, their reading tells.
    and not exists (
      select from hubspot_private.association_dirty d
      join hubspot_private.pairs r on r.number = d.pair
      where r.from_object = refusals_end.object and d.from_id = p.record_id and not d.is_reverse);
$$;
comment on function hubspot_private.refusals_end(text, bigint[], bigint[], timestamptz) is
  'Of these records, which a read found, those that do not differ are as the mirror has them: that they could not be read or written, or were repaired, is over.';
revoke all on function hubspot_private.refusal_note(text, bigint, text, text, text) from public;
revoke all on function hubspot_private.skipped_note(hubspot_private.objects, bigint[], timestamptz, boolean) from public;
revoke all on function hubspot_private.refusals_end(text, bigint[], bigint[], timestamptz) from public;
revoke all on function hubspot_private.refusals_judge(text[], boolean, text) from public;

create or replace function hubspot_private.read_limit(s hubspot_private.streams)
returns integer
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  -- An answer that failed may be too large, or one record's fault: with each failure half as many.
  select least(s.ask_most, 100);
$$;
comment on function hubspot_private.read_limit(hubspot_private.streams) is 'How many ids the next batch read asks for.';

-- What a function or trigger of a user's may leave behind in the session, and what is done about it. Read where it is called, so no SET.
create or replace function hubspot_private.session_state()
returns text[]
language sql
volatile
as $$
  select array[
    current_user::text,
    pg_catalog.current_setting('transaction_read_only'), pg_catalog.current_setting('session_replication_role'),
    pg_catalog.current_setting('TimeZone'), pg_catalog.current_setting('DateStyle'),
    pg_catalog.current_setting('IntervalStyle'), pg_catalog.current_setting('row_security'), pg_catalog.current_setting('lock_timeout'),
    pg_catalog.current_setting('statement_timeout'), pg_catalog.current_setting('synchronous_commit'),
    pg_catalog.current_setting('client_encoding'), coalesce(pg_catalog.current_setting('hubspot.careful', true), ''),
    coalesce(pg_catalog.current_setting('transaction_timeout', true), '')];
$$;
comment on function hubspot_private.session_state() is 'As whom, and under which settings, what follows in this transaction runs.';
revoke all on function hubspot_private.session_state() from public;

create or replace function hubspot_private.session_restore(was text[], is_local boolean)
returns void
language plpgsql
volatile
as $$
declare
  v_is constant text[] := hubspot_private.session_state();
  v_names constant text[] :=
    '{TimeZone,DateStyle,IntervalStyle,row_security,lock_timeout,statement_timeout,synchronous_commit,client_encoding,hubspot.careful,transaction_timeout}';
begin
  for i in 1..pg_catalog.cardinality(v_names) loop
    if v_is[i + 3] <> was[i + 3] then
      -- A pooler may have set the encoding of what the worker sends next, for the session; the worker sets the timeout so.
      perform pg_catalog.set_config(v_names[i], was[i + 3], is_local and v_names[i] not in ('client_encoding', 'transaction_timeout'));
    end if;
  end loop;
end;
$$;
comment on function hubspot_private.session_restore(text[], boolean) is 'Makes settings what session_state() said.';
revoke all on function hubspot_private.session_restore(text[], boolean) from public;

create or replace function hubspot_private.session_settle(was text[], who text)
returns void
language plpgsql
volatile
as $$
declare
  v_is constant text[] := hubspot_private.session_state();
begin
  perform pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
  if v_is[2:3] <> was[2:3] then
    raise exception '% left transaction_read_only or session_replication_role changed', who;
  elsif v_is <> was then
    -- For the session: SET without LOCAL would outlive the transaction.
    perform hubspot_private.session_restore(was, false);
  end if;
end;
$$;
comment on function hubspot_private.session_settle(text[], text) is
  'Puts settings that a user''s function or trigger left changed back to what session_state() said; raises where that would hide what it did.';
revoke all on function hubspot_private.session_settle(text[], text) from public;

create or replace function hubspot_private.session_end(was text[])
returns void
language plpgsql
volatile
as $$
begin
  -- What was deferred to the commit would run after this.
  perform hubspot_private.constraints_check();
  perform hubspot_private.session_settle(was, 'a trigger of yours');
  -- As DISCARD ALL, which no function may, but for the statements that the worker prepared. 0.08 ms where nothing was left.
  reset all;
  perform pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
  perform hubspot_private.session_restore(was, true);
  execute 'close all';
  unlisten *;
  discard temp;
  perform pg_catalog.pg_advisory_unlock_all();
end;
$$;
comment on function hubspot_private.session_end(text[]) is
  'The last of a worker''s transaction in which users'' functions or triggers may have run: nothing of theirs stays in its session, which others use next.';
revoke all on function hubspot_private.session_end(text[]) from public;

create or replace function hubspot_private.own_triggers(relation regclass)
returns text
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select coalesce(case count(*) when 1 then 'trigger ' else 'one of the triggers ' end || string_agg(quote_ident(t.tgname), ', ' order by t.tgname),
    'a trigger of yours')
  from pg_trigger t
  join pg_proc p on p.oid = t.tgfoid
  where t.tgrelid = own_triggers.relation and not t.tgisinternal and t.tgenabled <> 'D' and p.pronamespace <> 'hubspot_private'::regnamespace;
$$;
comment on function hubspot_private.own_triggers(regclass) is 'The triggers that users hung on a table, for a message.';
revoke all on function hubspot_private.own_triggers(regclass) from public;
