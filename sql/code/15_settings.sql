-- The clock and the settings: every number that a user may want to change has a row here.
create or replace view hubspot_private.setting_defaults as
select * from (values
  ('settle_windows', '["10 minutes", "60 minutes"]'::jsonb, 'array',
    'How far behind HubSpot''s now each settle pass searches again, for what the search index showed late.'),
  ('max_columns', '1000'::jsonb, 'number',
    'Most property columns a table gets; what is beyond goes to _extra.'),
  ('max_ranges', '8'::jsonb, 'number',
    'In how many parts at once an object is read whole, at most; as many as the burst budget and HubSpot''s latency need.'),
  ('range_records', '1000'::jsonb, 'number',
    'Where fewer records than these are left for each part, a full read is not split further.'),
  ('held_deletes', '100'::jsonb, 'number',
    'A full read that would delete more records than these, and more of all than held_deletes_percent, waits for hubspot.confirm_deletes(). No other read deletes what it merely does not list.'),
  ('held_deletes_percent', '10'::jsonb, 'number',
    'See held_deletes; 100: no full read waits. With both 0, each does that would delete anything.'),
  ('runs_kept', '"14 days"'::jsonb, 'interval',
    'How long hubspot.runs keeps runs that changed something; quiet ones go after an hour.'),
  ('hints_kept', '"1 day"'::jsonb, 'interval',
    'How long it is remembered that search named a version which a read did not show.'),
  ('webhooks_kept', '"10 minutes"'::jsonb, 'interval',
    'How long an event that a webhook brought is remembered after it was acted on, so that its repetitions are known.'),
  ('changes_kept', '"7 days"'::jsonb, 'interval',
    'How long the change feed keeps changes, by whole days.'),
  ('delivery_timeout', '"30 seconds"'::jsonb, 'interval',
    'How long a function of hubspot.on_change() may take for one change; what takes longer is broken off, and tried again later.'),
  ('notify', 'true'::jsonb, 'boolean',
    'Whether each statement that changes rows is told on channel hubspot.'),
  ('problems_kept', '"30 days"'::jsonb, 'interval',
    'How long hubspot.problems keeps what is resolved.'),
  ('live_timeout', '"10 seconds"'::jsonb, 'interval',
    'How long a query of a live table waits for HubSpot, its turn in the rate budgets included.'),
  ('live_on_late', '"error"'::jsonb, 'string',
    'What a query of a live table gets when that was not enough: error, or warn: the mirror''s rows and a warning, which postgres_fdw writes to the server''s log.'),
  ('live_overlap', '"1 minute"'::jsonb, 'interval',
    'How far back a query of a live table that names no ids searches again, for what HubSpot''s search shows late and out of order.')
) as d (name, default_value, kind, description);
comment on view hubspot_private.setting_defaults is 'Name, default, kind and meaning of every setting.';

create or replace view hubspot.settings as
select d.name, coalesce(s.value, d.default_value) as value, d.default_value, d.description
from hubspot_private.setting_defaults d
left join hubspot_private.settings s on s.name = d.name;
comment on view hubspot.settings is
  'Settings, their value, default and meaning. Change one: select hubspot.configure(''max_columns'', 500);';

create or replace function hubspot_private.setting(name text)
returns jsonb
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select s.value from hubspot.settings s where s.name = setting.name;
$$;
comment on function hubspot_private.setting(text) is 'The value in force.';

create or replace function hubspot_private.setting_interval(name text)
returns interval
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_value interval;
begin
  -- What an earlier version, or another server, accepted must stop neither worker nor sweep.
  begin
    v_value := (hubspot_private.setting(name) #>> '{}')::interval;
  exception when data_exception then
    v_value := null;
  end;
  if v_value > '0' and v_value <= '100 years' then
    return v_value;
  end if;
  return (select (d.default_value #>> '{}')::interval from hubspot_private.setting_defaults d where d.name = setting_interval.name);
end;
$$;
comment on function hubspot_private.setting_interval(text) is
  'The value in force of a setting that is a duration; the default where that cannot be used.';

create or replace function hubspot_private.settle_windows()
returns interval[]
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select array_agg(w.value::interval order by w.ordinality)
  from jsonb_array_elements_text(hubspot_private.setting('settle_windows')) with ordinality w;
$$;
comment on function hubspot_private.settle_windows() is 'Settle windows in the order of their ranges.';

create or replace function hubspot_private.setting_check(name text, kind text, value jsonb)
returns void
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_windows interval[];
  v_least constant integer := case when setting_check.name like 'held\_deletes%' then 0 else 1 end;
  v_most constant integer := case setting_check.name when 'held_deletes' then 1000000000 when 'held_deletes_percent' then 100 else 1500 end;
begin
  if setting_check.kind = 'number' then
    if jsonb_typeof(setting_check.value) <> 'number' or (setting_check.value #>> '{}')::numeric not between v_least and v_most
      or (setting_check.value #>> '{}')::numeric % 1 <> 0
    then
      perform hubspot_private.fail('setting_invalid', name, value::text, format('Give a whole number from %s to %s.', v_least, v_most));
    end if;
  elsif setting_check.kind = 'boolean' then
    if jsonb_typeof(setting_check.value) <> 'boolean' then
      perform hubspot_private.fail('setting_invalid', name, value::text, 'Give true or false.');
    end if;
  elsif setting_check.kind = 'interval' then
    begin
      if jsonb_typeof(setting_check.value) <> 'string' or (setting_check.value #>> '{}')::interval <= '0'
        -- 'infinity' too, where the server knows it.
        or (setting_check.value #>> '{}')::interval > '100 years'
      then
        perform hubspot_private.fail('setting_invalid', name, value::text, 'Give a duration above zero and up to 100 years, such as ''7 days''.');
      end if;
    exception when invalid_datetime_format or datetime_field_overflow or interval_field_overflow then
      perform hubspot_private.fail('setting_invalid', name, value::text, 'Give a duration, such as ''7 days''.');
    end;
  elsif setting_check.name = 'live_on_late' then
    if setting_check.value not in ('"error"', '"warn"') then
      perform hubspot_private.fail('setting_invalid', name, value::text, 'Give ''error'' or ''warn''.');
    end if;
  elsif setting_check.name = 'settle_windows' then
    begin
      select case when bool_and(jsonb_typeof(w) = 'string') then array_agg((w #>> '{}')::interval) end into v_windows
      from jsonb_array_elements(setting_check.value) w;
    exception when invalid_datetime_format or datetime_field_overflow or interval_field_overflow or invalid_parameter_value then
      v_windows := null;
    end;
    if v_windows is null or cardinality(v_windows) > 8 or '0' >= any (v_windows) or '1 day' < any (v_windows) then
      perform hubspot_private.fail('setting_invalid', name, value::text,
        'Give one to eight durations up to a day, such as ''["10 minutes", "60 minutes"]''.');
    end if;
  end if;
end;
$$;
comment on function hubspot_private.setting_check(text, text, jsonb) is 'SH112 when the value is not one the setting can have.';
