-- The verbs of live tables.
create or replace function hubspot_private.live_extension()
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_schema constant name := case
    when to_regnamespace('public') is not null and has_schema_privilege('public', 'create') then 'public' else 'hubspot_private' end;
  v_ask constant text := format('Ask an administrator to run, in this database: create extension if not exists postgres_fdw; grant usage on foreign data wrapper postgres_fdw to %I;', current_user);
begin
  if not exists (select from pg_extension e where e.extname = 'postgres_fdw') then
    begin
      execute format('create extension postgres_fdw schema %I', v_schema);
    exception
      when insufficient_privilege then
        perform hubspot_private.fail('live_unavailable', 'role ' || current_user || ' may not create extension postgres_fdw', v_ask);
      when undefined_file or feature_not_supported then
        perform hubspot_private.fail('live_unavailable', 'this server has no extension postgres_fdw',
          'Install PostgreSQL''s contrib modules on it (a package such as postgresql-contrib), or use sessions of the gateway itself.');
    end;
  end if;
  if not has_foreign_data_wrapper_privilege('postgres_fdw', 'usage') then
    perform hubspot_private.fail('live_unavailable', 'role ' || current_user || ' may not use foreign data wrapper postgres_fdw', v_ask);
  end if;
end;
$$;
comment on function hubspot_private.live_extension() is 'Makes extension postgres_fdw, or says what to ask an administrator for. SH124.';

create or replace function hubspot_private.live_caller()
returns name
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  -- Of a function that runs as its owner: who called it, set role included.
  select coalesce(nullif(current_setting('role'), 'none'), session_user)::name;
$$;
comment on function hubspot_private.live_caller() is 'The role that called a function which runs as its owner.';

create or replace function hubspot.enable_live(
  host text, port integer, password text default null, sslmode text default null, sslrootcert text default null
)
returns void
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_wanted jsonb;
  v_kept jsonb;
  v_options text;
  v_owner oid;
  v_was text[];
begin
  if coalesce(host, '') = '' or port is null or port not between 1 and 65535 then
    perform hubspot_private.fail('argument_invalid', format('%s cannot be the gateway''s address', concat_ws(':', coalesce(host, 'null'), coalesce(port::text, 'null'))),
      'Give host (a name, an address, or the folder of a Unix socket) and port as the worker was given with --gateway, as this database reaches it.');
  end if;
  if sslmode is not null and sslmode not in ('disable', 'allow', 'prefer', 'require', 'verify-ca', 'verify-full') then
    perform hubspot_private.fail('argument_invalid', format('sslmode cannot be %s', sslmode),
      'Give disable, prefer, require, verify-ca or verify-full; off this host: verify-full, with sslrootcert.');
  end if;
  perform hubspot_private.live_extension();
  create schema if not exists hubspot_live;
  comment on schema hubspot_live is
    'Foreign tables of the mirror''s: read through the worker''s gateway, which asks HubSpot first. select hubspot.enable_live(…) makes them.';
  v_wanted := jsonb_build_object('host', host, 'port', port::text, 'dbname', current_database(), 'sslmode', sslmode, 'sslrootcert', sslrootcert,
    -- The gateway refuses it, and says why.
    'truncatable', 'true',
    -- The gateway passes SCRAM on: bound to one of two TLS connections it would fail on the other.
    'channel_binding', case when sslmode is distinct from 'disable' then 'disable' end);
  v_kept := jsonb_build_object('fetch_size', '1000', 'batch_size', '100', 'async_capable', 'false', 'fdw_startup_cost', '1000')
    || case when current_setting('server_version_num')::integer >= 180000 then '{"use_scram_passthrough": "true"}' else '{}' end::jsonb;
  select s.srvowner, coalesce(s.srvoptions, '{}') into v_owner, v_was from pg_foreign_server s where s.srvname = 'hubspot_live';
  if not found then
    execute format('create server hubspot_live foreign data wrapper postgres_fdw options (%s)', hubspot_private.live_options(null, v_wanted, v_kept));
  else
    if not pg_has_role(v_owner, 'usage') then
      perform hubspot_private.fail('live_unavailable', format('server hubspot_live is of role %s', v_owner::regrole),
        format('Ask its owner to run: alter server hubspot_live owner to %I;', current_user));
    end if;
    v_options := hubspot_private.live_options(v_was, v_wanted, v_kept);
    if v_options is not null then
      execute format('alter server hubspot_live options (%s)', v_options);
    end if;
  end if;
  if not pg_has_role(hubspot_private.live_caller(), current_user, 'usage') then
    perform hubspot.grant_live(hubspot_private.live_caller(), password);
  else
    perform hubspot_private.live_mapping(hubspot_private.live_caller(), password);
  end if;
  perform hubspot_private.live_follow();
end;
$$;
comment on function hubspot.enable_live(text, integer, text, text, text) is
  'Makes a foreign table hubspot_live.<table> for every table of the mirror, which asks HubSpot before each query: through the worker''s gateway, at host and port as this database reaches them. password is the caller''s own, which postgres_fdw needs before PostgreSQL 18, and ends up in logs. Again: another address. SH104, SH124.';

create or replace function hubspot.disable_live()
returns void
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_role text;
  v_detail text;
begin
  if not hubspot_private.live_is_on() then
    return;
  end if;
  perform hubspot_private.ddl_run(array_agg(format('drop foreign table %s', m.name)), array_agg(m.name))
  from (select format('hubspot_live.%I', n.table_name) from hubspot_private.live_made() n) m (name);
  for v_role in
    select case when m.umuser = 0 then 'public' else quote_ident(m.usename) end from pg_user_mappings m where m.srvname = 'hubspot_live'
  loop
    execute format('drop user mapping for %s server hubspot_live', v_role);
  end loop;
  drop server hubspot_live;
  -- Their mappings are gone, and nobody knows their passwords: who is to read live tables again is granted it again.
  for v_role in
    select distinct a.grantee::regrole::text
    from pg_namespace n
    cross join lateral aclexplode(n.nspacl) a
    where n.nspname = 'hubspot_live' and a.grantee not in (0, n.nspowner)
  loop
    perform hubspot_private.acl_change(format('revoke all on schema hubspot_live from %s cascade', v_role));
  end loop;
  update hubspot_private.problems q set resolved_at = hubspot_private.clock() where q.code = 'SH231' and q.resolved_at is null;
exception when dependent_objects_still_exist then
  get stacked diagnostics v_detail = pg_exception_detail;
  perform hubspot_private.fail('live_in_use', v_detail);
end;
$$;
comment on function hubspot.disable_live() is
  'Drops the live tables, their server and its user mappings, and what grant_live() gave on them, which is given again once they are enabled again; extension postgres_fdw stays. The mirror goes on. SH126 where something of yours depends on them, SH220 where others hold them.';

create or replace function hubspot.grant_live(role_name name, password text default null)
returns void
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_table name;
begin
  if not hubspot_private.live_is_on() then
    perform hubspot_private.fail('live_disabled');
  end if;
  -- The gateway reads the mirror as the role itself.
  perform hubspot.grant_read(role_name);
  execute format('grant usage on schema hubspot_live to %I', role_name);
  for v_table in
    select n.table_name from hubspot_private.live_names() n where to_regclass(format('hubspot_live.%I', n.table_name)) is not null
  loop
    execute format('grant select on hubspot_live.%I to %I', v_table, role_name);
  end loop;
  perform hubspot_private.live_mapping(role_name, password);
end;
$$;
comment on function hubspot.grant_live(name, text) is
  'Lets a role read the live tables, those made later too, and the mirror that they show. It signs on to the gateway as itself: with its password kept in its user mapping, or on PostgreSQL 18 without, if it has signed on with one. SH106, SH125.';

create or replace function hubspot.set_max_age(table_name name, max_age interval)
returns void
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
begin
  if table_name is null or not exists (select from hubspot_private.live_names() n where n.table_name = table_name) then
    perform hubspot_private.fail('argument_invalid', format('there is no table hubspot.%s of an object or a pair that is tracked', coalesce(table_name::text, 'null')),
      coalesce('Did you mean ' || hubspot_private.near_name(table_name, (select array_agg(n.table_name::text) from hubspot_private.live_names() n)) || '? ', '')
        || 'table hubspot.status and table hubspot.association_pairs name them.');
  end if;
  if max_age < '0' or max_age > '1 year' then
    perform hubspot_private.fail('argument_invalid', format('max_age cannot be %s', max_age), 'Give an interval from 0 to a year, such as ''5 seconds''.');
  end if;
  delete from hubspot_private.max_ages m where m.table_name = table_name;
  if max_age is not null then
    insert into hubspot_private.max_ages (table_name, max_age) values (table_name, max_age);
  end if;
end;
$$;
comment on function hubspot.set_max_age(name, interval) is
  'How old the answer may be that a live table is read from; null: HubSpot is asked each time, as it is by default. A session of the gateway''s may say it too: set hubspot.max_age = ''5 seconds''; the longer one counts. SH104.';
