-- Cron: the next time that five fields match, in a time zone.
create or replace function hubspot_private.cron_field(cron text, field text, kind text, low integer, high integer, names text[])
returns integer[]
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_part text;
  v_match text[];
  v_from integer;
  v_to integer;
  v_step integer;
  v_values integer[] := '{}';
begin
  foreach v_part in array string_to_array(lower(field), ',') loop
    v_match := regexp_match(v_part, '^(?:(\*)|([0-9]{1,2}|[a-z]{3})(?:-([0-9]{1,2}|[a-z]{3}))?)(?:/([0-9]{1,2}))?$');
    -- A name that is none leaves null.
    v_from := case
      when v_match[1] is not null then low
      when v_match[2] ~ '^[0-9]' then v_match[2]::integer
      else array_position(names, v_match[2]) - 1 + low
    end;
    v_to := case
      when v_match[3] ~ '^[0-9]' then v_match[3]::integer
      when v_match[3] is not null then array_position(names, v_match[3]) - 1 + low
      -- 5/10 is from 5 on, every 10.
      when v_match[1] is not null or v_match[4] is not null then high
      else v_from
    end;
    -- fri-sun ends with the week.
    if kind = 'weekday' and v_to = 0 and v_from > 0 then
      v_to := 7;
    end if;
    v_step := coalesce(v_match[4]::integer, 1);
    if v_match is null or v_from is null or v_to is null or v_step = 0 or v_from > v_to
      or v_from < low or v_to > high
    then
      perform hubspot_private.fail('argument_invalid',
        format('cron %L: %L is no %s', cron, v_part, kind),
        format('Write %s to %s%s, lists (1,2), ranges (1-5), steps (*/5), or *.', low, high,
          case when names is null then '' else format(', %s to %s', names[1], names[cardinality(names)]) end));
    end if;
    v_values := v_values || array(select generate_series(v_from, v_to, v_step));
  end loop;
  -- Sunday is 0 and 7.
  return array(
    select distinct case when kind = 'weekday' then v.value % 7 else v.value end from unnest(v_values) v (value) order by 1);
end;
$$;
comment on function hubspot_private.cron_field(text, text, text, integer, integer, text[]) is
  'The values, in order, that one field of a cron expression names; names stand for low, low + 1, …. SH104 when it is wrong.';
revoke all on function hubspot_private.cron_field(text, text, text, integer, integer, text[]) from public;

create or replace function hubspot_private.cron_fields(cron text)
returns text[]
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
  select string_to_array(
    case lower(btrim(cron_fields.cron, E' \t\n'))
      when '@hourly' then '0 * * * *'
      when '@daily' then '0 0 * * *'
      when '@midnight' then '0 0 * * *'
      when '@weekly' then '0 0 * * 0'
      when '@monthly' then '0 0 1 * *'
      when '@yearly' then '0 0 1 1 *'
      when '@annually' then '0 0 1 1 *'
      else regexp_replace(btrim(cron_fields.cron, E' \t\n'), '\s+', ' ', 'g')
    end, ' ');
$$;
comment on function hubspot_private.cron_fields(text) is 'The fields of a cron expression; @daily and the like are five too.';

create or replace function hubspot_private.cron_every(cron text)
returns interval
language plpgsql
immutable
strict
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_fields constant text[] := hubspot_private.cron_fields(cron);
  v_times constant double precision := cardinality(hubspot_private.cron_field(cron, v_fields[1], 'minute', 0, 59, null))
    * cardinality(hubspot_private.cron_field(cron, v_fields[2], 'hour', 0, 23, null));
  v_months constant double precision := cardinality(hubspot_private.cron_field(
    cron, v_fields[4], 'month', 1, 12, '{jan,feb,mar,apr,may,jun,jul,aug,sep,oct,nov,dec}')) / 12.0;
  v_days constant double precision := cardinality(hubspot_private.cron_field(cron, v_fields[3], 'day of a month', 1, 31, null)) / 31.0;
  v_weekdays constant double precision := cardinality(hubspot_private.cron_field(
    cron, v_fields[5], 'weekday', 0, 7, '{sun,mon,tue,wed,thu,fri,sat}')) / 7.0;
begin
  return make_interval(secs => 86400 / (v_times * v_months * case
    when v_fields[3] not like '*%' and v_fields[5] not like '*%' then v_days + v_weekdays - v_days * v_weekdays
    else v_days * v_weekdays
  end));
end;
$$;
comment on function hubspot_private.cron_every(text) is 'How long it is from one time of a cron expression to the next in the mean of a year, about.';

create or replace function hubspot_private.local_instant(local timestamp, timezone text)
returns timestamptz
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
  -- Postgres takes a time in a gap by the offset before it, one that comes twice as the second.
  v_at timestamptz := local at time zone timezone;
  v_gap interval := (v_at at time zone timezone) - local;
  v_low timestamptz;
  v_middle timestamptz;
  v_before timestamptz;
begin
  if v_gap = interval '0' then
    -- The offset of a day before tells whether it came before.
    v_before := (local - ((v_at - interval '24 hours') at time zone timezone - (v_at - interval '24 hours') at time zone 'UTC'))
      at time zone 'UTC';
    return case when v_before at time zone timezone = local then least(v_before, v_at) else v_at end;
  end if;
  -- The clocks change within one gap's length before v_at; half by half.
  v_low := v_at - v_gap;
  while v_at - v_low > interval '1 second' loop
    v_middle := v_low + date_trunc('second', (v_at - v_low) / 2);
    if v_middle at time zone timezone - v_middle at time zone 'UTC' = v_at at time zone timezone - v_at at time zone 'UTC' then
      v_at := v_middle;
    else
      v_low := v_middle;
    end if;
  end loop;
  return v_at;
end;
$$;
comment on function hubspot_private.local_instant(timestamp, text) is
  'When a local time comes: the first time if it comes twice, the end of the gap if clocks skip it.';
revoke all on function hubspot_private.local_instant(timestamp, text) from public;

create or replace function hubspot_private.zone_offset(at timestamptz, timezone text)
returns interval
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select zone_offset.at at time zone zone_offset.timezone - zone_offset.at at time zone 'UTC';
$$;
comment on function hubspot_private.zone_offset(timestamptz, text) is 'How far a time zone''s clocks are ahead of UTC.';
revoke all on function hubspot_private.zone_offset(timestamptz, text) from public;

create or replace function hubspot_private.timezone_check(timezone text)
returns void
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
begin
  -- pg_timezone_names reads the disk for 50 ms, a conversion does not; but that takes 'Berlin7' for an offset of seven hours.
  if timezone !~ '[0-9]' or timezone ~* '^(etc/gmt[+-]?|gmt[+-]?)[0-9]{1,2}$|^(est5edt|cst6cdt|mst7mdt|pst8pdt)$' then
    perform now() at time zone timezone;
    return;
  end if;
  raise invalid_parameter_value;
exception when invalid_parameter_value then
  perform hubspot_private.fail('argument_invalid', format('there is no time zone %s', timezone),
    'Give a name such as ''Europe/Berlin''; select name from pg_timezone_names lists them.');
end;
$$;
comment on function hubspot_private.timezone_check(text) is 'SH104 when a time zone does not exist.';
revoke all on function hubspot_private.timezone_check(text) from public;

create or replace function hubspot_private.cron_next(cron text, timezone text, after timestamptz)
returns timestamptz
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_fields constant text[] := hubspot_private.cron_fields(cron);
  v_minutes integer[];
  v_hours integer[];
  v_days integer[];
  v_months integer[];
  v_weekdays integer[];
  -- Where both days are restricted, either will do.
  v_either boolean;
  v_in_month boolean;
  v_in_week boolean;
  v_from timestamp;
  v_day date;
  v_local timestamp;
  v_time timestamptz;
  v_hour integer;
  v_minute integer;
begin
  if cron is null or cardinality(v_fields) <> 5 then
    perform hubspot_private.fail('argument_invalid', format('that is no cron expression: %s', coalesce(cron, 'null')),
      'Give five fields, minute hour day month weekday, such as ''0 3 * * sun''; for an interval write every => ''1 hour''.');
  end if;
  if timezone is null or after is null or not isfinite(after) then
    perform hubspot_private.fail('argument_invalid', 'a cron expression needs a time zone and a time', 'Give timezone => ''UTC''.');
  end if;
  perform hubspot_private.timezone_check(timezone);
  v_minutes := hubspot_private.cron_field(cron, v_fields[1], 'minute', 0, 59, null);
  v_hours := hubspot_private.cron_field(cron, v_fields[2], 'hour', 0, 23, null);
  v_days := hubspot_private.cron_field(cron, v_fields[3], 'day of a month', 1, 31, null);
  v_months := hubspot_private.cron_field(
    cron, v_fields[4], 'month', 1, 12, '{jan,feb,mar,apr,may,jun,jul,aug,sep,oct,nov,dec}');
  v_weekdays := hubspot_private.cron_field(cron, v_fields[5], 'weekday', 0, 7, '{sun,mon,tue,wed,thu,fri,sat}');
  v_either := v_fields[3] not like '*%' and v_fields[5] not like '*%';

  if v_fields[2] like '*%' and hubspot_private.zone_offset(after - interval '3 hours', timezone) > hubspot_private.zone_offset(after + interval '3 hours', timezone) then
    -- Clocks go back hereabouts: what runs around the clock goes on through both comings of the hour.
    select min(m.at) into v_time
    from generate_series(date_trunc('minute', after) + interval '1 minute', after + interval '6 hours', interval '1 minute') m (at)
    cross join lateral (select m.at at time zone timezone as local) l
    cross join lateral (
      select extract(day from l.local)::integer = any (v_days) as in_month, extract(dow from l.local)::integer = any (v_weekdays) as in_week
    ) d
    where extract(minute from l.local)::integer = any (v_minutes) and extract(hour from l.local)::integer = any (v_hours)
      and extract(month from l.local)::integer = any (v_months)
      and (d.in_month and d.in_week or v_either and (d.in_month or d.in_week));
    if v_time is not null then
      return v_time;
    end if;
  end if;
  v_from := date_trunc('minute', after at time zone timezone) + interval '1 minute';
  v_day := v_from::date;
  -- A given weekday is 29 February within 40 years; what has not come by then never comes.
  while v_day < v_from::date + 41 * 366 loop
    if extract(month from v_day)::integer <> all (v_months) then
      v_day := (date_trunc('month', v_day::timestamp) + interval '1 month')::date;
      continue;
    end if;
    v_in_month := extract(day from v_day)::integer = any (v_days);
    v_in_week := extract(dow from v_day)::integer = any (v_weekdays);
    if v_in_month and v_in_week or v_either and (v_in_month or v_in_week) then
      foreach v_hour in array v_hours loop
        -- Only the first day has hours that are over.
        continue when v_day + make_interval(hours => v_hour + 1) <= v_from;
        foreach v_minute in array v_minutes loop
          v_local := v_day + make_interval(hours => v_hour, mins => v_minute);
          continue when v_local < v_from;
          v_time := hubspot_private.local_instant(v_local, timezone);
          -- Between the first and the second coming of an hour its local times are over.
          if v_time > after then
            return v_time;
          end if;
        end loop;
      end loop;
    end if;
    v_day := v_day + 1;
  end loop;
  perform hubspot_private.fail('argument_invalid', format('cron %L never matches', cron), 'No year has such a day.');
end;
$$;
comment on function hubspot_private.cron_next(text, text, timestamptz) is
  'The first time after a time that a five-field cron expression (names, lists, ranges, steps, @daily …) matches in a time zone. A local time that comes twice counts once, but where the hour is * or */n each time; one that clocks skip counts at the end of the gap. SH104 when it is wrong or never matches.';
revoke all on function hubspot_private.cron_next(text, text, timestamptz) from public;
