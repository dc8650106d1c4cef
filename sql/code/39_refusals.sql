-- When a page is written record by record: whose fault an error is, and what becomes of it.
create or replace function hubspot_private.refusal_note(object text, record_id bigint, state text, message text, context text)
returns text
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  -- What was under way inside our own statement: in any language of messages a line that names a function has PL/ in it.
  v_inner text := regexp_replace(context, 'hubspot_private\.(write_\d+|gone_apply)\(.*', '');
  v_line text := (
    select l from regexp_split_to_table(v_inner, '\n') with ordinality x (l, n)
    where l ~ 'PL/[A-Za-z]' and l !~ 'hubspot_private\.' order by n limit 1);
begin
  if state ~ '^(08|40|53|57|58)' or state = '55P03' then
    -- Locks, deadlocks, a server that stops or is full: over in a moment.
    return null;
  elsif v_line is null and state !~ '^(22|23|54|P0)' then
    -- Neither a value, a constraint nor a trigger of a user's: a column that is gone, a bug.
    return null;
  end if;
  perform hubspot_private.problem_report('SH213', object,
    format('record %s of %s cannot be written: %s (%s)', record_id, object, message, state), null, record_id);
  return concat_ws(' ', state, v_line);
end;
$$;
comment on function hubspot_private.refusal_note(text, bigint, text, text, text) is
  'One record could not be written: SH213, and the error''s signature; null where the error is not the record''s.';

create or replace function hubspot_private.refusals_judge(signatures text[], is_any_written boolean, message text)
returns void
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
begin
  if not is_any_written and cardinality(signatures) >= 20 and signatures[1] !~ '^54'
    and signatures[1] = all (signatures)
  then
    -- Twenty at once, all by the same line and none let through: it is no record's fault.
    raise exception using errcode = left(signatures[1], 5), message = refusals_judge.message;
  end if;
end;
$$;
comment on function hubspot_private.refusals_judge(text[], boolean, text) is
  'Raises the error again where all records of a page were refused alike, twenty at least: then a trigger or constraint is wrong, and nothing is left out.';
revoke all on function hubspot_private.refusal_note(text, bigint, text, text, text) from public;
revoke all on function hubspot_private.refusals_judge(text[], boolean, text) from public;
