-- The change feed, kept: a table for each day, made ahead and dropped when it is old. Nobody waits for it longer than a tenth of a
-- second. People hang keys, views and columns on it: what these forbid is a problem, and all else goes on.
create or replace function hubspot_private.change_days()
returns table (name name, begins_at timestamptz, ends_at timestamptz)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select c.relname, d.day at time zone 'UTC', (d.day + interval '1 day') at time zone 'UTC'
  from pg_inherits i
  join pg_class c on c.oid = i.inhrelid
  cross join lateral (select to_timestamp(substr(c.relname, 9), 'YYYYMMDD')::date::timestamp as day) d
  where i.inhparent = 'hubspot.changes'::regclass and c.relname ~ '^changes_[0-9]{8}$'
  order by c.relname;
$$;
comment on function hubspot_private.change_days() is 'The days that have a table of changes; days are UTC''s.';

create or replace function hubspot_private.change_day_make(day date)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_name constant name := to_char(day, '"changes_"YYYYMMDD');
  v_from constant timestamptz := day::timestamp at time zone 'UTC';
  v_until constant timestamptz := (day + 1)::timestamp at time zone 'UTC';
  v_columns text;
  v_moved jsonb[];
begin
  -- To move many would hold the readers up, and to move any would fire a user's trigger again, and cascade through his key: that
  -- day stays where it is, and its rows are deleted when they are old.
  if (select count(*) from (
    select from hubspot_private.changes_rest r where r.at >= v_from and r.at < v_until limit 10001) m)
    > (case when exists (
      select from pg_trigger t where t.tgrelid in ('hubspot.changes'::regclass, 'hubspot_private.changes_rest'::regclass)) then 0 else 10000 end)
  then
    return;
  end if;
  -- Made apart and attached, which lets everyone go on but who looks into the rest. "create table … partition of" would stop all.
  execute format(
    'create table hubspot_private.%I (like hubspot.changes including defaults including constraints including generated, primary key (xid, id, at))', v_name);
  execute format('comment on table hubspot_private.%I is %L', v_name, format('Changes of %s, UTC.', day));
  lock table only hubspot.changes in share update exclusive mode;
  lock table hubspot_private.changes_rest in access exclusive mode;
  with moved as (
    delete from hubspot_private.changes_rest r where r.at >= v_from and r.at < v_until
    returning to_jsonb(r) as change
  )
  select array_agg(m.change) into v_moved from moved m;
  execute format('alter table hubspot.changes attach partition hubspot_private.%I for values from (%L) to (%L)', v_name, v_from, v_until);
  -- Only now: written to a table that is not yet part of the feed, they would be gone for whoever follows a publication of it.
  if v_moved is not null then
    -- All columns: someone may have added some.
    select string_agg(format('r.%I', a.attname), ', ' order by a.attnum) into v_columns
    from pg_attribute a
    where a.attrelid = 'hubspot.changes'::regclass and a.attnum > 0 and not a.attisdropped and a.attgenerated = '';
    execute format(
      'insert into hubspot.changes (%s) overriding system value
       select %s from unnest($1) m cross join lateral jsonb_populate_record(null::hubspot.changes, m) r', replace(v_columns, 'r.', ''), v_columns)
    using v_moved;
  end if;
end;
$$;
comment on function hubspot_private.change_day_make(date) is
  'Makes the table of a day, and moves there what the rest has of it. 55P03 where someone is in the way.';

create or replace function hubspot_private.changes_gone(xid xid8, id bigint)
returns void
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  update hubspot_private.feed f
  set gone_xid = changes_gone.xid, gone_id = changes_gone.id
  where (f.gone_xid, f.gone_id) < (changes_gone.xid, changes_gone.id);
$$;
comment on function hubspot_private.changes_gone(xid8, bigint) is 'Changes up to this one are no longer kept.';

create or replace function hubspot_private.change_day_drop(name name, is_forced boolean)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_newest constant text := format('select c.xid, c.id from hubspot_private.%I c order by c.xid desc, c.id desc limit 1', name);
  v_last record;
begin
  execute v_newest into v_last;
  if not is_forced and exists (select from hubspot_private.subscriptions s where (s.at_xid, s.at_id) < (v_last.xid, v_last.id)) then
    return;
  end if;
  lock table only hubspot.changes in access exclusive mode;
  execute v_newest into v_last;
  if v_last.xid is not null then
    perform hubspot_private.changes_gone(v_last.xid, v_last.id);
  end if;
  execute format('drop table hubspot_private.%I', name);
end;
$$;
comment on function hubspot_private.change_day_drop(name, boolean) is 'Drops the table of a day, but, where it need not be, not while a subscription has still to look through it. 55P03 where someone is in the way.';

create or replace function hubspot_private.changes_held_note(since timestamptz)
returns void
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  select hubspot_private.problem_report('SH220', '*',
    format('table hubspot.changes keeps days that are to be dropped since %s: it is held by process %s',
      to_char(changes_held_note.since at time zone 'UTC', 'YYYY-MM-DD HH24:MI "UTC"'), string_agg(distinct l.pid::text, ', ')),
    format('End its transaction, or select pg_terminate_backend(%s); Nothing else waits for it.', min(l.pid)), null, 'changes')
  from pg_locks l
  where l.locktype = 'relation' and l.relation = 'hubspot.changes'::regclass and l.granted and l.pid <> pg_backend_pid()
    and l.database = (select d.oid from pg_database d where d.datname = current_database())
  having count(*) > 0;
$$;
comment on function hubspot_private.changes_held_note(timestamptz) is 'A day that should have been dropped long ago cannot be: a problem that names who holds the feed.';

create or replace function hubspot_private.changes_note(part text, refusal text)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_property constant text := 'changes ' || part;
begin
  if refusal is null then
    perform hubspot_private.problem_resolve('{SH233}', '*', null, v_property);
  else
    perform hubspot_private.problem_report('SH233', '*', format('days of hubspot.changes cannot be kept: %s', left(refusal, 1500)), null, null, v_property);
  end if;
exception when lock_not_available or deadlock_detected then
  null;
end;
$$;
comment on function hubspot_private.changes_note(text, text) is
  'A problem while something of a user''s forbids to make, drop or delete a part of the feed; null: over.';

create or replace function hubspot_private.changes_drop(before timestamptz, at_last timestamptz)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_day record;
  v_last record;
  v_detail text;
  v_refusal text;
begin
  for v_day in
    select d.name, d.ends_at from hubspot_private.change_days() d where d.ends_at <= before order by d.name
  loop
    begin
      perform hubspot_private.change_day_drop(v_day.name, v_day.ends_at <= at_last);
    exception when lock_not_available or deadlock_detected then
      if v_day.ends_at < before - interval '1 day' then
        perform hubspot_private.changes_held_note(v_day.ends_at);
      end if;
      return;
    when others or assert_failure then
      get stacked diagnostics v_detail = pg_exception_detail;
      v_refusal := coalesce(v_refusal, concat_ws(': ', sqlerrm, nullif(v_detail, '')));
    end;
  end loop;
  perform hubspot_private.problem_resolve('{SH220}', '*', null, 'changes');
  begin
    with gone as (
      delete from hubspot_private.changes_rest r
      where r.ctid = any (array(
        select x.ctid from hubspot_private.changes_rest x
        where x.at < before
          and (x.at < at_last or not exists (select from hubspot_private.subscriptions s where (s.at_xid, s.at_id) < (x.xid, x.id)))
        limit 10000))
      returning r.xid, r.id
    )
    select g.xid, g.id into v_last from gone g order by g.xid desc, g.id desc limit 1;
    if v_last.xid is not null then
      perform hubspot_private.changes_gone(v_last.xid, v_last.id);
    end if;
  exception when lock_not_available or deadlock_detected then
    null;
  when others or assert_failure then
    get stacked diagnostics v_detail = pg_exception_detail;
    v_refusal := coalesce(v_refusal, concat_ws(': ', sqlerrm, nullif(v_detail, '')));
  end;
  perform hubspot_private.changes_note('drop', v_refusal);
end;
$$;
comment on function hubspot_private.changes_drop(timestamptz, timestamptz) is
  'Drops the changes of whole days before a time; those that a subscription lacks before another.';

create or replace function hubspot_private.changes_keep()
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
set lock_timeout = '100ms'
as $$
declare
  v_now constant timestamptz := hubspot_private.clock();
  v_kept constant interval := hubspot_private.setting_interval('changes_kept');
  v_today constant date := (v_now at time zone 'UTC')::date;
  v_sure timestamptz;
  v_day date;
  v_detail text;
  v_refusal text;
begin
  if not hubspot_private.turn_take('changes') then
    return;
  end if;
  -- By a clock that was set far ahead all of it would be old: what HubSpot last told is the later bound.
  select least(v_now, c.told_at - a.hubspot_ahead) into v_sure from hubspot_private.clocks c cross join hubspot_private.account a;
  perform hubspot_private.changes_drop(v_sure - v_kept, v_sure - 2 * v_kept);
  for v_day in
    select v_today + n from generate_series(0, 2) n
    where not exists (select from hubspot_private.change_days() c where c.begins_at = (v_today + n)::timestamp at time zone 'UTC')
  loop
    begin
      perform hubspot_private.change_day_make(v_day);
    exception when lock_not_available or deadlock_detected then
      exit;
    when others or assert_failure then
      -- What comes goes to the rest.
      get stacked diagnostics v_detail = pg_exception_detail;
      v_refusal := coalesce(v_refusal, concat_ws(': ', sqlerrm, nullif(v_detail, '')));
    end;
  end loop;
  perform hubspot_private.changes_note('make', v_refusal);
  perform hubspot_private.notify_look();
  -- It does not heal: it is told for as long as it may matter.
  update hubspot_private.problems p set resolved_at = v_now
  where p.code = 'SH225' and p.resolved_at is null and p.last_seen_at < v_now - hubspot_private.setting_interval('problems_kept');
end;
$$;
comment on function hubspot_private.changes_keep() is
  'Every 20 s: the feed has a table for today and the two days to come, and none that is older than changes_kept. What is in use is left for the next time.';
