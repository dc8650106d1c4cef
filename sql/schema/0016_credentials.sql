-- Not breaking. Credentials of an OAuth app: an access token that ends, and what a new one is asked for with.
-- The table has two rows at most.
alter table hubspot_private.credentials drop constraint credentials_kind_check;
-- squawk-ignore constraint-missing-not-valid
alter table hubspot_private.credentials add constraint credentials_kind_check check (kind in ('token', 'oauth'));
-- squawk-ignore ban-drop-not-null
alter table hubspot_private.credentials alter column secret drop not null;
comment on column hubspot_private.credentials.secret is
  'The access token, sealed where a worker has PG_HUBSPOT_KEY. Null: of an OAuth app, and not asked for yet.';

create table hubspot_private.oauth (
  credential_id bigint primary key references hubspot_private.credentials on delete cascade,
  client_id text not null,
  client_secret text not null,
  refresh_token text not null,
  former_refresh_token text,
  scopes text[],
  issued_at timestamptz,
  expires_at timestamptz,
  renewed bigint not null default 0,
  epoch bigint not null default 0,
  holder text,
  lease_until timestamptz,
  failures integer not null default 0,
  retry_at timestamptz,
  early_at timestamptz,
  failure_code text references hubspot_private.errors on update cascade,
  is_borrowed boolean not null default false,
  check ((issued_at is null) = (expires_at is null))
);
comment on table hubspot_private.oauth is
  'What an OAuth app''s access token is renewed with. One worker at a time does, held by lease and epoch; both tokens are stored at once.';
comment on column hubspot_private.oauth.former_refresh_token is
  'The one before, where HubSpot gave another: tried once when it refuses the present one.';
comment on column hubspot_private.oauth.expires_at is 'When the access token ends, by our clock, counted from when it was asked for.';
comment on column hubspot_private.oauth.renewed is 'Counts access tokens: whoever saw one refused says which.';
comment on column hubspot_private.oauth.early_at is 'Renewals because HubSpot refused a token before its time: each moves this on by 30 s, and none is made while it is a minute ahead.';
comment on column hubspot_private.oauth.failure_code is 'How HubSpot refused the last renewal, while it stands.';
comment on column hubspot_private.oauth.is_borrowed is
  'It came with a copy of the database that was adopted to read only: the original goes on with it, so it is never renewed here.';
