-- Someone says that many rows may go (64_absences.sql).
create or replace function hubspot.confirm_deletes(run_id bigint)
returns void
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_stream hubspot_private.streams;
begin
  select s.* into v_stream from hubspot_private.streams s where s.run_id = confirm_deletes.run_id and s.stream = 'resync' and s.range = 0 for update;
  if not found or not hubspot_private.stream_is_held(v_stream) then
    perform hubspot_private.fail('argument_invalid', format('run %s waits for no confirmation', coalesce(run_id::text, 'null')),
      'select * from hubspot.problems where code = ''SH216'' and resolved_at is null; shows which does.');
  end if;
  -- They are read once more: what came back meanwhile stays.
  update hubspot_private.streams s set cursor = '{"absences": "delete"}'
  where (s.object, s.stream, s.range) = (v_stream.object, v_stream.stream, v_stream.range);
  perform hubspot_private.problem_resolve('{SH216}', v_stream.object);
  perform hubspot_private.stream_call(v_stream.object, v_stream.stream, v_stream.range);
end;
$$;
comment on function hubspot.confirm_deletes(bigint) is
  'Lets a full read delete the many rows whose records it found gone (problem SH216); each is read by id once more. SH104.';
