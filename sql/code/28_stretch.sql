-- How schedules are made to fit. One level stretches all that shares a short budget: a stream runs every "every × level ^ bend".
-- Settle bends most, since what it looks for has time; an object of which nothing new was found for an hour polls less often than
-- one that is busy. Nothing is stretched beyond a day (a full read four weeks): what finds deletions is not starved for polls.
create or replace function hubspot_private.stretch_level(demands hubspot_private.demand[], rate double precision)
returns double precision
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_most constant double precision := 1e8;
  v_low double precision := 1;
  v_high double precision := v_most;
  v_middle double precision := 1;
  v_used double precision;
begin
  -- Exact enough that what is left over of one budget is nothing in another that has a thousand times less.
  while v_high / v_low > 1 + 1e-10 loop
    select coalesce(sum(d.calls / greatest(d.rest, least(d.every * power(greatest(v_middle, d.level), d.bend), greatest(d.most, d.every)))), 0)
    into v_used from unnest(demands) d;
    if v_used <= rate then
      v_high := v_middle;
    else
      v_low := v_middle;
    end if;
    v_middle := sqrt(v_low * v_high);
  end loop;
  return v_high;
end;
$$;
comment on function hubspot_private.stretch_level(hubspot_private.demand[], double precision) is
  'The lowest level from 1 on at which these ask for no more calls a second than there are; 100 million where none is.';

create or replace function hubspot_private.stretch_solve(
  demands hubspot_private.demand[], search double precision, burst double precision, daily double precision
)
returns table (object text, stream text, stretched_every double precision, limited_by text)
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_demands hubspot_private.demand[];
  v_search double precision;
  v_burst double precision;
  v_daily double precision;
begin
  v_search := hubspot_private.stretch_level(array(select d from unnest(demands) d where d.budget = 'search'), stretch_solve.search);
  v_burst := hubspot_private.stretch_level(array(select d from unnest(demands) d where d.budget = 'burst'), stretch_solve.burst);
  -- The day is short of calls of both kinds: what one of them is short of already, it is not asked for.
  v_demands := array(
    select row(d.object, d.stream, d.budget, d.every, d.calls, d.bend, d.rest, d.most,
      case d.budget when 'search' then v_search else v_burst end)::hubspot_private.demand
    from unnest(demands) d);
  v_daily := hubspot_private.stretch_level(v_demands, stretch_solve.daily);
  return query
  select d.object, d.stream, s.at,
    case
      when s.at <= greatest(d.every, d.rest) then null
      when v_daily > d.level then 'daily'
      else d.budget
    end
  from unnest(v_demands) d
  cross join lateral (
    select greatest(d.rest, least(d.every * power(greatest(v_daily, d.level), d.bend), greatest(d.most, d.every))) as at
  ) s;
end;
$$;
comment on function hubspot_private.stretch_solve(hubspot_private.demand[], double precision, double precision, double precision) is
  'How often each stream runs so that all of them fit, in seconds, and which budget is short; search, burst and daily: calls a second that there are.';
