-- Grants are rows: a table made later gets them too. Nothing is granted to public. TRIGGER is never granted by these.
create or replace function hubspot_private.function_kinds()
returns table (kind text, names text[])
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
  -- Each function of schema hubspot stands in one line, by its name, or with its arguments' types where those of one name differ.
  -- One that is in none is the owner's.
  values
    -- What only looks.
    ('read', '{health,progress,changes_after,changes_end}'::text[]),
    -- What to mirror and when: another read of HubSpot puts all of it right again.
    ('control', '{track,untrack,track_associations,untrack_associations,rename_column,retype_column}'),
    ('control', '{sync,resync,refresh,verify,confirm_deletes,forget,pause,resume,wait}'),
    ('control', '{schedule,unschedule,configure,set_quota,set_quota_share,set_max_age}'),
    ('control', '{enable_changes,disable_changes,off_change,"on_change(text,text,text[],text[])"}'),
    -- Secrets, whose database this is, rights, and what makes code run with the worker's rights.
    ('owner', '{connect,disconnect,adopt,grant_read,grant_write,grant_control,revoke_all,enable_live,disable_live,grant_live,"on_change(text,regproc,text[],text[])"}');
$$;
comment on function hubspot_private.function_kinds() is
  'Who may run which public functions: read, whoever was granted anything; control, whom grant_control() named; owner, nobody else.';

create or replace function hubspot_private.function_kind(routine oid)
returns text
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select k.kind
  from pg_proc p
  join hubspot_private.function_kinds() k
    on p.proname = any (k.names) or replace(p.oid::regprocedure::text, 'hubspot.' || p.proname, p.proname) = any (k.names)
  where p.oid = function_kind.routine;
$$;
comment on function hubspot_private.function_kind(oid) is 'Who may run a public function: read, control or owner; null where it is not listed.';

create or replace function hubspot_private.grants_bind()
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_cluster constant bigint := (select c.system_identifier from pg_control_system() c);
begin
  if not exists (
    select from hubspot_private.role_grants g
    left join pg_roles r on r.oid = g.role_oid and r.rolname = g.role_name
    where g.system_identifier <> v_cluster or r.oid is null
  ) then
    return;
  end if;
  lock table hubspot_private.role_grants in exclusive mode;
  -- A role that was dropped took its rights along: one made later by its name is another.
  delete from hubspot_private.role_grants g
  where not exists (
    select from pg_roles r
    where case when g.system_identifier = v_cluster then r.oid = g.role_oid else r.rolname = g.role_name end);
  update hubspot_private.role_grants g
  set role_oid = r.oid, role_name = r.rolname, system_identifier = v_cluster
  from pg_roles r
  where case when g.system_identifier = v_cluster then r.oid = g.role_oid else r.rolname = g.role_name end
    and (g.role_name, g.role_oid, g.system_identifier) is distinct from (r.rolname, r.oid, v_cluster);
end;
$$;
comment on function hubspot_private.grants_bind() is
  'Follows roles that were renamed, finds those of a restored database by name, and forgets those that were dropped.';

create or replace function hubspot_private.grants_missing(relation name default null)
returns setof text
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  with wanted (kind, privilege, target, acl) as (
    select 'read', 'USAGE', 'schema hubspot', n.nspacl
    from pg_namespace n where n.nspname = 'hubspot' and grants_missing.relation is null
    union all
    -- Partitions are read through their table; what others made here is theirs to grant.
    select 'read', 'SELECT', format('hubspot.%I', c.relname), c.relacl
    from pg_class c
    where c.relnamespace = 'hubspot'::regnamespace and c.relkind in ('r', 'p', 'v') and not c.relispartition
      and pg_has_role(c.relowner, 'usage') and coalesce(c.relname = grants_missing.relation, true)
    union all
    select 'write', p.privilege, format('hubspot.%I', c.relname), c.relacl
    from pg_class c
    cross join (values ('INSERT'), ('UPDATE'), ('DELETE')) p (privilege)
    where c.relnamespace = 'hubspot'::regnamespace and c.relkind in ('r', 'p') and pg_has_role(c.relowner, 'usage')
      and c.relname in (select o.table_name from hubspot_private.objects o union all select a.table_name from hubspot_private.pairs a)
      and hubspot_private.name_holder(c.relname) is null and coalesce(c.relname = grants_missing.relation, true)
    union all
    select hubspot_private.function_kind(p.oid), 'EXECUTE', format('routine %s', p.oid::regprocedure), p.proacl
    from pg_proc p
    where p.pronamespace = 'hubspot'::regnamespace and hubspot_private.function_kind(p.oid) <> 'owner' and grants_missing.relation is null
    union
    -- Functions that views call are checked against the reader; he cannot name them, having no usage of the schema.
    select 'read', 'EXECUTE', format('routine %s', p.oid::regprocedure), p.proacl
    from pg_rewrite r
    join pg_class c on c.oid = r.ev_class and c.relnamespace in ('hubspot'::regnamespace, 'hubspot_private'::regnamespace)
    join pg_depend d on d.classid = 'pg_rewrite'::regclass and d.objid = r.oid and d.refclassid = 'pg_proc'::regclass
    join pg_proc p on p.oid = d.refobjid and p.pronamespace = 'hubspot_private'::regnamespace
    where grants_missing.relation is null
  )
  select format('grant %s on %s to %I', string_agg(distinct w.privilege, ', '), w.target, g.role_name)
  from hubspot_private.role_grants g
  join wanted w on w.kind in (g.kind, 'read')
  -- Told from what a role has through others, which may be taken from it.
  where not exists (select from aclexplode(w.acl) a where a.grantee = g.role_oid and a.privilege_type = w.privilege)
  group by w.target, g.role_name
  order by w.target, g.role_name;
$$;
comment on function hubspot_private.grants_missing(name) is 'The statements that give granted roles what they lack, on one relation or on all.';

create or replace function hubspot_private.acl_change(statement text)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  for v_try in 1..20 loop
    begin
      execute statement;
      return;
    exception when internal_error then
      -- Before 18 grant and revoke do not wait for whoever changes the table just then: "tuple concurrently updated".
      if v_try = 20 then
        raise;
      end if;
      perform pg_sleep(0.05);
    end;
  end loop;
end;
$$;
comment on function hubspot_private.acl_change(text) is 'Grants or revokes, again where a table is being changed meanwhile.';

create or replace function hubspot_private.grants_apply(relation name default null)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_statement text;
begin
  perform hubspot_private.grants_bind();
  -- Whoever grants or revokes meanwhile is waited for, and waits: else a table made just then would be missed.
  lock table hubspot_private.role_grants in row share mode;
  for v_statement in select m from hubspot_private.grants_missing(relation) m loop
    perform hubspot_private.acl_change(v_statement);
  end loop;
end;
$$;
comment on function hubspot_private.grants_apply(name) is 'Gives the roles in hubspot_private.role_grants what they are granted, on one relation or on all.';

create or replace function hubspot_private.session_is_owners()
returns boolean
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  -- In definer functions current_user is the owner.
  select pg_has_role(session_user, current_user, 'member');
$$;
comment on function hubspot_private.session_is_owners() is
  'Whether who signed on may be the owner anyway. In another''s session code of the owner''s must not run: it may find that one''s temporary tables first, and what is deferred runs at the end of its transaction.';

create or replace function hubspot_private.session_require(relation regclass)
returns void
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
begin
  if not hubspot_private.session_is_owners() and (
    exists (select from pg_trigger t where t.tgrelid = relation and not t.tgisinternal)
    or exists (select from pg_constraint c where c.confrelid = relation and c.confdeltype in ('c', 'n', 'd') and c.contype = 'f')
    or exists (select from pg_rewrite r where r.ev_class = relation))
  then
    perform hubspot_private.fail('owner_needed', relation::text);
  end if;
end;
$$;
comment on function hubspot_private.session_require(regclass) is
  'SH119 in a session that is not the owner''s, where writing a table would have code of the owner''s run in it.';
