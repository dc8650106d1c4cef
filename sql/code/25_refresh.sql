-- Renewing an OAuth access token: one worker claims it, calls HubSpot with no transaction open, and stores both tokens at once.
--   due → held (claim) → fresh (store), or waiting (fail: a moment, or 15 minutes where HubSpot refused) → held …
-- A worker that dies holding it is found by the sweep, or its lease ends; the next one asks again with the token that is stored. What
-- an overtaken one brings is stored all the same: HubSpot gave it, and may have ended the one before.
create or replace function hubspot_private.refresh_claim(
  credential_id bigint, renewed bigint, holder text, is_early boolean default false,
  out outcome text, out epoch bigint, out client_id text, out client_secret text, out refresh_token text,
  out former_refresh_token text, out code text, out retry_in_ms double precision
)
returns record
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set lock_timeout = '2s'
as $$
#variable_conflict use_column
declare
  v_oauth hubspot_private.oauth;
  v_token record;
  v_now timestamptz;
begin
  perform hubspot_private.home_require();
  select o.* into v_oauth from hubspot_private.oauth o where o.credential_id = refresh_claim.credential_id for update;
  v_now := hubspot_private.clock();
  outcome := case
    when v_oauth.credential_id is null or v_oauth.renewed <> refresh_claim.renewed then 'renewed'
    when v_oauth.is_borrowed then 'borrowed'
    when v_oauth.lease_until > v_now then 'held'
    when v_oauth.retry_at > v_now then 'waits'
    -- Refused again and again right after it was renewed for that: the token is not what is wrong.
    when refresh_claim.is_early and v_oauth.early_at > v_now + interval '1 minute' then 'early'
    else 'claimed'
  end;
  if outcome = 'waits' then
    code := v_oauth.failure_code;
    retry_in_ms := extract(epoch from v_oauth.retry_at - v_now) * 1000;
    if code is not null and v_oauth.expires_at <= v_now then
      -- Parked: no call can succeed until HubSpot takes the refresh token, or another is given.
      update hubspot_private.account a set is_connected = false
      where a.is_connected and exists (select from hubspot_private.credentials c where c.id = v_oauth.credential_id and c.state = 'active');
    end if;
  elsif outcome = 'claimed' then
    update hubspot_private.oauth o
    set epoch = o.epoch + 1, holder = refresh_claim.holder, lease_until = v_now + interval '30 seconds',
      early_at = case when refresh_claim.is_early then greatest(o.early_at, v_now) + interval '30 seconds' else o.early_at end
    where o.credential_id = refresh_claim.credential_id
    returning o.epoch, o.client_id, o.client_secret, o.refresh_token, o.former_refresh_token
    into epoch, client_id, client_secret, refresh_token, former_refresh_token;
  end if;
end;
$$;
comment on function hubspot_private.refresh_claim(bigint, bigint, text, boolean) is
  'The right to renew a token that was renewed so often: claimed, with what it takes; renewed (by another), held, waits (with the code of HubSpot''s refusal), early (renewed for refusals time and again), borrowed (came with a copy).';

create or replace function hubspot_private.refresh_store(
  credential_id bigint, epoch bigint, access_token text, refresh_token text, is_former boolean,
  asked_at timestamptz, expires_in integer, scopes text[]
)
returns boolean
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_was hubspot_private.oauth;
  v_used text;
begin
  select o.* into v_was from hubspot_private.oauth o where o.credential_id = refresh_store.credential_id for update;
  if not found then
    return false;
  end if;
  -- Null: HubSpot gave back the one that was used.
  v_used := case when is_former then coalesce(v_was.former_refresh_token, v_was.refresh_token) else v_was.refresh_token end;
  update hubspot_private.oauth o
  set refresh_token = coalesce(refresh_store.refresh_token, v_used),
    former_refresh_token = case when refresh_store.refresh_token is not null then v_used when not is_former then o.former_refresh_token end,
    scopes = coalesce(refresh_store.scopes, o.scopes),
    issued_at = asked_at, expires_at = asked_at + make_interval(secs => expires_in), renewed = o.renewed + 1,
    failures = 0, retry_at = null, failure_code = null,
    holder = case when o.epoch <> refresh_store.epoch then o.holder end,
    lease_until = case when o.epoch <> refresh_store.epoch then o.lease_until end
  where o.credential_id = refresh_store.credential_id;
  update hubspot_private.credentials c set secret = access_token where c.id = refresh_store.credential_id;
  if exists (select from hubspot_private.credentials c where c.id = refresh_store.credential_id and c.state = 'active') then
    perform hubspot_private.problem_resolve('{SH011,SH012,SH013,SH203,SH206,SH207,SH208,SH226,SH227}', '*', null, 'token');
    if v_was.failure_code is not null then
      -- The account may be parked: it is checked, and goes on.
      perform hubspot_private.enqueue('hubspot:connect', '{}', 'connect');
    end if;
  end if;
  return true;
end;
$$;
comment on function hubspot_private.refresh_store(bigint, bigint, text, text, boolean, timestamptz, integer, text[]) is
  'Both tokens that HubSpot gave, at once; refresh_token null: the same as before. False: the credentials were replaced meanwhile.';

create or replace function hubspot_private.refresh_fail(
  credential_id bigint, epoch bigint, kind text, code text default null, message text default null, hint text default null
)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_oauth hubspot_private.oauth;
begin
  update hubspot_private.oauth o
  set holder = null, lease_until = null,
    failures = o.failures + (kind <> 'stopped')::integer,
    failure_code = case when kind = 'refused' then refresh_fail.code else o.failure_code end,
    -- Tried, and refused with the present one.
    former_refresh_token = case when kind <> 'refused' then o.former_refresh_token end,
    retry_at = case kind
      when 'refused' then hubspot_private.clock() + interval '15 minutes'
      when 'transient' then hubspot_private.clock() + make_interval(secs => least(power(2, least(o.failures, 6)), 60) * (0.5 + random() / 2))
    end
  where o.credential_id = refresh_fail.credential_id and o.epoch = refresh_fail.epoch
  returning o.* into v_oauth;
  -- A candidate's failure is its check's. A hiccup long before the token ends is none.
  if kind = 'stopped' or v_oauth.credential_id is null
    or not exists (select from hubspot_private.credentials c where c.id = v_oauth.credential_id and c.state = 'active')
    or kind = 'transient' and v_oauth.failures < 3 and v_oauth.expires_at > hubspot_private.clock()
  then
    return;
  end if;
  perform hubspot_private.problem_report(code, '*', left(message, 2000), hint, null, 'token');
  if kind = 'refused' and coalesce(v_oauth.expires_at <= hubspot_private.clock(), true) then
    update hubspot_private.account a set is_connected = false where a.is_connected;
  end if;
end;
$$;
comment on function hubspot_private.refresh_fail(bigint, bigint, text, text, text, text) is
  'A renewal failed (kind: refused: again in 15 minutes; transient: in a moment, a minute at most; stopped: nothing was sent).';

create or replace function hubspot_private.refresh_retry()
returns void
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  with retried as (
    update hubspot_private.oauth o set retry_at = null where o.retry_at is not null returning 1
  )
  select hubspot_private.enqueue('hubspot:connect', '{}') where exists (select from retried);
$$;
comment on function hubspot_private.refresh_retry() is 'Someone says the cause is mended: the token is renewed at once.';
