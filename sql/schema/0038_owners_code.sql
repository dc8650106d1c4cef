-- What a role with control asks to be forgotten, a worker erases: in a session of that role's own, the owner's triggers would run with
-- the owner's rights and find its temporary tables first.
alter table hubspot_private.erasures add column is_certain boolean not null default false;
comment on column hubspot_private.erasures.is_certain is 'Asked for by hubspot.forget(): erased without another look at HubSpot.';

-- A function that is subscribed to is named; whoever may make one in its place, once it is gone, is not to run code in the worker.
alter table hubspot_private.subscriptions add column function_owner name;
comment on column hubspot_private.subscriptions.function_owner is 'Whose function it was when it was subscribed: another''s by its name is not called.';
update hubspot_private.subscriptions s
set function_owner = coalesce((
  select pg_get_userbyid(p.proowner)
  from pg_proc p
  join pg_namespace n on n.oid = p.pronamespace
  where format('%I.%I', n.nspname, p.proname) = s.function_name and p.pronargs > 0 and p.pronargs - p.pronargdefaults <= 1
  order by p.proowner = (select r.oid from pg_roles r where r.rolname = current_user) desc, p.oid
  limit 1), current_user)
where s.function_name is not null;
drop function if exists hubspot_private.subscription_make(text, text, text, text, text[], text[]);
