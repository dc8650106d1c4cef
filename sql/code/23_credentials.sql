-- Credentials: a candidate until the worker has seen which portal it opens, then in use. What is secret is text, sealed or not: a sealed
-- one begins with its form (src/lib/seal.ts), and the database holds no key to it.
create or replace function hubspot_private.is_sealed(secret text)
returns boolean
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
  select is_sealed.secret like 'sealed:1:%';
$$;
comment on function hubspot_private.is_sealed(text) is 'Whether a secret is of no use to whoever reads it here.';

create or replace function hubspot_private.secret_check(what text, secret text, hint text)
returns void
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
begin
  if secret_check.secret is null or secret_check.secret !~ '^[\x21-\x7e]+$' or length(secret_check.secret) not between 8 and 8192 then
    -- Whatever it is, it is not repeated.
    perform hubspot_private.fail('argument_invalid', format('that is no %s', secret_check.what), secret_check.hint);
  end if;
end;
$$;
comment on function hubspot_private.secret_check(text, text, text) is 'SH104 for what cannot be a secret of HubSpot''s.';

create or replace function hubspot_private.credential_secrets()
returns table (credential_id bigint, purpose text, secret text)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select c.id, s.purpose, s.secret
  from hubspot_private.credentials c
  left join hubspot_private.oauth o on o.credential_id = c.id
  cross join lateral (values
    ('access_token', c.secret), ('client_secret', o.client_secret),
    ('refresh_token', o.refresh_token), ('former_refresh_token', o.former_refresh_token)
  ) s (purpose, secret)
  where s.secret is not null;
$$;
comment on function hubspot_private.credential_secrets() is 'Every secret that is stored, and what it is for.';

create or replace function hubspot_private.credential_seal(credential_id bigint, purpose text, digest bytea, sealed text)
returns boolean
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
begin
  -- Only what was read: it may have been renewed or sealed meanwhile.
  if purpose = 'access_token' then
    update hubspot_private.credentials c set secret = sealed
    where c.id = credential_id and sha256(convert_to(c.secret, 'UTF8')) = digest;
  else
    update hubspot_private.oauth o
    set client_secret = case when purpose = 'client_secret' then sealed else o.client_secret end,
      refresh_token = case when purpose = 'refresh_token' then sealed else o.refresh_token end,
      former_refresh_token = case when purpose = 'former_refresh_token' then sealed else o.former_refresh_token end
    where o.credential_id = credential_id and digest = sha256(convert_to(case purpose
      when 'client_secret' then o.client_secret when 'refresh_token' then o.refresh_token
      when 'former_refresh_token' then o.former_refresh_token end, 'UTF8'));
  end if;
  return found;
end;
$$;
comment on function hubspot_private.credential_seal(bigint, text, bytea, text) is
  'Puts a sealed secret in place of the readable one with this SHA-256.';

create or replace function hubspot_private.token_get(is_candidate boolean)
returns table (id bigint, kind text, secret text, renewed bigint, is_due boolean, is_expired boolean, due_in_ms double precision)
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  -- Due five minutes before its end, or in the last fifth of a short life; over a moment before, so that no call meets the end.
  select c.id, c.kind, c.secret, coalesce(o.renewed, 0),
    o.credential_id is not null and coalesce(n.at >= o.expires_at - least(interval '5 minutes', l.life / 5), true),
    o.credential_id is not null and coalesce(n.at >= o.expires_at - least(interval '5 seconds', l.life / 10), true),
    1000 * extract(epoch from o.expires_at - least(interval '5 minutes', l.life / 5) - n.at)
  from hubspot_private.credentials c
  left join hubspot_private.oauth o on o.credential_id = c.id
  cross join (select hubspot_private.clock() as at) n
  cross join lateral (select o.expires_at - o.issued_at as life) l
  where c.state = case when token_get.is_candidate then 'candidate' else 'active' end and hubspot_private.is_home();
$$;
comment on function hubspot_private.token_get(boolean) is
  'The token to check, or the token in use: how often it was renewed, whether it is time to renew it, and whether it has ended. None in a copy.';
