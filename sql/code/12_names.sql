-- Names: what somebody may have meant, and identifiers that Postgres takes.
create or replace function hubspot_private.name_parts(name text)
returns text[]
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
  -- Pairs of neighbouring letters, case and underscores aside: names that share most of them are alike.
  select array(
    select distinct substr(n.plain, i, 2)
    from (select '^' || regexp_replace(lower(left(name_parts.name, 200)), '[^[:alnum:]]', '', 'g') || '$' as plain) n,
      generate_series(1, length(n.plain) - 1) i);
$$;
comment on function hubspot_private.name_parts(text) is 'The pairs of letters of a name, by which names are compared.';

create or replace function hubspot_private.near_name(name text, candidates text[])
returns text
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
  select n.candidate
  from (
    select c.candidate,
      2.0 * (select count(*) from unnest(m.parts) p where p = any (t.parts)) / (cardinality(m.parts) + cardinality(t.parts)) as likeness
    from (select hubspot_private.name_parts(near_name.name) as parts) m
    cross join unnest(near_name.candidates) c (candidate)
    cross join lateral (select hubspot_private.name_parts(c.candidate) as parts) t
    where c.candidate <> near_name.name and cardinality(m.parts) > 1 and cardinality(t.parts) > 1
  ) n
  where n.likeness >= 0.5
  order by n.likeness desc, length(n.candidate), n.candidate
  limit 1;
$$;
comment on function hubspot_private.near_name(text, text[]) is
  'The candidate most like a name that does not exist, for "did you mean"; null when none is near.';

create or replace function hubspot_private.short_name(name text, taken text[], reserved text[])
returns name
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_name text := name;
  v_kept text := name;
begin
  if v_name = any (reserved) then
    v_name := v_name || '_';
  end if;
  for i in 0..1000 loop
    if octet_length(v_name) between 1 and 63 and v_name <> all (coalesce(taken, '{}')) and v_name <> all (coalesce(reserved, '{}')) then
      return v_name::name;
    end if;
    -- Cut by characters until the bytes fit; the suffix depends on the whole name alone, so it is the same everywhere.
    while octet_length(v_kept) > 56 loop
      v_kept := left(v_kept, -1);
    end loop;
    v_name := v_kept || '_' || left(md5(name || case when i > 0 then i::text else '' end), 6);
  end loop;
  return v_name::name;
end;
$$;
comment on function hubspot_private.short_name(text, text[], text[]) is
  'An identifier for a name: itself where Postgres takes it and nobody has it; reserved: with _; else cut, with six hex digits of its md5.';
