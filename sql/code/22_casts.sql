-- Tolerant casts of HubSpot's property text: null for what does not cast, never an error. They run some thirty times
-- a row inside the apply statements, so cast_* are single expressions without SET that the planner inlines, bound when
-- created (`return`), so that no search_path, DateStyle or TimeZone of a session changes what they mean.
--
-- Each is a short cut that knows the form HubSpot writes, and else a call of read_*, which knows every form. A page of
-- 100 rows is planned anew, so what a call costs to plan counts as much as what it does. Backend CPU over `->>`, best of
-- 6, PostgreSQL 18 (15 takes 1,900 and 2,200 for dates and times: asking means an exception handler there):
--                    a value, ns                                                          planning a call, µs
--                 bare cast   here   pg_input_is_valid alone (takes 'now', NaN, 0x1F)   here   it alone
--   numeric           160      720      410                                              30      11
--   date              220    1,210      620                                              36      11
--   timestamptz       490    1,660    1,190                                              38      11
-- Left out: the full patterns (numeric 900, date 1,500, timestamptz 3,900 ns), translate() (1,900 ns on a time), lists
-- written as in (…), which are twelve constants to plan instead of one, and read_* without SET, which the planner
-- unfolds for nothing (25 to 50 µs a call).

-- PostgreSQL 15 cannot ask whether a text is valid input; it has to try.
do $do$
declare
  v_type text;
begin
  foreach v_type in array array['date', 'timestamptz'] loop
    execute format(
      case when current_setting('server_version_num')::integer >= 160000 then
        $sql$
          create or replace function hubspot_private.input_%1$s(value text)
          returns %1$s
          language sql
          stable
          return case when pg_catalog.pg_input_is_valid(value, '%1$s') then value::pg_catalog.%1$s end
        $sql$
      else
        $sql$
          create or replace function hubspot_private.input_%1$s(value text)
          returns %1$s
          language plpgsql
          stable
          as $$
          begin
            return value::pg_catalog.%1$s;
          exception when data_exception then
            return null;
          end;
          $$
        $sql$
      end,
      v_type);
  end loop;
end;
$do$;
comment on function hubspot_private.input_date(text) is 'What Postgres reads a text as, or null.';
revoke all on function hubspot_private.input_date(text) from public;
comment on function hubspot_private.input_timestamptz(text) is 'What Postgres reads a text as, or null.';
revoke all on function hubspot_private.input_timestamptz(text) from public;

-- With SET the planner does not even look at these: the plan of a page would carry each of them thirty times.
create or replace function hubspot_private.read_epoch(value text)
returns timestamptz
language sql
stable
strict
set search_path = pg_catalog, pg_temp
return case
  -- Years 1 to 9999, as in ISO text. Seconds and milliseconds apart: a double holds both exactly only up to 4253.
  when pg_catalog.octet_length(value) <= 16 and value collate "C" ~ '^-?[0-9]+$'
    and value::bigint between -62135596800000 and 253402300799999
    then pg_catalog.to_timestamp(value::bigint / 1000) + value::bigint % 1000 * interval '1 millisecond'
end;
comment on function hubspot_private.read_epoch(text) is 'The time of a text of epoch milliseconds; null if it is none.';
revoke all on function hubspot_private.read_epoch(text) from public;

create or replace function hubspot_private.read_numeric(value text)
returns numeric
language sql
immutable
strict
set search_path = pg_catalog, pg_temp
return case
  -- 400 digits hold every double and an index can hold them; with three digits of exponent nothing overflows.
  when pg_catalog.octet_length(value) <= 400
    and value collate "C" ~ '^[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][+-]?[0-9]{1,3})?$'
    then value::numeric
end;
comment on function hubspot_private.read_numeric(text) is
  'The number of a text: sign, digits with one point, exponent of up to three digits, 400 characters; else null.';
revoke all on function hubspot_private.read_numeric(text) from public;

create or replace function hubspot_private.read_timestamptz(value text)
returns timestamptz
language sql
stable
strict
set search_path = pg_catalog, pg_temp
return case
  when value collate "C" ~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]{1,9})?)?)?$'
    then hubspot_private.input_timestamptz(
      case when pg_catalog.octet_length(value) = 10 then value || 'T00:00Z' else value || 'Z' end)
  when value collate "C" ~ ('^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]{1,9})?)?'
      || '(Z|[+-][0-9]{2}(:?[0-9]{2})?)$')
    then hubspot_private.input_timestamptz(value)
  else hubspot_private.read_epoch(value)
end;
comment on function hubspot_private.read_timestamptz(text) is
  'The time of an ISO text (UTC if it names no zone) or of epoch milliseconds, years 1 to 9999; else null.';
revoke all on function hubspot_private.read_timestamptz(text) from public;

create or replace function hubspot_private.read_date(value text)
returns date
language sql
stable
strict
set search_path = pg_catalog, pg_temp
return case
  when value collate "C" ~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}$' then hubspot_private.input_date(value)
  -- The day as written, whatever the zone, once the whole is a time.
  when value collate "C" ~ '^[0-9]{4}-' and hubspot_private.read_timestamptz(value) is not null
    then hubspot_private.input_date(pg_catalog.left(value, 10))
  else (hubspot_private.read_epoch(value) at time zone interval '0')::date
end;
comment on function hubspot_private.read_date(text) is
  'The day of an ISO date, of an ISO time as written, or of epoch milliseconds in UTC; else null.';
revoke all on function hubspot_private.read_date(text) from public;

create or replace function hubspot_private.cast_numeric(value text)
returns numeric
language sql
immutable
return case
  when value collate "C" ~ '^-?[0-9]+[.]?[0-9]*$' and pg_catalog.octet_length(value) <= 400 then value::numeric
  else hubspot_private.read_numeric(value)
end;
comment on function hubspot_private.cast_numeric(text) is
  'The number of a HubSpot value; null when it is null, empty, or none. No NaN, Infinity, hexadecimals, underscores, spaces.';
revoke all on function hubspot_private.cast_numeric(text) from public;

create or replace function hubspot_private.cast_boolean(value text)
returns boolean
language sql
immutable
return case pg_catalog.lower(value collate "C") when 'true' then true when 'false' then false end;
comment on function hubspot_private.cast_boolean(text) is
  'The truth of a HubSpot value; null when it is neither true nor false, in any case of letters.';
revoke all on function hubspot_private.cast_boolean(text) from public;

-- Postgres takes a lone letter for a zone and skips punctuation, so the shape alone is not enough: two dashes around a
-- month, and nothing but what dates and times are written with. (A second T, Z, colon or point in the place of a digit
-- is left to Postgres to judge: refusing it costs 360 ns a value.)
do $do$
declare
  v_shape record;
begin
  for v_shape in
    select * from (values ('date', '____-__-__', ''), ('timestamptz', '____-__-__T__:__:__.___Z', 'TZ:.')) v (type, form, others)
  loop
    execute format(
      $sql$
        create or replace function hubspot_private.cast_%1$s(value text)
        returns %1$s
        language sql
        stable
        return case
          when value collate "C" like %2$L
            and pg_catalog.btrim(pg_catalog.textsend(value), %3$L)
              = any ('{-01-,-02-,-03-,-04-,-05-,-06-,-07-,-08-,-09-,-10-,-11-,-12-}'::bytea[])
            then %4$s
          else hubspot_private.read_%1$s(value)
        end
      $sql$,
      v_shape.type, v_shape.form, '0123456789' || v_shape.others,
      case when current_setting('server_version_num')::integer >= 160000
        -- What input_* is there, one level of inlining less.
        then format('case when pg_catalog.pg_input_is_valid(value, %L) then value::%s end', v_shape.type, v_shape.type)
        else format('hubspot_private.input_%s(value)', v_shape.type)
      end);
  end loop;
end;
$do$;
comment on function hubspot_private.cast_date(text) is
  'The day of a HubSpot value, ISO or epoch milliseconds; null when it is null, empty, or none.';
revoke all on function hubspot_private.cast_date(text) from public;

comment on function hubspot_private.cast_timestamptz(text) is
  'The time of a HubSpot value, ISO or epoch milliseconds; null when it is null, empty, or none.';
revoke all on function hubspot_private.cast_timestamptz(text) from public;

create or replace function hubspot_private.cast_text(value text)
returns text
language sql
immutable
return nullif(value collate "C", '');
comment on function hubspot_private.cast_text(text) is 'A HubSpot value; null when it is empty.';
revoke all on function hubspot_private.cast_text(text) from public;

create or replace function hubspot_private.cast_text_array(value text)
returns text[]
language sql
immutable
return nullif(pg_catalog.array_remove(pg_catalog.string_to_array(value collate "C", ';'), ''), '{}');
comment on function hubspot_private.cast_text_array(text) is
  'The options of a HubSpot checkbox value (a;b); null when there is none.';
revoke all on function hubspot_private.cast_text_array(text) from public;

create or replace function hubspot_private.is_castable(type text, value text)
returns boolean
language sql
stable
return coalesce(value, '') = '' or case type
  when 'text' then true
  when 'numeric' then hubspot_private.cast_numeric(value) is not null
  when 'boolean' then hubspot_private.cast_boolean(value) is not null
  when 'date' then hubspot_private.cast_date(value) is not null
  when 'timestamptz' then hubspot_private.cast_timestamptz(value) is not null
  when 'text[]' then hubspot_private.cast_text_array(value) is not null
end;
comment on function hubspot_private.is_castable(text, text) is
  'Whether the cast to a column type keeps a value; true for null and empty, which are null in every type.';
revoke all on function hubspot_private.is_castable(text, text) from public;

create or replace function hubspot_private.whole_number(value text, most numeric default 2147483647)
returns numeric
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
  select n.number
  from (select trunc(hubspot_private.read_numeric(whole_number.value)) as number) n
  where n.number between -whole_number.most and whole_number.most;
$$;
comment on function hubspot_private.whole_number(text, numeric) is
  'The whole number of a text, such as a place in an order; null when it is none, or beyond what its column takes.';
revoke all on function hubspot_private.whole_number(text, numeric) from public;
