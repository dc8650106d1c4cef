-- Adopting a copy: it becomes a database of its own, beside the original or in its place.
create or replace function hubspot_private.home_move(is_other_server boolean, read_only boolean)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  if not home_move.is_other_server then
    return;
  end if;
  -- Transaction ids of the other server mean nothing here: a mark might be some user's transaction, a change never or twice be seen.
  update hubspot_private.streams s set writer = null where s.writer is not null;
  -- Nor do its roles' oids.
  update hubspot_private.subscriptions s
  set function_owner_oid = (select r.oid from pg_roles r where r.rolname = s.function_owner)
  where s.function_name is not null;
  if not home_move.read_only then
    -- Nobody else delivers what is still in it. By the order of that server's ids, which mean something to one another.
    perform hubspot_private.subscriptions_read_all();
  end if;
  perform hubspot_private.changes_empty();
  raise notice 'the change feed is emptied: its transaction ids are another server''s. Whoever reads it begins anew, with changes_after(null)%',
    case when home_move.read_only then '' else '; subscriptions of on_change() get what was in it' end;
end;
$$;
comment on function hubspot_private.home_move(boolean, boolean) is 'Forgets what only the server of the original could know.';

create or replace function hubspot_private.deliveries_leave()
returns bigint
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_count bigint;
  v_queue constant name := (select i.queue_schema from hubspot_private.installation i);
begin
  perform hubspot_private.deliveries_requeue();
  -- Jobs that were under way are nobody's here, and would come back after hours.
  execute format(
    'select %1$I.force_unlock_workers(array(
       select distinct j.locked_by from hubspot_private.deliveries d join %1$I.jobs j on j.id = d.job_id where j.locked_by is not null))', v_queue);
  execute format(
    'select count(*) from %1$I.complete_jobs(array(
       select j.id from hubspot_private.deliveries d join %1$I.jobs j on j.id = d.job_id))', v_queue);
  delete from hubspot_private.deliveries d;
  get diagnostics v_count = row_count;
  delete from hubspot_private.delivery_changes d;
  update hubspot_private.subscriptions
  set at_xid = pg_snapshot_xmin(pg_current_snapshot()), at_id = 0, began = pg_current_snapshot();
  update hubspot_private.problems p set resolved_at = hubspot_private.clock() where p.code = 'SH224' and p.resolved_at is null;
  return v_count;
end;
$$;
comment on function hubspot_private.deliveries_leave() is
  'Leaves to the original what it has still to deliver: subscriptions begin with the next change. Returns of how many records there was something.';
revoke all on function hubspot_private.deliveries_leave() from public;

create or replace function hubspot.adopt(read_only boolean)
returns void
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_home hubspot_private.installation;
  v_was_home constant boolean := hubspot_private.is_home();
  v_is_new boolean;
  v_server constant bigint := (select s.system_identifier from pg_control_system() s);
begin
  if adopt.read_only is null then
    perform hubspot_private.fail('argument_invalid', 'read_only is null',
      'True where the original goes on, false where this takes its place: select hubspot.adopt(read_only => true);');
  end if;
  select i.* into strict v_home from hubspot_private.installation i for update;
  v_is_new := not v_was_home or not v_home.is_read_only;
  perform hubspot_private.home_move(v_home.system_identifier <> v_server, adopt.read_only);
  if adopt.read_only and v_is_new and exists (select from hubspot_private.subscriptions) then
    perform hubspot_private.deliveries_leave();
    raise notice 'what was to be delivered to subscriptions is left to the original; here they begin with the next change';
  end if;
  update hubspot_private.installation i
  set database_name = d.datname, database_oid = d.oid, system_identifier = v_server, is_read_only = adopt.read_only,
    adopted_at = case when v_was_home then i.adopted_at else hubspot_private.clock() end
  from pg_database d
  where d.datname = current_database();
  -- Two databases that renew one refresh token would put each other out. What is connected from now on is this one's own. One that was
  -- copied file by file passes for the original: there it is said by this alone.
  update hubspot_private.oauth o
  set is_borrowed = adopt.read_only and (o.is_borrowed or v_is_new), retry_at = null;
  perform hubspot_private.home_check();
  perform hubspot_private.enqueue('hubspot:connect', '{}');
  if not v_was_home then
    raise notice '%', case when adopt.read_only
      then 'this database reads HubSpot and never writes to it. It shares HubSpot''s limits with the original: select hubspot.set_quota_share(0.5); on both'
      else 'this database takes the original''s place. If that still runs, stop its worker: both would write, and renew one token' end;
  end if;
  if adopt.read_only and v_is_new and exists (select from hubspot_private.oauth) then
    raise notice 'it uses the access token that it has until that ends, and does not renew it: connect it with a token or an app of its own';
  end if;
end;
$$;
comment on function hubspot.adopt(boolean) is
  'Makes a copy of the database (a clone, a restore elsewhere) one of its own: until then its worker does nothing. read_only => true: the original goes on, so this one never writes to HubSpot, renews no OAuth token that it has now, and delivers no change from before. false: it takes the original''s place. On another server the change feed is emptied; what it had for subscriptions is delivered where this takes the original''s place. Run again, it changes read_only. SH104, SH220.';
