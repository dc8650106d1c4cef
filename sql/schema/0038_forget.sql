-- What a role with control asks to be forgotten, a worker erases: in a session of that role's own, the owner's triggers would run with
-- the owner's rights and find its temporary tables first.
alter table hubspot_private.erasures add column is_certain boolean not null default false;
comment on column hubspot_private.erasures.is_certain is 'Asked for by hubspot.forget(): erased without another look at HubSpot.';
