-- Not breaking. Grants know their role by its oid, so that they follow it when it is renamed, and by its name where oids mean
-- nothing: in another cluster. Two more kinds of them.
create table hubspot_private.role_grants (
  role_name name not null,
  role_oid oid not null,
  system_identifier bigint not null,
  kind text not null check (kind in ('read', 'write', 'control')),
  primary key (system_identifier, role_oid, kind)
);
insert into hubspot_private.role_grants (role_name, role_oid, system_identifier, kind)
select g.role_name, r.oid, c.system_identifier, g.kind
from hubspot_private.grants g
join pg_roles r on r.rolname = g.role_name
cross join pg_control_system() c;
-- Nobody but the owner ever saw it.
-- squawk-ignore ban-drop-table
drop table hubspot_private.grants;
comment on table hubspot_private.role_grants is 'What was granted to whom, so that tables made later get it too.';
comment on column hubspot_private.role_grants.role_name is 'Its name when it was last looked at.';
comment on column hubspot_private.role_grants.system_identifier is 'The cluster that role_oid is of.';
