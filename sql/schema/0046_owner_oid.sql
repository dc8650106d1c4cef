-- Not breaking. Whose function is subscribed is known by the role's oid: one that is renamed takes its functions along, and one made
-- later by its name is another.
alter table hubspot_private.subscriptions add column function_owner_oid oid;
comment on column hubspot_private.subscriptions.function_owner_oid is
  'Whose function it was when it was subscribed, null where that one is not known here: another''s by its name is not called.';
comment on column hubspot_private.subscriptions.function_owner is
  'The name of function_owner_oid when it was last looked at, by which it is found on another server.';
update hubspot_private.subscriptions s
set function_owner_oid = (select r.oid from pg_roles r where r.rolname = s.function_owner)
where s.function_owner is not null;
drop function if exists hubspot_private.subscription_make(text, text, text, text, text[], text[], name);
