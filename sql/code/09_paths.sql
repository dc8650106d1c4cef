-- Under which search path what runs. All of ours runs under pg_catalog alone: whoever may create an operator somewhere on the path of
-- a worker's sessions would else have it run with the owner's rights, since one for just these types goes before a general one of
-- Postgres' own. Users' triggers, and the functions they subscribe, run under the path that the owner's sessions usually have.
create or replace function hubspot_private.usual_search_path()
returns text
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  -- Never the caller's: what runs under it has the owner's rights. In a session of someone else's, temporary tables are his, and come
  -- first unless they are named last.
  select case when session_user = current_user then p.path
    else concat_ws(', ', nullif(ltrim(regexp_replace(p.path, '(^|,)\s*"?pg_temp"?\s*(?=,|$)', '', 'g'), ', '), ''), 'pg_temp') end
  from (select coalesce((
    select substr(c.setting, length('search_path=') + 1)
    from pg_db_role_setting r
    cross join unnest(r.setconfig) c (setting)
    where c.setting like 'search\_path=%' and r.setdatabase in (0, (select d.oid from pg_database d where d.datname = current_database()))
      and r.setrole in (0, (select o.oid from pg_roles o where o.rolname = current_user))
    order by r.setrole = 0, r.setdatabase = 0
    limit 1), '"$user", public') as path) p;
$$;
comment on function hubspot_private.usual_search_path() is 'The search path that the owner''s sessions have by the database''s settings and the role''s; in a session of someone else''s temporary tables come last.';

-- None of these has SET: what they set is there until the function that calls them ends. Behind each statement that fires users' triggers
-- the path is pinned again, by set_config itself: a trigger may go on as a role that may call nothing of ours.
create or replace function hubspot_private.path_open()
returns void
language plpgsql
volatile
as $$
begin
  perform pg_catalog.set_config('search_path', hubspot_private.usual_search_path(), true);
end;
$$;
comment on function hubspot_private.path_open() is 'What follows is users'': it runs under the usual search path, until that is pinned again or the function that called this ends.';
revoke all on function hubspot_private.path_open() from public;

create or replace function hubspot_private.constraints_check()
returns void
language plpgsql
volatile
as $$
declare
  v_who constant name := current_user;
begin
  perform hubspot_private.path_open();
  set constraints all immediate;
  perform pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
  if current_user <> v_who then
    raise exception 'a trigger of yours went on as role %', current_user;
  end if;
end;
$$;
comment on function hubspot_private.constraints_check() is 'Fires what users deferred: at the commit itself it would run under our search path.';
revoke all on function hubspot_private.constraints_check() from public;

create or replace function hubspot_private.users_path()
returns trigger
language plpgsql
volatile
as $$
begin
  -- Whoever else writes is refused by the next trigger.
  if pg_catalog.has_schema_privilege('hubspot_private', 'usage') then
    perform hubspot_private.path_open();
  end if;
  return null;
end;
$$;
comment on function hubspot_private.users_path() is
  'Trigger: a statement of ours, planned by now, goes on under the usual search path, since users'' triggers come next. Triggers of a kind fire in the order of their names: a blank comes first of all.';
revoke all on function hubspot_private.users_path() from public;

create or replace function hubspot_private.users_path_hang(relation regclass)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  if exists (select from pg_trigger t where t.tgrelid = relation and t.tgname = '_001_users_path') then
    -- As an earlier version named it: behind users' whose names begin with a capital.
    execute format('alter trigger _001_users_path on %s rename to " users_path"', relation);
  elsif not exists (select from pg_trigger t where t.tgrelid = relation and t.tgname = ' users_path') then
    execute format(
      'create trigger " users_path" before insert or update or delete on %s for each statement execute function hubspot_private.users_path()', relation);
  end if;
end;
$$;
comment on function hubspot_private.users_path_hang(regclass) is 'Gives a table of the mirror the trigger that lets users'' triggers run under the usual search path.';
revoke all on function hubspot_private.users_path_hang(regclass) from public;
