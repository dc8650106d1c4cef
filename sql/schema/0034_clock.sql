-- Not breaking. What a clock that was set back, a 429 of the day and a crash of one backend leave behind is known, and not waited for.
alter table hubspot_private.clocks
  add column set_back_at timestamptz,
  add column doubted_until timestamptz not null default '-infinity';
comment on column hubspot_private.clocks.set_back_at is 'When it was last noticed that our clock had been set back, by the clock as it was then.';
comment on column hubspot_private.clocks.doubted_until is
  'Set back by minutes at most: reads that seem to have been asked after set_back_at and before this may have been asked before.';

alter table hubspot_private.budgets
  add column refused_until timestamptz,
  add column is_tried boolean not null default false,
  add column life uuid;
comment on column hubspot_private.budgets.refused_until is
  'daily: HubSpot answered 429. Until then nothing is asked; then one request, and, where that is not refused, all. Null: not so, or over.';
comment on column hubspot_private.budgets.is_tried is 'That one request was given its turn.';
comment on column hubspot_private.budgets.life is 'The server''s life (server_life) in which turns were last given: in another one those given last may be forgotten.';

-- Recovery after a crash, of one backend too, empties it. A clean restart does not: that is known by the start time.
create unlogged table hubspot_private.server_life (
  is_only boolean primary key default true check (is_only),
  id uuid not null default gen_random_uuid()
);
insert into hubspot_private.server_life default values;
update hubspot_private.budgets b set life = l.id from hubspot_private.server_life l;
comment on table hubspot_private.server_life is
  'One row, made anew where a crash took it. Unlogged on purpose: what is committed and not yet on disk is lost with it. Read by quota_take() alone.';

drop function if exists hubspot_private.quota_throttled(text, double precision);

comment on column hubspot.audits.compared is
  'Records that HubSpot listed and that were compared: not those that another read wrote, or found gone, after this one was asked.';
