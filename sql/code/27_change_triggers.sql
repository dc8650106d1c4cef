-- The change feed, written: what the statement triggers of mirror and association tables have in common, and their making.
create or replace function hubspot_private.notify_is_on()
returns boolean
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  -- Who listens and does not read lets the queue of notifications fill, and full it would fail every commit: half full is enough.
  select hubspot_private.setting('notify') = 'true' and pg_notification_queue_usage() < 0.5;
$$;
comment on function hubspot_private.notify_is_on() is 'Whether changes are told on channel hubspot.';

create or replace function hubspot_private.notify_look()
returns void
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  select hubspot_private.problem_report('SH223', '*', null, null, null, 'notify')
  where pg_notification_queue_usage() >= 0.5 and hubspot_private.setting('notify') = 'true';
  select hubspot_private.problem_resolve('{SH223}', '*', null, 'notify')
  where pg_notification_queue_usage() < 0.5 or hubspot_private.setting('notify') <> 'true';
$$;
comment on function hubspot_private.notify_look() is 'A problem while the queue of notifications is too full to tell of changes; over when it is not.';

create or replace function hubspot_private.changes_told(object text, op text, ids bigint[])
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_head constant text := format('{"object":%s,"op":"%s","count":%s', to_json(object), op, cardinality(ids));
  v_ids text;
begin
  if ids is null then
    return;
  end if;
  if hubspot_private.notify_is_on() then
    v_ids := format(',"ids":[%s]}', array_to_string(ids, ','));
    -- Postgres takes 8,000 bytes.
    perform pg_notify('hubspot', v_head || case when octet_length(v_head) + octet_length(v_ids) > 7500 then '}' else v_ids end);
  end if;
  perform hubspot_private.subscriptions_wake(object, op);
end;
$$;
comment on function hubspot_private.changes_told(text, text, bigint[]) is 'Tells whoever listens, and wakes subscriptions, of the changes of one statement.';

create or replace function hubspot_private.change_source(
  object_number integer, out object text, out run_id bigint, out is_written boolean, out filling text[]
)
returns record
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  -- Not before the first load is done; and what tidies up is no change of HubSpot's, nor are first values. What a fill finds changed of
  -- a column that had values is one: its type changes, or it was not shown, or not chosen, for a while.
  select o.name, s.run_id, o.loaded_at is not null and s.stream is distinct from 'build',
    array(
      select p.column_name::text from hubspot_private.properties p
      join hubspot_private.runs r on r.id = p.fill_run and r.state in ('waiting', 'running')
      where p.object = o.name and p.next_column is null
      union all
      select '_extra' where s.stream = 'fill')
  from hubspot_private.objects o
  left join hubspot_private.streams s on s.writer = pg_current_xact_id_if_assigned()
  where o.number = change_source.object_number;
$$;
comment on function hubspot_private.change_source(integer) is
  'For the trigger of an object''s table: by which run this transaction writes, whether that goes to the feed, and which columns are being filled.';

create or replace function hubspot_private.change_shown(changed jsonb, filling text[])
returns jsonb
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
  -- Whoever reads a row whole before the fill comes to it, gives it its first values too.
  select change_shown.changed - array(
    select f from unnest(change_shown.filling) f where f = '_extra' or change_shown.changed -> f -> 0 = 'null');
$$;
comment on function hubspot_private.change_shown(jsonb, text[]) is
  'What of an update goes to the feed: no first values of columns that are being filled, but what is changed of them.';

create or replace function hubspot_private.change_columns(columns text[], is_pair boolean)
returns text
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
  -- Text that is read as JSON at the end: of a hundred columns few differ as a rule, and each costs one comparison then. A
  -- function takes at most 100 arguments.
  select format('concat_ws('','', %s)', string_agg(format('nullif(concat_ws('','', %s), '''')', g.parts), ', ' order by g.n))
  from (
    select x.n / 90 as n, string_agg(format(case when is_pair
      then 'case when o.%1$I is distinct from n.%1$I then %2$L || coalesce(to_json(o.%1$I)::text, ''null'') || '','' || coalesce(to_json(n.%1$I)::text, ''null'') || '']'' end'
      else 'case when n.%1$I is not null then %2$L || ''null,'' || to_json(n.%1$I)::text || '']'' end'
    end, x.name, to_json(x.name) || ':['), ', ' order by x.n) as parts
    from unnest(columns) with ordinality x (name, n)
    group by x.n / 90
  ) g;
$$;
comment on function hubspot_private.change_columns(text[], boolean) is
  'SQL text of what differs between rows o and n as members of a JSON object, [old, new] by column; or of all that row n has.';

create or replace function hubspot_private.change_insert(source text, op text, record_id text, changed text)
returns text
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
  select format($insert$
      with c as (
        insert into hubspot.changes (at, object, record_id, op, changed, run_id)
        select v_now, v_source.object, d.record_id, %1$L, d.changed, v_source.run_id
        from (select %2$s as record_id, %3$s as changed from %4$s offset 0) d
        where %5$s
        order by d.record_id
        returning record_id
      )
      select array_agg(c.record_id) into v_ids from c;
      perform hubspot_private.changes_told(v_source.object, %1$L, v_ids);$insert$, op, record_id, changed, source,
    -- A record of which everything is empty comes and goes all the same.
    case when op = 'update' then 'd.changed <> ''{}''' else 'true' end);
$$;
comment on function hubspot_private.change_insert(text, text, text, text) is 'PL/pgSQL text that writes changes from transition tables.';

create or replace function hubspot_private.change_function(object_number integer, table_name text, columns text[], marks boolean)
returns text
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  -- Both transition tables are as long as the page, and joined by hash: a plan made for one row compares each with each.
  select format($function$
    create or replace function hubspot_private.changes_%1$s()
    returns trigger
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
    set timezone = 'UTC'
    set enable_nestloop = off
    set enable_mergejoin = off
    as $changes$
    declare
      v_source constant record := hubspot_private.change_source(%1$s);
      v_now constant timestamptz := hubspot_private.clock();
      v_ids bigint[];
    begin
      if not v_source.is_written then
        return null;
      end if;
      if tg_op = 'INSERT' then%2$s
      elsif tg_op = 'UPDATE' then%3$s
      else%4$s
      end if;
      return null;
    end;
    $changes$;
    comment on function hubspot_private.changes_%1$s() is %5$L;
    revoke all on function hubspot_private.changes_%1$s() from public$function$,
    change_function.object_number,
    hubspot_private.change_insert('new_rows n', 'insert', 'n.id', c.all_of_new),
    case when not marks then hubspot_private.change_insert(c.both, 'update', 'n.id', c.pairs)
      else hubspot_private.change_insert(c.both || ' where o._archived_at is null and n._archived_at is null', 'update', 'n.id', c.pairs)
        || hubspot_private.change_insert(c.both || ' where o._archived_at is null and n._archived_at is not null', 'delete', 'n.id', c.all_of_old)
        || hubspot_private.change_insert(c.both || ' where o._archived_at is not null and n._archived_at is null', 'insert', 'n.id', c.all_that_is)
    end,
    hubspot_private.change_insert('old_rows o' || case when marks then ' where o._archived_at is null' else '' end, 'delete', 'o.id', c.all_of_old),
    format('Trigger: writes what changed in %s to the feed.', change_function.table_name))
  from (
    select 'old_rows o join new_rows n on n.id = o.id' as both,
      format($pairs$(
          select case when v_source.filling = '{}' then x.changed else hubspot_private.change_shown(x.changed, v_source.filling) end
          from (select ('{' || %s || '}')::jsonb as changed offset 0) x)$pairs$, hubspot_private.change_columns(l.live, true)) as pairs,
      format('(''{'' || %s || ''}'')::jsonb', hubspot_private.change_columns(l.live, false)) as all_of_new,
      format('jsonb_strip_nulls(to_jsonb(o)) - %L::text[]', l.next) as all_of_old,
      -- A row that was marked has columns that are no longer chosen too.
      format('coalesce((select jsonb_object_agg(e.key, jsonb_build_array(null, e.value))
         from jsonb_each(jsonb_strip_nulls(to_jsonb(n)) - %L::text[]) e), ''{}'')',
        '{id,_created_at,_updated_at,_archived_at,_synced_at}'::text[] || l.next) as all_that_is
    from (
      -- What is to take the place of a column is nobody's until it has.
      select n.next, array(select c from unnest(columns) with ordinality u (c, i) where c <> all (n.next) order by i) as live
      from (
        select array(
          select p.next_column::text from hubspot_private.properties p
          join hubspot_private.objects o on o.name = p.object
          where o.number = change_function.object_number and p.next_column is not null
          order by p.next_column) as next
      ) n
    ) l
  ) c;
$$;
comment on function hubspot_private.change_function(integer, text, text[], boolean) is
  'SQL text that makes changes_N, which writes what changed in a mirror table to the feed.';

create or replace function hubspot_private.change_triggers(relation regclass, function text, is_on boolean)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_event record;
begin
  for v_event in
    select e.name, e.rows,
      exists (select from pg_trigger t where t.tgrelid = relation and t.tgname = '_100_changes_' || e.name) as is_there
    from (values ('insert', 'new table as new_rows'), ('update', 'old table as old_rows new table as new_rows'), ('delete', 'old table as old_rows'))
      as e (name, rows)
  loop
    if is_on and not v_event.is_there then
      execute format('create trigger _100_changes_%1$s after %1$s on %2$s referencing %3$s for each statement execute function %4$s',
        v_event.name, relation, v_event.rows, function);
    elsif not is_on and v_event.is_there then
      execute format('drop trigger _100_changes_%s on %s', v_event.name, relation);
    end if;
  end loop;
end;
$$;
comment on function hubspot_private.change_triggers(regclass, text, boolean) is
  'Gives a table the triggers that write its changes, or takes them; as it should be, nothing is done.';

create or replace function hubspot_private.changes_pair()
returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_pair hubspot_private.pairs;
  v_run_id bigint;
  v_now constant timestamptz := hubspot_private.clock();
  v_edges text := case tg_op when 'DELETE' then 'old_rows' else 'new_rows' end;
  v_op text := case tg_op when 'DELETE' then 'disassociate' else 'associate' end;
  v_ids bigint[];
begin
  select p.* into v_pair from hubspot_private.pairs p where p.number = tg_argv[0]::integer;
  select s.run_id into v_run_id from hubspot_private.streams s where s.writer = pg_current_xact_id_if_assigned();
  -- Not before the first sweep is done.
  if not exists (
    select from hubspot_private.streams s where s.stream = 'associations' and s.range = v_pair.number and s.cursor ? 'until')
  then
    return null;
  end if;
  execute format($insert$
    with c as (
      insert into hubspot.changes (at, object, record_id, op, changed, run_id)
      select $1, $2, e.%1$I, $3, jsonb_build_object('to_object', $4, 'to', e.%2$I, 'type_id', e.type_id, 'category', e.category, 'label', e.label), $5
      from %3$I e%4$s
      order by e.%1$I, e.%2$I, e.type_id, e.category
      returning record_id
    )
    select array_agg(distinct c.record_id) from c$insert$, v_pair.from_column, v_pair.to_column, v_edges,
    -- What was written and is as it was.
    case tg_op when 'UPDATE' then format(
      ' where not exists (select from old_rows o where (o.%1$I, o.%2$I, o.type_id, o.category) = (e.%1$I, e.%2$I, e.type_id, e.category) and o.label is not distinct from e.label)',
      v_pair.from_column, v_pair.to_column) end)
  into v_ids using v_now, v_pair.from_object, v_op, v_pair.to_object, v_run_id;
  perform hubspot_private.changes_told(v_pair.from_object, v_op, v_ids);
  return null;
end;
$$;
comment on function hubspot_private.changes_pair() is
  'Trigger: writes associations that came, went, or got another label (associate again) to the feed.';
revoke all on function hubspot_private.changes_pair() from public;
