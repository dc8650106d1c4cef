-- Not breaking. Clocks that jump are known by what was seen last, and what users set or ask for lies where no worker waits for it.
create table hubspot_private.clocks (
  is_only boolean primary key default true check (is_only),
  seen_at timestamptz not null default '-infinity',
  told_at timestamptz,
  other_ahead interval,
  other_since timestamptz,
  other_count integer not null default 0
);
insert into hubspot_private.clocks default values;
comment on table hubspot_private.clocks is
  'One row: what was last known of the time. Written by workers alone, and never waited for.';
comment on column hubspot_private.clocks.seen_at is
  'Our clock when a worker last beat: it outlives the workers, so that a clock that was set back while none ran is noticed.';
comment on column hubspot_private.clocks.told_at is 'HubSpot''s time as its answers last told it, a few seconds old at most while they come.';
comment on column hubspot_private.clocks.other_ahead is
  'How far ahead of ours the last answers say HubSpot''s clock is, where that is not what account.hubspot_ahead says; null: they agree.';
comment on column hubspot_private.clocks.other_since is 'Since when they say so, all alike, and how many did: believed after half a minute.';

create table hubspot_private.quota_choices (
  budget text primary key check (budget in ('burst', 'search', 'daily')),
  max_requests integer check (max_requests > 0),
  share numeric not null default 1 check (share > 0 and share <= 1),
  number bigint not null default 0
);
insert into hubspot_private.quota_choices (budget, max_requests, share)
select b.name, b.chosen_max, b.share from hubspot_private.budgets b;
comment on table hubspot_private.quota_choices is
  'What someone set of the budgets. Who takes a turn only reads it, and acts on it in budgets: so nobody waits for a transaction that is left open.';
comment on column hubspot_private.quota_choices.max_requests is 'Null: learned from HubSpot.';
comment on column hubspot_private.quota_choices.number is 'Counts changes.';

alter table hubspot_private.budgets add column choice bigint not null default 0;
comment on column hubspot_private.budgets.choice is 'The number of the last choice that was acted on.';

create table hubspot_private.pauses (
  is_only boolean primary key default true check (is_only),
  is_paused boolean not null default false
);
insert into hubspot_private.pauses (is_paused) select a.is_paused from hubspot_private.account a;
comment on table hubspot_private.pauses is
  'One row: whether someone paused all reading. Apart from the account, whose row workers write.';
comment on column hubspot_private.account.is_paused is 'As it was before hubspot_private.pauses.';

create table hubspot_private.fetch_asks (
  id bigint generated always as identity primary key,
  object_number integer not null,
  ids bigint[] not null
);
create index fetch_asks_object_idx on hubspot_private.fetch_asks (object_number);
comment on table hubspot_private.fetch_asks is
  'Ids that someone asked to have read again. The fetch queue has one row for each id, for which a worker would wait while who asked has not committed: here nobody waits, and the fetch stream moves them there.';

drop function if exists hubspot_private.stream_call(text, text, integer);
