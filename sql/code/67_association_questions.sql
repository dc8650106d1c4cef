-- How associations are read: 1,000 records a call at most, a page of each. First what is dirty, then all in id order (the sweep).
--   The cursor: until, HubSpot's time at which the last whole sweep began; batch, records a call; step, a count. In a sweep also
--   labels (the types are read first), began, last (the id it has come to), read (records so far), swept (past the last one).
create or replace function hubspot_private.associations_pending(pair integer, is_reverse boolean, most integer)
returns table (id bigint, after text, seq bigint)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select p.id, p.after, p.seq
  from (
    select r.from_id as id, r.after, r.seq, null::timestamptz as not_before
    from hubspot_private.association_reads r
    where r.pair = associations_pending.pair and r.is_reverse = associations_pending.is_reverse
    union all
    -- Dirtied again while it is half read, it is read to its end and then anew: or one dirtied all the time would never be.
    (select d.from_id, null, d.seq, d.not_before
    from hubspot_private.association_dirty d
    where d.pair = associations_pending.pair and d.is_reverse = associations_pending.is_reverse and d.attempts = 0
      and d.not_before <= (select hubspot_private.clock())
      and not exists (
        select from hubspot_private.association_reads r
        where (r.pair, r.is_reverse, r.from_id) = (d.pair, d.is_reverse, d.from_id))
    -- Of very many, the first by the index.
    order by d.not_before
    limit associations_pending.most)
  ) p
  order by p.not_before nulls first, p.id
  limit associations_pending.most;
$$;
comment on function hubspot_private.associations_pending(integer, boolean, integer) is
  'Records to ask for now, besides the sweep: those half read, with where they go on, then dirty ones.';

create or replace function hubspot_private.associations_question(s hubspot_private.streams)
returns jsonb
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_pair hubspot_private.pairs;
  v_from hubspot_private.objects;
  v_to hubspot_private.objects;
  v_most constant integer := least((s.cursor ->> 'batch')::integer, s.ask_most, 1000);
  v_control bigint;
  v_is_reverse boolean := true;
  v_is_alone boolean := false;
  v_inputs jsonb;
  v_seqs jsonb;
  v_sweep record;
  v_count integer;
  v_question jsonb;
begin
  select p.* into strict v_pair from hubspot_private.pairs p where p.number = s.range;
  select o.* into strict v_from from hubspot_private.objects o where o.name = v_pair.from_object;
  select o.* into strict v_to from hubspot_private.objects o where o.name = v_pair.to_object;
  if s.cursor ? 'labels' then
    return jsonb_build_object('kind', 'labels', 'from', hubspot_private.object_path(v_from), 'to', hubspot_private.object_path(v_to));
  end if;
  loop
    select coalesce(jsonb_agg(jsonb_strip_nulls(jsonb_build_object('id', p.id::text, 'after', p.after))), '[]'),
      coalesce(jsonb_agg(p.seq), '[]')
    into v_inputs, v_seqs
    from (
      select q.* from hubspot_private.associations_pending(v_pair.number, v_is_reverse, v_most + cardinality(s.suspects)) q
      where case when v_is_reverse then -q.id else q.id end <> all (s.suspects)
      limit v_most
    ) p;
    exit when v_inputs <> '[]' or not v_is_reverse;
    v_is_reverse := false;
  end loop;
  if v_inputs = '[]' then
    select jsonb_build_array(jsonb_build_object('id', d.from_id::text)), jsonb_build_array(d.seq), d.is_reverse, true
    into v_inputs, v_seqs, v_is_reverse, v_is_alone
    from hubspot_private.association_dirty d
    where d.pair = v_pair.number and d.attempts > 0 and d.not_before <= (select hubspot_private.clock())
      and case when d.is_reverse then -d.from_id else d.from_id end <> all (s.suspects)
    order by d.not_before, d.from_id
    limit 1;
    if not found then
      v_inputs := '[]';
      v_seqs := '[]';
      v_is_reverse := false;
      v_is_alone := false;
    end if;
  end if;
  v_question := jsonb_build_object('kind', 'associations', 'is_reverse', v_is_reverse,
    'from', hubspot_private.object_path(case when v_is_reverse then v_to else v_from end),
    'to', hubspot_private.object_path(case when v_is_reverse then v_from else v_to end));
  v_count := v_most - jsonb_array_length(v_inputs);
  if s.cursor ? 'last' and not s.cursor ? 'swept' and not v_is_reverse and not v_is_alone and v_count > 0 then
    execute format(
      'select max(l.id) as last, count(*) as read,
         coalesce(jsonb_agg(jsonb_build_object(''id'', l.id::text)) filter (where l.is_asked), ''[]'') as inputs,
         coalesce(jsonb_agg(l.seq) filter (where l.is_asked), ''[]'') as seqs
       from (
         select t.id, d.seq, not $4 @> jsonb_build_array(jsonb_build_object(''id'', t.id::text))
           -- What failed in a batch is asked alone.
           and coalesce(d.attempts, 0) = 0 and t.id <> all ($5) as is_asked
         from (select t.id from %s and t.id > $1 order by t.id limit $2) t
         left join hubspot_private.association_dirty d on d.pair = $3 and not d.is_reverse and d.from_id = t.id
         order by t.id
       ) l', hubspot_private.live_rows(v_from))
    into v_sweep using (s.cursor ->> 'last')::bigint, v_count, v_pair.number, v_inputs, s.suspects;
    v_inputs := v_inputs || v_sweep.inputs;
    v_seqs := v_seqs || v_sweep.seqs;
    v_question := v_question || jsonb_build_object('last', v_sweep.last, 'read', v_sweep.read, 'is_swept', v_sweep.read < v_count);
  end if;
  if v_inputs = '[]' and s.suspects <> '{}' then
    v_control := hubspot_private.control_id(v_from.name, s.suspects);
    if v_control is null then
      s.suspects := '{}';
      return hubspot_private.associations_question(s);
    end if;
    v_inputs := jsonb_build_array(jsonb_build_object('id', v_control::text));
    v_seqs := '[null]';
  end if;
  return v_question || jsonb_build_object('inputs', v_inputs, 'seqs', v_seqs);
end;
$$;
comment on function hubspot_private.associations_question(hubspot_private.streams) is
  'Which records'' associations a pair asks for next, with the seqs of their dirty rows; before a sweep, the pair''s types.';

create or replace function hubspot_private.association_states(request jsonb, answer jsonb)
returns table (id bigint, seq bigint, asked_after text, next_after text, state text, is_broken boolean)
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
  if jsonb_typeof(answer -> 'results') is distinct from 'array' then
    perform hubspot_private.fail('answer_unreadable', 'it has no results');
  end if;
  return query
  with inputs as (
    select (i.value ->> 'id')::bigint as id, i.value ->> 'after' as after, (request -> 'seqs' ->> (i.n - 1)::integer)::bigint as seq
    from jsonb_array_elements(request -> 'inputs') with ordinality i (value, n)
  ),
  results as materialized (
    -- A record that is there twice has what both say.
    select r.value #>> '{from,id}' as id, max(nullif(r.value #>> '{paging,next,after}', '')) as after,
      bool_or(jsonb_path_exists(r.value, '$.to[0]')) as is_any,
      -- One that cannot be read may be any of those that are here.
      not bool_and(hubspot_private.edges_are_told(r.value -> 'to')) as is_broken
    from jsonb_array_elements(answer -> 'results') r
    where jsonb_typeof(r.value -> 'to') = 'array'
    group by 1
  ),
  empty as materialized (
    select distinct i.value as id
    from jsonb_array_elements(case when jsonb_typeof(answer -> 'errors') = 'array' then answer -> 'errors' else '[]' end) e
    cross join lateral jsonb_array_elements_text(
      case when jsonb_typeof(e.value #> '{context,fromObjectId}') = 'array' then e.value #> '{context,fromObjectId}' else '[]' end) i
    where e.value ->> 'subCategory' like '%NO\_ASSOCIATIONS\_FOUND'
  )
  select i.id, i.seq, i.after, r.after,
    case
      -- What comes behind one that cannot be read is read all the same.
      when r.after is not null then 'part'
      when r.is_broken then 'unsaid'
      -- Behind the last one nothing is explicit enough: the pages before were. How it is said there says nothing of records that have none.
      when r.is_any or i.after is not null and coalesce(r.id, e.id) is not null then 'whole'
      when e.id is not null then 'empty'
      when r.id is not null then 'blank'
      else 'unsaid'
    end,
    coalesce(r.is_broken, false)
  from inputs i
  left join results r on r.id = i.id::text
  left join empty e on e.id = i.id::text;
end;
$$;
comment on function hubspot_private.association_states(jsonb, jsonb) is
  'What an answer says of each record asked for: whole, part (it goes on at next_after), empty (explicitly), blank (an empty list), or unsaid, as where one of them cannot be read (is_broken).';

create or replace function hubspot_private.blanks_judge(p hubspot_private.pairs, is_reverse boolean, states jsonb)
returns jsonb
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  -- Where the pair has shown none yet, as the account does elsewhere.
  v_is_explicit boolean := coalesce(p.is_empty_explicit, (select bool_or(x.is_empty_explicit) from hubspot_private.pairs x));
  v_blank bigint[];
  v_unsaid bigint[];
begin
  select array_agg(i.key::bigint) filter (where i.value ->> 'state' = 'blank'),
    case when bool_or(i.value ->> 'state' = 'empty') then true else v_is_explicit end
  into v_blank, v_is_explicit
  from jsonb_each(states) i;
  if v_blank is not null and v_is_explicit is not true and (select count(*) from jsonb_object_keys(states)) = 1 and exists (
    select from hubspot_private.association_dirty d
    where d.pair = p.number and d.is_reverse = is_reverse and d.from_id = any (v_blank) and d.attempts > 0)
  then
    -- Alone it is answered so again: here that is how HubSpot says that there are none. Others need not be asked alone.
    v_is_explicit := false;
    update hubspot_private.association_dirty d set attempts = 0, not_before = hubspot_private.clock()
    where p.is_empty_explicit is null and d.pair = p.number and d.attempts = 1;
  end if;
  update hubspot_private.pairs x set is_empty_explicit = v_is_explicit
  where x.number = p.number and x.is_empty_explicit is distinct from v_is_explicit;
  if v_blank is null then
    return states;
  elsif v_is_explicit then
    -- Known to say so with an error, it is not believed without one, however often it is asked about one record. Of a record
    -- that has none here nothing is lost: it is asked once more, where something told of it.
    v_unsaid := array(
      select case when is_reverse then e.to_id else e.from_id end
      from unnest(hubspot_private.edges_of(p, v_blank, not is_reverse, is_reverse)) e
      union
      select d.from_id from hubspot_private.association_dirty d
      where d.pair = p.number and d.is_reverse = is_reverse and d.from_id = any (v_blank) and d.attempts = 0);
  elsif v_is_explicit is null and not is_reverse then
    -- Nobody knows yet. Where there is nothing here, nothing is lost.
    v_unsaid := array(select e.from_id from unnest(hubspot_private.edges_of(p, v_blank, true, false)) e);
  end if;
  return states || (
    select jsonb_object_agg(i, states -> i::text || jsonb_build_object('state', case when i = any (v_unsaid) then 'unsaid' else 'empty' end))
    from unnest(v_blank) i);
end;
$$;
comment on function hubspot_private.blanks_judge(hubspot_private.pairs, boolean, jsonb) is
  'An empty list without an error: whether it says that a record has none (empty) or nothing (unsaid), by how this account says so elsewhere. One that says so explicitly is never taken at an empty list where there are rows.';

create or replace function hubspot_private.associations_unsaid(pair integer, is_reverse boolean, object text, ids bigint[], broken bigint[])
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_id bigint;
begin
  -- Half read, it begins anew.
  delete from hubspot_private.association_reads r where r.pair = pair and r.is_reverse = is_reverse and r.from_id = any (ids);
  if not is_reverse then
    delete from hubspot_private.association_pages e where e.pair = pair and e.from_id = any (ids);
  end if;
  for v_id in
    with again as (
      insert into hubspot_private.association_dirty as d (pair, is_reverse, from_id, attempts, not_before)
      select pair, is_reverse, i, 1, hubspot_private.clock() + interval '1 second' from unnest(ids) i order by i
      on conflict on constraint association_dirty_pkey do update
      -- What was found new meanwhile is read again with the rest.
      set attempts = d.attempts + 1, held = 0,
        not_before = hubspot_private.clock() + make_interval(secs => least(power(2, least(d.attempts, 12)), 3600))
      returning d.from_id, d.attempts
    )
    select a.from_id from again a where a.attempts >= 5 order by a.from_id
  loop
    perform hubspot_private.problem_report('SH217', object,
      format(case
        when v_id = any (broken) then 'HubSpot shows an association of record %s of %s that cannot be read: the others are taken, and none goes'
        else 'HubSpot says nothing of the associations of record %s of %s' end, v_id, object), null, v_id,
      (select p.table_name from hubspot_private.pairs p where p.number = pair));
  end loop;
  perform hubspot_private.stream_wake(p.from_object, 'associations', p.number, hubspot_private.clock() + interval '1 second')
  from hubspot_private.pairs p where p.number = pair;
end;
$$;
comment on function hubspot_private.associations_unsaid(integer, boolean, text, bigint[], bigint[]) is
  'An answer said nothing of these records, or not all (broken): each is asked alone, later each time; after five times it is a problem.';

create or replace function hubspot_private.associations_restart(pair integer)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
begin
  with half as (
    delete from hubspot_private.association_reads r where r.pair = pair returning r.is_reverse, r.from_id
  )
  insert into hubspot_private.association_dirty (pair, is_reverse, from_id, not_before)
  select pair, h.is_reverse, h.from_id, hubspot_private.clock() from half h order by h.is_reverse, h.from_id
  on conflict on constraint association_dirty_pkey do nothing;
  delete from hubspot_private.association_pages e where e.pair = pair;
end;
$$;
comment on function hubspot_private.associations_restart(integer) is 'Records of a pair that are half read are read anew.';
