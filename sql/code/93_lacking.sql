-- Properties that an answer leaves out, of one record or of all. HubSpot writes one that is empty as null: where an object was seen to
-- be answered so, a record that lacks one is incomplete and is read again, and the row keeps what it has. Where it never was, silence is
-- believed, but not at once.
create or replace function hubspot_private.asked_properties(object text)
returns text[]
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select array(
    select p.property from hubspot_private.properties p
    where p.object = asked_properties.object and p.archived_at is null
      and (p.is_selected and p.unreadable_at is null or p.property = 'hs_merged_object_ids')
    order by p.property);
$$;
comment on function hubspot_private.asked_properties(text) is 'The properties that every whole read of a record asks for, and that HubSpot defines.';

create or replace function hubspot_private.page_unmentioned(o hubspot_private.objects, body jsonb)
returns text[]
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_names text[] := hubspot_private.asked_properties(o.name);
  v_properties jsonb;
begin
  -- Mostly the first record has all of them.
  for v_properties in select r.value -> 'properties' from jsonb_array_elements(body -> 'results') r loop
    v_names := array(select n from unnest(v_names) n where not coalesce(v_properties ? n, false));
    exit when v_names = '{}';
  end loop;
  return v_names;
end;
$$;
comment on function hubspot_private.page_unmentioned(hubspot_private.objects, jsonb) is 'Properties that were asked for and that no record of a page has, not even empty.';

create or replace function hubspot_private.definitions_doubt(object text, properties text[], asked_at timestamptz)
returns text[]
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_doubted text[] := array(
    select p.property from hubspot_private.properties p
    where p.object = object and p.property = any (properties) and not exists (
      select from hubspot_private.runs d
      where d.object = object and d.stream = 'schema' and d.state = 'done' and d.started_at > greatest(p.unmentioned_at, asked_at - interval '5 minutes')
        and p.unmentioned_at is not null));
begin
  if v_doubted <> '{}' then
    update hubspot_private.properties p set unmentioned_at = hubspot_private.clock()
    where p.object = object and p.property = any (v_doubted) and coalesce(p.unmentioned_at, '-infinity') < hubspot_private.clock() - interval '5 minutes';
    perform hubspot_private.run_request(object, 'schema');
  end if;
  return v_doubted;
end;
$$;
comment on function hubspot_private.definitions_doubt(text, text[], timestamptz) is
  'Of these properties, which a page does not name, those that may have been archived since the definitions were read: they are read anew, and believed for some minutes.';

create or replace function hubspot_private.is_listed()
returns boolean
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  -- The stream does not tell: a full read reads by id what its list passed over, and the values that no URL has room for.
  select coalesce(current_setting('hubspot.is_list', true), '') = 'true';
$$;
comment on function hubspot_private.is_listed() is 'Whether the answer that this transaction takes in is a list''s own; else its records were read by id.';

create or replace function hubspot_private.is_explicit(o hubspot_private.objects)
returns boolean
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select case when hubspot_private.is_listed() then o.is_list_explicit else o.is_empty_explicit end;
$$;
comment on function hubspot_private.is_explicit(hubspot_private.objects) is
  'Whether an answer as the one at hand, of a list or by id, writes a property without a value as null; null: nobody knows yet.';

create or replace function hubspot_private.absent_at(o hubspot_private.objects)
returns timestamptz
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select case when hubspot_private.is_listed() then o.list_absent_at else o.empty_absent_at end;
$$;
comment on function hubspot_private.absent_at(hubspot_private.objects) is
  'Since when answers as the one at hand, of a list or by id, look as if what is empty were left out now; null: the last ones did not.';

create or replace function hubspot_private.empty_learn(o hubspot_private.objects, is_explicit boolean)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_is_list constant boolean := hubspot_private.is_listed();
begin
  update hubspot_private.objects x
  set is_list_explicit = case when v_is_list then is_explicit else x.is_list_explicit end,
    is_empty_explicit = case when v_is_list then x.is_empty_explicit else is_explicit end,
    lacked_at = case when not is_explicit then coalesce(x.lacked_at, hubspot_private.clock()) end
  where x.name = o.name and (hubspot_private.is_explicit(x) is null or is_explicit and not hubspot_private.is_explicit(x));
  if found and is_explicit and o.lacked_at is not null then
    perform hubspot_private.run_request(o.name, 'resync');
  end if;
  update hubspot_private.objects x
  set list_absent_at = case when not v_is_list then x.list_absent_at end, empty_absent_at = case when v_is_list then x.empty_absent_at end
  where x.name = o.name and hubspot_private.absent_at(x) is not null;
end;
$$;
comment on function hubspot_private.empty_learn(hubspot_private.objects, boolean) is
  'Notes how HubSpot answers a property without a value, by list or by id. One null tells that it writes null, and ends every doubt of that; what was taken before, as if it did not, is read again.';

create or replace function hubspot_private.page_lacking(
  o hubspot_private.objects, stream text, body jsonb, asked_at timestamptz, names text[],
  out complete jsonb, out lacking bigint[], out kept bigint[]
)
returns record
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_names constant text[] := coalesce(names, hubspot_private.asked_properties(o.name));
  -- These are in an answer that asked for nothing.
  v_given constant text[] := array(
    select p.property from hubspot_private.properties p
    where p.object = o.name and p.property in ('hs_object_id', 'createdate', 'hs_createdate', o.modified_property) and p.archived_at is null);
  v_telling constant text[] := array(select n from unnest(v_names) n where names is null and n <> all (v_given));
  v_most jsonb;
  v_lacks jsonb;
  v_count bigint;
  v_blank bigint;
  v_unmentioned text[];
  v_bare bigint[];
  v_tried bigint[];
  v_parked text[];
  v_id bigint;
  v_is_explicit boolean := hubspot_private.is_explicit(o);
  v_is_doubted constant boolean := hubspot_private.absent_at(o) is not null;
begin
  complete := body;
  if (v_is_explicit is not true or v_is_doubted) and jsonb_path_exists(body, '$.results[*].properties.* ? (@ == null)') then
    perform hubspot_private.empty_learn(o, true);
    v_is_explicit := true;
  end if;
  if v_is_explicit is false then
    return;
  end if;
  -- Mostly each record has all of them. An object with fewer keys than another is the lesser one, whatever is in them, and of two with as
  -- many that with the lesser first key: so one comparison counts. A fifth of what it takes to look for each name, which comes after, and
  -- at once for what is read by id or asked for by name. Of other pages page_disguised looks at what would be written.
  if stream <> 'fetch' and names is null then
    v_most := (
      select jsonb_object_agg(case when k.n > 1 then k.name else '' end, null)
      from (
        select n.name, row_number() over () as n
        from (select unnest(v_names) union select unnest(v_given) union select jsonb_object_keys(body #> '{results,0,properties}')) n (name)
      ) k);
  end if;
  if not exists (select from jsonb_array_elements(body -> 'results') r where coalesce(r.value -> 'properties' < v_most, true))
    or not exists (select from jsonb_array_elements(body -> 'results') r where not r.value -> 'properties' ?& v_names)
  then
    return;
  end if;
  with r as (
    select e.value ->> 'id' as id, array(select n from unnest(v_names) n where not e.value -> 'properties' ? n) as lacks
    from jsonb_array_elements(body -> 'results') e
    where e.value ->> 'id' ~ '^[0-9]{1,18}$' and (e.value -> 'archived')::text is distinct from 'true'
  )
  select jsonb_object_agg(r.id, to_jsonb(r.lacks)) filter (where r.lacks <> '{}'), count(*),
    count(*) filter (where v_telling <> '{}' and r.lacks @> v_telling),
    -- A list that leaves out what is empty leaves this out of nearly all.
    array_agg(r.id::bigint) filter (where 'hs_merged_object_ids' = any (r.lacks) and (v_is_explicit or not hubspot_private.is_listed()) or v_telling <> '{}' and r.lacks @> v_telling),
    array(select n from r, unnest(r.lacks) n group by n having count(*) = (select count(*) from r))
  into v_lacks, v_count, v_blank, v_bare, v_unmentioned
  from r;
  if v_lacks is null then
    return;
  end if;
  v_tried := array(
    select q.id from hubspot_private.fetch_queue q
    where stream = 'fetch' and q.object = o.name and (q.doubts ->> 'lacking')::integer >= 3 and v_lacks ? q.id::text);
  -- A whole answer that shows nothing is no way to write what is empty, where the other way writes null.
  if coalesce(v_is_explicit, (o.is_list_explicit or o.is_empty_explicit) and v_blank = v_count) is not true then
    -- Nobody knows yet: as other objects are answered, else only what tells nothing at all is in doubt, until it was so four times.
    lacking := case when exists (select from hubspot_private.objects x where hubspot_private.is_explicit(x)) then array(select k::bigint from jsonb_object_keys(v_lacks) k) else v_bare end;
    if lacking && v_tried then
      perform hubspot_private.empty_learn(o, false);
      lacking := null;
    elsif o.lacked_at is null and coalesce(cardinality(lacking), 0) < v_count then
      update hubspot_private.objects x set lacked_at = hubspot_private.clock() where x.name = o.name and x.lacked_at is null;
    end if;
  else
    -- What enough records do not show, where the answer is one to what was asked, is the property's fault.
    if not (v_is_explicit and names is null and hubspot_private.empty_doubt(o, stream, body, v_lacks, v_unmentioned))
      and v_unmentioned <> '{}' and coalesce(cardinality(v_bare), 0) < v_count
    then
      v_parked := hubspot_private.definitions_doubt(o.name, v_unmentioned, asked_at);
      v_parked := array(
        select n from unnest(v_unmentioned) n where n <> all (v_parked) and hubspot_private.lacking_is_general(o, v_lacks, v_tried));
      if v_parked <> '{}' and hubspot_private.properties_park(o.name, v_parked, 'its answers leave it out',
        'The app may lack a scope that this property needs, such as one for sensitive data. The column keeps what it has; it is tried every 15 minutes.') > 0
      then
        -- To be readable again it has to show.
        update hubspot_private.properties p set unmentioned_at = hubspot_private.clock()
        where p.object = o.name and p.property = any (v_parked) and p.unreadable_at is not null;
        perform hubspot_private.lacking_recall(o.name);
        select l.complete, l.lacking, l.kept into complete, lacking, kept
        from hubspot_private.page_lacking(o, stream, body, asked_at,
          case when names is not null then array(select n from unnest(names) n where n <> all (v_parked)) end) l;
        return;
      end if;
    end if;
    kept := array(select i from unnest(v_tried) i where i <> all (coalesce(v_bare, '{}')));
    lacking := array(select k::bigint from jsonb_object_keys(v_lacks) k where k::bigint <> all (kept));
    foreach v_id in array v_tried loop
      perform hubspot_private.problem_report('SH212', o.name,
        format('record %s of %s came without %s', v_id, o.name, left((select string_agg(n, ', ') from jsonb_array_elements_text(v_lacks -> v_id::text) n), 500)),
        'Its row keeps what it has there; it is read again by itself, each hour at the latest.', v_id);
    end loop;
  end if;
  if cardinality(lacking) > 0 or cardinality(kept) > 0 then
    complete := hubspot_private.lacking_keep(o, body, lacking, kept, v_lacks);
  end if;
end;
$$;
comment on function hubspot_private.page_lacking(hubspot_private.objects, text, jsonb, timestamptz, text[]) is
  'A page without the records that lack some of the properties asked for (names; null: all), where HubSpot writes empty ones as null. lacking: they are read again; kept: lacking the same for the fourth time they have what their rows have there, with SH212, and are read again. A property that enough records do not show, and that is still defined, is unreadable (SH215).';

create or replace function hubspot_private.lacking_keep(o hubspot_private.objects, body jsonb, lacking bigint[], kept bigint[], lacks jsonb)
returns jsonb
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_held jsonb := '{}';
begin
  if cardinality(kept) > 0 then
    execute format(
      'select jsonb_object_agg(i, (
         select coalesce(jsonb_object_agg(n, coalesce(to_jsonb(t._extra ->> n), case when jsonb_typeof(h.v) = ''array''
           then to_jsonb((select string_agg(e, '';'' order by k) from jsonb_array_elements_text(h.v) with ordinality a (e, k))) else to_jsonb(h.v #>> ''{}'') end)), ''{}'')
         from jsonb_array_elements_text($2 -> i::text) n
         left join hubspot_private.properties p on p.object = $3 and p.property = n
         cross join lateral (select to_jsonb(t) -> p.column_name) h (v)))
       from unnest($1) i
       left join hubspot.%I t on t.id = i', o.table_name)
    into v_held using kept, lacks, o.name;
  end if;
  return (
    select jsonb_build_object('results', coalesce(jsonb_agg(
      case when v_held ? (r.value ->> 'id') then r.value || jsonb_build_object('properties', (v_held -> (r.value ->> 'id')) || (r.value -> 'properties')) else r.value end
      order by r.ordinality), '[]'))
    from jsonb_array_elements(body -> 'results') with ordinality r
    where r.value ->> 'id' is null or r.value ->> 'id' <> all (coalesce(lacking, '{}')::text[]));
end;
$$;
comment on function hubspot_private.lacking_keep(hubspot_private.objects, jsonb, bigint[], bigint[], jsonb) is
  'A page without some records (lacking), and with what the rows of others (kept) have of the properties that they lack ({id: [property]}).';
