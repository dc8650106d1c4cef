-- Search is a hint: it is late and says old things. It yields ids and dates; values are read from the store.
-- A search cursor is {date, walked, id}: date the last hit's modified date (ms since 1970, HubSpot's clock), walked: its ties are
-- done, so begin after it; id: in the middle of the walk through one millisecond. Paging by offset over a moving set loses
-- records, so each page is a new query from the last hit's date; that passes the cap of 10,000 too.
create or replace function hubspot_private.hubspot_now()
returns timestamptz
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  -- While answers disagree with what was known, the earlier: nothing is taken for seen that may not be.
  select hubspot_private.clock() + least(a.hubspot_ahead, c.other_ahead)
  from hubspot_private.account a
  cross join hubspot_private.clocks c;
$$;
comment on function hubspot_private.hubspot_now() is 'HubSpot''s clock, as its Date headers tell it (to the second, rather early).';

create or replace function hubspot_private.date_heard(said timestamptz)
returns timestamptz
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_now constant timestamptz := hubspot_private.clock();
  v_said constant interval := date_heard.said - v_now;
  v_ahead constant interval := (select a.hubspot_ahead from hubspot_private.account a);
  v_until constant timestamptz := least(date_heard.said, v_now + v_ahead);
  v_clocks hubspot_private.clocks;
  v_is_near boolean;
begin
  if date_heard.said is null then
    return null;
  end if;
  select c.* into v_clocks from hubspot_private.clocks c;
  v_is_near := v_clocks.told_at is null or abs(extract(epoch from v_said - v_ahead)) <= 5;
  -- Most answers tell nothing new, and nobody waits for another one's step, or for a user's transaction: the next answer says it too.
  if v_is_near and v_clocks.other_ahead is null and v_clocks.told_at between v_until - interval '5 seconds' and v_until + interval '5 seconds'
    and abs(extract(epoch from v_said - v_ahead)) <= 0.5
  then
    return date_heard.said;
  end if;
  select c.* into v_clocks from hubspot_private.clocks c for update skip locked;
  if not found then
    return case when v_is_near then date_heard.said else v_until end;
  end if;
  if v_is_near then
    v_clocks.other_ahead := null;
  elsif abs(extract(epoch from v_said - v_clocks.other_ahead)) <= 5 then
    v_clocks.other_count := v_clocks.other_count + 1;
    -- One HubSpot, and one proxy, may be wrong for a while; a clock that was set stays so.
    v_is_near := v_clocks.other_count >= 5 and v_clocks.other_since not between v_now - interval '30 seconds' and v_now;
  else
    v_clocks.other_ahead := v_said;
    v_clocks.other_since := v_now;
    v_clocks.other_count := 1;
  end if;
  if v_is_near and abs(extract(epoch from v_said - v_ahead)) > 0.5 then
    perform from hubspot_private.account a for no key update skip locked;
    if found then
      update hubspot_private.account a set hubspot_ahead = v_said;
      v_clocks.other_ahead := null;
    end if;
  end if;
  update hubspot_private.clocks c
  set told_at = case when v_is_near then date_heard.said else v_until end,
    other_ahead = v_clocks.other_ahead, other_since = v_clocks.other_since, other_count = v_clocks.other_count;
  return case when v_is_near then date_heard.said else v_until end;
end;
$$;
comment on function hubspot_private.date_heard(timestamptz) is
  'An answer''s Date header: what is to be believed of it, and noted. Small drifts are followed at once; one that is more than 5 s off, once at least five answers in a row have said so for half a minute: until then the earlier counts.';

create or replace function hubspot_private.as_ms(at timestamptz)
returns bigint
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
  select floor(extract(epoch from as_ms.at) * 1000)::bigint;
$$;
comment on function hubspot_private.as_ms(timestamptz) is 'Milliseconds since 1970: the resolution of HubSpot''s index.';

create or replace function hubspot_private.search_request(object text, cursor jsonb, upto bigint default null)
returns jsonb
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select jsonb_build_object('kind', 'search', 'upto', search_request.upto, 'body', jsonb_build_object(
    'filterGroups', jsonb_build_array(jsonb_build_object('filters', case
      when search_request.cursor -> 'id' is not null then jsonb_build_array(
        jsonb_build_object('propertyName', o.modified_property, 'operator', 'EQ', 'value', search_request.cursor ->> 'date'),
        jsonb_build_object('propertyName', 'hs_object_id', 'operator', 'GT', 'value', search_request.cursor ->> 'id'))
      else jsonb_build_array(jsonb_build_object('propertyName', o.modified_property,
        'operator', case when (search_request.cursor ->> 'walked')::boolean then 'GT' else 'GTE' end,
        'value', search_request.cursor ->> 'date'))
        || case when search_request.upto is null then '[]'::jsonb else jsonb_build_array(jsonb_build_object(
          'propertyName', o.modified_property, 'operator', 'LTE', 'value', search_request.upto::text)) end
      end)),
    'sorts', jsonb_build_array(jsonb_build_object('direction', 'ASCENDING', 'propertyName',
      case when search_request.cursor -> 'id' is not null then 'hs_object_id' else o.modified_property end)),
    'properties', jsonb_build_array(o.modified_property),
    'limit', 200))
  from hubspot_private.objects o
  where o.name = search_request.object;
$$;
comment on function hubspot_private.search_request(text, jsonb, bigint) is
  'The search that a cursor stands at: up to a date (ms) where one is given.';

create or replace function hubspot_private.search_rewind(cursor jsonb, by interval)
returns jsonb
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  -- What is found again is known by its version and read once.
  select case when (search_rewind.cursor ->> 'date')::bigint > d.date then jsonb_build_object('date', d.date) else search_rewind.cursor end
  from (select hubspot_private.as_ms(hubspot_private.hubspot_now() - search_rewind.by)) d (date);
$$;
comment on function hubspot_private.search_rewind(jsonb, interval) is
  'A search cursor that stands at least so far behind HubSpot''s now: the index shows late, and out of order.';

create or replace function hubspot_private.search_hits(object text, answer jsonb)
returns table (n bigint, id bigint, changed_at timestamptz, version timestamptz)
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
begin
  if jsonb_typeof(answer -> 'results') is distinct from 'array' then
    perform hubspot_private.fail('answer_unreadable', 'a search has no results');
  end if;
  return query
  select h.ordinality, (h.value ->> 'id')::bigint,
    coalesce(
      hubspot_private.cast_timestamptz(h.value -> 'properties' ->> o.modified_property),
      hubspot_private.cast_timestamptz(h.value ->> 'updatedAt'),
      to_timestamp(0)),
    -- A row's version is its updatedAt, which nobody promises to be the modified date: whichever says later.
    greatest(
      hubspot_private.cast_timestamptz(h.value -> 'properties' ->> o.modified_property),
      hubspot_private.cast_timestamptz(h.value ->> 'updatedAt'),
      to_timestamp(0))
  from jsonb_array_elements(answer -> 'results') with ordinality h
  join hubspot_private.objects o on o.name = search_hits.object
  where h.value ->> 'id' ~ '^[0-9]{1,18}$';
end;
$$;
comment on function hubspot_private.search_hits(text, jsonb) is 'The hits of a page of search, in its order: id, modified date, version.';

create or replace function hubspot_private.hints_apply(
  object text, answer jsonb, reason text, settled interval default null, upto bigint default null
)
returns bigint
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_object hubspot_private.objects;
  v_ids bigint[];
begin
  select o.* into strict v_object from hubspot_private.objects o where o.name = object;
  execute format($new$
    with new as (
      insert into hubspot_private.hints as k (object, id, version, seen_at, settled)
      select distinct $1, h.id, h.version, $6,
        case when hubspot_private.as_ms(h.version) <= $5 then $4 else '0' end
      from hubspot_private.search_hits($1, $2) h
      left join hubspot.%I t on t.id = h.id
      where (t.id is null or t._updated_at is null or h.version > t._updated_at
          -- A row dated in the future: the next edit brings its date back.
          or t._updated_at > $3 and h.version <> t._updated_at)
        -- A read has shown this date, and the row is still as it was then, or newer.
        and not exists (
          select from hubspot_private.hints a, %s and t.id = h.id and t._updated_at >= a.answered and (a.object, a.id, a.version) = ($1, h.id, h.version))
      order by 2, 3
      -- What was read then may have been a copy that was behind.
      on conflict on constraint hints_pkey do update set settled = excluded.settled, answered = null
      where k.settled < excluded.settled
      returning k.id
    )
    select array_agg(distinct new.id) from new$new$, v_object.table_name, hubspot_private.live_rows(v_object))
  into v_ids using object, answer, hubspot_private.hubspot_now() + interval '1 minute', settled, upto, hubspot_private.clock();
  if v_ids is null then
    return 0;
  end if;
  perform hubspot_private.associations_dirty(object, v_ids);
  return hubspot_private.fetch_enqueue(object, v_ids, reason);
end;
$$;
comment on function hubspot_private.hints_apply(text, jsonb, text, interval, bigint) is
  'Queues a read of what search says is newer than the mirror, or missing in it: once for each version, and once more for each settle window that passes it (a search up to a date, ms).';

create or replace function hubspot_private.search_advance(
  object text, cursor jsonb, answer jsonb, upto bigint default null, out next jsonb, out is_over boolean, out is_stuck boolean
)
returns record
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_count bigint;
  v_date bigint;
  v_latest bigint;
  v_id bigint;
  v_is_full boolean;
  v_is_more boolean;
begin
  -- Search finds by its index and may show what the store holds by now: a date past the bound says nothing of where its hit
  -- stood, so it moves no cursor. At or before the bound, which is older than the index is late, both are the same.
  select count(*), hubspot_private.as_ms((array_agg(h.changed_at order by h.n desc))[1]),
    hubspot_private.as_ms(max(h.changed_at)), max(h.id)
  into v_count, v_date, v_latest, v_id
  from hubspot_private.search_hits(object, answer) h
  where search_advance.upto is null or hubspot_private.as_ms(h.changed_at) <= search_advance.upto or search_advance.cursor -> 'id' is not null;
  -- Records archived a moment ago are found, counted and not shown: only what follows tells whether something follows.
  v_is_full := jsonb_array_length(answer -> 'results') >= 200 or answer #> '{paging,next,after}' is not null
    or case when answer ->> 'total' ~ '^[0-9]{1,12}$' then (answer ->> 'total')::bigint > 200 else false end;
  -- So is one that is short and names no next, as far as it shows a place to go on from.
  v_is_more := v_is_full
    or case when answer ->> 'total' ~ '^[0-9]{1,12}$' then (answer ->> 'total')::bigint > jsonb_array_length(answer -> 'results') else false end;
  is_over := false;
  is_stuck := false;
  if cursor -> 'id' is not null then
    if v_is_more and v_id > (cursor ->> 'id')::bigint then
      next := jsonb_build_object('date', cursor -> 'date', 'id', v_id);
    elsif v_is_full then
      is_stuck := true;
    else
      next := jsonb_build_object('date', cursor -> 'date', 'walked', true);
    end if;
  elsif v_count = 0 then
    next := cursor;
    is_over := true;
    is_stuck := v_is_full;
  elsif not v_is_more or not v_is_full and v_date <= (cursor ->> 'date')::bigint and (cursor ->> 'walked')::boolean then
    next := case when v_date > (cursor ->> 'date')::bigint then jsonb_build_object('date', v_date) else cursor end;
    is_over := true;
  elsif v_date > (cursor ->> 'date')::bigint then
    next := jsonb_build_object('date', v_date);
  elsif (cursor ->> 'walked')::boolean then
    -- Its ties are walked already: an index that contradicts its own order must not hold the cursor here for ever.
    next := jsonb_build_object('date', v_latest);
    is_stuck := v_latest <= (cursor ->> 'date')::bigint;
  else
    -- More ties than a page holds: walk the millisecond where the cursor stands by id.
    next := jsonb_build_object('date', cursor -> 'date', 'id', 0);
  end if;
  if is_stuck then
    -- A whole page that shows no place to go on from: it is the index catching up, so the next pass asks again.
    next := cursor;
    is_over := true;
  end if;
end;
$$;
comment on function hubspot_private.search_advance(text, jsonb, jsonb, bigint) is
  'Where a search cursor stands after a page (of a search up to a date, where one is given), and whether that page ends the pass; stuck: it ends without having seen all.';
