-- Granting and taking back. The owner's alone: whoever may control may not make others do so.
create or replace function hubspot_private.role_find(role_name name)
returns oid
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_oid oid := (select r.oid from pg_roles r where r.rolname = role_find.role_name);
begin
  if v_oid is null then
    perform hubspot_private.fail('role_unknown', coalesce(role_find.role_name::text, 'null'),
      quote_ident(coalesce(role_find.role_name::text, 'reader')));
  end if;
  return v_oid;
end;
$$;
comment on function hubspot_private.role_find(name) is 'The oid of a role. SH106.';

create or replace function hubspot_private.is_owner(role_oid oid)
returns boolean
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select n.nspowner = is_owner.role_oid from pg_namespace n where n.nspname = 'hubspot';
$$;
comment on function hubspot_private.is_owner(oid) is 'Whether a role owns all of this: it needs no grant, and without its rights nothing would run.';

create or replace function hubspot_private.grant_add(role_name name, kind text)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_oid oid;
begin
  lock table hubspot_private.role_grants in exclusive mode;
  perform hubspot_private.grants_bind();
  v_oid := hubspot_private.role_find(role_name);
  if hubspot_private.is_owner(v_oid) then
    return;
  end if;
  insert into hubspot_private.role_grants (role_name, role_oid, system_identifier, kind)
  select grant_add.role_name, v_oid, c.system_identifier, grant_add.kind from pg_control_system() c
  on conflict on constraint role_grants_pkey do nothing;
  perform hubspot_private.grants_apply();
end;
$$;
comment on function hubspot_private.grant_add(name, text) is 'Notes a grant and gives what belongs to it; the owner has it already. SH106.';

create or replace function hubspot.grant_read(role_name name)
returns void
language sql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
  select hubspot_private.grant_add(grant_read.role_name, 'read');
$$;
comment on function hubspot.grant_read(name) is
  'Lets a role read the mirror and the status views, tables made later too. It may change nothing. SH106.';

create or replace function hubspot.grant_write(role_name name)
returns void
language sql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
  select hubspot_private.grant_add(grant_write.role_name, 'write');
$$;
comment on function hubspot.grant_write(name) is
  'Lets a role read, and insert, update and delete in the mirror''s tables, those made later too. The tables themselves are read-only in this version and refuse it (SH105). SH106.';

create or replace function hubspot.grant_control(role_name name)
returns void
language sql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
  select hubspot_private.grant_add(grant_control.role_name, 'control');
$$;
comment on function hubspot.grant_control(name) is
  'Lets a role read and run the verbs: what is tracked, when it is read, budgets and settings. It may not connect, disconnect or adopt, grant, nor make code run with the worker''s rights. SH106.';

create or replace function hubspot_private.rights_of(role_oid oid)
returns setof text
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  with ours as (
    select n.oid, n.nspname, n.nspacl from pg_namespace n
    where n.nspname in ('hubspot', 'hubspot_private', 'hubspot_live') and pg_has_role(n.nspowner, 'usage')
  ),
  held (target, acl) as (
    select format('schema %I', o.nspname), o.nspacl from ours o
    union all
    select format('%s %I.%I', case c.relkind when 'S' then 'sequence' else 'table' end, o.nspname, c.relname), c.relacl
    from pg_class c join ours o on o.oid = c.relnamespace
    where c.relkind in ('r', 'p', 'v', 'm', 'f', 'S') and pg_has_role(c.relowner, 'usage')
    union all
    -- Taking all of a table takes what was given on its columns.
    select format('table %I.%I', o.nspname, c.relname), a.attacl
    from pg_attribute a
    join pg_class c on c.oid = a.attrelid
    join ours o on o.oid = c.relnamespace
    where a.attacl is not null and pg_has_role(c.relowner, 'usage')
    union all
    select format('routine %s', p.oid::regprocedure), p.proacl
    from pg_proc p join ours o on o.oid = p.pronamespace
    where pg_has_role(p.proowner, 'usage')
  )
  select distinct h.target from held h, aclexplode(h.acl) a where a.grantee = rights_of.role_oid
  order by 1;
$$;
comment on function hubspot_private.rights_of(oid) is 'What a role itself was given in our schemas, as grant and revoke name it.';

create or replace function hubspot.revoke_all(role_name name)
returns void
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_oid oid;
  v_target text;
  v_default record;
begin
  lock table hubspot_private.role_grants in exclusive mode;
  perform hubspot_private.grants_bind();
  v_oid := hubspot_private.role_find(role_name);
  if hubspot_private.is_owner(v_oid) then
    perform hubspot_private.fail('role_owns', role_name);
  end if;
  delete from hubspot_private.role_grants g where g.role_oid = v_oid;
  for v_target in select r from hubspot_private.rights_of(v_oid) r loop
    -- What it passed on goes with it.
    perform hubspot_private.acl_change(format('revoke all on %s from %I cascade', v_target, role_name));
  end loop;
  -- Someone may have seen to it by hand that tables made later are granted.
  for v_default in
    select distinct r.rolname, n.nspname, d.defaclobjtype as type
    from pg_default_acl d
    join pg_namespace n on n.oid = d.defaclnamespace
    join pg_roles r on r.oid = d.defaclrole
    cross join aclexplode(d.defaclacl) a
    where n.nspname in ('hubspot', 'hubspot_live') and d.defaclobjtype in ('r', 'f') and a.grantee = v_oid and pg_has_role(d.defaclrole, 'usage')
  loop
    execute format('alter default privileges for role %I in schema %I revoke all on %s from %I',
      v_default.rolname, v_default.nspname, case v_default.type when 'r' then 'tables' else 'routines' end, role_name);
  end loop;
  -- Those of all schemas cannot be taken back in one alone.
  for v_default in
    select distinct r.rolname
    from pg_default_acl d
    join pg_roles r on r.oid = d.defaclrole
    cross join aclexplode(d.defaclacl) a
    where d.defaclnamespace = 0 and d.defaclobjtype in ('r', 'f') and a.grantee = v_oid and pg_has_role(d.defaclrole, 'usage')
  loop
    raise notice 'default privileges of role % still give role % what is made later, in all schemas', quote_ident(v_default.rolname), quote_ident(role_name)
      using hint = format('alter default privileges for role %I revoke all on tables from %I;', v_default.rolname, role_name);
  end loop;
  -- The one of live tables, with the password in it; while it is there, the role cannot be dropped.
  if exists (
    select from pg_user_mappings m join pg_foreign_server s on s.oid = m.srvid
    where s.srvname = 'hubspot_live' and m.umuser = v_oid and pg_has_role(s.srvowner, 'usage'))
  then
    execute format('drop user mapping for %I server hubspot_live', role_name);
  end if;
  if has_schema_privilege(v_oid, 'hubspot', 'usage') then
    raise notice 'role % may still use schema hubspot: by a role that it is a member of, or as a superuser', quote_ident(role_name)
      using hint = 'See \drg in psql, or revoke that membership.';
  end if;
end;
$$;
comment on function hubspot.revoke_all(name) is
  'Takes back all that a role was given in our schemas, by these functions or by hand, and what it passed on, and drops its user mapping; nothing made later is granted to it. What it has as a member of another role, or by default privileges for all schemas, stays, with a notice. SH106, SH123.';
