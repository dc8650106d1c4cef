-- Locks on what users read: nobody waits long for one, since whoever waits holds up every query that comes after.
create or replace function hubspot_private.ddl_run(statements text[], relations text[])
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_timeout constant text := current_setting('lock_timeout');
  v_at integer;
begin
  for v_try in 1..10 loop
    begin
      perform set_config('lock_timeout', '100ms', true);
      for i in 1..coalesce(cardinality(statements), 0) loop
        v_at := i;
        continue when statements[i] is null;
        execute statements[i];
      end loop;
      perform set_config('lock_timeout', v_timeout, true);
      return;
    exception when lock_not_available or deadlock_detected then
      -- None is held while another is waited for longer.
      perform pg_sleep(0.1);
    end;
  end loop;
  perform hubspot_private.fail('table_held', relations[v_at]);
end;
$$;
comment on function hubspot_private.ddl_run(text[], text[]) is
  'Runs statements that need each a relation for itself, all or none, for a verb: in ten tries of a tenth of a second; SH220 where others hold one.';

create or replace function hubspot_private.row_lock(table_name text)
returns text
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  -- A row that is to be updated is held no more than by a foreign key to it from an open transaction, which its update does not wait
  -- for either: but for one that changes a column of a unique index, which may be such a key.
  select case when exists (
    select from pg_index i
    where i.indrelid = to_regclass(format('hubspot.%I', row_lock.table_name)) and i.indisunique and not i.indisprimary
      and i.indpred is null and i.indexprs is null)
  then 'for update' else 'for no key update' end;
$$;
comment on function hubspot_private.row_lock(text) is 'SQL text: the lock that an update of a mirror table''s rows takes.';
