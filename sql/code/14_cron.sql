-- Cron: the next time that five fields match, in a time zone.
create or replace function hubspot_private.cron_field(field text, low integer, high integer, names text[])
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
  if field is null then
    return null;
  end if;
  foreach v_part in array string_to_array(lower(field), ',') loop
    v_match := regexp_match(v_part, '^(?:(\*)|([0-9]{1,2}|[a-z]{3})(?:-([0-9]{1,2}|[a-z]{3}))?)(?:/([0-9]{1,2}))?$');
    if v_match is null then
      return null;
    end if;
    v_step := coalesce(v_match[4]::integer, 1);
    v_from := case when v_match[1] is not null then low else coalesce(array_position(names, v_match[2]) - 1 + low,
      case when v_match[2] ~ '^[0-9]+$' then v_match[2]::integer end) end;
    v_to := case
      when v_match[1] is not null then high
      when v_match[3] is not null then coalesce(array_position(names, v_match[3]) - 1 + low,
        case when v_match[3] ~ '^[0-9]+$' then v_match[3]::integer end)
      -- 5/10 is from 5 on, every 10.
      when v_match[4] is not null then high
      else v_from
    end;
    if v_step < 1 or v_from is null or v_to is null or v_from < low or v_to > high or v_from > v_to then
      return null;
    end if;
    v_values := v_values || array(select generate_series(v_from, v_to, v_step));
  end loop;
  return v_values;
end;
$$;
comment on function hubspot_private.cron_field(text, integer, integer, text[]) is
  'The values that a field of a cron expression names, null when it is wrong. names stand for low, low + 1, ….';

create or replace function hubspot_private.cron_next(cron text, timezone text, after timestamptz)
returns timestamptz
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_cron text := case lower(btrim(cron))
    when '@hourly' then '0 * * * *' when '@daily' then '0 0 * * *' when '@midnight' then '0 0 * * *'
    when '@weekly' then '0 0 * * sun' when '@monthly' then '0 0 1 * *' when '@yearly' then '0 0 1 1 *'
    else btrim(cron) end;
  v_fields text[] := regexp_split_to_array(v_cron, '\s+');
  v_minutes integer[];
  v_hours integer[];
  v_days integer[];
  v_months integer[];
  v_weekdays integer[];
  v_day date;
  v_local timestamp;
  v_time timestamptz;
  v_best timestamptz;
begin
  begin
    v_day := (after at time zone timezone)::date;
  exception when invalid_parameter_value then
    v_day := null;
  end;
  if v_day is null then
    perform hubspot_private.fail('argument_invalid', format('there is no time zone %s', coalesce(timezone, 'null')),
      'Give a name such as ''Europe/Berlin''; select name from pg_timezone_names lists them.');
  end if;
  v_minutes := hubspot_private.cron_field(v_fields[1], 0, 59, null);
  v_hours := hubspot_private.cron_field(v_fields[2], 0, 23, null);
  v_days := hubspot_private.cron_field(v_fields[3], 1, 31, null);
  v_months := hubspot_private.cron_field(v_fields[4], 1, 12, '{jan,feb,mar,apr,may,jun,jul,aug,sep,oct,nov,dec}');
  v_weekdays := hubspot_private.cron_field(v_fields[5], 0, 7, '{sun,mon,tue,wed,thu,fri,sat}');
  if cardinality(v_fields) is distinct from 5 or v_minutes is null or v_hours is null or v_days is null or v_months is null
    or v_weekdays is null
  then
    perform hubspot_private.fail('argument_invalid', format('that is no cron expression: %s', coalesce(cron, 'null')),
      'Give five fields, minute hour day month weekday, such as ''0 3 * * sun''; for an interval write every => ''1 hour''.');
  end if;
  if 7 = any (v_weekdays) then
    v_weekdays := v_weekdays || 0;
  end if;
  -- 29 February of a leap year that falls on a weekday comes within 40 years; what does not, never comes.
  for i in 0..14700 loop
    if extract(month from v_day)::integer = any (v_months) and (case
      -- Where both days are restricted, either will do.
      when v_fields[3] not like '*%' and v_fields[5] not like '*%' then
        extract(day from v_day)::integer = any (v_days) or extract(dow from v_day)::integer = any (v_weekdays)
      else extract(day from v_day)::integer = any (v_days) and extract(dow from v_day)::integer = any (v_weekdays)
    end) then
      for v_local in
        select v_day + make_time(h, m, 0) from unnest(v_hours) h, unnest(v_minutes) m order by 1
      loop
        -- A local time that does not exist is moved behind the gap by Postgres; one that occurs twice is its later one, once.
        v_time := v_local at time zone timezone;
        if v_time > after and (v_best is null or v_time < v_best) then
          v_best := v_time;
        end if;
        -- Later local times are later times too, but for an hour around a change of clocks.
        exit when v_best is not null and v_time > v_best + interval '3 hours';
      end loop;
      if v_best is not null then
        return v_best;
      end if;
    end if;
    v_day := v_day + 1;
  end loop;
  perform hubspot_private.fail('argument_invalid', format('%s never matches', cron), 'No year has such a day.');
  return null;
end;
$$;
comment on function hubspot_private.cron_next(text, text, timestamptz) is
  'The first time after a time that a five-field cron expression (names, lists, ranges, steps, @daily …) matches in a time zone. SH104 when it is wrong or never matches.';
