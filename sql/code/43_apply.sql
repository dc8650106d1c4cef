-- What may change a row. Values come from store reads only; asked_at is when a read was sent, by this database's clock:
--   asked after the row or its tombstone was last written: the truth, applied where a value differs;
--   asked before that, or before the object's last resync began: it overlaps, writes nothing, and where it differs its id is fetched;
--   found gone: a tombstone, whether or not the mirror held it.
create or replace function hubspot_private.object_lock(object_number integer, is_deleting boolean)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  -- A page that inserts and a read that found ids gone must not pass each other unseen: the second takes the lock alone. That of a
  -- table: nothing is written for it, and nobody else may take it.
  execute format('lock table hubspot_private.lock_%s in %s mode', object_number % 32, case when is_deleting then 'exclusive' else 'row share' end);
end;
$$;
comment on function hubspot_private.object_lock(integer, boolean) is
  'Held to the end of a step: pages of one object are applied side by side, findings that records are gone alone.';

do $$
begin
  if to_regtype('hubspot_private.page_result') is null then
    create type hubspot_private.page_result as (
      rows_read bigint, inserted bigint, updated bigint, unchanged bigint, stale bigint, regressed bigint, deleted bigint
    );
  end if;
end;
$$;
comment on type hubspot_private.page_result is 'What applying a page came to.';

create or replace function hubspot_private.stream_marks_writing(object text, stream text, range integer)
returns void
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  update hubspot_private.streams s
  set writer = pg_current_xact_id()
  where s.object = stream_marks_writing.object and s.stream = stream_marks_writing.stream
    and s.range = stream_marks_writing.range and s.writer is distinct from pg_current_xact_id();
$$;
comment on function hubspot_private.stream_marks_writing(text, text, integer) is
  'Marks this transaction as the sync''s own for the read-only triggers.';

create or replace function hubspot_private.page_apply(
  object text, stream text, range integer, body jsonb, asked_at timestamptz, reason text
)
returns hubspot_private.page_result
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_object hubspot_private.objects;
  v_result hubspot_private.page_result := (0, 0, 0, 0, 0, 0, 0);
  v_now timestamptz;
  v_all integer;
  v_unreadable bigint;
  v_new text[];
  v_known text[];
  v_behind text[];
  v_hidden bigint[];
  v_differ bigint[];
  v_older bigint[];
  v_free bigint[];
  v_write text[];
  v_written bigint[];
  v_back bigint[];
  v_extras jsonb;
  v_again bigint[];
  v_merged bigint[];
  v_silent bigint[] := '{}';
  v_incomplete bigint[];
  v_kept bigint[];
  v_id text;
  v_one bigint[]; v_one_extras jsonb;
  v_refused bigint[];
  v_count bigint;
  v_context text;
  v_sign text;
  v_signs text[];
  v_error text;
  v_session text[];
  v_triggers text;
begin
  if jsonb_typeof(body -> 'results') is distinct from 'array' then
    perform hubspot_private.fail('answer_unreadable', 'it has no results');
  end if;
  select o.* into strict v_object from hubspot_private.objects o where o.name = object;
  select l.complete, c.incomplete || l.lacking, l.kept into body, v_incomplete, v_kept
  from hubspot_private.page_complete(v_object, body) c, hubspot_private.page_lacking(v_object, stream, c.complete, asked_at, null) l;
  v_all := pg_catalog.jsonb_array_length(body -> 'results');
  execute pg_catalog.format('select * from hubspot_private.judge_%s($1, $2, $3, $4)', v_object.number)
  into v_result.rows_read, v_unreadable, v_new, v_known, v_behind, v_hidden
  using body, v_object.name, asked_at, v_object.resync_started_at;
  if v_unreadable > 0 then
    perform hubspot_private.problem_report('SH212', object);
  end if;
  v_result.stale := coalesce(pg_catalog.cardinality(v_behind), 0) + coalesce(pg_catalog.cardinality(v_hidden), 0);
  v_again := v_hidden || v_incomplete || v_kept;

  if v_known is not null then
    execute pg_catalog.format(
      'select array_agg(d.differing_id order by d.differing_id), array_agg(d.differing_id) filter (where d.is_older)
       from hubspot_private.differing_%s($1, $2) d', v_object.number)
    into v_differ, v_older using body, case when pg_catalog.cardinality(v_known) < v_all then v_known end;
    v_again := v_again || array(select i from unnest(v_differ) i where i::text = any (v_behind));
    v_differ := array(select i from unnest(v_differ) i where i::text <> all (coalesce(v_behind, '{}')) order by i);
    if v_differ <> '{}' and hubspot_private.is_explicit(v_object) is not true then
      v_silent := hubspot_private.page_silent(v_object, stream, body, v_differ, asked_at);
      v_again := v_again || v_silent;
      v_differ := array(select i from unnest(v_differ) i where i <> all (v_silent));
    end if;
    -- Rows that someone holds locked are left to the fetch queue, so that a user's lock never stops a page.
    execute pg_catalog.format(
      'select array_agg(l.id) from (select t.id from hubspot.%I t where t.id = any ($1) order by t.id %s skip locked) l',
      v_object.table_name, hubspot_private.row_lock(v_object.table_name))
    into v_free using v_differ;
    perform hubspot_private.refusals_end(v_object.name, v_known::bigint[], v_differ || v_behind::bigint[] || v_kept, asked_at);
  end if;
  v_write := coalesce(v_new, '{}') || coalesce(v_free::text[], '{}');
  if v_write <> '{}' then
    v_merged := hubspot_private.doubt_merged(object, v_write);
    v_merged := v_merged || hubspot_private.page_disguised(v_object, stream, body, v_write);
    if v_merged is not null then
      v_again := v_again || v_merged;
      v_write := array(select i from unnest(v_write) i where i::bigint <> all (v_merged));
    end if;
  end if;
  v_result.unchanged := coalesce(pg_catalog.cardinality(v_known), 0) - coalesce(pg_catalog.cardinality(v_behind), 0)
    - coalesce(pg_catalog.cardinality(v_differ), 0);

  if v_write <> '{}' and pg_catalog.current_setting('hubspot.careful', true) = 'apart' then
    v_refused := hubspot_private.page_apart(v_object, v_write::bigint[]);
    v_write := '{}';
  end if;
  if pg_catalog.cardinality(v_write) > 0 then
    perform hubspot_private.stream_marks_writing(object, stream, range);
    v_now := hubspot_private.clock();
    v_session := hubspot_private.session_state();
    v_triggers := hubspot_private.own_triggers(pg_catalog.format('hubspot.%I', v_object.table_name)::regclass);
    if pg_catalog.current_setting('hubspot.careful', true) = 'true' then
      -- Something on this page cannot be written: what it is, is left out, and the rest is not held up by it.
      perform hubspot_private.constraints_check();
      foreach v_id in array v_write loop
        for v_try in 1..3 loop
          begin
            -- What columns that no page fills hold may be in the way. Where it was not, the handler has undone this.
            if v_try > 1 then
              execute hubspot_private.room_statement(v_object.name, v_try = 3) using v_id::bigint;
              perform pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
            end if;
            execute pg_catalog.format('select * from hubspot_private.write_%s($1, $2, $3, $4, false)', v_object.number)
            into v_one, v_one_extras, v_count using body, array[v_id], asked_at, v_now;
            perform pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
            if current_user <> v_session[1] then
              raise exception '% went on as role %', v_triggers, current_user;
            end if;
            perform hubspot_private.session_settle(v_session, v_triggers);
            delete from hubspot.merges k where k.object = v_object.name and k.lost_id = any (v_one);
            v_written := v_written || v_one;
            v_result.inserted := v_result.inserted + v_count;
            v_extras := coalesce(v_extras, '{}') || coalesce(v_one_extras, '{}');
            exit;
          exception when others or query_canceled or assert_failure then
            continue when sqlstate = '54000' and v_try < 3;
            get stacked diagnostics v_context = pg_exception_context;
            v_sign := hubspot_private.refusal_note(object, v_id::bigint, sqlstate, sqlerrm, v_context);
            if v_sign is null then
              raise;
            end if;
            v_error := sqlerrm;
            v_refused := v_refused || v_id::bigint;
            v_signs := v_signs || v_sign;
            exit;
          end;
        end loop;
      end loop;
      perform hubspot_private.refusals_judge(v_signs, v_written is not null, v_error);
    else
      execute pg_catalog.format('select * from hubspot_private.write_%s($1, $2, $3, $4, $5)', v_object.number)
      into v_written, v_extras, v_result.inserted
      using body, case when pg_catalog.cardinality(v_write) < v_all then v_write end, asked_at, v_now, v_free is null;
      perform pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
      if current_user <> v_session[1] then
        raise exception '% went on as role %', v_triggers, current_user;
      end if;
      perform hubspot_private.session_settle(v_session, v_triggers);
    end if;
    if pg_catalog.cardinality(v_write) > coalesce(pg_catalog.cardinality(v_written), 0) + coalesce(pg_catalog.cardinality(v_refused), 0) then
      v_refused := v_refused || hubspot_private.skipped_note(v_object, array(
        select i::bigint from unnest(v_write) i
        where i::bigint <> all (coalesce(v_written, '{}')) and i::bigint <> all (coalesce(v_refused, '{}'))), asked_at, v_written is not null);
    end if;
    v_result.updated := coalesce(pg_catalog.cardinality(v_written), 0) - v_result.inserted;
    if v_older is not null then
      v_result.regressed := (select count(*) from unnest(v_older) i where i = any (v_written));
    end if;
    with back as (
      delete from hubspot_private.tombstones g where g.object = v_object.name and g.id = any (v_written) returning g.id
    )
    select array_agg(b.id) into v_back from back b;
    perform hubspot_private.associations_dirty(v_object.name, v_back, true);
    -- One that is there after all was not merged away.
    delete from hubspot.merges k where k.object = v_object.name and k.lost_id = any (v_back);
    if stream <> 'backfill' then
      -- A list that is polled tells of changes by its values alone.
      perform hubspot_private.associations_dirty(v_object.name,
        array(select i from unnest(v_written) i where stream = 'poll' or i::text = any (v_new)));
    end if;
    if v_extras is not null
      or exists (select from hubspot_private.problems p where p.object = v_object.name and p.code in ('SH209', 'SH210', 'SH212', 'SH213', 'SH214') and p.resolved_at is null)
    then
      perform hubspot_private.values_judge(v_object.name, coalesce(v_extras, '{}'),
        array(select i from unnest(v_written) i where i <> all (coalesce(v_kept, '{}'))));
    end if;
  end if;
  -- Locked, or written by a read that was asked later while this one was on its way.
  if pg_catalog.cardinality(v_differ) > coalesce(pg_catalog.cardinality(v_free), 0) then
    v_again := v_again || array(select i from unnest(v_differ) i where i <> all (coalesce(v_free, '{}')));
  end if;
  if pg_catalog.cardinality(v_write) > coalesce(pg_catalog.cardinality(v_written), 0) then
    v_again := v_again || array(
      select i::bigint from unnest(v_write) i
      where i::bigint <> all (coalesce(v_written, '{}')) and i::bigint <> all (coalesce(v_refused, '{}')));
  end if;
  if stream = 'fetch' then
    perform hubspot_private.doubt_shown(v_object.name, v_new || v_known || v_hidden::text[], v_incomplete || v_kept || v_silent, v_merged);
  end if;
  if v_refused is not null then
    perform hubspot_private.fetch_enqueue(v_object.name, v_refused, 'refused', hubspot_private.clock() + interval '15 minutes');
  end if;
  if pg_catalog.cardinality(v_again) > 0 then
    perform hubspot_private.fetch_enqueue(v_object.name, v_again, reason,
      -- What another transaction holds now is asked again when it may be over.
      hubspot_private.clock() + interval '1 second');
    -- Soon, however often: the definitions are read meanwhile.
    update hubspot_private.fetch_queue q set not_before = hubspot_private.clock() + interval '2 seconds'
    where q.object = v_object.name and q.id = any (v_silent);
  end if;
  return v_result;
end;
$$;
comment on function hubspot_private.page_apply(text, text, integer, jsonb, timestamptz, text) is
  'Applies a page of records ({"results": […]} as HubSpot sent it) by the rule above, and queues what is in doubt.';
revoke all on function hubspot_private.page_apply(text, text, integer, jsonb, timestamptz, text) from public;
