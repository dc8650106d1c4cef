-- Values without a place of their own go to _extra, raw: what does not cast, what is beyond the ceiling of columns, and what was
-- spilled from a row that would be wider than Postgres allows.
create or replace function hubspot_private.is_castable(object text, property text, value text)
returns boolean
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select hubspot_private.is_castable(p.column_type, is_castable.value)
  from hubspot_private.properties p
  where p.object = is_castable.object and p.property = is_castable.property;
$$;
comment on function hubspot_private.is_castable(text, text, text) is 'Whether a value fits its property''s column.';

create or replace function hubspot_private.extra(object text, properties jsonb)
returns jsonb
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select jsonb_object_agg(p.property, extra.properties -> p.property)
  from hubspot_private.properties p
  where p.object = extra.object and p.is_selected and p.archived_at is null and p.unreadable_at is null
    and extra.properties ->> p.property <> ''
    and (p.column_name is null or not hubspot_private.is_castable(p.column_type, extra.properties ->> p.property));
$$;
comment on function hubspot_private.extra(text, jsonb) is
  'The raw values of a record that have no place of their own; null when all have.';

-- A row must fit into a page of 8 KB: 8,160 bytes, of which 223 are the header of a row with 1,600 columns. Texts that do not
-- fit are stored elsewhere and leave a pointer of 18 bytes, but not those of up to 24 bytes with their length, and a text that
-- compresses to so little stays, in up to 27.
create or replace function hubspot_private.widest(column_type text)
returns integer
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
  select case widest.column_type when 'boolean' then 1 when 'date' then 7 when 'timestamptz' then 15 else 28 end;
$$;
comment on function hubspot_private.widest(text) is 'Bytes that a value of this type takes in its row at most, with what aligns it.';

create or replace function hubspot_private.row_room()
returns integer
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
  -- 7,900 less our own columns: id, four times, and _extra.
  select 7900 - 80;
$$;
comment on function hubspot_private.row_room() is 'Bytes of a row that are left for the values of properties.';

create or replace function hubspot_private.text_width(value text)
returns integer
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
  -- Compressed to 24 bytes it is 16 beside its header; fifteen different bytes and what tells them apart are more.
  select case
    when octet_length(value) < 24 then octet_length(value) + 1
    when (
      select bit_count(bit_or(1::bigint << (get_byte(textsend(value), i) & 63))::bit(64))
      from generate_series(0, least(octet_length(value), 64) - 1) i
    ) > 14 then 18
    else 28
  end;
$$;
comment on function hubspot_private.text_width(text) is 'Bytes that a text takes in a row where everything that can be stored elsewhere is.';

create or replace function hubspot_private.spill(object text, properties jsonb)
returns jsonb
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_over integer;
  v_spilled jsonb;
begin
  with v as materialized (
    select p.property, p.column_type, p.is_hidden, p.property like 'hs\_%' as is_hubspots,
      case when p.column_type = 'text' then hubspot_private.text_width(spill.properties ->> p.property)
        else hubspot_private.widest(p.column_type)
      end as width
    from hubspot_private.properties p
    where p.object = spill.object and p.is_selected and p.column_name is not null and p.archived_at is null and p.unreadable_at is null
      and spill.properties ->> p.property <> ''
  ),
  o as (
    select sum(v.width) - hubspot_private.row_room() as over from v
  ),
  -- What few look at first, and the widest of it, so that few go. The order is the record's alone: read again it spills the same.
  t as (
    select v.property,
      sum(v.width) over (order by v.is_hidden desc, v.is_hubspots desc, v.width desc, v.property rows unbounded preceding) - v.width as freed
    from v
    where v.column_type = 'text'
  )
  select o.over, (select jsonb_object_agg(t.property, spill.properties -> t.property) from t where t.freed < o.over)
  into v_over, v_spilled
  from o;
  return v_spilled;
end;
$$;
comment on function hubspot_private.spill(text, jsonb) is
  'The texts of a record that do not fit into its row, by property, hidden and hs_ ones first; null when all fit.';

create or replace function hubspot_private.values_judge(object text, extras jsonb, written bigint[])
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  update hubspot_private.problems p
  set resolved_at = hubspot_private.clock()
  where p.object = values_judge.object and p.resolved_at is null and p.code in ('SH209', 'SH210', 'SH212', 'SH213', 'SH214')
    and p.record_id = any (written)
    and case
      when p.code = 'SH214' then not exists (
        select from jsonb_object_keys(extras -> p.record_id::text) k
        join hubspot_private.properties c on c.object = p.object and c.property = k and c.column_type = 'text')
      else p.property is null or extras -> p.record_id::text -> p.property is null
    end;
  perform hubspot_private.problem_report('SH209', values_judge.object,
    format('value of %s is not a %s: %s', p.property, p.column_type, left(v.value #>> '{}', 200)),
    null, r.key::bigint, p.property)
  from jsonb_each(extras) r
  cross join lateral jsonb_each(r.value) v
  join hubspot_private.properties p on p.object = values_judge.object and p.property = v.key
  where p.column_name is not null and p.column_type <> 'text';
  -- Every text fits its column: one that is here was spilled.
  perform hubspot_private.problem_report('SH214', values_judge.object,
    format('record %s of %s is too wide for a row: %s are in _extra', s.key, values_judge.object, left(s.names, 1900)), null, s.key::bigint)
  from (
    select r.key, string_agg(p.property, ', ' order by p.property) as names
    from jsonb_each(extras) r
    cross join lateral jsonb_object_keys(r.value) k
    join hubspot_private.properties p on p.object = values_judge.object and p.property = k
    where p.column_name is not null and p.column_type = 'text'
    group by r.key
  ) s;
end;
$$;
comment on function hubspot_private.values_judge(text, jsonb, bigint[]) is
  'Reports values that did not cast or fit, as {record id: {property: raw}}, and closes the problems that writing these records ends.';
