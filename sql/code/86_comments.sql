-- What the columns of the public views and catalogue tables mean, where \d+ shows it.
do $$
declare
  v_column record;
begin
  for v_column in
    select c.relation, c.name, c.comment from (values
      ('status', 'object', 'The object''s name, as the verbs take it.'),
      ('status', 'state', 'waiting (for its definitions), backfilling, live, list only (HubSpot has no search for it), paused, or parked (HubSpot refuses: see last_error).'),
      ('status', 'rows', 'Rows of the table.'),
      ('status', 'progress', 'Of the first load, 0 to 1.'),
      ('status', 'eta', 'How long the first load still takes, as it went so far.'),
      ('status', 'lag', 'Since the last finished poll began.'),
      ('status', 'complete_until', 'HubSpot''s time up to which even what its search showed late has been read.'),
      ('status', 'deletes_complete_until', 'Not known yet: null.'),
      ('status', 'associations_complete_until', 'Not known yet: null.'),
      ('status', 'last_run_at', 'When a poll, first load or full read last ended.'),
      ('status', 'next_run_at', 'When the next poll is due.'),
      ('status', 'found_by_settle', 'Records that only a later settle pass found.'),
      ('status', 'problems', 'Open problems: select * from hubspot.problems where resolved_at is null.'),
      ('status', 'last_error', 'The newest open problem''s message.'),
      ('runs', 'object', 'Null: the account (owners, custom objects).'),
      ('runs', 'stream', 'backfill, poll, settle, fetch, resync or schema.'),
      ('runs', 'state', 'waiting (asked for, paused or backing off), running, done, failed, stopped (untracked), interrupted (its worker died; another goes on).'),
      ('runs', 'requests', 'Calls of HubSpot.'),
      ('runs', 'rows_read', 'Records in their answers.'),
      ('runs', 'unchanged', 'Records that were already so: nothing was written.'),
      ('runs', 'stale', 'Records whose read was overtaken by a later one: nothing was written.'),
      ('runs', 'regressed', 'Records written with an older version than their row had.'),
      ('runs', 'hinted', 'Records that search named and that were queued for a read.'),
      ('runs', 'range', 'Which settle window, or part of the object.'),
      ('quota', 'budget', 'burst (calls), search (each second) or daily.'),
      ('quota', 'max_requests', 'As chosen with set_quota, else as HubSpot''s headers say, else the lowest known.'),
      ('quota', 'share', 'This product''s part of it.'),
      ('quota', 'used', 'Requests in the present period.'),
      ('quota', 'spread_ms', 'J: how much request delays differ, in ms; kept free in every period.'),
      ('quota', 'next_free_at', 'When the next request may be sent.'),
      ('quota', 'throttled_count', '429s since the installation.'),
      ('problems', 'record_id', 'The record, where one is at fault.'),
      ('problems', 'code', 'As in docs/errors.md.'),
      ('problems', 'resolved_at', 'When it healed; null while it is open.'),
      ('properties', 'column_name', 'Its column; null: none, its values are in _extra if it is chosen.'),
      ('properties', 'column_type', 'The column''s type, or the one it would get.'),
      ('properties', 'is_selected', 'Chosen by track().'),
      ('properties', 'archived_at', 'When it was seen gone from HubSpot; its column is kept.'),
      ('properties', 'locked_at', 'When it got its column, for good.'),
      ('object_types', 'object', 'The name that the verbs take; its table''s too, but for names that were taken.'),
      ('object_types', 'object_type_id', 'HubSpot''s type id, such as 0-1 or 2-12345.'),
      ('schedules', 'every', 'The interval; null where cron is set.'),
      ('schedules', 'next_run_at', 'When the next run begins; null: not before the first load.'),
      ('settings', 'value', 'In force, as JSON.'),
      ('owners', 'id', 'What hubspot_owner_id of a record holds, as text.'),
      ('owners', 'is_archived', 'Deactivated in HubSpot.'),
      ('pipelines', 'id', 'What a record''s pipeline column holds.'),
      ('pipeline_stages', 'id', 'What a record''s stage column holds.'),
      ('pipeline_stages', 'metadata', 'As HubSpot gives it; values are strings.'),
      ('property_options', 'value', 'What records hold.'),
      ('merges', 'kept_id', 'The record that the lost one is part of now.')
    ) as c (relation, name, comment)
  loop
    perform hubspot_private.comment_set(format('column hubspot.%I.%I', v_column.relation, v_column.name),
      col_description(to_regclass('hubspot.' || v_column.relation), (
        select a.attnum from pg_attribute a
        where a.attrelid = to_regclass('hubspot.' || v_column.relation) and a.attname = v_column.name)),
      v_column.comment);
  end loop;
end;
$$;
