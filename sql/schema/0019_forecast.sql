-- Not breaking. What cannot fit into the budgets is stretched; how far is kept here, and acted on when a stream's next time is set.
create table hubspot_private.paces (
  object text not null,
  stream text not null,
  every interval not null,
  stretched_every interval not null check (stretched_every >= every),
  calls double precision not null check (calls > 0),
  limited_by text,
  primary key (object, stream)
);
comment on table hubspot_private.paces is
  'How often each stream runs so that all of them fit into the budgets: made anew by each sweep and change of a schedule.';
comment on column hubspot_private.paces.every is 'The interval it was made for: of another one it says nothing.';
comment on column hubspot_private.paces.calls is
  'Calls that a run of it makes, all its ranges together: kept here too, since quiet runs are forgotten within the hour.';

comment on column hubspot_private.paces.limited_by is 'The budget that is too short for it; null: it is not stretched.';

create type hubspot_private.demand as (
  object text, stream text, budget text, every double precision, calls double precision,
  bend double precision, rest double precision, most double precision, level double precision
);
comment on type hubspot_private.demand is
  'What a stream asks of the budgets: calls each so many seconds. Stretched to a level it runs each every × level ^ bend, at most every "most" and never sooner than "rest"; level: what it is stretched to already.';

drop function if exists hubspot_private.step_finish(hubspot_private.streams, hubspot_private.step, integer, bigint[], jsonb);
drop function if exists hubspot_private.stream_claim(text, text, integer, text);
