-- Columns that no page fills, and how a row that is too wide for what it is to have finds room in them.
create or replace function hubspot_private.unfilled_columns(object text)
returns table (property text, column_name name, column_type text, is_kept boolean)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select p.property, p.column_name, p.column_type, p.archived_at is not null or p.unreadable_at is not null
  from hubspot_private.objects o
  join hubspot_private.properties p on p.object = o.name
  join pg_attribute a on a.attrelid = to_regclass(format('hubspot.%I', o.table_name)) and a.attname = p.column_name and not a.attisdropped
  where o.name = unfilled_columns.object and (not p.is_selected or p.archived_at is not null or p.unreadable_at is not null);
$$;
comment on function hubspot_private.unfilled_columns(text) is
  'Columns that no page fills: of properties that are no longer chosen, and of those that keep what they have.';

create or replace function hubspot_private.room_statement(object text, is_last boolean)
returns text
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  -- What is no longer chosen is still to be had from HubSpot: it goes first.
  select case
    when count(*) = 0 then 'select $1'
    else format('update hubspot.%I t set %s%s where t.id = $1 and (%s)', min(o.table_name), string_agg(format('%I = null', c.column_name), ', '),
      case when bool_or(c.is_kept) then format(
        ', _extra = nullif(coalesce(t._extra, ''{}'') || pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_object(%L::text[], array[%s])), ''{}'')',
        array_agg(c.property order by c.property) filter (where c.is_kept),
        string_agg(hubspot_private.raw_expression(c.column_type, format('t.%I', c.column_name)), ', ' order by c.property) filter (where c.is_kept))
      end,
      string_agg(format('t.%I is not null', c.column_name), ' or '))
  end
  from hubspot_private.objects o
  join hubspot_private.unfilled_columns(o.name) c on room_statement.is_last or not c.is_kept
  where o.name = room_statement.object;
$$;
comment on function hubspot_private.room_statement(text, boolean) is
  'SQL text that makes room in the row of id $1: it empties the columns of what is no longer chosen and, where is_last, moves what properties keep from columns to _extra.';
