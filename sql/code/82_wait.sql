-- Waiting: a procedure that commits before and after every look, so that no old snapshot of it holds vacuum back.
create or replace function hubspot.progress(object text default null, out is_done boolean, out message text)
returns record
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_parked record;
  v_row record;
  v_is_alive boolean := exists (
    select from hubspot_private.workers w where w.beat_at > hubspot_private.clock() - interval '30 seconds');
begin
  perform hubspot_private.home_require();
  select o.name as object, s.last_error into v_parked
  from hubspot_private.objects_named(object) o
  join hubspot.status s on s.object = o.name
  where s.state = 'parked' and o.loaded_at is null
  limit 1;
  if found then
    perform hubspot_private.fail('object_parked', v_parked.object, coalesce(v_parked.last_error, 'unknown'),
      format('select * from hubspot.problems where object = %L; says what to do, then select hubspot.resume(%1$L);', v_parked.object));
  end if;
  select count(*) as objects, count(*) filter (where o.loaded_at is not null) as loaded, sum(s.rows) as rows,
    round(100 * avg(s.progress), 1) as percent, max(s.eta) as eta
  into v_row
  from hubspot_private.objects_named(object) o
  join hubspot.status s on s.object = o.name;
  if v_row.objects = 0 then
    perform hubspot_private.fail('argument_invalid', 'no object is tracked', 'Run select hubspot.track(''contacts'');');
  end if;
  is_done := v_row.loaded = v_row.objects;
  message := case
    when is_done then null
    when not v_is_alive then 'no worker is running: start one with npx pg-hubspot worker'
    when not (select a.is_connected from hubspot_private.account a) then 'no HubSpot account is connected yet: see select * from hubspot.health()'
    else format('%s: %s rows, %s %%%s', coalesce(object, v_row.loaded || ' of ' || v_row.objects || ' objects loaded'),
      v_row.rows, v_row.percent, ', about ' || v_row.eta || ' left')
  end;
end;
$$;
comment on function hubspot.progress(text) is
  'Whether the first load of an object (null: of all) is done, and while it is not, how far it is or what it waits for. SH005, SH101, SH104, SH113.';

create or replace procedure hubspot.wait(object text default null, timeout interval default '1 hour')
language plpgsql
as $$
declare
  v_began constant timestamptz := pg_catalog.clock_timestamp();
  v_look record;
  v_told text;
  v_told_at timestamptz;
begin
  -- It runs with the caller's rights, who may use nothing of hubspot_private: so it raises errors itself.
  -- Several statements in one string of the simple protocol are one transaction, too, and begin at the same time. The error
  -- of COMMIT there cannot be caught: a block that could catch it would itself forbid to commit. So the string is looked at.
  if pg_catalog.now() <> pg_catalog.statement_timestamp()
    or pg_catalog.regexp_replace(pg_catalog.current_query(),
      $r$--[^\n]*|/\*.*?\*/|\$(\w*)\$.*?\$\1\$|'[^']*'|"[^"]*"$r$, '', 'g') ~ ';\s*[^\s;]'
  then
    raise exception using errcode = 'SH108', message = 'wait cannot run inside a transaction block', hint = 'Run it alone: call hubspot.wait(…);';
  end if;
  if wait.timeout is null then
    raise exception using errcode = 'SH104', message = 'timeout is null', hint = 'Give an interval such as ''10 min''.';
  end if;
  loop
    commit;
    select l.is_done, l.message into v_look from hubspot.progress(wait.object) l;
    commit;
    exit when v_look.is_done;
    if pg_catalog.clock_timestamp() - v_began > wait.timeout then
      raise exception using errcode = 'SH110', message = pg_catalog.format('timed out after %s', wait.timeout), hint = v_look.message;
    end if;
    if v_look.message is distinct from v_told and coalesce(pg_catalog.clock_timestamp() > v_told_at + interval '2 seconds', true) then
      raise notice '%', v_look.message;
      v_told := v_look.message;
      v_told_at := pg_catalog.clock_timestamp();
    end if;
    perform pg_catalog.pg_sleep(0.2);
  end loop;
end;
$$;
comment on procedure hubspot.wait(text, interval) is
  'Waits until the first load of an object (null: of all) is done, with notices of progress. Not inside a transaction block. SH005, SH101, SH108, SH110, SH113.';
