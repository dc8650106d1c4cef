-- Turns: row locks of a private table, since an advisory lock can be taken, and kept, by whoever may log in.
create or replace function hubspot_private.turn_take(name text, is_waiting boolean default false)
returns boolean
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  if is_waiting then
    perform from hubspot_private.turns t where t.name = turn_take.name for update;
  else
    perform from hubspot_private.turns t where t.name = turn_take.name for update skip locked;
  end if;
  return found;
end;
$$;
comment on function hubspot_private.turn_take(text, boolean) is
  'Whether this transaction is, until it ends, the only one to do what is so named; false: another does it, or it is no longer done.';
