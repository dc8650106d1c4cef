-- Names: what somebody may have meant, and identifiers that Postgres takes.
create or replace function hubspot_private.name_core(name text)
returns text
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
  -- Letters and digits without case, HubSpot's own prefix or a plural: hs_lead_statuses, leadStatus → leadstatus.
  select regexp_replace(
    regexp_replace(
      regexp_replace(lower(left(name_core.name, 100)), '^hs_|[^[:alnum:]]', '', 'g'),
      'ies$', 'y'),
    '(s|sh|ch|x|z)es$|([^s])s$', '\1\2');
$$;
comment on function hubspot_private.name_core(text) is 'What two spellings of a name have in common.';
revoke all on function hubspot_private.name_core(text) from public;

create or replace function hubspot_private.name_distance(one text, other text, bound integer)
returns integer
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_one text[] := string_to_array(one, null);
  v_other text[] := string_to_array(other, null);
  v_length integer := cardinality(v_other);
  -- Rows of the usual table, from column 0 on: two before, one before, this.
  v_older integer[];
  v_old integer[] := array(select generate_series(0, v_length));
  v_new integer[];
  v_cost integer;
  v_least integer;
begin
  for i in 1..cardinality(v_one) loop
    v_new := array[i];
    v_least := i;
    for j in 1..v_length loop
      v_cost := least(
        v_old[j + 1] + 1,
        v_new[j] + 1,
        v_old[j] + (v_one[i] <> v_other[j])::integer);
      if i > 1 and j > 1 and v_one[i] = v_other[j - 1] and v_one[i - 1] = v_other[j] then
        v_cost := least(v_cost, v_older[j - 1] + 1);
      end if;
      v_new[j + 1] := v_cost;
      v_least := least(v_least, v_cost);
    end loop;
    -- A row never falls below the one before but by a swap, which costs one: nothing to hope for any more.
    if v_least > bound + 1 then
      return null;
    end if;
    v_older := v_old;
    v_old := v_new;
  end loop;
  return case when v_old[v_length + 1] <= bound then v_old[v_length + 1] end;
end;
$$;
comment on function hubspot_private.name_distance(text, text, integer) is
  'Letters to insert, remove, replace or swap with a neighbour to get from one name to the other; null beyond the bound.';
revoke all on function hubspot_private.name_distance(text, text, integer) from public;

create or replace function hubspot_private.near_name(name text, candidates text[])
returns text
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
  select n.candidate
  from (
    select c.candidate,
      case
        when c.core = m.core then 0
        when abs(length(c.core) - length(m.core)) <= m.bound
          then hubspot_private.name_distance(m.core, c.core, m.bound)
      end as distance
    from (
      select k.core, greatest(1, length(k.core) / 3) as bound
      from (select hubspot_private.name_core(near_name.name) as core) k
    ) m
    cross join lateral (
      select u.candidate, hubspot_private.name_core(u.candidate) as core from unnest(near_name.candidates) u (candidate)
    ) c
    -- Of two letters any other two are one edit away.
    where c.candidate = near_name.name or c.core = m.core and c.core <> '' or least(length(m.core), length(c.core)) > 2
  ) n
  where n.distance is not null
  order by n.candidate <> near_name.name, n.distance, abs(length(n.candidate) - length(near_name.name)),
    n.candidate collate "C"
  limit 1;
$$;
comment on function hubspot_private.near_name(text, text[]) is
  'The candidate most like a name, for "did you mean": another case, underscores or not, singular or plural, without HubSpot''s hs_, or a third of its letters wrong at most; null when none is near.';
revoke all on function hubspot_private.near_name(text, text[]) from public;

create or replace function hubspot_private.short_name(name text, taken text[], reserved text[])
returns name
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_whole text := coalesce(short_name.name, '');
  v_head text;
  v_name text := v_whole;
  v_try integer := 0;
begin
  if v_whole = any (reserved) then
    v_name := v_whole || '_';
  end if;
  -- 56 bytes and seven of suffix are the 63 that Postgres keeps of a name; left() counts characters and splits none.
  v_head := left(v_whole, 56);
  while octet_length(v_head) > 56 loop
    v_head := left(v_head, -1);
  end loop;
  while octet_length(v_name) not between 1 and 63
    or v_name = any (coalesce(taken, '{}')) or v_name = any (coalesce(reserved, '{}'))
  loop
    -- The suffix depends on the whole name alone, so that it is the same in every database.
    v_name := v_head || '_' || left(md5(v_whole || case when v_try > 0 then '#' || v_try else '' end), 6);
    v_try := v_try + 1;
  end loop;
  return v_name::name;
end;
$$;
comment on function hubspot_private.short_name(text, text[], text[]) is
  'An identifier for a name: itself where Postgres takes it and nobody has it; reserved: with _; else cut, with six hex digits of its md5.';
revoke all on function hubspot_private.short_name(text, text[], text[]) from public;

create or replace function hubspot_private.name_holder(name name)
returns text
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  -- Mirror tables bear the trigger that keeps others from writing them, so one that untrack() kept is known again.
  select format('%s %s', i.type, i.identity)
  from pg_class c
  cross join pg_identify_object('pg_class'::regclass, c.oid, 0) i
  where c.relnamespace = 'hubspot'::regnamespace and c.relname = name_holder.name
    and not exists (
      select from pg_trigger t
      join pg_proc p on p.oid = t.tgfoid
      where t.tgrelid = c.oid and p.pronamespace = 'hubspot_private'::regnamespace
        and p.proname in ('refuse_write', 'refuse_edge_write'));
$$;
comment on function hubspot_private.name_holder(name) is
  'What has a name in schema hubspot and is no mirror table of ours, as table hubspot.x; null where nothing has it, or such a table.';

create or replace function hubspot_private.mirror_table(name name)
returns regclass
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select to_regclass(format('hubspot.%I', mirror_table.name)) where mirror_table.name is not null and hubspot_private.name_holder(mirror_table.name) is null;
$$;
comment on function hubspot_private.mirror_table(name) is 'The mirror''s table of a name; null where there is none, or it is something else that has the name.';

create or replace function hubspot_private.name_free(name name)
returns void
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_holder constant text := hubspot_private.name_holder(name);
begin
  if v_holder is not null then
    perform hubspot_private.fail('name_taken', v_holder, format(
      'Rename it, or move it to another schema: alter %s set schema public; What waits for the name goes on within 15 minutes, at once by select hubspot.resume();',
      v_holder));
  end if;
end;
$$;
comment on function hubspot_private.name_free(name) is 'SH020 where a mirror table''s name is that of something else.';
