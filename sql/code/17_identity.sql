-- Identity: a copy of the database (a clone, a restore elsewhere) must not act on HubSpot beside the original. It stands still until it
-- is adopted. What is recorded is compared, never guessed: database name, oid, and the server's system identifier.
create or replace function hubspot_private.is_home()
returns boolean
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  select coalesce((
    select (i.database_name, i.database_oid, i.system_identifier) = (d.datname, d.oid, s.system_identifier)
    from hubspot_private.installation i
    join pg_database d on d.datname = current_database()
    cross join pg_control_system() s), false);
$$;
comment on function hubspot_private.is_home() is
  'Whether this is the database that was installed, or adopted since. Whatever acts on HubSpot asks this first.';

create or replace function hubspot_private.home_differs()
returns text
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  select format('this database is a copy: it was installed as %s%s', i.database_name, case
    when s.system_identifier <> i.system_identifier then format(' on another server, and is %s here', current_database())
    when i.database_name <> current_database() then format(', and is %s', current_database())
    else ', and that was another database of this name'
  end)
  from hubspot_private.installation i
  cross join pg_control_system() s
  where not hubspot_private.is_home();
$$;
comment on function hubspot_private.home_differs() is 'What makes this database a copy; null: it is none.';

create or replace function hubspot_private.queue_made_at()
returns timestamptz
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_made_at timestamptz;
begin
  execute format('select min(m.ts) from %I.migrations m', (select i.queue_schema from hubspot_private.installation i)) into v_made_at;
  return v_made_at;
end;
$$;
comment on function hubspot_private.queue_made_at() is
  'When the queue was made, by the server''s clock then: a dump keeps it, and one that was lost and made anew has another.';

create or replace function hubspot_private.home_check()
returns boolean
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_is_home constant boolean := hubspot_private.is_home();
  v_is_open constant boolean := exists (select from hubspot_private.problems p where p.code = 'SH005' and p.resolved_at is null);
begin
  -- What waits to be written to HubSpot is held here, in this order: first held, then the problem.
  if not v_is_home and not v_is_open then
    perform hubspot_private.problem_report('SH005', '*', hubspot_private.home_differs(), null, null, 'database');
  elsif v_is_home and v_is_open then
    perform hubspot_private.problem_resolve('{SH005}', '*');
  end if;
  return v_is_home;
end;
$$;
comment on function hubspot_private.home_check() is 'Whether this is no copy; a problem says so while it is one. Asked by every heartbeat.';

create or replace function hubspot_private.home_require()
returns void
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
begin
  if not hubspot_private.is_home() then
    perform hubspot_private.fail('wrong_database');
  end if;
end;
$$;
comment on function hubspot_private.home_require() is 'SH005 in a copy that nobody adopted.';

create or replace function hubspot_private.may_write()
returns boolean
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  select hubspot_private.is_home() and not i.is_read_only from hubspot_private.installation i;
$$;
comment on function hubspot_private.may_write() is
  'Whether this database may write to HubSpot at all. A worker with HUBSPOT_WRITES=off does not, whatever this says.';
