-- Errors: one table, one helper. Classes: SH0 set-up, SH1 the caller's mistake, SH2 HubSpot refused, SH3 budget, SH9 our bug.
insert into hubspot_private.errors as e (code, name, message, hint) values
  ('SH001', 'newer_database', 'this database was installed by a newer pg-hubspot', 'Upgrade the package: npm install pg-hubspot@latest'),
  ('SH002', 'missing_privilege', 'missing privilege: %s', '%s'),
  ('SH003', 'not_connected', 'no HubSpot account is connected', 'Run select hubspot.connect(access_token => ''pat-…''), or pg-hubspot connect.'),
  ('SH004', 'pooled_connection', 'the connection goes through a transaction pooler', 'Give the worker a direct or session-pooled connection in DATABASE_URL; SQL verbs work through any pooler.'),
  ('SH005', 'wrong_database', 'this database is a copy of the one that was installed', 'Nothing is asked of HubSpot. To read on here beside the original: select hubspot.adopt(read_only => true); to take its place: select hubspot.adopt(read_only => false);'),
  ('SH006', 'queue_version', 'the queue schema %s is of another graphile-worker version', '%s'),
  ('SH007', 'postgres_unsupported', 'PostgreSQL %s is not supported', 'Use PostgreSQL 15 to 18.'),
  ('SH008', 'no_worker', 'no worker is running', 'Start one with: npx pg-hubspot worker'),
  ('SH009', 'database_refused', 'the database refused a step: %s', 'Read the message: a lock held for long, or a trigger of yours that raises. It is tried again by itself.'),
  ('SH010', 'database_unfit', 'database %s', '%s'),
  ('SH011', 'key_missing', 'the stored secrets are sealed, and PG_HUBSPOT_KEY is not set', 'Start the worker with the PG_HUBSPOT_KEY they were sealed with, or connect again.'),
  ('SH012', 'key_differs', 'the stored secrets were sealed with another PG_HUBSPOT_KEY', 'Start the worker with the PG_HUBSPOT_KEY they were sealed with, or connect again.'),
  ('SH013', 'renewal_off', 'the access token has ended, and must not be renewed here: %s', '%s'),
  ('SH014', 'http_address', 'HTTP cannot be served at %s: %s', 'Give a free address, as in pg-hubspot worker --http 127.0.0.1:8470, or --http off.'),
  ('SH015', 'webhook_secret_missing', 'webhooks arrive, and there is no client secret to check them with', 'Set HUBSPOT_CLIENT_SECRET in the worker''s environment: the app''s client secret, from its page in HubSpot; or connect by OAuth.'),
  ('SH016', 'not_installed', 'pg-hubspot is not installed in this database', 'Run: npx pg-hubspot install'),
  ('SH017', 'gateway_unfit', 'the gateway %s', '%s'),
  ('SH018', 'gateway_unchallenged', 'the server asks for no password, so the gateway does not let anyone in', 'In pg_hba.conf, give the address from which the worker connects scram-sha-256 instead of trust, peer or ident.'),
  ('SH019', 'gateway_refused', 'the gateway refuses the connection: %s', '%s'),
  ('SH020', 'name_taken', '%s is there already, and is not pg-hubspot''s', '%s'),
  ('SH101', 'object_not_tracked', 'object %s is not tracked', '%s'),
  ('SH102', 'object_unknown', 'HubSpot has no object %s', '%s'),
  ('SH103', 'property_unknown', 'object %s has no property %s', '%s'),
  ('SH104', 'argument_invalid', '%s', '%s'),
  ('SH105', 'table_read_only', 'table hubspot.%s is read-only', 'Its rows come from HubSpot. Change the record there, or keep your own columns in a table of your own.'),
  ('SH106', 'role_unknown', 'role %s does not exist', 'Create it first: create role %s;'),
  ('SH107', 'setting_unknown', 'there is no setting %s', '%s'),
  ('SH108', 'in_transaction', '%s cannot run inside a transaction block', 'Run it alone: call hubspot.%s(…);'),
  ('SH109', 'stream_unknown', 'there is no stream %s to schedule', 'Streams with a schedule: %s.'),
  ('SH110', 'wait_timed_out', 'timed out after %s', '%s'),
  ('SH111', 'budget_unknown', 'there is no budget %s', 'Budgets: burst, search, daily.'),
  ('SH112', 'setting_invalid', 'setting %s cannot be %s', '%s'),
  ('SH113', 'object_parked', 'object %s is parked: %s', '%s'),
  ('SH114', 'column_in_use', 'column hubspot.%s cannot be of another type: on it depends %s', 'Drop what depends on it, run this again, and make that anew once the column has its type.'),
  ('SH115', 'associations_not_tracked', 'associations of %s with %s are not tracked', 'Run select hubspot.track_associations(%s, %s);'),
  ('SH117', 'changes_gone', 'changes after %s are no longer kept', 'Read the tables whole, and go on from select hubspot.changes_end(), taken before that. select hubspot.configure(''changes_kept'', ''30 days''); keeps more.'),
  ('SH118', 'subscription_unknown', 'there is no subscription %s', 'table hubspot.change_subscriptions lists them.'),
  ('SH122', 'types_differ', '%s', '%s'),
  ('SH123', 'role_owns', 'role %s owns schema hubspot', 'The owner may do everything, and needs no grant. Name another role.'),
  ('SH119', 'owner_needed', 'what hangs on table %s would run in this session with the owner''s rights', 'Let the role that installed pg-hubspot run this, or drop the trigger, rule or cascading reference on that table.'),
  ('SH120', 'schedule_stretched', '%s', 'table hubspot.forecast shows all of it. Lengthen what matters less, or raise the share: select hubspot.set_quota_share(…);'),
  ('SH121', 'budget_too_small', 'schedules need more requests a day than may be made', 'Lengthen schedules, track fewer objects, or raise the share with select hubspot.set_quota_share(…); table hubspot.forecast shows what each costs.'),
  ('SH124', 'live_unavailable', 'live tables cannot be made: %s', '%s'),
  ('SH125', 'live_disabled', 'live tables are not enabled', 'Run select hubspot.enable_live(host => ''…'', port => 5433); with where the database reaches the worker''s gateway.'),
  ('SH126', 'live_in_use', 'live tables cannot go: %s', 'Drop what depends on them first.'),
  ('SH127', 'table_in_use', 'table hubspot.%s cannot be dropped: %s', 'Drop what depends on it first, or leave out drop_table => true: then the table stays.'),
  ('SH201', 'token_refused', 'HubSpot refused the access token', 'Create a new token in HubSpot and run select hubspot.connect(access_token => ''…'');'),
  ('SH202', 'scope_missing', 'the access token may not read %s', 'Grant the app the scopes named and run select hubspot.resume();'),
  ('SH203', 'request_refused', 'HubSpot refused a request', 'Read the message and look in HubSpot at what it names. It is tried again every 15 minutes; at once by select hubspot.resume();'),
  ('SH204', 'portal_differs', 'the token belongs to portal %s, this database mirrors portal %s', 'Use a token of portal %2$s, or another database for portal %1$s.'),
  ('SH205', 'account_locked', 'HubSpot has locked the account for a while', 'Nothing to do: it is tried again when HubSpot said.'),
  ('SH206', 'hubspot_unreachable', 'HubSpot cannot be reached', 'Check network, proxy and DNS of the worker; it is tried again by itself.'),
  ('SH207', 'hubspot_failed', 'HubSpot failed to answer', 'Nothing to do: it is tried again.'),
  ('SH208', 'answer_unreadable', 'an answer of HubSpot cannot be read: %s', 'Nothing to do: it is asked again.'),
  ('SH209', 'value_not_castable', 'value of %s is not a %s', 'The column is null; the raw text is in _extra.'),
  ('SH210', 'body_repaired', 'text that Postgres cannot hold was repaired', 'NUL characters were removed, lone surrogates became U+FFFD. Clean the record in HubSpot.'),
  ('SH211', 'object_unavailable', 'HubSpot does not serve object %s to this account', 'Activate it in HubSpot, or run select hubspot.untrack(…).'),
  ('SH212', 'record_unreadable', 'a record of %s cannot be read', 'It is left out: it has no usable id. Report it to HubSpot if it stays.'),
  ('SH213', 'record_refused', 'a record of %s cannot be written', 'Read the message: a row too wide, an index or constraint of yours, or a trigger that raises or returns null. It is tried again every 15 minutes, and when it changes.'),
  ('SH214', 'row_spilled', 'a record of %s is too wide for a row', 'Texts that did not fit are in _extra, by property. They return when the record is narrower, or when fewer properties are tracked; those of archived properties stay there.'),
  ('SH215', 'property_unreadable', 'HubSpot refuses to show property %s of %s', 'Give the app the permission or scope that it needs. The column keeps what it has; it is tried every 15 minutes.'),
  ('SH216', 'deletes_held', 'a full read of %s found many rows whose records are gone from HubSpot', 'Look at what they are; hubspot.confirm_deletes() deletes them, until then they stay.'),
  ('SH217', 'associations_unsaid', 'HubSpot says nothing of the associations of a record of %s', 'None of its rows goes until it does; it is asked again by itself, each hour at the latest. Look at the record in HubSpot.'),
  ('SH218', 'definition_refused', 'rows of definitions of %s cannot be written', 'All else is taken. Read the message: a foreign key, constraint or trigger of yours that wants these rows otherwise, or a transaction left open. It is tried again at each read.'),
  ('SH220', 'table_held', 'table %s is held by others, so it cannot be changed', 'Nothing waits long for it, or every query would. Try again, or end what holds it: select pid, query from pg_stat_activity where pid in (select pid from pg_locks where relation = ''%1$s''::regclass and granted);'),
  ('SH221', 'type_kept', 'a column of %s cannot follow its property to another type', 'Values that do not fit are in _extra. Drop what depends on the column, let a trigger of yours pass the rows that the problem names, or keep its type with select hubspot.retype_column(…);'),
  ('SH222', 'object_archived', 'object %s is archived in HubSpot', 'Nothing is read until it is restored. To give it up: select hubspot.untrack(…);'),
  ('SH223', 'notify_off', 'changes are not told on channel hubspot: the queue of notifications is half full', 'End the session that listens and does not read: select pg_listening_channels() tells of its own; look for old transactions in pg_stat_activity. The feed itself is complete, and telling goes on by itself.'),
  ('SH224', 'delivery_failed', 'a change of a record of %s was not taken', 'Read the message, and mend the task or function. It is tried again by itself; changes of other records go on.'),
  ('SH225', 'delivery_late', 'a subscription to changes of %s is further behind than changes are kept', 'Keep a worker running, or give it up: select hubspot.off_change(…);'),
  ('SH226', 'refresh_refused', 'HubSpot refuses the refresh token', 'Authorise the app again: npx pg-hubspot connect --oauth. It was revoked, or the app was uninstalled; or another program renews the same token.'),
  ('SH227', 'client_refused', 'HubSpot refuses the app''s client id or secret', 'Copy both from the app''s Auth tab in HubSpot and authorise it again: npx pg-hubspot connect --oauth'),
  ('SH228', 'authorisation_failed', 'the app was not authorised: %s', 'Run npx pg-hubspot connect --oauth again.'),
  ('SH229', 'webhook_refused', 'a webhook was refused: %s', '%s'),
  ('SH230', 'webhook_portal_differs', 'webhooks of another portal arrive', 'They are left out. Let HubSpot send that portal''s to a worker of its own database, or remove the app there.'),
  ('SH231', 'live_behind', 'live table hubspot_live.%s is not as its table is', 'Drop what depends on it, or let its owner run select hubspot.enable_live(…); again. It is tried again by itself.'),
  ('SH232', 'live_late', 'HubSpot could not be asked in time: %s', 'Try again, read the mirror in schema hubspot, or let answers be older: set hubspot.max_age = ''1 minute''. Settings live_timeout and live_on_late say how long is waited and what then.'),
  ('SH233', 'feed_blocked', 'days of hubspot.changes cannot be kept: %s', 'Drop or undo what it names, as with alter table … drop constraint …; It is tried again by itself, and all else goes on meanwhile. A foreign key to the feed keeps every day of it: a table of yours may hold xid, id and at without one.'),
  ('SH234', 'erasure_waits', 'records of %s that were deleted for privacy are not erased yet', 'Let them be read, and they are erased by themselves; or erase each without that: select hubspot.forget(…);'),
  ('SH235', 'version_unread', 'search shows a later version of a record of %s than reads by id do', 'The row is as the reads say; where none finds the record, there is no row. It heals when one shows that version, or a day after search named it. To look now: select hubspot.refresh(…);'),
  ('SH301', 'throttled', 'HubSpot asked to slow down', 'Nothing to do: the budget slows and recovers by itself. table hubspot.quota shows it.'),
  ('SH302', 'daily_spent', 'the daily budget is spent', 'It resets at midnight in the account''s time zone; select hubspot.set_quota(''daily'', …) if your limit is higher.'),
  ('SH901', 'bug', '%s', 'Please report it.')
on conflict (code) do update set name = excluded.name, message = excluded.message, hint = excluded.hint
where (e.name, e.message, e.hint) is distinct from (excluded.name, excluded.message, excluded.hint);

create or replace function hubspot_private.fill(pattern text, args text[])
returns text
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
  -- format() wants as many arguments as the pattern names; spare ones are harmless.
  select format(fill.pattern, variadic fill.args || array_fill(''::text, array[9]));
$$;
comment on function hubspot_private.fill(text, text[]) is 'format() that never lacks an argument.';

create or replace function hubspot_private.fail(name text, variadic args text[] default '{}')
returns void
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_error hubspot_private.errors;
  -- Arguments fill the message first; what is left fills the hint. A numbered hint (%1$s) takes them all.
  v_in_message integer;
begin
  select e.* into strict v_error from hubspot_private.errors e where e.name = fail.name;
  v_in_message := (length(v_error.message) - length(replace(v_error.message, '%s', ''))) / 2;
  raise exception using
    errcode = v_error.code,
    message = hubspot_private.fill(v_error.message, fail.args),
    hint = hubspot_private.fill(
      v_error.hint, case when v_error.hint like '%$s%' then fail.args else fail.args[v_in_message + 1:] end);
end;
$$;
comment on function hubspot_private.fail(text, text[]) is
  'Raises the error of that name. Arguments fill the placeholders of its message, then those of its hint.';
