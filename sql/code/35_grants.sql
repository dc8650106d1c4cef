-- Grants are rows: a table made later gets them too. Nothing is granted to public. TRIGGER is never granted by these.
create or replace function hubspot_private.grants_apply(relation name default null)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_role name;
  v_relation name;
begin
  delete from hubspot_private.grants g where not exists (select from pg_roles r where r.rolname = g.role_name);
  for v_role in
    select g.role_name from hubspot_private.grants g where g.kind = 'read' order by 1
  loop
    for v_relation in
      select c.relname from pg_class c
      where c.relnamespace = 'hubspot'::regnamespace and c.relkind in ('r', 'p', 'v') and coalesce(c.relname = relation, true)
        -- Told from what a role has through others, which may be taken from it.
        and not exists (
          select from aclexplode(c.relacl) a
          join pg_roles r on r.oid = a.grantee
          where r.rolname = v_role and a.privilege_type = 'SELECT')
      order by 1
    loop
      execute format('grant select on hubspot.%I to %I', v_relation, v_role);
    end loop;
    continue when relation is not null;
    execute format('grant usage on schema hubspot to %I', v_role);
    -- The definer functions that views call are checked against the reader; he cannot name them, having no usage of the schema.
    execute format('grant execute on function hubspot_private.clock(), hubspot_private.account_day(timestamptz),
      hubspot_private.schedule_every(text, text), hubspot_private.column_type_for(text, text),
      hubspot_private.quota_spread(hubspot_private.budgets), hubspot_private.stream_is_held(hubspot_private.streams), hubspot.health() to %I', v_role);
  end loop;
end;
$$;
comment on function hubspot_private.grants_apply(name) is 'Gives the roles in hubspot_private.grants what they are granted, on one relation or on all.';

create or replace function hubspot.grant_read(role_name name)
returns void
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
begin
  if role_name is null or not exists (select from pg_roles r where r.rolname = role_name) then
    perform hubspot_private.fail('role_unknown', coalesce(role_name::text, 'null'), quote_ident(coalesce(role_name::text, 'reader')));
  end if;
  insert into hubspot_private.grants (role_name, kind) values (role_name, 'read') on conflict do nothing;
  perform hubspot_private.grants_apply();
end;
$$;
comment on function hubspot.grant_read(name) is
  'Lets a role read the mirror and the status views, tables made later too. It may change nothing. SH106.';
