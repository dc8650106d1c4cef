-- The account: a token is a candidate until the worker has seen which portal it opens; a bad one never replaces a good one.
-- Its problems have the property token; those of a candidate that was turned down: new token.
create or replace function hubspot_private.token_healed()
returns void
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  update hubspot_private.problems p set resolved_at = hubspot_private.clock()
  where p.object is null and p.property in ('token', 'new token') and p.resolved_at is null
    -- An access token that is good until it ends does not mend a refresh token.
    and not exists (
      select from hubspot_private.oauth o
      join hubspot_private.credentials c on c.id = o.credential_id and c.state = 'active'
      where o.failure_code = p.code and p.property = 'token');
$$;
comment on function hubspot_private.token_healed() is 'Closes the open problems of the account''s tokens, but for a refusal to renew that stands.';

create or replace function hubspot_private.account_is_sure()
returns boolean
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select a.is_connected and hubspot_private.is_home() and not exists (
    select from hubspot_private.problems p
    where p.object is null and p.property = 'token' and p.resolved_at is null
      -- The next renewal tells, no check.
      and not exists (select from hubspot_private.oauth o where o.failure_code = p.code))
  from hubspot_private.account a;
$$;
comment on function hubspot_private.account_is_sure() is 'Whether a token is in use and nothing is known against it: else a worker checks it again.';

create or replace function hubspot_private.candidate_new(kind text, secret text)
returns bigint
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_id bigint;
begin
  delete from hubspot_private.credentials c where c.state = 'candidate';
  insert into hubspot_private.credentials (kind, secret, state, created_at)
  values (candidate_new.kind, candidate_new.secret, 'candidate', hubspot_private.clock())
  returning id into v_id;
  perform hubspot_private.token_healed();
  perform hubspot_private.enqueue('hubspot:connect', '{}');
  return v_id;
end;
$$;
comment on function hubspot_private.candidate_new(text, text) is 'A credential in place of the one that waits to be checked; a worker looks at it at once.';

create or replace function hubspot.connect(access_token text)
returns void
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  perform hubspot_private.secret_check('access token', access_token,
    'Copy it from HubSpot: Development, Keys. It begins with pat- as a rule and has no spaces.');
  perform hubspot_private.candidate_new('token', access_token);
end;
$$;
comment on function hubspot.connect(text) is
  'Connects a HubSpot account by a private-app token or service key. Returns at once; the worker checks the token, and hubspot.health() tells. A token that is refused, or of another account, never replaces the one in use. Statements end up in logs: pg-hubspot connect reads the token from standard input instead. SH104.';

create or replace function hubspot.connect(client_id text, client_secret text, refresh_token text)
returns void
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if client_id is null or client_id !~ '^[\x21-\x7e]{1,200}$' then
    perform hubspot_private.fail('argument_invalid', 'that is no client id', 'Copy it from the app''s Auth tab in HubSpot.');
  end if;
  perform hubspot_private.secret_check('client secret', client_secret, 'Copy it from the app''s Auth tab in HubSpot.');
  perform hubspot_private.secret_check('refresh token', refresh_token,
    'HubSpot gives it when the app is authorised; npx pg-hubspot connect --oauth does all of that.');
  insert into hubspot_private.oauth (credential_id, client_id, client_secret, refresh_token)
  values (hubspot_private.candidate_new('oauth', null), client_id, client_secret, refresh_token);
end;
$$;
comment on function hubspot.connect(text, text, text) is
  'Connects a HubSpot account by an OAuth app that was authorised for it. The worker asks for an access token, checks it, and renews it before it ends. Statements end up in logs: pg-hubspot connect --oauth has the app authorised and stores all of it. SH104.';

create or replace function hubspot.disconnect()
returns void
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  delete from hubspot_private.credentials;
  update hubspot_private.account a
  set is_connected = false,
    -- While tables hold its records the database stays that portal's.
    portal_id = case when exists (select from hubspot_private.objects o where o.column_set > 0) then a.portal_id end;
  perform hubspot_private.token_healed();
  perform hubspot_private.enqueue('hubspot:connect', '{}');
end;
$$;
comment on function hubspot.disconnect() is
  'Forgets the credentials. Tables and tracking stay; streams stand still until hubspot.connect(), or until a worker that has HUBSPOT_ACCESS_TOKEN in its environment has checked that, within seconds. To stop reading: hubspot.pause().';

create or replace function hubspot_private.account_confirm(details jsonb, credential_id bigint default null)
returns text
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set lock_timeout = '2s'
as $$
declare
  v_account hubspot_private.account;
  v_portal bigint := (details ->> 'portalId')::bigint;
  v_zone text := details ->> 'timeZone';
  v_is_candidate boolean := exists (
    select from hubspot_private.credentials c where c.id = account_confirm.credential_id and c.state = 'candidate');
begin
  select a.* into strict v_account from hubspot_private.account a for update;
  if v_portal is null then
    perform hubspot_private.fail('answer_unreadable', 'the account''s details name no portal');
  end if;
  if credential_id is not null and not exists (
    select from hubspot_private.credentials c where c.id = account_confirm.credential_id
  ) then
    return 'superseded';
  end if;
  if v_account.portal_id <> v_portal then
    perform hubspot_private.problem_report('SH204', '*',
      format('the token belongs to portal %s, this database mirrors portal %s', v_portal, v_account.portal_id),
      format('Use a token of portal %s, or another database for portal %s.', v_account.portal_id, v_portal), null,
      case when v_is_candidate then 'new token' else 'token' end);
    delete from hubspot_private.credentials c where c.id = account_confirm.credential_id and c.state = 'candidate';
    if credential_id is null or exists (select from hubspot_private.credentials c where c.id = account_confirm.credential_id) then
      update hubspot_private.account a set is_connected = false;
    end if;
    return 'portal_differs';
  end if;
  if credential_id is not null then
    delete from hubspot_private.credentials c where c.state = 'active' and c.id <> account_confirm.credential_id;
    update hubspot_private.credentials c set state = 'active', failures = 0, retry_at = null where c.id = account_confirm.credential_id;
  end if;
  update hubspot_private.account a
  set portal_id = v_portal, details = account_confirm.details, is_connected = true, checked_at = hubspot_private.clock(),
    time_zone = case when exists (select from pg_timezone_names z where z.name = v_zone) then v_zone else 'UTC' end;
  perform hubspot_private.token_healed();
  insert into hubspot_private.streams (object, stream, next_at) values ('*', 'schema', hubspot_private.clock())
  on conflict (object, stream, range) do nothing;
  -- A new token may be what the parked were waiting for.
  update hubspot_private.streams s set retry_at = null where s.retry_at is not null and s.lease_until is null;
  perform hubspot_private.stream_wake(s.object, s.stream, s.range)
  from (select t.* from hubspot_private.streams t order by t.object, t.stream, t.range) s
  where hubspot_private.stream_has_work(s, hubspot_private.clock());
  return 'connected';
end;
$$;
comment on function hubspot_private.account_confirm(jsonb, bigint) is
  'A token answered with these account details. connected: it is in use now (credential_id null: the environment''s); portal_differs: it is not; superseded: it was replaced meanwhile.';

create or replace function hubspot_private.credential_fail(
  credential_id bigint, is_refused boolean, code text, message text, hint text
)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_credential hubspot_private.credentials;
begin
  perform hubspot_private.problem_report(code, '*', message, hint, null, case when exists (
    select from hubspot_private.credentials c where c.id = credential_id and c.state = 'candidate') then 'new token' else 'token' end);
  if is_refused then
    delete from hubspot_private.credentials c where c.id = credential_id and c.state = 'candidate';
    return;
  end if;
  update hubspot_private.credentials c
  set failures = c.failures + 1,
    retry_at = hubspot_private.clock() + make_interval(secs => least(power(2, least(c.failures, 12)), 3600) * (0.5 + random() / 2))
  where c.id = credential_id and c.state = 'candidate'
  returning c.* into v_credential;
  if found then
    perform hubspot_private.enqueue('hubspot:connect', '{}', 'connect', v_credential.retry_at);
  end if;
end;
$$;
comment on function hubspot_private.credential_fail(bigint, boolean, text, text, text) is
  'A candidate could not be checked: refused, it goes; else it is tried again.';
