-- Tolerant casts of HubSpot's property text: null for what does not cast, never an error. They run some thirty times
-- a row inside the apply statements, so cast_* are single expressions without SET that the planner inlines, bound when
-- created (`return`), so that no search_path, DateStyle or TimeZone of a session changes what they mean.
--
-- Each is a short cut that proves the form HubSpot writes, and else a call of read_*, which knows every form. The short
-- cuts avoid regular expressions. ns of backend CPU over `->>`, 500,000 evaluations, best of 6, PostgreSQL 18 (and 15):
--              bare cast   here (on 15)    pg_input_is_valid alone, which takes 'now', NaN, 0x1F    regular expression
--   numeric        160       610 (630)      410                                                        970
--   date           220     1,130 (1,900)    620                                                      1,500
--   timestamptz    490     1,570 (2,210)  1,190                                                      3,900
-- translate() alone costs 1,900 on a timestamp, trimming bytes 130 to 230. On 15 a block with an exception handler is
-- the way to ask. Null costs 0 to 300; what only read_* reads (epochs, other forms, garbage) 3,000 to 12,000.

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

-- Strict keeps the planner from inlining these too: the plan of a page would carry each of them thirty times.
create or replace function hubspot_private.read_epoch(value text)
returns timestamptz
language sql
stable
strict
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
stable
strict
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
stable
return case
  when pg_catalog.octet_length(value) <= 400 then
    -- What is left when the digits at both ends are gone: nothing of an integer, the point of a decimal. concat() is
    -- stable: without it the planner would try the cast, which is immutable, on a constant before the test.
    case pg_catalog.btrim(pg_catalog.textsend(value), '0123456789')
      when '' then nullif(value, pg_catalog.concat(''))::numeric
      when '.' then nullif(value, pg_catalog.concat('.'))::numeric
      else hubspot_private.read_numeric(value)
    end
end;
comment on function hubspot_private.cast_numeric(text) is
  'The number of a HubSpot value; null when it is null, empty, or none. No NaN, Infinity, hexadecimals, underscores, spaces.';
revoke all on function hubspot_private.cast_numeric(text) from public;

create or replace function hubspot_private.cast_boolean(value text)
returns boolean
language sql
stable
return case pg_catalog.lower(value collate "C") when 'true' then true when 'false' then false end;
comment on function hubspot_private.cast_boolean(text) is
  'The truth of a HubSpot value; null when it is neither true nor false, in any case of letters.';
revoke all on function hubspot_private.cast_boolean(text) from public;

create or replace function hubspot_private.cast_date(value text)
returns date
language sql
stable
return case
  when value collate "C" like '____-__-__'
    and pg_catalog.btrim(pg_catalog.textsend(value), '0123456789')
      in ('-01-', '-02-', '-03-', '-04-', '-05-', '-06-', '-07-', '-08-', '-09-', '-10-', '-11-', '-12-')
    then hubspot_private.input_date(value)
  else hubspot_private.read_date(value)
end;
comment on function hubspot_private.cast_date(text) is
  'The day of a HubSpot value, ISO or epoch milliseconds; null when it is null, empty, or none.';
revoke all on function hubspot_private.cast_date(text) from public;

create or replace function hubspot_private.cast_timestamptz(value text)
returns timestamptz
language sql
stable
return case
  -- Postgres takes a lone letter for a zone and skips punctuation, so the shape is not enough: two dashes around a
  -- month, and nothing but what times are written with. (To refuse a second T, Z, colon or point too costs 360 ns.)
  when value collate "C" like '____-__-__T__:__:__.___Z'
    and pg_catalog.btrim(pg_catalog.textsend(value), '0123456789TZ:.')
      in ('-01-', '-02-', '-03-', '-04-', '-05-', '-06-', '-07-', '-08-', '-09-', '-10-', '-11-', '-12-')
    then hubspot_private.input_timestamptz(value)
  else hubspot_private.read_timestamptz(value)
end;
comment on function hubspot_private.cast_timestamptz(text) is
  'The time of a HubSpot value, ISO or epoch milliseconds; null when it is null, empty, or none.';
revoke all on function hubspot_private.cast_timestamptz(text) from public;

create or replace function hubspot_private.cast_text(value text)
returns text
language sql
stable
return nullif(value collate "C", '');
comment on function hubspot_private.cast_text(text) is 'A HubSpot value; null when it is empty.';
revoke all on function hubspot_private.cast_text(text) from public;

create or replace function hubspot_private.cast_text_array(value text)
returns text[]
language sql
stable
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
