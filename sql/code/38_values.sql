-- Values without a place of their own go to _extra, raw: what does not cast, what is beyond the ceiling of columns, and what was
-- spilled from a row that would be wider than Postgres allows.
create or replace view hubspot_private.columns as
select p.object, p.property, c.column_name, c.column_type, c.is_next, p.is_hidden
from hubspot_private.properties p
cross join lateral (values (p.column_name, p.column_type, false), (p.next_column, p.next_type, true)) as c (column_name, column_type, is_next)
where c.column_name is not null and p.is_selected and p.archived_at is null and p.unreadable_at is null;
comment on view hubspot_private.columns is
  'The columns that values of properties go to: two of a property whose type changes, until the next one takes the place of the old.';

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
    and (p.column_name is null or not hubspot_private.is_castable(p.column_type, extra.properties ->> p.property)
      or p.next_type is not null and not hubspot_private.is_castable(p.next_type, extra.properties ->> p.property));
$$;
comment on function hubspot_private.extra(text, jsonb) is
  'The raw values of a record that have no place of their own; null when all have.';

create or replace function hubspot_private.extra_of(extra jsonb, properties text[])
returns jsonb
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
  select jsonb_object_agg(e.key, e.value) from jsonb_each(extra_of.extra) e where e.key = any (extra_of.properties);
$$;
comment on function hubspot_private.extra_of(jsonb, text[]) is 'What of _extra is of these properties; null when nothing.';

create or replace function hubspot_private.extra_kept(extra jsonb, properties text[], fresh jsonb)
returns jsonb
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
  select nullif(coalesce(hubspot_private.extra_of(extra_kept.extra, extra_kept.properties), '{}') || coalesce(extra_kept.fresh, '{}'), '{}');
$$;
comment on function hubspot_private.extra_kept(jsonb, text[], jsonb) is
  'What a record that was read has for _extra, with what these properties had there.';

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

create or replace function hubspot_private.byte_count(value text)
returns integer
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
  select bit_count(bit_or(1::bigint << (get_byte(textsend(byte_count.value), i) & 63))::bit(64))
  from generate_series(0, octet_length(byte_count.value) - 1) i;
$$;
comment on function hubspot_private.byte_count(text) is 'How many different bytes a text has at least.';

create or replace function hubspot_private.spill(object text, properties jsonb)
returns jsonb
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_widest constant integer := hubspot_private.widest('text');
  v_spilled jsonb;
begin
  -- Whether it is too wide if every longer text compressed to as much as can stay in a row: next to none is.
  if (
    select sum(case
      when p.column_type <> 'text' then hubspot_private.widest(p.column_type)
      when octet_length(v.raw) < 24 then octet_length(v.raw) + 1
      else v_widest
    end)
    from jsonb_each_text(spill.properties) v (property, raw)
    join hubspot_private.columns p on p.object = spill.object and p.property = v.property
    where v.raw <> ''
  ) > hubspot_private.row_room() is not true then
    return null;
  end if;
  with v as materialized (
    select p.property, p.column_type, p.is_hidden, p.property like 'hs\_%' as is_hubspots, octet_length(v.raw) as length,
      -- Compressed to 24 bytes it is 16 beside its header; fifteen different bytes and what tells them apart are more. Counted
      -- one by one they take ten times as long, so frequent ones are looked for first.
      case when p.column_type = 'text' and octet_length(v.raw) > 23 then
        (strpos(h.head, ' ') > 0)::integer + (strpos(h.head, 'e') > 0)::integer + (strpos(h.head, 'a') > 0)::integer + (strpos(h.head, 'i') > 0)::integer
        + (strpos(h.head, 'o') > 0)::integer + (strpos(h.head, 'n') > 0)::integer + (strpos(h.head, 'r') > 0)::integer + (strpos(h.head, 't') > 0)::integer
        + (strpos(h.head, 's') > 0)::integer + (strpos(h.head, 'l') > 0)::integer + (strpos(h.head, 'c') > 0)::integer + (strpos(h.head, 'u') > 0)::integer
        + (strpos(h.head, 'd') > 0)::integer + (strpos(h.head, 'm') > 0)::integer + (strpos(h.head, 'p') > 0)::integer + (strpos(h.head, 'h') > 0)::integer
        + (strpos(h.head, 'g') > 0)::integer + (strpos(h.head, 'b') > 0)::integer + (strpos(h.head, 'f') > 0)::integer + (strpos(h.head, 'y') > 0)::integer
        + (strpos(h.head, '0') > 0)::integer + (strpos(h.head, '1') > 0)::integer + (strpos(h.head, '2') > 0)::integer + (strpos(h.head, '3') > 0)::integer
        + (strpos(h.head, '4') > 0)::integer + (strpos(h.head, '5') > 0)::integer
      end as found,
      h.head
    from jsonb_each_text(spill.properties) v (property, raw)
    cross join lateral (select left(v.raw, 100) collate "C" as head offset 0) h
    join hubspot_private.columns p on p.object = spill.object and p.property = v.property
    where v.raw <> ''
  ),
  w as materialized (
    select v.*,
      case
        when v.column_type <> 'text' then hubspot_private.widest(v.column_type)
        when v.length < 24 then v.length + 1
        when v.found > 14 then 18
        when hubspot_private.byte_count(v.head) > 14 then 18
        else v_widest
      end as width
    from v
  ),
  o as (
    select sum(w.width) - hubspot_private.row_room() as over from w
  ),
  -- What few look at first, and the widest of it, so that few go. The order is the record's alone: read again it spills the same.
  t as (
    select w.property,
      sum(w.width) over (order by w.is_hidden desc, w.is_hubspots desc, w.width desc, w.property collate "C" rows unbounded preceding) - w.width as freed
    from w
    where w.column_type = 'text'
  )
  select jsonb_object_agg(t.property, spill.properties -> t.property) into v_spilled
  from t
  where t.freed < (select o.over from o);
  return v_spilled;
end;
$$;
comment on function hubspot_private.spill(text, jsonb) is
  'The texts of a record that do not fit into its row, by property, hidden and hs_ ones first; null when all fit.';

create or replace function hubspot_private.misfit(p hubspot_private.properties, raw text)
returns text
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select case
    when not hubspot_private.is_castable(p.column_type, misfit.raw) then p.column_type
    when p.next_type is not null and not hubspot_private.is_castable(p.next_type, misfit.raw) then p.next_type
  end;
$$;
comment on function hubspot_private.misfit(hubspot_private.properties, text) is
  'The type that keeps a value out of its property''s column, or out of the next one; null when it fits.';

create or replace function hubspot_private.values_report(object text, extras jsonb)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  perform hubspot_private.problem_report('SH209', values_report.object,
    format('value of %s is not a %s: %s', p.property, hubspot_private.misfit(p, v.value), left(v.value, 200)),
    null, r.key::bigint, p.property)
  from jsonb_each(extras) r
  cross join lateral jsonb_each_text(r.value) v
  join hubspot_private.properties p on p.object = values_report.object and p.property = v.key
  -- Of an archived one nobody can mend it.
  where p.column_name is not null and p.archived_at is null and hubspot_private.misfit(p, v.value) is not null;
  -- What fits its column and is here was spilled.
  perform hubspot_private.problem_report('SH214', values_report.object,
    format('record %s of %s is too wide for a row: %s are in _extra', s.key, values_report.object, left(s.names, 1900)), null, s.key::bigint)
  from (
    select r.key, string_agg(p.property, ', ' order by p.property) as names
    from jsonb_each(extras) r
    cross join lateral jsonb_each_text(r.value) v
    join hubspot_private.properties p on p.object = values_report.object and p.property = v.key
    where p.column_name is not null and hubspot_private.misfit(p, v.value) is null
    group by r.key
  ) s;
end;
$$;
comment on function hubspot_private.values_report(text, jsonb) is
  'Reports values that did not cast or fit, as {record id: {property: raw}}.';

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
        select from jsonb_each_text(extras -> p.record_id::text) v
        join hubspot_private.properties c on c.object = p.object and c.property = v.key
        where c.column_name is not null and hubspot_private.misfit(c, v.value) is null)
      else p.property is null or extras -> p.record_id::text -> p.property is null
    end;
  perform hubspot_private.values_report(object, extras);
end;
$$;
comment on function hubspot_private.values_judge(text, jsonb, bigint[]) is
  'Reports what did not cast or fit of these records, and closes the problems that writing them ends.';

create or replace function hubspot_private.values_again(o hubspot_private.objects)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_extras jsonb;
begin
  execute format('select jsonb_object_agg(t.id, t._extra) from %s and t._extra is not null', hubspot_private.live_rows(o)) into v_extras;
  perform hubspot_private.values_report(o.name, v_extras);
end;
$$;
comment on function hubspot_private.values_again(hubspot_private.objects) is
  'Reports what does not fit in the rows of a table that was kept while nobody read it: its problems ended with the reading.';

create or replace function hubspot_private.rows_may_fit(object text)
returns boolean
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_codes constant text[] := array(
    select distinct q.code from hubspot_private.problems q where q.object = object and q.code in ('SH213', 'SH214') and q.resolved_at is null);
  v_is_spilled boolean;
begin
  if 'SH214' <> all (v_codes) or 'SH213' = any (v_codes) then
    return v_codes <> '{}';
  end if;
  -- What properties keep there, no read brings back.
  execute format(
    'select exists (
       select from hubspot_private.problems q
       join hubspot.%I t on t.id = q.record_id
       cross join lateral jsonb_object_keys(t._extra) k
       join hubspot_private.properties p on p.object = q.object and p.property = k
       where q.object = $1 and q.code = ''SH214'' and q.resolved_at is null
         and p.column_name is not null and p.archived_at is null and p.unreadable_at is null)', (
    select o.table_name from hubspot_private.objects o where o.name = object))
  into v_is_spilled using object;
  return v_is_spilled;
end;
$$;
comment on function hubspot_private.rows_may_fit(text) is
  'Whether there are rows that were too wide, and that a read may write otherwise now that fewer properties are chosen.';
